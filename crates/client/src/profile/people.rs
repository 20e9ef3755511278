//! What is believed of each name: see [`crate::pins`].

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use sealwire_e2ee::manifest::{Chain, SignedManifest};
use sealwire_protocol::frames::{ManifestFrame, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::spki::Spki;

use super::account::device_id;
use super::{Profile, ProfileError, damaged};
use crate::convert::{cert_from_frame, cert_to_frame, manifest_from_frame, manifest_to_frame};
use crate::pins::{Certificate, Person};

impl Profile {
    /// What is believed of a name, if it was ever looked up. The chain is verified again.
    ///
    /// # Errors
    /// [`ProfileError::Database`], also when the chain does not hold.
    pub fn person(&self, username: &Username) -> Result<Option<Person>, ProfileError> {
        let sql = "SELECT aik FROM people WHERE username = ?1";
        let aik: Option<Vec<u8>> = self.database.query_row(sql, [username.as_str()], |row| row.get(0)).optional()?;
        let Some(aik) = aik else { return Ok(None) };
        let aik = Spki::parse(&aik).map_err(|_| damaged("an identity key"))?;
        let mut manifests = self.manifests(username)?.into_iter();
        let first = manifests.next().ok_or_else(|| damaged("a list of devices"))?;
        let mut chain = Chain::start(username.clone(), aik, first).map_err(|_| damaged("a list of devices"))?;
        for manifest in manifests {
            chain.extend(manifest).map_err(|_| damaged("a list of devices"))?;
        }
        Ok(Some(Person::restore(chain, self.certificates(username)?)))
    }

    fn manifests(&self, username: &Username) -> Result<Vec<SignedManifest>, ProfileError> {
        let mut rows = self.database.prepare("SELECT frame FROM manifests WHERE username = ?1 ORDER BY version")?;
        let frames = rows.query_map([username.as_str()], |row| row.get::<_, String>(0))?;
        frames.map(|frame| read_manifest(&frame?)).collect()
    }

    fn certificates(&self, username: &Username) -> Result<BTreeMap<DeviceId, Certificate>, ProfileError> {
        let mut rows = self.database.prepare("SELECT device, frame, current FROM certificates WHERE username = ?1")?;
        let read = rows.query_map([username.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        read.map(|row| {
            let (device, frame, current): ([u8; 16], String, bool) = row?;
            Ok((device_id(device)?, read_certificate(&frame, current)?))
        })
        .collect()
    }

    /// Stores what is believed of a name.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn store_person(&mut self, person: &Person) -> Result<(), ProfileError> {
        let username = person.chain().username().as_str();
        let transaction = self.database.transaction()?;
        transaction.execute(
            "INSERT INTO people (username, aik) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![username, person.chain().aik().as_bytes()],
        )?;
        for signed in person.chain().manifests() {
            transaction.execute(
                "INSERT INTO manifests (username, version, frame) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![username, signed.manifest.version, json(&manifest_to_frame(signed))],
            )?;
        }
        for (device, certificate) in person.certificates() {
            transaction.execute(
                "INSERT OR REPLACE INTO certificates (username, device, frame, current) VALUES (?1, ?2, ?3, ?4)",
                params![
                    username,
                    device.as_bytes().as_slice(),
                    json(&cert_to_frame(&certificate.signed)),
                    certificate.current
                ],
            )?;
        }
        Ok(transaction.commit()?)
    }
}

fn json(frame: &impl serde::Serialize) -> String {
    serde_json::to_string(frame).expect("frames have string keys and no failing Serialize")
}

fn read_manifest(frame: &str) -> Result<SignedManifest, ProfileError> {
    let frame: ManifestFrame = serde_json::from_str(frame).map_err(|_| damaged("a manifest"))?;
    manifest_from_frame(&frame).map_err(|_| damaged("a manifest"))
}

fn read_certificate(frame: &str, current: bool) -> Result<Certificate, ProfileError> {
    let frame: WrapFrame = serde_json::from_str(frame).map_err(|_| damaged("a certificate"))?;
    let signed = cert_from_frame(&frame).map_err(|_| damaged("a certificate"))?;
    Ok(Certificate { signed, current })
}
