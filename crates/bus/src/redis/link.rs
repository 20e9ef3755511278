//! The life of the link: made, kept, lost, and made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::redis::Client;
use ::redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::RedisOptions;
use super::backoff::Backoff;
use super::batch::Batch;
use super::connect::{Connections, connect, failure};
use super::inbox::Inbox;
use super::keys::Keys;
use super::outbox::Outbox;
use super::scripts::Scripts;
use crate::{BusError, BusStats, NodeId};

/// How often each connection shows that it lives. With the patience, the time after which a silent Redis is given up.
const BEAT: Duration = Duration::from_millis(500);

/// What the link's task and those who use the bus have in common. No lock is held across an await.
pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) patience: Duration,
    pub(super) pace: Duration,
    /// While there is a link.
    commands: Mutex<Option<MultiplexedConnection>>,
    outbox: Mutex<Outbox>,
    inbox: Mutex<Inbox>,
    /// Something waits in the outbox.
    to_send: Notify,
    /// What was taken from the outbox has gone, or is lost.
    sent: Notify,
    /// Something waits in the inbox.
    arrived: Notify,
    /// The link is of no use, though it may still answer.
    useless: Notify,
    counts: Counts,
}

/// Counters for metrics; each by itself, so no order is needed between them.
#[derive(Default)]
struct Counts {
    linked: AtomicBool,
    links: AtomicU64,
    sent: AtomicU64,
    publishes: AtomicU64,
    bytes: AtomicU64,
    unheard: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Shared {
    pub(super) fn new(node: NodeId, client: Client, options: &RedisOptions) -> Self {
        Self {
            node,
            client,
            keys: Keys::new(&options.prefix),
            scripts: Scripts::new(),
            patience: options.patience,
            pace: options.pace,
            commands: Mutex::new(None),
            outbox: Mutex::new(Outbox::new(node)),
            inbox: Mutex::default(),
            to_send: Notify::new(),
            sent: Notify::new(),
            arrived: Notify::new(),
            useless: Notify::new(),
            counts: Counts::default(),
        }
    }

    /// The connection for questions.
    pub(super) fn commands(&self) -> Result<MultiplexedConnection, BusError> {
        let commands = self.commands.lock().clone();
        commands.ok_or_else(|| BusError::Unavailable("not connected".to_owned()))
    }

    pub(super) fn send(&self, to: NodeId, frame: Bytes) -> bool {
        let taken = self.outbox.lock().push(to, frame);
        if taken {
            self.to_send.notify_one();
        } else {
            add(&self.counts.dropped, 1);
        }
        taken
    }

    pub(super) async fn next(&self) -> crate::Arrival {
        loop {
            let arrival = self.inbox.lock().pop();
            match arrival {
                Some(arrival) => return arrival,
                None => self.arrived.notified().await,
            }
        }
    }

    /// Waits until all that was queued has gone, or is lost.
    pub(super) async fn drained(&self) {
        loop {
            // Made before the look, so a round that ends in between is seen.
            let sent = self.sent.notified();
            if self.outbox.lock().is_idle() {
                return;
            }
            sent.await;
        }
    }

    /// The link does not do what it should: it is made anew.
    pub(super) fn is_useless(&self) {
        self.useless.notify_one();
    }

    pub(super) async fn connect(&self) -> Result<Connections, BusError> {
        connect(&self.client, &self.keys, &self.scripts, self.node, self.patience).await
    }

    pub(super) fn stats(&self) -> BusStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BusStats {
            linked: self.counts.linked.load(Ordering::Relaxed),
            links: read(&self.counts.links),
            sent: read(&self.counts.sent),
            publishes: read(&self.counts.publishes),
            bytes: read(&self.counts.bytes),
            unheard: read(&self.counts.unheard),
            received: read(&self.counts.received),
            dropped: read(&self.counts.dropped),
            waiting: self.outbox.lock().waiting() as u64,
        }
    }

    /// There is a link from here on.
    pub(super) fn link(&self, connections: &Connections) {
        *self.commands.lock() = Some(connections.commands.clone());
        self.outbox.lock().link();
        self.counts.linked.store(true, Ordering::Relaxed);
        add(&self.counts.links, 1);
        // Told last: whoever is told can use it.
        self.inbox.lock().linked();
        self.arrived.notify_one();
        tracing::info!(node = %self.node, "the bus is connected");
    }

    fn cut(&self) {
        *self.commands.lock() = None;
        let dropped = self.outbox.lock().cut();
        add(&self.counts.dropped, dropped);
        self.sent.notify_waiters();
        self.counts.linked.store(false, Ordering::Relaxed);
        self.inbox.lock().cut();
        self.arrived.notify_one();
    }

