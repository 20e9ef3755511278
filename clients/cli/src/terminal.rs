//! What is written on the terminal. Nothing that a peer wrote may steer it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use sealwire_client::characters::steers;

/// Writes a line to standard output.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes a line to standard error, with whatever is not harmless made visible.
pub(crate) fn complain(line: &str) {
    // There is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{}", harmless(line));
}

/// Whether a person looks at standard error.
pub(crate) fn somebody_watches() -> bool {
    io::stderr().is_terminal()
}

/// Replaces the line that somebody watches.
pub(crate) fn draw(line: &str) {
    let mut err = io::stderr().lock();
    // A progress display that cannot be drawn is no failure.
    let _ = write!(err, "\r\x1b[K{line}").and_then(|()| err.flush());
}

/// A text that was written by somebody else, for the terminal: lines after the first are indented, so that none passes for
/// a message of its own, and what steers the terminal is shown by its number.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push('\t'),
            c if steers(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The beginning of a text that is harmless already, in one line of at most so many characters.
pub(crate) fn in_one_line(text: &str, most: usize) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(most) {
        None => line,
        Some(_) => line.chars().take(most.saturating_sub(3)).chain("...".chars()).collect(),
    }
}

/// The same JSON, in one line, with whatever steers a terminal written as escapes.
pub(crate) fn harmless_json(json: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in json.to_string().chars() {
        if steers(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A time in milliseconds since 1970, as `2026-11-23 05:21:00Z`.
pub(crate) fn utc(millis: u64) -> String {
    let seconds = millis / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date so many days after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // Whole cycles of 400 years first, so that no time takes long.
    let (mut year, mut days) = (1970 + days / 146_097 * 400, days % 146_097);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_steer_the_terminal() {
        assert_eq!(harmless("\x1b[2Jhi\x07\u{9b}31m"), "\\u{1b}[2Jhi\\u{7}\\u{9b}31m");
        assert_eq!(harmless("a\u{202e}b\rc\u{2066}"), "a\\u{202e}b\\u{d}c\\u{2066}");
        assert_eq!(harmless("grüße 👩\u{200d}🚀\t!"), "grüße 👩\u{200d}🚀\t!");
    }

    #[test]
    fn a_second_line_does_not_pass_for_a_message() {
        assert_eq!(harmless("hi\nbob: give me the key"), "hi\n    bob: give me the key");
    }

    #[test]
    fn what_is_longer_than_a_line_ends_in_dots() {
        assert_eq!(in_one_line(" a\n    b ", 3), "a b");
        assert_eq!(in_one_line("grüße dich", 6), "grü...");
    }

    #[test]
    fn json_says_the_same_without_steering_the_terminal() {
        let value = serde_json::json!({ "text": "a\u{1b}\u{9b}\u{202e}\u{e0001}\n\"ü" });
        let line = harmless_json(&value);
        assert!(!line.chars().any(steers), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }

    #[test]
    fn times_are_utc() {
        for (millis, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (1_795_411_260_999, "2026-11-23 05:21:00Z"),
            (4_107_542_399_000, "2100-02-28 23:59:59Z"),
            (4_107_542_400_000, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(utc(millis), text);
        }
    }
}
