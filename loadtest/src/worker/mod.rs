//! A thread that plays its part: it waits on epoll, reads, writes, and keeps the account of its messages.
//!
//! * `mod.rs` the loop: orders, time, what epoll says
//! * `entering.rs` from dialling to the session, and the end of connections
//! * `talking.rs` what is written when, and what is heard; `foreign.rs` the same with servers of other protocols
//! * [`inbox`] how others speak with it

mod entering;
mod foreign;
pub(crate) mod inbox;
mod seat;
mod talking;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sealwire_protocol::Username;
use sealwire_protocol::signed::Purpose;

use crate::cast::Part;
use crate::check::{Fault, Line};
use crate::dialect::{self, Dialect};
use crate::histogram::Histogram;
use crate::keys::Pool;
use crate::letter::Letter;
use crate::numbering::Numbering;
use crate::person::Person;
use crate::sealed::{Between, Stock, is_planned};
use crate::signers::Desk;
use crate::socket::{self, Alarm, Moved, Poll};
use crate::target::Target;
pub(crate) use inbox::{Chapter, Counts, Gauge, Inbox, Moment, Order, Outcome, Pace};
use seat::{Seat, Stage};
use talking::Talk;

const BELL: u64 = u64::MAX;
const ALARM: u64 = u64::MAX - 1;
const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;
/// Protocol section 6: a client says something every 25 s when idle.
const HEARTBEAT: u64 = 24 * SECOND;
const READ_BUFFER: usize = 256 * 1024;
/// What a connection that is not read by the server may hold; then messages wait for their turn, and are late.
const OUTPUT: usize = 1024 * 1024;

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) target: Target,
    pub(crate) people: Vec<Person>,
    pub(crate) by_name: BTreeMap<Username, usize>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) numbering: Numbering,
    pub(crate) desk: Arc<Desk>,
    /// What the server speaks.
    pub(crate) dialect: Dialect,
    /// The last part of every cheap message.
    pub(crate) ending: Arc<[u8]>,
    /// The run's beginning.
    pub(crate) began: Instant,
    /// Connections of a thread that may be on their way to a session at a time.
    pub(crate) greetings: usize,
    /// How long an acknowledgement may wait for a message to ride on, in nanoseconds.
    pub(crate) ack_delay: u64,
    /// How often an open loop looks what is due, in nanoseconds.
    pub(crate) tick: u64,
    /// Which of the machine's addresses connections come from.
    pub(crate) net: u8,
    /// The accounts exist already.
    pub(crate) returning: bool,
}

impl Shared {
    /// Nanoseconds since the run's beginning.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A line with all that is known of it.
struct Thread {
    from: u32,
    to: Vec<u32>,
    letter: Paper,
    check: Line,
}

/// A line's messages, ready to be written.
enum Paper {
    Own(Letter),
    Foreign(dialect::Letter),
}

impl Paper {
    fn new(shared: &Shared, line: u32, to: &Person) -> Self {
        let Shared { dialect, numbering, pool, ending, .. } = shared;
        if dialect.is_foreign() {
            return Self::Foreign(dialect::Letter::new(*dialect, numbering, line, to.name().as_str(), ending));
        }
        Self::Own(Letter::new(numbering, line, to, pool, ending))
    }
}

/// A thread's state.
pub(crate) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    gauge: Arc<Gauge>,
    seats: Vec<Seat>,
    sources: Vec<Option<Ipv4Addr>>,
    lines: Vec<Thread>,
    /// The lines that a seat writes on.
    writes_on: Vec<Vec<u32>>,
    /// The lines that reach a seat.
    reads_on: Vec<Vec<u32>>,
    poll: Poll,
    alarm: Alarm,
    alarm_runs: bool,
    /// Nanoseconds since the run's beginning, read once a turn and once a delivery.
    now: u64,
    buffer: Vec<u8>,
    /// Buffers of connections that have nothing to write.
    spare: Vec<Vec<u8>>,
    to_write: Vec<u32>,
    to_dial: VecDeque<u32>,
    /// Seats whose connections are to break.
    to_cut: VecDeque<u32>,
    /// When to dial again those whom the server has put off.
    later: BinaryHeap<Reverse<(u64, u32)>>,
    greetings: usize,
    /// Who is to acknowledge when at the latest. The delay is the same for all, so they are in order.
    acks: VecDeque<(u64, u32)>,
    parting: Vec<u32>,
    talk: Option<Talk>,
    count_from: u64,
    next_second: u64,
    counts: Counts,
    second_began_with: Counts,
    second: Histogram,
    stock: Stock,
    outcome: Outcome,
    leaving: bool,
}

