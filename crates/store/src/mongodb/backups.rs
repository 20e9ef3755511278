//! Sealed backups as documents: one for each account, so that a new backup and the one before change at once.

use mongodb::bson::{Document, doc};
use mongodb::error::Result;
use sealwire_protocol::Username;

use super::schema::Collections;
use super::value::{Fields, binary, ordered};
use crate::BackupRecord;

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

fn document(backup: &BackupRecord) -> Document {
    doc! { "id": binary(backup.id), "data": binary(backup.data.as_ref()), "at": ordered(backup.at) }
}

/// The backups of an account, newest first.
pub(super) async fn read(on: &Collections, username: &Username) -> Result<Vec<BackupRecord>> {
    let Some(found) = on.backups.find_one(doc! { "_id": username.as_str() }).await? else { return Ok(Vec::new()) };
    let mut backups = Vec::new();
    for place in ["newest", "before"] {
        if let Some(fields) = Fields(&found).inner(place)? {
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
