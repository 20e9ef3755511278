//! What became of every message: one [`Line`] for each sender and addressee, which knows what was sent and what has come.
//!
//! It knows no sockets and no clock, so what it must notice is tested by telling it.

use std::collections::{BTreeSet, VecDeque};

use sealwire_protocol::frames::Status;

/// A breach of what the protocol promises (section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It came, but only after a later one of the same device.
    OutOfOrder,
    /// It came twice on one connection.
    Repeated,
    /// It came to a device that it was not for, or was never sent.
    Stray,
    /// It was answered by more than one first `status`.
    AnsweredTwice,
    /// The server gave it up: its status was `expired`.
    Expired,
}

impl Fault {
    /// In the words of a report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out of order",
            Self::Repeated => "repeated",
            Self::Stray => "delivered astray",
            Self::AnsweredTwice => "answered twice",
            Self::Expired => "expired",
        }
    }
}

/// What an arrival was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first of its kind at this device; with when it was due.
    New { due: u64 },
    /// New as well, but overtaken by a later one.
    Late { due: u64 },
    /// The server had refused it in a way that leaves open whether it comes.
    Unpromised,
    /// It had come on an earlier connection that ended before its acknowledgement was heard: clients drop these.
    Again,
    /// It should not have come.
    Fault(Fault),
}

/// What an answer was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The first one; with when the message was due.
    First { due: u64 },
    /// `delivered` after `queued`.
    Second,
    /// The server had refused it in a way that leaves open what becomes of it.
    Unpromised,
    /// It should not have come.
    Fault(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Queued,
    Delivered,
    Refused,
}

/// What a refusal ended.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Refusal {
    /// The message had not been answered.
    pub(crate) was_unanswered: bool,
    /// Copies that had not come.
    pub(crate) missing: u32,
}

/// A message that has not come everywhere, or not been answered.
#[derive(Debug)]
struct Pending {
    due: u64,
    /// A bit for each device of the addressee that it has not reached.
    missing: u16,
    told: Told,
}

impl Pending {
    fn is_over(&self) -> bool {
        self.missing == 0 && self.told != Told::Nothing
    }
}

/// What a device of the addressee has seen.
#[derive(Debug, Default)]
struct Arrivals {
    /// The highest number so far.
    last: u32,
    /// Numbers below it that have not come.
    holes: BTreeSet<u32>,
    /// What `last` was when its connection began.
    before: u32,
    /// The highest number that came again on this connection.
    again: u32,
}

/// All messages of one sending device to one addressee, numbered from 1.
#[derive(Debug)]
pub(crate) struct Line {
    sent: u32,
    /// Those from the first on that is not over.
    pending: VecDeque<Pending>,
    devices: Vec<Arrivals>,
    /// How many are over that were `queued` and may still be answered by `delivered`.
    may_follow: u32,
    /// Those that were refused and may have arrived nevertheless.
    undecided: BTreeSet<u32>,
}

impl Line {
    /// The most devices of an addressee.
    pub(crate) const MAX_DEVICES: usize = u16::BITS as usize;

    /// To an addressee with this number of devices.
    pub(crate) fn new(devices: usize) -> Self {
        let devices = (0..devices).map(|_| Arrivals::default()).collect();
        Self { sent: 0, pending: VecDeque::new(), devices, may_follow: 0, undecided: BTreeSet::new() }
    }

