//! A connection for as long as one flow takes: before a log-in, with it, and a little after it.

use std::time::Duration;

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use sealwire_core::requests::answered_id;
use sealwire_e2ee::SigningKey;
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Challenge, ClientFrame, Request, ServerFrame, Session};
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::signed::Purpose;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::clock::Correction;
use crate::connection::Connection;
use crate::error::Error;
use crate::handshake::{ChallengeError, Handshake, Identity, check_session};
use crate::server::Server;
use crate::time::wall_clock;

/// How long the server is given for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to a server whose challenge was checked.
pub(crate) struct Visit {
    connection: Connection,
    handshake: Handshake,
    challenge: Challenge,
    correction: Correction,
    requests: u64,
    /// How long the server is given for an answer.
    patience: Duration,
}

/// Who enters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) username: &'a Username,
    pub(crate) device: &'a DeviceId,
    pub(crate) dsk: &'a SigningKey,
}

impl<'a> Who<'a> {
    fn identity(&self) -> Identity<'a> {
        Identity { username: self.username, device: self.device, dsk_kid: self.dsk.kid() }
    }
}

/// What an answer to a challenge carries beside the keys.
pub(crate) struct Answer {
    pub(crate) client_nonce: Array<32>,
    pub(crate) signature: Blob,
}

impl Visit {
    pub(crate) async fn open(server: &Server) -> Result<Self, Error> {
        let mut connection = Connection::open(server).await?;
        let deadline = Instant::now() + ANSWER;
        loop {
            if let ServerFrame::Challenge(challenge) = next_frame(&mut connection, deadline).await? {
                return Ok(Self::begin(server, connection, challenge, ANSWER)?);
            }
        }
    }

    /// On a connection to `server` that began with this challenge; each answer is waited for as long as `patience`.
    pub(crate) fn begin(
        server: &Server,
        connection: Connection,
        challenge: Challenge,
        patience: Duration,
    ) -> Result<Self, ChallengeError> {
        let mut handshake = Handshake::new(server.origin());
        handshake.check(&challenge)?;
        let mut correction = Correction::default();
        correction.observe(challenge.server_time, wall_clock());
        Ok(Self { connection, handshake, challenge, correction, requests: 0, patience })
    }

    /// The time by the server's clock.
    pub(crate) fn now(&self) -> u64 {
        self.correction.now(wall_clock())
    }

    /// Asks, and gives the answer: a frame of the request's own type, or an `error`.
    pub(crate) async fn ask(&mut self, request: Request<'_>) -> Result<ServerFrame, Error> {
        self.requests += 1;
        let id = format!("visit-{}", self.requests);
        self.send(&ClientFrame { id: Some(id.as_str().into()), ack: None, request }).await?;
        let deadline = Instant::now() + self.patience;
        loop {
            let frame = self.next(deadline).await?;
            if answered_id(&frame) == Some(id.as_str()) {
                return Ok(frame);
            }
        }
    }

    /// Like [`Self::ask`], for a request whose refusal ends the flow.
    pub(crate) async fn ask_for(&mut self, request: Request<'_>) -> Result<ServerFrame, Error> {
        match self.ask(request).await? {
            ServerFrame::Error(error) => Err(Error::of_entry(*error)),
            frame => Ok(frame),
        }
    }

    /// Asks for a challenge that leaves time to answer it.
    pub(crate) async fn ask_for_challenge(&mut self) -> Result<(), Error> {
        self.ask_for(Request::Challenge).await.map(drop)
    }

    /// Answers the challenge; `request` makes the frame. Gives the session of whoever entered.
    pub(crate) async fn enter(
        &mut self,
        purpose: Purpose,
        who: Who<'_>,
        request: impl FnOnce(Answer) -> Request<'static>,
    ) -> Result<Session, Error> {
        let mut rng = UnwrapErr(SysRng);
        let mut client_nonce = [0; 32];
        rng.fill_bytes(&mut client_nonce);
        let auth_in = self.handshake.to_sign(&self.challenge, purpose, who.identity(), &client_nonce)?;
        let signature = Blob(who.dsk.sign_auth(&mut rng, &auth_in));
        let answer = Answer { client_nonce: Array(client_nonce), signature };
        self.send(&ClientFrame::from(request(answer))).await?;
        let deadline = Instant::now() + self.patience;
        loop {
            match self.next(deadline).await? {
                ServerFrame::Session(session) => {
                    check_session(&session, who.username, who.device)?;
                    return Ok(*session);
                }
                ServerFrame::Error(error) => return Err(Error::of_entry(*error)),
                // Whatever else it says, nothing more is signed.
                _ => {}
            }
        }
    }

    /// Logs a device in that has been let in before.
    pub(crate) async fn log_in(&mut self, who: Who<'_>) -> Result<Session, Error> {
        let auth = |Answer { client_nonce, signature }| who.identity().log_in(client_nonce.0, signature.0);
        self.enter(Purpose::LogIn, who, |answer| Request::Auth(Box::new(auth(answer)))).await
    }

    pub(crate) async fn close(self) {
        self.connection.close().await;
    }

    async fn send(&mut self, frame: &ClientFrame<'_>) -> Result<(), Error> {
        self.connection.feed(frame.to_json()).await?;
        self.connection.flush().await
    }

    /// The next frame. A challenge, whenever it comes, is checked like the first, and is the one that is answered.
    async fn next(&mut self, deadline: Instant) -> Result<ServerFrame, Error> {
        let frame = next_frame(&mut self.connection, deadline).await?;
        if let ServerFrame::Challenge(challenge) = &frame {
            self.handshake.check(challenge)?;
            self.correction.observe(challenge.server_time, wall_clock());
            self.challenge = challenge.clone();
        }
        Ok(frame)
    }
}

async fn next_frame(connection: &mut Connection, deadline: Instant) -> Result<ServerFrame, Error> {
    let text = timeout_at(deadline, connection.next())
        .await
        .map_err(|_| Error::Connect("the server gave no answer in time".to_owned()))??;
    serde_json::from_str(&text).map_err(|_| Error::Connect("the server sent something that is no frame".to_owned()))
}

/// An answer of another type than was asked for.
pub(crate) fn wrong_answer() -> Error {
    Error::Connect("the server's answer is of another kind than the question".to_owned())
}

/// Tries until it goes well, it will not, or patience is over.
pub(crate) async fn patiently<T>(
    patience: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::default();
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let wait = match &error {
            Error::Busy(wait) => *wait,
            Error::Connect(_) => backoff.next(UnwrapErr(SysRng).next_u64()),
            _ => return Err(error),
        };
        if Instant::now() + wait >= deadline {
            return Err(error);
        }
        sleep(wait).await;
    }
}
