//! Sealed backups as documents: one for each account, so that a new backup and the one before change at once.

use mongodb::bson::{Document, doc};
use mongodb::error::Result;
use sealwire_protocol::Username;

use super::schema::Collections;
use super::value::{Fields, binary, ordered};
use crate::BackupRecord;

/// Where the newest one stands, and the one before.
const PLACES: [&str; 2] = ["newest", "before"];

/// Makes a backup the newest one. An account has its document from the beginning, so an unknown name changes nothing.
pub(super) async fn put(on: &Collections, username: &Username, new: &BackupRecord) -> Result<()> {
    let same = doc! { "$eq": ["$newest.id", binary(new.id)] };
    let none = doc! { "$eq": [{ "$type": "$newest" }, "missing"] };
    let replaced = doc! { "id": "$newest.id", "data": "$newest.data", "at": ordered(new.at) };
    let update = doc! { "$set": {
        "before": { "$cond": [{ "$or": [none, same] }, "$before", replaced] },
        "newest": { "$literal": document(new) },
    } };
    on.backups.update_one(doc! { "_id": username.as_str() }, vec![update]).await.map(drop)
}

/// An account's document.
pub(super) fn whole_document(username: &Username, backups: &[BackupRecord]) -> Document {
    let mut whole = doc! { "_id": username.as_str() };
    for (place, backup) in PLACES.into_iter().zip(backups) {
        whole.insert(place, document(backup));
    }
    whole
}

fn document(backup: &BackupRecord) -> Document {
    doc! { "id": binary(backup.id), "data": binary(backup.data.as_ref()), "at": ordered(backup.at) }
}

/// The backups of an account, newest first.
pub(super) async fn read(on: &Collections, username: &Username) -> Result<Vec<BackupRecord>> {
    let found = on.backups.find_one(doc! { "_id": username.as_str() }).await?;
    found.map_or(Ok(Vec::new()), |found| read_whole(Fields(&found)))
}

/// The backups that an account's document holds, newest first.
pub(super) fn read_whole(found: Fields<'_>) -> Result<Vec<BackupRecord>> {
    let mut backups = Vec::new();
    for place in PLACES {
        if let Some(fields) = found.inner(place)? {
            let record =
                BackupRecord { id: fields.array("id")?, data: fields.bytes("data")?, at: fields.number("at")? };
            backups.push(record);
        }
    }
    Ok(backups)
}

/// Erases what another one took the place of before `before`; says how many.
pub(super) async fn erase_replaced(on: &Collections, before: u64, limit: usize) -> Result<usize> {
    if limit == 0 {
        return Ok(0);
    }
    let due = || doc! { "before.at": { "$lt": ordered(before) } };
    let find = on.backups.find(due()).projection(doc! { "_id": 1 });
    let mut cursor = find.limit(ordered(limit as u64)).await?;
    let mut erased = 0;
    while cursor.advance().await? {
        let mut filter = due();
        filter.insert("_id", Fields(cursor.current()).username("_id")?.as_str());
        // Only if it is still the one: another node may have erased it, or another backup have taken its place.
        let gone = on.backups.update_one(filter, doc! { "$unset": { "before": "" } }).await?;
        erased += usize::from(gone.modified_count > 0);
    }
    Ok(erased)
}
