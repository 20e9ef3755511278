//! What each key does. `view::help` tells the person the same.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Action, App, Dialog, Focus, Link, NewName, Search};
use crate::chat::editor::Editor;

/// Keys that change a text; says whether it was one.
pub(super) fn edit(editor: &mut Editor, key: KeyEvent) {
    let (control, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
    match key.code {
        KeyCode::Left if control || alt => editor.word_left(),
        KeyCode::Right if control || alt => editor.word_right(),
        KeyCode::Left => editor.left(),
        KeyCode::Right => editor.right(),
        KeyCode::Home => editor.home(),
        KeyCode::End => editor.end(),
        KeyCode::Backspace if control || alt => editor.cut_word(),
        KeyCode::Backspace => editor.backspace(),
        KeyCode::Delete => editor.delete(),
        KeyCode::Char(letter) if control => control_edit(editor, letter),
        KeyCode::Char('b') if alt => editor.word_left(),
        KeyCode::Char('f') if alt => editor.word_right(),
        KeyCode::Char(_) if alt => {}
        KeyCode::Char(letter) => editor.insert(letter.encode_utf8(&mut [0; 4])),
        _ => {}
    }
}

fn control_edit(editor: &mut Editor, letter: char) {
    match letter {
        'a' => editor.home(),
        'e' => editor.end(),
        'b' => editor.left(),
        'd' => editor.delete(),
        'h' => editor.backspace(),
        'k' => editor.cut_to_end(),
        'u' => editor.cut_to_start(),
        'w' => editor.cut_word(),
        'y' => editor.paste_cut(),
        _ => {}
    }
}

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.act(Action::Quit),
            KeyCode::Char('l') if control => self.act(Action::Redraw),
            _ if self.dialog.is_some() => self.dialog_key(key),
            KeyCode::F(1) => self.dialog = Some(Dialog::Help),
            KeyCode::F(2) => self.person(),
            KeyCode::Char('o') if control => self.person(),
            KeyCode::F(3) => self.dialog = Some(Dialog::Me),
            KeyCode::Char('n') if control => self.dialog = Some(Dialog::New(NewName::default())),
            KeyCode::Char('f') if control => self.dialog = Some(Dialog::Search(Search::default())),
            KeyCode::Up if key.modifiers.contains(KeyModifiers::ALT) => self.next_conversation(-1),
            KeyCode::Down if key.modifiers.contains(KeyModifiers::ALT) => self.next_conversation(1),
            KeyCode::Esc => self.escape(),
            _ if self.focus == Focus::List => self.list_key(key),
            _ => self.conversation_key(key),
        }
    }

    /// Dismisses the first warning; without one, goes to the list.
    fn escape(&mut self) {
        match (self.notices.is_empty(), self.focus) {
            (false, _) => drop(self.notices.remove(0)),
            (true, Focus::Conversation) => self.focus = Focus::List,
            (true, Focus::List) => {}
        }
    }

    fn person(&mut self) {
        let peer = match (self.focus, &self.open) {
            (Focus::Conversation, Some(open)) => Some(open.peer.clone()),
            _ => self.conversations.get(self.chosen).map(|one| one.peer.clone()),
        };
        self.dialog = peer.map(Dialog::Person);
    }

    fn next_conversation(&mut self, step: isize) {
        let last = self.conversations.len().saturating_sub(1);
        let next = self.chosen.saturating_add_signed(step).min(last);
        if let Some(peer) = self.conversations.get(next).map(|one| one.peer.clone()) {
            self.chosen = next;
            self.open(&peer);
        }
    }

    fn list_key(&mut self, key: KeyEvent) {
        let last = self.conversations.len().saturating_sub(1);
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.chosen = (self.chosen + 1).min(last),
            KeyCode::Home => self.chosen = 0,
            KeyCode::End => self.chosen = last,
            KeyCode::PageUp => self.chosen = self.chosen.saturating_sub(10),
            KeyCode::PageDown => self.chosen = (self.chosen + 10).min(last),
            KeyCode::Enter | KeyCode::Right => self.open_chosen(),
            KeyCode::Char('?') => self.dialog = Some(Dialog::Help),
            KeyCode::Char('/') => self.dialog = Some(Dialog::Search(Search::default())),
            KeyCode::Char('n') => self.dialog = Some(Dialog::New(NewName::default())),
            KeyCode::Char('q') => self.act(Action::Quit),
            KeyCode::Tab if self.open.is_some() => self.focus = Focus::Conversation,
            KeyCode::Tab => self.open_chosen(),
            _ => {}
        }
    }

    fn open_chosen(&mut self) {
        if let Some(peer) = self.conversations.get(self.chosen).map(|one| one.peer.clone()) {
            self.open(&peer);
        }
    }

    fn conversation_key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let page = isize::try_from(self.history.1.saturating_sub(2)).unwrap_or(10).max(1);
        match key.code {
            KeyCode::Tab | KeyCode::BackTab => self.focus = Focus::List,
            KeyCode::PageUp => self.scroll(-page),
            KeyCode::PageDown => self.scroll(page),
            KeyCode::Home if control => self.with_open(|open, setting| open.go_to_top(setting)),
            KeyCode::End if control => self.with_open(|open, _| open.go_to_bottom()),
            _ => self.typed(key),
        }
    }

    fn scroll(&mut self, lines: isize) {
        self.with_open(|open, setting| open.scroll(lines, setting));
    }

    /// Keys of the input, or of the question that stands in its place.
    fn typed(&mut self, key: KeyEvent) {
        let Some(peer) = self.open.as_ref().map(|open| open.peer.clone()) else { return };
        if self.is_request(&peer) {
            return self.request_key(&peer, key);
        }
        if self.is_blocked(&peer) {
            if matches!(key.code, KeyCode::Char('u')) {
                self.act(Action::Block(peer, false));
                self.list_is_old = true;
            }
            return;
        }
        let many = key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter if !many => self.send(),
            KeyCode::Enter => self.change(|editor| editor.insert("\n")),
            KeyCode::Char('j') if control => self.change(|editor| editor.insert("\n")),
            KeyCode::Up => self.line(Editor::up, -1),
            KeyCode::Down => self.line(Editor::down, 1),
            _ => self.change(|editor| edit(editor, key)),
        }
    }

    /// Moves in the text, and beyond its ends in the history.
    fn line(&mut self, step: impl FnOnce(&mut Editor) -> bool, beyond: isize) {
        if let Some(open) = &mut self.open
            && !step(&mut open.editor)
        {
            self.scroll(beyond);
        }
    }

    fn request_key(&mut self, peer: &sealwire_protocol::Username, key: KeyEvent) {
        self.list_is_old = true;
        match key.code {
            KeyCode::Char('a') => self.act(Action::Accept(peer.clone())),
            KeyCode::Char('b') => self.act(Action::Block(peer.clone(), true)),
            KeyCode::Char('i') => self.focus = Focus::List,
            KeyCode::Up => self.scroll(-1),
            KeyCode::Down => self.scroll(1),
            _ => {}
        }
    }

    /// Changes what is typed, and lets the other person know that something is.
    fn change(&mut self, change: impl FnOnce(&mut Editor)) {
        let Some(open) = &mut self.open else { return };
        let before = open.editor.text().len();
        change(&mut open.editor);
        if open.editor.text().len() == before || open.editor.is_blank() {
            return;
        }
        let peer = open.peer.clone();
        // How often it is told is the client's decision.
        if self.link == Link::Online && self.to_watch().contains(&peer) {
            self.act(Action::Typing(peer));
        }
    }

    fn send(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.editor.is_blank() {
            return;
        }
        let peer = open.peer.clone();
        if self.key_has_changed(&peer) {
            self.notice(format!(
                "Not sent: the key of {peer} has changed, and sending is held until you decide (F2, then k). What you typed \
                 stays."
            ));
            return;
        }
        let Some(open) = &mut self.open else { return };
        let text = open.editor.take();
        open.new_from = None;
        open.go_to_bottom();
        self.sending.push((peer.clone(), text.clone()));
        self.act(Action::Send { peer, text });
    }

    pub(super) fn paste(&mut self, text: &str) {
        if self.dialog.is_some() {
            return self.dialog_paste(text);
        }
        let Some(peer) = self.open.as_ref().map(|open| open.peer.clone()) else { return };
        if self.focus == Focus::Conversation && !self.is_request(&peer) && !self.is_blocked(&peer) {
            self.change(|editor| editor.insert(text));
        }
    }
}
