//! A server that answers a linking with other data than was left for it, or with another past once a device was let in.

use std::collections::HashSet;
use std::path::PathBuf;

use sealwire_client::devices::DevicesError;
use sealwire_client::enrol::approve::{approve, look};
use sealwire_client::enrol::link::{Step, link};
use sealwire_client::enrol::{EnrolError, devices};
use sealwire_client::{Error, Profile};
use sealwire_e2ee::LinkCode;
use sealwire_e2ee::linking::Side as Slot;
use sealwire_tests::hostile::{Act, Forger, Passing, Side, World, shown};
use sealwire_tests::profiles;
use sealwire_tests::stranger::{PATIENCE, b64, unb64};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Alice's first device, and a place for the profiles of others.
struct Home {
    world: World,
    alice: Profile,
    home: TempDir,
}

impl Home {
    async fn new() -> Self {
        let world = World::start().await;
        let alice = profiles::open(&world.person("alice").await.leaves().await);
        Self { world, alice, home: TempDir::with_prefix("sealwire-linking-").expect("a directory can be made") }
    }

    /// The profile of a device that is to be linked, with the `n`th keys.
    fn newcomer(&self, name: &str, n: usize) -> Profile {
        let path: PathBuf = self.home.path().join(name);
        profiles::with_keys(&path, n);
        profiles::open(&path)
    }

    /// Links a device: its code is entered on Alice's first one.
    async fn links(&mut self, new: &mut Profile) -> Result<(), Error> {
        let server = self.world.proxy.origin().parse().expect("an address");
        let (tell, mut code) = code_of();
        let old = async {
            let code = code.recv().await.expect("a code is shown");
            let waiting = look(&mut self.alice, &server, &code, PATIENCE).await.expect("a device waits");
            approve(&mut self.alice, &server, &waiting, false, PATIENCE).await.expect("it is let in");
        };
        tokio::join!(link(new, &server, "laptop", PATIENCE, tell), old).0
    }

    /// Shows a code on a device; what the server gives out under it is not what was left there. Gives what came of it.
    async fn is_given(&self, new: &mut Profile, data: &Value) -> Error {
        let server = self.world.proxy.origin().parse().expect("an address");
        self.world.proxy.on(Side::Client, "rendezvous", gives(Slot::Old, data.clone()));
        let outcome = link(new, &server, "laptop", PATIENCE, |_| ()).await;
        self.world.proxy.be_honest();
        outcome.expect_err("nothing of it is believed")
    }

    /// The devices on Alice's list, as an honest server has it.
    async fn listed(&mut self) -> usize {
        let server = self.world.proxy.origin().parse().expect("an address");
        devices::refresh(&mut self.alice, &server, PATIENCE).await.expect("the server answers");
        devices::list(&self.alice).expect("the profile can be read").len()
    }

    /// What was left in this side of the slot that was used last.
    fn left(&self, side: Slot) -> Value {
        let log = self.world.proxy.log();
        let put = log.iter().rev().map(|seen| &seen.frame["put"]).find(|put| put["side"] == side.number());
        put.expect("it was left")["data"].clone()
    }
}

/// Where a code that is shown goes to.
fn code_of() -> (impl FnMut(Step<'_>), mpsc::Receiver<LinkCode>) {
    let (tell, code) = mpsc::channel(1);
    let tell = move |step: Step<'_>| {
        if let Step::Code(code) = step {
            let code = code.to_string().parse().expect("a code can be read back");
            tell.try_send(code).expect("one code is shown");
        }
    };
    (tell, code)
}

/// Answers whoever reads this side of a slot, whichever it is, with this.
fn gives(side: Slot, data: Value) -> impl FnMut(&Passing) -> Vec<Act> + Send + 'static {
    move |passing| {
        if passing.frame["take"]["side"] != side.number() {
            return vec![Act::On(passing.frame.clone())];
        }
        vec![Act::Back(json!({ "type": "rendezvous", "id": passing.frame["id"], "data": data }))]
    }
}

