//! Windows of tmux: a shell in each, keys in, and what stands on the screen out.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sealwire_tests::Terminal;
use sealwire_tests::profiles::passphrase_file;
use sealwire_tests::server::binary;
use tempfile::TempDir;

use super::Command;

/// What the shell asks with, whoever it runs for.
const PROMPT: &str = "next?";
/// How long a text may take to appear: only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often the screen is read while something is expected on it.
const LOOK: Duration = Duration::from_millis(50);

/// A server of tmux that belongs to one test, and ends with it.
pub(crate) struct Tmux {
    home: TempDir,
}

/// A window in it.
pub(crate) struct Window {
    socket: PathBuf,
    name: String,
}

async fn tmux(socket: &PathBuf, arguments: &[&str]) -> String {
    let programs = binary("sealwire-chat");
    let programs = programs.parent().expect("a program lies in a folder").display();
    let path = std::env::var("PATH").expect("there is a PATH");
    let mut command = Command::new("tmux");
    // Of the variables of a new window, tmux takes this one from whoever asks for it.
    command.env("PATH", format!("{programs}:{path}"));
    command.arg("-u").arg("-f").arg("/dev/null").arg("-S").arg(socket).args(arguments).stdin(Stdio::null());
    let output = command.output().await.expect("tmux runs: tools/setup installs it");
    assert!(output.status.success(), "tmux {arguments:?}: {}", output.stderr.escape_ascii());
    String::from_utf8(output.stdout).expect("a screen is text")
}

impl Tmux {
    pub(crate) fn new() -> Self {
        Self { home: TempDir::with_prefix("sealwire-tmux-").expect("a directory can be made") }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("socket")
    }

    /// Opens a window with a shell in which the person's profile is at hand.
    pub(crate) async fn open(&self, place: &Terminal, name: &str) -> Window {
        let variables = [
            format!("SEALWIRE_PASSPHRASE_FILE={}", passphrase_file(place.home()).display()),
            "LC_ALL=C.UTF-8".to_owned(),
            "TZ=UTC".to_owned(),
            "NO_COLOR=".to_owned(),
        ];
        let home = place.home().to_str().expect("a path of a test is text");
        let mut arguments = vec!["new-session", "-d", "-s", name, "-x", "80", "-y", "24", "-c", home];
        arguments.extend(variables.iter().flat_map(|variable| ["-e", variable.as_str()]));
        arguments.push("sh");
        tmux(&self.socket(), &arguments).await;
        let window = Window { socket: self.socket(), name: name.to_owned() };
        window.text(&format!("PS1='{PROMPT} '")).await;
        window.keys(&["Enter"]).await;
        window.shows_line_ending(PROMPT).await;
        window
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = std::process::Command::new("tmux");
        command.arg("-S").arg(self.socket()).arg("kill-server").stdout(Stdio::null()).stderr(Stdio::null());
        // A server that has ended already is no failure.
        drop(command.status());
    }
}

impl Window {
    async fn tmux(&self, command: &str, arguments: &[&str]) -> String {
        tmux(&self.socket, &[&[command, "-t", &self.name], arguments].concat()).await
    }

    /// Presses keys, by tmux's names for them.
    pub(crate) async fn keys(&self, keys: &[&str]) {
        for key in keys {
            self.tmux("send-keys", &[key]).await;
        }
    }

    /// Presses Escape, and waits until what it closes is gone: a key that comes at once would be a part of its sequence.
    pub(crate) async fn escape(&self, closed: &str) {
        self.shows(closed).await;
        self.keys(&["Escape"]).await;
        self.shows_no(closed).await;
    }

    pub(crate) async fn text(&self, text: &str) {
        self.tmux("send-keys", &["-l", text]).await;
    }

    /// Types a text, waits until it can be seen, and presses Enter.
    pub(crate) async fn line(&self, text: &str) {
        self.text(text).await;
        let end: String = text.chars().skip(text.chars().count().saturating_sub(10)).collect();
        self.shows(end.trim()).await;
        self.keys(&["Enter"]).await;
    }

    /// Pastes a text as a terminal does that knows of bracketed paste.
    pub(crate) async fn paste(&self, text: &str) {
        tmux(&self.socket, &["set-buffer", text]).await;
        self.tmux("paste-buffer", &["-p"]).await;
    }

    pub(crate) async fn resize(&self, columns: u16, lines: u16) {
        self.tmux("resize-window", &["-x", &columns.to_string(), "-y", &lines.to_string()]).await;
    }

    pub(crate) async fn screen(&self) -> String {
        self.tmux("capture-pane", &["-p"]).await
    }

    /// Whether something on the screen has a colour.
    pub(crate) async fn has_colours(&self) -> bool {
        let screen = self.tmux("capture-pane", &["-p", "-e"]).await;
        let orders = screen.split("\u{1b}[").skip(1).filter_map(|rest| rest.split('m').next());
        let is_colour =
            |number: &str| number.parse().is_ok_and(|n: u8| matches!(n, 30..=37 | 38 | 40..=47 | 48 | 90..=107));
        orders.flat_map(|order| order.split(';')).any(is_colour)
    }

    /// The digits of the safety number on the screen.
    pub(crate) async fn digits(&self) -> String {
        let screen = self.screen().await;
        let is_group = |word: &&str| word.len() == 5 && word.bytes().all(|b| b.is_ascii_digit());
        screen.split([' ', '\n', '│']).filter(is_group).collect()
    }

    async fn waits(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let screen = self.screen().await;
            if holds(&screen) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} waits for {what:?}, and sees:\n{screen}", self.name);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a text is on the screen.
    pub(crate) async fn shows(&self, text: &str) {
        self.waits(text, |screen| screen.contains(text)).await;
    }

    /// Waits until a line of the screen ends with a text.
    pub(crate) async fn shows_line_ending(&self, text: &str) {
        self.waits(text, |screen| screen.lines().any(|line| line.trim_end().ends_with(text))).await;
    }

    /// Waits until a text is not on the screen any more.
    pub(crate) async fn shows_no(&self, text: &str) {
        self.waits(&format!("no {text}"), |screen| !screen.contains(text)).await;
    }

    /// Waits until what is typed is not shown.
    pub(crate) async fn hides_what_is_typed(&self) {
        let terminal = self.tmux("display-message", &["-p", "#{pane_tty}"]).await;
        let begun = Instant::now();
        loop {
            let asked = Command::new("stty").args(["-a", "-F", terminal.trim()]).output().await.expect("stty runs");
            if String::from_utf8_lossy(&asked.stdout).split_whitespace().any(|word| word == "-echo") {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} shows what is typed", self.name);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends a signal to what the shell runs.
    pub(crate) async fn kill_program(&self, signal: &str) {
        let shell = self.tmux("display-message", &["-p", "#{pane_pid}"]).await;
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("a shell runs");
        let program = children.split_whitespace().next().expect("the shell runs a program");
        let status = Command::new("kill").args([&format!("-{signal}"), program]).status().await.expect("kill runs");
        assert!(status.success());
    }

    pub(crate) async fn close(self) {
        self.tmux("kill-session", &[]).await;
    }

    /// The shell is heard again, and what is typed is seen, on lines of their own.
    pub(crate) async fn gives_the_prompt_back(&self) {
        self.shows_line_ending(PROMPT).await;
        self.line("echo ended with $?").await;
        self.shows("ended with 0").await;
    }
}
