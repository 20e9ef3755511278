//! The line that is being typed; it may be several.

use unicode_segmentation::UnicodeSegmentation;

/// A text and a place in it. Pure: the keys come in as calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    text: String,
    /// A byte index, always between two graphemes.
    cursor: usize,
    /// What was cut last, to be put back.
    cut: String,
}

impl Editor {
    pub(crate) fn with(text: &str) -> Self {
        let mut editor = Self::default();
        editor.insert(text);
        editor
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Takes the text out and leaves nothing.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts a text in at the cursor. Line ends of other systems become `\n`; what no keyboard types, such as escape
    /// sequences that came along with a paste, is left out.
    pub(crate) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let clean: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        self.text.insert_str(self.cursor, &clean);
        self.cursor += clean.len();
    }

    /// The index of the grapheme before the cursor.
    fn before(&self) -> usize {
        self.text[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    /// The index behind the grapheme at the cursor.
    fn after(&self) -> usize {
        self.cursor + self.text[self.cursor..].graphemes(true).next().map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let words = self.text[..self.cursor].split_word_bound_indices();
        words.rev().find(|(_, word)| is_word(word)).map_or(0, |(at, _)| at)
    }

    fn word_after(&self) -> usize {
        let mut words = self.text[self.cursor..].split_word_bound_indices();
        let found = words.find(|(_, word)| is_word(word));
        found.map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
    }

    fn line_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    pub(crate) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(crate) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(crate) fn word_left(&mut self) {
        self.cursor = self.word_before();
    }

    pub(crate) fn word_right(&mut self) {
        self.cursor = self.word_after();
    }

    pub(crate) fn home(&mut self) {
        self.cursor = self.line_start();
    }

    pub(crate) fn end(&mut self) {
        self.cursor = self.line_end();
    }

    /// To the line above, as far to the right as before; says whether there is one.
    pub(crate) fn up(&mut self) -> bool {
        let start = self.line_start();
        if start == 0 {
            return false;
        }
        let column = self.text[start..self.cursor].graphemes(true).count();
        self.cursor = start - 1;
        let above = self.line_start();
        self.cursor = self.at_column(above, column);
        true
    }

    /// To the line below; says whether there is one.
    pub(crate) fn down(&mut self) -> bool {
        let (start, end) = (self.line_start(), self.line_end());
        if end == self.text.len() {
            return false;
        }
        let column = self.text[start..self.cursor].graphemes(true).count();
        self.cursor = self.at_column(end + 1, column);
        true
    }

    /// The index of a column in the line that starts at an index; its end if it is shorter.
    fn at_column(&self, start: usize, column: usize) -> usize {
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        start + line.graphemes(true).take(column).map(str::len).sum::<usize>()
    }

    pub(crate) fn backspace(&mut self) {
        let before = self.before();
        self.text.drain(before..self.cursor);
        self.cursor = before;
    }

    pub(crate) fn delete(&mut self) {
        self.text.drain(self.cursor..self.after());
    }

    pub(crate) fn cut_word(&mut self) {
        self.cut_between(self.word_before(), self.cursor);
    }

    pub(crate) fn cut_to_start(&mut self) {
        self.cut_between(self.line_start(), self.cursor);
    }

    /// Cuts to the end of the line; at its end, the line's end itself.
    pub(crate) fn cut_to_end(&mut self) {
        let end = self.line_end();
        let end = if end == self.cursor { self.after() } else { end };
        self.cut_between(self.cursor, end);
    }

    /// Puts back what was cut last.
    pub(crate) fn paste_cut(&mut self) {
        let cut = self.cut.clone();
        self.insert(&cut);
    }

    fn cut_between(&mut self, from: usize, to: usize) {
        if from < to {
            self.cut = self.text.drain(from..to).collect();
            self.cursor = from;
        }
    }
}

fn is_word(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An editor with the cursor where `|` stands.
    fn at(text: &str) -> Editor {
        let (before, after) = text.split_once('|').unwrap();
        let mut editor = Editor::with(after);
        editor.cursor = 0;
        editor.insert(before);
        editor
    }

    fn shown(editor: &Editor) -> String {
        let (before, after) = editor.text.split_at(editor.cursor);
        format!("{before}|{after}")
    }

    #[track_caller]
    fn check(from: &str, act: impl FnOnce(&mut Editor), to: &str) {
        let mut editor = at(from);
        act(&mut editor);
        assert_eq!(shown(&editor), to);
    }

    #[test]
    fn the_cursor_moves_by_what_a_person_takes_for_a_character() {
        check("a👩\u{200d}🚀|b", Editor::left, "a|👩\u{200d}🚀b");
        check("a|e\u{301}b", Editor::right, "ae\u{301}|b");
        check("|a", Editor::left, "|a");
        check("a|", Editor::right, "a|");
    }

    #[test]
    fn the_cursor_moves_by_words_and_lines() {
        check("one two|", Editor::word_left, "one |two");
        check(
            "one, two|",
            |e| {
                e.word_left();
                e.word_left();
            },
            "|one, two",
        );
        check("|one two", Editor::word_right, "one| two");
        check("one|", Editor::word_right, "one|");
        check("a\nbc|d\ne", Editor::home, "a\n|bcd\ne");
        check("a\nb|cd\ne", Editor::end, "a\nbcd|\ne");
    }

    #[test]
    fn up_and_down_keep_the_column_where_they_can() {
        check("abc\nd\nefg|", |e| assert!(e.up()), "abc\nd|\nefg");
        check("abc\nde|f", |e| assert!(e.up()), "ab|c\ndef");
        check("ab|c\nd\ne", |e| assert!(e.down()), "abc\nd|\ne");
        check("ab|c", |e| assert!(!e.up() && !e.down()), "ab|c");
    }

    #[test]
    fn text_is_taken_out_by_character_word_and_line() {
        check("ae\u{301}|b", Editor::backspace, "a|b");
        check("|a", Editor::backspace, "|a");
        check("a|e\u{301}b", Editor::delete, "a|b");
        check("a|", Editor::delete, "a|");
        check("one two |x", Editor::cut_word, "one |x");
        check("a\nbc|d", Editor::cut_to_start, "a\n|d");
        check("a|b\nc", Editor::cut_to_end, "a|\nc");
        check("a|\nc", Editor::cut_to_end, "a|c");
    }

    #[test]
    fn what_was_cut_comes_back() {
        check(
            "one two|",
            |e| {
                e.cut_word();
                e.home();
                e.paste_cut();
            },
            "two|one ",
        );
        check(
            "one|",
            |e| {
                e.cut_to_start();
                e.cut_to_start();
                e.paste_cut();
            },
            "one|",
        );
    }

    #[test]
    fn a_paste_brings_lines_and_no_orders_for_the_terminal() {
        check("a|b", |e| e.insert("1\r\n2\r3\n\u{1b}[2J\u{7}\u{9b}\tx"), "a1\n2\n3\n[2J\tx|b");
    }

    #[test]
    fn taking_the_text_leaves_nothing() {
        let mut editor = at("ab|c");
        assert_eq!(editor.take(), "abc");
        assert_eq!(shown(&editor), "|");
        assert!(editor.is_blank() && at(" \n|").is_blank());
    }
}
