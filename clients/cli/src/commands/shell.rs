//! `completions` and `man`: what shells and `man` want to know of this program.

use std::fs;
use std::io::{self, Write as _};

use clap::CommandFactory as _;

use super::unwritten;
use crate::arguments::{Arguments, Completions, Man};
use crate::exit::Failure;
use crate::terminal::complain;

const NAME: &str = "sealwire-chat";

/// Prints a shell's completion script.
pub(crate) fn completions(command: &Completions) -> Result<(), Failure> {
    // Into memory first: a pipe that closes early is a failure and no panic.
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Arguments::command(), NAME, &mut script);
    print(&script)
}

/// Prints the main page, or writes a page for each command.
pub(crate) fn man(command: &Man) -> Result<(), Failure> {
    let Some(directory) = &command.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page).map_err(unwritten)?;
        return print(&page);
    };
    let unwritable = |error: io::Error| Failure::failed(format!("cannot write into {}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(unwritable)?;
    clap_mangen::generate_to(Arguments::command(), directory).map_err(unwritable)?;
    complain(&format!(
        "the pages lie in {}; `man -l {}/{NAME}.1` shows the first",
        directory.display(),
        directory.display()
    ));
    Ok(())
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_the_main_page_the_exit_codes() {
        let directory = tempfile::tempdir().unwrap();
        man(&Man { directory: Some(directory.path().to_owned()) }).unwrap();
        for command in Arguments::command().get_subcommands() {
            let page = directory.path().join(format!("{NAME}-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
        let main = fs::read_to_string(directory.path().join(format!("{NAME}.1"))).unwrap();
        assert!(main.contains("Exit codes:"), "{main}");
    }
}
