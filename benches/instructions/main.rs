//! The hot paths of the server, one per run, for the gate on what they cost: `instructions PATH`.
//!
//! `make budget` runs this under valgrind's callgrind, which writes its counts out whenever [`mark`] is called. A path is
//! prepared, then done [many times](paths::PATHS) between two calls: what lies between them, divided by the number, is
//! what the path costs, in instructions of all threads together. Start, log-ins and warming up are not counted.
//!
//! The same binary with the same input costs the same number of instructions, but for the seeds of hash maps and the hour: well
//! below one percent. No socket is involved, so nothing depends on how the kernel cuts or delays what passes through it.

#![expect(clippy::panic, reason = "a path that does not go its whole way must not be counted")]

mod cast;
mod connection;
mod exchange;
mod paths;
mod pieces;
mod stored;

use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;

use paths::PATHS;

/// Where counting begins and ends: callgrind is told this name (`--dump-before`).
#[inline(never)]
pub(crate) fn mark() {
    black_box(());
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    if wanted == "--list" {
        let line = |path: &paths::Path| format!("{} {} {}\n", path.name, path.operations, path.tolerated);
        let lines: String = PATHS.iter().map(line).collect();
        return match io::stdout().write_all(lines.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let Some(path) = PATHS.iter().find(|path| path.name == wanted) else {
        eprintln!("there is no path `{wanted}`; `--list` names them");
        return ExitCode::FAILURE;
    };
    (path.run)(path.operations);
    ExitCode::SUCCESS
}
