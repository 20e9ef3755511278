//! An account whose devices are all lost.

use sealwire_client::conversation::Standing;
use sealwire_protocol::Username;
use sealwire_tests::Server;

use crate::people::Machine;

const REFUSED: i32 = 4;

#[tokio::test]
async fn an_account_comes_back_on_an_empty_machine_in_one_go() {
    let server = Server::start().await;
    let old = Machine::registered(&server, "alice").await;
    let bob = Machine::registered(&server, "bob").await;
    let code = old.read("code");
    let bobs: Username = "bob".parse().expect("a name");
    old.profile().set_verified(&bobs, true).expect("it is stored");
    old.must(&["send", "bob", "hello"]).await;
    old.must(&["block", "carol"]).await;
    old.must(&["send", "bob", "hello again"]).await;
    drop(old);

    let new = Machine::with_keys(&server, 1);
    // By standard input, as it was written down, in lower case.
    let recovered = new.run(&["recover", "alice"], &format!("{}\n", code.to_lowercase())).await;
    assert_eq!(recovered.code, Some(0), "{recovered:?}");
    assert!(recovered.out.starts_with("recovered alice"), "{recovered:?}");
    let profile = new.profile();
    let bob_is = profile.contact(&bobs).expect("it reads");
    assert!(bob_is.verified && bob_is.standing == Standing::Accepted, "{bob_is:?}");
    assert!(profile.contact(&"carol".parse().expect("a name")).expect("it reads").blocked);
    assert!(profile.pin(&bobs).expect("it reads").is_some(), "Bob's keys are known before the server is asked");
    drop(profile);

    new.must(&["send", "bob", "it is me again"]).await;
    let heard = bob.must(&["listen", "--count", "3", "--timeout", "60"]).await;
    assert!(heard.contains(": it is me again"), "{heard}");
    bob.must(&["send", "alice", "welcome back"]).await;
    let heard = new.must(&["listen", "--count", "1", "--timeout", "60"]).await;
    assert!(heard.contains("bob: welcome back"), "{heard}");
}

#[tokio::test]
async fn a_wrong_code_says_so_and_harms_nothing() {
    let server = Server::start().await;
    let old = Machine::registered(&server, "alice").await;
    let new = Machine::new(&server);
    let wrong = "00000-00000-00000-00000-00000-00000";
    for (name, code) in [("alice", wrong), ("nobody-here", old.read("code").as_str())] {
        let refused = new.run(&["recover", name], &format!("{code}\n")).await;
        assert_eq!(refused.code, Some(REFUSED), "{refused:?}");
        assert!(refused.err.contains("no backup") && refused.err.contains("five attempts an hour"), "{refused:?}");
        assert!(!refused.err.contains(code));
    }
    let slip = new.run(&["recover", "alice"], "00000-00000\n").await;
    assert_eq!(slip.code, Some(2), "{slip:?}");
    assert!(slip.err.contains("30 characters"), "{slip:?}");
    assert!(new.profile().device().expect("it reads").is_none(), "no keys were made");

    // The account is as it was, and the right code still opens it.
    Machine::registered(&server, "bob").await;
    assert_eq!(old.must(&["send", "bob", "still here"]).await, "queued");
    let new = Machine::with_keys(&server, 1);
    std::fs::write(new.path("code"), old.read("code")).expect("a file can be written");
    new.must(&["recover", "alice", "--code-file", "code"]).await;
}
