use std::sync::LazyLock;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::manifest::SignedManifest;
use sealwire_e2ee::{IdentityKey, SigningKey};
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::ids::Kid;
use sealwire_protocol::signed::{Manifest, ManifestDevice, ManifestError, WrapCert};

use super::*;
use crate::convert::{cert_to_frame, manifest_to_frame};

const NOW: u64 = 1_790_000_000_000;
const DAY: u64 = 24 * 60 * 60 * 1000;

struct Side {
    aik: IdentityKey,
    dsk: SigningKey,
}

static BOB: LazyLock<Side> = LazyLock::new(|| Side {
    aik: IdentityKey::from_pkcs8(include_bytes!("../../../tests/keys/k0.der")).unwrap(),
    dsk: SigningKey::from_pkcs8(include_bytes!("../../../tests/keys/k1.der")).unwrap(),
});
static MALLORY: LazyLock<IdentityKey> =
    LazyLock::new(|| IdentityKey::from_pkcs8(include_bytes!("../../../tests/keys/k2.der")).unwrap());
static WRAPS: LazyLock<[Spki; 2]> = LazyLock::new(|| {
    let read = |der: &[u8]| SigningKey::from_pkcs8(der).unwrap().public().clone();
    [read(include_bytes!("../../../tests/keys/k3.der")), read(include_bytes!("../../../tests/keys/k4.der"))]
});

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn bob() -> Username {
    "bob".parse().unwrap()
}

fn device(n: u64) -> DeviceId {
    DeviceId::new_v7(n, [0; 10])
}

fn manifest(aik: &IdentityKey, version: u64, prev_hash: [u8; 32], devices: &[u64]) -> SignedManifest {
    let listed =
        |n: &u64| ManifestDevice { id: device(*n), dsk: BOB.dsk.public().clone(), added_at: NOW, capabilities: 0 };
    let devices = devices.iter().map(listed).collect();
    aik.sign_manifest(&mut rng(), &bob(), Manifest { version, prev_hash, issued_at: NOW, devices }).unwrap()
}

fn hash(signed: &SignedManifest) -> [u8; 32] {
    Manifest::hash(&signed.manifest.to_bytes(&bob(), BOB.aik.public()))
}

fn cert(n: u64, seq: u64, key: usize, not_before: u64) -> DeviceWrap {
    let cert = WrapCert { seq, dwk: WRAPS[key].clone(), not_before, not_after: not_before + 7 * DAY };
    DeviceWrap { id: device(n), wrap: cert_to_frame(&BOB.dsk.certify(&mut rng(), &bob(), &device(n), cert)) }
}

fn keys(aik: &IdentityKey, manifests: &[&SignedManifest], devices: &[DeviceWrap]) -> Keys {
    Keys {
        id: None,
        username: bob(),
        aik: Blob(aik.public().as_bytes().to_vec()),
        manifests: manifests.iter().map(|manifest| manifest_to_frame(manifest)).collect(),
        more: false,
        devices: devices.to_vec(),
    }
}

fn known() -> (Person, SignedManifest) {
    let first = manifest(&BOB.aik, 1, [0; 32], &[1]);
    let (person, learned) = Person::first(&keys(&BOB.aik, &[&first], &[cert(1, 1, 0, NOW)]), NOW).unwrap();
    assert_eq!(learned, Learned { manifests: 1, shown: Some(1), ..Learned::default() });
    (person, first)
}

fn kids(person: &Person, now: u64) -> Vec<(DeviceId, Kid)> {
    person.targets(now).map(|(target, _)| (target.device, target.dwk.kid())).collect()
}

#[test]
fn the_first_answer_is_pinned_and_its_devices_are_sealed_for() {
    let (person, first) = known();
    assert_eq!(person.chain().newest_hash(), hash(&first));
    assert_eq!(kids(&person, NOW), [(device(1), WRAPS[0].kid())]);
}

#[test]
fn another_identity_key_is_refused_and_changes_nothing() {
    let (mut person, first) = known();
    let theirs = manifest(&MALLORY, 1, [0; 32], &[1]);
    assert_eq!(person.learn(&keys(&MALLORY, &[&theirs], &[]), NOW), Err(PinError::IdentityChanged));
    assert_eq!(person.chain().newest_hash(), hash(&first));
    assert_eq!(kids(&person, NOW).len(), 1);
}

#[test]
fn a_manifest_that_somebody_else_signed_is_refused() {
    let (mut person, first) = known();
    let mut forged = manifest(&MALLORY, 2, hash(&first), &[1, 2]);
    assert!(matches!(person.learn(&keys(&BOB.aik, &[&forged], &[]), NOW), Err(PinError::Chain(_))));
    forged.signature = first.signature;
    assert!(matches!(
        person.learn(&keys(&BOB.aik, &[&forged], &[]), NOW),
        Err(PinError::Chain(ChainError::Signature(_)))
    ));
}

