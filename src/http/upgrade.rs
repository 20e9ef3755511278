//! `GET /ws`: the checks in front of the broker, in the order in which they cost.

use std::{net::IpAddr, sync::Arc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap, HeaderName},
    web,
};
use sealwire_actors::{
    Broker, Peer,
    metrics::{Labelled, Metric, Samples},
};
use sealwire_protocol::frames::SUBPROTOCOL;

use super::{
    address::client_address,
    admission::{Admission, Permit, Refused},
    origin::{self, ServerOrigin},
    refusal::{Reason, Refusal},
};
use crate::config::{limits::EdgeLimits, server::Server};

/// What the edge decides by.
#[derive(Debug)]
pub(crate) struct Edge {
    server: Server,
    limits: EdgeLimits,
    admission: Arc<Admission>,
    refused: Labelled<Reason>,
}

/// An upgrade that may go on.
#[derive(Debug)]
struct Admitted {
    origin: ServerOrigin,
    address: IpAddr,
    permit: Permit,
}

impl Edge {
    /// With nobody connected.
    pub(crate) fn new(server: Server, limits: EdgeLimits) -> Self {
        let admission = Admission::new(limits.clone());
        Self { server, limits, admission, refused: Labelled::default() }
    }

    /// Says how many upgrades were refused.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        samples.labelled(Metric::ConnectionsRefused, &self.refused);
    }

    fn check(&self, headers: &HeaderMap, peer: IpAddr, now: Instant) -> Result<Admitted, Refusal> {
        let address = client_address(peer, forwarded(headers), &self.server.trusted_proxies);
        let permit = self.admission.admit(address, now).map_err(Refusal::Admission)?;
        let host = single(headers, &header::HOST).ok().flatten();
        let origin = host.and_then(|host| origin::dialled(host, &self.server.origins)).ok_or(Refusal::UnknownHost)?;
        let page = single(headers, &header::ORIGIN).map_err(|_| Refusal::Page)?;
        if !origin::page_may_connect(page, &origin, &self.server.origins, &self.server.allowed_origins) {
            return Err(Refusal::Page);
        }
        if !offers_subprotocol(headers) {
            return Err(Refusal::Subprotocol);
        }
        Ok(Admitted { origin, address, permit })
    }
}

/// Answers `GET /ws`.
pub(crate) async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    broker: web::Data<Broker>,
    edge: web::Data<Edge>,
) -> HttpResponse {
    let decision = match request.peer_addr() {
        _ if broker.is_full() => Err(Refusal::Admission(Refused::NodeFull)),
        Some(peer) if !broker.is_draining() => edge.check(request.headers(), peer.ip(), Instant::now()),
        _ => Err(Refusal::Draining),
    };
    match decision {
        Ok(Admitted { origin, address, permit }) => {
            broker.connect(&request, payload, Peer { origin: origin.to_string(), address, guard: Box::new(permit) })
        }
        Err(refusal) => {
            tracing::debug!(?refusal, "upgrade refused");
            edge.refused.add(refusal.reason());
            refusal.response(&edge.server, &edge.limits)
        }
    }
}

/// A header that may stand once; more of it, or one that is no text, is an error.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Ambiguous> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Ambiguous),
        (Some(_), Some(_)) => Err(Ambiguous),
    }
}

/// A header that does not say one thing.
#[derive(Debug)]
struct Ambiguous;

/// The lines of `X-Forwarded-For`; one that is no text ends the reading, as an empty entry does.
fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    let lines: Vec<&str> =
        headers.get_all(header::X_FORWARDED_FOR).map(|value| value.to_str().unwrap_or_default()).collect();
    lines.into_iter()
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offered| offered.trim() == SUBPROTOCOL)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use actix_web::http::header::HeaderValue;

    use super::{super::address::Network, *};
    use crate::config::setting::Word;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn edge(max_connections: usize, new_connections_per_ip: usize) -> Edge {
        let limits = EdgeLimits { max_connections, new_connections_per_ip, ..EdgeLimits::default() };
        Edge::new(Server::default(), limits)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    const GOOD: [(&str, &str); 2] = [("host", "localhost:8080"), ("sec-websocket-protocol", "other, sealwire.v1")];

    fn refusal(edge: &Edge, pairs: &[(&'static str, &'static str)]) -> Refusal {
        edge.check(&headers(pairs), PEER, Instant::now()).expect_err("refused")
    }

    #[test]
    fn a_good_upgrade_goes_on_with_the_origin_that_was_dialled() {
        let admitted = edge(1, 1).check(&headers(&GOOD), PEER, Instant::now()).expect("admitted");
        assert_eq!(admitted.origin.to_string(), "ws://localhost:8080");
    }

    #[test]
    fn the_checks_come_in_the_order_of_the_protocol() {
        let nothing_right = [("host", "elsewhere"), ("origin", "https://evil.example")];
        assert_eq!(refusal(&edge(0, 0), &nothing_right), Refusal::Admission(Refused::NodeFull));
        let edge = edge(10, 3);
        assert_eq!(refusal(&edge, &nothing_right), Refusal::UnknownHost);
        assert_eq!(refusal(&edge, &[("host", "localhost"), nothing_right[1]]), Refusal::Page);
        assert_eq!(refusal(&edge, &[("host", "localhost")]), Refusal::Subprotocol);
        assert!(matches!(refusal(&edge, &nothing_right), Refusal::Admission(Refused::TooOften { .. })));
    }

    #[test]
    fn a_refused_upgrade_gives_its_place_back() {
        let edge = edge(1, 0);
        for _ in 0..3 {
            assert_eq!(refusal(&edge, &[]), Refusal::UnknownHost);
        }
        edge.check(&headers(&GOOD), PEER, Instant::now()).expect("the place is free");
    }

    #[test]
    fn a_header_that_stands_twice_is_refused() {
        let twice = |name, value| refusal(&edge(1, 0), &[GOOD[0], GOOD[1], (name, value), (name, value)]);
        assert_eq!(twice("host", "localhost:8080"), Refusal::UnknownHost);
        assert_eq!(twice("origin", "http://localhost:8080"), Refusal::Page);
    }

    #[test]
    fn the_subprotocol_is_exact_and_may_stand_on_any_line() {
        for (values, offered) in [
            (&["sealwire.v1"][..], true),
            (&["a", "b ,sealwire.v1"], true),
            (&["sealwire.v2"], false),
            (&["Sealwire.v1"], false),
            (&["sealwire.v1.x"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            }
            assert_eq!(offers_subprotocol(&headers), offered, "{values:?}");
        }
    }

    #[test]
    fn behind_a_trusted_proxy_the_limits_count_the_clients_own_address() {
        let edge = Edge::new(
            Server { trusted_proxies: vec![Network::read("127.0.0.1").expect("a network")], ..Server::default() },
            EdgeLimits { connections_per_ip: 1, ..EdgeLimits::default() },
        );
        let from = |address| {
            let headers = headers(&[GOOD[0], GOOD[1], ("x-forwarded-for", address)]);
            edge.check(&headers, PEER, Instant::now())
        };
        let _first = from("203.0.113.1").expect("the first");
        from("6.6.6.6, 203.0.113.1").expect_err("the same client under a made-up address");
        from("203.0.113.2").expect("another client");
    }
}
