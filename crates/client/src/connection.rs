//! One WebSocket to a server: dialling, text frames, closes. It knows no frame by itself.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use sealwire_protocol::CloseCode;
use sealwire_protocol::frames::{MAX_FRAME, SUBPROTOCOL};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::backoff::{asked, comes_back};
use crate::error::Error;
use crate::server::Server;

const DIAL: Duration = Duration::from_secs(10);
const WRITE: Duration = Duration::from_secs(30);
const CLOSE: Duration = Duration::from_secs(2);
/// What is waited when a server that is busy names no time.
const BUSY: Duration = Duration::from_secs(5);

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a connection begins with.
pub(crate) fn request(server: &Server) -> Result<Request<()>, Error> {
    let mut request = server.socket_url().into_client_request().map_err(|error| cannot_reach(server, &error))?;
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(request)
}

/// How much a server may say at once.
pub(crate) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME))
}

impl Connection {
    /// Over a WebSocket that is open.
    pub(crate) fn new(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self { socket }
    }

    /// Dials a server.
    ///
    /// # Errors
    /// [`Error::Connect`] and [`Error::Busy`] when a later attempt may go better, others when it will not.
    pub(crate) async fn open(server: &Server) -> Result<Self, Error> {
        let dial = connect_async_tls_with_config(request(server)?, Some(socket_config()), true, None);
        match timeout(DIAL, dial).await {
            Ok(Ok((socket, _))) => Ok(Self::new(socket)),
            Ok(Err(tungstenite::Error::Http(response))) => Err(refused_by_http(server, &response)),
            Ok(Err(error)) => Err(cannot_reach(server, &error)),
            Err(_) => Err(Error::Connect(format!("{server} did not answer within {} s", DIAL.as_secs()))),
        }
    }

    /// Queues a frame; [`Self::flush`] sends it.
    pub(crate) async fn feed(&mut self, text: String) -> Result<(), Error> {
        in_time(self.socket.feed(Message::text(text))).await
    }

    /// Sends what was queued.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        in_time(self.socket.flush()).await
    }

    /// The next text frame. Safe to be cancelled.
    ///
    /// # Errors
    /// How the connection ended: [`Error::Closed`] if the server wants no other one, else [`Error::Connect`].
    pub(crate) async fn next(&mut self) -> Result<String, Error> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => return Err(closed(frame.as_ref())),
                Some(Ok(Message::Binary(_))) => {
                    return Err(Error::Connect("the server sent a binary frame".to_owned()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Error::Connect(format!("the connection was lost: {error}"))),
                None => return Err(Error::Connect("the connection was lost".to_owned())),
            }
        }
    }

    /// The next text frame if it has arrived already.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub(crate) fn next_if_there(&mut self) -> Result<Option<String>, Error> {
        self.next().now_or_never().transpose()
    }

    /// Ends the connection in peace; what cannot be said in time is left unsaid.
    pub(crate) async fn close(mut self) {
        let finish = async {
            if self.socket.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // The server notices a lost connection by itself.
        let _ = timeout(CLOSE, finish).await;
    }
}

async fn in_time(write: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), Error> {
    match timeout(WRITE, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::Connect(format!("the connection was lost: {error}"))),
        Err(_) => Err(Error::Connect("the server reads nothing any more".to_owned())),
    }
}

fn closed(frame: Option<&CloseFrame>) -> Error {
    let number = frame.map(|frame| u16::from(frame.code));
    let meaning = number.and_then(CloseCode::from_number).map_or("without a known reason", CloseCode::meaning);
    let text = match number {
        Some(number) => format!("the server closed the connection: {meaning} ({number})"),
        None => "the server closed the connection".to_owned(),
    };
    if number == Some(CloseCode::Revoked.number()) {
        return Error::Removed;
    }
    if comes_back(number) { Error::Connect(text) } else { Error::Closed(text) }
}

fn cannot_reach(server: &Server, error: &tungstenite::Error) -> Error {
    Error::Connect(format!("cannot reach {server}: {error}"))
}

pub(crate) fn refused_by_http(server: &Server, response: &Response<Option<Vec<u8>>>) -> Error {
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Error::Busy(retry_after(response)),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Error::Connect(format!("the proxy before {server} does not reach it"))
        }
        StatusCode::MISDIRECTED_REQUEST => Error::Closed(format!(
            "the server does not know itself as {server} (HTTP 421); use the address that its operator named"
        )),
        status => Error::Closed(format!("{server} is no Sealwire server, or refuses this client (HTTP {status})")),
    }
}

fn retry_after(response: &Response<Option<Vec<u8>>>) -> Duration {
    let header = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    header
        .and_then(|seconds| seconds.trim().parse().ok())
        .map_or(BUSY, |seconds: u64| asked(seconds.saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as Number;

    fn response(status: u16, retry_after: Option<&str>) -> Response<Option<Vec<u8>>> {
        let mut response = Response::new(None);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(value) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        response
    }

    #[test]
    fn a_busy_server_is_waited_for_as_long_as_it_asks() {
        let server = "wss://chat.example.org".parse().unwrap();
        for status in [429, 503] {
            assert!(
                matches!(refused_by_http(&server, &response(status, Some("7"))), Error::Busy(d) if d.as_secs() == 7)
            );
        }
        assert!(matches!(refused_by_http(&server, &response(503, None)), Error::Busy(BUSY)));
        let for_ever = response(503, Some("18446744073709551615"));
        assert!(matches!(refused_by_http(&server, &for_ever), Error::Busy(d) if d.as_secs() == 3_600));
        assert!(matches!(refused_by_http(&server, &response(503, Some("soon"))), Error::Busy(BUSY)));
    }

    #[test]
    fn a_server_that_will_never_take_us_is_not_tried_again() {
        let server = "wss://chat.example.org".parse().unwrap();
        for status in [400, 403, 404, 421] {
            assert!(!refused_by_http(&server, &response(status, None)).is_passing(), "{status}");
        }
    }

    #[test]
    fn a_close_says_whether_to_come_back() {
        let close = |number| closed(Some(&CloseFrame { code: Number::from(number), reason: "".into() }));
        assert!(close(1012).is_passing());
        assert!(close(4429).is_passing());
        assert!(!close(4409).is_passing());
        assert!(matches!(close(4403), Error::Removed));
        assert!(closed(None).is_passing());
    }

    #[tokio::test]
    async fn nobody_listening_is_a_passing_failure() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!("ws://127.0.0.1:{port}").parse().unwrap();
        assert!(Connection::open(&server).await.unwrap_err().is_passing());
    }
}
