//! What the person decided of others, and keys that the server shows and that are not believed.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sealwire_protocol::frames::Keys;
use sealwire_protocol::ids::Username;

use super::{Profile, ProfileError, damaged, json};
use crate::conversation::{Contact, Standing};
use crate::pins::Person;

const COLUMNS: &str = "verified, blocked, muted, accepted, changed IS NOT NULL";

impl Profile {
    /// What was decided about somebody. Of a stranger nothing is: a request.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn contact(&self, name: &Username) -> Result<Contact, ProfileError> {
        let sql = format!("SELECT {COLUMNS} FROM contacts WHERE username = ?1");
        let read = |row: &Row<'_>| read_contact(name.clone(), row, 0);
        let found = self.database.prepare_cached(&sql)?.query_row([self.vault.name(name)], read).optional()?;
        Ok(found.unwrap_or_else(|| Contact::stranger(name.clone())))
    }

    /// Everybody with whom there was anything, but oneself, by name.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn contacts(&self) -> Result<Vec<Contact>, ProfileError> {
        let me = self.own_name()?;
        let mut statement = self.database.prepare(&format!("SELECT username, {COLUMNS} FROM contacts"))?;
        let mut rows = statement.query([])?;
        let mut contacts = Vec::new();
        while let Some(row) = rows.next()? {
            let name = self.vault.open_name(&row.get::<_, Vec<u8>>(0)?)?;
            contacts.push(read_contact(name, row, 1)?);
        }
        contacts.retain(|contact| Some(&contact.name) != me.as_ref());
        contacts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(contacts)
    }

    /// Whether the safety number was compared.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn set_verified(&mut self, name: &Username, verified: bool) -> Result<(), ProfileError> {
        self.decide(name, "verified", verified)
    }

    /// Whether nothing of theirs is kept or shown from now on.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn set_blocked(&mut self, name: &Username, blocked: bool) -> Result<(), ProfileError> {
        self.decide(name, "blocked", blocked)
    }

    /// Whether their messages come without a sign.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn set_muted(&mut self, name: &Username, muted: bool) -> Result<(), ProfileError> {
        self.decide(name, "muted", muted)
    }

    /// One wants to hear of them.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn accept(&mut self, name: &Username) -> Result<(), ProfileError> {
        self.decide(name, "accepted", true)
    }

    fn decide(&mut self, name: &Username, column: &str, value: bool) -> Result<(), ProfileError> {
        decide(&self.database, &self.vault.name(name), column, value)
    }

    /// The server shows another identity key for a name: this is kept until the person has decided.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn set_changed_key(&mut self, name: &Username, shown: &Keys) -> Result<(), ProfileError> {
        let row = self.vault.name(name);
        let changed = self.vault.seal("contacts.changed", &row, &json(shown));
        self.database.execute(
            "INSERT INTO contacts (username, changed) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET changed = excluded.changed",
            params![row, changed],
        )?;
        Ok(())
    }

    /// The keys that the server showed for a name and that are not believed.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn changed_key(&self, name: &Username) -> Result<Option<Keys>, ProfileError> {
        let row = self.vault.name(name);
        let sql = "SELECT changed FROM contacts WHERE username = ?1 AND changed IS NOT NULL";
        let changed: Option<Vec<u8>> = self.database.query_row(sql, [&row], |row| row.get(0)).optional()?;
        let Some(changed) = changed else { return Ok(None) };
        let changed = self.vault.open("contacts.changed", &row, &changed)?;
        serde_json::from_slice(&changed).map(Some).map_err(|_| damaged("keys that changed"))
    }

    /// The server shows the believed keys again.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn forget_changed_key(&mut self, name: &Username) -> Result<(), ProfileError> {
        let sql = "UPDATE contacts SET changed = NULL WHERE username = ?1";
        self.database.execute(sql, [self.vault.name(name)])?;
        Ok(())
    }

    /// Believes other keys of a name from now on, as the person has decided; they are not verified.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn accept_identity(&mut self, person: &Person) -> Result<(), ProfileError> {
        let row = self.vault.name(person.chain().username());
        let transaction = self.database.transaction()?;
        // With what hangs on it.
        transaction.execute("DELETE FROM people WHERE username = ?1", [&row])?;
        transaction.execute("DELETE FROM pins WHERE username = ?1", [&row])?;
        super::people::store(&transaction, &self.vault, person)?;
        transaction.execute("UPDATE contacts SET changed = NULL, verified = 0 WHERE username = ?1", [&row])?;
        Ok(transaction.commit()?)
    }
}

fn read_contact(name: Username, row: &Row<'_>, from: usize) -> rusqlite::Result<Contact> {
    Ok(Contact {
        name,
        verified: row.get(from)?,
        blocked: row.get(from + 1)?,
        muted: row.get(from + 2)?,
        standing: if row.get(from + 3)? { Standing::Accepted } else { Standing::Request },
        changed_key: row.get(from + 4)?,
    })
}

/// Sets one of the columns of whoever has this sealed name.
pub(super) fn decide(database: &Connection, row: &[u8], column: &str, value: bool) -> Result<(), ProfileError> {
    let sql = format!(
        "INSERT INTO contacts (username, {column}) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET {column} = excluded.{column}"
    );
    database.prepare_cached(&sql)?.execute(params![row, value])?;
    Ok(())
}

/// Somebody has written: they are known from now on. Gives whether they are blocked.
pub(super) fn heard_of(database: &Connection, row: &[u8]) -> Result<bool, ProfileError> {
    database.prepare_cached("INSERT INTO contacts (username) VALUES (?1) ON CONFLICT DO NOTHING")?.execute([row])?;
    let mut statement = database.prepare_cached("SELECT blocked FROM contacts WHERE username = ?1")?;
    Ok(statement.query_row([row], |row| row.get(0))?)
}
