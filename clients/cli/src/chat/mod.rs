//! `chat`: the full-screen client.
//!
//! * [`state`] what it knows and decides: pure; [`editor`], [`rows`], [`text`], [`look`] are what it decides with
//! * [`view`] draws it, and says what was seen
//! * here: the loop that moves keys, events and answers in, and actions out; [`hands`] does them, [`screen`] has the terminal

mod editor;
#[cfg(test)]
mod fixtures;
mod hands;
mod look;
mod rows;
mod screen;
mod state;
mod text;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_util::StreamExt;
use sealwire_client::{Client, Error, Events};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::arguments::{Arguments, Chat};
use crate::exit::Failure;
use crate::profile;
use hands::Answer;
use look::Look;
use screen::Screen;
use state::{Action, App, Input, Me};

/// Actions and answers on their way; whoever has more waits.
const QUEUE: usize = 64;
/// What was typed is stored before it is shown, as a rule: so short a wait is not noticed, and saves drawing twice. What is not
/// on the disk by then is drawn all the same, with a sign that says so, until it is.
const DISK: Duration = Duration::from_millis(50);
/// How long the last actions may take when the program ends.
const LAST: Duration = Duration::from_secs(5);

pub(crate) async fn run(arguments: &Arguments, command: &Chat) -> Result<(), Failure> {
    screen::check(arguments.json)?;
    let (client, mut events) = profile::start(arguments)?;
    let outcome = chat(&client, &mut events, command).await;
    client.stop().await;
    outcome
}

async fn chat(client: &Client, events: &mut Events, command: &Chat) -> Result<(), Failure> {
    let (kept, shares_presence) = hands::kept(client).await?;
    let account = client.account();
    let me = Me {
        name: account.username.clone(),
        device: account.device.to_string(),
        server: account.server.clone(),
        shares_presence,
    };
    let look = Look::of_environment(|name| std::env::var(name).ok());
    let app = App::new(me, look, kept, command.name.clone());
    let (actions, to_do) = mpsc::channel(QUEUE);
    let (answer, answers) = mpsc::channel(QUEUE);
    let hands = tokio::spawn(hands::work(client.clone(), to_do, answer));
    let unusable = |error| Failure::failed(format!("the terminal cannot be used: {error}"));
    let screen = Screen::enter().map_err(unusable)?;
    let mut shell = Shell {
        app,
        screen,
        actions,
        answers,
        to_do: VecDeque::new(),
        open: VecDeque::new(),
        old: None,
        start: Instant::now(),
    };
    let outcome = shell.run(client, events).await;
    let left = shell.finish();
    // What is not done by then is on a disk that does not answer.
    let _ = timeout(LAST, async {
        left.await;
        hands.await
    })
    .await;
    outcome
}

fn stores_what_was_typed(action: &Action) -> bool {
    matches!(action, Action::Keep(_) | Action::Send { .. })
}

struct Shell {
    app: App,
    screen: Screen,
    actions: Sender<Action>,
    answers: Receiver<Answer>,
    to_do: VecDeque<Action>,
    /// For each action that was given to the hands and is not done, in order: whether it stores what was typed.
    open: VecDeque<bool>,
    /// Since when the screen is not what the state is.
    old: Option<Instant>,
    start: Instant,
}

impl Shell {
    async fn run(&mut self, client: &Client, events: &mut Events) -> Result<(), Failure> {
        let lost = |error| Failure::failed(format!("the terminal is gone: {error}"));
        let mut keys = EventStream::new();
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let no_signals = |error| Failure::failed(format!("this machine gives no signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(no_signals)?;
        // The permit must not hold on to the rest of the state.
        let actions = self.actions.clone();
        self.take(Input::Tick).map_err(lost)?;
        loop {
            let draw_at = self.old.map(|since| if self.is_idle() { since } else { since + DISK });
            let draw = async {
                match draw_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let goes_on = tokio::select! {
                // Answers first, so that what has come is drawn at once and not one by one.
                biased;
                _ = terminate.recv() => return Ok(()),
                _ = hang_up.recv() => return Ok(()),
                Some(answer) = self.answers.recv() => self.answered(answer),
                permit = actions.reserve(), if !self.to_do.is_empty() => {
                    let Ok(permit) = permit else { return Err(Error::Stopped.into()) };
                    let action = self.to_do.pop_front().expect("it was looked at");
                    self.open.push_back(stores_what_was_typed(&action));
                    permit.send(action);
                    Ok(true)
                }
                key = keys.next() => match key {
                    Some(key) => key.and_then(|key| self.terminal(key)),
                    None => return Ok(()),
                },
                () = draw => self.draw(),
                event = events.next() => match event {
                    Some(event) => self.take(event.into()),
                    None => return Err(client.trouble().unwrap_or(Error::Stopped).into()),
                },
                _ = second.tick() => self.tick(),
            };
            if !goes_on.map_err(lost)? {
                return Ok(());
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.to_do.is_empty()
    }

    fn is_kept(&self) -> bool {
        !self.open.contains(&true) && !self.to_do.iter().any(stores_what_was_typed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn answered(&mut self, answer: Answer) -> std::io::Result<bool> {
        match answer {
            Answer::Done => {
                self.open.pop_front();
                if self.is_kept() != self.app.is_kept {
                    self.old.get_or_insert_with(Instant::now);
                }
            }
            Answer::Input(input) => return self.take(input),
        }
        Ok(true)
    }

    fn terminal(&mut self, event: TerminalEvent) -> std::io::Result<bool> {
        match event {
            TerminalEvent::Key(key) => self.take(Input::Key(key)),
            TerminalEvent::Paste(text) => self.take(Input::Paste(text)),
            TerminalEvent::FocusGained => self.take(Input::Focus(true)),
            TerminalEvent::FocusLost => self.take(Input::Focus(false)),
            TerminalEvent::Resize(..) => self.take(Input::Tick),
            TerminalEvent::Mouse(_) => Ok(true),
        }
    }

    /// Nothing is drawn for the passing of time alone, unless something depends on it.
    fn tick(&mut self) -> std::io::Result<bool> {
        if self.app.typing.is_empty() {
            return Ok(true);
        }
        self.take(Input::Tick)
    }

    /// Takes something in; says whether to go on.
    fn take(&mut self, input: Input) -> std::io::Result<bool> {
        self.old.get_or_insert_with(Instant::now);
        self.handle(input)
    }

    fn handle(&mut self, input: Input) -> std::io::Result<bool> {
        let now = self.now();
        let mut goes_on = true;
        for action in self.app.handle(input, now) {
            match action {
                Action::Bell => self.screen.bell()?,
                Action::Redraw => self.screen.forget()?,
                Action::Quit => goes_on = false,
                action => self.to_do.push_back(action),
            }
        }
        Ok(goes_on)
    }

    fn draw(&mut self) -> std::io::Result<bool> {
        self.old = None;
        self.app.is_kept = self.is_kept();
        let drawn = self.screen.draw(&self.app)?;
        self.handle(Input::Drawn(drawn))
    }

    /// Gives the terminal back, and the hands what is left to do.
    fn finish(self) -> impl Future<Output = ()> {
        let Self { screen, actions, mut answers, to_do, .. } = self;
        drop(screen);
        async move {
            // Nobody reads the answers any more; they must not hold up the work.
            answers.close();
            for action in to_do {
                // As far as there is somebody to do it.
                let _ = actions.send(action).await;
            }
        }
    }
}
