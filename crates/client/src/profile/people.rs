//! What is believed of each name: see [`crate::pins`].

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use sealwire_e2ee::manifest::{Chain, SignedManifest};
use sealwire_protocol::frames::{ManifestFrame, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::spki::Spki;

use super::account::device_id;
use super::{Profile, ProfileError, damaged, json};
use crate::convert::{cert_from_frame, cert_to_frame, manifest_from_frame, manifest_to_frame};
use crate::pins::{Certificate, Person};
use crate::vault::Vault;

impl Profile {
    /// What is believed of a name, if it was ever looked up. The chain is verified again.
    ///
    /// # Errors
    /// [`ProfileError::Database`], also when the chain does not hold.
    pub fn person(&self, username: &Username) -> Result<Option<Person>, ProfileError> {
        let sql = "SELECT aik FROM people WHERE username = ?1";
        let row = self.vault.name(username);
        let aik: Option<Vec<u8>> = self.database.query_row(sql, [&row], |row| row.get(0)).optional()?;
        let Some(aik) = aik else { return Ok(None) };
        let aik = self.vault.open("people.aik", &row, &aik)?;
        let aik = Spki::parse(&aik).map_err(|_| damaged("an identity key"))?;
        let mut manifests = self.manifests(&row)?.into_iter();
        let first = manifests.next().ok_or_else(|| damaged("a list of devices"))?;
        let mut chain = Chain::start(username.clone(), aik, first).map_err(|_| damaged("a list of devices"))?;
        for manifest in manifests {
            chain.extend(manifest).map_err(|_| damaged("a list of devices"))?;
        }
        let person = Person::restore(chain, self.certificates(&row)?);
        Ok(Some(person.holding(self.pin(username)?.as_ref())))
    }

    fn manifests(&self, row: &[u8]) -> Result<Vec<SignedManifest>, ProfileError> {
        let mut rows = self.database.prepare("SELECT frame FROM manifests WHERE username = ?1 ORDER BY version")?;
        let frames = rows.query_map([row], |row| row.get::<_, Vec<u8>>(0))?;
        frames.map(|frame| read_manifest(&self.vault.open("manifests.frame", row, &frame?)?)).collect()
    }

    fn certificates(&self, row: &[u8]) -> Result<BTreeMap<DeviceId, Certificate>, ProfileError> {
        let mut rows = self.database.prepare("SELECT device, frame, current FROM certificates WHERE username = ?1")?;
        let read = rows.query_map([row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        read.map(|found| {
            let (device, frame, current): ([u8; 16], Vec<u8>, bool) = found?;
            let frame = self.vault.open("certificates.frame", row, &frame)?;
            Ok((device_id(device)?, read_certificate(&frame, current)?))
        })
        .collect()
    }

    /// Stores what is believed of a name.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn store_person(&mut self, person: &Person) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        store(&transaction, &self.vault, person)?;
        Ok(transaction.commit()?)
    }
}

pub(super) fn store(database: &Connection, vault: &Vault, person: &Person) -> Result<(), ProfileError> {
    let row = vault.name(person.chain().username());
    database.execute(
        "INSERT INTO people (username, aik) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![row, vault.seal("people.aik", &row, person.chain().aik().as_bytes())],
    )?;
    for signed in person.chain().manifests() {
        database.execute(
            "INSERT INTO manifests (username, version, frame) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![
                row,
                signed.manifest.version,
                vault.seal("manifests.frame", &row, &json(&manifest_to_frame(signed)))
            ],
        )?;
    }
    for (device, certificate) in person.certificates() {
        let frame = vault.seal("certificates.frame", &row, &json(&cert_to_frame(&certificate.signed)));
        database.execute(
            "INSERT OR REPLACE INTO certificates (username, device, frame, current) VALUES (?1, ?2, ?3, ?4)",
            params![row, device.as_bytes().as_slice(), frame, certificate.current],
        )?;
    }
    Ok(())
}

fn read_manifest(frame: &[u8]) -> Result<SignedManifest, ProfileError> {
    let frame: ManifestFrame = serde_json::from_slice(frame).map_err(|_| damaged("a manifest"))?;
    manifest_from_frame(&frame).map_err(|_| damaged("a manifest"))
}

fn read_certificate(frame: &[u8], current: bool) -> Result<Certificate, ProfileError> {
    let frame: WrapFrame = serde_json::from_slice(frame).map_err(|_| damaged("a certificate"))?;
    let signed = cert_from_frame(&frame).map_err(|_| damaged("a certificate"))?;
    Ok(Certificate { signed, current })
}
