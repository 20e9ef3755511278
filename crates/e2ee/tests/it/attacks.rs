//! What a server, a stranger, a recipient or the sender may try (protocol section 4).

use aes_gcm::aead::{Aead, KeyInit, Payload as Aad};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use rsa::pkcs8::DecodePrivateKey;
use rsa::{Oaep, Pss, RsaPrivateKey};
use sealwire_e2ee::manifest::SenderKey;
use sealwire_e2ee::{Lane, NoSenderKey, OpenError, Payload, SealError, Sealed, SigningKey, Target, open, seal};
use sealwire_protocol::MessageId;
use sealwire_protocol::signed::{message_input, sha256, wrap_label};
use sha2::{Digest, Sha256};

use crate::people::*;

const MINUTE: u64 = 60 * 1000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Signs an envelope as it stands with a key of the pool, as a sender could who follows no rule.
fn sign_again(sealed: &mut Sealed, pool_key: usize) {
    sealed.header.dsk_kid = *SigningKey::from_pkcs8(&pool(pool_key)).unwrap().kid();
    let hashes: Vec<_> = sealed.wraps.iter().map(|wrap| sha256(wrap)).collect();
    let input = message_input(&sealed.header.to_bytes(), &sealed.iv, &sealed.encrypted_message, &hashes);
    let key = RsaPrivateKey::from_pkcs8_der(&pool(pool_key)).unwrap();
    sealed.signature = key.sign_with_rng(&mut rng(), Pss::<Sha256>::new(), &Sha256::digest(input)).unwrap();
}

/// Kenc and Kcom, by the book.
fn derive(sealed: &Sealed, content_key: &[u8; 32]) -> ([u8; 32], [u8; 32]) {
    let kdf = Hkdf::<Sha256>::new(Some(&sha256(&sealed.header.to_bytes())), content_key);
    let (mut enc, mut commit) = ([0; 32], [0; 32]);
    kdf.expand(b"sealwire/v1 enc", &mut enc).unwrap();
    kdf.expand(b"sealwire/v1 commit", &mut commit).unwrap();
    (enc, commit)
}

fn put_content(sealed: &mut Sealed, content_key: &[u8; 32], padded: &[u8]) {
    let (enc, commit) = derive(sealed, content_key);
    let aad = &sealed.header.to_bytes()[..];
    let nonce: &Nonce<_> = (&sealed.iv).into();
    let ciphertext = Aes256Gcm::new((&enc).into()).encrypt(nonce, Aad { msg: padded, aad }).unwrap();
    sealed.encrypted_message = [&commit[..], &ciphertext].concat();
}

fn put_wrap(sealed: &mut Sealed, index: usize, content_key: &[u8], to: &Device) {
    let label = wrap_label(&sealed.header.to_bytes(), &sealed.header.recipients[index]);
    let key = RsaPrivateKey::from_pkcs8_der(&to.key().to_pkcs8()).unwrap().to_public_key();
    sealed.wraps[index] = key.encrypt(&mut rng(), Oaep::<Sha256>::new_with_label(&label[..]), content_key).unwrap();
}

/// An envelope for Bob's two devices with this plaintext under this key, well signed by Alice.
fn forged(content_key: &[u8; 32], padded: &[u8]) -> Sealed {
    let mut sealed = message(&payload(b"text"));
    put_content(&mut sealed, content_key, padded);
    put_wrap(&mut sealed, AT_BOB, content_key, &BOB);
    put_wrap(&mut sealed, AT_BOBS_OTHER, content_key, &BOBS_OTHER);
    sign_again(&mut sealed, 0);
    sealed
}

fn padded(payload: &[u8]) -> Vec<u8> {
    [payload, &[0x80, 0, 0]].concat()
}

#[test]
fn every_device_of_both_sides_opens_the_message() {
    let payload = payload(b"hello bob");
    let sealed = message(&payload);
    for (index, device) in [(AT_ALICES_OTHER, &*ALICES_OTHER), (AT_BOB, &*BOB), (AT_BOBS_OTHER, &*BOBS_OTHER)] {
        let opened = device.open(&delivered(&sealed, index)).unwrap();
        assert_eq!(opened.payload, payload);
        assert_eq!(opened.header, sealed.header);
        assert_eq!(opened.sender, SenderKey::Current(ALICE.key.public().clone()));
    }
}

