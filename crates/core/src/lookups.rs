//! Whose keys are to be asked for, and what is known to be fresh (protocol sections 3 and 6).

use std::collections::{BTreeSet, HashMap, HashSet};

use sealwire_protocol::ids::Username;

use crate::backoff::asked;

/// How long a look-up that was refused for now waits, in milliseconds, where the server names no time.
const WAIT: u64 = 5_000;

/// The look-ups of a client.
#[derive(Debug, Default)]
pub struct Lookups {
    wanted: BTreeSet<Username>,
    asked: HashMap<String, Username>,
    fresh: HashSet<Username>,
    /// Fresh, or refused for good.
    decided: HashSet<Username>,
    count: u64,
    held_until: u64,
}

impl Lookups {
    /// Asks for somebody's keys, unless they are being asked for.
    pub fn want(&mut self, name: &Username) {
        self.fresh.remove(name);
        self.decided.remove(name);
        if !self.asked.values().any(|asked| asked == name) {
            self.wanted.insert(name.clone());
        }
    }

    /// Whether an answer is awaited.
    pub fn is_pending(&self, name: &Username) -> bool {
        self.wanted.contains(name) || self.asked.values().any(|asked| asked == name)
    }

    /// Whether the name was looked up on this connection, and nothing since gave a reason to ask again.
    pub fn is_fresh(&self, name: &Username) -> bool {
        self.fresh.contains(name)
    }

    /// Whether asking again would tell nothing new: the name is fresh, or the question was refused for good on this
    /// connection.
    pub fn is_decided(&self, name: &Username) -> bool {
        self.decided.contains(name)
    }

    /// The next question: the request's id and the name.
    pub fn next(&mut self, now: u64) -> Option<(String, Username)> {
        if self.held_until > now {
            return None;
        }
        let name = self.wanted.pop_first()?;
        self.count += 1;
        let id = format!("keys-{}", self.count);
        self.asked.insert(id.clone(), name.clone());
        Some((id, name))
    }

    /// The name that a request asked for; it is open no more.
    pub fn answered(&mut self, id: &str) -> Option<Username> {
        self.asked.remove(id)
    }

    /// The answer to a question was complete.
    pub fn complete(&mut self, name: &Username) {
        self.fresh.insert(name.clone());
        self.decided.insert(name.clone());
    }

    /// A question was refused for good.
    pub fn refused(&mut self, name: &Username) {
        self.decided.insert(name.clone());
    }

    /// A question was refused for now; it is asked again.
    pub fn refused_for_now(&mut self, name: &Username, retry_after: Option<u64>, now: u64) {
        let wait = retry_after.map_or(WAIT, |millis| u64::try_from(asked(millis).as_millis()).unwrap_or(WAIT));
        self.held_until = now.saturating_add(wait);
        self.want(name);
    }

    /// When to look again.
    pub fn wake_at(&self) -> Option<u64> {
        (!self.wanted.is_empty()).then_some(self.held_until)
    }

    /// The connection is lost: what was asked is asked again, at the latest after the usual wait, and nothing is fresh.
    pub fn disconnected(&mut self, now: u64) {
        self.held_until = self.held_until.min(now.saturating_add(WAIT));
        self.wanted.extend(self.asked.drain().map(|(_, name)| name));
        self.fresh.clear();
        self.decided.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Username {
        "bob".parse().unwrap()
    }

    #[test]
    fn a_name_is_asked_for_once_until_the_answer_is_there() {
        let mut lookups = Lookups::default();
        lookups.want(&bob());
        lookups.want(&bob());
        let (id, name) = lookups.next(0).unwrap();
        assert_eq!(name, bob());
        lookups.want(&bob());
        assert_eq!(lookups.next(0), None);
        assert_eq!(lookups.answered(&id), Some(bob()));
        lookups.complete(&bob());
        assert!(lookups.is_fresh(&bob()) && !lookups.is_pending(&bob()));
        assert_eq!(lookups.answered(&id), None);
    }

    #[test]
    fn a_refusal_for_good_decides_but_teaches_nothing() {
        let mut lookups = Lookups::default();
        lookups.want(&bob());
        let (id, name) = lookups.next(0).unwrap();
        assert!(!lookups.is_decided(&bob()));
        lookups.answered(&id);
        lookups.refused(&name);
        assert!(lookups.is_decided(&bob()) && !lookups.is_fresh(&bob()) && !lookups.is_pending(&bob()));
        lookups.disconnected(0);
        assert!(!lookups.is_decided(&bob()));
    }

    #[test]
    fn after_a_lost_connection_it_is_asked_again() {
        let mut lookups = Lookups::default();
        lookups.want(&bob());
        let (id, _) = lookups.next(0).unwrap();
        lookups.disconnected(0);
        assert_eq!(lookups.answered(&id), None);
        assert!(lookups.next(0).is_some_and(|(again, name)| again != id && name == bob()));
    }

    #[test]
    fn a_refusal_for_now_is_waited_for() {
        let mut lookups = Lookups::default();
        lookups.want(&bob());
        let (id, name) = lookups.next(0).unwrap();
        lookups.answered(&id);
        lookups.refused_for_now(&name, Some(700), 100);
        assert_eq!((lookups.next(799), lookups.wake_at()), (None, Some(800)));
        let (id, name) = lookups.next(800).unwrap();
        lookups.answered(&id);
        lookups.refused_for_now(&name, Some(u64::MAX), 1_000);
        assert_eq!(lookups.wake_at(), Some(1_000 + 3_600_000));
        lookups.disconnected(2_000);
        assert_eq!(lookups.wake_at(), Some(2_000 + WAIT));
    }
}
