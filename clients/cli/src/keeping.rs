//! Where a recovery code goes: shown to the person once and asked back, or into a file.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use sealwire_client::enrol::recovery_code::Code;
use zeroize::Zeroizing;

use crate::ask;
use crate::exit::{Code as ExitCode, Failure};

const WHAT_IT_IS: &str = "\
This is the recovery code of your account. With it, and with nothing else, the account comes back
when all its devices are lost; whoever else has it can take the account. Write it on paper, and
keep that where nobody looks. It is shown this once.
";
/// Lines that are taken off the screen once the code is written down.
const LINES: usize = 7;

/// Who keeps a code.
#[derive(Debug)]
pub(crate) enum Keeping {
    /// The person at the terminal, who writes it down.
    Person,
    /// A file that is made for it.
    File(PathBuf),
}

impl Keeping {
    /// Decides before anything is made.
    pub(crate) fn of(file: Option<&Path>, otherwise: &str) -> Result<Self, Failure> {
        match file {
            Some(file) => Ok(Self::File(file.to_owned())),
            None if ask::somebody_is_there() => Ok(Self::Person),
            None => Err(Failure::new(
                ExitCode::Usage,
                format!(
                    "a recovery code is shown once and asked back, and there is no terminal; name a file to write it to: \
                     --recovery-code-file FILE{otherwise}"
                ),
            )),
        }
    }

    /// Hands a code over; when this returns, whoever keeps it has it.
    pub(crate) fn hand_over(&self, code: &Code) -> Result<(), Failure> {
        match self {
            Self::File(file) => write_new(file, code),
            Self::Person => {
                let (mut input, mut output) = (io::stdin().lock(), io::stderr().lock());
                let confirmed = show_and_ask_back(code, &mut input, &mut output);
                match confirmed.map_err(|error| Failure::failed(format!("cannot ask: {error}")))? {
                    true => Ok(()),
                    false => Err(Failure::failed("the recovery code was not confirmed")
                        .and("type `sealwire-chat recovery-code` to see it again")),
                }
            }
        }
    }

    /// Whether the file can be made: nothing is overwritten.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self {
            Self::File(file) if fs::symlink_metadata(file).is_ok() => Err(Failure::new(
                ExitCode::Usage,
                format!("{} is there already and is not overwritten; name another file", file.display()),
            )),
            _ => Ok(()),
        }
    }
}

fn write_new(path: &Path, code: &Code) -> Result<(), Failure> {
    let unwritable = |error: io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
    let line = Zeroizing::new(format!("{code}\n"));
    if fs::read(path).is_ok_and(|there| there == line.as_bytes()) {
        // An earlier attempt ended right behind this.
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(unwritable)?;
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)
}

/// Shows a code, takes it off the screen, and asks it back until it is right; `false` when the input ends first.
fn show_and_ask_back(code: &Code, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<bool> {
    loop {
        write!(output, "{WHAT_IT_IS}\n    {code}\n\nPress Enter when you have written it down.\n")?;
        output.flush()?;
        if read(input)?.is_none() {
            return Ok(false);
        }
        // Up to the first of the lines, and everything from there on is erased.
        write!(output, "\x1b[{}A\r\x1b[J", LINES + 1)?;
        loop {
            write!(output, "Type the code as you have written it (or press Enter to see it again): ")?;
            output.flush()?;
            let Some(line) = read(input)? else { return Ok(false) };
            if line.trim().is_empty() {
                break;
            }
            match line.parse::<Code>() {
                Ok(typed) if typed == *code => {
                    writeln!(output, "That is the code. Keep it well.")?;
                    return Ok(true);
                }
                Ok(_) => writeln!(output, "That is another code: look for a character that is not the same.")?,
                Err(error) => writeln!(output, "That is not the code: {error}")?,
            }
        }
    }
}

fn read(input: &mut impl BufRead) -> io::Result<Option<Zeroizing<String>>> {
    let mut line = Zeroizing::new(String::new());
    Ok((input.read_line(&mut line)? > 0).then_some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "01AB2-CDE3F-GHJ4K-MNP5Q-RST6V-WXYZ0";

    fn asked(input: &str) -> (bool, String) {
        let mut output = Vec::new();
        let confirmed = show_and_ask_back(&CODE.parse().unwrap(), &mut input.as_bytes(), &mut output).unwrap();
        (confirmed, String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_code_is_shown_once_taken_off_the_screen_and_asked_back() {
        let (confirmed, screen) = asked(&format!("\n{}\n", CODE.to_lowercase().replace('-', " ")));
        assert!(confirmed);
        assert_eq!(screen.matches(CODE).count(), 1);
        let (shown, rest) = screen.split_once('\x1b').unwrap();
        assert!(shown.contains(CODE) && !rest.contains(CODE), "{screen:?}");
        // As many lines as were written, and the one that Enter made.
        assert_eq!(shown.matches('\n').count(), LINES);
        assert!(rest.starts_with(&format!("[{}A\r\x1b[J", LINES + 1)), "{rest:?}");
    }

    #[test]
    fn a_slip_is_told_and_the_code_is_asked_for_again() {
        let other = CODE.replace('Z', "Y");
        let (confirmed, screen) = asked(&format!("\n{other}\nU\n{CODE}\n"));
        assert!(confirmed);
        assert!(screen.contains("another code") && screen.contains("character 1"), "{screen}");
        assert!(!screen.contains(&other), "what was typed is not repeated");
    }

    #[test]
    fn enter_alone_shows_it_again_and_whoever_leaves_has_not_confirmed_it() {
        let (confirmed, screen) = asked("\n\n\n");
        assert!(!confirmed);
        assert_eq!(screen.matches(CODE).count(), 2);
        assert!(!asked("").0);
    }

    #[cfg(unix)]
    #[test]
    fn a_code_is_written_for_oneself_alone_and_over_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("code");
        let keeping = Keeping::File(file.clone());
        let code: Code = CODE.parse().unwrap();
        keeping.check().unwrap();
        keeping.hand_over(&code).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{CODE}\n"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(keeping.check().is_err(), "before anything is made");
        keeping.hand_over(&code).unwrap();
        assert!(keeping.hand_over(&CODE.replace('Z', "Y").parse().unwrap()).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{CODE}\n"));
    }
}
