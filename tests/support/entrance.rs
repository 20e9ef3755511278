//! Where people dial: a server, or what stands before several.

use std::net::SocketAddr;

/// An address that takes WebSocket connections. What a stranger does there stands with [`Stranger`](crate::stranger::Stranger).
#[derive(Debug, Clone, Copy)]
pub struct Entrance {
    address: SocketAddr,
}

impl Entrance {
    /// The one at this address, such as that of a proxy.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The origin that clients dial and sign.
    pub fn origin(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What a WebSocket client dials.
    pub fn url(&self) -> String {
        format!("{}/ws", self.origin())
    }
}
