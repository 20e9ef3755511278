//! What must not be found, in the forms in which it could lie in memory or on disk.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Bytes to look for, and what to call them when they are found.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// How much of a large number is looked for.
const WINDOW: usize = 32;
/// PKCS#8's own beginning and some bytes of the modulus: the beginning of no other document.
const PKCS8_BEGINNING: usize = 64;

fn secret(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Secret {
    Secret { name: name.into(), bytes: bytes.into() }
}

/// What is common to every Base64 text that holds these bytes `shift` bytes behind a whole group.
fn base64_within(bytes: &[u8], shift: usize) -> String {
    let shifted = [&[0; 2][..shift], bytes].concat();
    let text = STANDARD_NO_PAD.encode(&shifted);
    text[(shift * 8).div_ceil(6)..shifted.len() * 8 / 6].to_owned()
}

/// The bytes as they are, in hexadecimal, and in Base64 at each alignment.
fn in_any_text(name: &str, bytes: &[u8]) -> Vec<Secret> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret(name, bytes), secret(format!("{name} in hexadecimal"), hex)];
    forms.extend((0..3).map(|shift| secret(format!("{name} in Base64"), base64_within(bytes, shift))));
    forms
}

/// A word that somebody has written.
pub(crate) fn of_word(word: &str) -> Vec<Secret> {
    let mut forms = in_any_text(&format!("the word {word}"), word.as_bytes());
    let utf16: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
    forms.push(secret(format!("the word {word} in UTF-16"), utf16));
    forms
}

/// A private key in PKCS#8: the beginning of the document, and each of its secret numbers in both byte orders.
pub(crate) fn of_key(name: &str, pkcs8: &[u8]) -> Vec<Secret> {
    let mut forms = in_any_text(&format!("{name} in PKCS#8"), &pkcs8[..PKCS8_BEGINNING]);
    for (number, value) in ["d", "p", "q", "d mod p-1", "d mod q-1", "1/q mod p"].iter().zip(secret_numbers(pkcs8)) {
        let from = (value.len() - WINDOW) / 2;
        let window = &value[from..from + WINDOW];
        let reversed: Vec<u8> = window.iter().rev().copied().collect();
        forms.extend(in_any_text(&format!("{name}, {number}"), window));
        forms.push(secret(format!("{name}, {number}, little-endian"), reversed));
    }
    forms
}

/// The first element of a DER document: what it holds, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, at) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let at = 2 + usize::from(long & 0x7f);
            (der[2..at].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), at)
        }
    };
    der[at..].split_at(length)
}

/// `privateExponent` to `coefficient` of an RSAPrivateKey (RFC 8017, A.1.2) in a PrivateKeyInfo (RFC 5208).
fn secret_numbers(pkcs8: &[u8]) -> Vec<&[u8]> {
    let (_version, rest) = element(element(pkcs8).0);
    let (_algorithm, rest) = element(rest);
    let mut rest = element(element(rest).0).0;
    let mut numbers = Vec::new();
    while !rest.is_empty() {
        let (number, behind) = element(rest);
        numbers.push(number);
        rest = behind;
    }
    // Behind the version, the modulus and the public exponent.
    numbers.split_off(3)
}

#[test]
fn the_numbers_of_a_key_are_those_of_its_format() {
    let pkcs8 = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("keys/k0.der")).unwrap();
    let lengths: Vec<usize> = secret_numbers(&pkcs8).iter().map(|number| number.len()).collect();
    assert_eq!(lengths.len(), 6);
    assert!(lengths[0] >= 510 && lengths[1..].iter().all(|length| (250..=257).contains(length)), "{lengths:?}");
}

#[test]
fn base64_is_found_at_each_alignment() {
    for before in ["", "a", "ab", "abc"] {
        let text = STANDARD_NO_PAD.encode(format!("{before}marzipanwolke and so on"));
        let found = (0..3).filter(|shift| text.contains(&base64_within(b"marzipanwolke", *shift))).count();
        assert_eq!(found, 1, "{before}");
    }
}
