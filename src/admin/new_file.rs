//! A file that is there as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::AdminError;

/// Only for its owner: it holds who writes to whom.
const MODE: u32 = 0o600;

/// A file that is being written beside its place. Dropped before it is [finished](Self::finish), it is removed; what a process that
/// was killed has left is written over.
#[derive(Debug)]
pub(super) struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    /// Locked while it lives.
    file: File,
}

impl NewFile {
    /// Begins a file that must not be there.
    pub(super) fn begin(path: &Path) -> Result<Self, AdminError> {
        if path.symlink_metadata().is_ok() {
            return Err(AdminError::Exists(path.to_owned()));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let failed = |source| AdminError::File { path: partial.clone(), source };
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(MODE).open(&partial);
        let file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AdminError::Busy(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let emptied = file.set_len(0).and_then(|()| file.set_permissions(Permissions::from_mode(MODE)));
        emptied.map_err(failed)?;
        Ok(Self { path: path.to_owned(), partial, file })
    }

    /// What to write to, and to read again.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, durably. The file must be synced.
    pub(super) fn finish(self) -> Result<(), AdminError> {
        let failed = |source| AdminError::File { path: self.path.clone(), source };
        match fs::hard_link(&self.partial, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(AdminError::Exists(self.path.clone()));
            }
            // Some file systems have no second names.
            Err(_) => fs::rename(&self.partial, &self.path).map_err(failed)?,
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It may have been renamed; one that stays is written over the next time.
        let _ = fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_there_once_it_is_finished_for_its_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("dump");
        fs::write(home.path().join("dump.partial"), "what a killed process has left").unwrap();
        let new = NewFile::begin(&path).unwrap();
        assert!(matches!(NewFile::begin(&path), Err(AdminError::Busy(_))));
        new.file().write_all(b"whole").unwrap();
        assert!(!path.exists());
        new.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_there_is_not_touched() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("dump");
        let new = NewFile::begin(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(new.finish(), Err(AdminError::Exists(_))));
        assert!(matches!(NewFile::begin(&path), Err(AdminError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
