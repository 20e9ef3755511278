//! One connection: the log-in, its renewal, signs of life, and its end (protocol section 5).

use std::collections::VecDeque;

use rand_core::CryptoRng;
use sealwire_e2ee::auth::to_sign;
use sealwire_e2ee::provider::RsaOutcome;
use sealwire_protocol::frames::{Challenge, ClientFrame, Heartbeat, Request, ServerFrame};
use sealwire_protocol::signed::Purpose;

use super::{Asker, Core, Effect, Now, Outcomes, Work};
use crate::backoff::asked;
use crate::error::Error;
use crate::handshake::{Handshake, Identity};
use crate::mending::Mending;
use crate::storage::Storage;

/// How long the server is given to let us in, in milliseconds.
const LOG_IN: u64 = 15_000;
/// After so long without a word of ours a heartbeat is sent, in milliseconds.
const HEARTBEAT: u64 = 25_000;
/// Each challenge costs a signature. An honest server sends one at the start, at most five more after errors, and one before
/// the end of each session.
const CHALLENGES: usize = 10;
/// Within so long no more than [`CHALLENGES`] are answered, in milliseconds.
const CHALLENGES_WITHIN: u64 = 60_000;
/// The server answers heartbeats: who says nothing for so long is gone; in milliseconds.
const SILENCE: u64 = 75_000;

/// A connection that is open. Times are those of the clock that does not go back.
#[derive(Debug)]
pub(super) struct Line {
    handshake: Handshake,
    opened: u64,
    heard: u64,
    said: u64,
    had_room: bool,
    /// When the last challenges came, the oldest first.
    challenges: VecDeque<u64>,
    /// The `seq` of the next message.
    pub(super) next_seq: u64,
}

impl<S: Storage> Core<S> {
    /// A connection to the server is open.
    pub fn connected(&mut self, now: Now) {
        self.now = now;
        self.lines += 1;
        self.line = Some(Line {
            handshake: Handshake::new(self.origin.clone()),
            opened: now.ticks,
            heard: now.ticks,
            said: now.ticks,
            had_room: true,
            challenges: VecDeque::new(),
            next_seq: 1,
        });
    }

    /// The connection is lost, or was given up. What came before is still opened and stored, though it can no longer be
    /// acknowledged.
    pub fn disconnected(&mut self, now: Now) {
        self.now = now;
        self.line = None;
        self.online = false;
        self.challenge = None;
        self.outbox.disconnected(now.ticks);
        self.lookups.disconnected(now.ticks);
        self.presence.disconnected();
        self.rotation.disconnected();
        self.mending = Mending::default();
        self.queue_came = false;
        if !self.takes_more() {
            // They were not acknowledged: they come again, when there is room for them.
            self.inbox.clear();
            self.inbox_bytes = 0;
        }
        // The next challenge tells the time.
        self.awaits_time = false;
        for asker in self.requests.disconnected() {
            let lost = "the connection was lost before the server answered; ask again to find out what it has done";
            if let Asker::Program(ticket) = asker {
                self.answer(ticket, Err(Error::Connect(lost.to_owned())));
            }
        }
        self.effects.retain(|effect| !matches!(effect, Effect::Send(_)));
    }

    /// A text frame came.
    ///
    /// # Errors
    /// Why this connection is of no use: the server says what it must not say, or refuses this device.
    pub fn frame(&mut self, now: Now, text: &str) -> Result<(), Error> {
        self.now = now;
        let no_frame = |_| Error::Connect("the server sent something that is no frame".to_owned());
        let frame = serde_json::from_str(text).map_err(no_frame)?;
        if let Some(line) = &mut self.line {
            line.heard = now.ticks;
        }
        if self.online {
            return self.take(frame);
        }
        match frame {
            ServerFrame::Challenge(challenge) => self.challenged(challenge),
            ServerFrame::Session(session) => self.session(&session),
            ServerFrame::Error(error) => Err(Error::of_entry(*error).at_log_in()),
            ServerFrame::Reconnect(reconnect) => {
                self.asked_to_come_back(reconnect.after_ms);
                Ok(())
            }
            // Whatever else it says before the log-in.
            _ => Ok(()),
        }
    }

