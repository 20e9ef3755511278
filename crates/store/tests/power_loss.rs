//! What the store has promised survives the loss of power, at whatever moment it comes.
//!
//! A process works with a store and writes down each promise that it gets; strace records all that it does to the disk.
//! Then the record is played back up to every sync and promise and many points between, everything that was not synced is
//! dropped (or some of it, or the last of it torn), and the store is opened on what is left. It must hold what was done by
//! the last step promised, or by the one after it, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something wrong")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealwire_store::{MemoryStore, SqliteStore, StoreError};

use self::disk::{Dice, Disk, Survives};
use self::steps::{Content, STEPS};
use self::trace::{Event, Reader};

#[path = "power_loss/disk.rs"]
mod disk;
#[path = "power_loss/restored.rs"]
mod restored;
#[path = "power_loss/steps.rs"]
mod steps;
#[path = "power_loss/trace.rs"]
mod trace;

/// Set in the process that is recorded: where it works.
const RECORDED: &str = "SEALWIRE_STORE_RECORDED";

/// Of the points that are neither a sync nor a promise, one in so many is looked at.
const SAMPLE: usize = 3;

#[test]
fn what_was_promised_survives_the_loss_of_power_at_any_moment() {
    if let Some(base) = std::env::var_os(RECORDED) {
        return work(Path::new(&base), SqliteStore::open);
    }
    let events = record("what_was_promised_survives_the_loss_of_power_at_any_moment");
    let syncs = events.iter().filter(|event| matches!(event, Event::SyncEnds { .. })).count();
    assert!(syncs > STEPS, "the recording holds only {syncs} syncs");
    let tried = try_every_loss(&events).unwrap_or_else(|loss| panic!("{loss}"));
    assert!(tried > 5 * STEPS, "only {tried} losses were tried");
}

#[test]
fn a_store_that_does_not_sync_is_found_out() {
    if let Some(base) = std::env::var_os(RECORDED) {
        return work(Path::new(&base), SqliteStore::open_without_sync);
    }
    let events = record("a_store_that_does_not_sync_is_found_out");
    let loss = try_every_loss(&events).expect_err("without syncs, promises are lost");
    assert!(loss.contains("promised and lost"), "another complaint: {loss}");
}

#[test]
fn a_sync_that_fails_promises_nothing_and_later_ones_do() {
    if let Some(base) = std::env::var_os(RECORDED) {
        return work_despite_errors(Path::new(&base));
    }
    let base = tempfile::tempdir().unwrap();
    let log = base.path().join("data").join("sealwire.db-wal");
    let fault = ["-P", log.to_str().unwrap(), "-e", "inject=fsync,fdatasync:error=EIO:when=5+6"];
    succeeded(strace("a_sync_that_fails_promises_nothing_and_later_ones_do", base.path(), &fault));
    let failures = std::fs::read_to_string(base.path().join("promises")).unwrap();
    assert!(failures.lines().count() >= 5, "the disk failed only at steps {failures}");
}

#[test]
fn what_a_killed_process_left_unsynced_is_synced_before_it_is_believed() {
    if let Some(base) = std::env::var_os(RECORDED) {
        return work_on(Path::new(&base));
    }
    let test = "what_a_killed_process_left_unsynced_is_synced_before_it_is_believed";
    let base = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(&base.path().join("data"), &base.path().join("promises"));
    // The thread that writes is killed instead of its 25th sync, when the log is written but not synced.
    let kill = ["-e", "inject=fsync,fdatasync:error=EIO:signal=KILL:when=25"];
    let (killed, log) = strace(test, base.path(), &kill);
    assert!(!killed.status.success(), "the process survived");
    reader.process(&log);
    let (_, log) = succeeded(strace(test, base.path(), &[]));
    reader.process(&log);
    try_every_loss(&reader.events).unwrap_or_else(|loss| panic!("{loss}"));
}

/// Does the steps from the first that was not promised. That one is done already if a process was killed in it, and what
/// it appended must be recognised.
fn work_on(base: &Path) {
    let promises = base.join("promises");
    let done = std::fs::read_to_string(&promises).map_or(0, |promised| promised.lines().count());
    let mut promises = std::fs::OpenOptions::new().create(true).append(true).open(promises).unwrap();
    let store = SqliteStore::open(&base.join("data")).unwrap();
    for n in done + 1..=STEPS {
        if n == done + 1 && n > 1 {
            runtime().block_on(steps::append_again(&store, n));
        } else {
            runtime().block_on(steps::try_to_perform(&store, n)).unwrap();
        }
        std::io::Write::write_all(&mut promises, format!("{n}\n").as_bytes()).unwrap();
    }
}

