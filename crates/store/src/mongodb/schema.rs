//! The collections with their validators and indexes, and the version of it all.
//!
//! | collection | `_id` | one document for each |
//! | --- | --- | --- |
//! | `meta` | a name | `schema`: the version; `expiry`: written by each sweep, so that two do not run at once; `import`: there while the database is being filled |
//! | `accounts` | user name | account, with the newest link and its devices; stays when it is deleted, without keys |
//! | `manifests` | (generated) | link of a chain |
//! | `backups` | user name | account: its newest backup and the one before |
//! | `mail` | [copy](super::value::copy) | copy of a message |
//! | `devices` | device | device that has missed mail or was removed (which stays for ever) |
//! | `notices` | (generated) | message that has expired and of which its device has not been told |
//!
//! There is no TTL index: nothing of this may vanish in silence.

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::{Error, Result};
use mongodb::options::IndexOptions;
use mongodb::{Client, Collection, Database, IndexModel};

use super::error::{has_code, running};
use super::value::Fields;
use crate::StoreError;

/// The version that this program reads and writes.
pub(super) const VERSION: i64 = 1;

/// A collection of that name is there already.
const NAMESPACE_EXISTS: i32 = 48;

/// Handles on everything. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Collections {
    pub(super) client: Client,
    pub(super) database: Database,
    pub(super) meta: Collection<RawDocumentBuf>,
    pub(super) accounts: Collection<RawDocumentBuf>,
    pub(super) manifests: Collection<RawDocumentBuf>,
    pub(super) backups: Collection<RawDocumentBuf>,
    pub(super) mail: Collection<RawDocumentBuf>,
    pub(super) devices: Collection<RawDocumentBuf>,
    pub(super) notices: Collection<RawDocumentBuf>,
}

impl Collections {
    pub(super) fn of(client: Client, database: Database) -> Self {
        let of = |name| database.collection(name);
        Self {
            meta: of("meta"),
            accounts: of("accounts"),
            manifests: of("manifests"),
            backups: of("backups"),
            mail: of("mail"),
            devices: of("devices"),
            notices: of("notices"),
            client,
            database,
        }
    }
}

/// Makes what is missing. Several nodes may do so at once: each step finds done what another one has done.
pub(super) async fn prepare(on: &Collections) -> std::result::Result<(), StoreError> {
    refuse_unfinished(on).await?;
    check_version(on).await?;
    // An import writes its mark first and looks for a version then; so one of the two sees the other.
    refuse_unfinished(on).await?;
    make(on).await.map_err(running)?;
    on.meta
        .update_one(doc! { "_id": "expiry" }, doc! { "$setOnInsert": { "runs": 0_i64 } })
        .upsert(true)
        .await
        .map_err(running)?;
    Ok(())
}

/// Makes collections, validators and indexes where they are missing.
pub(super) async fn make(on: &Collections) -> Result<()> {
    for (name, schema) in validators() {
        make_collection(&on.database, name, schema).await?;
    }
    make_indexes(on).await
}

/// The mark of a database that is being filled, or was left half way.
pub(super) fn import_mark() -> Document {
    doc! { "_id": "import" }
}

async fn refuse_unfinished(on: &Collections) -> std::result::Result<(), StoreError> {
    if on.meta.find_one(import_mark()).await.map_err(running)?.is_none() {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "the database {:?} is being filled by `sealwire admin restore` or `migrate`, or was left half way. Wait for its end; if it \
         has failed, run it again, or drop the database",
        on.database.name(),
    )))
}

/// Refuses a database that does not hold a store of this version, and makes nothing.
pub(super) async fn check_whole(on: &Collections) -> std::result::Result<(), StoreError> {
    refuse_unfinished(on).await?;
    let version = read_version(on).await?;
    if version.is_none() {
        return Err(StoreError::Open(format!("the database {:?} holds no store of Sealwire", on.database.name())));
    }
    check_known(on, version)
}

/// Refuses a database that holds anything.
pub(super) async fn check_free(on: &Collections) -> std::result::Result<(), StoreError> {
    if read_version(on).await?.is_some() {
        return Err(StoreError::Open(format!(
            "the database {:?} holds a store already, and nothing was changed. Name another one in the path of the URL, or drop it; \
             a server must not have been started on it",
            on.database.name(),
        )));
    }
    refuse_foreign(on).await
}

async fn refuse_foreign(on: &Collections) -> std::result::Result<(), StoreError> {
    let others = on.database.list_collection_names().await.map_err(running)?;
    if others.iter().any(|name| name != "meta" && !name.starts_with("system.")) && read_version(on).await?.is_none() {
        return Err(StoreError::Open(format!(
            "the database {:?} holds collections and none of Sealwire's marks; name another one in the path of the URL",
            on.database.name(),
        )));
    }
    Ok(())
}

