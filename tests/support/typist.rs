//! A person at a terminal: what they see, and what they type.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::stranger::PATIENCE;

/// Somebody who sits before a program: its standard input and standard error are their terminal, its standard output is not.
#[derive(Debug)]
pub struct Typist {
    keyboard: File,
    shown: mpsc::Receiver<String>,
    screen: String,
}

impl Typist {
    /// Starts a program on a terminal of its own.
    ///
    /// # Panics
    /// When this machine gives none, or the program does not start.
    pub fn start(command: &mut Command) -> (Self, Child) {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("a terminal that can be opened");
        let name = ptsname(&terminal, Vec::new()).expect("a terminal's name").into_string().expect("text");
        let other = OpenOptions::new().read(true).write(true).open(name).expect("the terminal's other side");
        command.stdin(other.try_clone().expect("a second descriptor")).stderr(other).stdout(Stdio::piped());
        let child = command.spawn().expect("the program starts");
        // Only the program holds the other side now, so its end is seen.
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(terminal);
        let mut shown = keyboard.try_clone().expect("a second descriptor");
        let (send, receive) = mpsc::channel(64);
        // A thread: a terminal can be waited for by reading it only. It ends when the program does.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux says EIO when the other side is gone.
            while let Ok(read @ 1..) = shown.read(&mut buffer) {
                if send.blocking_send(String::from_utf8_lossy(&buffer[..read]).into_owned()).is_err() {
                    break;
                }
            }
        });
        (Self { keyboard, shown: receive, screen: String::new() }, child)
    }

    /// Waits until these words are on the screen, also while keys are made; gives what was there before them, and forgets both.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn sees(&mut self, words: &str) -> String {
        loop {
            if let Some((before, after)) = self.screen.split_once(words) {
                let before = before.to_owned();
                self.screen = after.to_owned();
                return before;
            }
            let more = timeout(4 * PATIENCE, self.shown.recv()).await;
            let more = more.unwrap_or_else(|_| panic!("{words:?} was not shown: {:?}", self.screen));
            let more = more.unwrap_or_else(|| panic!("it ended without showing {words:?}: {:?}", self.screen));
            self.screen.push_str(&more);
        }
    }

    /// Types a line.
    ///
    /// # Panics
    /// When the program has ended.
    pub fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("somebody reads what is typed");
    }
}
