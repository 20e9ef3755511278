//! A server that shows the wrong keys: others, older ones, for devices that are gone, and others to each person.

use std::sync::{Arc, Mutex};

use sealwire_client::pins::PinError;
use sealwire_client::{Alarm, Error, Event};
use sealwire_e2ee::certificate::CertificateError;
use sealwire_e2ee::manifest::ChainError;
use sealwire_e2ee::verify::BadSignature;
use sealwire_protocol::frames::Status;
use sealwire_protocol::signed::{Manifest, ManifestDevice, ManifestError, WrapCertError};
use sealwire_protocol::{DeviceId, Username};
use sealwire_tests::hostile::{Act, Draft, Forger, Person, Proxy, Seen, Side, World, shown};
use sealwire_tests::stranger::{Identity, b64, now};
use serde_json::{Value, json};

const DAY: u64 = 24 * 60 * 60 * 1000;
/// `seq` of the certificate that everybody knows of dave's device at first.
const SEQ: u64 = 5;

/// What the double shows of somebody, whoever asks; it may be changed at any time.
type Shown = Arc<Mutex<Value>>;

fn show(proxy: &Proxy, of: &'static str, keys: Value) -> Shown {
    let shown = Arc::new(Mutex::new(keys));
    let answer = shown.clone();
    proxy.script(move |passing| match passing.frame["type"].as_str() {
        Some("keys") if passing.side == Side::Client && passing.frame["username"] == of => {
            let mut answer = answer.lock().expect("no thread has panicked").clone();
            answer["id"] = passing.frame["id"].clone();
            vec![Act::Back(answer)]
        }
        // The real server has no dave: his mail goes to its double.
        Some("message") if passing.side == Side::Client && passing.frame["to"] == "dave" => {
            let ids = [&passing.frame["messageId"]];
            vec![Act::Back(json!({ "type": "status", "status": "delivered", "messageIds": ids, "at": now() }))]
        }
        _ => vec![Act::On(passing.frame.clone())],
    });
    shown
}

/// An account that only the double has, known to alice with one device and three manifests: the second listed another
/// device, which the third has removed.
struct Known {
    world: World,
    alice: Person,
    dave: Forger,
    gone: Identity,
    manifests: Vec<Value>,
    certificate: Value,
    shown: Shown,
}

fn certificate(who: &Identity, seq: u64) -> Value {
    who.wrap_frame(seq, &who.dwk, now() - DAY, now() + 6 * DAY)
}

/// Before alice has met dave.
async fn unmet() -> Known {
    let world = World::start().await;
    let alice = world.person("alice").await;
    let dave = Forger::stranger("dave", 12);
    let gone = dave.who.sibling(1);
    let first = dave.who.manifest_frame(&dave.who.first_manifest());
    let second = dave.next_manifest(&first, |next| next.devices.push(gone.listed()));
    let third = dave.next_manifest(&second, |next| next.devices.retain(|device| device.id != gone.device));
    let manifests = vec![first, second, third];
    let certificate = certificate(&dave.who, SEQ);
    let shown = show(&world.proxy, "dave", Value::Null);
    let known = Known { world, alice, dave, gone, manifests, certificate, shown };
    known.shows(known.honest());
    known
}

async fn known() -> Known {
    let known = unmet().await;
    assert!(matches!(known.send().await, Ok(Status::Delivered)));
    assert_eq!(known.sealed_for(), [vec![known.dave.who.recipient()]]);
    known
}

impl Known {
    async fn send(&self) -> Result<Status, Error> {
        let dave = "dave".parse::<Username>().expect("a name");
        self.alice.client.send(&dave, "for dave's eyes").await.expect("it is stored").first_status().await
    }

    /// For whom the messages were sealed that have left alice's client.
    fn sealed_for(&self) -> Vec<Vec<Value>> {
        let is_message = |seen: &Seen| seen.side == Side::Client && seen.frame["type"] == "message";
        let recipients = |seen: Seen| seen.frame["recipients"].as_array().expect("a list").clone();
        self.world.proxy.log().into_iter().filter(is_message).map(recipients).collect()
    }

    fn shows(&self, keys: Value) {
        *self.shown.lock().expect("no thread has panicked") = keys;
    }

    /// A message of a device of dave's that nobody knows makes alice's client look his keys up.
    async fn makes_look_up(&self) {
        let nobody = Forger::stranger("dave", 12).seals(&self.alice.forger().who, &Draft::first("who am I?"));
        self.world.proxy.deliver("alice", &nobody).await;
    }