/// Changes what a device is shown of its account at its first log-in.
fn shows_a_newcomer(change: impl Fn(&mut Value) + Send + 'static) -> impl FnMut(&Passing) -> Vec<Act> + Send + 'static {
    let mut newcomers = HashSet::new();
    move |passing| {
        let mut frame = passing.frame.clone();
        if passing.side == Side::Client && frame["type"] == "link" {
            newcomers.insert(passing.connection);
        }
        if passing.side == Side::Server && frame["type"] == "keys" && newcomers.contains(&passing.connection) {
            change(&mut frame);
        }
        vec![Act::On(frame)]
    }
}

fn was_not_sealed_here<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Enrol(why)) if *why == EnrolError::NotSealedHere && why.is_security())
}

fn is_nobody(profile: &Profile) -> bool {
    profile.account().is_err() && profile.pins().expect("the profile can be read").is_empty()
}

#[tokio::test]
async fn what_was_left_in_another_linking_links_nobody() {
    let mut home = Home::new().await;
    let mut first = home.newcomer("first", 1);
    home.links(&mut first).await.expect("an honest server links it");
    let (earlier_new, earlier_old) = (home.left(Slot::New), home.left(Slot::Old));

    // A later code is shown, and the earlier device is said to wait under it.
    let mut second = home.newcomer("second", 2);
    let server = home.world.proxy.origin().parse().expect("an address");
    home.world.proxy.on(Side::Client, "rendezvous", gives(Slot::New, earlier_new));
    let (tell, mut code) = code_of();
    let looked = async {
        let code = code.recv().await.expect("a code is shown");
        look(&mut home.alice, &server, &code, PATIENCE).await
    };
    let looked = tokio::select! {
        outcome = link(&mut second, &server, "laptop", PATIENCE, tell) => panic!("nobody has let it in: {outcome:?}"),
        looked = looked => looked,
    };
    assert!(was_not_sealed_here(&looked), "{looked:?}");
    home.world.proxy.be_honest();
    assert_eq!(home.listed().await, 2);
    let own_side = home.left(Slot::New);

    let mut altered = unb64(&earlier_old);
    *altered.last_mut().expect("it is not empty") ^= 1;
    let cut = unb64(&earlier_old)[..20].to_vec();
    for (lie, data) in [
        ("side 2 of another slot", &earlier_old),
        ("side 1 of another code", &own_side),
        ("an altered one", &b64(altered).into()),
        ("a part of one", &b64(cut).into()),
    ] {
        let outcome: Result<(), _> = Err(home.is_given(&mut second, data).await);
        assert!(was_not_sealed_here(&outcome), "{lie}: {outcome:?}");
        assert!(is_nobody(&second), "{lie}");
    }
    assert_eq!(home.listed().await, 2);
    home.links(&mut second).await.expect("an honest server links it, with the keys of before");
    assert_eq!(home.listed().await, 3);
}

/// What a device has left for itself comes back to it, under the same code.
#[tokio::test]
async fn a_device_does_not_let_itself_in() {
    let mut home = Home::new().await;
    let mut new = home.newcomer("new", 1);
    let server = home.world.proxy.origin().parse().expect("an address");
    let mut own_side = Value::Null;
    home.world.proxy.on(Side::Client, "rendezvous", move |passing| {
        let frame = &passing.frame;
        if frame["put"].is_object() {
            own_side = frame["put"]["data"].clone();
            return vec![Act::On(frame.clone())];
        }
        vec![Act::Back(json!({ "type": "rendezvous", "id": frame["id"], "data": own_side }))]
    });
    let outcome = link(&mut new, &server, "laptop", PATIENCE, |_| ()).await;
    assert!(was_not_sealed_here(&outcome), "{outcome:?}");
    assert!(is_nobody(&new));
    home.world.proxy.be_honest();
    home.links(&mut new).await.expect("an honest server links it");
    assert_eq!(home.listed().await, 2);
}

