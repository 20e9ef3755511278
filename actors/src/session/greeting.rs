//! Before the log-in: challenges and what may be sent in answer (protocol section 5). Pure; signatures are checked by the
//! caller.

use std::time::Duration;

use sealwire_protocol::ErrorCode;
use sealwire_protocol::base64::Array;
use sealwire_protocol::frames::Challenge;

use crate::clock::{Now, millis};

/// How many challenges a connection is given before it has logged in.
const CHALLENGES: u32 = 5;

/// What names a connection: in every challenge, and in what is signed in answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Channel {
    /// The origin that the client reached us by.
    pub(crate) origin: String,
    /// Random.
    pub(crate) id: [u8; 16],
}

/// A challenge that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) nonce: [u8; 32],
    pub(crate) server_time: u64,
    pub(crate) expires_at: u64,
    issued: u64,
}

impl Open {
    /// A fresh challenge.
    pub(crate) fn new(nonce: [u8; 32], now: Now, life: Duration) -> Self {
        Self { nonce, server_time: now.wall, expires_at: now.wall + millis(life), issued: now.mono }
    }

    /// The challenge as it is sent.
    pub(crate) fn frame(&self, channel: &Channel, id: Option<String>) -> Challenge {
        Challenge {
            id,
            v: 1,
            origin: channel.origin.clone(),
            channel_id: Array(channel.id),
            nonce: Array(self.nonce),
            server_time: self.server_time,
            expires_at: self.expires_at,
        }
    }

    fn age(&self, now: Now) -> u64 {
        now.mono.saturating_sub(self.issued)
    }
}

/// Which links of a chain a backup is asked for with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) name: String,
    /// As good as a password, so there is no `Debug`.
    pub(crate) id: [u8; 32],
    /// Those after this version.
    pub(crate) since: u64,
}

/// Without the id.
impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("since", &self.since).finish_non_exhaustive()
    }
}

/// A frame that is not allowed any more before the log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// A connection that has not logged in.
#[derive(Debug)]
pub(crate) struct Greeting {
    open: Option<Open>,
    challenges: u32,
    frames: u32,
    most_frames: u32,
    life: Duration,
    /// A new device is being linked: there is more time, and more is said.
    linking: bool,
    /// It has left something for an old one.
    filled: bool,
    /// The page of a backup that it was given last, if there are more.
    given: Option<Page>,
}

impl Greeting {
    /// A connection that has just been made.
    pub(crate) fn new(most_frames: u32, life: Duration) -> Self {
        Self { open: None, challenges: 0, frames: 0, most_frames, life, linking: false, filled: false, given: None }
    }

    /// Counts a frame.
    pub(crate) fn frame(&mut self) -> Result<(), TooMuch> {
        self.frames += 1;
        if self.frames > self.most_frames { Err(TooMuch) } else { Ok(()) }
    }

    /// A new device is being linked on this connection, which may send `most_frames` from here on. True the first time.
    pub(crate) fn links(&mut self, most_frames: u32) -> bool {
        self.most_frames = self.most_frames.max(most_frames);
        !std::mem::replace(&mut self.linking, true)
    }

    /// The device has left something under its code. A connection does so once: it has one device, and the room for all is
    /// bounded. False when it has before.
    pub(crate) fn fills(&mut self) -> bool {
        !std::mem::replace(&mut self.filled, true)
    }

    /// It was given a page of a backup; whether there are more.
    pub(crate) fn given(&mut self, page: Page, more: bool) {
        self.given = more.then_some(page);
    }

    /// Whether a page follows the one that was given, in the same chain under the same id. Then its frame does not count.
    pub(crate) fn continues(&mut self, page: &Page) -> bool {
        let follows = |last: &Page| last.name == page.name && last.id == page.id && last.since < page.since;
        let continues = self.given.take().as_ref().is_some_and(follows);
        self.frames -= u32::from(continues);
        continues
    }

    /// Whether a new device is being linked.
    pub(crate) fn is_linking(&self) -> bool {
        self.linking
    }

    /// The open challenge, or a fresh one with this nonce. Whoever asks is about to answer: one that has used up half of
    /// the `limit` on an answer is replaced, so that there is time left.
    pub(crate) fn challenge(&mut self, nonce: [u8; 32], now: Now, limit: Duration) -> Result<Open, TooMuch> {
        let is_young = |open: &&Open| open.age(now) < millis(limit.min(self.life)) / 2;
        if let Some(open) = self.open.as_ref().filter(is_young) {
            return Ok(open.clone());
        }
        self.fresh(nonce, now)
    }

