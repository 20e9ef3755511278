//! What is written when, and what is heard (protocol section 6).

use std::ops::Range;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{ErrorFrame, ServerFrame, Status};

use super::{MILLI, OUTPUT, Pace, Paper, SECOND, Worker};
use crate::check::{Answer, Arrival, Fault};
use crate::letter::{self, STAMP};

/// Protocol section 6: an acknowledgement waits for 32 messages at most.
const ACK_AFTER: u64 = 32;
/// Messages of a thread that may be unanswered; beyond that an open loop is late rather than out of memory.
const UNANSWERED: u64 = 400_000;

/// Who writes, and how fast.
pub(super) struct Talk {
    range: Range<u32>,
    /// In the order of an open loop, which is no order that a server could have an advantage of.
    lines: Vec<u32>,
    pace: Pace,
    began: u64,
    /// How many turns an open loop has had.
    turns: u64,
}

impl Talk {
    pub(super) fn new(range: Range<u32>, pace: Pace, now: u64) -> Self {
        let mut lines: Vec<_> = range.clone().collect();
        lines.shuffle(&mut rand::rng());
        Self { range, lines, pace, began: now, turns: 0 }
    }

    /// When the next message of an open loop is due, and on which line.
    fn next(&self) -> Option<(u64, u32)> {
        let Pace::Open { per_second } = self.pace else { return None };
        let line = *self.lines.get(usize::try_from(self.turns).ok()? % self.lines.len().max(1))?;
        let due = self.began + (self.turns as f64 * SECOND as f64 / per_second) as u64;
        (per_second > 0.0).then_some((due, line))
    }
}

impl Worker {
    /// Writes what an open loop has due.
    pub(super) fn write_what_is_due(&mut self) {
        let stamp = Self::stamp();
        while let Some(talk) = &mut self.talk {
            let Some((due, line)) = talk.next().filter(|(due, _)| *due <= self.now) else { return };
            if self.counts.unanswered > UNANSWERED {
                return;
            }
            let seat = &self.seats[self.lines[line as usize].from as usize];
            if seat.output.len() - seat.written > OUTPUT {
                return;
            }
            talk.turns += 1;
            // Who is away does not write; their turn passes.
            if seat.is_here() && !seat.parting {
                self.write_message(line, due, &stamp);
            }
        }
    }

    /// Opens the windows of a closed loop.
    pub(super) fn fill_windows(&mut self) {
        let Some(Talk { pace: Pace::Closed { window, each }, range, .. }) = &self.talk else { return };
        let (window, each, range) = (*window, *each, range.clone());
        let stamp = Self::stamp();
        for line in range {
            for _ in 0..window.min(each) {
                self.write_message(line, self.now, &stamp);
            }
        }
    }

    /// In a closed loop an answer makes room for the next message. A server of another protocol answers when it has taken a message, and so would be
    /// given more than it delivers: there the message must have come as well.
    pub(super) fn write_next(&mut self, line: u32, number: u32) {
        let Some(Talk { pace: Pace::Closed { each, .. }, range, .. }) = &self.talk else { return };
        let thread = &mut self.lines[line as usize];
        if self.shared.dialect.is_foreign() && !thread.check.is_over(number) {
            return;
        }
        if range.contains(&line) && thread.check.sent() < *each && self.seats[thread.from as usize].is_here() {
            self.write_message(line, self.now, &Self::stamp());
        }
    }

    fn write_message(&mut self, line: u32, due: u64, stamp: &[u8; STAMP]) {
        let thread = &mut self.lines[line as usize];
        let (from, copies) = (thread.from, thread.to.len() as u64);
        let number = thread.check.send(due);
        let ack = self.seats[from as usize].take_ack();
        let sealed = self.stock.take(line, number);
        // Taken out for the moment, so that the letter can be read meanwhile.
        let mut output = std::mem::take(self.output(from));
        match (&self.lines[line as usize].letter, sealed) {
            (_, Some(rest)) => letter::write_sealed(&mut output, &rest, ack),
            (Paper::Own(letter), None) => letter.write(&mut output, number, stamp, ack),
            (Paper::Foreign(letter), None) => {
                self.seats[from as usize].foreign.write(letter, line, number, &mut output)
            }
        }
        self.seats[from as usize].output = output;
        self.counts.sent += 1;
        self.counts.copies += copies;
        self.counts.missing += copies;
        self.counts.unanswered += 1;
        self.list(from);
    }

