//! The recovery code: where it goes, and that a new one replaces it.

use sealwire_client::Client;
use sealwire_client::enrol::{recovery_code, renew_backup};
use sealwire_tests::Server;
use sealwire_tests::stranger::PATIENCE;

use crate::people::Machine;

const USAGE: i32 = 2;

#[tokio::test]
async fn without_a_place_for_the_recovery_code_nothing_is_made() {
    let server = Server::start().await;
    let machine = Machine::new(&server);
    let refused = machine.run(&["register", "alice"], "").await;
    assert_eq!(refused.code, Some(USAGE), "{refused:?}");
    assert!(refused.err.contains("--recovery-code-file") && refused.err.contains("--no-recovery-code"), "{refused:?}");
    assert!(!machine.path("profile").exists());

    std::fs::write(machine.path("code"), "shopping list").expect("a file can be written");
    let refused = machine.run(&["register", "alice", "--recovery-code-file", "code"], "").await;
    assert_eq!(refused.code, Some(USAGE), "{refused:?}");
    assert_eq!(machine.read("code"), "shopping list");
    assert!(machine.profile().device().expect("it reads").is_none(), "no keys were made");
    // The name is free.
    Machine::registered(&server, "alice").await;
}

#[tokio::test]
async fn a_new_code_replaces_the_one_before() {
    let server = Server::start().await;
    let old = Machine::registered(&server, "alice").await;
    let made = old.json(&["recovery-code", "--recovery-code-file", "code2"]).await;
    assert_eq!((&made[0]["name"], &made[0]["new"]), (&"alice".into(), &true.into()));
    assert_ne!(old.read("code"), old.read("code2"));

    let new = Machine::with_keys(&server, 1);
    std::fs::write(new.path("code"), old.read("code2")).expect("a file can be written");
    new.must(&["recover", "alice", "--code-file", "code"]).await;
}

/// What it would put would be opened by a code that is good no more.
#[tokio::test]
async fn a_device_of_the_code_before_stops_renewing_the_backup() {
    let server = Server::start().await;
    let old = Machine::registered(&server, "alice").await;
    let new = Machine::with_keys(&server, 1);
    std::fs::write(new.path("code"), old.read("code")).expect("a file can be written");
    new.must(&["recover", "alice", "--code-file", "code"]).await;

    let renews = async |machine: &Machine, blocks: &str| {
        machine.must(&["block", blocks]).await;
        let address = server.origin().parse().expect("an address");
        let (client, _events) = Client::start(machine.profile(), address).expect("the client starts");
        client.online_within(PATIENCE).await.expect("the server lets it in");
        let renewed = renew_backup(&client).await.expect("the server answers");
        client.stop().await;
        renewed
    };
    assert!(renews(&new, "carol").await && renews(&old, "carol").await, "both have the code");
    old.must(&["recovery-code", "--recovery-code-file", "code2"]).await;
    assert!(!renews(&new, "dave").await, "its code was replaced");
    assert!(renews(&old, "dave").await, "it made the new one");
    assert!(!recovery_code::is_kept(&new.profile()).expect("it reads"));
    assert!(recovery_code::is_kept(&old.profile()).expect("it reads"));
}
