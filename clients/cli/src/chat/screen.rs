//! The terminal while the full-screen client has it, and its return in the state in which it was.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write, stdin, stdout};
use std::panic;

use crossterm::event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::state::{App, Drawn};
use super::view;
use crate::exit::{Code, Failure};

/// The screen. When it is dropped, by a panic too, the terminal is what it was.
pub(super) struct Screen {
    // Buffered, so that a change is one write: over a slow line many small ones are slow.
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // What is said of the panic is to be read on the screen that stays.
            restore();
            before(info);
        }));
        enable_raw_mode()?;
        let entered = execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange);
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(BufWriter::new(stdout()))));
        match terminal {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, app: &App) -> io::Result<Drawn> {
        let mut drawn = Drawn::default();
        self.terminal.draw(|frame| drawn = view::draw(frame, app))?;
        Ok(drawn)
    }

    /// Forgets what is on the screen, so that all of it is drawn next time.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    pub(super) fn bell(&mut self) -> io::Result<()> {
        let mut out = stdout();
        out.write_all(b"\x07")?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. A second time changes nothing.
fn restore() {
    // Whoever cannot be written to needs no restoring.
    let _ = execute!(stdout(), DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// Whether the terminal can be drawn on.
pub(super) fn check(as_json: bool) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::new(Code::Usage, text));
    if as_json || !stdin().is_terminal() || !stdout().is_terminal() {
        return usage("`chat` needs a terminal to draw on; for scripts there are `send` and `listen`, with --json");
    }
    match std::env::var("TERM").as_deref() {
        Err(_) | Ok("" | "dumb") => usage(
            "this terminal cannot move its cursor (TERM is dumb or not set), which `chat` needs; use `send` and `listen`, \
             or set TERM to what your terminal is, such as xterm-256color",
        ),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    const PANICS: &str = "SEALWIRE_TEST_PANICS";

    /// In a terminal of its own (`script` gives one): what it is like before and after, and what is said on it.
    #[test]
    fn a_panic_gives_the_terminal_back_and_is_told_on_the_screen_that_stays() {
        if std::env::var_os(PANICS).is_some() {
            let _screen = Screen::enter().unwrap();
            panic!("as if something were wrong");
        }
        let this = std::env::current_exe().unwrap();
        let name = std::thread::current().name().unwrap().to_owned();
        let line = format!("stty -g; {} --exact {name} --nocapture; stty -g", this.display());
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env(PANICS, "1").env("TERM", "xterm").stdin(Stdio::null());
        let output = script.output().expect("`script` is a part of every Debian");
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        assert!(lines[0].contains(':') && lines.last() == lines.first(), "{said:?}");
        let taken = said.find("\u{1b}[?1049h").expect("the other screen was there");
        let given_back = said.find("\u{1b}[?1049l").expect("it went");
        let told = said.find("as if something were wrong").expect("the panic is told");
        assert!(taken < given_back && given_back < told, "{said:?}");
        assert!(said.contains("\u{1b}[?25h"), "the cursor is seen: {said:?}");
    }
}
