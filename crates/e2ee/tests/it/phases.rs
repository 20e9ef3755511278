//! The two-phase way, with a provider between the phases, and the one-call way agree; and what a provider refuses.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::auth::to_sign;
use sealwire_e2ee::certificate::UnsignedWrapCert;
use sealwire_e2ee::manifest::{Chain, UnsignedManifest};
use sealwire_e2ee::verify::verify;
use sealwire_e2ee::{
    ContentKey, Delivered, IdentityKey, KeyUse, Lane, NativeRsa, OpenError, Opened, RsaFailure, RsaJob, RsaOutcome,
    RsaProvider, Sealed, SigningKey, WrapKey, check, prepare, seal,
};
use sealwire_protocol::Kid;
use sealwire_protocol::signed::{AuthIn, Manifest, ManifestDevice, Purpose, WrapCert, message_input, sha256};

use crate::people::*;

/// Holds the keys of Alice's sending device (of the pool: 0 signs, 6 is the identity) and of Bob's (3 unwraps).
fn provider() -> NativeRsa<impl Fn() -> UnwrapErr<SysRng>> {
    let provider = NativeRsa::new(rng);
    provider.add_signing(SigningKey::from_pkcs8(&pool(0)).unwrap().into());
    provider.add_identity(IdentityKey::from_pkcs8(&pool(6)).unwrap().into());
    provider.add_wrap(WrapKey::from_pkcs8(&pool(3)).unwrap().into());
    provider
}

/// Awaits a future that never waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the native provider answers at once"),
    }
}

fn signature(provider: &impl RsaProvider, job: RsaJob) -> Vec<u8> {
    match now(provider.run(job)).unwrap() {
        RsaOutcome::Signature(signature) => signature,
        other => panic!("asked for a signature, got {other:?}"),
    }
}

fn content_key(provider: &impl RsaProvider, job: RsaJob) -> Option<ContentKey> {
    match now(provider.run(job)).unwrap() {
        RsaOutcome::ContentKey(key) => key,
        other => panic!("asked for a content key, got {other:?}"),
    }
}

fn seal_in_two(words: &[u8]) -> Sealed {
    let targets = [BOBS_OTHER.target(), ALICES_OTHER.target(), BOB.target()];
    let payload = payload(words);
    let unsigned = prepare(&mut rng(), ALICE.key.kid(), &draft(&targets, &payload)).unwrap();
    let signature = signature(&provider(), unsigned.job());
    unsigned.finish(signature)
}

fn open_in_two(lane: Lane, envelope: &Delivered) -> Result<Opened, OpenError> {
    let checked = check(&*BOB, lane, NOW, envelope)?;
    let key = content_key(&provider(), checked.job());
    checked.finish(key)
}

#[test]
fn what_either_way_sealed_either_way_opens_to_the_same() {
    let words = b"said once";
    let one_call = message(&payload(words));
    let two_phases = seal_in_two(words);
    assert_eq!(one_call.header, two_phases.header);
    for sealed in [one_call, two_phases] {
        let envelope = delivered(&sealed, AT_BOB);
        let opened = BOB.open(&envelope).unwrap();
        assert_eq!(opened.payload, payload(words));
        assert_eq!(open_in_two(Lane::Message, &envelope), Ok(opened));
    }
}

#[test]
fn the_job_of_an_unsigned_envelope_is_over_the_bytes_of_the_protocol() {
    let payload = payload(b"text");
    let unsigned = prepare(&mut rng(), ALICE.key.kid(), &draft(&[BOB.target()], &payload)).unwrap();
    let RsaJob::Sign { key, message } = unsigned.job() else { panic!("not a signature") };
    assert_eq!(key, *ALICE.key.kid());
    let sealed = unsigned.finish(vec![7; 512]);
    let hashes: Vec<_> = sealed.wraps.iter().map(|wrap| sha256(wrap)).collect();
    assert_eq!(message, message_input(&sealed.header.to_bytes(), &sealed.iv, &sealed.encrypted_message, &hashes));
    assert_eq!(sealed.signature, [7; 512]);
    assert_eq!(BOB.open(&delivered(&sealed, 0)), Err(OpenError::BadSignature));
}

