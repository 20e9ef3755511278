//! Filling an empty database with what another store held.
//!
//! A mark in `meta` comes first and goes last; while it is there no server uses the database. Whoever finds it and wants to fill the
//! database throws away what is there: nobody has been promised any of it.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::{RawDocumentBuf, doc, oid::ObjectId};
use mongodb::error::Result;

use super::accounts::{device_document, link_document, manifest_document, raw};
use super::export::MongoExport;
use super::schema::{self, Collections, import_mark};
use super::value::{binary, device, devices, ordered};
use super::{backups, error, expiry, in_time, mailboxes};
use crate::StoreError;
use crate::dump::{Export, Import, Piece, WholeAccount};

/// A database that is being filled.
pub(super) struct MongoImport {
    on: Collections,
    patience: Duration,
    /// Tells this import from a later one that took its place.
    run: ObjectId,
}

/// What goes into each collection.
#[derive(Default)]
struct Documents {
    accounts: Vec<RawDocumentBuf>,
    manifests: Vec<RawDocumentBuf>,
    backups: Vec<RawDocumentBuf>,
    devices: Vec<RawDocumentBuf>,
    notices: Vec<RawDocumentBuf>,
    mail: Vec<RawDocumentBuf>,
}

impl MongoImport {
    pub(super) async fn open(on: Collections, patience: Duration) -> std::result::Result<Self, StoreError> {
        let run = ObjectId::new();
        let left = in_time(patience, async { on.meta.find_one(import_mark()).await }).await?.is_some();
        if !left {
            schema::check_free(&on).await?;
        }
        in_time(patience, mark(&on, run)).await?;
        // A server that starts writes its version first and looks for the mark then; so one of the two sees the other.
        if !left && let Err(refused) = schema::check_free(&on).await {
            in_time(patience, async { on.meta.delete_one(import_mark()).await }).await?;
            return Err(refused);
        }
        in_time(patience, empty(&on)).await?;
        in_time(patience, schema::make(&on)).await?;
        Ok(Self { on, patience, run })
    }

    /// Refuses to go on when another import has begun after this one.
    async fn check_mark(&self) -> std::result::Result<(), StoreError> {
        let mut own = import_mark();
        own.insert("run", self.run);
        let found = in_time(self.patience, async { self.on.meta.find_one(own).await }).await?;
        found.map(drop).ok_or_else(overtaken)
    }
}

fn overtaken() -> StoreError {
    StoreError::Unavailable("another restore or migration into the same database has begun meanwhile".to_owned())
}

async fn mark(on: &Collections, run: ObjectId) -> Result<()> {
    on.meta.update_one(import_mark(), doc! { "$set": { "run": run } }).upsert(true).await.map(drop)
}

/// Takes away everything but the mark.
async fn empty(on: &Collections) -> Result<()> {
    for collection in [&on.accounts, &on.manifests, &on.backups, &on.devices, &on.notices, &on.mail] {
        collection.drop().await?;
    }
    on.meta.delete_many(doc! { "_id": { "$ne": "import" } }).await.map(drop)
}

#[async_trait]
impl Import for MongoImport {
    async fn put(&mut self, pieces: Vec<Piece>) -> std::result::Result<(), StoreError> {
        let mut documents = Documents::default();
        pieces.iter().try_for_each(|piece| documents.add(piece)).map_err(error::running)?;
        let on = &self.on;
        for (collection, documents) in [
            (&on.accounts, documents.accounts),
            (&on.manifests, documents.manifests),
            (&on.backups, documents.backups),
            (&on.devices, documents.devices),
            (&on.notices, documents.notices),
            (&on.mail, documents.mail),
        ] {
            in_time(self.patience, insert(collection, documents)).await?;
        }
        Ok(())
    }

    async fn read_back(&mut self) -> std::result::Result<Box<dyn Export>, StoreError> {
        self.check_mark().await?;
        Ok(Box::new(MongoExport::open(self.on.clone(), self.patience).await?))
    }

    async fn release(self: Box<Self>) -> std::result::Result<(), StoreError> {
        self.check_mark().await?;
        in_time(self.patience, schema::write_version(&self.on)).await?;
        let mut own = import_mark();
        own.insert("run", self.run);
        let removed = in_time(self.patience, async { self.on.meta.delete_one(own).await }).await?;
        if removed.deleted_count == 1 { Ok(()) } else { Err(overtaken()) }
    }
}

/// In order, which is that in which mail arrived.
async fn insert(collection: &Collection<RawDocumentBuf>, documents: Vec<RawDocumentBuf>) -> Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    collection.insert_many(documents).ordered(true).await.map(drop)
}

impl Documents {
    fn add(&mut self, piece: &Piece) -> Result<()> {
        match piece {
            Piece::Account(whole) => {
                self.accounts.push(raw(&account_document(whole))?);
                for id in &whole.removed {
                    self.devices.push(raw(&doc! { "_id": device(id), "removed": true })?);
                }
            }
            Piece::Link { username, link } => self.manifests.push(raw(&link_document(username, link))?),
            Piece::Backups { username, backups } => {
                self.backups.push(raw(&backups::whole_document(username, backups))?);
            }
            Piece::Missed { device: id, copies } => {
                self.devices.push(raw(&doc! { "_id": device(id), "missed": ordered(*copies) })?);
            }
            Piece::Notice { notice, made_at } => self.notices.push(expiry::whole_document(notice, *made_at)?),
            Piece::Mail(mail) => self.mail.push(mailboxes::document(mail)),
        }
        Ok(())
    }
}

fn account_document(whole: &WholeAccount) -> mongodb::bson::Document {
    let account = &whole.account;
    let ids = account.devices.iter().map(|listed| &listed.id).chain(&whole.removed);
    let mut document = doc! {
        "_id": account.username.as_str(),
        "aik": binary(account.aik.as_ref()),
        "created_at": ordered(whole.created_at),
        "shares_presence": account.shares_presence,
        "manifest": manifest_document(&account.manifest),
        "devices": account.devices.iter().map(device_document).collect::<Vec<_>>(),
        "ids": devices(ids),
    };
    if let Some(at) = whole.deleted_at {
        document.insert("deleted_at", ordered(at));
    }
    document
}
