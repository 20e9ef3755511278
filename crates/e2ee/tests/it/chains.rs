//! Chains of manifests, and wrap certificates (protocol section 3).

use std::sync::LazyLock;

use sealwire_e2ee::IdentityKey;
use sealwire_e2ee::certificate::CertificateError;
use sealwire_e2ee::manifest::{Chain, ChainError, SenderKey, SignedManifest, Step};
use sealwire_e2ee::verify::BadSignature;
use sealwire_protocol::signed::{Manifest, ManifestDevice, ManifestError, WrapCert, WrapCertError};

use crate::people::*;

const HOUR: u64 = 60 * 60 * 1000;

static AIK: LazyLock<IdentityKey> = LazyLock::new(|| IdentityKey::from_pkcs8(&pool(6)).unwrap());
static OTHER_AIK: LazyLock<IdentityKey> = LazyLock::new(|| IdentityKey::from_pkcs8(&pool(7)).unwrap());

/// A device with one of two signing keys.
fn listed(n: u8) -> ManifestDevice {
    let key = if n.is_multiple_of(2) { &ALICE.key } else { &MALLORY.key };
    ManifestDevice { id: device(n), dsk: key.public().clone(), added_at: NOW, capabilities: 0 }
}

fn sign_by(key: &IdentityKey, version: u64, prev_hash: [u8; 32], issued_at: u64, devices: &[u8]) -> SignedManifest {
    let devices = devices.iter().map(|n| listed(*n)).collect();
    key.sign_manifest(&mut rng(), &ALICE.name, Manifest { version, prev_hash, issued_at, devices }).unwrap()
}

fn start(devices: &[u8]) -> Chain {
    Chain::start(ALICE.name.clone(), AIK.public().clone(), sign_by(&AIK, 1, [0; 32], NOW, devices)).unwrap()
}

/// The next manifest, an hour after the one before.
fn next(chain: &Chain, devices: &[u8]) -> SignedManifest {
    let newest = chain.newest();
    sign_by(&AIK, newest.version + 1, chain.newest_hash(), newest.issued_at + HOUR, devices)
}

#[test]
fn a_chain_grows_link_by_link_and_takes_each_once() {
    let mut chain = start(&[1]);
    let first_hash = chain.newest_hash();
    let second = next(&chain, &[1, 2]);
    assert_eq!(chain.extend(second.clone()), Ok(Step::Added));
    assert_eq!(chain.extend(second), Ok(Step::Known));
    assert_eq!(chain.newest().version, 2);
    assert!(chain.knows(&first_hash) && chain.knows(&chain.newest_hash()) && !chain.knows(&[9; 32]));
    assert_eq!(chain.manifests().len(), 2);
}

#[test]
fn a_stored_chain_is_checked_again_when_it_is_read() {
    let mut chain = start(&[1]);
    chain.extend(next(&chain, &[1, 2])).unwrap();
    let mut stored = chain.manifests().cloned();
    let mut read = Chain::start(ALICE.name.clone(), AIK.public().clone(), stored.next().unwrap()).unwrap();
    stored.for_each(|link| assert_eq!(read.extend(link), Ok(Step::Added)));
    assert_eq!(read.newest_hash(), chain.newest_hash());
}

#[test]
fn another_identity_key_or_name_never_continues_a_chain() {
    let mut chain = start(&[1]);
    let foreign = sign_by(&OTHER_AIK, 2, chain.newest_hash(), NOW, &[1]);
    assert_eq!(chain.extend(foreign), Err(ChainError::Signature(BadSignature)));
    let for_bob = Chain::start(name("bob"), AIK.public().clone(), sign_by(&AIK, 1, [0; 32], NOW, &[1]));
    assert_eq!(for_bob.err(), Some(ChainError::Signature(BadSignature)));
    assert_eq!(chain.newest().version, 1);
}

#[test]
fn two_manifests_of_one_version_are_a_fork() {
    let mut chain = start(&[1]);
    let (one, other) = (next(&chain, &[1, 2]), next(&chain, &[1, 4]));
    chain.extend(one).unwrap();
    assert_eq!(chain.extend(other), Err(ChainError::Fork));
    assert_eq!(chain.extend(sign_by(&AIK, 1, [0; 32], NOW + 1, &[1])), Err(ChainError::Fork));
}