#[tokio::test]
async fn a_device_that_was_removed_is_not_let_in_again_by_what_it_was_handed_before() {
    let mut home = Home::new().await;
    let mut new = home.newcomer("new", 1);
    home.links(&mut new).await.expect("an honest server links it");
    let (device, keys) = (new.account().expect("it has one").device, new.keys().expect("it has some"));
    let server = home.world.proxy.origin().parse().expect("an address");
    devices::remove(&mut home.alice, &server, &[device], PATIENCE).await.expect("it is removed");

    let mut again = profiles::open(&home.home.path().join("again"));
    again.store_keys(&device, &keys, sealwire_tests::stranger::now()).expect("the profile is empty");
    let earlier = home.left(Slot::Old);
    let outcome: Result<(), _> = Err(home.is_given(&mut again, &earlier).await);
    assert!(was_not_sealed_here(&outcome), "{outcome:?}");
    assert!(is_nobody(&again));
    assert_eq!(home.listed().await, 1);

    let mut other = home.newcomer("other", 2);
    home.links(&mut other).await.expect("it comes with keys of its own");
    assert_eq!(home.listed().await, 2);
}

#[tokio::test]
async fn a_device_believes_no_other_past_than_the_one_it_was_handed() {
    let mut home = Home::new().await;
    let mut new = home.newcomer("new", 1);
    let me = home.alice.account().expect("she has one");
    // With the account's keys: even they make no other past true.
    let alice = Forger::new(&me.username, me.device, 0);
    let stranger = Forger::stranger("alice", 12);
    let others = shown(&stranger.who, &[stranger.who.manifest_frame(&stranger.who.first_manifest())], &[]);

    type Lie = Box<dyn Fn(&mut Value) + Send>;
    let lies: [(&str, DevicesError, Lie); 3] = [
        (
            "an older past",
            DevicesError::GoneBack,
            Box::new(|keys: &mut Value| {
                let manifests = keys["manifests"].as_array_mut().expect("a list");
                manifests.pop();
                let listed = manifests[0]["devices"].clone();
                let is_listed =
                    |shown: &Value| listed.as_array().expect("a list").iter().any(|one| one["id"] == shown["id"]);
                keys["devices"].as_array_mut().expect("a list").retain(is_listed);
            }),
        ),
        (
            "another past",
            DevicesError::GoneBack,
            Box::new(move |keys: &mut Value| {
                let newest = keys["manifests"].as_array_mut().expect("a list").last_mut().expect("one at least");
                *newest = alice.other_manifest(newest, |other| other.issued_at += 1);
            }),
        ),
        (
            "another identity",
            DevicesError::OtherIdentity,
            Box::new(move |keys: &mut Value| {
                let id = keys["id"].clone();
                *keys = others.clone();
                keys["id"] = id;
            }),
        ),
    ];
    for (n, (lie, expected, change)) in lies.into_iter().enumerate() {
        home.world.proxy.script(shows_a_newcomer(change));
        let outcome = if n == 0 {
            home.links(&mut new).await
        } else {
            let server = home.world.proxy.origin().parse().expect("an address");
            link(&mut new, &server, "laptop", PATIENCE, |step| assert!(!matches!(step, Step::Code(_)))).await
        };
        let said = matches!(&outcome, Err(Error::Enrol(EnrolError::Devices(why))) if *why == expected);
        assert!(said, "{lie}: {outcome:?}");
        assert!(is_nobody(&new), "{lie}");
    }
    home.world.proxy.be_honest();
    let server = home.world.proxy.origin().parse().expect("an address");
    link(&mut new, &server, "laptop", PATIENCE, |_| ()).await.expect("it goes on where it was");
    assert_eq!(new.account().expect("it has one").username.as_str(), "alice");
    assert_eq!(devices::list(&new).expect("the profile can be read").len(), 2);
}
