//! Real clients behind the double, and what each of them has told.

use std::path::PathBuf;
use std::sync::Mutex;

use sealwire_client::profile::DeviceKeys;
use sealwire_client::register::register_with_keys;
use sealwire_client::{Alarm, Client, Event, Events, Sent};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::{DeviceId, Username};
use tempfile::TempDir;
use tokio::time::timeout;

use super::forger::Forger;
use super::proxy::Proxy;
use crate::server::NO_LIMITS;
use crate::stranger::{PATIENCE, key_of_pool};
use crate::{Server, profiles};

/// A real server, its lying double before it, and the profiles of the people.
#[derive(Debug)]
pub struct World {
    /// The real server.
    pub server: Server,
    /// What the people's clients dial.
    pub proxy: Proxy,
    home: TempDir,
    people: Mutex<usize>,
}

/// A person at a real client.
#[derive(Debug)]
pub struct Person {
    /// Who it is.
    pub name: Username,
    /// On which device.
    pub device: DeviceId,
    /// The client.
    pub client: Client,
    /// Every event so far, in order.
    pub told: Vec<Event>,
    events: Events,
    /// Which keys of the pool: three from here.
    first_key: usize,
    profile: PathBuf,
    origin: String,
}

/// The three keys from this one of the pool on.
///
/// # Panics
/// When the pool cannot be read.
pub fn keys_of(first: usize) -> DeviceKeys {
    DeviceKeys {
        aik: Some(IdentityKey::from_pkcs8(&key_of_pool(first)).expect("a key of the pool")),
        dsk: SigningKey::from_pkcs8(&key_of_pool(first + 1)).expect("a key of the pool"),
        dwk: WrapKey::from_pkcs8(&key_of_pool(first + 2)).expect("a key of the pool"),
    }
}

impl World {
    /// An honest world with nobody in it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn start() -> Self {
        let server = Server::with(NO_LIMITS).start().await;
        let proxy = Proxy::before(&server).await;
        let home = TempDir::with_prefix("sealwire-hostile-").expect("a directory for profiles can be made");
        Self { server, proxy, home, people: Mutex::default() }
    }

    /// Somebody new, registered and logged in.
    ///
    /// # Panics
    /// When that fails.
    pub async fn person(&self, name: &str) -> Person {
        let first_key = {
            let mut people = self.people.lock().expect("no thread has panicked");
            *people += 1;
            3 * (*people - 1)
        };
        let path = self.home.path().join(name);
        let mut profile = profiles::open(&path);
        let username: Username = name.parse().expect("a username");
        let server = self.proxy.origin().parse().expect("an address");
        register_with_keys(&mut profile, &server, &username, &keys_of(first_key), PATIENCE)
            .await
            .expect("it registers");
        drop(profile);
        Person::start(username, path, self.proxy.origin(), first_key).await
    }

    /// Two people who have not met.
    pub async fn two(&self) -> (Person, Person) {
        (self.person("alice").await, self.person("bob").await)
    }
}

impl Person {
    /// Starts a client on a profile that is registered already, and waits until it is logged in. `first_key`: the first of the
    /// three keys of the pool that [`Person::forger`] takes.
    ///
    /// # Panics
    /// When it does not get so far.
    pub async fn start(name: Username, profile: PathBuf, origin: String, first_key: usize) -> Self {
        let server = origin.parse().expect("an address");
        let (client, events) = Client::start(profiles::open(&profile), server).expect("the client starts");
        let device = client.account().device;
        let mut person = Self { name, device, client, told: Vec::new(), events, first_key, profile, origin };
        person.until("being online", |event| matches!(event, Event::Online)).await;
        person
    }

    /// Stops the client and starts another one on the same profile; what the first has told is kept.
    pub async fn restarted(self) -> Self {
        let told = self.told.clone();
        let (name, profile, origin, first_key) =
            (self.name.clone(), self.profile.clone(), self.origin.clone(), self.first_key);
        self.client.clone().stop().await;
        drop(self);
        let mut person = Self::start(name, profile, origin, first_key).await;
        person.told.splice(0..0, told);
        person
    }

