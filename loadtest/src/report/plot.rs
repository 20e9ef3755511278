//! Plots as SVG: lines over an axis, with a grid whose numbers are round.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;
/// Colours that people who see few of them can tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A line of a plot.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What stands at the horizontal axis: places and their names.
pub(super) type Ticks = Vec<(f64, String)>;

/// Draws lines. `title` says what is seen, `unit` what is counted upwards.
pub(super) fn lines(title: &str, unit: &str, ticks: &Ticks, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let fold = |of: fn(&(f64, f64)) -> f64, with: fn(f64, f64) -> f64, first: f64| points().map(of).fold(first, with);
    let (begin, end) = (fold(|p| p.0, f64::min, f64::INFINITY), fold(|p| p.0, f64::max, f64::NEG_INFINITY));
    let step = round_step(fold(|p| p.1, f64::max, 0.0) / 4.0);
    let highest = (fold(|p| p.1, f64::max, 0.0) / step).ceil().max(1.0) * step;
    let x = |value: f64| LEFT + (value - begin) / (end - begin).max(f64::MIN_POSITIVE) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM);
    let mut out =
        format!("<figure><figcaption>{title}, {unit}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    // Writing to a string cannot fail.
    for n in 0.. {
        let value = f64::from(n) * step;
        if value > highest * 1.001 {
            break;
        }
        let at = y(value);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"grid\"/>",
            WIDTH - RIGHT
        );
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            short(value)
        );
    }
    for (value, name) in ticks.iter().filter(|(value, _)| (begin..=end).contains(value)) {
        let (at, foot) = (x(*value), HEIGHT - BOTTOM + 16.0);
        let _ = write!(out, "<text x=\"{at:.1}\" y=\"{foot:.1}\" text-anchor=\"middle\">{name}</text>");
    }
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<_> = series.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let _ = write!(out, "<polyline points=\"{}\" stroke=\"{colour}\"/>", path.join(" "));
    }
    out.push_str("</svg><p>");
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(out, "<span style=\"color:{colour}\">&#9632; {}</span> ", series.name);
    }
    out.push_str("</p></figure>\n");
    out
}

/// 1, 2 or 5 times a power of ten, not below the value.
fn round_step(value: f64) -> f64 {
    let value = value.max(1e-6);
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        1e6.. => format!("{}M", value / 1e6),
        1e4.. => format!("{}k", value / 1e3),
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_no_smaller_than_asked() {
        for (value, step) in [(0.3, 0.5), (1.0, 1.0), (1.1, 2.0), (7.0, 10.0), (2300.0, 5000.0)] {
            assert!((round_step(value) - step).abs() < 1e-9, "{value}: {}", round_step(value));
        }
    }

    #[test]
    fn a_plot_holds_its_lines_within_its_frame() {
        let series = [Series { name: "a".to_owned(), points: vec![(0.0, 0.0), (5.0, 12_345.0)] }];
        let svg = lines("t", "u", &vec![(0.0, "0".to_owned()), (9.0, "outside".to_owned())], &series);
        assert!(
            svg.contains("points=\"64.0,226.0 628.0,") && svg.contains(">15k<") && !svg.contains("outside"),
            "{svg}"
        );
    }
}
