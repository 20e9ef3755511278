//! The canary: after a conversation of known words by real clients, neither the server's memory, nor its data, nor its
//! logs hold a word of it or a private key. The same search does find them in a client, and the ciphertext in the server.

#![expect(clippy::panic, reason = "a test: it fails by panicking")]

#[path = "canary/scan.rs"]
mod scan;
#[path = "canary/secrets.rs"]
mod secrets;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sealwire_tests::server::{NO_LIMITS, binary};
use sealwire_tests::{Server, profiles};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::secrets::Secret;

/// What people say; every word of eight letters or more is looked for.
const WORDS: [&str; 5] = [
    "Quillfeather marzipanwolke, says the kaleidoscopic herring",
    "Zwischenraumtaste? I prefer an Ostseemuschel with butterscotch",
    "The velociraptor hides behind Schnurrbarttasse number seventeen",
    "Pfefferkuchenmann and gingersnapdragon dance a tarantella",
    "Moonlit xylophonists guard our Brombeerhecke tonight",
];

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() >= 8)
}

/// A person with `sealwire-chat` and a profile.
struct Person {
    name: &'static str,
    profile: PathBuf,
    passphrase_file: PathBuf,
    server: String,
}

impl Person {
    fn new(name: &'static str, server: &Server, home: &Path) -> Self {
        let passphrase_file = profiles::passphrase_file(home);
        Self { name, profile: home.join(name), passphrase_file, server: server.origin() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("sealwire-chat"));
        command.args(["--server", &self.server, "--profile"]).arg(&self.profile).args(arguments);
        command.env("SEALWIRE_PASSPHRASE_FILE", &self.passphrase_file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a command to its end; gives what it printed.
    async fn chat(&self, arguments: &[&str]) -> String {
        finished(self.start(arguments)).await
    }

    /// Starts a command that goes on.
    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("sealwire-chat runs")
    }

    async fn send(&self, to: &str, text: &str) -> String {
        self.chat(&["send", to, text]).await
    }

    /// The secrets of its private keys. No command may be running on the profile.
    fn keys(&self) -> Vec<Secret> {
        let keys = profiles::open(&self.profile).keys().expect("it has keys");
        let aik = keys.aik.as_ref().expect("the account's first device has its identity key");
        let pkcs8 = [("identity", aik.to_pkcs8()), ("signing", keys.dsk.to_pkcs8()), ("wrap", keys.dwk.to_pkcs8())];
        pkcs8.iter().flat_map(|(key, pkcs8)| secrets::of_key(&format!("{}'s {key} key", self.name), pkcs8)).collect()
    }
}

/// Waits for a command to end well; gives what it printed.
async fn finished(child: Child) -> String {
    let output = child.wait_with_output().await.expect("a child can be waited for");
    assert!(output.status.success(), "{}: {}", output.status, output.stderr.escape_ascii());
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// A stretch from the middle of a message's ciphertext, as frames carry it.
fn ciphertext(message: &Value) -> Vec<Secret> {
    let text = message["encryptedMessage"].as_str().expect("Base64");
    vec![Secret { name: "ciphertext".to_owned(), bytes: text.as_bytes()[100..180].to_vec() }]
}

/// What the server left behind at the end of the conversation, and what was in one of its clients.
struct Traces {
    server: Vec<u8>,
    data: Vec<u8>,
    /// A backup of the data.
    dump: Vec<u8>,
    log: Vec<u8>,
    client: Vec<u8>,
    /// In flight, with the server's two clients connected.
    in_flight: Value,
    stored: Value,
}

/// A conversation in which messages are handed over, stored, and in flight. Carol takes hers and does not acknowledge it;
/// Dave stays away.
async fn converse(server: &Server, alice: &Person, bob: &Person) -> Traces {
    let mut carol = server.register("carol").await;
    let mut dave = server.register("dave").await;
    dave.close().await;

    assert_eq!(alice.send("bob", WORDS[0]).await, "queued");
    assert!(bob.chat(&["listen", "--count", "1"]).await.contains(WORDS[0]));
    assert_eq!(bob.send("alice", WORDS[1]).await, "queued");
    assert!(alice.chat(&["listen", "--count", "1"]).await.contains(WORDS[1]));

    let mut listening = bob.start(&["listen"]);
    let mut heard = BufReader::new(listening.stdout.take().expect("it is piped")).lines();
    alice.send("bob", WORDS[2]).await;
    let line = heard.next_line().await.expect("its output can be read").expect("it goes on");
    assert!(line.contains(WORDS[2]), "{line}");

    assert_eq!(alice.send("dave", WORDS[3]).await, "queued");
    let sending = alice.start(&["send", "carol", WORDS[4], "--timeout", "3600"]);
    let in_flight = carol.next_message().await;
    let (server_pid, client_pid) = (server.pid(), listening.id().expect("it listens"));
    let (image, client) = (scan::core_of(server_pid), scan::core_of(client_pid));
    let (data, log) = (scan::data_of(server), std::fs::read(server.log_file()).expect("the log can be read"));

    let dump = dump_of(server).await;

    carol.ack(in_flight["seq"].as_u64().expect("a number")).await;
    assert_eq!(finished(sending).await, "delivered");
    let stored = server.log_in(&dave.who).await.next_message().await;
    Traces { server: image, data, dump, log, client, in_flight, stored }
}

async fn dump_of(server: &Server) -> Vec<u8> {
    let home = TempDir::new().expect("a directory");
    let file = home.path().join("dump");
    let mut backup = Command::new(binary("sealwire"));
    backup.args(["admin", "backup", "--data-dir"]).arg(server.data_dir()).arg(&file);
    backup.stdout(Stdio::piped()).stderr(Stdio::piped());
    finished(backup.spawn().expect("the server's binary runs")).await;
    std::fs::read(file).expect("the backup can be read")
}

/// It makes keys, and images of processes.
mod heavy {
    use super::*;

    #[tokio::test]
    async fn the_server_holds_neither_a_word_nor_a_private_key() {
        let settings = [("SEALWIRE_LOG_LEVEL", "trace"), ("SEALWIRE_TIMING_HAND_OVER", "1h")];
        let server = Server::with(NO_LIMITS.iter().chain(&settings)).start().await;
        let home = TempDir::new().expect("a directory");
        let [alice, bob] = ["alice", "bob"].map(|name| Person::new(name, &server, home.path()));
        tokio::join!(
            alice.chat(&["register", "alice", "--no-recovery-code"]),
            bob.chat(&["register", "bob", "--no-recovery-code"])
        );
        let words: Vec<Secret> = WORDS.iter().flat_map(|text| words_of(text)).flat_map(secrets::of_word).collect();
        let (alices, bobs) = (alice.keys(), bob.keys());
        let traces = converse(&server, &alice, &bob).await;

        let all = [words, alices, bobs.clone()].concat();
        for (place, bytes) in
            [("memory", &traces.server), ("data", &traces.data), ("backup", &traces.dump), ("log", &traces.log)]
        {
            let found = scan::find(&all, bytes);
            assert!(found.is_empty(), "in the server's {place}, {} bytes: {found:?}", bytes.len());
        }

        let names = ["alice", "carol"].map(|name| Secret { name: name.to_owned(), bytes: name.into() });
        let found = scan::find(&names, &traces.log);
        assert!(found.is_empty(), "no level of the log says who people are: {found:?}");

        // The search finds what is there.
        assert!(!scan::find(&ciphertext(&traces.in_flight), &traces.server).is_empty(), "the ciphertext in flight");
        assert!(!scan::find(&ciphertext(&traces.stored), &traces.data).is_empty(), "the ciphertext that is stored");
        assert!(!scan::find(&ciphertext(&traces.stored), &traces.dump).is_empty(), "and in the backup");
        assert!(traces.log.windows(5).any(|word| word == b"TRACE"), "the log is at trace level");
        let in_client = scan::find(&all, &traces.client);
        let received: Vec<_> =
            words_of(WORDS[2]).filter(|word| in_client.contains_key(&format!("the word {word}"))).collect();
        assert!(!received.is_empty(), "words in the client that has received them: {in_client:?}");
        assert!(bobs.iter().any(|secret| in_client.contains_key(&secret.name)), "keys in the client that uses them");
        println!(
            "searched for {} strings: {} MiB of memory, {} KiB of data, {} KiB of log; in the client: {in_client:?}",
            all.len(),
            traces.server.len() >> 20,
            traces.data.len() >> 10,
            traces.log.len() >> 10,
        );
    }
}
