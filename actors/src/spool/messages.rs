//! What the spool actor hears.

use actix::Message;

/// There is something to commit.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Commit;