    /// The double shows these keys, and alice's client looks them up. Gives the alarms that this raised.
    async fn looks_up(&mut self, keys: Value) -> Vec<Alarm> {
        let before = self.alice.alarms().len();
        self.shows(keys);
        self.makes_look_up().await;
        self.alice.until("a verdict", |event| matches!(event, Event::Unreadable { .. })).await;
        self.alice.alarms().split_off(before)
    }

    fn honest(&self) -> Value {
        self.with(&self.manifests, &[(self.dave.who.device, self.certificate.clone())])
    }

    fn with(&self, manifests: &[Value], certificates: &[(DeviceId, Value)]) -> Value {
        shown(&self.dave.who, manifests, certificates)
    }

    /// Shows a lie, which is noticed for this reason and stops sending, and then the truth, which lets it go on.
    async fn is_refused(&mut self, keys: Value, reason: PinError) {
        let sealed = self.sealed_for().len();
        let name: Username = "dave".parse().expect("a name");
        assert_eq!(self.looks_up(keys).await, [Alarm::Keys { name, reason }]);
        let refused = self.send().await;
        assert!(matches!(&refused, Err(Error::Untrusted { reason: r, .. }) if *r == reason), "{refused:?}");
        assert_eq!(self.sealed_for().len(), sealed, "nothing was sealed for keys that are not believed: {reason}");

        assert_eq!(self.looks_up(self.honest()).await, [], "after {reason}");
        assert!(matches!(self.send().await, Ok(Status::Delivered)));
        assert_eq!(self.sealed_for().pop(), Some(vec![self.dave.who.recipient()]), "after {reason}");
    }
}

fn rule(rule: ManifestError) -> PinError {
    PinError::Chain(ChainError::Rule(rule))
}

#[tokio::test]
async fn another_identity_key_for_a_known_name_is_refused_and_stops_sending() {
    let mut known = known().await;
    let other = Forger::new(&known.dave.who.name, known.dave.who.device, 15);
    let manifest = other.who.manifest_frame(&other.who.first_manifest());
    let keys = shown(&other.who, &[manifest], &[(other.who.device, certificate(&other.who, SEQ))]);
    known.is_refused(keys, PinError::IdentityChanged).await;
}

#[tokio::test]
async fn no_other_history_of_devices_is_believed() {
    let mut known = known().await;
    let certificates = [(known.dave.who.device, known.certificate.clone())];
    let newest = known.manifests[2].clone();
    let listing = |device: ManifestDevice| move |next: &mut Manifest| next.devices.push(device);
    let other = Forger::new(&known.dave.who.name, known.dave.who.device, 15);

    let fork = known.dave.other_manifest(&newest, listing(known.dave.who.sibling(2).listed()));
    let second_fork = known.dave.other_manifest(&known.manifests[1], |next| next.issued_at += 1);
    let returned = known.dave.next_manifest(&newest, listing(known.gone.listed()));
    let skipped = known.dave.next_manifest(&newest, |next| next.version += 1);
    let no_link = known.dave.next_manifest(&newest, |next| next.prev_hash = [1; 32]);
    let key_changed = known.dave.next_manifest(&newest, |next| next.devices[0].dsk = known.gone.dsk.public().clone());
    let others = other.next_manifest(&newest, |_| ());
    for (manifests, reason) in [
        (vec![fork], PinError::Chain(ChainError::Fork)),
        (vec![second_fork], PinError::Chain(ChainError::Fork)),
        (vec![returned], rule(ManifestError::DeviceReturned)),
        (vec![skipped], rule(ManifestError::Version)),
        (vec![no_link], rule(ManifestError::PrevHash)),
        (vec![key_changed], rule(ManifestError::DskChanged)),
        (vec![others], PinError::Chain(ChainError::Signature(BadSignature))),
    ] {
        let keys = known.with(&manifests, &certificates);
        known.is_refused(keys, reason).await;
    }
}

#[tokio::test]
async fn an_older_list_brings_no_removed_device_back() {
    let mut known = known().await;
    let (device, gone) = (known.dave.who.device, &known.gone);
    let certificates = [(device, known.certificate.clone()), (gone.device, certificate(gone, 1))];
    let older = known.with(&known.manifests[..2], &certificates);
    known.is_refused(older, PinError::Stranger).await;

    // Without the removed device there is nothing wrong with an older list, and nothing goes back by it.
    let older = known.with(&known.manifests[..1], &certificates[..1]);
    assert_eq!(known.looks_up(older).await, []);
    assert!(matches!(known.send().await, Ok(Status::Delivered)));
    assert_eq!(known.sealed_for().pop(), Some(vec![known.dave.who.recipient()]));
}

