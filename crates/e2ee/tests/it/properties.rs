//! What holds of every message, whatever is said to however many devices.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use sealwire_e2ee::{ContentType, OpenError, Payload, padding, seal};

use crate::people::*;

fn any_payload() -> impl Strategy<Value = Payload> {
    let content_type = prop_oneof![Just(ContentType::Content), Just(ContentType::Control)];
    let body = prop::collection::vec(any::<u8>(), 0..4000);
    (content_type, 2..=u64::MAX, any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 32]>(), body).prop_map(
        |(content_type, counter, previous, self_manifest, peer_manifest, body)| Payload {
            content_type,
            counter,
            previous,
            self_manifest,
            peer_manifest,
            body: body.into(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_opens_for_those_it_is_for_and_nobody_else(
        payload in any_payload(),
        places in subsequence(vec![0, 1, 2], 1..=3).prop_shuffle(),
        other: Index,
    ) {
        let devices = [&*ALICES_OTHER, &*BOB, &*BOBS_OTHER];
        let targets: Vec<_> = places.iter().map(|place| devices[*place].target()).collect();
        let sealed = seal(&mut rng(), &ALICE.key, &draft(&targets, &payload)).unwrap();
        let length = padding::padded_len(Payload::OVERHEAD + payload.body.len());
        prop_assert_eq!(sealed.encrypted_message.len(), 32 + length + 16);

        for device in devices {
            let index = sealed.header.recipients.iter().position(|r| r.device == device.device);
            let Some(index) = index else {
                prop_assert_eq!(device.open(&delivered(&sealed, 0)), Err(OpenError::NotForMe));
                continue;
            };
            prop_assert_eq!(&device.open(&delivered(&sealed, index)).unwrap().payload, &payload);
            let wrong = other.index(sealed.wraps.len());
            if wrong != index {
                prop_assert_eq!(device.open(&delivered(&sealed, wrong)), Err(OpenError::WrapMismatch));
            }
        }
        prop_assert_eq!(CAROL.open(&delivered(&sealed, 0)), Err(OpenError::NotForMe));
    }
}