    pub(super) fn asked_to_come_back(&mut self, after_ms: u64) {
        self.effects.push_back(Effect::ComeBackAfter(asked(after_ms)));
    }

    /// Sends a frame on the present connection.
    pub(super) fn say(&mut self, frame: String) {
        if let Some(line) = &mut self.line {
            line.said = self.now.ticks;
            self.effects.push_back(Effect::Send(frame));
        }
    }

    /// Nothing of a challenge is believed before it is checked, its time neither; and only so many are answered.
    pub(super) fn challenged(&mut self, challenge: Challenge) -> Result<(), Error> {
        let Some(line) = &mut self.line else { return Ok(()) };
        line.handshake.check(&challenge)?;
        let ticks = self.now.ticks;
        line.challenges.retain(|came| ticks < came.saturating_add(CHALLENGES_WITHIN));
        if line.challenges.len() >= CHALLENGES {
            return Err(Error::Connect("the server sends one challenge after the other".to_owned()));
        }
        line.challenges.push_back(ticks);
        self.correction.observe(challenge.server_time, self.now.wall);
        self.challenge = Some(challenge);
        Ok(())
    }

    /// The answer to a challenge: a log-in, whatever the server may want.
    pub(super) fn answer_challenge(&mut self, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        let (Some(challenge), Some(line)) = (self.challenge.take(), &mut self.line) else { return Ok(()) };
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let dsk_kid = &self.dsk.kid();
        let who = Identity { username: &self.account.username, device: &self.account.device, dsk_kid };
        let job = to_sign(&line.handshake.to_sign(&challenge, Purpose::LogIn, who, &nonce)?);
        self.run(Work::Auth { line: self.lines, nonce }, vec![job]);
        Ok(())
    }

    pub(super) fn auth_signed(&mut self, line: u64, nonce: [u8; 32], outcomes: Outcomes) -> Result<(), Error> {
        if line != self.lines {
            return Ok(());
        }
        let signature = match outcomes.into_iter().next() {
            Some(Ok(RsaOutcome::Signature(signature))) => signature,
            Some(Err(failure)) => return Err(Error::Connect(failure.to_string())),
            _ => return Err(Error::Connect("the private keys cannot be used now".to_owned())),
        };
        let dsk_kid = &self.dsk.kid();
        let who = Identity { username: &self.account.username, device: &self.account.device, dsk_kid };
        let auth = who.log_in(nonce, signature);
        self.say(ClientFrame::from(Request::Auth(Box::new(auth))).to_json());
        Ok(())
    }

    /// Gives up on a server that does not let in or says nothing, and shows that this side lives.
    pub(super) fn keep_line(&mut self) -> Result<(), Error> {
        let has_room = self.has_room();
        let ticks = self.now.ticks;
        let Some(line) = &mut self.line else { return Ok(()) };
        if !self.online {
            let late = ticks >= line.opened.saturating_add(LOG_IN);
            let error = || Error::Connect("the server did not let us in in time".to_owned());
            return if late { Err(error()) } else { Ok(()) };
        }
        if has_room && !line.had_room {
            // Nothing was heard because nothing was read.
            line.heard = ticks;
        }
        line.had_room = has_room;
        if has_room && ticks >= line.heard.saturating_add(SILENCE) {
            return Err(Error::Connect("the server has fallen silent".to_owned()));
        }
        if ticks >= line.said.saturating_add(HEARTBEAT) {
            self.heartbeat();
        }
        Ok(())
    }

    pub(super) fn heartbeat(&mut self) {
        let heartbeat = Request::Heartbeat(Heartbeat { timestamp: self.now.wall });
        self.say(ClientFrame::from(heartbeat).to_json());
    }

    /// When the connection needs to be looked after.
    pub(super) fn line_wake_at(&self) -> Option<u64> {
        let line = self.line.as_ref()?;
        if !self.online {
            return Some(line.opened.saturating_add(LOG_IN));
        }
        let silence = self.has_room().then_some(line.heard.saturating_add(SILENCE));
        Some(silence.unwrap_or(u64::MAX).min(line.said.saturating_add(HEARTBEAT)))
    }
}
