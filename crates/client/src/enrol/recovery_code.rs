//! The recovery code, and the backup that it opens (protocol section 5, "Recovery"; section 9 says who renews a backup).
//!
//! A code is stored until the person has confirmed it; what follows from it, for as long as this device renews the backup.

use std::time::Duration;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::manifest::Chain;
use sealwire_e2ee::{code::RecoveryCode, recovery::RecoverySecrets};
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Backup as BackupRequest, BackupPut, Request};
use sealwire_protocol::ids::Username;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use sealwire_e2ee::code::RecoveryCode as Code;

use super::own;
use super::visit::{Visit, patiently};
use crate::devices::Change;
use crate::error::Error;
use crate::handover::{Backup, Secret};
use crate::profile::{Profile, ProfileError};
use crate::server::Server;

const KEPT: &str = "recovery";
const NEXT: &str = "recovery.next";

/// What a device keeps of a recovery code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    username: Username,
    id: Secret,
    key: Secret,
    /// The code, until the person has confirmed it.
    code: Option<Secret>,
    /// Version of the list of devices that the code came with: a later one that changes nothing comes with a newer code.
    since: u64,
    /// Digest of what the server holds.
    put: Option<Array<32>>,
}

/// What is to be done about a recovery code.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// A code is good, or was never wanted.
    Settled,
    /// The account has this code, and the person has not confirmed it.
    Unconfirmed(RecoveryCode),
    /// A new code was made that nobody knows of yet: it is not good before it is confirmed.
    New(RecoveryCode),
    /// A new code was confirmed, and the server is still to be told.
    Confirmed,
}

impl Kept {
    fn of(code: &RecoveryCode, username: &Username) -> Self {
        let code_bytes = Secret(Zeroizing::new(code.as_bytes().to_vec()));
        Self { code: Some(code_bytes), ..Self::known(&RecoverySecrets::of(code, username), username) }
    }

    /// Of a code that the person has, because they typed it.
    pub(crate) fn known(secrets: &RecoverySecrets, username: &Username) -> Self {
        let secret = |bytes: &[u8; 32]| Secret(Zeroizing::new(bytes.to_vec()));
        let (id, key) = (secret(secrets.backup_id()), secret(secrets.backup_key()));
        Self { username: username.clone(), id, key, code: None, since: 1, put: None }
    }

    /// The same, of a code that came with this version of the list of devices.
    pub(crate) fn since(&self, version: u64) -> Self {
        Self { since: version, ..self.clone() }
    }

    pub(crate) fn store(&self, profile: &mut Profile) -> Result<(), Error> {
        Ok(profile.put_setting(KEPT, self)?)
    }

    fn stored(profile: &Profile) -> Result<Option<Self>, Error> {
        Ok(profile.setting(KEPT)?)
    }

    fn code(&self) -> Result<Option<RecoveryCode>, Error> {
        let damaged = || ProfileError::Database("the recovery code cannot be read back".to_owned());
        let read = |code: &Secret| std::str::from_utf8(&code.0).ok().and_then(|code| code.parse().ok());
        self.code.as_ref().map(|code| read(code).ok_or_else(|| damaged().into())).transpose()
    }

    fn secrets(&self) -> Result<RecoverySecrets, Error> {
        let damaged = || ProfileError::Database("the recovery secrets cannot be read back".to_owned());
        let bytes = |secret: &Secret| <[u8; 32]>::try_from(secret.0.as_slice()).map_err(|_| damaged());
        Ok(RecoverySecrets::from_parts(bytes(&self.id)?, bytes(&self.key)?))
    }
}

/// Makes the code of an account that is about to be registered, or gives the one that was made for it before.
///
/// # Errors
/// [`Error::Profile`].
pub fn prepare(profile: &mut Profile, username: &Username) -> Result<RecoveryCode, Error> {
    let kept = Kept::stored(profile)?.filter(|kept| kept.username == *username);
    if let Some(code) = kept.map(|kept| kept.code()).transpose()?.flatten() {
        return Ok(code);
    }
    let code = RecoveryCode::generate(&mut UnwrapErr(SysRng));
    Kept::of(&code, username).store(profile)?;
    Ok(code)
}

/// No code is wanted for the account that is about to be registered.
///
/// # Errors
/// [`Error::Profile`].
pub fn do_without(profile: &mut Profile) -> Result<(), Error> {
    Ok(profile.remove_setting(KEPT)?)
}

/// What is to be done about the code.
///
/// # Errors
/// [`Error::Profile`].
pub fn standing(profile: &Profile) -> Result<Standing, Error> {
    if let Some(next) = profile.setting::<Kept>(NEXT)? {
        return Ok(next.code()?.map_or(Standing::Confirmed, Standing::New));
    }
    let code = Kept::stored(profile)?.map(|kept| kept.code()).transpose()?.flatten();
    Ok(code.map_or(Standing::Settled, Standing::Unconfirmed))
}

