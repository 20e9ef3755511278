//! Copies on their way to other nodes: one stream for each device, until everything in it is decided. Pure; the
//! [link](super::link) sends and stores.
//!
//! * While a copy for a device is undecided, later ones follow it: to the same connection, or into the store behind it, whatever
//!   presence says meanwhile.
//! * A stream goes to one connection. Once that has refused a copy, or left one undecided for too long, or its node is gone,
//!   nothing more goes there: what is undecided is stored here, in order, and so is what comes until that is committed.
//! * A copy that the other node may have taken as well is stored twice at most, which the store, the session and the client
//!   each recognise as a repeat.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use sealwire_bus::Place;
use sealwire_protocol::DeviceId;

use crate::session::{Parcel, Reply, Verdict};

/// How many copies may be on their way to other nodes, and how many bytes of them. What is beyond goes to the store.
const COPIES: usize = 65_536;
const BYTES: usize = 128 * 1024 * 1024;
/// How many may be on their way to one device: its session has to take them in.
const TO_ONE: usize = 1_024;

/// What became of a copy at another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is decided.
    Decided(Verdict),
    /// The node has not taken it: this one decides.
    NotTaken,
}

/// What the link is to do, in this order.
#[derive(Debug)]
pub(crate) enum Act {
    /// Send a copy to this place under this id. The parcel stays in its stream; these are its parts.
    Send { id: u64, place: Place, parcel: Parcel },
    /// Put it into the store, and say [`Streams::stored`] once that is decided.
    Store(Parcel),
    /// Tell whoever waits.
    Tell(Reply, Verdict),
}

struct Sent {
    id: u64,
    parcel: Parcel,
    /// On the monotonic clock.
    at: u64,
    /// To be stored here.
    not_taken: bool,
}

struct Stream {
    place: Place,
    sent: VecDeque<Sent>,
    /// Copies that are on their way into the store.
    storing: usize,
    /// Nothing more goes to the place.
    given_up: bool,
}

impl Stream {
    fn give_up(&mut self) {
        self.given_up = true;
        self.sent.iter_mut().for_each(|sent| sent.not_taken = true);
    }

    fn is_over(&self) -> bool {
        self.sent.is_empty() && self.storing == 0
    }
}

/// All streams of this node.
#[derive(Default)]
pub(crate) struct Streams {
    by_device: HashMap<DeviceId, Stream>,
    devices: HashMap<u64, DeviceId>,
    bytes: usize,
    last_id: u64,
}

