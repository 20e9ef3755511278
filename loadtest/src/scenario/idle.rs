//! Everybody logs in and says nothing: what a connection costs.

use std::time::Duration;

use super::connect_all;
use crate::args::Common;
use crate::cast::Size;
use crate::crew::{Crew, Failure};
use crate::report::Report;

pub(super) fn play(common: &Common, connections: usize, seconds: u64) -> Result<Report, Failure> {
    let size = Size { pairs: 0, both_ways: false, devices: 1, others: connections };
    let mut crew = Crew::new(common, size)?;
    crew.begin("nobody")?;
    let before = crew.end()?.end;
    let all = connect_all(&mut crew)?;
    crew.begin("idle")?;
    crew.pass("idle", Duration::from_secs(seconds))?;
    let after = crew.end()?.end;
    let here = after.counts.here;
    let mut report = Report::new("idle", common, crew.dismiss()?);
    report.setting("connections", connections).setting("seconds", seconds);
    if let (Some(before), Some(after)) = (before.server, after.server) {
        let each = (after.memory - before.memory) / here.max(1) as f64;
        report.figure("server memory per connection (bytes)", each);
    }
    report.everybody_came(all, connections as u64, here);
    Ok(report)
}
