//! When devices were last connected, on its way to the disk.
//!
//! A log-in need not wait for the disk, and a thousand of them need not write a thousand times: the times wait here and go
//! with the next transaction, or after a minute without one. Readers lay what waits over what they have read.

use std::collections::HashMap;

use parking_lot::Mutex;
use sealwire_protocol::DeviceId;

/// Times that are not committed yet.
#[derive(Debug, Default)]
pub(super) struct Seen {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    times: HashMap<DeviceId, u64>,
    /// Rises whenever times have been committed and are gone from here.
    commits: u64,
}

impl Seen {
    /// Notes a time.
    pub(super) fn note(&self, device: DeviceId, at: u64) {
        let mut waiting = self.waiting.lock();
        let time = waiting.times.entry(device).or_default();
        *time = at.max(*time);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.lock().times.is_empty()
    }

    /// What waits, to be written.
    pub(super) fn to_write(&self) -> Vec<(DeviceId, u64)> {
        self.waiting.lock().times.iter().map(|(device, at)| (*device, *at)).collect()
    }

    /// Drops what is committed now, except where a later time has come meanwhile.
    pub(super) fn written(&self, written: &[(DeviceId, u64)]) {
        if written.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        waiting.commits += 1;
        for (device, at) in written {
            if waiting.times.get(device).is_some_and(|time| time <= at) {
                waiting.times.remove(device);
            }
        }
    }

    /// To be asked before reading, for [`overlay`](Self::overlay).
    pub(super) fn commits(&self) -> u64 {
        self.waiting.lock().commits
    }

    /// Raises the times that were read to those that wait. False if some were committed since `commits` was asked for:
    /// what was read may be from before and what waited is gone, so read again.
    #[must_use]
    pub(super) fn overlay<'a>(&self, commits: u64, read: impl Iterator<Item = (&'a DeviceId, &'a mut u64)>) -> bool {
        let waiting = self.waiting.lock();
        for (device, at) in read {
            *at = waiting.times.get(device).copied().unwrap_or(0).max(*at);
        }
        waiting.commits == commits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        DeviceId::new_v7(1, [0; 10])
    }

    fn overlaid(seen: &Seen, commits: u64) -> (bool, u64) {
        let mut at = 5;
        (seen.overlay(commits, [(&device(), &mut at)].into_iter()), at)
    }

    #[test]
    fn a_later_time_that_comes_during_a_commit_is_kept() {
        let seen = Seen::default();
        seen.note(device(), 10);
        let written = seen.to_write();
        seen.note(device(), 11);
        seen.written(&written);
        assert_eq!(overlaid(&seen, seen.commits()), (true, 11));
        seen.written(&seen.to_write());
        assert_eq!(seen.to_write(), vec![]);
    }

    #[test]
    fn a_reader_is_told_to_read_again_when_times_were_committed_under_it() {
        let seen = Seen::default();
        seen.note(device(), 10);
        let commits = seen.commits();
        assert_eq!(overlaid(&seen, commits), (true, 10));
        seen.written(&seen.to_write());
        assert!(!overlaid(&seen, commits).0);
        assert_eq!(overlaid(&seen, seen.commits()), (true, 5));
    }
}
