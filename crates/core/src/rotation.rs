//! When a device makes its next wrap key, when it tells the server of it, and when it erases the old ones (protocol sections 2
//! and 3).
//!
//! Private keys, the profile and the connection are the caller's: it does what [`Rotation::next`] says and tells how that
//! went. Each step is stored before the next one is taken, so that a crash at any moment, or an answer that was lost, ends
//! with the same key and the same certificate.
//!
//! The server is believed in nothing that it could gain by: a number of a certificate counts only if this device's own
//! signature is on it ([`ServerHas`] is made of checked certificates), and no old key is erased before the server has said
//! itself, by the certificate that it shows, that it has the new one. A server that shows an old certificate again and again
//! keeps an old key alive, but only until nobody seals to it any more: 45 days past its end.

use sealwire_protocol::frames::{Keys, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Kid};
use sealwire_protocol::signed::WrapCert;
use sealwire_protocol::spki::Spki;

use crate::convert::cert_from_frame;
use crate::pins::PinError;

const HOUR: u64 = 60 * 60 * 1_000;
const DAY: u64 = 24 * HOUR;
/// After so long a wrap key is replaced, in milliseconds.
pub const ROTATE_AFTER: u64 = 7 * DAY;
/// How long the certificate of a new wrap key is good, in milliseconds. Longer than [`ROTATE_AFTER`], so that a device that
/// is off over a weekend is not behind.
pub const LIFE: u64 = WrapCert::MAX_LIFE;
/// How long a replaced key is held at least, in milliseconds. Servers take mail for it for 48 h.
pub const HELD_AFTER: u64 = 49 * HOUR;
/// How much longer a replaced key is held for envelopes that wait for their sender's keys, in milliseconds. Without a limit a
/// server could keep a key alive by an envelope that is never decided on.
pub const HELD_FOR_WAITING: u64 = 7 * DAY;
/// A message sealed to a key that was replaced so long before its time raises an alarm, in milliseconds.
pub const ALARM_AFTER: u64 = 9 * DAY;
/// How long nothing more is tried after the server has refused a key, or after a connection was renewed, in milliseconds.
const PAUSE: u64 = HOUR;
/// How long is waited after an answer that means "later" and names no time, in milliseconds.
const WAIT: u64 = 5_000;

/// A wrap key of this device, without its private half. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub kid: Kid,
    /// The number of its certificate.
    pub seq: u64,
    /// From when its certificate is good.
    pub not_before: u64,
    /// Until when.
    pub not_after: u64,
    /// Whether the server has accepted it.
    pub accepted: bool,
    /// When the server accepted a later one.
    pub replaced_at: Option<u64>,
}

/// What the server shows as this device's wrap key, on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerHas {
    /// It has not been asked yet.
    #[default]
    Unknown,
    /// None.
    Nothing,
    /// This one, under a certificate that this device has signed: the caller has checked that.
    Cert {
        /// The certificate's number.
        seq: u64,
        /// The key.
        kid: Kid,
    },
}

impl Held {
    /// A key with its certificate, as it is stored.
    pub fn new(cert: &WrapFrame, accepted: bool, replaced_at: Option<u64>) -> Self {
        let (seq, not_before, not_after) = (cert.seq, cert.not_before, cert.not_after);
        Self { kid: Kid::of(&cert.dwk.0), seq, not_before, not_after, accepted, replaced_at }
    }
}

impl ServerHas {
    /// Takes this device's certificate out of the server's answer for its account. It is judged here and not with those of
    /// others: a server that was restored may show an earlier one, and that is no attack but a reason to tell it again.
    ///
    /// # Errors
    /// [`PinError`] when there are two, or one that this device has not signed.
    pub fn take_from(keys: &mut Keys, device: &DeviceId, dsk: &Spki) -> Result<Self, PinError> {
        let (own, others) = std::mem::take(&mut keys.devices).into_iter().partition(|shown| shown.id == *device);
        keys.devices = others;
        let own: Vec<_> = own;
        match own.as_slice() {
            [] => Ok(Self::Nothing),
            [shown] => {
                let signed = cert_from_frame(&shown.wrap)?;
                signed.verify(&keys.username, device, dsk)?;
                Ok(Self::Cert { seq: signed.cert.seq, kid: signed.cert.dwk.kid() })
            }
            _ => Err(PinError::Stranger),
        }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a key (this takes seconds), certify it under this number, store both, then call [`Rotation::stored`].
    Make {
        /// The number of its certificate.
        seq: u64,
    },
    /// Send `rotate` with the stored certificate of this key; then call [`Rotation::accepted`], [`Rotation::refused`] or
    /// [`Rotation::later`].
    Tell(Kid),
    /// The server has forgotten what it accepted (it was restored, or lies): store that keys with a higher number are not
    /// accepted, and that none from this number on has been replaced; then call [`Rotation::forgotten`].
    Forgotten {
        /// The number of the certificate that the server shows; 0: none.
        seq: u64,
    },
    /// Erase the private key for good, then call [`Rotation::erased`].
    Erase(Kid),
    /// Make a new connection: only a new one tells by `queue` that the mailbox is empty.
    Reconnect,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds of a clock that never goes back.
    pub ticks: u64,
    /// Milliseconds since 1970, corrected by the server's clock.
    pub time: u64,
}

/// The wrap keys of a device, and how far their rotation is.
#[derive(Debug, Default)]
pub struct Rotation {
    /// By number.
    keys: Vec<Held>,
    server: ServerHas,
    /// When `queue` came on this connection.
    queue_at: Option<u64>,
    making: bool,
    telling: Option<Kid>,
    /// Nothing is made or told before, by the clock that does not go back.
    held_until: u64,
    reconnect_after: u64,
}

impl Rotation {
    /// With the keys that are stored, in any order.
    pub fn new(mut keys: Vec<Held>) -> Self {
        keys.sort_by_key(|key| key.seq);
        Self { keys, ..Self::default() }
    }

