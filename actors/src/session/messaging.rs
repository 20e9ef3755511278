//! What a session does with a message: admits it, gives it its ordering key, sends its copies on their way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use sealwire_bus::SharedRate;
use sealwire_protocol::frames::{ClientFrame, Delivery, ErrorFrame, Message, Request, Shared};
use sealwire_protocol::{DeviceId, ErrorCode, MessageId, Username};
use sealwire_store::{Fingerprint, Mail, MailKey, StoreError, Usage};
use twox_hash::XxHash3_64;

use super::Session;
use super::admission::{self, Admission, Copy, Facts, Need, View};
use super::inbox::{Parcel, Reply};
use super::login;
use super::sending::Repeat;
use super::socket::SessionContext;
use super::state::Stage;
use crate::metrics::{Limit, Stored};
use crate::node::Node;
use crate::router::Routed;
use crate::settings::Limits;
use crate::spool::Miss;

/// How long a message waits for a session to take what waits for it: it does so in its next turn.
const ROOM: Duration = Duration::from_secs(2);

/// What is known with what was found out; `None` when the sender's own account is gone: its sessions are about to end.
type Found = Result<Option<Facts>, StoreError>;

/// Decides on an envelope by what is known so far and does what follows, or says what must be known first.
type Decide = fn(&mut Session, &Message<'_>, Option<&String>, &mut Facts) -> Option<Need>;

impl Session {
    /// Decides on an envelope once all is known that this needs. What is at hand is known at once.
    pub(super) fn consider(
        &mut self,
        text: &ByteString,
        message: &Message<'_>,
        id: Option<String>,
        mut facts: Facts,
        decide: Decide,
        ctx: &mut SessionContext,
    ) {
        while let Some(need) = decide(self, message, id.as_ref(), &mut facts) {
            let Some(mut finding) = self.find_out(need, message, facts) else { return };
            let message_id = message.message_id;
            let Some(found) = (&mut finding).now_or_never() else {
                let text = text.clone();
                return self.look_up(finding, ctx, move |session, found, ctx| {
                    let Some(facts) = session.found(found, id.as_ref(), message_id) else { return };
                    match ClientFrame::parse(&text).map(|frame| frame.request) {
                        Ok(Request::Message(message) | Request::Signal(message)) => {
                            session.consider(&text, &message, id, facts, decide, ctx);
                        }
                        _ => tracing::error!("a message that was read once could not be read again"),
                    }
                });
            };
            match self.found(found, id.as_ref(), message_id) {
                Some(found) => facts = found,
                None => return,
            }
        }
    }

    /// Decides on a message.
    pub(super) fn message(&mut self, message: &Message<'_>, id: Option<&String>, facts: &mut Facts) -> Option<Need> {
        let now = self.now();
        let about = |error: ErrorFrame| ErrorFrame { id: id.cloned(), message_id: Some(message.message_id), ..error };
        if let Err(what) = message.check_shape() {
            self.refuse(about(ErrorFrame::new(ErrorCode::BadRequest, what)));
            return None;
        }
        let session = self.authenticated()?;
        let counted = std::mem::replace(&mut facts.counted, true);
        let share = if counted { Ok(()) } else { session.quota.lock().message(now) };
        if let Err(after) = share {
            self.too_many_messages(after, about);
            return None;
        }
        let fingerprint = *facts.fingerprint.get_or_insert_with(|| fingerprint(message));
        match session.sending.repeat(&message.message_id, fingerprint) {
            Repeat::No => {}
            Repeat::Undecided => return None,
            Repeat::Decided(status) => {
                session.statuses.push(message.message_id, status);
                return None;
            }
            Repeat::Conflict => {
                let code = ErrorCode::DuplicateConflict;
                self.refuse(about(ErrorFrame::new(code, code.meaning())));
                return None;
            }
        }
        match (self.node.link.is_some() && self.node.settings.limits.messages_per_minute > 0, facts.shared) {
            (true, None) => return Some(Need::Share),
            (true, Some(Err(after))) => {
                self.too_many_messages(after, about);
                return None;
            }
            _ => {}
        }
        let need = self.unknown_places(message, facts).or_else(|| self.first_contact(message, facts));
        if let Some(need) = need.or_else(|| self.full_inbox(message).filter(|_| !facts.no_room)) {
            return Some(need);
        }
        let session = self.authenticated()?;
        if facts.no_room || !session.sending.has_room() {
            let error = ErrorFrame::new(ErrorCode::ServerBusy, "too many messages of this connection are undecided");
            self.refuse(about(ErrorFrame { retry_after_ms: Some(1_000), ..error }));
            return None;
        }
        let refusal = match self.decide(message, facts, now.wall, admission::admit) {
            Admission::Accept { to, copies } => self.accept(message, &to, &copies, fingerprint, now.wall).err(),
            Admission::Refuse(error) => Some(*error),
            Admission::Need(need) => return Some(need),
        };
        if let Some(error) = refusal {
            self.refuse(about(error));
        }
        None
    }

    fn too_many_messages(&mut self, after: u64, about: impl Fn(ErrorFrame) -> ErrorFrame) {
        let error = about(ErrorFrame::new(ErrorCode::RateLimited, "too many messages in a minute"));
        self.rate_limited(error, after, Limit::Messages);
    }

    /// The devices of which it is not known at which node they are, to be asked for once.
    pub(super) fn unknown_places(&self, message: &Message<'_>, facts: &Facts) -> Option<Need> {
        let link = self.node.link.as_ref().filter(|_| !facts.placed)?;
        let elsewhere = |device: &DeviceId| !self.node.directory.is_connected(device) && link.is_unknown(device);
        let devices: Vec<DeviceId> = message.recipients.iter().map(|recipient| recipient.d).filter(elsewhere).collect();
        (!devices.is_empty()).then_some(Need::Places(devices))
    }

    /// The devices to which this connection has not sent before. A node that is cut off from the others stores and says
    /// `queued`, but can tell nobody; a sender that comes from there must not get ahead of what it has left there.
    fn first_contact(&self, message: &Message<'_>, facts: &Facts) -> Option<Need> {
        let Stage::Authenticated(session) = &self.stage else { return None };
        if self.node.link.is_none() || facts.told {
            return None;
        }
        let devices = message.recipients.iter().map(|recipient| recipient.d);
        let new: Vec<DeviceId> = devices.filter(|device| !session.contacts.contains(device)).collect();
        (!new.is_empty()).then_some(Need::Told(new))
    }

    /// A device here whose session has not taken yet what waits for it, in a cluster.
    fn full_inbox(&self, message: &Message<'_>) -> Option<Need> {
        self.node.link.as_ref()?;
        let full = |device: &DeviceId| self.node.directory.find(device).is_some_and(|inbox| !inbox.has_room());
        message.recipients.iter().map(|recipient| recipient.d).find(full).map(Need::Room)
    }

    /// Decides on an envelope by what is at hand.
    pub(super) fn decide(
        &self,
        message: &Message<'_>,
        facts: &mut Facts,
        now: u64,
        decide: impl Fn(&Message<'_>, &Facts, &View<'_>) -> Admission,
    ) -> Admission {
        let Stage::Authenticated(session) = &self.stage else { return Admission::Need(Need::Held) };
        let roster = &self.node.roster;
        if facts.addressee.is_none() {
            facts.addressee = roster.at_hand(&message.to).map(Some);
        }
        if facts.sender.is_none() {
            facts.sender = roster.at_hand(session.username.as_str());
        }
        let directory = &self.node.directory;
        let view = View {
            username: &session.username,
            device: session.device,
            now,
            limits: &self.node.settings.limits,
            takes: &|device| match directory.find(device) {
                Some(inbox) => !inbox.is_draining(),
                None => self.node.link.as_ref().is_some_and(|link| link.takes(device)),
            },
            connected: &|device| self.node.is_connected(device),
        };
        decide(message, facts, &view)
    }

    /// Reads what the decision on an envelope needs.
    fn find_out(&self, need: Need, message: &Message<'_>, facts: Facts) -> Option<LocalBoxFuture<'static, Found>> {
        let Stage::Authenticated(session) = &self.stage else { return None };
        let (node, username) = (self.node.clone(), session.username.clone());
        let key = MailKey { from_device: session.device, message_id: message.message_id };
        let recipients: Vec<DeviceId> = match &need {
            Need::Held => message.recipients.iter().map(|recipient| recipient.d).collect(),
            _ => Vec::new(),
        };
        let is_addressee = matches!(&need, Need::Account(name) if name.as_str() == message.to);
        Some(Box::pin(async move {
            let found = find(&node, need, facts, &username, is_addressee, key, &recipients);
            login::in_time(&node, found).await
        }))
    }

    /// What was found out. Where that ends the matter, says so.
    fn found(&mut self, found: Found, id: Option<&String>, message_id: MessageId) -> Option<Facts> {
        let error = match found {
            Ok(Some(facts)) => return Some(facts),
            Ok(None) => ErrorFrame::new(ErrorCode::NotAuthenticated, "this account has been deleted"),
            Err(error) => login::store_unavailable(&error),
        };
        self.refuse(ErrorFrame { id: id.cloned(), message_id: Some(message_id), ..error });
        None
    }

    /// Takes a message: gives it its ordering key and sends its copies on their way.
    fn accept(
        &mut self,
        message: &Message<'_>,
        to: &Username,
        copies: &[Copy],
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<(), ErrorFrame> {
        let (node, inbox) = (&*self.node, &self.inbox);
        let Stage::Authenticated(session) = &mut self.stage else { return Ok(()) };
        let shared = Bytes::from(Shared::new(message, &session.username, &session.device, to).into_string());
        check_length(message, &shared, &node.settings.limits)?;
        let all = || message.recipients.iter().zip(message.wraps()).zip(copies);
        let sent = || all().filter(|(_, copy)| **copy != Copy::Leave);
        if node.link.is_some() {
            session.note_contacts(sent().map(|((recipient, _), _)| recipient.d));
        }
        let (mut count, mut beside) = (0, 0);
        for ((recipient, _), _) in sent() {
            beside |= u64::from(recipient.u != to.as_str()) << count;
            count += 1;
        }
        let ticket = session.sending.accept(message.message_id, fingerprint, count, beside, node.clock.micros());
        node.counts.accepted.add_one();
        let key = MailKey { from_device: session.device, message_id: message.message_id };
        let order = node.clock.next_order();
        for (index, ((recipient, wrap), copy)) in (0..).zip(sent()) {
            let device = recipient.d;
            let reply = Reply::Session { inbox: inbox.clone(), ticket, copy: index };
            if *copy == Copy::Miss {
                node.spool.miss(Miss { device, reply });
                continue;
            }
            let mail = Mail {
                device,
                key,
                from: session.username.clone(),
                own: recipient.u == session.username.as_str(),
                order,
                accepted_at: now,
                fingerprint,
                shared: shared.clone(),
                wrap: Bytes::copy_from_slice(wrap.as_str().as_bytes()),
            };
            let parcel = Parcel { mail: Arc::new(mail), reply };
            let routed = match session.sending.is_storing(&device) {
                true => node.router.store(parcel, Stored::Behind),
                false => node.router.route(parcel),
            };
            if routed == Routed::Stored {
                session.sending.storing(ticket, index, device);
            }
        }
        Ok(())
    }
}

/// A frame that a device could not read would cost it its connection.
pub(super) fn check_length(message: &Message<'_>, shared: &[u8], limits: &Limits) -> Result<(), ErrorFrame> {
    let longest = message.wraps().map(|wrap| wrap.as_str().len()).max().unwrap_or_default();
    if Delivery::max_len(longest, shared.len()) <= limits.frame_bytes {
        return Ok(());
    }
    let text = "the message would exceed a frame on its way to the device";
    Err(ErrorFrame::new(ErrorCode::TooLarge, text))
}

/// Tells a message from another one under the same id: a chain of hashes, each part seeded by those before it.
fn fingerprint(message: &Message<'_>) -> Fingerprint {
    let add = |hash: u64, part: &[u8]| XxHash3_64::oneshot_with_seed(hash, part);
    let mut header = add(message.timestamp, message.to.as_bytes());
    for recipient in &message.recipients {
        header = add(header, recipient.u.as_bytes());
        header = add(header, recipient.d.as_bytes());
        header = add(header, recipient.k.as_bytes());
    }
    let sealed = [&message.iv, &message.encrypted_message, &message.signature];
    let content = sealed.into_iter().chain(message.wraps()).fold(0, |hash, part| add(hash, part.as_str().as_bytes()));
    Fingerprint { header, content }
}

/// How full a mailbox is, with what is on its way into it. What is on its way is looked at first, so nothing is missed;
/// what was committed in between is counted twice, so a mailbox that seems full is looked at again when it has settled.
async fn usage(node: &Node, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
    loop {
        let decision = node.spool.next_decision();
        let pending = node.spool.pending(device, from);
        let full = |usage: &Usage| admission::is_full(usage, false, &node.settings.limits);
        let usage = node.store.usage(device, from).await? + pending;
        if !full(&usage) {
            return Ok(usage);
        }
        if pending.total.messages == 0 {
            // Other nodes may have emptied it.
            return node.store.recount(device, from).await;
        }
        decision.await;
    }
}

/// Counts a message over all nodes. While they cannot be asked, each counts for itself.
async fn share(node: &Node, username: &Username) -> Result<(), u64> {
    let limit = node.settings.limits.messages_per_minute;
    let rate = SharedRate { limit, period: Duration::from_secs(60) };
    match &node.link {
        Some(link) if limit > 0 && link.is_up() => {
            link.bus.count(&format!("messages:{username}"), rate).await.unwrap_or(Ok(()))
        }
        _ => Ok(()),
    }
}

/// Reads what is needed for a message of `username`. An account that is needed may be the addressee's; the recipients' devices
/// matter only where it is needed which of them hold the message.
async fn find(
    node: &Node,
    need: Need,
    mut facts: Facts,
    username: &Username,
    is_addressee: bool,
    key: MailKey,
    recipients: &[DeviceId],
) -> Found {
    match need {
        Need::Account(name) => {
            let account = node.roster.find(&name).await?;
            if name == *username && account.is_none() {
                return Ok(None);
            }
            if name == *username {
                facts.sender = account.clone();
            }
            if is_addressee {
                facts.addressee = Some(account);
            }
        }
        Need::Usage(device) => {
            facts.usage.insert(device, usage(node, &device, username).await?);
        }
        Need::Held => {
            let mut held: HashSet<DeviceId> = node.store.find(&key).await?.iter().map(|held| held.device).collect();
            let recent =
                |device: &&DeviceId| node.directory.find(device).is_some_and(|inbox| inbox.recents.lock().holds(&key));
            held.extend(recipients.iter().filter(recent));
            facts.held = Some(held);
        }
        Need::Places(devices) => {
            facts.placed = true;
            // Without an answer the store is the way.
            if let Some(link) = &node.link
                && let Err(error) = link.find(&devices).await
            {
                tracing::debug!(%error, "it is not known where devices are");
            }
        }
        Need::Told(devices) => {
            facts.told = true;
            let with_mail = node.store.with_mail(devices).await?;
            if let Some(link) = &node.link {
                with_mail.into_iter().for_each(|device| link.nudge_ahead(device));
            }
        }
        Need::Room(device) => {
            if let Some(inbox) = node.directory.find(&device) {
                facts.no_room = node.clock.within(ROOM, inbox.room()).await.is_none();
            }
        }
        Need::Share => facts.shared = Some(share(node, username).await),
    }
    Ok(Some(facts))
}
