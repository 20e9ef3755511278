//! What goes in and what comes out: commands, answers, effects.

use std::collections::BTreeSet;
use std::time::Duration;

use sealwire_e2ee::SafetyNumber;
use sealwire_e2ee::provider::{RsaFailure, RsaJob, RsaOutcome};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Request, ServerFrame, Status};
use sealwire_protocol::ids::{MessageId, Username};

use crate::error::Error;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back, from any beginning.
    pub ticks: u64,
    /// Milliseconds since 1970, as this machine believes.
    pub wall: u64,
}

/// Names a command, so that its answer finds whoever gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What a program asks of the core.
#[derive(Debug, Clone)]
pub enum Command {
    /// Puts contents for somebody into the outbox, in this order and in one transaction. Answered by [`Answer::Sent`] once
    /// they are stored.
    Send {
        /// To whom.
        to: Username,
        /// What: JSON of the protocol's section 4.
        bodies: Vec<Vec<u8>>,
    },
    /// Asks for the safety number of oneself and somebody, by the keys that the server shows now. Answered by
    /// [`Answer::Safety`]; it waits for a connection.
    Safety(Username),
    /// The person has seen a message, named by [`Message::position`](super::Message::position). Not answered.
    Shown(i64),
    /// Sends a request while logged in. Answered by [`Answer::Frame`], or by [`Error::Connect`] when the connection was lost
    /// before the server answered.
    Request(Request<'static>),
    /// One is typing to somebody. Not answered.
    Typing(Username),
    /// Whose presence is wanted from now on. Not answered.
    Watch(BTreeSet<Username>),
    /// Whether others may see when this account is online. Answered by [`Answer::Done`] once it is stored.
    SharePresence(bool),
    /// Believes the changed identity key of somebody. Answered by [`Answer::Done`].
    AcceptIdentity(Username),
    /// Blocks somebody, or no more. Answered by [`Answer::Done`].
    Block {
        /// Whom.
        name: Username,
        /// Or no more.
        blocked: bool,
    },
}

/// What a command gave.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The messages lie in the outbox, under these ids.
    Sent(Vec<MessageId>),
    /// The safety number.
    Safety(SafetyNumber),
    /// The server's answer.
    Frame(Box<ServerFrame>),
    /// It is done.
    Done,
}

/// How far a message of this device has come.
#[derive(Debug, Clone)]
pub enum Progress {
    /// It lies in the outbox.
    Waiting,
    /// The server asked to wait, for this reason.
    Held(ErrorCode),
    /// It had a status.
    Reached(Status),
    /// It will not be sent, or not before the person has decided something.
    Failed(Error),
}

impl Progress {
    /// Whether nothing can follow.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Reached(Status::Delivered | Status::Expired))
    }
}

/// Private-key operations to run, together and on as many threads as there are: [`Core::ran`](super::Core::ran) takes what
/// they gave. They need not end in order with other batches.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Names it.
    pub id: u64,
    /// The jobs.
    pub jobs: Vec<RsaJob>,
}

/// What the jobs of a batch gave, in their order.
pub type Outcomes = Vec<Result<RsaOutcome, RsaFailure>>;

/// What is to be done outside of the core, in order.
#[derive(Debug)]
pub enum Effect {
    /// A frame is sent on the present connection.
    Send(String),
    /// A command has its answer; there is no other one.
    Answer(Ticket, Result<Answer, Error>),
    /// A message has come further. Ids that nobody waits for come too.
    Progress(MessageId, Progress),
    /// Jobs are to be run.
    Run(Batch),
    /// The server asks to wait so long before the next connection, beside the usual wait.
    ComeBackAfter(Duration),
}
