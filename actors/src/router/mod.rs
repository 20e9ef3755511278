//! The router: the way of a copy from its sender's session to the device's session here, to another node, or into the store.
//! It is called rather than sent to: a mailbox hop per message costs a fifth of the throughput (docs/architecture.md).
//!
//! * [`streams`] decides about copies on their way to other nodes, [`lease`] whether this node counts for them
//! * [`link`] sends and asks, [`hearing`] answers, [`life`] keeps both going
//! * [`leaving`] nodes that end in order
//! * [`settling`] what follows a commit
//! * [`silence`] nodes that are missed
//! * [`people`] whose presence others must be told

mod hearing;
mod lease;
mod leaving;
mod life;
mod link;
mod observe;
mod people;
mod settling;
mod silence;
mod streams;
mod wire;

use std::sync::Arc;

use smallvec::smallvec;

#[cfg(test)]
pub(crate) use self::hearing::Hearer;
pub(crate) use self::hearing::Waiting;
pub(crate) use self::life::Life;
pub(crate) use self::link::{Link, News};
use crate::metrics::Stored;
use crate::presence::Directory;
use crate::session::{Offer, Parcel};
use crate::spool::{Append, SpoolQueue};

/// Where a copy has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routed {
    /// To the device's session, here or at another node, which decides.
    Offered,
    /// To the store.
    Stored,
}

/// Routes copies.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) directory: Arc<Directory>,
    pub(crate) spool: Arc<SpoolQueue>,
    /// To the other nodes, if there are any.
    pub(crate) link: Option<Arc<Link>>,
}

impl Router {
    /// Sends the copy behind others that are on their way to another node; else offers it to its device's session, here or at
    /// another node; stores it where there is none that takes it.
    pub(crate) fn route(&self, parcel: Parcel) -> Routed {
        let Some(link) = &self.link else { return self.route_here(parcel) };
        if link.follow(&parcel) {
            return Routed::Offered;
        }
        if self.directory.is_connected(&parcel.mail.device) {
            return self.route_here(parcel);
        }
        if link.start(&parcel) { Routed::Offered } else { self.store(parcel, Stored::Away) }
    }

    /// In a cluster the sender has waited for room: a copy that is stored past others which wait for the session would be read
    /// before them at another node.
    fn route_here(&self, parcel: Parcel) -> Routed {
        let Some(session) = self.directory.find(&parcel.mail.device) else { return self.store(parcel, Stored::Away) };
        let offered = match &self.link {
            Some(_) => session.push(parcel),
            None => session.offer(parcel),
        };
        match offered {
            Offer::Taken => Routed::Offered,
            Offer::Full(parcel) => self.store(parcel, Stored::Full),
            Offer::Closed(parcel) => self.store(parcel, Stored::Away),
        }
    }

    /// Stores the copy, whoever is connected.
    pub(crate) fn store(&self, parcel: Parcel, cause: Stored) -> Routed {
        let (mail, replies) = (parcel.mail, smallvec![parcel.reply]);
        self.spool.append(Append { mail, replies, by: None, departure: None, cause });
        Routed::Stored
    }
}
