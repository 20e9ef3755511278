//! The next link of a manifest chain, and what follows from it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::error::Result;
use sealwire_protocol::DeviceId;

use super::accounts::{self, Found, device_document, link_document, manifest_document, raw};
use super::error::is_duplicate;
use super::schema::Collections;
use super::transaction::{Work, transact};
use super::value::{binary, device, devices, ordered};
use crate::{Device, Extended, ManifestChange, ManifestRecord};

/// How often a change is looked at again that met another one in a unique index. The other one is committed then, and the
/// next look sees it.
const LOOKS: usize = 3;

pub(super) async fn extend(on: &Collections, change: &ManifestChange) -> Result<Extended> {
    let mut looks = LOOKS;
    loop {
        looks -= 1;
        match transact(on, &Extension(change)).await {
            Err(error) if is_duplicate(&error) && looks > 0 => {}
            outcome => return outcome,
        }
    }
}

struct Extension<'a>(&'a ManifestChange);

#[async_trait]
impl Work for Extension<'_> {
    type Output = Extended;

    async fn run(&self, on: &Collections, session: &mut ClientSession) -> Result<Extended> {
        let change = self.0;
        let found = on.accounts.find_one(doc! { "_id": change.username.as_str() }).session(&mut *session).await?;
        let Some(found) = found.map(|found| accounts::read(&found)).transpose()? else {
            return Ok(Extended::Unknown);
        };
        if let Some(refused) = refuse(on, session, change, &found).await? {
            return Ok(refused);
        }
        let listed: BTreeSet<_> = change.devices.iter().map(|(id, _)| *id).collect();
        let removed: Vec<_> =
            found.account.devices.iter().map(|held| held.id).filter(|id| !listed.contains(id)).collect();
        remove_devices(on, session, &removed).await?;
        if listed.is_empty() {
            delete(on, session, change).await?;
        } else {
            add_link(on, session, change, found.account.devices).await?;
        }
        Ok(Extended::Yes { removed })
    }
}

/// Why nothing is to be changed.
async fn refuse(
    on: &Collections,
    session: &mut ClientSession,
    change: &ManifestChange,
    found: &Found,
) -> Result<Option<Extended>> {
    let newest = &found.account.manifest;
    if found.deleted {
        let repeat = (newest.version, newest.hash) == (change.manifest.version, change.manifest.hash);
        return Ok(Some(if repeat { Extended::Repeat } else { Extended::Unknown }));
    }
    let link = doc! {
        "account": change.username.as_str(),
        "version": ordered(change.manifest.version),
        "hash": binary(change.manifest.hash),
    };
    if on.manifests.find_one(link).session(&mut *session).await?.is_some() {
        return Ok(Some(Extended::Repeat));
    }
    if newest.version + 1 != change.manifest.version || newest.hash != change.previous {
        return Ok(Some(Extended::Conflict));
    }
    Ok(lists_taken(on, session, change, found).await?.then_some(Extended::DeviceTaken))
}

async fn lists_taken(
    on: &Collections,
    session: &mut ClientSession,
    change: &ManifestChange,
    found: &Found,
) -> Result<bool> {
    let mut ids = BTreeSet::new();
    let twice = change.devices.iter().any(|(id, _)| !ids.insert(*id));
    let listed = |id: &DeviceId| found.account.devices.iter().any(|held| held.id == *id);
    if twice || ids.iter().any(|id| found.ids.contains(id) && !listed(id)) {
        return Ok(true);
    }
    let others = doc! { "ids": { "$in": devices(&ids) }, "_id": { "$ne": change.username.as_str() } };
    Ok(on.accounts.find_one(others).session(&mut *session).await?.is_some())
}

/// Mail that comes later is nobody's.
async fn remove_devices(on: &Collections, session: &mut ClientSession, removed: &[DeviceId]) -> Result<()> {
    if removed.is_empty() {
        return Ok(());
    }
    let theirs = || doc! { "device": { "$in": devices(removed) } };
    on.mail.delete_many(theirs()).session(&mut *session).await?;
    on.notices.delete_many(theirs()).session(&mut *session).await?;
    for id in removed {
        let gone = doc! { "$set": { "removed": true }, "$unset": { "missed": "" } };
        on.devices.update_one(doc! { "_id": device(id) }, gone).upsert(true).session(&mut *session).await?;
    }
    Ok(())
}

/// Leaves the name, the ids, and of the chain the version and hash of the last link.
async fn delete(on: &Collections, session: &mut ClientSession, change: &ManifestChange) -> Result<()> {
    let name = change.username.as_str();
    on.manifests.delete_many(doc! { "account": name }).session(&mut *session).await?;
    on.backups.delete_one(doc! { "_id": name }).session(&mut *session).await?;
    let last = ManifestRecord { document: bytes::Bytes::new(), ..change.manifest.clone() };
    let end = doc! { "$set": {
        "deleted_at": ordered(change.at),
        "aik": binary([]),
        "shares_presence": false,
        "manifest": manifest_document(&last),
        "devices": [],
    } };
    on.accounts.update_one(doc! { "_id": name }, end).session(&mut *session).await.map(drop)
}

/// The devices that stay keep what they have.
async fn add_link(
    on: &Collections,
    session: &mut ClientSession,
    change: &ManifestChange,
    before: Vec<Device>,
) -> Result<()> {
    let name = &change.username;
    on.manifests.insert_one(raw(&link_document(name, &change.manifest))?).session(&mut *session).await?;
    let documents: Vec<Document> = change
        .devices
        .iter()
        .map(|(id, dsk)| match before.iter().find(|held| held.id == *id) {
            Some(held) => device_document(held),
            None => {
                device_document(&Device { id: *id, dsk: dsk.clone(), wrap: None, replaced: Vec::new(), last_seen: 0 })
            }
        })
        .collect();
    let update = doc! {
        "$set": { "manifest": manifest_document(&change.manifest), "devices": documents },
        "$addToSet": { "ids": { "$each": devices(change.devices.iter().map(|(id, _)| id)) } },
    };
    on.accounts.update_one(doc! { "_id": name.as_str() }, update).session(&mut *session).await.map(drop)
}