impl Streams {
    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_device.is_empty()
    }

    #[cfg(test)]
    fn has(&self, device: &DeviceId) -> bool {
        self.by_device.contains_key(device)
    }

    /// Takes a copy for a device that has a stream, or a place for a new one; `None` when it has neither.
    pub(crate) fn push(&mut self, parcel: &Parcel, place: Option<Place>, now: u64) -> Option<Vec<Act>> {
        let device = parcel.mail.device;
        let full = self.devices.len() >= COPIES || self.bytes + parcel.mail.size() > BYTES;
        let stream = match (self.by_device.entry(device), place) {
            (Entry::Occupied(stream), _) => stream.into_mut(),
            (Entry::Vacant(entry), Some(place)) if !full => {
                entry.insert(Stream { place, sent: VecDeque::new(), storing: 0, given_up: false })
            }
            (Entry::Vacant(_), _) => return None,
        };
        if full || stream.sent.len() >= TO_ONE {
            stream.give_up();
        }
        self.last_id += 1;
        let (id, given_up) = (self.last_id, stream.given_up);
        let send = (!given_up).then(|| Act::Send { id, place: stream.place, parcel: parcel.clone() });
        self.bytes += parcel.mail.size();
        self.devices.insert(id, device);
        stream.sent.push_back(Sent { id, parcel: parcel.clone(), at: now, not_taken: given_up });
        let mut acts: Vec<Act> = send.into_iter().collect();
        self.flush(&device, &mut acts);
        Some(acts)
    }

    /// Another node has said what became of a copy. One that is not on its way any more is passed over; gives the device of
    /// any other.
    pub(crate) fn outcome(&mut self, id: u64, outcome: Outcome, acts: &mut Vec<Act>) -> Option<DeviceId> {
        let device = *self.devices.get(&id)?;
        let stream = self.by_device.get_mut(&device)?;
        match outcome {
            Outcome::Decided(verdict) => {
                let index = stream.sent.iter().position(|sent| sent.id == id)?;
                let sent = stream.sent.remove(index)?;
                self.forget(&sent);
                acts.push(Act::Tell(sent.parcel.reply, verdict));
            }
            // What follows it was sent to the same connection, so it will not be taken either.
            Outcome::NotTaken => {
                let index = stream.sent.iter().position(|sent| sent.id == id)?;
                stream.given_up = true;
                stream.sent.range_mut(index..).for_each(|sent| sent.not_taken = true);
            }
        }
        self.flush(&device, acts);
        Some(device)
    }

    /// A copy that was to be stored is decided.
    pub(crate) fn stored(&mut self, device: &DeviceId) {
        if let Some(stream) = self.by_device.get_mut(device) {
            stream.storing = stream.storing.saturating_sub(1);
            if stream.is_over() {
                self.by_device.remove(device);
            }
        }
    }

    /// Gives up every stream whose place is like this. Gives the devices.
    pub(crate) fn give_up(&mut self, is_like: impl Fn(&Place) -> bool, acts: &mut Vec<Act>) -> Vec<DeviceId> {
        let like = self.by_device.iter().filter(|(_, stream)| !stream.given_up && is_like(&stream.place));
        let devices: Vec<DeviceId> = like.map(|(device, _)| *device).collect();
        self.give_up_all(&devices, acts);
        devices
    }

    /// Gives up streams that have an undecided copy from before `since` (on the monotonic clock). Gives the devices.
    pub(crate) fn give_up_late(&mut self, since: u64, acts: &mut Vec<Act>) -> Vec<DeviceId> {
        let late =
            |stream: &Stream| !stream.sent.is_empty() && stream.sent.iter().any(|s| !s.not_taken && s.at < since);
        let devices: Vec<DeviceId> =
            self.by_device.iter().filter(|(_, stream)| late(stream)).map(|(device, _)| *device).collect();
        self.give_up_all(&devices, acts);
        devices
    }

    fn give_up_all(&mut self, devices: &[DeviceId], acts: &mut Vec<Act>) {
        for device in devices {
            if let Some(stream) = self.by_device.get_mut(device) {
                stream.give_up();
            }
            self.flush(device, acts);
        }
    }

    fn forget(&mut self, sent: &Sent) {
        self.devices.remove(&sent.id);
        self.bytes = self.bytes.saturating_sub(sent.parcel.mail.size());
    }

    /// Stores what is at the front and to be stored: behind an undecided one it waits for its turn.
    fn flush(&mut self, device: &DeviceId, acts: &mut Vec<Act>) {
        let Some(stream) = self.by_device.get_mut(device) else { return };
        let mut stored = Vec::new();
        while let Some(sent) = stream.sent.pop_front_if(|sent| sent.not_taken) {
            stream.storing += 1;
            stored.push(sent);
        }
        let over = stream.is_over();
        for sent in stored {
            self.forget(&sent);
            acts.push(Act::Store(sent.parcel));
        }
        if over {
            self.by_device.remove(device);
        }
    }
}

#[cfg(test)]
mod tests {
    use sealwire_bus::NodeId;

    use sealwire_store::Mail;

    use super::*;
    use crate::session::fixtures::{device, parcel};

    const HERE: Place = Place { node: NodeId(2), connection: 7 };

    fn names(acts: &[Act]) -> Vec<String> {
        let name = |act: &Act| match act {
            Act::Send { id, place, parcel } => format!("send {id} {} to {}", parcel.mail.order, place.connection),
            Act::Store(parcel) => format!("store {}", parcel.mail.order),
            Act::Tell(reply, verdict) => format!("tell {reply:?} {verdict:?}"),
        };
        acts.iter().map(name).collect()
    }

    fn with_three() -> Streams {
        let mut streams = Streams::default();
        for n in 1..=3 {
            let acts = streams.push(&parcel(n), Some(HERE), n * 100).expect("there is room");
            assert_eq!(names(&acts), [format!("send {n} {n} to 7")]);
        }
        streams
    }

