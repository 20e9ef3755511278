//! What a device does that was let into an account: it tells the server the list that names it, where nobody has done so
//! yet, makes its first log-in, compares what the server shows with what it was handed, and believes it.

use std::time::Duration;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_core::rotation::LIFE;
use sealwire_e2ee::IdentityKey;
use sealwire_e2ee::manifest::Chain;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Devices, Link, ManifestFrame, Request, ServerFrame, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::signed::{Purpose, WrapCert};
use sealwire_protocol::spki::Spki;
use serde::{Deserialize, Serialize};

use super::EnrolError;
use super::Progress;
use super::own;
use super::recovery_code::{self, Kept};
use super::visit::{Answer, Visit, Who, patiently, wrong_answer};
use crate::convert::{cert_to_frame, manifest_to_frame};
use crate::devices::{Change, DevicesError, Linked, check_handover, check_shown, next_manifest, whole_chain};
use crate::error::Error;
use crate::handover::Handover;
use crate::profile::{Arrived, DeviceKeys, NewAccount, Profile, ProfileError};
use crate::server::Server;
use crate::time::wall_clock;

const SETTING: &str = "enrol.arrival";

/// What this device was handed: stored before the server is told, until it has let the device in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Arrival {
    /// What was handed over. The newest of its manifests lists this device.
    pub(crate) handover: Handover,
    /// Of a recovery.
    pub(crate) recovery: Option<Recovery>,
}

/// What an account is recovered with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recovery {
    /// The secrets of the recovery code.
    pub(crate) kept: Kept,
    /// Whether the other devices go.
    pub(crate) remove_others: bool,
}

/// Whose account this device was let into, and has not come to yet: [`super::recover::resume`] goes on.
///
/// # Errors
/// [`Error::Profile`].
pub fn pending(profile: &Profile) -> Result<Option<Username>, Error> {
    Ok(Arrival::stored(profile)?.map(|arrival| arrival.handover.username))
}

impl Arrival {
    pub(crate) fn stored(profile: &Profile) -> Result<Option<Self>, Error> {
        Ok(profile.setting(SETTING)?)
    }

    pub(crate) fn store(&self, profile: &mut Profile) -> Result<(), Error> {
        Ok(profile.put_setting(SETTING, self)?)
    }

    fn newest(&self) -> Result<&ManifestFrame, Error> {
        self.handover.manifests.last().ok_or_else(|| EnrolError::from(DevicesError::NoManifest).into())
    }

    /// Another device was faster: the list is signed anew behind the links that the server holds.
    fn sign_again(
        &mut self,
        links: Option<&[ManifestFrame]>,
        device: DeviceId,
        keys: &DeviceKeys,
        now: u64,
    ) -> Result<(), Error> {
        self.handover.manifests.pop();
        // A recovery was handed all of the chain.
        let aik = Spki::parse(&self.handover.aik.0).map_err(DevicesError::from).map_err(EnrolError::from)?;
        let chain = whole_chain(&self.handover.username, aik, &self.handover.manifests);
        let mut chain = chain.map_err(EnrolError::from)?;
        own::catch_up(&mut chain, links)?;
        let remove_others = self.recovery.as_ref().is_some_and(|recovery| recovery.remove_others);
        self.list(&chain, device, keys.dsk.public(), remove_others, now)
    }

    /// Signs the list that names this device, with the identity key that was handed over.
    pub(crate) fn list(
        &mut self,
        chain: &Chain,
        device: DeviceId,
        dsk: &Spki,
        remove_others: bool,
        now: u64,
    ) -> Result<(), Error> {
        let secret = self.handover.aik_private.as_ref().ok_or(EnrolError::NoIdentity)?;
        let identity = IdentityKey::from_pkcs8(&secret.0);
        let identity = identity.map_err(DevicesError::from).map_err(EnrolError::from)?;
        let remove = match remove_others {
            true => chain.newest().devices.iter().map(|device| device.id).collect(),
            false => Vec::new(),
        };
        let change = Change::Replace { device, dsk: dsk.clone(), remove };
        let next = next_manifest(&mut UnwrapErr(SysRng), chain, &identity, &change, now).map_err(EnrolError::from)?;
        self.handover.manifests = chain.manifests().map(manifest_to_frame).chain([manifest_to_frame(&next)]).collect();
        Ok(())
    }
}

/// Goes on with what is stored.
pub(crate) async fn arrive(
    profile: &mut Profile,
    server: &Server,
    patience: Duration,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    patiently(patience, async || attempt(profile, server, &mut *progress).await).await
}

