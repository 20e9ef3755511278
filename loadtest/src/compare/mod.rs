//! The same played with several servers, one after the other, on one machine: what a message costs each of them, what they carry at
//! most, how long it takes, what a connection weighs, and what they promise for that.
//!
//! * [`args`] what can be asked for; [`process`], [`servers`], [`mongo`] how servers are started and set
//! * [`player`] what is played; [`figures`], [`table`], [`page`] what is said of it; [`machine`] on what
//! * [`goals`] what must hold

pub(crate) mod args;
mod figures;
mod goals;
mod machine;
mod mongo;
mod page;
mod player;
mod process;
mod servers;
mod table;

use std::io::{self, Write as _};

use serde_json::json;

use crate::args::Talk;
use crate::crew::Failure;
use args::{Amount, Compare, Goals, Name};
use figures::{Measured, Round};
use goals::Goal;
use machine::{Machine, today};
use player::Player;

/// Compares and reports; gives whether nothing was lost, repeated or out of order anywhere.
pub(crate) fn play(compare: &Compare) -> Result<bool, Failure> {
    let (amount, names) = (compare.amount(), compare.names());
    for name in &names {
        servers::provide(*name, &compare.programs)?;
    }
    let goals = compare.goals();
    goals.as_ref().map_or(Ok(()), provide_for)?;
    let player = Player::new(&compare.programs, &compare.bench)?;
    let measured = measure(&player, &amount, &names)?;
    let goals = goals.map_or(Ok(Vec::new()), |goals| goals::measure(&player, &goals))?;
    let (machine, today) = (Machine::this(), today());
    let mut out = io::stdout();
    writeln!(out, "sealwire-loadtest compare, {today}: {}", machine.words())?;
    writeln!(out, "{}\n", amount.words())?;
    out.write_all(table::write(&measured).as_bytes())?;
    if !goals.is_empty() {
        write!(out, "\n{}", goals::table(&goals))?;
    }
    if let Some(file) = &compare.bench.json {
        let all = json!({"tool": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "date": today,
            "machine": machine, "amount": amount, "servers": measured, "goals": goals});
        std::fs::write(file, format!("{all:#}\n"))?;
    }
    if let Some(file) = &compare.markdown {
        page::write(
            file,
            &page::Page { amount: &amount, machine: &machine, date: &today, measured: &measured, goals: &goals },
        )?;
    }
    Ok(measured.iter().all(|measured| measured.good) && goals.iter().all(|goal| goal.good))
}

/// Measures what must hold; gives whether it does.
pub(crate) fn play_goals(goals: &Goals) -> Result<bool, Failure> {
    provide_for(goals)?;
    let player = Player::new(&goals.programs, &goals.bench)?;
    let found: Vec<Goal> = goals::measure(&player, goals)?;
    let (machine, today) = (Machine::this(), today());
    let mut out = io::stdout();
    writeln!(out, "sealwire-loadtest goals, {today}: {}; medians of {}\n", machine.words(), goals.rounds)?;
    out.write_all(goals::table(&found).as_bytes())?;
    if let Some(file) = &goals.bench.json {
        let all = json!({"tool": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "date": today,
            "machine": machine, "scale": goals.scale, "goals": found});
        std::fs::write(file, format!("{all:#}\n"))?;
    }
    Ok(found.iter().all(|goal| goal.held))
}

/// Whoever the goals are measured with must be there.
fn provide_for(goals: &Goals) -> Result<(), Failure> {
    let others = goals.topics().into_iter().flat_map(args::Topic::names);
    others.chain(&[Name::Sealwire]).try_for_each(|name| servers::provide(*name, &goals.programs))
}

/// Round by round, so that what changes on the machine meanwhile meets everybody.
fn measure(player: &Player<'_>, amount: &Amount, names: &[Name]) -> Result<Vec<Measured>, Failure> {
    let mut all: Vec<_> = names.iter().map(|name| (*name, String::new(), Vec::new())).collect();
    for n in 1..=amount.rounds {
        for (name, version, rounds) in &mut all {
            player.say(&format!("round {n} of {}: {}", amount.rounds, name.words()));
            let round = round(player, amount, *name, version)?;
            rounds.push(round);
        }
    }
    Ok(all.into_iter().map(|(name, version, rounds)| Measured::new(name, version, &rounds, amount)).collect())
}

/// What is measured of memory needs a server that was never busy, so each count has one of its own.
fn round(player: &Player<'_>, amount: &Amount, name: Name, version: &mut String) -> Result<Round, Failure> {
    let Amount { seconds, warm_up, idle_seconds, .. } = *amount;
    let accounts = amount.accounts();
    let (fixed, full) = {
        let server = player.start(name, accounts)?;
        version.clone_from(&server.version);
        let talk = Talk { pairs: amount.pairs, rate: Some(amount.rate), window: None, seconds, warm_up };
        let fixed = player.chat(&server, talk, amount.connections)?;
        let talk = Talk { pairs: amount.full_pairs, rate: None, window: Some(amount.window), seconds, warm_up };
        (fixed, player.chat(&server, talk, 0)?)
    };
    let idle = |connections| player.idle(&player.start(name, accounts)?, connections, idle_seconds);
    Ok(Round { fixed, full, idle: [idle(amount.idle[0])?, idle(amount.idle[1])?] })
}

impl Amount {
    /// In a sentence.
    fn words(&self) -> String {
        format!(
            "{} pairs of {} connections at {} messages/s in open loop; {} pairs with {} unanswered messages each in closed loop; {} s each; {} and {} \
             connections, idle for {} s; medians of {}",
            self.pairs,
            self.connections,
            self.rate,
            self.full_pairs,
            self.window,
            self.seconds,
            self.idle[0],
            self.idle[1],
            self.idle_seconds,
            self.rounds
        )
    }
}
