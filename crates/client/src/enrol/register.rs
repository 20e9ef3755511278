//! Making an account (protocol section 5).

use std::time::Duration;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::IdentityKey;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::base64::Blob;
use sealwire_protocol::frames::{DeviceWrap, Keys, Register, Request};
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::signed::{Manifest, ManifestDevice, Purpose};

use super::arrival::{first_certificate, is_usable};
use super::visit::{Answer, Visit, Who, patiently};
use super::{make_keys, recovery_code, refuse_second_account, store_keys};
use crate::convert::manifest_to_frame;
use crate::error::Error;
use crate::pins::Person;
use crate::profile::{DeviceKeys, NewAccount, Profile, ProfileError};
use crate::server::Server;

pub use super::Progress;

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
        let keys = make_keys(true, &mut progress).await?;
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
    patiently(patience, async || attempt(profile, server, username, &device, &keys, &mut *progress).await).await
}

async fn attempt(
    profile: &mut Profile,
    server: &Server,
    username: &Username,
    device: &DeviceId,
    keys: &DeviceKeys,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    progress(Progress::Connecting);
    let mut visit = Visit::open(server).await?;
    let prepared = profile.prepared(&server.origin(), username)?;
    let new = match prepared.filter(|new| is_usable(new, visit.now())) {
        Some(new) => new,
        None => {
            // By the server's clock: this one may be off.
            let new = new_account(username, device, keys, visit.now());
            profile.prepare(&server.origin(), &new)?;
            new
        }
    };
    progress(Progress::Asking);
    let who = Who { username, device, dsk: &keys.dsk };
    let outcome = visit.enter(Purpose::Register, who, |answer| register_frame(answer, device, keys, new.clone())).await;
    if let Err(Error::Refused { code: ErrorCode::KeyInvalid | ErrorCode::ManifestConflict, .. }) = outcome {
        // The next attempt would be refused like this one. After any other refusal the answer to an earlier attempt may
        // have been lost, and only the same bytes are recognized as a repetition.
        profile.forget_prepared()?;
    }
    outcome?;
    pin_oneself(profile, device, keys, new)?;
    recovery_code::put_if_due(&mut visit, profile).await;
    visit.close().await;
    Ok(())
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
    let wrap = first_certificate(username, device, keys, now);
    NewAccount { username: username.clone(), manifest: manifest_to_frame(&manifest), wrap }
}

fn register_frame(answer: Answer, device: &DeviceId, keys: &DeviceKeys, new: NewAccount) -> Request<'static> {
    Request::Register(Box::new(Register {
        username: new.username.to_string(),
        device_id: *device,
        client_nonce: answer.client_nonce,
        aik: Blob(identity(keys).public().as_bytes().to_vec()),
        manifest: new.manifest,
        wrap: new.wrap,
        invite: None,
        signature: answer.signature,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_core::rotation::{LIFE, ROTATE_AFTER};
    use sealwire_e2ee::{SigningKey, WrapKey};
    use sealwire_protocol::signed::WrapCert;

    #[test]
    fn what_was_prepared_is_used_while_its_certificate_is_in_date() {
        let keys = DeviceKeys {
            aik: Some(IdentityKey::from_pkcs8(include_bytes!("../../../../tests/keys/k0.der")).unwrap()),
            dsk: SigningKey::from_pkcs8(include_bytes!("../../../../tests/keys/k1.der")).unwrap(),
            dwk: WrapKey::from_pkcs8(include_bytes!("../../../../tests/keys/k2.der")).unwrap(),
        };
        let now = 1_790_000_000_000;
        let new = new_account(&"alice".parse().unwrap(), &DeviceId::new_v7(1, [0; 10]), &keys, now);
        // The first key lives as long as those that follow it: a device that is off when it should be replaced is not behind.
        assert_eq!(new.wrap.not_after, now + LIFE);
        assert_eq!((ROTATE_AFTER, LIFE), (7 * 24 * 60 * 60 * 1_000, 9 * 24 * 60 * 60 * 1_000));
        for time in [now - WrapCert::MAX_AHEAD, now, now + LIFE] {
            assert!(is_usable(&new, time), "{time}");
        }
        for time in [0, now - WrapCert::MAX_AHEAD - 1, now + LIFE + 1, u64::MAX] {
            assert!(!is_usable(&new, time), "{time}");
        }
    }
}
