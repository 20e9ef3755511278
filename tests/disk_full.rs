//! A disk that is full under the embedded store: what cannot be stored is refused, what was promised is kept, people who are
//! connected go on, and so does everything once there is room again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Dial, Identity, Stranger, dummy_of};
use serde_json::Value;
use tempfile::TempDir;

/// A file system of 8 MiB in memory. Dropped, it is gone.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let home = TempDir::with_prefix("sealwire-disk-").expect("a directory");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(home.path());
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(home))
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Takes every block that is left.
    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file can be made");
        let full = loop {
            if let Err(error) = file.write(&[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn server_on(disk: &Path) -> sealwire_tests::server::Builder {
    Server::with(NO_LIMITS).data_dir(disk)
}

/// Whether a message gets a status, or is refused because the store is not there.
async fn is_taken(sender: &mut Stranger, id: &str) -> bool {
    loop {
        if !sender.statuses(id).is_empty() {
            return true;
        }
        let refused = |frame: &Value| frame["type"] == "error" && frame["messageId"] == id;
        if sender.settle().await.iter().any(refused) {
            sender.expect_error("store_unavailable").await;
            return false;
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_loses_nothing_and_is_forgotten_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("LEFT OUT: this process may not mount a small disk, so nobody knows what a full one does");
        return;
    };
    let mut server = server_on(&disk.data_dir()).start().await;
    let bob = Arc::new(Identity::new("bob"));
    server.register_as(bob.clone(), Dial::default()).await.close().await;
    let (mut alice, mut carol) = (server.register("alice").await, server.register("carol").await);
    carol.expect("queue").await;
    let mut promised = Vec::new();
    for _ in 0..20 {
        let id = alice.send_dummy(&bob).await;
        alice.expect_status("queued", &id).await;
        promised.push(id);
    }

    disk.fill();
    // What the store's files have taken already is used up first.
    let refused = loop {
        let frame = dummy_of(&bob, 30_000);
        let id = alice.send_message(&frame).await;
        if !is_taken(&mut alice, &id).await {
            break frame;
        }
        promised.push(id);
    };
    let id = alice.send_dummy(&carol.who).await;
    carol.take_message().await;
    alice.expect_status("delivered", &id).await;
    let id = alice.send_message(&refused).await;
    assert!(!is_taken(&mut alice, &id).await, "the disk is as full as it was");

    disk.make_room();
    let id = alice.send_message(&refused).await;
    alice.expect_status("queued", &id).await;
    promised.push(id);
    server.restart().await;
    let mut bob = server.log_in(&bob).await;
    for id in &promised {
        assert_eq!(bob.take_message().await["messageId"], **id, "each once, in order");
    }
    bob.expect("queue").await;
}