    /// A fresh challenge in place of any other.
    pub(crate) fn fresh(&mut self, nonce: [u8; 32], now: Now) -> Result<Open, TooMuch> {
        self.challenges += 1;
        if self.challenges > CHALLENGES {
            return Err(TooMuch);
        }
        let open = Open::new(nonce, now, self.life);
        self.open = Some(open.clone());
        Ok(open)
    }

    /// Uses the open challenge up for an answer that may come within `limit`.
    ///
    /// # Errors
    /// `auth_failed` when there is none (it was used), `auth_timeout` when it is too old.
    pub(crate) fn answer(&mut self, now: Now, limit: Duration) -> Result<Open, ErrorCode> {
        let open = self.open.take().ok_or(ErrorCode::AuthFailed)?;
        if open.age(now) < millis(limit) { Ok(open) } else { Err(ErrorCode::AuthTimeout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(30);
    const LOG_IN: Duration = Duration::from_secs(10);

    fn at(mono: u64) -> Now {
        Now { wall: 1_000_000 + mono, mono }
    }

    #[test]
    fn a_challenge_is_good_for_one_answer() {
        let mut greeting = Greeting::new(4, LIFE);
        let first = greeting.challenge([1; 32], at(0), LOG_IN).unwrap();
        assert_eq!(greeting.challenge([2; 32], at(4_999), LOG_IN), Ok(first.clone()));
        assert_eq!(greeting.answer(at(5_002), LOG_IN), Ok(first));
        assert_eq!(greeting.answer(at(5_003), LOG_IN), Err(ErrorCode::AuthFailed));
        assert_eq!(greeting.challenge([3; 32], at(5_004), LOG_IN).map(|open| open.nonce), Ok([3; 32]));
    }

    #[test]
    fn a_late_answer_is_told_so() {
        let mut greeting = Greeting::new(4, LIFE);
        greeting.challenge([1; 32], at(0), LOG_IN).unwrap();
        assert_eq!(greeting.answer(at(10_000), LOG_IN), Err(ErrorCode::AuthTimeout));
        greeting.challenge([2; 32], at(10_000), LOG_IN).unwrap();
        assert!(greeting.answer(at(39_999), LIFE).is_ok());
    }

    #[test]
    fn a_challenge_that_is_asked_for_leaves_time_to_answer_it() {
        let mut greeting = Greeting::new(4, LIFE);
        greeting.challenge([1; 32], at(0), LOG_IN).unwrap();
        assert_eq!(greeting.challenge([2; 32], at(5_000), LOG_IN).map(|open| open.nonce), Ok([2; 32]));
        assert!(greeting.answer(at(14_999), LOG_IN).is_ok());
    }

    #[test]
    fn linking_takes_more_frames() {
        let mut greeting = Greeting::new(1, LIFE);
        assert_eq!(greeting.frame(), Ok(()));
        assert!(greeting.links(3) && !greeting.links(3) && greeting.is_linking());
        assert_eq!([greeting.frame(), greeting.frame(), greeting.frame()], [Ok(()), Ok(()), Err(TooMuch)]);
    }

    #[test]
    fn the_next_page_of_a_backup_costs_no_frame() {
        let page = |id, since| Page { name: "alice".to_owned(), id: [id; 32], since };
        let mut greeting = Greeting::new(1, LIFE);
        assert!(greeting.frame().is_ok() && !greeting.continues(&page(1, 0)));
        greeting.given(page(1, 0), true);
        assert!(greeting.frame().is_err() && greeting.continues(&page(1, 50)));
        assert!(greeting.frame().is_err() && !greeting.continues(&page(1, 100)), "it was not given");
        for (given, more, next) in
            [(page(1, 0), false, page(1, 50)), (page(1, 50), true, page(1, 50)), (page(1, 0), true, page(2, 50))]
        {
            greeting.given(given, more);
            assert!(!greeting.continues(&next), "{next:?}");
        }
    }

    #[test]
    fn challenges_and_frames_are_counted() {
        let mut greeting = Greeting::new(2, LIFE);
        assert!((0..CHALLENGES).all(|n| greeting.fresh([0; 32], at(n.into())).is_ok()));
        assert_eq!(greeting.fresh([0; 32], at(9)), Err(TooMuch));
        assert_eq!([greeting.frame(), greeting.frame(), greeting.frame()], [Ok(()), Ok(()), Err(TooMuch)]);
    }
}
