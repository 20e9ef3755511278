//! How many connections the node takes, and how many of one address (protocol section 8).

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealwire_actors::counted;

use crate::config::limits::EdgeLimits;

/// The time in which new connections of an address are counted.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// How long to wait when the number of live connections is the limit: nobody knows when one of them ends.
const WAIT: Duration = Duration::from_secs(10);

/// Addresses without a live connection that are remembered; beyond it their history is forgotten, live ones never.
const REMEMBERED: usize = 50_000;

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The node has all the connections that it takes.
    NodeFull,
    /// The address has all the connections that it may have.
    AddressFull {
        /// When to try again.
        retry_after: Duration,
    },
    /// The address has opened too many connections lately.
    TooOften {
        /// When the next one is taken.
        retry_after: Duration,
    },
}

/// Counts connections. Memory is bounded by the live connections and [`REMEMBERED`].
#[derive(Debug)]
pub(crate) struct Admission {
    counters: Mutex<Counters>,
}

impl Admission {
    /// Nobody is connected.
    pub(crate) fn new(limits: EdgeLimits) -> Arc<Self> {
        Arc::new(Self { counters: Mutex::new(Counters::new(limits)) })
    }

    /// Takes a connection of `address` at `now`, for as long as the permit lives.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Permit, Refused> {
        let address = counted(address);
        self.counters().admit(address, now)?;
        Ok(Permit { admission: Arc::clone(self), address })
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        // Counters are whole between any two statements; a panic elsewhere takes nothing from them.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.counters().leave(self.address);
    }
}

/// The counting, without clock and lock.
#[derive(Debug)]
struct Counters {
    limits: EdgeLimits,
    live: usize,
    addresses: HashMap<IpAddr, Entry>,
    /// The map is swept when it has grown to this.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Entry {
    live: usize,
    /// When the last connections were opened, the oldest first; at most as many as the limit.
    opened: VecDeque<Instant>,
}

impl Entry {
    fn forget_before(&mut self, now: Instant) {
        while self.opened.front().is_some_and(|opened| now.saturating_duration_since(*opened) >= WINDOW) {
            self.opened.pop_front();
        }
    }
}

/// Sweeping fewer is not worth the walk.
const SMALL: usize = 1_024;

impl Counters {
    fn new(limits: EdgeLimits) -> Self {
        Self { limits, live: 0, addresses: HashMap::new(), sweep_at: SMALL }
    }

    fn admit(&mut self, address: IpAddr, now: Instant) -> Result<(), Refused> {
        if self.live >= self.limits.max_connections {
            return Err(Refused::NodeFull);
        }
        if self.addresses.len() >= self.sweep_at {
            self.sweep(now);
        }
        let EdgeLimits { connections_per_ip, new_connections_per_ip, .. } = self.limits;
        let entry = self.addresses.entry(address).or_default();
        entry.forget_before(now);
        if connections_per_ip > 0 && entry.live >= connections_per_ip {
            return Err(Refused::AddressFull { retry_after: WAIT });
        }
        if new_connections_per_ip > 0 {
            // An attempt that is refused is not counted, so that the time given is the time it takes.
            if let Some(oldest) = entry.opened.front().filter(|_| entry.opened.len() >= new_connections_per_ip) {
                return Err(Refused::TooOften { retry_after: WINDOW - now.saturating_duration_since(*oldest) });
            }
            entry.opened.push_back(now);
        }
        entry.live += 1;
        self.live += 1;
        Ok(())
    }

    fn leave(&mut self, address: IpAddr) {
        self.live = self.live.saturating_sub(1);
        if let Some(entry) = self.addresses.get_mut(&address) {
            entry.live = entry.live.saturating_sub(1);
            if entry.live == 0 && entry.opened.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.addresses.retain(|_, entry| {
            entry.forget_before(now);
            entry.live > 0 || !entry.opened.is_empty()
        });
        let idle = self.addresses.values().filter(|entry| entry.live == 0).count();
        if idle > REMEMBERED {
            self.addresses.retain(|_, entry| entry.live > 0);
        }
        self.sweep_at = (self.addresses.len() * 2).max(SMALL);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ALICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn admission(max_connections: usize, connections_per_ip: usize, new_connections_per_ip: usize) -> Arc<Admission> {
        Admission::new(EdgeLimits { max_connections, connections_per_ip, new_connections_per_ip })
    }

    fn numbered(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn the_node_takes_no_more_than_its_maximum_until_one_leaves() {
        let (admission, now) = (admission(2, 0, 0), Instant::now());
        let first = admission.admit(ALICE, now).expect("the first");
        let _second = admission.admit(BOB, now).expect("the second");
        assert_eq!(admission.admit(BOB, now).expect_err("the third"), Refused::NodeFull);
        drop(first);
        admission.admit(BOB, now).expect("a place is free");
    }

    #[test]
    fn an_address_has_its_own_maximum_and_others_do_not_suffer() {
        let (admission, now) = (admission(100, 1, 0), Instant::now());
        let first = admission.admit(ALICE, now).expect("the first");
        assert_eq!(admission.admit(ALICE, now).expect_err("the second"), Refused::AddressFull { retry_after: WAIT });
        let _other = admission.admit(BOB, now).expect("another address");
        drop(first);
        admission.admit(ALICE, now).expect("a place is free");
    }

    #[test]
    fn new_connections_are_counted_in_any_ten_seconds_and_the_wait_is_exact() {
        let (admission, start) = (admission(100, 0, 2), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        drop(admission.admit(ALICE, at(0)).expect("the first"));
        drop(admission.admit(ALICE, at(4)).expect("the second"));
        let wait = |seconds| Refused::TooOften { retry_after: Duration::from_secs(seconds) };
        assert_eq!(admission.admit(ALICE, at(6)).expect_err("too often"), wait(4));
        assert_eq!(admission.admit(ALICE, at(9)).expect_err("too often"), wait(1));
        drop(admission.admit(ALICE, at(10)).expect("the first is forgotten"));
        assert_eq!(admission.admit(ALICE, at(10)).expect_err("too often"), wait(4));
        drop(admission.admit(BOB, at(10)).expect("another address"));
    }

    #[test]
    fn the_addresses_of_one_ipv6_64_count_as_one() {
        let (admission, now) = (admission(100, 1, 0), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        let _first = admission.admit(address("2001:db8::1"), now).expect("the first");
        admission.admit(address("2001:db8::2"), now).expect_err("the same /64");
        admission.admit(address("2001:db8:0:1::1"), now).expect("another /64");
    }

    #[test]
    fn addresses_that_have_gone_are_forgotten_after_the_window() {
        let (admission, start) = (admission(usize::MAX, 0, 20), Instant::now());
        let _live = admission.admit(ALICE, start).expect("live");
        for number in 0..10_000 {
            drop(admission.admit(numbered(number), start).expect("short"));
        }
        assert_eq!(admission.counters().addresses.len(), 10_001);
        admission.counters().sweep(start + WINDOW);
        assert_eq!(admission.counters().addresses.len(), 1);
        assert_eq!(admission.counters().live, 1);
    }

    #[test]
    fn more_addresses_than_are_remembered_within_the_window_do_not_grow_the_map_without_bound() {
        let (admission, now) = (admission(usize::MAX, 1, 1), Instant::now());
        let _live = admission.admit(ALICE, now).expect("live");
        let most = (0..300_000)
            .map(|number| {
                drop(admission.admit(numbered(number), now));
                admission.counters().addresses.len()
            })
            .max();
        assert!(most < Some(4 * REMEMBERED), "{most:?}");
        admission.admit(ALICE, now).expect_err("a live address is never forgotten");
    }
}
