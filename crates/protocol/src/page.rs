//! The regions of `docs/protocol.md` that are generated, so that the page cannot say other codes than the code.

use crate::codes;

/// A region: the name between its markers, and what stands there.
pub fn regions() -> [(&'static str, String); 2] {
    [("close codes", codes::close_table()), ("error codes", codes::error_table())]
}

/// The page with its generated regions written anew.
///
/// # Errors
/// The name of a region whose markers are missing.
pub fn with_regions(page: &str) -> Result<String, &'static str> {
    let mut page = page.to_owned();
    for (name, text) in regions() {
        let (start, end) = (format!("<!-- generated: {name} -->\n"), "<!-- /generated -->");
        let from = page.find(&start).ok_or(name)? + start.len();
        let to = from + page[from..].find(end).ok_or(name)?;
        page.replace_range(from..to, &text);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_the_code_says() {
        let page = include_str!("../../../docs/protocol.md");
        let expected = with_regions(page).expect("the page has every region");
        assert!(page == expected, "docs/protocol.md is stale: run `make generate`");
    }

    #[test]
    fn a_page_without_its_markers_is_refused() {
        assert_eq!(with_regions("<!-- generated: close codes -->\n"), Err("close codes"));
        assert_eq!(with_regions(""), Err("close codes"));
    }
}
