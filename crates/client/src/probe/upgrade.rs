//! What answers when a WebSocket is asked for, in words.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{self, http::StatusCode};
use tokio_tungstenite::{MaybeTlsStream, client_async_with_config};

use super::{Finding, Step};
use crate::connection::{Connection, refused_by_http, request, socket_config};
use crate::error::Error;
use crate::server::Server;

/// Turns a stream into a connection.
pub(super) async fn upgraded(
    server: &Server,
    stream: MaybeTlsStream<TcpStream>,
    patience: Duration,
    found: &mut dyn FnMut(Finding),
) -> Result<Connection, Box<Finding>> {
    let failed = |error, advice: &str| Box::new(Finding::failure(Step::Upgrade, error, advice));
    let request = request(server).map_err(|error| failed(error, "check the server's address"))?;
    match timeout(patience, client_async_with_config(request, stream, Some(socket_config()))).await {
        Ok(Ok((socket, _))) => {
            found(Finding::fine(Step::Upgrade, "a Sealwire server answers"));
            Ok(Connection::new(socket))
        }
        Ok(Err(tungstenite::Error::Http(response))) => {
            Err(failed(refused_by_http(server, &response), of_status(response.status())))
        }
        Ok(Err(tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)))) => Err(failed(
            Error::Closed(format!("{server} takes WebSockets, but not those of Sealwire")),
            "another program answers there: check host and port",
        )),
        Ok(Err(tungstenite::Error::Protocol(ProtocolError::HttparseError(_)) | tungstenite::Error::HttpFormat(_))) => {
            let tls = if server.is_secure() { "" } else { ", and whether wss:// is meant" };
            let error = Error::Closed(format!("what answers at {server} is no web server"));
            Err(failed(error, &format!("another program answers there: check host and port{tls}")))
        }
        Ok(Err(error)) => Err(failed(
            Error::Connect(format!("{server} cut the connection instead of answering: {error}")),
            "something in between may not let WebSockets through, or the server is just stopping: try again, from another \
             network too",
        )),
        Err(_) => Err(failed(
            Error::Connect(format!("what listens at {server} does not answer")),
            "the server may be stuck, or another program has that port: check with the operator",
        )),
    }
}

fn of_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::MISDIRECTED_REQUEST => {
            "dial the address that the operator named; the operator lists in `server.origins` what people dial"
        }
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            "a proxy in between lets this client not through: speak to the operator"
        }
        StatusCode::BAD_REQUEST | StatusCode::UPGRADE_REQUIRED => {
            "a proxy in between takes the upgrade away: it has to pass on Upgrade, Connection and Sec-WebSocket-Protocol"
        }
        StatusCode::TOO_MANY_REQUESTS => {
            "too many connections came from your address: end other clients, then wait for as long as it says"
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            "the server is full, or about to stop or restart: try again in a moment, else speak to the operator"
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            "the proxy runs and the server behind it does not: the operator has to start it"
        }
        _ => "another program answers there: check host and port; a proxy has to pass /ws on to Sealwire",
    }
}
