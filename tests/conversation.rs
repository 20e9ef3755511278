//! `sealwire-chat` as a person or a script uses it: the README's first conversation, its exit codes, and a long backlog.

use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use sealwire_tests::profiles::{self, passphrase_file};
use sealwire_tests::server::{NO_LIMITS, binary};
use sealwire_tests::typist::Typist;
use sealwire_tests::{Server, Terminal, terminal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// Exit codes of `sealwire-chat` (`--help`).
const USAGE: i32 = 2;
const NO_CONNECTION: i32 = 3;
const REFUSED: i32 = 4;
const TIMED_OUT: i32 = 5;

/// The commands of the README's first conversation, word by word, in order.
fn readme_commands() -> Vec<Vec<String>> {
    let readme = include_str!("../README.md");
    let section = readme.split("## A first conversation").nth(1).and_then(|rest| rest.split("\n## ").next());
    let lines = section.expect("the README has a first conversation").lines();
    lines.filter_map(|line| line.strip_prefix("chat ")).map(words).collect()
}

/// Splits a command line; quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    let parts = quoted.flat_map(|(i, part)| match i % 2 {
        1 => vec![part.to_owned()],
        _ => part.split_whitespace().map(str::to_owned).collect(),
    });
    parts.collect()
}

/// Registers as a person does: writes the recovery code down, and types it when it is asked back.
async fn register_by_hand(mut command: Command) -> Output {
    let (mut person, child) = Typist::start(&mut command);
    person.sees("This is the recovery code").await;
    let shown = person.sees("Press Enter").await;
    let code = shown.split_whitespace().find(|word| word.matches('-').count() == 5).expect("a code is shown");
    person.types("");
    person.sees("Type the code").await;
    person.types(code);
    person.sees("That is the code").await;
    child.wait_with_output().await.expect("a child can be waited for")
}

#[tokio::test]
async fn the_readme_s_first_conversation_happens_as_it_says() {
    let server = Server::start().await;
    let people = Terminal::new(&server);
    let mut listening = None;
    let mut said = Vec::new();
    for command in readme_commands() {
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        if arguments.ends_with(&["listen"]) {
            // It goes on in a terminal of its own.
            listening = Some(people.command(&arguments).spawn().expect("sealwire-chat runs"));
            continue;
        }
        if arguments.contains(&"safety")
            && let Some(mut child) = listening.take()
        {
            child.kill().await.expect("it can be ended");
        }
        let output = match arguments.contains(&"register") {
            true => register_by_hand(people.command(&arguments)).await,
            false => people.run(&arguments).await,
        };
        assert!(output.status.success(), "{arguments:?}: {}", output.stderr.escape_ascii());
        said.push(terminal::text(&output));
    }
    let [_, _, queued, heard, delivered, alices_view, bobs_view] = &said[..] else {
        unreachable!("the README has other commands than this test knows: {said:?}")
    };
    assert_eq!(queued, "queued");
    assert!(heard.ends_with("alice (a stranger): Are you there?"), "{heard}");
    // Bob's terminal may not have been connected yet when Alice wrote.
    assert!(["queued", "delivered"].contains(&delivered.as_str()), "{delivered}");
    assert_eq!(alices_view, bobs_view);
    assert_eq!(alices_view.split(' ').count(), 12);
}

#[tokio::test]
async fn a_long_backlog_comes_whole_and_in_order_and_statuses_come_for_each_line() {
    let server = Server::with(NO_LIMITS).start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob"] {
        terminal.chat(name, &["register", name, "--no-recovery-code"]).await;
    }
    let lines: Vec<String> = (0..200).map(|n| format!("line {n}")).collect();
    assert_eq!(terminal.send_lines("alice", "bob", &lines).await, vec!["queued"; 200]);
    let heard = terminal.chat("bob", &["listen", "--json", "--count", "200", "--timeout", "120"]).await;
    let texts: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let texts: Vec<&str> = texts.iter().map(|message| message["text"].as_str().expect("a text")).collect();
    assert_eq!(texts, lines);
    // Each once: there is no two hundred and first.
    let (code, _) = terminal.fails("bob", &["listen", "--count", "1", "--timeout", "1"]).await;
    assert_eq!(code, Some(TIMED_OUT));
}

