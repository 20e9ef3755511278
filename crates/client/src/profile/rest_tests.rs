//! What lies on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Delivered, DeviceWrap, Keys, WrapFrame};
use sealwire_protocol::ids::{DeviceId, MessageId, Username};
use tempfile::tempdir;
use zeroize::Zeroizing;

use super::testing::open;
use super::{Arrived, Body, Content, DeviceKeys, Incoming, Profile, ProfileError, Received};
use crate::chain::Head;
use crate::enrol::register::new_account;
use crate::handover::{Pin, Settings};
use crate::pins::Person;
use crate::vault::Passphrase;

macro_rules! key {
    ($kind:ident, $file:literal) => {
        $kind::from_pkcs8(include_bytes!(concat!("../../../../tests/keys/", $file, ".der"))).unwrap()
    };
}

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn keys() -> DeviceKeys {
    DeviceKeys { aik: Some(key!(IdentityKey, "k0")), dsk: key!(SigningKey, "k1"), dwk: key!(WrapKey, "k2") }
}

fn id(n: u64) -> MessageId {
    MessageId::new_v7(n, [0; 10])
}

fn device(n: u64) -> DeviceId {
    DeviceId::new_v7(n, [0; 10])
}

fn shown(who: &str, device: DeviceId, keys: &DeviceKeys) -> Keys {
    let new = new_account(&name(who), &device, keys, 5);
    Keys {
        id: None,
        username: name(who),
        aik: Blob(keys.aik.as_ref().unwrap().public().as_bytes().to_vec()),
        manifests: vec![new.manifest],
        more: false,
        devices: vec![DeviceWrap { id: device, wrap: new.wrap }],
    }
}

/// A profile in which every column holds something that nobody may read.
fn full(path: &Path) -> Profile {
    let mut profile = open(path).unwrap();
    let keys = keys();
    profile.store_keys(&device(1), &keys, 5).unwrap();
    profile.prepare("wss://chat.marzipan.example", &new_account(&name("margarethe"), &device(1), &keys, 5)).unwrap();
    profile.registered().unwrap();
    let next = WrapFrame { seq: 2, ..new_account(&name("margarethe"), &device(1), &keys, 5).wrap };
    profile.add_wrap_key(&key!(WrapKey, "k3"), &next, 6).unwrap();
    let ferdinand = shown("ferdinand", device(2), &keys);
    profile.store_person(&Person::first(&ferdinand, 5).unwrap().0).unwrap();
    profile.set_changed_key(&name("ferdinand"), &ferdinand).unwrap();
    profile.put_setting("backup", &"pfefferkuchenmann").unwrap();
    let to = |n, text: &str| (name("ferdinand"), id(n), Content::Content(text.as_bytes().to_vec()));
    profile.enqueue(&[to(1, "quillfeather"), to(2, "butterscotch")], 7).unwrap();
    profile.store_sealed(&[(id(1), 8, "{gingersnapdragon}".to_owned())]).unwrap();
    let opened = Received {
        from: name("ferdinand"),
        from_device: device(2),
        to: name("margarethe"),
        link: Head::default().take(id(3)),
        timestamp: 9,
        is_content: true,
        body: Body(Zeroizing::new(b"velociraptor".to_vec())),
        from_removed_device: false,
    };
    let failed = Incoming::Failed {
        from: name("ferdinand"),
        from_device: device(2),
        message_id: id(4),
        timestamp: 9,
        reason: "ostseemuschel".to_owned(),
    };
    let deferred = Delivered {
        seq: 1,
        from: name("ferdinand"),
        from_device: device(2),
        message_id: id(5),
        to: name("margarethe"),
        encrypted_message: Blob(b"schnurrbarttasse".to_vec()),
        iv: Array([2; 12]),
        timestamp: 3,
        signature: Blob(vec![4; 512]),
        suite: 1,
        recipients: Vec::new(),
        encrypted_key: Blob(vec![5; 512]),
    };
    let incoming = [Incoming::Opened(Box::new(opened)), failed, Incoming::Deferred(Box::new(deferred))];
    profile.take_in(&incoming, &[]).unwrap();
    profile
}

/// What nobody may find, as it is and in Base64.
fn secrets() -> Vec<Vec<u8>> {
    let words = [
        "margarethe",
        "ferdinand",
        "marzipan",
        "pfefferkuchenmann",
        "quillfeather",
        "butterscotch",
        "gingersnapdragon",
        "velociraptor",
        "ostseemuschel",
        "schnurrbarttasse",
    ];
    let mut secrets: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let keys = keys();
    let aik = keys.aik.as_ref().unwrap();
    let pkcs8 = [aik.to_pkcs8(), keys.dsk.to_pkcs8(), keys.dwk.to_pkcs8(), key!(WrapKey, "k3").to_pkcs8()];
    // From the middle of the public and of the private half.
    secrets.extend(pkcs8.iter().flat_map(|der| [der[300..332].to_vec(), der[1_000..1_032].to_vec()]));
    secrets.extend([aik.kid(), keys.dsk.kid(), keys.dwk.kid()].map(|kid| kid.as_bytes().to_vec()));
    let base64: Vec<_> = secrets
        .iter()
        .map(|secret| {
            // Its whole groups, wherever they begin.
            let text = sealwire_protocol::base64::Base64::encode(&secret[..secret.len() / 3 * 3]);
            text.as_str().as_bytes().to_vec()
        })
        .collect();
    secrets.extend(base64);
    secrets
}

fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |entry: fs::DirEntry| (entry.file_name().display().to_string(), fs::read(entry.path()).unwrap());
    fs::read_dir(path).unwrap().map(|entry| read(entry.unwrap())).collect()
}

#[track_caller]
fn assert_nothing_to_read(path: &Path) {
    let files = files(path);
    assert!(files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 10_000);
    for (file, bytes) in files {
        for secret in secrets() {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{file} holds {}", secret.escape_ascii());
        }
    }
}

#[test]
fn nobody_reads_who_what_or_keys_in_the_files() {
    let home = tempdir().unwrap();
    let profile = full(home.path());
    assert_nothing_to_read(home.path());
    drop(profile);
    assert_nothing_to_read(home.path());
}

#[test]
fn all_of_it_is_read_back_by_whoever_unlocks_it() {
    let home = tempdir().unwrap();
    drop(full(home.path()));
    let profile = open(home.path()).unwrap();
    assert_eq!(profile.account().unwrap().server, "wss://chat.marzipan.example");
    assert_eq!(profile.setting::<String>("backup").unwrap().as_deref(), Some("pfefferkuchenmann"));
    assert_eq!(profile.setting::<String>("other").unwrap(), None);
    assert!(profile.person(&name("ferdinand")).unwrap().is_some());
    assert_eq!(profile.outgoing(&id(1)).unwrap().unwrap().frame.as_deref(), Some("{gingersnapdragon}"));
    assert_eq!(profile.unshown().unwrap()[0].1.body.0.as_slice(), b"velociraptor");
    assert_eq!(profile.deferred().unwrap()[0].1.from, name("ferdinand"));
}

#[test]
fn another_passphrase_opens_nothing_and_harms_nothing() {
    let home = tempdir().unwrap();
    let mut profile = Profile::open(home.path(), &mut Passphrase::new("correct horse")).unwrap();
    profile.put_setting("a", &1).unwrap();
    drop(profile);
    let wrong = Profile::open(home.path(), &mut Passphrase::new("wrong horse")).unwrap_err();
    assert_eq!(wrong, ProfileError::WrongPassphrase);
    let mut profile = Profile::open(home.path(), &mut Passphrase::new("correct horse")).unwrap();
    assert_eq!(profile.setting("a").unwrap(), Some(1));
    assert!(profile.change_passphrase("short", None).is_err());
    profile.change_passphrase("battery staple", None).unwrap();
    drop(profile);
    let wrong = Profile::open(home.path(), &mut Passphrase::new("correct horse")).unwrap_err();
    assert_eq!(wrong, ProfileError::WrongPassphrase);
    let profile = Profile::open(home.path(), &mut Passphrase::new("battery staple")).unwrap();
    assert_eq!(profile.setting("a").unwrap(), Some(1));
}

#[test]
fn without_its_key_file_a_profile_is_left_alone() {
    let home = tempdir().unwrap();
    drop(full(home.path()));
    let file = home.path().join("profile.key");
    let kept = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(open(home.path()).unwrap_err(), ProfileError::NoKeyFile(file.clone()));
    fs::write(&file, kept).unwrap();
    assert!(open(home.path()).unwrap().account().is_ok());
}

#[test]
fn a_value_that_is_moved_to_another_row_does_not_open() {
    let home = tempdir().unwrap();
    let profile = full(home.path());
    let sql = "UPDATE messages SET body = (SELECT body FROM messages WHERE position = 1) WHERE position = 2";
    profile.database.execute(sql, []).unwrap();
    assert!(profile.outgoing(&id(1)).is_ok());
    assert!(matches!(profile.outgoing(&id(2)), Err(ProfileError::Database(_))));
}

