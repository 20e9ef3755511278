//! A client that stays logged in: it reconnects by itself, sends what is in the outbox, and takes in what arrives.
//!
//! * `driver` the thread that owns the connection; `shell` who waits for what, and the threads that compute; `disk` the profile
//! * what it decides is [`sealwire_core::Core`]'s; here: the handle

mod disk;
mod driver;
mod parallel;
mod shell;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sealwire_e2ee::SafetyNumber;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Request, ServerFrame, Status};
use sealwire_protocol::ids::{MessageId, Username};
use sealwire_protocol::spki::Spki;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, MAX_TEXT};
use crate::profile::{Account, Profile};
use crate::server::Server;

use sealwire_core::engine::Progress;

pub use sealwire_core::engine::{Alarm, Event, Message};

/// Commands that may wait for the driver; whoever sends more waits.
const COMMANDS: usize = 256;
/// Events that may wait for their reader; beyond these, nothing more is read from the server.
const EVENTS: usize = 256;

/// Whether the client is logged in.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Connecting,
    Online,
    /// It will try again.
    Offline(Error),
    /// It will not.
    Stopped(Error),
}

/// A message in the outbox, and where to hear of it.
pub(crate) type Pending = (MessageId, watch::Receiver<Progress>);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

pub(crate) enum Command {
    Send { to: Username, bodies: Vec<Vec<u8>>, reply: Reply<Vec<Pending>> },
    Safety { name: Username, reply: Reply<SafetyNumber> },
    Shown(i64),
    Profile(Box<dyn FnOnce(&mut Profile) + Send>),
    Request { request: Request<'static>, reply: Reply<ServerFrame> },
    Typing(Username),
    Watch(BTreeSet<Username>),
    SharePresence { share: bool, reply: Reply<()> },
    AcceptIdentity { name: Username, reply: Reply<()> },
    Block { name: Username, blocked: bool, reply: Reply<()> },
    Stop(oneshot::Sender<()>),
}

/// A handle on a running client. Cheap to clone; the client ends when all handles are gone, or by [`Client::stop`].
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    account: Arc<Account>,
}

/// What a client tells, in order. Dropping it means that nobody listens: messages are kept for the next time.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
}

/// A message on its way: it lies in the outbox, whatever happens to this handle.
#[derive(Debug)]
pub struct Sent {
    message_id: MessageId,
    progress: watch::Receiver<Progress>,
    state: watch::Receiver<State>,
}

impl Client {
    /// Starts a client on a registered profile.
    ///
    /// # Errors
    /// [`Error::Profile`] when nobody is registered with it, or it cannot be read.
    pub fn start(profile: Profile, server: Server) -> Result<(Self, Events), Error> {
        let account = Arc::new(profile.account()?);
        let shell = shell::Shell::new(disk::Disk::new(profile)?, server.origin())?;
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (events_out, events) = mpsc::channel(EVENTS);
        let (state_out, state) = watch::channel(State::Connecting);
        driver::start(shell, server, commands_in, events_out, state_out)?;
        Ok((Self { commands, state, account }, Events { events }))
    }

