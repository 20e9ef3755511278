//! People of whom there is something of every kind in the store.

use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::stranger::{Identity, Owner, Stranger, b64, dummy_for, unb64};
use serde_json::json;

/// What was acknowledged before the store was read out.
pub(crate) struct Town {
    /// Has a second device and a sealed backup.
    alice: Arc<Identity>,
    alice2: Arc<Identity>,
    /// Is away, as is that second device.
    bob: Arc<Identity>,
    /// What waits for both, in order.
    waiting: Vec<String>,
    /// Has left for good.
    gone: Arc<Identity>,
}

impl Town {
    /// Registers everybody, has them write, and returns once everything is acknowledged.
    pub(crate) async fn settle(server: &Server) -> (Self, Stranger) {
        let mut alice = Owner::register(server, "alice").await;
        let mut alice2 = alice.with_second(server).await;
        let backup = json!({ "type": "backup", "put": { "id": b64([7; 32]), "data": b64([9; 5_000]) } });
        assert_eq!(alice.session.ask(&backup).await["type"], "backup");
        let mut bob = server.register("bob").await;
        let mut gone = Owner::register(server, "carol").await;
        gone.list(&[]).await;
        let gone = gone.session.who.clone();
        alice2.close().await;
        bob.close().await;
        let mut town = Self {
            alice: alice.session.who.clone(),
            alice2: alice2.who.clone(),
            bob: bob.who.clone(),
            waiting: Vec::new(),
            gone,
        };
        for _ in 0..30 {
            town.write_on(&mut alice.session).await;
        }
        (town, alice.session)
    }

    /// Alice writes to Bob; her other device gets a copy.
    pub(crate) async fn write(&mut self, alice: &mut Stranger) -> String {
        let message = dummy_for(&[&*self.bob, &*self.alice2]);
        // Before it is sent: whoever waits for this may be told to stop.
        self.waiting.push(message["messageId"].as_str().expect("a message has an id").to_owned());
        alice.send_message(&message).await
    }

    /// The same, and waits until it is acknowledged.
    pub(crate) async fn write_on(&mut self, alice: &mut Stranger) {
        let id = self.write(alice).await;
        alice.expect_status("queued", &id).await;
    }

    /// How many messages have been written up to now.
    pub(crate) fn written(&self) -> usize {
        self.waiting.len()
    }

    /// Everything that was acknowledged, the first `promised` messages, is there: who comes gets it, each once and in order, and goes on
    /// as if nothing had been. Of the rest may have come what was written before the moment of the copy.
    pub(crate) async fn goes_on(&self, server: &Server, promised: usize) {
        let mut bob = server.log_in(&self.bob).await;
        let mut alice2 = server.log_in(&self.alice2).await;
        for device in [&mut bob, &mut alice2] {
            let waiting = usize::try_from(device.session["queued"].as_u64().expect("a number")).expect("few");
            // Of a message that was not acknowledged one of the copies may be there.
            assert!((promised..=self.written()).contains(&waiting), "{waiting} wait, {promised} were promised");
            for id in &self.waiting[..waiting] {
                assert_eq!(device.take_message().await["messageId"], json!(id));
            }
        }
        let mut alice = server.log_in(&self.alice).await;
        let back = bob.send_message(&dummy_for(&[&*self.alice, &*self.alice2])).await;
        for device in [&mut alice, &mut alice2] {
            assert_eq!(device.take_message().await["messageId"], json!(back));
        }
        bob.expect_status("delivered", &back).await;
        self.is_remembered(server, &mut bob).await;
    }

    /// The sealed backup, the chain, and that a name was given away.
    async fn is_remembered(&self, server: &Server, bob: &mut Stranger) {
        let mut wire = server.dial().await;
        wire.expect("challenge").await;
        let get = json!({ "type": "backup", "get": { "username": "alice", "id": b64([7; 32]) } });
        assert_eq!(unb64(&wire.ask(&get).await["data"]), [9; 5_000]);
        let shown = bob.keys(&json!({ "username": "alice" })).await;
        assert_eq!(shown["manifests"].as_array().map(Vec::len), Some(2), "{shown}");
        let mut wire = server.dial().await;
        let challenge = wire.expect("challenge").await;
        wire.send_frame(&self.gone.register(&challenge)).await;
        wire.expect("error").await;
    }
}
