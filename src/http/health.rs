//! Pages for probes and for people who open the address in a browser.

use actix_web::{HttpResponse, http::StatusCode, web};
use sealwire_actors::Broker;

/// `GET /healthz`: the process lives.
pub(crate) async fn alive() -> HttpResponse {
    text(StatusCode::OK, "ok\n")
}

/// `GET /readyz`: connections are taken and the store answers.
pub(crate) async fn ready(broker: web::Data<Broker>) -> HttpResponse {
    if broker.is_draining() {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining: this server is about to stop\n")
    } else if !broker.store_answers().await {
        text(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n")
    } else {
        text(StatusCode::OK, "ready\n")
    }
}

/// `GET /`: what this is.
pub(crate) async fn about() -> HttpResponse {
    text(StatusCode::OK, ABOUT)
}

/// Everything else.
pub(crate) async fn nothing_here() -> HttpResponse {
    text(StatusCode::NOT_FOUND, "Nothing here. Clients connect to /ws; probes ask /healthz and /readyz.\n")
}

/// A page of plain text.
pub(crate) fn text(status: StatusCode, body: &'static str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(body)
}

const ABOUT: &str = concat!(
    "Sealwire ",
    env!("CARGO_PKG_VERSION"),
    "\n\nAn end-to-end encrypted chat server: it passes messages on and cannot read them.\n",
    "Connect with a client, such as sealwire-chat; clients use the WebSocket address /ws.\n"
);

#[cfg(test)]
mod tests {
    use actix_web::{App, test};

    use super::*;

    #[actix_web::test]
    async fn the_pages_that_need_no_broker_answer() {
        let app = App::new()
            .route("/healthz", web::get().to(alive))
            .route("/", web::get().to(about))
            .default_service(web::to(nothing_here));
        let service = test::init_service(app).await;
        for (path, status) in [("/healthz", 200), ("/", 200), ("/elsewhere", 404)] {
            let response = test::call_service(&service, test::TestRequest::get().uri(path).to_request()).await;
            assert_eq!(response.status().as_u16(), status, "{path}");
        }
    }
}
