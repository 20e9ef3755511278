//! Whether a message is taken (protocol section 6, "What the server checks of a message"): a pure decision over what is at
//! hand. What is not at hand is asked for, and the decision made again with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sealwire_protocol::frames::{DeviceWrap, ErrorFrame, Message, Recipient};
use sealwire_protocol::{DeviceId, ErrorCode, Username};
use sealwire_store::{Account, Device, Fingerprint, Usage};
use smallvec::SmallVec;

use crate::settings::Limits;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// How far back a timestamp may lie.
const OLDEST: u64 = 7 * DAY;
/// How far ahead a timestamp may lie.
const NEWEST: u64 = 5 * MINUTE;
/// How long a wrap key that was replaced still counts.
const REPLACED: u64 = 48 * HOUR;
/// How long a device stays in the lists without having been seen.
const AWAY: u64 = 45 * DAY;

/// Something that must be read before the decision can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// The account of this name.
    Account(Username),
    /// How full this mailbox is.
    Usage(DeviceId),
    /// Which recipients hold the message already.
    Held,
    /// At which nodes these devices are.
    Places(Vec<DeviceId>),
    /// Whether these devices know of all mail that waits for them.
    Told(Vec<DeviceId>),
    /// Room in the inbox of this device's session.
    Room(DeviceId),
    /// Whether the sender may send it, over all nodes.
    Share,
}

/// What has been read for a message so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    /// The message has been counted against its sender's share.
    pub(crate) counted: bool,
    /// Tells the message from another one under the same id; hashed once.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The message has been counted over all nodes; the time in milliseconds until one would be taken, if it was not.
    pub(crate) shared: Option<Result<(), u64>>,
    /// The places of the recipients' devices have been asked for.
    pub(crate) placed: bool,
    /// The recipients' devices know of all mail that was stored for them.
    pub(crate) told: bool,
    /// There was no room in an inbox for as long as was waited.
    pub(crate) no_room: bool,
    /// The addressee; `Some(None)` when nobody has the name.
    pub(crate) addressee: Option<Option<Arc<Account>>>,
    /// The sender.
    pub(crate) sender: Option<Arc<Account>>,
    /// How full mailboxes are.
    pub(crate) usage: HashMap<DeviceId, Usage>,
    /// The devices that hold the message, once looked up.
    pub(crate) held: Option<HashSet<DeviceId>>,
}

/// What the decision depends on besides the message.
pub(crate) struct View<'a> {
    pub(crate) username: &'a Username,
    pub(crate) device: DeviceId,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    pub(crate) limits: &'a Limits,
    /// Whether a device has a session that hands over rather than stores.
    pub(crate) takes: &'a dyn Fn(&DeviceId) -> bool,
    /// Whether a device has a session.
    pub(crate) connected: &'a dyn Fn(&DeviceId) -> bool,
}

/// What is done with the copy for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    /// It is routed.
    Route,
    /// Its mailbox is full, while others are not.
    Miss,
    /// The message was taken before; this recipient does not hold it.
    Leave,
}

/// What is done with the copies, in the order of `recipients`.
pub(crate) type Copies = SmallVec<[Copy; 16]>;

/// The decision.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Taken: what to do for each entry of `recipients`.
    Accept { to: Username, copies: Copies },
    /// Refused before anything was handed over.
    Refuse(Box<ErrorFrame>),
    /// To be decided again with more facts.
    Need(Need),
}

/// Decides. The message has its shape and has been counted.
pub(crate) fn admit(message: &Message<'_>, facts: &Facts, view: &View<'_>) -> Admission {
    check(message, facts, view).unwrap_or_else(|refusal| repeat_or(refusal, message, facts))
}

/// Decides on a signal: like [`admit`], but neither mailboxes nor repeats matter to what is never stored.
pub(crate) fn admit_signal(message: &Message<'_>, facts: &Facts, view: &View<'_>) -> Admission {
    check_addressee(message, facts, view).unwrap_or_else(Admission::Refuse)
}

fn refusal(code: ErrorCode, text: &str, message: &Message<'_>) -> Box<ErrorFrame> {
    Box::new(ErrorFrame { message_id: Some(message.message_id), ..ErrorFrame::new(code, text) })
}

/// Before it is refused, the id is looked up: a message that was taken is answered like the first time.
fn repeat_or(refusal: Box<ErrorFrame>, message: &Message<'_>, facts: &Facts) -> Admission {
    let Some(held) = &facts.held else { return Admission::Need(Need::Held) };
    let copies = message.recipients.iter().map(|r| if held.contains(&r.d) { Copy::Route } else { Copy::Leave });
    let copies: Copies = copies.collect();
    match message.to.parse() {
        Ok(to) if copies.contains(&Copy::Route) => Admission::Accept { to, copies },
        _ => Admission::Refuse(refusal),
    }
}

fn check(message: &Message<'_>, facts: &Facts, view: &View<'_>) -> Result<Admission, Box<ErrorFrame>> {
    match check_addressee(message, facts, view)? {
        Admission::Accept { to, .. } => check_mailboxes(message, to, facts, view),
        need => Ok(need),
    }
}

