//! What a broken or hostile peer may send, over real sockets: the answer is the code that `docs/protocol.md` names, the
//! connection survives where the page says so, and the server's memory returns to where it was.

#[path = "bad_input/connections.rs"]
mod connections;
#[path = "bad_input/frames.rs"]
mod frames;
#[path = "bad_input/greeting.rs"]
mod greeting;
#[path = "bad_input/memory.rs"]
mod memory;
#[path = "bad_input/messages.rs"]
mod messages;
#[path = "bad_input/registrations.rs"]
mod registrations;

use sealwire_tests::stranger::Wire;
use serde_json::{Value, json};

/// A word that is put into odd places; no error may repeat it.
const CANARY: &str = "xyzzy";

/// An error's text never repeats what the peer sent; its `id` does, by design.
#[track_caller]
fn assert_no_canary(error: &Value) {
    let mut error = error.clone();
    error.as_object_mut().expect("a frame").remove("id");
    assert!(!error.to_string().contains(CANARY), "{error} repeats what was sent");
}

/// The connection answers as if nothing had happened.
async fn assert_survives(wire: &mut Wire) {
    wire.send_frame(&json!({ "type": "heartbeat", "timestamp": 4_711, "id": "still there" })).await;
    let answer = wire.expect_where("a heartbeat", |frame| frame["id"] == "still there").await;
    assert_eq!(answer["timestamp"], 4_711, "{answer}");
}
