//! What `sealwire-chat` says of a server that lies: a warning, and exit code 6.

use std::path::Path;
use std::process::{Output, Stdio};

use sealwire_tests::hostile::{Act, Forger, Side, World, shown};
use sealwire_tests::profiles::passphrase_file;
use sealwire_tests::server::binary;
use serde_json::json;
use tokio::process::Command;

const REFUSED: i32 = 4;
const SECURITY: i32 = 6;

async fn chat(world: &World, profile: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary("sealwire-chat"));
    let home = profile.parent().expect("profiles lie in a directory");
    command.arg("--server").arg(world.proxy.origin()).arg("--profile").arg(profile).args(arguments);
    command.env("SEALWIRE_PASSPHRASE_FILE", passphrase_file(home)).current_dir(home);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let Output { status, stderr, .. } = command.output().await.expect("sealwire-chat runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[tokio::test]
async fn keys_that_are_not_what_they_were_end_a_command_with_a_warning() {
    let world = World::start().await;
    let (alice, bob) = world.two().await;
    alice.delivers(&bob, "hello").await;
    let false_bob = Forger::new(&bob.name, bob.device, 12);
    let false_alice = Forger::new(&alice.name, alice.device, 12);
    let profile = alice.leaves().await;
    for (of, forger) in [("bob", false_bob), ("alice", false_alice)] {
        let manifest = forger.who.manifest_frame(&forger.who.first_manifest());
        let keys = shown(&forger.who, &[manifest], &[]);
        world.proxy.on(Side::Client, "keys", move |passing| {
            if passing.frame["username"] != of {
                return vec![Act::On(passing.frame.clone())];
            }
            let mut answer = keys.clone();
            answer["id"] = passing.frame["id"].clone();
            vec![Act::Back(answer)]
        });
        let (code, said) = chat(&world, &profile, &["safety", "bob"]).await;
        assert_eq!(code, Some(SECURITY), "{said}");
        assert!(said.contains("SECURITY WARNING") && said.contains("the server shows another key"), "{said}");
    }
}

#[tokio::test]
async fn a_server_under_another_address_is_not_logged_in_to() {
    let world = World::start().await;
    let profile = world.person("alice").await.leaves().await;
    world.proxy.on(Side::Server, "challenge", |passing| {
        let mut challenge = passing.frame.clone();
        challenge["origin"] = "wss://chat.example.org".into();
        vec![Act::On(challenge)]
    });
    let (code, said) = chat(&world, &profile, &["send", "bob", "hi"]).await;
    assert_eq!(code, Some(SECURITY), "{said}");
    assert!(said.contains("nothing was signed"), "{said}");
}

#[tokio::test]
async fn a_servers_words_do_not_steer_the_terminal() {
    let world = World::start().await;
    let (alice, _bob) = world.two().await;
    let profile = alice.leaves().await;
    world.proxy.on(Side::Client, "message", |passing| {
        let message = "\u{1b}[2Jall is well\u{202e}\u{7}\nalice: I owe you";
        let id = &passing.frame["messageId"];
        vec![Act::Back(json!({ "type": "error", "code": "mailbox_full", "message": message, "messageId": id }))]
    });
    let (code, said) = chat(&world, &profile, &["send", "bob", "hi"]).await;
    assert_eq!(code, Some(REFUSED), "{said}");
    assert!(said.contains("all is well"), "{said}");
    assert!(!said.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("alice:")), "{said:?}");
}
