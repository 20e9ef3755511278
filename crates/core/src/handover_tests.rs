//! The JSON that is handed over: its fields, its limits, and what is left out when it does not fit.

use super::*;

fn pin(verified: bool) -> Pin {
    Pin { aik: Blob(vec![7; 550]), version: 3, hash: Array([9; 32]), verified }
}

fn name(n: usize) -> Username {
    format!("name-{n}").parse().unwrap()
}

/// Of a length like that of a real one with a device.
fn manifest(version: u64) -> ManifestFrame {
    serde_json::from_value(serde_json::json!({
        "version": version, "prevHash": Array([1; 32]), "issuedAt": 5, "signature": Blob(vec![2; 512]), "devices": [
            { "id": DeviceId::new_v7(1, [0; 10]), "dsk": Blob(vec![3; 550]), "addedAt": 4, "capabilities": 0 }
        ]
    }))
    .unwrap()
}

fn handover(manifests: u64, pins: usize) -> Handover {
    Handover {
        username: "alice".parse().unwrap(),
        aik: Blob(vec![1; 550]),
        manifests: (1..=manifests).map(manifest).collect(),
        pins: (0..pins).map(|n| (name(n), pin(n % 10 == 0))).collect(),
        settings: Settings { blocked: [name(1)].into(), ..Settings::default() },
        aik_private: Some(Secret(Zeroizing::new(vec![4; 2_400]))),
    }
}

#[test]
fn the_fields_are_those_of_the_protocol() {
    let json: serde_json::Value = serde_json::from_slice(&handover(1, 1).to_json().unwrap()).unwrap();
    let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["aik", "aikPrivate", "manifests", "pins", "settings", "username"]);
    let pin: Vec<_> = json["pins"]["name-0"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(pin, ["aik", "hash", "verified", "version"]);
    let new = NewDevice { device_id: DeviceId::new_v7(1, [0; 10]), device_name: "laptop".into(), dsk: Blob(vec![]) };
    let json: serde_json::Value = serde_json::from_slice(&new.to_json().unwrap()).unwrap();
    assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["deviceId", "deviceName", "dsk"]);
}

#[test]
fn what_is_handed_over_is_read_back() {
    let ours = handover(2, 5);
    assert_eq!(Handover::from_json(&ours.to_json().unwrap()), Ok(ours.clone()));
    let backup = Backup {
        aik_private: ours.aik_private.clone().unwrap(),
        version: 2,
        hash: Array([8; 32]),
        pins: ours.pins,
        settings: ours.settings,
    };
    assert_eq!(Backup::from_json(&backup.to_json().unwrap()), Ok(backup));
}

#[test]
fn what_a_later_version_adds_is_ignored() {
    let mut json: serde_json::Value = serde_json::from_slice(&handover(1, 1).to_json().unwrap()).unwrap();
    json["later"] = true.into();
    json["settings"]["theme"] = "dark".into();
    json["settings"]["muted"] = serde_json::json!(["bob@example.org", "carl"]);
    json["pins"]["dora@example.org"] = json["pins"]["name-0"].clone();
    let read = Handover::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(read.pins.keys().map(Username::as_str).collect::<Vec<_>>(), ["name-0"]);
    assert_eq!(read.settings.muted.iter().map(Username::as_str).collect::<Vec<_>>(), ["carl"]);
}

#[test]
fn what_is_no_handover_is_refused() {
    for json in ["", "{}", "[]", "{\"username\":\"Alice\"}", "nonsense"] {
        assert_eq!(Handover::from_json(json.as_bytes()), Err(HandoverError::Form), "{json}");
        assert_eq!(Backup::from_json(json.as_bytes()), Err(HandoverError::Form), "{json}");
        assert_eq!(NewDevice::from_json(json.as_bytes()), Err(HandoverError::Form), "{json}");
    }
    let long = [handover(1, 1).to_json().unwrap().to_vec(), vec![b' '; MAX_SIDE]].concat();
    assert_eq!(Handover::from_json(&long), Err(HandoverError::Form));
}

#[test]
fn of_too_many_pins_those_that_were_verified_go_first() {
    let ours = handover(1, 300);
    let json = ours.to_json().unwrap();
    assert!(json.len() <= MAX_SIDE);
    let read = Handover::from_json(&json).unwrap();
    assert!(read.pins.len() > 60, "{}", read.pins.len());
    let verified = |pins: &BTreeMap<Username, Pin>| pins.values().filter(|pin| pin.verified).count();
    assert_eq!((verified(&read.pins), verified(&ours.pins)), (30, 30));
    assert_eq!(read.settings, ours.settings);
}

#[test]
fn of_a_long_chain_the_newest_manifests_go() {
    let read = Handover::from_json(&handover(100, 100).to_json().unwrap()).unwrap();
    let versions: Vec<_> = read.manifests.iter().map(|manifest| manifest.version).collect();
    assert!(versions.len() > 5 && versions.len() < 100);
    assert_eq!(versions, (101 - versions.len() as u64..=100).collect::<Vec<_>>());
    assert!(!read.pins.is_empty());
}

#[test]
fn the_newest_manifest_goes_whatever_its_length() {
    assert_eq!(newest_within(&[manifest(1), manifest(2)], 1).len(), 1);
}

#[test]
fn settings_without_end_are_an_error_not_a_cut() {
    let mut ours = handover(1, 0);
    ours.settings.accepted = (0..10_000).map(name).collect();
    assert_eq!(ours.to_json(), Err(HandoverError::TooLong));
}

#[test]
fn a_device_s_name_cannot_give_orders_to_a_screen() {
    assert_eq!(device_name("  Ann's\n laptop\t"), "Ann's laptop");
    assert_eq!(device_name("\u{1b}[2Jgone\u{202e}\u{200b}"), "[2Jgone");
    assert_eq!(device_name("\u{200b} \n"), "unnamed device");
    assert_eq!(device_name(&"\u{e4}".repeat(500)).chars().count(), MAX_DEVICE_NAME);
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{:?}", handover(1, 1));
    assert!(text.contains("Some(Secret)") && !text.contains("[4, 4"), "{text}");
}
