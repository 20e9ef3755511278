//! The report for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Check, PeriodReport, Report};

const MIB: f64 = 1024.0 * 1024.0;

/// The table. Writing to a string cannot fail.
pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    let settings: Vec<_> = report.settings.iter().map(|(name, value)| setting(name, value)).collect();
    let _ = writeln!(out, "sealwire-loadtest {}: {}", report.scenario, settings.join(", "));
    let _ = writeln!(
        out,
        "\n{:<12} {:>8} {:>10} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "",
        "seconds",
        "sent/s",
        "deliv./s",
        "status/s",
        "mean ms",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "stat. p99",
        "cpu us/m",
        "MiB"
    );
    report.periods.iter().for_each(|period| row(&mut out, period));
    out.push('\n');
    for (name, value) in &report.figures {
        let _ = writeln!(out, "{name}: {value:.1}");
    }
    check(&mut out, &report.check);
    out
}

fn setting(name: &str, value: &Value) -> String {
    value.as_str().map_or_else(|| format!("{name} {value}"), |text| format!("{name} {text}"))
}

fn row(out: &mut String, period: &PeriodReport) {
    let (delivery, status) = (&period.delivery, &period.status);
    let millis = |value: f64| if delivery.count == 0 { "-".to_owned() } else { format!("{value:.2}") };
    let server = period.server.as_ref();
    let cpu = server.and_then(|server| server.cpu_micros_per_message).map_or("-".to_owned(), |cpu| format!("{cpu:.1}"));
    let memory = server.map_or("-".to_owned(), |server| format!("{:.1}", server.memory_bytes_end / MIB));
    let _ = writeln!(
        out,
        "{:<12} {:>8.1} {:>10.0} {:>10.0} {:>10.0} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        period.name,
        period.seconds,
        period.sent_per_second,
        period.delivered_per_second,
        period.answered_per_second,
        millis(delivery.mean),
        millis(delivery.p50),
        millis(delivery.p99),
        millis(delivery.p999),
        millis(delivery.max),
        if status.count == 0 { "-".to_owned() } else { format!("{:.2}", status.p99) },
        cpu,
        memory,
    );
}

fn check(out: &mut String, check: &Check) {
    let _ = writeln!(
        out,
        "messages: {} sent, {} copies to come, {} came, {} lost, {} without a status, {} refused, {} again after a reconnect",
        check.sent, check.copies, check.delivered, check.lost, check.unanswered, check.refused, check.came_again
    );
    if check.after_refusal > 0 {
        let _ = writeln!(out, "after a refusal that leaves it open: {} copies and statuses came", check.after_refusal);
    }
    let _ = writeln!(
        out,
        "for real: {} sealed, {} copies opened, {} failed; sessions: {} dropped, {} kept out, {} attempts put off",
        check.sealed,
        check.sealed_and_opened,
        check.not_opened.len(),
        check.sessions_dropped,
        check.kept_out,
        check.put_off
    );
    for (fault, count) in &check.faults {
        let _ = writeln!(out, "FAULT: {count} messages {fault}");
    }
    for (trouble, count) in &check.troubles {
        let _ = writeln!(out, "trouble: {count} x {trouble}");
    }
    for line in check.undone.iter().chain(&check.examples).chain(check.not_opened.iter().take(3)) {
        let _ = writeln!(out, "  {line}");
    }
    let _ = writeln!(out, "{}", if check.good { "GOOD: nothing lost, repeated or out of order" } else { "FAILED" });
}
