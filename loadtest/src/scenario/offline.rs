//! Mail for people who are away: it is stored, and fetched by all of them at once.

use super::{connect_all, wait_for_sessions, wait_for_the_rest};
use crate::args::Common;
use crate::cast::{Part, Size};
use crate::crew::{Crew, Failure};
use crate::report::Report;
use crate::stop;
use crate::worker::{Counts, Order, Pace};

/// How much is written.
pub(super) struct Mail {
    pub(super) pairs: usize,
    pub(super) window: u32,
    pub(super) each: u32,
}

pub(super) fn play(common: &Common, mail: &Mail) -> Result<Report, Failure> {
    let Mail { pairs, window, each } = *mail;
    let mut crew = Crew::new(common, Size { pairs, both_ways: false, devices: 1, others: 0 })?;
    let mut undone = Vec::new();
    let all = connect_all(&mut crew)?;
    let here = crew.counts().here;
    if all {
        store_and_drain(&mut crew, mail, &mut undone)?;
    }
    let mut report = Report::new("offline", common, crew.dismiss()?);
    report.setting("pairs", pairs).setting("window", window).setting("each", each);
    report.everybody_came(all, 2 * pairs as u64, here);
    undone.into_iter().for_each(|what| report.undone(what));
    Ok(report)
}

fn store_and_drain(crew: &mut Crew, mail: &Mail, undone: &mut Vec<String>) -> Result<(), Failure> {
    let readers = |part: &Part| part.readers.clone();
    let away = crew.order_each(readers, Order::Goodbye);
    crew.until("saying goodbye", |counts| counts.here <= away)?;
    crew.seal(mail.each);
    let (pairs, each) = (away, u64::from(mail.each));
    crew.begin("store")?;
    let pace = Pace::Closed { window: mail.window, each: mail.each };
    crew.order(|part| Order::Talk { lines: part.lines(), pace, count_from: 0 });
    let all_stored = |counts: Counts| counts.sent >= pairs * each && counts.unanswered == 0;
    crew.until("store", |counts| all_stored(counts) || stop::is_wanted())?;
    let stored = crew.end()?;
    crew.order(|_| Order::Hush);
    let queued = stored.end.counts.queued;
    if queued != pairs * each {
        undone.push(format!("{queued} of {} messages were answered by `queued`", pairs * each));
    }
    crew.begin("drain")?;
    let entered = crew.counts();
    crew.order_each(readers, Order::Dial);
    if !wait_for_sessions(crew, entered.entered + pairs, entered.here + pairs)? {
        undone.push("not everybody could come back to fetch the mail".to_owned());
    }
    wait_for_the_rest(crew, "drain")?;
    crew.end()?;
    Ok(())
}
