//! Whose presence a person wants to see (protocol section 6, `presence`). A subscription belongs to a connection, so all
//! are told again on the next one.

use std::collections::BTreeSet;

use sealwire_protocol::frames::PresenceRequest;
use sealwire_protocol::ids::Username;

/// The subscriptions of a client.
#[derive(Debug, Default)]
pub struct Presence {
    wanted: BTreeSet<Username>,
    told: BTreeSet<Username>,
}

impl Presence {
    /// Exactly these are wanted from now on.
    pub fn watch(&mut self, names: BTreeSet<Username>) {
        self.wanted = names;
    }

    /// Whether somebody's presence is wanted: a server may tell of others.
    pub fn wants(&self, name: &Username) -> bool {
        self.wanted.contains(name)
    }

    /// What to tell the server now, if anything; it counts as told.
    pub fn next_request(&mut self) -> Option<PresenceRequest> {
        let names = |one: &BTreeSet<Username>, but: &BTreeSet<Username>| {
            let names: Vec<_> = one.difference(but).map(Username::to_string).collect();
            Some(names).filter(|names| !names.is_empty())
        };
        let subscribe = names(&self.wanted, &self.told);
        let unsubscribe = names(&self.told, &self.wanted);
        self.told.clone_from(&self.wanted);
        let any = subscribe.is_some() || unsubscribe.is_some();
        any.then_some(PresenceRequest { subscribe, unsubscribe, share: None })
    }

    /// The connection is lost, and with it all subscriptions.
    pub fn disconnected(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<Username> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn owned(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn only_differences_are_told_and_all_again_on_the_next_connection() {
        let mut presence = Presence::default();
        assert_eq!(presence.next_request(), None);
        presence.watch(names(&["bob", "carol"]));
        assert_eq!(presence.next_request().unwrap().subscribe, owned(&["bob", "carol"]));
        assert_eq!(presence.next_request(), None);
        presence.watch(names(&["carol", "dave"]));
        let request = presence.next_request().unwrap();
        assert_eq!((request.subscribe, request.unsubscribe), (owned(&["dave"]), owned(&["bob"])));
        presence.disconnected();
        let request = presence.next_request().unwrap();
        assert_eq!((request.subscribe, request.unsubscribe), (owned(&["carol", "dave"]), None));
    }

    #[test]
    fn only_those_who_were_asked_for_are_wanted() {
        let mut presence = Presence::default();
        presence.watch(names(&["bob"]));
        assert!(presence.wants(&"bob".parse().unwrap()));
        assert!(!presence.wants(&"carol".parse().unwrap()));
    }
}
