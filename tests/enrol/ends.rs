//! Whatever is cut off, wherever: the same again goes on where it ended, or begins cleanly anew.

use std::path::PathBuf;
use std::time::Duration;

use sealwire_client::enrol::recovery_code::{self, Code};
use sealwire_client::enrol::{EnrolError, approve, devices, link, recover};
use sealwire_client::register::register;
use sealwire_client::{Error, Profile, Server as Address};
use sealwire_protocol::Username;
use sealwire_tests::Server;
use sealwire_tests::hostile::{Act, Proxy, Side};
use sealwire_tests::profiles;
use sealwire_tests::server::NO_LIMITS;
use tempfile::TempDir;

/// Nothing is tried twice by itself.
const NO_PATIENCE: Duration = Duration::ZERO;

/// A server, its double, and profiles with keys.
struct World {
    _server: Server,
    proxy: Proxy,
    address: Address,
    home: TempDir,
}

impl World {
    async fn start() -> Self {
        let limits = [("SEALWIRE_LIMITS_BACKUPS_PER_HOUR", "0")];
        let server = Server::with(NO_LIMITS.iter().chain(&limits)).start().await;
        let proxy = Proxy::before(&server).await;
        let address = proxy.origin().parse().expect("an address");
        Self { _server: server, proxy, address, home: TempDir::new().expect("a directory") }
    }

    /// A profile in which somebody's `n`th device has made its keys.
    fn machine(&self, name: &str, n: usize) -> PathBuf {
        let path = self.home.path().join(name);
        profiles::with_keys(&path, n);
        path
    }

    /// The server does what the next frame of this type answers, and the client never hears of it.
    fn cut_the_next(&self, kind: &'static str) {
        let mut is_over = false;
        self.proxy.on(Side::Server, kind, move |passing| match std::mem::replace(&mut is_over, true) {
            false => vec![Act::Close(1001)],
            true => vec![Act::On(passing.frame.clone())],
        });
    }

    async fn registered(&self, name: &str) -> (PathBuf, Code) {
        let path = self.machine(name, 0);
        let mut profile = profiles::open(&path);
        let code = recovery_code::prepare(&mut profile, &alice()).expect("it is stored");
        register(&mut profile, &self.address, &alice(), NO_PATIENCE, |_| ()).await.expect("it registers");
        (path, code)
    }
}

fn alice() -> Username {
    "alice".parse().expect("a name")
}

fn is_cut(outcome: Result<(), Error>) {
    assert!(outcome.as_ref().is_err_and(Error::is_passing), "{outcome:?}");
}

fn devices_of(profile: &Profile) -> usize {
    devices::list(profile).expect("it is readable").len()
}

#[tokio::test]
async fn a_registration_that_was_cut_off_is_repeated() {
    for cut in ["challenge", "session", "backup"] {
        let world = World::start().await;
        let path = world.machine("alice", 0);
        let mut profile = profiles::open(&path);
        let code = recovery_code::prepare(&mut profile, &alice()).expect("it is stored");
        world.cut_the_next(cut);
        let outcome = register(&mut profile, &world.address, &alice(), NO_PATIENCE, |_| ()).await;
        drop(profile);
        let mut profile = profiles::open(&path);
        if cut == "backup" {
            outcome.expect("the account is there, whatever became of the backup");
        } else {
            is_cut(outcome);
            assert_eq!(recovery_code::prepare(&mut profile, &alice()).expect("it reads"), code, "the same code");
            register(&mut profile, &world.address, &alice(), NO_PATIENCE, |_| ()).await.expect("it registers");
        }
        recover::find(&world.address, &alice(), &code, NO_PATIENCE).await.expect("its backup is there");
    }
}

#[tokio::test]
async fn a_recovery_that_was_cut_off_goes_on() {
    let world = World::start().await;
    let (_, code) = world.registered("old").await;
    for (n, cut) in ["devices", "challenge", "session", "keys", "backup"].into_iter().enumerate() {
        let path = world.machine(cut, n + 1);
        let mut profile = profiles::open(&path);
        let found = recover::find(&world.address, &alice(), &code, NO_PATIENCE).await.expect("it is there");
        assert_eq!(found.devices().len(), n + 1);
        world.cut_the_next(cut);
        let outcome = recover::recover(&mut profile, &world.address, found, false, NO_PATIENCE, |_| ()).await;
        drop(profile);
        let mut profile = profiles::open(&path);
        if cut == "backup" {
            outcome.expect("the account is there, whatever became of the backup");
        } else {
            is_cut(outcome);
            assert!(profile.account().is_err(), "nothing is believed yet");
            let resumed = recover::resume(&mut profile, &world.address, NO_PATIENCE, |_| ()).await;
            assert!(resumed.expect("it goes on"), "{cut}");
        }
        assert_eq!(devices_of(&profile), n + 2, "{cut}: one device, once");
        assert!(profile.keys().expect("they are there").aik.is_some());
    }
}

