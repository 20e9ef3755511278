//! Texts of others on a screen of a certain width: harmless, wrapped, clipped.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::terminal::harmless;

/// How a tab is shown: a terminal would jump by it.
const TAB: &str = "    ";

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// The lines of a text, each with whatever steers a terminal made visible, and fit for a terminal that knows ASCII only if
/// it is one.
pub(crate) fn lines(text: &str, ascii: bool) -> Vec<String> {
    text.split('\n').map(|line| shown(line, ascii)).collect()
}

/// One line, or a part of it, as [`lines`] shows it.
pub(crate) fn shown(line: &str, ascii: bool) -> String {
    let line = harmless(line).replace('\t', TAB);
    match ascii {
        true => line.graphemes(true).map(|g| if g.is_ascii() { g } else { "?" }).collect(),
        false => line,
    }
}

/// Breaks a line at spaces, and within a word only where it is longer than a line. The first line has `first` columns, the
/// others `rest`.
pub(crate) fn wrap(line: &str, first: usize, rest: usize) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut used = 0;
    for word in words(line) {
        let room = if out.len() == 1 { first } else { rest }.max(1);
        let wide = width(word);
        if used + wide <= room {
            out.last_mut().expect("it begins with one").push_str(word);
            used += wide;
        } else if word.trim().is_empty() {
            // The space at which the line is broken is not seen.
            out.push(String::new());
            used = 0;
        } else if wide <= rest.max(1) && used > 0 {
            let full = out.last_mut().expect("it begins with one");
            full.truncate(full.trim_end().len());
            out.push(word.to_owned());
            used = wide;
        } else {
            used = break_word(&mut out, word, used, (first.max(1), rest.max(1)));
        }
    }
    out
}

/// Words and the spaces between them, each whole.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let is_space = rest.chars().next()?.is_whitespace();
        let end = rest.find(|c: char| c.is_whitespace() != is_space).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        Some(word)
    })
}

/// Fills lines with a word that is longer than one; gives how much of the last is used.
fn break_word(out: &mut Vec<String>, word: &str, mut used: usize, (first, rest): (usize, usize)) -> usize {
    for grapheme in word.graphemes(true) {
        let wide = grapheme.width();
        let room = if out.len() == 1 { first } else { rest };
        if used + wide > room && used > 0 {
            out.push(String::new());
            used = 0;
        }
        out.last_mut().expect("it begins with one").push_str(grapheme);
        used += wide;
    }
    used
}

/// The beginning of a text, as far as it fits, with a sign that something is missing.
pub(crate) fn clip(text: &str, room: usize, more: &str) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let room = room.saturating_sub(width(more));
    let mut used = 0;
    let fits = |grapheme: &&str| {
        used += grapheme.width();
        used <= room
    };
    let mut out: String = text.graphemes(true).take_while(fits).collect();
    out.push_str(more);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("numbers (F2)", 9, 9), ["numbers", "(F2)"]);
        assert_eq!(wrap("one two three", 8, 6), ["one two", "three"]);
        assert_eq!(wrap("one two three", 7, 7), ["one two", "three"]);
        assert_eq!(wrap("", 5, 5), [""]);
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken() {
        assert_eq!(wrap("a abcdefgh", 4, 4), ["a ab", "cdef", "gh"]);
        assert_eq!(wrap("日本語", 4, 4), ["日本", "語"]);
    }

    #[test]
    fn clipping_says_that_there_is_more() {
        assert_eq!(clip("abcdef", 6, "…"), "abcdef");
        assert_eq!(clip("abcdefg", 6, "…"), "abcde…");
        assert_eq!(clip("日本語", 4, "…"), "日…");
    }

    #[test]
    fn nothing_steers_the_terminal_and_ascii_stays_ascii() {
        assert_eq!(lines("a\tb\n\u{1b}[2J\u{202e}", false), ["a    b", "\\u{1b}[2J\\u{202e}"]);
        assert_eq!(lines("grüße 👩\u{200d}🚀", true), ["gr??e ?"]);
    }

    proptest! {
        #[test]
        fn wrapped_lines_fit_and_lose_nothing_but_spaces(text in "[a-z日 ,.é]{0,60}", first in 2_usize..20, rest in 2_usize..20) {
            let lines = wrap(&text, first, rest);
            prop_assert!(width(&lines[0]) <= first.max(2));
            prop_assert!(lines[1..].iter().all(|line| width(line) <= rest));
            let without = |text: &str| text.replace(' ', "");
            prop_assert_eq!(without(&lines.concat()), without(&text));
        }
    }
}
