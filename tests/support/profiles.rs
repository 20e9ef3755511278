//! Profiles of real clients, and the passphrase that all of them have in these tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sealwire_client::Profile;
use sealwire_client::vault::Passphrase;

const PASSPHRASE: &str = "correct horse battery staple";

/// A file with the passphrase, for `--passphrase-file`; made in this directory where it is not there yet.
pub fn passphrase_file(directory: &Path) -> PathBuf {
    let path = directory.join("passphrase");
    if !path.exists() {
        fs::write(&path, format!("{PASSPHRASE}\n")).expect("a file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
    }
    path
}

/// Opens a profile, or makes it.
pub fn open(path: &Path) -> Profile {
    Profile::open(path, &mut Passphrase::new(PASSPHRASE)).expect("the profile opens")
}
