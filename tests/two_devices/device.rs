//! A device with the real client, and what it has.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealwire_client::{Client, Event, Events, Profile, Sent};
use sealwire_protocol::{DeviceId, MessageId, Username};
use sealwire_tests::stranger::{Identity, PATIENCE};
use sealwire_tests::{Server, profiles};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A message as a device shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) from: Username,
    pub(crate) device: DeviceId,
    pub(crate) id: MessageId,
    pub(crate) text: Option<String>,
    pub(crate) own: bool,
}

/// A device of somebody. It may be away.
pub(crate) struct Device {
    path: PathBuf,
    server: sealwire_client::Server,
    running: Option<(Client, JoinHandle<()>)>,
    /// The messages that it was told of or has written, in whichever of its lives.
    known: Arc<watch::Sender<HashSet<MessageId>>>,
}

impl Device {
    /// The first device of an account.
    pub(crate) async fn register(server: &Server, home: &Path, who: &Identity) -> Self {
        let path = home.join(who.device.to_string());
        let profile = profiles::register_as(&path, &server.origin(), who).await;
        Self::start(server, path, profile)
    }

    /// A further one, next to one that runs.
    pub(crate) async fn link(server: &Server, home: &Path, old: &Self, who: &Identity) -> Self {
        let path = home.join(who.device.to_string());
        let profile = profiles::link_as(&path, server, old.client(), who).await;
        Self::start(server, path, profile)
    }

    fn start(server: &Server, path: PathBuf, profile: Profile) -> Self {
        let server = server.origin().parse().expect("a server's origin");
        let mut device = Self { path, server, running: None, known: Arc::default() };
        device.run(profile);
        device
    }

    /// Takes the profile of somebody who registered in another way.
    pub(crate) fn of_profile(server: &Server, path: PathBuf) -> Self {
        let profile = profiles::open(&path);
        Self::start(server, path, profile)
    }

    fn run(&mut self, profile: Profile) {
        let (client, events) = Client::start(profile, self.server.clone()).expect("the client starts");
        let listening = tokio::spawn(listen(client.clone(), events, self.known.clone()));
        self.running = Some((client, listening));
    }

    fn client(&self) -> &Client {
        &self.running.as_ref().expect("the device is here").0
    }

    pub(crate) fn id(&self) -> DeviceId {
        self.client().account().device
    }

    /// It goes away. What it heard until then was good.
    pub(crate) async fn leave(&mut self) {
        let (client, listening) = self.running.take().expect("the device is here");
        client.stop().await;
        listening.await.expect("nothing was wrong with what it heard");
    }

    /// It comes back with the profile that it left.
    pub(crate) async fn come_back(&mut self) {
        self.run(profiles::open(&self.path));
    }

    /// Writes to somebody.
    pub(crate) async fn say(&self, to: &str, text: &str) -> Sent {
        let to = to.parse().expect("a name");
        let sent = self.client().send(&to, text).await.expect("it is kept");
        self.known.send_modify(|known| _ = known.insert(sent.message_id()));
        sent
    }

    /// Waits until the device has all of these.
    pub(crate) async fn has(&self, wanted: &[MessageId]) {
        let mut known = self.known.subscribe();
        let all = known.wait_for(|known| wanted.iter().all(|id| known.contains(id)));
        let Ok(all) = timeout(2 * PATIENCE, all).await else {
            let known = self.known.borrow();
            let missing = wanted.iter().filter(|id| !known.contains(id)).count();
            panic!(
                "{}: {missing} of {} messages have not come: {:?}",
                self.id(),
                wanted.len(),
                self.client().trouble()
            );
        };
        drop(all.expect("the device outlives the wait"));
    }

    /// The whole conversation with somebody, as the device shows it.
    pub(crate) async fn history(&self, peer: &str) -> Vec<Said> {
        let peer = peer.parse().expect("a name");
        let entries = self.client().profile(move |profile| profile.history(&peer, None, 100_000)).await;
        let entries = entries.expect("the device is here").expect("the history can be read");
        let said = |entry: sealwire_client::conversation::Entry| Said {
            from: entry.from,
            device: entry.from_device,
            id: entry.message_id,
            text: entry.text,
            own: entry.own,
        };
        entries.into_iter().map(said).collect()
    }

    /// The hash of the manifest that the device believes in for its own account.
    pub(crate) async fn newest_manifest(&self) -> [u8; 32] {
        let name = self.client().account().username.clone();
        let own = self.client().profile(move |profile| profile.person(&name)).await.expect("the device is here");
        own.expect("the profile can be read").expect("it knows itself").chain().newest_hash()
    }
}

/// Takes what a client tells; there must be nothing wrong with any of it.
async fn listen(client: Client, mut events: Events, known: Arc<watch::Sender<HashSet<MessageId>>>) {
    while let Some(event) = events.next().await {
        match event {
            Event::Message(message) => {
                // Whether the client has ended meanwhile makes no difference here.
                let _ = client.shown(&message).await;
                known.send_modify(|known| _ = known.insert(message.message_id));
            }
            Event::Alarm(alarm) => panic!("an alarm without a cause: {alarm}"),
            Event::Unreadable { reason, .. } => panic!("a message that cannot be read: {reason}"),
            Event::MailboxOverflow(count) => panic!("{count} messages are said to be missed"),
            _ => {}
        }
    }
}

/// Waits until the server has told what became of each; gives their ids.
pub(crate) async fn until_sent(said: Vec<Sent>) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for mut sent in said {
        let status = timeout(2 * PATIENCE, sent.first_status()).await;
        status.unwrap_or_else(|_| panic!("{} has no status", sent.message_id())).expect("it is sent");
        ids.push(sent.message_id());
    }
    ids
}
