//! Conversations, decisions about people, histories in files, passphrases: what needs no server once it is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sealwire_tests::{Server, Terminal};
use serde_json::{Value, json};

use crate::fields;

const CONTACT: [&str; 6] = ["blocked", "changedKey", "muted", "name", "request", "verified"];
const MESSAGE: [&str; 9] =
    ["from", "fromDevice", "fromRemovedDevice", "messageId", "own", "peer", "state", "text", "timestamp"];

const HEARD: [&str; 10] =
    ["counter", "from", "fromDevice", "fromRemovedDevice", "messageId", "muted", "request", "text", "timestamp", "to"];

/// Alice and Bob, who said a few words; Bob has heard the first only.
async fn conversation() -> (Server, Terminal) {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob"] {
        terminal.register(name).await;
    }
    terminal.chat("alice", &["send", "bob", "One kaleidoscope"]).await;
    terminal.chat("bob", &["listen", "--count", "1", "--timeout", "60"]).await;
    terminal.chat("bob", &["send", "alice", "Two of them?"]).await;
    terminal.chat("alice", &["send", "bob", "No, three: \u{1b}[2J"]).await;
    terminal.chat("bob", &["send", "alice", "Thanks"]).await;
    // It arrives while something else is done, and is not shown.
    while terminal.json("bob", &["history", "alice"]).await.len() < 4 {
        terminal.chat("bob", &["safety", "alice"]).await;
    }
    (server, terminal)
}

