//! What is written about the configuration: the reference page (`check-config --reference`), the example file
//! (`check-config --example`), and what is in force.

use std::fmt::Write as _;

use super::{Config, Loaded, Place, SECTIONS, key::Key, keys};

/// Line width of the example's comments.
const WIDTH: usize = 118;

/// The page `docs/configuration.md`.
pub(crate) fn page() -> String {
    let defaults = Config::default();
    let mut page = PREFACE.to_owned();
    for (section, title) in SECTIONS {
        let _ = write!(page, "\n## `[{section}]`\n\n{title}\n\n");
        page.push_str("| key | variable | default | expected | meaning |\n| --- | --- | --- | --- | --- |\n");
        for key in keys_of(section) {
            let (name, variable, default, meaning) = (key.name, key.variable(), key.show(&defaults), key.meaning);
            let _ = writeln!(page, "| `{name}` | `{variable}` | `{default}` | {} | {meaning} |", key.expects());
        }
    }
    page
}

/// The file `deploy/sealwire.example.toml`: every key with its default.
pub(crate) fn example() -> String {
    let defaults = Config::default();
    let mut file = EXAMPLE_HEAD.to_owned();
    for (section, title) in SECTIONS {
        let _ = write!(file, "\n# {title}\n[{section}]\n");
        for key in keys_of(section) {
            let _ = write!(file, "\n{}{} = {}\n", comment(key.meaning), key.name, key.show(&defaults));
        }
    }
    file
}

/// What is in force, as a TOML file that says where each value came from.
pub(crate) fn in_force(loaded: &Loaded) -> String {
    let mut file = String::new();
    for (section, _) in SECTIONS {
        let _ = writeln!(file, "{}[{section}]", if file.is_empty() { "" } else { "\n" });
        for key in keys_of(section) {
            let line = format!("{} = {}", key.name, key.show(&loaded.config));
            match loaded.place(key) {
                Place::Default => _ = writeln!(file, "{line}"),
                place => _ = writeln!(file, "{line}  # {place}"),
            }
        }
    }
    file
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    keys().filter(move |key| key.section == section)
}

/// `text` as comment lines of at most [`WIDTH`] characters.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => *line += &format!(" {word}"),
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

const PREFACE: &str = "\
# Configuration

<!-- Generated from src/config. After a change there: `UPDATE_GENERATED=1 cargo test -p sealwire generated`. -->

Sealwire needs no configuration: every key has a default. What is set is read in this order, and the later wins:

1. a TOML file: `--config FILE`, else the one that `SEALWIRE_CONFIG` names, else `./sealwire.toml` if there is one;
2. variables `SEALWIRE_<SECTION>_<KEY>`, and the short `SEALWIRE_LISTEN` and `SEALWIRE_DATA_DIR`. A file `.env` in the working
   directory is read too; variables of the real environment go before it. Lists are separated by commas;
3. the flags `--listen` and `--data-dir`.

Unknown keys and variables, keys that are set twice, and bad values are refused, each with its place and what is expected.
`sealwire check-config` takes the flags of `sealwire serve`, prints what is in force and where it came from, and starts
nothing; with `--example` it prints a file of every key with its default (`deploy/sealwire.example.toml`), with
`--reference` this page.

Exit codes of `sealwire`: 0 all went well (`serve`: it was asked to stop and drained); 1 it could not start, ended on a fault,
was stopped before it had drained, or (`healthcheck`) the server is not ready; 2 wrong arguments or a configuration that is refused.
";

const EXAMPLE_HEAD: &str = "\
# Sealwire: every key with its default. Nothing here has to be set. docs/configuration.md says more.
# Generated from src/config; `sealwire check-config --config FILE` checks a file without starting anything.
";
