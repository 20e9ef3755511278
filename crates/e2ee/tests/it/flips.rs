//! Any bit changed on the way is noticed, and by the check whose business it is.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use sealwire_e2ee::{Delivered, OpenError};
use sealwire_protocol::{DeviceId, Kid, MessageId};

use crate::people::*;

static ENVELOPE: LazyLock<Delivered> = LazyLock::new(|| delivered(&message(&payload(b"a few words")), AT_BOB));

fn flip(bytes: &mut [u8], bit: Index) {
    let bit = bit.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// A text with one bit changed, if that is still a well-formed one.
fn flipped_name(name: &mut sealwire_protocol::Username, bit: Index) -> bool {
    let mut bytes = name.as_str().as_bytes().to_vec();
    flip(&mut bytes, bit);
    let changed = String::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    changed.inspect(|changed: &sealwire_protocol::Username| *name = changed.clone()).is_some()
}

fn flipped_device(id: &mut DeviceId, bit: Index) -> bool {
    let mut bytes = *id.as_bytes();
    flip(&mut bytes, bit);
    DeviceId::from_bytes(bytes).inspect(|changed| *id = *changed).is_ok()
}

fn flipped_message(id: &mut MessageId, bit: Index) -> bool {
    let mut bytes = *id.as_bytes();
    flip(&mut bytes, bit);
    MessageId::from_bytes(bytes).inspect(|changed| *id = *changed).is_ok()
}

fn flipped_kid(kid: &mut Kid, bit: Index) -> bool {
    flip(&mut kid.0, bit);
    true
}

fn flipped_bytes(bytes: &mut [u8], bit: Index) -> bool {
    flip(bytes, bit);
    true
}

type Flip = fn(&mut Delivered, Index) -> bool;

/// Each field, how one bit of it is changed (false: what comes out could not even be read), and what may be said then.
const FIELDS: &[(&str, Flip, &[OpenError])] = {
    use OpenError::*;
    &[
        ("messageId", |e, bit| flipped_message(&mut e.message_id, bit), &[BadSignature]),
        (
            "timestamp",
            |e, bit| {
                e.timestamp ^= 1 << bit.index(64);
                true
            },
            &[BadSignature, Ahead, TooOld],
        ),
        ("from", |e, bit| flipped_name(&mut e.from, bit), &[NotForMe]),
        ("fromDevice", |e, bit| flipped_device(&mut e.from_device, bit), &[UnknownSender]),
        ("to", |e, bit| flipped_name(&mut e.to, bit), &[NotForMe]),
        ("own name", |e, bit| flipped_name(&mut e.recipients[AT_BOB].username, bit), &[NotForMe]),
        ("own device", |e, bit| flipped_device(&mut e.recipients[AT_BOB].device, bit), &[NotForMe]),
        ("own kid", |e, bit| flipped_kid(&mut e.recipients[AT_BOB].dwk_kid, bit), &[WrapKeyGone]),
        ("another's name", |e, bit| flipped_name(&mut e.recipients[AT_BOBS_OTHER].username, bit), &[NotForMe]),
        (
            "another's device",
            |e, bit| flipped_device(&mut e.recipients[AT_BOBS_OTHER].device, bit),
            &[NotForMe, BadSignature],
        ),
        ("another's kid", |e, bit| flipped_kid(&mut e.recipients[AT_BOBS_OTHER].dwk_kid, bit), &[BadSignature]),
        ("iv", |e, bit| flipped_bytes(&mut e.iv, bit), &[BadSignature]),
        ("encryptedMessage", |e, bit| flipped_bytes(&mut e.encrypted_message, bit), &[BadSignature]),
        ("wrap", |e, bit| flipped_bytes(&mut e.wrap, bit), &[WrapMismatch]),
        ("own hash", |e, bit| flipped_bytes(&mut e.wrap_hashes[AT_BOB], bit), &[WrapMismatch]),
        ("another's hash", |e, bit| flipped_bytes(&mut e.wrap_hashes[AT_BOBS_OTHER], bit), &[BadSignature]),
        ("signature", |e, bit| flipped_bytes(&mut e.signature, bit), &[BadSignature]),
    ]
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bit_changed_anywhere_is_noticed_by_the_right_check(bit: Index) {
        for (field, flip, expected) in FIELDS {
            let mut envelope = ENVELOPE.clone();
            if flip(&mut envelope, bit) {
                let error = BOB.open(&envelope).unwrap_err();
                prop_assert!(expected.contains(&error), "{field}: {error:?}");
            }
        }
    }
}

#[test]
fn the_envelope_opens_as_it_is() {
    assert!(BOB.open(&ENVELOPE).is_ok());
}
