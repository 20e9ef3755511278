//! Putting the sources together. Everything that is wrong is reported at once.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    Config, SECTIONS,
    key::Key,
    keys,
    problem::{Place, Problem, Problems, did_you_mean},
    setting::Value,
    sources::{self, Surroundings, Variable},
};

/// The file that is read when none is named.
const USUAL_FILE: &str = "sealwire.toml";

/// Short names of variables, and the keys that they set.
const SHORT_VARIABLES: [(&str, &str); 2] =
    [("SEALWIRE_LISTEN", "server.listen"), ("SEALWIRE_DATA_DIR", "store.data_dir")];

/// The variable that names the file.
const FILE_VARIABLE: &str = "SEALWIRE_CONFIG";
/// Variables of `sealwire-chat`: whoever talks and serves from one shell has them set, and they mean nothing here.
const CLIENT_VARIABLES: [&str; 4] = ["SEALWIRE_LOG", "SEALWIRE_PASSPHRASE_FILE", "SEALWIRE_PROFILE", "SEALWIRE_SERVER"];

/// What the command line says about the configuration.
#[derive(Debug, Default, Clone)]
pub(crate) struct Overrides {
    /// `--config`
    pub(crate) file: Option<PathBuf>,
    /// `--listen`
    pub(crate) listen: Option<String>,
    /// `--data-dir`
    pub(crate) data_dir: Option<String>,
}

/// A configuration that is in force.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) config: Config,
    places: HashMap<String, Place>,
}

impl Loaded {
    /// Where the value of `key` came from.
    pub(crate) fn place(&self, key: &Key) -> &Place {
        self.places.get(&key.path()).unwrap_or(&Place::Default)
    }
}

/// Reads all sources.
///
/// # Errors
///
/// Everything that is wrong: syntax, unknown and repeated keys, bad values, values that do not go together.
pub(crate) fn load(overrides: &Overrides, surroundings: &Surroundings) -> Result<Loaded, Problems> {
    let mut loader = Loader::default();
    let mut variables = sources::variables(surroundings, &mut loader.problems);
    let named = variables.remove(FILE_VARIABLE);
    loader.file(overrides, named, &surroundings.directory);
    loader.variables(variables);
    loader.flag("server.listen", "--listen", overrides.listen.as_deref());
    loader.flag("store.data_dir", "--data-dir", overrides.data_dir.as_deref());
    loader.secrets(&surroundings.directory);
    loader.finish()
}

#[derive(Default)]
struct Loader {
    config: Config,
    places: HashMap<String, Place>,
    problems: Vec<Problem>,
}

impl Loader {
    fn set(&mut self, key: &Key, named: &str, value: &Value<'_>, place: Place) {
        match (key.field)(&mut self.config).set(value) {
            Ok(()) => drop(self.places.insert(key.path(), place)),
            Err(expected) => self.problems.push(Problem::of(named, place, format!("expected {expected}"))),
        }
    }

