//! What stands in front of the conversations: help, a new name, search, a person, oneself.

use crossterm::event::{KeyCode, KeyEvent};
use sealwire_client::conversation::Entry;
use sealwire_protocol::Username;

use super::keys::edit;
use super::{Action, App};
use crate::chat::editor::Editor;

/// A name that is being typed.
#[derive(Debug, Default)]
pub(crate) struct NewName {
    pub(crate) editor: Editor,
    /// Why it cannot be one.
    pub(crate) wrong: Option<String>,
}

/// A search through all conversations.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) editor: Editor,
    /// What was searched for last, and what was found: newest first; `None` while it is being looked for.
    pub(crate) found: Option<(String, Option<Vec<Entry>>)>,
    pub(crate) chosen: usize,
}

/// What stands in front.
#[derive(Debug)]
pub(crate) enum Dialog {
    Help,
    New(NewName),
    Search(Search),
    /// What can be decided about somebody.
    Person(Username),
    /// A safety number that is to be compared; `None` while it is asked for.
    Safety {
        peer: Username,
        number: Option<Result<String, String>>,
    },
    /// Whether a changed key is to be believed.
    Change(Username),
    /// Oneself.
    Me,
}

impl App {
    pub(super) fn dialog_key(&mut self, key: KeyEvent) {
        let Some(dialog) = self.dialog.take() else { return };
        if matches!(key.code, KeyCode::Esc) {
            return;
        }
        match dialog {
            Dialog::Help => self.help_key(key),
            Dialog::New(new) => self.new_key(new, key),
            Dialog::Search(search) => self.search_key(search, key),
            Dialog::Person(peer) => self.person_key(peer, key),
            Dialog::Safety { peer, number } => self.safety_key(peer, number, key),
            Dialog::Change(peer) => self.change_key(peer, key),
            Dialog::Me => self.me_key(key),
        }
    }

    pub(super) fn dialog_paste(&mut self, text: &str) {
        let line = text.lines().next().unwrap_or_default();
        match &mut self.dialog {
            Some(Dialog::New(new)) => new.editor.insert(line.trim()),
            Some(Dialog::Search(search)) => search.editor.insert(line),
            _ => {}
        }
    }

    fn help_key(&mut self, key: KeyEvent) {
        if !matches!(key.code, KeyCode::Enter | KeyCode::F(1) | KeyCode::Char('q' | '?')) {
            self.dialog = Some(Dialog::Help);
        }
    }

    fn new_key(&mut self, mut new: NewName, key: KeyEvent) {
        if !matches!(key.code, KeyCode::Enter) {
            edit(&mut new.editor, key);
            self.dialog = Some(Dialog::New(NewName { wrong: None, ..new }));
            return;
        }
        match new.editor.text().trim().to_lowercase().parse::<Username>() {
            Ok(peer) => self.begin_with(&peer),
            Err(error) => {
                let wrong = Some(error.to_string());
                self.dialog = Some(Dialog::New(NewName { wrong, ..new }));
            }
        }
    }

    fn begin_with(&mut self, peer: &Username) {
        if self.contact(peer).is_none() {
            self.conversations.insert(0, super::begun_with(peer));
        }
        self.open(peer);
    }

    fn search_key(&mut self, mut search: Search, key: KeyEvent) {
        let entries = search.found.iter().flat_map(|(_, entries)| entries.iter().flatten());
        let count = entries.clone().count();
        let is_new = search.found.as_ref().is_none_or(|(text, _)| text != search.editor.text());
        match key.code {
            KeyCode::Enter if search.editor.is_blank() => {}
            KeyCode::Enter if is_new => {
                let text = search.editor.text().to_owned();
                search.found = Some((text.clone(), None));
                search.chosen = 0;
                self.act(Action::Search(text));
            }
            KeyCode::Enter => {
                if let Some((peer, position)) =
                    entries.clone().nth(search.chosen).map(|entry| (entry.peer.clone(), entry.position))
                {
                    self.jump(&peer, position);
                    return;
                }
            }
            KeyCode::Up => search.chosen = search.chosen.saturating_sub(1),
            KeyCode::Down => search.chosen = (search.chosen + 1).min(count.saturating_sub(1)),
            _ => edit(&mut search.editor, key),
        }
        self.dialog = Some(Dialog::Search(search));
    }