#[test]
fn a_wrap_key_is_used_replaced_and_erased() {
    let home = tempdir().unwrap();
    let mut profile = full(home.path());
    let keys = profile.wrap_keys().unwrap();
    assert_eq!(
        keys.iter().map(|key| (key.seq, key.accepted, key.replaced_at)).collect::<Vec<_>>(),
        [(1, true, None), (2, false, None)]
    );
    let kids: Vec<_> = keys.iter().map(|key| *key.key.kid()).collect();
    profile.wrap_key_accepted(&kids[1], 99).unwrap();
    profile.wrap_key_accepted(&kids[1], 100).unwrap();
    let keys = profile.wrap_keys().unwrap();
    assert_eq!((keys[0].replaced_at, keys[1].accepted), (Some(99), true));
    assert_eq!(profile.keys().unwrap().dwk.kid(), &kids[1]);
    profile.erase_wrap_key(&kids[0]).unwrap();
    assert_eq!(profile.wrap_keys().unwrap().len(), 1);
    assert_eq!(fs::metadata(home.path().join("profile.db-wal")).unwrap().len(), 0);
}

#[test]
fn a_changed_identity_is_believed_once_the_person_says_so() {
    let home = tempdir().unwrap();
    let mut profile = full(home.path());
    profile.set_verified(&name("ferdinand"), true).unwrap();
    let other =
        DeviceKeys { aik: Some(key!(IdentityKey, "k4")), dsk: key!(SigningKey, "k5"), dwk: key!(WrapKey, "k6") };
    profile.set_changed_key(&name("ferdinand"), &shown("ferdinand", device(9), &other)).unwrap();
    let keys = profile.changed_key(&name("ferdinand")).unwrap().unwrap();
    profile.accept_identity(&Person::first(&keys, 5).unwrap().0).unwrap();
    let contact = profile.contact(&name("ferdinand")).unwrap();
    assert!(!contact.verified && !contact.changed_key);
    let person = profile.person(&name("ferdinand")).unwrap().unwrap();
    assert_eq!(person.chain().aik(), other.aik.unwrap().public());
    assert_eq!(person.certificates().map(|(id, _)| *id).collect::<Vec<_>>(), [device(9)]);
}

#[test]
fn a_deleted_account_leaves_its_history_and_no_key() {
    let home = tempdir().unwrap();
    let mut profile = full(home.path());
    profile.delete_account().unwrap();
    drop(profile);
    let profile = open(home.path()).unwrap();
    assert_eq!(profile.account().unwrap_err(), ProfileError::Deleted("margarethe".to_owned()));
    assert!(matches!(profile.keys().unwrap_err(), ProfileError::Keys(_)));
    assert!(profile.outbox().unwrap().is_empty());
    assert_eq!(profile.history(&name("ferdinand"), None, 10).unwrap().len(), 3);
    assert_eq!(profile.export(&mut Vec::new()).unwrap(), 3);
}

#[test]
fn a_linked_device_may_be_given_the_identity_key_later() {
    let home = tempdir().unwrap();
    let mut profile = open(home.path()).unwrap();
    profile.store_keys(&device(1), &DeviceKeys { aik: None, ..keys() }, 5).unwrap();
    assert!(profile.keys().unwrap().aik.is_none());
    profile.store_identity(&key!(IdentityKey, "k0"), 6).unwrap();
    profile.store_identity(&key!(IdentityKey, "k0"), 7).unwrap();
    assert!(profile.keys().unwrap().aik.is_some());
    profile.forget_keys().unwrap();
    assert_eq!(profile.device().unwrap(), None);
}

#[test]
fn what_a_device_was_handed_is_kept_and_handed_on() {
    let home = tempdir().unwrap();
    let keys = DeviceKeys { aik: None, ..keys() };
    let mut profile = open(home.path()).unwrap();
    profile.store_keys(&device(1), &keys, 5).unwrap();
    let own = Person::first(&shown("alice", device(1), &self::keys()), 5).unwrap().0;
    let new = new_account(&name("alice"), &device(1), &self::keys(), 5);
    profile.prepare("wss://chat.example.org", &new).unwrap();
    let pin = Pin { aik: Blob(vec![1]), version: 3, hash: Array([4; 32]), verified: true };
    let pins = BTreeMap::from([(name("bob"), pin.clone()), (name("carol"), Pin { verified: false, ..pin.clone() })]);
    let settings =
        Settings { blocked: [name("dave")].into(), muted: [name("bob")].into(), accepted: [name("bob")].into() };
    let before = profile.handed_digest().unwrap();
    profile.arrived(&Arrived { own: &own, pins: &pins, settings: &settings, identity: None }, 5).unwrap();
    drop(profile);

    let mut profile = open(home.path()).unwrap();
    assert_eq!(profile.account().unwrap().username, name("alice"));
    assert_eq!(profile.pin(&name("bob")).unwrap(), Some(pin));
    assert_eq!((profile.pins().unwrap(), profile.decisions().unwrap()), (pins, settings));
    assert!(profile.contact(&name("bob")).unwrap().verified);
    let digest = profile.handed_digest().unwrap();
    assert_ne!(before, digest);
    assert_eq!(profile.handed_digest().unwrap(), digest);
    profile.set_muted(&name("carol"), true).unwrap();
    assert_ne!(profile.handed_digest().unwrap(), digest, "a decision makes the backup old");
}
