//! A server that has forgotten the last lists of this account's devices.

use sealwire_e2ee::manifest::Chain;
use sealwire_protocol::frames::ManifestFrame;

use super::*;
use crate::convert::manifest_from_frame;

/// Alice's chain: her device; one more (version 2); without it (version 3).
struct Lists {
    frames: Vec<ManifestFrame>,
    removed: DeviceWrap,
}

fn next(chain: &mut Chain, devices: Vec<ManifestDevice>) -> ManifestFrame {
    let (version, prev_hash) = (chain.newest().version + 1, chain.newest_hash());
    let manifest = Manifest { version, prev_hash, issued_at: NOW, devices };
    let mut rng = rng();
    let signed = ALICE.aik.sign_manifest(&mut rng, &name("alice"), manifest).unwrap();
    chain.extend(signed.clone()).unwrap();
    manifest_to_frame(&signed)
}

fn lists(first: &Keys) -> Lists {
    let aik = ALICE.aik.public().clone();
    let signed = manifest_from_frame(&first.manifests[0]).unwrap();
    let only = signed.manifest.devices.clone();
    let mut chain = Chain::start(name("alice"), aik, signed).unwrap();
    let (dsk, dwk) = (key!(SigningKey, "k8"), key!(WrapKey, "k9"));
    let other = ManifestDevice { id: device(9), dsk: dsk.public().clone(), added_at: NOW, capabilities: 0 };
    let both = vec![only[0].clone(), other];
    let second = next(&mut chain, both);
    let third = next(&mut chain, only);
    let cert = WrapCert { seq: 1, dwk: dwk.public().clone(), not_before: NOW, not_after: NOW + 1_000 };
    let mut rng = rng();
    let wrap = cert_to_frame(&dsk.certify(&mut rng, &name("alice"), &device(9), cert));
    Lists { frames: vec![first.manifests[0].clone(), second, third], removed: DeviceWrap { id: device(9), wrap } }
}

/// Alice knows all three lists, and the server only the first `has` of them.
fn forgetful(has: usize) -> (World, Lists) {
    let mut world = world(Keys::clone);
    let lists = lists(&world.alice);
    let knows = Keys { manifests: lists.frames.clone(), ..world.alice.clone() };
    world.core.storage.store_person(&person(&knows)).unwrap();
    world.core.people.clear();
    world.alice.manifests = lists.frames[..has].to_vec();
    if has == 2 {
        world.alice.devices.push(lists.removed.clone());
    }
    (world, lists)
}

impl World {
    /// Answers like a server that has `self.alice`; `take`: whether it takes links. Gives the versions it was told.
    fn serve(&mut self, take: bool) -> Result<Vec<u64>, Error> {
        let mut told = Vec::new();
        self.core.pump(self.now, &mut rng())?;
        while let Some(effect) = self.core.next_effect() {
            let frame = match effect {
                Effect::Send(frame) => frame,
                Effect::Run(batch) => {
                    self.run(batch);
                    continue;
                }
                _ => continue,
            };
            let frame: Value = serde_json::from_str(&frame).unwrap();
            let id = frame["id"].as_str().map(str::to_owned);
            match frame["type"].as_str().unwrap() {
                "keys" if frame["username"] == "alice" => {
                    let since = frame["sinceVersion"].as_u64().unwrap_or(0);
                    let mut answer = Keys { id, ..self.alice.clone() };
                    answer.manifests.retain(|link| link.version > since);
                    self.core.take(ServerFrame::Keys(Box::new(answer)))?;
                }
                "devices" => {
                    let link: ManifestFrame = serde_json::from_value(frame["manifest"].clone()).unwrap();
                    told.push(link.version);
                    if take {
                        assert_eq!(link.version, self.alice.manifests.last().unwrap().version + 1);
                        self.alice.devices.retain(|device| link.devices.iter().any(|listed| listed.id == device.id));
                        self.alice.manifests.push(link);
                    }
                    let version = told.len();
                    let done = serde_json::json!({ "type": "devices", "id": id, "version": version });
                    self.core.take(serde_json::from_value(done).unwrap())?;
                }
                _ => {}
            }
            self.core.pump(self.now, &mut rng())?;
        }
        Ok(told)
    }

