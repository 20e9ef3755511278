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

use sealwire_tests::Server;
use sealwire_tests::stranger::Owner;
use serde_json::Value;

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
