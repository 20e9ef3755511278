//! `--json` everywhere: one object for each line, and no field that `--help` does not name.

use sealwire_tests::{Server, Terminal, terminal};
use serde_json::Value;

use crate::fields;

/// Whether a help names a field in its paragraph on JSON.
fn names(help: &str, field: &str) -> bool {
    let json = help.split("With --json").nth(1).unwrap_or_default();
    json.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == field)
}

async fn help(terminal: &Terminal, command: &str) -> String {
    terminal::text(&terminal.run(&[command, "--help"]).await)
}

/// Runs a command of Bob's; each of its objects has these fields, all of which its help names.
async fn check(terminal: &Terminal, command: &[&str], expected: &[&str]) -> Vec<Value> {
    let help = help(terminal, command[0]).await;
    let objects = terminal.json("bob", command).await;
    assert!(!objects.is_empty(), "{command:?} printed nothing");
    for object in &objects {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(fields(object), expected, "{command:?}");
        let unnamed: Vec<_> = expected.iter().filter(|field| !names(&help, field)).collect();
        assert!(unnamed.is_empty(), "`{} --help` does not name {unnamed:?}: {help}", command[0]);
    }
    objects
}

#[tokio::test]
async fn every_field_of_every_command_is_in_its_help() {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob"] {
        terminal.register(name).await;
    }
    let sent = check(&terminal, &["send", "alice", "hi"], &["to", "messageId", "status"]).await;
    assert_eq!(sent[0]["status"], "queued");
    let who = check(&terminal, &["whoami"], &["name", "device", "identity", "server", "profile", "outbox"]).await;
    assert_eq!((who[0]["name"].as_str(), who[0]["outbox"].as_u64()), (Some("bob"), Some(0)));
    for text in ["one", "two"] {
        terminal.chat("alice", &["send", "bob", text]).await;
    }
    let message = [
        "from",
        "fromDevice",
        "to",
        "messageId",
        "counter",
        "timestamp",
        "text",
        "fromRemovedDevice",
        "request",
        "muted",
    ];
    check(&terminal, &["listen", "--count", "1", "--timeout", "60"], &message).await;
    let entry = ["peer", "from", "own", "fromDevice", "messageId", "timestamp", "state", "text", "fromRemovedDevice"];
    check(&terminal, &["history", "alice"], &entry).await;
    let contact = ["name", "verified", "blocked", "muted", "request", "changedKey"];
    check(&terminal, &["contacts"], &contact).await;
    check(&terminal, &["export", "all.jsonl"], &["file", "messages"]).await;
    check(&terminal, &["import", "all.jsonl"], &["added", "known"]).await;
    let safety = ["name", "safetyNumber", "newSafetyNumber", "fromServer", "verified"];
    check(&terminal, &["safety", "alice"], &safety).await;
    check(&terminal, &["doctor"], &["step", "verdict", "said", "advice"]).await;
    let answered = ["from", "messageId", "timestamp", "text", "answer", "answerId", "failure"];
    check(&terminal, &["bot", "--count", "1", "--", "true"], &answered).await;
    for command in ["history", "block", "unblock"] {
        assert!(help(&terminal, command).await.contains("fields of `contacts`"), "{command}");
    }

    // What is refused has a reason; and JSON is JSON also where somebody else's words stand in it.
    let help = help(&terminal, "send").await;
    let output = terminal.run(&["--profile", "bob", "--json", "send", "nobody.here", "hi"]).await;
    assert_eq!(output.status.code(), Some(4));
    let refused: Value = serde_json::from_str(&terminal::text(&output)).expect("an object");
    assert_eq!(fields(&refused), ["messageId", "reason", "status", "to"]);
    assert!(names(&help, "reason"), "{help}");
}
