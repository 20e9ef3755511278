//! The patches of `make sabotage` (tools/sabotage) are kept true: each still applies to the sources, takes something away,
//! and names tests that exist. That these notice, `make sabotage` shows.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' package lies in the workspace")
}

struct Patch {
    name: String,
    text: String,
}

impl Patch {
    /// The tests that must notice.
    fn tests(&self) -> Vec<&str> {
        let first = self.text.lines().next().unwrap_or_default();
        first.strip_prefix("Fails: ").map(|names| names.split(", ").collect()).unwrap_or_default()
    }

    /// The one file that it changes.
    fn file(&self) -> PathBuf {
        let files: Vec<_> = self.text.lines().filter_map(|line| line.strip_prefix("--- a/")).collect();
        assert_eq!(files.len(), 1, "{} takes one check out of one file", self.name);
        root().join(files[0])
    }

    /// What each of its places looks like before.
    fn before(&self) -> Vec<String> {
        let hunks = self.text.split("\n@@ ").skip(1).map(|hunk| hunk.split_once('\n').map_or("", |(_, lines)| lines));
        let old = |hunk: &str| {
            let lines = hunk.lines().filter(|line| line.starts_with([' ', '-']) && !line.starts_with("---"));
            lines.map(|line| format!("{}\n", &line[1..])).collect()
        };
        hunks.map(old).collect()
    }
}

fn patches() -> Vec<Patch> {
    let folder = fs::read_dir(root().join("tests/sabotage")).expect("tests/sabotage");
    let paths = folder.map(|entry| entry.expect("an entry of the folder").path());
    let read = |path: PathBuf| Patch {
        name: path.file_name().expect("a file has a name").to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).expect("a patch is text"),
    };
    paths.map(read).collect()
}

fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(&path).expect("sources are text"));
        }
    }
}

#[test]
fn every_patch_takes_something_out_of_the_present_sources() {
    let patches = patches();
    assert!(patches.len() >= 50, "there is a patch for each defence; found {}", patches.len());
    for patch in patches {
        let source = fs::read_to_string(patch.file()).expect("the file that it changes is there");
        let before = patch.before();
        assert!(!before.is_empty(), "{} changes nothing", patch.name);
        for place in before {
            assert_eq!(source.matches(&place).count(), 1, "{} does not apply any more at:\n{place}", patch.name);
        }
    }
}

#[test]
fn every_patch_names_tests_that_exist() {
    let mut text = String::new();
    ["crates", "actors", "tests"].iter().for_each(|folder| sources(&root().join(folder), &mut text));
    for patch in patches() {
        let tests = patch.tests();
        assert!(!tests.is_empty(), "the first line of {} is `Fails: NAME[, NAME]`", patch.name);
        for test in tests {
            // A promise of every storage is a test by a macro, and a function over any storage.
            let exists = ['(', '<'].iter().any(|after| text.contains(&format!("fn {test}{after}")));
            assert!(exists, "{} names {test}, which does not exist", patch.name);
        }
    }
}
