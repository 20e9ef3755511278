//! Accounts and their devices as documents. An account is one document, so what changes in it changes at once.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc, serialize_to_raw_document_buf};
use mongodb::error::Result;
use sealwire_protocol::{DeviceId, Username};

use super::error::is_duplicate;
use super::schema::Collections;
use super::transaction::{Work, transact};
use super::value::{Fields, binary, bits, device, devices, ordered};
use crate::accounts::REPLACED_WRAP_LIFE;
use crate::{Account, Created, Device, ManifestRecord, NewAccount, WrapPut, WrapRecord};

/// An account as it lies in the database, deleted ones too.
pub(super) struct Found {
    pub(super) account: Account,
    /// Every device that it has ever listed.
    pub(super) ids: Vec<DeviceId>,
    pub(super) deleted: bool,
}

/// Writes a new account with all that belongs to it.
struct Creation<'a>(&'a NewAccount);

#[async_trait]
impl Work for Creation<'_> {
    type Output = ();

    async fn run(&self, on: &Collections, session: &mut ClientSession) -> Result<()> {
        let new = self.0;
        on.accounts.insert_one(raw(&account_document(new))?).session(&mut *session).await?;
        on.manifests.insert_one(raw(&link_document(&new.username, &new.manifest))?).session(&mut *session).await?;
        // It is there from the beginning, so that a backup can be put by changing one document that is there.
        on.backups.insert_one(raw(&doc! { "_id": new.username.as_str() })?).session(&mut *session).await?;
        Ok(())
    }
}