/// Timestamp, addressee and lists; what becomes of the copies is not decided yet.
fn check_addressee(message: &Message<'_>, facts: &Facts, view: &View<'_>) -> Result<Admission, Box<ErrorFrame>> {
    check_timestamp(message, view)?;
    let unknown = || refusal(ErrorCode::UnknownUser, "nobody has the name in `to`", message);
    let addressee = match &facts.addressee {
        None => return Ok(Admission::Need(Need::Account(message.to.parse().map_err(|_| unknown())?))),
        Some(Some(account)) if account.username.as_str() == message.to => account,
        Some(_) => return Err(unknown()),
    };
    let Some(sender) = &facts.sender else { return Ok(Admission::Need(Need::Account(view.username.clone()))) };
    check_lists(message, addressee, sender, view)?;
    Ok(Admission::Accept { to: addressee.username.clone(), copies: Copies::new() })
}

fn check_timestamp(message: &Message<'_>, view: &View<'_>) -> Result<(), Box<ErrorFrame>> {
    let range = view.now.saturating_sub(OLDEST)..=view.now.saturating_add(NEWEST);
    if range.contains(&message.timestamp) {
        return Ok(());
    }
    let text = "`timestamp` must lie from 7 days back to 5 minutes ahead of the server's clock";
    Err(refusal(ErrorCode::TimestampOutOfRange, text, message))
}

/// The devices of an account that can receive now, in the order of their ids.
pub(crate) fn receiving<'a>(
    account: &'a Account,
    now: u64,
    connected: &'a dyn Fn(&DeviceId) -> bool,
) -> impl Iterator<Item = &'a Device> {
    let here = move |device: &&Device| device.last_seen.saturating_add(AWAY) >= now || connected(&device.id);
    account.devices.iter().filter(|device| device.wrap.is_some()).filter(here)
}

/// The devices that a message must be sealed for, in the order that `recipients` must have.
fn expected<'a>(
    addressee: &'a Account,
    sender: &'a Account,
    view: &'a View<'_>,
) -> SmallVec<[(&'a Username, &'a Device); 8]> {
    let of = |account: &'a Account| {
        receiving(account, view.now, view.connected)
            .filter(|device| device.id != view.device)
            .map(move |device| (&account.username, device))
    };
    let mut all: SmallVec<[_; 8]> = of(addressee).collect();
    if addressee.username != sender.username {
        all.extend(of(sender));
        all.sort_by(|(a, x), (b, y)| (a.as_str(), x.id).cmp(&(b.as_str(), y.id)));
    }
    all
}

fn check_lists(
    message: &Message<'_>,
    addressee: &Account,
    sender: &Account,
    view: &View<'_>,
) -> Result<(), Box<ErrorFrame>> {
    let expected = expected(addressee, sender, view);
    let same = |(recipient, (username, device)): (&Recipient<'_>, &(&Username, &Device))| {
        recipient.u == username.as_str() && recipient.d == device.id && is_current(recipient, device, view.now)
    };
    if message.recipients.len() == expected.len() && message.recipients.iter().zip(&expected).all(same) {
        return Ok(());
    }
    let text = "`recipients` are not the present devices and keys of both sides; `devices` lists them";
    let mut stale = refusal(ErrorCode::StaleDevices, text, message);
    let lists = [addressee, sender].map(|account| (account.username.clone(), device_wraps(account, view)));
    stale.devices = Some(BTreeMap::from(lists));
    Err(stale)
}

fn is_current(recipient: &Recipient<'_>, device: &Device, now: u64) -> bool {
    let newest = device.wrap.as_ref().is_some_and(|wrap| wrap.kid == recipient.k);
    let recent = |(kid, at): &(_, u64)| *kid == recipient.k && at.saturating_add(REPLACED) > now;
    newest || device.replaced.iter().any(recent)
}

fn device_wraps(account: &Account, view: &View<'_>) -> Vec<DeviceWrap> {
    receiving(account, view.now, view.connected).filter_map(device_wrap).collect()
}

/// A device with its certificate as the wire has it.
pub(crate) fn device_wrap(device: &Device) -> Option<DeviceWrap> {
    let document = &device.wrap.as_ref()?.document;
    match serde_json::from_slice(document) {
        Ok(wrap) => Some(DeviceWrap { id: device.id, wrap }),
        Err(error) => {
            tracing::error!(%error, "the store holds a wrap certificate that cannot be read");
            None
        }
    }
}

fn check_mailboxes(
    message: &Message<'_>,
    to: Username,
    facts: &Facts,
    view: &View<'_>,
) -> Result<Admission, Box<ErrorFrame>> {
    let mut copies = Copies::new();
    let mut taken = false;
    for recipient in &message.recipients {
        let own = recipient.u == view.username.as_str();
        let full = if (view.takes)(&recipient.d) {
            false
        } else {
            match facts.usage.get(&recipient.d) {
                Some(usage) => is_full(usage, own, view.limits),
                None => return Ok(Admission::Need(Need::Usage(recipient.d))),
            }
        };
        taken |= !full && recipient.u == to.as_str();
        copies.push(if full { Copy::Miss } else { Copy::Route });
    }
    if taken {
        return Ok(Admission::Accept { to, copies });
    }
    Err(refusal(ErrorCode::MailboxFull, "no device of the addressee can take the message: mailbox full", message))
}

/// Whether a mailbox takes no more from this sender; `own` copies do not count to a sender's share.
pub(crate) fn is_full(usage: &Usage, own: bool, limits: &Limits) -> bool {
    usage.total.messages >= limits.mailbox_messages
        || usage.total.bytes >= limits.mailbox_bytes
        || (!own && usage.from_sender.messages >= limits.mailbox_messages_per_sender)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