#[test]
fn one_may_write_to_oneself() {
    let payload = payload(b"a note");
    let sealed = seal(&mut rng(), &ALICE.key, &seal_for_oneself(&payload, &[ALICES_OTHER.target()])).unwrap();
    assert_eq!(ALICES_OTHER.open(&delivered(&sealed, 0)).unwrap().payload, payload);
}

fn seal_for_oneself<'a>(payload: &'a Payload, targets: &'a [Target]) -> sealwire_e2ee::Draft<'a> {
    sealwire_e2ee::Draft { to: &ALICE.name, ..draft(targets, payload) }
}

#[test]
fn sealing_twice_gives_nothing_twice() {
    let (first, second) = (message(&payload(b"same")), message(&payload(b"same")));
    assert_eq!(first.header, second.header);
    assert_ne!(first.iv, second.iv);
    assert_ne!(first.encrypted_message, second.encrypted_message);
    assert_ne!(first.wraps[0], second.wraps[0]);
}

#[test]
fn a_replay_is_recognised() {
    let envelope = delivered(&message(&payload(b"once")), AT_BOB);
    let mut bob = Device::new("bob", 0xb1, 3);
    bob.open(&envelope).unwrap();
    bob.seen.push((envelope.from_device, envelope.message_id));
    assert_eq!(bob.open(&envelope), Err(OpenError::Replay));
}

#[test]
fn a_replay_under_a_new_id_is_not_signed() {
    let mut envelope = delivered(&message(&payload(b"once")), AT_BOB);
    envelope.message_id = MessageId::new_v7(NOW, [8; 10]);
    assert_eq!(BOB.open(&envelope), Err(OpenError::BadSignature));
}

#[test]
fn the_server_cannot_swap_wraps() {
    let sealed = message(&payload(b"text"));
    let mut envelope = delivered(&sealed, AT_BOBS_OTHER);
    assert_eq!(BOB.open(&envelope), Err(OpenError::WrapMismatch));
    envelope.wrap_hashes.swap(AT_BOB, AT_BOBS_OTHER);
    assert_eq!(BOB.open(&envelope), Err(OpenError::BadSignature));
}

#[test]
fn a_wrap_made_for_another_device_does_not_open_though_its_sender_signed_it() {
    let mut sealed = message(&payload(b"text"));
    sealed.wraps.swap(AT_BOB, AT_BOBS_OTHER);
    sign_again(&mut sealed, 0);
    assert_eq!(BOB.open(&delivered(&sealed, AT_BOB)), Err(OpenError::Undecryptable));
}

#[test]
fn a_message_signed_again_by_another_does_not_open() {
    let mut sealed = message(&payload(b"alice's words"));
    sealed.header.from = MALLORY.name.clone();
    sealed.header.from_device = MALLORY.device;
    sealed.header.recipients.remove(AT_ALICES_OTHER);
    sealed.wraps.remove(AT_ALICES_OTHER);
    sign_again(&mut sealed, 1);
    assert_eq!(BOB.open(&delivered(&sealed, 0)), Err(OpenError::Undecryptable));
}

#[test]
fn a_signature_of_another_under_the_senders_name_is_refused() {
    let mut sealed = message(&payload(b"text"));
    sign_again(&mut sealed, 1);
    assert_eq!(BOB.open(&delivered(&sealed, AT_BOB)), Err(OpenError::BadSignature));
}

#[test]
fn a_recipient_cannot_forward_the_senders_words_to_a_third_person() {
    let content_key = [7; 32];
    let mut sealed = forged(&content_key, &padded(&payload(b"for bob only").to_bytes()));
    assert!(BOB.open(&delivered(&sealed, AT_BOB)).is_ok());
    assert_eq!(CAROL.open(&delivered(&sealed, AT_BOB)), Err(OpenError::NotForMe));

    // Bob knows the content key, so he can wrap it anew, and even encrypt anew; he cannot sign for Alice.
    sealed.header.to = CAROL.name.clone();
    sealed.header.recipients =
        seal(&mut rng(), &ALICE.key, &to_carol(&[CAROL.target()], &payload(b"x"))).unwrap().header.recipients;
    sealed.wraps.truncate(1);
    put_wrap(&mut sealed, 0, &content_key, &CAROL);
    assert_eq!(CAROL.open(&delivered(&sealed, 0)), Err(OpenError::BadSignature));
    put_content(&mut sealed, &content_key, &padded(&payload(b"for bob only").to_bytes()));
    assert_eq!(CAROL.open(&delivered(&sealed, 0)), Err(OpenError::BadSignature));
}

