//! Registrations whose names or keys are not what the protocol asks for.

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Identity, b64};
use serde_json::{Value, json};

use crate::{CANARY, assert_no_canary};

/// A DER element with a length of two bytes where one does not suffice.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("a short element").to_be_bytes();
    let length = match content.len() {
        0..=127 => vec![low],
        128..=255 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [vec![tag], length, content.to_vec()].concat()
}

/// The SPKI of an RSA key with an odd modulus of this many bytes and this exponent.
fn rsa_spki(modulus_bytes: usize, exponent: &[u8]) -> String {
    let mut modulus = vec![0xa5; modulus_bytes + 1];
    modulus[0] = 0;
    let key = der(0x30, &[der(0x02, &modulus), der(0x02, exponent)].concat());
    let algorithm = der(0x30, &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00]);
    let bits = der(0x03, &[vec![0], key].concat());
    b64(der(0x30, &[algorithm, bits].concat()))
}

/// Registers with one thing changed, on a connection of its own, and gives the error; the connection is not closed.
async fn refused(server: &Server, code: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    let mut register = Identity::new("alice").register(&challenge);
    change(&mut register);
    wire.send_frame(&register).await;
    let error = wire.expect_error(code).await;
    assert_no_canary(&error);
    let fresh = wire.expect("challenge").await;
    assert_ne!(fresh["nonce"], challenge["nonce"]);
    error
}

#[tokio::test]
async fn names_that_are_reserved_or_ill_formed_are_refused() {
    let server = Server::with(NO_LIMITS).start().await;
    let long = CANARY.repeat(7);
    for name in ["admin", "root", "sealwire", "support", "ab", "Alice", "a..b", ".xyzzy", "xyzzy!", "äöü", "", &long]
    {
        refused(&server, "username_invalid", |register| register["username"] = name.into()).await;
    }
}

#[tokio::test]
async fn keys_that_are_too_short_or_have_another_exponent_are_refused_in_every_place() {
    let server = Server::with(NO_LIMITS).start().await;
    let good = [1, 0, 1];
    let even = {
        let mut key = vec![0xa4; 513];
        key[0] = 0;
        b64(key)
    };
    let keys = [
        rsa_spki(256, &good),
        rsa_spki(384, &good),
        rsa_spki(511, &good),
        rsa_spki(1024, &good),
        rsa_spki(512, &[3]),
        rsa_spki(512, &[1, 0, 3]),
        b64("xyzzy"),
        even,
        String::new(),
    ];
    for key in &keys {
        refused(&server, "key_invalid", |register| register["aik"] = key.as_str().into()).await;
    }
    for key in &keys[..5] {
        refused(&server, "key_invalid", |r| r["manifest"]["devices"][0]["dsk"] = key.as_str().into()).await;
        refused(&server, "key_invalid", |r| r["wrap"]["dwk"] = key.as_str().into()).await;
    }
}

#[tokio::test]
async fn a_key_has_one_use() {
    let server = Server::with(NO_LIMITS).start().await;
    refused(&server, "key_invalid", |register| register["aik"] = register["wrap"]["dwk"].clone()).await;
}

#[tokio::test]
async fn manifests_and_certificates_that_do_not_hold_are_refused() {
    let server = Server::with(NO_LIMITS).start().await;
    let changes: [fn(&mut Value); 9] = [
        |r| r["manifest"]["signature"] = b64([7; 512]).into(),
        |r| r["manifest"]["version"] = 2.into(),
        |r| r["manifest"]["prevHash"] = b64([7; 32]).into(),
        |r| r["manifest"]["issuedAt"] = 1.into(),
        |r| r["manifest"]["devices"] = json!([]),
        |r| r["wrap"]["signature"] = b64([7; 512]).into(),
        |r| r["wrap"]["seq"] = 0.into(),
        |r| r["wrap"]["notAfter"] = u64::MAX.into(),
        |r| r["wrap"]["notBefore"] = r["wrap"]["notAfter"].clone(),
    ];
    for change in changes {
        refused(&server, "key_invalid", change).await;
    }
}

#[tokio::test]
async fn a_registration_that_its_device_did_not_sign_is_refused() {
    let server = Server::with(NO_LIMITS).start().await;
    refused(&server, "auth_failed", |register| register["signature"] = b64([7; 512]).into()).await;
    refused(&server, "auth_failed", |register| register["clientNonce"] = b64([7; 32]).into()).await;
}

#[tokio::test]
async fn a_registration_of_a_wrong_shape_is_refused() {
    let server = Server::with(NO_LIMITS).start().await;
    let changes: [fn(&mut Value); 8] = [
        |r| r["xyzzy"] = 1.into(),
        |r| r["manifest"]["xyzzy"] = 1.into(),
        |r| r["manifest"]["devices"][0]["xyzzy"] = 1.into(),
        |r| r["wrap"]["xyzzy"] = 1.into(),
        |r| r["aik"] = "xyzzy!".into(),
        |r| r["clientNonce"] = b64([7; 31]).into(),
        |r| r["deviceId"] = "xyzzy".into(),
        |r| r["wrap"] = json!(null),
    ];
    for change in changes {
        refused(&server, "bad_request", change).await;
    }
}

#[tokio::test]
async fn nobody_gets_the_device_id_of_another_account() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    let (mut bob, mallory) = (server.register("bob").await, Identity::with_device("mallory", alice.who.device));
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    wire.send_frame(&mallory.register(&challenge)).await;
    let answer = wire.expect_where("an answer", |frame| frame["type"] == "session" || frame["type"] == "error").await;
    assert_eq!(answer["type"], "error", "{answer}");
    wire.expect("challenge").await;

    let id = bob.send_dummy(&alice.who).await;
    alice.take_message().await;
    bob.expect_status("delivered", &id).await;
    let error = bob.keys(&json!({ "username": "mallory" })).await;
    assert_eq!(error["code"], "unknown_user");
}
