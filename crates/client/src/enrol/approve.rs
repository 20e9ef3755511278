//! A new device is linked by one that there is: the part of the latter (protocol section 5, "Linking a device").

use std::time::Duration;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::code::LinkCode;
use sealwire_e2ee::linking::{LinkSecrets, Side};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Rendezvous, RendezvousPut, Request, ServerFrame};
use sealwire_protocol::ids::{DeviceId, Kid};
use sealwire_protocol::spki::Spki;

use super::EnrolError;
use super::link::take;
use super::own;
use super::visit::{Visit, patiently, wrong_answer};
use crate::convert::manifest_to_frame;
use crate::devices::{Change, DevicesError};
use crate::error::Error;
use crate::handover::{Handover, NewDevice, Secret, device_name};
use crate::pins::Person;
use crate::profile::Profile;
use crate::server::Server;

/// A device that waits to be linked, as it describes itself.
#[derive(Debug)]
pub struct Waiting {
    secrets: LinkSecrets,
    device: DeviceId,
    name: String,
    dsk: Spki,
}

impl Waiting {
    /// Its id.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// What its owner calls it; harmless to show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of its signing key, by which every message of it will be known.
    pub fn key(&self) -> Kid {
        self.dsk.kid()
    }

    fn read(secrets: LinkSecrets, data: &Blob) -> Result<Self, EnrolError> {
        let json = secrets.open(Side::New, &data.0).map_err(|_| EnrolError::NotSealedHere)?;
        let about = NewDevice::from_json(&json)?;
        let dsk = Spki::parse(&about.dsk.0).map_err(DevicesError::from)?;
        Ok(Self { secrets, device: about.device_id, name: device_name(&about.device_name), dsk })
    }
}

/// Looks who waits under a code. Nothing changes.
///
/// # Errors
/// [`EnrolError::NoIdentity`] where only another device can link; [`EnrolError::NobodyWaits`]; as for every flow.
pub async fn look(
    profile: &mut Profile,
    server: &Server,
    code: &LinkCode,
    patience: Duration,
) -> Result<Waiting, Error> {
    own::identity(profile)?;
    let data = patiently(patience, async || {
        let (mut visit, _) = own::log_in(profile, server).await?;
        let data = take(&mut visit, &LinkSecrets::of(code), Side::New).await?;
        visit.close().await;
        Ok(data)
    });
    let data = data.await?.ok_or(EnrolError::NobodyWaits)?;
    Ok(Waiting::read(LinkSecrets::of(code), &data)?)
}

/// Links a device that waits, as the person has confirmed: the next list of devices names it, and it is handed whom this
/// device believes and what the person has decided; with `with_identity` the account's identity key too, so that it can link
/// and remove devices itself.
///
/// It may be repeated: a device that is listed already is not listed again.
///
/// # Errors
/// As for [`look`]; [`EnrolError::Devices`] when the list cannot be changed so.
pub async fn approve(
    profile: &mut Profile,
    server: &Server,
    waiting: &Waiting,
    with_identity: bool,
    patience: Duration,
) -> Result<(), Error> {
    patiently(patience, async || {
        let (mut visit, mut person) = own::log_in(profile, server).await?;
        list(&mut visit, profile, &mut person, waiting).await?;
        let handover = handover(profile, &person, with_identity)?;
        hand_over(&mut visit, waiting, &handover).await?;
        visit.close().await;
        Ok(())
    })
    .await
}

async fn list(visit: &mut Visit, profile: &mut Profile, person: &mut Person, waiting: &Waiting) -> Result<(), Error> {
    match person.chain().newest().device(&waiting.device) {
        Some(listed) if listed.dsk == waiting.dsk => Ok(()),
        // The list's own rules refuse another key for it.
        _ => own::change(visit, profile, person, &Change::Add(waiting.device, waiting.dsk.clone())).await,
    }
}

fn handover(profile: &Profile, person: &Person, with_identity: bool) -> Result<Handover, Error> {
    let identity = own::identity(profile)?;
    Ok(Handover {
        username: person.chain().username().clone(),
        aik: Blob(person.chain().aik().as_bytes().to_vec()),
        manifests: person.chain().manifests().map(manifest_to_frame).collect(),
        pins: profile.pins()?,
        settings: profile.decisions()?,
        aik_private: with_identity.then(|| Secret(identity.to_pkcs8())),
    })
}

async fn hand_over(visit: &mut Visit, waiting: &Waiting, handover: &Handover) -> Result<(), Error> {
    let json = handover.to_json().map_err(EnrolError::from)?;
    let data = Blob(waiting.secrets.seal(&mut UnwrapErr(SysRng), Side::Old, &json));
    let put = RendezvousPut { slot: Array(*waiting.secrets.slot()), side: Side::Old.number(), data };
    match visit.ask(Request::Rendezvous(Box::new(Rendezvous { put: Some(put), take: None }))).await? {
        ServerFrame::Rendezvous(_) => Ok(()),
        // It is filled: by an earlier attempt whose answer was lost, as nobody else knows the slot.
        ServerFrame::Error(error) if error.code == ErrorCode::BadRequest => Ok(()),
        ServerFrame::Error(error) => Err(Error::of_entry(*error)),
        _ => Err(wrong_answer()),
    }
}
