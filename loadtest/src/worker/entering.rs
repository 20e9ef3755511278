//! From dialling to the session (protocol section 5), and how connections end.

use std::cmp::Reverse;

use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Challenge, ErrorFrame};
use sealwire_protocol::signed::Purpose;

use super::seat::Stage;
use super::{SECOND, Worker, wall};
use crate::dialect::Dialect;
use crate::signers::{Job, Signed};
use crate::websocket::{self, Frame, Upgrade};
use crate::{hearing, socket};

/// After so many attempts in a row a connection is given up.
const ATTEMPTS: u32 = 10;

/// How many connections break in one turn.
const CUTS: usize = 32;

impl Worker {
    /// Breaks a few connections in a turn: breaking thousands takes this thread a tenth of a second, in which it would hear
    /// nobody who talks, and would count that as the server's.
    pub(super) fn cut_some(&mut self) {
        for _ in 0..CUTS {
            let Some(at) = self.to_cut.pop_front() else { return };
            self.hang_up(at);
        }
    }

    /// Dials those whose turn it is.
    pub(super) fn dial_some(&mut self) {
        while let Some(Reverse((_, seat))) = self.later.peek().copied().filter(|Reverse((at, _))| *at <= self.now) {
            self.later.pop();
            self.to_dial.push_back(seat);
        }
        while self.greetings < self.shared.greetings && self.to_cut.is_empty() {
            let Some(at) = self.to_dial.pop_front() else { return };
            if matches!(self.seats[at as usize].stage, Stage::Away) {
                self.dial(at);
            }
        }
    }

    fn dial(&mut self, at: u32) {
        let watched = socket::dial(self.shared.target.address(), self.sources[at as usize])
            .and_then(|socket| self.poll.add(&socket, at.into(), true).map(|()| socket));
        match watched {
            Ok(socket) => {
                self.greetings += 1;
                self.seats[at as usize].begin(socket);
            }
            Err(error) => self.put_off(at, &format!("cannot connect: {error}"), None),
        }
    }

    /// TCP is connected, or is not.
    pub(super) fn dialled(&mut self, at: u32) {
        let seat = &mut self.seats[at as usize];
        let Some(socket) = &seat.socket else { return };
        if let Err(error) = socket::connected(socket) {
            return self.ended(at, &format!("cannot connect: {error}"));
        }
        let _ = self.poll.change(socket, at.into(), false);
        seat.stage = Stage::Upgrading;
        let request = websocket::request(self.shared.target.host(), self.shared.dialect.subprotocol());
        self.output(at).extend_from_slice(request.as_bytes());
        self.list(at);
    }

    /// Reads what is whole; gives how many bytes that were.
    pub(super) fn take_frames(&mut self, at: u32, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.seats[at as usize].socket.is_some() {
            if matches!(self.seats[at as usize].stage, Stage::Dialling | Stage::Upgrading) {
                match websocket::upgrade(&bytes[used..]) {
                    Upgrade::Unfinished => break,
                    Upgrade::Taken(end) => {
                        used += end;
                        self.seats[at as usize].stage = Stage::Greeting;
                        self.greet(at);
                    }
                    Upgrade::Refused { status, retry_after } => self.upgrade_refused(at, status, retry_after),
                    Upgrade::Strange => self.ended(at, "no answer to a WebSocket handshake"),
                }
                continue;
            }
            match websocket::frame(&bytes[used..]) {
                Frame::Unfinished => break,
                Frame::Text(text, whole) => {
                    used += whole;
                    match self.shared.dialect {
                        Dialect::Sealwire => self.hear(at, text),
                        _ => self.hear_foreign(at, text),
                    }
                }
                Frame::Binary(bytes, whole) if self.shared.dialect.is_foreign() => {
                    used += whole;
                    self.hear_foreign(at, bytes);
                }
                Frame::Ping(payload, whole) => {
                    used += whole;
                    websocket::pong(self.output(at), payload);
                    self.list(at);
                }
                Frame::Nothing(whole) => used += whole,
                Frame::Close(code) => {
                    self.ended(at, &code.map_or("closed".to_owned(), |code| format!("closed with {code}")));
                }
                Frame::Strange | Frame::Binary(..) => self.ended(at, "not a WebSocket frame of this protocol"),
            }
        }
        used
    }

    fn upgrade_refused(&mut self, at: u32, status: u16, retry_after: Option<u64>) {
        let reason = format!("upgrade answered with HTTP {status}");
        self.greetings -= 1;
        self.seats[at as usize].clear();
        self.put_off(at, &reason, retry_after);
    }

    /// A challenge: of a log-in, or to prolong a session.
    pub(super) fn challenged(&mut self, at: u32, challenge: &Challenge) {
        if challenge.origin != self.shared.target.origin() {
            let reason = format!("the challenge names the origin {}, not the one that was dialled", challenge.origin);
            return self.ended(at, &reason);
        }
        let seat = &mut self.seats[at as usize];
        let purpose = if seat.is_here() { Purpose::LogIn } else { seat.purpose };
        let person = &self.shared.people[seat.place.person];
        let (entering, to_sign) =
            person.enter(&self.shared.pool, seat.place.device, purpose, challenge, rand::random());
        seat.entering = Some(entering);
        self.shared.desk.leave(Job { worker: self.number, seat: at, life: seat.life, to_sign });
    }

