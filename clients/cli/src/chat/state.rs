//! What the full-screen client knows and decides. Pure: keys, events and answers come in, actions go out, and what is on
//! the screen follows from the fields (`view`). The profile is the truth: events say what on the screen has become old.

mod dialogs;
mod events;
mod keys;
mod open;

use std::collections::{BTreeMap, BTreeSet};

use crossterm::event::KeyEvent;
use sealwire_client::Event;
use sealwire_client::conversation::{Contact, Conversation, Entry, Standing};
use sealwire_protocol::Username;
use sealwire_protocol::ids::MessageId;
use serde::{Deserialize, Serialize};

use super::editor::Editor;
use super::look::Look;
use super::rows::Setting;

pub(crate) use dialogs::{Dialog, NewName, Search};
pub(crate) use open::Open;

/// The most names whose presence a server tells (protocol section 8).
const MOST_WATCHED: usize = 500;
/// Somebody who typed is typing for so long, in milliseconds, unless they go on.
const TYPING_LASTS: u64 = 6_000;

/// What the full-screen client hears.
#[derive(Debug)]
pub(crate) enum Input {
    Key(KeyEvent),
    Paste(String),
    /// Whether the terminal's window is the one that is typed into; many terminals never say.
    Focus(bool),
    /// Time has passed, or the window has another size.
    Tick,
    /// The screen was drawn.
    Drawn(Drawn),
    /// A message has come and lies in the profile.
    Arrived {
        from: Username,
        to: Username,
    },
    Client(Box<Event>),
    /// Answer to [`Action::LoadConversations`].
    Conversations(Vec<Conversation>),
    /// Answer to [`Action::Load`].
    Page(Page),
    /// Answer to [`Action::Search`].
    Found {
        text: String,
        entries: Vec<Entry>,
    },
    /// Answer to [`Action::Send`]: the message is in the outbox.
    Stored {
        peer: Username,
        text: String,
    },
    /// Answer to [`Action::Send`]: it is not.
    NotStored {
        peer: Username,
        text: String,
        reason: String,
    },
    /// A message was given up.
    Failed {
        message_id: MessageId,
        reason: String,
    },
    /// Answer to [`Action::AskSafety`].
    Safety {
        peer: Username,
        number: Result<String, String>,
    },
    /// Answer to [`Action::AcceptIdentity`]: it is done, or cannot be.
    Decided,
    /// Something that was decided could not be done.
    Refused(String),
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        match event {
            Event::Message(message) => Self::Arrived { from: message.from, to: message.to },
            event => Self::Client(Box::new(event)),
        }
    }
}

/// What was on the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Columns and lines of the history, as it was drawn.
    pub(crate) history: (usize, usize),
    /// The oldest message that is loaded was on the screen.
    pub(crate) at_top: bool,
    /// The newest message that was wholly on the screen, with nothing before it, and whose it is.
    pub(crate) seen: Option<(Username, i64)>,
}

/// A part of a conversation, oldest first.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) peer: Username,
    pub(crate) entries: Vec<Entry>,
    /// Before which message it lies; `None` for the newest.
    pub(crate) before: Option<i64>,
    /// Whether nothing lies before it.
    pub(crate) is_first: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    LoadConversations,
    /// The newest messages, or those before one; as many as it takes until `until` is among them.
    Load {
        peer: Username,
        before: Option<i64>,
        count: usize,
        until: Option<i64>,
    },
    MarkShown {
        peer: Username,
        position: i64,
    },
    Send {
        peer: Username,
        text: String,
    },
    /// Store what is to survive an end at any moment.
    Keep(Kept),
    Typing(Username),
    Watch(BTreeSet<Username>),
    SharePresence(bool),
    Search(String),
    Accept(Username),
    Block(Username, bool),
    Mute(Username, bool),
    AskSafety(Username),
    SetVerified(Username, bool),
    AcceptIdentity(Username),
    Bell,
    Redraw,
    Quit,
}

