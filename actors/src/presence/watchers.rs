//! Who is here as others may see it, and who wants to know (protocol section 6, `presence`): a concurrent map that sessions
//! change without asking an actor. Whoever does not share, is not there or does not exist looks the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use sealwire_bus::NodeId;
use sealwire_protocol::Username;

use crate::session::Inbox;

/// Whom to tell of a name.
type Teller = Box<dyn Fn(&Username) + Send + Sync>;

/// Everybody who is here, or whom somebody watches.
#[derive(Default)]
pub(crate) struct Watchers {
    people: DashMap<Username, Person>,
    /// Told when it changes whether somebody can be seen at this node, or is watched from here.
    tells: OnceLock<Teller>,
}

#[derive(Default)]
struct Person {
    /// Of all the devices.
    connections: usize,
    /// Whether others may see them.
    shares: bool,
    /// Other nodes at which they can be seen.
    elsewhere: HashSet<NodeId>,
    /// By the address of their inbox, which is theirs for as long as they watch.
    watched_by: HashMap<usize, Arc<Inbox>>,
}

impl Person {
    fn is_seen_here(&self) -> bool {
        self.shares && self.connections > 0
    }

    fn is_online(&self) -> bool {
        self.is_seen_here() || !self.elsewhere.is_empty()
    }

    /// What the other nodes are to know.
    fn state(&self) -> (bool, bool) {
        (self.is_seen_here(), !self.watched_by.is_empty())
    }

    /// Changes something and tells the watchers if it can be seen. True when the other nodes are to be told.
    fn change(&mut self, name: &Username, change: impl FnOnce(&mut Self)) -> bool {
        let (before, state) = (self.is_online(), self.state());
        change(self);
        let online = self.is_online();
        if online != before {
            self.watched_by.values().for_each(|inbox| inbox.presence(name, online));
        }
        self.state() != state
    }

    fn is_of_no_use(&self) -> bool {
        self.connections == 0 && self.watched_by.is_empty()
    }
}

impl Watchers {
    /// Names whom to tell what the other nodes are to know.
    pub(crate) fn tells(&self, tell: impl Fn(&Username) + Send + Sync + 'static) {
        if self.tells.set(Box::new(tell)).is_err() {
            tracing::error!("the watchers were told twice whom to tell");
        }
    }

    fn tell(&self, name: &Username) {
        if let Some(tell) = self.tells.get() {
            tell(name);
        }
    }

    /// Whether somebody can be seen here, and is watched from here.
    pub(crate) fn state(&self, name: &Username) -> (bool, bool) {
        self.people.get(name).map_or((false, false), |person| person.state())
    }

    /// Everybody who is here or watched from here.
    pub(crate) fn names(&self) -> Vec<Username> {
        self.people.iter().map(|person| person.key().clone()).collect()
    }

    /// Somebody can be seen at another node, or no more.
    pub(crate) fn elsewhere(&self, name: &Username, node: NodeId, online: bool) {
        self.change(name, |person| {
            if online {
                person.elsewhere.insert(node)
            } else {
                person.elsewhere.remove(&node)
            };
        });
    }

    /// Somebody can be seen at these other nodes, and at no more.
    pub(crate) fn shown_at(&self, name: &Username, nodes: &[NodeId]) {
        self.change(name, |person| person.elsewhere = nodes.iter().copied().collect());
    }

    /// Nobody can be seen at another node any more.
    pub(crate) fn node_gone(&self, node: NodeId) {
        for name in self.names() {
            self.change(&name, |person| _ = person.elsewhere.remove(&node));
        }
    }

    fn change(&self, name: &Username, change: impl FnOnce(&mut Person)) {
        if let Some(mut person) = self.people.get_mut(name) {
            person.change(name, change);
        }
    }

    /// A device of this name is here, until what is given is dropped. `shares` is what the account says; while another
    /// device is here already, what was known from that one stands.
    pub(crate) fn enter(self: &Arc<Self>, name: &Username, shares: bool) -> Here {
        let seen = self.people.entry(name.clone()).or_default().change(name, |person| {
            if person.connections == 0 {
                person.shares = shares;
            }
            person.connections += 1;
        });
        if seen {
            self.tell(name);
        }
        Here { watchers: self.clone(), name: name.clone() }
    }

    /// The account of somebody who is here shares from now on, or does no more.
    pub(crate) fn share(&self, name: &Username, shares: bool) {
        let person = self.people.get_mut(name);
        if person.is_some_and(|mut person| person.change(name, |person| person.shares = shares)) {
            self.tell(name);
        }
    }

    fn forget_if_of_no_use(&self, name: &Username, change: impl FnOnce(&mut Person)) {
        if let Entry::Occupied(mut person) = self.people.entry(name.clone()) {
            let tell = person.get_mut().change(name, change);
            if person.get().is_of_no_use() {
                person.remove();
            }
            if tell {
                self.tell(name);
            }
        }
    }
}

