//! Which message is sealed and sent next, and what an answer means for it (protocol section 6, "What the sender may rely
//! on"). Bytes, keys and the network are elsewhere: here are only the rules.
//!
//! * A message stays until its first status; after a reconnect the same bytes go again, in order.
//! * Behind a refused message nothing for the same `to` is sent: it goes again alone, and the rest waits for its status.
//! * What is given up is replaced by an empty control under its id and counter.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sealwire_protocol::ErrorCode;
use sealwire_protocol::ids::{MessageId, Username};

use crate::backoff::{Backoff, asked};

/// The most messages that are sealed or sent without an answer.
pub const WINDOW: usize = 64;
/// The longest that a wait survives its connection, in milliseconds.
const LONGEST_HOLD: u64 = 60_000;

/// What this device has to send.
#[derive(Debug, Default)]
pub struct Outbox {
    lanes: Vec<Lane>,
    names: HashMap<MessageId, Username>,
    sealed: usize,
    /// Nothing is sent before (milliseconds of a clock that does not go back).
    held_until: u64,
    backoff: Backoff,
}

/// The messages to one name, in the order of their counters.
#[derive(Debug)]
struct Lane {
    to: Username,
    items: VecDeque<Item>,
    held_until: u64,
}

#[derive(Debug)]
struct Item {
    id: MessageId,
    stage: Stage,
    refused: bool,
    replaced: bool,
    resealed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unsealed,
    Sealed,
    InFlight,
}

/// What becomes of a message that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The same bytes are sent again after this time; nothing is to be done.
    SendAgain(Duration),
    /// The keys of both sides are to be asked for, then the same body is sealed again.
    SealAgain,
    /// It is given up; an empty control takes its id and counter.
    Replace,
    /// It is given up, and so is what stood for it, if anything did. It is in the outbox no more.
    Drop,
    /// It is not in the outbox.
    Unknown,
}

impl Outbox {
    /// Adds a message behind all others to the same name. `sealed`: its bytes are stored already; `replaced`: it is a
    /// control that stands for a message that was given up.
    pub fn push(&mut self, to: &Username, id: MessageId, sealed: bool, replaced: bool) {
        let stage = if sealed { Stage::Sealed } else { Stage::Unsealed };
        self.sealed += usize::from(sealed);
        let item = Item { id, stage, refused: false, replaced, resealed: 0 };
        self.names.insert(id, to.clone());
        match self.lanes.iter_mut().find(|lane| lane.to == *to) {
            Some(lane) => lane.items.push_back(item),
            None => self.lanes.push(Lane { to: to.clone(), items: VecDeque::from([item]), held_until: 0 }),
        }
    }

    /// Whether everything has had its first status.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many messages have had no status.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The names for which something is to be sealed.
    pub fn names_to_seal_for(&self) -> impl Iterator<Item = &Username> {
        let unsealed = |lane: &&Lane| lane.items.iter().any(|item| item.stage == Stage::Unsealed);
        self.lanes.iter().filter(unsealed).map(|lane| &lane.to)
    }

    /// The messages to seal now, in order within each name, for names whose keys are known.
    pub fn to_seal(&self, now: u64, most: usize, keys_known: impl Fn(&Username) -> bool) -> Vec<MessageId> {
        let room = WINDOW.saturating_sub(self.sealed).min(most);
        let lanes = self.lanes.iter().filter(|lane| lane.held_until <= now && keys_known(&lane.to));
        lanes.flat_map(Lane::to_seal).take(room).collect()
    }

    /// A message's bytes are stored.
    pub fn sealed(&mut self, id: &MessageId) {
        if let Some(item) = self.item(id)
            && item.stage == Stage::Unsealed
        {
            item.stage = Stage::Sealed;
            self.sealed += 1;
        }
    }

    /// The message to send now, if any, to a name whose keys are `believed`; it counts as in flight from here on.
    pub fn next_to_send(&mut self, now: u64, believed: impl Fn(&Username) -> bool) -> Option<MessageId> {
        if self.held_until > now {
            return None;
        }
        let mut lanes = self.lanes.iter_mut().filter(|lane| lane.held_until <= now && believed(&lane.to));
        let item = lanes.find_map(Lane::next_to_send)?;
        item.stage = Stage::InFlight;
        Some(item.id)
    }

    /// When to look again, if something waits for its time.
    pub fn wake_at(&self, now: u64) -> Option<u64> {
        let holds = self.lanes.iter().map(|lane| lane.held_until).chain([self.held_until]);
        holds.filter(|until| *until > now && !self.is_empty()).min()
    }

    /// The connection is lost: what was in flight may have arrived or not, and goes again as it is. What the lost
    /// connection asked to wait binds the next one for a minute at most: it can ask again.
    pub fn disconnected(&mut self, now: u64) {
        self.held_until = self.held_until.min(now.saturating_add(LONGEST_HOLD));
        for item in self.lanes.iter_mut().flat_map(|lane| &mut lane.items) {
            if item.stage == Stage::InFlight {
                item.stage = Stage::Sealed;
            }
        }
    }

