//! Safety numbers: compared, marked, and a key that is another one than before.

use std::fs;
use std::path::Path;

use sealwire_tests::typist::Typist;
use sealwire_tests::{Server, Terminal, profiles};
use serde_json::{Value, json};

use crate::fields;

const USAGE: i32 = 2;
const SECURITY: i32 = 6;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a file can be copied");
    }
}

async fn number(terminal: &Terminal, name: &str, of: &str) -> Value {
    let mut printed = terminal.json(name, &["safety", of]).await;
    assert_eq!(fields(&printed[0]), ["fromServer", "name", "newSafetyNumber", "safetyNumber", "verified"]);
    printed.remove(0)
}

#[tokio::test]
async fn a_number_that_was_compared_is_marked_and_the_mark_can_be_taken_back() {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob"] {
        terminal.register(name).await;
    }
    let (code, words) = terminal.fails("alice", &["safety", "bob", "--verify"]).await;
    assert_eq!(code, Some(USAGE), "nobody can be asked here: {words}");
    assert!(words.contains("--yes"), "{words}");
    let seen = number(&terminal, "alice", "bob").await;
    assert_eq!((&seen["verified"], &seen["fromServer"]), (&json!(false), &json!(true)));
    assert_eq!(seen["safetyNumber"], number(&terminal, "bob", "alice").await["safetyNumber"]);

    let printed = terminal.json("alice", &["safety", "bob", "--verify", "--yes"]).await;
    assert_eq!((&printed[0]["verified"], &printed[0]["safetyNumber"]), (&json!(true), &seen["safetyNumber"]));
    assert_eq!(terminal.json("alice", &["contacts"]).await[0]["verified"], true);
    let printed = terminal.json("alice", &["safety", "bob", "--unverify"]).await;
    assert_eq!(printed[0]["verified"], false);
    assert_eq!(terminal.json("alice", &["contacts"]).await[0]["verified"], false);

    let (code, words) = terminal.fails("alice", &["safety", "bob", "--accept-change"]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("has not changed"), "{words}");
}

/// As a person does it, who is asked and answers.
#[tokio::test]
async fn whoever_is_asked_whether_the_numbers_are_equal_decides() {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob"] {
        terminal.register(name).await;
    }
    let of_bob = number(&terminal, "bob", "alice").await["safetyNumber"].as_str().expect("a number").to_owned();
    for (answer, code, verified) in [("", SECURITY, false), ("no", SECURITY, false), ("y", 0, true)] {
        let mut command = terminal.command(&["--profile", "alice", "safety", "bob", "--verify"]);
        let (mut person, child) = Typist::start(&mut command);
        let shown = person.sees("Are the two equal, in every digit?").await;
        assert!(shown.contains(&of_bob), "{shown}");
        person.types(answer);
        let output = child.wait_with_output().await.expect("a child can be waited for");
        assert_eq!(output.status.code(), Some(code), "{answer:?}");
        if code == SECURITY {
            person.sees("nothing was marked").await;
        }
        assert_eq!(number(&terminal, "alice", "bob").await["verified"], verified, "{answer:?}");
    }
}

/// The server's data go back to a time before Bob, and somebody else takes his name.
#[tokio::test]
async fn a_key_that_changed_stops_everything_until_it_is_accepted() {
    let mut server = Server::start().await;
    let terminal = Terminal::new(&server);
    terminal.register("alice").await;
    server.terminate().await;
    let before = terminal.home().join("before");
    copy(server.data_dir(), &before);
    server.restart().await;
    terminal.register("bob").await;
    let old = terminal.json("alice", &["safety", "bob", "--verify", "--yes"]).await.remove(0);
    terminal.chat("alice", &["send", "bob", "Between us"]).await;

    server.terminate().await;
    fs::remove_dir_all(server.data_dir()).expect("the data can be removed");
    copy(&before, server.data_dir());
    server.restart().await;
    drop(profiles::register(&terminal.home().join("other"), &server.origin(), "bob").await);
    let new = number(&terminal, "other", "alice").await;

    let output = terminal.run(&["--profile", "alice", "--json", "safety", "bob"]).await;
    assert_eq!(output.status.code(), Some(SECURITY));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("SECURITY WARNING") && said.contains("--accept-change"), "{said}");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!((&shown["safetyNumber"], &shown["newSafetyNumber"]), (&old["safetyNumber"], &new["safetyNumber"]));
    for command in [&["safety", "bob", "--verify", "--yes"][..], &["send", "bob", "Is it you?"]] {
        let (code, words) = terminal.fails("alice", command).await;
        assert_eq!(code, Some(SECURITY), "{command:?}: {words}");
    }
    assert_eq!(terminal.json("alice", &["contacts"]).await[0]["changedKey"], true);

    let accepted = terminal.json("alice", &["safety", "bob", "--accept-change"]).await.remove(0);
    assert_eq!((&accepted["safetyNumber"], &accepted["newSafetyNumber"]), (&new["safetyNumber"], &Value::Null));
    let contact = terminal.json("alice", &["contacts"]).await.remove(0);
    assert_eq!((&contact["changedKey"], &contact["verified"]), (&json!(false), &json!(false)));
    assert_eq!(number(&terminal, "alice", "bob").await["safetyNumber"], new["safetyNumber"]);
    assert_eq!(terminal.chat("alice", &["send", "bob", "Hello, new one"]).await, "queued");
    let heard = terminal.json("other", &["listen", "--count", "1", "--timeout", "60"]).await;
    assert_eq!(heard[0]["text"], "Hello, new one");
}
