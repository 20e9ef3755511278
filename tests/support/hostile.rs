//! A server that lies: it stands between real clients and a real server, sees every frame both ways, and changes, drops,
//! holds back, repeats or makes up what a test says. Clients dial it as they would dial the server.
//!
//! * [`Proxy`] the server's double; [`Passing`], [`Act`] what its script decides on, and how
//! * [`World`] a real server behind one; [`Person`] a real client, and what it has told
//! * [`Forger`] has somebody's private keys, and seals and signs what their client never would

mod forger;
mod people;
mod proxy;
mod sockets;

pub use forger::{Draft, Forger, shown};
pub use people::{Person, World, keys_of};
pub use proxy::{Act, Passing, Proxy, Seen, Side};
