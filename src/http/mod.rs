//! The HTTP edge: routes, health, and the checks in front of the upgrade. It knows no frame.

pub(crate) mod address;
mod admission;
mod health;
mod internal;
pub(crate) mod origin;
mod refusal;
mod upgrade;

use std::{any::Any, io, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, dev::Server, middleware::DefaultHeaders, rt::net::TcpStream, web};
use sealwire_actors::Broker;

pub(crate) use self::{internal::serve as serve_internal, upgrade::Edge};
use crate::config::Config;

/// Connections beyond the maximum that a worker still accepts, to answer them with 503 and probes with the truth.
const SPARE_CONNECTIONS: usize = 1_024;

/// How long an idle HTTP connection is kept. WebSockets have their own heartbeat.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a peer may take to hear that its connection is closed.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a peer may leave sent bytes without acknowledgement, in milliseconds: above `timing.blocked`, which lets the
/// session end in order first.
const STALL_MILLIS: u32 = 45_000;

/// Seconds that connections which outlive the drain have to send their last bytes.
const LAST_BYTES: u64 = 1;

/// Serves on `listener` until the returned server is stopped. Signals are the caller's.
///
/// # Errors
///
/// When the listener cannot be used.
pub(crate) fn serve(config: &Config, broker: Broker, edge: Arc<Edge>, listener: TcpListener) -> io::Result<Server> {
    let broker = web::Data::new(broker);
    let edge = web::Data::from(edge);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::clone(&broker))
            .app_data(web::Data::clone(&edge))
            .wrap(DefaultHeaders::new().add(("X-Content-Type-Options", "nosniff")).add(("Cache-Control", "no-store")))
            .route("/ws", web::get().to(upgrade::upgrade))
            .route("/healthz", web::get().to(health::alive))
            .route("/readyz", web::get().to(health::ready))
            .route("/", web::get().to(health::about))
            .default_service(web::to(health::nothing_here))
    })
    .on_connect(|socket, _| prepare(socket))
    .workers(workers(config.server.workers))
    .max_connections(config.edge.max_connections.saturating_add(SPARE_CONNECTIONS))
    .client_request_timeout(Duration::from_secs(config.server.request_seconds))
    .client_disconnect_timeout(GOODBYE)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(LAST_BYTES)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

/// Sets what a connection needs of its socket before the first byte.
///
/// * Nothing waits for the acknowledgement of what was sent before it (RFC 896): a session writes once a turn, so there is
///   nothing to gather, and a delivery would lie in the kernel until its receiver happens to send something, up to 40 ms.
/// * The kernel ends a connection whose peer takes nothing. The HTTP server does not ask for more to write while the socket
///   is blocked, so a session's own end would not be noticed, and peers that never read would pile up.
fn prepare(socket: &dyn Any) {
    let Some(stream) = socket.downcast_ref::<TcpStream>() else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection on which small frames wait");
    }
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, STALL_MILLIS) {
        tracing::debug!(%error, "a connection without a bound on stalls");
    }
}

fn workers(configured: usize) -> usize {
    if configured > 0 { configured } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_frames_leave_at_once_and_a_peer_that_takes_nothing_is_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let stream = TcpStream::connect(address).await.expect("the kernel takes it");
        prepare(&stream);
        assert!(stream.nodelay().expect("the option"));
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(&stream).expect("the option"), STALL_MILLIS);
    }
}