fn to_carol<'a>(targets: &'a [Target], payload: &'a Payload) -> sealwire_e2ee::Draft<'a> {
    sealwire_e2ee::Draft { to: &CAROL.name, ..draft(targets, payload) }
}

#[test]
fn one_ciphertext_has_one_key() {
    let mut sealed = forged(&[7; 32], &padded(&payload(b"text").to_bytes()));
    put_wrap(&mut sealed, AT_BOBS_OTHER, &[8; 32], &BOBS_OTHER);
    sign_again(&mut sealed, 0);
    assert!(BOB.open(&delivered(&sealed, AT_BOB)).is_ok());
    assert_eq!(BOBS_OTHER.open(&delivered(&sealed, AT_BOBS_OTHER)), Err(OpenError::Undecryptable));
}

#[test]
fn whatever_a_sender_signs_that_does_not_open_looks_the_same() {
    let key = [7; 32];
    let plain = payload(b"text");
    let bytes = plain.to_bytes();
    let counted = |counter, previous| Payload { counter, previous, ..plain.clone() }.to_bytes();
    let good = forged(&key, &padded(&bytes));
    assert!(BOB.open(&delivered(&good, AT_BOB)).is_ok());

    let mut bad = vec![
        ("no padding", forged(&key, &bytes)),
        ("only zeros", forged(&key, &[0; 256])),
        ("something behind the body", forged(&key, &padded(&[&bytes[..], b"x"].concat()))),
        ("a payload cut short", forged(&key, &padded(&bytes[..bytes.len() - 1]))),
        ("an unknown format", forged(&key, &padded(&[&[2], &bytes[1..]].concat()))),
        ("a signal's counter", forged(&key, &padded(&counted(0, [0; 32])))),
        ("a first message with a past", forged(&key, &padded(&counted(1, [9; 32])))),
    ];
    for (what, change) in [
        ("a wrap that is none", (|sealed| sealed.wraps[AT_BOB] = vec![1; 512]) as fn(&mut Sealed)),
        ("a wrap beyond the modulus", |sealed| sealed.wraps[AT_BOB] = vec![255; 512]),
        ("a short content key", |sealed| put_wrap(sealed, AT_BOB, &[7; 31], &BOB)),
        ("a long content key", |sealed| put_wrap(sealed, AT_BOB, &[7; 33], &BOB)),
        ("another commitment", |sealed| sealed.encrypted_message[0] ^= 1),
        ("another ciphertext", |sealed| sealed.encrypted_message[32] ^= 1),
        ("another iv", |sealed| sealed.iv[0] ^= 1),
    ] {
        let mut sealed = good.clone();
        change(&mut sealed);
        sign_again(&mut sealed, 0);
        bad.push((what, sealed));
    }
    for (what, sealed) in bad {
        assert_eq!(BOB.open(&delivered(&sealed, AT_BOB)), Err(OpenError::Undecryptable), "{what}");
    }
}

#[test]
fn the_checks_come_in_their_order() {
    let mut envelope = delivered(&message(&payload(b"text")), AT_BOB);
    let good = envelope.clone();
    let mut bob = Device::new("bob", 0xb1, 3);
    // All of it is wrong; one thing after the other is put right.
    envelope.suite = 2;
    envelope.to = CAROL.name.clone();
    bob.senders.insert(ALICE.device, Err(NoSenderKey::Undecided));
    bob.seen.push((good.from_device, good.message_id));
    envelope.wrap[9] ^= 1;
    envelope.signature[9] ^= 1;
    let keys = std::mem::take(&mut bob.keys);

    assert_eq!(bob.open_at(0, &envelope), Err(OpenError::Shape));
    envelope.suite = 1;
    assert_eq!(bob.open_at(0, &envelope), Err(OpenError::NotForMe));
    envelope.to = BOB.name.clone();
    assert_eq!(bob.open_at(0, &envelope), Err(OpenError::WrapKeyGone));
    bob.keys = keys;
    assert_eq!(bob.open_at(0, &envelope), Err(OpenError::Undecided));
    bob.senders.remove(&ALICE.device);
    assert_eq!(bob.open_at(0, &envelope), Err(OpenError::UnknownSender));
    bob.senders = Device::new("bob", 0xb1, 3).senders;
    assert_eq!(bob.open_at(0, &envelope), Err(OpenError::Replay));
    bob.seen.clear();
    assert_eq!(bob.open_at(0, &envelope), Err(OpenError::Ahead));
    assert_eq!(bob.open(&envelope), Err(OpenError::WrapMismatch));
    envelope.wrap = good.wrap;
    assert_eq!(bob.open(&envelope), Err(OpenError::BadSignature));
    envelope.signature = good.signature;
    assert!(bob.open(&envelope).is_ok());
}

