//! Where a new device and an old one leave what they tell each other (protocol section 5, "Linking a device"). The server
//! learns nothing from it: slots are random to it, and what lies in them is sealed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sealwire_bus::{BusError, SlotPut};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::base64::Blob;
use sealwire_protocol::frames::{ErrorFrame, Rendezvous, RendezvousAnswer, ServerFrame};

use super::Session;
use super::socket::SessionContext;
use super::state::Stage;
use crate::clock::{Now, millis};
use crate::quota::Counted;
use crate::router;

/// The most that a side of a slot holds, in bytes.
const SIDE: usize = 64 * 1024;
/// How many more bytes a connection may send for it before its log-in: a side in Base64, and four hundred polls.
const ALLOWANCE: usize = 256 * 1024;

/// A side of a slot.
type Place = ([u8; 16], u8);

/// The slots of this node.
#[derive(Debug)]
pub(crate) struct Slots {
    sides: HashMap<Place, Side>,
    most: usize,
    life: u64,
}

#[derive(Debug)]
struct Side {
    data: Vec<u8>,
    /// On the monotonic clock.
    ends: u64,
}

/// Why a side is not filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Filled,
    TooLarge,
    TooMany,
    /// This connection, or this account, has filled its share.
    TooOften,
}

impl Slots {
    /// Room for so many sides, each for so long.
    pub(crate) fn new(most: usize, life: Duration) -> Self {
        Self { sides: HashMap::new(), most, life: millis(life) }
    }

    /// Forgets the sides whose time is over (on the monotonic clock).
    pub(crate) fn forget(&mut self, now: u64) {
        self.sides.retain(|_, side| side.ends > now);
    }

    /// Fills a side, if `may` says so; it is asked when nothing else speaks against it.
    fn put(&mut self, place: Place, data: Vec<u8>, now: u64, may: impl FnOnce() -> bool) -> Result<(), Refused> {
        if data.len() > SIDE {
            return Err(Refused::TooLarge);
        }
        self.forget(now);
        if self.sides.contains_key(&place) {
            return Err(Refused::Filled);
        }
        if self.sides.len() >= self.most {
            return Err(Refused::TooMany);
        }
        if !may() {
            return Err(Refused::TooOften);
        }
        self.sides.insert(place, Side { data, ends: now + self.life });
        Ok(())
    }

    fn take(&self, place: Place, now: u64) -> Option<Vec<u8>> {
        self.sides.get(&place).filter(|side| side.ends > now).map(|side| side.data.clone())
    }
}

/// Why the two do not meet.
enum Met {
    Refused(Refused),
    NoBus(BusError),
}

impl From<BusError> for Met {
    fn from(error: BusError) -> Self {
        Self::NoBus(error)
    }
}

/// What a `rendezvous` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Put(Place, Vec<u8>),
    Take(Place),
}

/// Side 1 is put and side 2 taken before the log-in, the others after.
fn action(frame: Rendezvous, logged_in: bool) -> Result<Action, &'static str> {
    let (put_side, take_side) = if logged_in { (2, 1) } else { (1, 2) };
    match (frame.put, frame.take) {
        (Some(put), None) if put.side == put_side => Ok(Action::Put((put.slot.0, put.side), put.data.0)),
        (None, Some(take)) if take.side == take_side => Ok(Action::Take((take.slot.0, take.side))),
        (Some(_), Some(_)) | (None, None) => Err("`rendezvous` has exactly one of `put` and `take`"),
        _ => Err("side 1 is put and side 2 taken before the log-in, side 2 put and side 1 taken after it"),
    }
}

impl Session {
    pub(super) fn rendezvous(&mut self, frame: Rendezvous, id: Option<String>, ctx: &mut SessionContext) {
        let logged_in = matches!(self.stage, Stage::Authenticated(_));
        let action = match action(frame, logged_in) {
            Ok(action) => action,
            Err(what) => return self.refuse(ErrorFrame { id, ..ErrorFrame::new(ErrorCode::BadRequest, what) }),
        };
        self.raise_limits();
        if let Some(link) = self.node.link.clone() {
            return self.meet_anywhere(link, action, id, ctx);
        }
        let met = self.meet(action);
        self.met(met, id);
    }

