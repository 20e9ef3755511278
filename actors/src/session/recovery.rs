//! What a session does with `backup` (protocol section 5, "Recovery").

use std::collections::HashMap;
use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use parking_lot::Mutex;
use sealwire_protocol::base64::Blob;
use sealwire_protocol::frames::{Backup, BackupAnswer, BackupGet, BackupPut, ErrorFrame, ServerFrame};
use sealwire_protocol::{ErrorCode, Username};
use sealwire_store::{BackupRecord, StoreError};

use super::greeting::Page;
use super::login::{self, in_time, store_unavailable};
use super::rates::{MINUTE, Rate};
use super::socket::SessionContext;
use super::state::Stage;
use super::{Session, lookup};
use crate::address;
use crate::node::Node;
use crate::quota::Counted;

/// The most that a backup holds, in bytes.
const LARGEST: usize = 256 * 1024;
/// How long the backup before the newest one is given out, in milliseconds; then it is erased.
pub(crate) const BACKUP_LIFE: u64 = 30 * 24 * 60 * MINUTE;
/// Of how many addresses and names attempts are counted at a time.
const COUNTED: usize = 10_000;

/// Who has asked for which backup lately: a recovery code cannot be guessed, and nobody is to try.
#[derive(Debug)]
pub(crate) struct Attempts {
    per_hour: u32,
    counted: Mutex<HashMap<(IpAddr, Username), Rate>>,
}

impl Attempts {
    pub(crate) fn new(per_hour: u32) -> Self {
        Self { per_hour, counted: Mutex::default() }
    }

    /// Counts an attempt at `now` (monotonic milliseconds).
    ///
    /// # Errors
    /// Milliseconds until the next one would be taken.
    fn take(&self, address: IpAddr, name: Username, now: u64) -> Result<(), u64> {
        let mut counted = self.counted.lock();
        if counted.len() >= COUNTED {
            counted.retain(|_, rate| !rate.forget(now));
        }
        let key = (address::counted(address), name);
        // Whoever fills the table must not keep others from their backups. Forgetting costs little: nobody guesses a
        // code of 150 bits, counted or not.
        if counted.len() >= COUNTED && !counted.contains_key(&key) {
            counted.clear();
        }
        counted.entry(key).or_insert_with(|| Rate::new(self.per_hour, 60 * MINUTE)).take(now)
    }
}

impl Session {
    pub(super) fn backup(&mut self, backup: Backup, id: Option<String>, ctx: &mut SessionContext) {
        let logged_in = matches!(self.stage, Stage::Authenticated(_));
        match (backup.put, backup.get) {
            (Some(put), None) if logged_in => self.put_backup(put, id, ctx),
            (None, Some(get)) if !logged_in => self.get_backup(get, id, ctx),
            _ => {
                let text = "`backup` has `put` after the log-in, or `get` before it";
                self.refuse(ErrorFrame { id, ..ErrorFrame::new(ErrorCode::BadRequest, text) });
            }
        }
    }

    fn put_backup(&mut self, put: BackupPut, id: Option<String>, ctx: &mut SessionContext) {
        if put.data.0.len() > LARGEST {
            let error = ErrorFrame::new(ErrorCode::TooLarge, "a backup holds at most 262144 bytes");
            return self.refuse(ErrorFrame { id, ..error });
        }
        if !self.take_share(Counted::Backup, "too many backups in an hour", id.as_ref()) {
            return;
        }
        let now = self.now().wall;
        let Some(session) = self.authenticated() else { return };
        let (name, node) = (session.username.clone(), self.node.clone());
        let record = BackupRecord { id: put.id.0, data: Bytes::from(put.data.0), at: now };
        let keep = async move { in_time(&node, node.store.put_backup(&name, record)).await };
        self.look_up(keep, ctx, move |session, outcome, _| match outcome {
            Ok(()) => {
                let answer = BackupAnswer { id, ..BackupAnswer::default() };
                session.send(&ServerFrame::Backup(Box::new(answer)));
            }
            Err(error) => session.refuse(ErrorFrame { id, ..store_unavailable(&error) }),
        });
    }