    fn is_settled(&self) -> bool {
        self.core.lookups.is_fresh(&name("alice"))
    }
}

#[test]
fn a_server_that_was_restored_to_before_a_removal_is_told_of_it_and_stops_nobody() {
    for (has, missing) in [(2, vec![3]), (1, vec![2, 3])] {
        let (mut world, lists) = forgetful(has);
        assert_eq!(world.serve(true).unwrap(), missing);
        assert_eq!(world.alice.manifests, lists.frames);
        assert!(world.is_settled());
        assert!(!world.core.events.iter().any(|event| matches!(event, Event::Alarm(_))));
    }
}

#[test]
fn a_server_that_forgot_nothing_is_told_nothing() {
    let (mut world, _) = forgetful(3);
    assert_eq!(world.serve(true).unwrap(), Vec::<u64>::new());
    assert!(world.is_settled());
}

#[test]
fn nothing_is_sealed_before_the_server_has_taken_the_links() {
    let (mut world, lists) = forgetful(2);
    let id = world.send();
    world.pump();
    assert_eq!(world.core.outbox.to_seal(1, 10, |_| true), [id]);
    world.serve(true).unwrap();
    assert_eq!(world.alice.manifests, lists.frames);
    assert!(world.core.outbox.to_seal(1, 10, |_| true).is_empty());
}

#[test]
fn a_server_that_goes_back_whatever_it_is_told_is_not_believed() {
    let (mut world, _) = forgetful(2);
    let error = world.serve(false).unwrap_err();
    assert!(matches!(error, Error::Untrusted { reason: PinError::GoneBack, .. }), "{error}");
    assert!(!world.is_settled());
}

#[test]
fn another_list_in_place_of_the_forgotten_one_is_a_fork() {
    let (mut world, lists) = forgetful(2);
    let mut fork =
        Chain::start(name("alice"), ALICE.aik.public().clone(), manifest_from_frame(&lists.frames[0]).unwrap())
            .unwrap();
    fork.extend(manifest_from_frame(&lists.frames[1]).unwrap()).unwrap();
    let other = next(&mut fork, manifest_from_frame(&lists.frames[1]).unwrap().manifest.devices);
    world.core.mending.answered(&crate::pins::Learned { behind: true, shown: Some(2), ..Default::default() }, 3);
    world.core.load_person(&name("alice")).unwrap();
    let conflict = ErrorFrame {
        id: Some("link-3".to_owned()),
        manifests: Some(vec![other]),
        ..ErrorFrame::new(ErrorCode::ManifestConflict, "another")
    };
    let error = world.core.take(ServerFrame::Error(Box::new(conflict))).unwrap_err();
    assert!(matches!(error, Error::Untrusted { reason: PinError::Chain(_), .. }), "{error}");
}

#[test]
fn a_busy_server_is_asked_again_later() {
    let (mut world, lists) = forgetful(2);
    world.core.mending.answered(&crate::pins::Learned { behind: true, shown: Some(2), ..Default::default() }, 3);
    world.core.effects.clear();
    let busy = ErrorFrame {
        id: Some("link-3".to_owned()),
        retry_after_ms: Some(700),
        ..ErrorFrame::new(ErrorCode::ServerBusy, "busy")
    };
    world.core.take(ServerFrame::Error(Box::new(busy))).unwrap();
    assert_eq!(world.serve(true).unwrap(), Vec::<u64>::new());
    world.now.ticks += 700;
    assert_eq!(world.serve(true).unwrap(), [3]);
    assert_eq!(world.alice.manifests, lists.frames);
}
