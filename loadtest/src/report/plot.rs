//! Plots as SVG: lines over an axis, with a grid whose numbers are round.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;
/// What is less is drawn as this where a scale has no zero.
const LEAST: f64 = 1e-3;
/// Colours that people who see few of them can tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A line of a plot.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What lies between the grid's lines, upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// As much everywhere, from 0.
    Linear,
    /// Ten times as much each time: latencies of a tenth of a millisecond and of a second in one plot.
    Logarithmic,
}

/// The vertical axis.
struct Axis {
    scale: Scale,
    /// Where it has lines, from the lowest to the highest.
    grid: Vec<f64>,
}

impl Axis {
    /// Round numbers that enclose the values.
    fn around(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let highest = values.clone().fold(0.0, f64::max);
        let grid = match scale {
            Scale::Linear => {
                let step = round_step(highest / 4.0);
                (0..=(highest / step).ceil().max(1.0) as u32).map(|n| f64::from(n) * step).collect()
            }
            Scale::Logarithmic => {
                let lowest = values.filter(|value| *value > 0.0).fold(highest.max(LEAST), f64::min);
                let first = lowest.log10().floor() as i32;
                let last = (highest.max(LEAST).log10().ceil() as i32).max(first + 1);
                (first..=last).map(|power| 10_f64.powi(power)).collect()
            }
        };
        Self { scale, grid }
    }

    /// How far up a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (Some(low), Some(high)) = (self.grid.first(), self.grid.last()) else { return 0.0 };
        match self.scale {
            Scale::Linear => value / high,
            Scale::Logarithmic => (value.max(*low) / low).log10() / (high / low).log10(),
        }
    }
}

/// What stands at the horizontal axis: places and their names.
pub(super) type Ticks = Vec<(f64, String)>;

/// Draws lines. `title` says what is seen, `unit` what is counted upwards.
pub(super) fn lines(title: &str, unit: &str, scale: Scale, ticks: &Ticks, series: &[Series]) -> String {
    let mut out =
        format!("<figure><figcaption>{title}, {unit}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    draw_lines(&mut out, scale, ticks, series);
    out.push_str("</svg><p>");
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(out, "<span style=\"color:{colour}\">&#9632; {}</span> ", series.name);
    }
    out.push_str("</p></figure>\n");
    out
}

/// Writing to a string cannot fail.
fn draw_lines(out: &mut String, scale: Scale, ticks: &Ticks, series: &[Series]) {
    let points = || series.iter().flat_map(|series| &series.points);
    let fold = |of: fn(&(f64, f64)) -> f64, with: fn(f64, f64) -> f64, first: f64| points().map(of).fold(first, with);
    let (begin, end) = (fold(|p| p.0, f64::min, f64::INFINITY), fold(|p| p.0, f64::max, f64::NEG_INFINITY));
    let axis = Axis::around(scale, points().map(|point| point.1));
    let x = |value: f64| LEFT + (value - begin) / (end - begin).max(f64::MIN_POSITIVE) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM);
    for value in axis.grid.iter().copied() {
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
}

/// How far a share (0 to 1) lies to the right: each nine takes as much room as the one before.
pub(super) fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-6).log10()
}

/// What stands at an axis of such shares.
pub(super) fn nines_ticks() -> Ticks {
    const SHARES: [(f64, &str); 7] = [
        (0.0, "0 %"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ];
    SHARES.iter().map(|(share, name)| (nines(*share), (*name).to_owned())).collect()
}

/// A drawing that is a file of its own: it brings its style, and is as readable on a dark page.
fn file(title: &str, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\
         <title>{title}</title><style>text{{font:11px system-ui,sans-serif;fill:#555}}polyline{{fill:none;stroke-width:1.6}}.grid{{stroke:#ddd}}\
         .title{{font-weight:600}}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"8\" y=\"16\" class=\"title\">{title}</text>{body}</svg>\n"
    )
}

/// Latency, in milliseconds, by share of the messages: a curve for each name, as a file.
pub(crate) fn percentiles(title: &str, curves: Vec<(String, Vec<(f64, f64)>)>) -> String {
    const LEGEND: f64 = 16.0;
    let place = |(share, millis): (f64, f64)| (nines(share), millis);
    let series: Vec<_> = curves
        .into_iter()
        .map(|(name, points)| Series { name, points: points.into_iter().map(place).collect() })
        .collect();
    let mut body = String::from("<g transform=\"translate(0 20)\">");
    if !series.is_empty() {
        draw_lines(&mut body, Scale::Logarithmic, &nines_ticks(), &series);
    }
    for (n, (series, colour)) in series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let at = HEIGHT + LEGEND * n as f64;
        let _ = write!(body, "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>", at - 9.0);
        let _ = write!(body, "<text x=\"{:.1}\" y=\"{at:.1}\">{}</text>", LEFT + 16.0, series.name);
    }
    body.push_str("</g>");
    file(&format!("{title}, milliseconds"), HEIGHT + 24.0 + LEGEND * series.len() as f64, &body)
}

/// A bar for each name, as a file.
pub(crate) fn bars(title: &str, unit: &str, values: &[(String, f64)]) -> String {
    const NAMES: f64 = 170.0;
    const EACH: f64 = 24.0;
    let highest = values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut body = String::new();
    for (n, ((name, value), colour)) in values.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let (top, width) = (28.0 + EACH * n as f64, value.max(0.0) / highest * (WIDTH - NAMES - 70.0));
        let number = if *value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.1}") };
        let _ =
            write!(body, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>", NAMES - 8.0, top + 12.0);
        let _ =
            write!(body, "<rect x=\"{NAMES}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>");
        let _ = write!(body, "<text x=\"{:.1}\" y=\"{:.1}\">{number}</text>", NAMES + width + 6.0, top + 12.0);
    }
    file(&format!("{title}, {unit}"), 36.0 + EACH * values.len() as f64, &body)
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
    fn a_logarithmic_axis_has_lines_at_powers_of_ten_around_what_it_shows() {
        let axis = |values: &[f64]| Axis::around(Scale::Logarithmic, values.iter().copied());
        for (values, grid) in [
            (&[0.09, 0.0, 140.0][..], &[0.01, 0.1, 1.0, 10.0, 100.0, 1000.0][..]),
            (&[3.0], &[1.0, 10.0]),
            (&[1.0], &[1.0, 10.0]),
            (&[0.0], &[0.001, 0.01]),
            (&[], &[0.001, 0.01]),
        ] {
            let found = axis(values).grid;
            assert_eq!(found.len(), grid.len(), "{values:?}: {found:?}");
            assert!(found.iter().zip(grid).all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{values:?}: {found:?}");
        }
        let axis = axis(&[0.02, 50.0]);
        let places = [0.0, 0.01, 1.0, 100.0].map(|value| axis.place(value));
        assert!(places.iter().zip([0.0, 0.0, 0.5, 1.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{places:?}");
    }

    #[test]
    fn a_plot_holds_its_lines_within_its_frame() {
        let series = [Series { name: "a".to_owned(), points: vec![(0.0, 0.0), (5.0, 12_345.0)] }];
        let svg = lines("t", "u", Scale::Linear, &vec![(0.0, "0".to_owned()), (9.0, "outside".to_owned())], &series);
        assert!(
            svg.contains("points=\"64.0,226.0 628.0,") && svg.contains(">15k<") && !svg.contains("outside"),
            "{svg}"
        );
    }
}