    fn met(&mut self, met: Result<Option<Vec<u8>>, ErrorFrame>, id: Option<String>) {
        match met {
            Ok(data) => self.send(&ServerFrame::Rendezvous(RendezvousAnswer { id, data: data.map(Blob) })),
            Err(error) => self.refuse(ErrorFrame { id, ..error }),
        }
    }

    /// In a cluster the two may be at different nodes, so the slots are where all nodes see them.
    fn meet_anywhere(&mut self, link: Arc<router::Link>, action: Action, id: Option<String>, ctx: &mut SessionContext) {
        if let Action::Put(_, data) = &action {
            let refused = if data.len() > SIDE {
                Some(Refused::TooLarge)
            } else {
                (!self.may_put(self.now())).then_some(Refused::TooOften)
            };
            if let Some(refused) = refused {
                return self.met(Err(explain(refused)), id);
            }
        }
        let (life, most) = (self.node.settings.timing.rendezvous, self.node.settings.limits.rendezvous_entries);
        let met = async move {
            match action {
                Action::Take((slot, side)) => Ok(link.bus.take_slot(&slot, side).await?.map(|data| data.to_vec())),
                Action::Put((slot, side), data) => match link.bus.put_slot(&slot, side, data.into(), life, most).await?
                {
                    SlotPut::Yes => Ok(None),
                    SlotPut::Filled => Err(Met::Refused(Refused::Filled)),
                    SlotPut::TooMany => Err(Met::Refused(Refused::TooMany)),
                },
            }
        };
        self.look_up(met, ctx, move |session, met, _| {
            let met = met.map_err(|why| match why {
                Met::Refused(refused) => explain(refused),
                Met::NoBus(error) => {
                    tracing::warn!(%error, "devices cannot be linked now");
                    let text = "the server cannot link devices now; try again";
                    ErrorFrame { retry_after_ms: Some(1_000), ..ErrorFrame::new(ErrorCode::ServerBusy, text) }
                }
            });
            session.met(met, id);
        });
    }

    /// Whether this connection, or its account, may fill one more side. The room is everybody's: without a share of it one
    /// address would keep all others from linking.
    fn may_put(&mut self, now: Now) -> bool {
        match &mut self.stage {
            Stage::Greeting(greeting) => greeting.fills(),
            Stage::Authenticated(session) => session.quota.lock().take(Counted::Side, now).is_ok(),
            Stage::Closing => false,
        }
    }

    /// A new device waits for a person, and asks again and again meanwhile.
    fn raise_limits(&mut self) {
        if let Stage::Greeting(greeting) = &mut self.stage
            && greeting.links(self.node.settings.limits.rendezvous_frames)
        {
            self.socket.raise_allowance(ALLOWANCE);
        }
    }

    fn meet(&mut self, action: Action) -> Result<Option<Vec<u8>>, ErrorFrame> {
        let now = self.now();
        let slots = self.node.slots.clone();
        let mut slots = slots.lock();
        match action {
            Action::Take(place) => Ok(slots.take(place, now.mono)),
            Action::Put(place, data) => {
                slots.put(place, data, now.mono, || self.may_put(now)).map(|()| None).map_err(explain)
            }
        }
    }
}

