//! Both ways with the WebCrypto companion of the protocol page, under Node.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sealwire_e2ee::{Delivered, SafetyNumber, Sealed};
use sealwire_protocol::signed::{Header, sha256};
use serde_json::{Value, json};

use crate::people::*;
use crate::vector::{bytes, hex, text};

/// Runs one command of `cross.mjs`.
fn companion(command: &str, input: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/cross.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node 20 is on the PATH");
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the companion refused to {command}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn header_json(header: &Header) -> Value {
    let recipients = header.recipients.iter();
    json!({
        "messageId": header.message_id,
        "timestamp": header.timestamp,
        "from": header.from,
        "fromDevice": header.from_device,
        "sigKid": hex(header.dsk_kid.as_bytes()),
        "to": header.to,
        "rcpts": recipients
            .map(|r| json!({ "user": r.username, "device": r.device, "kid": hex(r.dwk_kid.as_bytes()) }))
            .collect::<Vec<_>>(),
    })
}

fn open_by_companion(envelope: &Delivered, header: &Header, me: &Device) -> Vec<u8> {
    let input = json!({
        "m": header_json(header),
        "iv": hex(&envelope.iv),
        "em": hex(&envelope.encrypted_message),
        "wrap": hex(&envelope.wrap),
        "hashes": envelope.wrap_hashes.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        "sig": hex(&envelope.signature),
        "me": { "user": me.name, "device": me.device, "kid": hex(me.key().kid().as_bytes()) },
        "sigSpki": hex(ALICE.key.public().as_bytes()),
        "wrapPkcs8": hex(&me.key().to_pkcs8()),
    });
    bytes(&companion("open", &input)["payload"])
}

#[test]
fn the_companion_opens_what_we_seal() {
    let payload = payload("{\"kind\":\"text\",\"text\":\"grüß dich\"}".as_bytes());
    let sealed = message(&payload);
    for (index, me) in [(AT_BOB, &*BOB), (AT_ALICES_OTHER, &*ALICES_OTHER)] {
        let opened = open_by_companion(&delivered(&sealed, index), &sealed.header, me);
        assert_eq!(opened, payload.to_bytes()[..]);
    }
}

#[test]
fn we_open_what_the_companion_seals() {
    let payload = payload(&[b'x'; 3000]);
    // The header and its targets come from here; the companion makes everything else.
    let Sealed { header, .. } = message(&payload);
    let wrap_keys = [&*ALICES_OTHER, &*BOB, &*BOBS_OTHER].map(|device| hex(device.key().public().as_bytes()));
    let input = json!({
        "m": header_json(&header),
        "p": {
            "contentType": 1,
            "ctr": payload.counter,
            "prev": hex(&payload.previous),
            "selfManifest": hex(&payload.self_manifest),
            "peerManifest": hex(&payload.peer_manifest),
            "body": hex(&payload.body),
        },
        "sigPkcs8": hex(&pool(0)),
        "wrapSpkis": wrap_keys,
    });
    let sealed = companion("seal", &input);
    let sealed = Sealed {
        header,
        iv: bytes(&sealed["iv"]).try_into().unwrap(),
        encrypted_message: bytes(&sealed["em"]),
        wraps: sealed["wraps"].as_array().unwrap().iter().map(bytes).collect(),
        signature: bytes(&sealed["sig"]),
    };
    for (index, me) in [(AT_ALICES_OTHER, &*ALICES_OTHER), (AT_BOB, &*BOB), (AT_BOBS_OTHER, &*BOBS_OTHER)] {
        let envelope = delivered(&sealed, index);
        assert_eq!(envelope.wrap_hashes[index], sha256(&envelope.wrap));
        assert_eq!(me.open(&envelope).unwrap().payload, payload);
    }
}

#[test]
fn both_compute_the_same_safety_number() {
    let (a, b) = (ALICE.key.public(), MALLORY.key.public());
    let input = json!({
        "a": { "user": "alice", "spki": hex(a.as_bytes()) },
        "b": { "user": "zoe", "spki": hex(b.as_bytes()) },
    });
    let ours = SafetyNumber::of((&name("alice"), a), (&name("zoe"), b));
    assert_eq!(ours.to_string(), text(&companion("safety", &input)["digits"]));
}
