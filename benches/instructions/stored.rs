//! The way into the store: what a message costs that nobody is there to receive.

use std::sync::Arc;

use bytes::Bytes;
use sealwire_actors::Broker;
use sealwire_protocol::frames::{ClientFrame, Request, ServerFrame, Shared};
use sealwire_store::{Appended, Batch, Fingerprint, Mail, MailKey, Mailboxes as _, SqliteStore, Store};

use crate::cast::{self, Key, Person};
use crate::connection::{Connection, frame};
use crate::exchange::{on_one_thread, settings};
use crate::mark;

/// How many messages go together: in one batch, or one behind the other.
const TOGETHER: u64 = 100;

fn open() -> (SqliteStore, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory for a database");
    (SqliteStore::open(dir.path()).expect("a new database"), dir)
}

/// The embedded store commits a message as one of a batch of a hundred.
pub(crate) fn append(operations: u64) {
    on_one_thread(async {
        let (store, _dir) = open();
        let batches = (0..=operations / TOGETHER).map(|n| batch(n * TOGETHER));
        let mut batches = batches.collect::<Vec<_>>().into_iter();
        let commit = async |batch: Batch| {
            let outcome = store.execute(batch).await.expect("the store commits");
            assert!(outcome.appended.iter().all(|appended| *appended == Appended::Stored));
        };
        commit(batches.next().expect("the one to warm up")).await;
        mark();
        for batch in batches {
            commit(batch).await;
        }
        mark();
    });
}

fn batch(first: u64) -> Batch {
    let (alice, bob) = (Person::alice(), Person::bob(1));
    let mail = |n: u64| {
        let text = cast::letter(&bob, n);
        let Ok(ClientFrame { request: Request::Message(message), .. }) = ClientFrame::parse(&text) else {
            unreachable!("it is a message")
        };
        let wrap = message.wraps().next().expect("it has a recipient");
        Mail {
            device: bob.devices[0],
            key: MailKey { from_device: alice.devices[0], message_id: message.message_id },
            from: alice.name.clone(),
            own: false,
            order: n,
            accepted_at: message.timestamp,
            fingerprint: Fingerprint { header: n, content: n },
            shared: Shared::new(&message, &alice.name, &alice.devices[0], &bob.name).into_string().into(),
            wrap: Bytes::copy_from_slice(wrap.as_str().as_bytes()),
        }
    };
    Batch { appends: (first + 1..=first + TOGETHER).map(mail).collect(), ..Batch::default() }
}

/// A whole message to a device that is away: its frame in, through session, spool and embedded store, the status out. Sent by
/// the hundred; how the spool groups them depends on when its thread runs, so this count varies by some 3 %.
pub(crate) fn message(operations: u64) {
    on_one_thread(async {
        let (alice, bob, key) = (Person::alice(), Person::bob(1), Key::read());
        let (store, _dir) = open();
        let store: Arc<dyn Store> = Arc::new(store);
        alice.register(&key, &*store).await;
        bob.register(&key, &*store).await;
        let broker = Broker::start(settings(), store, None).await.expect("the store answers");
        let mut alice = Connection::log_in(&broker, &alice, alice.devices[0], &key).await;
        let letters: Vec<Bytes> = (1..=TOGETHER + operations).map(|n| frame(&cast::letter(&bob, n))).collect();
        let mut bursts = letters.chunks(usize::try_from(TOGETHER).expect("a hundred"));
        burst(&mut alice, bursts.next().expect("the one to warm up")).await;
        mark();
        for letters in bursts {
            burst(&mut alice, letters).await;
        }
        mark();
    });
}

async fn burst(alice: &mut Connection, letters: &[Bytes]) {
    letters.iter().for_each(|letter| alice.send(letter.clone()));
    let mut open = letters.len();
    while open > 0 {
        let frame = alice.frame().await;
        match serde_json::from_slice(&frame) {
            Ok(ServerFrame::Status(status)) => open -= status.message_ids.len(),
            _ => panic!("no status: {frame:?}"),
        }
    }
}
