//! This node's end of the link to the others: copies on their way there, where devices are, and questions that wait for an
//! answer. Whatever it does not know it leaves to the store, which is the truth.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sealwire_bus::frames::Frame;
use sealwire_bus::{Bus, BusError, NodeId, Place};
use sealwire_protocol::DeviceId;
use smallvec::smallvec;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::lease::Lease;
use super::leaving::Left;
use super::people::People;
use super::silence::Heard;
use super::streams::{Act, Outcome, Streams};
use super::wire;
use crate::clock::Clock;
use crate::metrics::{Counter, Stored};
use crate::presence::Directory;
use crate::session::{Event, Parcel, Reply, Verdict};
use crate::spool::{Append, SpoolQueue};

/// How long a copy waits for its outcome before it is stored here.
pub(crate) const OUTCOME: Duration = Duration::from_secs(2);
/// How long a place is believed. A wrong one costs one `not here`.
const PLACE: u64 = 30_000;
/// How long it is believed that a device is nowhere: what comes meanwhile goes through the store.
const NO_PLACE: u64 = 1_000;
/// How many places are kept at hand, of about 100 bytes each.
const PLACES: usize = 100_000;
/// How long a question waits for its answer before it is repeated.
const QUESTION: Duration = Duration::from_secs(1);
/// How often a connection is asked to let go. A node enters its connections again every 30 s, and finds those then that were
/// replaced.
const TAKE_OVERS: usize = 30;
/// How many questions may wait for an answer.
const QUESTIONS: usize = 65_536;
/// How long a question whose answer is late is remembered, in milliseconds.
const LATE: u64 = 60_000;

/// What is known of where a device is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) place: Option<Place>,
    /// On the monotonic clock.
    at: u64,
    /// Its session has stored the last copy that it was sent.
    draining: bool,
}

pub(super) struct Question {
    device: DeviceId,
    /// Who is asked.
    pub(super) node: NodeId,
    /// On the monotonic clock.
    at: u64,
    answered: oneshot::Sender<()>,
}

/// This node's end of the link.
pub(crate) struct Link {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) lease: Lease,
    pub(crate) people: People,
    /// How often frames of another node were missing.
    pub(super) gaps: Counter,
    pub(crate) runtime: Handle,
    pub(super) clock: Arc<Clock>,
    pub(super) directory: Arc<Directory>,
    pub(super) spool: Arc<SpoolQueue>,
    streams: Mutex<Streams>,
    /// There may be streams.
    streaming: AtomicBool,
    /// Devices of which a copy that was to be stored is decided.
    stored: Mutex<Vec<DeviceId>>,
    pub(super) places: Cache<DeviceId, Known>,
    /// Nodes that have said good-bye.
    pub(super) left: Mutex<Left>,
    pub(super) questions: Mutex<HashMap<u64, Question>>,
    last_question: AtomicU64,
    /// Devices whose nudge is being repeated.
    repeating: Mutex<HashSet<DeviceId>>,
    pub(super) peers: Mutex<Arc<[NodeId]>>,
    /// When each other node was heard last.
    pub(super) heard: Mutex<Heard>,
    /// This node has said good-bye itself.
    pub(super) leaving: AtomicBool,
    /// Stored copies whose device is being looked for.
    pub(super) settling: AtomicUsize,
    /// The node counted for the others when that was last looked at.
    counted: AtomicBool,
}

impl Link {
    pub(crate) fn new(
        bus: Arc<dyn Bus>,
        clock: Arc<Clock>,
        directory: Arc<Directory>,
        spool: Arc<SpoolQueue>,
        runtime: Handle,
    ) -> Self {
        Self {
            bus,
            lease: Lease::default(),
            people: People::default(),
            gaps: Counter::default(),
            runtime,
            clock,
            directory,
            spool,
            streams: Mutex::default(),
            streaming: AtomicBool::new(false),
            stored: Mutex::default(),
            places: Cache::new(PLACES),
            left: Mutex::default(),
            questions: Mutex::default(),
            last_question: AtomicU64::new(0),
            repeating: Mutex::default(),
            peers: Mutex::new(Arc::default()),
            heard: Mutex::default(),
            leaving: AtomicBool::new(false),
            settling: AtomicUsize::new(0),
            counted: AtomicBool::new(false),
        }
    }

