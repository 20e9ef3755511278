//! The router: the way of a copy from its sender's session. On a node alone it leads to the device's session here, or
//! into the store; the way to other nodes comes with the cluster. It is called rather than sent to: a mailbox hop per
//! message costs a fifth of the throughput (docs/architecture.md).

use std::sync::Arc;

use crate::metrics::Stored;
use crate::presence::Directory;
use crate::session::{Offer, Parcel};
use crate::spool::{Append, SpoolQueue};

/// Where a copy has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routed {
    /// To the device's session, which decides.
    Offered,
    /// To the store.
    Stored,
}

/// Routes copies.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) directory: Arc<Directory>,
    pub(crate) spool: Arc<SpoolQueue>,
}

impl Router {
    /// Offers the copy to its device's session; stores it where there is none that takes it.
    pub(crate) fn route(&self, parcel: Parcel) -> Routed {
        let offered = self.directory.find(&parcel.mail.device).map(|session| session.offer(parcel.clone()));
        match offered {
            Some(Offer::Taken) => Routed::Offered,
            Some(Offer::Full) => self.store(parcel, Stored::Full),
            Some(Offer::Closed) | None => self.store(parcel, Stored::Away),
        }
    }

    /// Stores the copy, whoever is connected.
    pub(crate) fn store(&self, parcel: Parcel, cause: Stored) -> Routed {
        let (mail, replies) = (parcel.mail, vec![parcel.reply]);
        self.spool.append(Append { mail, replies, by: None, departure: None, cause });
        Routed::Stored
    }
}
