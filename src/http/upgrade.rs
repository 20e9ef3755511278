//! `GET /ws`: the checks in front of the broker, in the order in which they cost.
//!
//! A request to upgrade is taken from the HTTP server with its socket, so that a session reads and writes without it: as a
//! body of a response each turn would be handed from task to task, and each connection would keep 16 KiB of buffers.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use actix_codec::{Framed, FramedParts};
use actix_http::{
    ConnectionType, Request, Response,
    body::{BodySize, MessageBody},
    h1, ws,
};
use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    rt::net::TcpStream,
    web,
};
use bytes::BytesMut;
use futures_util::SinkExt;
use sealwire_actors::{
    Broker, Peer,
    metrics::{Labelled, Metric, Samples},
};
use sealwire_protocol::frames::SUBPROTOCOL;
use tokio::io::AsyncWriteExt;

use super::{
    HEADERS,
    address::client_address,
    admission::{Admission, Permit, Refused},
    health,
    origin::{self, ServerOrigin},
    refusal::{Reason, Refusal},
};
use crate::config::{limits::EdgeLimits, server::Server};

/// Where clients connect.
pub(crate) const PATH: &str = "/ws";

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

/// Takes a socket whose peer asks to upgrade to WebSocket, on whatever path.
pub(crate) async fn upgrade(
    request: Request,
    socket: Framed<TcpStream, h1::Codec>,
    broker: Broker,
    edge: Arc<Edge>,
) -> Result<(), Infallible> {
    let answered = match decide(&request, &broker, &edge) {
        Ok((response, peer)) => accept(response, socket, &broker, peer).await,
        Err(response) => refuse(response, socket).await,
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "the peer did not wait for the answer to its upgrade");
    }
    Ok(())
}

/// Answers `GET /ws` of a peer that does not ask to upgrade.
pub(crate) async fn explain(request: HttpRequest, broker: web::Data<Broker>, edge: web::Data<Edge>) -> HttpResponse {
    match admit(request.headers(), request.peer_addr(), &broker, &edge) {
        Ok(_) => ws::HandshakeError::NoWebsocketUpgrade.error_response(),
        Err(response) => response,
    }
}

fn decide(request: &Request, broker: &Broker, edge: &Edge) -> Result<(Response<()>, Peer), HttpResponse> {
    if request.path() != PATH {
        return Err(health::page_of_nothing());
    }
    let admitted = admit(&request.head().headers, request.peer_addr(), broker, edge)?;
    let mut response = ws::handshake(request.head()).map_err(|error| error.error_response())?;
    response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)));
    let response = response.message_body(()).map_err(HttpResponse::from_error)?;
    let Admitted { origin, address, permit } = admitted;
    Ok((response, Peer { origin: origin.to_string(), address, guard: Box::new(permit) }))
}

fn admit(
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    broker: &Broker,
    edge: &Edge,
) -> Result<Admitted, HttpResponse> {
    let decision = match peer {
        _ if broker.is_full() => Err(Refusal::Admission(Refused::NodeFull)),
        Some(peer) if !broker.is_draining() => edge.check(headers, peer.ip(), Instant::now()),
        _ => Err(Refusal::Draining),
    };
    decision.map_err(|refusal| {
        tracing::debug!(?refusal, "upgrade refused");
        edge.refused.add(refusal.reason());
        refusal.response(&edge.server, &edge.limits)
    })
}

async fn accept(
    response: Response<()>,
    mut socket: Framed<TcpStream, h1::Codec>,
    broker: &Broker,
    peer: Peer,
) -> io::Result<()> {
    socket.send((response, BodySize::None).into()).await?;
    let FramedParts { io, read_buf, .. } = socket.into_parts();
    // Its own size, not that of the HTTP server's buffer.
    broker.connect(io, BytesMut::from(&read_buf[..]), peer);
    Ok(())
}

/// Answers and closes the connection.
async fn refuse(response: HttpResponse, mut socket: Framed<TcpStream, h1::Codec>) -> io::Result<()> {
    let (mut head, body) = Response::from(response).into_parts();
    for (name, value) in HEADERS {
        head.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    head.head_mut().set_connection_type(ConnectionType::Close);
    let size = body.size();
    let body = body.try_into_bytes().unwrap_or_default();
    socket.send((head, size).into()).await?;
    if !body.is_empty() {
        socket.send(h1::Message::Chunk(Some(body))).await?;
    }
    socket.send(h1::Message::Chunk(None)).await?;
    socket.into_parts().io.shutdown().await
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