#[tokio::test]
async fn a_wrap_certificate_neither_goes_back_nor_changes_nor_comes_from_another_device() {
    let mut known = known().await;
    let (who, id) = (&known.dave.who, known.dave.who.device);
    let (before, after) = (now() - DAY, now() + 6 * DAY);
    let other_key = who.another_wrap_key();
    let lower = who.wrap_frame(SEQ - 1, &who.dwk, before, after);
    let same_number = who.wrap_frame(SEQ, &other_key, before, after);
    let strangers = certificate(&known.gone, SEQ + 1);
    let not_yet = who.wrap_frame(SEQ + 1, &other_key, now() + DAY, after);
    let too_long = who.wrap_frame(SEQ + 1, &other_key, before, after + 30 * DAY);
    let mut swapped = who.wrap_frame(SEQ + 1, &who.dwk, before, after);
    swapped["dwk"] = b64(other_key.public().as_bytes()).into();
    let bad_signature = PinError::Certificate(CertificateError::Signature(BadSignature));
    let of_rule = |rule| PinError::Certificate(CertificateError::Rule(rule));
    let newer = certificate(who, SEQ + 1);
    for (certificates, reason) in [
        (vec![(id, lower)], of_rule(WrapCertError::Seq)),
        (vec![(id, same_number)], PinError::CertificateFork),
        (vec![(id, strangers)], bad_signature),
        (vec![(id, swapped)], bad_signature),
        (vec![(id, not_yet)], of_rule(WrapCertError::NotYet)),
        (vec![(id, too_long)], of_rule(WrapCertError::TooLong)),
        (vec![(id, known.certificate.clone()), (id, newer)], PinError::Stranger),
    ] {
        let keys = known.with(&known.manifests, &certificates);
        known.is_refused(keys, reason).await;
    }
}

