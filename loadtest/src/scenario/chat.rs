//! Pairs write to each other, both ways, while others sit there.

use super::{connect_all, seal, talk};
use crate::args::{Common, Talk};
use crate::cast::Size;
use crate::crew::{Crew, Failure};
use crate::report::Report;

pub(super) fn play(common: &Common, talking: &Talk, connections: Option<usize>) -> Result<Report, Failure> {
    let pairs = talking.pairs;
    let others = connections.unwrap_or(2 * pairs).checked_sub(2 * pairs);
    let others = others.ok_or_else(|| Failure::Arguments("--connections must be at least twice --pairs".to_owned()))?;
    let size = Size { pairs, both_ways: true, devices: 1, others };
    let mut crew = Crew::new(common, size)?;
    let all = connect_all(&mut crew)?;
    let here = crew.counts().here;
    if all {
        seal(&crew, talking.expected(2 * pairs));
        talk(&mut crew, "chat", talking)?;
    }
    let mut report = Report::new("chat", common, crew.dismiss()?);
    report.setting("pairs", pairs).setting("connections", size.connections());
    report.talk(talking);
    report.everybody_came(all, size.connections() as u64, here);
    Ok(report)
}
