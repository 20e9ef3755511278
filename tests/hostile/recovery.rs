//! A server that answers a recovery with another past than the backup's.

use sealwire_client::Error;
use sealwire_client::devices::DevicesError;
use sealwire_client::enrol::EnrolError;
use sealwire_client::enrol::recover::find;
use sealwire_client::handover::{Backup, Secret, Settings};
use sealwire_e2ee::manifest::ChainError;
use sealwire_e2ee::verify::BadSignature;
use sealwire_e2ee::{RecoveryCode, RecoverySecrets};
use sealwire_protocol::base64::Array;
use sealwire_tests::hostile::{Act, Forger, Side, World};
use sealwire_tests::stranger::{PATIENCE, b64, key_of_pool};
use serde_json::{Value, json};

const CODE: &str = "01AB2-CDE3F-GHJ4K-MNP5Q-RST6V-WXYZ7";

#[tokio::test]
async fn a_backup_is_opened_onto_no_other_past_than_its_own() {
    let world = World::start().await;
    let server = world.proxy.origin().parse().expect("an address");
    let code: RecoveryCode = CODE.parse().expect("a code");
    let dave = Forger::stranger("dave", 12);
    let name = dave.who.name.clone();
    let first = dave.who.manifest_frame(&dave.who.first_manifest());
    let second = dave.next_manifest(&first, |next| next.devices.push(dave.who.sibling(1).listed()));
    let third = dave.next_manifest(&second, |_| ());
    let other_second = dave.next_manifest(&first, |next| next.issued_at += 1);
    let others = Forger::new(&name, dave.who.device, 15).next_manifest(&first, |_| ());

    let backup = Backup {
        aik_private: Secret(key_of_pool(12).into()),
        version: 2,
        hash: Array(dave.hash(&second)),
        pins: [].into(),
        settings: Settings::default(),
    };
    let seal = |name: &str, secrets: &RecoverySecrets| {
        let json = backup.to_json().expect("it is short");
        b64(secrets.seal(&mut rand::rng(), &name.parse().expect("a name"), &json))
    };
    let secrets = RecoverySecrets::of(&code, &name);
    let data = seal("dave", &secrets);
    let of_another = seal("eve", &secrets);
    let find_in = async |data: &str, manifests: &[&Value]| {
        let answer = json!({ "type": "backup", "data": data, "aik": b64([1; 550]), "manifests": manifests });
        world.proxy.on(Side::Client, "backup", move |passing| {
            let mut answer = answer.clone();
            answer["id"] = passing.frame["id"].clone();
            vec![Act::Back(answer)]
        });
        find(&server, &name, &code, PATIENCE).await
    };

    let gone_back = |outcome| matches!(outcome, Err(Error::Enrol(EnrolError::Devices(DevicesError::GoneBack))));
    assert!(gone_back(find_in(&data, &[&first]).await), "an older past");
    assert!(gone_back(find_in(&data, &[&first, &other_second]).await), "another past");
    let outcome = find_in(&data, &[&first, &others]).await;
    let bad_signature = DevicesError::Chain(ChainError::Signature(BadSignature));
    assert!(matches!(&outcome, Err(Error::Enrol(EnrolError::Devices(why))) if *why == bad_signature), "{outcome:?}");
    let outcome = find_in(&of_another, &[&first, &second]).await;
    assert!(matches!(outcome, Err(Error::Enrol(EnrolError::NotSealedHere))), "{outcome:?}");

    let found = find_in(&data, &[&first, &second, &third]).await.expect("an honest answer is believed");
    assert_eq!(found.devices().len(), 2);
}
