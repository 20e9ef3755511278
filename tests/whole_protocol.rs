//! What a client written from `docs/protocol.md` alone can do with an account: more devices and fewer, new wrap keys, a
//! backup, leaving for good; signals, and mail that nobody fetches. And how it is refused.

#[path = "whole_protocol/devices.rs"]
mod devices;
#[path = "whole_protocol/kills.rs"]
mod kills;
#[path = "whole_protocol/linking.rs"]
mod linking;
#[path = "whole_protocol/presence.rs"]
mod presence;
#[path = "whole_protocol/recovery.rs"]
mod recovery;
#[path = "whole_protocol/transient.rs"]
mod transient;

use std::sync::Arc;

use sealwire_protocol::signed::Manifest;
use sealwire_tests::Server;
use sealwire_tests::stranger::{Identity, Stranger};
use serde_json::{Value, json};

/// A person with one device that is logged in, and the newest manifest.
struct Owner {
    session: Stranger,
    manifest: Manifest,
}

impl Owner {
    async fn register(server: &Server, name: &str) -> Self {
        let session = server.register(name).await;
        let manifest = session.who.first_manifest();
        Self { session, manifest }
    }

    /// The next manifest, with these devices.
    fn next(&self, devices: &[&Identity]) -> Manifest {
        self.session.who.next_manifest(&self.manifest, devices)
    }

    /// Asks for a manifest to be taken; gives the answer.
    async fn offer(&mut self, manifest: &Manifest) -> Value {
        let frame = self.session.who.manifest_frame(manifest);
        self.session.ask(&json!({ "type": "devices", "manifest": frame })).await
    }

    /// Has the next manifest taken.
    async fn list(&mut self, devices: &[&Identity]) {
        let next = self.next(devices);
        let answer = self.offer(&next).await;
        assert_eq!((&answer["type"], &answer["version"]), (&json!("devices"), &json!(next.version)), "{answer}");
        self.manifest = next;
    }

    /// Adds a second device and logs it in.
    async fn with_second(&mut self, server: &Server) -> Stranger {
        let second = Arc::new(self.session.who.sibling(1));
        self.list(&[&self.session.who.clone(), &second]).await;
        server.link(&second).await
    }
}

/// Answers a challenge and is refused like somebody whom the server does not know.
async fn is_turned_away(server: &Server, answer: impl FnOnce(&Value) -> Value) {
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    wire.send_frame(&answer(&challenge)).await;
    wire.expect_error("auth_failed").await;
    wire.expect_close(4401).await;
}

/// The names and ids of an error's `devices`.
fn stale(error: &Value) -> Vec<(String, Vec<String>)> {
    let lists = error["devices"].as_object().expect("lists of both sides");
    let id = |device: &Value| device["id"].as_str().expect("an id").to_owned();
    let of = |list: &Value| list.as_array().expect("a list").iter().map(id).collect();
    lists.iter().map(|(name, list)| (name.clone(), of(list))).collect()
}
