//! What is shown while keys are made and a server is asked.

use std::cell::Cell;
use std::time::Duration;

use sealwire_client::enrol::Progress;
use tokio::time::interval;

use crate::terminal::{complain, draw, somebody_watches};

const SPINNER: [&str; 4] = ["|", "/", "-", "\\"];

/// A line that turns while somebody watches; lines that stay where nobody does.
pub(crate) struct Shown {
    step: Cell<Progress>,
    watched: bool,
}

impl Shown {
    pub(crate) fn new() -> Self {
        Self { step: Cell::new(Progress::Connecting), watched: somebody_watches() }
    }

    pub(crate) fn step(&self, now: Progress) {
        self.step.set(now);
        if !self.watched {
            complain(&words(now));
        }
    }

    /// Makes room for something else to be shown.
    pub(crate) fn clear(&self) {
        if self.watched {
            draw("");
        }
    }

    /// Does some work, and shows meanwhile how far it is.
    pub(crate) async fn until<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = Box::pin(work);
        let mut ticks = interval(Duration::from_millis(150));
        let mut turn = 0;
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = ticks.tick(), if self.watched => {
                    turn = (turn + 1) % SPINNER.len();
                    draw(&format!("{} {}", SPINNER[turn], words(self.step.get())));
                }
            }
        };
        self.clear();
        outcome
    }
}

fn words(step: Progress) -> String {
    match step {
        Progress::MakingKeys(all) => format!("making {all} RSA-4096 keys; this takes from seconds to a minute"),
        Progress::KeysMade(made, all) => format!("{made} of {all} keys made"),
        Progress::KeysFound => "using the keys that were made before".to_owned(),
        Progress::Connecting => "connecting".to_owned(),
        Progress::Asking => "asking the server".to_owned(),
        Progress::Waiting => "waiting for the code to be entered on the other device".to_owned(),
    }
}
