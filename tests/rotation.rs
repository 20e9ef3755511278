//! Wrap keys that are over, from log-in to erasure, by a real client at a real server.

use std::path::{Path, PathBuf};

use sealwire_client::pins::Person as Pinned;
use sealwire_client::profile::{DeviceKeys, NewAccount};
use sealwire_client::{Event, Profile};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::Kid;
use sealwire_protocol::frames::{Keys, Status};
use sealwire_tests::hostile::{Person, Side, World};
use sealwire_tests::profiles;
use sealwire_tests::stranger::{Dial, Identity, PATIENCE, b64, now};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

const HOUR: u64 = 60 * 60 * 1_000;
const DAY: u64 = 24 * HOUR;

/// Alice's device, which has been away since its wrap certificate ended three days ago.
struct Away {
    identity: Identity,
    path: PathBuf,
    origin: String,
    _home: TempDir,
}

impl Away {
    async fn register(world: &World) -> Self {
        let identity = Identity::new("alice");
        let made = now() - 10 * DAY;
        let wrap = identity.wrap_frame(1, &identity.dwk, made, made + 7 * DAY);
        let mut wire = Dial::default().to(&world.server).await.expect("the upgrade is taken");
        let mut register = identity.register(&wire.expect("challenge").await);
        register["wrap"] = wrap;
        wire.send_frame(&register).await;
        wire.expect("session").await;
        wire.close().await;

        let home = TempDir::with_prefix("sealwire-away-").expect("a directory for profiles can be made");
        let (path, origin) = (home.path().join("alice"), world.proxy.origin());
        store(&path, &origin, &identity, &register);
        Self { identity, path, origin, _home: home }
    }

    async fn comes_back(&self) -> Person {
        Person::start(self.identity.name.clone(), self.path.clone(), self.origin.clone(), 0).await
    }

    fn profile(&self) -> Profile {
        profiles::open(&self.path)
    }
}

/// What a client has stored once it has registered so.
fn store(path: &Path, origin: &str, identity: &Identity, register: &Value) {
    let keys = DeviceKeys {
        aik: Some(IdentityKey::from_pkcs8(&identity.aik.to_pkcs8()).expect("a key")),
        dsk: SigningKey::from_pkcs8(&identity.dsk.to_pkcs8()).expect("a key"),
        dwk: WrapKey::from_pkcs8(&identity.dwk.to_pkcs8()).expect("a key"),
    };
    let read = |field: &str| register[field].clone();
    let new = NewAccount {
        username: identity.name.clone(),
        manifest: serde_json::from_value(read("manifest")).expect("a manifest"),
        wrap: serde_json::from_value(read("wrap")).expect("a certificate"),
    };
    let shown: Keys = serde_json::from_value(json!({
        "username": identity.name.as_str(),
        "aik": b64(identity.aik.public().as_bytes()),
        "manifests": [read("manifest")],
        "devices": [],
    }))
    .expect("an answer");
    let mut profile = profiles::open(path);
    profile.store_keys(&identity.device, &keys, now() - 10 * DAY).expect("it is stored");
    profile.prepare(origin, &new).expect("it is stored");
    let (pinned, _) = Pinned::first(&shown, now()).expect("it holds");
    profile.store_person(&pinned).expect("it is stored");
    profile.registered().expect("it is stored");
}

/// The ids of the wrap keys that a running client holds, oldest first.
async fn held(person: &Person) -> Vec<Kid> {
    let kids = |profile: &mut Profile| {
        profile.wrap_keys().expect("keys").iter().map(|stored| *stored.key.kid()).collect::<Vec<_>>()
    };
    person.client.profile(kids).await.expect("the client runs")
}

fn is(side: Side, kind: &'static str, who: &'static str) -> impl Fn(&sealwire_tests::hostile::Seen) -> bool {
    move |seen| seen.side == side && seen.frame["type"] == kind && seen.who == who
}

#[tokio::test]
async fn a_device_that_was_away_rotates_before_it_sends_and_opens_what_was_sealed_to_the_old_key() {
    let world = World::start().await;
    let away = Away::register(&world).await;
    let old = *away.identity.dwk.kid();
    let mut bob = world.person("bob").await;
    let mut waits = bob.client.send(&away.identity.name, "while you were away").await.expect("it is stored");
    let status = timeout(PATIENCE, waits.first_status()).await.expect("in time").expect("it is sent");
    assert_eq!(status, Status::Queued);
    bob.until("the age of alice's key", |event| matches!(event, Event::OldKey { days: 3, .. })).await;

    let mut alice = away.comes_back().await;
    let mut sent = alice.says(&bob, "I am back").await;
    alice.hears(&[("bob", "while you were away")]).await;
    bob.hears(&[("alice", "I am back")]).await;
    timeout(PATIENCE, sent.first_status()).await.expect("in time").expect("it is sent");
    let log = world.proxy.log();
    let rotated = log.iter().position(is(Side::Server, "rotate", "alice")).expect("the server has taken a new key");
    let spoke = log.iter().position(is(Side::Client, "message", "alice")).expect("alice has sent something");
    assert!(rotated < spoke, "a message was sent before the new key was taken");

    // Mail that others seal to the old key still opens, and the new one is there beside it.
    let kids = held(&alice).await;
    assert!(kids.len() == 2 && kids[0] == old, "{kids:?}");
    alice.client.stop().await;
    let stored = away.profile().wrap_keys().expect("keys");
    assert!(stored[0].replaced_at.is_some_and(|at| at <= now()) && stored[1].accepted && stored[1].seq == 2);
    let life = stored[1].cert.as_ref().map(|cert| (cert.not_before <= now(), cert.not_after > now() + 8 * DAY));
    assert_eq!(life, Some((true, true)));
}

#[tokio::test]
async fn an_old_key_is_erased_once_its_time_is_over_and_the_mailbox_was_empty_after_that() {
    let world = World::start().await;
    let away = Away::register(&world).await;
    let alice = away.comes_back().await;
    world.proxy.seen("the new key is taken", is(Side::Server, "rotate", "alice")).await;
    assert_eq!(held(&alice).await.len(), 2);
    alice.client.stop().await;

    // A day and two more days pass.
    for (ago, expected) in [(48 * HOUR, 2), (50 * HOUR, 1)] {
        replaced(&away, ago);
        let bob = world.person(if expected == 2 { "bob" } else { "carol" }).await;
        bob.client.send(&away.identity.name, "waits").await.expect("it is stored").first_status().await.expect("sent");
        let mut alice = away.comes_back().await;
        alice.hears(&[(bob.name.as_str(), "waits")]).await;
        // That it was delivered is told behind `queue`, and nothing is sealed before the server has shown her own keys.
        world.proxy.seen("the mailbox is empty", is(Side::Server, "queue", "alice")).await;
        alice.delivers(&bob, "an answer").await;
        assert_eq!(held(&alice).await.len(), expected);
        alice.client.stop().await;
        let stored = away.profile().wrap_keys().expect("keys");
        assert_eq!(stored.len(), expected);
        assert!(stored.iter().all(|key| key.seq == 2 || key.replaced_at.is_some()));
    }
}

/// Lets the newest key have been accepted so long ago.
fn replaced(away: &Away, ago: u64) {
    let mut profile = away.profile();
    let newest = *profile.wrap_keys().expect("keys").last().expect("a key").key.kid();
    profile.wrap_keys_forgotten(1).expect("it is stored");
    profile.wrap_key_accepted(&newest, now() - ago).expect("it is stored");
}
