//! The devices of one's own account: which there are, how one goes, and how all go (protocol section 5).

use std::time::Duration;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::manifest::Chain;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Devices, Request, ServerFrame};
use sealwire_protocol::ids::DeviceId;

use super::EnrolError;
use super::own;
use super::visit::{Visit, patiently, wrong_answer};
use crate::convert::manifest_to_frame;
use crate::devices::{Change, next_manifest};
use crate::error::Error;
use crate::profile::Profile;
use crate::server::Server;

const LEAVING: &str = "enrol.leaving";

/// A device of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// When it was added, in milliseconds since 1970.
    pub added_at: u64,
    /// Whether it is the one that this profile is.
    pub is_this: bool,
    /// Until when its wrap key is certified, in milliseconds since 1970; `None` when it was never seen.
    pub certified_until: Option<u64>,
}

/// Asks the server for the account's newest list of devices.
///
/// # Errors
/// As for every flow.
pub async fn refresh(profile: &mut Profile, server: &Server, patience: Duration) -> Result<(), Error> {
    patiently(patience, async || {
        let (visit, _) = own::log_in(profile, server).await?;
        visit.close().await;
        Ok(())
    })
    .await
}

/// The account's devices, as far as this one knows.
///
/// # Errors
/// [`Error::Profile`].
pub fn list(profile: &Profile) -> Result<Vec<Device>, Error> {
    let (me, person) = (profile.account()?.device, own::own_person(profile)?);
    let until = |id: &DeviceId| {
        person.certificates().find(|(of, _)| *of == id).map(|(_, certificate)| certificate.signed.cert.not_after)
    };
    let devices = person.chain().newest().devices.iter();
    let device = |id, added_at| Device { id, added_at, is_this: id == me, certified_until: until(&id) };
    Ok(devices.map(|listed| device(listed.id, listed.added_at)).collect())
}

/// Removes devices: each is cut off at once, and never returns. Those that are not listed (any more) are passed over, so
/// it may be repeated.
///
/// # Errors
/// [`EnrolError::NoIdentity`]; [`EnrolError::ThisDevice`]; as for every flow.
pub async fn remove(
    profile: &mut Profile,
    server: &Server,
    devices: &[DeviceId],
    patience: Duration,
) -> Result<(), Error> {
    own::identity(profile)?;
    if devices.contains(&profile.account()?.device) {
        return Err(EnrolError::ThisDevice.into());
    }
    patiently(patience, async || {
        let (mut visit, mut person) = own::log_in(profile, server).await?;
        let listed = |id: &&DeviceId| person.chain().newest().device(id).is_some();
        let remove: Vec<_> = devices.iter().filter(listed).copied().collect();
        if !remove.is_empty() {
            own::change(&mut visit, profile, &mut person, &Change::Remove(remove)).await?;
        }
        visit.close().await;
        Ok(())
    })
    .await
}

/// Deletes the account with everything that the server has of it, then this device's keys. The history stays here. It may be
/// repeated until it says that it is done.
///
/// # Errors
/// [`EnrolError::NoIdentity`]; as for every flow.
pub async fn delete_account(profile: &mut Profile, server: &Server, patience: Duration) -> Result<(), Error> {
    let identity = own::identity(profile)?;
    let name = profile.account()?.username;
    let mut chain: Chain = own::own_person(profile)?.chain().clone();
    patiently(patience, async || {
        let was_told = profile.setting::<bool>(LEAVING)?.unwrap_or(false);
        let mut visit = Visit::open(server).await?;
        let last = next_manifest(&mut UnwrapErr(SysRng), &chain, &identity, &Change::Leave, visit.now());
        let manifest = manifest_to_frame(&last.map_err(EnrolError::from)?);
        profile.put_setting(LEAVING, &true)?;
        // Before the log-in: the identity key's signature is the authority, also for a device that was removed.
        let devices = Devices { username: Some(name.to_string()), manifest };
        match visit.ask(Request::Devices(Box::new(devices))).await? {
            ServerFrame::Devices(_) => {}
            // The answer to an earlier attempt was lost: nobody has this name any more.
            ServerFrame::Error(error) if error.code == ErrorCode::AuthFailed && was_told => {}
            ServerFrame::Error(error) if error.code == ErrorCode::ManifestConflict => {
                own::catch_up(&mut chain, error.manifests.as_deref())?;
                return Err(Error::Busy(Duration::ZERO));
            }
            ServerFrame::Error(error) => return Err(Error::of_entry(*error)),
            _ => return Err(wrong_answer()),
        }
        visit.close().await;
        Ok(profile.delete_account()?)
    })
    .await
}