impl Worker {
    /// The worker that plays this part; its first connection is the `first`th of all.
    pub(crate) fn new(
        (number, first): (usize, usize),
        part: &Part,
        per_address: usize,
        shared: Arc<Shared>,
        inbox: Arc<Inbox>,
        gauge: Arc<Gauge>,
    ) -> io::Result<Self> {
        let (poll, alarm) = (Poll::new()?, Alarm::new()?);
        poll.add_bell(inbox.bell().fd(), BELL)?;
        poll.add_bell(alarm.fd(), ALARM)?;
        let purpose = |device: usize| match device {
            _ if shared.returning => Purpose::LogIn,
            0 => Purpose::Register,
            _ => Purpose::Link,
        };
        let seats: Vec<_> = part.seats.iter().map(|place| Seat::new(*place, purpose(place.device))).collect();
        let (mut writes_on, mut reads_on) = (vec![Vec::new(); seats.len()], vec![Vec::new(); seats.len()]);
        let mut lines = Vec::with_capacity(part.courses.len());
        for (number, course) in (0..).zip(&part.courses) {
            let to = &shared.people[part.seats[course.to[0] as usize].person];
            let letter = Paper::new(&shared, number, to);
            writes_on[course.from as usize].push(number);
            course.to.iter().for_each(|seat| reads_on[*seat as usize].push(number));
            lines.push(Thread { from: course.from, to: course.to.clone(), letter, check: Line::new(course.to.len()) });
        }
        Ok(Self {
            number,
            sources: (0..seats.len()).map(|n| shared.target.source(shared.net, first + n, per_address)).collect(),
            shared,
            inbox,
            gauge,
            seats,
            lines,
            writes_on,
            reads_on,
            poll,
            alarm,
            alarm_runs: false,
            now: 0,
            buffer: vec![0; READ_BUFFER],
            spare: Vec::new(),
            to_write: Vec::new(),
            to_dial: VecDeque::new(),
            to_cut: VecDeque::new(),
            later: BinaryHeap::new(),
            greetings: 0,
            acks: VecDeque::new(),
            parting: Vec::new(),
            talk: None,
            count_from: 0,
            next_second: SECOND,
            counts: Counts::default(),
            second_began_with: Counts::default(),
            second: Histogram::default(),
            stock: Stock::default(),
            outcome: Outcome { chapters: vec![Chapter::default()], ..Outcome::default() },
            leaving: false,
        })
    }

    /// Plays until told to leave.
    pub(crate) fn run(mut self) -> io::Result<Outcome> {
        while !self.leaving {
            self.now = self.shared.now();
            self.take_mail()?;
            self.cut_some();
            self.dial_some();
            self.write_what_is_due();
            self.acknowledge_what_is_due();
            self.part();
            self.each_second();
            self.flush();
            self.gauge.show(self.counts);
            let wait = self.wait()?;
            for n in 0..self.poll.wait(wait)? {
                let happened = self.poll.happened(n);
                if let Ok(at) = u32::try_from(happened.token) {
                    self.happened(at, happened.readable, happened.writable);
                } else if happened.token == ALARM {
                    self.alarm.heard();
                }
            }
        }
        Ok(self.conclude())
    }

