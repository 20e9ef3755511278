//! The one suite on every store of this crate, and random batches on all of them at once.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something wrong")]

mod memory {
    use sealwire_store::MemoryStore;

    sealwire_store::conformance::suite!(((), MemoryStore::new()));
}

mod sqlite {
    use sealwire_store::SqliteStore;

    sealwire_store::conformance::suite!({
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        (dir, store)
    });
}

mod model {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use sealwire_store::conformance::{device, message, name};
    use sealwire_store::{
        Appended, Batch, Fingerprint, Front, Held, Mail, MailKey, MemoryStore, Removal, SqliteStore, Store, Usage,
    };

    const SENDERS: [&str; 3] = ["alice", "bob", "carol"];
    const MAILBOXES: std::ops::Range<u64> = 1..4;

    /// Few values of everything, so that repeats, equal orders and removals of what is there are common.
    fn key() -> impl Strategy<Value = MailKey> {
        (100_u64..103, 0_u64..8).prop_map(|(from, id)| MailKey { from_device: device(from), message_id: message(id) })
    }

    fn mail() -> impl Strategy<Value = Mail> {
        let order = prop_oneof![9 => 0_u64..6, 1 => Mail::MAX_ORDER - 1..=Mail::MAX_ORDER + 1];
        let sender = prop::sample::select(&SENDERS[..]);
        let content = prop_oneof![9 => 0_usize..64, 1 => 3_000_usize..9_000];
        (MAILBOXES, key(), sender, any::<bool>(), order, content, any::<(u64, u64)>()).prop_map(
            |(to, key, from, own, order, length, (header, content))| Mail {
                device: device(to),
                key,
                from: name(from),
                own,
                order,
                accepted_at: order,
                fingerprint: Fingerprint { header, content },
                shared: vec![0xc1; length].into(),
                wrap: vec![0x3a; length % 7].into(),
            },
        )
    }

    fn batch() -> impl Strategy<Value = Batch> {
        let removal = (MAILBOXES, key()).prop_map(|(from, key)| Removal { device: device(from), key });
        let appends = prop::collection::vec(mail(), 0..8);
        let removals = prop::collection::vec(removal, 0..8);
        let missed = prop::collection::vec(MAILBOXES.prop_map(device), 0..2);
        (appends, removals, missed).prop_map(|(appends, removals, missed)| Batch { appends, removals, missed })
    }

    /// What a reader may ask after a batch.
    #[derive(Debug, Clone)]
    struct Question {
        except: HashSet<MailKey>,
        max_messages: usize,
        max_bytes: usize,
    }

    fn question() -> impl Strategy<Value = Question> {
        let except = prop::collection::hash_set(key(), 0..6);
        let bytes = prop_oneof![Just(usize::MAX), 0_usize..200];
        (except, 0_usize..12, bytes).prop_map(|(except, max_messages, max_bytes)| Question {
            except,
            max_messages,
            max_bytes,
        })
    }

    #[derive(Debug, PartialEq)]
    struct Answers {
        appended: Vec<Appended>,
        fronts: Vec<Front>,
        usages: Vec<Usage>,
        missed: Vec<u64>,
        held: Vec<Held>,
        highest: u64,
    }

    async fn ask(store: &impl Store, batch: &Batch, question: &Question) -> Answers {
        let appended = store.execute(batch.clone()).await.unwrap().appended;
        let (mut fronts, mut usages, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        for device in MAILBOXES.map(device) {
            let Question { except, max_messages, max_bytes } = question.clone();
            fronts.push(store.front(&device, except, max_messages, max_bytes).await.unwrap());
            for sender in SENDERS {
                usages.push(store.usage(&device, &name(sender)).await.unwrap());
            }
            missed.push(store.missed(&device).await.unwrap());
        }
        let asked = MailKey { from_device: device(100), message_id: message(0) };
        let mut held = store.find(&asked).await.unwrap();
        held.sort_by_key(|held| held.device);
        Answers { appended, fronts, usages, missed, held, highest: store.highest_order().await.unwrap() }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn every_store_answers_random_batches_like_the_model(
            steps in prop::collection::vec((batch(), question()), 1..12)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (model, store) = (MemoryStore::new(), SqliteStore::open(dir.path()).unwrap());
                for (batch, question) in &steps {
                    prop_assert_eq!(ask(&store, batch, question).await, ask(&model, batch, question).await);
                }
                Ok(())
            })?;
        }
    }
}