#[test]
fn a_chain_has_no_gap_and_no_other_past() {
    let mut chain = start(&[1]);
    let gap = sign_by(&AIK, 3, chain.newest_hash(), NOW, &[1]);
    assert_eq!(chain.extend(gap), Err(ManifestError::Version.into()));
    assert_eq!(chain.extend(sign_by(&AIK, 2, [9; 32], NOW, &[1])), Err(ManifestError::PrevHash.into()));
    let second = sign_by(&AIK, 2, [9; 32], NOW, &[1]);
    let late = Chain::start(ALICE.name.clone(), AIK.public().clone(), second);
    assert_eq!(late.err(), Some(ManifestError::Version.into()));
}

#[test]
fn a_device_that_was_removed_never_returns() {
    let mut chain = start(&[1, 2]);
    chain.extend(next(&chain, &[2])).unwrap();
    chain.extend(next(&chain, &[2, 3])).unwrap();
    let returned = next(&chain, &[1, 2, 3]);
    assert_eq!(chain.extend(returned), Err(ManifestError::DeviceReturned.into()));
}

#[test]
fn a_manifest_against_the_rules_is_not_signed() {
    let unsorted = Manifest { version: 1, prev_hash: [0; 32], issued_at: NOW, devices: vec![listed(2), listed(1)] };
    let refused = AIK.sign_manifest(&mut rng(), &ALICE.name, unsorted);
    assert_eq!(refused, Err(ManifestError::Unsorted));
}

#[test]
fn a_sender_is_current_or_was_removed_after_it_wrote() {
    let mut chain = start(&[1, 2]);
    let key = listed(1).dsk;
    assert_eq!(chain.sender_key(&device(1), NOW), Some(SenderKey::Current(key.clone())));
    assert_eq!(chain.sender_key(&device(3), NOW), None);
    chain.extend(next(&chain, &[2])).unwrap();
    chain.extend(next(&chain, &[2, 3])).unwrap();
    let removed_at = NOW + HOUR;
    assert_eq!(chain.sender_key(&device(1), removed_at - 1), Some(SenderKey::Removed(key.clone())));
    assert_eq!(chain.sender_key(&device(1), removed_at), None);
    // Listed by now, so it does not matter when.
    assert!(matches!(chain.sender_key(&device(3), 0), Some(SenderKey::Current(_))));
}

#[test]
fn an_account_that_was_deleted_has_no_senders() {
    let mut chain = start(&[1]);
    chain.extend(next(&chain, &[])).unwrap();
    assert_eq!(chain.sender_key(&device(1), NOW + HOUR), None);
}

#[test]
fn a_wrap_certificate_is_for_one_device_of_one_name_by_its_own_key() {
    let cert = WrapCert { seq: 3, dwk: BOB.key().public().clone(), not_before: NOW, not_after: NOW + 7 * 24 * HOUR };
    let signed = ALICE.key.certify(&mut rng(), &ALICE.name, &ALICE.device, cert);
    let check = |name, device, key, last, now| signed.check(name, device, key, last, now);
    let dsk = ALICE.key.public();
    assert_eq!(check(&ALICE.name, &ALICE.device, dsk, 2, NOW), Ok(()));
    assert_eq!(check(&ALICE.name, &ALICE.device, dsk, 3, NOW), Ok(()), "the same one again");
    assert_eq!(check(&ALICE.name, &ALICE.device, dsk, 4, NOW), Err(WrapCertError::Seq.into()));
    assert_eq!(check(&ALICE.name, &ALICE.device, dsk, 0, NOW - HOUR), Err(WrapCertError::NotYet.into()));
    let bad = Err(CertificateError::Signature(BadSignature));
    assert_eq!(check(&BOB.name, &ALICE.device, dsk, 0, NOW), bad);
    assert_eq!(check(&ALICE.name, &BOB.device, dsk, 0, NOW), bad);
    assert_eq!(check(&ALICE.name, &ALICE.device, MALLORY.key.public(), 0, NOW), bad);
}
