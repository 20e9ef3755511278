//! The server as a whole: it names the store, binds the listener, starts the broker, serves, and leaves in order.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use actix_web::dev::ServerHandle;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use sealwire_actors::{Broker, Settings, StartError};
use sealwire_bus::{Bus, BusError, RedisBus, RedisOptions};
use sealwire_store::{Departing, Export, Import, MemoryStore, MongoStore, SqliteStore, Store, StoreError};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::{Config, bus::BusSection, store::StoreKind},
    http::{self, Edge},
    next_steps, open_files,
    telemetry::{BusCounts, MeasuredBus, MeasuredStore, StoreCounts, Telemetry},
};

/// Connections that the kernel holds until they are accepted; a rolling restart brings many at once.
const BACKLOG: i32 = 1_024;

/// How long the accepting thread has to let go of the listener.
const PAUSE: Duration = Duration::from_millis(20);

/// How long MongoDB may take for a step of an operator's command: nobody waits for its answer.
const UNHURRIED: Duration = Duration::from_secs(30);

/// What the drain may take above its limit before it counts as stuck.
const GRACE: Duration = Duration::from_secs(2);

/// Why the server could not start, or did not end well.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}. Another program may have the port; --listen names another one")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The store cannot be used.
    #[error("cannot use the store in {}: {source}", directory.display())]
    Store {
        /// Its directory.
        directory: PathBuf,
        /// The store's reason.
        source: StoreError,
    },
    /// The store that several nodes share cannot be used.
    #[error("cannot use the store that store.url names: {0}")]
    SharedStore(#[source] StoreError),
    /// There is nothing to read out or to fill.
    #[error("store.kind is \"memory\", and that keeps nothing; set it to \"sqlite\", or set store.url")]
    KeepsNothing,
    /// The bus cannot be used.
    #[error("cannot use the bus: {0}")]
    Bus(#[from] BusError),
    /// The broker cannot start on what the store holds.
    #[error("cannot start: {0}")]
    Start(#[from] StartError),
    /// The system refuses something that it always grants.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
    /// The HTTP server ended though nobody asked it to.
    #[error("the HTTP server ended by itself")]
    Ended,
    /// A second signal came before the drain was done.
    #[error("stopped by a second signal; what was promised is stored, what was not yet answered is sent again")]
    Interrupted,
    /// The drain did not end.
    #[error("the drain took longer than server.drain_seconds")]
    DrainTooLong,
}

/// Serves until a signal, then drains.
///
/// # Errors
///
/// See [`RunError`].
pub(crate) async fn run(mut config: Config) -> Result<(), RunError> {
    let mut signals = Signals::listen()?;
    config.edge.max_connections = open_files::make_room(config.edge.max_connections);
    let listener = bind(config.server.listen)?;
    let address = listener.local_addr()?;
    // A second handle on the same socket, to close it for everybody while the server still serves.
    let door = listener.try_clone()?;
    let internal = config.metrics.listen.map(bind).transpose()?;
    let (store, bus) = (Arc::default(), config.bus.url.reveal().map(|_| Arc::default()));
    let broker = start_broker(&config, &store, bus.as_ref()).await?;
    // Only now: whoever came earlier would wait for the start, and a balancer with it, instead of going elsewhere at once.
    listen(&listener)?;
    let edge = Arc::new(Edge::new(config.server.clone(), config.edge.clone()));
    let server = http::serve(&config, broker.clone(), edge.clone(), listener)?;
    if let Some(listener) = internal {
        listen(&listener)?;
        tracing::info!(address = %listener.local_addr()?, "serving metrics");
        let telemetry = Telemetry { broker: broker.clone(), edge, store, bus };
        // Until the process ends: the drain is seen too.
        actix_web::rt::spawn(http::serve_internal(broker.clone(), telemetry.into(), listener)?);
    }
    let handle = server.handle();
    let mut served = actix_web::rt::spawn(server);
    tracing::info!(%address, store = config.store.describe(), "listening");
    next_steps::print(&config, address);

    tokio::select! {
        () = signals.next() => {}
        _ = &mut served => return Err(RunError::Ended),
    }
    tracing::info!(connections = broker.connections(), "draining");
    let limit = Duration::from_secs(config.server.drain_seconds);
    drain(leave(broker, &handle, door, limit), &mut signals, limit + GRACE).await
}

/// The broker, on a store and a bus that are measured.
async fn start_broker(
    config: &Config,
    store_counts: &Arc<StoreCounts>,
    bus_counts: Option<&Arc<BusCounts>>,
) -> Result<Broker, RunError> {
    let settings = Settings { limits: config.limits.clone(), timing: config.timing.clone() };
    let store = Arc::new(MeasuredStore::new(open_store(config).await?, store_counts.clone()));
    let bus = match (open_bus(&config.bus).await?, bus_counts) {
        (Some(bus), Some(counts)) => Some(Arc::new(MeasuredBus::new(bus, counts.clone())) as Arc<dyn Bus>),
        (bus, _) => bus,
    };
    Ok(Broker::start(settings, store, bus).await?)
}

/// The store that the configuration names.
async fn open_store(config: &Config) -> Result<Arc<dyn Store>, RunError> {
    Ok(match (config.store.url.reveal(), config.store.kind) {
        (Some(url), _) => Arc::new(MongoStore::open(url, config.timing.store).await.map_err(RunError::SharedStore)?),
        (None, StoreKind::Memory) => Arc::new(MemoryStore::new()),
        (None, StoreKind::Sqlite) => {
            Arc::new(SqliteStore::open(&config.store.data_dir).map_err(|source| of_directory(config, source))?)
        }
    })
}

/// Begins to read out the store that the configuration names, also while servers use it.
///
/// # Errors
///
/// See [`RunError`].
pub(crate) async fn open_export(config: &Config) -> Result<Box<dyn Export>, RunError> {
    let dir = &config.store.data_dir;
    match (config.store.url.reveal(), config.store.kind) {
        (Some(url), _) => MongoStore::export(url, unhurried(config)).await.map_err(RunError::SharedStore),
        (None, StoreKind::Memory) => Err(RunError::KeepsNothing),
        (None, StoreKind::Sqlite) => SqliteStore::export(dir).map_err(|source| of_directory(config, source)),
    }
}

/// Begins to fill the store that the configuration names, which must be empty.
///
/// # Errors
///
/// See [`RunError`].
pub(crate) async fn open_import(config: &Config) -> Result<Box<dyn Import>, RunError> {
    let dir = &config.store.data_dir;
    match (config.store.url.reveal(), config.store.kind) {
        (Some(url), _) => MongoStore::import(url, unhurried(config)).await.map_err(RunError::SharedStore),
        (None, StoreKind::Memory) => Err(RunError::KeepsNothing),
        (None, StoreKind::Sqlite) => SqliteStore::import(dir).map_err(|source| of_directory(config, source)),
    }
}

/// Takes the embedded store, which is to be moved; no server can use it meanwhile.
///
/// # Errors
///
/// See [`RunError`].
pub(crate) fn open_departing(config: &Config) -> Result<Departing, RunError> {
    Departing::take(&config.store.data_dir).map_err(|source| of_directory(config, source))
}

fn of_directory(config: &Config, source: StoreError) -> RunError {
    RunError::Store { directory: config.store.data_dir.clone(), source }
}

fn unhurried(config: &Config) -> Duration {
    config.timing.store.max(UNHURRIED)
}

/// The bus that the configuration names; a node alone has none.
async fn open_bus(section: &BusSection) -> Result<Option<Arc<dyn Bus>>, RunError> {
    let Some(url) = section.url.reveal() else { return Ok(None) };
    let read = |file: &PathBuf| {
        let failed = |error| BusError::Open(format!("bus.ca_file {} cannot be read: {error}", file.display()));
        std::fs::read(file).map_err(failed)
    };
    let certificates = section.ca_file.as_ref().map(read).transpose()?;
    let bus = RedisBus::open(url, RedisOptions { certificates, ..RedisOptions::default() }).await?;
    tracing::info!(node = %bus.node(), "one node of a cluster");
    Ok(Some(Arc::new(bus)))
}

/// Takes an address without listening there yet: connections are refused. That the address cannot be had is told before
/// anything else begins.
fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    let bind = || {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // What the last life has left of its connections does not keep the next one out.
        net::sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &address)?;
        Ok(TcpListener::from(socket))
    };
    bind().map_err(|source| RunError::Listen { address, source })
}