#[tokio::test]
async fn a_device_that_has_been_away_is_written_to_for_45_days_and_the_person_is_told() {
    let mut known = known().await;
    let (who, id) = (&known.dave.who, known.dave.who.device);
    let key = &who.dwk;
    let stale = who.wrap_frame(SEQ + 1, key, now() - 17 * DAY, now() - 10 * DAY);
    let too_old = who.wrap_frame(SEQ + 2, key, now() - 60 * DAY, now() - 53 * DAY);
    let keys = known.with(&known.manifests, &[(id, stale)]);
    assert_eq!(known.looks_up(keys).await, []);
    assert!(matches!(known.send().await, Ok(Status::Delivered)));
    let told = known.alice.until("the age of the key", |event| matches!(event, Event::OldKey { .. })).await;
    assert!(matches!(&told, Event::OldKey { days: 10, .. }), "{told:?}");

    let sealed = known.sealed_for().len();
    let keys = known.with(&known.manifests, &[(id, too_old)]);
    assert_eq!(known.looks_up(keys).await, []);
    assert!(matches!(known.send().await, Err(Error::NobodyToSendTo(_))));
    assert_eq!(known.sealed_for().len(), sealed);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_answer() {
    let mut known = known().await;
    let mut other_name = known.honest();
    other_name["username"] = "alice".into();
    let mut endless = known.with(&[], &[]);
    endless["more"] = true.into();
    let mut no_key = known.honest();
    no_key["aik"] = b64([1; 550]).into();
    for keys in [other_name, endless] {
        known.shows(keys);
        known.makes_look_up().await;
        known.alice.is_cut_off().await;
        known.shows(known.honest());
        known.alice.until("the verdict", |event| matches!(event, Event::Unreadable { .. })).await;
        assert!(matches!(known.send().await, Ok(Status::Delivered)));
    }
    known.is_refused(no_key, PinError::IdentityChanged).await;
}

#[tokio::test]
async fn at_the_first_contact_what_does_not_hold_together_is_not_believed() {
    let mut known = unmet().await;
    let (who, id) = (&known.dave.who, known.dave.who.device);
    let mut unsigned = known.manifests.clone();
    unsigned[0]["signature"] = b64([7; 512]).into();
    let good = [(id, known.certificate.clone())];
    let of_the_removed = [(known.gone.device, certificate(&known.gone, 1))];
    let mut no_key = known.honest();
    no_key["aik"] = b64([1; 550]).into();
    for (keys, reason) in [
        (shown(who, &[], &good), PinError::NoManifest),
        (shown(who, &unsigned, &good), PinError::Chain(ChainError::Signature(BadSignature))),
        (shown(who, &known.manifests[1..], &good), rule(ManifestError::Version)),
        (shown(who, &known.manifests, &of_the_removed), PinError::Stranger),
    ] {
        let name = known.dave.who.name.clone();
        assert_eq!(known.looks_up(keys).await, [Alarm::Keys { name, reason }]);
        let refused = known.send().await;
        assert!(matches!(&refused, Err(Error::Untrusted { reason: r, .. }) if *r == reason), "{refused:?}");
    }
    assert!(matches!(known.looks_up(no_key).await[..], [Alarm::Keys { reason: PinError::Key(_), .. }]));
    assert_eq!(known.sealed_for(), Vec::<Vec<Value>>::new());
    assert_eq!(known.looks_up(known.honest()).await, []);
    assert!(matches!(known.send().await, Ok(Status::Delivered)));
}

#[tokio::test]
async fn a_view_of_keys_that_is_split_at_the_first_contact_is_found_with_the_next_message() {
    let world = World::start().await;
    let (mut alice, mut bob) = world.two().await;
    // To bob the server shows an alice of its own making, who is sealed for with the true alice's key, so that she can read.
    let false_alice = Forger::new(&alice.name, alice.device, 12);
    let true_key = alice.forger().who.dwk;
    let manifest = false_alice.who.manifest_frame(&false_alice.who.first_manifest());
    let wrap = false_alice.who.wrap_frame(1, &true_key, now() - DAY, now() + 6 * DAY);
    let keys = shown(&false_alice.who, &[manifest], &[(alice.device, wrap)]);
    world.proxy.on(Side::Client, "keys", move |passing| {
        if passing.who == "bob" && passing.frame["username"] == "alice" {
            let mut answer = keys.clone();
            answer["id"] = passing.frame["id"].clone();
            return vec![Act::Back(answer)];
        }
        vec![Act::On(passing.frame.clone())]
    });
    bob.delivers(&alice, "are you there?").await;
    alice.hears(&[("bob", "are you there?")]).await;
    assert_eq!(alice.alarm().await, Alarm::OtherManifest { from: bob.name.clone(), of: alice.name.clone() });

    // What she writes does not pass for the false alice's, and once the truth is shown it is refused and bob is told.
    alice.delivers(&bob, "I am").await;
    bob.until("the verdict", |event| matches!(event, Event::Unreadable { .. })).await;
    world.proxy.be_honest();
    world.proxy.close("bob", 1012).await;
    bob.is_cut_off().await;
    let number = bob.client.safety(&alice.name).await;
    assert!(matches!(&number, Err(Error::Untrusted { reason: PinError::IdentityChanged, .. })), "{number:?}");
    assert_eq!(bob.messages(), 0);
}

#[tokio::test]
async fn other_keys_under_ones_own_name_end_the_client() {
    let world = World::start().await;
    let mut alice = world.person("alice").await;
    let other = Forger::new(&alice.name, alice.device, 12);
    let manifest = other.who.manifest_frame(&other.who.first_manifest());
    let keys = shown(&other.who, &[manifest], &[]);
    show(&world.proxy, "alice", keys);
    world.proxy.close("alice", 1012).await;
    let end = alice.ends().await;
    assert!(matches!(&end, Error::Untrusted { reason: PinError::IdentityChanged, .. }), "{end}");
    assert!(matches!(alice.alarms()[..], [Alarm::Keys { reason: PinError::IdentityChanged, .. }]));
}

#[tokio::test]
async fn somebody_who_is_said_to_be_nobody_is_written_to_again_when_the_server_is_honest() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    world.proxy.on(Side::Client, "keys", |passing| {
        let id = &passing.frame["id"];
        let nobody = json!({ "type": "error", "code": "unknown_user", "message": "nobody", "id": id });
        if passing.who == "alice" && passing.frame["username"] == "bob" {
            vec![Act::Back(nobody)]
        } else {
            vec![Act::On(passing.frame.clone())]
        }
    });
    let refused = alice.says(&bob, "are you real?").await.first_status().await;
    assert!(matches!(refused, Err(Error::UnknownUser(_))), "{refused:?}");
    world.proxy.be_honest();
    alice.delivers(&bob, "you are").await;
    bob.hears(&[("alice", "you are")]).await;
}
