//! What keeps a node in its cluster going: it hears the others, renews its lease, and looks for what it was not told.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use sealwire_bus::frames::Frame;
use sealwire_bus::{Arrival, NodeId, Renewal};
use sealwire_protocol::{DeviceId, Username};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::hearing::{Hearer, Said};
use super::link::Link;
use crate::in_time;
use crate::node::Node;
use crate::session::Event;

/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How soon a renewal is tried again that was not answered.
const AGAIN: Duration = Duration::from_secs(1);
/// How often copies are looked through for what has waited too long.
const LOOK: Duration = Duration::from_millis(100);
/// How often a node tells the others that it lives, so that a gap is noticed when nothing else follows.
const TICK: Duration = Duration::from_secs(1);
/// How often a node that does not count for the others, or misses one of them, asks the store who has mail.
const SWEEP: Duration = Duration::from_secs(5);
/// How often any node does, enters its connections again, and re-checks its accounts.
const CARE: Duration = Duration::from_secs(30);
/// How many people are told of at a time, and how many accounts are read at a time.
const AT_ONCE: usize = 32;

/// A node's life in its cluster.
pub(crate) struct Life {
    node: Arc<Node>,
    link: Arc<Link>,
    hearer: Hearer,
    /// A renewal is due at once.
    renew: Notify,
    /// What others send is heard.
    hears: AtomicBool,
}

impl Life {
    /// Begins it. Returns when the node counts for the others, or a renewal was not answered: it is tried on and on.
    pub(crate) async fn start(node: Arc<Node>, link: Arc<Link>) {
        let hearer = Hearer::new(link.clone());
        let life = Arc::new(Self { node, link, hearer, renew: Notify::new(), hears: AtomicBool::new(true) });
        let runtime = life.link.runtime.clone();
        life.renew().await;
        runtime.spawn(life.clone().listen());
        runtime.spawn(life.clone().keep_lease());
        runtime.spawn(life.clone().tick());
        runtime.spawn(life.clone().sweep());
        runtime.spawn(life.tell_people());
    }

    /// Hears the other nodes. Whether this one still counts is looked at first: after a pause of the whole process what comes
    /// now must not be handed over before what was stored meanwhile.
    async fn listen(self: Arc<Self>) {
        loop {
            let arrival = self.link.bus.next().await;
            self.notice_loss();
            match arrival {
                Arrival::Frames { from, gap, frames } => {
                    self.link.note_peer(from);
                    if gap {
                        self.link.gaps.add_one();
                        self.missing(from);
                    }
                    frames
                        .iter()
                        .filter_map(|frame| self.hearer.hear(from, frame))
                        .for_each(|said| self.said(from, said));
                }
                Arrival::Connected => {
                    // What was sent meanwhile is lost: everything may have changed.
                    self.hears.store(true, Ordering::Release);
                    self.link.lease.lose();
                    self.renew.notify_one();
                }
                Arrival::Disconnected => {
                    tracing::warn!("the bus is gone; messages between nodes go through the store");
                    self.hears.store(false, Ordering::Release);
                    self.link.lease.lose();
                    self.notice_loss();
                    self.link.give_up(|_| true);
                }
            }
        }
    }

    /// Something that a node has sent is missing. It may have been a change of an account.
    fn missing(&self, from: NodeId) {
        tracing::info!(%from, "frames of another node are missing");
        self.node.roster.forget_all();
        self.hearer.missing(from);
    }

    fn said(&self, from: NodeId, said: Said) {
        match said {
            Said::Presence(username, online) => self.node.watchers.elsewhere(&username, from, online),
            Said::Leaving => {
                self.link.note_left(from);
                self.gone(from);
            }
            Said::Changed(username) => {
                self.node.roster.forget(&username);
                let node = self.node.clone();
                self.link.runtime.spawn(async move { node.look_again(&username).await });
            }
        }
    }

    /// Whatever the others know of who can be seen here, or is watched from here, is told and asked for again.
    fn tell_all_people(&self) {
        self.node.watchers.names().iter().for_each(|name| self.link.people.change(name));
    }

    /// Sessions look at the lease in every turn; those that have none coming are given one.
    fn notice_loss(&self) {
        if !self.link.is_up() && self.link.was_up() {
            tracing::warn!("this node counts no more for the others until the bus answers");
            self.node.roster.forget_all();
            self.node.directory.nudge_all();
        }
    }

    async fn keep_lease(self: Arc<Self>) {
        loop {
            let wait = if self.link.is_up() { RENEWAL } else { AGAIN };
            let _ = tokio::time::timeout(wait, self.renew.notified()).await;
            self.renew().await;
        }
    }

