//! Changes of an account's devices, and what a lying server or another's device could hand over.

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::SigningKey;
use sealwire_protocol::base64::{Array, Blob};

use super::*;
use crate::convert::manifest_to_frame;
use crate::handover::Settings;

const NOW: u64 = 1_790_000_000_000;

fn identity() -> IdentityKey {
    IdentityKey::from_pkcs8(include_bytes!("../../../tests/keys/k0.der")).unwrap()
}

fn stranger() -> IdentityKey {
    IdentityKey::from_pkcs8(include_bytes!("../../../tests/keys/k3.der")).unwrap()
}

fn dsk(n: u8) -> Spki {
    let der: &[u8] = match n {
        1 => include_bytes!("../../../tests/keys/k1.der"),
        2 => include_bytes!("../../../tests/keys/k2.der"),
        _ => include_bytes!("../../../tests/keys/k4.der"),
    };
    SigningKey::from_pkcs8(der).unwrap().public().clone()
}

fn id(n: u8) -> DeviceId {
    DeviceId::new_v7(u64::from(n), [n; 10])
}

fn alice() -> Username {
    "alice".parse().unwrap()
}

fn start(identity: &IdentityKey) -> Chain {
    let devices = vec![ManifestDevice { id: id(1), dsk: dsk(1), added_at: NOW, capabilities: 0 }];
    let first = Manifest { version: 1, prev_hash: [0; 32], issued_at: NOW, devices };
    let first = identity.sign_manifest(&mut UnwrapErr(SysRng), &alice(), first).unwrap();
    Chain::start(alice(), identity.public().clone(), first).unwrap()
}

fn changed(chain: &Chain, change: &Change) -> Chain {
    let mut next = chain.clone();
    next.extend(next_manifest(&mut UnwrapErr(SysRng), chain, &identity(), change, NOW + 1).unwrap()).unwrap();
    next
}

fn frames(chain: &Chain) -> Vec<ManifestFrame> {
    chain.manifests().map(manifest_to_frame).collect()
}

fn handover(chain: &Chain, manifests: Vec<ManifestFrame>) -> Handover {
    Handover {
        username: alice(),
        aik: Blob(chain.aik().as_bytes().to_vec()),
        manifests,
        pins: std::collections::BTreeMap::new(),
        settings: Settings::default(),
        aik_private: None,
    }
}

fn backup(of: &IdentityKey, chain: &Chain) -> Backup {
    Backup {
        aik_private: Secret(of.to_pkcs8()),
        version: chain.newest().version,
        hash: Array(chain.newest_hash()),
        pins: std::collections::BTreeMap::new(),
        settings: Settings::default(),
    }
}

#[test]
fn devices_come_and_go_and_the_account_ends() {
    let two = changed(&start(&identity()), &Change::Add(id(2), dsk(2)));
    let ids = |chain: &Chain| chain.newest().devices.iter().map(|device| device.id).collect::<Vec<_>>();
    assert_eq!(ids(&two), [id(1), id(2)]);
    assert_eq!(ids(&changed(&two, &Change::Remove(vec![id(1)]))), [id(2)]);
    let recovered = changed(&two, &Change::Replace { device: id(3), dsk: dsk(3), remove: vec![id(1), id(2)] });
    assert_eq!(ids(&recovered), [id(3)]);
    assert_eq!(ids(&changed(&two, &Change::Leave)), []);
}

#[test]
fn what_everybody_would_refuse_is_not_signed() {
    let (one, identity) = (start(&identity()), identity());
    let refused =
        |chain: &Chain, change| next_manifest(&mut UnwrapErr(SysRng), chain, &identity, &change, NOW).unwrap_err();
    assert_eq!(refused(&one, Change::Remove(vec![id(1)])), DevicesError::LastDevice);
    assert_eq!(refused(&one, Change::Remove(vec![id(9)])), DevicesError::NotListed);
    assert_eq!(refused(&one, Change::Add(id(1), dsk(2))), DevicesError::Rule(ManifestError::Unsorted));
    let two = changed(&one, &Change::Add(id(2), dsk(2)));
    let without = changed(&two, &Change::Remove(vec![id(2)]));
    let returns = refused(&without, Change::Add(id(2), dsk(2)));
    assert_eq!(returns, DevicesError::Chain(ChainError::Rule(ManifestError::DeviceReturned)));
    let full = (2..=10).fold(one, |chain, n| changed(&chain, &Change::Add(id(n), dsk(2))));
    assert_eq!(refused(&full, Change::Add(id(11), dsk(2))), DevicesError::Rule(ManifestError::TooManyDevices));
    let other = next_manifest(&mut UnwrapErr(SysRng), &full, &stranger(), &Change::Leave, NOW).unwrap_err();
    assert_eq!(other, DevicesError::OtherIdentity);
}

