//! Names under which the server is dialled (protocol section 3), and pages that may connect (section 8, `Origin`).
//!
//! Pure: header texts in, decisions out.

use std::{fmt, net::Ipv6Addr};

use crate::config::setting::Word;

/// `scheme://host[:port]`, lower case, with the scheme's default port left out when written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

/// Schemes with their default ports.
const SCHEMES: [(&str, u16); 4] = [("ws", 80), ("wss", 443), ("http", 80), ("https", 443)];

fn default_port(scheme: &str) -> u16 {
    SCHEMES.iter().find(|(name, _)| *name == scheme).map_or(0, |(_, port)| *port)
}

impl Origin {
    fn read(text: &str, schemes: [&str; 2]) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (scheme, _) =
            SCHEMES.iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name) && schemes.contains(name))?;
        let (host, port) = authority_of(authority)?;
        Some(Self { scheme, host, port: port.unwrap_or_else(|| default_port(scheme)) })
    }

    fn is_loopback(&self) -> bool {
        LOOPBACK.contains(&self.host.as_str())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port == default_port(self.scheme) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The hosts that are answered without any configuration.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Host in lower case and port of `host[:port]`; `None` for anything else.
fn authority_of(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) };
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            let named = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            (!host.is_empty() && host.chars().all(named)).then_some(())?;
            (host.to_ascii_lowercase(), port)
        }
    };
    match port {
        None => Some((host, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok().filter(|port| *port != 0)?)))
        }
        Some(_) => None,
    }
}

/// An origin that clients dial: `wss://host[:port]`, or `ws://` on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerOrigin(Origin);

impl ServerOrigin {
    /// Whether it is dialled with TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme == "wss"
    }

    /// Whether only this machine can dial it.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.is_loopback()
    }

    /// The origin of pages that the same name serves.
    fn page(&self) -> PageOrigin {
        PageOrigin(Origin { scheme: if self.is_secure() { "https" } else { "http" }, ..self.0.clone() })
    }
}

impl fmt::Display for ServerOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Word for ServerOrigin {
    const EXPECTS: [&'static str; 2] = [
        r#"an origin, such as "wss://chat.example.org""#,
        r#"origins without a path, such as ["wss://chat.example.org"]"#,
    ];

    fn read(text: &str) -> Option<Self> {
        Origin::read(text, ["ws", "wss"]).map(Self)
    }

    fn write(&self) -> String {
        self.0.to_string()
    }
}

/// An origin of web pages, as browsers send it in the header `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageOrigin(Origin);

impl Word for PageOrigin {
    const EXPECTS: [&'static str; 2] = [
        r#"an origin of pages, such as "https://chat.example.org""#,
        r#"origins of pages without a path, such as ["https://chat.example.org"]"#,
    ];

    fn read(text: &str) -> Option<Self> {
        Origin::read(text, ["http", "https"]).map(Self)
    }

    fn write(&self) -> String {
        self.0.to_string()
    }
}

/// The origin that a client with this `Host` header has dialled, if the server answers to it: the first configured one
/// that matches; with none configured, `ws://` and a loopback name.
pub(crate) fn dialled(host: &str, configured: &[ServerOrigin]) -> Option<ServerOrigin> {
    let (host, port) = authority_of(host)?;
    if configured.is_empty() {
        let origin = Origin { scheme: "ws", host, port: port.unwrap_or(80) };
        return origin.is_loopback().then_some(ServerOrigin(origin));
    }
    let matches = |origin: &&ServerOrigin| {
        origin.0.host == host && origin.0.port == port.unwrap_or_else(|| default_port(origin.0.scheme))
    };
    configured.iter().find(matches).cloned()
}