pub(super) async fn create(on: &Collections, new: &NewAccount) -> Result<Created> {
    let ids: BTreeSet<_> = new.devices.iter().map(|(id, _)| *id).collect();
    loop {
        if ids.len() == new.devices.len() {
            match transact(on, &Creation(new)).await {
                Ok(()) => return Ok(Created::Yes),
                Err(error) if is_duplicate(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // Names and ids are never free again, so it is not too late to look for what was in the way.
        if on.accounts.find_one(doc! { "_id": new.username.as_str() }).await?.is_some() {
            return Ok(Created::NameTaken);
        }
        let others = on.accounts.find_one(doc! { "ids": { "$in": devices(&ids) } }).await?.is_some();
        if others || ids.len() < new.devices.len() {
            return Ok(Created::DeviceTaken);
        }
        // The majority does not have it yet, so it may still vanish.
    }
}

fn account_document(new: &NewAccount) -> Document {
    let (registering, wrap) = &new.wrap;
    let documents = new.devices.iter().map(|(id, dsk)| {
        let registers = id == registering;
        device_document(&Device {
            id: *id,
            dsk: dsk.clone(),
            wrap: registers.then(|| wrap.clone()),
            replaced: Vec::new(),
            last_seen: if registers { new.created_at } else { 0 },
        })
    });
    doc! {
        "_id": new.username.as_str(),
        "aik": binary(new.aik.as_ref()),
        "created_at": ordered(new.created_at),
        "shares_presence": false,
        "manifest": manifest_document(&new.manifest),
        "devices": documents.collect::<Vec<_>>(),
        "ids": devices(new.devices.iter().map(|(id, _)| id)),
    }
}

pub(super) fn raw(document: &Document) -> Result<RawDocumentBuf> {
    Ok(serialize_to_raw_document_buf(document)?)
}

pub(super) fn manifest_document(manifest: &ManifestRecord) -> Document {
    doc! {
        "version": ordered(manifest.version),
        "hash": binary(manifest.hash),
        "document": binary(manifest.document.as_ref()),
    }
}

pub(super) fn link_document(username: &Username, manifest: &ManifestRecord) -> Document {
    let mut link = manifest_document(manifest);
    link.insert("account", username.as_str());
    link
}

pub(super) fn device_document(of: &Device) -> Document {
    let mut document = doc! {
        "id": device(&of.id),
        "dsk": binary(of.dsk.as_ref()),
        "replaced": replaced_array(&of.replaced),
        "last_seen": ordered(of.last_seen),
    };
    if let Some(wrap) = &of.wrap {
        document.insert("wrap", wrap_document(wrap));
    }
    document
}

fn wrap_document(wrap: &WrapRecord) -> Document {
    doc! { "seq": bits(wrap.seq), "kid": binary(wrap.kid.0), "document": binary(wrap.document.as_ref()) }
}

fn replaced_array(replaced: &[(sealwire_protocol::Kid, u64)]) -> Vec<Bson> {
    replaced.iter().map(|(kid, at)| doc! { "kid": binary(kid.0), "at": ordered(*at) }.into()).collect()
}

/// Reads what [`account_document`] has made.
pub(super) fn read(found: &RawDocument) -> Result<Found> {
    let fields = Fields(found);
    let mut devices = fields.parts("devices")?.into_iter().map(read_device).collect::<Result<Vec<_>>>()?;
    devices.sort_by_key(|device| device.id);
    let account = Account {
        username: fields.username("_id")?,
        aik: fields.bytes("aik")?,
        manifest: read_manifest(fields.part("manifest")?)?,
        devices,
        shares_presence: fields.flag("shares_presence")?,
    };
    Ok(Found { account, ids: fields.device_ids("ids")?, deleted: fields.has("deleted_at")? })
}

fn read_device(fields: Fields<'_>) -> Result<Device> {
    let replaced = fields.parts("replaced")?.into_iter().map(|old| Ok((old.kid("kid")?, old.number("at")?)));
    Ok(Device {
        id: fields.device("id")?,
        dsk: fields.bytes("dsk")?,
        wrap: fields.inner("wrap")?.map(read_wrap).transpose()?,
        replaced: replaced.collect::<Result<_>>()?,
        last_seen: fields.number("last_seen")?,
    })
}

fn read_wrap(fields: Fields<'_>) -> Result<WrapRecord> {
    Ok(WrapRecord { seq: fields.raw_number("seq")?, kid: fields.kid("kid")?, document: fields.bytes("document")? })
}

pub(super) fn read_manifest(fields: Fields<'_>) -> Result<ManifestRecord> {
    Ok(ManifestRecord {
        version: fields.number("version")?,
        hash: fields.array("hash")?,
        document: fields.bytes("document")?,
    })
}

/// The account, unless it is deleted.
pub(super) async fn find(on: &Collections, username: &Username) -> Result<Option<Account>> {
    let found = on.accounts.find_one(doc! { "_id": username.as_str() }).await?;
    let found = found.map(|found| read(&found)).transpose()?;
    Ok(found.filter(|found| !found.deleted).map(|found| found.account))
}

/// Links of a chain, oldest first. A deleted account has none left.
pub(super) async fn manifests(
    on: &Collections,
    username: &Username,
    since: u64,
    limit: usize,
) -> Result<Vec<ManifestRecord>> {
    let mut links = Vec::new();
    if limit == 0 {
        return Ok(links);
    }
    let filter = doc! { "account": username.as_str(), "version": { "$gt": ordered(since) } };
    let find = on.manifests.find(filter).sort(doc! { "version": 1 });
    let mut cursor = find.limit(ordered(limit as u64)).await?;
    while cursor.advance().await? {
        links.push(read_manifest(Fields(cursor.current()))?);
    }
    Ok(links)
}

pub(super) async fn share_presence(on: &Collections, username: &Username, shared: bool) -> Result<()> {
    let filter = doc! { "_id": username.as_str(), "deleted_at": { "$exists": false } };
    on.accounts.update_one(filter, doc! { "$set": { "shares_presence": shared } }).await.map(drop)
}

/// Moves the time of a device forward. The index of all ids ever given finds the account.
pub(super) async fn seen(on: &Collections, id: &DeviceId, at: u64) -> Result<()> {
    let update = doc! { "$max": { "devices.$[held].last_seen": ordered(at) } };
    let held = doc! { "held.id": device(id) };
    on.accounts.update_one(doc! { "ids": device(id) }, update).array_filters([held]).await.map(drop)
}

/// Gives a device a wrap key: compare and set on the one that it has, until nobody came between.
pub(super) async fn put_wrap(on: &Collections, id: &DeviceId, wrap: &WrapRecord, at: u64) -> Result<WrapPut> {
    loop {
        let found = on.accounts.find_one(doc! { "ids": device(id) }).await?;
        let found = found.map(|found| read(&found)).transpose()?;
        let Some(held) = found.and_then(|found| found.account.devices.into_iter().find(|held| held.id == *id)) else {
            return Ok(WrapPut::Unknown);
        };
        match &held.wrap {
            Some(newest) if (newest.seq, newest.kid) == (wrap.seq, wrap.kid) => return Ok(WrapPut::Repeat),
            Some(newest) if newest.seq >= wrap.seq => return Ok(WrapPut::Old),
            _ => {}
        }
        if replace_wrap(on, &held, wrap, at).await? {
            return Ok(WrapPut::Yes);
        }
    }
}

/// False when the device has another key than it had.
async fn replace_wrap(on: &Collections, held: &Device, wrap: &WrapRecord, at: u64) -> Result<bool> {
    let mut replaced = held.replaced.clone();
    replaced.splice(0..0, held.wrap.as_ref().map(|newest| (newest.kid, at)));
    replaced.retain(|(_, replaced_at)| *replaced_at >= at.saturating_sub(REPLACED_WRAP_LIFE));
    let unchanged = match &held.wrap {
        Some(newest) => doc! { "id": device(&held.id), "wrap.seq": bits(newest.seq), "wrap.kid": binary(newest.kid.0) },
        None => doc! { "id": device(&held.id), "wrap": { "$exists": false } },
    };
    let filter = doc! { "ids": device(&held.id), "devices": { "$elemMatch": unchanged } };
    // Not the positional `$`: the filter names two arrays, and it may mean the place in the other one.
    let update = doc! {
        "$set": { "devices.$[held].wrap": wrap_document(wrap), "devices.$[held].replaced": replaced_array(&replaced) },
        "$max": { "devices.$[held].last_seen": ordered(at) },
    };
    let the_device = doc! { "held.id": device(&held.id) };
    Ok(on.accounts.update_one(filter, update).array_filters([the_device]).await?.matched_count == 1)
}