#[tokio::test]
async fn two_recoveries_at_once_both_come_in() {
    let world = World::start().await;
    let (_, code) = world.registered("old").await;
    let mut machines = [1, 2].map(|n| profiles::open(&world.machine(&format!("new-{n}"), n)));
    let mut found = Vec::new();
    for _ in &machines {
        found.push(recover::find(&world.address, &alice(), &code, NO_PATIENCE).await.expect("it is there"));
    }
    // Both were shown one device; the second meets a conflict and signs anew.
    for (profile, found) in machines.iter_mut().zip(found) {
        let patience = Duration::from_secs(30);
        recover::recover(profile, &world.address, found, false, patience, |_| ()).await.expect("it recovers");
    }
    assert_eq!(devices_of(&machines[1]), 3);
}

#[tokio::test]
async fn a_link_that_was_cut_off_goes_on_on_both_sides() {
    let world = World::start().await;
    let (old, _) = world.registered("old").await;
    for (n, cut) in ["challenge", "session", "keys"].into_iter().enumerate() {
        let path = world.machine(cut, n + 1);
        let mut new = profiles::open(&path);
        let mut old = profiles::open(&old);
        let (say, mut said) = tokio::sync::mpsc::channel(1);
        let tell = |step: link::Step<'_>| {
            if let link::Step::Code(code) = step {
                say.try_send(code.clone()).expect("one code is shown");
            }
        };
        let linking = link::link(&mut new, &world.address, "new", NO_PATIENCE, tell);
        let approving = async {
            let code = said.recv().await.expect("a code is shown");
            let waiting = approve::look(&mut old, &world.address, &code, NO_PATIENCE).await.expect("it waits");
            // The list is taken, and the answer lost.
            world.cut_the_next("devices");
            is_cut(approve::approve(&mut old, &world.address, &waiting, false, NO_PATIENCE).await);
            world.proxy.be_honest();
            let cut_then = approve::approve(&mut old, &world.address, &waiting, false, NO_PATIENCE);
            cut_then.await.expect("it is listed once");
            world.cut_the_next(cut);
        };
        let (linked, ()) = tokio::join!(linking, approving);
        is_cut(linked);
        drop(new);
        world.proxy.be_honest();
        let mut new = profiles::open(&path);
        link::link(&mut new, &world.address, "new", NO_PATIENCE, |step| {
            assert!(!matches!(step, link::Step::Code(_)), "it goes on without a new code");
        })
        .await
        .expect("it goes on");
        assert_eq!(devices_of(&new), n + 2, "{cut}");
    }
}

#[tokio::test]
async fn a_new_code_that_was_cut_off_is_finished_and_the_one_before_is_good_until_then() {
    for cut in ["session", "keys", "devices", "backup"] {
        let world = World::start().await;
        let (path, old_code) = world.registered("old").await;
        let mut profile = profiles::open(&path);
        recovery_code::confirmed(&mut profile).expect("it is stored");
        let new_code = recovery_code::begin(&mut profile).expect("it is stored");
        recovery_code::confirmed(&mut profile).expect("it is stored");
        world.cut_the_next(cut);
        is_cut(recovery_code::finish(&mut profile, &world.address, NO_PATIENCE).await);
        drop(profile);
        let mut profile = profiles::open(&path);
        if cut != "backup" {
            recover::find(&world.address, &alice(), &old_code, NO_PATIENCE).await.expect("the old one is good");
        }
        recovery_code::finish(&mut profile, &world.address, NO_PATIENCE).await.expect("it is finished");
        assert_eq!(recovery_code::standing(&profile).expect("it reads"), recovery_code::Standing::Settled);
        recover::find(&world.address, &alice(), &new_code, NO_PATIENCE).await.expect("the new one is good");
    }
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_done() {
    let world = World::start().await;
    let (path, _) = world.registered("old").await;
    let mut profile = profiles::open(&path);
    world.cut_the_next("devices");
    is_cut(devices::delete_account(&mut profile, &world.address, NO_PATIENCE).await);
    assert!(profile.account().is_ok(), "it is not sure yet");
    devices::delete_account(&mut profile, &world.address, NO_PATIENCE).await.expect("it is done");
    assert!(profile.account().is_err());
}

#[tokio::test]
async fn a_list_of_devices_that_went_back_is_refused() {
    let world = World::start().await;
    let (path, _) = world.registered("old").await;
    let mut profile = profiles::open(&path);
    // The backup knows version 2.
    let new = recovery_code::begin(&mut profile).expect("it is stored");
    recovery_code::confirmed(&mut profile).expect("it is stored");
    recovery_code::finish(&mut profile, &world.address, NO_PATIENCE).await.expect("it is done");
    world.proxy.on(Side::Server, "backup", |passing| {
        let mut frame = passing.frame.clone();
        if let Some(manifests) = frame["manifests"].as_array_mut() {
            manifests.truncate(1);
        }
        vec![Act::On(frame)]
    });
    let outcome = recover::find(&world.address, &alice(), &new, NO_PATIENCE).await;
    let error = outcome.expect_err("it went back");
    assert!(matches!(&error, Error::Enrol(EnrolError::Devices(_))), "{error}");
    world.proxy.be_honest();
    recover::find(&world.address, &alice(), &new, NO_PATIENCE).await.expect("an honest server shows it");
}
