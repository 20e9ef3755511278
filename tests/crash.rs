//! Nothing that was promised is lost, whatever is killed when: a thousand messages arrive in order and each once, though
//! server and connections end again and again, at random points that are counted in messages, never in time.

#![expect(clippy::panic, clippy::print_stdout, reason = "a test: it fails by panicking, and tells what it has done")]

#[path = "crash/device.rs"]
mod device;
#[path = "crash/receiver.rs"]
mod receiver;
#[path = "crash/sender.rs"]
mod sender;
#[path = "crash/world.rs"]
mod world;

use std::env;
use std::time::Instant;

use sealwire_protocol::DeviceId;
use sealwire_protocol::frames::Status;
use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;

use crate::device::Device;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::world::{Counts, World};

const MESSAGES: usize = 1_000;

/// How often something ends: 50 times, with `SEALWIRE_LONG=1` 500 times.
fn disturbances() -> usize {
    if env::var("SEALWIRE_LONG").is_ok_and(|long| long == "1") { 500 } else { 50 }
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// SIGKILL, and a start on the same data and port.
    Server,
    /// The same with SIGTERM.
    Drained,
    /// The receiver's TCP connection.
    Receiver,
    /// One time the receiver's connection, another time the senders'.
    Either,
}

/// The hand that disturbs: what ends, how often, and between how many messages.
struct Hand<'a> {
    world: &'a World,
    server: &'a mut Server,
    victim: Victim,
    times: usize,
    senders: usize,
    /// How many messages each sender sends.
    each: usize,
    is_receiver_there: bool,
}

impl Hand<'_> {
    async fn disturb(&mut self) {
        for places in self.places() {
            self.world.released.send_replace(places);
            let due = self.choose(places);
            let everything = self.all_of(places);
            self.world.until(|counts| due(counts) || everything(counts)).await;
            self.strike().await;
        }
        self.world.released.send_replace(self.each);
        self.world.until(self.all_of(self.each)).await;
        self.world.settled.send_replace(true);
    }

    /// How many messages may have been sent when it strikes, for each time.
    fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.times).map(|_| self.world.pick(1, self.each)).collect();
        places.sort_unstable();
        places
    }

    /// Everything that these many messages of each sender can lead to has happened.
    fn all_of(&self, released: usize) -> impl Fn(&Counts) -> bool + use<> {
        let (all, is_receiver_there) = (released * self.senders, self.is_receiver_there);
        move |counts| counts.statuses >= all && (!is_receiver_there || counts.arrivals >= all)
    }

    /// A point at which to strike, in messages: so many log-ins, frames, statuses or arrivals from now.
    fn choose(&self, released: usize) -> impl Fn(&Counts) -> bool + use<> {
        let (world, now, all) = (self.world, self.world.so_far(), released * self.senders);
        let ahead = |reached: usize| world.pick(0, all.saturating_sub(reached));
        let due = match world.pick(0, 3) {
            0 => Counts { log_ins: now.log_ins + world.pick(0, 2), ..Counts::default() },
            1 => Counts { sent: now.sent + ahead(now.statuses), ..Counts::default() },
            2 => Counts { statuses: now.statuses + ahead(now.statuses), ..Counts::default() },
            _ => Counts { arrivals: now.arrivals + ahead(now.arrivals), ..Counts::default() },
        };
        move |counts| {
            counts.log_ins >= due.log_ins
                && counts.sent >= due.sent
                && counts.statuses >= due.statuses
                && counts.arrivals >= due.arrivals
        }
    }

    async fn strike(&mut self) {
        match self.victim {
            Victim::Server | Victim::Drained => {
                self.world.up.send_replace(false);
                if self.victim == Victim::Drained {
                    assert!(self.server.terminate().await.success(), "{}", self.server.log());
                }
                self.server.restart().await;
                self.world.up.send_replace(true);
            }
            Victim::Either if self.world.pick(0, 1) == 0 => self.world.cut_senders.send_modify(|cuts| *cuts += 1),
            Victim::Receiver | Victim::Either => self.world.cut_receiver.send_modify(|cuts| *cuts += 1),
        }
    }
}

/// A run: who sends how much to Bob, and what ends meanwhile.
struct Run {
    world: World,
    server: Server,
    senders: Vec<Sender>,
    names: Vec<DeviceId>,
    bob: Receiver,
    each: usize,
    began: Instant,
}

impl Run {
    async fn prepare(senders: &[&str], each: usize) -> Self {
        let world = World::new();
        let server = Server::with(NO_LIMITS).start().await;
        let bob = Device::register(&server, "bob").await;
        let mut devices = Vec::new();
        for name in senders {
            devices.push(Device::register(&server, name).await);
        }
        let names = devices.iter().map(|device| *device.id()).collect();
        let senders = devices.into_iter().map(|device| Sender::new(device, &bob, each)).collect::<Vec<_>>();
        let bob = Receiver::new(bob, each * senders.len());
        Self { world, server, senders, names, bob, each, began: Instant::now() }
    }

