//! A device that sends as protocol section 6 says: it keeps a message until its first status, and sends what has none
//! again in order, the same bytes, after each reconnect.

use std::collections::HashMap;

use sealwire_protocol::MessageId;
use sealwire_protocol::frames::{ServerFrame, Status, StatusFrame};

use super::device::{Connection, Device};
use super::world::World;

/// How many messages a sender lets be without status.
const PIPELINE: usize = 64;

struct Envelope {
    frame: String,
    status: Option<Status>,
    /// How often it was sent.
    sendings: usize,
}

/// A sending device with everything that it is going to say.
pub(crate) struct Sender {
    device: Device,
    outbox: Vec<Envelope>,
    places: HashMap<MessageId, usize>,
}

/// How a connection ended.
enum End {
    Done,
    Lost,
}

impl Sender {
    /// A device that will send `total` messages, numbered from 1.
    pub(crate) fn new(device: Device, to: &Device, total: usize) -> Self {
        let mut outbox = Vec::new();
        let mut places = HashMap::new();
        for number in 1..=total {
            let (id, frame) = device.envelope(to, number as u64);
            places.insert(id, outbox.len());
            outbox.push(Envelope { frame, status: None, sendings: 0 });
        }
        Self { device, outbox, places }
    }

    /// How many messages were reported as such.
    pub(crate) fn with_status(&self, status: Status) -> usize {
        self.outbox.iter().filter(|envelope| envelope.status == Some(status)).count()
    }

    /// Sends until each message has its first status, over as many connections as it takes.
    pub(crate) async fn run(&mut self, world: &World) {
        loop {
            world.server_is_up().await;
            let mut cut = world.cut_senders.subscribe();
            let Ok(mut connection) = self.device.log_in().await else {
                tokio::task::yield_now().await;
                continue;
            };
            world.count(|counts| counts.log_ins += 1);
            let end = tokio::select! {
                end = self.talk(&mut connection, world) => end,
                _ = cut.changed() => End::Lost,
            };
            if matches!(end, End::Done) {
                return;
            }
        }
    }

    async fn talk(&mut self, connection: &mut Connection, world: &World) -> End {
        let mut released = world.released.subscribe();
        let mut next = 0;
        loop {
            let allowed = *released.borrow_and_update();
            let burst = self.burst(&mut next, allowed, world.pick(1, PIPELINE));
            if !burst.is_empty() {
                for place in &burst {
                    self.outbox[*place].sendings += 1;
                }
                let frames = burst.iter().map(|place| self.outbox[*place].frame.as_str());
                if connection.send_all(frames).await.is_err() {
                    return End::Lost;
                }
                world.count(|counts| counts.sent += burst.len());
                // Whoever waits for this count acts before the next burst.
                tokio::task::yield_now().await;
                continue;
            }
            if self.outbox.iter().all(|envelope| envelope.status.is_some()) {
                return End::Done;
            }
            tokio::select! {
                frame = connection.next() => {
                    if !frame.is_some_and(|frame| self.hear(frame, world)) {
                        return End::Lost;
                    }
                }
                _ = released.changed() => {}
            }
        }
    }

    /// The next messages to send on this connection; those before `next` have been sent on it.
    fn burst(&self, next: &mut usize, allowed: usize, longest: usize) -> Vec<usize> {
        let has_none = |place: &usize| self.outbox[*place].status.is_none();
        let under_way = (0..*next).filter(has_none).count();
        let longest = longest.min(PIPELINE.saturating_sub(under_way));
        let burst: Vec<usize> = (*next..allowed.min(self.outbox.len())).filter(has_none).take(longest).collect();
        *next = burst.last().map_or(*next, |last| last + 1);
        burst
    }

    /// Whether the connection is of further use: behind a message that was refused for now nothing is sent on it, and all
    /// that has no status is sent again in order on the next one.
    fn hear(&mut self, frame: ServerFrame, world: &World) -> bool {
        match frame {
            ServerFrame::Status(status) => self.status(&status, world),
            ServerFrame::Reconnect(_) => {}
            ServerFrame::Queue(queue) => assert_eq!(queue.missed, None, "nobody sends to the sender"),
            ServerFrame::Error(error) if error.code.may_have_arrived() => {
                println!("{}: sending again", error.code);
                world.refusals.update(|count| count + 1);
                return false;
            }
            other => panic!("a sender is told {other:?}"),
        }
        true
    }

    /// One first status, then `delivered` behind a `queued`. That may be told again when a crash has kept the receiver's
    /// acknowledgement from the store; and a message that was sent again may be answered again, when the news of its
    /// delivery has crossed the repeat.
    fn status(&mut self, frame: &StatusFrame, world: &World) {
        for id in &frame.message_ids {
            let place = self.places[id];
            let envelope = &mut self.outbox[place];
            match (envelope.status, frame.status) {
                (_, Status::Expired) => panic!("message {} has expired", place + 1),
                (None, _) => world.count(|counts| counts.statuses += 1),
                (Some(Status::Queued), Status::Delivered) => {}
                (Some(before), now)
                    if envelope.sendings > 1 && (before, now) != (Status::Delivered, Status::Queued) =>
                {
                    world.told_again.update(|count| count + 1);
                }
                (before, now) => panic!("message {}, sent once, was {before:?} and then {now:?}", place + 1),
            }
            if envelope.status != Some(Status::Delivered) {
                envelope.status = Some(frame.status);
            }
        }
    }
}
