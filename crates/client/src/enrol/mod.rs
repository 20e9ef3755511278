//! How a device comes to an account, and how it leaves it (protocol section 5). Every flow here can be ended at any point and
//! begun again: what is told to a server is stored first, and an answer that was lost is asked for again.
//!
//! * [`register`] a new name; [`recovery_code`] what an account comes back with
//! * [`link`] a new device, and [`approve`] the one that lets it in; [`devices`] which there are, and how they go
//! * [`recover`] an account whose devices are all lost
//! * `arrival` what a device does that was let into an account; `visit` a connection for as long as one flow takes
//!
//! None of them acknowledges a message: what comes meanwhile stays with the server, for the client that logs in next.

pub mod approve;
mod arrival;
pub mod devices;
mod keep;
pub mod link;
mod own;
pub mod recover;
pub mod recovery_code;
pub mod register;
pub(crate) mod visit;

use futures_util::FutureExt;
use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::ids::DeviceId;

use crate::error::Error;
use crate::profile::{DeviceKeys, Profile, ProfileError};
use crate::time::wall_clock;

pub use arrival::pending;
pub use keep::{keep_backup, renew_backup};
pub use sealwire_core::enrolment::EnrolError;

/// How far a flow has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The first of so many RSA-4096 keys is being made; this takes seconds to a minute.
    MakingKeys(u8),
    /// So many of so many keys are made.
    KeysMade(u8, u8),
    /// The keys had been made before.
    KeysFound,
    /// The server is being dialled.
    Connecting,
    /// The server is being asked.
    Asking,
    /// The person is to do something on another device.
    Waiting,
}

fn refuse_second_account(profile: &Profile) -> Result<(), Error> {
    match profile.account() {
        Ok(account) => Err(ProfileError::HasAccount(account.username.to_string()).into()),
        Err(ProfileError::NoAccount) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes keys at the same time; each needs a processor for seconds. A device that comes to an account that there is
/// makes no identity key.
async fn make_keys(with_identity: bool, progress: &mut impl FnMut(Progress)) -> Result<DeviceKeys, Error> {
    let rng = || UnwrapErr(SysRng);
    let all = 2 + u8::from(with_identity);
    progress(Progress::MakingKeys(all));
    let aik = tokio::task::spawn_blocking(move || with_identity.then(|| IdentityKey::generate(&mut rng())));
    let dsk = tokio::task::spawn_blocking(move || SigningKey::generate(&mut rng()));
    let dwk = tokio::task::spawn_blocking(move || WrapKey::generate(&mut rng()));
    let made = std::cell::RefCell::new((0, progress));
    let count = |key_is_there: bool| {
        let (made, progress) = &mut *made.borrow_mut();
        *made += u8::from(key_is_there);
        progress(Progress::KeysMade(*made, all));
    };
    let (aik, dsk, dwk) = tokio::join!(
        aik.inspect(|key| count(matches!(key, Ok(Some(_))))),
        dsk.inspect(|key| count(key.is_ok())),
        dwk.inspect(|key| count(key.is_ok())),
    );
    let stopped = |_| Error::Stopped;
    Ok(DeviceKeys { aik: aik.map_err(stopped)?, dsk: dsk.map_err(stopped)?, dwk: dwk.map_err(stopped)? })
}

/// Stores keys under a new device id.
fn store_keys(profile: &mut Profile, keys: &DeviceKeys) -> Result<(), Error> {
    let now = wall_clock();
    let mut random = [0; 10];
    UnwrapErr(SysRng).fill_bytes(&mut random);
    Ok(profile.store_keys(&DeviceId::new_v7(now, random), keys, now)?)
}

/// The keys of a device that is to come to an account that there is: those that an earlier attempt left, or new ones.
async fn arriving_keys(profile: &mut Profile, progress: &mut impl FnMut(Progress)) -> Result<(), Error> {
    if profile.device()?.is_some() {
        if profile.keys()?.aik.is_none() {
            progress(Progress::KeysFound);
            return Ok(());
        }
        // They were made for a name that was never registered.
        profile.forget_keys()?;
    }
    let keys = make_keys(false, progress).await?;
    store_keys(profile, &keys)
}