/// Whether a page of the origin `header` may connect to `dialled`. Programs that are no browsers send none and may.
pub(crate) fn page_may_connect(
    header: Option<&str>,
    dialled: &ServerOrigin,
    configured: &[ServerOrigin],
    allowed: &[PageOrigin],
) -> bool {
    let Some(header) = header else { return true };
    let is = |page: &PageOrigin| page.write() == header;
    is(&dialled.page()) || configured.iter().any(|origin| is(&origin.page())) || allowed.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerOrigin {
        ServerOrigin::read(text).expect(text)
    }

    fn dialled_by(host: &str, configured: &[&str]) -> Option<String> {
        let configured: Vec<_> = configured.iter().map(|text| server(text)).collect();
        dialled(host, &configured).map(|origin| origin.to_string())
    }

    #[test]
    fn origins_are_written_in_lower_case_without_the_default_port() {
        for (text, written) in [
            ("WSS://Chat.Example.ORG:443", "wss://chat.example.org"),
            ("wss://chat.example.org:8443", "wss://chat.example.org:8443"),
            ("ws://localhost:80", "ws://localhost"),
            ("ws://[0:0::1]:8080", "ws://[::1]:8080"),
            ("wss://chat.example.org:80", "wss://chat.example.org:80"),
        ] {
            assert_eq!(server(text).write(), written);
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "chat.example.org",
            "https://chat.example.org",
            "wss://chat.example.org/",
            "wss://chat.example.org/ws",
            "wss://user@chat.example.org",
            "wss://",
            "wss://:443",
            "wss://chat.example.org:",
            "wss://chat.example.org:0",
            "wss://chat.example.org:+80",
            "wss://chat.example.org:65536",
            "wss://[::1",
            "wss://[::1]8080",
            "wss://::1",
            "wss://exämple.org",
        ] {
            assert_eq!(ServerOrigin::read(text), None, "{text}");
        }
    }

    #[test]
    fn without_configuration_only_loopback_names_are_answered() {
        assert_eq!(dialled_by("localhost:8080", &[]).as_deref(), Some("ws://localhost:8080"));
        assert_eq!(dialled_by("LOCALHOST", &[]).as_deref(), Some("ws://localhost"));
        assert_eq!(dialled_by("127.0.0.1:80", &[]).as_deref(), Some("ws://127.0.0.1"));
        assert_eq!(dialled_by("[::1]:9", &[]).as_deref(), Some("ws://[::1]:9"));
        for host in ["chat.example.org", "127.0.0.2", "localhost.", "localhost.example.org", "", "::1", "0.0.0.0:8080"]
        {
            assert_eq!(dialled_by(host, &[]), None, "{host}");
        }
    }

    #[test]
    fn a_host_is_answered_with_the_configured_origin_that_it_matches() {
        let configured = ["wss://chat.example.org", "wss://chat.example.org:8443", "ws://localhost:8080"];
        assert_eq!(dialled_by("chat.example.org", &configured).as_deref(), Some("wss://chat.example.org"));
        assert_eq!(dialled_by("Chat.Example.Org:443", &configured).as_deref(), Some("wss://chat.example.org"));
        assert_eq!(dialled_by("chat.example.org:8443", &configured).as_deref(), Some("wss://chat.example.org:8443"));
        assert_eq!(dialled_by("localhost:8080", &configured).as_deref(), Some("ws://localhost:8080"));
        for host in ["chat.example.org:80", "example.org", "127.0.0.1:8080", "localhost"] {
            assert_eq!(dialled_by(host, &configured), None, "{host}");
        }
    }

    #[test]
    fn pages_connect_only_from_an_exact_origin() {
        let configured = [server("wss://chat.example.org"), server("wss://alias.example.org")];
        let allowed = [PageOrigin::read("https://app.example.org").expect("an origin")];
        let may = |header| page_may_connect(header, &configured[0], &configured, &allowed);
        for header in ["https://chat.example.org", "https://alias.example.org", "https://app.example.org"] {
            assert!(may(Some(header)), "{header}");
        }
        assert!(may(None));
        for header in ["http://chat.example.org", "https://chat.example.org:444", "https://evil.example", "null", ""] {
            assert!(!may(Some(header)), "{header}");
        }
    }

    #[test]
    fn without_configuration_a_page_connects_only_to_its_own_loopback_name() {
        let own = dialled("localhost:8080", &[]).expect("loopback");
        assert!(page_may_connect(Some("http://localhost:8080"), &own, &[], &[]));
        for header in ["http://localhost", "http://127.0.0.1:8080", "https://localhost:8080", "http://localhost:3000"] {
            assert!(!page_may_connect(Some(header), &own, &[], &[]), "{header}");
        }
    }
}
