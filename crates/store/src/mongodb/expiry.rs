//! Mail that nobody has fetched in time, and the notices of it, as documents.

use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc, oid::ObjectId};
use mongodb::error::Result;
use mongodb::options::{Hint, ReadConcern};
use sealwire_protocol::{DeviceId, MessageId};

use super::accounts::raw;
use super::mailboxes::{counted, missed_update};
use super::schema::{Collections, of_device};
use super::transaction::{Work, transact};
use super::value::{Fields, binary, copies, copy, device, devices, ordered};
use crate::{EXPIRY_REACH, Expired, MailKey, NOTICE_LIFE, News, Notice};

/// Conditions in one query.
const CHUNK: usize = 100;

/// A copy to take out.
struct Due {
    key: MailKey,
    device: DeviceId,
    own: bool,
}

/// What a call has done.
#[derive(Default)]
pub(super) struct Sweep {
    pub(super) expired: Expired,
    /// Whose mailboxes have changed.
    pub(super) devices: Vec<DeviceId>,
}

/// Takes out copies that were accepted before `before`, and drops notices that are too old. A call with nothing to do writes
/// nothing.
pub(super) async fn expire(on: &Collections, before: u64, limit: usize) -> Result<Sweep> {
    let old = old_notices(before);
    if limit == 0 || (on.notices.find_one(old).await?.is_none() && !is_anything_due(on, before).await?) {
        return Ok(Sweep::default());
    }
    transact(on, &Expiry { before, limit }).await
}

struct Expiry {
    before: u64,
    limit: usize,
}

#[async_trait]
impl Work for Expiry {
    type Output = Sweep;

    async fn run(&self, on: &Collections, session: &mut ClientSession) -> Result<Sweep> {
        // Sweeps of several nodes go one after the other: of two at once, each would see the copy that the other one takes,
        // and neither the last one go.
        on.meta.update_one(doc! { "_id": "expiry" }, doc! { "$inc": { "runs": 1_i64 } }).session(&mut *session).await?;
        drop_old_notices(on, session, self.before, self.limit).await?;
        let due = due(on, session, self.before, self.limit).await?;
        take_out(on, session, &due).await?;
        let notices = notices_of(on, session, &due).await?;
        keep(on, session, &notices, self.before).await?;
        let devices = due.iter().map(|copy| copy.device).collect();
        Ok(Sweep { expired: Expired { copies: due.len(), notices }, devices })
    }
}

/// In the order in which the primary holds them, which is that of their arrival (of their copying, on a member that was
/// made from another one); so there is no index of ages that every append would have to keep up.
pub(super) fn in_order_of_arrival() -> Hint {
    Hint::Keys(doc! { "$natural": 1 })
}

fn what_tells_age() -> Document {
    doc! { "own": 1, "accepted_at": 1 }
}

