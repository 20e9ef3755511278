//! Mail as documents.

use std::collections::{BTreeMap, HashMap, HashSet};

use mongodb::bson::{Binary, Document, RawDocument, RawDocumentBuf, doc, rawdoc};
use mongodb::error::{Error, ErrorKind, Result};
use mongodb::options::Hint;
use sealwire_protocol::DeviceId;

use super::error::is_duplicate_code;
use super::schema::{self, Collections};
use super::value::{Fields, Malformed, binary, bits, copies, copy, device, device_id, devices, ordered};
use crate::counters::Count;
use crate::{Appended, Batch, Front, Held, Mail, MailKey, Place, Removal};

/// Executes a batch. No transaction: each copy is one document, and on an error nothing is promised of any.
///
/// Appends and removals go together where none of them is for the same copy, so a batch costs one round to the majority.
pub(super) async fn execute(on: &Collections, batch: &Batch) -> Result<Vec<Appended>> {
    let appended: HashSet<_> = batch.appends.iter().map(|mail| (mail.device, mail.key)).collect();
    let apart = batch.removals.iter().all(|removal| !appended.contains(&(removal.device, removal.key)));
    let (appended, ()) = if apart {
        let (appended, removed) = tokio::join!(append(on, &batch.appends), remove(on, &batch.removals));
        (appended?, removed?)
    } else {
        (append(on, &batch.appends).await?, remove(on, &batch.removals).await?)
    };
    miss(on, &batch.missed).await?;
    Ok(appended)
}

/// One insert, in order: whoever sees a copy sees those before it in the batch. It ends at a copy that is refused; the server
/// is then asked for all of the rest that it holds, so that a batch of repeats costs a few rounds and not one for each.
async fn append(on: &Collections, mail: &[Mail]) -> Result<Vec<Appended>> {
    let mut outcomes = vec![Appended::Failed; mail.len()];
    let mut rest: Vec<usize> = (0..mail.len()).filter(|n| mail[*n].order <= Mail::MAX_ORDER).collect();
    while !rest.is_empty() {
        let documents: Vec<_> = rest.iter().map(|n| document(&mail[*n])).collect();
        let refused = match on.mail.insert_many(documents).ordered(true).await {
            Ok(_) => None,
            Err(error) => Some(refused(error)?),
        };
        let stored = refused.map_or(rest.len(), |(index, _)| index);
        rest.drain(..stored.min(rest.len())).for_each(|n| outcomes[n] = Appended::Stored);
        if let Some((_, duplicate)) = refused
            && let Some(first) = rest.first().copied()
        {
            if duplicate {
                repeats(on, mail, &mut rest, &mut outcomes).await?;
            }
            // Not a repeat, or one of a copy that is gone meanwhile: it is not known to be held.
            rest.retain(|n| *n != first);
        }
    }
    Ok(outcomes)
}

/// The first document that the server has refused, and whether because it holds it. An error of the write concern is one of
/// all.
fn refused(error: Error) -> Result<(usize, bool)> {
    let first = match &*error.kind {
        ErrorKind::InsertMany(many) if many.write_concern_error.is_none() => {
            many.write_errors.as_deref().unwrap_or_default().first()
        }
        _ => None,
    };
    let Some((index, code)) = first.map(|first| (first.index, first.code)) else { return Err(error) };
    if !is_duplicate_code(code) {
        tracing::warn!(code, "one append of a batch failed");
    }
    Ok((index, is_duplicate_code(code)))
}

/// Takes those out that are held, each under the lowest order that it came with. The insert was acknowledged by a majority,
/// its refusal included, so that what it met is held by one too; the read of the majority's data shows it.
async fn repeats(on: &Collections, mail: &[Mail], rest: &mut Vec<usize>, outcomes: &mut [Appended]) -> Result<()> {
    let names: Vec<_> = rest.iter().map(|n| copy(&mail[*n].key, &mail[*n].device)).collect();
    let find = on.mail.find(doc! { "_id": { "$in": names } });
    let mut cursor = find.projection(doc! { "header": 1, "content": 1, "ord": 1 }).await?;
    let mut held = HashMap::new();
    while cursor.advance().await? {
        let fields = Fields(cursor.current());
        let (key, device) = fields.copy("_id")?;
        held.insert((device, key), (fields.fingerprint()?, fields.number("ord")?));
    }
    for n in std::mem::take(rest) {
        let Some((fingerprint, order)) = held.get(&(mail[n].device, mail[n].key)) else {
            rest.push(n);
            continue;
        };
        outcomes[n] = Appended::Repeat(*fingerprint);
        if mail[n].order < *order {
            let lower = doc! { "$min": { "ord": ordered(mail[n].order) } };
            on.mail.update_one(doc! { "_id": copy(&mail[n].key, &mail[n].device) }, lower).await?;
        }
    }
    Ok(())
}

pub(super) fn document(mail: &Mail) -> RawDocumentBuf {
    rawdoc! {
        "_id": copy(&mail.key, &mail.device),
        "device": device(&mail.device),
        "ord": ordered(mail.order),
        "from": mail.from.as_str(),
        "own": mail.own,
        "size": ordered(mail.size() as u64),
        "accepted_at": ordered(mail.accepted_at),
        "header": bits(mail.fingerprint.header),
        "content": bits(mail.fingerprint.content),
        "wrap": binary(mail.wrap.as_ref()),
        "shared": binary(mail.shared.as_ref()),
    }
}

pub(super) fn read(found: &RawDocument) -> Result<Mail> {
    let fields = Fields(found);
    let (key, device) = fields.copy("_id")?;
    Ok(Mail {
        device,
        key,
        from: fields.username("from")?,
        own: fields.flag("own")?,
        order: fields.number("ord")?,
        accepted_at: fields.number("accepted_at")?,
        fingerprint: fields.fingerprint()?,
        shared: fields.bytes("shared")?,
        wrap: fields.bytes("wrap")?,
    })
}