    pub(super) fn mono(&self) -> u64 {
        self.clock.now().mono
    }

    /// Whether this node counts for the others, so that what they store for its devices is told to it.
    pub(crate) fn is_up(&self) -> bool {
        self.lease.is_held(self.clock.now())
    }

    /// It counts from here on.
    pub(crate) fn note_up(&self) {
        self.counted.store(true, Ordering::Release);
    }

    /// Whether it counted until now; once it was asked for, it did not.
    pub(crate) fn was_up(&self) -> bool {
        self.counted.swap(false, Ordering::AcqRel)
    }

    /// How often this node has lost its lease.
    pub(crate) fn losses(&self) -> u64 {
        self.lease.losses(self.clock.now())
    }

    /// Sends a frame; false when it cannot go.
    pub(crate) fn send(&self, to: NodeId, frame: &Frame) -> bool {
        self.bus.send(to, frame.to_bytes())
    }

    /// The other nodes that live, as of the last renewal.
    pub(crate) fn peers(&self) -> Arc<[NodeId]> {
        self.peers.lock().clone()
    }

    /// A node that was heard of lives, also if the last renewal did not show it yet; unless it has said good-bye.
    pub(crate) fn note_peer(&self, node: NodeId) {
        if self.left.lock().has(node) {
            return;
        }
        self.heard.lock().note(node, self.mono());
        let mut peers = self.peers.lock();
        if !peers.contains(&node) {
            *peers = peers.iter().copied().chain([node]).collect();
        }
    }

    /// Notes which nodes live. Gives those that do no more.
    pub(crate) fn set_peers(&self, peers: Vec<NodeId>) -> Vec<NodeId> {
        let before = std::mem::replace(&mut *self.peers.lock(), peers.clone().into());
        before.iter().filter(|node| !peers.contains(node)).copied().collect()
    }

    /// Sends a frame to every node that lives. It may be lost.
    pub(crate) fn broadcast(&self, frame: &Frame) {
        let bytes = frame.to_bytes();
        self.peers().iter().for_each(|peer| _ = self.bus.send(*peer, bytes.clone()));
    }
}

/// Where devices are.
impl Link {
    fn known(&self, device: &DeviceId) -> Option<Known> {
        let known = self.places.get(device)?;
        let life = if known.place.is_some() { PLACE } else { NO_PLACE };
        (self.mono() < known.at.saturating_add(life)).then_some(known)
    }

    /// Where a device is, as far as is known without asking; never this node.
    pub(crate) fn place(&self, device: &DeviceId) -> Option<Place> {
        self.known(device)?.place.filter(|place| self.is_elsewhere(Some(*place)))
    }

    fn is_elsewhere(&self, place: Option<Place>) -> bool {
        place.is_some_and(|place| place.node != self.bus.node())
    }

    /// Whether a device is at another node and its session hands over rather than stores, as far as is known.
    pub(crate) fn takes(&self, device: &DeviceId) -> bool {
        self.known(device).is_some_and(|known| !known.draining && self.is_elsewhere(known.place))
    }

    /// Whether it must be asked where a device is. Of no use while this node does not count itself.
    pub(crate) fn is_unknown(&self, device: &DeviceId) -> bool {
        self.known(device).is_none() && self.is_up()
    }

    /// Asks where devices are, past what is known.
    pub(crate) async fn find(&self, devices: &[DeviceId]) -> Result<Vec<Option<Place>>, BusError> {
        let at = self.mono();
        let mut places = self.bus.find(devices).await?;
        // Until the bus has heard of it too, what a node has entered that is gone would cost a time-out.
        let left = self.left.lock();
        places.iter_mut().for_each(|place| *place = place.filter(|place| !left.has(place.node)));
        for (device, place) in devices.iter().zip(&places) {
            let draining = self.places.get(device).is_some_and(|known| known.draining && known.place == *place);
            self.places.insert(*device, Known { place: *place, at, draining });
        }
        Ok(places)
    }

