//! What a client tells that is no message, in words for the person and with what to do about it.

use sealwire_client::pins::PinError;
use sealwire_client::{Alarm, Event};

/// The words for an event, if a person has to hear of it.
pub(super) fn in_words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Alarm(alarm) => format!("SECURITY WARNING: {}", danger(alarm)),
        Event::Missing { from, counters, .. } => {
            let (first, last) = (counters.start(), counters.end());
            let which = if first == last { format!("message {first}") } else { format!("messages {first} to {last}") };
            format!("{which} of {from} may be missing: late, or lost by the server; ask {from}")
        }
        Event::Unreadable { from, reason, .. } => format!(
            "a message that claims to be from {from} could not be opened, and is not shown: {reason}; if {from} wrote one, ask \
             for it again"
        ),
        Event::MailboxOverflow(count) => format!(
            "{count} messages were lost: this device was away for so long that the server did not keep them; ask for them again"
        ),
        Event::OldKey { name, days } => format!(
            "a device of {name} has been away: its key should have been replaced {days} days ago; it is written to all the same"
        ),
        Event::DevicesChanged { added, removed, own: true, .. } => format!(
            "your own devices are others than before: {} added, {} removed; if you know nothing of it, somebody has your keys: \
             look at them with `sealwire-chat devices`, and remove what is not yours",
            added.len(),
            removed.len()
        ),
        Event::DevicesChanged { name, added, removed, own: false } => format!(
            "the devices of {name} are others than before: {} added, {} removed; if {name} knows nothing of it, somebody has \
             their keys",
            added.len(),
            removed.len()
        ),
        Event::Offline(error) => format!("{error}; trying again"),
        Event::Message(_) | Event::Status { .. } | Event::Online | Event::Typing { .. } | Event::Presence { .. } => {
            return None;
        }
    })
}

fn danger(alarm: &Alarm) -> String {
    match alarm {
        Alarm::Keys { name, reason: PinError::IdentityChanged } => format!(
            "the server shows another key for {name} than this device knows: the name was given away anew, or somebody stands \
             between you. Nothing is sent to {name} until you have decided; type: sealwire-chat safety {name}"
        ),
        Alarm::Keys { name, reason } => format!(
            "what the server shows of the keys of {name} is not believed: {reason}. Nothing is sent to {name}; tell the \
             operator of the server"
        ),
        Alarm::Fork { from, counter, .. } => format!(
            "a device of {from} has written two histories, which part at message {counter}: it was restored from a copy, or \
             somebody else has its keys. Ask {from} by some other way, and have that device removed if in doubt"
        ),
        Alarm::OtherManifest { from, of } => format!(
            "{from} has been shown other devices of {of} than you have: the server may tell different stories. Compare safety \
             numbers before you write what others must not read: sealwire-chat safety {from}"
        ),
        Alarm::OldKeyUsed { from } => format!(
            "{from} has sealed a message with a key of this device that was replaced long before: the server shows old keys. \
             Tell its operator; whoever has that old key could read the message"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_danger_is_called_so_and_says_what_to_do() {
        let name = |text: &str| text.parse().unwrap();
        let fork = sealwire_client::chain::Fork::SameCounter;
        for (alarm, remedy) in [
            (Alarm::Keys { name: name("bob"), reason: PinError::IdentityChanged }, "sealwire-chat safety bob"),
            (Alarm::Keys { name: name("bob"), reason: PinError::NoManifest }, "operator"),
            (Alarm::Fork { from: name("bob"), counter: 7, fork }, "message 7"),
            (Alarm::OtherManifest { from: name("bob"), of: name("carl") }, "safety bob"),
        ] {
            let words = in_words(&Event::Alarm(alarm)).unwrap();
            assert!(words.starts_with("SECURITY WARNING: ") && words.contains(remedy), "{words}");
        }
    }

    #[test]
    fn a_change_of_ones_own_devices_says_how_to_look_at_them() {
        let changed =
            |own| Event::DevicesChanged { name: "alice".parse().unwrap(), added: vec![], removed: vec![], own };
        assert!(in_words(&changed(true)).unwrap().contains("sealwire-chat devices"));
        assert!(in_words(&changed(false)).unwrap().starts_with("the devices of alice"));
    }

    #[test]
    fn what_is_no_news_is_not_told() {
        assert_eq!(in_words(&Event::Online), None);
        let missing = Event::Missing { from: "bob".parse().unwrap(), to: "alice".parse().unwrap(), counters: 3..=3 };
        assert!(in_words(&missing).unwrap().starts_with("message 3 of bob"));
    }
}
