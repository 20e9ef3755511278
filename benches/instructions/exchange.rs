//! A whole message through a real broker: its frame in, the delivery out, the acknowledgement in, the status out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sealwire_actors::{Broker, Limits, Settings, Timing};
use sealwire_protocol::frames::{ClientFrame, Request};
use sealwire_store::{MemoryStore, Store};

use crate::cast::{self, Key, Person};
use crate::connection::{Connection, frame};
use crate::mark;

/// How many messages pass before counting.
const WARM: u64 = 500;

/// Limits that a count does not meet, and times that it does not wait for, however slow the machine is.
pub(crate) fn settings() -> Settings {
    let long = Duration::from_secs(3_000);
    let limits = Limits {
        messages_per_minute: 0,
        frames_per_second: 0,
        mailbox_messages_per_sender: 100_000,
        mailbox_messages: 100_000,
        ..Limits::default()
    };
    let timing = Timing {
        log_in: long,
        greeting: long,
        silence: long,
        hand_over: long,
        blocked: long,
        verification: long,
        store: long,
        sweep: long,
        ..Timing::default()
    };
    Settings { limits, timing }
}

/// Runs something within the runtime that the server's connections run in: one thread.
pub(crate) fn on_one_thread(work: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(work);
}

/// To one device: handed over and acknowledged before the next one is sent.
pub(crate) fn message(operations: u64) {
    exchange(operations, 1);
}

/// To eight devices: handed over to all and acknowledged by all before the next one is sent.
pub(crate) fn fan_out(operations: u64) {
    exchange(operations, 8);
}

fn exchange(operations: u64, devices: u8) {
    on_one_thread(async {
        let (alice, bob, key) = (Person::alice(), Person::bob(devices), Key::read());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        alice.register(&key, &*store).await;
        bob.register(&key, &*store).await;
        let broker = Broker::start(settings(), store, None).await.expect("the store answers");
        let mut sender = Connection::log_in(&broker, &alice, alice.devices[0], &key).await;
        let mut receivers = Vec::new();
        for device in &bob.devices {
            receivers.push(Connection::log_in(&broker, &bob, *device, &key).await);
        }
        let ack = |seq| frame(&ClientFrame::from(Request::Ack(seq)).to_json());
        let letters: Vec<(Bytes, Bytes)> =
            (1..=WARM + operations).map(|n| (frame(&cast::letter(&bob, n)), ack(n))).collect();
        let (warm, counted) = letters.split_at(usize::try_from(WARM).expect("a few hundred"));
        pass(&mut sender, &mut receivers, warm).await;
        mark();
        pass(&mut sender, &mut receivers, counted).await;
        mark();
    });
}

async fn pass(sender: &mut Connection, receivers: &mut [Connection], letters: &[(Bytes, Bytes)]) {
    for (letter, ack) in letters {
        sender.send(letter.clone());
        for receiver in &mut *receivers {
            let delivery = receiver.frame().await;
            assert!(delivery.starts_with(br#"{"type":"message""#), "not handed over: {delivery:?}");
            receiver.send(ack.clone());
        }
        let status = sender.frame().await;
        assert!(status.starts_with(br#"{"type":"status","status":"delivered""#), "no status: {status:?}");
    }
}
