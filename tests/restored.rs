//! A server that was restored from a copy of its data, made before a device was removed.

use std::fs;
use std::path::Path;

use sealwire_client::devices::{Change, next_manifest};
use sealwire_client::{Event, Profile};
use sealwire_e2ee::{IdentityKey, SigningKey};
use sealwire_protocol::DeviceId;
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Devices, ManifestDeviceFrame, ManifestFrame, Request};
use sealwire_tests::hostile::{Person, World};
use sealwire_tests::stranger::{key_of_pool, now};
use serde_json::json;
use tempfile::TempDir;

/// Copies the files of a data directory; the server does not run.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
    }
}

/// Signs the account's next list of devices and lets the server take it.
async fn change(person: &mut Person, aik: Vec<u8>, change: Change) {
    let name = person.name.clone();
    let sign = move |profile: &mut Profile| {
        let chain = profile.person(&name).expect("it is stored").expect("one's own").chain().clone();
        let identity = IdentityKey::from_pkcs8(&aik).expect("a key");
        next_manifest(&mut rand::rng(), &chain, &identity, &change, now()).expect("it follows the rules")
    };
    let signed = person.client.profile(sign).await.expect("the client runs");
    let devices = signed.manifest.devices.iter().map(|device| ManifestDeviceFrame {
        id: device.id,
        dsk: Blob(device.dsk.as_bytes().to_vec()),
        added_at: device.added_at,
        capabilities: device.capabilities,
    });
    let manifest = ManifestFrame {
        version: signed.manifest.version,
        prev_hash: Array(signed.manifest.prev_hash),
        issued_at: signed.manifest.issued_at,
        devices: devices.collect(),
        signature: Blob(signed.signature),
    };
    let request = Request::Devices(Box::new(Devices { username: None, manifest }));
    person.client.request(request).await.expect("the server takes it");
    person.until("the change", |event| matches!(event, Event::DevicesChanged { .. })).await;
}

#[tokio::test]
async fn a_server_restored_to_before_a_removal_hears_of_it_from_the_account_s_own_device() {
    let mut world = World::start().await;
    let (mut alice, mut bob) = world.two().await;
    alice.delivers(&bob, "before").await;
    bob.hears(&[("alice", "before")]).await;

    // Alice is the first person of this world: her identity key is the pool's first.
    let (aik, lost) = (key_of_pool(0), DeviceId::new_v7(now(), rand::random()));
    let dsk = SigningKey::from_pkcs8(&key_of_pool(9)).expect("a key of the pool").public().clone();
    change(&mut alice, aik.clone(), Change::Add(lost, dsk)).await;
    world.server.kill().await;
    let backup = TempDir::with_prefix("sealwire-backup-").expect("a directory can be made");
    copy(world.server.data_dir(), backup.path());
    world.server.restart().await;
    alice.until("being online again", |event| matches!(event, Event::Online)).await;
    change(&mut alice, aik, Change::Remove(vec![lost])).await;

    world.server.kill().await;
    let data = world.server.data_dir().to_owned();
    for entry in fs::read_dir(&data).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file can be removed");
    }
    copy(backup.path(), &data);
    world.server.restart().await;
    alice.until("being online at the restored server", |event| matches!(event, Event::Online)).await;
    alice.delivers(&bob, "after").await;
    bob.hears(&[("alice", "after")]).await;
    assert!(alice.alarms().is_empty() && bob.alarms().is_empty(), "{:?} {:?}", alice.alarms(), bob.alarms());

    let mut carol = world.server.register("carol").await;
    let shown = carol.keys(&json!({ "username": "alice" })).await;
    let manifests = shown["manifests"].as_array().expect("manifests");
    assert_eq!(manifests.len(), 3);
    assert_eq!(manifests[2]["devices"].as_array().map(Vec::len), Some(1));
}
