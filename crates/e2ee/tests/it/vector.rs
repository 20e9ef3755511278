//! The worked example: everything in it that is signed, sealed or compared. Its byte strings are checked in
//! `sealwire-protocol`, its ciphertext to the byte beside the code that makes it.

use std::collections::HashMap;

use sealwire_e2ee::certificate::SignedWrapCert;
use sealwire_e2ee::manifest::{Chain, SenderKey, SignedManifest};
use sealwire_e2ee::verify::verify;
use sealwire_e2ee::{Delivered, IdentityKey, Payload, SafetyNumber, SigningKey, WrapKey};
use sealwire_protocol::Kid;
use sealwire_protocol::signed::{AuthIn, Manifest, ManifestDevice, Purpose, Recipient, WrapCert, sha256};
use sealwire_protocol::spki::Spki;
use serde_json::Value;

use crate::people::*;

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    unhex(text(value))
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn spki(value: &Value) -> Spki {
    Spki::parse(&bytes(value)).unwrap()
}

fn vector() -> Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/envelope-v1.json")).unwrap()
}

fn envelope(v: &Value, index: usize) -> Delivered {
    let recipients = v["recipients"].as_array().unwrap();
    let recipient = |r: &Value| Recipient {
        username: name(text(&r["user"])),
        device: text(&r["device"]).parse().unwrap(),
        dwk_kid: Kid(array(&r["kid"])),
    };
    Delivered {
        suite: 1,
        message_id: text(&v["messageId"]).parse().unwrap(),
        timestamp: v["timestamp"].as_u64().unwrap(),
        from: name(text(&v["from"])),
        from_device: text(&v["fromDevice"]).parse().unwrap(),
        to: name(text(&v["to"])),
        recipients: recipients.iter().map(recipient).collect(),
        iv: array(&v["iv"]),
        encrypted_message: bytes(&v["encryptedMessage"]),
        wrap: bytes(&recipients[index]["wrap"]),
        wrap_hashes: recipients.iter().map(|r| sha256(&bytes(&r["wrap"]))).collect(),
        signature: bytes(&v["signature"]),
    }
}

#[test]
fn both_devices_open_the_envelope_of_the_vector() {
    let v = vector();
    for index in 0..2 {
        let envelope = envelope(&v, index);
        let recipient = &v["recipients"][index];
        let key = WrapKey::from_pkcs8(&bytes(&recipient["wrapPkcs8"])).unwrap();
        assert_eq!(*key.kid(), Kid(array(&recipient["kid"])));
        let me = Device {
            name: name("bob"),
            device: text(&recipient["device"]).parse().unwrap(),
            keys: [(*key.kid(), key)].into(),
            senders: HashMap::from([(envelope.from_device, Ok(SenderKey::Current(spki(&v["senderSigSpki"]))))]),
            seen: Vec::new(),
        };
        let opened = me.open_at(envelope.timestamp, &envelope).unwrap();
        assert_eq!(opened.header.to_bytes(), bytes(&v["header"]));
        assert_eq!(opened.payload.to_bytes()[..], bytes(&v["payload"]));
        assert_eq!(opened.payload.body[..], *br#"{"kind":"text","text":"hello bob"}"#);
        assert_eq!(opened.payload, Payload::from_bytes(&bytes(&v["payload"])).unwrap());
    }
}

#[test]
fn a_log_in_signed_by_the_key_of_the_vector_verifies_over_its_bytes() {
    let v = vector();
    let key = SigningKey::from_pkcs8(&bytes(&v["senderSigPkcs8"])).unwrap();
    assert_eq!(*key.public(), spki(&v["senderSigSpki"]));
    let signature = key.sign_auth(
        &mut rng(),
        &AuthIn {
            purpose: Purpose::LogIn,
            origin: "wss://chat.example.com",
            channel_id: &[1; 16],
            server_nonce: &[2; 32],
            client_nonce: &[3; 32],
            expires_at: 1_790_000_030_000,
            username: &name("alice"),
            device: &text(&v["fromDevice"]).parse().unwrap(),
            // Whatever is said here, the key names itself.
            dsk_kid: &Kid([0; 32]),
        },
    );
    assert_eq!(verify(key.public(), &bytes(&v["authInput"]), &signature), Ok(()));
    assert!(verify(key.public(), b"anything else", &signature).is_err());
}

#[test]
fn the_manifest_of_the_vector_begins_a_chain() {
    let v = &vector()["manifest"];
    let devices = v["devices"].as_array().unwrap().iter().map(|d| ManifestDevice {
        id: text(&d["id"]).parse().unwrap(),
        dsk: spki(&d["dsk"]),
        added_at: d["addedAt"].as_u64().unwrap(),
        capabilities: 0,
    });
    let manifest = Manifest {
        version: 1,
        prev_hash: array(&v["prevHash"]),
        issued_at: v["issuedAt"].as_u64().unwrap(),
        devices: devices.collect(),
    };
    let signed = SignedManifest { manifest, signature: bytes(&v["signature"]) };
    let chain = Chain::start(name("alice"), spki(&v["aik"]), signed).unwrap();
    assert_eq!(chain.newest_hash(), array(&v["hash"]));
}

#[test]
fn the_wrap_certificate_of_the_vector_is_signed_and_checked() {
    let v = &vector()["wrapCert"];
    let cert = WrapCert {
        seq: 1,
        dwk: spki(&v["dwk"]),
        not_before: v["notBefore"].as_u64().unwrap(),
        not_after: v["notAfter"].as_u64().unwrap(),
    };
    let device = text(&v["device"]).parse().unwrap();
    let signed: SignedWrapCert = ALICE.key.certify(&mut rng(), &name("bob"), &device, cert);
    assert_eq!(verify(ALICE.key.public(), &bytes(&v["bytes"]), &signed.signature), Ok(()));
    assert_eq!(signed.check(&name("bob"), &device, ALICE.key.public(), 0, NOW), Ok(()));
}

#[test]
fn the_safety_number_is_that_of_the_vector_from_either_side() {
    let v = &vector()["safetyNumber"];
    let (a, b) = (name(text(&v["a"])), name(text(&v["b"])));
    let (a_key, b_key) = (spki(&v["aSpki"]), spki(&v["bSpki"]));
    let number = SafetyNumber::of((&a, &a_key), (&b, &b_key));
    assert_eq!(number.to_string(), text(&v["digits"]));
    assert_eq!(number, SafetyNumber::of((&b, &b_key), (&a, &a_key)));
    assert_eq!(number.digits().len(), 60);
    assert_ne!(number, SafetyNumber::of((&b, &a_key), (&a, &b_key)));
}

#[test]
fn an_identity_key_reads_what_the_companion_wrote() {
    let v = vector();
    let key = IdentityKey::from_pkcs8(&bytes(&v["senderSigPkcs8"])).unwrap();
    assert_eq!(*key.public(), spki(&v["senderSigSpki"]));
}
