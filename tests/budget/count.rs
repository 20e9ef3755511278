//! Building the paths and counting them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::compare::Count;

/// The function at which callgrind writes out what it has counted since the last time.
const MARK: &str = "instructions::mark";
/// Of what is written, the part between the first mark and the second.
const COUNTED: u32 = 2;

/// Builds the program that does the paths. Gives its path.
pub(crate) fn build(root: &Path) -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--locked", "--example=instructions", "--features=counted"]);
    cargo.args(["--config=benches/instructions/profile.toml", "--message-format=json-render-diagnostics"]);
    // What was compiled before must not show in the counts.
    cargo.env("CARGO_INCREMENTAL", "0").current_dir(root).stderr(std::process::Stdio::inherit());
    let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("they could not be built; cargo says above why".to_owned());
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut ours = messages.filter(|message| message["target"]["name"] == "instructions");
    let program = ours.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.ok_or_else(|| "cargo has built no program `instructions`".to_owned())
}

/// Counts all paths: instructions for one operation. What callgrind has written stays in the folder.
pub(crate) fn all(program: &Path, folder: &Path) -> Result<BTreeMap<String, Count>, String> {
    let list =
        Command::new(program).arg("--list").output().map_err(|error| format!("{}: {error}", program.display()))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let path = |line: &str| {
        let (name, numbers) = line.split_once(' ')?;
        let (operations, tolerated) = numbers.split_once(' ')?;
        Some((name.to_owned(), operations.parse().ok().filter(|n: &u64| *n > 0)?, tolerated.parse().ok()?))
    };
    let mut counts = BTreeMap::new();
    for line in list.lines() {
        let (name, operations, tolerated) = path(line).ok_or_else(|| format!("`--list` gave the line `{line}`"))?;
        let instructions = one(program, &name, folder)?.div_ceil(operations);
        counts.insert(name, Count { instructions, tolerated });
    }
    Ok(counts)
}

fn one(program: &Path, name: &str, folder: &Path) -> Result<u64, String> {
    let out = folder.join(name);
    // Of an earlier run, which may have written more.
    for part in 1..=COUNTED {
        let _ = fs::remove_file(part_of(&out, part));
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", &format!("--dump-before={MARK}")]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display())).arg(program).arg(name);
    // The environment lies on the stack and so moves what is on it.
    valgrind.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    let missing = |error| format!("valgrind: {error}; `make setup` installs it");
    let output = valgrind.output().map_err(missing)?;
    if !output.status.success() {
        return Err(format!("the path `{name}` failed under valgrind:\n{}", said(&output)));
    }
    let part = part_of(&out, COUNTED);
    let text = fs::read_to_string(&part).map_err(|error| format!("{}: {error}", part.display()))?;
    total(&text).ok_or_else(|| format!("{}: no count between two calls of {MARK}", part.display()))
}

fn part_of(out: &Path, part: u32) -> PathBuf {
    out.with_extension(part.to_string())
}

/// The total of a part that ended with a mark.
fn total(text: &str) -> Option<u64> {
    let marked = text.lines().any(|line| line.starts_with("desc: Trigger:") && line.contains(MARK));
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "))?;
    marked.then(|| total.trim().parse().ok()).flatten()
}

fn said(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_counts_only_where_a_mark_has_ended_the_part() {
        let part = "version: 1\ndesc: Trigger: --dump-before=instructions::mark\n\nfn=(1)\n1 2\n\ntotals: 1234\n";
        assert_eq!(total(part), Some(1_234));
        assert_eq!(total(&part.replace("--dump-before=instructions::mark", "Program termination")), None);
        assert_eq!(total(&part.replace("totals", "total")), None);
    }
}