    fn note_draining(&self, device: &DeviceId, draining: bool) {
        if let Some(known) = self.places.get(device)
            && known.draining != draining
        {
            self.places.insert(*device, Known { draining, ..known });
        }
    }

    /// What is known of these is wrong.
    pub(crate) fn forget_places(&self, devices: &[DeviceId]) {
        devices.iter().for_each(|device| _ = self.places.remove(device));
    }
}

/// Copies on their way to other nodes.
impl Link {
    /// Does something with the streams, and what follows from it under the same lock: what is to be stored reaches the spool in
    /// the order of the stream.
    fn with_streams<T>(self: &Arc<Self>, act: impl FnOnce(&mut Streams, &mut Vec<Act>) -> T) -> T {
        let mut streams = self.streams.lock();
        let mut acts = Vec::new();
        let done = act(&mut streams, &mut acts);
        self.perform(&mut streams, acts);
        self.note_stored(&mut streams);
        self.streaming.store(!streams.is_empty(), Ordering::Release);
        drop(streams);
        // What was decided while the lock was held has left this to us.
        self.tidy();
        done
    }

    fn perform(self: &Arc<Self>, streams: &mut Streams, acts: Vec<Act>) {
        let mut acts = std::collections::VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Send { id, place, parcel } => {
                    let copy = Box::new(wire::copy(&parcel.mail));
                    let frame = Frame::Parcel { id, connection: place.connection, copy };
                    if !self.send(place.node, &frame) {
                        let mut more = Vec::new();
                        streams.outcome(id, Outcome::NotTaken, &mut more);
                        acts.extend(more);
                    }
                }
                Act::Store(Parcel { mail, reply }) => {
                    let stream = Reply::Stream { link: self.clone(), device: mail.device };
                    let (replies, cause) = (smallvec![reply, stream], Stored::Elsewhere);
                    self.spool.append(Append { mail, replies, by: None, departure: None, cause });
                }
                Act::Tell(reply, verdict) => reply.send(verdict),
            }
        }
    }

    fn note_stored(&self, streams: &mut Streams) {
        loop {
            let stored = std::mem::take(&mut *self.stored.lock());
            if stored.is_empty() {
                return;
            }
            stored.iter().for_each(|device| streams.stored(device));
        }
    }

    /// A copy of a stream is decided. The streams may be locked by whoever tells it, on this very thread.
    pub(crate) fn stored(&self, device: DeviceId) {
        self.stored.lock().push(device);
        self.tidy();
    }

    fn tidy(&self) {
        while !self.stored.lock().is_empty() {
            // Whoever holds the lock looks here again after letting go of it.
            let Some(mut streams) = self.streams.try_lock() else { return };
            self.note_stored(&mut streams);
            self.streaming.store(!streams.is_empty(), Ordering::Release);
        }
    }

    /// Takes a copy whose device has a stream; false when it has none.
    pub(crate) fn follow(self: &Arc<Self>, parcel: &Parcel) -> bool {
        self.streaming.load(Ordering::Acquire) && self.push(parcel, None)
    }

    /// Takes a copy for a device that is known to be at another node; false when it is not.
    pub(crate) fn start(self: &Arc<Self>, parcel: &Parcel) -> bool {
        let place = self.place(&parcel.mail.device).filter(|_| self.is_up());
        place.is_some() && self.push(parcel, place)
    }

    fn push(self: &Arc<Self>, parcel: &Parcel, place: Option<Place>) -> bool {
        let now = self.mono();
        self.with_streams(|streams, acts| streams.push(parcel, place, now).map(|more| acts.extend(more)).is_some())
    }

    /// Another node has said what became of a copy.
    pub(crate) fn outcome(self: &Arc<Self>, id: u64, outcome: Outcome) {
        let device = self.with_streams(|streams, acts| streams.outcome(id, outcome, acts));
        let Some(device) = device else { return };
        match outcome {
            Outcome::NotTaken => self.forget_places(&[device]),
            Outcome::Decided(verdict) => self.note_draining(&device, verdict == Verdict::Stored),
        }
    }

    /// Nothing more goes to these places; what was on its way there is stored here.
    pub(crate) fn give_up(self: &Arc<Self>, is_like: impl Fn(&Place) -> bool) {
        let devices = self.with_streams(|streams, acts| streams.give_up(is_like, acts));
        self.forget_places(&devices);
    }

    /// What has waited for too long is stored here, and questions that nobody answers are forgotten.
    pub(crate) fn tick(self: &Arc<Self>) {
        let now = self.mono();
        if self.streaming.load(Ordering::Acquire) {
            let since = now.saturating_sub(crate::clock::millis(OUTCOME));
            let devices = self.with_streams(|streams, acts| streams.give_up_late(since, acts));
            self.forget_places(&devices);
        }
        self.questions.lock().retain(|_, question| question.at.saturating_add(LATE) > now);
    }
}

