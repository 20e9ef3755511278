//! What is played: each scenario leads the threads, and gives a report.

mod chat;
mod day;
mod fanout;
mod idle;
mod offline;
mod reconnect;

use std::time::Duration;

use crate::args::{Common, Scenario, Talk};
use crate::cast::Part;
use crate::crew::{Crew, Failure, Waited};
use crate::report::Report;
use crate::stop;
use crate::worker::{Counts, Order, Pace};

/// Plays a scenario.
///
/// # Errors
/// [`Failure`] when it could not be done at all. What went wrong with messages is in the report.
pub(crate) fn play(scenario: &Scenario) -> Result<Report, Failure> {
    let in_any_dialect = matches!(scenario, Scenario::Idle { .. } | Scenario::Chat { .. });
    if scenario.common().dialect.is_foreign() && !in_any_dialect {
        return Err(Failure::Arguments(
            "--dialect: only `idle` and `chat` are played with servers of other protocols".to_owned(),
        ));
    }
    let mut report = lead(scenario)?;
    if stop::is_wanted() {
        report.undone("it was stopped before the end".to_owned());
    }
    Ok(report)
}

fn lead(scenario: &Scenario) -> Result<Report, Failure> {
    match scenario {
        Scenario::Idle { common, connections, seconds } => idle::play(common, *connections, *seconds),
        Scenario::Chat { common, talk, connections } => chat::play(common, talk, *connections),
        Scenario::Offline { common, pairs, window, each } => {
            offline::play(common, &offline::Mail { pairs: *pairs, window: *window, each: *each })
        }
        Scenario::Reconnect { common, talk, connections } => reconnect::play(common, talk, *connections),
        Scenario::Mixed { common, talk, connections } => {
            day::play(common, talk, &day::Days { scenario: "mixed", connections: *connections, days: 1 })
        }
        Scenario::Soak { common, talk, connections, days } => {
            day::play(common, talk, &day::Days { scenario: "soak", connections: *connections, days: *days })
        }
        Scenario::Fanout { common, talk, devices } => fanout::play(common, talk, *devices as usize),
    }
}

impl Scenario {
    /// What every scenario takes.
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Idle { common, .. }
            | Self::Chat { common, .. }
            | Self::Offline { common, .. }
            | Self::Reconnect { common, .. }
            | Self::Fanout { common, .. }
            | Self::Mixed { common, .. }
            | Self::Soak { common, .. } => common,
        }
    }
}

/// Connects everybody's first device, then the further ones; gives whether all are there.
fn connect_all(crew: &mut Crew) -> Result<bool, Failure> {
    crew.begin("log in")?;
    let first = crew.order_each(Part::first_devices, Order::Dial);
    let mut all = wait_for_sessions(crew, first, first)?;
    let further = crew.order_each(|part| part.readers.iter().skip(1).cloned().collect(), Order::Dial);
    if further > 0 && all {
        all = wait_for_sessions(crew, first + further, first + further)?;
    }
    crew.end()?;
    Ok(all)
}

/// Waits until so many log-ins have gone through and those who came have got their mail; gives whether `here` sessions are open
/// then.
fn wait_for_sessions(crew: &mut Crew, entered: u64, here: u64) -> Result<bool, Failure> {
    let before = crew.counts();
    let failed = move |counts: Counts| counts.kept_out + counts.dropped - before.kept_out - before.dropped;
    let waited = crew.until("log in", |counts| counts.emptied.min(counts.entered) + failed(counts) >= entered)?;
    Ok(waited == Waited::Done && crew.counts().here == here)
}

/// Seals what is sealed for real, while nothing is measured.
fn seal(crew: &Crew, each: f64) {
    let expected = each.ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
    crew.seal(expected);
}

/// How fast each thread writes; one with fewer lines than another writes on each of them as often.
fn pace(crew: &Crew, talk: &Talk) -> impl Fn(&Part) -> Pace + use<> {
    let lines = (crew.lines() as f64).max(1.0);
    let (window, per_second) = (talk.window, talk.per_second());
    move |part| match window {
        Some(window) => Pace::Closed { window, each: u32::MAX },
        None => Pace::Open { per_second: per_second * f64::from(part.lines().end) / lines },
    }
}

/// Writes on all lines for the time that was asked for, and waits until everything has come.
fn talk(crew: &mut Crew, name: &'static str, talk: &Talk) -> Result<(), Failure> {
    let warm_up = Duration::from_secs(talk.warm_up);
    let count_from = crew.now() + u64::try_from(warm_up.as_nanos()).unwrap_or(u64::MAX);
    let pace = pace(crew, talk);
    crew.begin("warm up")?;
    crew.order(|part| Order::Talk { lines: part.lines(), pace: pace(part), count_from });
    crew.pass("warm up", warm_up)?;
    crew.end()?;
    crew.begin(name)?;
    crew.pass(name, Duration::from_secs(talk.seconds))?;
    crew.order(|_| Order::Hush);
    crew.end()?;
    wait_for_the_rest(crew, "waiting for the rest")
}

/// Waits, once all have been told to write no more, until what was written has come. It counts however long that takes; what does not
/// come is found by the check.
fn wait_for_the_rest(crew: &mut Crew, what: &str) -> Result<(), Failure> {
    // A thread that has not heard it yet may write one more message, which no count shows so far.
    crew.settle();
    crew.until(what, |counts| counts.all_done())?;
    Ok(())
}

impl Talk {
    /// Messages a second of the open loop.
    fn per_second(&self) -> f64 {
        self.rate.unwrap_or(1000.0)
    }

    /// Messages on each of so many lines, as far as that can be known before.
    fn expected(&self, lines: usize) -> f64 {
        match self.window {
            Some(window) => f64::from(window) * (self.warm_up + self.seconds) as f64 * 10.0,
            None => self.per_second() * (self.warm_up + self.seconds) as f64 / lines.max(1) as f64,
        }
    }
}
