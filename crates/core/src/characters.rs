//! Characters that are not what they seem: in a text of somebody else's they could move the cursor of a terminal, turn the order
//! of what stands beside them, or hide.

/// Whether a character must not be shown as it is. By Unicode these are
///
/// * control characters (Cc), which begin a terminal's escape sequences, and the separators of lines and paragraphs (Zl, Zp);
/// * those that turn the direction of text (`Bidi_Control`);
/// * those without a picture of their own (`Default_Ignorable_Code_Point`), tags among them, and the marks of annotations.
///
/// Variation selectors are not among them: they choose between pictures of the character before. Joiners neither: see
/// [`is_joiner`].
pub fn steers(c: char) -> bool {
    let hides = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180e}' | '\u{200b}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}');
    let turns = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    c.is_control() || hides || turns
}

/// Whether a character only joins or parts its neighbours (U+200C, U+200D). Persian, Hindi and the pictures of families need
/// them, and in a text they do no harm; in a name they would make two of what looks like one.
pub fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_turns_or_hides_steers() {
        let controls = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}');
        let bidi = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter().chain('\u{202a}'..='\u{202e}');
        let isolates = '\u{2066}'..='\u{2069}';
        let lines = ['\u{2028}', '\u{2029}'];
        let hidden = ['\u{ad}', '\u{200b}', '\u{2060}', '\u{feff}', '\u{3164}', '\u{fff9}', '\u{e0001}', '\u{e007f}'];
        for c in controls.chain(bidi).chain(isolates).chain(lines).chain(hidden) {
            assert!(steers(c), "{c:?}");
        }
    }

    #[test]
    fn what_people_write_does_not() {
        for c in "grüße, 中文 葛\u{e0100} עברית العربية می\u{200c}خواهم 👩\u{200d}🚀 ❤\u{fe0f} e\u{301} ~".chars()
        {
            assert!(!steers(c), "{c:?}");
        }
        assert!(is_joiner('\u{200c}') && is_joiner('\u{200d}') && !is_joiner('\u{200b}'));
    }
}