#[test]
fn a_draft_that_one_call_refuses_two_phases_refuse_with_the_same_words() {
    let payload = payload(b"text");
    for targets in [vec![], vec![CAROL.target()], vec![BOB.target(), BOB.target()]] {
        let draft = draft(&targets, &payload);
        let refused = seal(&mut rng(), &ALICE.key, &draft).err();
        assert!(refused.is_some());
        assert_eq!(prepare(&mut rng(), ALICE.key.kid(), &draft).err(), refused);
    }
}

#[test]
fn whatever_fails_after_the_checks_fails_alike_either_way() {
    let good = delivered(&message(&payload(b"text")), AT_BOB);
    assert!(open_in_two(Lane::Message, &good).is_ok());
    // The counter of a message in a signal's frame.
    assert_eq!(open_in_two(Lane::Signal, &good), Err(OpenError::Undecryptable));
    let checked = || check(&*BOB, Lane::Message, NOW, &good).unwrap();
    assert_eq!(checked().finish(None), Err(OpenError::Undecryptable));
    assert_eq!(checked().finish(ContentKey::from_slice(&[7; 32])), Err(OpenError::Undecryptable));
}

#[test]
fn what_the_checks_refuse_never_becomes_a_job() {
    let good = delivered(&message(&payload(b"text")), AT_BOB);
    for change in [
        (|e| e.suite = 2) as fn(&mut Delivered),
        |e| e.to = CAROL.name.clone(),
        |e| e.from_device = device(0x77),
        |e| e.timestamp = 0,
        |e| e.wrap[9] ^= 1,
        |e| e.signature[9] ^= 1,
    ] {
        let mut envelope = good.clone();
        change(&mut envelope);
        assert_eq!(check(&*BOB, Lane::Message, NOW, &envelope).err(), BOB.open(&envelope).err());
        assert!(check(&*BOB, Lane::Message, NOW, &envelope).is_err());
    }
}

#[test]
fn a_wrap_that_does_not_open_gives_no_key_and_no_reason() {
    let provider = provider();
    let job = |label, wrap| RsaJob::Unwrap { key: *BOB.key().kid(), label, wrap };
    let sealed = message(&payload(b"text"));
    let checked = check(&*BOB, Lane::Message, NOW, &delivered(&sealed, AT_BOB)).unwrap();
    let RsaJob::Unwrap { label, wrap, .. } = checked.job() else { panic!("not a wrap") };
    assert!(content_key(&provider, job(label, wrap.clone())).is_some());
    for (label, wrap) in [([0; 32], wrap.clone()), (label, vec![1; 512]), (label, vec![255; 512]), (label, vec![])] {
        assert!(content_key(&provider, job(label, wrap)).is_none());
    }
}

fn auth(kid: &Kid) -> AuthIn<'_> {
    AuthIn {
        purpose: Purpose::LogIn,
        origin: "wss://chat.example.org",
        channel_id: &[1; 16],
        server_nonce: &[2; 32],
        client_nonce: &[3; 32],
        expires_at: NOW,
        username: &ALICE.name,
        device: &ALICE.device,
        dsk_kid: kid,
    }
}

#[test]
fn a_log_in_and_a_certificate_are_signed_over_the_same_bytes_either_way() {
    let (dsk, provider) = (&ALICE.key, provider());
    let auth = auth(dsk.kid());
    let signed = signature(&provider, to_sign(&auth));
    for signature in [signed, dsk.sign_auth(&mut rng(), &auth)] {
        assert_eq!(verify(dsk.public(), &auth.to_bytes(), &signature), Ok(()));
    }

    let cert = WrapCert { seq: 3, dwk: BOB.key().public().clone(), not_before: NOW, not_after: NOW + 1 };
    let unsigned = UnsignedWrapCert::new(*dsk.kid(), &ALICE.name, &ALICE.device, cert.clone());
    let signature = signature(&provider, unsigned.job());
    let (name, device) = (&ALICE.name, &ALICE.device);
    for signed in [unsigned.finish(signature), dsk.certify(&mut rng(), name, device, cert.clone())] {
        assert_eq!(signed.cert, cert);
        assert_eq!(signed.check(name, device, dsk.public(), 0, NOW), Ok(()));
    }
}

