//! Private keys: their forms, and that they show nothing.

use std::fmt::Debug;

use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use sealwire_e2ee::verify::verify;
use sealwire_e2ee::{IdentityKey, PrivateKeyError, SigningKey, WrapKey};
use sealwire_protocol::spki::KeyError;
use zeroize::ZeroizeOnDrop;

use crate::people::*;

#[test]
fn a_key_is_made_written_and_read_again() {
    let made = SigningKey::generate(&mut rng());
    let read = SigningKey::from_pkcs8(&made.to_pkcs8()).unwrap();
    assert_eq!(made.public(), read.public());
    assert_eq!(made.kid(), read.kid());
    let signature = made.sign_auth(&mut rng(), &auth(read.kid()));
    assert_eq!(verify(read.public(), &auth(read.kid()).to_bytes(), &signature), Ok(()));
}

fn auth(kid: &sealwire_protocol::Kid) -> sealwire_protocol::signed::AuthIn<'_> {
    sealwire_protocol::signed::AuthIn {
        purpose: sealwire_protocol::signed::Purpose::Register,
        origin: "ws://localhost:8080",
        channel_id: &[1; 16],
        server_nonce: &[2; 32],
        client_nonce: &[3; 32],
        expires_at: NOW,
        username: &ALICE.name,
        device: &ALICE.device,
        dsk_kid: kid,
    }
}

#[test]
fn what_the_pool_holds_is_written_as_it_was_read() {
    for n in 0..8 {
        assert_eq!(WrapKey::from_pkcs8(&pool(n)).unwrap().to_pkcs8()[..], pool(n));
    }
}

#[test]
fn a_private_key_of_another_size_or_exponent_is_refused() {
    let small = RsaPrivateKey::new(&mut rng(), 1024).unwrap().to_pkcs8_der().unwrap();
    let error = PrivateKeyError::Public(KeyError::Size { bits: 1024 });
    assert_eq!(IdentityKey::from_pkcs8(small.as_bytes()).err(), Some(error));
    let pool_key = pool(0);
    for bad in [&[][..], b"nothing of the kind", &pool_key[..pool_key.len() - 1]] {
        assert_eq!(WrapKey::from_pkcs8(bad).err(), Some(PrivateKeyError::Malformed));
    }
}

#[test]
fn debug_shows_the_start_of_the_kid_and_nothing_else() {
    let der = pool(0);
    let keys: [&dyn Debug; 3] = [
        &IdentityKey::from_pkcs8(&der).unwrap(),
        &SigningKey::from_pkcs8(&der).unwrap(),
        &WrapKey::from_pkcs8(&der).unwrap(),
    ];
    insta::assert_snapshot!(keys.map(|key| format!("{key:?} {key:#?}")).join("\n"), @"
    IdentityKey(4460665b0b2e9b3c) IdentityKey(4460665b0b2e9b3c)
    SigningKey(4460665b0b2e9b3c) SigningKey(4460665b0b2e9b3c)
    WrapKey(4460665b0b2e9b3c) WrapKey(4460665b0b2e9b3c)
    ");
}

#[test]
fn debug_of_what_is_sent_and_opened_shows_neither_words_nor_keys() {
    let sealed = message(&payload(b"unmistakable words"));
    let opened = BOB.open(&delivered(&sealed, AT_BOB)).unwrap();
    let shown = format!("{opened:?} {opened:#?}");
    let as_numbers = format!("{:?}", b"unmistakable words");
    assert!(!shown.contains("unmistakable") && !shown.contains(as_numbers.trim_matches(['[', ']'])));
}

#[test]
fn private_keys_are_zeroized_when_they_go() {
    fn zeroized<T: ZeroizeOnDrop>() {}
    zeroized::<IdentityKey>();
    zeroized::<SigningKey>();
    zeroized::<WrapKey>();
    // Ours wrap this one.
    zeroized::<RsaPrivateKey>();
}
