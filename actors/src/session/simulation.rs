//! The delivery promise as a test: two senders, one device, one store, and a scheduler that runs their steps in any order.
//!
//! The parts are the real ones; only the actors around them are replaced by steps. What a turn starts may end much later:
//! a commit may run while a session comes and goes, a read may be shown long after it was made. For every seed:
//!
//! * what had a status arrives, whatever connection ended in between;
//! * the device sees each sender's messages in the order they were sent (a repeat of an earlier one is passed over);
//! * every message has exactly one first status.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sealwire_protocol::DeviceId;
use sealwire_store::{BatchOutcome, Front, Mail, MailKey, Mailboxes, MemoryStore, Removal};

use super::fixtures::{device, message_id};
use super::inbox::{Event, Inbox, Parcel, Reply};
use super::receiving::{Effect, Receiving, WindowLimits};
use super::sending::{Answer, Sending};
use crate::clock::Now;
use crate::metrics::Stored;
use crate::presence::{Departure, Directory};
use crate::router::{Routed, Router};
use crate::spool::{Append, Bounds, Remove, Spool, SpoolQueue, Work};

/// How many orders are tried; `make test-long` tries more.
const SEEDS: u64 = 400;
const SEEDS_LONG: u64 = 20_000;
const MESSAGES: u64 = 40;
const BOB: u8 = 0xb1;

/// xorshift64*: small, seeded, good enough to schedule.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

struct Sender {
    device: DeviceId,
    inbox: Arc<Inbox>,
    sending: Sending,
    sent: u64,
    statuses: HashMap<u64, u32>,
    tickets: HashMap<u64, u64>,
}

/// A read of the mailbox: asked for, made, shown.
enum Read {
    Asked { except: std::collections::HashSet<MailKey>, max_messages: usize, max_bytes: usize },
    Made(Front),
}

enum Commit {
    Begun(Work),
    Durable(Work, BatchOutcome),
}

struct Connection {
    inbox: Arc<Inbox>,
    receiving: Receiving,
    departure: Arc<Departure>,
    predecessor: Option<Arc<Inbox>>,
    read: Option<Read>,
    /// Frames on their way to the device: `seq`, message.
    wire: VecDeque<(u64, MailKey)>,
    /// The last `seq` that the device has stored and not yet acknowledged.
    stored: u64,
    acknowledged: u64,
}

struct World {
    dice: Dice,
    now: u64,
    order: u64,
    store: Arc<MemoryStore>,
    directory: Arc<Directory>,
    queue: Arc<SpoolQueue>,
    spool: Spool,
    router: Router,
    commit: Option<Commit>,
    senders: Vec<Sender>,
    bob: Option<Connection>,
    /// What the device has, per sending device, in the order of first arrival.
    arrived: HashMap<DeviceId, Vec<u64>>,
}

pub(super) fn bob() -> sealwire_protocol::Username {
    "bob".parse().expect("a well-formed name")
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory store answers at once")
}

impl World {
    fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let directory = Arc::new(Directory::default());
        let queue = Arc::new(SpoolQueue::new(Bounds { batch: 3, ..Bounds::default() }));
        let spool = Spool {
            queue: queue.clone(),
            store: store.clone(),
            directory: directory.clone(),
            link: None,
            patience: Duration::from_secs(1),
        };
        let router = Router { directory: directory.clone(), spool: queue.clone(), link: None };
        let sender = |last| Sender {
            device: device(last),
            inbox: Inbox::new(),
            sending: Sending::default(),
            sent: 0,
            statuses: HashMap::new(),
            tickets: HashMap::new(),
        };
        Self {
            dice: Dice(seed * 2 + 1),
            now: 0,
            order: 0,
            store,
            directory,
            queue,
            spool,
            router,
            commit: None,
            senders: vec![sender(0xa1), sender(0xa2)],
            bob: None,
            arrived: HashMap::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.roll(24) {
            0..4 => self.send(),
            4..7 => self.outcomes(),
            7..11 => self.turn(),
            11..14 => self.spool_step(),
            14..17 => self.read_step(),
            17..20 => self.receive(),
            20..22 => self.acknowledge(),
            22 => self.pass_time(),
            _ => self.reconnect_or_drop(),
        }
    }

