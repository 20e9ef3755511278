//! What a client checks of a challenge before it signs anything over it, and of the session that it gets for it (protocol
//! sections 3 and 5).

use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Auth, Challenge, Session};
use sealwire_protocol::ids::{DeviceId, Kid, Username};
use sealwire_protocol::signed::{AuthIn, Purpose};

use crate::error::Error;

/// The challenges of one connection.
#[derive(Debug)]
pub struct Handshake {
    origin: String,
    channel: Option<[u8; 16]>,
}

/// Why a challenge is not answered. The connection is of no use then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Another protocol version than 1.
    #[error("the server speaks another version of the protocol")]
    Version,
    /// It names another origin than the one that was dialled: somebody may be passing the connection on.
    #[error("the server believes that it is reached under another address")]
    Origin,
    /// A later challenge names another channel than the first.
    #[error("the server changed the channel of a connection")]
    Channel,
}

/// Who answers a challenge.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The account.
    pub username: &'a Username,
    /// The device.
    pub device: &'a DeviceId,
    /// The device's signing key.
    pub dsk_kid: &'a Kid,
}

impl Identity<'_> {
    /// The log-in, with the nonce and the signature of what [`Handshake::to_sign`] gave.
    pub fn log_in(&self, client_nonce: [u8; 32], signature: Vec<u8>) -> Auth {
        Auth {
            username: self.username.to_string(),
            device_id: *self.device,
            client_nonce: Array(client_nonce),
            signature: Blob(signature),
        }
    }
}

/// Checks that the server let in whoever was logging in: what it answers on this connection is taken for theirs.
///
/// # Errors
/// [`Error::Connect`] when it is somebody else's session.
pub fn check_session(session: &Session, username: &Username, device: &DeviceId) -> Result<(), Error> {
    if session.username == *username && session.device_id == *device {
        return Ok(());
    }
    Err(Error::Connect("the server let in somebody else than was logging in".to_owned()))
}

impl Handshake {
    /// Of a connection to the server whose origin, as dialled, is `origin`.
    pub fn new(origin: String) -> Self {
        Self { origin, channel: None }
    }

    /// Checks a challenge, the first or a later one, and gives what to sign.
    ///
    /// `purpose` is what this client wants of the connection, never what the server would like.
    ///
    /// # Errors
    /// [`ChallengeError`] when nothing may be signed over it.
    pub fn to_sign<'a>(
        &'a mut self,
        challenge: &'a Challenge,
        purpose: Purpose,
        who: Identity<'a>,
        client_nonce: &'a [u8; 32],
    ) -> Result<AuthIn<'a>, ChallengeError> {
        self.check(challenge)?;
        Ok(AuthIn {
            purpose,
            origin: &self.origin,
            channel_id: &challenge.channel_id.0,
            server_nonce: &challenge.nonce.0,
            client_nonce,
            expires_at: challenge.expires_at,
            username: who.username,
            device: who.device,
            dsk_kid: who.dsk_kid,
        })
    }

    /// Checks a challenge without answering it: nothing of an unchecked one is to be believed, its time neither.
    ///
    /// # Errors
    /// As for [`Self::to_sign`].
    pub fn check(&mut self, challenge: &Challenge) -> Result<(), ChallengeError> {
        if challenge.v != 1 {
            return Err(ChallengeError::Version);
        }
        if challenge.origin != self.origin {
            return Err(ChallengeError::Origin);
        }
        if self.channel.is_some_and(|channel| channel != challenge.channel_id.0) {
            return Err(ChallengeError::Channel);
        }
        self.channel = Some(challenge.channel_id.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_protocol::base64::Array;

    fn challenge() -> Challenge {
        Challenge {
            id: None,
            v: 1,
            origin: "wss://chat.example.org".to_owned(),
            channel_id: Array([1; 16]),
            nonce: Array([2; 32]),
            server_time: 10,
            expires_at: 30_010,
        }
    }

    fn sign(handshake: &mut Handshake, challenge: &Challenge, purpose: Purpose) -> Result<Vec<u8>, ChallengeError> {
        let username = "alice".parse().unwrap();
        let device = DeviceId::new_v7(1, [0; 10]);
        let who = Identity { username: &username, device: &device, dsk_kid: &Kid([3; 32]) };
        handshake.to_sign(challenge, purpose, who, &[4; 32]).map(|auth_in| auth_in.to_bytes())
    }

    fn handshake() -> Handshake {
        Handshake::new("wss://chat.example.org".to_owned())
    }

    #[test]
    fn the_purpose_that_was_asked_for_is_what_is_signed() {
        let log_in = sign(&mut handshake(), &challenge(), Purpose::LogIn).unwrap();
        let register = sign(&mut handshake(), &challenge(), Purpose::Register).unwrap();
        let at = 4 + "sealwire/v1 auth".len();
        assert_eq!((log_in[at], register[at]), (1, 2));
    }

    #[test]
    fn a_challenge_of_another_origin_or_version_is_not_even_believed() {
        assert_eq!(handshake().check(&challenge()), Ok(()));
        let origin = Challenge { origin: "wss://evil.example.org".to_owned(), ..challenge() };
        assert_eq!(handshake().check(&origin), Err(ChallengeError::Origin));
        assert_eq!(handshake().check(&Challenge { v: 2, ..challenge() }), Err(ChallengeError::Version));
    }

    #[test]
    fn another_origin_is_not_signed_for() {
        for origin in ["wss://chat.example.org:444", "ws://chat.example.org", "wss://evil.example.org", ""] {
            let other = Challenge { origin: origin.to_owned(), ..challenge() };
            assert_eq!(sign(&mut handshake(), &other, Purpose::LogIn), Err(ChallengeError::Origin));
        }
    }

    #[test]
    fn another_version_is_not_signed_for() {
        let other = Challenge { v: 2, ..challenge() };
        assert_eq!(sign(&mut handshake(), &other, Purpose::LogIn), Err(ChallengeError::Version));
    }

    #[test]
    fn later_challenges_name_the_same_channel() {
        let mut handshake = handshake();
        assert!(sign(&mut handshake, &challenge(), Purpose::LogIn).is_ok());
        let fresh = Challenge { nonce: Array([9; 32]), ..challenge() };
        assert!(sign(&mut handshake, &fresh, Purpose::LogIn).is_ok());
        let moved = Challenge { channel_id: Array([9; 16]), ..challenge() };
        assert_eq!(sign(&mut handshake, &moved, Purpose::LogIn), Err(ChallengeError::Channel));
    }
}
