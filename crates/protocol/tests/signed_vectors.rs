//! The byte strings of sections 3 and 4 against the worked example, to the byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use sealwire_protocol::signed::{
    AuthIn, Header, Kind, Manifest, ManifestDevice, Purpose, Recipient, WrapCert, chain, message_input, sha256,
};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, Kid, MessageId};
use serde_json::Value;

const VECTOR: &str = include_str!("../../../tests/vectors/envelope-v1.json");

fn vector() -> Value {
    serde_json::from_str(VECTOR).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes().as_chunks::<2>().0;
    digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap()
}

fn spki(value: &Value) -> Spki {
    Spki::parse(&hex(value)).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn header(v: &Value) -> Header {
    let recipient = |r: &Value| Recipient {
        username: text(&r["user"]).parse().unwrap(),
        device: text(&r["device"]).parse().unwrap(),
        dwk_kid: Kid(array(&r["kid"])),
    };
    Header {
        suite: 1,
        message_id: text(&v["messageId"]).parse().unwrap(),
        timestamp: number(&v["timestamp"]),
        from: text(&v["from"]).parse().unwrap(),
        from_device: text(&v["fromDevice"]).parse().unwrap(),
        dsk_kid: spki(&v["senderSigSpki"]).kid(),
        kind: Kind::Direct,
        to: text(&v["to"]).parse().unwrap(),
        recipients: v["recipients"].as_array().unwrap().iter().map(recipient).collect(),
    }
}

#[test]
fn the_header_is_that_of_the_vector() {
    let v = vector();
    let header = header(&v);
    assert!(header.has_recipients_in_order());
    assert_eq!(header.to_bytes(), hex(&v["header"]));
}

#[test]
fn the_log_in_is_that_of_the_vector() {
    let v = vector();
    let auth = AuthIn {
        purpose: Purpose::LogIn,
        origin: "wss://chat.example.com",
        channel_id: &[1; 16],
        server_nonce: &[2; 32],
        client_nonce: &[3; 32],
        expires_at: 1_790_000_030_000,
        username: &"alice".parse().unwrap(),
        device: &text(&v["fromDevice"]).parse().unwrap(),
        dsk_kid: &spki(&v["senderSigSpki"]).kid(),
    };
    assert_eq!(auth.to_bytes(), hex(&v["authInput"]));
}

#[test]
fn the_manifest_and_its_hash_are_those_of_the_vector() {
    let v = &vector()["manifest"];
    let device = |d: &Value| ManifestDevice {
        id: text(&d["id"]).parse().unwrap(),
        dsk: spki(&d["dsk"]),
        added_at: number(&d["addedAt"]),
        capabilities: 0,
    };
    let manifest = Manifest {
        version: number(&v["version"]),
        prev_hash: array(&v["prevHash"]),
        issued_at: number(&v["issuedAt"]),
        devices: v["devices"].as_array().unwrap().iter().map(device).collect(),
    };
    assert_eq!(manifest.check_shape(), Ok(()));
    let bytes = manifest.to_bytes(&text(&v["user"]).parse().unwrap(), &spki(&v["aik"]));
    assert_eq!(bytes, hex(&v["bytes"]));
    assert_eq!(Manifest::hash(&bytes), array(&v["hash"]));
}

#[test]
fn the_wrap_certificate_is_that_of_the_vector() {
    let v = &vector()["wrapCert"];
    let cert = WrapCert {
        seq: number(&v["seq"]),
        dwk: spki(&v["dwk"]),
        not_before: number(&v["notBefore"]),
        not_after: number(&v["notAfter"]),
    };
    let device: DeviceId = text(&v["device"]).parse().unwrap();
    assert_eq!(cert.check_times(cert.not_before), Ok(()));
    assert_eq!(cert.to_bytes(&text(&v["user"]).parse().unwrap(), &device), hex(&v["bytes"]));
}

#[test]
fn the_chain_is_that_of_the_vector() {
    let v = &vector()["chain"];
    let message: MessageId = text(&v["messageId"]).parse().unwrap();
    assert_eq!(chain(&array(&v["previous"]), number(&v["counter"]), &message), array(&v["next"]));
}

#[test]
fn the_signed_message_is_laid_out_as_section_four_says() {
    let v = vector();
    let hdr = hex(&v["header"]);
    let ciphertext = hex(&v["encryptedMessage"]);
    let wraps: Vec<[u8; 32]> = v["recipients"].as_array().unwrap().iter().map(|r| sha256(&hex(&r["wrap"]))).collect();
    let input = message_input(&hdr, &array(&v["iv"]), &ciphertext, &wraps);
    let expected = [
        b"\x00\x00\x00\x13sealwire/v1 message",
        &hdr[..],
        &[9; 12],
        &sha256(&ciphertext),
        &sha256(b""),
        &[0, 2],
        &wraps[0],
        &wraps[1],
    ];
    assert_eq!(input, expected.concat());
}
