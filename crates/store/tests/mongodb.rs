//! The store of several nodes: what is said about a MongoDB that cannot be used, what two nodes see of each other, and what
//! is left when the primary is killed.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something wrong")]

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use mongodb::bson::{Document, doc};
use sealwire_parts::MongoReplicaSet;
use sealwire_store::conformance::{device, message, name};
use sealwire_store::{Appended, Batch, Fingerprint, Mail, MailKey, Mailboxes, MongoStore, Piece, Removal, StoreError};

/// What hangs for this long is given up; nothing that works comes near it, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn mail(to: u64, n: u64) -> Mail {
    Mail {
        device: device(to),
        key: MailKey { from_device: device(100), message_id: message(n) },
        from: name("bob"),
        own: false,
        order: n,
        accepted_at: n,
        fingerprint: Fingerprint { header: n, content: n },
        shared: Bytes::from_static(b"sealed"),
        wrap: Bytes::from_static(b"a key"),
    }
}

fn appends(appends: Vec<Mail>) -> Batch {
    Batch { appends, ..Batch::default() }
}

async fn ids(store: &MongoStore, of: u64) -> Vec<u64> {
    let front = store.front(&device(of), HashSet::new(), 10_000, usize::MAX).await.unwrap();
    front.mail.iter().map(|mail| mail.order).collect()
}

async fn refused(url: &str, patience: Duration) -> StoreError {
    MongoStore::open(url, patience).await.expect_err("it cannot be used")
}

/// One of these at a time: each is a server of its own, or three.
mod heavy {
    use super::*;

    /// Several databases of one member: each has one thing wrong with it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_database_that_cannot_be_used_is_refused_and_not_touched() {
        let set = MongoReplicaSet::start(1).await;
        let client = mongodb::Client::with_uri_str(set.url()).await.unwrap();

        let other = client.database("other");
        other.collection("films").insert_one(doc! { "_id": 1 }).await.unwrap();
        let error = refused(&set.url_of("other"), PATIENCE).await;
        assert!(matches!(&error, StoreError::Open(_)) && error.to_string().contains("name another one"), "{error}");
        assert_eq!(other.list_collection_names().await.unwrap(), ["films"]);

        drop(MongoStore::open(&set.url_of("newer"), PATIENCE).await.unwrap());
        let meta = client.database("newer").collection::<Document>("meta");
        meta.update_one(doc! { "_id": "schema" }, doc! { "$inc": { "version": 1 } }).await.unwrap();
        let error = refused(&set.url_of("newer"), PATIENCE).await;
        assert!(error.to_string().contains("written by a newer version"), "{error}");

        let meta = client.database("odd").collection("meta");
        meta.insert_one(doc! { "_id": "schema", "version": "one" }).await.unwrap();
        let error = refused(&set.url_of("odd"), PATIENCE).await;
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");

        // And what Sealwire has made is guarded against other hands.
        let mail = client.database("newer").collection("mail");
        mail.insert_one(doc! { "device": "mine" }).await.expect_err("the validator refuses it");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nodes_that_start_at_once_make_one_store() {
        let set = MongoReplicaSet::start(1).await;
        let open = || async { MongoStore::open(&set.url(), PATIENCE).await.unwrap() };
        let (one, two, three) = tokio::join!(open(), open(), open());
        one.execute(appends(vec![mail(1, 1), mail(1, 2)])).await.unwrap();
        assert_eq!(ids(&two, 1).await, [1, 2]);
        // Each sees what another one appends, repeats, removes and counts.
        let outcome = two.execute(appends(vec![mail(1, 2), mail(1, 3)])).await.unwrap();
        assert_eq!(outcome.appended, [Appended::Repeat(mail(1, 2).fingerprint), Appended::Stored]);
        let removals = vec![Removal { device: device(1), key: mail(1, 1).key }];
        three.execute(Batch { removals, missed: vec![device(1)], ..Batch::default() }).await.unwrap();
        assert_eq!(ids(&one, 1).await, [2, 3]);
        assert_eq!(two.usage(&device(1), &name("bob")).await.unwrap().total.messages, 2);
        assert_eq!(one.news(&device(1), 1).await.unwrap().missed, 1);
    }

    /// Several databases of one member. What an import has left that was cut off is nobody's store.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_database_that_was_half_filled_serves_nobody_until_it_is_filled_again() {
        let set = MongoReplicaSet::start(1).await;
        let import = async || MongoStore::import(&set.url(), PATIENCE).await.unwrap();
        let mut cut_off = import().await;
        cut_off.put(vec![Piece::Mail(mail(1, 1)), Piece::Mail(mail(1, 2))]).await.unwrap();
        let error = refused(&set.url(), PATIENCE).await;
        assert!(matches!(&error, StoreError::Open(_)) && error.to_string().contains("left half way"), "{error}");
        let error = MongoStore::export(&set.url(), PATIENCE).await.err().expect("it is no store");
        assert!(error.to_string().contains("left half way"), "{error}");

