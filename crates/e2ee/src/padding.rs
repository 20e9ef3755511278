//! Padding (protocol section 4): 0x80, then zeros up to the Padme length, so that a ciphertext's length says little.

use zeroize::Zeroizing;

/// The shortest padded payload, in bytes.
pub const MIN_PADDED: usize = 256;

/// The Padme length of `length`: rounded up so that at most O(log log length) bits of it show.
fn padme(length: usize) -> usize {
    let exponent = length.ilog2();
    let kept = exponent.ilog2() + 1;
    length.next_multiple_of(1 << exponent.saturating_sub(kept))
}

/// The length of a payload of `length` bytes once padded.
pub fn padded_len(length: usize) -> usize {
    padme(MIN_PADDED.max(length + 1))
}

/// Appends 0x80 and zeros.
pub(crate) fn pad(payload: &[u8]) -> Zeroizing<Vec<u8>> {
    // One allocation of the final size: growing would leave copies of the plaintext behind.
    let mut padded = Zeroizing::new(vec![0; padded_len(payload.len())]);
    padded[..payload.len()].copy_from_slice(payload);
    padded[payload.len()] = 0x80;
    padded
}

/// What stands before the last 0x80. Its length need not be the Padme length.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|b| *b != 0)?;
    (padded[end] == 0x80).then(|| &padded[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_those_of_the_companion() {
        // envelope.mjs: pad(new Uint8Array(n)).length
        for (length, padded) in
            [(0, 256), (255, 256), (256, 272), (300, 304), (1000, 1024), (5000, 5120), (65535, 65536), (65536, 67584)]
        {
            assert_eq!(padded_len(length), padded, "{length}");
        }
    }

    #[test]
    fn padding_that_is_none_is_refused() {
        for bad in [&[][..], &[0], &[0; 256], &[1], &[0x80, 1], &[0x80, 1, 0, 0], &[0x81, 0]] {
            assert_eq!(unpad(bad), None);
        }
        assert_eq!(unpad(&[0x80]), Some(&[][..]));
        assert_eq!(unpad(&[7, 0x80, 0]), Some(&[7][..]));
    }

    proptest! {
        #[test]
        fn what_is_padded_comes_back(payload in prop::collection::vec(any::<u8>(), 0..2000)) {
            let padded = pad(&payload);
            prop_assert_eq!(unpad(&padded), Some(&payload[..]));
        }

        #[test]
        fn padding_costs_at_most_an_eighth_and_hides_the_length(length in 256usize..1 << 20) {
            let padded = padded_len(length);
            prop_assert!(padded > length);
            prop_assert!(padded - length - 1 <= length / 8);
            // It is a fixed point: the padded lengths are few.
            prop_assert_eq!(padme(padded), padded);
        }
    }
}
