//! `make budget`: what the server's hot paths cost, in instructions, against what they may cost (`benches/budget.toml`).
//!
//! Times differ from machine to machine and from run to run; counts hardly do, so a path that has become a few percent
//! dearer is seen here on any machine, in the commit that did it. `--update` writes the budget anew.

#![expect(clippy::print_stdout, reason = "it talks to a person")]

mod compare;
mod count;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use compare::Budget;

/// Where the numbers stand, from the root of the repository.
const FILE: &str = "benches/budget.toml";

const HEAD: &str = "\
# What the hot paths of the server may cost: instructions for one operation, all threads together, as valgrind counts them.
# benches/instructions/main.rs says what they do. `make budget` compares, also as part of `make test`; `make budget UPDATE=1`
# writes this file anew. A number that rises is a decision: the commit says what it buys.
";

fn main() -> ExitCode {
    let update = std::env::args().nth(1).is_some_and(|argument| argument == "--update");
    if cfg!(not(target_arch = "x86_64")) {
        println!("LEFT OUT: {FILE} holds counts of x86-64 instructions, so nobody knows what the hot paths cost here");
        return ExitCode::SUCCESS;
    }
    match run(update) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the hot paths could not be counted: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is within the budget, or was written into it.
fn run(update: bool) -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the tests' package lies in the workspace")?;
    let file = root.join(FILE);
    let budget = match fs::read_to_string(&file) {
        Ok(text) => Budget::parse(&text).map_err(|error| format!("{FILE}: {error}"))?,
        Err(_) if update => Budget::default(),
        Err(error) => return Err(format!("{FILE}: {error}")),
    };
    let counter = count::build(root)?;
    let folder = folder(&counter)?;
    let counts = count::all(&counter, &folder)?;
    let tools = [("rustc", version(root, "rustc")?), ("valgrind", version(root, "valgrind")?)];
    if update {
        let new = budget.renewed(&counts, BTreeMap::from(tools.map(|(name, version)| (name.to_owned(), version))));
        fs::write(&file, format!("{HEAD}{new}")).map_err(|error| format!("{FILE}: {error}"))?;
        print!("{}", compare::table(&counts, &budget.instructions));
        println!("{FILE} is written");
        return Ok(true);
    }
    let findings = compare::compare(&counts, &budget.instructions);
    print!("{}", compare::table(&counts, &budget.instructions));
    print!("{}", compare::report(&findings, FILE, &folder));
    let fails = findings.iter().any(compare::Finding::fails);
    for (tool, version) in tools.iter().filter(|(tool, version)| fails && budget.tools.get(*tool) != Some(version)) {
        let then = budget.tools.get(*tool).map_or("another version", String::as_str);
        println!("The budget was counted with {then}, this with {version}: that alone may change counts.");
    }
    Ok(!fails)
}

/// Where what callgrind has written is kept: beside what was built.
fn folder(counter: &Path) -> Result<PathBuf, String> {
    let target = counter.ancestors().nth(3).ok_or("an example lies in a target directory")?;
    let folder = target.join("instructions");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn version(root: &Path, program: &str) -> Result<String, String> {
    let output = Command::new(program).arg("--version").current_dir(root).output();
    let output = output.map_err(|error| format!("{program}: {error}; `make setup` installs what is missing"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
