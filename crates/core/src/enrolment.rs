//! What can go wrong when a device comes or goes, in words for the person.

use sealwire_protocol::ids::Username;

use crate::devices::DevicesError;
use crate::handover::HandoverError;

/// Why a device does not come to an account, or does not leave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// Only the account's identity key signs lists of devices.
    #[error(
        "this device does not have the account's identity key, which signs the list of devices; do it on the device that \
         registered the account, or on one that was given the key when it was linked"
    )]
    NoIdentity,
    /// The server has no backup of this name under this code.
    #[error(
        "the server has no backup of {0} under this code; nothing was changed. Look for a slip in the name and the code \
         (a code made later replaces the one before); the server answers five attempts an hour"
    )]
    WrongCode(Username),
    /// A backup or a handover that was not sealed with this code.
    #[error(
        "what the server gave out was not sealed with this code; nothing of it was believed, and nothing was changed"
    )]
    NotSealedHere,
    /// What was sealed is not of the protocol's form.
    #[error("{0}; nothing of it was believed")]
    Handover(#[from] HandoverError),
    /// Lists of devices that do not hold, or cannot be changed so.
    #[error("{0}; nothing was changed")]
    Devices(#[from] DevicesError),
    /// The server does not let this device in, though it had been listed.
    #[error(
        "the server does not let this device into the account of {0} (any more): it may have been removed in the meantime. \
         Its keys were erased; begin anew"
    )]
    NotLetIn(Username),
    /// The code was not entered anywhere.
    #[error("nobody entered the code on another device within ten minutes; begin anew")]
    NobodyCame,
    /// No device waits under a code.
    #[error(
        "no device waits under this code; type `sealwire-chat link` on the new device and enter the code that it shows, \
         within ten minutes"
    )]
    NobodyWaits,
    /// A device does not remove itself.
    #[error("this is the device that you are using; remove it from another one, or delete the account")]
    ThisDevice,
    /// The list was changed by another device again and again.
    #[error("the list of devices is being changed by another device just now; try again in a moment")]
    Busy,
}

impl EnrolError {
    /// Whether somebody may be trying to deceive.
    pub fn is_security(&self) -> bool {
        match self {
            Self::NotSealedHere => true,
            Self::Devices(error) => {
                matches!(error, DevicesError::Chain(_) | DevicesError::OtherIdentity | DevicesError::GoneBack)
            }
            _ => false,
        }
    }
}
