//! URLs that may hold a password: never shown, never logged, wiped when they go.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::setting::{Setting, Value};

/// A URL that may hold a password, or none. Comes from the configuration or from a file of its own.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretUrl(Option<Zeroizing<String>>);

impl SecretUrl {
    /// The URL, for the driver that dials it and for nobody else.
    pub(crate) fn reveal(&self) -> Option<&str> {
        self.0.as_ref().map(|url| url.as_str())
    }

    /// Whether there is one.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        *self = match text {
            "" => Self(None),
            url if url.contains("://") => Self(Some(Zeroizing::new(url.to_owned()))),
            _ => return Err(self.expects()),
        };
        Ok(())
    }

    /// Takes what stands in `file`, which is looked for from `directory` on. Its line end is no part of it.
    ///
    /// # Errors
    ///
    /// What is wrong, and what was expected; nothing of what the file holds.
    pub(crate) fn read_file(&mut self, directory: &Path, file: &PathBuf) -> Result<(), String> {
        if self.is_set() {
            return Err("expected without the key that holds the URL itself; set one of them".to_owned());
        }
        let text = std::fs::read_to_string(directory.join(file));
        let text = Zeroizing::new(text.map_err(|error| format!("the file cannot be read: {error}"))?);
        self.take(text.trim()).map_err(|_| "expected a file that holds a URL and nothing else".to_owned())?;
        if self.is_set() { Ok(()) } else { Err("the file is empty; expected a URL".to_owned()) }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "SecretUrl(hidden)" } else { "SecretUrl(none)" })
    }
}

impl Setting for SecretUrl {
    fn set(&mut self, value: &Value<'_>) -> Result<(), String> {
        let text = match value {
            Value::Toml(value) => value.as_str(),
            Value::Text(text) => Some(*text),
        };
        match text {
            Some(text) => self.take(text),
            None => Err(self.expects()),
        }
    }

    fn expects(&self) -> String {
        r#"a URL; or "" for none"#.to_owned()
    }

    fn show(&self) -> String {
        // No URL, so that nobody takes the printout for a file to start from.
        if self.is_set() { "\"(hidden)\"".to_owned() } else { "\"\"".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "redis://app:hunter2@host/";

    #[test]
    fn a_url_is_taken_and_shown_nowhere() {
        let mut url = SecretUrl::default();
        url.set(&Value::Text(URL)).expect("a URL");
        assert_eq!(url.reveal(), Some(URL));
        assert_eq!((format!("{url:?}"), url.show()), ("SecretUrl(hidden)".to_owned(), "\"(hidden)\"".to_owned()));
        let refusal = url.set(&Value::Text("hunter2")).expect_err("no URL");
        assert!(!refusal.contains("hunter2"));
        url.set(&Value::Text("")).expect("none");
        assert!(!url.is_set());
    }

    #[test]
    fn a_file_holds_a_url_and_nothing_else() {
        let home = tempfile::tempdir().expect("a directory");
        let read = |text: &str| {
            std::fs::write(home.path().join("url"), text).expect("written");
            let mut url = SecretUrl::default();
            url.read_file(home.path(), &"url".into()).map(|()| url)
        };
        assert_eq!(read(&format!("{URL}\n")).expect("a URL").reveal(), Some(URL));
        assert!(read(" \n").expect_err("empty").contains("empty"));
        assert!(!read("hunter2").expect_err("no URL").contains("hunter2"));
        let mut url = SecretUrl::default();
        assert!(url.read_file(home.path(), &"other".into()).expect_err("no file").contains("cannot be read"));
        url.take(URL).expect("a URL");
        assert!(url.read_file(home.path(), &"url".into()).expect_err("both").contains("one of them"));
    }
}
