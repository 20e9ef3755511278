//! `history`: conversations, and what was said in them. It changes nothing: what is unread stays so.

use sealwire_client::Profile;
use sealwire_client::conversation::{Conversation, Entry};
use sealwire_protocol::{MessageId, Username};
use serde_json::{Value, json};

use super::contacts::{contact_json, marks};
use super::print;
use crate::arguments::{Arguments, History};
use crate::exit::Failure;
use crate::profile;
use crate::terminal::{complain, harmless, in_one_line, utc};

/// How much of a conversation's last message is shown in the list, in characters.
const GLIMPSE: usize = 60;

pub(crate) fn run(arguments: &Arguments, command: &History) -> Result<(), Failure> {
    let profile = profile::open_existing(arguments)?;
    let limit = command.limit as usize;
    let entries = match (&command.search, &command.name) {
        (Some(text), name) => {
            let mut found = profile.search_in(name.as_ref(), text, limit)?;
            found.reverse();
            found
        }
        (None, Some(name)) => page(&profile, name, command.before.as_ref(), limit)?,
        (None, None) => return list(&profile, arguments.json),
    };
    for entry in &entries {
        print(arguments.json, &entry_json(entry), || line(entry, command.name.is_none()))?;
    }
    if let (Some(first), Some(name), None, false) = (entries.first(), &command.name, &command.search, arguments.json)
        && !profile.history(name, Some(first.position), 1)?.is_empty()
    {
        complain(&format!("there is more before: history {name} --before {}", first.message_id));
    }
    Ok(())
}

fn page(profile: &Profile, name: &Username, before: Option<&MessageId>, limit: usize) -> Result<Vec<Entry>, Failure> {
    let before = match before {
        None => None,
        Some(id) => {
            let entry = profile.entry(id)?.filter(|entry| entry.peer == *name);
            let unknown = || {
                Failure::failed(format!("there is no message {id} with {name}"))
                    .and("take an id that `history` with --json shows")
            };
            Some(entry.ok_or_else(unknown)?.position)
        }
    };
    Ok(profile.history(name, before, limit)?)
}

fn list(profile: &Profile, as_json: bool) -> Result<(), Failure> {
    let conversations = profile.conversations()?;
    let width = conversations.iter().map(|one| one.peer.as_str().len()).max().unwrap_or(0);
    for conversation in &conversations {
        print(as_json, &conversation_json(conversation), || glimpse(conversation, width))?;
    }
    if conversations.is_empty() && !as_json {
        complain("nobody has written yet; to begin, type: sealwire-chat send NAME TEXT");
    }
    Ok(())
}

fn glimpse(conversation: &Conversation, width: usize) -> String {
    let unread = match conversation.unread {
        0 => String::new(),
        unread => format!("{unread} unread"),
    };
    let last = conversation.last.as_ref().map(|entry| in_one_line(&line(entry, false), GLIMPSE)).unwrap_or_default();
    let marks = marks(&conversation.contact);
    let marks = if marks.is_empty() { marks } else { format!("  [{marks}]") };
    format!("{:width$}  {unread:>10}  {last}{marks}", conversation.peer.as_str()).trim_end().to_owned()
}

/// A message as a line: own ones with how far they have come, and where it is not plain, to whom.
fn line(entry: &Entry, names_peer: bool) -> String {
    let to = if names_peer && entry.own { format!(" to {}", entry.peer) } else { String::new() };
    let state = if entry.own { format!(" ({})", entry.state.name()) } else { String::new() };
    let removed = if entry.from_removed_device { " (from a device that was removed)" } else { "" };
    let text = entry.text.as_deref().map_or_else(|| super::UNKNOWN_KIND.to_owned(), harmless);
    format!("{} {}{to}{state}{removed}: {text}", utc(entry.timestamp), entry.from)
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "peer": entry.peer,
        "from": entry.from,
        "own": entry.own,
        "fromDevice": entry.from_device,
        "messageId": entry.message_id,
        "timestamp": entry.timestamp,
        "state": entry.state.name(),
        "text": entry.text,
        "fromRemovedDevice": entry.from_removed_device,
    })
}

fn conversation_json(conversation: &Conversation) -> Value {
    let mut object = contact_json(&conversation.contact);
    object["unread"] = conversation.unread.into();
    object["last"] = conversation.last.as_ref().map_or(Value::Null, entry_json);
    object
}