fn explain(refused: Refused) -> ErrorFrame {
    match refused {
        Refused::Filled => ErrorFrame::new(ErrorCode::BadRequest, "this side is filled already; make a new code"),
        Refused::TooLarge => ErrorFrame::new(ErrorCode::TooLarge, "a side of a slot holds at most 65536 bytes"),
        Refused::TooOften => {
            let text = "before the log-in a connection leaves one side, after it an account ten in ten minutes";
            ErrorFrame::new(ErrorCode::LimitExceeded, text)
        }
        Refused::TooMany => {
            let error = ErrorFrame::new(ErrorCode::ServerBusy, "too many devices are being linked; try again later");
            ErrorFrame { retry_after_ms: Some(60_000), ..error }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_protocol::base64::Array;
    use sealwire_protocol::frames::{RendezvousPut, RendezvousTake};

    const LIFE: Duration = Duration::from_secs(600);

    #[test]
    fn a_side_is_filled_once_and_taken_until_its_time_is_over() {
        let mut slots = Slots::new(10, LIFE);
        let place = ([1; 16], 1);
        assert_eq!(slots.take(place, 0), None);
        assert_eq!(slots.put(place, vec![7], 0, || true), Ok(()));
        assert_eq!(slots.put(place, vec![8], 1, || true), Err(Refused::Filled));
        assert_eq!((slots.take(place, 2), slots.take(place, 599_999)), (Some(vec![7]), Some(vec![7])));
        assert_eq!((slots.take(([1; 16], 2), 2), slots.take(place, 600_000)), (None, None));
        assert_eq!(slots.put(place, vec![9], 600_000, || true), Ok(()));
    }

    #[test]
    fn sides_are_bounded_in_number_and_size() {
        let mut slots = Slots::new(2, LIFE);
        assert_eq!(slots.put(([0; 16], 1), vec![0; SIDE + 1], 0, || true), Err(Refused::TooLarge));
        assert_eq!(slots.put(([1; 16], 1), vec![0; SIDE], 0, || true), Ok(()));
        assert_eq!(slots.put(([2; 16], 1), vec![], 1, || true), Ok(()));
        assert_eq!(slots.put(([3; 16], 1), vec![], 2, || true), Err(Refused::TooMany));
        assert_eq!(slots.put(([3; 16], 1), vec![], 600_000, || true), Ok(()));
    }

    #[test]
    fn nothing_is_left_of_sides_whose_time_is_over() {
        let mut slots = Slots::new(10, LIFE);
        assert_eq!(slots.put(([1; 16], 1), vec![7], 0, || true), Ok(()));
        assert_eq!(slots.put(([2; 16], 1), vec![8], 1, || true), Ok(()));
        slots.forget(600_000);
        assert_eq!(slots.sides.len(), 1);
        slots.forget(600_001);
        assert!(slots.sides.is_empty());
    }

    #[test]
    fn a_share_is_used_by_what_is_kept_only() {
        let mut slots = Slots::new(10, LIFE);
        let asked = std::cell::Cell::new(0);
        let mut put = |slot: u8, size: usize, may: bool| {
            slots.put(([slot; 16], 1), vec![0; size], 0, || {
                asked.set(asked.get() + 1);
                may
            })
        };
        assert_eq!(put(1, SIDE + 1, true), Err(Refused::TooLarge));
        assert_eq!((put(1, 1, true), put(1, 1, true)), (Ok(()), Err(Refused::Filled)));
        assert_eq!((put(2, 1, false), asked.get()), (Err(Refused::TooOften), 2));
    }

    #[test]
    fn each_side_has_its_own_writer_and_reader() {
        let put = |side| Rendezvous {
            put: Some(RendezvousPut { slot: Array([1; 16]), side, data: Blob(vec![]) }),
            take: None,
        };
        let take = |side| Rendezvous { put: None, take: Some(RendezvousTake { slot: Array([1; 16]), side }) };
        for (frame, logged_in, allowed) in [
            (put(1), false, true),
            (put(2), false, false),
            (put(1), true, false),
            (put(2), true, true),
            (take(1), false, false),
            (take(2), false, true),
            (take(1), true, true),
            (take(2), true, false),
            (put(3), true, false),
            (Rendezvous { put: None, take: None }, true, false),
            (Rendezvous { put: put(2).put, take: take(1).take }, true, false),
        ] {
            assert_eq!(action(frame.clone(), logged_in).is_ok(), allowed, "{frame:?} {logged_in}");
        }
    }
}