    fn send(&mut self) {
        let who = usize::try_from(self.dice.roll(2)).expect("0 or 1");
        let sender = &mut self.senders[who];
        if sender.sent == MESSAGES {
            return;
        }
        sender.sent += 1;
        self.order += 1;
        let n = sender.sent;
        let mail = Mail {
            key: MailKey { from_device: sender.device, message_id: message_id(n) },
            order: self.order,
            ..super::fixtures::mail(n)
        };
        let ticket = sender.sending.accept(mail.key.message_id, mail.fingerprint, 1, 0, 0);
        sender.tickets.insert(ticket, n);
        let parcel =
            Parcel { mail: mail.into(), reply: Reply::Session { inbox: sender.inbox.clone(), ticket, copy: 0 } };
        let storing = sender.sending.is_storing(&device(BOB));
        let routed = if storing { self.router.store(parcel, Stored::Behind) } else { self.router.route(parcel) };
        if routed == Routed::Stored {
            sender.sending.storing(ticket, 0, device(BOB));
        }
    }

    fn outcomes(&mut self) {
        for sender in &mut self.senders {
            for event in sender.inbox.take().events {
                let answer = match event {
                    Event::Outcome { ticket, copy, verdict } => sender.sending.decided(ticket, copy, verdict),
                    _ => None,
                };
                if let Some(Answer::Status(id, _)) = answer {
                    let n = (1..=MESSAGES).find(|n| message_id(*n) == id).expect("one of ours");
                    *sender.statuses.entry(n).or_default() += 1;
                }
            }
        }
    }

    fn turn(&mut self) {
        let Some(bob) = &mut self.bob else { return };
        let taken = bob.inbox.take();
        let mut effects = Vec::new();
        if taken.nudged {
            bob.receiving.nudge();
        }
        for parcel in taken.parcels {
            bob.receiving.parcel(parcel, Now { wall: 0, mono: self.now }, &mut effects);
        }
        let mut replaced = false;
        for event in taken.events {
            match event {
                Event::Appended { key, order, outcome } => bob.receiving.appended(key, order, outcome, &mut effects),
                Event::Removed(keys) => bob.receiving.removed(&keys),
                Event::Replaced => replaced = true,
                _ => {}
            }
        }
        if bob.predecessor.take_if(|inbox| inbox.gone.wait().now_or_never().is_some()).is_some() {
            bob.receiving.may_read(&mut effects);
        }
        bob.receiving.read_if_due(&mut effects);
        self.run(effects);
        assert!(!replaced, "nobody else connects as Bob");
    }

    fn run(&mut self, effects: Vec<Effect>) {
        let Some(bob) = &mut self.bob else { return };
        for effect in effects {
            match effect {
                Effect::Deliver { seq, mail } => bob.wire.push_back((seq, mail.key)),
                Effect::Append { mail, replies, cause } => {
                    let (by, departure) = (Some(bob.inbox.clone()), Some(bob.departure.clone()));
                    self.queue.append(Append { mail, replies, by, departure, cause });
                }
                Effect::Remove { key, news } => {
                    let removal = Removal { device: device(BOB), key };
                    let (by, departure) = (bob.inbox.clone(), Some(bob.departure.clone()));
                    self.queue.remove(Remove { removal, by, departure, news });
                }
                Effect::Read { except, max_messages, max_bytes } => {
                    assert!(bob.read.is_none(), "one read at a time");
                    bob.read = Some(Read::Asked { except, max_messages, max_bytes });
                }
                Effect::Decided { reply, verdict } => reply.send(verdict),
                Effect::ReadLater | Effect::BacklogSent => {}
            }
        }
    }

    /// Begins a commit, makes it durable, or tells of the one that is.
    fn spool_step(&mut self) {
        self.commit = match self.commit.take() {
            None => self.queue.next().map(Commit::Begun),
            Some(Commit::Begun(work)) => {
                let outcome = ready(self.store.execute(work.batch())).expect("the memory store takes everything");
                Some(Commit::Durable(work, outcome))
            }
            Some(Commit::Durable(work, outcome)) => {
                self.spool.committed(work, &outcome);
                None
            }
        }
    }

    /// Makes the read that was asked for, or shows the one that was made.
    fn read_step(&mut self) {
        let Some(bob) = &mut self.bob else { return };
        match bob.read.take() {
            None => {}
            Some(Read::Asked { except, max_messages, max_bytes }) => {
                let front = ready(self.store.front(&device(BOB), except, max_messages, max_bytes));
                bob.read = Some(Read::Made(front.expect("the memory store answers")));
            }
            Some(Read::Made(front)) => {
                self.turn();
                let Some(bob) = &mut self.bob else { return };
                let mut effects = Vec::new();
                bob.receiving.front(Some(front), Now { wall: 0, mono: self.now }, &mut effects);
                self.run(effects);
            }
        }
    }

