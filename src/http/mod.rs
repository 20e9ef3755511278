//! The HTTP edge: routes, health, and the checks in front of the upgrade. It knows no frame.

pub(crate) mod address;
mod admission;
mod health;
mod internal;
pub(crate) mod origin;
mod refusal;
mod upgrade;

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix_http::HttpService;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::{
    App, Error,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    middleware::DefaultHeaders,
    rt::net::TcpStream,
    web,
};
use sealwire_actors::Broker;

pub(crate) use self::{internal::serve as serve_internal, upgrade::Edge};
use crate::config::Config;

/// Connections that a worker answers HTTP on at a time: probes, and those that have not upgraded yet. One that has upgraded
/// is the edge's to count.
const HTTP_CONNECTIONS: usize = 4_096;

/// How long an idle HTTP connection is kept. WebSockets have their own heartbeat.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a peer may take to hear that its connection is closed.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a peer may leave sent bytes without acknowledgement, in milliseconds: above `timing.blocked`, which lets the
/// session end in order first.
const STALL_MILLIS: u32 = 45_000;

/// How long connections which outlive the drain have to send their last bytes.
pub(crate) const LAST_BYTES: Duration = Duration::from_secs(1);

/// What every answer says beside its own headers.
const HEADERS: [(&str, &str); 2] = [("x-content-type-options", "nosniff"), ("cache-control", "no-store")];

/// Serves on `listener` until the returned server is stopped. Signals are the caller's.
///
/// This is what actix-web's own `HttpServer` does, which has no place for upgrades that leave it.
///
/// # Errors
///
/// When the listener cannot be used.
pub(crate) fn serve(config: &Config, broker: Broker, edge: Arc<Edge>, listener: TcpListener) -> io::Result<Server> {
    let request_time = Duration::from_secs(config.server.request_seconds);
    let service = move || {
        let (upgrading, checks) = (broker.clone(), edge.clone());
        let app = app(broker.clone(), edge.clone()).into_factory().map_err(|error| error.error_response());
        HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(request_time)
            .client_disconnect_timeout(GOODBYE)
            .on_connect_ext(|socket: &TcpStream, _| prepare(socket))
            .upgrade(move |(request, socket)| upgrade::upgrade(request, socket, upgrading.clone(), checks.clone()))
            .finish(map_config(app, |()| AppConfig::default()))
            .tcp()
    };
    let server = Server::build()
        .workers(workers(config.server.workers))
        .max_concurrent_connections(HTTP_CONNECTIONS)
        .shutdown_timeout(LAST_BYTES.as_secs())
        .disable_signals()
        .listen("clients", listener, service)?;
    Ok(server.run())
}

/// The routes.
fn app(
    broker: Broker,
    edge: Arc<Edge>,
) -> App<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>> {
    let headers = HEADERS.into_iter().fold(DefaultHeaders::new(), |headers, header| headers.add(header));
    App::new()
        .app_data(web::Data::new(broker))
        .app_data(web::Data::from(edge))
        .wrap(headers)
        .route(upgrade::PATH, web::get().to(upgrade::explain))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .route("/", web::get().to(health::about))
        .default_service(web::to(health::nothing_here))
}

/// Sets what a connection needs of its socket before the first byte.
///
/// * Nothing waits for the acknowledgement of what was sent before it (RFC 896): a session writes once a turn, so there is
///   nothing to gather, and a delivery would lie in the kernel until its receiver happens to send something, up to 40 ms.
/// * The kernel ends a connection whose peer takes nothing: also one whose session has ended, while its last bytes wait.
fn prepare(stream: &TcpStream) {
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
