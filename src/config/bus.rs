//! `[bus]`: what links the nodes of a cluster.

use std::path::PathBuf;

use super::{Fault, key::section, secret::SecretUrl, store::StoreSection};

section! {
    /// What links the nodes of a cluster.
    struct BusSection in "bus" at bus;

    #[doc = "The Redis that links the nodes of a cluster: `redis://USER:PASSWORD@HOST:PORT`, or `rediss://` with TLS; all nodes have the same, and share one store (`store.url`). Empty for a node alone. `docs/redis.md` says what that Redis needs."]
    url: SecretUrl = SecretUrl::default();
    #[doc = "A file that holds that URL, for those who keep secrets in files; instead of `bus.url`."]
    url_file: Option<PathBuf> = None;
    #[doc = "A file of certificates (PEM) to trust with `rediss://`, instead of those of the system."]
    ca_file: Option<PathBuf> = None;
}

impl BusSection {
    /// Checks what one key alone cannot tell.
    pub(crate) fn validate(&self, store: &StoreSection, faults: &mut Vec<Fault>) {
        let key = if self.url_file.is_some() { "bus.url_file" } else { "bus.url" };
        let scheme = |scheme: &str| self.url.reveal().is_some_and(|url| url.starts_with(scheme));
        if self.url.is_set() && !scheme("redis://") && !scheme("rediss://") {
            faults.push(Fault::new(key, "expected a URL that begins with redis:// or rediss://"));
        }
        if self.url.is_set() && !store.is_shared() {
            faults.push(Fault::new(key, ALONE));
        }
        if self.ca_file.is_some() && !scheme("rediss://") {
            faults.push(Fault::new("bus.ca_file", "expected only with a bus.url that begins with rediss://"));
        }
    }
}

const ALONE: &str = "expected together with store.url: the nodes of a cluster share one store, which the embedded one cannot \
    be. Set store.url to a MongoDB replica set, or leave bus.url out for a node alone";