/// What survives an end at any moment. Stored encrypted, as one setting of the profile: the names of settings can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// What was typed and not yet sent.
    pub(crate) drafts: BTreeMap<Username, String>,
    /// Warnings that were not dismissed.
    pub(crate) notices: Vec<String>,
}

/// Whether there is a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    Connecting,
    Online,
    /// Why there is none.
    Offline(String),
}

/// Which half of the screen the keys go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    List,
    Conversation,
}

/// Who runs the client, and where.
#[derive(Debug, Clone)]
pub(crate) struct Me {
    pub(crate) name: Username,
    pub(crate) device: String,
    pub(crate) server: String,
    /// Whether others may see that one is online.
    pub(crate) shares_presence: bool,
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) me: Me,
    pub(crate) look: Look,
    pub(crate) link: Link,
    pub(crate) conversations: Vec<Conversation>,
    /// Where the cursor of the list is.
    pub(crate) chosen: usize,
    pub(crate) open: Option<Open>,
    pub(crate) focus: Focus,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) notices: Vec<String>,
    pub(crate) presence: BTreeMap<Username, bool>,
    /// Who is typing, and until when that is believed.
    pub(crate) typing: BTreeMap<Username, u64>,
    /// Why messages were given up, as far as it was heard.
    pub(crate) failures: BTreeMap<MessageId, String>,
    /// Whether all that was typed is on the disk, and survives an end at any moment.
    pub(crate) is_kept: bool,
    drafts: BTreeMap<Username, String>,
    /// Texts that are about to be in the outbox.
    sending: Vec<(Username, String)>,
    /// Lines of the history on the screen, as it was drawn last.
    history: (usize, usize),
    window_has_focus: bool,
    kept: Kept,
    watched: BTreeSet<Username>,
    list_is_old: bool,
    list_is_loading: bool,
    now: u64,
    actions: Vec<Action>,
}

impl App {
    /// Begins with what an earlier run left; `peer` is opened first.
    pub(crate) fn new(me: Me, look: Look, kept: Kept, peer: Option<Username>) -> Self {
        let mut app = Self {
            me,
            look,
            link: Link::Connecting,
            conversations: Vec::new(),
            chosen: 0,
            open: None,
            focus: Focus::List,
            dialog: None,
            notices: kept.notices.clone(),
            presence: BTreeMap::new(),
            typing: BTreeMap::new(),
            failures: BTreeMap::new(),
            is_kept: true,
            drafts: kept.drafts.clone(),
            sending: Vec::new(),
            history: (80, 20),
            window_has_focus: true,
            kept,
            watched: BTreeSet::new(),
            list_is_old: true,
            list_is_loading: false,
            now: 0,
            actions: Vec::new(),
        };
        if let Some(peer) = peer {
            app.open(&peer);
        }
        app
    }

