//! Signature checks: RSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes (protocol section 2), on threads that may
//! block, behind a bounded queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use sealwire_protocol::spki::Spki;
use tokio::sync::Semaphore;

use crate::metrics::{Labelled, Metric, Samples, Verified};

/// One signature over some bytes.
pub(crate) struct Check {
    pub(crate) key: Spki,
    pub(crate) bytes: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Check {
    fn holds(&self) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, self.key.as_bytes());
        key.verify(&self.bytes, &self.signature).is_ok()
    }
}

/// No thread came free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// Checks signatures.
pub(crate) struct Verifier {
    threads: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
    patience: Duration,
    stranger: Spki,
    counts: Labelled<Verified>,
}

impl Verifier {
    /// A verifier for `threads` checks at once. `stranger` stands in for the key of a name that nobody has.
    pub(crate) fn new(threads: usize, most_waiting: usize, patience: Duration, stranger: Spki) -> Self {
        Self {
            threads: Semaphore::new(threads),
            waiting: AtomicUsize::new(0),
            most_waiting,
            patience,
            stranger,
            counts: Labelled::default(),
        }
    }

    /// A key that nobody has, so that an unknown name costs the same work as a wrong signature.
    pub(crate) fn stranger(&self) -> Spki {
        self.stranger.clone()
    }

    /// How many of the checks hold, from the first on: fewer than all means that the next one does not.
    ///
    /// # Errors
    /// [`Busy`] when too many wait already or the wait grows too long.
    pub(crate) async fn count_good(&self, checks: Vec<Check>) -> Result<usize, Busy> {
        let good = self.good(checks).await;
        self.counts.add(if good.is_ok() { Verified::Checked } else { Verified::Busy });
        good
    }

    async fn good(&self, checks: Vec<Check>) -> Result<usize, Busy> {
        let waiting = Waiting::enter(&self.waiting, self.most_waiting)?;
        let permit = tokio::time::timeout(self.patience, self.threads.acquire()).await;
        let Ok(Ok(permit)) = permit else { return Err(Busy) };
        drop(waiting);
        let checked = tokio::task::spawn_blocking(move || {
            yield_to_talk();
            checks.iter().take_while(|check| check.holds()).count()
        });
        let checked = checked.await;
        drop(permit);
        checked.map_err(|_| Busy)
    }
}

impl Verifier {
    /// Says how many wait, and what was asked for.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        samples.gauge(Metric::VerificationsWaiting, &[], self.waiting.load(Ordering::Relaxed));
        samples.labelled(Metric::Verifications, &self.counts);
    }
}

/// Makes this thread nicer than those that pass messages on: when thousands come back at once, who talks must not wait for
/// their log-ins. On Linux this is the thread's own; where it is refused, or elsewhere, checks only compete more.
fn yield_to_talk() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, most: usize) -> Result<Self, Busy> {
        let place = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) < most { Ok(place) } else { Err(Busy) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A well-formed key from random bytes, for [`Verifier::stranger`]. Nobody knows its factors, this node included.
pub(crate) fn stranger_key(mut modulus: [u8; 512]) -> Option<Spki> {
    modulus[0] |= 0x80;
    modulus[511] |= 1;
    let der = [SPKI_HEAD, &modulus, SPKI_TAIL].concat();
    Spki::parse(&der).ok()
}

/// SubjectPublicKeyInfo of an RSA-4096 key up to its modulus (RFC 8017, appendix A.1.1), and from there.
const SPKI_HEAD: &[u8] = &[
    0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x02, 0x0f, 0x00, 0x30, 0x82, 0x02, 0x0a, 0x02, 0x82, 0x02, 0x01, 0x00,
];
const SPKI_TAIL: &[u8] = &[0x02, 0x03, 0x01, 0x00, 0x01];

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier(most_waiting: usize) -> Verifier {
        let stranger = stranger_key([7; 512]).expect("a well-formed key");
        Verifier::new(1, most_waiting, Duration::from_secs(60), stranger)
    }

    #[tokio::test]
    async fn a_stranger_has_signed_nothing() {
        let verifier = verifier(1);
        let check = Check { key: verifier.stranger(), bytes: vec![1], signature: vec![2; 512] };
        assert_eq!(verifier.count_good(vec![check]).await, Ok(0));
        assert_eq!(verifier.count_good(vec![]).await, Ok(0));
    }

    #[tokio::test]
    async fn a_full_queue_is_told_at_once() {
        assert_eq!(verifier(0).count_good(vec![]).await, Err(Busy));
    }
}