async fn remove(on: &Collections, removals: &[Removal]) -> Result<()> {
    if removals.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = removals.iter().map(|removal| copy(&removal.key, &removal.device)).collect();
    let gone = doc! { "_id": { "$in": names } };
    // The driver repeats a write by itself only where it is of one document; this one may be done twice.
    if on.mail.delete_many(gone.clone()).await.is_err() {
        on.mail.delete_many(gone).await?;
    }
    Ok(())
}

/// Counts copies that devices have lost.
async fn miss(on: &Collections, devices: &[DeviceId]) -> Result<()> {
    for (id, copies) in counted(devices) {
        let (filter, update) = missed_update(&id, copies);
        on.devices.update_one(filter, update).upsert(true).await?;
    }
    Ok(())
}

/// How often each is there.
pub(super) fn counted<'a>(devices: impl IntoIterator<Item = &'a DeviceId>) -> BTreeMap<DeviceId, i64> {
    let mut counts = BTreeMap::new();
    for id in devices {
        *counts.entry(*id).or_default() += 1;
    }
    counts
}

/// A removed device misses nothing: nobody will ask. The filter names the document and no more, so two first counts at once
/// are one insert and one update.
pub(super) fn missed_update(id: &DeviceId, copies: i64) -> (Document, Vec<Document>) {
    let missed = doc! { "$add": [{ "$ifNull": ["$missed", 0_i64] }, copies] };
    let update = doc! { "$set": { "missed": { "$cond": ["$removed", "$$REMOVE", missed] } } };
    (doc! { "_id": device(id) }, vec![update])
}

/// Reads the front of a mailbox. Mail in flight is passed over by the index, which is ordered like the mailbox.
pub(super) async fn front(
    on: &Collections,
    of: &DeviceId,
    except: &HashSet<MailKey>,
    max_messages: usize,
    max_bytes: usize,
) -> Result<Front> {
    let excepted: Vec<Binary> = except.iter().map(|key| copy(key, of)).collect();
    let filter = doc! { "device": device(of), "_id": { "$nin": excepted } };
    let find = on.mail.find(filter).sort(doc! { "ord": 1, "_id": 1 }).hint(Hint::Keys(schema::front()));
    let mut cursor = find.limit(ordered(max_messages.saturating_add(1) as u64)).await?;
    let (mut front, mut bytes) = (Front::default(), 0);
    while cursor.advance().await? {
        if front.mail.len() >= max_messages || (bytes >= max_bytes && !front.mail.is_empty()) {
            front.more = true;
            break;
        }
        let mail = read(cursor.current())?;
        bytes += mail.size();
        front.mail.push(mail);
    }
    Ok(front)
}

/// The copies of one message.
pub(super) async fn find(on: &Collections, key: &MailKey) -> Result<Vec<Held>> {
    let (first, last) = copies(key);
    let find = on.mail.find(doc! { "_id": { "$gte": first, "$lte": last } });
    let mut cursor = find.projection(doc! { "header": 1, "content": 1 }).await?;
    let mut held = Vec::new();
    while cursor.advance().await? {
        let fields = Fields(cursor.current());
        held.push(Held { device: fields.copy("_id")?.1, fingerprint: fields.fingerprint()? });
    }
    Ok(held)
}

/// Counts a mailbox through, in the index alone.
pub(super) async fn count<S>(on: &Collections, of: &DeviceId, stamp: S) -> Result<Count<S>> {
    let pipeline = [
        doc! { "$match": { "device": device(of) } },
        doc! { "$group": {
            "_id": { "from": "$from", "own": "$own" },
            "messages": { "$sum": 1_i64 },
            "bytes": { "$sum": "$size" },
        } },
    ];
    let mut cursor = on.mail.aggregate(pipeline).hint(Hint::Keys(schema::front())).await?;
    let mut count = Count::new(stamp);
    while cursor.advance().await? {
        let fields = Fields(cursor.current());
        let who = fields.part("_id")?;
        let place = Place { messages: fields.number("messages")?, bytes: fields.number("bytes")? };
        count.add(who.username("from")?, who.flag("own")?, place);
    }
    Ok(count)
}

/// Devices in one question: the answer must fit into one document.
const ASKED: usize = 10_000;

/// Which of these devices have mail: the index of fronts is hopped through, whatever the mailboxes hold.
pub(super) async fn with_mail(on: &Collections, asked: &[DeviceId]) -> Result<Vec<DeviceId>> {
    let mut found = HashSet::new();
    for asked in asked.chunks(ASKED) {
        let with_mail = on.mail.distinct("device", doc! { "device": { "$in": devices(asked) } }).await?;
        for id in with_mail {
            found.insert(device_id(&id)?);
        }
    }
    Ok(found.into_iter().collect())
}

/// The primary's clock.
pub(super) async fn time(on: &Collections) -> Result<u64> {
    let hello = on.database.run_command(doc! { "hello": 1 }).await?;
    let time = hello.get_datetime("localTime").ok().and_then(|time| u64::try_from(time.timestamp_millis()).ok());
    time.ok_or_else(|| Error::custom(Malformed("localTime")))
}

/// The highest order of any mailbox, or 0.
pub(super) async fn highest_order(on: &Collections) -> Result<u64> {
    let highest = on.mail.find_one(doc! {}).sort(doc! { "ord": -1 }).projection(doc! { "ord": 1, "_id": 0 }).await?;
    highest.map_or(Ok(0), |found| Fields(&found).number("ord"))
}
