//! Linking and recovery secrets against a second implementation: `vectors/codes-v1.json`, made by `vectors/make.py`.

use sealwire_e2ee::{LinkCode, LinkSecrets, RecoveryCode, RecoverySecrets, Side};
use sealwire_protocol::Username;
use sealwire_protocol::base64::{Array, Blob};
use serde_json::Value;

fn vectors(kind: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../vectors/codes-v1.json")).unwrap();
    file[kind].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    serde_json::from_value::<Blob>(value[field].clone()).unwrap().0
}

#[test]
fn linking_secrets_are_those_of_the_second_implementation() {
    for vector in vectors("linking") {
        let code: LinkCode = text(&vector, "typed").parse().unwrap();
        assert_eq!(code.as_bytes(), text(&vector, "code").as_bytes());
        let secrets = LinkSecrets::of(&code);
        assert_eq!(secrets.slot().as_slice(), bytes(&vector, "slot"));
        for side in vector["sides"].as_array().unwrap() {
            let number = if side["side"] == 1 { Side::New } else { Side::Old };
            assert_eq!(Value::from(number.number()), side["side"]);
            let json = secrets.open(number, &bytes(side, "data")).unwrap();
            assert_eq!(json.as_slice(), text(side, "json").as_bytes());
        }
    }
}

#[test]
fn recovery_secrets_are_those_of_the_second_implementation() {
    for vector in vectors("recovery") {
        let code: RecoveryCode = text(&vector, "typed").parse().unwrap();
        assert_eq!(code.as_bytes(), text(&vector, "code").as_bytes());
        let username: Username = text(&vector, "username").parse().unwrap();
        let secrets = RecoverySecrets::of(&code, &username);
        assert_eq!(secrets.backup_id().as_slice(), bytes(&vector, "backupId"));
        let key: Array<32> = serde_json::from_value(vector["backupKey"].clone()).unwrap();
        assert_eq!(*secrets.backup_key(), key.0);
        let json = secrets.open(&username, &bytes(&vector, "data")).unwrap();
        assert_eq!(json.as_slice(), text(&vector, "json").as_bytes());
    }
}
