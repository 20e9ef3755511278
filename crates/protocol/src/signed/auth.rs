//! AUTHIN: what a device signs to be let in (protocol section 3).

use super::{label, push_lp};
use crate::ids::{DeviceId, Kid, Username};

/// What a signature over a challenge is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Log in.
    LogIn = 1,
    /// Register an account with its first device.
    Register = 2,
    /// The first log-in of a device that the newest manifest lists.
    Link = 3,
}

/// The answer to a challenge, as the device signing key signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthIn<'a> {
    /// What the signature asks for.
    pub purpose: Purpose,
    /// The origin that the client dialled and the challenge named.
    pub origin: &'a str,
    /// The challenge's `channelId`.
    pub channel_id: &'a [u8; 16],
    /// The challenge's `nonce`.
    pub server_nonce: &'a [u8; 32],
    /// The client's own nonce.
    pub client_nonce: &'a [u8; 32],
    /// The challenge's `expiresAt`, in milliseconds since 1970.
    pub expires_at: u64,
    /// Who asks.
    pub username: &'a Username,
    /// With which device.
    pub device: &'a DeviceId,
    /// The key that signs.
    pub dsk_kid: &'a Kid,
}

impl AuthIn<'_> {
    /// The bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        push_lp(&mut out, label::AUTH.as_bytes());
        out.push(self.purpose as u8);
        push_lp(&mut out, self.origin.as_bytes());
        out.extend_from_slice(self.channel_id);
        out.extend_from_slice(self.server_nonce);
        out.extend_from_slice(self.client_nonce);
        out.extend_from_slice(&self.expires_at.to_be_bytes());
        push_lp(&mut out, self.username.as_str().as_bytes());
        out.extend_from_slice(self.device.as_bytes());
        out.extend_from_slice(self.dsk_kid.as_bytes());
        out
    }
}
