//! A profile whose key lies in a real keyring: the Secret Service of `gnome-keyring-daemon`, on a session bus of its own.

#![cfg(target_os = "linux")]

use std::process::Command;

use sealwire_client::Profile;
use sealwire_client::profile::ProfileError;
use sealwire_client::vault::{Ask, Keyring, OsKeyring, Passphrase, Unlock};
use tempfile::tempdir;
use zeroize::Zeroizing;

/// Somebody with a desktop, who is never asked for a passphrase.
struct Desktop;

impl Unlock for Desktop {
    fn keyring(&self) -> Option<&dyn Keyring> {
        Some(&OsKeyring)
    }

    fn passphrase(&mut self, _ask: Ask) -> Result<Zeroizing<String>, ProfileError> {
        Err(ProfileError::Locked("nobody is to be asked".to_owned()))
    }
}

/// Set where the test runs on the bus that it has started.
const IN_SESSION: &str = "SEALWIRE_TEST_IN_SESSION";

/// Runs itself again on a bus with an unlocked keyring, whose files are thrown away.
#[test]
fn a_real_keyring_unlocks_a_profile() {
    if std::env::var_os(IN_SESSION).is_some() {
        return in_session();
    }
    let home = tempdir().unwrap();
    let script = "printf %s secret | gnome-keyring-daemon --unlock --components=secrets > /dev/null && \
                  exec \"$0\" --exact a_real_keyring_unlocks_a_profile";
    let output = Command::new("dbus-run-session")
        .args(["--", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(IN_SESSION, "1")
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env_remove("XDG_DATA_HOME")
        .output()
        .expect(
            "dbus-run-session is missing: tools/setup installs it (Debian's packages dbus-daemon and gnome-keyring)",
        );
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[expect(clippy::unwrap_used, reason = "a test: it fails by panicking")]
fn in_session() {
    let home = tempdir().unwrap();
    let mut profile = Profile::open(home.path(), &mut Desktop).unwrap();
    profile.put_setting("a", &1).unwrap();
    drop(profile);
    let mut profile = Profile::open(home.path(), &mut Desktop).unwrap();
    assert_eq!(profile.setting("a").unwrap(), Some(1));

    profile.change_passphrase("correct horse", Some(&OsKeyring)).unwrap();
    drop(profile);
    assert!(Profile::open(home.path(), &mut Desktop).is_err());
    let mut profile = Profile::open(home.path(), &mut Passphrase::new("correct horse")).unwrap();
    profile.use_keyring(&OsKeyring).unwrap();
    drop(profile);
    assert_eq!(Profile::open(home.path(), &mut Desktop).unwrap().setting("a").unwrap(), Some(1));

    OsKeyring.set("a test", b"bytes").unwrap();
    assert_eq!(OsKeyring.get("a test").unwrap().unwrap().as_slice(), b"bytes");
    OsKeyring.delete("a test").unwrap();
    OsKeyring.delete("a test").unwrap();
    assert_eq!(OsKeyring.get("a test").unwrap(), None);
}