        // Begun again it is empty; and the one before may not release what it has not filled.
        let mut again = import().await;
        again.put(vec![Piece::Mail(mail(1, 3))]).await.unwrap();
        let error = cut_off.release().await.expect_err("another one has begun");
        assert!(error.to_string().contains("has begun meanwhile"), "{error}");
        refused(&set.url(), PATIENCE).await;
        again.release().await.unwrap();
        let store = MongoStore::open(&set.url(), PATIENCE).await.unwrap();
        assert_eq!(ids(&store, 1).await, [3]);

        // A store that is there is not touched, whether anything is in it or not.
        for url in [set.url(), set.url_of("fresh")] {
            drop(MongoStore::open(&url, PATIENCE).await.unwrap());
            let error = MongoStore::import(&url, PATIENCE).await.err().expect("it is a store");
            assert!(error.to_string().contains("holds a store already"), "{error}");
            drop(MongoStore::open(&url, PATIENCE).await.expect("it is served on"));
        }
        assert_eq!(ids(&store, 1).await, [3]);
        let error = MongoStore::export(&set.url_of("nothing"), PATIENCE).await.err().expect("there is no store");
        assert!(error.to_string().contains("holds no store"), "{error}");
    }

    /// What a node has counted, it counts again when another one has changed it: at once where mail would be refused.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_count_that_another_node_has_changed_is_true_again_in_time() {
        let set = MongoReplicaSet::start(1).await;
        let one = MongoStore::open(&set.url(), PATIENCE).await.unwrap();
        let two = MongoStore::open(&set.url(), PATIENCE).await.unwrap();
        let counted = async || one.recount(&device(1), &name("bob")).await.unwrap().total.messages;
        one.execute(appends(vec![mail(1, 1)])).await.unwrap();
        assert_eq!(one.usage(&device(1), &name("bob")).await.unwrap().total.messages, 1);
        two.execute(appends(vec![mail(1, 2)])).await.unwrap();
        tokio::time::timeout(PATIENCE, async { while counted().await != 2 {} }).await.expect("it counts again");
    }

    /// Everything that was answered before the kill is there after it, once, and the set serves again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_promised_outlives_the_primary() {
        let mut set = MongoReplicaSet::start(3).await;
        let store = MongoStore::open(&set.url(), PATIENCE).await.unwrap();
        let mut promised = Vec::new();
        for n in 0..20 {
            let outcome = store.execute(appends((20 * n..20 * n + 20).map(|n| mail(1, n)).collect())).await.unwrap();
            assert!(outcome.appended.iter().all(|outcome| *outcome == Appended::Stored));
            promised.extend(20 * n..20 * n + 20);
            if n == 10 {
                let primary = set.primary().await;
                set.kill(primary);
            }
        }
        assert_eq!(ids(&store, 1).await, promised);
        let repeats = store.execute(appends(promised.iter().map(|n| mail(1, *n)).collect())).await.unwrap().appended;
        assert!(repeats.iter().all(|outcome| matches!(outcome, Appended::Repeat(_))));
    }

    /// Nothing is promised while a majority is away; what failed may be sent again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_promised_without_a_majority() {
        let mut set = MongoReplicaSet::start(3).await;
        let store = MongoStore::open(&set.url(), Duration::from_secs(2)).await.unwrap();
        let primary = set.primary().await;
        let others: Vec<_> = (0..3).filter(|n| *n != primary).collect();
        others.iter().for_each(|member| set.kill(*member));
        let error = store.execute(appends(vec![mail(1, 1)])).await.expect_err("no majority has it");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        for member in others {
            set.restart(member).await;
        }
        set.settled().await;
        let again = async || store.execute(appends(vec![mail(1, 1)])).await;
        let outcome = loop {
            if let Ok(outcome) = again().await {
                break outcome.appended;
            }
        };
        assert!(outcome == [Appended::Stored] || outcome == [Appended::Repeat(mail(1, 1).fingerprint)]);
        assert_eq!(ids(&store, 1).await, [1]);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_as_such_and_its_password_is_not() {
    // Bound and closed: nobody listens there, unless somebody comes in this moment.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("mongodb://alice:hunter2@127.0.0.1:{port}/sealwire");
    let error = refused(&url, Duration::from_millis(300)).await;
    assert!(matches!(&error, StoreError::Unavailable(_)), "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("reachable") && !text.contains("hunter2"), "{text}");
}
