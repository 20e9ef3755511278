//! What the presence actor hears.

use actix::Message;
use sealwire_protocol::{DeviceId, Username};

/// A device is here, or was until now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Seen {
    pub(crate) username: Username,
    pub(crate) device: DeviceId,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
}

/// Every session is to leave; answered when the directory is empty.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Dismiss;
