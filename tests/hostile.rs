//! A server that lies to real clients: it reorders, drops, repeats, redirects and changes what passes through it, and makes
//! things up. For each lie: the client notices what can be noticed, never shows a false message, never seals for a wrong
//! key, loses nothing that was typed, and works again once the server is honest.

#[path = "hostile/answers.rs"]
mod answers;
#[path = "hostile/envelopes.rs"]
mod envelopes;
#[path = "hostile/exits.rs"]
mod exits;
#[path = "hostile/garbage.rs"]
mod garbage;
#[path = "hostile/handshake.rs"]
mod handshake;
#[path = "hostile/keys.rs"]
mod keys;
#[path = "hostile/linking.rs"]
mod linking;
#[path = "hostile/order.rs"]
mod order;
#[path = "hostile/recovery.rs"]
mod recovery;