/// Questions.
impl Link {
    /// Asks something about a device; the answer may never come.
    fn ask(&self, to: NodeId, device: DeviceId, frame: impl FnOnce(u64) -> Frame) -> Option<oneshot::Receiver<()>> {
        let id = self.last_question.fetch_add(1, Ordering::Relaxed) + 1;
        let (answered, answer) = oneshot::channel();
        {
            let mut questions = self.questions.lock();
            if questions.len() >= QUESTIONS {
                return None;
            }
            questions.insert(id, Question { device, node: to, at: self.mono(), answered });
        }
        let sent = self.send(to, &frame(id));
        if !sent {
            self.questions.lock().remove(&id);
        }
        sent.then_some(answer)
    }

    /// A question was answered, perhaps too late for whoever asked. Gives the device that it was about.
    pub(crate) fn answered(&self, id: u64) -> Option<DeviceId> {
        let question = self.questions.lock().remove(&id)?;
        let _ = question.answered.send(());
        Some(question.device)
    }

    /// Enters a connection, and has its predecessor at another node let go. Returns when that has committed what it held, or
    /// after `patience`.
    pub(crate) async fn enter(self: &Arc<Self>, device: DeviceId, connection: u64, patience: Duration) {
        let predecessor = match self.bus.enter(&device, connection).await {
            Ok(predecessor) => predecessor,
            Err(error) => {
                // Entered again as soon as the bus is back; until then this node sweeps.
                tracing::debug!(%error, "a connection could not be entered");
                return;
            }
        };
        let Some(place) = predecessor.filter(|place| !self.left.lock().has(place.node)) else { return };
        let left = self.runtime.spawn(self.clone().take_over(device, place));
        if self.clock.within(patience, left).await.is_none() {
            tracing::warn!("a session of another node that was replaced has not let go in time");
        }
    }

    /// Asks a connection to let go until it has, or its node has surely noticed by itself that it was replaced.
    async fn take_over(self: Arc<Self>, device: DeviceId, place: Place) {
        let ask = |id| Frame::TakeOver { id, device, connection: place.connection };
        for _ in 0..TAKE_OVERS {
            let Some(answer) = self.ask(place.node, device, ask) else {
                self.clock.sleep(QUESTION).await;
                continue;
            };
            if matches!(self.clock.within(QUESTION, answer).await, Some(Ok(()))) {
                return;
            }
        }
    }

    /// A connection has ended.
    pub(crate) fn leave(self: &Arc<Self>, device: DeviceId, connection: u64) {
        let link = self.clone();
        self.runtime.spawn(async move {
            if let Err(error) = link.bus.leave(&device, connection).await {
                tracing::debug!(%error, "an entry stays until its time is over");
            }
        });
    }

