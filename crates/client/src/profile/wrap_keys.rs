//! The wrap keys of this device: the one in use, one that is about to be, and those that still open late messages.

use rusqlite::{Row, params};
use sealwire_e2ee::WrapKey;
use sealwire_protocol::frames::WrapFrame;
use sealwire_protocol::ids::Kid;

use super::account::read_key;
use super::{Profile, ProfileError, damaged, json};

/// A wrap key of this device.
#[derive(Debug)]
pub struct StoredWrapKey {
    /// The private key.
    pub key: WrapKey,
    /// The number of its certificate; 0 before a registration was prepared.
    pub seq: u64,
    /// Its certificate; `None` before a registration was prepared.
    pub cert: Option<WrapFrame>,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// When the server accepted a later one, in milliseconds since 1970.
    pub replaced_at: Option<u64>,
    /// Whether the server has accepted it.
    pub accepted: bool,
}

impl Profile {
    /// All wrap keys, oldest first.
    ///
    /// # Errors
    /// [`ProfileError::Keys`], [`ProfileError::Database`].
    pub fn wrap_keys(&self) -> Result<Vec<StoredWrapKey>, ProfileError> {
        let sql = "SELECT kid, pkcs8, cert, seq, created, replaced_at, accepted FROM private_keys
                   WHERE use = 'dwk' ORDER BY seq, created";
        let mut statement = self.database.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(self.read_wrap_key(row)?);
        }
        Ok(keys)
    }

    fn read_wrap_key(&self, row: &Row<'_>) -> Result<StoredWrapKey, ProfileError> {
        let kid: Vec<u8> = row.get(0)?;
        let pkcs8 = self.vault.open("private_keys.pkcs8", &kid, &row.get::<_, Vec<u8>>(1)?)?;
        let cert = row.get::<_, Option<Vec<u8>>>(2)?;
        let cert = cert.map(|cert| self.vault.open("private_keys.cert", &kid, &cert)).transpose()?;
        let cert = cert.map(|cert| serde_json::from_slice(&cert).map_err(|_| damaged("a certificate"))).transpose()?;
        Ok(StoredWrapKey {
            key: read_key(&pkcs8, WrapKey::from_pkcs8)?,
            cert,
            seq: row.get(3)?,
            created: row.get(4)?,
            replaced_at: row.get(5)?,
            accepted: row.get(6)?,
        })
    }

    /// Stores the next wrap key with its certificate, before the server is told of it.
    ///
    /// # Errors
    /// [`ProfileError::Database`], also when it is stored already.
    pub fn add_wrap_key(&mut self, key: &WrapKey, cert: &WrapFrame, now: u64) -> Result<(), ProfileError> {
        let kid = self.vault.kid(key.kid());
        self.database.execute(
            "INSERT INTO private_keys (kid, use, pkcs8, created, seq, cert) VALUES (?1, 'dwk', ?2, ?3, ?4, ?5)",
            params![
                kid,
                self.vault.seal("private_keys.pkcs8", &kid, &key.to_pkcs8()),
                now,
                cert.seq,
                self.vault.seal("private_keys.cert", &kid, &json(cert)),
            ],
        )?;
        Ok(())
    }

    /// The server has accepted a wrap key at this time: those before it are replaced.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn wrap_key_accepted(&mut self, kid: &Kid, at: u64) -> Result<(), ProfileError> {
        let kid = self.vault.kid(kid);
        let transaction = self.database.transaction()?;
        transaction.execute("UPDATE private_keys SET accepted = 1 WHERE kid = ?1", [&kid])?;
        transaction.execute(
            "UPDATE private_keys SET replaced_at = ?2 WHERE use = 'dwk' AND replaced_at IS NULL
             AND seq < (SELECT seq FROM private_keys WHERE kid = ?1)",
            params![kid, at],
        )?;
        Ok(transaction.commit()?)
    }

    /// The server shows the certificate with this number, and has forgotten later ones: they are not accepted (any more), and
    /// that one and later ones have not been replaced.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn wrap_keys_forgotten(&mut self, seq: u64) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        transaction.execute("UPDATE private_keys SET accepted = 0 WHERE use = 'dwk' AND seq > ?1", [seq])?;
        transaction.execute("UPDATE private_keys SET replaced_at = NULL WHERE use = 'dwk' AND seq >= ?1", [seq])?;
        Ok(transaction.commit()?)
    }

    /// Erases a wrap key for good, also from SQLite's log.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn erase_wrap_key(&mut self, kid: &Kid) -> Result<(), ProfileError> {
        let sql = "DELETE FROM private_keys WHERE kid = ?1 AND use = 'dwk'";
        self.database.execute(sql, [self.vault.kid(kid)])?;
        self.erase_traces()
    }
}
