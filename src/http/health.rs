//! Pages for probes and for people who open the address in a browser.

use actix_web::{HttpResponse, http::StatusCode, web};
use sealwire_actors::{Broker, BusHealth, Health, StoreHealth};

/// `GET /healthz`: the process lives.
pub(crate) async fn alive() -> HttpResponse {
    text(StatusCode::OK, "ok\n")
}

/// `GET /readyz`: whether connections should come here, and how each thing is that the node depends on. `sealwire_actors`
/// says why ([`Health`]).
pub(crate) async fn ready(broker: web::Data<Broker>) -> HttpResponse {
    let health = broker.health().await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, page(&health))
}

/// A word for all of it, and a line for each part.
fn page(health: &Health) -> String {
    let all = match (health.ready, health.is_degraded()) {
        (true, false) => "ready",
        (true, true) => "degraded",
        (false, _) => "not ready",
    };
    let node = if health.draining { "draining, it is about to stop" } else { "serving" };
    let store = match health.store {
        StoreHealth::Answers => "answers".to_owned(),
        StoreHealth::RefusesCommits => "answers, but its last commit failed".to_owned(),
        StoreHealth::Silent(time) => format!("no answer for {} s", time.as_secs()),
    };
    let bus = match health.bus {
        None => "",
        Some(BusHealth::Linked) => "bus: linked\n",
        Some(BusHealth::NoLease) => "bus: linked, without a lease\n",
        Some(BusHealth::Cut) => "bus: no link\n",
    };
    format!("{all}\nnode: {node}\nstore: {store}\n{bus}")
}

/// `GET /`: what this is.
pub(crate) async fn about() -> HttpResponse {
    text(StatusCode::OK, ABOUT)
}

/// Everything else.
pub(crate) async fn nothing_here() -> HttpResponse {
    page_of_nothing()
}

/// What stands on every other path.
pub(crate) fn page_of_nothing() -> HttpResponse {
    text(StatusCode::NOT_FOUND, "Nothing here. Clients connect to /ws; probes ask /healthz and /readyz.\n")
}

/// A page of plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(body.into())
}

const ABOUT: &str = concat!(
    "Sealwire ",
    env!("CARGO_PKG_VERSION"),
    "\n\nAn end-to-end encrypted chat server: it passes messages on and cannot read them.\n",
    "Connect with a client, such as sealwire-chat; clients use the WebSocket address /ws.\n"
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::{App, test as http};

    use super::*;

    #[actix_web::test]
    async fn the_pages_that_need_no_broker_answer() {
        let app = App::new()
            .route("/healthz", web::get().to(alive))
            .route("/", web::get().to(about))
            .default_service(web::to(nothing_here));
        let service = http::init_service(app).await;
        for (path, status) in [("/healthz", 200), ("/", 200), ("/elsewhere", 404)] {
            let response = http::call_service(&service, http::TestRequest::get().uri(path).to_request()).await;
            assert_eq!(response.status().as_u16(), status, "{path}");
        }
    }

    #[test]
    fn readiness_has_a_word_for_all_and_a_line_for_each_part() {
        let seconds = |n| StoreHealth::Silent(Duration::from_secs(n));
        let cut = Some(BusHealth::Cut);
        for (draining, store, bus, ready, expected) in [
            (false, StoreHealth::Answers, None, true, "ready\nnode: serving\nstore: answers\n"),
            (false, StoreHealth::Answers, cut, true, "degraded\nnode: serving\nstore: answers\nbus: no link\n"),
            (false, seconds(3), None, true, "degraded\nnode: serving\nstore: no answer for 3 s\n"),
            (false, seconds(20), None, false, "not ready\nnode: serving\nstore: no answer for 20 s\n"),
            (
                true,
                StoreHealth::RefusesCommits,
                None,
                false,
                "not ready\nnode: draining, it is about to stop\nstore: answers, but its last commit failed\n",
            ),
        ] {
            assert_eq!(page(&Health { draining, store, bus, ready }), expected);
        }
    }
}
