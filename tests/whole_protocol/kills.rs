//! One person, several devices, and a server that is killed in the middle of it, again and again.

use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Identity, Stranger, dummy_for};
use serde_json::Value;

use crate::Owner;

/// How often the server is killed, and how many messages are on their way each time.
const KILLS: usize = 8;
const BATCH: usize = 15;

/// A device that remembers what it was given, each message once.
struct Device {
    who: Arc<Identity>,
    session: Option<Stranger>,
    got: Vec<String>,
}

impl Device {
    fn new(who: Arc<Identity>, session: Stranger) -> Self {
        Self { who, session: Some(session), got: Vec::new() }
    }

    async fn come_back(&mut self, server: &Server) {
        self.session = Some(server.log_in(&self.who).await);
    }

    /// Takes messages until this one.
    async fn take_until(&mut self, last: &str) {
        while !self.got.iter().any(|got| got == last) {
            let message = self.session.as_mut().expect("it is here").take_message().await;
            let id = message["messageId"].as_str().expect("an id").to_owned();
            if !self.got.contains(&id) {
                self.got.push(id);
            }
        }
    }
}

fn id_of(frame: &Value) -> String {
    frame["messageId"].as_str().expect("an id").to_owned()
}

mod heavy {
    use super::*;

    #[tokio::test]
    async fn all_devices_see_one_conversation_whatever_the_server_goes_through() {
        let mut server = Server::with(NO_LIMITS).start().await;
        let mut bob = Owner::register(&server, "bob").await;
        let second = bob.with_second(&server).await;
        let mut alice = server.register("alice").await;
        let first = bob.session.who.clone();
        let third = Arc::new(first.sibling(2));
        let mut devices = vec![Device::new(first.clone(), server.log_in(&first).await)];
        devices.push(Device::new(second.who.clone(), second));
        let mut sent = Vec::new();
        let mut sent_before_the_third = 0;

        for kill in 0..KILLS {
            // The second device is away every other time; the third one joins in the middle.
            let is_away = kill % 2 == 1;
            if is_away {
                devices[1].session = None;
            }
            if kill == KILLS / 2 {
                // The first device signs for it, on a connection of its own.
                bob.session = server.log_in(&first).await;
                let listed = [&*first, &*devices[1].who.clone(), &*third];
                bob.list(&listed).await;
                devices.push(Device::new(third.clone(), server.link(&third).await));
                sent_before_the_third = sent.len();
                devices[0].come_back(&server).await;
            }
            let all: Vec<Arc<Identity>> = devices.iter().map(|device| device.who.clone()).collect();
            let all: Vec<&Identity> = all.iter().map(|who| &**who).collect();
            let batch: Vec<Value> = (0..BATCH).map(|_| dummy_for(&all)).collect();
            for frame in &batch {
                alice.send_frame(frame).await;
            }
            // Not the same moment each time: some have arrived.
            devices[0].take_until(&id_of(&batch[kill % BATCH])).await;
            server.kill().await;
            server.restart().await;

            // Whoever saw no status sends the same bytes again.
            alice = server.log_in(&alice.who).await;
            for frame in &batch {
                alice.send_frame(frame).await;
            }
            let ids: Vec<String> = batch.iter().map(id_of).collect();
            devices[0].come_back(&server).await;
            devices[0].take_until(&ids[BATCH - 1]).await;
            if let Some(third) = devices.get_mut(2) {
                third.come_back(&server).await;
                third.take_until(&ids[BATCH - 1]).await;
            }
            if !is_away {
                devices[1].come_back(&server).await;
                devices[1].take_until(&ids[BATCH - 1]).await;
            }
            for id in &ids {
                while alice.statuses(id).is_empty() {
                    alice.settle().await;
                }
            }
            sent.extend(ids);
        }
        devices[1].come_back(&server).await;
        devices[1].take_until(&sent[sent.len() - 1]).await;
        assert_eq!(devices[0].got, sent);
        assert_eq!(devices[1].got, sent);
        assert_eq!(devices[2].got, sent[sent_before_the_third..]);
    }
}
