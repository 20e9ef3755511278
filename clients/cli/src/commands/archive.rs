//! `export` and `import`: a history in a file of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::print;
use crate::arguments::{Arguments, Export, Import};
use crate::exit::Failure;
use crate::profile;
use crate::terminal::complain;

/// Writes all conversations into a new file, or to standard output.
pub(crate) fn export(arguments: &Arguments, command: &Export) -> Result<(), Failure> {
    let profile = profile::open_existing(arguments)?;
    let path = match &command.file {
        Some(path) if path.as_os_str() == "-" => {
            let count = profile.export(&mut BufWriter::new(io::stdout().lock()))?;
            complain(&warning(count, "what was written"));
            return Ok(());
        }
        Some(path) => path.clone(),
        None => PathBuf::from(format!("sealwire-{}.jsonl", profile.name()?)),
    };
    let file = new_private_file(&path)?;
    let mut writer = BufWriter::new(&file);
    let count = profile.export(&mut writer).map_err(Failure::from).and_then(|count| {
        let written = writer.flush().and_then(|()| file.sync_all());
        written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
        Ok(count)
    });
    if count.is_err() {
        // Half a history would pass for a whole one.
        let _ = fs::remove_file(&path);
    }
    let count = count?;
    let shown = path.display().to_string();
    print(arguments.json, &json!({ "file": shown, "messages": count }), || format!("{count} messages in {shown}"))?;
    complain(&warning(count, &shown));
    Ok(())
}

fn warning(count: u64, what: &str) -> String {
    format!("{what} is NOT encrypted: whoever reads it reads {count} messages. Keep it where only you can read it")
}

/// Takes over a history that `export` wrote.
pub(crate) fn import(arguments: &Arguments, command: &Import) -> Result<(), Failure> {
    let mut profile = profile::open_existing(arguments)?;
    let imported = if command.file.as_os_str() == "-" {
        profile.import(&mut io::stdin().lock())?
    } else {
        let unread = |error| Failure::failed(format!("cannot read {}: {error}", command.file.display()));
        profile.import(&mut BufReader::new(File::open(&command.file).map_err(unread)?))?
    };
    let object = json!({ "added": imported.added, "known": imported.known });
    print(arguments.json, &object, || {
        format!("{} messages were added, {} were there already", imported.added, imported.known)
    })
}

/// A file that nobody else can read, and that was not there before.
fn new_private_file(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{} exists, and is not overwritten", path.display())).and("name another file")
        }
        _ => Failure::failed(format!("cannot make {}: {error}", path.display())),
    })
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}
