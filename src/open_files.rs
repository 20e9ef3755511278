//! The limit on open files: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: the store, listeners, pipes of the runtime, probes.
const OTHERS: u64 = 256;

/// Raises the soft limit as far as `wanted` connections need and the hard limit lets it. Returns how many connections
/// there is room for: one that cannot be accepted would hang, one beyond the maximum gets an answer.
pub(crate) fn make_room(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let goal = soft_limit(wanted, current, maximum);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: goal, maximum }).is_ok();
    let room = room(wanted, if raised { goal } else { current });
    if room < wanted {
        tracing::info!(
            connections = room,
            "the hard limit on open files (`ulimit -Hn`, LimitNOFILE) leaves room for fewer connections than \
             limits.max_connections"
        );
    }
    room
}

/// The soft limit to ask for; `None` is no limit.
fn soft_limit(wanted: usize, current: Option<u64>, maximum: Option<u64>) -> Option<u64> {
    let needed = (wanted as u64).saturating_add(OTHERS);
    current.map(|current| current.max(maximum.map_or(needed, |maximum| maximum.min(needed))))
}

/// The connections that fit into `limit` files, at most `wanted`.
fn room(wanted: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return wanted };
    // A tiny limit is shared half and half.
    let free = limit.saturating_sub(OTHERS).max(limit / 2);
    usize::try_from(free).map_or(wanted, |free| free.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_rises_to_what_is_needed_within_the_hard_one_and_never_falls() {
        assert_eq!(soft_limit(20_000, Some(1_024), Some(500_000)), Some(20_256));
        assert_eq!(soft_limit(20_000, Some(1_024), Some(20_000)), Some(20_000));
        assert_eq!(soft_limit(20_000, Some(1_024), None), Some(20_256));
        assert_eq!(soft_limit(100, Some(1_024), Some(4_096)), Some(1_024));
        assert_eq!(soft_limit(100, None, None), None);
    }

    #[test]
    fn connections_that_would_find_no_file_are_not_taken() {
        assert_eq!(room(20_000, Some(20_256)), 20_000);
        assert_eq!(room(20_000, Some(20_000)), 19_744);
        assert_eq!(room(20_000, None), 20_000);
        assert_eq!(room(20_000, Some(256)), 128);
        assert_eq!(room(10, Some(1_024)), 10);
    }
}