    fn file(&mut self, overrides: &Overrides, named: Option<Variable>, directory: &Path) {
        let (path, asked_for_by) = match (&overrides.file, named) {
            (Some(path), _) => (path.clone(), Some(Place::Flag("--config"))),
            (None, Some(variable)) => (PathBuf::from(variable.value), Some(variable.place)),
            (None, None) => (PathBuf::from(USUAL_FILE), None),
        };
        match std::fs::read_to_string(directory.join(&path)) {
            Ok(text) => self.document(&text, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && asked_for_by.is_none() => {}
            Err(error) => {
                let by = asked_for_by.map_or_else(String::new, |place| format!(" (named by {place})"));
                let place = Place::File { path, line: None };
                self.problems.push(Problem::at(place, format!("cannot be read: {error}{by}")));
            }
        }
    }

    fn document(&mut self, text: &str, path: &Path) {
        let lines = Lines { text, path };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // What the parser makes of the rest is guesswork; faults of meaning would mislead.
            let problems = errors.iter().map(|error| lines.syntax(error));
            self.problems.extend(problems);
            self.problems.dedup_by(|a, b| a.place == b.place);
            return;
        }
        for (name, value) in table.get_ref() {
            let place = lines.place(name.span().start);
            let section: &str = name.get_ref();
            match value.get_ref() {
                _ if !SECTIONS.iter().any(|(known, _)| *known == section) => {
                    self.problems.push(Problem::of(section, place, unknown_section(section)));
                }
                DeValue::Table(table) => self.section(section, table, &lines),
                _ => self.problems.push(Problem::of(section, place, format!("expected a table: [{section}]"))),
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>, lines: &Lines<'_>) {
        for (name, value) in table {
            let place = lines.place(name.span().start);
            let path = format!("{section}.{}", name.get_ref());
            match keys().find(|key| key.path() == path) {
                Some(key) => self.set(key, &path, &Value::Toml(value.get_ref()), place),
                None => self.problems.push(Problem::of(&path, place, unknown_key(section, name.get_ref()))),
            }
        }
    }

    fn variables(&mut self, mut variables: BTreeMap<String, Variable>) {
        variables.retain(|name, _| !CLIENT_VARIABLES.contains(&name.as_str()));
        for (short, path) in SHORT_VARIABLES {
            let Some(variable) = variables.remove(short) else { continue };
            let key = key(path);
            if variables.contains_key(&key.variable()) {
                let text = format!("it means the same as {}; set one of them", key.variable());
                self.problems.push(Problem::of(short, variable.place, text));
            } else {
                self.set(key, short, &Value::Text(&variable.value), variable.place);
            }
        }
        for (name, Variable { value, place }) in variables {
            match keys().find(|key| key.variable() == name) {
                Some(key) => self.set(key, &name, &Value::Text(&value), place),
                None => self.problems.push(Problem::of(&name, place, unknown_variable(&name))),
            }
        }
    }

    fn flag(&mut self, path: &str, flag: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(key(path), path, &Value::Text(value), Place::Flag(flag));
        }
    }

    /// Reads the URLs that stand in files of their own.
    fn secrets(&mut self, directory: &Path) {
        let Config { store, bus, .. } = &mut self.config;
        let files =
            [("store.url_file", &mut store.url, &store.url_file), ("bus.url_file", &mut bus.url, &bus.url_file)];
        for (key, url, file) in files {
            if let Some(Err(text)) = file.as_ref().map(|file| url.read_file(directory, file)) {
                let place = self.places.get(key).cloned().unwrap_or(Place::Default);
                self.problems.push(Problem::of(key, place, text));
            }
        }
    }

    fn finish(mut self) -> Result<Loaded, Problems> {
        for fault in self.config.validate() {
            // A key that was refused already holds its default, which is not to blame.
            let place = self.places.get(&fault.key).cloned().unwrap_or(Place::Default);
            if place != Place::Default || self.problems.is_empty() {
                self.problems.push(Problem::of(fault.key, place, fault.text));
            }
        }
        if self.problems.is_empty() {
            Ok(Loaded { config: self.config, places: self.places })
        } else {
            Err(Problems::new(self.problems))
        }
    }
}

/// The key of a path that the code itself names.
fn key(path: &str) -> &'static Key {
    keys().find(|key| key.path() == path).expect("the paths named in this file are keys")
}

fn unknown_section(written: &str) -> String {
    let known = SECTIONS.map(|(name, _)| name);
    let sections = known.map(|name| format!("[{name}]")).join(", ");
    match keys().find(|key| key.name == written) {
        Some(key) => format!("a key outside of any section; it belongs below [{}]", key.section),
        None => format!("unknown; the sections are {sections}{}", did_you_mean(written, known)),
    }
}

fn unknown_key(section: &str, written: &str) -> String {
    let near = did_you_mean(written, keys().filter(|key| key.section == section).map(|key| key.name));
    let elsewhere = keys().find(|key| key.name == written);
    match elsewhere {
        Some(key) if near.is_empty() => format!("unknown key; it belongs below [{}]", key.section),
        _ => format!("unknown key{near}"),
    }
}

fn unknown_variable(written: &str) -> String {
    let known: Vec<String> = keys().map(Key::variable).collect();
    let short = SHORT_VARIABLES.iter().map(|(name, _)| *name).chain([FILE_VARIABLE]);
    format!("unknown variable{}", did_you_mean(written, known.iter().map(String::as_str).chain(short)))
}

/// Places in a file.
struct Lines<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Place::File { path: self.path.to_owned(), line: Some(line) }
    }

    fn syntax(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or_default();
        let bare =
            |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let text = error.message().to_owned();
        match self.text.get(span.clone()).filter(bare) {
            Some(word) => Problem::of(word, self.place(span.start), text),
            None => Problem::at(self.place(span.start), text),
        }
    }
}