    /// The keys that are held, by the number of their certificates.
    pub fn keys(&self) -> &[Held] {
        &self.keys
    }

    /// The connection is gone. A key that is being made is still wanted.
    pub fn disconnected(&mut self) {
        self.server = ServerHas::Unknown;
        self.queue_at = None;
        self.telling = None;
    }

    /// `queue` came: all mail that lay in the mailbox has been delivered on this connection. The caller has stored it.
    pub fn mailbox_empty(&mut self, time: u64) {
        self.queue_at = Some(time);
    }

    /// The server was asked for this device's certificate.
    pub fn server_has(&mut self, server: ServerHas) {
        self.server = server;
    }

    /// What is to be done now, while connected. `waits` says whether an envelope that is sealed to a key has been stored as it
    /// came and waits for its sender's keys.
    pub fn next(&mut self, now: Moment, waits: impl Fn(&Kid) -> bool) -> Option<Step> {
        if let Some(seq) = self.forgotten_from() {
            return Some(Step::Forgotten { seq });
        }
        if let Some(key) = self.keys.iter().find(|key| self.is_over(key, now.time, &waits)) {
            return Some(Step::Erase(key.kid));
        }
        self.next_key(now).or_else(|| self.renewed_connection(now))
    }

    /// The number of the certificate that the server shows, 0 for none, if it has accepted a later one before.
    fn forgotten_from(&self) -> Option<u64> {
        let seq = match self.server {
            ServerHas::Cert { seq, kid } => self.holds(&kid).then_some(seq)?,
            ServerHas::Nothing => 0,
            ServerHas::Unknown => return None,
        };
        self.keys.iter().any(|key| key.accepted && key.seq > seq).then_some(seq)
    }

    fn next_key(&mut self, now: Moment) -> Option<Step> {
        let asked = !matches!(self.server, ServerHas::Unknown);
        if !asked || self.making || self.telling.is_some() || now.ticks < self.held_until {
            return None;
        }
        if let Some(kid) = self.untold(now.time) {
            self.telling = Some(kid);
            return Some(Step::Tell(kid));
        }
        if !self.is_due(now.time) {
            return None;
        }
        let Some(seq) = self.last_seq().checked_add(1) else {
            // Only this device could have counted so far. It goes on with the key that it has.
            self.held_until = now.ticks.saturating_add(PAUSE);
            return None;
        };
        self.making = true;
        Some(Step::Make { seq })
    }

    /// The last key, if the server is not known to have it and may still take it.
    fn untold(&self, time: u64) -> Option<Kid> {
        let last = self.keys.last()?;
        let numbered = match self.server {
            ServerHas::Cert { seq, kid } => last.seq > seq || last.kid == kid,
            ServerHas::Nothing | ServerHas::Unknown => true,
        };
        (!last.accepted && numbered && !is_ahead(last, time)).then_some(last.kid)
    }

    /// Whether another key is needed than those that are held; one that may still be told is none.
    fn is_due(&self, time: u64) -> bool {
        let unknown_key = matches!(self.server, ServerHas::Cert { kid, .. } if !self.holds(&kid));
        let Some(last) = self.keys.last() else { return true };
        unknown_key || !last.accepted || is_ahead(last, time) || time >= last.not_before.saturating_add(ROTATE_AFTER)
    }

    fn holds(&self, kid: &Kid) -> bool {
        self.keys.iter().any(|key| key.kid == *kid)
    }

    fn last_seq(&self) -> u64 {
        let shown = match self.server {
            ServerHas::Cert { seq, .. } => seq,
            _ => 0,
        };
        self.keys.last().map_or(0, |key| key.seq).max(shown)
    }

    /// Whether a key opens nothing any more that could still come.
    fn is_over(&self, key: &Held, time: u64, waits: &impl Fn(&Kid) -> bool) -> bool {
        let emptied_since = |from: u64| self.queue_at.is_some_and(|at| at >= from);
        let nobody_seals_from = key.not_after.saturating_add(WrapCert::MAX_STALE + HELD_AFTER);
        if emptied_since(nobody_seals_from) {
            return self.keys.last().is_some_and(|last| last.seq > key.seq);
        }
        let Some(free_from) = key.replaced_at.map(|at| at.saturating_add(HELD_AFTER)) else { return false };
        let has_later = matches!(self.server, ServerHas::Cert { seq, kid } if seq > key.seq && self.holds(&kid));
        let waited_for = !waits(&key.kid) || time >= free_from.saturating_add(HELD_FOR_WAITING);
        emptied_since(free_from) && has_later && waited_for
    }

