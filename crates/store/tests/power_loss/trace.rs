//! From strace's log to what a process did to the files of one directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Which system calls are to be recorded: all that change files or make changes durable. (The log of SQLite's index,
/// `-shm`, is written through memory and never read back after a loss of power.)
pub(crate) const CALLS: &str = "openat,open,creat,close,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,fallocate,\
                         fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat";

/// Something that happened, in the order of the log.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// The directory was made.
    DirectoryMade,
    /// A file came into being under a name.
    Created(String),
    /// Bytes at an offset.
    Write { file: String, offset: usize, bytes: Vec<u8> },
    /// A file got this length.
    Truncate { file: String, length: usize },
    /// A file changed its name.
    Rename { from: String, to: String },
    /// A name is gone.
    Unlink(String),
    /// From here on later writes are not covered by the sync of this thread.
    SyncBegins { target: Target, thread: u32 },
    /// What was written before the sync began is durable.
    SyncEnds { thread: u32 },
    /// The process had this many steps promised.
    Promised(usize),
}

/// What is synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file's content.
    File(String),
    /// The names in the directory.
    Directory,
    /// The name of the directory.
    Parent,
}

/// What an open file descriptor is. Files are followed by the name that they had when they were opened; a file that is
/// renamed is closed before, which the reader checks.
#[derive(Debug, Clone)]
enum Open {
    File { name: String, position: usize },
    Synced(Target),
    Promises,
}

/// Reads a log.
pub(crate) struct Reader {
    directory: PathBuf,
    promises: PathBuf,
    open: HashMap<u32, Open>,
    names: Vec<String>,
    unfinished: HashMap<u32, String>,
    pub(crate) events: Vec<Event>,
}