/// Whether this device renews the account's backup.
///
/// # Errors
/// [`Error::Profile`].
pub fn is_kept(profile: &Profile) -> Result<bool, Error> {
    Ok(Kept::stored(profile)?.is_some())
}

/// Makes a new code. The one before stays good until [`finish`] has told the server.
///
/// # Errors
/// [`super::EnrolError::NoIdentity`] where only another device can; [`Error::Profile`].
pub fn begin(profile: &mut Profile) -> Result<RecoveryCode, Error> {
    own::identity(profile)?;
    let username = profile.account()?.username;
    let code = RecoveryCode::generate(&mut UnwrapErr(SysRng));
    profile.put_setting(NEXT, &Kept::of(&code, &username))?;
    Ok(code)
}

/// The person has the code that [`standing`] gave: it is erased here.
///
/// # Errors
/// [`Error::Profile`].
pub fn confirmed(profile: &mut Profile) -> Result<(), Error> {
    for setting in [NEXT, KEPT] {
        if let Some(kept) = profile.setting::<Kept>(setting)? {
            profile.put_setting(setting, &Kept { code: None, ..kept })?;
            return Ok(());
        }
    }
    Ok(())
}

/// A new code that was not confirmed is forgotten; the one before stays good.
///
/// # Errors
/// [`Error::Profile`].
pub fn give_up(profile: &mut Profile) -> Result<(), Error> {
    Ok(profile.remove_setting(NEXT)?)
}

/// Tells the server of a new code that was confirmed: a next list of the same devices, at which others stop renewing the
/// backup of the code before, and the new backup.
///
/// # Errors
/// As for every flow; it may be repeated.
pub async fn finish(profile: &mut Profile, server: &Server, patience: Duration) -> Result<(), Error> {
    patiently(patience, async || {
        let Some(next) = profile.setting::<Kept>(NEXT)? else { return Ok(()) };
        let (mut visit, mut person) = own::log_in(profile, server).await?;
        // Repeated after a lost answer it makes one list more, which harms nothing.
        own::change(&mut visit, profile, &mut person, &Change::Remove(Vec::new())).await?;
        let next = next.since(person.chain().newest().version);
        if let Some((put, digest)) = due(profile, &next)? {
            visit.ask_for(put).await?;
            Kept { put: Some(digest), ..next }.store(profile)?;
        }
        profile.remove_setting(NEXT)?;
        visit.close().await;
        Ok(())
    })
    .await
}

/// Whether another device has made a newer code: a list that changes nothing came with it.
fn is_superseded(chain: &Chain, since: u64) -> bool {
    let manifests: Vec<_> = chain.manifests().map(|signed| &signed.manifest).collect();
    manifests.windows(2).any(|pair| pair[1].version > since && pair[0].devices == pair[1].devices)
}

/// The backup to put, with the digest of what it was made of; `None` when the server has it.
fn due(profile: &Profile, kept: &Kept) -> Result<Option<(Request<'static>, Array<32>)>, Error> {
    let digest = Array(profile.handed_digest()?);
    if kept.put == Some(digest) {
        return Ok(None);
    }
    let Some(identity) = profile.keys()?.aik else { return Ok(None) };
    let person = own::own_person(profile)?;
    let backup = Backup {
        aik_private: Secret(identity.to_pkcs8()),
        version: person.chain().newest().version,
        hash: Array(person.chain().newest_hash()),
        pins: profile.pins()?,
        settings: profile.decisions()?,
    };
    let json = backup.to_json().map_err(super::EnrolError::from)?;
    let secrets = kept.secrets()?;
    let data = Blob(secrets.seal(&mut UnwrapErr(SysRng), person.chain().username(), &json));
    let put = BackupPut { id: Array(*secrets.backup_id()), data };
    Ok(Some((Request::Backup(Box::new(BackupRequest { put: Some(put), get: None })), digest)))
}

/// What this device has to put, if it is the one that renews the backup.
pub(super) fn own_due(profile: &mut Profile) -> Result<Option<(Request<'static>, Array<32>)>, Error> {
    let Some(kept) = Kept::stored(profile)? else { return Ok(None) };
    if kept.put == Some(Array(profile.handed_digest()?)) {
        return Ok(None);
    }
    if is_superseded(own::own_person(profile)?.chain(), kept.since) {
        profile.remove_setting(KEPT)?;
        return Ok(None);
    }
    due(profile, &kept)
}

pub(super) fn was_put(profile: &mut Profile, digest: Array<32>) -> Result<(), Error> {
    match Kept::stored(profile)? {
        Some(kept) => Kept { put: Some(digest), ..kept }.store(profile),
        None => Ok(()),
    }
}

/// Puts the backup on a connection that is logged in. What fails is made up for by [`super::renew_backup`].
pub(super) async fn put_if_due(visit: &mut Visit, profile: &mut Profile) {
    let outcome = async {
        let Some((put, digest)) = own_due(profile)? else { return Ok(()) };
        visit.ask_for(put).await?;
        was_put(profile, digest)
    };
    if let Err(error) = outcome.await {
        tracing::info!(%error, "the backup is put later");
    }
}