    /// Sets what wakes this thread for the next message of an open loop.
    pub(super) fn set_alarm(&mut self) -> std::io::Result<()> {
        let Some(talk) = &self.talk else { return Ok(()) };
        let (Some((due, _)), Pace::Open { per_second }) = (talk.next(), talk.pace) else { return Ok(()) };
        let tick = self.shared.tick;
        // Many a tick: it runs by itself. Few: one by one, so that each is on time.
        if per_second * tick as f64 > SECOND as f64 {
            if !self.alarm_runs {
                self.alarm_runs = true;
                self.alarm.set(Duration::from_nanos(tick), true)?;
            }
            return Ok(());
        }
        let wait = due.saturating_sub(self.shared.now());
        self.alarm.set(Duration::from_nanos(wait), false)
    }

    /// A message has come.
    pub(super) fn delivered(&mut self, at: u32, seq: u64, id: &[u8], text: &[u8]) {
        let seat = &mut self.seats[at as usize];
        if seq != seat.seen + 1 {
            let expected = seat.seen + 1;
            return self.ended(at, &format!("a message with seq {seq}, where {expected} was to come"));
        }
        seat.seen = seq;
        match seat.seen - seat.acked {
            1 => {
                seat.ack_at = self.now + self.shared.ack_delay;
                self.acks.push_back((seat.ack_at, at));
            }
            ACK_AFTER.. => self.acknowledge(at),
            _ => {}
        }
        if let Some((line, number)) = self.came(at, id) {
            self.stock.came(at, line, number, text);
        }
    }

    /// A message has come that may count; gives its line and number if they are known here.
    pub(super) fn came(&mut self, at: u32, id: &[u8]) -> Option<(u32, u32)> {
        let place = self.shared.numbering.read(id);
        let Some((line, number)) = place.filter(|(line, _)| (*line as usize) < self.lines.len()) else {
            let (who, id) = (self.who(at), String::from_utf8_lossy(id).into_owned());
            self.fault(Fault::Stray, || format!("message {id} of another run came to {who}"));
            return None;
        };
        let thread = &mut self.lines[line as usize];
        let Some(device) = thread.to.iter().position(|seat| *seat == at) else {
            let who = self.who(at);
            self.fault(Fault::Stray, || format!("message {number} of line {line} came to {who}"));
            return None;
        };
        match thread.check.arrived(device, number) {
            Arrival::New { due } => self.arrived(at, due),
            Arrival::Late { due } => {
                self.arrived(at, due);
                self.fault_on(Fault::OutOfOrder, line, number);
            }
            Arrival::Unpromised => self.counts.unpromised += 1,
            Arrival::Again => self.counts.again += 1,
            Arrival::Fault(fault) => self.fault_on(fault, line, number),
        }
        Some((line, number))
    }

    fn arrived(&mut self, at: u32, due: u64) {
        self.counts.arrived += 1;
        self.counts.missing -= 1;
        // How long mail waits for its reader says nothing about the server.
        if due < self.seats[at as usize].entered_at {
            self.counts.fetched += 1;
        } else if due >= self.count_from {
            let took = self.now.saturating_sub(due) / 1_000;
            self.second.record(took);
            if let Some(chapter) = self.outcome.chapters.last_mut() {
                chapter.delivery.record(took);
            }
        }
    }

    /// A message of this seat was answered by a status.
    pub(super) fn answered(&mut self, at: u32, id: &[u8], status: Status) {
        let Some((line, number)) = self.own(at, id) else {
            let (who, id) = (self.who(at), String::from_utf8_lossy(id).into_owned());
            return self.fault(Fault::Stray, || format!("a status for {id}, which {who} has not sent"));
        };
        self.told(line, number, status);
    }

