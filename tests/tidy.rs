//! The house rules that no compiler knows: which crate may be below which, and which file may name what.
//!
//! `docs/architecture.md` says why each rule is there. A rule that fails names the place and what to do about it; when the rule
//! itself is to change, change it here and there in the same commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// What each of our packages may depend on among ours, in any kind of dependency.
const ARROWS: &[(&str, &[&str])] = &[
    ("sealwire-protocol", &[]),
    ("sealwire-parts", &[]),
    ("sealwire-store", &["sealwire-parts", "sealwire-protocol"]),
    ("sealwire-bus", &["sealwire-parts", "sealwire-protocol"]),
    ("sealwire-actors", &["sealwire-bus", "sealwire-protocol", "sealwire-store"]),
    ("sealwire", &["sealwire-actors", "sealwire-bus", "sealwire-protocol", "sealwire-store"]),
    ("sealwire-e2ee", &["sealwire-protocol"]),
    ("sealwire-core", &["sealwire-e2ee", "sealwire-protocol"]),
    ("sealwire-client", &["sealwire-core", "sealwire-e2ee", "sealwire-protocol"]),
    ("sealwire-chat", &["sealwire-client", "sealwire-protocol"]),
    ("sealwire-loadtest", &["sealwire-e2ee", "sealwire-protocol"]),
    ("sealwire-tests", &["sealwire-client", "sealwire-e2ee", "sealwire-parts", "sealwire-protocol", "sealwire-store"]),
];

/// Packages of others that only some of ours may depend on.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("actix", &["sealwire-actors"]),
    ("actix-web-actors", &["sealwire-actors"]),
    ("actix-web", &["sealwire", "sealwire-actors"]),
    ("aes-gcm", &["sealwire-e2ee", "sealwire-tests"]),
    ("aes-gcm-siv", &["sealwire-client"]),
    ("argon2", &["sealwire-client"]),
    ("keyring", &["sealwire-client"]),
    ("redis", &["sealwire-bus"]),
    ("rsa", &["sealwire-e2ee", "sealwire-tests"]),
    ("mongodb", &["sealwire-store"]),
    // The client keeps its profile in SQLite too; on the server's side the store alone does.
    ("rusqlite", &["sealwire-store", "sealwire-client", "sealwire-tests"]),
];

/// What could open a message or stands for a person. None of it is in the server.
const NEVER_IN_THE_SERVER: &[&str] =
    &["aes-gcm", "aes-gcm-siv", "argon2", "keyring", "rsa", "sealwire-client", "sealwire-core", "sealwire-e2ee"];

/// What does input or output, waits, or knows the time. None of it is below the client's logic.
const NEVER_IN_THE_CORE: &[&str] =
    &["getrandom", "keyring", "rusqlite", "rustls", "tokio", "tokio-tungstenite", "tungstenite"];

const LONGEST_FILE: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' package lies in the workspace")
}

fn metadata() -> Metadata {
    let flags = ["--locked", "--all-features"].map(String::from).to_vec();
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(flags)
        .exec()
        .expect("cargo metadata reads the workspace")
}

/// Fails with every breach at once, and with what to do about them.
#[track_caller]
fn assert_none(breaches: &[String], advice: &str) {
    assert!(breaches.is_empty(), "\n  {}\n{advice}\n", breaches.join("\n  "));
}

/// Everything that is compiled into a package, itself included; what only tests need is left out.
fn names_below(metadata: &Metadata, package: &str) -> BTreeSet<String> {
    let graph = metadata.resolve.as_ref().expect("metadata without --no-deps holds the graph");
    let start =
        metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == package).expect("a package of ours");
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    let mut open = vec![&start.id];
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let node = graph.nodes.iter().find(|node| node.id == *id).expect("the graph holds what it points to");
            let built =
                |dep: &&cargo_metadata::NodeDep| dep.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development);
            open.extend(node.deps.iter().filter(built).map(|dep| &dep.pkg));
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