#[test]
fn a_clock_that_went_back_does_not_take_the_chain_with_it() {
    let signed = next_manifest(&mut UnwrapErr(SysRng), &start(&identity()), &identity(), &Change::Leave, 5).unwrap();
    assert_eq!(signed.manifest.issued_at, NOW);
}

#[test]
fn a_new_device_believes_a_chain_that_lists_it_also_without_its_start() {
    let two = changed(&start(&identity()), &Change::Add(id(2), dsk(2)));
    for manifests in [frames(&two), frames(&two)[1..].to_vec()] {
        let linked = check_handover(&handover(&two, manifests), &id(2), &dsk(2)).unwrap();
        assert_eq!(linked.hash, two.newest_hash());
        assert!(linked.identity.is_none());
        assert_eq!(check_shown(&linked, &two, &id(2), &dsk(2)), Ok(()));
    }
}

#[test]
fn a_new_device_that_is_not_listed_with_its_own_key_stops() {
    let one = start(&identity());
    let two = changed(&one, &Change::Add(id(2), dsk(2)));
    let check = |handover: &Handover, n, key| check_handover(handover, &id(n), &dsk(key)).unwrap_err();
    assert_eq!(check(&handover(&one, frames(&one)), 2, 2), DevicesError::NotListed);
    assert_eq!(check(&handover(&two, frames(&two)), 2, 3), DevicesError::NotListed);
    assert_eq!(check(&handover(&two, vec![]), 2, 2), DevicesError::NoManifest);
    let apart = vec![frames(&two)[1].clone(), frames(&two)[0].clone()];
    assert_eq!(check(&handover(&two, apart), 2, 2), DevicesError::Rule(ManifestError::Version));
    let other = Handover { aik: Blob(stranger().public().as_bytes().to_vec()), ..handover(&two, frames(&two)) };
    assert!(matches!(check(&other, 2, 2), DevicesError::Chain(ChainError::Signature(_))));
}

#[test]
fn an_identity_key_that_is_handed_over_is_the_account_s() {
    let two = changed(&start(&identity()), &Change::Add(id(2), dsk(2)));
    let with =
        |key: &IdentityKey| Handover { aik_private: Some(Secret(key.to_pkcs8())), ..handover(&two, frames(&two)) };
    assert!(check_handover(&with(&identity()), &id(2), &dsk(2)).unwrap().identity.is_some());
    let other = check_handover(&with(&stranger()), &id(2), &dsk(2)).unwrap_err();
    assert_eq!(other, DevicesError::OtherIdentity);
}

#[test]
fn a_server_that_shows_other_devices_than_the_old_device_is_found_out() {
    let one = start(&identity());
    let two = changed(&one, &Change::Add(id(2), dsk(2)));
    let linked = check_handover(&handover(&two, frames(&two)), &id(2), &dsk(2)).unwrap();
    let shown = |chain: &Chain| check_shown(&linked, chain, &id(2), &dsk(2)).unwrap_err();
    assert_eq!(shown(&one), DevicesError::GoneBack);
    assert_eq!(shown(&changed(&one, &Change::Add(id(3), dsk(3)))), DevicesError::GoneBack);
    assert_eq!(shown(&changed(&two, &Change::Remove(vec![id(2)]))), DevicesError::NotListed);
    assert_eq!(shown(&start(&stranger())), DevicesError::OtherIdentity);
}

#[test]
fn a_backup_goes_with_its_own_chain_as_new_as_it_is_or_newer() {
    let one = start(&identity());
    let two = changed(&one, &Change::Add(id(2), dsk(2)));
    let check = |backup: &Backup, chain: &Chain| check_backup(&alice(), backup, &frames(chain)).map(|_| ());
    assert_eq!(check(&backup(&identity(), &one), &two), Ok(()));
    assert_eq!(check(&backup(&identity(), &two), &two), Ok(()));
    assert_eq!(check(&backup(&identity(), &two), &one), Err(DevicesError::GoneBack));
    let fork = changed(&one, &Change::Add(id(3), dsk(3)));
    assert_eq!(check(&backup(&identity(), &two), &fork), Err(DevicesError::GoneBack));
    let other = check(&backup(&stranger(), &one), &one);
    assert!(matches!(other, Err(DevicesError::Chain(ChainError::Signature(_)))));
    let none = check_backup(&alice(), &backup(&identity(), &one), &[]).map(|_| ());
    assert_eq!(none, Err(DevicesError::NoManifest));
    assert!(check_backup(&"bob".parse().unwrap(), &backup(&identity(), &one), &frames(&one)).is_err());
}
