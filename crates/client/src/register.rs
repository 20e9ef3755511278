//! Making an account (protocol section 5).

use std::time::Duration;

use futures_util::FutureExt;
use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Challenge, ClientFrame, DeviceWrap, Keys, Register, Request, ServerFrame};
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::signed::{Manifest, ManifestDevice, Purpose, WrapCert};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::convert::{cert_to_frame, manifest_to_frame};
use crate::error::Error;
use crate::handshake::{Handshake, Identity};
use crate::pins::Person;
use crate::profile::{DeviceKeys, NewAccount, Profile, ProfileError};
use crate::server::Server;
use crate::time::wall_clock;

/// How long a wrap key is certified for, in milliseconds.
const WRAP_KEY_LIFE: u64 = 7 * 24 * 60 * 60 * 1000;
/// How long the server is given for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// How far a registration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The first of three RSA-4096 keys are being made; this takes seconds to a minute.
    MakingKeys,
    /// So many of the three keys are made.
    KeysMade(u8),
    /// The keys had been made before.
    KeysFound,
    /// The server is being dialled.
    Connecting,
    /// The server is being asked.
    Registering,
}

/// Registers a name with new keys, or with those that an earlier attempt left in the profile.
///
/// A server that cannot be reached, or is busy, is tried again until `patience` is over. An attempt whose answer was lost
/// can be repeated: the server answers like the first time.
///
/// # Errors
/// [`Error::Refused`] when the server does not want the name, [`Error::Profile`] when the profile has an account already,
/// [`Error::Connect`] or [`Error::Busy`] when patience is over.
pub async fn register(
    profile: &mut Profile,
    server: &Server,
    username: &Username,
    patience: Duration,
    mut progress: impl FnMut(Progress),
) -> Result<(), Error> {
    refuse_second_account(profile)?;
    if profile.device()?.is_some() {
        progress(Progress::KeysFound);
    } else {
        progress(Progress::MakingKeys);
        let keys = make_keys(&mut progress).await?;
        store_keys(profile, &keys)?;
    }
    register_stored(profile, server, username, patience, &mut progress).await
}

/// Registers a name with keys that the caller has: for tests and load runs, which cannot wait for new ones.
///
/// # Errors
/// As for [`register`].
pub async fn register_with_keys(
    profile: &mut Profile,
    server: &Server,
    username: &Username,
    keys: &DeviceKeys,
    patience: Duration,
) -> Result<(), Error> {
    refuse_second_account(profile)?;
    if profile.device()?.is_none() {
        store_keys(profile, keys)?;
    }
    register_stored(profile, server, username, patience, &mut |_| ()).await
}

