//! Everybody's connection breaks at once and everybody comes back, while others go on talking.

use std::time::Duration;

use super::{connect_all, pace, seal, wait_for_sessions, wait_for_the_rest};
use crate::args::{Common, Talk};
use crate::cast::Size;
use crate::crew::{Crew, Failure};
use crate::report::Report;
use crate::worker::Order;

pub(super) fn play(common: &Common, talking: &Talk, connections: usize) -> Result<Report, Failure> {
    let size = Size { pairs: talking.pairs, both_ways: true, devices: 1, others: connections };
    let mut crew = Crew::new(common, size)?;
    let all = connect_all(&mut crew)?;
    let here = crew.counts().here;
    let mut back = (all, 0.0);
    if all {
        seal(&crew, talking.expected(2 * talking.pairs));
        back = break_and_return(&mut crew, talking, connections as u64)?;
    }
    let mut report = Report::new("reconnect", common, crew.dismiss()?);
    report.setting("pairs", talking.pairs).setting("connections", connections);
    report.talk(talking);
    report.figure("until everybody was back (seconds)", back.1);
    report.everybody_came(all, size.connections() as u64, here);
    if all && !back.0 {
        report.undone("not everybody came back".to_owned());
    }
    Ok(report)
}

/// Talks, breaks, waits until all are back; gives whether they are, and how many seconds that took.
fn break_and_return(crew: &mut Crew, talking: &Talk, others: u64) -> Result<(bool, f64), Failure> {
    let (warm_up, seconds) = (Duration::from_secs(talking.warm_up), Duration::from_secs(talking.seconds));
    let pace = pace(crew, talking);
    crew.begin("warm up")?;
    crew.order(|part| Order::Talk { lines: part.lines(), pace: pace(part), count_from: 0 });
    crew.pass("warm up", warm_up)?;
    crew.end()?;
    crew.begin("before")?;
    crew.pass("before", seconds)?;
    crew.end()?;
    crew.begin("reconnect")?;
    let before = crew.counts();
    crew.order_each(|part| vec![part.others.clone()], Order::Cut);
    crew.order_each(|part| vec![part.others.clone()], Order::Dial);
    let back = wait_for_sessions(crew, before.entered + others, before.here)?;
    let period = crew.end()?;
    crew.begin("after")?;
    crew.pass("after", seconds)?;
    crew.order(|_| Order::Hush);
    crew.end()?;
    wait_for_the_rest(crew, "waiting for the rest")?;
    Ok((back, (period.end.at - period.begin.at).as_secs_f64()))
}
