//! Devices that go, and accounts.

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
