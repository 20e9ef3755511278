//! A connection's stage. What a stage cannot do, it has no method for: a greeting one cannot send a message.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sealwire_protocol::{DeviceId, MessageId, Username};

use super::greeting::{Greeting, Open};
use super::inbox::Load;
use super::rates::{MINUTE, Rate};
use super::receiving::Receiving;
use super::sending::Sending;
use super::statuses::Statuses;
use crate::clock::{Now, millis};
use crate::presence::{Departure, Here, Watching};
use crate::quota::UserQuota;
use crate::settings::Settings;

/// How many refusals within a minute end a connection.
const REFUSALS: u32 = 2;
/// How many frames of a wrong shape within a minute end a connection.
const BAD_FRAMES: u32 = 4;

/// Where a connection stands.
pub(crate) enum Stage {
    /// It has not logged in.
    Greeting(Box<Greeting>),
    /// It has.
    Authenticated(Box<Authenticated>),
    /// It has been closed from here; what still comes is passed over.
    Closing,
}

/// A connection that has logged in.
pub(crate) struct Authenticated {
    pub(crate) username: Username,
    pub(crate) device: DeviceId,
    pub(crate) receiving: Receiving,
    pub(crate) sending: Sending,
    pub(crate) statuses: Statuses,
    pub(crate) quota: UserQuota,
    pub(crate) lookups: Rate,
    pub(crate) session_id: [u8; 16],
    pub(crate) life: Life,
    /// The right to leave the directory.
    pub(crate) departure: Arc<Departure>,
    /// How many lost copies the client was told of, until it has said something after that.
    pub(crate) told_missed: Option<u64>,
    /// The expired messages that the client was told of, until it has said something after that.
    pub(crate) told_expired: Vec<MessageId>,
    pub(crate) signals: Rate,
    /// Shows that the device is here, to whom the account lets it be seen.
    #[expect(dead_code, reason = "it is held, and acts when it is dropped")]
    pub(crate) here: Here,
    pub(crate) watching: Watching,
    /// Devices that this connection has sent to, in a cluster; bounded, so not all of them.
    pub(crate) contacts: HashSet<DeviceId>,
    /// How often the node had lost its lease when this was looked at last.
    pub(crate) losses: u64,
}

/// When a session ends, and whether it is being prolonged.
#[derive(Debug)]
pub(crate) struct Life {
    /// On the monotonic clock.
    ends: u64,
    renewal_before: u64,
    /// The challenge that an `auth` in answer prolongs the session by.
    renewal: Option<Box<Open>>,
    asked: bool,
}

impl Life {
    /// A session that begins, or is prolonged, now.
    pub(crate) fn new(now: Now, session: Duration, renewal_before: Duration) -> Self {
        Self { ends: now.after(session), renewal_before: millis(renewal_before), renewal: None, asked: false }
    }

    /// Whether the hour is over.
    pub(crate) fn is_over(&self, now: Now) -> bool {
        now.mono >= self.ends
    }

    /// Whether the client should be asked to prolong, once.
    pub(crate) fn should_ask(&mut self, now: Now) -> bool {
        let due = now.mono.saturating_add(self.renewal_before) >= self.ends;
        due && !std::mem::replace(&mut self.asked, due)
    }

    /// Opens a challenge, unless one is open that has not expired.
    pub(crate) fn challenge(&mut self, nonce: [u8; 32], now: Now, life: Duration) -> Open {
        let fresh = self.renewal.take().filter(|open| open.expires_at > now.wall);
        let open = fresh.unwrap_or_else(|| Box::new(Open::new(nonce, now, life)));
        Open::clone(self.renewal.insert(open))
    }

    /// Uses the challenge up.
    pub(crate) fn answer(&mut self, now: Now) -> Option<Open> {
        self.renewal.take().filter(|open| open.expires_at > now.wall).map(|open| *open)
    }

    fn next_deadline(&self) -> u64 {
        if self.asked { self.ends } else { self.ends.saturating_sub(self.renewal_before) }
    }
}

