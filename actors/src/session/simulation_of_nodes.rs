//! The delivery promise over three nodes, as a test: two senders and one device that move between the nodes, one store, a bus
//! that loses frames and cuts nodes off, and a scheduler that runs their steps in any order.
//!
//! The parts are the real ones but for the actors around them and the bus, which is in memory. A sender does what a client does:
//! when it has moved, it sends again, in order, what has no status. For every seed:
//!
//! * what had a status arrives, whatever was lost on the bus and whichever node was cut off;
//! * the device sees each sender's messages in the order they were sent (a repeat of an earlier one is passed over);
//! * every message gets a status, and nothing is left in the mailbox.

mod site;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sealwire_bus::frames::Frame;
use sealwire_bus::{Bus, MemoryHub};
use sealwire_protocol::DeviceId;
use sealwire_store::{Front, MailKey, Mailboxes, MemoryStore, Removal};

use self::site::{Site, ready};
use super::fixtures::{device, message_id};
use super::inbox::{Event, Inbox, Parcel, Reply};
use super::receiving::{Effect, Receiving, WindowLimits};
use super::sending::{Answer, Sending};
use super::simulation::{Dice, bob};
use crate::metrics::Stored;
use crate::presence::Departure;
use crate::router::Routed;
use crate::spool::{Append, Remove};

const SEEDS: u64 = 150;
const SEEDS_LONG: u64 = 10_000;
const MESSAGES: u64 = 30;
const SITES: usize = 3;
const BOB: u8 = 0xb1;
const TAKE_OVER: Duration = Duration::from_secs(2);

enum Read {
    Asked { except: HashSet<MailKey>, max_messages: usize, max_bytes: usize },
    Made(Front),
}

struct Sender {
    device: DeviceId,
    site: usize,
    inbox: Arc<Inbox>,
    sending: Sending,
    tickets: HashMap<u64, u64>,
    /// To be sent again, then what is new.
    again: BTreeSet<u64>,
    sent: u64,
    told: HashSet<u64>,
    /// It was looked whether Bob has mail that he does not know of.
    looked: bool,
}

struct Connection {
    site: usize,
    inbox: Arc<Inbox>,
    receiving: Receiving,
    departure: Arc<Departure>,
    losses: u64,
    /// The connections before it have let go, or were waited for long enough.
    entered: Arc<AtomicBool>,
    began: bool,
    read: Option<Read>,
    wire: VecDeque<(u64, MailKey)>,
    stored: u64,
    acknowledged: u64,
}

struct World {
    dice: Dice,
    order: u64,
    hub: MemoryHub,
    store: Arc<MemoryStore>,
    sites: Vec<Site>,
    senders: Vec<Sender>,
    bob: Option<Connection>,
    /// Connections that were replaced and have not noticed yet.
    old: Vec<Connection>,
    arrived: HashMap<DeviceId, Vec<u64>>,
}

fn number(key: &MailKey) -> u64 {
    (1..=MESSAGES).find(|n| message_id(*n) == key.message_id).expect("one of ours")
}

impl World {
    async fn new(seed: u64) -> Self {
        let (hub, store) = (MemoryHub::new(), Arc::new(MemoryStore::new()));
        let mut sites = Vec::new();
        for _ in 0..SITES {
            sites.push(Site::new(&hub, &store).await);
        }
        let sender = |last, site| Sender {
            device: device(last),
            site,
            inbox: Inbox::new(),
            sending: Sending::default(),
            tickets: HashMap::new(),
            again: BTreeSet::new(),
            sent: 0,
            told: HashSet::new(),
            looked: false,
        };
        let senders = vec![sender(0xa1, 0), sender(0xa2, 1)];
        let dice = Dice(seed * 2 + 1);
        Self { dice, order: 0, hub, store, sites, senders, bob: None, old: Vec::new(), arrived: HashMap::new() }
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::try_from(self.dice.roll(of as u64)).expect("a small number")
    }

