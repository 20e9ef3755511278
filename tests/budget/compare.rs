//! Counts against budgets. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// How many thousandths below its budget a path has become clearly cheaper.
const BELOW: u64 = 100;
/// How many thousandths a count may differ from the last one for the same budget to be written again.
const NOISE: u64 = 10;

/// What a path costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// For one operation.
    pub(crate) instructions: u64,
    /// How many thousandths above its budget that may be.
    pub(crate) tolerated: u64,
}

/// What paths may cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    /// What it was counted with, for a reader.
    pub(crate) tools: BTreeMap<String, String>,
    /// Instructions for one operation, by path.
    pub(crate) instructions: BTreeMap<String, u64>,
}

impl Budget {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut budget = Self::default();
        for (section, values) in &table {
            let values = values.as_table().ok_or_else(|| format!("`{section}` stands outside of a section"))?;
            for (key, value) in values {
                match (section.as_str(), value) {
                    ("counted-with", toml::Value::String(version)) => {
                        budget.tools.insert(key.clone(), version.clone());
                    }
                    ("instructions", toml::Value::Integer(number @ 1..)) => {
                        budget.instructions.insert(key.clone(), number.unsigned_abs());
                    }
                    _ => return Err(format!("`{key}` in [{section}] is not understood")),
                }
            }
        }
        Ok(budget)
    }

    /// The budget that these counts make. One that hardly differs stays as it is, so that a change shows what has changed.
    pub(crate) fn renewed(&self, counts: &BTreeMap<String, Count>, tools: BTreeMap<String, String>) -> Self {
        let number = |(path, Count { instructions: count, .. }): (&String, &Count)| {
            let old =
                self.instructions.get(path).copied().filter(|old| thousandths(count.abs_diff(*old), *old) <= NOISE);
            (path.clone(), old.unwrap_or(*count))
        };
        Self { tools, instructions: counts.iter().map(number).collect() }
    }
}

/// As it stands in the file.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[counted-with]")?;
        self.tools.iter().try_for_each(|(tool, version)| writeln!(f, "{tool} = {version:?}"))?;
        writeln!(f, "\n[instructions]")?;
        self.instructions.iter().try_for_each(|(path, number)| writeln!(f, "{path} = {}", grouped(*number, '_')))
    }
}

/// What is worth saying about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It costs more than it may.
    Above { path: String, count: Count, budget: u64 },
    /// It costs much less than it may.
    Cheaper { path: String, count: u64, budget: u64 },
    /// Nobody has said what it may cost.
    NoBudget { path: String, count: u64 },
    /// There is a budget, but no such path.
    NoPath { path: String },
}

impl Finding {
    /// Whether the gate stays shut.
    pub(crate) fn fails(&self) -> bool {
        !matches!(self, Self::Cheaper { .. })
    }
}

/// Compares. What is within its budget is not mentioned.
pub(crate) fn compare(counts: &BTreeMap<String, Count>, budgets: &BTreeMap<String, u64>) -> Vec<Finding> {
    let paths: BTreeSet<&String> = counts.keys().chain(budgets.keys()).collect();
    let finding = |path: &String| {
        let path = path.clone();
        match (counts.get(&path).copied(), budgets.get(&path).copied()) {
            (Some(count), Some(budget)) => against(path, count, budget),
            (Some(Count { instructions: count, .. }), None) => Some(Finding::NoBudget { path, count }),
            (None, _) => Some(Finding::NoPath { path }),
        }
    };
    paths.into_iter().filter_map(finding).collect()
}

fn against(path: String, count: Count, budget: u64) -> Option<Finding> {
    let instructions = count.instructions;
    let differs = thousandths(instructions.abs_diff(budget), budget);
    match instructions > budget {
        true if differs > count.tolerated => Some(Finding::Above { path, count, budget }),
        false if differs >= BELOW => Some(Finding::Cheaper { path, count: instructions, budget }),
        _ => None,
    }
}

/// All counts beside their budgets.
pub(crate) fn table(counts: &BTreeMap<String, Count>, budgets: &BTreeMap<String, u64>) -> String {
    let mut table = format!("{:<16} {:>12} {:>12}\n", "path", "instructions", "budget");
    for (path, Count { instructions: count, .. }) in counts {
        let budget = budgets.get(path).copied();
        let number = budget.map_or_else(|| "none".to_owned(), |budget| grouped(budget, ','));
        let share = budget.map_or_else(String::new, |budget| difference(*count, budget));
        table += &format!("{path:<16} {:>12} {number:>12} {share}\n", grouped(*count, ','));
    }
    table
}

/// The findings in words: which path, what was counted, what it may cost, and how to go on. Empty when there are none.
pub(crate) fn report(findings: &[Finding], file: &str, folder: &Path) -> String {
    let lines: Vec<String> = findings.iter().map(|finding| line(finding, file)).collect();
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    if let Some(path) =
        findings.iter().find_map(|f| if let Finding::Above { path, .. } = f { Some(path) } else { None })
    {
        let part = folder.join(path).with_extension("2");
        let show = "callgrind_annotate --auto=no --inclusive=yes --threshold=100";
        text += &format!("Where they go: {show} {}\n", part.display());
        text += "The same on the commit before shows what has changed. If the path has to cost that, `make budget UPDATE=1`\n";
        text += &format!("writes the counts into {file}, and the commit says what they buy.\n");
    }
    text
}

