//! A second device, from the code on its screen to the first message on both.

use std::time::Instant;

use sealwire_tests::Server;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::people::{Machine, ended};

/// `sealwire-chat link`, waiting for its code to be entered.
pub(crate) struct Linking {
    child: Child,
    pub(crate) code: String,
}

impl Linking {
    /// Begins on a machine; returns when the code is shown.
    pub(crate) async fn begin(machine: &Machine) -> Self {
        let mut child = machine.start(&["link", "--device-name", "lap\u{202e}top\u{1b}[2J", "--json"]);
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        out.read_line(&mut line).await.expect("its output can be read");
        let shown: Value = serde_json::from_str(&line).unwrap_or_else(|_| unreachable!("{line:?} is no JSON"));
        child.stdout = Some(out.into_inner());
        Self { child, code: shown["code"].as_str().expect("a code").to_owned() }
    }

    /// Waits until it is done; gives what it printed.
    pub(crate) async fn done(self) -> Value {
        let ended = ended(self.child).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.out).expect("JSON")
    }
}

/// A second device of whoever has `old`.
pub(crate) async fn linked(server: &Server, old: &Machine, n: usize, options: &[&str]) -> Machine {
    let new = Machine::with_keys(server, n);
    let linking = Linking::begin(&new).await;
    old.must(&[&["devices", "link", &linking.code, "--yes"], options].concat()).await;
    linking.done().await;
    new
}

#[tokio::test]
async fn a_second_device_reads_and_writes_like_the_first() {
    let server = Server::start().await;
    let (old, bob) = (Machine::registered(&server, "alice").await, Machine::registered(&server, "bob").await);
    old.must(&["send", "bob", "before"]).await;
    old.must(&["block", "carol"]).await;

    let new = Machine::with_keys(&server, 1);
    let linking = Linking::begin(&new).await;
    // The code is asked for where it is not given; a script says that it is meant so.
    let asked = old.run(&["devices", "link"], &format!("{}\n", linking.code)).await;
    assert_eq!(asked.code, Some(2), "{asked:?}");
    assert!(asked.err.contains("name  laptop[2J"), "{asked:?}");
    let approved = old.run(&["devices", "link", "--yes", "--json"], &format!("{}\n", linking.code)).await;
    assert_eq!(approved.code, Some(0), "{approved:?}");
    let (approved, done): (Value, _) = (serde_json::from_str(&approved.out).expect("JSON"), linking.done().await);
    assert_eq!((&done["name"], &done["device"]), (&Value::from("alice"), &approved["device"]));

    let profile = new.profile();
    assert!(profile.contact(&"carol".parse().expect("a name")).expect("it reads").blocked);
    assert!(profile.pin(&"bob".parse().expect("a name")).expect("it reads").is_some());
    assert!(profile.keys().expect("it reads").aik.is_none(), "the identity key was not given");
    drop(profile);

    assert_eq!(bob.must(&["listen", "--count", "1", "--timeout", "60"]).await.matches("before").count(), 1);
    bob.must(&["send", "alice", "to both of you"]).await;
    for machine in [&old, &new] {
        let heard = machine.must(&["listen", "--count", "1", "--timeout", "60"]).await;
        assert!(heard.contains("bob: to both of you"), "{heard}");
    }
    new.must(&["send", "bob", "from the second"]).await;
    let heard = bob.must(&["listen", "--count", "1", "--timeout", "60"]).await;
    assert!(heard.contains("alice: from the second"), "{heard}");
    let heard = old.json(&["listen", "--count", "1", "--timeout", "60"]).await;
    assert_eq!((&heard[0]["to"], &heard[0]["text"]), (&"bob".into(), &"from the second".into()), "its own word");

    let listed = new.json(&["devices"]).await;
    assert_eq!(listed.iter().filter(|device| device["this"] == true).count(), 1, "{listed:?}");
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn only_a_device_with_the_identity_key_lets_others_in() {
    let server = Server::start().await;
    let old = Machine::registered(&server, "alice").await;
    let without = linked(&server, &old, 1, &[]).await;
    let with = linked(&server, &old, 2, &["--with-identity"]).await;

    let third = Machine::with_keys(&server, 3);
    let linking = Linking::begin(&third).await;
    let refused = without.run(&["devices", "link", &linking.code, "--yes"], "").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("identity key"), "{refused:?}");
    with.must(&["devices", "link", &linking.code, "--yes"]).await;
    linking.done().await;
    assert_eq!(old.json(&["devices"]).await.len(), 4);
}

#[tokio::test]
async fn a_code_that_nobody_shows_links_nobody() {
    let server = Server::start().await;
    let old = Machine::registered(&server, "alice").await;
    for (code, words) in [("00000-00000-00000-00000-00000-0", "no device waits"), ("00000", "26 characters")] {
        let refused = old.run(&["devices", "link", code, "--yes"], "").await;
        assert_ne!(refused.code, Some(0));
        assert!(refused.err.contains(words), "{refused:?}");
    }
    assert_eq!(old.json(&["devices"]).await.len(), 1);
}

/// It makes keys.
mod heavy {
    use super::*;

    #[tokio::test]
    async fn a_second_device_is_ready_in_one_go() {
        let server = Server::start().await;
        let old = Machine::registered(&server, "alice").await;
        let new = Machine::new(&server);
        let start = Instant::now();
        let linking = Linking::begin(&new).await;
        let shown = start.elapsed();
        old.must(&["devices", "link", &linking.code, "--yes"]).await;
        linking.done().await;
        println!("keys made and code shown after {shown:.1?}, device ready after {:.1?}", start.elapsed());
        new.must(&["whoami"]).await;
    }
}