    fn hear(&self, payload: &[u8]) {
        let Some(batch) = Batch::from_bytes(Bytes::copy_from_slice(payload)) else {
            return tracing::debug!("a publish of another version was passed over");
        };
        let frames = batch.frames.len();
        if self.inbox.lock().push(batch) {
            add(&self.counts.received, frames);
            self.arrived.notify_one();
        } else {
            add(&self.counts.dropped, frames);
        }
    }
}

/// Keeps the link until the task is ended; begins with the one that was made already, if there is one.
pub(super) async fn keep(shared: Arc<Shared>, first: Option<Connections>) {
    let mut backoff = Backoff::default();
    let mut made = first;
    loop {
        let connections = match made.take() {
            Some(connections) => connections,
            None => make(&shared, &mut backoff).await,
        };
        let since = Instant::now();
        let reason = run(&shared, connections).await;
        shared.cut();
        backoff.lasted(since.elapsed());
        tracing::warn!(node = %shared.node, %reason, "the bus is lost; it is being tried again");
    }
}

async fn make(shared: &Shared, backoff: &mut Backoff) -> Connections {
    let mut last = String::new();
    loop {
        let random = getrandom::u32().expect("the operating system gives random bytes");
        tokio::time::sleep(backoff.wait(random)).await;
        match shared.connect().await {
            Ok(connections) => {
                shared.link(&connections);
                return connections;
            }
            // The same again would only fill the log.
            Err(error) if error.to_string() == last => {}
            Err(error) => {
                last = error.to_string();
                tracing::warn!(node = %shared.node, %error, "the bus cannot be reached; it is being tried again");
            }
        }
    }
}

/// Works until either connection fails; says why it did.
async fn run(shared: &Shared, connections: Connections) -> BusError {
    let Connections { commands, sink, stream } = connections;
    tokio::select! {
        error = publish(shared, commands.clone()) => error,
        error = listen(shared, stream) => error,
        error = beat_hearing(shared, sink) => error,
        error = beat_asking(shared, commands) => error,
        () = shared.useless.notified() => BusError::Unavailable("it takes no writes".to_owned()),
    }
}

/// Publishes what waits, all of it at once; what comes while that is under way, or before the pace allows another round, waits
/// for the next one.
async fn publish(shared: &Shared, mut commands: MultiplexedConnection) -> BusError {
    let mut next = tokio::time::Instant::now();
    loop {
        tokio::time::sleep_until(next).await;
        let batches = shared.outbox.lock().take();
        if batches.is_empty() {
            shared.to_send.notified().await;
            continue;
        }
        next = tokio::time::Instant::now() + shared.pace;
        let frames: Vec<_> = batches.iter().map(|(_, batch)| batch.frames.len()).collect();
        let mut round = ::redis::pipe();
        for (to, batch) in batches {
            let bytes = batch.to_bytes();
            add(&shared.counts.bytes, bytes.len());
            round.cmd("PUBLISH").arg(shared.keys.channel(to)).arg(&bytes[..]);
        }
        let heard: Result<Vec<u64>, _> = round.query_async(&mut commands).await;
        shared.outbox.lock().done();
        shared.sent.notify_waiters();
        match heard {
            Ok(heard) => {
                add(&shared.counts.publishes, heard.len());
                add(&shared.counts.sent, frames.iter().sum());
                let unheard = heard.iter().zip(&frames).filter(|(hearers, _)| **hearers == 0);
                add(&shared.counts.unheard, unheard.map(|(_, frames)| frames).sum());
            }
            Err(error) => {
                add(&shared.counts.dropped, frames.iter().sum());
                return failure(&shared.client, &error);
            }
        }
    }
}

async fn listen(shared: &Shared, mut stream: PubSubStream) -> BusError {
    while let Some(message) = stream.next().await {
        shared.hear(message.get_payload_bytes());
    }
    BusError::Unavailable("the connection that hears was closed".to_owned())
}

async fn beat_hearing(shared: &Shared, mut sink: PubSubSink) -> BusError {
    loop {
        match tokio::time::timeout(shared.patience, sink.ping::<::redis::Value>()).await {
            Ok(Ok(_)) => tokio::time::sleep(BEAT).await,
            Ok(Err(error)) => return failure(&shared.client, &error),
            Err(_) => return BusError::Unavailable(format!("silent for {:?}", shared.patience)),
        }
    }
}

async fn beat_asking(shared: &Shared, mut commands: MultiplexedConnection) -> BusError {
    loop {
        let ping = ::redis::cmd("PING");
        match tokio::time::timeout(shared.patience, ping.query_async::<::redis::Value>(&mut commands)).await {
            Ok(Ok(_)) => tokio::time::sleep(BEAT).await,
            Ok(Err(error)) => return failure(&shared.client, &error),
            Err(_) => return BusError::Unavailable(format!("silent for {:?}", shared.patience)),
        }
    }
}