    /// The signatures for an answer to a challenge are there.
    pub(super) fn answer_challenge(&mut self, signed: Signed) {
        let seat = &mut self.seats[signed.seat as usize];
        let Some(entering) = seat.entering.take().filter(|_| seat.life == signed.life) else { return };
        let person = &self.shared.people[seat.place.person];
        let frame = person.answer(&self.shared.pool, seat.place.device, &entering, signed.signatures);
        self.say(signed.seat, &frame);
    }

    /// The log-in was taken, or a session prolonged.
    pub(super) fn entered(&mut self, at: u32) {
        let seat = &mut self.seats[at as usize];
        if seat.is_here() {
            return;
        }
        seat.stage = Stage::Here;
        seat.purpose = Purpose::LogIn;
        seat.attempts = 0;
        seat.entered_at = self.now;
        let device = seat.place.device;
        self.greetings -= 1;
        self.counts.here += 1;
        self.counts.entered += 1;
        for line in &self.reads_on[at as usize] {
            self.lines[*line as usize].check.connected(device);
        }
    }

    /// An error before the session. Where another attempt makes sense the server sends another challenge behind it.
    pub(super) fn not_entered(&mut self, at: u32, error: &ErrorFrame) {
        use ErrorCode::{Internal, RateLimited, ServerBusy, StoreUnavailable};
        if matches!(error.code, ServerBusy | StoreUnavailable | RateLimited | Internal) {
            self.counts.put_off += 1;
            return self.trouble(format!("log-in put off: {}", error.code));
        }
        self.greetings -= 1;
        self.seats[at as usize].clear();
        self.keep_out(at, &format!("log-in refused: {}: {}", error.code, error.message));
    }

    /// The connection is over.
    pub(super) fn ended(&mut self, at: u32, reason: &str) {
        let seat = &mut self.seats[at as usize];
        if seat.socket.is_none() {
            return;
        }
        let was_here = seat.is_here();
        seat.clear();
        if was_here {
            self.counts.here -= 1;
            self.counts.dropped += 1;
            let words = |who| format!("session of {who} ended: {reason}");
            self.trouble_at(at, format!("session ended: {reason}"), words);
        } else {
            self.greetings -= 1;
            self.put_off(at, reason, None);
        }
    }

    /// Tries again later, or not at all; like a client that backs off with full jitter.
    fn put_off(&mut self, at: u32, reason: &str, retry_after: Option<u64>) {
        self.trouble(format!("not let in: {reason}"));
        let seat = &mut self.seats[at as usize];
        seat.attempts += 1;
        if seat.attempts >= ATTEMPTS {
            return self.keep_out(at, reason);
        }
        self.counts.put_off += 1;
        let longest = SECOND << seat.attempts.min(5);
        let jitter = rand::random::<u64>() % longest;
        self.later.push(Reverse((self.now + retry_after.unwrap_or(0) * SECOND + jitter, at)));
    }

    pub(super) fn keep_out(&mut self, at: u32, reason: &str) {
        self.counts.kept_out += 1;
        let who = self.who(at);
        self.example(|| format!("{who} was kept out: {reason}"));
    }

    /// Ends a connection as a broken network does: without a word.
    pub(super) fn hang_up(&mut self, at: u32) {
        let seat = &mut self.seats[at as usize];
        if seat.is_here() {
            self.counts.here -= 1;
        } else if seat.socket.is_some() {
            self.greetings -= 1;
        }
        seat.clear();
    }

    /// Says goodbye for those who have nothing left to wait for.
    pub(super) fn part(&mut self) {
        if self.parting.is_empty() {
            return;
        }
        let mut parting = std::mem::take(&mut self.parting);
        parting.retain(|at| {
            if !self.seats[*at as usize].parting {
                return false;
            }
            let waits = |line: &u32| self.lines[*line as usize].check.unanswered() > 0;
            if self.seats[*at as usize].is_here() && self.writes_on[*at as usize].iter().any(waits) {
                return true;
            }
            self.acknowledge(*at);
            websocket::close(self.output(*at));
            self.write(*at);
            self.hang_up(*at);
            false
        });
        self.parting = parting;
    }

    /// Sends a text.
    pub(super) fn say(&mut self, at: u32, text: &str) {
        websocket::text(self.output(at), text.as_bytes());
        self.list(at);
    }

    /// Something that is no part of the protocol.
    pub(super) fn strange(&mut self, at: u32, text: &[u8]) {
        let begin = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
        self.example(|| format!("not a frame of the protocol: {begin}"));
        self.ended(at, "a frame that is not of the protocol");
    }

    fn hear(&mut self, at: u32, text: &[u8]) {
        match hearing::hear(text) {
            hearing::Heard::Message { seq, id } => self.delivered(at, seq, id.as_bytes(), text),
            hearing::Heard::Statuses { status, ids } => {
                hearing::each_id(ids).for_each(|id| self.answered(at, id, status));
            }
            hearing::Heard::Other(frame) => self.hear_other(at, *frame),
            hearing::Heard::Strange => self.strange(at, text),
        }
    }

    /// The time for a frame, in milliseconds since 1970.
    pub(super) fn stamp() -> [u8; crate::letter::STAMP] {
        crate::letter::stamp(wall())
    }
}