fn line(finding: &Finding, file: &str) -> String {
    match finding {
        Finding::Above { path, count, budget } => format!(
            "FAILED: `{path}` costs {} instructions, {} its budget of {}; {} are tolerated",
            grouped(count.instructions, ','),
            difference(count.instructions, *budget),
            grouped(*budget, ','),
            percent(count.tolerated),
        ),
        Finding::Cheaper { path, count, budget } => format!(
            "cheaper: `{path}` costs {} instructions, {} its budget of {}: `make budget UPDATE=1` keeps what was won",
            grouped(*count, ','),
            difference(*count, *budget),
            grouped(*budget, ','),
        ),
        Finding::NoBudget { path, count } => format!(
            "FAILED: `{path}` costs {} instructions and has no budget in {file}: `make budget UPDATE=1` gives it one",
            grouped(*count, ','),
        ),
        Finding::NoPath { path } => {
            format!("FAILED: {file} has a budget for `{path}`, which is no path: `make budget UPDATE=1` removes it")
        }
    }
}

fn thousandths(difference: u64, of: u64) -> u64 {
    (difference * 1_000).div_ceil(of.max(1))
}

fn percent(thousandths: u64) -> String {
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

fn difference(count: u64, budget: u64) -> String {
    let side = if count >= budget { "above" } else { "below" };
    format!("{} {side}", percent(thousandths(count.abs_diff(budget), budget)))
}

fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(path, number)| ((*path).to_owned(), *number)).collect()
    }

    fn counts(of: &[(&str, u64)]) -> BTreeMap<String, Count> {
        let count = |instructions| Count { instructions, tolerated: 50 };
        of.iter().map(|(path, number)| ((*path).to_owned(), count(*number))).collect()
    }

    #[test]
    fn a_path_that_costs_more_than_its_budget_and_the_tolerance_fails() {
        let budgets = numbers(&[("message", 100_000), ("parse", 1_000)]);
        assert_eq!(compare(&counts(&[("message", 105_000), ("parse", 950)]), &budgets), []);
        let findings = compare(&counts(&[("message", 105_001), ("parse", 1_000)]), &budgets);
        let count = Count { instructions: 105_001, tolerated: 50 };
        assert_eq!(findings, [Finding::Above { path: "message".to_owned(), count, budget: 100_000 }]);
        assert!(findings[0].fails());
        let lenient = BTreeMap::from([("message".to_owned(), Count { tolerated: 51, ..count })]);
        assert_eq!(compare(&lenient, &numbers(&[("message", 100_000)])), []);
    }

    #[test]
    fn the_report_says_which_path_what_it_costs_what_it_may_and_how_to_look_closer() {
        let findings = compare(&counts(&[("message", 123_456)]), &numbers(&[("message", 100_000)]));
        let report = report(&findings, "benches/budget.toml", Path::new("target/instructions"));
        assert!(report.starts_with(
            "FAILED: `message` costs 123,456 instructions, 23.5 % above its budget of 100,000; 5.0 % are tolerated\n"
        ));
        assert!(
            report.contains(
                "callgrind_annotate --auto=no --inclusive=yes --threshold=100 target/instructions/message.2\n"
            )
        );
        assert!(report.contains("make budget UPDATE=1"));
    }

    #[test]
    fn a_path_that_has_become_clearly_cheaper_is_said_and_passes() {
        let budgets = numbers(&[("message", 100_000)]);
        assert_eq!(compare(&counts(&[("message", 90_100)]), &budgets), []);
        let findings = compare(&counts(&[("message", 90_000)]), &budgets);
        assert!(findings.iter().all(|finding| !finding.fails()));
        let report = report(&findings, "benches/budget.toml", Path::new("target"));
        let words = "cheaper: `message` costs 90,000 instructions, 10.0 % below its budget of 100,000";
        assert!(report.starts_with(words) && report.lines().count() == 1, "{report}");
    }

    #[test]
    fn a_path_without_a_budget_fails_and_so_does_a_budget_without_a_path() {
        let findings = compare(&counts(&[("new", 5)]), &numbers(&[("old", 5)]));
        let new = Finding::NoBudget { path: "new".to_owned(), count: 5 };
        assert_eq!(findings, [new, Finding::NoPath { path: "old".to_owned() }]);
        assert!(findings.iter().all(Finding::fails));
    }

    #[test]
    fn nothing_to_say_is_nothing() {
        let findings = compare(&counts(&[("message", 7)]), &numbers(&[("message", 7)]));
        assert_eq!(report(&findings, "benches/budget.toml", Path::new("target")), "");
    }

    #[test]
    fn a_budget_is_read_as_it_was_written_and_hardly_changes_without_a_reason() {
        let tools = BTreeMap::from([("rustc".to_owned(), "rustc 1.95.0".to_owned())]);
        let budget = Budget::default().renewed(&counts(&[("a", 1_234_567), ("b", 1_000)]), tools.clone());
        assert_eq!(Budget::parse(&budget.to_string()), Ok(budget.clone()));
        let renewed = budget.renewed(&counts(&[("a", 1_240_000), ("b", 1_011), ("c", 3)]), tools);
        assert_eq!(renewed.instructions, numbers(&[("a", 1_234_567), ("b", 1_011), ("c", 3)]));
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        for text in ["a = 1", "[instructions]\na = 0", "[instructions]\na = \"1\"", "[other]\na = 1", "["] {
            assert!(Budget::parse(text).is_err(), "{text}");
        }
    }
}
