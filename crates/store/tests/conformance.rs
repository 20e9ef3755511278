//! The one suite on every store of this crate, and random batches on all of them at once.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something wrong")]

mod memory {
    use sealwire_store::MemoryStore;

    sealwire_store::conformance::suite!(((), MemoryStore::new()));
}

mod sqlite {
    use sealwire_store::SqliteStore;

    sealwire_store::conformance::suite!({
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        (dir, store)
    });
}

#[path = "conformance/model.rs"]
mod model;
