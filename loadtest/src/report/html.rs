//! The report as a page that needs nothing else: tables and plots.

use std::fmt::Write as _;

use super::plot::{Scale, Series, Ticks, lines, nines, nines_ticks};
use super::{PeriodReport, Report, SecondReport, table};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1340px;margin:2em auto;padding:0 1em;color:#222}\
    pre{background:#f6f6f6;padding:1em;overflow:auto;font-size:12px}figure{display:inline-block;width:640px;max-width:100%;margin:0 8px 16px 0}\
    figcaption{font-weight:600}figure p{margin:0;font-size:13px}svg{width:100%}text{font-size:11px;fill:#555}\
    polyline{fill:none;stroke-width:1.6}.grid{stroke:#ddd}.good{color:#067647}.failed{color:#b42318}";

/// The page. Writing to a string cannot fail.
pub(super) fn write(report: &Report) -> String {
    let (class, verdict) = if report.check.good { ("good", "good") } else { ("failed", "failed") };
    let title = format!("sealwire-loadtest {}", report.scenario);
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\n\
         <h1>{title}: <span class=\"{class}\">{verdict}</span></h1>\n"
    );
    let _ = writeln!(out, "<pre>{}</pre>", escaped(&table::write(report)));
    out.push_str(&latencies(&report.periods));
    out.push_str(&over_time(&report.seconds));
    out.push_str(&cpu_per_message(&report.periods));
    out.push_str("</html>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn latencies(periods: &[PeriodReport]) -> String {
    let ticks = nines_ticks();
    let curve = |name: String, curve: &[(f64, f64)]| {
        let points = curve.iter().map(|(share, millis)| (nines(*share), *millis)).collect::<Vec<_>>();
        (!points.is_empty()).then_some(Series { name, points })
    };
    let deliveries: Vec<_> = periods.iter().filter_map(|p| curve(p.name.to_owned(), &p.delivery.curve)).collect();
    let statuses: Vec<_> = periods.iter().filter_map(|p| curve(p.name.to_owned(), &p.status.curve)).collect();
    let plot = |title: &str, series: &[Series]| {
        let unit = "ms, by share of the messages";
        if series.is_empty() { String::new() } else { lines(title, unit, Scale::Logarithmic, &ticks, series) }
    };
    plot("From due to delivered", &deliveries) + &plot("From due to the first status", &statuses)
}

fn over_time(seconds: &[SecondReport]) -> String {
    let end = seconds.last().map_or(0, |second| second.second);
    let ticks: Ticks = (0..=end).step_by((end / 8).max(1) as usize).map(|at| (at as f64, format!("{at} s"))).collect();
    let series = |name: &str, of: &dyn Fn(&SecondReport) -> Option<f64>| Series {
        name: name.to_owned(),
        points: seconds.iter().filter_map(|second| Some((second.second as f64, of(second)?))).collect(),
    };
    let draw = |title: &str, unit: &str, scale: Scale, all: Vec<Series>| {
        let all: Vec<_> = all.into_iter().filter(|series| series.points.len() > 1).collect();
        if all.is_empty() { String::new() } else { lines(title, unit, scale, &ticks, &all) }
    };
    let plot = |title: &str, unit: &str, all: Vec<Series>| draw(title, unit, Scale::Linear, all);
    let talked = |second: &SecondReport| second.delivered > 0;
    let said_nothing = seconds.iter().all(|second| second.sent + second.delivered == 0);
    let throughput = if said_nothing {
        Vec::new()
    } else {
        vec![
            series("sent", &|s| Some(s.sent as f64)),
            series("delivered", &|s| Some(s.delivered as f64)),
            series("answered", &|s| Some(s.answered as f64)),
        ]
    };
    let latency = vec![
        series("p50", &|s| talked(s).then_some(s.delivery_p50)),
        series("p99", &|s| talked(s).then_some(s.delivery_p99)),
    ];
    plot("Throughput", "messages a second", throughput)
        + &draw("Latency of deliveries", "ms", Scale::Logarithmic, latency)
        + &plot("Connections", "open sessions", vec![series("connections", &|s| Some(s.connections as f64))])
        + &plot("Server: processor", "% of one core", vec![series("server", &|s| s.server_cpu_percent)])
        + &plot(
            "Server: resident memory",
            "MiB",
            vec![series("server", &|s| s.server_memory_bytes.map(|b| b / f64::from(1 << 20)))],
        )
}

fn cpu_per_message(periods: &[PeriodReport]) -> String {
    let each = periods.iter().filter_map(|period| {
        let cpu = period.server.as_ref()?.cpu_micros_per_message?;
        Some(format!("<tr><td>{}</td><td>{cpu:.1}</td><td>{:.0}</td></tr>", period.name, period.delivered_per_second))
    });
    let rows: String = each.collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<table><tr><th>part</th><th>server CPU per message, microseconds</th><th>messages a second</th></tr>{rows}</table>\n"
    )
}
