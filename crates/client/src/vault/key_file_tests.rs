use std::cell::RefCell;
use std::collections::HashMap;

use tempfile::tempdir;

use super::*;
use crate::vault::{Passphrase, Vault};

/// A keyring in memory. What it is worth with a real one is a test of the whole program's.
#[derive(Default)]
struct InMemory(RefCell<HashMap<String, Vec<u8>>>);

impl Keyring for InMemory {
    fn get(&self, id: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Ok(self.0.borrow().get(id).cloned().map(Zeroizing::new))
    }

    fn set(&self, id: &str, secret: &[u8]) -> Result<(), String> {
        self.0.borrow_mut().insert(id.to_owned(), secret.to_vec());
        Ok(())
    }

    fn delete(&self, id: &str) -> Result<(), String> {
        self.0.borrow_mut().remove(id);
        Ok(())
    }
}

/// A keyring that is there and does not answer.
struct Mute;

impl Keyring for Mute {
    fn get(&self, _id: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Err("it is locked".to_owned())
    }

    fn set(&self, _id: &str, _secret: &[u8]) -> Result<(), String> {
        Err("it is locked".to_owned())
    }

    fn delete(&self, _id: &str) -> Result<(), String> {
        Err("it is locked".to_owned())
    }
}

struct Asked<'a> {
    keyring: Option<&'a dyn Keyring>,
    passphrase: Option<&'static str>,
    asked: Vec<Ask>,
}

impl<'a> Asked<'a> {
    fn new(keyring: Option<&'a dyn Keyring>, passphrase: Option<&'static str>) -> Self {
        Self { keyring, passphrase, asked: Vec::new() }
    }
}

impl Unlock for Asked<'_> {
    fn keyring(&self) -> Option<&dyn Keyring> {
        self.keyring
    }

    fn passphrase(&mut self, ask: Ask) -> Result<Zeroizing<String>, ProfileError> {
        self.asked.push(ask);
        let passphrase = self.passphrase.ok_or_else(|| ProfileError::Locked("there is nobody to ask".to_owned()))?;
        Ok(Zeroizing::new(passphrase.to_owned()))
    }
}

fn same(a: &ProfileKey, b: &ProfileKey) -> bool {
    a.0 == b.0
}

#[test]
fn where_a_keyring_answers_nobody_is_asked() {
    let keyring = InMemory::default();
    let mut unlock = Asked::new(Some(&keyring), None);
    let (file, key) = KeyFile::create(&mut unlock).unwrap();
    assert!(same(&file.unlock(&mut unlock).unwrap(), &key));
    assert!(unlock.asked.is_empty());
}

#[test]
fn where_no_keyring_answers_a_passphrase_is_asked_for() {
    for keyring in [None, Some(&Mute as &dyn Keyring)] {
        let mut unlock = Asked::new(keyring, Some("correct horse"));
        let (file, key) = KeyFile::create(&mut unlock).unwrap();
        assert!(same(&file.unlock(&mut unlock).unwrap(), &key));
        assert_eq!(unlock.asked, [Ask::New, Ask::Existing]);
    }
}

#[test]
fn with_neither_it_is_refused() {
    let error = KeyFile::create(&mut Asked::new(None, None)).unwrap_err();
    assert!(matches!(error, ProfileError::Locked(_)), "{error}");
}

#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_file() {
    let (file, _) = KeyFile::create(&mut Passphrase::new("correct horse")).unwrap();
    assert_eq!(file.unlock(&mut Passphrase::new("wrong horse")).unwrap_err(), ProfileError::WrongPassphrase);
    let home = tempdir().unwrap();
    fs::write(home.path().join(NAME), "{").unwrap();
    assert!(matches!(KeyFile::load(home.path()).unwrap_err(), ProfileError::Files { .. }));
}

#[test]
fn a_new_passphrase_has_eight_characters() {
    assert!(KeyFile::create(&mut Passphrase::new("sieben7")).is_err());
    assert!(KeyFile::create(&mut Passphrase::new("grüße__8")).is_ok());
}

#[test]
fn a_passphrase_is_changed_and_the_key_stays() {
    let home = tempdir().unwrap();
    let (file, key) = KeyFile::create(&mut Passphrase::new("the first one")).unwrap();
    file.store(home.path()).unwrap();
    file.with_passphrase("the second one", &key).unwrap().store(home.path()).unwrap();
    let file = KeyFile::load(home.path()).unwrap().unwrap();
    assert_eq!(file.unlock(&mut Passphrase::new("the first one")).unwrap_err(), ProfileError::WrongPassphrase);
    assert!(same(&file.unlock(&mut Passphrase::new("the second one")).unwrap(), &key));
}

#[test]
fn a_key_goes_from_a_keyring_to_a_passphrase_and_leaves_nothing_behind() {
    let keyring = InMemory::default();
    let (file, key) = KeyFile::create(&mut Asked::new(Some(&keyring), None)).unwrap();
    let locked = file.with_passphrase("correct horse", &key).unwrap();
    file.leave(Some(&keyring));
    assert!(keyring.0.borrow().is_empty());
    assert!(same(&locked.unlock(&mut Passphrase::new("correct horse")).unwrap(), &key));
    let back = KeyFile::with_keyring(&keyring, &key).unwrap();
    assert!(same(&back.unlock(&mut Asked::new(Some(&keyring), None)).unwrap(), &key));
}

#[test]
fn a_key_in_a_keyring_says_so_when_it_cannot_be_had() {
    let keyring = InMemory::default();
    let (file, _) = KeyFile::create(&mut Asked::new(Some(&keyring), None)).unwrap();
    let empty = InMemory::default();
    for (other, word) in [(None, "passphrase"), (Some(&Mute as &dyn Keyring), "locked"), (Some(&empty), "not there")] {
        let error = file.unlock(&mut Asked::new(other, Some("correct horse"))).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_file_cannot_ask_for_all_memory() {
    let (mut file, _) = KeyFile::create(&mut Passphrase::new("correct horse")).unwrap();
    if let Lock::Passphrase { memory_kib, .. } = &mut file.lock {
        *memory_kib = u32::MAX;
    }
    assert!(matches!(file.unlock(&mut Passphrase::new("correct horse")).unwrap_err(), ProfileError::Keys(_)));
}

#[test]
fn the_file_does_not_hold_the_key() {
    let home = tempdir().unwrap();
    let (file, key) = KeyFile::create(&mut Passphrase::new("correct horse")).unwrap();
    file.store(home.path()).unwrap();
    let written = fs::read(home.path().join(NAME)).unwrap();
    assert!(!written.windows(32).any(|window| window == &key.0[..]));
    assert_ne!(Vault::new(&key).name(&"bob".parse().unwrap()), key.0.to_vec());
}
