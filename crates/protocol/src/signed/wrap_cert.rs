//! WRAPCERT: a device signing key's word for a device wrap key (protocol section 3).

use super::{label, push_lp};
use crate::ids::{DeviceId, Username};
use crate::spki::Spki;

const MINUTE: u64 = 60 * 1000;
const DAY: u64 = 24 * 60 * MINUTE;

/// A wrap key and how long it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapCert {
    /// Starts at 1 and rises with every certificate of the device.
    pub seq: u64,
    /// The wrap key.
    pub dwk: Spki,
    /// From when, in milliseconds since 1970.
    pub not_before: u64,
    /// Until when, in milliseconds since 1970.
    pub not_after: u64,
}

/// A rule that a wrap certificate breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapCertError {
    /// `seq` is 0, or not above the last one's.
    #[error("a wrap certificate's seq starts at 1 and rises")]
    Seq,
    /// `notBefore` lies more than five minutes ahead.
    #[error(
        "a wrap certificate begins at most 5 minutes ahead, and this one later: the clock of the server, or that of the \
         device that made it, is wrong; let its operator or owner set it right"
    )]
    NotYet,
    /// `notAfter` is not after `notBefore`.
    #[error("a wrap certificate ends after it begins")]
    Empty,
    /// It lives longer than nine days.
    #[error("a wrap certificate lives at most 9 days")]
    TooLong,
    /// It ended so long ago that nothing is sealed for it any more.
    #[error("a wrap certificate is used at most 45 days past its end")]
    TooOld,
}

impl WrapCert {
    /// How far `not_before` may lie ahead, in milliseconds.
    pub const MAX_AHEAD: u64 = 5 * MINUTE;
    /// The longest life, in milliseconds.
    pub const MAX_LIFE: u64 = 9 * DAY;
    /// How long past `not_after` senders still use it, in milliseconds.
    pub const MAX_STALE: u64 = 45 * DAY;

    /// The bytes that the signing key of `device` signs.
    pub fn to_bytes(&self, username: &Username, device: &DeviceId) -> Vec<u8> {
        let mut out = Vec::with_capacity(700);
        push_lp(&mut out, label::WRAP_CERT.as_bytes());
        push_lp(&mut out, username.as_str().as_bytes());
        out.extend_from_slice(device.as_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        push_lp(&mut out, self.dwk.as_bytes());
        out.extend_from_slice(&self.not_before.to_be_bytes());
        out.extend_from_slice(&self.not_after.to_be_bytes());
        out
    }

    /// Checks the times when the certificate is new (`now` in milliseconds since 1970).
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_times(&self, now: u64) -> Result<(), WrapCertError> {
        if self.not_before > now.saturating_add(Self::MAX_AHEAD) {
            return Err(WrapCertError::NotYet);
        }
        match self.not_after.checked_sub(self.not_before) {
            None | Some(0) => Err(WrapCertError::Empty),
            Some(life) if life > Self::MAX_LIFE => Err(WrapCertError::TooLong),
            Some(_) => Ok(()),
        }
    }

    /// Checks that the certificate comes after the one with the sequence number `last` (0: there was none).
    ///
    /// # Errors
    /// [`WrapCertError::Seq`] when it does not.
    pub fn check_seq(&self, last: u64) -> Result<(), WrapCertError> {
        if self.seq > last { Ok(()) } else { Err(WrapCertError::Seq) }
    }

    /// Checks that a sender may still seal for it: its device may have been away, but not for too long.
    ///
    /// # Errors
    /// [`WrapCertError::TooOld`] beyond [`Self::MAX_STALE`], and whatever [`Self::check_times`] finds.
    pub fn check_usable(&self, now: u64) -> Result<(), WrapCertError> {
        self.check_times(now)?;
        if now > self.not_after.saturating_add(Self::MAX_STALE) { Err(WrapCertError::TooOld) } else { Ok(()) }
    }

    /// How long ago it ended, in milliseconds; 0 while it is good.
    pub fn stale_by(&self, now: u64) -> u64 {
        now.saturating_sub(self.not_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    fn cert(not_before: u64, not_after: u64) -> WrapCert {
        let dwk = Spki::parse(include_bytes!("../../tests/vectors/rsa4096.spki.der")).unwrap();
        WrapCert { seq: 1, dwk, not_before, not_after }
    }

    #[test]
    fn a_certificate_begins_at_most_five_minutes_ahead() {
        assert_eq!(cert(NOW + 5 * MINUTE, NOW + DAY).check_times(NOW), Ok(()));
        assert_eq!(cert(NOW + 5 * MINUTE + 1, NOW + DAY).check_times(NOW), Err(WrapCertError::NotYet));
        assert_eq!(cert(u64::MAX, u64::MAX).check_times(NOW), Err(WrapCertError::NotYet));
    }

    #[test]
    fn a_certificate_lives_at_most_nine_days() {
        assert_eq!(cert(NOW, NOW + 9 * DAY).check_times(NOW), Ok(()));
        assert_eq!(cert(NOW, NOW + 9 * DAY + 1).check_times(NOW), Err(WrapCertError::TooLong));
        assert_eq!(cert(0, u64::MAX).check_times(NOW), Err(WrapCertError::TooLong));
    }

    #[test]
    fn a_certificate_ends_after_it_begins() {
        assert_eq!(cert(NOW, NOW).check_times(NOW), Err(WrapCertError::Empty));
        assert_eq!(cert(NOW, NOW - 1).check_times(NOW), Err(WrapCertError::Empty));
    }

    #[test]
    fn the_sequence_starts_at_one_and_rises() {
        let first = cert(NOW, NOW + DAY);
        assert_eq!(first.check_seq(0), Ok(()));
        assert_eq!(first.check_seq(1), Err(WrapCertError::Seq));
        assert_eq!(WrapCert { seq: 0, ..first }.check_seq(0), Err(WrapCertError::Seq));
    }

    #[test]
    fn a_device_that_was_away_is_written_to_for_forty_five_days() {
        let cert = cert(NOW, NOW + 7 * DAY);
        assert_eq!(cert.check_usable(NOW + 52 * DAY), Ok(()));
        assert_eq!(cert.check_usable(NOW + 52 * DAY + 1), Err(WrapCertError::TooOld));
        assert_eq!(cert.stale_by(NOW + 8 * DAY), DAY);
        assert_eq!(cert.stale_by(NOW), 0);
    }
}
