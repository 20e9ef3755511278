//! What the configuration is read from: the process's variables and the `.env` file beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::problem::{Place, Problem};

/// Every variable of ours begins with it.
pub(crate) const PREFIX: &str = "SEALWIRE_";

/// Where the process stands.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The environment.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// The working directory.
    pub(crate) directory: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        Self { variables: std::env::vars_os().collect(), directory: PathBuf::new() }
    }
}

/// A variable and where it was set.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    /// Its text.
    pub(crate) value: String,
    /// The environment, or a line of `.env`.
    pub(crate) place: Place,
}

/// All `SEALWIRE_*` variables by name; those of the environment go before those of `.env`.
pub(crate) fn variables(surroundings: &Surroundings, problems: &mut Vec<Problem>) -> BTreeMap<String, Variable> {
    let mut found = dot_env(&surroundings.directory.join(".env"), problems);
    for (name, value) in &surroundings.variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let place = Place::Variable(name.to_owned());
        match value.to_str() {
            Some(value) => drop(found.insert(name.to_owned(), Variable { value: value.to_owned(), place })),
            None => problems.push(Problem::of(name, place, "expected UTF-8 text")),
        }
    }
    found
}

/// Reads `.env`. Variables of other programs in it are none of our business, not even how they are spelled.
fn dot_env(path: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, Variable> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => {
            problems.push(Problem::at(Place::File { path: path.to_owned(), line: None }, error.to_string()));
            return BTreeMap::new();
        }
    };
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        if !line.starts_with(PREFIX) {
            continue;
        }
        let place = Place::File { path: path.to_owned(), line: Some(index + 1) };
        let Some((name, value)) =
            line.split_once('=').and_then(|(name, value)| Some((name.trim_end(), unquote(value)?)))
        else {
            problems.push(Problem::at(place, r#"expected NAME=value, NAME="value" or NAME='value' on one line"#));
            continue;
        };
        if seen.insert(name.to_owned()) {
            found.insert(name.to_owned(), Variable { value, place });
        } else {
            problems.push(Problem::of(name, place, "set twice in this file; keep one"));
        }
    }
    found
}

/// The value behind `=`: quoted as it stands between the quotes, else up to a comment. No escapes, no substitution.
fn unquote(text: &str) -> Option<String> {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (value, behind) = rest.split_once(quote)?;
            let behind = behind.trim_start();
            return (behind.is_empty() || behind.starts_with('#')).then(|| value.to_owned());
        }
    }
    let end = if text.starts_with('#') { 0 } else { text.find(" #").unwrap_or(text.len()) };
    Some(text[..end].trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::unquote;

    #[test]
    fn values_of_a_dot_env_file_may_be_quoted_and_commented() {
        for (text, value) in [
            ("10", Some("10")),
            (" 10 # ten", Some("10")),
            ("a#b", Some("a#b")),
            ("\"a # b\" # c", Some("a # b")),
            ("'a'", Some("a")),
            ("", Some("")),
            ("# only a comment", Some("")),
            ("\"open", None),
            ("\"a\" b", None),
        ] {
            assert_eq!(unquote(text).as_deref(), value, "{text}");
        }
    }
}