    /// A message had its first status and leaves. False: it had left before.
    pub fn settle(&mut self, id: &MessageId) -> bool {
        self.backoff.reset();
        self.remove(id)
    }

    /// A message was refused. `random` spreads the time after which it goes again where the server names none.
    pub fn refused(
        &mut self,
        id: &MessageId,
        code: ErrorCode,
        retry_after: Option<u64>,
        now: u64,
        random: u64,
    ) -> Refusal {
        let Some(item) = self.item(id) else { return Refusal::Unknown };
        item.refused = true;
        let sealed = item.stage != Stage::Unsealed;
        if code.may_have_arrived() {
            item.stage = Stage::Sealed;
            self.sealed += usize::from(!sealed);
            return Refusal::SendAgain(self.hold(retry_after, now, random));
        }
        match code {
            ErrorCode::StaleDevices | ErrorCode::TimestampOutOfRange => {
                item.stage = Stage::Unsealed;
                item.resealed += 1;
                let again_and_again = item.resealed > 3;
                self.sealed -= usize::from(sealed);
                if again_and_again {
                    self.hold_lane(id, now, random);
                }
                Refusal::SealAgain
            }
            ErrorCode::DuplicateConflict => self.drop_it(id),
            _ if item.replaced => self.drop_it(id),
            _ => {
                (item.stage, item.replaced) = (Stage::Unsealed, true);
                self.sealed -= usize::from(sealed);
                Refusal::Replace
            }
        }
    }

    /// Takes out all messages to a name that were never sealed, from the last to the first; those that were stay.
    /// For a name that turns out to be nobody's, or somebody else's.
    pub fn withdraw_unsealed(&mut self, to: &Username) -> Vec<MessageId> {
        let Some(lane) = self.lanes.iter().find(|lane| lane.to == *to) else { return Vec::new() };
        let tail = lane.items.iter().rev().take_while(|item| item.stage == Stage::Unsealed && !item.refused);
        let ids: Vec<_> = tail.map(|item| item.id).collect();
        for id in &ids {
            self.remove(id);
        }
        ids
    }

    /// All messages to a name that have had no status, in order.
    pub fn all_to(&self, to: &Username) -> Vec<MessageId> {
        let lane = self.lanes.iter().find(|lane| lane.to == *to);
        lane.map_or_else(Vec::new, |lane| lane.items.iter().map(|item| item.id).collect())
    }

    fn hold(&mut self, retry_after: Option<u64>, now: u64, random: u64) -> Duration {
        let wait = retry_after.map_or_else(|| self.backoff.next(random), asked);
        self.held_until = self.held_until.max(now.saturating_add(millis(wait)));
        wait
    }

    fn hold_lane(&mut self, id: &MessageId, now: u64, random: u64) {
        let until = now.saturating_add(millis(self.backoff.next(random)));
        let to = self.names.get(id);
        if let Some(lane) = self.lanes.iter_mut().find(|lane| Some(&lane.to) == to) {
            lane.held_until = until;
        }
    }

    fn drop_it(&mut self, id: &MessageId) -> Refusal {
        self.remove(id);
        Refusal::Drop
    }

    fn remove(&mut self, id: &MessageId) -> bool {
        let Some(to) = self.names.remove(id) else { return false };
        let lane = self.lanes.iter().position(|lane| lane.to == to).expect("a known message has a lane");
        let items = &mut self.lanes[lane].items;
        let at = items.iter().position(|item| item.id == *id).expect("a known message is in its lane");
        let item = items.remove(at).expect("just found there");
        self.sealed -= usize::from(item.stage != Stage::Unsealed);
        if items.is_empty() {
            self.lanes.remove(lane);
        }
        true
    }

    fn item(&mut self, id: &MessageId) -> Option<&mut Item> {
        let to = self.names.get(id)?;
        let lane = self.lanes.iter_mut().find(|lane| lane.to == *to)?;
        lane.items.iter_mut().find(|item| item.id == *id)
    }
}

impl Lane {
    /// A refused message is sealed alone; what is behind it waits.
    fn to_seal(&self) -> impl Iterator<Item = MessageId> {
        let refused = self.items.iter().position(|item| item.refused);
        let until = refused.map_or(self.items.len(), |at| at + 1);
        self.items.range(..until).filter(|item| item.stage == Stage::Unsealed).map(|item| item.id)
    }

    /// The first that is not in flight, unless a refused one in flight is before it.
    fn next_to_send(&mut self) -> Option<&mut Item> {
        for item in &mut self.items {
            match item.stage {
                Stage::InFlight if item.refused => return None,
                Stage::InFlight => {}
                Stage::Sealed => return Some(item),
                Stage::Unsealed => return None,
            }
        }
        None
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