    /// The sender of a message was told what became of it.
    pub(super) fn told(&mut self, line: u32, number: u32, status: Status) {
        match self.lines[line as usize].check.answered(number, status) {
            Answer::First { due } => {
                self.counts.answered += 1;
                self.counts.unanswered -= 1;
                self.counts.queued += u64::from(status == Status::Queued);
                if due >= self.count_from
                    && let Some(chapter) = self.outcome.chapters.last_mut()
                {
                    chapter.answer.record(self.now.saturating_sub(due) / 1_000);
                }
                self.write_next(line, number);
            }
            Answer::Second => {}
            Answer::Unpromised => self.counts.unpromised += 1,
            Answer::Fault(fault) => self.fault_on(fault, line, number),
        }
    }

    /// Line and number of a message that this seat has sent.
    fn own(&self, at: u32, id: &[u8]) -> Option<(u32, u32)> {
        let place = self.shared.numbering.read(id)?;
        self.lines.get(place.0 as usize).filter(|thread| thread.from == at).map(|_| place)
    }

    fn fault_on(&mut self, fault: Fault, line: u32, number: u32) {
        let thread = &self.lines[line as usize];
        let (from, to) = (self.who(thread.from), self.who(thread.to[0]));
        let id = self.shared.numbering.id(line, number);
        self.fault(fault, || format!("message {number} ({id}) from {from} to {to}"));
    }

    /// Everything but messages and statuses.
    pub(super) fn hear_other(&mut self, at: u32, frame: ServerFrame) {
        match frame {
            ServerFrame::Challenge(challenge) => self.challenged(at, &challenge),
            ServerFrame::Session(_) => self.entered(at),
            ServerFrame::Queue(queue) => {
                self.counts.emptied += 1;
                if let Some(missed) = queue.missed.filter(|missed| *missed > 0) {
                    let words = |who| format!("{who} was told that {missed} messages are missing");
                    self.trouble_at(at, "mail dropped from a full mailbox".to_owned(), words);
                }
            }
            ServerFrame::Error(error) => self.refused(at, &error),
            ServerFrame::Status(frame) => {
                for id in frame.message_ids {
                    self.answered(at, id.to_string().as_bytes(), frame.status);
                }
            }
            ServerFrame::Reconnect(_) => self.trouble("asked to reconnect: the server is about to go".to_owned()),
            _ => {}
        }
    }

    fn refused(&mut self, at: u32, error: &ErrorFrame) {
        let id = error.message_id.map(|id| id.to_string());
        let place = id.and_then(|id| self.own(at, id.as_bytes()));
        if !self.seats[at as usize].is_here() {
            return self.not_entered(at, error);
        }
        let words = |who| format!("{who} was answered with {}: {}", error.code, error.message);
        self.trouble_at(at, format!("refused: {}", error.code), words);
        if let Some((line, number)) = place {
            use ErrorCode::{Internal, RateLimited, ServerBusy, StoreUnavailable};
            let may_have_arrived = matches!(error.code, RateLimited | ServerBusy | StoreUnavailable | Internal);
            let refusal = self.lines[line as usize].check.refused(number, may_have_arrived);
            self.counts.refused += 1;
            self.counts.unanswered -= u64::from(refusal.was_unanswered);
            self.counts.missing -= u64::from(refusal.missing);
        }
    }

    /// Acknowledges what came and found no message to ride on.
    pub(super) fn acknowledge_what_is_due(&mut self) {
        // epoll's time-outs are whole milliseconds: what is due before the next one goes now, lest it be late.
        let until = self.now + MILLI / 2;
        while let Some((due, at)) = self.acks.front().copied().filter(|(due, _)| *due <= until) {
            self.acks.pop_front();
            // Otherwise a message took the acknowledgement along, and a later one has a time of its own.
            if self.seats[at as usize].ack_at == due {
                self.acknowledge(at);
            }
        }
    }

    /// Acknowledges all that came.
    pub(super) fn acknowledge(&mut self, at: u32) {
        let seat = &mut self.seats[at as usize];
        if !seat.is_here() {
            return;
        }
        if let Some(seq) = seat.take_ack() {
            self.counts.acks += 1;
            self.say(at, &format!(r#"{{"type":"ack","seq":{seq}}}"#));
        }
    }
}
