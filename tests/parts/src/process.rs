//! A program that runs beside a test: started until it says that it is ready, signalled, killed, and its log kept.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::{guardian, patiently};

/// How far a program has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Starting,
    Ready,
    /// It has closed its output, which it does by ending.
    Over,
}

/// A running program; dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stage: watch::Receiver<Stage>,
    /// Changes with every line.
    lines: watch::Receiver<()>,
    /// Whether it is stopped by a signal.
    frozen: bool,
    log: PathBuf,
}

/// Why a program did not come up.
#[derive(Debug)]
pub struct Failure {
    program: String,
    status: ExitStatus,
    /// What it said.
    pub log: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} did not start ({}). Its log:\n{}", self.program, self.status, self.log)
    }
}

impl Process {
    /// Starts `command` and returns once it has said a line with `ready` in it. What it says is appended to `log`.
    ///
    /// # Errors
    /// When it ends before that.
    ///
    /// # Panics
    /// When it cannot be started, or does neither for long.
    pub async fn start(mut command: Command, ready: &'static str, log: &Path) -> Result<Self, Failure> {
        let file = File::options().create(true).append(true).open(log).expect("a log can be opened");
        let (reader, writer) = std::io::pipe().expect("there are pipes left");
        // Ctrl-C in a terminal goes to whole groups; who started the parts ends them in an order that they like.
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(writer.try_clone().expect("there are files left")).stderr(writer);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {:?}: {error}", command.get_program()));
        let program = command.get_program().to_string_lossy().into_owned();
        // It holds our ends of the pipe for writing; while they are open, the output of the program does not end.
        drop(command);
        guardian::watch(child.id());
        let (tell, stage) = watch::channel(Stage::Starting);
        let (tick, lines) = watch::channel(());
        // A thread and not a task: a test that is blocked, or whose runtime has ended, must not block the program.
        thread::spawn(move || listen(reader, file, ready, &tell, &tick));
        let mut process = Self { child, stage, lines, frozen: false, log: log.to_owned() };
        if patiently(&format!("the start of {program}"), process.reaches(Stage::Ready)).await == Stage::Over {
            return Err(Failure { program, status: process.wait(), log: process.log() });
        }
        Ok(process)
    }

    /// Waits until it has come this far; gives how far it has really come.
    async fn reaches(&mut self, stage: Stage) -> Stage {
        let reached = self.stage.wait_for(|now| *now >= stage).await;
        reached.map_or(Stage::Over, |stage| *stage)
    }

    /// Everything that it has said, also in earlier lives on the same log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it has said `text`.
    ///
    /// # Panics
    /// When it ends before that.
    pub async fn says(&mut self, text: &str) {
        while !self.log().contains(text) {
            let ended = self.lines.changed().await.is_err();
            assert!(!ended, "it ended before it said `{text}`. Its log:\n{}", self.log());
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs and would answer.
    pub fn is_up(&self) -> bool {
        !self.frozen && *self.stage.borrow() == Stage::Ready
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// SIGSTOP: it does nothing any more, and its connections stay open.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        self.frozen = true;
    }

    /// SIGCONT: it goes on where it stood.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
        self.frozen = false;
    }

    /// SIGTERM, unless it has ended; returns its end.
    ///
    /// # Panics
    /// When it does not end for long.
    pub async fn terminate(mut self) -> ExitStatus {
        if *self.stage.borrow() != Stage::Over {
            self.signal(Signal::TERM);
        }
        patiently("an end in order", self.reaches(Stage::Over)).await;
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that was waited for has a status and no number any more.
        if let Ok(None) = self.child.try_wait() {
            // SIGKILL needs no answer, so this wait is short.
            self.child.kill().expect("a child can be killed");
            self.wait();
        }
        guardian::forget(self.child.id());
    }
}

/// Writes down what a program says until it ends, and tells how far it has come.
fn listen(output: PipeReader, mut log: File, ready: &str, tell: &watch::Sender<Stage>, tick: &watch::Sender<()>) {
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { break };
        // Whoever has heard of a stage finds its line in the log.
        let _ = log.write_all(&line).and_then(|()| log.write_all(b"\n"));
        if *tell.borrow() == Stage::Starting && String::from_utf8_lossy(&line).contains(ready) {
            tell.send_replace(Stage::Ready);
        }
        tick.send_replace(());
    }
    tell.send_replace(Stage::Over);
}