#[tokio::test]
async fn exit_codes_say_what_went_wrong_and_nothing_that_was_typed_is_lost() {
    let mut server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob"] {
        terminal.chat(name, &["register", name, "--no-recovery-code"]).await;
    }
    assert_eq!(terminal.fails("alice", &["send"]).await.0, Some(USAGE));
    assert_eq!(terminal.fails("alice", &["send", "nobody.here", "hi"]).await.0, Some(REFUSED));
    let (code, words) = terminal.fails("carl", &["register", "admin", "--no-recovery-code"]).await;
    assert_eq!(code, Some(REFUSED), "{words}");
    let (code, words) = terminal.fails("carl", &["register", "alice", "--no-recovery-code"]).await;
    assert_eq!(code, Some(REFUSED), "{words}");

    server.kill().await;
    let (code, words) = terminal.fails("carl", &["register", "carl", "--no-recovery-code", "--timeout", "1"]).await;
    assert!([Some(NO_CONNECTION), Some(USAGE)].contains(&code), "{code:?}: {words}");
    let (code, words) = terminal.fails("alice", &["send", "bob", "kept for later", "--timeout", "1"]).await;
    assert_eq!(code, Some(TIMED_OUT), "{words}");
    server.restart().await;
    // The message lies in the outbox, and goes in front of the next one.
    terminal.chat("alice", &["send", "bob", "and this"]).await;
    let heard = terminal.chat("bob", &["listen", "--count", "2", "--timeout", "60"]).await;
    let texts: Vec<&str> =
        heard.lines().filter_map(|line| line.split_once("alice (a stranger): ").map(|(_, text)| text)).collect();
    assert_eq!(texts, ["kept for later", "and this"]);
}

#[tokio::test]
async fn a_message_cannot_give_orders_to_a_terminal() {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    for name in ["alice", "bob"] {
        terminal.chat(name, &["register", name, "--no-recovery-code"]).await;
    }
    terminal.chat("alice", &["send", "bob", "\u{1b}[2Jgone\u{7}\u{9b}31m\u{202e}"]).await;
    let heard = terminal.chat("bob", &["listen", "--count", "1", "--timeout", "60"]).await;
    assert!(heard.contains("gone"), "{heard:?}");
    assert!(!heard.chars().any(|c| c.is_control() || c == '\u{202e}'), "{heard:?}");
}

#[tokio::test]
async fn a_profile_opens_with_its_passphrase_only() {
    let home = TempDir::new().expect("a directory");
    let profile = home.path().join("alice");
    drop(profiles::open(&profile));
    let run = async |file: Option<&str>| {
        let mut command = Command::new(binary("sealwire-chat"));
        command.arg("--profile").arg(&profile).arg("whoami").current_dir(home.path());
        // No keyring, and no terminal to ask on.
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere").env_remove("SEALWIRE_PASSPHRASE_FILE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.args(file.map(|file| format!("--passphrase-file={file}")));
        let output = command.output().await.expect("sealwire-chat runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let right = passphrase_file(home.path());
    let others = home.path().join("others");
    std::fs::write(&others, "another passphrase\n").expect("a file can be written");
    let mode = |mode| std::fs::set_permissions(&others, PermissionsExt::from_mode(mode)).expect("a mode can be set");

    mode(0o644);
    for (file, words) in
        [(None, "--passphrase-file"), (Some("others"), "chmod"), (Some("nowhere"), "nowhere"), (Some("."), "cannot")]
    {
        let (code, said) = run(file).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
    mode(0o600);
    let (code, said) = run(Some("others")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("passphrase is wrong"), "{said}");
    let (_, said) = run(right.to_str()).await;
    assert!(said.contains("no account yet"), "it was opened: {said}");
}