/// Marks a database as a store of this version.
pub(super) async fn write_version(on: &Collections) -> Result<()> {
    let written = on.meta.update_one(doc! { "_id": "schema" }, doc! { "$setOnInsert": { "version": VERSION } });
    written.upsert(true).await.map(drop)
}

/// The version is written first, so that a database without one is nobody's or somebody else's.
async fn check_version(on: &Collections) -> std::result::Result<(), StoreError> {
    if read_version(on).await?.is_none() {
        refuse_foreign(on).await?;
        write_version(on).await.map_err(running)?;
    }
    check_known(on, read_version(on).await?)
}

fn check_known(on: &Collections, version: Option<i64>) -> std::result::Result<(), StoreError> {
    match version {
        Some(version) if version == VERSION => Ok(()),
        Some(version) if version > VERSION => Err(StoreError::Open(format!(
            "the database {:?} was written by a newer version of Sealwire (schema {version}, this one knows {VERSION}); \
             install that version again, or restore a backup from before",
            on.database.name(),
        ))),
        _ => Err(StoreError::Damaged("the version in the collection \"meta\" is not one".to_owned())),
    }
}

async fn read_version(on: &Collections) -> std::result::Result<Option<i64>, StoreError> {
    let found = on.meta.find_one(doc! { "_id": "schema" }).await.map_err(running)?;
    let version = found.map(|found| Fields(&found).number("version")).transpose().map_err(running)?;
    Ok(version.map(super::value::ordered))
}

/// A collection that is there has its validator: it was made with it.
async fn make_collection(database: &Database, name: &str, schema: Document) -> Result<()> {
    match database.create_collection(name).validator(doc! { "$jsonSchema": schema }).await {
        Err(error) if has_code(&error, NAMESPACE_EXISTS) => Ok(()),
        made => made,
    }
}

/// What a document must have at least. It guards against other hands in the database, not against this program.
fn validators() -> [(&'static str, Document); 6] {
    let required = |fields: &[(&str, &str)]| {
        let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        let types: Document =
            fields.iter().map(|(name, kind)| ((*name).to_owned(), doc! { "bsonType": *kind }.into())).collect();
        doc! { "bsonType": "object", "required": names, "properties": types }
    };
    let (id, text, number) = ("binData", "string", "long");
    [
        (
            "accounts",
            required(&[
                ("_id", text),
                ("aik", id),
                ("created_at", number),
                ("shares_presence", "bool"),
                ("manifest", "object"),
                ("devices", "array"),
                ("ids", "array"),
            ]),
        ),
        ("manifests", required(&[("account", text), ("version", number), ("hash", id), ("document", id)])),
        ("backups", required(&[("_id", text)])),
        (
            "mail",
            required(&[
                ("_id", id),
                ("device", id),
                ("ord", number),
                ("from", text),
                ("own", "bool"),
                ("size", number),
                ("accepted_at", number),
                ("header", number),
                ("content", number),
                ("wrap", id),
                ("shared", id),
            ]),
        ),
        ("devices", required(&[("_id", id)])),
        ("notices", required(&[("device", id), ("message", id), ("made_at", number)])),
    ]
}

/// The index of the fronts of mailboxes. Queries name it: the planner, which tries plans on what happens to lie there, could
/// otherwise find that of `_id` good enough, and read the whole collection.
pub(super) fn front() -> Document {
    doc! { "device": 1, "ord": 1, "_id": 1, "from": 1, "own": 1, "size": 1 }
}

/// The index of the notices for a device; named for the same reason.
pub(super) fn of_device() -> Document {
    doc! { "device": 1, "message": 1 }
}

async fn make_indexes(on: &Collections) -> Result<()> {
    let plain = |keys: Document| IndexModel::builder().keys(keys).build();
    let unique = |keys| IndexModel::builder().keys(keys).options(IndexOptions::builder().unique(true).build()).build();
    let sparse = |keys| IndexModel::builder().keys(keys).options(IndexOptions::builder().sparse(true).build()).build();
    // Every id that an account has ever given: between accounts it is there once. Within one the program looks.
    on.accounts.create_index(unique(doc! { "ids": 1 })).await?;
    on.manifests.create_index(unique(doc! { "account": 1, "version": 1 })).await?;
    on.backups.create_index(sparse(doc! { "before.at": 1 })).await?;
    on.mail
        .create_indexes([
            // The front of a mailbox. It also holds what counting a mailbox through needs, so that this reads no document.
            plain(front()),
            // The highest order. New mail goes to its end, which costs least.
            plain(doc! { "ord": 1 }),
        ])
        .await?;
    on.notices.create_indexes([unique(of_device()), plain(doc! { "made_at": 1 })]).await?;
    Ok::<(), Error>(())
}