    /// Tells the session at a place that the store holds mail for it, until it has heard or presence names no place.
    pub(super) async fn nudge(self: Arc<Self>, device: DeviceId, mut place: Place) {
        let mut repeats = false;
        loop {
            if place.node == self.bus.node() {
                if let Some(session) = self.directory.find(&device) {
                    session.nudge();
                }
                break;
            }
            if let Some(answer) = self.ask(place.node, device, |id| Frame::Nudge { id, device })
                && matches!(self.clock.within(QUESTION, answer).await, Some(Ok(())))
            {
                break;
            }
            // Somebody else repeats it, so a nudge will be sent that is later than this.
            if !std::mem::replace(&mut repeats, true) && !self.repeating.lock().insert(device) {
                return;
            }
            self.clock.sleep(QUESTION / 4).await;
            match self.find(&[device]).await.ok().and_then(|places| places.first().copied().flatten()) {
                Some(next) => place = next,
                None => break,
            }
        }
        if repeats {
            self.repeating.lock().remove(&device);
        }
    }

    /// Tells the session of a device, wherever it is, that the store holds mail for it.
    pub(crate) fn nudge_wherever(self: &Arc<Self>, device: DeviceId) {
        if let Some(session) = self.directory.find(&device) {
            return session.nudge();
        }
        let link = self.clone();
        self.runtime.spawn(async move {
            if let Ok(places) = link.find(&[device]).await
                && let Some(place) = places.first().copied().flatten()
            {
                link.nudge(device, place).await;
            }
        });
    }

    /// Tells the session of a device, here or at another node, that the store holds mail for it, ahead of what is sent there
    /// next: frames arrive in their order, or a gap is heard, which nudges everybody. A place that cannot be told is
    /// forgotten, so that what follows is stored.
    pub(crate) fn nudge_ahead(&self, device: DeviceId) {
        if let Some(session) = self.directory.find(&device) {
            return session.nudge();
        }
        if let Some(place) = self.place(&device)
            && self.ask(place.node, device, |id| Frame::Nudge { id, device }).is_none()
        {
            self.forget_places(&[device]);
        }
    }

    /// Tells sending devices, wherever they are, what became of their messages. It may be lost.
    pub(crate) fn tell_devices(self: &Arc<Self>, news: Vec<(DeviceId, News)>) {
        if news.is_empty() {
            return;
        }
        let link = self.clone();
        self.runtime.spawn(async move {
            let devices: Vec<DeviceId> = news.iter().map(|(device, _)| *device).collect();
            let Ok(places) = link.find(&devices).await else { return };
            for ((device, news), place) in news.into_iter().zip(places) {
                match place {
                    Some(place) if place.node != link.bus.node() => _ = link.send(place.node, &news.frame(device)),
                    _ => {
                        if let Some(session) = link.directory.find(&device) {
                            session.tell(news.event());
                        }
                    }
                }
            }
        });
    }

    /// Hands a signal to a device that is known to be at another node. It may be lost.
    pub(crate) fn signal(&self, device: DeviceId, shared: Bytes, wrap: String) {
        if let Some(place) = self.place(&device) {
            self.send(place.node, &Frame::Signal { device, shared, wrap });
        }
    }
}

/// What a device is told about a message of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    /// It has reached a device of its addressee after all.
    Delivered(sealwire_protocol::MessageId),
    /// No device of the addressee has fetched it in time.
    Expired(sealwire_protocol::MessageId),
}

impl News {
    fn frame(self, device: DeviceId) -> Frame {
        match self {
            Self::Delivered(message_id) => Frame::Delivered { device, message_id },
            Self::Expired(message_id) => Frame::Expired { device, message_id },
        }
    }

    pub(crate) fn event(self) -> Event {
        match self {
            Self::Delivered(message_id) => Event::DeliveredLater(message_id),
            Self::Expired(message_id) => Event::Expired(message_id),
        }
    }
}
