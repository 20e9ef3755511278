//! The bus over Redis: pub/sub for the frames, keys with an end for the rest.
//!
//! * Each node hears one channel, on one connection; on another one it publishes and asks. Either lost is both lost: the node is
//!   cut off, drops what waits, and makes both anew, at once and then ever more slowly. Both are pinged, so that a Redis that
//!   is silent is given up too.
//! * Frames go out in rounds: everything that waits is published at once, one batch for each node, and what comes meanwhile waits
//!   for the next round. A round begins no sooner than a pace (1 ms) after the one before: a quiet link adds nothing, and a busy
//!   one needs few publishes, each of which costs both nodes and the Redis several system calls.
//! * A publish may be lost without a trace (a hearer that is not subscribed just then, a connection that breaks). Each batch has a number,
//!   and [`Sequence`](crate::sequence::Sequence) finds what is missing. A publish is never tried again: it could come twice.
//! * Every key has an end, so what a dead node leaves goes by itself. Times are those of Redis, whatever the clocks of the nodes say.

mod backoff;
mod batch;
mod connect;
mod inbox;
mod keys;
mod link;
mod outbox;
mod scripts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ErrorKind, FromRedisValue, ScriptInvocation, ServerErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use sealwire_protocol::{DeviceId, Username};
use tokio::task::JoinHandle;

use self::keys::Keys;
use self::link::Shared;
use crate::{Arrival, Bus, BusError, BusStats, ENTRY, LEASE, NodeId, Place, Renewal, SharedRate, SlotPut};

/// How many entries are entered again in one step; Redis does nothing else meanwhile.
const AT_ONCE: usize = 512;

/// How a [`RedisBus`] is used, beside its URL.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// What every key and channel begins with. Nodes of one cluster have the same; installations that share a Redis have
    /// different ones.
    pub prefix: String,
    /// Whom to trust with `rediss://`, instead of the system's certificates: one or more in PEM.
    pub certificates: Option<Vec<u8>>,
    /// How long an answer may take. A Redis that is silent for longer is given up.
    pub patience: Duration,
    /// How much time is between the beginnings of two publishes at least: what comes sooner waits and goes together.
    pub pace: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "sealwire:1:".to_owned(),
            certificates: None,
            patience: Duration::from_millis(1500),
            pace: Duration::from_millis(1),
        }
    }
}

/// A node's end of a link over Redis. The link ends when it is dropped; what waits then is lost.
pub struct RedisBus {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus").field("node", &self.shared.node).finish_non_exhaustive()
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RedisBus {
    /// A node at the Redis of this URL: `redis://USER:PASSWORD@HOST:PORT/NUMBER`, or `rediss://` with TLS. To be called in a
    /// tokio runtime.
    ///
    /// When the Redis is not there, the node begins cut off and keeps trying: losing Redis costs latency, not the start.
    ///
    /// # Errors
    /// [`BusError::Open`] when it cannot be used as it is: a bad URL, a wrong password, a right that is missing, a certificate
    /// that is not trusted, a Sentinel, a Cluster, a replica, or a release that is too old.
    pub async fn open(url: &str, options: RedisOptions) -> Result<Self, BusError> {
        let client = connect::client(url, &options)?;
        let random = getrandom::u64().map_err(|_| BusError::Open("the system gives no random bytes".to_owned()))?;
        let shared = Arc::new(Shared::new(NodeId(random), client, &options));
        let first = match shared.connect().await {
            Ok(connections) => {
                shared.link(&connections);
                Some(connections)
            }
            Err(BusError::Unavailable(reason)) => {
                tracing::warn!(node = %shared.node, reason, "the bus cannot be reached; it is being tried again");
                None
            }
            Err(error) => return Err(error),
        };
        let task = tokio::spawn(link::keep(Arc::clone(&shared), first));
        Ok(Self { shared, task })
    }

    fn place(&self, connection: u64) -> Place {
        Place { node: self.shared.node, connection }
    }

    fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// Runs a script, or gives up.
    async fn ask<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, BusError> {
        let mut commands = self.shared.commands()?;
        self.in_time(script.invoke_async(&mut commands)).await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = ::redis::RedisResult<T>>) -> Result<T, BusError> {
        let answer = tokio::time::timeout(self.shared.patience, answer).await;
        let answer = answer.map_err(|_| BusError::Unavailable("no answer in time".to_owned()))?;
        answer.map_err(|error| {
            // It was made a replica of another one. The name or address may lead to that other one now.
            if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
                self.shared.is_useless();
            }
            match connect::failure(&self.shared.client, &error) {
                BusError::Open(reason) | BusError::Unavailable(reason) => BusError::Unavailable(reason),
            }
        })
    }

