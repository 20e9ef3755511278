//! Safety numbers (protocol section 4, last part): what two people compare to know that nobody stands between them.

use std::fmt;

use sealwire_protocol::Username;
use sealwire_protocol::signed::push_lp;
use sealwire_protocol::spki::Spki;
use sha2::{Digest, Sha256};

const LABEL: &[u8] = b"sealwire/v1 fingerprint";
const VERSION: u16 = 1;
const ROUNDS: usize = 5_199;

/// Sixty digits, the same on both sides; shown as twelve groups of five.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNumber([String; 2]);

impl SafetyNumber {
    /// The number of two accounts, in whichever order.
    pub fn of(a: (&Username, &Spki), b: (&Username, &Spki)) -> Self {
        let mut sides = [fingerprint(a.0, a.1), fingerprint(b.0, b.1)];
        sides.sort();
        Self(sides)
    }

    /// The digits without separators.
    pub fn digits(&self) -> String {
        self.0.concat()
    }
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, digit) in self.0.iter().flat_map(|side| side.chars()).enumerate() {
            if i > 0 && i % 5 == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// One side's thirty digits.
fn fingerprint(username: &Username, aik: &Spki) -> String {
    let mut first = Vec::with_capacity(640);
    push_lp(&mut first, LABEL);
    first.extend_from_slice(&VERSION.to_be_bytes());
    push_lp(&mut first, aik.as_bytes());
    push_lp(&mut first, username.as_str().as_bytes());
    let hash = (0..ROUNDS).fold(Sha256::digest(&first), |hash, _| {
        Sha256::new().chain_update(hash).chain_update(aik.as_bytes()).finalize()
    });
    hash.as_chunks::<5>().0.iter().take(6).map(group).collect()
}

/// Five bytes, big-endian, as five digits.
fn group(bytes: &[u8; 5]) -> String {
    let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{:05}", number % 100_000)
}
