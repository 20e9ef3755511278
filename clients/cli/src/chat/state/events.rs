//! What the client tells, in words for the person.

use sealwire_client::conversation::EntryState;
use sealwire_client::{Alarm, Event};
use sealwire_protocol::Username;
use sealwire_protocol::frames::Status;
use sealwire_protocol::ids::MessageId;

use super::{Action, App, Link};

impl App {
    pub(super) fn client(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.arrived(&message.from, &message.to),
            Event::Status { message_id, status } => self.has_come(message_id, status),
            Event::Online => self.link = Link::Online,
            Event::Offline(error) => {
                self.link = Link::Offline(error.to_string());
                // Who is online now, the next connection tells.
                self.presence.clear();
                self.typing.clear();
            }
            Event::Presence { name, online } => drop(self.presence.insert(name, online)),
            Event::Typing { from } => self.is_typing(from),
            Event::DevicesChanged { name, added, removed, own } => {
                let words = counted(added.len(), removed.len());
                self.notice(if own { own_devices(&words) } else { other_devices(&name, &words) });
            }
            Event::Alarm(alarm) => self.alarm(&alarm),
            other => {
                if let Some(words) = said(&other) {
                    self.notice(words);
                }
            }
        }
    }

    pub(super) fn arrived(&mut self, from: &Username, to: &Username) {
        let is_own = *from == self.me.name;
        let peer = if is_own { to } else { from };
        self.list_is_old = true;
        self.typing.remove(from);
        let is_seen = self.window_has_focus && self.open.as_ref().is_some_and(|open| open.peer == *peer);
        let is_quiet = self.contact(peer).is_none_or(|contact| contact.muted) || self.is_request(peer);
        if !is_seen && !is_quiet && !is_own {
            self.act(Action::Bell);
        }
        if let Some(open) = self.open.as_mut().filter(|open| open.peer == *peer) {
            open.is_old = true;
        }
    }

    /// What has been delivered stays so, also when an earlier status comes late.
    fn has_come(&mut self, id: MessageId, status: Status) {
        let state = match status {
            Status::Queued => EntryState::Queued,
            Status::Delivered => EntryState::Delivered,
            Status::Expired => EntryState::Expired,
        };
        let entries = self.open.iter_mut().flat_map(|open| &mut open.entries);
        for entry in entries.filter(|entry| entry.message_id == id && entry.state != EntryState::Delivered) {
            entry.state = state;
        }
    }

    fn alarm(&mut self, alarm: &Alarm) {
        self.list_is_old = true;
        self.notice(warned(alarm));
    }

    fn is_typing(&mut self, name: Username) {
        self.typing.insert(name, self.now.saturating_add(super::TYPING_LASTS));
    }
}

/// What a security warning means, and what to do.
fn warned(alarm: &Alarm) -> String {
    match alarm {
        Alarm::Keys { name, reason } => format!(
            "SECURITY: the server shows keys for {name} that are not to be believed: {reason}. Either {name} has made a new \
             account, or somebody wants to read along. Nothing is sent to {name} until you decide: ask {name} by another \
             way, then see F2."
        ),
        Alarm::Fork { from, counter, .. } => format!(
            "SECURITY: a device of {from} has written two different messages with the number {counter}. It was restored from a \
             copy, or somebody else has its keys. Ask {from} by another way, and have the device removed if in doubt."
        ),
        Alarm::OldKeyUsed { from } => format!(
            "SECURITY: {from} was shown a key of yours that was replaced long ago. The server may be holding back your newer \
             ones. Compare safety numbers (F2) before you write anything that matters."
        ),
        Alarm::OtherManifest { from, of } => format!(
            "SECURITY: {from} was shown other devices of {of} than you were. The server may be telling you different \
             stories. Compare safety numbers (F2) before you write anything that matters."
        ),
    }
}

/// How many devices came and went.
fn counted(added: usize, removed: usize) -> String {
    let devices = |count: usize, verb: &str| match count {
        0 => None,
        1 => Some(format!("1 device was {verb}")),
        count => Some(format!("{count} devices were {verb}")),
    };
    [devices(added, "added"), devices(removed, "removed")].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn own_devices(words: &str) -> String {
    format!(
        "Your account: {words}. If that was not you, somebody has your keys: see `sealwire-chat devices`, and remove what is \
         not yours."
    )
}

fn other_devices(name: &Username, words: &str) -> String {
    format!(
        "{name}: {words}. What you write goes to all their devices. The list is signed with the key that you know; if in \
         doubt, ask them by another way."
    )
}

/// Everything else that stays until it is dismissed.
fn said(event: &Event) -> Option<String> {
    Some(match event {
        Event::Missing { from, counters, .. } => {
            let (first, last) = (counters.start(), counters.end());
            format!(
                "Messages {first} to {last} of {from} have not come. They may be late, or the server has lost them."
            )
        }
        Event::Unreadable { from, reason, .. } => format!(
            "A message that claims to be from {from} could not be opened and is not shown: {reason}. If {from} wrote one, \
             ask for it again."
        ),
        Event::MailboxOverflow(count) => {
            format!("{count} messages were lost: this device was away for so long that the server did not keep them.")
        }
        Event::OldKey { name, days } => format!(
            "A device of {name} has been away for long: its key should have been replaced {days} days ago. What you write is \
             sealed for it all the same."
        ),
        // What is told elsewhere.
        Event::Message(_)
        | Event::Status { .. }
        | Event::Online
        | Event::Offline(_)
        | Event::Presence { .. }
        | Event::Typing { .. }
        | Event::DevicesChanged { .. }
        | Event::Alarm(_) => return None,
    })
}
