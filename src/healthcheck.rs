//! `sealwire healthcheck`: one plain HTTP request, for containers and scripts that have no HTTP client.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

/// The longest that each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The readiness page of a server of this machine that listens on `listen`.
pub(crate) fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}/readyz", SocketAddr::new(ip, listen.port()))
}

/// Asks `url`.
///
/// # Errors
///
/// A sentence that says why the server does not count as ready.
pub(crate) fn ask(url: &str) -> Result<(), String> {
    let (authority, path) = parts(url).ok_or("expected a URL such as http://127.0.0.1:8080/readyz")?;
    let status = status_of(&authority, path).map_err(|error| format!("no answer: {error}"))?;
    if status == 200 { Ok(()) } else { Err(format!("not ready: HTTP {status}")) }
}

/// `host:port` and path.
fn parts(url: &str) -> Option<(String, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let clean = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    (!rest.starts_with(['/', ':']) && !rest.is_empty() && clean(rest)).then_some((authority, path))
}

fn status_of(authority: &str, path: &str) -> io::Result<u16> {
    let mut stream = connect(authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(1_024)).read_line(&mut line)?;
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|digits| digits.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what answers does not speak HTTP/1"))
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers one request with `answer`.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut line = String::new();
            while reader.read_line(&mut line).expect("a line") > 2 {
                line.clear();
            }
            stream.write_all(answer.as_bytes()).expect("answered");
        });
        url_of(address)
    }

    #[test]
    fn only_a_200_is_ready() {
        assert_eq!(ask(&server("HTTP/1.1 200 OK\r\n\r\nready\n")), Ok(()));
        assert_eq!(ask(&server("HTTP/1.1 503 Service Unavailable\r\n\r\n")), Err("not ready: HTTP 503".to_owned()));
        ask(&server("SSH-2.0-x\r\n")).expect_err("not HTTP");
        ask(&server("")).expect_err("nothing");
    }

    #[test]
    fn a_port_where_nobody_listens_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = url_of(listener.local_addr().expect("its address"));
        drop(listener);
        assert!(ask(&url).expect_err("nobody").starts_with("no answer: "));
    }

    #[test]
    fn urls_are_taken_apart_and_others_refused() {
        assert_eq!(parts("http://127.0.0.1:8080/readyz"), Some(("127.0.0.1:8080".into(), "/readyz")));
        assert_eq!(parts("http://[::1]:80"), Some(("[::1]:80".into(), "/")));
        assert_eq!(parts("http://localhost/x"), Some(("localhost:80".into(), "/x")));
        for url in ["https://localhost/", "localhost:8080", "http://", "http:///x", "http://a\r\nb/", "http://a/ b"] {
            assert_eq!(parts(url), None, "{url}");
        }
    }

    #[test]
    fn a_server_on_all_interfaces_is_asked_on_loopback() {
        let url = |listen: &str| url_of(listen.parse().expect(listen));
        assert_eq!(url("0.0.0.0:8080"), "http://127.0.0.1:8080/readyz");
        assert_eq!(url("[::]:8080"), "http://[::1]:8080/readyz");
        assert_eq!(url("192.0.2.1:80"), "http://192.0.2.1:80/readyz");
    }
}