/// The same of a package that is built alone. Cargo's metadata have the features that all packages together ask of one below
/// them; another one of ours may ask for what this one must not have.
fn names_below_alone(package: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--all-features", "--target=all", "--edges=normal,build", "--prefix=none"]);
    let output = tree.args(["--format={p}", "--package", package]).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("names are text");
    lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A text file of the repository: its path from the root, with `/`, what stands in it, and whether only tests need it.
struct Source {
    path: String,
    text: String,
    is_test: bool,
}

impl Source {
    /// The lines that are built into a release, with their numbers: no comments, no tests at the end of the file.
    fn built_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..tests]
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Where the built lines name one of `words`; a word counts only where no identifier goes on before it.
    fn naming(&self, words: &[&str]) -> Vec<String> {
        let names = |line: &str, word: &str| {
            line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let hit = |(number, line)| {
            let word = words.iter().find(|word| names(line, word))?;
            Some(format!("{}:{number} names `{word}`", self.path))
        };
        self.built_lines().filter_map(hit).collect()
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The modules in files of their own that this file declares for tests only: their paths without `.rs`.
    fn test_modules(&self) -> impl Iterator<Item = String> {
        let stem = self.path.trim_end_matches(".rs");
        let folder = ["/mod", "/lib", "/main"].iter().find_map(|name| stem.strip_suffix(name)).unwrap_or(stem);
        let beside = stem.rsplit_once('/').map_or("", |(folder, _)| folder);
        let declared = self.text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| rest.lines().next());
        declared.filter_map(move |line| match line.strip_prefix("#[path = \"") {
            Some(file) => Some(format!("{beside}/{}", file.strip_suffix(".rs\"]")?)),
            None => {
                let name = line.trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';')?;
                Some(format!("{folder}/{name}"))
            }
        })
    }
}

/// Every text file of ours; what is built, installed, or copied from others is left out.
fn sources() -> Vec<Source> {
    const LEFT_OUT: &[&str] = &[".git", ".tools", "target", "data", "cluster-data", "node_modules", "advisory-db"];
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a folder of the repository") {
            let path = entry.expect("an entry of the repository").path();
            let left_out = path.file_name().is_some_and(|name| LEFT_OUT.iter().any(|out| name == *out));
            match path.is_dir() {
                _ if left_out => {}
                true => walk(&path, files),
                false => files.push(path),
            }
        }
    }
    let mut files = Vec::new();
    walk(root(), &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(root()).expect("walked from the root").to_string_lossy().replace('\\', "/");
        let is_test = path.starts_with("tests/") || path.contains("/tests/");
        Some(Source { path, text, is_test })
    };
    let mut sources: Vec<Source> = files.into_iter().filter_map(read).collect();
    let modules: Vec<String> = sources.iter().filter(|s| s.is_rust()).flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let within = |module: &String| {
            source.path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        source.is_test |= modules.iter().any(within);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.iter().any(|s| s.path == "tests/tidy.rs"), "the walk over the repository found nothing");
    sources
}

fn breaches(files: impl Fn(&Source) -> bool, words: &[&str]) -> Vec<String> {
    sources().iter().filter(|s| s.is_rust() && files(s)).flat_map(|s| s.naming(words)).collect()
}

#[test]
fn arrows_between_our_packages_go_down_only() {
    let metadata = metadata();
    let ours: BTreeSet<String> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let mut breaches = Vec::new();
    for package in metadata.workspace_packages() {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name.as_str()) else {
            breaches.push(format!("{} has no line in ARROWS", package.name));
            continue;
        };
        let points_to = package.dependencies.iter().map(|d| d.name.as_str()).filter(|name| ours.contains(*name));
        let up = points_to.filter(|name| !allowed.contains(name) && *name != package.name.as_str());
        breaches.extend(up.map(|name| format!("{} depends on {name}", package.name)));
    }
    assert_none(
        &breaches,
        "Move the code to the crate that may know it. A new arrow belongs into ARROWS and docs/architecture.md.",
    );
}