    fn take_mail(&mut self) -> io::Result<()> {
        let mail = self.inbox.take();
        for signed in mail.signed {
            self.answer_challenge(signed);
        }
        for order in mail.orders {
            self.obey(order)?;
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Dial(seats) => {
                // Whoever is still about to leave stays.
                seats.clone().for_each(|at| self.seats[at as usize].parting = false);
                self.to_dial.extend(seats);
            }
            Order::Cut(seats) => self.to_cut.extend(seats),
            Order::Goodbye(seats) => {
                for at in seats {
                    self.seats[at as usize].parting = true;
                    self.parting.push(at);
                }
            }
            Order::Seal(expected) => self.seal(expected),
            Order::Talk { lines, pace, count_from } => {
                self.count_from = count_from;
                self.talk = Some(Talk::new(lines, pace, self.now));
                self.alarm_runs = false;
                self.fill_windows();
            }
            Order::Hush => {
                self.talk = None;
                self.alarm_runs = false;
                self.alarm.off()?;
            }
            // Whoever asked may have given up.
            Order::Settle(done) => drop(done.try_send(())),
            Order::NextChapter => self.outcome.chapters.push(Chapter::default()),
            Order::Leave => self.leaving = true,
        }
        Ok(())
    }

    fn seal(&mut self, expected: u32) {
        for (line, thread) in (0..).zip(&self.lines) {
            let from = &self.shared.people[self.seats[thread.from as usize].place.person];
            let to = &self.shared.people[self.seats[thread.to[0] as usize].place.person];
            let first = thread.check.sent() + 1;
            for number in (first..first.saturating_add(expected)).filter(|number| is_planned(line, *number)) {
                if !self.stock.has_room() {
                    return;
                }
                let id = self.shared.numbering.id(line, number);
                self.stock.add(&self.shared.pool, Between { from, to }, (line, number), id, wall());
            }
        }
    }

    fn happened(&mut self, at: u32, readable: bool, writable: bool) {
        if writable {
            self.writable(at);
        }
        if readable {
            self.readable(at);
        }
    }