#[test]
fn a_message_is_good_from_five_minutes_ahead_to_forty_five_days_back() {
    let envelope = delivered(&message(&payload(b"text")), AT_BOB);
    for (now, expected) in [
        (NOW - 5 * MINUTE, Ok(())),
        (NOW - 5 * MINUTE - 1, Err(OpenError::Ahead)),
        (NOW + 45 * DAY, Ok(())),
        (NOW + 45 * DAY + 1, Err(OpenError::TooOld)),
    ] {
        assert_eq!(BOB.open_at(now, &envelope).map(drop), expected);
    }
    assert!(OpenError::Ahead.is_for_later() && OpenError::Undecided.is_for_later());
    assert!(!OpenError::TooOld.is_for_later());
}

#[test]
fn a_signal_is_no_message_and_a_message_no_signal() {
    let silent = Payload { counter: 0, ..payload(b"typing") };
    let targets = [BOB.target()];
    let signal = sealwire_e2ee::Draft { lane: Lane::Signal, ..draft(&targets, &silent) };
    let sealed = seal(&mut rng(), &ALICE.key, &signal).unwrap();
    let signal = delivered(&sealed, 0);
    assert!(open(&mut rng(), &*BOB, Lane::Signal, NOW, &signal).is_ok());
    assert_eq!(BOB.open(&signal), Err(OpenError::Undecryptable));

    let message = delivered(&message(&payload(b"text")), AT_BOB);
    assert_eq!(open(&mut rng(), &*BOB, Lane::Signal, NOW, &message), Err(OpenError::Undecryptable));
}

#[test]
fn a_shape_that_no_envelope_has_is_refused_first() {
    let good = delivered(&message(&payload(b"text")), AT_BOB);
    for change in [
        (|e| e.suite = 0) as fn(&mut sealwire_e2ee::Delivered),
        |e| e.recipients.clear(),
        |e| e.wrap_hashes.truncate(1),
        |e| e.wrap_hashes.push([0; 32]),
        |e| e.wrap.truncate(511),
        |e| e.signature.push(0),
        |e| e.encrypted_message.truncate(48),
        |e| {
            e.recipients = vec![e.recipients[0].clone(); 65];
            e.wrap_hashes = vec![[0; 32]; 65];
        },
    ] {
        let mut envelope = good.clone();
        change(&mut envelope);
        assert_eq!(BOB.open(&envelope), Err(OpenError::Shape));
    }
}

#[test]
fn a_list_that_is_unsorted_or_names_strangers_is_not_for_me() {
    let good = delivered(&message(&payload(b"text")), AT_BOB);
    for change in [
        (|e| e.recipients.swap(1, 2)) as fn(&mut sealwire_e2ee::Delivered),
        |e| e.recipients[2] = e.recipients[1].clone(),
        |e| e.recipients[0].username = name("aaron"),
        |e| e.from_device = BOB.device,
        |e| e.from = CAROL.name.clone(),
        |e| drop(e.recipients.remove(AT_BOB)),
    ] {
        let mut envelope = good.clone();
        change(&mut envelope);
        envelope.wrap_hashes.truncate(envelope.recipients.len());
        assert_eq!(BOB.open(&envelope), Err(OpenError::NotForMe));
    }
}

#[test]
fn a_draft_that_nobody_would_accept_is_not_sealed() {
    let payload = payload(b"text");
    let own = Target { device: ALICE.device, ..ALICES_OTHER.target() };
    let many: Vec<_> = (0..65).map(|n| Target { device: device(n), ..BOB.target() }).collect();
    let refused = |targets: &[Target], payload: &Payload| seal(&mut rng(), &ALICE.key, &draft(targets, payload)).err();
    assert_eq!(refused(&[], &payload), Some(SealError::Targets));
    assert_eq!(refused(&[BOB.target(), BOB.target()], &payload), Some(SealError::Targets));
    assert_eq!(refused(&many, &payload), Some(SealError::Targets));
    assert_eq!(refused(&[BOB.target(), CAROL.target()], &payload), Some(SealError::Stranger));
    assert_eq!(refused(&[own], &payload), Some(SealError::SendingDevice));
    assert_eq!(refused(&[BOB.target()], &Payload { counter: 0, ..payload.clone() }), Some(SealError::Counter));
}