async fn attempt(profile: &mut Profile, server: &Server, progress: &mut impl FnMut(Progress)) -> Result<(), Error> {
    let mut arrival = Arrival::stored(profile)?.ok_or(ProfileError::NoAccount)?;
    let device = profile.device()?.ok_or(ProfileError::NoAccount)?;
    let keys = profile.keys()?;
    let linked = check_handover(&arrival.handover, &device, keys.dsk.public()).map_err(EnrolError::from)?;
    progress(Progress::Connecting);
    let mut visit = Visit::open(server).await?;
    progress(Progress::Asking);
    if arrival.recovery.is_some() && !tell(&mut visit, profile, &mut arrival, &keys).await? {
        visit.close().await;
        return Err(Error::Busy(Duration::ZERO));
    }
    visit.ask_for_challenge().await?;
    let wrap = certified(profile, server, &arrival, &device, &keys, visit.now())?;
    let who = Who { username: &linked.username, device: &device, dsk: &keys.dsk };
    let link = |Answer { client_nonce, signature }: Answer| {
        let username = linked.username.to_string();
        Request::Link(Box::new(Link { username, device_id: device, client_nonce, wrap, signature }))
    };
    match visit.enter(Purpose::Link, who, link).await {
        Ok(_) => {}
        Err(Error::Refused { code: ErrorCode::AuthFailed, .. }) => {
            profile.forget_keys()?;
            return Err(EnrolError::NotLetIn(linked.username).into());
        }
        Err(error) => return Err(error),
    }
    believe(&mut visit, profile, &arrival, &linked, &keys).await?;
    visit.close().await;
    Ok(())
}

/// Has the server take the list; says whether it has. If not, another one is stored for the next attempt.
async fn tell(
    visit: &mut Visit,
    profile: &mut Profile,
    arrival: &mut Arrival,
    keys: &DeviceKeys,
) -> Result<bool, Error> {
    let manifest = arrival.newest()?.clone();
    let devices = Devices { username: Some(arrival.handover.username.to_string()), manifest };
    match visit.ask(Request::Devices(Box::new(devices))).await? {
        ServerFrame::Devices(_) => Ok(true),
        ServerFrame::Error(error) if error.code == ErrorCode::ManifestConflict => {
            let device = profile.device()?.ok_or(ProfileError::NoAccount)?;
            arrival.sign_again(error.manifests.as_deref(), device, keys, visit.now())?;
            arrival.store(profile)?;
            Ok(false)
        }
        ServerFrame::Error(error) => Err(Error::of_entry(*error)),
        _ => Err(wrong_answer()),
    }
}

/// The certificate of this device's first wrap key: the one that an earlier attempt has sent, while it is in date by the
/// server's clock.
fn certified(
    profile: &mut Profile,
    server: &Server,
    arrival: &Arrival,
    device: &DeviceId,
    keys: &DeviceKeys,
    now: u64,
) -> Result<WrapFrame, Error> {
    let username = &arrival.handover.username;
    if let Some(new) = profile.prepared(&server.origin(), username)?.filter(|new| is_usable(new, now)) {
        return Ok(new.wrap);
    }
    let wrap = first_certificate(username, device, keys, now);
    let new = NewAccount { username: username.clone(), manifest: arrival.newest()?.clone(), wrap };
    profile.prepare(&server.origin(), &new)?;
    Ok(new.wrap)
}

/// The certificate of a device's first wrap key, from `now` on by the server's clock.
pub(crate) fn first_certificate(username: &Username, device: &DeviceId, keys: &DeviceKeys, now: u64) -> WrapFrame {
    let dwk = keys.dwk.public().clone();
    let cert = WrapCert { seq: 1, dwk, not_before: now, not_after: now.saturating_add(LIFE) };
    cert_to_frame(&keys.dsk.certify(&mut UnwrapErr(SysRng), username, device, cert))
}

/// Whether a certificate that was prepared earlier is in date by the server's clock.
pub(crate) fn is_usable(new: &NewAccount, server_time: u64) -> bool {
    new.wrap.not_before <= server_time.saturating_add(WrapCert::MAX_AHEAD) && server_time <= new.wrap.not_after
}

/// Compares what the server shows with what was handed over, and stores it.
async fn believe(
    visit: &mut Visit,
    profile: &mut Profile,
    arrival: &Arrival,
    linked: &Linked,
    keys: &DeviceKeys,
) -> Result<(), Error> {
    let device = profile.device()?.ok_or(ProfileError::NoAccount)?;
    let own = own::ask(visit, &linked.username, None).await?;
    check_shown(linked, own.chain(), &device, keys.dsk.public()).map_err(EnrolError::from)?;
    if let Some(recovery) = &arrival.recovery {
        recovery.kept.since(own.chain().newest().version).store(profile)?;
    }
    let Handover { pins, settings, .. } = &arrival.handover;
    let identity = linked.identity.as_ref();
    profile.arrived(&Arrived { own: &own, pins, settings, identity }, wall_clock())?;
    profile.remove_setting(SETTING)?;
    recovery_code::put_if_due(visit, profile).await;
    Ok(())
}
