//! Answers of the edge to what it does not take: what is wrong, what is expected, how to go on. They never repeat what
//! was sent.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};

use super::admission::{Refused, WINDOW};
use crate::config::{limits::EdgeLimits, server::Server};

/// Why an upgrade is refused before the broker hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The node is about to go.
    Draining,
    /// Too many connections.
    Admission(Refused),
    /// The Host header names nobody here.
    UnknownHost,
    /// A page of another origin.
    Page,
    /// The subprotocol is not offered.
    Subprotocol,
}

sealwire_actors::label! {
    /// A [`Refusal`] as the metrics show it.
    pub(crate) enum Reason: "reason";
    #[doc = "[`Refusal::Draining`]"]
    Draining = "draining",
    #[doc = "[`Refused::NodeFull`]"]
    NodeFull = "node_full",
    #[doc = "[`Refused::AddressFull`]"]
    AddressFull = "address_full",
    #[doc = "[`Refused::TooOften`]"]
    TooOften = "too_often",
    #[doc = "[`Refusal::UnknownHost`]"]
    UnknownHost = "unknown_host",
    #[doc = "[`Refusal::Page`]"]
    Page = "page",
    #[doc = "[`Refusal::Subprotocol`]"]
    Subprotocol = "subprotocol",
}

impl Refusal {
    /// As the metrics show it.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Draining => Reason::Draining,
            Self::Admission(Refused::NodeFull) => Reason::NodeFull,
            Self::Admission(Refused::AddressFull { .. }) => Reason::AddressFull,
            Self::Admission(Refused::TooOften { .. }) => Reason::TooOften,
            Self::UnknownHost => Reason::UnknownHost,
            Self::Page => Reason::Page,
            Self::Subprotocol => Reason::Subprotocol,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Draining | Self::Admission(Refused::NodeFull) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Admission(Refused::AddressFull { .. } | Refused::TooOften { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Page => StatusCode::FORBIDDEN,
            Self::Subprotocol => StatusCode::BAD_REQUEST,
        }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Draining => Some(Duration::from_secs(1)),
            Self::Admission(Refused::NodeFull) => Some(WINDOW),
            Self::Admission(Refused::AddressFull { retry_after } | Refused::TooOften { retry_after }) => {
                Some(retry_after)
            }
            Self::UnknownHost | Self::Page | Self::Subprotocol => None,
        }
    }

    fn text(self, server: &Server, limits: &EdgeLimits) -> String {
        match self {
            Self::Draining => "This server is about to stop or restart. Try again in a moment.".to_owned(),
            Self::Admission(Refused::NodeFull) => {
                "This server has all the connections that it takes. Try again later.".to_owned()
            }
            Self::Admission(Refused::AddressFull { .. }) => format!(
                "Your address has all the connections that it may have ({}). Close some, or try again later.",
                limits.connections_per_ip
            ),
            Self::Admission(Refused::TooOften { .. }) => format!(
                "Your address may open {} connections in {} seconds. Try again after the time that Retry-After gives.",
                limits.new_connections_per_ip,
                WINDOW.as_secs()
            ),
            Self::UnknownHost if server.origins.is_empty() => "\
                This server does not answer to the name that you have dialled. As long as server.origins is not set it \
                takes only localhost, 127.0.0.1 and [::1]. If it is yours, name in server.origins what people dial, such \
                as [\"wss://chat.example.org\"]."
                .to_owned(),
            Self::UnknownHost => "\
                This server does not answer to the name that you have dialled. Dial one of its own names. If it is yours, \
                add the name to server.origins."
                .to_owned(),
            Self::Page => "\
                Pages of this origin may not connect here. Use a page of this server. If it is yours, add the page's origin \
                to server.allowed_origins."
                .to_owned(),
            Self::Subprotocol => "\
                This is the WebSocket address of a Sealwire server: a client asks for an upgrade and offers the subprotocol \
                sealwire.v1 in Sec-WebSocket-Protocol."
                .to_owned(),
        }
    }

    /// The answer; the connection is closed behind it.
    pub(crate) fn response(self, server: &Server, limits: &EdgeLimits) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        if let Some(wait) = self.retry_after() {
            // Whole seconds (RFC 9110, 10.2.3), rounded up: a client that comes back then is not too early.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        response.force_close().content_type("text/plain; charset=utf-8").body(self.text(server, limits) + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(refusal: Refusal) -> (u16, Option<String>) {
        let response = refusal.response(&Server::default(), &EdgeLimits::default());
        let wait = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().expect("text").to_owned());
        (response.status().as_u16(), wait)
    }

    #[test]
    fn each_refusal_has_the_status_that_the_protocol_names() {
        assert_eq!(answer(Refusal::UnknownHost), (421, None));
        assert_eq!(answer(Refusal::Page), (403, None));
        assert_eq!(answer(Refusal::Subprotocol), (400, None));
        assert_eq!(answer(Refusal::Draining), (503, Some("1".into())));
        assert_eq!(answer(Refusal::Admission(Refused::NodeFull)), (503, Some("10".into())));
    }

    #[test]
    fn the_time_to_wait_is_rounded_up_to_whole_seconds() {
        for (milliseconds, seconds) in [(1, "1"), (1_000, "1"), (1_001, "2"), (9_999, "10")] {
            let retry_after = Duration::from_millis(milliseconds);
            assert_eq!(answer(Refusal::Admission(Refused::TooOften { retry_after })), (429, Some(seconds.into())));
        }
    }
}