/// A device that is here.
pub(crate) struct Here {
    watchers: Arc<Watchers>,
    name: Username,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.watchers.forget_if_of_no_use(&self.name, |person| person.connections -= 1);
    }
}

/// Whom a session watches, until it is dropped.
pub(crate) struct Watching {
    watchers: Arc<Watchers>,
    inbox: Arc<Inbox>,
    names: HashSet<Username>,
}

impl Watching {
    /// Nobody yet.
    pub(crate) fn new(watchers: Arc<Watchers>, inbox: Arc<Inbox>) -> Self {
        Self { watchers, inbox, names: HashSet::new() }
    }

    fn key(&self) -> usize {
        Arc::as_ptr(&self.inbox).addr()
    }

    /// How many names would be watched after a change.
    pub(crate) fn count_with(&self, added: &[Username], removed: &[Username]) -> usize {
        let removed: HashSet<_> = removed.iter().collect();
        let all: HashSet<_> = self.names.iter().chain(added).collect();
        all.difference(&removed).count()
    }

    /// Watches a name; says whether it is online now. What changes from here on is left in the inbox.
    pub(crate) fn add(&mut self, name: &Username) -> bool {
        let mut person = self.watchers.people.entry(name.clone()).or_default();
        let first = person.watched_by.is_empty();
        person.watched_by.insert(self.key(), self.inbox.clone());
        self.names.insert(name.clone());
        if first {
            self.watchers.tell(name);
        }
        person.is_online()
    }

    /// Watches a name no more.
    pub(crate) fn remove(&mut self, name: &Username) {
        if self.names.remove(name) {
            self.leave(name);
        }
    }

    fn leave(&self, name: &Username) {
        let key = self.key();
        self.watchers.forget_if_of_no_use(name, |person| _ = person.watched_by.remove(&key));
    }

    /// Whether a name is watched.
    pub(crate) fn has(&self, name: &Username) -> bool {
        self.names.contains(name)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| self.leave(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        watchers: Arc<Watchers>,
        inbox: Arc<Inbox>,
        alice: Watching,
        bob: Username,
    }

    fn world() -> World {
        let (watchers, inbox) = (Arc::new(Watchers::default()), Inbox::new());
        let alice = Watching::new(watchers.clone(), inbox.clone());
        World { watchers, inbox, alice, bob: "bob".parse().unwrap() }
    }

    impl World {
        fn news(&self) -> Option<bool> {
            self.inbox.take().presence.get(&self.bob).copied()
        }
    }

    #[test]
    fn somebody_who_shares_is_seen_to_come_and_go() {
        let mut world = world();
        assert!(!world.alice.add(&world.bob));
        let here = world.watchers.enter(&world.bob, true);
        assert_eq!((world.news(), world.alice.add(&world.bob)), (Some(true), true));
        drop(here);
        assert_eq!(world.news(), Some(false));
    }

    #[test]
    fn somebody_who_does_not_share_is_never_here() {
        let mut world = world();
        assert!(!world.alice.add(&world.bob));
        let _here = world.watchers.enter(&world.bob, false);
        assert_eq!((world.news(), world.alice.add(&world.bob)), (None, false));
        world.watchers.share(&world.bob, true);
        assert_eq!(world.news(), Some(true));
        world.watchers.share(&world.bob, false);
        assert_eq!(world.news(), Some(false));
    }

    #[test]
    fn a_second_connection_and_a_reconnect_are_no_news() {
        let mut world = world();
        let first = world.watchers.enter(&world.bob, true);
        assert!(world.alice.add(&world.bob));
        let second = world.watchers.enter(&world.bob, true);
        drop(first);
        assert_eq!(world.news(), None);
        drop(second);
        assert_eq!(world.news(), Some(false));
    }

    #[test]
    fn news_that_nobody_has_taken_are_replaced_by_later_ones() {
        let mut world = world();
        world.alice.add(&world.bob);
        (0..5).for_each(|_| drop(world.watchers.enter(&world.bob, true)));
        assert_eq!(world.inbox.take().presence.len(), 1);
    }

    #[test]
    fn nothing_is_left_of_whom_nobody_watches() {
        let mut world = world();
        let here = world.watchers.enter(&world.bob, true);
        world.alice.add(&world.bob);
        world.alice.remove(&world.bob);
        drop(here);
        assert_eq!(world.news(), None);
        world.alice.add(&world.bob);
        assert_eq!(world.alice.count_with(&[world.bob.clone()], &[]), 1);
        assert_eq!(world.alice.count_with(&["carol".parse().unwrap()], &[world.bob.clone()]), 1);
        let World { watchers, alice, .. } = world;
        drop(alice);
        assert!(watchers.people.is_empty());
    }
}
