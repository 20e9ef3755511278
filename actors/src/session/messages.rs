//! The closed list of what a session's actor hears from outside. Everything else is left in its [inbox](super::inbox).

use actix::Message;

/// Something was left in the inbox.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Wake;
