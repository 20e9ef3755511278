//! What a device hands to another one, or keeps in a backup, and what it was handed itself (protocol section 5).

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use sealwire_e2ee::IdentityKey;
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::ids::Username;
use sha2::{Digest, Sha256};

use super::account::{mark_registered, store_identity};
use super::contacts::decide;
use super::{Profile, ProfileError, damaged, json};
use crate::conversation::Standing;
use crate::handover::{Pin, Settings};
use crate::pins::Person;
use crate::vault::Vault;

/// What a device was handed, once it is checked and the server has let the device in.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// One's own keys, as the server shows them.
    pub own: &'a Person,
    /// Whom the other device believed.
    pub pins: &'a BTreeMap<Username, Pin>,
    /// What the person had decided.
    pub settings: &'a Settings,
    /// The account identity key, if it was handed over.
    pub identity: Option<&'a IdentityKey>,
}

impl Profile {
    /// What another device believed of a name. The first look-up of the name must hold it.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn pin(&self, name: &Username) -> Result<Option<Pin>, ProfileError> {
        let row = self.vault.name(name);
        let sql = "SELECT pin FROM pins WHERE username = ?1";
        let pin: Option<Vec<u8>> = self.database.query_row(sql, [&row], |row| row.get(0)).optional()?;
        pin.map(|pin| read_pin(&self.vault, &row, &pin)).transpose()
    }

    /// Whom this device believes, itself excepted: those whom it has looked up, and those whom it was handed.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn pins(&self) -> Result<BTreeMap<Username, Pin>, ProfileError> {
        let mut pins = BTreeMap::new();
        for row in self.rows("SELECT username FROM pins UNION SELECT username FROM people")? {
            let name = self.vault.open_name(&row)?;
            let verified = self.contact(&name)?.verified;
            let pin = match self.person(&name)? {
                Some(person) => Some(pin_of(&person)),
                None => self.pin(&name)?,
            };
            pins.extend(pin.map(|pin| (name, Pin { verified, ..pin })));
        }
        if let Some(me) = self.own_name()? {
            pins.remove(&me);
        }
        Ok(pins)
    }

    /// What the person has decided of others.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn decisions(&self) -> Result<Settings, ProfileError> {
        let mut settings = Settings::default();
        for contact in self.contacts()? {
            for (is_so, names) in [
                (contact.blocked, &mut settings.blocked),
                (contact.muted, &mut settings.muted),
                (contact.standing == Standing::Accepted, &mut settings.accepted),
            ] {
                if is_so {
                    names.insert(contact.name.clone());
                }
            }
        }
        Ok(settings)
    }

    /// A digest of all that goes into a backup: when it changes, the backup is out of date. It costs no signature check.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn handed_digest(&self) -> Result<[u8; 32], ProfileError> {
        let mut digest = Sha256::new();
        for sql in [
            "SELECT username || ':' || MAX(version) FROM (SELECT hex(username) AS username, version FROM manifests)
             GROUP BY username ORDER BY username",
            "SELECT hex(username) || verified || blocked || muted || accepted FROM contacts ORDER BY username",
            "SELECT hex(username) || hex(pin) FROM pins ORDER BY username",
        ] {
            for row in self.database.prepare(sql)?.query_map([], |row| row.get::<_, String>(0))? {
                digest.update(row?);
                digest.update([0]);
            }
            digest.update([1]);
        }
        Ok(digest.finalize().into())
    }

    /// The server has let this device into an account for the first time: all that it was handed is believed from here on,
    /// in one transaction.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn arrived(&mut self, arrived: &Arrived<'_>, now: u64) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        super::people::store(&transaction, &self.vault, arrived.own)?;
        for (name, pin) in arrived.pins {
            store_pin(&transaction, &self.vault, name, pin)?;
        }
        let Settings { blocked, muted, accepted } = arrived.settings;
        for (column, names) in [("blocked", blocked), ("muted", muted), ("accepted", accepted)] {
            names.iter().try_for_each(|name| decide(&transaction, &self.vault.name(name), column, true))?;
        }
        if let Some(identity) = arrived.identity {
            store_identity(&transaction, &self.vault, identity, now)?;
        }
        mark_registered(&transaction)?;
        Ok(transaction.commit()?)
    }

    fn rows(&self, sql: &str) -> Result<Vec<Vec<u8>>, ProfileError> {
        let mut statement = self.database.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn pin_of(person: &Person) -> Pin {
    let chain = person.chain();
    Pin {
        aik: Blob(chain.aik().as_bytes().to_vec()),
        version: chain.newest().version,
        hash: Array(chain.newest_hash()),
        verified: false,
    }
}

fn store_pin(database: &Connection, vault: &Vault, name: &Username, pin: &Pin) -> Result<(), ProfileError> {
    let row = vault.name(name);
    database.execute(
        "INSERT INTO pins (username, pin) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET pin = excluded.pin",
        params![row, vault.seal("pins.pin", &row, &json(pin))],
    )?;
    decide(database, &row, "verified", pin.verified)
}

fn read_pin(vault: &Vault, row: &[u8], pin: &[u8]) -> Result<Pin, ProfileError> {
    serde_json::from_slice(&vault.open("pins.pin", row, pin)?).map_err(|_| damaged("a pin"))
}