    #[test]
    fn a_copy_without_stream_and_place_is_given_back() {
        assert!(Streams::default().push(&parcel(1), None, 0).is_none());
    }

    #[test]
    fn what_is_decided_is_told_and_a_stream_ends_with_its_last_copy() {
        let (mut streams, mut acts) = (with_three(), Vec::new());
        for id in [2, 1, 3, 3] {
            streams.outcome(id, Outcome::Decided(Verdict::Delivered), &mut acts);
        }
        assert_eq!(
            names(&acts),
            ["tell Reply(2/0) Delivered", "tell Reply(1/0) Delivered", "tell Reply(3/0) Delivered"]
        );
        assert!(streams.is_empty() && streams.devices.is_empty() && streams.bytes == 0);
    }

    #[test]
    fn what_is_not_taken_is_stored_in_order_and_what_follows_goes_behind_it() {
        let (mut streams, mut acts) = (with_three(), Vec::new());
        streams.outcome(2, Outcome::NotTaken, &mut acts);
        assert_eq!(names(&acts), Vec::<String>::new(), "an earlier one is undecided");
        assert!(
            streams.push(&parcel(4), Some(Place { connection: 8, ..HERE }), 400).is_some_and(|acts| acts.is_empty())
        );
        streams.outcome(1, Outcome::Decided(Verdict::Stored), &mut acts);
        assert_eq!(names(&acts), ["tell Reply(1/0) Stored", "store 2", "store 3", "store 4"]);
        let acts = streams.push(&parcel(5), Some(HERE), 500).expect("it has a stream");
        assert_eq!(names(&acts), ["store 5"]);
        (0..3).for_each(|_| streams.stored(&device(0xb1)));
        assert!(streams.has(&device(0xb1)), "one is still on its way");
        streams.stored(&device(0xb1));
        assert!(streams.is_empty());
    }

    #[test]
    fn a_copy_that_stays_undecided_gives_up_its_stream() {
        let (mut streams, mut acts) = (with_three(), Vec::new());
        assert!(streams.give_up_late(100, &mut acts).is_empty() && acts.is_empty());
        assert_eq!(streams.give_up_late(101, &mut acts), [device(0xb1)]);
        assert_eq!(names(&acts), ["store 1", "store 2", "store 3"]);
        acts.clear();
        assert_eq!(streams.outcome(1, Outcome::Decided(Verdict::Delivered), &mut acts), None);
        assert!(acts.is_empty() && streams.give_up_late(1_000, &mut acts).is_empty());
    }

    #[test]
    fn the_streams_of_a_node_that_is_gone_are_given_up() {
        let (mut streams, mut acts) = (with_three(), Vec::new());
        assert!(streams.give_up(|place| place.node == NodeId(9), &mut acts).is_empty());
        assert_eq!(streams.give_up(|place| place.node == HERE.node, &mut acts), [device(0xb1)]);
        assert_eq!(acts.len(), 3);
    }

    #[test]
    fn there_is_an_end_to_what_may_be_on_its_way() {
        let mut streams = Streams::default();
        for n in 0..TO_ONE as u64 {
            assert!(streams.push(&parcel(n), Some(HERE), 0).is_some());
        }
        let acts = streams.push(&parcel(TO_ONE as u64), Some(HERE), 0).expect("it has a stream");
        assert_eq!(acts.len(), TO_ONE + 1, "all of it is stored, in order");
        assert!(acts.iter().all(|act| matches!(act, Act::Store(_))));

        let mut streams = Streams::default();
        let to = |n: usize| {
            let device = device(u8::try_from(n / TO_ONE).expect("few devices"));
            let parcel = parcel(1);
            Parcel { mail: Mail { device, ..Mail::clone(&parcel.mail) }.into(), ..parcel }
        };
        assert!((0..COPIES).all(|n| streams.push(&to(n), Some(HERE), 0).is_some()));
        assert!(streams.push(&to(COPIES), Some(HERE), 0).is_none(), "what is for another device has no stream");
    }
}
