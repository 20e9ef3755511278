//! What one user may do on this node, over all of the user's devices.

use std::collections::HashSet;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::{Mutex, MutexGuard};
use sealwire_protocol::Username;

use crate::clock::{Clock, Now};
use crate::session::rates::{MINUTE, Rate};
use crate::settings::Limits;

const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// How many sides of linking slots an account may fill in [`SIDES_PERIOD`]: as many as it has devices.
const SIDES: u32 = 10;
const SIDES_PERIOD: u64 = 10 * MINUTE;

/// What is counted of an account, over all its devices, beside messages and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// A side of a linking slot.
    Side,
    /// A `devices`.
    Devices,
    /// A link of the chain that does more than remove devices.
    Link,
    /// A `rotate`.
    Rotation,
    /// A backup that is put.
    Backup,
    /// A change of whether presence is shared.
    Sharing,
}

impl Counted {
    const ALL: [Self; 6] = [Self::Side, Self::Devices, Self::Link, Self::Rotation, Self::Backup, Self::Sharing];

    fn rate(self, limits: &Limits) -> Rate {
        match self {
            Self::Side => Rate::new(SIDES, SIDES_PERIOD),
            Self::Devices => Rate::new(limits.devices_per_hour, HOUR),
            Self::Link => Rate::new(limits.links_per_day, DAY),
            Self::Rotation => Rate::new(limits.rotations_per_hour, HOUR),
            Self::Backup => Rate::new(limits.backup_puts_per_hour, HOUR),
            Self::Sharing => Rate::new(limits.presence_changes_per_hour, HOUR),
        }
    }
}

/// One user's share, held by each of the user's sessions.
pub(crate) type UserQuota = Arc<User>;

/// A user of this node.
#[derive(Debug)]
pub(crate) struct User {
    quota: Mutex<Quota>,
    /// Held while it is changed, or looked up for a device that comes, whether presence is shared: the store and what
    /// watchers see change in one order.
    pub(crate) sharing: tokio::sync::Mutex<()>,
}

impl User {
    fn new(limits: Arc<Limits>) -> Self {
        Self { quota: Mutex::new(Quota::new(limits)), sharing: tokio::sync::Mutex::default() }
    }

    /// What the user has used.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock()
    }
}

/// What a user has used.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: Arc<Limits>,
    messages: Rate,
    /// Made when the first of it is counted: most people do nothing of this for days.
    others: Option<Box<[Rate; Counted::ALL.len()]>>,
    names: HashSet<Username>,
    names_since: u64,
}

impl Quota {
    fn new(limits: Arc<Limits>) -> Self {
        let messages = Rate::new(limits.messages_per_minute, MINUTE);
        Self { limits, messages, others: None, names: HashSet::new(), names_since: 0 }
    }

    /// Counts a message.
    ///
    /// # Errors
    /// Milliseconds until one would be taken.
    pub(crate) fn message(&mut self, now: Now) -> Result<(), u64> {
        self.messages.take(now.mono)
    }

    /// Counts something else.
    ///
    /// # Errors
    /// Milliseconds until one would be taken.
    pub(crate) fn take(&mut self, what: Counted, now: Now) -> Result<(), u64> {
        let all = || Box::new(Counted::ALL.map(|what| what.rate(&self.limits)));
        self.others.get_or_insert_with(all)[what as usize].take(now.mono)
    }

    /// Counts the look-up of a name; one that was looked up before costs nothing.
    ///
    /// # Errors
    /// Milliseconds until another name would be answered.
    pub(crate) fn name(&mut self, name: &Username, now: Now) -> Result<(), u64> {
        self.forget_names(now);
        if self.limits.names_per_day == 0 || self.names.contains(name) {
            return Ok(());
        }
        if self.names.len() >= self.limits.names_per_day {
            return Err(self.names_since + DAY - now.mono);
        }
        if self.names.is_empty() {
            self.names_since = now.mono;
        }
        self.names.insert(name.clone());
        Ok(())
    }

    fn forget_names(&mut self, now: Now) {
        if self.names_since + DAY <= now.mono {
            self.names = HashSet::new();
        }
    }

    fn is_unused(&mut self, now: Now) -> bool {
        self.forget_names(now);
        let others = self.others.iter_mut().flat_map(|all| all.iter_mut()).all(|rate| rate.forget(now.mono));
        self.messages.forget(now.mono) && others && self.names.is_empty()
    }
}

/// Everybody's share.
pub(crate) struct Quotas {
    users: DashMap<Username, UserQuota>,
    limits: Arc<Limits>,
    clock: Arc<Clock>,
}

impl Quotas {
    pub(crate) fn new(limits: Limits, clock: Arc<Clock>) -> Self {
        Self { users: DashMap::new(), limits: limits.into(), clock }
    }

    /// The share of a user, for a session to hold.
    pub(crate) fn of(&self, user: &Username) -> UserQuota {
        self.users.entry(user.clone()).or_insert_with(|| Arc::new(User::new(self.limits.clone()))).clone()
    }

    /// Forgets users who have no session and have used nothing lately.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now();
        self.users.retain(|_, quota| Arc::strong_count(quota) > 1 || !quota.lock().is_unused(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64) -> Now {
        Now { wall: 0, mono }
    }

    #[test]
    fn a_name_is_counted_once_a_day() {
        let [a, b, c]: [Username; 3] = ["anna", "bert", "carl"].map(|name| name.parse().unwrap());
        let mut quota = Quota::new(Limits { names_per_day: 2, ..Limits::default() }.into());
        assert!([&a, &b, &a, &b].into_iter().all(|name| quota.name(name, at(5)).is_ok()));
        assert_eq!(quota.name(&c, at(10)), Err(DAY - 5));
        assert_eq!(quota.name(&c, at(5 + DAY)), Ok(()));
    }

    #[test]
    fn each_thing_that_is_counted_has_its_own_share() {
        let limits = Limits {
            devices_per_hour: 1,
            links_per_day: 1,
            rotations_per_hour: 1,
            backup_puts_per_hour: 1,
            presence_changes_per_hour: 1,
            ..Limits::default()
        };
        let mut quota = Quota::new(limits.into());
        let counted = Counted::ALL.into_iter().filter(|what| *what != Counted::Side);
        for what in counted {
            let period = if what == Counted::Link { DAY } else { HOUR };
            assert_eq!((quota.take(what, at(5)), quota.take(what, at(6))), (Ok(()), Err(period - 1)), "{what:?}");
            assert!(!quota.is_unused(at(4 + period)) && quota.is_unused(at(5 + period)), "{what:?}");
        }
        assert!((0..SIDES).all(|_| quota.take(Counted::Side, at(0)).is_ok()));
        assert_eq!(quota.take(Counted::Side, at(1)), Err(SIDES_PERIOD - 1));
    }

    #[test]
    fn a_share_outlives_its_sessions_as_long_as_it_counts() {
        let clock = Arc::new(Clock::new(0));
        let quotas = Quotas::new(Limits { messages_per_minute: 1, ..Limits::default() }, clock.clone());
        let name: Username = "alice".parse().unwrap();
        assert!(quotas.of(&name).lock().message(clock.now()).is_ok());
        quotas.sweep();
        assert!(quotas.of(&name).lock().message(clock.now()).is_err());
        quotas.of(&"bob".parse().unwrap());
        quotas.sweep();
        assert_eq!(quotas.users.len(), 1);
    }
}
