//! The conversation that is open: what is loaded of it, and which part of that is on the screen.

use sealwire_client::conversation::Entry;
use sealwire_protocol::Username;

use super::{Action, Page};
use crate::chat::editor::Editor;
use crate::chat::rows::{Place, Setting, places};

/// How many messages are asked for at a time.
const PAGE: usize = 100;

/// An open conversation.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) peer: Username,
    /// Oldest first.
    pub(crate) entries: Vec<Entry>,
    pub(crate) editor: Editor,
    /// The lowest line on the screen; `None` for the end of the conversation, whatever comes.
    pub(crate) lowest: Option<Place>,
    /// The first of the messages that were new when the conversation was opened.
    pub(crate) new_from: Option<i64>,
    /// A message that was searched for.
    pub(crate) sought: Option<i64>,
    /// Up to where it was told that messages were shown.
    pub(super) marked: Option<i64>,
    /// Something has changed since it was loaded.
    pub(super) is_old: bool,
    /// The oldest that is loaded is on the screen.
    pub(super) wants_more: bool,
    unread: u64,
    is_loaded: bool,
    is_loading: bool,
    /// Nothing lies before what is loaded.
    is_whole: bool,
}

impl Open {
    pub(super) fn new(peer: Username, draft: &str, unread: u64) -> Self {
        Self {
            peer,
            entries: Vec::new(),
            editor: Editor::with(draft),
            lowest: None,
            new_from: None,
            sought: None,
            marked: None,
            is_old: true,
            wants_more: false,
            unread,
            is_loaded: false,
            is_loading: false,
            is_whole: false,
        }
    }

    /// Whether there was an answer from the profile yet.
    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// How many were unread before it was loaded.
    pub(super) fn unread_is(&mut self, unread: u64) {
        if !self.is_loaded {
            self.unread = unread;
        }
    }

    /// What is to be asked of the profile, if anything.
    pub(super) fn question(&mut self) -> Option<Action> {
        if self.is_loading {
            return None;
        }
        let load = |before, count, until| Action::Load { peer: self.peer.clone(), before, count, until };
        let question = if self.is_old {
            let unread = usize::try_from(self.unread).unwrap_or(usize::MAX).saturating_add(PAGE / 4);
            // All that is loaded, and as many again as may have come.
            load(None, (self.entries.len() + PAGE / 2).max(PAGE).max(unread), self.sought)
        } else if self.wants_more && !self.is_whole {
            load(self.entries.first().map(|entry| entry.position), PAGE, None)
        } else {
            return None;
        };
        (self.is_old, self.wants_more, self.is_loading) = (false, false, true);
        Some(question)
    }

    pub(super) fn page_loaded(&mut self, page: Page, setting: &Setting<'_>) {
        self.is_loading = false;
        self.is_whole = page.is_first;
        if page.before.is_some() {
            self.entries.splice(0..0, page.entries);
            return;
        }
        self.entries = page.entries;
        if !self.is_loaded {
            self.is_loaded = true;
            self.find_new(setting);
        }
        if let Some(sought) = self.sought.filter(|sought| self.lowest.is_none_or(|lowest| lowest.position != *sought)) {
            self.show(sought, setting);
        }
    }

    /// Finds the first new message, and shows it where not all new ones fit.
    fn find_new(&mut self, setting: &Setting<'_>) {
        let unread = usize::try_from(self.unread).unwrap_or(usize::MAX);
        let theirs = self.entries.iter().rev().filter(|entry| !entry.own);
        let Some(first) = theirs.take(unread).last().map(|entry| entry.position) else { return };
        self.new_from = Some(first);
        let (all, height) = (places(self, setting), setting.size.1);
        if let Some(at) = all.iter().position(|place| place.position == first)
            && all.len() - at > height
        {
            self.lowest = all.get(at + height.saturating_sub(1)).copied();
        }
    }

    /// Puts a message into the middle of the screen.
    fn show(&mut self, position: i64, setting: &Setting<'_>) {
        let all = places(self, setting);
        if let Some(at) = all.iter().rposition(|place| place.position == position) {
            self.lowest = all.get(at + setting.size.1 / 2).copied();
        }
    }

    pub(super) fn seek(&mut self, position: i64, setting: &Setting<'_>) {
        self.sought = Some(position);
        match self.entries.iter().any(|entry| entry.position == position) {
            true => self.show(position, setting),
            false => self.is_old = true,
        }
    }

    pub(super) fn go_to_bottom(&mut self) {
        (self.lowest, self.sought) = (None, None);
    }

    pub(super) fn go_to_top(&mut self, setting: &Setting<'_>) {
        self.lowest = places(self, setting).get(setting.size.1.saturating_sub(1)).copied();
    }

    /// Moves the part that is on the screen by so many lines; upwards when negative.
    pub(super) fn scroll(&mut self, lines: isize, setting: &Setting<'_>) {
        let all = places(self, setting);
        let Some(last) = all.len().checked_sub(1) else { return };
        let now = self.lowest.and_then(|lowest| all.iter().position(|place| *place == lowest)).unwrap_or(last);
        // The first line does not go below the top of the screen.
        let next = now.saturating_add_signed(lines).clamp(last.min(setting.size.1.saturating_sub(1)), last);
        self.lowest = (next < last).then(|| all[next]);
    }
}