    /// Sends everything while `victim` ends so many times, with or without Bob.
    async fn go(&mut self, victim: Victim, times: usize, is_bob_there: bool) {
        let world = &self.world;
        let mut hand = Hand {
            world,
            server: &mut self.server,
            victim,
            times,
            senders: self.senders.len(),
            each: self.each,
            is_receiver_there: is_bob_there,
        };
        let sending = futures_util::future::join_all(self.senders.iter_mut().map(|sender| sender.run(world)));
        let receiving = async {
            if is_bob_there {
                self.bob.run(world).await;
            }
        };
        tokio::join!(hand.disturb(), sending, receiving);
    }

    /// Each message once, in the order in which they were sent. Only a message that was refused for now may be overtaken by
    /// those that were on their way behind it (protocol section 6: the client shows them by their counter).
    fn are_all(&self, mut arrived: Vec<u64>) {
        if self.world.refusals.get() > 0 {
            arrived.sort_unstable();
        }
        let numbers: Vec<u64> = (1..=self.each as u64).collect();
        assert_eq!(arrived, numbers, "seed {}", self.world.seed());
    }

    /// Everything has arrived; and the server holds nothing any more.
    async fn check(&mut self, what: &str, times: usize) {
        for name in &self.names {
            self.are_all(self.bob.numbers_from(name));
        }
        assert!(self.server.terminate().await.success(), "{}", self.server.log());
        self.server.restart().await;
        // The run ends as soon as Bob has everything. A repeat that was on its way to him at that moment is stored when his
        // last connection ends. He gets it once more, and passes over it; then the mailbox is empty.
        let arrivals = self.world.so_far().arrivals;
        self.bob.fetch_backlog(&self.world).await;
        assert_eq!(self.world.so_far().arrivals, arrivals, "whatever is left is a repeat");
        assert!(self.server.terminate().await.success(), "{}", self.server.log());
        self.server.restart().await;
        assert_eq!(self.bob.fetch_backlog(&self.world).await, [] as [u64; 0], "what was acknowledged is gone");
        let counts = self.world.so_far();
        let queued: usize = self.senders.iter().map(|sender| sender.with_status(Status::Queued)).sum();
        println!(
            "{what}: {} messages, {times} ends, {} log-ins, {} frames sent, {} repeats dropped by Bob, {queued} last \
             heard of as queued, {} told again, {:.1} s, seed {}",
            counts.arrivals,
            counts.log_ins,
            counts.sent,
            self.world.repeats.get(),
            self.world.told_again.get(),
            self.began.elapsed().as_secs_f64(),
            self.world.seed(),
        );
    }
}

/// They start many servers: one of these tests at a time.
mod heavy {
    use super::*;

    #[tokio::test]
    async fn a_thousand_messages_wait_for_bob_though_the_server_is_killed() {
        let mut run = Run::prepare(&["alice"], MESSAGES).await;
        run.go(Victim::Server, disturbances(), false).await;
        assert_eq!(run.senders[0].with_status(Status::Queued), MESSAGES, "nobody was there to take them");
        let backlog = run.bob.fetch_backlog(&run.world).await;
        run.are_all(backlog);
        run.check("Bob away, server killed", disturbances()).await;
    }

    #[tokio::test]
    async fn a_thousand_messages_reach_bob_though_the_server_is_killed() {
        let mut run = Run::prepare(&["alice"], MESSAGES).await;
        run.go(Victim::Server, disturbances(), true).await;
        run.check("both connected, server killed", disturbances()).await;
    }

    #[tokio::test]
    async fn two_senders_messages_reach_bob_though_the_server_is_killed() {
        let mut run = Run::prepare(&["alice", "carol"], MESSAGES / 2).await;
        run.go(Victim::Server, disturbances() / 2, true).await;
        run.check("two senders, server killed", disturbances() / 2).await;
    }

    #[tokio::test]
    async fn a_thousand_messages_reach_bob_though_the_server_is_replaced_under_way() {
        let mut run = Run::prepare(&["alice"], MESSAGES).await;
        run.go(Victim::Drained, disturbances() / 5, true).await;
        run.check("both connected, server drained", disturbances() / 5).await;
    }

    #[tokio::test]
    async fn a_thousand_messages_reach_bob_though_his_connection_ends() {
        let mut run = Run::prepare(&["alice"], MESSAGES).await;
        run.go(Victim::Receiver, disturbances(), true).await;
        run.check("Bob's connection cut", disturbances()).await;
    }

    #[tokio::test]
    async fn a_thousand_messages_reach_bob_though_all_connections_flap() {
        let mut run = Run::prepare(&["alice", "carol"], MESSAGES / 2).await;
        run.go(Victim::Either, disturbances(), true).await;
        run.check("connections flap", disturbances()).await;
    }
}
