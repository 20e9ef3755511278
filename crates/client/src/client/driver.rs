//! The thread that owns a client's connection: it moves frames, waits, and comes back after losses.
//!
//! A thread with a runtime of its own, because the core computes with RSA and waits for the disk.

use std::thread;
use std::time::Duration;

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Auth, Challenge, ClientFrame, Heartbeat, Request, ServerFrame};
use sealwire_protocol::signed::Purpose;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::core::{Core, Now};
use super::making::Making;
use super::{Command, Event, State};
use crate::backoff::{Backoff, asked};
use crate::connection::Connection;
use crate::error::Error;
use crate::handshake::{Handshake, Identity};
use crate::time::{Ticks, wall_clock};

const LOG_IN: Duration = Duration::from_secs(15);
const HEARTBEAT: Duration = Duration::from_secs(25);
/// The server answers heartbeats: who says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(75);
/// How many frames or commands are taken before the core acts on them; with an acknowledgement after each.
const AT_ONCE: usize = 32;
/// A session that lasted so long was a good one: after it, waiting starts over.
const LASTING: Duration = Duration::from_secs(60);
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

struct Driver {
    core: Core,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    state: watch::Sender<State>,
    ticks: Ticks,
    backoff: Backoff,
    /// Since when the present session, or the last one, was logged in.
    online_since: Option<Instant>,
    /// A wrap key that is being made.
    making: Option<Making>,
    /// What the server asked to wait before the next connection.
    come_back_after: Option<Duration>,
}

/// How the time until the next connection ended, or a session.
enum End {
    Stop(Option<oneshot::Sender<()>>),
    Lost(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Lost(error)
    }
}

