//! The account and the private keys of its device.

use std::fmt;

use rusqlite::{OptionalExtension, Row, params};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::frames::{ManifestFrame, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Kid, Username};
use zeroize::Zeroizing;

use super::{Profile, ProfileError, damaged};

/// The private keys of an account's first device.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Signs the account's manifests.
    pub aik: IdentityKey,
    /// Signs messages, log-ins and wrap certificates.
    pub dsk: SigningKey,
    /// Opens messages.
    pub dwk: WrapKey,
}

/// A registered account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub username: Username,
    /// This device.
    pub device: DeviceId,
    /// The server's address.
    pub server: String,
}

/// A registration that has been prepared: sent as it is until the server has answered, so that an answer that was lost
/// costs neither the name nor the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The name asked for.
    pub username: Username,
    /// Version 1 of the manifest.
    pub manifest: ManifestFrame,
    /// The first wrap certificate.
    pub wrap: WrapFrame,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, {})", self.username, self.device)
    }
}

impl Profile {
    /// The account, once it is registered.
    ///
    /// # Errors
    /// [`ProfileError::NoAccount`] before; [`ProfileError::Database`].
    pub fn account(&self) -> Result<Account, ProfileError> {
        let sql = "SELECT username, device, server FROM account WHERE registered";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?));
        let (username, device, server) =
            self.database.query_row(sql, [], read).optional()?.ok_or(ProfileError::NoAccount)?;
        let username = username.parse().map_err(|_| damaged("the username"))?;
        Ok(Account { username, device: device_id(device)?, server })
    }

    /// Stores the keys of a device that is yet to be registered, under a new device id.
    ///
    /// # Errors
    /// [`ProfileError::Database`], also when there are keys already.
    pub fn store_keys(&mut self, device: &DeviceId, keys: &DeviceKeys, now: u64) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        transaction.execute(
            "INSERT INTO account (only_one, device, registered) VALUES (1, ?1, 0)",
            params![device.as_bytes().as_slice()],
        )?;
        let rows = [
            ("aik", keys.aik.kid(), keys.aik.to_pkcs8()),
            ("dsk", keys.dsk.kid(), keys.dsk.to_pkcs8()),
            ("dwk", keys.dwk.kid(), keys.dwk.to_pkcs8()),
        ];
        for (usage, kid, pkcs8) in rows {
            transaction.execute(
                "INSERT INTO private_keys (kid, use, pkcs8, created) VALUES (?1, ?2, ?3, ?4)",
                params![kid.as_bytes().as_slice(), usage, pkcs8.as_slice(), now],
            )?;
        }
        Ok(transaction.commit()?)
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
        Ok(DeviceKeys {
            aik: read_key(&self.newest_key("aik")?, IdentityKey::from_pkcs8)?,
            dsk: read_key(&self.newest_key("dsk")?, SigningKey::from_pkcs8)?,
            dwk: read_key(&self.newest_key("dwk")?, WrapKey::from_pkcs8)?,
        })
    }

    fn newest_key(&self, usage: &str) -> Result<Zeroizing<Vec<u8>>, ProfileError> {
        let sql = "SELECT pkcs8 FROM private_keys WHERE use = ?1 ORDER BY created DESC LIMIT 1";
        let pkcs8 = self.database.query_row(sql, [usage], |row| row.get(0)).optional()?;
        pkcs8.map(Zeroizing::new).ok_or_else(|| ProfileError::Keys(format!("there is no {usage}")))
    }

    /// Stores what is about to be asked of a server.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn prepare(&mut self, server: &str, new: &NewAccount) -> Result<(), ProfileError> {
        let json = |frame: Result<String, serde_json::Error>| frame.map_err(|_| damaged("a frame"));
        self.database.execute(
            "UPDATE account SET server = ?1, username = ?2, manifest = ?3, wrap = ?4",
            params![
                server,
                new.username.as_str(),
                json(serde_json::to_string(&new.manifest))?,
                json(serde_json::to_string(&new.wrap))?
            ],
        )?;
        Ok(())
    }

    /// What was prepared for this name and server, if it was and has not been answered.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn prepared(&self, server: &str, username: &Username) -> Result<Option<NewAccount>, ProfileError> {
        let sql = "SELECT manifest, wrap FROM account WHERE NOT registered AND server = ?1 AND username = ?2";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let row = self.database.query_row(sql, [server, username.as_str()], read).optional()?;
        let Some((manifest, wrap)) = row else { return Ok(None) };
        let manifest = serde_json::from_str(&manifest).map_err(|_| damaged("the prepared manifest"))?;
        let wrap = serde_json::from_str(&wrap).map_err(|_| damaged("the prepared certificate"))?;
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
        self.database.execute("UPDATE account SET registered = 1", [])?;
        Ok(())
    }

    /// Takes another address of the same server.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn set_server(&mut self, server: &str) -> Result<(), ProfileError> {
        self.database.execute("UPDATE account SET server = ?1", [server])?;
        Ok(())
    }

    /// The ids of the device's wrap keys.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn wrap_kids(&self) -> Result<Vec<Kid>, ProfileError> {
        let mut rows = self.database.prepare("SELECT kid FROM private_keys WHERE use = 'dwk' ORDER BY created")?;
        let kids = rows.query_map([], |row| row.get(0).map(Kid))?;
        Ok(kids.collect::<Result<_, _>>()?)
    }
}

fn read_key<K, E: fmt::Display>(pkcs8: &[u8], read: impl Fn(&[u8]) -> Result<K, E>) -> Result<K, ProfileError> {
    read(pkcs8).map_err(|error| ProfileError::Keys(error.to_string()))
}

pub(super) fn device_id(bytes: [u8; 16]) -> Result<DeviceId, ProfileError> {
    DeviceId::from_bytes(bytes).map_err(|_| damaged("a device id"))
}