    /// Notes that a message is sent that was due at this time; gives its number.
    pub(crate) fn send(&mut self, due: u64) -> u32 {
        let missing = ((1_u32 << self.devices.len()) - 1) as u16;
        self.pending.push_back(Pending { due, missing, told: Told::Nothing });
        self.sent += 1;
        self.sent
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> u32 {
        self.sent
    }

    /// A device has a new connection.
    pub(crate) fn connected(&mut self, device: usize) {
        let arrivals = &mut self.devices[device];
        (arrivals.before, arrivals.again) = (arrivals.last, 0);
    }

    /// A message has come to a device.
    pub(crate) fn arrived(&mut self, device: usize, number: u32) -> Arrival {
        if number == 0 || number > self.sent {
            return Arrival::Fault(Fault::Stray);
        }
        let arrivals = &mut self.devices[device];
        let late = number < arrivals.last && arrivals.holes.remove(&number);
        if number > arrivals.last {
            arrivals.holes.extend(arrivals.last + 1..number);
            arrivals.last = number;
        } else if !late {
            if number > arrivals.before || number <= arrivals.again {
                return Arrival::Fault(Fault::Repeated);
            }
            arrivals.again = number;
            return Arrival::Again;
        }
        if self.undecided.contains(&number) {
            return Arrival::Unpromised;
        }
        let due = match self.pending_mut(number) {
            Some(pending) if pending.told != Told::Refused => {
                pending.missing &= !(1 << device);
                pending.due
            }
            // Refused for good by the server, which delivered it nevertheless.
            _ => return Arrival::Fault(Fault::Stray),
        };
        self.let_go();
        if late { Arrival::Late { due } } else { Arrival::New { due } }
    }

    /// A message was answered.
    pub(crate) fn answered(&mut self, number: u32, status: Status) -> Answer {
        if number == 0 || number > self.sent {
            return Answer::Fault(Fault::Stray);
        }
        if self.undecided.contains(&number) {
            return Answer::Unpromised;
        }
        let Some(pending) = self.pending_mut(number) else {
            return match (status, self.may_follow.checked_sub(1)) {
                (Status::Delivered, Some(left)) => {
                    self.may_follow = left;
                    Answer::Second
                }
                _ => Answer::Fault(Fault::AnsweredTwice),
            };
        };
        let due = pending.due;
        let answer = match (pending.told, status) {
            (_, Status::Expired) => Answer::Fault(Fault::Expired),
            (Told::Nothing, Status::Queued) => {
                pending.told = Told::Queued;
                Answer::First { due }
            }
            (Told::Nothing, Status::Delivered) => {
                pending.told = Told::Delivered;
                Answer::First { due }
            }
            (Told::Queued, Status::Delivered) => {
                pending.told = Told::Delivered;
                Answer::Second
            }
            _ => Answer::Fault(Fault::AnsweredTwice),
        };
        self.let_go();
        answer
    }

    /// Whether a message has come everywhere and is answered.
    pub(crate) fn is_over(&mut self, number: u32) -> bool {
        self.pending_mut(number).is_none_or(|pending| pending.is_over())
    }

    /// The server has refused a message by an `error`, and nothing waits for it any more. It must not come, unless the error is one after
    /// which it may have arrived (protocol section 6).
    pub(crate) fn refused(&mut self, number: u32, may_have_arrived: bool) -> Refusal {
        let Some(pending) = self.pending_mut(number) else { return Refusal::default() };
        let refusal = Refusal { was_unanswered: pending.told == Told::Nothing, missing: pending.missing.count_ones() };
        (pending.told, pending.missing) = (Told::Refused, 0);
        if may_have_arrived {
            self.undecided.insert(number);
        }
        self.let_go();
        refusal
    }

    /// The copies that have not come.
    pub(crate) fn lost(&self) -> u64 {
        self.pending.iter().map(|pending| u64::from(pending.missing.count_ones())).sum()
    }

    /// The numbers of the first messages that have not come.
    pub(crate) fn first_lost(&self, most: usize) -> Vec<u32> {
        let lost = (self.front()..).zip(&self.pending).filter(|(_, pending)| pending.missing != 0);
        lost.map(|(number, _)| number).take(most).collect()
    }

    /// The messages that have not been answered.
    pub(crate) fn unanswered(&self) -> u64 {
        self.pending.iter().filter(|pending| pending.told == Told::Nothing).count() as u64
    }

    fn front(&self) -> u32 {
        self.sent - self.pending.len() as u32 + 1
    }

    fn pending_mut(&mut self, number: u32) -> Option<&mut Pending> {
        let index = number.checked_sub(self.front())?;
        self.pending.get_mut(index as usize)
    }

    fn let_go(&mut self) {
        while let Some(front) = self.pending.front().filter(|pending| pending.is_over()) {
            self.may_follow += u32::from(front.told == Told::Queued);
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
