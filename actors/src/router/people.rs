//! Whose presence the other nodes must be told again. What is kept is that something has changed, not what: whoever tells
//! reads the latest, so news of one name cannot overtake each other.

use std::collections::HashSet;

use parking_lot::Mutex;
use sealwire_protocol::Username;
use tokio::sync::Notify;

/// Names of whom something has changed.
#[derive(Debug, Default)]
pub(crate) struct People {
    changed: Mutex<HashSet<Username>>,
    some: Notify,
}

impl People {
    /// Whether somebody can be seen here, or is watched from here, has changed.
    pub(crate) fn change(&self, name: &Username) {
        self.changed.lock().insert(name.clone());
        self.some.notify_one();
    }

    /// Waits for changes and takes them. For one caller.
    pub(crate) async fn take(&self) -> HashSet<Username> {
        loop {
            let changed = std::mem::take(&mut *self.changed.lock());
            if !changed.is_empty() {
                return changed;
            }
            self.some.notified().await;
        }
    }
}
