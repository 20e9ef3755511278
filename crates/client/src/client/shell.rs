//! What stands around the core: who waits for which answer, and the threads that compute with private keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_core::Core;
use sealwire_core::engine::{self, Answer, Batch, Effect, Now, Outcomes, Progress, Ticket};
use sealwire_e2ee::SafetyNumber;
use sealwire_protocol::frames::ServerFrame;
use sealwire_protocol::ids::MessageId;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::disk::{Disk, Rsa};
use super::{Command, Pending, Reply, parallel};
use crate::error::Error;

/// Whoever waits for the answer to a command.
enum Waiting {
    Sent(Reply<Vec<Pending>>),
    Safety(Reply<SafetyNumber>),
    Frame(Reply<ServerFrame>),
    Done(Reply<()>),
}

pub(super) struct Shell {
    pub(super) core: Core<Disk>,
    rsa: Arc<Rsa>,
    tickets: u64,
    /// One for each command that is not answered; commands are bounded where they come in.
    waiting: HashMap<Ticket, Waiting>,
    waiters: HashMap<MessageId, watch::Sender<Progress>>,
    /// Jobs that are under way: few, since the core asks for no more than it can use.
    pub(super) jobs: JoinSet<(u64, Outcomes)>,
    /// What the server asked to wait before the next connection.
    pub(super) come_back_after: Option<Duration>,
}

impl Shell {
    pub(super) fn new(disk: Disk, origin: String) -> Result<Self, Error> {
        let rsa = disk.rsa();
        Ok(Self {
            core: Core::new(disk, origin)?,
            rsa,
            tickets: 0,
            waiting: HashMap::new(),
            waiters: HashMap::new(),
            jobs: JoinSet::new(),
            come_back_after: None,
        })
    }

    /// Takes a command in. Stopping is the driver's.
    pub(super) fn command(&mut self, now: Now, command: Command) -> Result<(), Error> {
        let (command, waiting) = match command {
            Command::Send { to, bodies, reply } => (engine::Command::Send { to, bodies }, Some(Waiting::Sent(reply))),
            Command::Safety { name, reply } => (engine::Command::Safety(name), Some(Waiting::Safety(reply))),
            Command::Shown(position) => (engine::Command::Shown(position), None),
            Command::Request { request, reply } => (engine::Command::Request(request), Some(Waiting::Frame(reply))),
            Command::Typing(to) => (engine::Command::Typing(to), None),
            Command::Watch(names) => (engine::Command::Watch(names), None),
            Command::SharePresence { share, reply } => {
                (engine::Command::SharePresence(share), Some(Waiting::Done(reply)))
            }
            Command::AcceptIdentity { name, reply } => {
                (engine::Command::AcceptIdentity(name), Some(Waiting::Done(reply)))
            }
            Command::Block { name, blocked, reply } => {
                (engine::Command::Block { name, blocked }, Some(Waiting::Done(reply)))
            }
            Command::Profile(run) => {
                run(self.core.storage().profile());
                return Ok(());
            }
            Command::Stop(_) => return Ok(()),
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if let Some(waiting) = waiting {
            self.waiting.insert(ticket, waiting);
        }
        self.core.command(now, ticket, command)
    }

    /// Lets the core act.
    pub(super) fn pump(&mut self, now: Now) -> Result<(), Error> {
        self.core.pump(now, &mut UnwrapErr(SysRng))
    }

    /// Carries out what the core wants, up to the next frame that is to be sent.
    pub(super) fn next_frame(&mut self) -> Option<String> {
        while let Some(effect) = self.core.next_effect() {
            match effect {
                Effect::Send(frame) => return Some(frame),
                Effect::Answer(ticket, answer) => self.answer(ticket, answer),
                Effect::Progress(id, progress) => self.report(&id, progress),
                Effect::Run(batch) => self.run(batch),
                Effect::ComeBackAfter(wait) => self.come_back_after = Some(wait),
            }
        }
        None
    }

    /// The same without a connection.
    pub(super) fn carry_out(&mut self) {
        while self.next_frame().is_some() {}
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Answer, Error>) {
        // Whoever asked may have gone, in each of these.
        match (self.waiting.remove(&ticket), answer) {
            (Some(Waiting::Sent(reply)), Ok(Answer::Sent(ids))) => {
                drop(reply.send(Ok(ids.into_iter().map(|id| self.watch(id)).collect())));
            }
            (Some(Waiting::Safety(reply)), Ok(Answer::Safety(number))) => drop(reply.send(Ok(number))),
            (Some(Waiting::Frame(reply)), Ok(Answer::Frame(frame))) => drop(reply.send(Ok(*frame))),
            (Some(Waiting::Done(reply)), Ok(Answer::Done)) => drop(reply.send(Ok(()))),
            (Some(Waiting::Sent(reply)), Err(error)) => drop(reply.send(Err(error))),
            (Some(Waiting::Safety(reply)), Err(error)) => drop(reply.send(Err(error))),
            (Some(Waiting::Frame(reply)), Err(error)) => drop(reply.send(Err(error))),
            (Some(Waiting::Done(reply)), Err(error)) => drop(reply.send(Err(error))),
            // Dropping the reply says that there is none.
            (Some(_) | None, _) => {}
        }
    }

    fn watch(&mut self, id: MessageId) -> Pending {
        let (waiter, progress) = watch::channel(Progress::Waiting);
        self.waiters.insert(id, waiter);
        (id, progress)
    }

    fn report(&mut self, id: &MessageId, progress: Progress) {
        let last = progress.is_last();
        if let Some(waiter) = self.waiters.get(id)
            && (waiter.send(progress).is_err() || last)
        {
            self.waiters.remove(id);
        }
    }

    fn run(&mut self, Batch { id, jobs }: Batch) {
        let rsa = Arc::clone(&self.rsa);
        self.jobs.spawn_blocking(move || (id, parallel::map(&jobs, |job| rsa.run_now(job.clone()))));
    }
}
