//! The limits of section 8 of `docs/protocol.md`, set low where that makes a test quick: what is answered, what the
//! connection survives, and that nothing which was promised is lost by them.

#[path = "limits/connections.rs"]
mod connections;
#[path = "limits/mailboxes.rs"]
mod mailboxes;
#[path = "limits/rates.rs"]
mod rates;
#[path = "limits/windows.rs"]
mod windows;
