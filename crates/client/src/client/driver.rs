//! The thread that owns a client's connection: it moves frames, waits, and comes back after losses.
//!
//! A thread with a runtime of its own, because the core waits for the disk.

use std::thread;
use std::time::Duration;

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use sealwire_core::engine::{Now, Outcomes};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};

use super::shell::Shell;
use super::{Command, Event, State};
use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::error::Error;
use crate::server::Server;
use crate::time::{Ticks, wall_clock};

/// How many frames or commands are taken before the core acts on them; with an acknowledgement after each.
const AT_ONCE: usize = 32;
/// A session that lasted so long was a good one: after it, waiting starts over.
const LASTING: Duration = Duration::from_secs(60);
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

struct Driver {
    shell: Shell,
    server: Server,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    state: watch::Sender<State>,
    ticks: Ticks,
    backoff: Backoff,
    /// Since when the present session, or the last one, was logged in.
    online_since: Option<Instant>,
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
    shell: Shell,
    server: Server,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    state: watch::Sender<State>,
) -> Result<(), Error> {
    let no_thread = |error: std::io::Error| Error::Connect(format!("this machine gives no thread: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
    let run = move || {
        runtime.block_on(async {
            let (ticks, backoff) = (Ticks::start(), Backoff::default());
            Driver { shell, server, commands, events, state, ticks, backoff, online_since: None }.run().await;
        });
        // A key that is being made takes long, and nobody waits for it any more.
        runtime.shutdown_background();
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
            let now = self.now();
            self.shell.core.disconnected(now);
            if !error.is_passing() {
                self.finish(&error);
                return;
            }
            self.shell.core.tell(Event::Offline(error.clone()));
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
        let Self { shell, state, events, .. } = self;
        // Messages are kept for the next time; nothing else is.
        for event in shell.core.events().filter(|event| !matches!(event, Event::Message(_))).cloned() {
            // A full queue means that its reader has gone, or is not listening.
            let _ = events.try_send(event);
        }
        drop(shell);
        state.send_replace(State::Stopped(Error::Stopped));
        if let Some(reply) = stop {
            let _ = reply.send(());
        }
    }

    /// Ends for good. What lies in the outbox stays there.
    fn finish(mut self, error: &Error) {
        tracing::info!(%error, "the client ends");
        self.shell.carry_out();
        let Self { shell, state, events, .. } = self;
        for event in shell.core.events().cloned() {
            // A full queue means that its reader is busy with earlier ones; the reason is in the state as well.
            let _ = events.try_send(event);
        }
        drop(shell);
        state.send_replace(State::Stopped(error.clone()));
    }

    fn wait_after(&mut self, error: &Error) -> Duration {
        let jitter = self.backoff.next(UnwrapErr(SysRng).next_u64());
        let asked = self.shell.come_back_after.take().unwrap_or_default();
        // Others were asked the same: without jitter all would come at once.
        match error {
            Error::Busy(wait) => asked.max(*wait) + jitter,
            _ => asked + jitter,
        }
    }

    fn now(&self) -> Now {
        Now { ticks: self.ticks.now(), wall: wall_clock() }
    }

    /// Lets the core act, but for what needs a connection.
    fn pump(&mut self) -> Result<(), Error> {
        let now = self.now();
        self.shell.pump(now)?;
        self.shell.carry_out();
        Ok(())
    }

    /// Serves commands and events until it is time for the next attempt.
    async fn stay_offline(&mut self, wait: Duration) -> Result<(), End> {
        let until = Instant::now() + wait;
        let events = self.events.clone();
        loop {
            self.pump()?;
            let wake = self.wake_at().min(until);
            tokio::select! {
                command = self.commands.recv() => self.take_commands(command)?,
                Some(ran) = self.shell.jobs.join_next() => self.ran_offline(ran)?,
                permit = events.reserve(), if self.shell.core.events().len() > 0 => self.give_event(permit),
                () = events.closed(), if self.shell.core.is_listened_to() => self.shell.core.nobody_listens(),
                () = sleep_until(wake) => if Instant::now() >= until { return Ok(()) },
            }
        }
    }

    fn wake_at(&self) -> Instant {
        self.shell.core.wake_at().map_or_else(|| Instant::now() + FOR_EVER, |at| self.ticks.at(at))
    }

    /// Takes a command and those that wait behind it. All handles gone is a stop too.
    fn take_commands(&mut self, first: Option<Command>) -> Result<(), End> {
        let now = self.now();
        let mut next = Some(first);
        for left in (0..AT_ONCE).rev() {
            let Some(command) = next.take() else { break };
            match command {
                None => return Err(End::Stop(None)),
                Some(Command::Stop(reply)) => {
                    self.pump()?;
                    return Err(End::Stop(Some(reply)));
                }
                Some(command) => self.shell.command(now, command)?,
            }
            // What is taken off the queue must be acted on, so the last round takes nothing.
            if left > 0 {
                next = self.commands.try_recv().ok().map(Some);
            }
        }
        Ok(())
    }

    fn ran(&mut self, ran: Result<(u64, Outcomes), JoinError>) -> Result<(), Error> {
        let (batch, outcomes) = ran.expect("private-key operations do not panic, and are not cancelled");
        let now = self.now();
        self.shell.core.ran(now, batch, outcomes)
    }

    /// Without a connection there is none to give up.
    fn ran_offline(&mut self, ran: Result<(u64, Outcomes), JoinError>) -> Result<(), Error> {
        self.ran(ran).or_else(|error| if error.is_passing() { Ok(()) } else { Err(error) })
    }

    async fn connect_and_talk(&mut self) -> End {
        let opening = {
            let server = self.server.clone();
            async move { Connection::open(&server).await }
        };
        tokio::pin!(opening);
        let connection = loop {
            tokio::select! {
                connection = &mut opening => break connection,
                Some(ran) = self.shell.jobs.join_next() => if let Err(error) = self.ran_offline(ran) {
                    return error.into();
                },
                command = self.commands.recv() => if let Err(end) = self.take_commands(command) {
                    return end;
                },
            }
            if let Err(error) = self.pump() {
                return error.into();
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
        let now = self.now();
        self.shell.core.connected(now);
        let events = self.events.clone();
        loop {
            let now = self.now();
            self.shell.pump(now)?;
            self.write(connection).await?;
            self.look_whether_online();
            let (wake, has_room) = (self.wake_at(), self.shell.core.has_room());
            tokio::select! {
                frame = connection.next(), if has_room => self.take_frames(connection, frame?)?,
                command = self.commands.recv() => self.take_commands(command)?,
                Some(ran) = self.shell.jobs.join_next() => self.ran(ran)?,
                permit = events.reserve(), if self.shell.core.events().len() > 0 => self.give_event(permit),
                () = events.closed(), if self.shell.core.is_listened_to() => self.shell.core.nobody_listens(),
                () = sleep_until(wake) => {}
            }
        }
    }

    fn look_whether_online(&mut self) {
        if self.shell.core.is_online() && self.online_since.is_none() {
            self.online_since = Some(Instant::now());
            self.state.send_replace(State::Online);
        }
    }

    /// Sends what the core has left.
    async fn write(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let mut any = false;
        while let Some(frame) = self.shell.next_frame() {
            connection.feed(frame).await?;
            any = true;
        }
        if any { connection.flush().await } else { Ok(()) }
    }

    /// Takes a frame and those that have arrived behind it.
    fn take_frames(&mut self, connection: &mut Connection, first: String) -> Result<(), Error> {
        let now = self.now();
        let mut next = Some(first);
        for left in (0..AT_ONCE).rev() {
            let Some(text) = next.take() else { break };
            self.shell.core.frame(now, &text)?;
            // What is taken off the connection must be acted on, so the last round takes nothing.
            if left > 0 {
                next = connection.next_if_there()?;
            }
        }
        Ok(())
    }

    fn give_event(&mut self, permit: Result<mpsc::Permit<'_, Event>, mpsc::error::SendError<()>>) {
        match permit {
            Ok(permit) => {
                if let Some(event) = self.shell.core.next_event() {
                    if let Event::Alarm(alarm) = &event {
                        tracing::warn!(%alarm, "security");
                    }
                    permit.send(event);
                }
            }
            Err(_) => self.shell.core.nobody_listens(),
        }
    }
}
