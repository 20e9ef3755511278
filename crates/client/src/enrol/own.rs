//! One's own account, as the server shows it and as this device changes it.

use std::borrow::Cow;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::IdentityKey;
use sealwire_e2ee::manifest::Chain;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Devices, KeyQuery, Keys, ManifestFrame, Request, ServerFrame};
use sealwire_protocol::ids::Username;

use super::EnrolError;
use super::visit::{Visit, Who, wrong_answer};
use crate::convert::{manifest_from_frame, manifest_to_frame};
use crate::devices::{Change, DevicesError, next_manifest};
use crate::error::Error;
use crate::pins::Person;
use crate::profile::{Profile, ProfileError};
use crate::server::Server;

/// How often a change is signed anew because another device was faster.
const ATTEMPTS: usize = 3;

/// Logs in, and learns what the server shows of one's own account.
pub(crate) async fn log_in(profile: &mut Profile, server: &Server) -> Result<(Visit, Person), Error> {
    let (account, keys) = (profile.account()?, profile.keys()?);
    let mut visit = Visit::open(server).await?;
    let who = Who { username: &account.username, device: &account.device, dsk: &keys.dsk };
    visit.log_in(who).await.map_err(Error::at_log_in)?;
    let known = own_person(profile)?;
    let person = ask(&mut visit, &account.username, Some(known)).await?;
    profile.store_person(&person)?;
    Ok((visit, person))
}

/// What is believed of oneself.
pub(crate) fn own_person(profile: &Profile) -> Result<Person, Error> {
    let missing = || ProfileError::Database("the profile does not know its own identity key".to_owned());
    let account = profile.account()?;
    Ok(profile.person(&account.username)?.ok_or_else(missing)?)
}

/// The account identity key, which not every device has.
pub(crate) fn identity(profile: &Profile) -> Result<IdentityKey, Error> {
    profile.keys()?.aik.ok_or_else(|| EnrolError::NoIdentity.into())
}

/// Asks for the keys of one's own name, on a connection that is logged in, until all is known.
pub(crate) async fn ask(visit: &mut Visit, name: &Username, mut known: Option<Person>) -> Result<Person, Error> {
    loop {
        let since_version = known.as_ref().map(|person| person.chain().newest().version);
        let query = KeyQuery { username: Cow::Borrowed(name.as_str()), since_version };
        let ServerFrame::Keys(keys) = visit.ask_for(Request::Keys(query)).await? else { return Err(wrong_answer()) };
        let untrusted = |reason| Error::Untrusted { name: name.clone(), reason };
        let (person, learned) = learn(name, known, &keys, visit.now())?.map_err(untrusted)?;
        if !learned.more {
            return Ok(person);
        }
        if learned.manifests == 0 {
            return Err(Error::Connect("the server has more to show, but shows nothing".to_owned()));
        }
        known = Some(person);
    }
}

type Learnt = Result<(Person, crate::pins::Learned), crate::pins::PinError>;

fn learn(name: &Username, known: Option<Person>, keys: &Keys, now: u64) -> Result<Learnt, Error> {
    if keys.username != *name {
        return Err(Error::Connect("the server answered for another name than was asked for".to_owned()));
    }
    Ok(match known {
        None => Person::first(keys, now),
        Some(mut person) => person.learn(keys, now).map(|learned| (person, learned)),
    })
}

/// Signs the next list of devices, has the server take it, and believes it. On a connection that is logged in.
pub(crate) async fn change(
    visit: &mut Visit,
    profile: &mut Profile,
    person: &mut Person,
    change: &Change,
) -> Result<(), Error> {
    let identity = identity(profile)?;
    let name = person.chain().username().clone();
    for _ in 0..ATTEMPTS {
        let next = next_manifest(&mut UnwrapErr(SysRng), person.chain(), &identity, change, visit.now());
        let next = next.map_err(EnrolError::from)?;
        let devices = Devices { username: None, manifest: manifest_to_frame(&next) };
        match visit.ask(Request::Devices(Box::new(devices))).await? {
            ServerFrame::Devices(_) => {
                person.extend(next).map_err(DevicesError::from).map_err(EnrolError::from)?;
                return Ok(profile.store_person(person)?);
            }
            ServerFrame::Error(error) if error.code == ErrorCode::ManifestConflict => {
                *person = ask(visit, &name, Some(person.clone())).await?;
                profile.store_person(person)?;
            }
            ServerFrame::Error(error) => return Err(Error::of_entry(*error)),
            _ => return Err(wrong_answer()),
        }
    }
    Err(EnrolError::Busy.into())
}

/// Continues a chain by the links that came with a `manifest_conflict`: there is at least one, or the server knows less
/// than this device.
pub(crate) fn catch_up(chain: &mut Chain, links: Option<&[ManifestFrame]>) -> Result<(), EnrolError> {
    let before = chain.newest().version;
    for frame in links.unwrap_or_default() {
        let signed = manifest_from_frame(frame).map_err(DevicesError::from)?;
        chain.extend(signed).map_err(DevicesError::from)?;
    }
    if chain.newest().version > before { Ok(()) } else { Err(DevicesError::GoneBack.into()) }
}