    fn readable(&mut self, at: u32) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(socket) = &self.seats[at as usize].socket {
            match socket::receive(socket, &mut buffer) {
                Moved::Some(bytes) => {
                    self.now = self.shared.now();
                    self.take_input(at, &buffer[..bytes]);
                    if bytes < buffer.len() {
                        break;
                    }
                }
                Moved::NotNow => break,
                Moved::Over => self.ended(at, "connection lost"),
            }
        }
        self.buffer = buffer;
    }

    /// Reads what is whole, and keeps the rest.
    fn take_input(&mut self, at: u32, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.seats[at as usize].input);
        if input.is_empty() {
            let used = self.take_frames(at, bytes);
            input.extend_from_slice(&bytes[used..]);
        } else {
            input.extend_from_slice(bytes);
            let used = self.take_frames(at, &input);
            input.drain(..used);
        }
        let seat = &mut self.seats[at as usize];
        if seat.socket.is_some() && !input.is_empty() {
            seat.input = input;
        }
    }

    fn writable(&mut self, at: u32) {
        if matches!(self.seats[at as usize].stage, Stage::Dialling) {
            self.dialled(at);
        }
        let seat = &mut self.seats[at as usize];
        if let (true, Some(socket)) = (seat.blocked, &seat.socket) {
            seat.blocked = false;
            // Fails only for a socket that is not watched.
            let _ = self.poll.change(socket, at.into(), false);
            self.write(at);
        }
    }

    /// Notes that a seat has something to write at the end of the turn.
    fn list(&mut self, at: u32) {
        let seat = &mut self.seats[at as usize];
        seat.last_sent = self.now;
        if !seat.listed {
            seat.listed = true;
            self.to_write.push(at);
        }
    }

    /// Where a seat's frames go: a buffer of its own only while it has something to write.
    fn output(&mut self, at: u32) -> &mut Vec<u8> {
        let output = &mut self.seats[at as usize].output;
        if output.capacity() == 0 {
            *output = self.spare.pop().unwrap_or_default();
        }
        output
    }

    /// One write for each connection, whatever was added in this turn.
    fn flush(&mut self) {
        let mut to_write = std::mem::take(&mut self.to_write);
        for at in to_write.drain(..) {
            self.seats[at as usize].listed = false;
            self.write(at);
        }
        self.to_write = to_write;
    }

    fn write(&mut self, at: u32) {
        let seat = &mut self.seats[at as usize];
        let Some(socket) = seat.socket.as_ref().filter(|_| !seat.blocked) else { return };
        while seat.written < seat.output.len() {
            match socket::send(socket, &seat.output[seat.written..]) {
                Moved::Some(bytes) => seat.written += bytes,
                Moved::NotNow => {
                    seat.blocked = true;
                    let _ = self.poll.change(socket, at.into(), true);
                    return;
                }
                Moved::Over => return self.ended(at, "connection lost"),
            }
        }
        let mut output = std::mem::take(&mut seat.output);
        seat.written = 0;
        output.clear();
        if self.spare.len() < 64 {
            self.spare.push(output);
        }
    }

    fn each_second(&mut self) {
        if self.now < self.next_second {
            return;
        }
        let counts = self.counts.since(self.second_began_with);
        self.second_began_with = self.counts;
        let second = self.next_second / SECOND - 1;
        self.gauge.passed(Moment { second, counts, delivery: std::mem::take(&mut self.second) });
        self.next_second = (self.now / SECOND + 1) * SECOND;
        for at in 0..self.seats.len() {
            let seat = &self.seats[at];
            if seat.is_here() && self.now - seat.last_sent > HEARTBEAT && !self.shared.dialect.is_foreign() {
                self.say(at as u32, &format!(r#"{{"type":"heartbeat","timestamp":{}}}"#, wall()));
            }
        }
    }

    /// How long nothing is to be done but listen.
    fn wait(&mut self) -> io::Result<Duration> {
        if self.leaving || !self.to_cut.is_empty() {
            return Ok(Duration::ZERO);
        }
        self.set_alarm()?;
        let ack = self.acks.front().map(|(at, _)| *at);
        let later = self.later.peek().map(|Reverse((at, _))| *at);
        let next = [ack, later].into_iter().flatten().fold(self.next_second, u64::min);
        Ok(Duration::from_nanos(next.saturating_sub(self.shared.now())))
    }

    /// A fault, with words for the first few.
    fn fault(&mut self, fault: Fault, what: impl FnOnce() -> String) {
        self.counts.faults += 1;
        *self.outcome.faults.entry(fault).or_default() += 1;
        self.example(|| format!("{}: {}", fault.name(), what()));
    }

    /// Counts something that is no breach.
    fn trouble(&mut self, what: String) {
        *self.outcome.troubles.entry(what).or_default() += 1;
    }

    /// The same, with words for the first ones of its kind: there is room for those of other kinds.
    fn trouble_at(&mut self, at: u32, what: String, words: impl FnOnce(String) -> String) {
        let count = self.outcome.troubles.entry(what).or_default();
        *count += 1;
        if *count <= 2 {
            let who = self.who(at);
            self.example(|| words(who));
        }
    }

    fn example(&mut self, what: impl FnOnce() -> String) {
        if self.outcome.examples.len() < Outcome::EXAMPLES {
            self.outcome.examples.push(what());
        }
    }

    /// Who sits there, for people to read.
    fn who(&self, at: u32) -> String {
        let place = self.seats[at as usize].place;
        format!("{} (device {})", self.shared.people[place.person].name(), place.device + 1)
    }

    fn conclude(mut self) -> Outcome {
        for (number, thread) in self.lines.iter().enumerate() {
            self.outcome.lost += thread.check.lost();
            self.outcome.unanswered += thread.check.unanswered();
            for lost in thread.check.first_lost(2) {
                if self.outcome.examples.len() < Outcome::EXAMPLES {
                    let (from, to) = (self.who(thread.from), self.who(thread.to[0]));
                    let id = self.shared.numbering.id(number as u32, lost);
                    self.outcome.examples.push(format!("lost: message {lost} ({id}) from {from} to {to}"));
                }
            }
        }
        let people = &self.shared.people;
        let seat = |at: u32| {
            let place = self.seats[at as usize].place;
            (&people[place.person], place.device)
        };
        let person = |name: &Username| self.shared.by_name.get(name).map(|n| &people[*n]);
        self.outcome.proof = std::mem::take(&mut self.stock).open_all(&self.shared.pool, wall(), seat, person);
        self.outcome.counts = self.counts;
        self.outcome
    }
}
