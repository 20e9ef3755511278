//! The account and the private keys of its device.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::frames::{ManifestFrame, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Kid, Username};
use zeroize::Zeroizing;

use super::{Account, Profile, ProfileError, damaged, json};
use crate::vault::Vault;

/// The private keys of a device.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Signs the account's manifests. A device that was linked may not have been given it.
    pub aik: Option<IdentityKey>,
    /// Signs messages, log-ins and wrap certificates.
    pub dsk: SigningKey,
    /// Opens messages.
    pub dwk: WrapKey,
}

/// A registration or link that has been prepared: sent as it is until the server has answered, so that an answer that was
/// lost costs neither the name nor the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The name asked for.
    pub username: Username,
    /// Version 1 of the manifest; of a device that is linked, the version that lists it.
    pub manifest: ManifestFrame,
    /// The first wrap certificate.
    pub wrap: WrapFrame,
}

impl Profile {
    /// The account, once it is registered.
    ///
    /// # Errors
    /// [`ProfileError::NoAccount`] before; [`ProfileError::Deleted`] after; [`ProfileError::Database`].
    pub fn account(&self) -> Result<Account, ProfileError> {
        let sql = "SELECT username, device, server, deleted FROM account WHERE registered";
        let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?, row.get(3)?));
        let (username, device, server, deleted) =
            self.database.query_row(sql, [], read).optional()?.ok_or(ProfileError::NoAccount)?;
        let username = self.vault.open_name(&username)?;
        if deleted {
            return Err(ProfileError::Deleted(username.to_string()));
        }
        let server = self.vault.open_text("account.server", &[], &server)?.to_string();
        Ok(Account { username, device: device_id(device)?, server })
    }

    /// The account's name, also when it has been deleted since.
    ///
    /// # Errors
    /// [`ProfileError::NoAccount`] before it is registered; [`ProfileError::Database`].
    pub fn name(&self) -> Result<Username, ProfileError> {
        self.own_name()?.ok_or(ProfileError::NoAccount)
    }

    /// The account's name, also when it has been deleted since; `None` before it is registered.
    pub(super) fn own_name(&self) -> Result<Option<Username>, ProfileError> {
        match self.account() {
            Ok(account) => Ok(Some(account.username)),
            Err(ProfileError::NoAccount) => Ok(None),
            Err(ProfileError::Deleted(name)) => Ok(Some(name.parse().map_err(|_| damaged("the username"))?)),
            Err(error) => Err(error),
        }
    }

    /// Stores the keys of a device that is yet to be registered or linked, under a new device id.
    ///
    /// # Errors
    /// [`ProfileError::Database`], also when there are keys already.
    pub fn store_keys(&mut self, device: &DeviceId, keys: &DeviceKeys, now: u64) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        transaction.execute(
            "INSERT INTO account (only_one, device, registered) VALUES (1, ?1, 0)",
            params![device.as_bytes().as_slice()],
        )?;
        let aik = keys.aik.as_ref().map(|aik| ("aik", aik.kid(), aik.to_pkcs8()));
        let rows = [("dsk", keys.dsk.kid(), keys.dsk.to_pkcs8()), ("dwk", keys.dwk.kid(), keys.dwk.to_pkcs8())];
        for (usage, kid, pkcs8) in aik.into_iter().chain(rows) {
            let kid = self.vault.kid(kid);
            transaction.execute(
                "INSERT INTO private_keys (kid, use, pkcs8, created) VALUES (?1, ?2, ?3, ?4)",
                params![kid, usage, self.vault.seal("private_keys.pkcs8", &kid, &pkcs8), now],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Stores the account's identity key, which another device has given to this one. A second time changes nothing.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn store_identity(&mut self, aik: &IdentityKey, now: u64) -> Result<(), ProfileError> {
        store_identity(&self.database, &self.vault, aik, now)
    }

    /// The device id under which keys are stored, registered or not.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn device(&self) -> Result<Option<DeviceId>, ProfileError> {
        let row = self.database.query_row("SELECT device FROM account", [], |row| row.get(0)).optional()?;
        row.map(device_id).transpose()
    }

    /// The device's private keys; of several wrap keys the newest.
    ///
    /// # Errors
    /// [`ProfileError::Keys`] when one is missing or damaged; [`ProfileError::Database`].
    pub fn keys(&self) -> Result<DeviceKeys, ProfileError> {
        let there =
            |usage: &str| self.newest_key(usage)?.ok_or_else(|| ProfileError::Keys(format!("there is no {usage}")));
        Ok(DeviceKeys {
            aik: self.newest_key("aik")?.map(|aik| read_key(&aik, IdentityKey::from_pkcs8)).transpose()?,
            dsk: read_key(&there("dsk")?, SigningKey::from_pkcs8)?,
            dwk: read_key(&there("dwk")?, WrapKey::from_pkcs8)?,
        })
    }

    fn newest_key(&self, usage: &str) -> Result<Option<Zeroizing<Vec<u8>>>, ProfileError> {
        let sql = "SELECT kid, pkcs8 FROM private_keys WHERE use = ?1 ORDER BY seq DESC, created DESC LIMIT 1";
        let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
        let row = self.database.query_row(sql, [usage], read).optional()?;
        row.map(|(kid, pkcs8)| self.vault.open("private_keys.pkcs8", &kid, &pkcs8)).transpose()
    }

    /// Stores what is about to be asked of a server.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn prepare(&mut self, server: &str, new: &NewAccount) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        transaction.execute(
            "UPDATE account SET server = ?1, username = ?2, manifest = ?3, wrap = ?4",
            params![
                self.vault.seal("account.server", &[], server.as_bytes()),
                self.vault.name(&new.username),
                self.vault.seal("account.manifest", &[], &json(&new.manifest)),
                self.vault.seal("account.wrap", &[], &json(&new.wrap)),
            ],
        )?;
        let kid = self.vault.kid(&Kid::of(&new.wrap.dwk.0));
        transaction.execute(
            "UPDATE private_keys SET seq = ?2, cert = ?3 WHERE kid = ?1 AND use = 'dwk'",
            params![kid, new.wrap.seq, self.vault.seal("private_keys.cert", &kid, &json(&new.wrap))],
        )?;
        Ok(transaction.commit()?)
    }

    /// What was prepared for this name and server, if it was and has not been answered.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn prepared(&self, server: &str, username: &Username) -> Result<Option<NewAccount>, ProfileError> {
        let sql = "SELECT server, manifest, wrap FROM account WHERE NOT registered AND username = ?1";
        let read =
            |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?));
        let row = self.database.query_row(sql, [self.vault.name(username)], read).optional()?;
        let Some((of, manifest, wrap)) = row else { return Ok(None) };
        if self.vault.open_text("account.server", &[], &of)?.as_str() != server {
            return Ok(None);
        }
        let manifest = self.vault.open("account.manifest", &[], &manifest)?;
        let wrap = self.vault.open("account.wrap", &[], &wrap)?;
        let manifest = serde_json::from_slice(&manifest).map_err(|_| damaged("the prepared manifest"))?;
        let wrap = serde_json::from_slice(&wrap).map_err(|_| damaged("the prepared certificate"))?;
        Ok(Some(NewAccount { username: username.clone(), manifest, wrap }))
    }

    /// What was prepared is of no use: the next attempt prepares anew, with the same keys.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn forget_prepared(&mut self) -> Result<(), ProfileError> {
        let sql =
            "UPDATE account SET server = NULL, username = NULL, manifest = NULL, wrap = NULL WHERE NOT registered";
        self.database.execute(sql, [])?;
        Ok(())
    }

    /// The server has accepted what was prepared.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn registered(&mut self) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        mark_registered(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Takes another address of the same server.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn set_server(&mut self, server: &str) -> Result<(), ProfileError> {
        let server = self.vault.seal("account.server", &[], server.as_bytes());
        self.database.execute("UPDATE account SET server = ?1", [server])?;
        Ok(())
    }

    /// Keys that were made for a registration or link that never came about are erased: the profile is empty again.
    ///
    /// # Errors
    /// [`ProfileError::HasAccount`] when it came about; [`ProfileError::Database`].
    pub fn forget_keys(&mut self) -> Result<(), ProfileError> {
        if let Some(name) = self.own_name()? {
            return Err(ProfileError::HasAccount(name.to_string()));
        }
        let transaction = self.database.transaction()?;
        for table in ["private_keys", "account", "settings"] {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
        transaction.commit()?;
        self.erase_traces()
    }

    /// The account is no more: its keys and its outbox are erased for good, its history stays.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn delete_account(&mut self) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        transaction
            .execute("UPDATE messages SET state = 'failed' WHERE position IN (SELECT message FROM outbox)", [])?;
        for table in ["private_keys", "outbox", "heads", "settings", "pins"] {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
        transaction.execute("UPDATE account SET deleted = 1, manifest = NULL, wrap = NULL", [])?;
        transaction.commit()?;
        self.erase_traces()
    }

    /// What was deleted does not stay in SQLite's log either.
    pub(super) fn erase_traces(&self) -> Result<(), ProfileError> {
        Ok(self.database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}

pub(super) fn mark_registered(database: &Connection) -> Result<(), ProfileError> {
    database.execute("UPDATE account SET registered = 1", [])?;
    database.execute("UPDATE private_keys SET accepted = 1 WHERE use = 'dwk' AND cert IS NOT NULL", [])?;
    Ok(())
}

pub(super) fn store_identity(
    database: &Connection,
    vault: &Vault,
    aik: &IdentityKey,
    now: u64,
) -> Result<(), ProfileError> {
    let kid = vault.kid(aik.kid());
    let pkcs8 = vault.seal("private_keys.pkcs8", &kid, &aik.to_pkcs8());
    let sql = "INSERT INTO private_keys (kid, use, pkcs8, created) VALUES (?1, 'aik', ?2, ?3) ON CONFLICT DO NOTHING";
    database.execute(sql, params![kid, pkcs8, now])?;
    Ok(())
}

pub(super) fn read_key<K, E: fmt::Display>(
    pkcs8: &[u8],
    read: impl Fn(&[u8]) -> Result<K, E>,
) -> Result<K, ProfileError> {
    read(pkcs8).map_err(|error| ProfileError::Keys(error.to_string()))
}

pub(super) fn device_id(bytes: [u8; 16]) -> Result<DeviceId, ProfileError> {
    DeviceId::from_bytes(bytes).map_err(|_| damaged("a device id"))
}
