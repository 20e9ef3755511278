//! A device that receives: it drops what it has by (fromDevice, messageId), commits, and acknowledges after that.

use std::collections::HashMap;
use std::time::Duration;

use sealwire_protocol::frames::{Delivered, ServerFrame};
use sealwire_protocol::{DeviceId, MessageId};
use tokio::time::timeout;

use super::device::{Connection, Device, number_in};
use super::world::World;

/// An acknowledgement waits no longer than this for more to acknowledge (protocol section 6: 50 ms at most).
const ACK_DELAY: Duration = Duration::from_millis(10);
/// Nor for more messages than these.
const ACK_COUNT: usize = 32;

/// A receiving device and what it has committed.
pub(crate) struct Receiver {
    device: Device,
    /// What it holds, in the order of arrival.
    shelf: Vec<(DeviceId, u64)>,
    known: HashMap<(DeviceId, MessageId), Vec<u8>>,
    expected: usize,
}

impl Receiver {
    /// A device that waits for `expected` messages.
    pub(crate) fn new(device: Device, expected: usize) -> Self {
        Self { device, shelf: Vec::new(), known: HashMap::new(), expected }
    }

    /// The numbers of the messages of one sender, in the order of their first arrival.
    pub(crate) fn numbers_from(&self, device: &DeviceId) -> Vec<u64> {
        self.shelf.iter().filter(|(from, _)| from == device).map(|(_, number)| *number).collect()
    }

    /// Receives until everything has come and nothing more will be disturbed, over as many connections as it takes.
    pub(crate) async fn run(&mut self, world: &World) {
        let mut settled = world.settled.subscribe();
        while !(*settled.borrow_and_update() && self.shelf.len() >= self.expected) {
            world.server_is_up().await;
            let mut cut = world.cut_receiver.subscribe();
            let Ok(mut connection) = self.device.log_in().await else {
                tokio::task::yield_now().await;
                continue;
            };
            world.count(|counts| counts.log_ins += 1);
            tokio::select! {
                () = self.listen(&mut connection, world) => {}
                _ = cut.changed() => {}
            }
        }
    }

    /// Listens until the connection is lost, or there is nothing left to wait for.
    async fn listen(&mut self, connection: &mut Connection, world: &World) {
        let mut settled = world.settled.subscribe();
        let (mut seq, mut acknowledged) = (0, 0);
        let patience = world.pick(1, ACK_COUNT) as u64;
        loop {
            let is_over = *settled.borrow_and_update() && self.shelf.len() >= self.expected;
            if acknowledged < seq && (is_over || seq - acknowledged >= patience) {
                acknowledged = seq;
                if connection.ack(seq).await.is_err() {
                    return;
                }
            }
            if is_over {
                return;
            }
            let wait = if acknowledged < seq { ACK_DELAY } else { Duration::MAX };
            tokio::select! {
                frame = timeout(wait, connection.next()) => match frame {
                    Ok(Some(ServerFrame::Message(message))) => {
                        seq += 1;
                        assert_eq!(message.seq, seq, "`seq` counts the messages of a connection");
                        self.commit(*message, world);
                    }
                    Ok(Some(ServerFrame::Queue(queue))) => assert_eq!(queue.missed, None),
                    Ok(Some(ServerFrame::Reconnect(_))) => {}
                    Ok(Some(other)) => panic!("the receiver is told {other:?}"),
                    Ok(None) => return,
                    Err(_) => {
                        acknowledged = seq;
                        if connection.ack(seq).await.is_err() {
                            return;
                        }
                    }
                },
                _ = settled.changed() => {}
            }
        }
    }

    /// Keeps a message, unless it is a repeat.
    fn commit(&mut self, message: Delivered, world: &World) {
        let key = (message.from_device, message.message_id);
        let content = message.encrypted_message.0;
        if let Some(known) = self.known.get(&key) {
            assert_eq!(*known, content, "a repeat is the same message");
            world.repeats.update(|count| count + 1);
            return;
        }
        self.shelf.push((message.from_device, number_in(&content)));
        self.known.insert(key, content);
        world.count(|counts| counts.arrivals += 1);
    }

    /// Comes back after everything was stored: takes the backlog in one go up to `queue`, and gives what came, repeats too.
    pub(crate) async fn fetch_backlog(&mut self, world: &World) -> Vec<u64> {
        let mut connection = self.device.log_in().await.expect("the server is up");
        let mut numbers = Vec::new();
        loop {
            match connection.next().await.expect("the server stays up") {
                ServerFrame::Message(message) => {
                    let (seq, number) = (message.seq, number_in(&message.encrypted_message.0));
                    numbers.push(number);
                    self.commit(*message, world);
                    connection.ack(seq).await.expect("the server stays up");
                }
                ServerFrame::Queue(queue) => {
                    assert!(queue.empty && queue.missed.is_none());
                    return numbers;
                }
                other => panic!("the receiver is told {other:?}"),
            }
        }
    }
}