#[test]
fn the_server_cannot_read_messages() {
    let metadata = metadata();
    let client = names_below(&metadata, "sealwire-chat");
    let blind: Vec<_> = NEVER_IN_THE_SERVER.iter().filter(|name| !client.contains(**name)).collect();
    assert!(blind.is_empty(), "this test looks for {blind:?}, which not even the client contains: rename them here");

    let server = names_below(&metadata, "sealwire");
    let found: Vec<_> =
        NEVER_IN_THE_SERVER.iter().filter(|n| server.contains(**n)).map(|n| format!("sealwire contains {n}")).collect();
    assert_none(
        &found,
        "The server must never contain what opens messages; `cargo tree -p sealwire -i NAME` shows the way in.",
    );
}

#[test]
fn drivers_frameworks_and_private_key_cryptography_stay_in_their_crates() {
    let mut breaches = Vec::new();
    for package in metadata().workspace_packages() {
        for dependency in &package.dependencies {
            let rule = KEPT_TO.iter().find(|(name, _)| *name == dependency.name);
            if rule.is_some_and(|(_, homes)| !homes.contains(&package.name.as_str())) {
                breaches.push(format!("{} depends on {}", package.name, dependency.name));
            }
        }
    }
    assert_none(
        &breaches,
        "Go through the crate that wraps it: actors (actix), store (databases), e2ee (cryptography).",
    );
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    let manifest = |p: &&cargo_metadata::Package| fs::read_to_string(&p.manifest_path).expect("a manifest of ours");
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let without = packages.iter().filter(|p| !manifest(p).contains("[lints]\nworkspace = true"));
    let breaches: Vec<_> = without.map(|p| p.manifest_path.to_string()).collect();
    assert_none(&breaches, "Add `[lints]` with `workspace = true`.");
}

#[test]
fn only_the_socket_of_a_session_knows_the_web_framework() {
    let found = breaches(|s| s.path.starts_with("actors/") && s.path != "actors/src/session/socket.rs", &["actix_web"]);
    assert_none(
        &found,
        "Only actors/src/session/socket.rs names actix_web: hand it plain bytes, or return effects to it.",
    );
}

#[test]
fn only_the_composition_root_names_a_concrete_store_or_bus() {
    let upstairs = |s: &Source| ["src/", "actors/src/"].iter().any(|room| s.path.starts_with(room));
    let concrete = &["SqliteStore", "MemoryStore", "MongoStore", "RedisBus", "MemoryBus", "MemoryHub"];
    let found = breaches(|s| upstairs(s) && s.path != "src/app.rs" && !s.is_test, concrete);
    assert_none(
        &found,
        "Only src/app.rs chooses a store and a bus; everything else takes the traits of crates/store and crates/bus.",
    );
}

#[test]
fn what_decides_is_free_of_actors_runtimes_clocks_and_randomness() {
    const IMPURE: &[&str] = &["actix", "tokio", "Instant::now", "SystemTime::now", "getrandom::", "rand::rng"];
    let found = breaches(|s| s.path.ends_with("/state.rs"), IMPURE);
    assert_none(
        &found,
        "A state.rs is pure: time and randomness come in as arguments, effects go out as return values.",
    );
}

#[test]
fn protocol_and_envelope_do_no_input_or_output() {
    const OUTSIDE: &[&str] =
        &["fs::", "net::", "thread::", "env::", "tokio", "Instant::now", "SystemTime::now", "getrandom::", "rand::rng"];
    let pure = |s: &Source| s.path.starts_with("crates/protocol/src/") || s.path.starts_with("crates/e2ee/src/");
    let found = breaches(|s| pure(s) && !s.is_test, OUTSIDE);
    assert_none(&found, "These crates also run in browsers: take bytes, clock and random source as arguments.");
}

