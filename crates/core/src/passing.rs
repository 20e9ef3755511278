//! What is said in passing: signals, which nobody stores, acknowledges or shows twice (protocol section 4 and 6).

use std::collections::{HashMap, HashSet, VecDeque};

use sealwire_protocol::ids::{DeviceId, MessageId, Username};

/// How often somebody is told that one is typing, in milliseconds.
pub const TYPING_EVERY: u64 = 4_000;
/// How old a signal may be to mean anything, in milliseconds. An older one was held back.
pub const SIGNAL_LIFE: u64 = 60_000;
/// Signals that are remembered, so that a repeat is known. Older repeats fall to [`SIGNAL_LIFE`].
const REMEMBERED: usize = 4_096;

/// The body of the signal that says "I am typing".
pub const TYPING: &[u8] = br#"{"kind":"typing"}"#;

/// Whether a signal's body says that its sender is typing.
pub fn is_typing(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Signal {
        Typing,
    }

    serde_json::from_slice(body).is_ok_and(|Signal::Typing| true)
}

/// Whether a signal of this time still means something at `now`; both by the corrected clock.
pub fn is_fresh(timestamp: u64, now: u64) -> bool {
    now.saturating_sub(timestamp) <= SIGNAL_LIFE
}

/// When whom was told that one is typing.
#[derive(Debug, Default)]
pub struct Typing {
    told: HashMap<Username, u64>,
}

impl Typing {
    /// Whether to tell somebody now (milliseconds of a clock that does not go back); it counts as told.
    pub fn tell(&mut self, name: &Username, now: u64) -> bool {
        self.told.retain(|_, at| now < at.saturating_add(TYPING_EVERY));
        if self.told.contains_key(name) {
            return false;
        }
        self.told.insert(name.clone(), now);
        true
    }
}

/// The signals that were opened of late.
#[derive(Debug, Default)]
pub struct Heard {
    order: VecDeque<(Username, DeviceId, MessageId)>,
    known: HashSet<(Username, DeviceId, MessageId)>,
}

impl Heard {
    /// Remembers a signal; false: it was known.
    pub fn remember(&mut self, from: &Username, device: &DeviceId, id: &MessageId) -> bool {
        let key = (from.clone(), *device, *id);
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Username {
        text.parse().unwrap()
    }

    #[test]
    fn somebody_is_told_once_in_four_seconds() {
        let mut typing = Typing::default();
        assert!(typing.tell(&name("bob"), 10));
        assert!(!typing.tell(&name("bob"), 10 + TYPING_EVERY - 1));
        assert!(typing.tell(&name("carol"), 11));
        assert!(typing.tell(&name("bob"), 10 + TYPING_EVERY));
    }

    #[test]
    fn a_repeat_is_known_and_memory_is_bounded() {
        let mut heard = Heard::default();
        let (from, device) = (name("bob"), DeviceId::new_v7(1, [0; 10]));
        let id = |n| MessageId::new_v7(n, [0; 10]);
        assert!(heard.remember(&from, &device, &id(0)));
        assert!(!heard.remember(&from, &device, &id(0)));
        assert!(heard.remember(&name("carol"), &device, &id(0)));
        for n in 1..=REMEMBERED as u64 {
            heard.remember(&from, &device, &id(n));
        }
        assert_eq!((heard.known.len(), heard.order.len()), (REMEMBERED, REMEMBERED));
    }

    #[test]
    fn what_was_held_back_means_nothing_any_more() {
        assert!(is_fresh(100, 100 + SIGNAL_LIFE) && is_fresh(200, 100));
        assert!(!is_fresh(100, 101 + SIGNAL_LIFE));
    }

    #[test]
    fn only_what_says_typing_is_typing() {
        assert!(is_typing(TYPING) && is_typing(br#"{"kind":"typing","more":1}"#));
        assert!(!is_typing(br#"{"kind":"call"}"#) && !is_typing(b""));
    }
}
