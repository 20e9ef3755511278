//! A proxy that makes trouble: it delays, holds back, cuts and refuses TCP connections on command.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::ports;

/// How much of one direction may be under way in the proxy: pieces, and bytes of each. Behind that, whoever sends is
/// blocked, as by a full socket.
const PIECES: usize = 64;
const PIECE: usize = 16 * 1024;

/// What happens to connections.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    delay: Duration,
    blackhole: bool,
    refusing: bool,
    /// Connections that began under an earlier number are over.
    cuts: u64,
}

/// Says of a peer's address whether its connections are left in peace.
type Spared = dyn Fn(SocketAddr) -> bool + Send + Sync;

/// A proxy in front of one address. It begins in fair weather and ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: AbortHandle,
}

impl TcpProxy {
    /// A proxy on a port of its own in front of `upstream`, which need not be there yet.
    pub async fn to(upstream: SocketAddr) -> Self {
        Self::sparing(upstream, |_| false).await
    }

    /// The same, but connections of peers that `spared` knows pass as if there were no proxy.
    pub async fn sparing(upstream: SocketAddr, spared: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        let (listener, address) = listen().await;
        let (weather, seen) = watch::channel(Weather::default());
        let accepting = tokio::spawn(accept(listener, upstream, seen, Arc::new(spared))).abort_handle();
        Self { address, weather, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, what comes goes on only after `delay`, in either direction.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// From now on nothing gets through and nobody is told: the network between has gone. What was sent meanwhile arrives
    /// after [`heal`](Self::heal), as TCP would repeat it then, unless [`cut`](Self::cut) comes first.
    pub fn blackhole(&self) {
        self.weather.send_modify(|weather| weather.blackhole = true);
    }

    /// Ends all connections now, with a reset; what was under way is lost. New ones are taken.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Ends all connections, and resets new ones at once.
    pub fn refuse(&self) {
        self.weather.send_modify(|weather| {
            weather.cuts += 1;
            weather.refusing = true;
        });
    }

    /// Fair weather again.
    pub fn heal(&self) {
        self.weather.send_modify(|weather| *weather = Weather { cuts: weather.cuts, ..Weather::default() });
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        // Connections end by themselves when they find nobody who makes the weather.
        self.accepting.abort();
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    for address in ports::free_addresses() {
        if let Ok(listener) = TcpListener::bind(address).await {
            return (listener, address);
        }
    }
    panic!("no port of {:?} on {} is free", ports::PORTS, Ipv4Addr::LOCALHOST);
}

async fn accept(listener: TcpListener, upstream: SocketAddr, weather: watch::Receiver<Weather>, spared: Arc<Spared>) {
    loop {
        let Ok((client, peer)) = listener.accept().await else { continue };
        let (weather, spared) = (weather.clone(), Arc::clone(&spared));
        tokio::spawn(async move {
            if spared(peer) {
                let _ = plainly(client, upstream).await;
            } else {
                under(weather, client, upstream).await;
            }
        });
    }
}

async fn plainly(mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// One connection, from its first byte to its end, in whatever weather.
async fn under(mut weather: watch::Receiver<Weather>, mut client: TcpStream, upstream: SocketAddr) {
    let Weather { cuts, refusing, .. } = *weather.borrow_and_update();
    if refusing {
        let _ = client.set_zero_linger();
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (to_server, to_client) = (weather.clone(), weather.clone());
    let (from_client, into_client) = client.split();
    let (from_server, into_server) = server.split();
    let lasting = tokio::select! {
        // One direction may end long before the other.
        _ = async { tokio::join!(carry(from_client, into_server, to_server), carry(from_server, into_client, to_client)) } => true,
        _ = weather.wait_for(|now| now.cuts != cuts) => false,
    };
    if !lasting {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Carries bytes in one direction: what is read now is written when its time has come.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let sky = weather.clone();
    let reading = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let due = Instant::now() + sky.borrow().delay;
            if sender.send((due, piece[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            if weather.wait_for(|now| !now.blackhole).await.is_err() || to.write_all(&piece).await.is_err() {
                return;
            }
        }
        // The end of what was sent is held back like every byte of it.
        let _ = weather.wait_for(|now| !now.blackhole).await;
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
