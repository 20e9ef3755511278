//! A server that redirects envelopes, and changes what is in them.

use sealwire_client::Event;
use sealwire_tests::hostile::{Draft, Forger, Passing, Person, Seen, Side, World};
use sealwire_tests::stranger::{b64, unb64};
use serde_json::{Value, json};

/// Alice, Bob and Carol; everybody knows everybody, and a message of Alice's for Bob was caught on its way.
async fn caught() -> (World, Person, Person, Person, Value) {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    let mut carol = world.person("carol").await;
    alice.delivers(&bob, "hello").await;
    alice.delivers(&carol, "hello").await;
    carol.delivers(&bob, "hello").await;
    carol.hears(&[("alice", "hello")]).await;
    bob.hears(&[("alice", "hello"), ("carol", "hello")]).await;
    world.proxy.on(Side::Server, "message", |_| Vec::new());
    alice.says(&bob, "for bob").await;
    let is_it = |seen: &Seen| seen.who == "bob" && seen.frame["type"] == "message" && seen.frame["seq"] == 3;
    let Passing { frame, .. } = world.proxy.seen("the message", is_it).await;
    world.proxy.be_honest();
    (world, alice, bob, carol, frame)
}

/// Delivers each of these to somebody, and sees each fail for its reason.
async fn none_opens(world: &World, person: &mut Person, envelopes: &[(Value, &str)]) {
    for (envelope, reason) in envelopes {
        world.proxy.deliver(person.name.as_str(), envelope).await;
        person.until(reason, |event| matches!(event, Event::Unreadable { .. })).await;
        assert_eq!(person.unreadable().last().map(String::as_str), Some(*reason));
    }
}

fn with(envelope: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut changed = envelope.clone();
    change(&mut changed);
    changed
}

/// With one bit of these bytes another.
fn flipped(value: &Value) -> Value {
    let mut bytes = unb64(value);
    let last = bytes.last_mut().expect("it is not empty");
    *last ^= 1;
    b64(bytes).into()
}

#[tokio::test]
async fn a_message_for_bob_does_not_open_for_carol_whatever_is_written_on_it() {
    let (world, alice, mut bob, mut carol, envelope) = caught().await;
    let readdressed = with(&envelope, |e| {
        let mut recipient = carol.forger().who.recipient();
        recipient["h"] = e["recipients"][0]["h"].clone();
        e["to"] = "carol".into();
        e["recipients"] = json!([recipient]);
    });
    let to_carol_only = with(&envelope, |e| e["to"] = "carol".into());
    let envelopes = [
        (envelope.clone(), "not addressed to this device"),
        (to_carol_only, "not addressed to this device"),
        (readdressed, "the signature is not the sender's"),
    ];
    none_opens(&world, &mut carol, &envelopes).await;

    world.proxy.deliver("bob", &envelope).await;
    bob.hears(&[("alice", "for bob")]).await;
    alice.delivers(&carol, "for carol").await;
    carol.hears(&[("alice", "for carol")]).await;
}

#[tokio::test]
async fn a_message_does_not_open_under_the_name_or_device_of_another() {
    let (world, _alice, mut bob, carol, envelope) = caught().await;
    let other_name = with(&envelope, |e| e["from"] = "carol".into());
    let other_person = with(&other_name, |e| e["fromDevice"] = carol.device.to_string().into());
    let other_device = with(&envelope, |e| e["fromDevice"] = "01890a5d-ac96-774b-bcce-b302099a8057".into());
    let own_name = with(&envelope, |e| e["from"] = "bob".into());
    let own_device = with(&envelope, |e| e["fromDevice"] = bob.device.to_string().into());
    let envelopes = [
        (other_name, "the sending device is not known"),
        (other_person, "the signature is not the sender's"),
        (other_device, "the sending device is not known"),
        (own_name, "the sending device is not known"),
        (own_device, "not addressed to this device"),
    ];
    none_opens(&world, &mut bob, &envelopes).await;

    world.proxy.deliver("bob", &envelope).await;
    bob.hears(&[("alice", "for bob")]).await;
}

