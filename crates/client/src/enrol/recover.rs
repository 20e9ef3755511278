//! An account whose devices are all lost comes back on an empty machine (protocol section 5, "Recovery").

use std::time::Duration;

use sealwire_e2ee::manifest::Chain;
use sealwire_e2ee::{code::RecoveryCode, recovery::RecoverySecrets};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{
    Backup as BackupRequest, BackupAnswer, BackupGet, ManifestFrame, Request, ServerFrame,
};
use sealwire_protocol::ids::Username;
use sealwire_protocol::signed::ManifestDevice;

use super::EnrolError;
use super::arrival::{Arrival, Recovery, arrive};
use super::recovery_code::Kept;
use super::visit::{Visit, patiently, wrong_answer};
use super::{Progress, arriving_keys, pending, refuse_second_account};
use crate::devices::check_backup;
use crate::error::Error;
use crate::handover::{Backup, Handover};
use crate::profile::{Profile, ProfileError};
use crate::server::Server;
use crate::time::wall_clock;

/// The most answers that one chain of manifests may take: 50 come in each.
const MOST_ANSWERS: usize = 200;

/// An account that was found by its recovery code. Nothing has changed yet, here or at the server.
#[derive(Debug)]
pub struct Found {
    username: Username,
    secrets: RecoverySecrets,
    backup: Backup,
    chain: Chain,
}

impl Found {
    /// The devices that the account has now.
    pub fn devices(&self) -> &[ManifestDevice] {
        &self.chain.newest().devices
    }

    /// How many people the backup knows.
    pub fn people(&self) -> usize {
        self.backup.pins.len()
    }
}

/// Looks for the backup of a name under a code, and checks it.
///
/// # Errors
/// [`EnrolError::WrongCode`]; [`EnrolError::Devices`] when what the server shows is older than the backup, or another's; and as
/// for every flow.
pub async fn find(
    server: &Server,
    username: &Username,
    code: &RecoveryCode,
    patience: Duration,
) -> Result<Found, Error> {
    let secrets = RecoverySecrets::of(code, username);
    let (data, manifests) = patiently(patience, async || fetch(server, username, &secrets).await).await?;
    let json = secrets.open(username, &data.0).map_err(|_| EnrolError::NotSealedHere)?;
    let backup = Backup::from_json(&json).map_err(EnrolError::from)?;
    let (chain, _) = check_backup(username, &backup, &manifests).map_err(EnrolError::from)?;
    Ok(Found { username: username.clone(), secrets, backup, chain })
}

async fn fetch(
    server: &Server,
    username: &Username,
    secrets: &RecoverySecrets,
) -> Result<(Blob, Vec<ManifestFrame>), Error> {
    let mut visit = Visit::open(server).await?;
    let mut manifests: Vec<ManifestFrame> = Vec::new();
    for _ in 0..MOST_ANSWERS {
        let since_version = manifests.last().map(|manifest| manifest.version);
        let get = BackupGet { username: username.to_string(), id: Array(*secrets.backup_id()), since_version };
        let request = Request::Backup(Box::new(BackupRequest { put: None, get: Some(get) }));
        let answer = match visit.ask(request).await? {
            ServerFrame::Backup(answer) => *answer,
            ServerFrame::Error(error) if error.code == ErrorCode::AuthFailed => {
                return Err(EnrolError::WrongCode(username.clone()).into());
            }
            ServerFrame::Error(error) => return Err(Error::of_entry(*error)),
            _ => return Err(wrong_answer()),
        };
        let BackupAnswer { data: Some(data), manifests: Some(shown), more, .. } = answer else {
            return Err(wrong_answer());
        };
        let nothing_new = shown.is_empty();
        manifests.extend(shown);
        if !more {
            visit.close().await;
            return Ok((data, manifests));
        }
        if nothing_new {
            break;
        }
    }
    Err(Error::Connect("the server has more to show, but shows nothing".to_owned()))
}

/// Comes back: makes this device's keys, stores what was found, has the server list the device, and logs in. With
/// `remove_others` the other devices go at the same time.
///
/// # Errors
/// [`Error::Profile`] when the profile has an account; as for every flow. After an end at any point [`resume`] goes on.
pub async fn recover(
    profile: &mut Profile,
    server: &Server,
    found: Found,
    remove_others: bool,
    patience: Duration,
    mut progress: impl FnMut(Progress),
) -> Result<(), Error> {
    refuse_second_account(profile)?;
    arriving_keys(profile, &mut progress).await?;
    let device = profile.device()?.ok_or(ProfileError::NoAccount)?;
    let dsk = profile.keys()?.dsk;
    let Found { username, secrets, backup, chain } = found;
    let kept = Kept::known(&secrets, &username);
    let handover = Handover {
        username,
        aik: Blob(chain.aik().as_bytes().to_vec()),
        manifests: Vec::new(),
        pins: backup.pins,
        settings: backup.settings,
        aik_private: Some(backup.aik_private),
    };
    let recovery = Some(Recovery { kept, remove_others });
    let mut arrival = Arrival { handover, recovery };
    arrival.list(&chain, device, dsk.public(), remove_others, wall_clock())?;
    arrival.store(profile)?;
    arrive(profile, server, patience, &mut progress).await
}

/// Goes on with a recovery or a link that was ended after its data had been stored; says whether there was one.
///
/// # Errors
/// As for [`recover`].
pub async fn resume(
    profile: &mut Profile,
    server: &Server,
    patience: Duration,
    mut progress: impl FnMut(Progress),
) -> Result<bool, Error> {
    refuse_second_account(profile)?;
    if pending(profile)?.is_none() {
        return Ok(false);
    }
    progress(Progress::KeysFound);
    arrive(profile, server, patience, &mut progress).await?;
    Ok(true)
}
