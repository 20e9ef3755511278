//! The internal listener: what the operator's machines ask. No client comes here, and no public route leads here.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::Server,
    http::{StatusCode, header},
    web,
};
use sealwire_actors::Broker;

use super::health;
use crate::telemetry::Telemetry;

/// Connections that are answered at a time. A handful of scrapers and probes come; more are not served faster.
const CONNECTIONS: usize = 64;

/// How long an idle connection is kept: over the usual time between two scrapes.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Serves on `listener` until the returned server is stopped.
///
/// # Errors
///
/// When the listener cannot be used.
pub(crate) fn serve(broker: Broker, telemetry: Arc<Telemetry>, listener: TcpListener) -> io::Result<Server> {
    let (broker, telemetry) = (web::Data::new(broker), web::Data::from(telemetry));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::clone(&broker))
            .app_data(web::Data::clone(&telemetry))
            .route("/metrics", web::get().to(metrics))
            .route("/healthz", web::get().to(health::alive))
            .route("/readyz", web::get().to(health::ready))
            .default_service(web::to(nothing_here))
    })
    .workers(1)
    .max_connections(CONNECTIONS)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

/// `GET /metrics`: every metric, in Prometheus' text format.
async fn metrics(telemetry: web::Data<Telemetry>) -> HttpResponse {
    match telemetry.metrics().await {
        Ok(text) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, prometheus::TEXT_FORMAT)).body(text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            health::text(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written; the log says why.\n")
        }
    }
}

async fn nothing_here() -> HttpResponse {
    health::text(StatusCode::NOT_FOUND, "Nothing here. This listener serves /metrics, /healthz and /readyz.\n")
}