    /// The device stores what has come.
    fn receive(&mut self) {
        let Some(bob) = &mut self.bob else { return };
        let Some((seq, key)) = bob.wire.pop_front() else { return };
        bob.stored = seq;
        let n = (1..=MESSAGES).find(|n| message_id(*n) == key.message_id).expect("one of ours");
        let arrived = self.arrived.entry(key.from_device).or_default();
        if !arrived.contains(&n) {
            assert_eq!(n, arrived.len() as u64 + 1, "out of order or lost: {arrived:?}");
            arrived.push(n);
        }
    }

    fn acknowledge(&mut self) {
        let Some(bob) = &mut self.bob else { return };
        if bob.stored > bob.acknowledged {
            bob.acknowledged = bob.stored;
            let mut effects = Vec::new();
            bob.receiving.ack(bob.stored, &mut effects);
            self.run(effects);
        }
    }

    fn pass_time(&mut self) {
        self.now += 700;
        let now = Now { wall: 0, mono: self.now };
        let Some(bob) = &mut self.bob else { return };
        let mut effects = Vec::new();
        bob.receiving.tick(now, &mut effects);
        self.run(effects);
    }

    fn reconnect_or_drop(&mut self) {
        match self.bob.take() {
            // A newer connection takes over, or the old one is lost and the device comes back later.
            Some(old) => {
                let take_over = self.dice.roll(2) == 0;
                let next = take_over.then(|| self.connect());
                self.leave(old);
                self.bob = next;
            }
            None => self.bob = Some(self.connect()),
        }
    }

    fn connect(&self) -> Connection {
        // Small, so that senders often find it full.
        let inbox = Inbox::with_room(2);
        let (departure, predecessor) = self.directory.enter(device(BOB), bob(), inbox.clone());
        let limits = WindowLimits { messages: 6, bytes: 10_000, patience: Duration::from_secs(2), clustered: false };
        let mut receiving = Receiving::new(limits, inbox.clone());
        if predecessor.is_none() {
            receiving.may_read(&mut Vec::new());
        }
        let mut connection = Connection {
            inbox,
            receiving,
            departure: Arc::new(departure),
            predecessor,
            read: None,
            wire: VecDeque::new(),
            stored: 0,
            acknowledged: 0,
        };
        if connection.predecessor.is_none() {
            // The read that `may_read` has asked for.
            connection.read = Some(Read::Asked { except: Default::default(), max_messages: 6, max_bytes: 10_000 });
        }
        connection
    }

    /// As `Session::leave` does it.
    fn leave(&mut self, mut old: Connection) {
        let departure = Some(old.departure.clone());
        for (mail, replies) in old.receiving.end() {
            let (departure, cause) = (departure.clone(), Stored::Ended);
            self.queue.append(Append { mail, replies, by: None, departure, cause });
        }
        for Parcel { mail, reply } in old.inbox.close().parcels {
            let (departure, cause) = (departure.clone(), Stored::Ended);
            self.queue.append(Append { mail, replies: smallvec::smallvec![reply], by: None, departure, cause });
        }
        if let Some(predecessor) = old.predecessor {
            // The successor waits for both: here simply until the spool has come to rest.
            while predecessor.gone.wait().now_or_never().is_none() {
                self.spool_step();
            }
        }
    }

    /// Lets everything come to rest, with Bob connected.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            if self.bob.is_none() {
                self.reconnect_or_drop();
            }
            self.send();
            self.turn();
            self.spool_step();
            self.read_step();
            self.receive();
            self.acknowledge();
            self.outcomes();
        }
    }
}

#[test]
fn nothing_is_lost_or_overtaken_whatever_the_order_of_steps() {
    let long = std::env::var_os("SEALWIRE_LONG").is_some();
    for seed in 0..if long { SEEDS_LONG } else { SEEDS } {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        world.settle();
        for sender in &world.senders {
            let all: Vec<u64> = (1..=MESSAGES).collect();
            assert_eq!(world.arrived.get(&sender.device), Some(&all), "seed {seed}");
            let firsts: Vec<u32> = all.iter().map(|n| sender.statuses.get(n).copied().unwrap_or(0)).collect();
            assert_eq!(firsts, vec![1; all.len()], "seed {seed}: each has one first status");
        }
        let left = ready(world.store.front(&device(BOB), Default::default(), 1, 1)).expect("the memory store answers");
        assert!(left.mail.is_empty(), "seed {seed}: what was acknowledged is out of the mailbox");
    }
}
