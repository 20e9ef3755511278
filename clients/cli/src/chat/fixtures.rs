//! People and conversations for the tests of state and view.

use jiff::tz::TimeZone;
use sealwire_client::conversation::{Contact, Conversation, Entry, EntryState, Standing};
use sealwire_protocol::Username;
use sealwire_protocol::ids::{DeviceId, MessageId};

use super::look::Look;
use super::state::{Action, App, Input, Kept, Me, Page};

/// 2026-11-23 09:00 UTC.
pub(super) const MORNING: u64 = 1_795_424_400_000;

pub(super) fn name(name: &str) -> Username {
    name.parse().unwrap()
}

pub(super) fn look() -> Look {
    Look { colour: false, ascii: false, zone: TimeZone::UTC }
}

pub(super) fn me() -> Me {
    Me {
        name: name("alice"),
        device: "0192f0c4-0000-7000-8000-000000000001".to_owned(),
        server: "wss://chat.example.org".to_owned(),
        shares_presence: false,
    }
}

pub(super) fn app() -> App {
    App::new(me(), look(), Kept::default(), None)
}

pub(super) fn id(position: i64) -> MessageId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&position.to_be_bytes());
    MessageId::new_v7(MORNING, random)
}

/// The message at a position, so many minutes after nine.
pub(super) fn entry(position: i64, peer: &str, from: &str, text: &str) -> Entry {
    let own = from == "alice";
    Entry {
        position,
        peer: name(peer),
        from: name(from),
        own,
        from_device: DeviceId::new_v7(MORNING, [1; 10]),
        message_id: id(position),
        text: Some(text.to_owned()),
        timestamp: MORNING + u64::try_from(position).unwrap() * 60_000,
        state: if own { EntryState::Delivered } else { EntryState::Received },
        from_removed_device: false,
    }
}

pub(super) fn contact(peer: &str) -> Contact {
    Contact {
        name: name(peer),
        verified: false,
        blocked: false,
        muted: false,
        standing: Standing::Accepted,
        changed_key: false,
    }
}

pub(super) fn conversation(peer: &str, unread: u64) -> Conversation {
    let last = Some(entry(1, peer, peer, "hello"));
    Conversation { peer: name(peer), unread, last, contact: contact(peer) }
}

/// A conversation in which everything is as usual but what `change` does.
pub(super) fn conversation_but(peer: &str, change: impl FnOnce(&mut Contact)) -> Conversation {
    let mut conversation = conversation(peer, 0);
    change(&mut conversation.contact);
    conversation
}

pub(super) fn page(peer: &str, entries: Vec<Entry>) -> Input {
    Input::Page(Page { peer: name(peer), entries, before: None, is_first: true })
}

/// A client with these conversations, of which none is open.
pub(super) fn app_with(conversations: Vec<Conversation>) -> App {
    let mut app = app();
    app.handle(Input::Tick, 0);
    app.handle(Input::Conversations(conversations), 0);
    app
}

/// A client in which the conversation with bob is open and holds these messages.
pub(super) fn talking(entries: Vec<Entry>) -> App {
    let mut app = app_with(vec![conversation("bob", 0), conversation("carol", 2)]);
    app.open(&name("bob"));
    app.handle(Input::Tick, 0);
    app.handle(page("bob", entries), 0);
    app
}

/// Whether an action is among those.
pub(super) fn has(actions: &[Action], wanted: &Action) -> bool {
    actions.contains(wanted)
}
