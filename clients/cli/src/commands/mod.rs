//! One file per command.

pub(crate) mod listen;
pub(crate) mod register;
pub(crate) mod safety;
pub(crate) mod send;
pub(crate) mod whoami;

use std::io;

use sealwire_client::Event;

use crate::exit::Failure;
use crate::terminal::complain;

/// Standard output is gone: nobody reads on.
fn unwritten(error: io::Error) -> Failure {
    Failure::failed(format!("cannot write: {error}"))
}

/// Tells on standard error what is not a message.
fn tell(event: &Event) {
    match event {
        Event::Alarm(alarm) => complain(&format!("SECURITY WARNING: {alarm}")),
        Event::Missing { from, counters, .. } => {
            complain(&format!("messages {} to {} of {from} may be missing", counters.start(), counters.end()));
        }
        Event::Unreadable { from, reason, .. } => {
            complain(&format!("a message that claims to be from {from} could not be opened: {reason}"));
        }
        Event::MailboxOverflow(count) => {
            complain(&format!("{count} messages were lost because this device's mailbox was full"));
        }
        Event::OldKey { name, days } => {
            complain(&format!("a device of {name} has been away: its key should have been replaced {days} days ago"));
        }
        Event::Offline(error) => complain(&format!("{error}; trying again")),
        Event::Message(_) | Event::Status { .. } | Event::Online => {}
    }
}
