//! A connection of a device, from dialling to its end.

use std::os::fd::OwnedFd;

use sealwire_protocol::signed::Purpose;

use crate::cast::Place;
use crate::dialect;
use crate::person::Entering;

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Stage {
    /// There is none.
    Away,
    /// TCP connects.
    Dialling,
    /// The upgrade was asked for.
    Upgrading,
    /// Waits for a challenge, or for its answer.
    Greeting,
    /// Logged in.
    Here,
}

/// A device and its connection.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) place: Place,
    pub(super) stage: Stage,
    pub(super) socket: Option<OwnedFd>,
    /// Counts its connections.
    pub(super) life: u32,
    /// What is to be said to the next challenge.
    pub(super) purpose: Purpose,
    /// An answer to a challenge whose signatures are under way.
    pub(super) entering: Option<Entering>,
    /// Attempts that failed since it was last here.
    pub(super) attempts: u32,
    /// What came of a frame that is not whole.
    pub(super) input: Vec<u8>,
    /// What is to be written; empty most of the time, and then without memory of its own.
    pub(super) output: Vec<u8>,
    /// How much of it the socket has taken.
    pub(super) written: usize,
    /// The socket takes nothing now.
    pub(super) blocked: bool,
    /// It stands in the list of those to be written.
    pub(super) listed: bool,
    /// The last message that came on this connection.
    pub(super) seen: u64,
    /// The last one that was acknowledged.
    pub(super) acked: u64,
    /// When the first message after that is to be acknowledged at the latest; 0 when there is none.
    pub(super) ack_at: u64,
    /// When this session began: what was due before comes from the mailbox.
    pub(super) entered_at: u64,
    /// When something was last written, in nanoseconds since the run's beginning.
    pub(super) last_sent: u64,
    /// It is to go once all that it wrote is answered.
    pub(super) parting: bool,
    /// What is to be remembered in another protocol than ours.
    pub(super) foreign: dialect::State,
}

impl Seat {
    pub(super) fn new(place: Place, purpose: Purpose) -> Self {
        Self {
            place,
            stage: Stage::Away,
            socket: None,
            life: 0,
            purpose,
            entering: None,
            attempts: 0,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            blocked: false,
            listed: false,
            seen: 0,
            acked: 0,
            ack_at: 0,
            entered_at: 0,
            last_sent: 0,
            parting: false,
            foreign: dialect::State::default(),
        }
    }

    /// Begins a new connection on this socket.
    pub(super) fn begin(&mut self, socket: OwnedFd) {
        self.clear();
        self.socket = Some(socket);
        self.stage = Stage::Dialling;
        self.life += 1;
        (self.seen, self.acked, self.ack_at) = (0, 0, 0);
        self.foreign = dialect::State::default();
    }

    /// Ends the connection; the socket closes.
    pub(super) fn clear(&mut self) {
        self.socket = None;
        self.stage = Stage::Away;
        self.entering = None;
        self.input = Vec::new();
        self.output.clear();
        (self.written, self.blocked, self.parting) = (0, false, false);
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self.stage, Stage::Here)
    }

    /// What is to be acknowledged, if anything is; it counts as done.
    pub(super) fn take_ack(&mut self) -> Option<u64> {
        (self.seen > self.acked).then(|| {
            (self.acked, self.ack_at) = (self.seen, 0);
            self.seen
        })
    }
}