#[test]
fn the_chain_goes_on_link_by_link_and_has_one_history() {
    let (mut person, first) = known();
    let second = manifest(&BOB.aik, 2, hash(&first), &[1, 2]);
    let third = manifest(&BOB.aik, 3, hash(&second), &[2]);
    let skipped = person.learn(&keys(&BOB.aik, &[&third], &[]), NOW);
    assert_eq!(skipped, Err(PinError::Chain(ChainError::Rule(ManifestError::Version))));
    let learned = person.learn(&keys(&BOB.aik, &[&second, &third], &[cert(2, 1, 1, NOW)]), NOW);
    assert_eq!(learned, Ok(Learned { manifests: 2, shown: Some(3), ..Learned::default() }));
    assert_eq!(kids(&person, NOW), [(device(2), WRAPS[1].kid())]);
    let other = manifest(&BOB.aik, 2, hash(&first), &[1]);
    assert_eq!(person.learn(&keys(&BOB.aik, &[&other], &[]), NOW), Err(PinError::Chain(ChainError::Fork)));
}

#[test]
fn a_certificate_never_goes_back() {
    let (mut person, _) = known();
    person.learn(&keys(&BOB.aik, &[], &[cert(1, 2, 1, NOW)]), NOW).unwrap();
    assert_eq!(kids(&person, NOW), [(device(1), WRAPS[1].kid())]);
    let back = person.learn(&keys(&BOB.aik, &[], &[cert(1, 1, 0, NOW)]), NOW);
    assert_eq!(back, Err(PinError::Certificate(CertificateError::Rule(WrapCertError::Seq))));
    let other = person.learn(&keys(&BOB.aik, &[], &[cert(1, 2, 0, NOW)]), NOW);
    assert_eq!(other, Err(PinError::CertificateFork));
    assert_eq!(kids(&person, NOW), [(device(1), WRAPS[1].kid())]);
}

#[test]
fn a_certificate_that_goes_back_is_refused_also_after_its_device_was_away() {
    let (mut person, _) = known();
    person.learn(&keys(&BOB.aik, &[], &[cert(1, 2, 1, NOW)]), NOW).unwrap();
    person.learn(&keys(&BOB.aik, &[], &[]), NOW).unwrap();
    assert_eq!(kids(&person, NOW), []);
    assert!(person.learn(&keys(&BOB.aik, &[], &[cert(1, 1, 0, NOW)]), NOW).is_err());
    assert!(person.learn(&keys(&BOB.aik, &[], &[cert(1, 2, 1, NOW)]), NOW).is_ok());
    assert_eq!(kids(&person, NOW).len(), 1);
}

#[test]
fn a_certificate_for_a_device_that_is_not_listed_is_refused() {
    let (mut person, _) = known();
    let stranger = person.learn(&keys(&BOB.aik, &[], &[cert(9, 1, 0, NOW)]), NOW);
    assert_eq!(stranger, Err(PinError::Stranger));
}

#[test]
fn a_certificate_of_another_device_is_refused() {
    let (mut person, _) = known();
    let moved = DeviceWrap { id: device(1), ..cert(2, 5, 1, NOW) };
    assert!(matches!(person.learn(&keys(&BOB.aik, &[], &[moved]), NOW), Err(PinError::Certificate(_))));
}

#[test]
fn a_device_that_has_been_away_is_written_to_for_forty_five_days_after_its_key_ended() {
    let (person, _) = known();
    let end = NOW + 7 * DAY;
    assert_eq!(person.targets(end + 45 * DAY).map(|(_, stale)| stale).collect::<Vec<_>>(), [45 * DAY]);
    assert_eq!(kids(&person, end + 45 * DAY + 1), []);
}

#[test]
fn whom_another_device_believed_is_met_as_it_knew_them() {
    let first = manifest(&BOB.aik, 1, [0; 32], &[1]);
    let second = manifest(&BOB.aik, 2, hash(&first), &[1, 2]);
    let other = manifest(&BOB.aik, 2, hash(&first), &[1, 3]);
    let aik = Blob(BOB.aik.public().as_bytes().to_vec());
    let pin = Pin { aik, version: 2, hash: Array(hash(&second)), verified: true };
    let meet = |aik, manifests: &[&SignedManifest]| {
        Person::first_after(&keys(aik, manifests, &[]), NOW, Some(&pin))
            .map(|(person, _)| person.chain().newest().version)
    };
    assert_eq!(meet(&BOB.aik, &[&first, &second]), Ok(2));
    assert_eq!(meet(&BOB.aik, &[&first]), Err(PinError::GoneBack), "older than the other device has seen");
    assert_eq!(meet(&BOB.aik, &[&first, &other]), Err(PinError::GoneBack), "another history");
    let theirs = manifest(&MALLORY, 1, [0; 32], &[1]);
    assert_eq!(meet(&MALLORY, &[&theirs]), Err(PinError::IdentityChanged));

    // In pages: nothing is decided before the last one, also when the first was stored in between.
    let page = Keys { more: true, ..keys(&BOB.aik, &[&first], &[]) };
    let (person, _) = Person::first_after(&page, NOW, Some(&pin)).unwrap();
    let mut person = Person::restore(person.chain().clone(), BTreeMap::new()).holding(Some(&pin));
    assert_eq!(person.learn(&keys(&BOB.aik, &[], &[]), NOW), Err(PinError::GoneBack));
    assert!(person.learn(&keys(&BOB.aik, &[&second], &[]), NOW).is_ok());
}
