//! What this node does with the frames of others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sealwire_bus::NodeId;
use sealwire_bus::frames::{self, Frame};
use sealwire_protocol::{DeviceId, Username};

use super::link::{Link, News};
use super::wire;
use crate::session::{Event, Inbox, Parcel, Reply, Signal, Verdict};

/// How long a connection may take to let go before nobody waits for it any more.
const LETTING_GO: Duration = Duration::from_secs(10);

/// Whom this node does not take copies from.
#[derive(Default)]
struct Hearing {
    /// Nodes of which something is missing, until they say that they have given up what they sent before.
    refusing: Mutex<HashMap<NodeId, u64>>,
    last_token: Mutex<u64>,
}

impl Hearing {
    /// Something of this node is missing: what comes behind it is refused until it has given that up.
    fn refuse(&self, from: NodeId) {
        let mut last = self.last_token.lock();
        *last += 1;
        self.refusing.lock().insert(from, *last);
    }

    fn refuses(&self, from: NodeId) -> Option<u64> {
        self.refusing.lock().get(&from).copied()
    }

    fn resume(&self, from: NodeId, token: u64) {
        let mut refusing = self.refusing.lock();
        if refusing.get(&from) == Some(&token) {
            refusing.remove(&from);
        }
    }

    /// A node is gone.
    fn forget(&self, node: NodeId) {
        self.refusing.lock().remove(&node);
    }
}

/// Another node waits for the outcome of a copy.
pub(crate) struct Waiting {
    link: Arc<Link>,
    from: NodeId,
    id: u64,
}

impl Waiting {
    /// Tells it.
    pub(crate) fn send(&self, verdict: Verdict) {
        self.link.send(self.from, &Frame::Outcome { id: self.id, verdict: wire::verdict(verdict) });
    }
}

/// What is said of people, or of the other node itself: for this node as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// An account has changed.
    Changed(Username),
    /// Somebody can be seen at the node that says it, or no more.
    Presence(Username, bool),
    /// The node that says it has stored all that it held, and ends.
    Leaving,
}

/// Hears other nodes.
#[derive(Clone)]
pub(crate) struct Hearer {
    link: Arc<Link>,
    hearing: Arc<Hearing>,
}

impl Hearer {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link, hearing: Arc::default() }
    }

    /// Something that a node has sent is missing. It may have been a nudge, or a copy that what follows would overtake.
    pub(crate) fn missing(&self, from: NodeId) {
        self.hearing.refuse(from);
        self.link.directory.nudge_all();
    }

    /// A node is gone.
    pub(super) fn forget(&self, node: NodeId) {
        self.hearing.forget(node);
    }

    /// Handles a frame; gives back what is said of people, or of the node.
    pub(crate) fn hear(&self, from: NodeId, bytes: &Bytes) -> Option<Said> {
        match Frame::from_bytes(bytes) {
            Ok(Frame::Changed { username }) => return Some(Said::Changed(username)),
            Ok(Frame::Presence { username, online }) => return Some(Said::Presence(username, online)),
            Ok(Frame::Leaving) => return Some(Said::Leaving),
            Ok(frame) => self.handle(from, frame),
            Err(error) => tracing::warn!(%from, %error, "a frame of another node was passed over"),
        }
        None
    }

    fn handle(&self, from: NodeId, frame: Frame) {
        match frame {
            Frame::Parcel { id, connection, copy } => self.parcel(from, id, connection, *copy),
            Frame::Outcome { id, verdict } => self.outcome(from, id, verdict),
            Frame::Resume { token } => self.hearing.resume(from, token),
            Frame::Nudge { id, device } => {
                if let Some(session) = self.link.directory.find(&device) {
                    session.nudge();
                }
                self.link.send(from, &Frame::Nudged { id });
            }
            Frame::Nudged { id } => _ = self.link.answered(id),
            Frame::TakeOver { id, device, connection } => self.let_go(from, id, device, connection),
            Frame::LetGo { id } => self.has_let_go(id),
            Frame::Delivered { device, message_id } => self.tell(&device, News::Delivered(message_id)),
            Frame::Expired { device, message_id } => self.tell(&device, News::Expired(message_id)),
            Frame::Signal { device, shared, wrap } => {
                if let Some(session) = self.link.directory.find(&device) {
                    session.signal(Signal { shared, wrap });
                }
            }
            Frame::Tick | Frame::Leaving | Frame::Changed { .. } | Frame::Presence { .. } => {}
        }
    }

    fn parcel(&self, from: NodeId, id: u64, connection: u64, copy: frames::Copy) {
        let say = |verdict| _ = self.link.send(from, &Frame::Outcome { id, verdict });
        if let Some(token) = self.hearing.refuses(from) {
            return say(frames::Verdict::Refused { token });
        }
        let mail = wire::mail(copy);
        if !mail.is_text() {
            tracing::error!("another node sent a message that is no text; it is left to that node");
            return say(frames::Verdict::NotHere);
        }
        let Some(session) = self.link.directory.find_connection(&mail.device, connection) else {
            return say(frames::Verdict::NotHere);
        };
        let reply = Reply::Node(Arc::new(Waiting { link: self.link.clone(), from, id }));
        // Bounded by what that node lets be on its way to one device: only it can store what is too much in its order.
        if !session.push(Parcel { mail: Arc::new(mail), reply }).is_taken() {
            say(frames::Verdict::NotHere);
        }
    }

    fn outcome(&self, from: NodeId, id: u64, verdict: frames::Verdict) {
        if let frames::Verdict::Refused { token } = verdict {
            // All that is on its way there, not this one alone: it may lack what came before.
            self.link.give_up(|place| place.node == from);
            self.link.send(from, &Frame::Resume { token });
        }
        self.link.outcome(id, wire::outcome(verdict));
    }

    fn let_go(&self, from: NodeId, id: u64, device: DeviceId, connection: u64) {
        let session: Option<Arc<Inbox>> = self.link.directory.find_connection(&device, connection);
        let Some(session) = session else {
            self.link.send(from, &Frame::LetGo { id });
            return;
        };
        session.tell(Event::Replaced);
        let link = self.link.clone();
        self.link.runtime.spawn(async move {
            if tokio::time::timeout(LETTING_GO, session.gone.wait()).await.is_ok() {
                link.send(from, &Frame::LetGo { id });
            }
        });
    }

    /// The answer may come after this node has stopped waiting and begun to read: then there is more to read, here or wherever
    /// the device has gone since.
    fn has_let_go(&self, id: u64) {
        if let Some(device) = self.link.answered(id) {
            self.link.nudge_wherever(device);
        }
    }

    fn tell(&self, device: &DeviceId, news: News) {
        if let Some(session) = self.link.directory.find(device) {
            session.tell(news.event());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(3);

    #[test]
    fn a_node_is_refused_until_it_has_given_up_what_came_before() {
        let hearing = Hearing::default();
        assert_eq!(hearing.refuses(NODE), None);
        hearing.refuse(NODE);
        let first = hearing.refuses(NODE).expect("it is refused");
        hearing.refuse(NODE);
        hearing.resume(NODE, first);
        let second = hearing.refuses(NODE).expect("more is missing than it has given up");
        assert!(second > first && hearing.refuses(NodeId(4)).is_none());
        hearing.resume(NODE, second);
        assert_eq!(hearing.refuses(NODE), None);
    }
}