impl Reader {
    /// Follows the files of `directory` and the promises written to `promises`.
    pub(crate) fn new(directory: &Path, promises: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            promises: promises.to_owned(),
            open: HashMap::new(),
            names: Vec::new(),
            unfinished: HashMap::new(),
            events: Vec::new(),
        }
    }

    /// Takes in the log of a process, after those before it.
    pub(crate) fn process(&mut self, log: &str) {
        self.open.clear();
        self.unfinished.clear();
        log.lines().for_each(|line| self.line(line));
    }

    /// Takes in one line: `pid call(arguments) = result`, or one of its halves.
    fn line(&mut self, line: &str) {
        let (pid, rest) = line.split_once(' ').expect("a line begins with the thread's id");
        let (pid, rest) = (pid.parse().expect("the thread's id is a number"), rest.trim_start());
        if rest.starts_with("+++") || rest.starts_with("---") {
        } else if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            self.begins(pid, begun);
            self.unfinished.insert(pid, begun.to_owned());
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, end) = resumed.split_once(" resumed>").expect("a resumed call names itself");
            let call = self.unfinished.remove(&pid).expect("only what was begun is resumed") + end;
            self.ends(pid, &call);
        } else {
            self.begins(pid, rest);
            self.ends(pid, rest);
        }
    }

    /// A sync covers what was written before it began, and a promise holds from its first moment.
    fn begins(&mut self, thread: u32, call: &str) {
        let (name, arguments) = call.split_once('(').expect("a call has arguments");
        let arguments = split(arguments);
        match name {
            "fsync" | "fdatasync" => {
                if let Some(target) = self.target(&arguments[0]) {
                    self.events.push(Event::SyncBegins { target, thread });
                }
            }
            "write" if matches!(self.fd(&arguments[0]), Some(Open::Promises)) => {
                let text = String::from_utf8(unquote(&arguments[1])).expect("promises are text");
                self.events.push(Event::Promised(text.trim().parse().expect("a promise is a number")));
            }
            _ => {}
        }
    }

    fn ends(&mut self, thread: u32, call: &str) {
        let (call, result) = call.rsplit_once(" = ").expect("a call has a result");
        // It failed, or the process was killed in it.
        if result.trim_start().starts_with(['-', '?']) {
            return;
        }
        let result = result.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let (name, arguments) = call.split_once('(').expect("a call has arguments");
        let arguments = split(arguments);
        match name {
            "openat" => self.opened(&arguments[1], &arguments[2], result),
            "close" => drop(self.open.remove(&number(&arguments[0]))),
            "write" => self.written(&arguments, None, result as usize),
            "pwrite64" => self.written(&arguments, Some(number(&arguments[3]) as usize), result as usize),
            "ftruncate" => self.truncated(&arguments),
            "fsync" | "fdatasync" => {
                if self.target(&arguments[0]).is_some() {
                    self.events.push(Event::SyncEnds { thread });
                }
            }
            "rename" => self.renamed(&arguments),
            "unlink" => self.unlinked(&arguments[0]),
            "mkdir" if self.path(&arguments[0]) == self.directory => self.events.push(Event::DirectoryMade),
            "mkdir" | "lseek" => {}
            // `open` and its like on other files of the process are of no interest; on ours they would go unseen.
            _ => assert!(!self.concerns(&arguments), "the recording does not know how to follow {name}"),
        }
    }

    fn concerns(&self, arguments: &[String]) -> bool {
        let ours = |argument: &String| {
            argument.starts_with('"') && self.path(argument).starts_with(&self.directory)
                || argument.parse().is_ok_and(|fd: u32| self.open.contains_key(&fd))
        };
        arguments.iter().any(ours)
    }

    fn opened(&mut self, path: &str, flags: &str, fd: u64) {
        let path = self.path(path);
        let fd = fd as u32;
        if path == self.promises {
            self.open.insert(fd, Open::Promises);
        } else if path == self.directory {
            self.open.insert(fd, Open::Synced(Target::Directory));
        } else if Some(&*path) == self.directory.parent() {
            self.open.insert(fd, Open::Synced(Target::Parent));
        } else if path.parent() == Some(&*self.directory) {
            let name = path.file_name().expect("a file has a name").to_str().expect("names are text").to_owned();
            assert!(!flags.contains("O_TRUNC") && !flags.contains("O_APPEND"), "the recording does not follow {flags}");
            if !self.names.contains(&name) {
                assert!(flags.contains("O_CREAT"), "{name} was opened before it was made");
                self.names.push(name.clone());
                self.events.push(Event::Created(name.clone()));
            }
            self.open.insert(fd, Open::File { name, position: 0 });
        }
    }

    fn written(&mut self, arguments: &[String], at: Option<usize>, length: usize) {
        let Some(Open::File { name, position }) = self.open.get_mut(&number(&arguments[0])) else { return };
        let offset = at.unwrap_or(*position);
        if at.is_none() {
            *position += length;
        }
        let mut bytes = unquote(&arguments[1]);
        assert!(bytes.len() >= length, "the recording cuts writes short");
        bytes.truncate(length);
        self.events.push(Event::Write { file: name.clone(), offset, bytes });
    }

    fn truncated(&mut self, arguments: &[String]) {
        if let Some(Open::File { name, .. }) = self.fd(&arguments[0]) {
            let (file, length) = (name.clone(), number(&arguments[1]) as usize);
            self.events.push(Event::Truncate { file, length });
        }
    }

    fn renamed(&mut self, arguments: &[String]) {
        let (Some(from), Some(to)) = (self.name(&arguments[0]), self.name(&arguments[1])) else { return };
        let open = |file: &Open| matches!(file, Open::File { name, .. } if *name == from || *name == to);
        assert!(!self.open.values().any(open), "a file was renamed while it was open");
        self.names.retain(|name| *name != from && *name != to);
        self.names.push(to.clone());
        self.events.push(Event::Rename { from, to });
    }

    fn unlinked(&mut self, path: &str) {
        if let Some(name) = self.name(path) {
            self.names.retain(|known| *known != name);
            self.events.push(Event::Unlink(name));
        }
    }

    fn target(&self, fd: &str) -> Option<Target> {
        match self.fd(fd)? {
            Open::File { name, .. } => Some(Target::File(name.clone())),
            Open::Synced(target) => Some(target.clone()),
            Open::Promises => None,
        }
    }

    fn fd(&self, argument: &str) -> Option<&Open> {
        self.open.get(&number(argument))
    }

    fn path(&self, argument: &str) -> PathBuf {
        PathBuf::from(String::from_utf8(unquote(argument)).expect("paths are text"))
    }

    fn name(&self, argument: &str) -> Option<String> {
        let path = self.path(argument);
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        name.filter(|_| path.parent() == Some(&*self.directory))
    }
}

/// The log writes every string in hexadecimal, so a comma is always between arguments and a parenthesis behind them.
fn split(arguments: &str) -> Vec<String> {
    let end = arguments.find(')').unwrap_or(arguments.len());
    arguments[..end].split(',').map(|argument| argument.trim().to_owned()).collect()
}

fn number(argument: &str) -> u32 {
    argument.parse().unwrap_or(u32::MAX)
}

/// `"\x41\x42"` is `AB`.
fn unquote(argument: &str) -> Vec<u8> {
    let hexadecimal = argument.trim_matches('"').split("\\x").skip(1);
    hexadecimal.map(|byte| u8::from_str_radix(byte, 16).expect("a byte has two digits")).collect()
}
