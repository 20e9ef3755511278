//! People with several devices are written to: one message, as many copies.

use super::{connect_all, seal, talk};
use crate::args::{Common, Talk};
use crate::cast::Size;
use crate::crew::{Crew, Failure};
use crate::report::Report;

pub(super) fn play(common: &Common, talking: &Talk, devices: usize) -> Result<Report, Failure> {
    let size = Size { pairs: talking.pairs, both_ways: false, devices, others: 0 };
    let mut crew = Crew::new(common, size)?;
    let all = connect_all(&mut crew)?;
    let here = crew.counts().here;
    if all {
        seal(&crew, talking.expected(talking.pairs));
        talk(&mut crew, "fanout", talking)?;
    }
    let mut report = Report::new("fanout", common, crew.dismiss()?);
    report.setting("pairs", talking.pairs).setting("devices", devices);
    report.talk(talking);
    report.everybody_came(all, size.connections() as u64, here);
    Ok(report)
}
