//! `[store]`: where accounts and undelivered mail are kept.

use std::path::PathBuf;

use super::{Fault, key::section, secret::SecretUrl, setting::Word};

section! {
    /// Where accounts and undelivered mail are kept.
    struct StoreSection in "store" at store;

    #[doc = "`sqlite` keeps everything in one directory; `memory` forgets everything with the process (for trying out and for tests). With `store.url` neither is used."]
    kind: StoreKind = StoreKind::Sqlite;
    #[doc = "The directory of the embedded store; it is made when it is missing. A relative path starts at the working directory."]
    data_dir: PathBuf = PathBuf::from("./data");
    #[doc = "A MongoDB replica set to keep everything in instead, which several nodes can share: `mongodb://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?replicaSet=NAME`; the database is `sealwire` where none is named. Empty for the embedded store."]
    url: SecretUrl = SecretUrl::default();
    #[doc = "A file that holds that URL, for those who keep secrets in files; instead of `store.url`."]
    url_file: Option<PathBuf> = None;
}

impl StoreSection {
    /// Whether several nodes can have this store.
    pub(crate) fn is_shared(&self) -> bool {
        self.url.is_set()
    }

    /// Which store it is, for the log.
    pub(crate) fn describe(&self) -> &'static str {
        match (self.is_shared(), self.kind) {
            (true, _) => "mongodb",
            (false, StoreKind::Sqlite) => "sqlite",
            (false, StoreKind::Memory) => "memory",
        }
    }

    /// Checks what one key alone cannot tell.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        if self.url.reveal().is_some_and(|url| !url.starts_with("mongodb://")) {
            let key = if self.url_file.is_some() { "store.url_file" } else { "store.url" };
            faults.push(Fault::new(key, "expected a URL that begins with mongodb://"));
        }
    }
}

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// Gone with the process.
    Memory,
    /// Embedded, in a directory.
    Sqlite,
}

impl Word for StoreKind {
    const EXPECTS: [&'static str; 2] = [r#""sqlite" or "memory""#, "kinds of stores"];

    fn read(text: &str) -> Option<Self> {
        match text {
            "memory" => Some(Self::Memory),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        }
        .to_owned()
    }
}