    async fn step(&mut self) {
        match self.dice.roll(40) {
            0..6 => self.send().await,
            6..10 => self.outcomes(),
            10..15 => self.turn(),
            15..20 => self.commits(),
            20..24 => self.read(),
            24..28 => self.receive(),
            28..31 => self.acknowledge(),
            31..35 => self.pump().await,
            35 => self.pass_time(700).await,
            36 => self.reconnect_or_drop(),
            37 => self.move_sender(),
            38 => self.lose_frames(),
            _ => self.cut_or_link(),
        }
        self.let_run().await;
    }

    /// Lets what was begun on the side go on, as far as it can without time.
    async fn let_run(&mut self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        self.old_turns();
    }

    async fn send(&mut self) {
        let who = self.pick(2);
        let sender = &mut self.senders[who];
        if !std::mem::replace(&mut sender.looked, true) {
            // As a session does before its connection's first copy for a device.
            let with_mail = ready(self.store.with_mail(vec![device(BOB)])).expect("the memory store answers");
            return with_mail.into_iter().for_each(|device| self.sites[sender.site].link.nudge_ahead(device));
        }
        let site = &self.sites[sender.site];
        if site.directory.find(&device(BOB)).is_some_and(|inbox| !inbox.has_room()) {
            return;
        }
        let n = match sender.again.pop_first() {
            Some(n) => n,
            None if sender.sent < MESSAGES => {
                sender.sent += 1;
                sender.sent
            }
            None => return,
        };
        self.order += 1;
        let key = MailKey { from_device: sender.device, message_id: message_id(n) };
        let mail = sealwire_store::Mail { key, order: self.order, ..super::fixtures::mail(n) };
        let site = &self.sites[sender.site];
        if !site.directory.is_connected(&mail.device) && site.link.is_unknown(&mail.device) {
            let _ = site.link.find(&[mail.device]).await;
        }
        let ticket = sender.sending.accept(key.message_id, mail.fingerprint, 1, 0, 0);
        sender.tickets.insert(ticket, n);
        let parcel =
            Parcel { mail: mail.into(), reply: Reply::Session { inbox: sender.inbox.clone(), ticket, copy: 0 } };
        let storing = sender.sending.is_storing(&device(BOB));
        let routed = if storing { site.router.store(parcel, Stored::Behind) } else { site.router.route(parcel) };
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
                match answer {
                    Some(Answer::Status(id, _)) => {
                        sender.told.insert((1..=MESSAGES).find(|n| message_id(*n) == id).expect("one of ours"));
                    }
                    Some(Answer::Error(..)) => unreachable!("nothing fails here"),
                    None => {}
                }
            }
        }
    }

    /// The client of a sender reconnects to another node: it sends again what has no status.
    fn move_sender(&mut self) {
        let (who, site) = (self.pick(2), self.pick(SITES));
        let sender = &mut self.senders[who];
        sender.inbox.close();
        (sender.site, sender.inbox, sender.sending) = (site, Inbox::new(), Sending::default());
        sender.tickets.clear();
        sender.looked = false;
        sender.again = (1..=sender.sent).filter(|n| !sender.told.contains(n)).collect();
    }

    fn turn(&mut self) {
        let Some(mut bob) = self.bob.take() else { return };
        let replaced = self.turn_of(&mut bob);
        if replaced { self.leave(bob) } else { self.bob = Some(bob) }
    }

    /// Connections that were replaced notice it; until then they may still be given something.
    fn old_turns(&mut self) {
        for mut old in std::mem::take(&mut self.old) {
            if self.turn_of(&mut old) { self.leave(old) } else { self.old.push(old) }
        }
    }

    fn turn_of(&mut self, bob: &mut Connection) -> bool {
        let site = &self.sites[bob.site];
        let (taken, now) = (bob.inbox.take(), site.now());
        let mut effects = Vec::new();
        let losses = site.link.losses();
        if taken.nudged || std::mem::replace(&mut bob.losses, losses) != losses {
            bob.receiving.nudge();
        }
        for parcel in taken.parcels {
            bob.receiving.parcel(parcel, now, &mut effects);
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
        if !bob.began && bob.entered.load(Ordering::Acquire) {
            bob.began = true;
            bob.receiving.may_read(&mut effects);
        }
        bob.receiving.read_if_due(&mut effects);
        self.run(bob, effects);
        replaced
    }

    fn run(&self, bob: &mut Connection, effects: Vec<Effect>) {
        let queue = &self.sites[bob.site].queue;
        for effect in effects {
            let (by, departure) = (bob.inbox.clone(), Some(bob.departure.clone()));
            match effect {
                Effect::Deliver { seq, mail } => bob.wire.push_back((seq, mail.key)),
                Effect::Append { mail, replies, cause } => {
                    queue.append(Append { mail, replies, by: Some(by), departure, cause })
                }
                Effect::Remove { key, news } => {
                    let removal = Removal { device: device(BOB), key };
                    queue.remove(Remove { removal, by, departure, news });
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

    fn commits(&mut self) {
        let site = self.pick(SITES);
        self.sites[site].commit(&self.store);
    }

    fn read(&mut self) {
        let Some(bob) = &mut self.bob else { return };
        match bob.read.take() {
            None => {}
            Some(Read::Asked { except, max_messages, max_bytes }) => {
                let front = ready(self.store.front(&device(BOB), except, max_messages, max_bytes));
                bob.read = Some(Read::Made(front.expect("the memory store answers")));
            }
            Some(Read::Made(front)) => {
                self.turn();
                let Some(mut bob) = self.bob.take() else { return };
                let (mut effects, now) = (Vec::new(), self.sites[bob.site].now());
                bob.receiving.front(Some(front), now, &mut effects);
                self.run(&mut bob, effects);
                self.bob = Some(bob);
            }
        }
    }

    fn receive(&mut self) {
        let Some(bob) = &mut self.bob else { return };
        let Some((seq, key)) = bob.wire.pop_front() else { return };
        bob.stored = seq;
        let n = number(&key);
        let arrived = self.arrived.entry(key.from_device).or_default();
        if !arrived.contains(&n) {
            assert_eq!(n, arrived.len() as u64 + 1, "out of order or lost: {arrived:?}");
            arrived.push(n);
        }
    }

    fn acknowledge(&mut self) {
        let Some(mut bob) = self.bob.take() else { return };
        if bob.stored > bob.acknowledged {
            bob.acknowledged = bob.stored;
            let mut effects = Vec::new();
            bob.receiving.ack(bob.stored, &mut effects);
            self.run(&mut bob, effects);
        }
        self.bob = Some(bob);
    }

    async fn pump(&mut self) {
        let site = self.pick(SITES);
        self.sites[site].pump().await;
    }

    async fn pass_time(&mut self, millis: u64) {
        self.hub.advance(Duration::from_millis(millis));
        for site in &self.sites {
            site.clock.advance(millis);
            if !site.cut {
                site.renew().await;
            }
            site.link.tick();
            site.link.broadcast(&Frame::Tick);
            if !site.link.is_up() || site.link.misses_somebody() {
                let devices = site.directory.connections().into_iter().map(|(device, _)| device).collect();
                let with_mail = ready(site.bus_less_look(&self.store, devices));
                with_mail.iter().filter_map(|d| site.directory.find(d)).for_each(|session| session.nudge());
            }
        }
        for mut old in std::mem::take(&mut self.old) {
            self.tick(&mut old);
            self.old.push(old);
        }
        if let Some(mut bob) = self.bob.take() {
            self.tick(&mut bob);
            self.bob = Some(bob);
        }
    }

    fn tick(&self, bob: &mut Connection) {
        let (mut effects, now) = (Vec::new(), self.sites[bob.site].now());
        bob.receiving.tick(now, &mut effects);
        self.run(bob, effects);
    }

    fn lose_frames(&mut self) {
        let (from, to) = (self.pick(SITES), self.pick(SITES));
        let frames = self.pick(3) + 1;
        self.hub.lose(self.sites[from].bus.node(), self.sites[to].bus.node(), frames);
    }

    fn cut_or_link(&mut self) {
        let site = self.pick(SITES);
        let site = &mut self.sites[site];
        site.cut = !site.cut;
        if site.cut { self.hub.cut(site.bus.node()) } else { self.hub.link(site.bus.node()) }
    }

    fn reconnect_or_drop(&mut self) {
        let site = self.pick(SITES);
        match self.bob.take() {
            // A newer connection takes over, here or at another node, or the old one is lost and the device comes back later.
            Some(old) if self.dice.roll(2) == 0 => {
                // Its socket is gone, but its node does not know yet.
                self.old.push(old);
                self.bob = Some(self.connect(site));
            }
            Some(old) => self.leave(old),
            None => self.bob = Some(self.connect(site)),
        }
    }

    fn connect(&mut self, index: usize) -> Connection {
        let site = &self.sites[index];
        let inbox = Inbox::with_room(2);
        let (departure, predecessor) = site.directory.enter(device(BOB), bob(), inbox.clone());
        let patience = Duration::from_millis(1_500);
        let limits = WindowLimits { messages: 6, bytes: 10_000, patience, clustered: true };
        let receiving = Receiving::new(limits, inbox.clone());
        let entered = Arc::new(AtomicBool::new(false));
        let departure = Arc::new(departure);
        let held = departure.clone();
        let (link, done, connection) = (site.link.clone(), entered.clone(), departure.connection());
        let clock = site.clock.clone();
        if let Some(predecessor) = &predecessor {
            predecessor.tell(Event::Replaced);
        }
        tokio::spawn(async move {
            let here = async move {
                if let Some(predecessor) = predecessor {
                    clock.within(TAKE_OVER, predecessor.gone.wait()).await;
                }
            };
            futures_util::future::join(here, link.enter(device(BOB), connection, TAKE_OVER)).await;
            done.store(true, Ordering::Release);
            drop(held);
        });
        Connection {
            site: index,
            inbox,
            receiving,
            departure,
            losses: site.link.losses(),
            entered,
            began: false,
            read: None,
            wire: VecDeque::new(),
            stored: 0,
            acknowledged: 0,
        }
    }

    /// As `Session::leave` does it.
    fn leave(&mut self, mut old: Connection) {
        let queue = &self.sites[old.site].queue;
        let departure = Some(old.departure.clone());
        for (mail, replies) in old.receiving.end() {
            let (departure, cause) = (departure.clone(), Stored::Ended);
            queue.append(Append { mail, replies, by: None, departure, cause });
        }
        for Parcel { mail, reply } in old.inbox.close().parcels {
            let (departure, cause) = (departure.clone(), Stored::Ended);
            queue.append(Append { mail, replies: smallvec::smallvec![reply], by: None, departure, cause });
        }
    }

    /// Lets everything come to rest, with every node linked and Bob connected.
    async fn settle(&mut self) {
        for site in &mut self.sites {
            if std::mem::take(&mut site.cut) {
                self.hub.link(site.bus.node());
            }
        }
        for round in 0..1_500 {
            if self.bob.is_none() {
                self.reconnect_or_drop();
            }
            self.send().await;
            self.turn();
            for index in 0..SITES {
                self.sites[index].pump().await;
                self.sites[index].commit(&self.store);
            }
            self.read();
            self.receive();
            self.acknowledge();
            self.outcomes();
            if round % 10 == 0 {
                self.pass_time(300).await;
            }
            self.let_run().await;
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_or_overtaken_between_nodes_whatever_the_bus_does() {
    let long = std::env::var_os("SEALWIRE_LONG").is_some();
    for seed in 0..if long { SEEDS_LONG } else { SEEDS } {
        let mut world = World::new(seed).await;
        for _ in 0..700 {
            world.step().await;
        }
        world.settle().await;
        for sender in &world.senders {
            let all: Vec<u64> = (1..=MESSAGES).collect();
            assert_eq!(world.arrived.get(&sender.device), Some(&all), "seed {seed}");
            assert_eq!(sender.told.len(), all.len(), "seed {seed}: each has a status");
        }
        let left =
            ready(world.store.front(&device(BOB), Default::default(), 9, 10_000)).expect("the memory store answers");
        assert!(left.mail.is_empty(), "seed {seed}: what was acknowledged is out of the mailbox");
    }
}
