//! Small values by name. The names can be read in the file, the values cannot.

use rusqlite::{OptionalExtension, params};
use sealwire_core::engine::SHARES_PRESENCE;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Profile, ProfileError, damaged, json};

impl Profile {
    /// Whether others may see when this account is online, as it was decided on this device.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn shares_presence(&self) -> Result<bool, ProfileError> {
        Ok(self.setting(SHARES_PRESENCE)?.unwrap_or(false))
    }

    /// The value that was put under a name last.
    ///
    /// # Errors
    /// [`ProfileError::Database`], also when the value is of another type.
    pub fn setting<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ProfileError> {
        let sql = "SELECT value FROM settings WHERE key = ?1";
        let value: Option<Vec<u8>> = self.database.query_row(sql, [key], |row| row.get(0)).optional()?;
        let Some(value) = value else { return Ok(None) };
        let value = self.vault.open("settings.value", key.as_bytes(), &value)?;
        serde_json::from_slice(&value).map(Some).map_err(|_| damaged("a setting"))
    }

    /// Puts a value under a name, in place of an earlier one.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn put_setting<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), ProfileError> {
        let value = self.vault.seal("settings.value", key.as_bytes(), &json(value));
        let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
        self.database.execute(sql, params![key, value])?;
        Ok(())
    }

    /// Takes a value away.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn remove_setting(&mut self, key: &str) -> Result<(), ProfileError> {
        self.database.execute("DELETE FROM settings WHERE key = ?1", [key])?;
        Ok(())
    }
}
