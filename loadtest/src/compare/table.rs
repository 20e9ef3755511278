//! A comparison for people, as text and as the rows of a page.

use std::fmt::Write as _;

use super::figures::Measured;

/// Names of the columns of [`cells`].
pub(super) const COLUMNS: [&str; 9] = [
    "",
    "cpu us/message",
    "with its stores",
    "mean ms",
    "p50 ms",
    "p99 ms",
    "at most msg/s",
    "at most frames/s",
    "KiB/connection",
];

/// A server's row.
pub(super) fn cells(measured: &Measured) -> [String; 9] {
    let medians = &measured.medians;
    let show = |value: Option<f64>, places: usize| value.map_or("-".to_owned(), |value| format!("{value:.places$}"));
    let name = if measured.good { measured.server.to_owned() } else { format!("{} (FAILED)", measured.server) };
    [
        name,
        show(medians.cpu, 1),
        show(medians.cpu_with_companions, 1),
        show(medians.mean, 2),
        show(medians.p50, 2),
        show(medians.p99, 2),
        show(medians.saturation, 0),
        show(medians.saturation_frames, 0),
        show(medians.memory.map(|bytes| bytes / 1024.0), 1),
    ]
}

/// The table. Writing to a string cannot fail.
pub(super) fn write(all: &[Measured]) -> String {
    let mut out = String::new();
    let row = |out: &mut String, cells: &[String]| {
        let _ = write!(out, "{:<32}", cells[0]);
        for cell in &cells[1..] {
            let _ = write!(out, " {cell:>16}");
        }
        out.push('\n');
    };
    row(&mut out, &COLUMNS.map(str::to_owned));
    all.iter().for_each(|measured| row(&mut out, &cells(measured)));
    out.push('\n');
    for measured in all {
        let promise = &measured.promise;
        let _ = writeln!(
            out,
            "{}: acknowledged to the sender: {}; on disk before that: {}; delivery told to the sender: {}; end-to-end encrypted: {}; frames for a \
             message: {}{} ({})",
            measured.server,
            promise.acknowledged,
            promise.on_disk,
            promise.receipt,
            promise.encrypted,
            promise.frames,
            promise.besides,
            measured.version
        );
    }
    out
}
