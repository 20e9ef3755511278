//! `[server]`: where the server listens, under which names, and behind what.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Fault, key::section};
use crate::http::{
    address::Network,
    origin::{PageOrigin, ServerOrigin},
};

section! {
    /// Where the server listens, under which names, and behind what.
    struct Server in "server" at server;

    #[doc = "Address and port to listen on; port 0 takes a free one. An address that is not loopback needs `behind_proxy`."]
    listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    #[doc = "True when a proxy in front ends TLS. Sealwire itself speaks plain `ws`, which is only fit for loopback."]
    behind_proxy: bool = false;
    #[doc = "The origins that people dial, such as `wss://chat.example.org`; a client stops when the challenge names another one. With none, only `localhost`, `127.0.0.1` and `[::1]` are answered."]
    origins: Vec<ServerOrigin> = Vec::new();
    #[doc = "Origins of web pages that may connect besides those of the server itself (the header `Origin`; programs send none)."]
    allowed_origins: Vec<PageOrigin> = Vec::new();
    #[doc = "Networks of the proxies whose `X-Forwarded-For` is believed; it is read from the right. Without them all people behind a proxy share its address and its limits."]
    trusted_proxies: Vec<Network> = Vec::new();
    #[doc = "Threads that serve connections; 0 is one for each core."]
    workers: usize = 0;
    #[doc = "Seconds that a connection may take to send a complete HTTP request."]
    request_seconds: u64 = 10;
    #[doc = "Seconds that leaving may take after SIGTERM or SIGINT: clients are asked to reconnect, and what they hold is stored."]
    drain_seconds: u64 = 10;
}

impl Server {
    /// Checks what one key alone cannot tell.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        if !self.listen.ip().is_loopback() && !self.behind_proxy {
            faults.push(Fault::new("server.listen", PLAIN_ON_THE_NETWORK));
        }
        if self.origins.iter().any(|origin| !origin.is_secure() && !origin.is_loopback()) {
            faults.push(Fault::new(
                "server.origins",
                "expected `wss://` origins; plain `ws://` is for localhost, 127.0.0.1 and [::1] only",
            ));
        }
        if self.request_seconds == 0 || self.request_seconds > 300 {
            faults.push(Fault::new("server.request_seconds", "expected a whole number from 1 to 300"));
        }
        if self.drain_seconds > 3_600 {
            faults.push(Fault::new("server.drain_seconds", "expected a whole number from 0 to 3600"));
        }
        if self.workers > 1_024 {
            faults.push(Fault::new("server.workers", "expected a whole number from 0 to 1024"));
        }
    }

    /// What works, but hardly as it was meant.
    pub(crate) fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.behind_proxy && self.origins.is_empty() {
            warnings.push("server.behind_proxy is true but server.origins is empty: only localhost is answered");
        }
        if self.behind_proxy && self.trusted_proxies.is_empty() {
            warnings.push(
                "server.behind_proxy is true but server.trusted_proxies is empty: \
                 everybody counts as one address, the proxy's",
            );
        }
        warnings
    }
}

const PLAIN_ON_THE_NETWORK: &str = "expected a loopback address (127.0.0.1 or [::1]): plain `ws` on a network shows who \
    talks to whom and when. Put a proxy that ends TLS in front, set server.behind_proxy = true, and name the origin that \
    people dial in server.origins, such as [\"wss://chat.example.org\"]";