    async fn note(&self, mine: String, others: String, is: bool) -> Result<Vec<NodeId>, BusError> {
        let mut script = self.shared.scripts.note.key(self.keys().leases());
        script.key(mine).key(others).arg(self.shared.node.to_string()).arg(u8::from(is)).arg(millis(ENTRY));
        let nodes: Vec<String> = self.ask(&script).await?;
        Ok(keys::parse_nodes(&nodes))
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

#[async_trait]
impl Bus for RedisBus {
    fn node(&self) -> NodeId {
        self.shared.node
    }

    fn send(&self, to: NodeId, frame: Bytes) -> bool {
        self.shared.send(to, frame)
    }

    async fn next(&self) -> Arrival {
        self.shared.next().await
    }

    fn stats(&self) -> BusStats {
        self.shared.stats()
    }

    async fn renew(&self) -> Result<Renewal, BusError> {
        let mut script = self.shared.scripts.renew.key(self.keys().leases());
        script.arg(self.shared.node.to_string()).arg(millis(LEASE));
        let (held, nodes): (bool, Vec<String>) = self.ask(&script).await?;
        let mut peers = keys::parse_nodes(&nodes);
        peers.retain(|peer| *peer != self.shared.node);
        Ok(Renewal { peers, held })
    }

    async fn release(&self) -> Result<(), BusError> {
        // What is not gone in time is lost, as it is when the node just ends; the lease is given up either way.
        let _ = tokio::time::timeout(self.shared.patience, self.shared.drained()).await;
        let mut script = self.shared.scripts.release.key(self.keys().leases());
        self.ask(script.arg(self.shared.node.to_string())).await
    }

    async fn enter(&self, device: &DeviceId, connection: u64) -> Result<Option<Place>, BusError> {
        let mut script = self.shared.scripts.enter.key(self.keys().leases());
        script.key(self.keys().entry(device));
        script.arg(self.shared.node.to_string()).arg(keys::fixed(connection)).arg(millis(ENTRY));
        let before: Option<String> = self.ask(&script).await?;
        Ok(before.and_then(|entry| keys::parse_entry(&entry)))
    }

    async fn leave(&self, device: &DeviceId, connection: u64) -> Result<(), BusError> {
        let mut script = self.shared.scripts.leave.key(self.keys().leases());
        script.key(self.keys().entry(device)).arg(keys::entry(self.place(connection)));
        self.ask(&script).await
    }

    async fn enter_again(&self, entries: &[(DeviceId, u64)]) -> Result<Vec<DeviceId>, BusError> {
        let mut kept = Vec::new();
        for part in entries.chunks(AT_ONCE) {
            let mut script = self.shared.scripts.enter_again.key(self.keys().leases());
            script.arg(self.shared.node.to_string()).arg(millis(ENTRY));
            for (device, connection) in part {
                script.key(self.keys().entry(device)).arg(keys::fixed(*connection));
            }
            let numbers: Vec<usize> = self.ask(&script).await?;
            kept.extend(numbers.iter().filter_map(|number| Some(part.get(number.checked_sub(1)?)?.0)));
        }
        Ok(kept)
    }

    async fn find(&self, devices: &[DeviceId]) -> Result<Vec<Option<Place>>, BusError> {
        let mut script = self.shared.scripts.find.key(self.keys().leases());
        for device in devices {
            script.key(self.keys().entry(device));
        }
        let found: Vec<Option<String>> = self.ask(&script).await?;
        if found.len() != devices.len() {
            return Err(BusError::Unavailable("it gave another number of answers than was asked for".to_owned()));
        }
        Ok(found.into_iter().map(|entry| keys::parse_entry(&entry?)).collect())
    }

    async fn show(&self, name: &Username, online: bool) -> Result<Vec<NodeId>, BusError> {
        self.note(self.keys().shown(name), self.keys().watched(name), online).await
    }

    async fn watch(&self, name: &Username, watches: bool) -> Result<Vec<NodeId>, BusError> {
        self.note(self.keys().watched(name), self.keys().shown(name), watches).await
    }

    async fn count(&self, key: &str, rate: SharedRate) -> Result<Result<(), u64>, BusError> {
        let mut script = self.shared.scripts.count.key(self.keys().leases());
        script.key(self.keys().count(key)).arg(rate.limit).arg(millis(rate.period));
        let wait: u64 = self.ask(&script).await?;
        Ok(if wait == 0 { Ok(()) } else { Err(wait) })
    }

    async fn put_slot(
        &self,
        slot: &[u8; 16],
        side: u8,
        data: Bytes,
        life: Duration,
        most: usize,
    ) -> Result<SlotPut, BusError> {
        let mut script = self.shared.scripts.put_slot.key(self.keys().leases());
        script.key(self.keys().slots()).key(self.keys().slot(slot, side));
        script.arg(keys::side_name(slot, side)).arg(&data[..]).arg(millis(life)).arg(most);
        let answer: u8 = self.ask(&script).await?;
        Ok(match answer {
            0 => SlotPut::Yes,
            1 => SlotPut::Filled,
            _ => SlotPut::TooMany,
        })
    }

    async fn take_slot(&self, slot: &[u8; 16], side: u8) -> Result<Option<Bytes>, BusError> {
        let mut commands = self.shared.commands()?;
        let get = ::redis::Cmd::get(self.keys().slot(slot, side));
        let data: Option<Vec<u8>> = self.in_time(get.query_async(&mut commands)).await?;
        Ok(data.map(Bytes::from))
    }
}
