//! A server that lies about what has become of messages.

use sealwire_client::{Error, Event};
use sealwire_tests::hostile::{Act, Forger, Seen, Side, World};
use sealwire_tests::stranger::now;
use serde_json::{Value, json};

fn status(status: &str, id: &Value) -> Value {
    json!({ "type": "status", "status": status, "messageIds": [id], "at": now() })
}

fn error(code: &str, id: &Value) -> Value {
    json!({ "type": "error", "code": code, "message": "says who?", "messageId": id })
}

fn of_alice(seen: &Seen) -> bool {
    seen.side == Side::Client && seen.frame["type"] == "message" && seen.who == "alice"
}

#[tokio::test]
async fn what_was_delivered_does_not_become_queued_or_expired_by_a_later_word() {
    let world = World::start().await;
    let (mut alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    bob.hears(&[("alice", "one")]).await;
    let id = world.proxy.seen("the message", of_alice).await.frame["messageId"].clone();
    alice.until("news of the first", |event| matches!(event, Event::Status { .. })).await;
    for later in ["expired", "queued"] {
        world.proxy.deliver("alice", &status(later, &id)).await;
    }
    alice.delivers(&bob, "two").await;
    let of_the_second =
        |event: &Event| matches!(event, Event::Status { message_id, .. } if id != message_id.to_string());
    alice.until("news of the second", of_the_second).await;
    let statuses = alice.told.iter().filter(|event| matches!(event, Event::Status { .. })).count();
    assert_eq!(statuses, 2, "of the first there is no more news: {:?}", alice.told);
}

#[tokio::test]
async fn a_message_that_was_passed_on_and_then_refused_is_shown_once_and_leaves_no_gap() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    let mut refused = false;
    world.proxy.on(Side::Client, "message", move |passing| {
        let mut acts = vec![Act::On(passing.frame.clone())];
        if passing.who == "alice" && !std::mem::replace(&mut refused, true) {
            acts.push(Act::Back(error("mailbox_full", &passing.frame["messageId"])));
        }
        acts
    });
    let given_up = alice.says(&bob, "two").await.first_status().await;
    assert!(matches!(given_up, Err(Error::GivenUp { .. })), "{given_up:?}");
    alice.says(&bob, "three").await;
    bob.hears(&[("alice", "one"), ("alice", "two"), ("alice", "three")]).await;
    assert!(bob.alarms().is_empty());
    assert!(!bob.told.iter().any(|event| matches!(event, Event::Missing { .. })));
}

#[tokio::test]
async fn a_refusal_names_no_keys_that_are_believed() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    // The answer to a message lists a device of bob's that the double has made up.
    let false_bob = Forger::new(&bob.name, bob.device, 12);
    let devices = json!({ "bob": [{ "id": bob.device.to_string(), "wrap": false_bob.who.first_wrap() }] });
    let mut refused = false;
    world.proxy.on(Side::Client, "message", move |passing| {
        if std::mem::replace(&mut refused, true) {
            return vec![Act::On(passing.frame.clone())];
        }
        let mut stale = error("stale_devices", &passing.frame["messageId"]);
        stale["devices"] = devices.clone();
        vec![Act::Back(stale)]
    });
    alice.delivers(&bob, "two").await;
    bob.hears(&[("alice", "one"), ("alice", "two")]).await;
    let true_bob = bob.forger().who.recipient();
    for sent in world.proxy.log().into_iter().filter(of_alice) {
        assert_eq!(sent.frame["recipients"], json!([true_bob]));
    }
}

#[tokio::test]
async fn a_server_that_calls_every_list_stale_does_not_keep_a_processor_busy_and_the_message_arrives_in_the_end() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    let mut times = 0;
    world.proxy.on(Side::Client, "message", move |passing| {
        times += 1;
        if times > 5 {
            vec![Act::On(passing.frame.clone())]
        } else {
            vec![Act::Back(error("stale_devices", &passing.frame["messageId"]))]
        }
    });
    alice.delivers(&bob, "two").await;
    bob.hears(&[("alice", "one"), ("alice", "two")]).await;
    let texts: std::collections::BTreeSet<_> = world
        .proxy
        .log()
        .iter()
        .filter(|seen| of_alice(seen))
        .skip(1)
        .map(|seen| seen.frame["messageId"].to_string())
        .collect();
    assert_eq!(texts.len(), 1, "all of them are the same message");
}