    fn jump(&mut self, peer: &Username, position: i64) {
        self.open(peer);
        self.with_open(|open, setting| open.seek(position, setting));
    }

    pub(super) fn found(&mut self, text: &str, entries: Vec<Entry>) {
        if let Some(Dialog::Search(search)) = &mut self.dialog
            && let Some((sought, found)) = &mut search.found
            && sought == text
        {
            *found = Some(entries);
        }
    }

    /// Each decision is one letter; what is not offered does nothing.
    fn person_key(&mut self, peer: Username, key: KeyEvent) {
        let KeyCode::Char(letter) = key.code else {
            self.dialog = (!matches!(key.code, KeyCode::Enter | KeyCode::F(2))).then_some(Dialog::Person(peer));
            return;
        };
        let is_me = peer == self.me.name;
        let (blocked, muted) = self.contact(&peer).map_or((false, false), |contact| (contact.blocked, contact.muted));
        let verified = self.contact(&peer).is_some_and(|contact| contact.verified);
        let changed = self.key_has_changed(&peer);
        match letter {
            _ if is_me => {}
            'a' if self.is_request(&peer) => self.act(Action::Accept(peer.clone())),
            'm' => self.act(Action::Mute(peer.clone(), !muted)),
            'b' => self.act(Action::Block(peer.clone(), !blocked)),
            'k' if changed => return self.dialog = Some(Dialog::Change(peer)),
            'v' if verified => self.act(Action::SetVerified(peer.clone(), false)),
            'v' if !changed => return self.verify(peer),
            _ => {}
        }
        self.list_is_old = true;
        self.dialog = Some(Dialog::Person(peer));
    }

    fn verify(&mut self, peer: Username) {
        self.act(Action::AskSafety(peer.clone()));
        self.dialog = Some(Dialog::Safety { peer, number: None });
    }

    pub(super) fn safety(&mut self, peer: &Username, answer: Result<String, String>) {
        if let Some(Dialog::Safety { peer: asked, number }) = &mut self.dialog
            && asked == peer
        {
            *number = Some(answer);
        }
    }

    /// Only an answer to the question counts; a number that is not there cannot be confirmed.
    fn safety_key(&mut self, peer: Username, number: Option<Result<String, String>>, key: KeyEvent) {
        match (key.code, &number) {
            (KeyCode::Char('y'), Some(Ok(_))) => {
                self.act(Action::SetVerified(peer.clone(), true));
                self.list_is_old = true;
            }
            (KeyCode::Char('n'), Some(Ok(_))) => self.notice(format!(
                "The safety numbers of you and {peer} differ: somebody may be reading along. Write nothing that matters, and \
                 tell {peer} by another way."
            )),
            (KeyCode::Enter, Some(Err(_))) => {}
            _ => self.dialog = Some(Dialog::Safety { peer, number }),
        }
    }

    fn change_key(&mut self, peer: Username, key: KeyEvent) {
        match key.code {
            KeyCode::Char('y') => {
                self.act(Action::AcceptIdentity(peer));
                self.list_is_old = true;
            }
            KeyCode::Char('n') => {}
            _ => self.dialog = Some(Dialog::Change(peer)),
        }
    }

    fn me_key(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Char('p') => {
                self.me.shares_presence = !self.me.shares_presence;
                self.act(Action::SharePresence(self.me.shares_presence));
                self.dialog = Some(Dialog::Me);
            }
            KeyCode::Enter | KeyCode::F(3) => {}
            _ => self.dialog = Some(Dialog::Me),
        }
    }
}
