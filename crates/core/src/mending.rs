//! One's own chain at a server that knows less of it than this device (protocol section 3).
//!
//! A server that was restored from a copy has forgotten the last manifests of its accounts. It then shows devices that have
//! been removed since, and lets them in. So a device asks for its own account from one version before its newest on: a server
//! that is up to date shows at least that newest one. If it does not, the device finds out what the server has, and sends it
//! the links that are missing; only after that are the certificates that it shows judged.

use crate::pins::Learned;

/// How far the mending of one's own chain is, on this connection.
#[derive(Debug, Default)]
pub struct Mending {
    /// Everything from this version on is asked for, to find out how far the server is.
    from: Option<u64>,
    telling: Option<u64>,
    /// The server has been told all that it lacked.
    told: bool,
}

/// What is to be done about one's own chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// Ask for one's own keys again.
    Ask,
    /// Send the manifest of this version by `devices`.
    Tell(u64),
    /// The server shows nothing, or goes back behind what it was told: it is not to be believed.
    GoneBack,
}

impl Mending {
    /// The `sinceVersion` of a question for one's own keys, when `newest` is the newest version known.
    pub fn since(&self, newest: u64) -> u64 {
        self.from.unwrap_or(newest.saturating_sub(1))
    }

    /// Takes what an answer for one's own keys has taught; `newest` is the newest version known now. `None`: the chain is in
    /// order, and the answer is like anybody's.
    pub fn answered(&mut self, learned: &Learned, newest: u64) -> Option<Mend> {
        if learned.more {
            let from = self.from?;
            let shown = learned.shown.filter(|shown| *shown > from);
            self.from = Some(shown.unwrap_or(from));
            return Some(if shown.is_some() { Mend::Ask } else { Mend::GoneBack });
        }
        if !learned.behind {
            self.from = None;
            return None;
        }
        let has = learned.shown.or(self.from);
        Some(match has {
            _ if self.told => Mend::GoneBack,
            None if newest > 1 => {
                self.from = Some(0);
                Mend::Ask
            }
            None | Some(0) => Mend::GoneBack,
            Some(version) => {
                self.from = None;
                self.tell(version + 1)
            }
        })
    }

    fn tell(&mut self, version: u64) -> Mend {
        self.telling = Some(version);
        Mend::Tell(version)
    }

    /// The version that the server is being told.
    pub fn telling(&self) -> Option<u64> {
        self.telling
    }

    /// The server has taken the link that it was told.
    pub fn taken(&mut self, newest: u64) -> Option<Mend> {
        let version = self.telling.take()?;
        if version < newest {
            return Some(self.tell(version + 1));
        }
        self.told = true;
        Some(Mend::Ask)
    }

    /// The server has other links by now, of which it has shown none that contradict: it is asked again, once.
    pub fn refused(&mut self) {
        self.telling = None;
        self.told = true;
    }

    /// The server cannot now: all of it is done again later.
    pub fn later(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(version: u64, newest: u64) -> Learned {
        Learned { shown: Some(version).filter(|v| *v > 0), behind: version < newest, ..Learned::default() }
    }

    fn more(version: u64) -> Learned {
        Learned { shown: Some(version), more: true, ..Learned::default() }
    }

    #[test]
    fn a_server_that_shows_the_newest_is_in_order() {
        let mut mending = Mending::default();
        assert_eq!(mending.since(7), 6);
        assert_eq!(mending.answered(&shown(7, 7), 7), None);
        assert_eq!(mending.since(1), 0);
    }

    #[test]
    fn a_server_that_lacks_links_is_told_each_of_them_and_asked_again() {
        let mut mending = Mending::default();
        assert_eq!(mending.answered(&shown(0, 7), 7), Some(Mend::Ask));
        assert_eq!(mending.since(7), 0);
        assert_eq!(mending.answered(&shown(5, 7), 7), Some(Mend::Tell(6)));
        assert_eq!(mending.taken(7), Some(Mend::Tell(7)));
        assert_eq!(mending.telling(), Some(7));
        assert_eq!(mending.taken(7), Some(Mend::Ask));
        assert_eq!(mending.taken(7), None);
        assert_eq!(mending.since(7), 6);
        assert_eq!(mending.answered(&shown(7, 7), 7), None);
    }

    #[test]
    fn a_long_chain_is_looked_through_page_by_page() {
        let mut mending = Mending::default();
        assert_eq!(mending.answered(&shown(0, 120), 120), Some(Mend::Ask));
        assert_eq!(mending.answered(&more(50), 120), Some(Mend::Ask));
        assert_eq!(mending.since(120), 50);
        assert_eq!(mending.answered(&more(100), 120), Some(Mend::Ask));
        // Nothing more: the last page ends at a version that was shown before.
        assert_eq!(mending.answered(&shown(0, 120), 120), Some(Mend::Tell(101)));
    }

    #[test]
    fn a_server_that_shows_nothing_or_goes_back_again_is_not_believed() {
        let mut nothing = Mending::default();
        assert_eq!(nothing.answered(&shown(0, 1), 1), Some(Mend::GoneBack));
        let mut nothing_from_the_start = Mending::default();
        nothing_from_the_start.answered(&shown(0, 7), 7);
        assert_eq!(nothing_from_the_start.answered(&shown(0, 7), 7), Some(Mend::GoneBack));
        let mut no_progress = Mending::default();
        no_progress.answered(&shown(0, 120), 120);
        no_progress.answered(&more(50), 120);
        assert_eq!(no_progress.answered(&more(50), 120), Some(Mend::GoneBack));

        let mut again = Mending::default();
        again.answered(&shown(0, 7), 7);
        again.answered(&shown(6, 7), 7);
        assert_eq!(again.taken(7), Some(Mend::Ask));
        assert_eq!(again.answered(&shown(0, 7), 7), Some(Mend::GoneBack));
        let mut refused = Mending::default();
        refused.answered(&shown(0, 7), 7);
        refused.answered(&shown(6, 7), 7);
        refused.refused();
        assert_eq!(refused.answered(&shown(6, 7), 7), Some(Mend::GoneBack));
    }

    #[test]
    fn what_cannot_be_told_now_is_told_later() {
        let mut mending = Mending::default();
        mending.answered(&shown(0, 7), 7);
        mending.answered(&shown(6, 7), 7);
        mending.later();
        assert_eq!((mending.telling(), mending.since(7)), (None, 6));
        assert_eq!(mending.answered(&shown(0, 7), 7), Some(Mend::Ask));
    }
}
