//! Codes that a person carries from one device to another, or keeps in a drawer (protocol section 2): Crockford's
//! base32, five random bits a character.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Crockford's digits: no I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How many characters are shown together.
const GROUP: usize = 5;

/// The code that links a device: 130 random bits.
pub type LinkCode = Code<26>;
/// The code that an account is recovered with: 150 random bits.
pub type RecoveryCode = Code<30>;

/// A code of `LEN` characters. Its bytes are the characters in upper-case ASCII.
///
/// Zeroized on drop; `Debug` shows nothing of it. `Display` shows it to the person, in groups of five. `FromStr` is
/// forgiving: it takes lower case, skips spaces and hyphens, and reads i and l as 1, o as 0.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Code<const LEN: usize>([u8; LEN]);

/// Why a text is no code. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// A character that no code has.
    #[error("character {0} of the code is none that a code has; codes are made of 0-9 and A-Z without I, L, O and U")]
    Character(
        /// Which, counted from 1 without spaces and hyphens.
        usize,
    ),
    /// Too few characters, or too many.
    #[error("a code of this kind has {expected} characters, this one has {found}; look whether a group is missing")]
    Length {
        /// How many there must be.
        expected: usize,
        /// How many there are, without spaces and hyphens.
        found: usize,
    },
}

impl<const LEN: usize> Code<LEN> {
    /// Makes a new code.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut code = [0; LEN];
        rng.fill_bytes(&mut code);
        // 32 divides 256: every digit is as likely as any other.
        code.iter_mut().for_each(|byte| *byte = DIGITS[usize::from(*byte & 31)]);
        Self(code)
    }

    /// The bytes that secrets are derived from: the characters in upper-case ASCII without separators.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl<const LEN: usize> FromStr for Code<LEN> {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let mut code = Self([0; LEN]);
        let mut found = 0;
        for character in text.chars().filter(|c| !c.is_whitespace() && !is_hyphen(*c)) {
            let digit = digit(character).ok_or(CodeError::Character(found + 1))?;
            if let Some(place) = code.0.get_mut(found) {
                *place = digit;
            }
            found += 1;
        }
        if found == LEN { Ok(code) } else { Err(CodeError::Length { expected: LEN, found }) }
    }
}

/// Hyphens and the dashes that programs make of them.
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

fn digit(character: char) -> Option<u8> {
    let upper = match u8::try_from(character).ok()?.to_ascii_uppercase() {
        b'I' | b'L' => b'1',
        b'O' => b'0',
        other => other,
    };
    DIGITS.contains(&upper).then_some(upper)
}

impl<const LEN: usize> fmt::Display for Code<LEN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 && i % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*byte))?;
        }
        Ok(())
    }
}

impl<const LEN: usize> fmt::Debug for Code<LEN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({LEN} characters)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use getrandom::SysRng;
    use proptest::prelude::*;
    use rand_core::UnwrapErr;

    const CODE: &str = "01AB2-CDE3F-GHJ4K-MNP5Q-RST6V-Z";

    fn read(text: &str) -> Result<LinkCode, CodeError> {
        text.parse()
    }

    #[test]
    fn a_code_is_read_however_a_person_writes_it() {
        let code = read(CODE).unwrap();
        assert_eq!(code.as_bytes(), b"01AB2CDE3FGHJ4KMNP5QRST6VZ");
        for text in [
            "01ab2-cde3f-ghj4k-mnp5q-rst6v-z",
            "01AB2CDE3FGHJ4KMNP5QRST6VZ",
            " 0 1 a b 2 c d e 3 f\tg h j 4 k\nm n p 5 q r s t 6 v z ",
            "oiAB2-CDE3F-GHJ4K-MNP5Q-RST6V-Z",
            "Ol AB2 CDE3F GHJ4K MNP5Q RST6V Z",
            "OI\u{2013}AB2 CDE3F\u{2212}GHJ4K MNP5Q RST6V--Z",
        ] {
            assert_eq!(read(text).as_ref(), Ok(&code), "{text}");
        }
        assert_eq!(code.to_string(), CODE);
    }

    #[test]
    fn a_slip_is_found_before_anything_is_asked_of_a_server() {
        assert_eq!(read(""), Err(CodeError::Length { expected: 26, found: 0 }));
        assert_eq!(read(&CODE[..30]), Err(CodeError::Length { expected: 26, found: 25 }));
        assert_eq!(read(&format!("{CODE}-7777")), Err(CodeError::Length { expected: 26, found: 30 }));
        assert_eq!(read("01AB2-UUUUU"), Err(CodeError::Character(6)));
        assert_eq!(read("01AB\u{e4}"), Err(CodeError::Character(5)));
        assert_eq!(read("01AB*"), Err(CodeError::Character(5)));
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_code() {
        let code = read(CODE).unwrap();
        assert_eq!(format!("{code:?}"), "Code(26 characters)");
        let error = read("01AB2-QQQQQ-U").unwrap_err().to_string();
        assert!(!error.contains("01AB") && !error.contains("QQ"), "{error}");
    }

    #[test]
    fn generated_codes_differ_and_use_every_digit() {
        let codes: Vec<_> = (0..64).map(|_| RecoveryCode::generate(&mut UnwrapErr(SysRng))).collect();
        assert_ne!(codes[0], codes[1]);
        for digit in DIGITS {
            assert!(codes.iter().any(|code| code.as_bytes().contains(digit)), "{digit}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "[0-9A-HJKMNP-TV-Z]{30}") {
            let code: RecoveryCode = text.parse().unwrap();
            prop_assert_eq!(code.to_string().to_lowercase().parse(), Ok(code.clone()));
            prop_assert_eq!(code.as_bytes().as_slice(), text.as_bytes());
        }

        #[test]
        fn no_text_makes_reading_fail_badly(text in "\\PC{0,64}") {
            let _ = text.parse::<LinkCode>();
        }
    }
}