    fn get_backup(&mut self, get: BackupGet, id: Option<String>, ctx: &mut SessionContext) {
        let name = get.username.parse::<Username>().ok();
        let counted = name.clone().unwrap_or_else(|| self.node.nobody.clone());
        if self.continues(&get) {
            // The attempt was counted with the first page.
        } else if let Err(after) = self.node.backup_attempts.take(self.address, counted, self.now().mono) {
            let error = ErrorFrame::new(ErrorCode::RateLimited, "too many attempts to fetch this backup");
            return self.refuse(ErrorFrame { id, retry_after_ms: Some(after), ..error });
        }
        let node = self.node.clone();
        let page = Page::of(&get);
        let read = async move {
            match name {
                Some(name) => read_backup(&node, &name, &get).await,
                None => Ok(None),
            }
        };
        self.look_up(read, ctx, move |session, found, _| match found {
            Ok(Some(answer)) => {
                if let Stage::Greeting(greeting) = &mut session.stage {
                    greeting.given(page, answer.more);
                }
                session.send(&ServerFrame::Backup(Box::new(BackupAnswer { id, ..answer })));
            }
            Ok(None) => session.refuse(ErrorFrame { id, ..login::failed() }),
            Err(error) => session.refuse(ErrorFrame { id, ..store_unavailable(&error) }),
        });
    }
}

impl Session {
    /// Whether this is the next page of what this connection has been given. It costs no frame either: a chain is as long
    /// as it is, and a page can be asked for once.
    fn continues(&mut self, get: &BackupGet) -> bool {
        let Stage::Greeting(greeting) = &mut self.stage else { return false };
        greeting.continues(&Page::of(get))
    }
}

impl Page {
    fn of(get: &BackupGet) -> Self {
        Self { name: get.username.clone(), id: get.id.0, since: get.since_version.unwrap_or(0) }
    }
}

async fn read_backup(node: &Node, name: &Username, get: &BackupGet) -> Result<Option<BackupAnswer>, StoreError> {
    let backups = in_time(node, node.store.backups(name)).await?;
    let account = in_time(node, node.store.account(name)).await?;
    let now = node.clock.now().wall;
    let Some(backup) = chosen(backups, &get.id.0, now) else { return Ok(None) };
    let Some(account) = account else { return Ok(None) };
    let (manifests, more) = lookup::read_links(node, name, get.since_version.unwrap_or(0)).await?;
    Ok(Some(BackupAnswer {
        id: None,
        data: Some(Blob(backup.data.to_vec())),
        aik: Some(Blob(account.aik.to_vec())),
        manifests: Some(manifests),
        more,
    }))
}

/// The backup with this id: the newest, or the one before for as long as it is kept. All are compared, in constant time.
fn chosen(backups: Vec<BackupRecord>, id: &[u8; 32], now: u64) -> Option<BackupRecord> {
    let mut found = None;
    for (age, backup) in backups.into_iter().enumerate() {
        let is_it = verify_slices_are_equal(&backup.id, id).is_ok();
        if is_it && (age == 0 || backup.at.saturating_add(BACKUP_LIFE) > now) {
            found = Some(backup);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(id: u8, at: u64) -> BackupRecord {
        BackupRecord { id: [id; 32], data: Bytes::new(), at }
    }

    #[test]
    fn the_backup_before_the_newest_is_given_out_for_thirty_days() {
        let both = || vec![backup(2, 1_000), backup(1, 1_000)];
        let later = 1_000 + BACKUP_LIFE;
        assert_eq!(chosen(both(), &[1; 32], later - 1).map(|found| found.id[0]), Some(1));
        assert_eq!(chosen(both(), &[1; 32], later), None);
        assert_eq!(chosen(both(), &[2; 32], later).map(|found| found.id[0]), Some(2));
        assert_eq!(chosen(both(), &[3; 32], 1_000), None);
    }

    #[test]
    fn five_attempts_an_hour_for_each_address_and_name() {
        let attempts = Attempts::new(5);
        let [alice, bob]: [Username; 2] = ["alice", "bob"].map(|name| name.parse().unwrap());
        let [here, there] = ["2001:db8::1", "2001:db8::ffff:2"].map(|address| address.parse::<IpAddr>().unwrap());
        assert!((0..5).all(|n| attempts.take(here, alice.clone(), n).is_ok()));
        assert_eq!(attempts.take(there, alice.clone(), 5), Err(60 * MINUTE - 5));
        assert_eq!(attempts.take(here, bob, 5), Ok(()));
        assert_eq!(attempts.take("192.0.2.1".parse().unwrap(), alice.clone(), 5), Ok(()));
        assert_eq!(attempts.take(here, alice, 60 * MINUTE), Ok(()));
    }

    #[test]
    fn whoever_asks_for_many_names_keeps_nobody_else_out() {
        let attempts = Attempts::new(5);
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        for n in 0..COUNTED {
            assert_eq!(attempts.take(here, format!("name{n}").parse().unwrap(), 0), Ok(()));
        }
        assert_eq!(attempts.take("198.51.100.7".parse().unwrap(), "alice".parse().unwrap(), 1), Ok(()));
    }
}
