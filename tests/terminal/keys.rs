//! Keys that change, and devices that come, as the full-screen client shows them.

use std::fs;
use std::path::Path;

use sealwire_tests::profiles;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::World;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a file can be copied");
    }
}

/// The server's data go back to a time before Bob, and somebody else takes his name while Alice looks at her screen.
#[tokio::test]
async fn a_key_that_changed_is_warned_of_and_holds_what_is_sent_until_it_is_decided_on() {
    let mut world = World::of(&["alice"]).await;
    world.server.terminate().await;
    let before = world.place.home().join("before");
    copy(world.server.data_dir(), &before);
    world.server.restart().await;
    world.place.register("bob").await;
    let alice = world.chat("alice", "", "bob").await;
    alice.line("Between us").await;
    alice.shows_line_ending("you: Between us ✓").await;
    alice.keys(&["F2", "v"]).await;
    alice.shows("[y] yes  [n] no").await;
    alice.keys(&["y"]).await;
    alice.shows("bob, verified").await;

    world.server.terminate().await;
    fs::remove_dir_all(world.server.data_dir()).expect("the data can be removed");
    copy(&before, world.server.data_dir());
    world.server.restart().await;
    drop(profiles::register(&world.place.home().join("other"), &world.server.origin(), "bob").await);

    alice.shows("● connected").await;
    alice.line("Is it you?").await;
    alice.shows("SECURITY: the server shows keys for bob").await;
    alice.shows("Nothing is sent to bob").await;
    alice.escape("SECURITY: the server shows keys for bob").await;
    alice.shows("KEY CHANGED").await;
    alice.shows("The key of bob has changed: nothing is sent").await;
    // What is typed now is not even put aside to be sent: it stays where it is.
    alice.line("Nor will this go").await;
    alice.shows("Not sent: the key of bob has changed").await;
    alice.escape("Not sent: the key of bob has changed").await;
    alice.keys(&["F2"]).await;
    alice.shows("[k] decide about the new key").await;
    alice.keys(&["k"]).await;
    alice.shows("Believe the new key?").await;
    alice.keys(&["n"]).await;
    alice.shows_no("Believe the new key?").await;
    alice.shows_line_ending("you: Is it you? …").await;
    alice.keys(&["Enter"]).await;
    alice.escape("Not sent: the key of bob has changed").await;
    alice.shows("> Nor will this go").await;

    alice.keys(&["F2", "k"]).await;
    alice.shows("Believe the new key?").await;
    alice.keys(&["y"]).await;
    alice.shows_no("KEY CHANGED").await;
    assert!(!alice.screen().await.contains("verified"), "another key was compared with nothing");
    alice.shows_line_ending("you: Is it you? ✓").await;
    alice.keys(&["Enter"]).await;
    alice.shows_line_ending("you: Nor will this go ✓").await;
    let other = world.chat("other", "", "alice").await;
    other.shows("alice: Is it you?").await;
    other.shows("alice: Nor will this go").await;
    alice.shows_line_ending("you: Nor will this go ✓✓").await;
    assert!(
        !other.screen().await.contains("Between us"),
        "what was sent before the change is sealed for the key of before"
    );
}

#[tokio::test]
async fn a_device_that_was_added_is_told_of() {
    let world = World::of(&["alice"]).await;
    // The first and the second device of one account: no key may be in two uses there.
    profiles::with_keys(&world.place.home().join("bob"), 0);
    world.place.chat("bob", &["register", "bob", "--no-recovery-code"]).await;
    let alice = world.chat("alice", "", "bob").await;
    alice.line("To one device").await;
    alice.shows_line_ending("you: To one device ✓").await;

    profiles::with_keys(&world.place.home().join("tablet"), 1);
    let mut linking = world.place.command(&["--profile", "tablet", "--json", "link"]).spawn().expect("it runs");
    let mut said = BufReader::new(linking.stdout.take().expect("it is piped")).lines();
    let shown = said.next_line().await.expect("it can be read").expect("a code is shown");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let code = shown["code"].as_str().expect("a code");
    world.place.chat("bob", &["devices", "link", code, "--yes"]).await;
    assert!(linking.wait().await.expect("it ends").success());

    alice.line("To both").await;
    alice.shows("1 device was added").await;
    alice.shows_line_ending("you: To both ✓").await;
}
