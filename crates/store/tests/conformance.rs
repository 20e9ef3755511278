//! The one suite on every store of this crate, and random batches on all of them at once.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something wrong")]

use std::time::Duration;

/// What hangs for this long is given up; nothing that works comes near it, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);

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

mod mongodb {
    use std::sync::atomic::{AtomicU32, Ordering};

    use sealwire_parts::MongoReplicaSet;
    use sealwire_store::MongoStore;

    use super::PATIENCE;

    /// Each check has a database of its own.
    async fn open(set: &MongoReplicaSet) -> MongoStore {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let database = format!("check-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        MongoStore::open(&set.url_of(&database), PATIENCE).await.unwrap()
    }

    /// One of these at a time: it is three servers.
    mod heavy {
        use super::*;

        sealwire_store::conformance::suite!(sharing set = MongoReplicaSet::start(3).await; ((), open(&set).await));
    }
}

#[path = "conformance/model.rs"]
mod model;