    /// `queue` comes once on a connection: one that has lasted since before a key could go is given up for it.
    fn renewed_connection(&mut self, now: Moment) -> Option<Step> {
        let queue_at = self.queue_at?;
        let ripe = |key: &Held| key.replaced_at.map(|at| at.saturating_add(HELD_AFTER));
        let any = self.keys.iter().filter_map(ripe).any(|from| now.time >= from && queue_at < from);
        if !any || self.making || self.telling.is_some() || now.ticks < self.reconnect_after {
            return None;
        }
        self.reconnect_after = now.ticks.saturating_add(PAUSE);
        Some(Step::Reconnect)
    }

    /// The new key and its certificate are stored.
    pub fn stored(&mut self, key: Held) {
        self.making = false;
        self.keys.push(key);
        self.keys.sort_by_key(|key| key.seq);
    }

    /// No key could be made or stored: another time.
    pub fn not_made(&mut self, ticks: u64) {
        self.making = false;
        self.held_until = ticks.saturating_add(PAUSE);
    }

    /// The server has taken the key that it was told of; gives its id. The profile knows it already.
    pub fn accepted(&mut self, time: u64) -> Option<Kid> {
        let kid = self.telling.take()?;
        let seq = self.keys.iter().find(|key| key.kid == kid)?.seq;
        for key in &mut self.keys {
            if key.kid == kid {
                key.accepted = true;
            } else if key.seq < seq {
                key.replaced_at.get_or_insert(time);
            }
        }
        self.server = ServerHas::Cert { seq, kid };
        Some(kid)
    }

    /// The key that the server is being told of.
    pub fn telling(&self) -> Option<&Kid> {
        self.telling.as_ref()
    }

    /// The server does not take the key. The caller asks again for what the server has, which shows a number that was used
    /// already; else the same key is told again after a pause. No other key is made for a refusal alone: a server that takes
    /// none would be given one after the other.
    pub fn refused(&mut self, ticks: u64) {
        self.telling = None;
        self.held_until = ticks.saturating_add(PAUSE);
    }

    /// The server could not say now; the same is told again, after `wait` milliseconds if it named a time.
    pub fn later(&mut self, ticks: u64, wait: Option<u64>) {
        self.telling = None;
        self.held_until = ticks.saturating_add(wait.unwrap_or(WAIT).min(PAUSE));
    }

    /// It is stored that the server shows the certificate with this number.
    pub fn forgotten(&mut self, seq: u64) {
        for key in &mut self.keys {
            key.accepted &= key.seq <= seq;
            if key.seq >= seq {
                key.replaced_at = None;
            }
        }
    }

    /// The key is no more.
    pub fn erased(&mut self, kid: &Kid) {
        self.keys.retain(|key| key.kid != *kid);
    }

    /// Whether nothing is to be sent yet: the certificate that others seal for is over, and a new one is on its way
    /// (protocol section 3: a device that comes back rotates first thing). Not while the server refuses: what a person wrote
    /// is sent all the same.
    pub fn comes_first(&self, now: Moment) -> bool {
        let over = self.keys.iter().rfind(|key| key.accepted).is_some_and(|key| key.not_after < now.time);
        over && now.ticks >= self.held_until
    }

    /// Whether a message of this time should not have been sealed to a key any more.
    pub fn was_long_replaced(&self, kid: &Kid, timestamp: u64) -> bool {
        let replaced = self.keys.iter().find(|key| key.kid == *kid).and_then(|key| key.replaced_at);
        replaced.is_some_and(|at| timestamp > at.saturating_add(ALARM_AFTER))
    }

    /// When [`Self::next`] may have more to say by the passing of time alone, by the clock that does not go back.
    pub fn wake_at(&self, now: Moment) -> Option<u64> {
        let rotate = self.keys.last().map(|key| key.not_before.saturating_add(ROTATE_AFTER));
        let free = self.keys.iter().filter_map(|key| key.replaced_at).map(|at| at.saturating_add(HELD_AFTER));
        let waited = self.keys.iter().filter_map(|key| key.replaced_at);
        let waited = waited.map(|at| at.saturating_add(HELD_AFTER + HELD_FOR_WAITING));
        let times = rotate.into_iter().chain(free).chain(waited).filter(|at| *at > now.time);
        let times = times.map(|at| now.ticks.saturating_add(at - now.time));
        let pauses = [self.held_until, self.reconnect_after].into_iter().filter(|at| *at > now.ticks);
        times.chain(pauses).min()
    }
}

/// Whether a certificate begins so far ahead that nobody takes it: a clock, here or at the server, was wrong.
fn is_ahead(key: &Held, time: u64) -> bool {
    key.not_before > time.saturating_add(WrapCert::MAX_AHEAD)
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
