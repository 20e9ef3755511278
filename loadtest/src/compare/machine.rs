//! What was measured on, and when.

use std::fs;

use serde::Serialize;

use crate::worker::wall;

/// A machine's shape.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
    pub(super) system: String,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let field = |text: &str, name: &str, separator: char| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(separator)
                .map_or("unknown".to_owned(), |(_, value)| value.trim().trim_matches('"').to_owned())
        };
        let kib = field(&read("/proc/meminfo"), "MemTotal", ':');
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name", ':'),
            memory_bytes: kib.trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024,
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            system: field(&read("/etc/os-release"), "PRETTY_NAME", '='),
        }
    }

    /// In a sentence.
    pub(super) fn words(&self) -> String {
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        format!("{} cores of {}, {gib:.1} GiB of memory, {}, {}", self.cores, self.processor, self.kernel, self.system)
    }
}

/// Today in UTC, as 2026-11-28.
pub(super) fn today() -> String {
    date(wall() / 86_400_000)
}

/// The date that lies so many days after 1 January 1970 (Howard Hinnant's `civil_from_days`).
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, text) in [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_785, "2026-11-28"), (20_819, "2027-01-01")]
        {
            assert_eq!(date(days), text);
        }
    }
}
