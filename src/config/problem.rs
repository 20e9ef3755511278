//! What is wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nobody set it.
    Default,
    /// A line (from 1) of a file; a file that cannot be read has none.
    File {
        /// As it was named.
        path: PathBuf,
        /// Counted from 1.
        line: Option<usize>,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) place: Place,
    /// The key or variable, when the fault lies with one.
    pub(crate) key: Option<String>,
    /// What is wrong and what is expected.
    pub(crate) text: String,
}

impl Problem {
    /// A fault of `key` at `place`.
    pub(crate) fn of(key: impl Into<String>, place: Place, text: impl Into<String>) -> Self {
        Self { place, key: Some(key.into()), text: text.into() }
    }

    /// A fault of the place itself.
    pub(crate) fn at(place: Place, text: impl Into<String>) -> Self {
        Self { place, key: None, text: text.into() }
    }

    fn order(&self) -> (u8, Option<usize>, &str) {
        match &self.place {
            Place::File { line, .. } => (0, *line, ""),
            Place::Variable(name) => (1, None, name),
            Place::Flag(name) => (2, None, name),
            Place::Default => (3, None, self.key.as_deref().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.key) {
            (Place::Default, Some(key)) => write!(f, "{key} (not set): {}", self.text),
            (Place::Variable(name), Some(key)) if name == key => write!(f, "{name}: {}", self.text),
            (place, Some(key)) => write!(f, "{place}: {key}: {}", self.text),
            (place, None) => write!(f, "{place}: {}", self.text),
        }
    }
}

/// Everything that is wrong, in the order of reading.
#[derive(Debug)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Sorts by place.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.order().cmp(&b.order()));
        Self(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The nearest of `known` to what was written, when it is near enough to be meant.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= name.len().div_ceil(4));
    near.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_near_miss_gets_a_suggestion_and_a_far_one_none() {
        let known = ["listen", "origins", "behind_proxy"];
        assert_eq!(did_you_mean("lisetn", known), "; did you mean `listen`?");
        assert_eq!(did_you_mean("behindproxy", known), "; did you mean `behind_proxy`?");
        assert_eq!(did_you_mean("colour", known), "");
    }
}