    /// Whose client it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Waits until it is logged in.
    ///
    /// # Errors
    /// Why it never will be. A connection that only fails for now is tried for ever: set a limit with
    /// [`Self::online_within`].
    pub async fn online(&self) -> Result<(), Error> {
        let mut state = self.state.clone();
        let done = state.wait_for(|state| matches!(state, State::Online | State::Stopped(_))).await;
        match done.map_err(|_| Error::Stopped)?.clone() {
            State::Stopped(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until it is logged in, but not longer than `patience`.
    ///
    /// # Errors
    /// As for [`Self::online`]; what stood in the way last when patience is over.
    pub async fn online_within(&self, patience: Duration) -> Result<(), Error> {
        match tokio::time::timeout(patience, self.online()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.trouble().unwrap_or(Error::Connect("the server did not answer in time".to_owned()))),
        }
    }

    /// What keeps it from being logged in, if something does.
    pub fn trouble(&self) -> Option<Error> {
        match &*self.state.borrow() {
            State::Offline(error) | State::Stopped(error) => Some(error.clone()),
            State::Connecting | State::Online => None,
        }
    }

    /// Puts a text for somebody into the outbox. When this returns it is stored; it is sent as soon as that is possible.
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::Blocked`]; [`Error::Profile`] when it could not be stored; [`Error::Stopped`].
    pub async fn send(&self, to: &Username, text: &str) -> Result<Sent, Error> {
        let mut sent = self.send_all(to, &[text]).await?;
        Ok(sent.pop().expect("one for each text"))
    }

    /// Like [`Self::send`] for several texts, which keep their order; all are stored in one transaction.
    ///
    /// # Errors
    /// As for [`Self::send`]; then none is stored.
    pub async fn send_all(&self, to: &Username, texts: &[&str]) -> Result<Vec<Sent>, Error> {
        let bodies = texts.iter().map(|text| content(text)).collect::<Result<_, _>>()?;
        let pending = self.ask(|reply| Command::Send { to: to.clone(), bodies, reply }).await??;
        let sent = |(message_id, progress)| Sent { message_id, progress, state: self.state.clone() };
        Ok(pending.into_iter().map(sent).collect())
    }

    /// The safety number of oneself and somebody, by the keys that the server shows now.
    ///
    /// # Errors
    /// [`Error::UnknownUser`], [`Error::Untrusted`], [`Error::Stopped`]. It waits for a connection.
    pub async fn safety(&self, name: &Username) -> Result<SafetyNumber, Error> {
        self.ask(|reply| Command::Safety { name: name.clone(), reply }).await?
    }

    /// The person has seen a message: it is not given again after the next start.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn shown(&self, message: &Message) -> Result<(), Error> {
        self.tell(Command::Shown(message.position())).await
    }

    /// Runs `f` on the thread that owns the profile, and gives what it gives: for what a person reads and decides. Nothing
    /// else happens meanwhile, so it should not take long. What is sent, and whose keys are believed, changes by this
    /// handle's other methods only: the client does not look there again.
    ///
    /// # Errors
    /// [`Error::Stopped`], or why it stopped.
    pub async fn profile<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Profile) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let run = |reply: oneshot::Sender<T>| -> Box<dyn FnOnce(&mut Profile) + Send> {
            // Whoever asked may have gone.
            Box::new(move |profile| drop(reply.send(f(profile))))
        };
        self.ask(|reply| Command::Profile(run(reply))).await
    }

    /// Sends one request while logged in, and gives its answer: a frame of the same type. It waits for a connection for as
    /// long as it takes. It must be one that is answered by its `id`: `rotate`, `devices`, `rendezvous`, `backup`,
    /// `presence`, `keys` (protocol section 6).
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's code; [`Error::Connect`] when the connection was lost before the answer came:
    /// nobody knows then whether the server has acted. [`Error::Stopped`], or why it stopped.
    pub async fn request(&self, request: Request<'static>) -> Result<ServerFrame, Error> {
        self.ask(|reply| Command::Request { request, reply }).await?
    }

    /// Tells somebody that one is typing: say it with every key, it is sent at most every four seconds. It is dropped where
    /// it cannot be sent at once, and for strangers and blocked people.
    ///
    /// # Errors
    /// [`Error::Stopped`], or why it stopped.
    pub async fn typing(&self, to: &Username) -> Result<(), Error> {
        self.tell(Command::Typing(to.clone())).await
    }

    /// Wants to know of exactly these people when they come and go ([`Event::Presence`]), now and after each reconnect. A server
    /// tells of at most 500.
    ///
    /// # Errors
    /// [`Error::Stopped`], or why it stopped.
    pub async fn watch(&self, names: BTreeSet<Username>) -> Result<(), Error> {
        self.tell(Command::Watch(names)).await
    }

    /// Whether others may see when this account is online. It is remembered, and told to the server as soon as that is
    /// possible.
    ///
    /// # Errors
    /// [`Error::Profile`]; [`Error::Stopped`], or why it stopped.
    pub async fn share_presence(&self, share: bool) -> Result<(), Error> {
        self.ask(|reply| Command::SharePresence { share, reply }).await?
    }

    /// Believes the identity key that the server shows for somebody instead of the one that was believed: the person has
    /// said so. They are not verified any more. Without a changed key nothing is done.
    ///
    /// # Errors
    /// [`Error::Untrusted`] when what the server shows does not hold together; [`Error::Profile`]; [`Error::Stopped`], or why it
    /// stopped.
    pub async fn accept_identity(&self, name: &Username) -> Result<(), Error> {
        self.ask(|reply| Command::AcceptIdentity { name: name.clone(), reply }).await?
    }

    /// Blocks somebody, or no more: nothing of theirs is kept or told, and nothing is sent to them.
    ///
    /// # Errors
    /// [`Error::Profile`]; [`Error::Stopped`], or why it stopped.
    pub async fn block(&self, name: &Username, blocked: bool) -> Result<(), Error> {
        self.ask(|reply| Command::Block { name: name.clone(), blocked, reply }).await?
    }

    /// Ends the client: what was decided is stored, the connection is closed. The profile is free afterwards.
    pub async fn stop(self) {
        let (reply, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(reply)).await.is_ok() {
            // Without an answer it has ended already.
            let _ = self.answered(stopped).await;
        }
    }

    /// Waits for the answer to a command; `None` when there will be none. A command that is sent in the very moment in which
    /// the driver ends may lie in the queue, unseen, for as long as there are handles: its answer alone must not be awaited.
    async fn answered<T>(&self, mut answer: oneshot::Receiver<T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = &mut answer => answer.ok(),
            () = self.commands.closed() => answer.try_recv().ok(),
        }
    }

    async fn tell(&self, command: Command) -> Result<(), Error> {
        match self.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(stop_reason(&self.state).await),
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).await.is_ok()
            && let Some(answer) = self.answered(answer).await
        {
            return Ok(answer);
        }
        Err(stop_reason(&self.state).await)
    }
}

/// The JSON of a text. With its escapes it can be longer than the text.
fn content(text: &str) -> Result<Vec<u8>, Error> {
    let json = serde_json::json!({ "kind": "text", "text": text }).to_string();
    if text.len() > MAX_TEXT || json.len() > MAX_TEXT + MAX_TEXT / 8 {
        return Err(Error::TooLong(text.len()));
    }
    Ok(json.into_bytes())
}

/// Why the client ends, or has ended. What waited for it notices first: the profile is closed before the reason is told.
async fn stop_reason(state: &watch::Receiver<State>) -> Error {
    let mut state = state.clone();
    match state.wait_for(|state| matches!(state, State::Stopped(_))).await.as_deref() {
        Ok(State::Stopped(error)) => error.clone(),
        _ => Error::Stopped,
    }
}

/// Waits until a message is as far as this.
async fn reached(
    progress: &mut watch::Receiver<Progress>,
    state: &watch::Receiver<State>,
    far_enough: impl Fn(Status) -> bool,
) -> Result<Status, Error> {
    let done = |p: &Progress| match p {
        Progress::Reached(status) => far_enough(*status),
        Progress::Failed(_) => true,
        Progress::Waiting | Progress::Held(_) => false,
    };
    // Not in the match: what it borrows would be held while the reason is awaited, and the future could not be sent.
    let reached = progress.wait_for(done).await.ok().map(|progress| progress.clone());
    match reached {
        Some(Progress::Reached(status)) => Ok(status),
        Some(Progress::Failed(error)) => Err(error),
        Some(Progress::Waiting | Progress::Held(_)) => unreachable!("waited for something else"),
        None => Err(stop_reason(state).await),
    }
}

impl Events {
    /// The next event; `None` when the client has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Sent {
    /// The message's id.
    pub fn message_id(&self) -> MessageId {
        self.message_id
    }

    /// Waits for the first status.
    ///
    /// # Errors
    /// [`Error::GivenUp`], [`Error::UnknownUser`], [`Error::Untrusted`], [`Error::NobodyToSendTo`]: it will not be sent.
    /// Any other: the client has ended, and the message lies in the outbox for the next one.
    pub async fn first_status(&mut self) -> Result<Status, Error> {
        reached(&mut self.progress, &self.state, |_| true).await
    }

    /// Waits until a device of the addressee has it, or it has expired.
    ///
    /// # Errors
    /// As for [`Self::first_status`].
    pub async fn last_status(&mut self) -> Result<Status, Error> {
        reached(&mut self.progress, &self.state, |status| status != Status::Queued).await
    }

    /// Why the server makes it wait, if it said so.
    pub fn held_by(&self) -> Option<ErrorCode> {
        match &*self.progress.borrow() {
            Progress::Held(code) => Some(*code),
            _ => None,
        }
    }
}

/// The safety number by the keys that are pinned in a profile, without asking the server; `None` when the name was never
/// looked up.
///
/// # Errors
/// [`Error::Profile`].
pub fn pinned_safety(profile: &Profile, name: &Username) -> Result<Option<SafetyNumber>, Error> {
    let account = profile.account()?;
    let (me, them) = (profile.person(&account.username)?, profile.person(name)?);
    Ok(me
        .zip(them)
        .map(|(me, them)| SafetyNumber::of((&account.username, me.chain().aik()), (name, them.chain().aik()))))
}

/// The safety number by the identity key that the server shows for a name and that is not believed; `None` when it shows
/// no other one.
///
/// # Errors
/// [`Error::Profile`].
pub fn changed_safety(profile: &Profile, name: &Username) -> Result<Option<SafetyNumber>, Error> {
    let account = profile.account()?;
    let (Some(me), Some(shown)) = (profile.person(&account.username)?, profile.changed_key(name)?) else {
        return Ok(None);
    };
    let Ok(theirs) = Spki::parse(&shown.aik.0) else { return Ok(None) };
    Ok(Some(SafetyNumber::of((&account.username, me.chain().aik()), (name, &theirs))))
}