fn refuse_second_account(profile: &Profile) -> Result<(), Error> {
    match profile.account() {
        Ok(account) => Err(ProfileError::HasAccount(account.username.to_string()).into()),
        Err(ProfileError::NoAccount) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes the three keys at the same time; each needs a processor for seconds.
async fn make_keys(progress: &mut impl FnMut(Progress)) -> Result<DeviceKeys, Error> {
    let rng = || UnwrapErr(SysRng);
    let aik = tokio::task::spawn_blocking(move || IdentityKey::generate(&mut rng()));
    let dsk = tokio::task::spawn_blocking(move || SigningKey::generate(&mut rng()));
    let dwk = tokio::task::spawn_blocking(move || WrapKey::generate(&mut rng()));
    let made = std::cell::RefCell::new((0, progress));
    let count = |key_is_there: bool| {
        let (made, progress) = &mut *made.borrow_mut();
        *made += u8::from(key_is_there);
        progress(Progress::KeysMade(*made));
    };
    let (aik, dsk, dwk) = tokio::join!(
        aik.inspect(|key| count(key.is_ok())),
        dsk.inspect(|key| count(key.is_ok())),
        dwk.inspect(|key| count(key.is_ok())),
    );
    let stopped = |_| Error::Stopped;
    Ok(DeviceKeys { aik: Some(aik.map_err(stopped)?), dsk: dsk.map_err(stopped)?, dwk: dwk.map_err(stopped)? })
}

fn store_keys(profile: &mut Profile, keys: &DeviceKeys) -> Result<(), Error> {
    let now = wall_clock();
    let mut random = [0; 10];
    UnwrapErr(SysRng).fill_bytes(&mut random);
    Ok(profile.store_keys(&DeviceId::new_v7(now, random), keys, now)?)
}

async fn register_stored(
    profile: &mut Profile,
    server: &Server,
    username: &Username,
    patience: Duration,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    let device = profile.device()?.expect("keys were stored before");
    let keys = profile.keys()?;
    if keys.aik.is_none() {
        return Err(ProfileError::Keys("there is no aik".to_owned()).into());
    }
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::default();
    loop {
        progress(Progress::Connecting);
        let error = match attempt(profile, server, username, &device, &keys, progress).await {
            Ok(new) => return pin_oneself(profile, &device, &keys, new),
            Err(error) => error,
        };
        let wait = match &error {
            Error::Busy(wait) => *wait,
            Error::Connect(_) => backoff.next(UnwrapErr(SysRng).next_u64()),
            _ => return Err(error),
        };
        if Instant::now() + wait >= deadline {
            return Err(error);
        }
        sleep(wait).await;
    }
}

async fn attempt(
    profile: &mut Profile,
    server: &Server,
    username: &Username,
    device: &DeviceId,
    keys: &DeviceKeys,
    progress: &mut impl FnMut(Progress),
) -> Result<NewAccount, Error> {
    let mut connection = Connection::open(server).await?;
    let deadline = Instant::now() + ANSWER;
    let challenge = first_challenge(&mut connection, deadline).await?;
    let mut handshake = Handshake::new(server.origin());
    handshake.check(&challenge)?;
    let prepared = profile.prepared(&server.origin(), username)?;
    let new = match prepared.filter(|new| is_usable(new, challenge.server_time)) {
        Some(new) => new,
        None => {
            // By the server's clock: this one may be off.
            let new = new_account(username, device, keys, challenge.server_time);
            profile.prepare(&server.origin(), &new)?;
            new
        }
    };
    progress(Progress::Registering);
    let frame = register_frame(&mut handshake, &challenge, device, keys, new.clone())?;
    connection.feed(frame).await?;
    connection.flush().await?;
    let outcome = answer(&mut connection, deadline).await;
    connection.close().await;
    if let Err(Error::Refused { code: ErrorCode::KeyInvalid | ErrorCode::ManifestConflict, .. }) = outcome {
        // The next attempt would be refused like this one. After any other refusal the answer to an earlier attempt may
        // have been lost, and only the same bytes are recognized as a repetition.
        profile.forget_prepared()?;
    }
    outcome.map(|()| new)
}

/// Whether a certificate that was prepared earlier is in date by the server's clock.
fn is_usable(new: &NewAccount, server_time: u64) -> bool {
    new.wrap.not_before <= server_time.saturating_add(WrapCert::MAX_AHEAD) && server_time <= new.wrap.not_after
}

/// One's own keys are believed from the start, and from here: not from what a server says of them.
fn pin_oneself(profile: &mut Profile, device: &DeviceId, keys: &DeviceKeys, new: NewAccount) -> Result<(), Error> {
    let own = Keys {
        id: None,
        username: new.username.clone(),
        aik: Blob(identity(keys).public().as_bytes().to_vec()),
        manifests: vec![new.manifest],
        more: false,
        devices: vec![DeviceWrap { id: *device, wrap: new.wrap.clone() }],
    };
    let untrusted = |reason| Error::Untrusted { name: new.username.clone(), reason };
    let (person, _) = Person::first(&own, new.wrap.not_before).map_err(untrusted)?;
    profile.store_person(&person)?;
    Ok(profile.registered()?)
}

async fn next_frame(connection: &mut Connection, deadline: Instant) -> Result<ServerFrame, Error> {
    let text = timeout_at(deadline, connection.next())
        .await
        .map_err(|_| Error::Connect("the server gave no answer in time".to_owned()))??;
    serde_json::from_str(&text).map_err(|_| Error::Connect("the server sent something that is no frame".to_owned()))
}

async fn first_challenge(connection: &mut Connection, deadline: Instant) -> Result<Challenge, Error> {
    loop {
        if let ServerFrame::Challenge(challenge) = next_frame(connection, deadline).await? {
            return Ok(challenge);
        }
    }
}

async fn answer(connection: &mut Connection, deadline: Instant) -> Result<(), Error> {
    loop {
        match next_frame(connection, deadline).await? {
            ServerFrame::Session(_) => return Ok(()),
            ServerFrame::Error(error) => return Err(Error::of_entry(*error)),
            // Whatever else it says, nothing more is signed for a registration.
            _ => {}
        }
    }
}

fn identity(keys: &DeviceKeys) -> &IdentityKey {
    keys.aik.as_ref().expect("a device that registers an account has made its identity key")
}

/// The first manifest and the first certificate of an account.
pub(crate) fn new_account(username: &Username, device: &DeviceId, keys: &DeviceKeys, now: u64) -> NewAccount {
    let mut rng = UnwrapErr(SysRng);
    let this = ManifestDevice { id: *device, dsk: keys.dsk.public().clone(), added_at: now, capabilities: 0 };
    let manifest = Manifest { version: 1, prev_hash: [0; 32], issued_at: now, devices: vec![this] };
    let manifest =
        identity(keys).sign_manifest(&mut rng, username, manifest).expect("one device in version 1 has its shape");
    let dwk = keys.dwk.public().clone();
    let cert = WrapCert { seq: 1, dwk, not_before: now, not_after: now.saturating_add(WRAP_KEY_LIFE) };
    let wrap = keys.dsk.certify(&mut rng, username, device, cert);
    NewAccount { username: username.clone(), manifest: manifest_to_frame(&manifest), wrap: cert_to_frame(&wrap) }
}

fn register_frame(
    handshake: &mut Handshake,
    challenge: &Challenge,
    device: &DeviceId,
    keys: &DeviceKeys,
    new: NewAccount,
) -> Result<String, Error> {
    let mut rng = UnwrapErr(SysRng);
    let mut client_nonce = [0; 32];
    rng.fill_bytes(&mut client_nonce);
    let who = Identity { username: &new.username, device, dsk_kid: keys.dsk.kid() };
    let auth_in = handshake.to_sign(challenge, Purpose::Register, who, &client_nonce)?;
    let signature = keys.dsk.sign_auth(&mut rng, &auth_in);
    let register = Register {
        username: new.username.to_string(),
        device_id: *device,
        client_nonce: Array(client_nonce),
        aik: Blob(identity(keys).public().as_bytes().to_vec()),
        manifest: new.manifest,
        wrap: new.wrap,
        invite: None,
        signature: Blob(signature),
    };
    Ok(ClientFrame::from(Request::Register(Box::new(register))).to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_prepared_is_used_while_its_certificate_is_in_date() {
        let keys = DeviceKeys {
            aik: Some(IdentityKey::from_pkcs8(include_bytes!("../../../tests/keys/k0.der")).unwrap()),
            dsk: SigningKey::from_pkcs8(include_bytes!("../../../tests/keys/k1.der")).unwrap(),
            dwk: WrapKey::from_pkcs8(include_bytes!("../../../tests/keys/k2.der")).unwrap(),
        };
        let now = 1_790_000_000_000;
        let new = new_account(&"alice".parse().unwrap(), &DeviceId::new_v7(1, [0; 10]), &keys, now);
        for time in [now - WrapCert::MAX_AHEAD, now, now + WRAP_KEY_LIFE] {
            assert!(is_usable(&new, time), "{time}");
        }
        for time in [0, now - WrapCert::MAX_AHEAD - 1, now + WRAP_KEY_LIFE + 1, u64::MAX] {
            assert!(!is_usable(&new, time), "{time}");
        }
    }
}