/// How many contacts a connection remembers. One that is forgotten costs a look into the store.
const CONTACTS: usize = 1_024;

impl Authenticated {
    /// This connection sends to these devices.
    pub(crate) fn note_contacts(&mut self, devices: impl IntoIterator<Item = DeviceId>) {
        if self.contacts.len() > CONTACTS {
            self.contacts = HashSet::new();
        }
        self.contacts.extend(devices);
    }

    /// How it stands.
    pub(crate) fn load(&self) -> Load {
        let (draining, in_flight) = (self.receiving.is_draining(), self.receiving.in_flight());
        Load { draining, in_flight, undecided: self.sending.undecided() }
    }

    /// When something is due by itself, on the monotonic clock.
    pub(crate) fn next_deadline(&self) -> u64 {
        self.receiving.next_deadline().map_or(u64::MAX, |due| due).min(self.life.next_deadline())
    }
}

/// How a connection behaves: frames that are too many or too bad end it.
#[derive(Debug)]
pub(crate) struct Conduct {
    frames: Rate,
    refusals: Rate,
    bad_frames: Rate,
}

/// What follows a frame that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection goes on.
    Tolerated,
    /// It ends.
    Enough,
}

impl Conduct {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            frames: Rate::new(settings.limits.frames_per_second, 1_000),
            refusals: Rate::new(REFUSALS, MINUTE),
            bad_frames: Rate::new(BAD_FRAMES, MINUTE),
        }
    }

    /// Counts a frame.
    ///
    /// # Errors
    /// Milliseconds until one would be taken.
    pub(crate) fn frame(&mut self, now: Now) -> Result<(), u64> {
        self.frames.take(now.mono)
    }

    /// Counts a `rate_limited`: the third within a minute is enough.
    pub(crate) fn refused(&mut self, now: Now) -> Verdict {
        if self.refusals.take(now.mono).is_ok() { Verdict::Tolerated } else { Verdict::Enough }
    }

    /// Counts a `bad_request`: the fifth within a minute is enough.
    pub(crate) fn bad_frame(&mut self, now: Now) -> Verdict {
        if self.bad_frames.take(now.mono).is_ok() { Verdict::Tolerated } else { Verdict::Enough }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64) -> Now {
        Now { wall: mono, mono }
    }

    const HOUR: Duration = Duration::from_secs(3_600);
    const MIN: Duration = Duration::from_secs(60);

    #[test]
    fn a_client_is_asked_once_to_prolong_its_session() {
        let mut life = Life::new(at(0), HOUR, MIN);
        assert!(!life.should_ask(at(3_539_999)));
        assert!(life.should_ask(at(3_540_000)) && !life.should_ask(at(3_540_001)));
        assert!(!life.is_over(at(3_599_999)) && life.is_over(at(3_600_000)));
    }

    #[test]
    fn a_renewal_takes_one_answer() {
        let mut life = Life::new(at(0), HOUR, MIN);
        assert_eq!(life.answer(at(1)), None);
        let open = life.challenge([1; 32], at(10), MIN);
        assert_eq!(life.challenge([2; 32], at(11), MIN), open);
        assert_eq!(life.answer(at(12)), Some(open));
        assert_eq!(life.answer(at(13)), None);
    }

    #[test]
    fn the_third_refusal_and_the_fifth_bad_frame_within_a_minute_are_enough() {
        let mut conduct = Conduct::new(&Settings::default());
        let refusals: Vec<Verdict> = (0..3).map(|n| conduct.refused(at(n))).collect();
        assert_eq!(refusals, [Verdict::Tolerated, Verdict::Tolerated, Verdict::Enough]);
        assert_eq!(conduct.refused(at(60_000)), Verdict::Tolerated);
        let bad: Vec<Verdict> = (0..5).map(|n| conduct.bad_frame(at(n))).collect();
        assert_eq!(bad.iter().filter(|verdict| **verdict == Verdict::Enough).count(), 1);
    }
}