pub(super) fn start(
    core: Core,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    state: watch::Sender<State>,
) -> Result<(), Error> {
    let no_thread = |error: std::io::Error| Error::Connect(format!("this machine gives no thread: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
    let run = move || {
        runtime.block_on(async {
            let (ticks, backoff) = (Ticks::start(), Backoff::default());
            Driver {
                core,
                commands,
                events,
                state,
                ticks,
                backoff,
                online_since: None,
                making: None,
                come_back_after: None,
            }
            .run()
            .await;
        });
    };
    thread::Builder::new().name("sealwire-client".to_owned()).spawn(run).map_err(no_thread)?;
    Ok(())
}

impl Driver {
    async fn run(mut self) {
        let stop = loop {
            let error = match self.connect_and_talk().await {
                End::Stop(reply) => break reply,
                End::Lost(error) => error,
            };
            self.core.disconnected();
            if !error.is_passing() {
                self.finish(&error);
                return;
            }
            self.core.tell(Event::Offline(error.clone()));
            self.state.send_replace(State::Offline(error.clone()));
            let wait = self.wait_after(&error);
            match self.stay_offline(wait).await {
                Ok(()) => {}
                Err(End::Stop(reply)) => break reply,
                Err(End::Lost(error)) => {
                    self.finish(&error);
                    return;
                }
            }
        };
        // The profile is closed before anybody is told that it is free.
        let Self { core, state, events, .. } = self;
        // Messages are kept for the next time; nothing else is.
        for event in core.events.iter().filter(|event| !matches!(event, Event::Message(_))).cloned() {
            // A full queue means that its reader has gone, or is not listening.
            let _ = events.try_send(event);
        }
        drop(core);
        state.send_replace(State::Stopped(Error::Stopped));
        if let Some(reply) = stop {
            let _ = reply.send(());
        }
    }

    /// Ends for good. What lies in the outbox stays there.
    fn finish(self, error: &Error) {
        tracing::info!(%error, "the client ends");
        let Self { core, state, events, .. } = self;
        for event in core.events.iter().cloned() {
            // A full queue means that its reader is busy with earlier ones; the reason is in the state as well.
            let _ = events.try_send(event);
        }
        drop(core);
        state.send_replace(State::Stopped(error.clone()));
    }

    fn wait_after(&mut self, error: &Error) -> Duration {
        let jitter = self.backoff.next(UnwrapErr(SysRng).next_u64());
        let asked = self.come_back_after.take().unwrap_or_default();
        // Others were asked the same: without jitter all would come at once.
        match error {
            Error::Busy(wait) => asked.max(*wait) + jitter,
            _ => asked + jitter,
        }
    }

    fn look_at_clocks(&mut self) {
        self.core.now = Now { ticks: self.ticks.now(), wall: wall_clock() };
    }

    /// Serves commands and events until it is time for the next attempt.
    async fn stay_offline(&mut self, wait: Duration) -> Result<(), End> {
        let until = Instant::now() + wait;
        let events = self.events.clone();
        loop {
            self.look_at_clocks();
            self.core.pump()?;
            let wake = self.wake_at().min(until);
            tokio::select! {
                command = self.commands.recv() => self.take_commands(command)?,
                permit = events.reserve(), if !self.core.events.is_empty() => give_event(&mut self.core, permit),
                () = events.closed(), if self.core.listening => self.core.nobody_listens(),
                () = sleep_until(wake) => if Instant::now() >= until { return Ok(()) },
            }
        }
    }

    fn wake_at(&self) -> Instant {
        self.core.wake_at().map_or_else(|| Instant::now() + FOR_EVER, |at| self.ticks.at(at))
    }

    /// Takes a command and those that wait behind it. All handles gone is a stop too.
    fn take_commands(&mut self, first: Option<Command>) -> Result<(), End> {
        self.look_at_clocks();
        let mut next = Some(first);
        for left in (0..AT_ONCE).rev() {
            let Some(command) = next.take() else { break };
            match command {
                None => return Err(End::Stop(None)),
                Some(Command::Stop(reply)) => {
                    self.core.pump()?;
                    return Err(End::Stop(Some(reply)));
                }
                Some(command) => self.core.command(command)?,
            }
            // What is taken off the queue must be acted on, so the last round takes nothing.
            if left > 0 {
                next = self.commands.try_recv().ok().map(Some);
            }
        }
        Ok(())
    }

    async fn connect_and_talk(&mut self) -> End {
        let opening = {
            let server = self.core.server.clone();
            async move { Connection::open(&server).await }
        };
        tokio::pin!(opening);
        let connection = loop {
            tokio::select! {
                connection = &mut opening => break connection,
                command = self.commands.recv() => {
                    if let Err(end) = self.take_commands(command) { return end }
                    if let Err(error) = self.core.pump() { return error.into() }
                }
            }
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        self.online_since = None;
        let end = match self.talk(&mut connection).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // A server that lets in and throws out again must not be dialled at full speed.
        if self.online_since.is_some_and(|since| since.elapsed() >= LASTING) {
            self.backoff.reset();
        }
        connection.close().await;
        end
    }

    async fn talk(&mut self, connection: &mut Connection) -> Result<std::convert::Infallible, End> {
        let mut handshake = Handshake::new(self.core.server.origin());
        let in_time = timeout(LOG_IN, self.log_in(connection, &mut handshake)).await;
        in_time.map_err(|_| Error::Connect("the server did not let us in in time".to_owned()))??;
        self.online_since = Some(Instant::now());
        self.state.send_replace(State::Online);
        let (mut heard, mut said) = (Instant::now(), Instant::now());
        let mut had_room = true;
        let events = self.events.clone();
        loop {
            self.look_at_clocks();
            self.core.take_inbox()?;
            self.core.pump()?;
            if self.write(connection).await? {
                said = Instant::now();
            }
            if let Some(seq) = self.core.key_to_make.take() {
                self.making = Some(Making::start(seq));
            }
            let has_room = self.core.has_room();
            if has_room && !had_room {
                // Nothing was heard because nothing was read.
                heard = Instant::now();
            }
            had_room = has_room;
            let mut wake = self.wake_at().min(said + HEARTBEAT);
            if has_room {
                wake = wake.min(heard + SILENCE);
            }
            tokio::select! {
                frame = connection.next(), if has_room => {
                    heard = Instant::now();
                    self.take_frames(connection, &mut handshake, frame?)?;
                }
                command = self.commands.recv() => self.take_commands(command)?,
                permit = events.reserve(), if !self.core.events.is_empty() => give_event(&mut self.core, permit),
                () = events.closed(), if self.core.listening => self.core.nobody_listens(),
                key = Making::done(&mut self.making) => {
                    let (seq, key) = key;
                    self.look_at_clocks();
                    self.core.key_made(seq, key)?;
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if has_room && now >= heard + SILENCE {
                        return Err(Error::Connect("the server has fallen silent".to_owned()).into());
                    }
                    if now >= said + HEARTBEAT {
                        let heartbeat = Request::Heartbeat(Heartbeat { timestamp: wall_clock() });
                        self.core.out.push_back(ClientFrame::from(heartbeat).to_json());
                    }
                }
            }
        }
    }

    /// Sends what the core has left; says whether that was anything.
    async fn write(&mut self, connection: &mut Connection) -> Result<bool, Error> {
        let any = !self.core.out.is_empty();
        while let Some(frame) = self.core.out.pop_front() {
            connection.feed(frame).await?;
        }
        if any {
            connection.flush().await?;
        }
        Ok(any)
    }

    /// Takes a frame and those that have arrived behind it.
    fn take_frames(
        &mut self,
        connection: &mut Connection,
        handshake: &mut Handshake,
        first: String,
    ) -> Result<(), Error> {
        self.look_at_clocks();
        let mut next = Some(first);
        for left in (0..AT_ONCE).rev() {
            let Some(text) = next.take() else { break };
            self.take_frame(handshake, &text)?;
            // What is taken off the connection must be acted on, so the last round takes nothing.
            if left > 0 {
                next = match connection.next_if_there() {
                    Ok(next) => next,
                    Err(error) => {
                        // What came before the end is kept, though it can no longer be acknowledged.
                        self.core.take_inbox()?;
                        return Err(error);
                    }
                };
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, handshake: &mut Handshake, text: &str) -> Result<(), Error> {
        match read(text)? {
            ServerFrame::Challenge(challenge) => {
                // Nothing of a challenge is believed before it is checked, its time neither.
                let auth = auth_frame(&self.core, handshake, &challenge)?;
                self.core.correction.observe(challenge.server_time, self.core.now.wall);
                self.core.out.push_back(auth);
            }
            ServerFrame::Reconnect(reconnect) => {
                self.come_back_after = Some(asked(reconnect.after_ms));
            }
            frame => self.core.frame(frame)?,
        }
        Ok(())
    }

    async fn log_in(&mut self, connection: &mut Connection, handshake: &mut Handshake) -> Result<(), Error> {
        loop {
            let text = connection.next().await?;
            self.look_at_clocks();
            match read(&text)? {
                ServerFrame::Challenge(challenge) => {
                    let auth = auth_frame(&self.core, handshake, &challenge)?;
                    self.core.correction.observe(challenge.server_time, self.core.now.wall);
                    connection.feed(auth).await?;
                    connection.flush().await?;
                }
                ServerFrame::Session(session) => {
                    self.core.session(&session)?;
                    return Ok(());
                }
                ServerFrame::Error(error) => return Err(Error::of_entry(*error)),
                _ => {}
            }
        }
    }
}

fn give_event(core: &mut Core, permit: Result<mpsc::Permit<'_, Event>, mpsc::error::SendError<()>>) {
    match permit {
        Ok(permit) => {
            if let Some(event) = core.events.pop_front() {
                permit.send(event);
            }
        }
        Err(_) => core.nobody_listens(),
    }
}

fn read(text: &str) -> Result<ServerFrame, Error> {
    serde_json::from_str(text).map_err(|_| Error::Connect("the server sent something that is no frame".to_owned()))
}

/// The answer to a challenge: a log-in, whatever the server may want.
fn auth_frame(core: &Core, handshake: &mut Handshake, challenge: &Challenge) -> Result<String, Error> {
    let mut rng = UnwrapErr(SysRng);
    let mut client_nonce = [0; 32];
    rng.fill_bytes(&mut client_nonce);
    let who = Identity { username: &core.account.username, device: &core.account.device, dsk_kid: core.keys.dsk.kid() };
    let auth_in = handshake.to_sign(challenge, Purpose::LogIn, who, &client_nonce)?;
    let signature = core.keys.dsk.sign_auth(&mut rng, &auth_in);
    let auth = Auth {
        username: core.account.username.to_string(),
        device_id: core.account.device,
        client_nonce: Array(client_nonce),
        signature: Blob(signature),
    };
    Ok(ClientFrame::from(Request::Auth(auth)).to_json())
}
