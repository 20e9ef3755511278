//! What unlocks the profile: a file with the passphrase, the system's keyring, or the person at the terminal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use sealwire_client::profile::ProfileError;
use sealwire_client::vault::{Ask, Keyring, MIN_PASSPHRASE, OsKeyring, Unlock};
use zeroize::Zeroizing;

use crate::arguments::Arguments;

/// The longest first line that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Whoever runs this program.
#[derive(Debug)]
pub(crate) struct Person {
    file: Option<PathBuf>,
    keyring: OsKeyring,
}

impl Person {
    pub(crate) fn of(arguments: &Arguments) -> Self {
        Self { file: arguments.passphrase_file.clone(), keyring: OsKeyring }
    }
}

impl Unlock for Person {
    fn keyring(&self) -> Option<&dyn Keyring> {
        self.file.is_none().then_some(&self.keyring)
    }

    fn passphrase(&mut self, ask: Ask) -> Result<Zeroizing<String>, ProfileError> {
        match &self.file {
            Some(file) => first_line(file),
            None if io::stderr().is_terminal() => ask_twice_if_new(ask),
            None => Err(ProfileError::Locked(
                "the profile is encrypted, and there is neither a keyring to keep its key nor a terminal to ask for a \
                 passphrase on; name a file whose first line is the passphrase: --passphrase-file FILE, or \
                 SEALWIRE_PASSPHRASE_FILE"
                    .to_owned(),
            )),
        }
    }
}

/// A passphrase to lock the profile by from now on: of a file, or asked for.
pub(crate) fn new_passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, ProfileError> {
    match file {
        Some(file) => first_line(file),
        None if io::stderr().is_terminal() => ask_twice_if_new(Ask::New),
        None => Err(ProfileError::Locked(
            "there is no terminal to ask for the new passphrase on; name a file whose first line it is: \
             --new-passphrase-file FILE"
                .to_owned(),
        )),
    }
}

fn ask_twice_if_new(ask: Ask) -> Result<Zeroizing<String>, ProfileError> {
    if ask == Ask::Existing {
        return prompt("Passphrase: ");
    }
    let passphrase = prompt(&format!("A new passphrase for this profile, at least {MIN_PASSPHRASE} characters: "))?;
    if passphrase != prompt("The same again: ")? {
        return Err(ProfileError::Locked("the two are not the same; nothing was changed".to_owned()));
    }
    Ok(passphrase)
}

/// Asks on the terminal, without an echo.
fn prompt(words: &str) -> Result<Zeroizing<String>, ProfileError> {
    let unread = |error| ProfileError::Locked(format!("no passphrase could be read: {error}"));
    rpassword::prompt_password(words).map(Zeroizing::new).map_err(unread)
}

fn first_line(path: &Path) -> Result<Zeroizing<String>, ProfileError> {
    let unread = |reason: String| {
        ProfileError::Locked(format!("the passphrase file {} cannot be used: {reason}", path.display()))
    };
    let file = File::open(path).map_err(|error| unread(error.to_string()))?;
    check_mode(&file).map_err(unread)?;
    let mut line = Zeroizing::new(String::new());
    let mut reader = BufReader::new(file.take(LONGEST));
    reader.read_line(&mut line).map_err(|error| unread(error.to_string()))?;
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    if line.is_empty() {
        return Err(unread("its first line is empty".to_owned()));
    }
    Ok(line)
}

#[cfg(unix)]
fn check_mode(file: &File) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(format!(
            "everybody on this machine can read or change it (mode {:03o}); type: chmod 600",
            mode & 0o777
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_file: &File) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(file: &Path) -> Person {
        Person { file: Some(file.to_owned()), keyring: OsKeyring }
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("passphrase");
        for (text, line) in
            [("two words \nmore", Some("two words ")), ("dos\r\n", Some("dos")), ("\nlate", None), ("", None)]
        {
            std::fs::write(&file, text).unwrap();
            restrict(&file);
            let passphrase = person(&file).passphrase(Ask::Existing);
            assert_eq!(passphrase.ok().map(|passphrase| passphrase.to_string()).as_deref(), line);
        }
    }

    #[test]
    fn with_a_passphrase_file_no_keyring_is_used() {
        assert!(person(Path::new("anywhere")).keyring().is_none());
        assert!(Person { file: None, keyring: OsKeyring }.keyring().is_some());
    }

    #[cfg(unix)]
    fn restrict(file: &Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[cfg(not(unix))]
    fn restrict(_file: &Path) {}
}