    async fn renew(&self) {
        let asked = self.node.clock.now();
        self.notice_loss();
        // Others would rely on a node that does not hear them, or is about to end.
        if !self.hears.load(Ordering::Acquire) || self.link.has_said_good_bye() {
            return;
        }
        match self.link.bus.renew().await {
            Ok(Renewal { peers, held }) => {
                self.link.set_peers(peers).into_iter().for_each(|node| self.gone(node));
                let was_lost = !self.link.lease.is_held(asked);
                if was_lost || !held {
                    self.come_back(asked).await;
                } else {
                    self.link.lease.renew(asked);
                }
            }
            Err(error) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
        }
    }

    /// The node counts again, or for the first time. First it is entered, then its mailboxes are read.
    async fn come_back(&self, asked: crate::clock::Now) {
        self.link.lease.lose();
        self.enter_again().await;
        self.link.lease.renew(asked);
        self.link.note_up();
        // From here on the others tell this node, too, what they change.
        self.link.broadcast(&Frame::Tick);
        self.node.roster.forget_all();
        self.node.directory.nudge_all();
        self.tell_all_people();
        tracing::info!(node = %self.link.bus.node(), peers = self.link.peers().len(), "this node counts for the others");
    }

    fn gone(&self, node: NodeId) {
        tracing::info!(%node, "another node is gone");
        self.link.give_up(|place| place.node == node);
        self.hearer.forget(node);
        self.node.watchers.node_gone(node);
    }

    /// Where another node has entered a device meanwhile, that is the newer connection.
    async fn enter_again(&self) {
        let entries = self.node.directory.connections();
        match self.link.bus.enter_again(&entries).await {
            Ok(taken) => taken
                .iter()
                .filter_map(|device| self.node.directory.find(device))
                .for_each(|session| session.tell(Event::Replaced)),
            Err(error) => tracing::warn!(%error, "connections could not be entered again; trying again"),
        }
    }

    async fn tick(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            look.tick().await;
            self.notice_loss();
            self.link.tick();
            if last.elapsed() >= TICK && !self.link.has_said_good_bye() {
                last = Instant::now();
                self.link.broadcast(&Frame::Tick);
            }
        }
    }

    async fn sweep(self: Arc<Self>) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(SWEEP).await;
            let care = last.elapsed() >= CARE;
            if care {
                last = Instant::now();
                self.enter_again().await;
                self.tell_all_people();
                self.check_accounts().await;
                self.node.set_clock().await;
            }
            if care || !self.link.is_up() || self.link.misses_somebody() {
                self.look_for_mail().await;
            }
        }
    }

    /// Asks the store which devices that are here have mail.
    async fn look_for_mail(&self) {
        let devices: Vec<DeviceId> = self.node.directory.connections().into_iter().map(|(device, _)| device).collect();
        match in_time(self.node.settings.timing.store, self.node.store.with_mail(devices)).await {
            Ok(with_mail) => {
                with_mail
                    .iter()
                    .filter_map(|device| self.node.directory.find(device))
                    .for_each(|session| session.nudge());
            }
            Err(error) => tracing::warn!(%error, "it is not known who has mail; trying again"),
        }
    }

    /// Re-checks the accounts of everybody who is here: a change may not have been told.
    async fn check_accounts(&self) {
        let names: HashSet<Username> = self.node.directory.names();
        let checks = names.into_iter().map(|name| {
            let node = self.node.clone();
            async move {
                node.roster.forget(&name);
                node.look_again(&name).await;
            }
        });
        stream::iter(checks).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Tells the others who can be seen here, and learns whom those see who are watched from here.
    async fn tell_people(self: Arc<Self>) {
        loop {
            let changed = self.link.people.take().await;
            stream::iter(changed).map(|name| self.tell_of(name)).buffer_unordered(AT_ONCE).collect::<()>().await;
        }
    }

    async fn tell_of(&self, name: Username) {
        let bus = &self.link.bus;
        let (online, watched) = self.node.watchers.state(&name);
        match bus.show(&name, online).await {
            Ok(watching) => {
                let frame = Frame::Presence { username: name.clone(), online };
                watching.iter().for_each(|node| _ = self.link.send(*node, &frame));
            }
            Err(error) => tracing::debug!(%error, "presence is told again later"),
        }
        match bus.watch(&name, watched).await {
            Ok(shown) if watched => self.node.watchers.shown_at(&name, &shown),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "presence is asked for again later"),
        }
    }
}
