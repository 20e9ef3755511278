//! A new device is linked by one that there is: the new one's part (protocol section 5, "Linking a device").

use std::time::Duration;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::code::LinkCode;
use sealwire_e2ee::linking::{LinkSecrets, Side};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Rendezvous, RendezvousPut, RendezvousTake, Request, ServerFrame};
use sealwire_protocol::ids::DeviceId;
use sealwire_protocol::spki::Spki;
use tokio::time::{Instant, sleep};

use super::EnrolError;
use super::arrival::{Arrival, arrive};
use super::visit::{Visit, patiently, wrong_answer};
use super::{Progress, arriving_keys, pending, refuse_second_account};
use crate::devices::check_handover;
use crate::error::Error;
use crate::handover::{Handover, NewDevice, device_name};
use crate::profile::{Profile, ProfileError};
use crate::server::Server;

/// How often a new device looks whether it was let in. In ten minutes it is allowed 400 frames.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a code is good.
pub const CODE_LIFE: Duration = Duration::from_secs(10 * 60);

/// What a new device tells while it is being linked.
#[derive(Debug)]
pub enum Step<'a> {
    /// How far it is.
    Progress(Progress),
    /// The code to enter on the device that there is; good for [`CODE_LIFE`].
    Code(&'a LinkCode),
    /// The other device has let this one in.
    LetIn,
}

/// Links this device: makes its keys and a code, waits until the code was entered on another device of the account, checks what
/// that has handed over, and logs in. One that was ended after it had been let in goes on; one that was ended earlier begins
/// anew, with another code.
///
/// `patience` is how long to try to reach a server.
///
/// # Errors
/// [`EnrolError::NobodyCame`] after [`CODE_LIFE`]; [`Error::Profile`] when the profile has an account; as for every flow.
pub async fn link(
    profile: &mut Profile,
    server: &Server,
    name: &str,
    patience: Duration,
    mut tell: impl FnMut(Step<'_>),
) -> Result<(), Error> {
    refuse_second_account(profile)?;
    if pending(profile)?.is_none() {
        arriving_keys(profile, &mut |progress| tell(Step::Progress(progress))).await?;
        let handover = meet(profile, server, name, patience, &mut tell).await?;
        // Stored before it is used: the other device has told the server of this one.
        Arrival { handover, recovery: None }.store(profile)?;
        tell(Step::LetIn);
    }
    arrive(profile, server, patience, &mut |progress| tell(Step::Progress(progress))).await
}

/// Shows a code, and waits for what the other device leaves under it.
async fn meet(
    profile: &Profile,
    server: &Server,
    name: &str,
    patience: Duration,
    tell: &mut impl FnMut(Step<'_>),
) -> Result<Handover, Error> {
    let device = profile.device()?.ok_or(ProfileError::NoAccount)?;
    let dsk = profile.keys()?.dsk.public().clone();
    let about = NewDevice { device_id: device, device_name: device_name(name), dsk: Blob(dsk.as_bytes().to_vec()) };
    let about = about.to_json().map_err(EnrolError::from)?;
    let code = LinkCode::generate(&mut UnwrapErr(SysRng));
    let secrets = LinkSecrets::of(&code);
    let put = secrets.seal(&mut UnwrapErr(SysRng), Side::New, &about);
    let deadline = Instant::now() + CODE_LIFE;
    let mut is_shown = false;
    let data = patiently(patience.max(CODE_LIFE), async || {
        if !is_shown {
            tell(Step::Progress(Progress::Connecting));
        }
        let mut visit = Visit::open(server).await?;
        leave(&mut visit, &secrets, &put).await?;
        if !std::mem::replace(&mut is_shown, true) {
            tell(Step::Code(&code));
            tell(Step::Progress(Progress::Waiting));
        }
        wait_for_side_2(&mut visit, &secrets, deadline).await
    })
    .await?;
    read(&secrets, &data, &device, &dsk)
}

/// Leaves this device's side; again on each connection, as the server may have forgotten it.
async fn leave(visit: &mut Visit, secrets: &LinkSecrets, data: &[u8]) -> Result<(), Error> {
    let put = RendezvousPut { slot: Array(*secrets.slot()), side: Side::New.number(), data: Blob(data.to_vec()) };
    match visit.ask(Request::Rendezvous(Box::new(Rendezvous { put: Some(put), take: None }))).await? {
        ServerFrame::Rendezvous(_) => Ok(()),
        // It is filled: by an earlier connection, as nobody else knows the slot.
        ServerFrame::Error(error) if error.code == ErrorCode::BadRequest => Ok(()),
        ServerFrame::Error(error) => Err(Error::of_entry(*error)),
        _ => Err(wrong_answer()),
    }
}

async fn wait_for_side_2(visit: &mut Visit, secrets: &LinkSecrets, deadline: Instant) -> Result<Blob, Error> {
    loop {
        if let Some(data) = take(visit, secrets, Side::Old).await? {
            return Ok(data);
        }
        if Instant::now() + LOOK_EVERY >= deadline {
            return Err(EnrolError::NobodyCame.into());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Reads a side of the slot, if it is filled.
pub(crate) async fn take(visit: &mut Visit, secrets: &LinkSecrets, side: Side) -> Result<Option<Blob>, Error> {
    let take = RendezvousTake { slot: Array(*secrets.slot()), side: side.number() };
    match visit.ask_for(Request::Rendezvous(Box::new(Rendezvous { put: None, take: Some(take) }))).await? {
        ServerFrame::Rendezvous(answer) => Ok(answer.data),
        _ => Err(wrong_answer()),
    }
}

/// What the other device has left, if it is for this one.
fn read(secrets: &LinkSecrets, data: &Blob, device: &DeviceId, dsk: &Spki) -> Result<Handover, Error> {
    let json = secrets.open(Side::Old, &data.0).map_err(|_| EnrolError::NotSealedHere)?;
    let handover = Handover::from_json(&json).map_err(EnrolError::from)?;
    check_handover(&handover, device, dsk).map_err(EnrolError::from)?;
    Ok(handover)
}