fn texts(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["text"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn a_history_is_read_in_pages_searched_and_listed_and_stays_unread() {
    let (mut server, terminal) = conversation().await;
    server.kill().await;
    for _ in 0..2 {
        let list = terminal.json("bob", &["history"]).await;
        let [alice] = &list[..] else { unreachable!("one conversation: {list:?}") };
        let with_all = [&CONTACT[..], &["last", "unread"]].concat();
        let mut expected = with_all.clone();
        expected.sort_unstable();
        assert_eq!(fields(alice), expected);
        assert_eq!(fields(&alice["last"]), MESSAGE);
        assert_eq!((&alice["name"], &alice["unread"], &alice["request"]), (&json!("alice"), &json!(1), &json!(false)));
        assert_eq!(alice["last"]["text"], "Thanks");
    }
    let all = terminal.json("bob", &["history", "alice"]).await;
    assert_eq!(texts(&all), ["One kaleidoscope", "Two of them?", "No, three: \u{1b}[2J", "Thanks"]);
    assert_eq!(fields(&all[0]), MESSAGE);
    assert_eq!((&all[0]["state"], &all[0]["own"]), (&json!("received"), &json!(false)));
    assert_eq!((&all[3]["state"], &all[3]["own"]), (&json!("queued"), &json!(true)));

    let last = terminal.json("bob", &["history", "alice", "--limit", "2"]).await;
    assert_eq!(last, all[2..]);
    let id = last[0]["messageId"].as_str().expect("an id");
    assert_eq!(terminal.json("bob", &["history", "alice", "--before", id, "--limit", "1"]).await, all[1..2]);
    let (code, words) = terminal.fails("bob", &["history", "carl", "--before", id]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("no message"), "{words}");

    assert_eq!(texts(&terminal.json("bob", &["history", "--search", "KALEIDO"]).await), ["One kaleidoscope"]);
    assert!(terminal.json("bob", &["history", "carl", "--search", "KALEIDO"]).await.is_empty());

    // For a person: nothing that was written steers the terminal, and the way to what was before is told.
    let output = terminal.run(&["--profile", "bob", "history", "alice", "--limit", "2"]).await;
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(printed.contains("alice: No, three: \\u{1b}[2J\n"), "{printed}");
    assert!(printed.contains("bob (queued): Thanks"), "{printed}");
    let hint = String::from_utf8(output.stderr).expect("text");
    assert!(hint.contains(&format!("--before {id}")), "{hint}");
    let list = terminal.chat("bob", &["history"]).await;
    assert!(list.starts_with("alice") && list.contains("1 unread") && list.ends_with("bob (queued): Thanks"), "{list}");
}

#[tokio::test]
async fn decisions_about_people_are_kept_and_shown() {
    let mut server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob", "carl"] {
        terminal.register(name).await;
    }
    for name in ["alice", "carl"] {
        terminal.chat(name, &["send", "bob", "Hello, stranger"]).await;
    }
    let heard = terminal.json("bob", &["listen", "--count", "2", "--timeout", "60"]).await;
    for message in &heard {
        assert_eq!(fields(message), HEARD);
        assert_eq!((&message["request"], &message["muted"]), (&json!(true), &json!(false)));
    }

    let contacts = terminal.json("bob", &["contacts"]).await;
    assert_eq!(contacts.iter().map(|contact| &contact["name"]).collect::<Vec<_>>(), ["alice", "carl"]);
    for contact in &contacts {
        assert_eq!(fields(contact), CONTACT);
        assert_eq!(contact["request"], true);
    }
    let decided = async |command: &[&str], field: &str, becomes: bool| {
        let contact = terminal.json("bob", command).await.pop().expect("the contact");
        assert_eq!((fields(&contact), &contact[field]), (CONTACT.to_vec(), &json!(becomes)), "{command:?}");
        let listed = terminal.json("bob", &["contacts"]).await;
        assert!(listed.contains(&contact), "{command:?}: {listed:?}");
    };
    decided(&["contacts", "accept", "alice"], "request", false).await;
    decided(&["contacts", "mute", "alice"], "muted", true).await;
    assert_eq!(terminal.chat("bob", &["contacts"]).await, "alice  muted\ncarl  request");
    terminal.chat("alice", &["send", "bob", "Psst"]).await;
    let heard = terminal.json("bob", &["listen", "--count", "1", "--timeout", "60"]).await;
    assert_eq!((&heard[0]["request"], &heard[0]["muted"]), (&json!(false), &json!(true)));
    decided(&["contacts", "unmute", "alice"], "muted", false).await;

    decided(&["block", "carl"], "blocked", true).await;
    terminal.chat("carl", &["send", "bob", "Do you hear me?"]).await;
    terminal.chat("alice", &["send", "bob", "I do"]).await;
    let heard = terminal.chat("bob", &["listen", "--count", "1", "--timeout", "60"]).await;
    assert!(heard.ends_with("alice: I do"), "{heard}");
    decided(&["unblock", "carl"], "blocked", false).await;
    assert_eq!(texts(&terminal.json("bob", &["history", "carl"]).await), ["Hello, stranger"], "the other is lost");

    // Nothing is sent to somebody who is blocked, and what waited for them is given up.
    server.kill().await;
    let (code, words) = terminal.fails("bob", &["send", "carl", "Hello?", "--timeout", "1"]).await;
    assert_eq!(code, Some(5), "{words}");
    decided(&["block", "carl"], "blocked", true).await;
    assert_eq!(terminal.json("bob", &["history", "carl", "--limit", "1"]).await[0]["state"], "failed");
    assert_eq!(terminal.json("bob", &["whoami"]).await[0]["outbox"], 0);

    let (code, words) = terminal.fails("bob", &["block", "bob"]).await;
    assert_eq!(code, Some(1), "{words}");
}

#[tokio::test]
async fn a_history_goes_into_a_file_for_its_owner_only_and_comes_back() {
    let (mut server, terminal) = conversation().await;
    server.kill().await;
    let exported = terminal.json("bob", &["export"]).await;
    assert_eq!(exported, [json!({ "file": "sealwire-bob.jsonl", "messages": 4 })]);
    let path = terminal.home().join("sealwire-bob.jsonl");
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let lines = fs::read_to_string(&path).expect("text");
    assert!(lines.contains("One kaleidoscope"), "it is in plain");

    // What is there is never written over, and the export to standard output is the same.
    let output = terminal.run(&["--profile", "bob", "export", "sealwire-bob.jsonl"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not overwritten"));
    assert_eq!(fs::read_to_string(&path).expect("text"), lines);
    let output = terminal.run(&["--profile", "bob", "export", "-"]).await;
    assert_eq!(String::from_utf8(output.stdout).expect("text"), lines);
    assert!(String::from_utf8_lossy(&output.stderr).contains("NOT encrypted"));

    let imported = terminal.json("bob", &["import", "sealwire-bob.jsonl"]).await;
    assert_eq!(imported, [json!({ "added": 0, "known": 4 })]);
    let cut = terminal.home().join("cut.jsonl");
    fs::write(&cut, &lines[..lines.len() - 20]).expect("a file can be written");
    for (file, reason) in [("cut.jsonl", "line 5"), ("nowhere", "cannot read"), ("passphrase", "no history file")] {
        let (code, words) = terminal.fails("bob", &["import", file]).await;
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains(reason), "{reason}: {words}");
    }
    let (code, words) = terminal.fails("alice", &["import", "sealwire-bob.jsonl"]).await;
    assert_eq!(code, Some(1), "{words}");
}

#[tokio::test]
async fn a_passphrase_is_changed_and_the_old_one_opens_nothing() {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    terminal.register("alice").await;
    let new = terminal.home().join("new");
    let write = |words: &str| {
        fs::write(&new, words).expect("a file can be written");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
    };
    write("short\n");
    let (code, words) = terminal.fails("alice", &["passphrase", "--new-passphrase-file", "new"]).await;
    assert_eq!(code, Some(1), "{words}");
    let (code, words) = terminal.fails("alice", &["passphrase"]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("--new-passphrase-file"), "{words}");
    terminal.chat("alice", &["whoami"]).await;

    write("another battery, another staple\n");
    let changed = terminal.json("alice", &["passphrase", "--new-passphrase-file", "new"]).await;
    assert_eq!(changed, [json!({ "profile": "alice", "lockedBy": "passphrase" })]);
    let (code, words) = terminal.fails("alice", &["whoami"]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("passphrase is wrong"), "{words}");
    terminal.chat("alice", &["whoami", "--passphrase-file", "new"]).await;
}