async fn is_anything_due(on: &Collections, before: u64) -> Result<bool> {
    let find = on.mail.find(doc! {}).hint(in_order_of_arrival()).projection(what_tells_age());
    let mut cursor = find.limit(EXPIRY_REACH as i64).await?;
    while cursor.advance().await? {
        if Fields(cursor.current()).number("accepted_at")? < before {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn due(on: &Collections, session: &mut ClientSession, before: u64, limit: usize) -> Result<Vec<Due>> {
    let find = on.mail.find(doc! {}).hint(in_order_of_arrival()).projection(what_tells_age());
    let mut cursor = find.session(&mut *session).await?;
    let (mut due, mut passed) = (Vec::new(), 0);
    while due.len() < limit && passed < EXPIRY_REACH && cursor.advance(session).await? {
        let found = cursor.current();
        if Fields(found).number("accepted_at")? < before {
            due.push(read_due(found)?);
        } else {
            passed += 1;
        }
    }
    Ok(due)
}

fn read_due(found: &RawDocument) -> Result<Due> {
    let (key, device) = Fields(found).copy("_id")?;
    Ok(Due { key, device, own: Fields(found).flag("own")? })
}

async fn take_out(on: &Collections, session: &mut ClientSession, due: &[Due]) -> Result<()> {
    if due.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = due.iter().map(|gone| copy(&gone.key, &gone.device)).collect();
    on.mail.delete_many(doc! { "_id": { "$in": names } }).session(&mut *session).await?;
    for (id, copies) in counted(due.iter().map(|gone| &gone.device)) {
        let (filter, update) = missed_update(&id, copies);
        on.devices.update_one(filter, update).upsert(true).session(&mut *session).await?;
    }
    Ok(())
}

/// The messages whose last copy for the addressee was among these, each once, but for those that a removed device has sent.
async fn notices_of(on: &Collections, session: &mut ClientSession, gone: &[Due]) -> Result<Vec<Notice>> {
    let mut asked = HashSet::new();
    let keys: Vec<_> = gone.iter().filter(|copy| !copy.own && asked.insert(copy.key)).map(|copy| copy.key).collect();
    let mut notices = Vec::new();
    for keys in keys.chunks(CHUNK) {
        let held = held_for_addressee(on, session, keys).await?;
        let removed = removed_senders(on, session, keys).await?;
        let wanted = keys.iter().filter(|key| !held.contains(key) && !removed.contains(&key.from_device));
        notices.extend(wanted.map(|key| Notice { device: key.from_device, message_id: key.message_id }));
    }
    Ok(notices)
}

async fn held_for_addressee(
    on: &Collections,
    session: &mut ClientSession,
    keys: &[MailKey],
) -> Result<HashSet<MailKey>> {
    let ranges = keys.iter().map(|key| {
        let (first, last) = copies(key);
        doc! { "_id": { "$gte": first, "$lte": last }, "own": false }
    });
    let find = on.mail.find(doc! { "$or": ranges.collect::<Vec<_>>() }).projection(doc! { "_id": 1 });
    let mut cursor = find.session(&mut *session).await?;
    let mut held = HashSet::new();
    while cursor.advance(session).await? {
        held.insert(Fields(cursor.current()).copy("_id")?.0);
    }
    Ok(held)
}

async fn removed_senders(on: &Collections, session: &mut ClientSession, keys: &[MailKey]) -> Result<HashSet<DeviceId>> {
    let senders: HashSet<_> = keys.iter().map(|key| key.from_device).collect();
    let filter = doc! { "_id": { "$in": devices(&senders) }, "removed": true };
    let mut cursor = on.devices.find(filter).projection(doc! { "_id": 1 }).session(&mut *session).await?;
    let mut removed = HashSet::new();
    while cursor.advance(session).await? {
        removed.insert(Fields(cursor.current()).device("_id")?);
    }
    Ok(removed)
}

/// One that is there already moves to the end: it is made anew, and generated ids rise.
async fn keep(on: &Collections, session: &mut ClientSession, notices: &[Notice], made_at: u64) -> Result<()> {
    for notices in notices.chunks(CHUNK) {
        let same = notices.iter().map(notice_document).collect::<Vec<_>>();
        on.notices.delete_many(doc! { "$or": same }).session(&mut *session).await?;
        let documents = notices.iter().map(|notice| whole_document(notice, made_at));
        let documents = documents.collect::<Result<Vec<_>>>()?;
        on.notices.insert_many(documents).session(&mut *session).await?;
    }
    Ok(())
}

/// A notice as it is kept.
pub(super) fn whole_document(notice: &Notice, made_at: u64) -> Result<RawDocumentBuf> {
    let mut document = notice_document(notice);
    document.insert("_id", ObjectId::new());
    document.insert("made_at", ordered(made_at));
    raw(&document)
}

fn notice_document(notice: &Notice) -> Document {
    doc! { "device": device(&notice.device), "message": binary(*notice.message_id.as_bytes()) }
}

fn old_notices(before: u64) -> Document {
    doc! { "made_at": { "$lt": ordered(before.saturating_sub(NOTICE_LIFE)) } }
}

async fn drop_old_notices(on: &Collections, session: &mut ClientSession, before: u64, limit: usize) -> Result<()> {
    let find = on.notices.find(old_notices(before)).sort(doc! { "made_at": 1 }).projection(doc! { "_id": 1 });
    let mut cursor = find.limit(ordered(limit as u64)).session(&mut *session).await?;
    let mut old: Vec<Bson> = Vec::new();
    while cursor.advance(session).await? {
        old.extend(cursor.current().get_object_id("_id").map(Bson::ObjectId));
    }
    if !old.is_empty() {
        on.notices.delete_many(doc! { "_id": { "$in": old } }).session(&mut *session).await?;
    }
    Ok(())
}

/// What a device is to be told, as of one moment (snapshot).
pub(super) async fn news(on: &Collections, of: &DeviceId, limit: usize) -> Result<News> {
    let mut session = on.client.start_session().snapshot(true).await?;
    let counted = on.devices.find_one(doc! { "_id": device(of) }).read_concern(ReadConcern::snapshot());
    let counted = counted.session(&mut session).await?;
    let mut news = News::default();
    if let Some(fields) = counted.as_deref().map(Fields)
        && fields.has("missed")?
    {
        news.missed = fields.number("missed")?;
    }
    if limit == 0 {
        return Ok(news);
    }
    let find = on.notices.find(doc! { "device": device(of) }).sort(doc! { "_id": 1 }).hint(Hint::Keys(of_device()));
    let find = find.read_concern(ReadConcern::snapshot()).limit(ordered(limit as u64));
    let mut cursor = find.session(&mut session).await?;
    while cursor.advance(&mut session).await? {
        news.notices.push(Fields(cursor.current()).message("message")?);
    }
    Ok(news)
}

/// Takes what a device has been told off its count.
pub(super) async fn forget_missed(on: &Collections, of: &DeviceId, count: u64) -> Result<()> {
    let left = doc! { "$max": [0_i64, { "$subtract": ["$missed", ordered(count)] }] };
    let filter = doc! { "_id": device(of), "missed": { "$gt": 0_i64 } };
    on.devices.update_one(filter, vec![doc! { "$set": { "missed": left } }]).await.map(drop)
}

/// Drops notices; one that is not there is no error.
pub(super) async fn forget_notices(on: &Collections, of: &DeviceId, messages: &[MessageId]) -> Result<()> {
    let messages: Vec<_> = messages.iter().map(|message| binary(*message.as_bytes())).collect();
    on.notices.delete_many(doc! { "device": device(of), "message": { "$in": messages } }).await.map(drop)
}