    /// Takes something in, at a time in milliseconds that never goes back.
    pub(crate) fn handle(&mut self, input: Input, now: u64) -> Vec<Action> {
        self.now = now;
        match input {
            Input::Key(key) => self.key(key),
            Input::Paste(text) => self.paste(&text),
            Input::Focus(has_focus) => self.window_has_focus = has_focus,
            Input::Tick => self.typing.retain(|_, until| *until > now),
            Input::Drawn(drawn) => self.drawn(drawn),
            Input::Arrived { from, to } => self.arrived(&from, &to),
            Input::Client(event) => self.client(*event),
            Input::Conversations(conversations) => self.conversations_loaded(conversations),
            Input::Page(page) => self.page_loaded(page),
            Input::Found { text, entries } => self.found(&text, entries),
            Input::Stored { peer, text } => self.stored(&peer, &text),
            Input::NotStored { peer, text, reason } => self.not_stored(&peer, &text, &reason),
            Input::Failed { message_id, reason } => self.failed(message_id, reason),
            Input::Safety { peer, number } => self.safety(&peer, number),
            Input::Decided => self.list_is_old = true,
            Input::Refused(reason) => self.notice(reason),
        }
        self.refresh();
        std::mem::take(&mut self.actions)
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Asks for what has become old, and stores what is to be kept. One question of a kind at a time: what comes meanwhile
    /// is asked for after the answer, so that a thousand messages are not a thousand questions.
    fn refresh(&mut self) {
        if self.list_is_old && !self.list_is_loading {
            (self.list_is_old, self.list_is_loading) = (false, true);
            self.act(Action::LoadConversations);
        }
        if let Some(load) = self.open.as_mut().and_then(Open::question) {
            self.act(load);
        }
        let kept = self.to_keep();
        if kept != self.kept {
            self.act(Action::Keep(kept.clone()));
            self.kept = kept;
        }
        let watched = self.to_watch();
        if watched != self.watched {
            self.act(Action::Watch(watched.clone()));
            self.watched = watched;
        }
    }

    /// What is being sent stands in the draft until it is in the outbox: an end in between leaves a draft too many.
    fn to_keep(&self) -> Kept {
        let mut drafts = self.drafts.clone();
        if let Some(open) = &self.open {
            drafts.insert(open.peer.clone(), open.editor.text().to_owned());
        }
        for (peer, text) in self.sending.iter().rev() {
            let draft = drafts.entry(peer.clone()).or_default();
            *draft = if draft.is_empty() { text.clone() } else { format!("{text}\n{draft}") };
        }
        drafts.retain(|_, draft| !draft.is_empty());
        Kept { drafts, notices: self.notices.clone() }
    }

    fn to_watch(&self) -> BTreeSet<Username> {
        let wanted = |contact: &Contact| contact.standing == Standing::Accepted && !contact.blocked;
        let contacts = self.conversations.iter().map(|conversation| &conversation.contact);
        let names = contacts.filter(|contact| wanted(contact) && contact.name != self.me.name);
        names.map(|contact| contact.name.clone()).take(MOST_WATCHED).collect()
    }

    /// What was decided about somebody, as far as it is loaded.
    pub(crate) fn contact(&self, peer: &Username) -> Option<&Contact> {
        self.conversations.iter().find(|one| one.peer == *peer).map(|one| &one.contact)
    }

    /// Whether the conversation is one that a stranger began, and that was not answered.
    pub(crate) fn is_request(&self, peer: &Username) -> bool {
        let conversation = self.conversations.iter().find(|one| one.peer == *peer);
        conversation
            .is_some_and(|one| one.contact.standing == Standing::Request && one.last.is_some() && *peer != self.me.name)
    }

    pub(crate) fn is_blocked(&self, peer: &Username) -> bool {
        self.contact(peer).is_some_and(|contact| contact.blocked)
    }

    pub(crate) fn key_has_changed(&self, peer: &Username) -> bool {
        self.contact(peer).is_some_and(|contact| contact.changed_key)
    }

    /// A warning that stays until it is dismissed. The same one does not stand there twice.
    fn notice(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notices.contains(&text) {
            self.notices.push(text);
        }
    }

    /// Shows a conversation, with what was typed there before.
    pub(crate) fn open(&mut self, peer: &Username) {
        self.focus = Focus::Conversation;
        if self.open.as_ref().is_some_and(|open| open.peer == *peer) {
            return;
        }
        self.close();
        let unread = self.conversations.iter().find(|one| one.peer == *peer).map_or(0, |one| one.unread);
        let draft = self.drafts.get(peer).cloned().unwrap_or_default();
        self.open = Some(Open::new(peer.clone(), &draft, unread));
        self.choose(peer);
        self.list_is_old = true;
    }

    /// Keeps what was typed.
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.drafts.insert(open.peer, open.editor.text().to_owned());
        }
    }

    fn choose(&mut self, peer: &Username) {
        if let Some(at) = self.conversations.iter().position(|one| one.peer == *peer) {
            self.chosen = at;
        }
    }

    fn stored(&mut self, peer: &Username, text: &str) {
        if let Some(at) = self.sending.iter().position(|(to, sent)| to == peer && sent == text) {
            self.sending.remove(at);
        }
        self.list_is_old = true;
        if let Some(open) = self.open_with(peer) {
            open.is_old = true;
            open.go_to_bottom();
        }
    }

    /// The text goes back to where it was typed.
    fn not_stored(&mut self, peer: &Username, text: &str, reason: &str) {
        self.sending.retain(|(to, sent)| to != peer || sent != text);
        let back = |later: &str| if later.is_empty() { text.to_owned() } else { format!("{text}\n{later}") };
        match self.open.as_mut().filter(|open| open.peer == *peer) {
            Some(open) => open.editor = Editor::with(&back(open.editor.text())),
            None => {
                let draft = back(self.drafts.get(peer).map_or("", String::as_str));
                self.drafts.insert(peer.clone(), draft);
            }
        }
        self.notice(format!("A message to {peer} was not taken, and stands in the input again: {reason}."));
    }

    fn failed(&mut self, message_id: MessageId, reason: String) {
        self.failures.insert(message_id, reason);
        self.list_is_old = true;
        if let Some(open) = &mut self.open {
            open.is_old = true;
        }
    }

    fn open_with(&mut self, peer: &Username) -> Option<&mut Open> {
        self.open.as_mut().filter(|open| open.peer == *peer)
    }

    fn conversations_loaded(&mut self, conversations: Vec<Conversation>) {
        self.list_is_loading = false;
        let chosen = self.conversations.get(self.chosen).map(|one| one.peer.clone());
        self.conversations = conversations;
        if let Some(open) = self.open.as_ref().filter(|open| self.contact(&open.peer).is_none()) {
            self.conversations.insert(0, begun_with(&open.peer));
        }
        // A stable sort: each part keeps the order of the newest message.
        self.conversations.sort_by_key(|one| one.contact.blocked);
        if let Some(open) = &mut self.open {
            let unread = self.conversations.iter().find(|one| one.peer == open.peer).map_or(0, |one| one.unread);
            open.unread_is(unread);
        }
        match chosen {
            Some(chosen) => self.choose(&chosen),
            None => {
                if let Some(peer) = self.open.as_ref().map(|open| open.peer.clone()) {
                    self.choose(&peer);
                }
            }
        }
        self.chosen = self.chosen.min(self.conversations.len().saturating_sub(1));
    }

    fn page_loaded(&mut self, page: Page) {
        let peer = page.peer.clone();
        self.with_open(|open, setting| {
            if open.peer == peer {
                open.page_loaded(page, setting);
            }
        });
    }

    /// Changes the open conversation, if there is one, by how it is drawn.
    fn with_open(&mut self, change: impl FnOnce(&mut Open, &Setting<'_>)) {
        let setting = Setting { look: &self.look, failures: &self.failures, size: self.history };
        if let Some(open) = &mut self.open {
            change(open, &setting);
        }
    }

    fn drawn(&mut self, drawn: Drawn) {
        self.history = drawn.history;
        let looks = self.window_has_focus && self.dialog.is_none();
        let Some(open) = &mut self.open else { return };
        if drawn.at_top {
            open.wants_more = true;
        }
        if let Some((peer, position)) = drawn.seen
            && looks
            && peer == open.peer
            && open.marked != Some(position)
        {
            open.marked = Some(position);
            self.list_is_old = true;
            self.act(Action::MarkShown { peer, position });
        }
    }
}

/// A conversation in which nothing was said yet.
fn begun_with(peer: &Username) -> Conversation {
    Conversation { peer: peer.clone(), unread: 0, last: None, contact: Contact::stranger(peer.clone()) }
}

#[cfg(test)]
mod tests;
