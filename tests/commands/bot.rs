//! A program that answers: the README's own lines, and what becomes of a message when the program or the bot fails.

use std::fs;
use std::process::Stdio;

use sealwire_tests::server::binary;
use sealwire_tests::{Server, Terminal, profiles};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::fields;

/// The lines of the README's bot.
fn readme_lines() -> &'static str {
    let readme = include_str!("../../README.md");
    let section = readme.split("## A bot in ten lines\n").nth(1).expect("the README has a bot");
    section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the bot is a block of shell")
}

async fn two_people() -> (Server, Terminal) {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "parrot"] {
        terminal.register(name).await;
    }
    (server, terminal)
}

async fn hear(terminal: &Terminal, name: &str) -> String {
    let heard = terminal.json(name, &["listen", "--count", "1", "--timeout", "60"]).await;
    heard[0]["text"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn the_readme_s_bot_has_ten_lines_and_answers() {
    let (server, terminal) = two_people().await;
    let lines = readme_lines();
    assert!(lines.lines().count() <= 10, "{lines}");
    let chat =
        format!("chat() {{ exec '{}' --server {} \"$@\"; }}\n", binary("sealwire-chat").display(), server.origin());
    let mut bot = Command::new("bash");
    bot.arg("-c").arg(chat + lines).current_dir(terminal.home()).kill_on_drop(true);
    bot.env("SEALWIRE_PASSPHRASE_FILE", profiles::passphrase_file(terminal.home()));
    let mut bot = bot.stdin(Stdio::null()).spawn().expect("bash runs");
    for (said, answer) in [
        ("help", "I know time and help; the rest I say back."),
        ("Polly & \"co\" $HOME", "alice, you said: Polly & \"co\" $HOME"),
    ] {
        terminal.chat("alice", &["send", "parrot", said]).await;
        assert_eq!(hear(&terminal, "alice").await, answer);
    }
    terminal.chat("alice", &["send", "parrot", "time"]).await;
    assert!(hear(&terminal, "alice").await.contains("UTC"), "the answer of `date -u`");
    bot.kill().await.expect("it still runs");
}

#[tokio::test]
async fn a_bot_says_what_it_did_in_json() {
    let (_server, terminal) = two_people().await;
    for text in ["say nothing", "one\ntwo"] {
        terminal.chat("alice", &["send", "parrot", text]).await;
    }
    let program = r#"read -r first; case $first in "say nothing") ;; *) echo "$first by $SEALWIRE_FROM, $SEALWIRE_REQUEST"; cat ;; esac"#;
    let printed = terminal.json("parrot", &["bot", "--count", "2", "--", "sh", "-c", program]).await;
    let (said, statuses): (Vec<&Value>, Vec<&Value>) = printed.iter().partition(|object| object["status"].is_null());
    for object in &said {
        assert_eq!(fields(object), ["answer", "answerId", "failure", "from", "messageId", "text", "timestamp"]);
    }
    let told = |object: &Value| [object["text"].clone(), object["answer"].clone()];
    assert_eq!(told(said[0]), [json!("say nothing"), Value::Null]);
    assert_eq!(told(said[1]), [json!("one\ntwo"), json!("one by alice, 1\ntwo")]);
    assert_eq!(statuses.len(), 1, "{printed:?}");
    assert_eq!(*statuses[0], json!({ "answerId": said[1]["answerId"], "status": "queued" }));
    assert_eq!(hear(&terminal, "alice").await, "one by alice, 1\ntwo");
}

#[tokio::test]
async fn a_message_comes_again_when_the_program_fails_or_the_bot_is_killed() {
    let (_server, terminal) = two_people().await;
    terminal.chat("alice", &["send", "parrot", "hello"]).await;
    let bot = async |program: &str| {
        terminal.run(&["--profile", "parrot", "--json", "bot", "--count", "1", "--", "sh", "-c", program]).await
    };
    let output = bot("exit 3").await;
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    let object: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(object["failure"].as_str().is_some_and(|failure| failure.contains('3')), "{object}");

    // The worst moment: it is killed while the program thinks.
    let output = bot("kill -9 $PPID").await;
    assert!(output.status.code().is_none() && output.stdout.is_empty(), "{output:?}");
    let output = bot("cat").await;
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    assert_eq!(hear(&terminal, "alice").await, "hello");
    // Answered once: nothing is left for another round.
    let (code, _) = terminal.fails("parrot", &["listen", "--count", "1", "--timeout", "1"]).await;
    assert_eq!(code, Some(5));

    let (code, words) = terminal.fails("parrot", &["bot"]).await;
    assert_eq!(code, Some(2), "{words}");
    terminal.chat("alice", &["send", "parrot", "more"]).await;
    let (code, words) = terminal.fails("parrot", &["bot", "--", "./no-such-program"]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("cannot run ./no-such-program"), "{words}");
    fs::write(terminal.home().join("slow.sh"), "exec sleep 600\n").expect("a file can be written");
    let output = terminal
        .run(&["--profile", "parrot", "--json", "bot", "--count", "1", "--patience", "0.5", "--", "sh", "slow.sh"])
        .await;
    let object: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(object["failure"].as_str().is_some_and(|failure| failure.contains("took longer")), "{object}");
}