#[test]
fn the_client_s_logic_does_no_input_or_output() {
    const OUTSIDE: &[&str] =
        &["SystemTime", "Instant", "fs::", "net::", "thread::", "env::", "tokio", "SysRng", "getrandom::", "rand::rng"];
    let mut found = breaches(|s| s.path.starts_with("crates/core/src/") && !s.is_test, OUTSIDE);
    let client = names_below_alone("sealwire-client");
    let blind: Vec<_> = NEVER_IN_THE_CORE.iter().filter(|name| !client.contains(**name)).collect();
    assert!(blind.is_empty(), "this test looks for {blind:?}, which not even the client contains: rename them here");
    let core = names_below_alone("sealwire-core");
    found
        .extend(NEVER_IN_THE_CORE.iter().filter(|n| core.contains(**n)).map(|n| format!("sealwire-core contains {n}")));
    assert_none(&found, "crates/core also runs in browsers: frames, time and randomness come in, effects go out.");
}

#[test]
fn every_queue_is_bounded() {
    // Put together here so that this file does not find itself.
    let words = [concat!("do_", "send("), concat!("unbounded_", "channel"), concat!("unbounded", "()")];
    let found = breaches(|_| true, &words);
    assert_none(&found, "Use `try_send` or a bounded channel, and say what happens when it is full.");
}

#[test]
fn files_stay_short_enough_to_read() {
    let long = sources().into_iter().filter(|s| s.is_rust() && s.text.lines().count() > LONGEST_FILE);
    let found: Vec<_> = long.map(|s| format!("{} has {} lines", s.path, s.text.lines().count())).collect();
    assert_none(&found, "Cut the file along its subjects; 600 lines are the most, 300 are plenty.");
}

#[test]
fn nothing_is_read_from_outside_the_repository() {
    let outside = concat!("../", "shared");
    let found: Vec<_> = sources().into_iter().filter(|s| s.text.contains(outside)).map(|s| s.path).collect();
    assert_none(&found, "Copy what is needed into the repository: a fresh clone must build and test.");
}

#[test]
fn the_architecture_page_knows_every_package() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md");
    let folder = |p: &&cargo_metadata::Package| {
        let dir = p.manifest_path.parent().expect("a manifest lies in a folder");
        dir.strip_prefix(root()).map_or_else(|_| dir.to_string(), |dir| format!("{dir}/"))
    };
    let metadata = metadata();
    let missing =
        metadata.workspace_packages().iter().map(folder).filter(|dir| !page.contains(dir)).collect::<Vec<_>>();
    assert_none(&missing, "docs/architecture.md must say what these folders are for.");
}

/// A table row that names no test, or one that is gone, is a claim that nobody holds.
#[test]
fn every_threat_names_a_test_that_exists() {
    let page = fs::read_to_string(root().join("docs/security.md")).expect("docs/security.md");
    let table = page.split("## Threats, defences, tests").nth(1).expect("the table of threats");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    let sources = sources();
    let exists = |test: &str| sources.iter().any(|s| s.is_rust() && s.text.contains(&format!("fn {test}(")));
    let mut wrong = Vec::new();
    for row in rows.take_while(|row| !row.starts_with("## ")) {
        let tests: Vec<_> = row.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        wrong.extend(tests.is_empty().then(|| format!("no test: {row}")));
        wrong.extend(tests.iter().filter(|test| !exists(test)).map(|test| format!("there is no test {test}")));
    }
    assert_none(&wrong, "docs/security.md names for each threat the test that holds the defence.");
}

#[test]
fn links_between_our_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for page in sources().iter().filter(|s| s.path.ends_with(".md")) {
        let folder = root().join(&page.path).parent().expect("a file lies in a folder").to_path_buf();
        let targets = page.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let ours = targets.filter(|t| !t.is_empty() && !t.contains(':') && !t.contains(char::is_whitespace));
        let dead = ours.filter(|target| !folder.join(target).exists());
        broken.extend(dead.map(|target| format!("{} links to {target}", page.path)));
    }
    assert_none(&broken, "Mend the link, or write the page.");
}