/// Takes connections from here on.
fn listen(listener: &TcpListener) -> Result<(), RunError> {
    let address = listener.local_addr()?;
    net::listen(listener, BACKLOG).map_err(|error| RunError::Listen { address, source: error.into() })
}

/// Closes the listener, lets the broker drain, stops the server. Workers run until the broker is done: sessions live on
/// them, and an idle worker that is told to stop takes along whatever still runs there.
async fn leave(broker: Broker, handle: &ServerHandle, door: TcpListener, limit: Duration) {
    broker.announce_drain();
    handle.pause().await;
    // The accepting thread answers before it has let go of the socket; closing it too early would only log an error.
    tokio::time::sleep(PAUSE).await;
    // Some systems do not shut a listening socket; then new connections wait until the process ends.
    let _ = net::shutdown(&door, net::Shutdown::Both);
    drop(door);
    broker.drain(limit).await;
    // The server does not know connections that have upgraded.
    if tokio::time::timeout(http::LAST_BYTES, broker.deserted()).await.is_err() {
        tracing::debug!(connections = broker.connections(), "some peers have not taken their last bytes");
    }
    handle.stop(true).await;
}

/// Waits for `leaving`, at most `limit`, and no longer than to the next signal.
async fn drain(leaving: impl Future<Output = ()>, signals: &mut Signals, limit: Duration) -> Result<(), RunError> {
    tokio::select! {
        done = tokio::time::timeout(limit, leaving) => done.map_err(|_| RunError::DrainTooLong),
        () = signals.next() => Err(RunError::Interrupted),
    }
}

/// The signals that ask the server to go.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
