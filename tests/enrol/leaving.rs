//! Devices that go, and accounts.

use std::fs;
use std::path::Path;

use sealwire_tests::Server;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::linking::linked;
use crate::people::{Machine, ended};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 4;

#[tokio::test]
async fn a_removed_device_is_cut_off_at_once_and_says_so() {
    let server = Server::start().await;
    let (old, bob) = (Machine::registered(&server, "alice").await, Machine::registered(&server, "bob").await);
    let new = linked(&server, &old, 1, &[]).await;
    let id = new.json(&["whoami"]).await[0]["device"].as_str().expect("an id").to_owned();

    let mut listening = new.start(&["listen"]);
    let mut heard = BufReader::new(listening.stdout.take().expect("it is piped")).lines();
    bob.must(&["send", "alice", "are you both there?"]).await;
    assert!(heard.next_line().await.expect("it can be read").is_some_and(|line| line.contains("both")));

    let asked = old.run(&["devices", "remove", &id], "").await;
    assert_eq!(asked.code, Some(USAGE), "nobody was asked: {asked:?}");
    let listed = old.json(&["devices"]).await;
    let this = listed.iter().find(|device| device["this"] == true).expect("one of them")["device"].clone();
    let refused = old.run(&["devices", "remove", this.as_str().expect("an id"), "--yes"], "").await;
    assert_eq!(refused.code, Some(FAILED), "{refused:?}");
    assert_eq!(old.json(&["devices", "remove", &id, "--yes"]).await[0]["removed"], true);

    let cut = ended(listening).await;
    assert_eq!(cut.code, Some(REFUSED), "{cut:?}");
    assert!(cut.err.contains("this device was removed"), "{cut:?}");
    let refused = new.run(&["send", "bob", "let me in", "--timeout", "5"], "").await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(old.json(&["devices"]).await.len(), 1);
    bob.must(&["send", "alice", "only to the first"]).await;
    old.must(&["listen", "--count", "2", "--timeout", "60"]).await;
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing() {
    let server = Server::start().await;
    let (alice, bob) = (Machine::registered(&server, "alice").await, Machine::registered(&server, "bob").await);
    alice.must(&["send", "bob", "goodbye"]).await;
    let asked = alice.run(&["delete-account"], "alice\n").await;
    assert_eq!(asked.code, Some(USAGE), "{asked:?}");
    assert_eq!(alice.json(&["delete-account", "--yes"]).await[0]["deleted"], true);

    assert!(alice.profile().keys().is_err(), "its keys are erased");
    assert!(alice.profile().account().is_err());
    let refused = alice.run(&["send", "bob", "again"], "").await;
    assert_eq!(refused.code, Some(FAILED), "{refused:?}");
    assert!(refused.err.contains("deleted"), "{refused:?}");
    let refused = bob.run(&["send", "alice", "hello?"], "").await;
    assert_eq!(refused.code, Some(REFUSED), "{refused:?}");
    let refused = Machine::new(&server).run(&["recover", "alice"], &format!("{}\n", alice.read("code"))).await;
    assert_eq!(refused.code, Some(REFUSED), "its backup is gone: {refused:?}");
    // The name is never given again.
    let another = Machine::with_keys(&server, 0);
    let refused = another.run(&["register", "alice", "--no-recovery-code"], "").await;
    assert_eq!(refused.code, Some(REFUSED), "{refused:?}");
}

#[tokio::test]
async fn recovery_removes_the_others_if_the_person_says_so() {
    let server = Server::start().await;
    let old = Machine::registered(&server, "alice").await;
    let code = format!("{}\n", old.read("code"));
    let (kept, alone) = (Machine::with_keys(&server, 1), Machine::with_keys(&server, 2));
    assert_eq!(kept.run(&["recover", "alice"], &code).await.code, Some(0));
    assert_eq!(old.json(&["devices"]).await.len(), 2, "the others stay");
    assert_eq!(alone.run(&["recover", "alice", "--remove-others"], &code).await.code, Some(0));
    assert_eq!(alone.json(&["devices"]).await.len(), 1);
    for machine in [&old, &kept] {
        let gone = machine.run(&["listen", "--count", "1", "--timeout", "5"], "").await;
        assert_eq!(gone.code, Some(REFUSED), "{gone:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a file can be copied");
    }
}

/// What it says to do helps.
#[tokio::test]
async fn a_device_that_the_server_has_forgotten_says_what_to_do() {
    let mut server = Server::start().await;
    let (old, _bob) = (Machine::registered(&server, "alice").await, Machine::registered(&server, "bob").await);
    server.terminate().await;
    let before = old.path("before");
    copy(server.data_dir(), &before);
    server.restart().await;
    let new = linked(&server, &old, 1, &[]).await;

    server.terminate().await;
    fs::remove_dir_all(server.data_dir()).expect("the data can be removed");
    copy(&before, server.data_dir());
    server.restart().await;
    for command in [&["devices"][..], &["listen", "--count", "1"], &["send", "alice", "a note"]] {
        let refused = new.run(command, "").await;
        assert_eq!(refused.code, Some(REFUSED), "{refused:?}");
        for words in ["auth_failed", "set back", "Start a device", "link this machine anew", "recovery code"] {
            assert!(refused.err.contains(words), "{command:?}: {refused:?}");
        }
    }
    // Nothing is sealed before the server has taken the list that it lacks.
    old.must(&["send", "bob", "hello again"]).await;
    let anew = linked(&server, &old, 2, &[]).await;
    anew.must(&["send", "alice", "here again"]).await;
    let heard = old.json(&["listen", "--count", "1", "--timeout", "60"]).await;
    assert_eq!(heard[0]["text"], "here again", "{heard:?}");
}
