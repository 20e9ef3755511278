//! What is being typed, on lines of a certain width, and where the cursor stands.

use unicode_segmentation::UnicodeSegmentation;

use crate::chat::editor::Editor;
use crate::chat::text::{shown, width};

/// The text in lines, broken where they are full, and the line and column of the cursor.
pub(super) fn layout(editor: &Editor, ascii: bool, room: usize) -> (Vec<String>, (usize, usize)) {
    let room = room.max(2);
    let (mut lines, mut used, mut cursor) = (vec![String::new()], 0, (0, 0));
    let mut at = 0;
    for grapheme in editor.text().graphemes(true) {
        let is_break = grapheme == "\n";
        let text = if is_break { String::new() } else { shown(grapheme, ascii) };
        let wide = width(&text);
        if used + wide > room {
            lines.push(String::new());
            used = 0;
        }
        if at == editor.cursor() {
            cursor = (lines.len() - 1, used);
        }
        lines.last_mut().expect("it begins with one").push_str(&text);
        used += wide;
        if is_break {
            lines.push(String::new());
            used = 0;
        }
        at += grapheme.len();
    }
    if at == editor.cursor() {
        if used >= room {
            lines.push(String::new());
            used = 0;
        }
        cursor = (lines.len() - 1, used);
    }
    (lines, cursor)
}

/// As many of the lines as fit, with that of the cursor among them, and the cursor's place among these.
pub(super) fn visible(lines: Vec<String>, cursor: (usize, usize), height: usize) -> (Vec<String>, (usize, usize)) {
    let height = height.max(1);
    let first = (cursor.0 + 1).saturating_sub(height);
    (lines.into_iter().skip(first).take(height).collect(), (cursor.0 - first, cursor.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, lefts: usize) -> Editor {
        let mut editor = Editor::with(text);
        (0..lefts).for_each(|_| editor.left());
        editor
    }

    #[test]
    fn the_cursor_stands_where_the_next_character_goes() {
        for (text, lefts, lines, cursor) in [
            ("", 0, &[""][..], (0, 0)),
            ("abc", 1, &["abc"], (0, 2)),
            ("abcd", 0, &["abcd", ""], (1, 0)),
            ("abcde", 1, &["abcd", "e"], (1, 0)),
            ("a\nb", 0, &["a", "b"], (1, 1)),
            ("a\n", 0, &["a", ""], (1, 0)),
            ("a\nb", 2, &["a", "b"], (0, 1)),
            ("日本語", 1, &["日本", "語"], (1, 0)),
        ] {
            assert_eq!(layout(&at(text, lefts), false, 4), (lines.iter().map(|l| (*l).to_owned()).collect(), cursor));
        }
    }

    #[test]
    fn the_line_of_the_cursor_is_always_visible() {
        let lines: Vec<String> = (0..5).map(|n| n.to_string()).collect();
        assert_eq!(visible(lines.clone(), (4, 1), 2), (vec!["3".to_owned(), "4".to_owned()], (1, 1)));
        assert_eq!(visible(lines, (0, 1), 2), (vec!["0".to_owned(), "1".to_owned()], (0, 1)));
    }
}
