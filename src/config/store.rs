//! `[store]`: where accounts and undelivered mail are kept.

use std::path::PathBuf;

use super::{key::section, setting::Word};

section! {
    /// Where accounts and undelivered mail are kept.
    struct StoreSection in "store" at store;

    #[doc = "`sqlite` keeps everything in one directory; `memory` forgets everything with the process (for trying out and for tests)."]
    kind: StoreKind = StoreKind::Sqlite;
    #[doc = "The directory of the embedded store; it is made when it is missing. A relative path starts at the working directory."]
    data_dir: PathBuf = PathBuf::from("./data");
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
