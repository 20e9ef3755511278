//! What other servers are spoken to in, so that they can be measured by the same threads with the same clock and the same check: a
//! file for each protocol, all of them over WebSocket.
//!
//! What a device says and hears is decided here and knows no socket; [`crate::worker`] moves the bytes.

mod mqtt;
mod nats;
#[cfg(test)]
mod tests;
pub(crate) mod xmpp;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::letter;
use crate::numbering::{ID, NUMBER_AT, Numbering, write_number};

/// The language of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// The protocol of this project.
    #[default]
    Sealwire,
    /// MQTT 3.1.1 with QoS 1 both ways.
    Mqtt,
    /// NATS's own text protocol, in which nothing is acknowledged.
    Nats,
    /// XMPP as RFC 7395 frames it, with stream management (XEP-0198).
    Xmpp,
}

impl Dialect {
    /// Whether it is not the protocol of this project.
    pub(crate) fn is_foreign(self) -> bool {
        self != Self::Sealwire
    }

    /// Whether the server tells a sender that it has taken a message.
    pub(crate) fn acknowledges(self) -> bool {
        self != Self::Nats
    }

    /// What the upgrade asks for.
    pub(crate) fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Sealwire => Some(sealwire_protocol::frames::SUBPROTOCOL),
            Self::Mqtt => Some("mqtt"),
            Self::Nats => None,
            Self::Xmpp => Some("xmpp"),
        }
    }

    /// What stands last in every message: text of no meaning, such that with its id the payload has this length.
    pub(crate) fn ending(self, payload: usize) -> Arc<[u8]> {
        let mut text = letter::random(payload);
        text.truncate(payload.saturating_sub(ID));
        let closing = match self {
            Self::Sealwire | Self::Mqtt => "",
            Self::Nats => "\r\n",
            Self::Xmpp => xmpp::CLOSING,
        };
        format!("{text}{closing}").into_bytes().into()
    }

    /// What a device says first, once the upgrade is taken.
    pub(crate) fn greet(self, state: &mut State, name: &str, out: &mut Vec<u8>) {
        match self {
            Self::Sealwire | Self::Nats => {}
            Self::Mqtt => mqtt::greet(name, out),
            Self::Xmpp => xmpp::greet(state, out),
        }
    }

    /// Reads what stands first in `bytes`, and answers it where the protocol wants that; gives how many bytes it was, 0 if it is not
    /// whole.
    pub(crate) fn hear<'a>(
        self,
        state: &mut State,
        name: &str,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> (usize, Heard<'a>) {
        match self {
            Self::Sealwire => (bytes.len(), Heard::Nothing),
            Self::Mqtt => mqtt::hear(name, bytes, out),
            Self::Nats => nats::hear(state, name, bytes, out),
            Self::Xmpp => xmpp::hear(state, name, bytes, out),
        }
    }
}

/// What a server of another protocol has said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Nothing of interest.
    Nothing,
    /// The session is there.
    Entered,
    /// A message; its id stands somewhere in this text.
    Message(&'a [u8]),
    /// The message that was sent with this tag is taken.
    TakenOne(u32),
    /// All messages up to the one with this tag are taken.
    TakenUpTo(u32),
    /// It will not do that.
    Refused(String),
}

/// A message that the server has not said to have taken.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    tag: u32,
    line: u32,
    number: u32,
}

/// What a connection must remember.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What came of a packet that is not whole.
    pub(crate) input: Vec<u8>,
    waiting: VecDeque<Waiting>,
    /// The tag of the last message, or how many stanzas were sent.
    sent: u32,
    /// How many stanzas have come.
    received: u32,
    /// XMPP: the server was asked what it has taken, and has not answered.
    asked: bool,
    step: Step,
}

/// How far a log-in is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    First,
    Authenticating,
    Binding,
    Managed,
    Here,
}

impl State {
    /// Writes a message as a WebSocket frame.
    pub(crate) fn write(&mut self, letter: &Letter, line: u32, number: u32, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&letter.head);
        write_number(&mut out[at + letter.id_at + NUMBER_AT..at + letter.id_at + ID], number);
        match letter.dialect {
            Dialect::Mqtt => {
                self.sent = mqtt::next_tag(self.sent);
                let tag = at + letter.id_at - 2;
                out[tag..tag + 2].copy_from_slice(&(self.sent as u16).to_be_bytes());
            }
            _ => self.sent = self.sent.wrapping_add(1),
        }
        out.extend_from_slice(&letter.end);
        if letter.dialect.acknowledges() {
            self.waiting.push_back(Waiting { tag: self.sent, line, number });
        }
        if letter.dialect == Dialect::Xmpp && !self.asked {
            xmpp::ask(self, out);
        }
    }

    /// Line and number of the message with this tag, which waits no more.
    pub(crate) fn taken(&mut self, tag: u32) -> Option<(u32, u32)> {
        // Servers answer in order, so it is the first one as a rule.
        let at = self.waiting.iter().position(|waiting| waiting.tag == tag)?;
        self.waiting.remove(at).map(|waiting| (waiting.line, waiting.number))
    }

    /// The same of the first one, if it is none after this tag.
    pub(crate) fn taken_up_to(&mut self, tag: u32) -> Option<(u32, u32)> {
        let first = self.waiting.front().filter(|first| first.tag <= tag)?;
        let place = (first.line, first.number);
        self.waiting.pop_front();
        Some(place)
    }

    /// All that the server had to say about what it has taken is heard: asks again if something waits.
    pub(crate) fn ask_again(&mut self, out: &mut Vec<u8>) {
        self.asked = false;
        if !self.waiting.is_empty() {
            xmpp::ask(self, out);
        }
    }
}

/// A message that is ready but for its number and its tag.
#[derive(Debug)]
pub(crate) struct Letter {
    dialect: Dialect,
    head: Vec<u8>,
    /// Where the id begins.
    id_at: usize,
    end: Arc<[u8]>,
}

impl Letter {
    /// For all messages of a line.
    pub(crate) fn new(dialect: Dialect, numbering: &Numbering, line: u32, to: &str, end: &Arc<[u8]>) -> Self {
        let id = numbering.id(line, 0).to_string();
        let head = match dialect {
            Dialect::Sealwire => Vec::new(),
            Dialect::Mqtt => mqtt::head(to, &id, end.len()),
            Dialect::Nats => nats::head(to, &id, end.len()),
            Dialect::Xmpp => xmpp::head(to, &id, end.len()),
        };
        let id_at = memchr::memmem::find(&head, id.as_bytes()).unwrap_or_default();
        Self { dialect, head, id_at, end: end.clone() }
    }
}