#[tokio::test]
async fn a_changed_envelope_does_not_open_and_does_not_spoil_the_true_one() {
    let (world, _alice, mut bob, _carol, envelope) = caught().await;
    let set = |field: &str, value: Value| with(&envelope, |e| e[field] = value);
    let flip = |field: &str| set(field, flipped(&envelope[field]));
    let time = envelope["timestamp"].as_u64().expect("a time");
    let rewrapped = with(&envelope, |e| {
        e["encryptedKey"] = flipped(&e["encryptedKey"]);
        let hash = sealwire_protocol::signed::sha256(&unb64(&e["encryptedKey"]));
        e["recipients"][0]["h"] = b64(hash).into();
    });
    let other_key = with(&envelope, |e| e["recipients"][0]["k"] = flipped(&e["recipients"][0]["k"]));
    let none_listed = set("recipients", json!([]));
    let one_more = with(&envelope, |e| {
        let more = e["recipients"][0].clone();
        e["recipients"].as_array_mut().expect("a list").push(more);
    });
    let bad_signature = "the signature is not the sender's";
    let envelopes = [
        (flip("iv"), bad_signature),
        (flip("encryptedMessage"), bad_signature),
        (flip("signature"), bad_signature),
        (set("timestamp", (time + 1).into()), bad_signature),
        (set("messageId", "01890a5d-ac96-774b-bcce-b302099a8057".into()), bad_signature),
        (flip("encryptedKey"), "the wrapped key is not the listed one"),
        (rewrapped, bad_signature),
        (other_key, "sealed for a key that this device does not hold"),
        (set("suite", 2.into()), "not the shape of an envelope"),
        (set("suite", 0.into()), "not the shape of an envelope"),
        (set("encryptedMessage", b64([0; 48]).into()), "not the shape of an envelope"),
        (set("signature", b64([0; 256]).into()), "not the shape of an envelope"),
        (none_listed, "not the shape of an envelope"),
        (one_more, "not addressed to this device"),
    ];
    none_opens(&world, &mut bob, &envelopes).await;
    assert_eq!(bob.messages(), 2);

    world.proxy.deliver("bob", &envelope).await;
    bob.hears(&[("alice", "for bob")]).await;
    assert!(bob.alarms().is_empty(), "{:?}", bob.alarms());
}

#[tokio::test]
async fn what_a_stranger_signs_in_alices_name_is_not_hers() {
    let (world, alice, mut bob, _carol, _) = caught().await;
    // With another account's keys, under her name and her device's.
    let mallory = Forger::new(&alice.name, alice.device, 12);
    let forged = mallory.seals(&bob.forger().who, &Draft::first("send me your money"));
    none_opens(&world, &mut bob, &[(forged, "the signature is not the sender's")]).await;
    assert_eq!(bob.messages(), 2);
}

#[tokio::test]
async fn two_histories_of_one_device_raise_an_alarm() {
    let (world, alice, mut bob, _carol, envelope) = caught().await;
    world.proxy.deliver("bob", &envelope).await;
    bob.hears(&[("alice", "for bob")]).await;

    // Somebody has a copy of alice's device, and writes in its name.
    let (twin, to) = (alice.forger(), bob.forger().who);
    let other = Draft { counter: 2, ..Draft::first("from the copy") };
    world.proxy.deliver("bob", &twin.seals(&to, &other)).await;
    let alarm = bob.alarm().await;
    assert!(alarm.to_string().contains("SameCounter at message 2"), "{alarm}");
    let third = other.then("from the copy again");
    world.proxy.deliver("bob", &twin.seals(&to, &third)).await;
    let broken = |event: &Event| format!("{event:?}").contains("BrokenLink");
    bob.until("the alarm", broken).await;
}

#[tokio::test]
async fn a_message_is_no_signal_and_a_signal_no_message() {
    let (world, mut alice, mut bob, _carol, envelope) = caught().await;
    // Of strangers nothing is shown but messages.
    bob.delivers(&alice, "go on").await;
    alice.hears(&[("bob", "go on")]).await;
    world.proxy.deliver("bob", &with(&envelope, |e| e["type"] = "signal".into())).await;
    alice.client.typing(&bob.name).await.expect("the client runs");
    let typing = |event: &Event| matches!(event, Event::Typing { .. });
    bob.until("that alice types", typing).await;

    let is_signal = |seen: &Seen| seen.side == Side::Server && seen.frame["type"] == "signal";
    let signal = world.proxy.seen("the signal", is_signal).await.frame;
    world.proxy.deliver("bob", &signal).await;
    let as_message = with(&signal, |s| s["type"] = "message".into());
    none_opens(&world, &mut bob, &[(as_message, "undecryptable")]).await;
    world.proxy.deliver("bob", &envelope).await;
    bob.hears(&[("alice", "for bob")]).await;
    assert_eq!(bob.told.iter().filter(|event| typing(event)).count(), 1, "a repeat is none");
}
