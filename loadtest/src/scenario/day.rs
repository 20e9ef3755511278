//! A day's shape, in less time: people write more at ten than at four, leave and come back to their mail, and connections break.

use std::ops::Range;
use std::time::Duration;

use super::{connect_all, seal, wait_for_the_rest};
use crate::args::{Common, Talk};
use crate::cast::{Part, Size};
use crate::crew::{Crew, Failure, Sight, Waited};
use crate::report::Report;
use crate::stop;
use crate::worker::{Order, Pace};

/// How much is written in each hour, as a share of the busiest.
const HOURS: [f64; 24] = [
    0.10, 0.05, 0.05, 0.05, 0.10, 0.20, 0.40, 0.70, 0.90, 1.00, 1.00, 0.90, 0.70, 0.90, 1.00, 1.00, 0.90, 0.80, 0.70,
    0.60, 0.60, 0.50, 0.30, 0.20,
];
/// How many hours people stay away.
const AWAY: usize = 2;

/// What is played: one day, or many.
pub(super) struct Days {
    pub(super) scenario: &'static str,
    pub(super) connections: usize,
    pub(super) days: u64,
}

pub(super) fn play(common: &Common, talking: &Talk, days: &Days) -> Result<Report, Failure> {
    if talking.window.is_some() {
        return Err(Failure::Arguments("a day has a --rate, not a --window".to_owned()));
    }
    let size = Size { pairs: talking.pairs, both_ways: true, devices: 1, others: days.connections };
    let mut crew = Crew::new(common, size)?;
    let all = connect_all(&mut crew)?;
    let here = crew.counts().here;
    let (mut evenings, mut back) = (Vec::new(), all);
    if all {
        seal(&crew, talking.expected(2 * talking.pairs));
        for _ in (0..days.days).take_while(|_| !stop::is_wanted()) {
            evenings.push(day(&mut crew, talking, size.connections() as u64, &mut back)?);
        }
        wait_for_the_rest(&mut crew, "waiting for the rest")?;
    }
    let mut report = Report::new(days.scenario, common, crew.dismiss()?);
    report.setting("pairs", talking.pairs).setting("connections", days.connections).setting("days", days.days);
    report.talk(talking);
    report.everybody_came(all, size.connections() as u64, here);
    if all && !back {
        report.undone("not everybody was back in the evening".to_owned());
    }
    note_memory(&mut report, &evenings);
    Ok(report)
}

/// Whether memory grows from day to day shows in the evenings: then as many are connected as on the one before.
fn note_memory(report: &mut Report, evenings: &[Sight]) {
    let memory: Vec<_> = evenings.iter().filter_map(|evening| Some(evening.server?.memory)).collect();
    if let [first, .., last] = memory[..] {
        report.figure("server memory, first evening (bytes)", first);
        report.figure("server memory, last evening (bytes)", last);
        report.figure("server memory, growth per day (bytes)", (last - first) / (memory.len() - 1) as f64);
    }
}

fn day(crew: &mut Crew, talking: &Talk, everybody: u64, back: &mut bool) -> Result<Sight, Failure> {
    let hour_takes = Duration::from_secs(talking.seconds) / HOURS.len() as u32;
    let lines = (crew.lines() as f64).max(1.0);
    crew.begin("day")?;
    for (hour, share) in HOURS.into_iter().enumerate() {
        let rate = talking.per_second() * share;
        let pace = |part: &Part| Pace::Open { per_second: rate * f64::from(part.lines().end) / lines };
        crew.order(|part| Order::Talk { lines: part.lines(), pace: pace(part), count_from: 0 });
        crew.order_each(|part| vec![slice(&part.readers[0], hour)], Order::Goodbye);
        if let Some(left) = hour.checked_sub(AWAY) {
            crew.order_each(|part| vec![slice(&part.readers[0], left)], Order::Dial);
        }
        crew.order_each(|part| vec![slice(&part.others, hour)], Order::Cut);
        crew.order_each(|part| vec![slice(&part.others, hour)], Order::Dial);
        crew.pass("day", hour_takes)?;
    }
    crew.order(|_| Order::Hush);
    crew.order_each(|part| vec![part.readers[0].clone()], Order::Dial);
    crew.settle();
    *back &= crew.until("evening", |counts| counts.here == everybody)? == Waited::Done;
    Ok(crew.end()?.end)
}

/// Whose turn it is in this hour.
fn slice(range: &Range<u32>, hour: usize) -> Range<u32> {
    let (length, hours) = (range.end - range.start, HOURS.len() as u32);
    let at = |hour: u32| range.start + (u64::from(length) * u64::from(hour) / u64::from(hours)) as u32;
    at(hour as u32)..at(hour as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_once_a_day() {
        for range in [0..0, 3..10, 0..24, 5..1_000] {
            let turns: Vec<u32> = (0..24).flat_map(|hour| slice(&range, hour)).collect();
            assert_eq!(turns, range.collect::<Vec<_>>());
        }
    }
}