    /// Ends the client; gives where the profile lies, which is free then.
    pub async fn leaves(self) -> PathBuf {
        self.client.stop().await;
        self.profile
    }

    /// Somebody who has this person's private keys, on this device.
    pub fn forger(&self) -> Forger {
        Forger::new(&self.name, self.device, self.first_key)
    }

    /// The next event; it is kept as well. `None` when the client has ended.
    ///
    /// # Panics
    /// When none comes.
    pub async fn next(&mut self, wanted: &str) -> Option<Event> {
        let event = timeout(PATIENCE, self.events.next()).await;
        let event =
            event.unwrap_or_else(|_| panic!("{} waited in vain for {wanted}; told: {:?}", self.name, self.told));
        self.told.extend(event.clone());
        event
    }

    /// Waits for an event that is as wanted.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until(&mut self, wanted: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            match self.next(wanted).await {
                Some(event) if is_it(&event) => return event,
                Some(_) => {}
                None => panic!("{} has stopped before {wanted}: {:?}", self.name, self.client.trouble()),
            }
        }
    }

    /// Waits for an alarm.
    pub async fn alarm(&mut self) -> Alarm {
        match self.until("an alarm", |event| matches!(event, Event::Alarm(_))).await {
            Event::Alarm(alarm) => alarm,
            _ => unreachable!("an alarm was waited for"),
        }
    }

    /// Waits until the client has ended; gives the reason.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ends(&mut self) -> sealwire_client::Error {
        while self.next("the end").await.is_some() {}
        self.client.trouble().expect("it says why it has ended")
    }

    /// The next messages shown are exactly these, by sender and text, in this order. Marks them as seen.
    ///
    /// # Panics
    /// When others are shown, or none.
    pub async fn hears(&mut self, expected: &[(&str, &str)]) {
        for (n, (from, text)) in expected.iter().enumerate() {
            let wanted = format!("message {n} of {expected:?}");
            let Event::Message(message) = self.until(&wanted, |event| matches!(event, Event::Message(_))).await else {
                unreachable!("a message was waited for")
            };
            assert_eq!((message.from.as_str(), message.text.as_deref()), (*from, Some(*text)), "{wanted}");
            self.client.shown(&message).await.expect("the client runs");
        }
    }

    /// Puts a text into the outbox.
    ///
    /// # Panics
    /// When it cannot be stored.
    pub async fn says(&self, to: &Person, text: &str) -> Sent {
        self.client.send(&to.name, text).await.expect("it is stored")
    }

    /// Sends a text and waits until the server says that it is delivered.
    ///
    /// # Panics
    /// When it is refused, or expires.
    pub async fn delivers(&self, to: &Person, text: &str) {
        let mut sent = self.says(to, text).await;
        let status = timeout(PATIENCE, sent.last_status()).await.expect("a status in time").expect("it is sent");
        assert_eq!(status, sealwire_protocol::frames::Status::Delivered);
    }

    /// Waits until the client has lost its connection.
    pub async fn is_cut_off(&mut self) {
        self.until("the loss of the connection", |event| matches!(event, Event::Offline(_))).await;
    }

    /// Waits until the client is logged in again.
    pub async fn is_back(&mut self) {
        self.until("being online", |event| matches!(event, Event::Online)).await;
    }

    /// The alarms so far.
    pub fn alarms(&self) -> Vec<Alarm> {
        let alarm = |event: &Event| match event {
            Event::Alarm(alarm) => Some(alarm.clone()),
            _ => None,
        };
        self.told.iter().filter_map(alarm).collect()
    }

    /// Why messages that claim to be of this name did not open, so far.
    pub fn unreadable(&self) -> Vec<String> {
        let reason = |event: &Event| match event {
            Event::Unreadable { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.told.iter().filter_map(reason).collect()
    }

    /// How many messages have been shown so far.
    pub fn messages(&self) -> usize {
        self.told.iter().filter(|event| matches!(event, Event::Message(_))).count()
    }
}
