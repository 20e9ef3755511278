//! Questions to the person at the terminal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::terminal::harmless;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Whether a person sits there who can be asked.
pub(crate) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question that is answered by yes or no; anything but yes is no.
pub(crate) fn yes(question: &str) -> Result<bool, Failure> {
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line.
pub(crate) fn line(question: &str) -> Result<Zeroizing<String>, Failure> {
    let mut err = io::stderr().lock();
    let unwritable = |error| Failure::failed(format!("cannot ask: {error}"));
    write!(err, "{}", harmless(question)).and_then(|()| err.flush()).map_err(unwritable)?;
    drop(err);
    read_line(io::stdin().lock())
}

/// The first line of standard input.
pub(crate) fn first_line_of_input() -> Result<Zeroizing<String>, Failure> {
    read_line(io::stdin().lock())
}

/// The first line of a file.
pub(crate) fn first_line_of(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let file = File::open(path).map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    read_line(BufReader::new(file))
}

fn read_line(input: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    let unreadable = |error| Failure::failed(format!("cannot read: {error}"));
    let read = input.take(LONGEST).read_line(&mut line).map_err(unreadable)?;
    if read == 0 {
        return Err(Failure::failed("nothing was answered"));
    }
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line)
}