/// What the recorded process does.
fn work(base: &Path, open: steps::Open) {
    let directory = base.join("data");
    let mut promises = std::fs::File::create(base.join("promises")).unwrap();
    let mut store = open(&directory).unwrap();
    for n in 1..=STEPS {
        runtime().block_on(steps::try_to_perform(&store, n)).unwrap();
        std::io::Write::write_all(&mut promises, format!("{n}\n").as_bytes()).unwrap();
        store = steps::between(&directory, store, open, n);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Does every step until it succeeds, and holds in the end what the steps leave, each once.
fn work_despite_errors(base: &Path) {
    let directory = base.join("data");
    let store = SqliteStore::open(&directory).unwrap();
    let mut failures = String::new();
    for n in 1..=STEPS {
        while let Err(error) = runtime().block_on(steps::try_to_perform(&store, n)) {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
            failures += &format!("{n}\n");
        }
    }
    let expected = contents_after_each_step().pop();
    assert_eq!(runtime().block_on(Content::of(&store)).ok(), expected);
    drop(store);
    let store = SqliteStore::open(&directory).unwrap();
    assert_eq!(runtime().block_on(Content::of(&store)).ok(), expected);
    std::fs::write(base.join("promises"), failures).unwrap();
}

/// Runs one test of this program under strace and gives what it did.
fn record(test: &str) -> Vec<Event> {
    let base = tempfile::tempdir().unwrap();
    let (_, log) = succeeded(strace(test, base.path(), &[]));
    let mut reader = Reader::new(&base.path().join("data"), &base.path().join("promises"));
    reader.process(&log);
    reader.events
}

/// Runs one test of this program as the process that is recorded, and gives what it said and the record.
fn strace(test: &str, base: &Path, options: &[&str]) -> (Output, String) {
    let log = base.join("strace.log");
    let output = Command::new("strace")
        .args(["-f", "-xx", "-s", "1048576", "-e", "signal=none", "-e", &format!("trace={}", trace::CALLS), "-o"])
        .arg(&log)
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(RECORDED, base)
        .output()
        .expect("strace is needed for this test: install it (Debian: apt-get install strace)");
    (output, std::fs::read_to_string(&log).unwrap())
}

fn succeeded((output, log): (Output, String)) -> (Output, String) {
    assert!(
        output.status.success(),
        "the recorded process failed (or strace may not trace here):\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output, log)
}

/// What a store holds after no step, the first, the second ...
fn contents_after_each_step() -> Vec<Content> {
    let model = MemoryStore::new();
    runtime().block_on(async {
        let mut contents = vec![Content::of(&model).await.unwrap()];
        for n in 1..=STEPS {
            steps::try_to_perform(&model, n).await.unwrap();
            contents.push(Content::of(&model).await.unwrap());
            assert_ne!(contents[n - 1], contents[n], "step {n} leaves no trace, so nobody would notice its loss");
        }
        contents
    })
}

/// Tries the losses of power that the record allows for and says how many; or what the first bad one lost.
fn try_every_loss(events: &[Event]) -> Result<usize, String> {
    let mut trial = Trial::new();
    let mut disk = Disk::default();
    for (at, event) in events.iter().enumerate() {
        // Before a sync has ended nothing of it counts: the most is at stake here.
        if matches!(event, Event::SyncEnds { .. }) {
            trial.lose_everything(&disk, at)?;
            trial.lose_some(&disk, at, 4)?;
        }
        disk.apply(event);
        match event {
            Event::Promised(step) => {
                trial.promised = *step;
                trial.lose_everything(&disk, at)?;
                trial.lose_some(&disk, at, 1)?;
            }
            Event::SyncEnds { .. } => trial.lose_everything(&disk, at)?,
            _ if at % SAMPLE == 0 => trial.lose_some(&disk, at, 1)?,
            _ => {}
        }
    }
    trial.check(&disk, events.len(), "nothing", Survives::Everything)?;
    Ok(trial.tried)
}

struct Trial {
    /// What a store holds after each step.
    contents: Vec<Content>,
    promised: usize,
    tried: usize,
    base: tempfile::TempDir,
}

impl Trial {
    fn new() -> Self {
        Self { contents: contents_after_each_step(), promised: 0, tried: 0, base: scratch() }
    }

    fn lose_everything(&mut self, disk: &Disk, at: usize) -> Result<(), String> {
        self.check(disk, at, "everything", Survives::Nothing)
    }

    fn lose_some(&mut self, disk: &Disk, at: usize, times: u64) -> Result<(), String> {
        if !disk.has_unsynced() {
            return Ok(());
        }
        (0..times).try_for_each(|time| {
            let seed = at as u64 * 31 + time;
            self.check(disk, at, &format!("some (seed {seed})"), Survives::Some(&mut Dice::new(seed)))
        })
    }

    /// Opens what is left and compares it with what was promised.
    fn check(&mut self, disk: &Disk, at: usize, lost: &str, survives: Survives<'_>) -> Result<(), String> {
        self.tried += 1;
        let directory: PathBuf = self.base.path().join("data");
        disk.restore(&directory, survives);
        let complain = |what: String| {
            format!(
                "after event {at}, {lost} of what was not synced being lost, with {} steps promised: {what}",
                self.promised
            )
        };
        let content = SqliteStore::open(&directory)
            .and_then(|store| runtime().block_on(Content::of(&store)))
            .map_err(|error| complain(error.to_string()))?;
        std::fs::remove_dir_all(&directory).unwrap();
        let step = self.contents.iter().rposition(|known| *known == content);
        match step {
            Some(step) if step < self.promised => Err(complain(format!("steps after {step} were promised and lost"))),
            Some(step) if step > self.promised + 1 => Err(complain(format!("it holds step {step} already"))),
            Some(_) => Ok(()),
            None => Err(complain("it holds what no step leaves".to_owned())),
        }
    }
}

/// In memory where there is such a place: thousands of stores are opened, and their own syncs need not reach a disk.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::Builder::new().tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}