#[test]
fn a_manifest_signed_in_two_phases_begins_a_chain() {
    let (aik, provider) = (IdentityKey::from_pkcs8(&pool(6)).unwrap(), provider());
    let dsk = ALICE.key.public().clone();
    let listed = ManifestDevice { id: ALICE.device, dsk, added_at: NOW, capabilities: 0 };
    let manifest = Manifest { version: 1, prev_hash: [0; 32], issued_at: NOW, devices: vec![listed] };
    let unsigned = UnsignedManifest::new(&ALICE.name, aik.public(), manifest.clone()).unwrap();
    let signature = signature(&provider, unsigned.job());
    let signed = unsigned.finish(signature);
    assert_eq!(signed.manifest, manifest);
    assert!(Chain::start(ALICE.name.clone(), aik.public().clone(), signed).is_ok());

    let bad = Manifest { version: 0, ..manifest };
    let refused = aik.sign_manifest(&mut rng(), &ALICE.name, bad.clone()).err();
    assert!(refused.is_some());
    assert_eq!(UnsignedManifest::new(&ALICE.name, aik.public(), bad).err(), refused);
}

#[test]
fn a_key_is_used_for_its_use_and_nothing_else() {
    let provider = provider();
    let (dsk, dwk) = (*ALICE.key.kid(), *BOB.key().kid());
    let aik = *IdentityKey::from_pkcs8(&pool(6)).unwrap().kid();
    let log_in = auth(&dsk).to_bytes();
    let manifest = Manifest { version: 1, prev_hash: [0; 32], issued_at: NOW, devices: vec![] };
    let manifest = manifest.to_bytes(&ALICE.name, ALICE.key.public());
    let sign = |key, message: &[u8]| provider.run_now(RsaJob::Sign { key, message: message.to_vec() }).map(drop);
    assert_eq!(sign(dsk, &log_in), Ok(()));
    assert_eq!(sign(aik, &manifest), Ok(()));
    for (key, message) in [(aik, &log_in), (dsk, &manifest), (dwk, &log_in), (dwk, &manifest)] {
        assert_eq!(sign(key, message), Err(RsaFailure::OtherUse));
    }
    for nothing in [&b""[..], b"\0\0\0", b"\0\0\0\x10sealwire/v1 aut", b"\xff\xff\xff\xff", b"free text"] {
        assert_eq!(sign(dsk, nothing), Err(RsaFailure::OtherUse));
    }
    let unwrap = |key| provider.run_now(RsaJob::Unwrap { key, label: [0; 32], wrap: vec![1; 512] }).map(drop);
    assert_eq!((unwrap(dwk), unwrap(dsk), unwrap(aik)), (Ok(()), Err(RsaFailure::OtherUse), Err(RsaFailure::OtherUse)));
    assert_eq!(unwrap(Kid([9; 32])), Err(RsaFailure::NoKey));
    provider.forget(&dwk);
    assert_eq!(unwrap(dwk), Err(RsaFailure::NoKey));
}

#[test]
fn a_key_that_was_made_is_there_for_later_jobs() {
    let provider = NativeRsa::new(rng);
    let Ok(RsaOutcome::Made(public)) = now(provider.run(RsaJob::Generate(KeyUse::Wrap))) else { panic!("no key") };
    let stored = provider.wrap_key(&public.kid()).unwrap();
    assert_eq!(*stored.public(), public);
    assert!(provider.run_now(RsaJob::Unwrap { key: public.kid(), label: [0; 32], wrap: vec![] }).is_ok());
}

#[test]
fn debug_of_what_goes_between_the_phases_shows_neither_keys_nor_words() {
    let provider = provider();
    let sealed = message(&payload(b"unmistakable words"));
    let checked = check(&*BOB, Lane::Message, NOW, &delivered(&sealed, AT_BOB)).unwrap();
    let outcome = provider.run_now(checked.job()).unwrap();
    insta::assert_snapshot!(
        format!("{provider:?} {:?} {:?} {outcome:?}", checked.job(), RsaJob::Generate(KeyUse::Wrap)),
        @"NativeRsa Unwrap(8ff5cb8ad82b92e6) Generate(Wrap) ContentKey"
    );
    let shown = format!("{checked:?}");
    assert!(shown.contains("alice") && !shown.contains("label") && !shown.contains("wrap:"), "{shown}");
}
