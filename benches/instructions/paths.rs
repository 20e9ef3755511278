//! The list of paths. Each has its line in `benches/budget.toml`.

use crate::{exchange, pieces, stored};

/// A path that is counted.
pub(crate) struct Path {
    /// As the budget names it.
    pub(crate) name: &'static str,
    /// How often it is done between the two marks.
    pub(crate) operations: u64,
    /// How many thousandths above its budget it may cost: other versions of the compiler and of libc differ by so much, and
    /// where threads work together, so does a run.
    pub(crate) tolerated: u64,
    /// Prepares, marks, does it so often, marks.
    pub(crate) run: fn(u64),
}

/// All of them, the wholes first.
pub(crate) const PATHS: &[Path] = &[
    Path { name: "message", operations: 1_000, tolerated: 50, run: exchange::message },
    Path { name: "message-to-eight", operations: 200, tolerated: 50, run: exchange::fan_out },
    Path { name: "stored-message", operations: 1_000, tolerated: 100, run: stored::message },
    Path { name: "sqlite-append", operations: 2_000, tolerated: 50, run: stored::append },
    Path { name: "session-steps", operations: 2_000, tolerated: 50, run: pieces::session_steps },
    Path { name: "inbox", operations: 2_000, tolerated: 50, run: pieces::inbox },
    Path { name: "parse-message", operations: 1_000, tolerated: 50, run: pieces::parse_message },
    Path { name: "parse-ack", operations: 1_000, tolerated: 50, run: pieces::parse_ack },
    Path { name: "write-delivery", operations: 1_000, tolerated: 50, run: pieces::write_delivery },
    Path { name: "write-status", operations: 1_000, tolerated: 50, run: pieces::write_status },
    Path { name: "check-base64", operations: 1_000, tolerated: 50, run: pieces::check_base64 },
];
