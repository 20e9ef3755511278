//! A disk that keeps what was synced, and of the rest whatever it likes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::trace::{Event, Target};

/// Hardware writes sectors of this many bytes as a whole.
const SECTOR: usize = 512;

/// The files of one directory, and what of them is durable.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    /// What a running process sees.
    names: BTreeMap<String, usize>,
    /// What is durable of it.
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since; they survive in their order, as file systems log them.
    pending_names: Vec<BTreeMap<String, usize>>,
    made: bool,
    durable: bool,
    /// What a sync under way will have made durable, by thread.
    syncs: BTreeMap<u32, Reached>,
}

/// How far things had come when a sync began.
#[derive(Debug, Clone, Copy)]
enum Reached {
    /// Changes of this file, counted from its first.
    File(usize, usize),
    Names(usize),
    Parent(bool),
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// Changes that are durable already.
    synced: usize,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// What survives of that which was not synced.
pub(crate) enum Survives<'a> {
    /// Nothing.
    Nothing,
    /// Everything: the process was killed, the machine went on.
    Everything,
    /// Each change of a file as the dice say; the last one of each file only up to some sector.
    Some(&'a mut Dice),
}

/// A generator of numbers that a seed repeats (xorshift64*; G. Marsaglia, "Xorshift RNGs", 2003).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

impl Disk {
    /// Takes in what happens next.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::DirectoryMade => self.made = true,
            Event::Created(name) => {
                self.files.push(File::default());
                self.rename(|names, newest| {
                    names.insert(name.clone(), newest);
                });
            }
            Event::Rename { from, to } => self.rename(|names, _| {
                let file = names.remove(from).expect("what is renamed is there");
                names.insert(to.clone(), file);
            }),
            Event::Unlink(name) => self.rename(|names, _| {
                names.remove(name);
            }),
            Event::Write { file, offset, bytes } => {
                self.file(file).pending.push(Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Event::Truncate { file, length } => self.file(file).pending.push(Change::Truncate(*length)),
            Event::SyncBegins { target, thread } => {
                let reached = self.reached(target);
                self.syncs.insert(*thread, reached);
            }
            Event::SyncEnds { thread } => {
                let reached = self.syncs.remove(thread).expect("a sync begins before it ends");
                self.sync(reached);
            }
            Event::Promised(_) => {}
        }
    }

    /// Whether anything could be lost.
    pub(crate) fn has_unsynced(&self) -> bool {
        !self.pending_names.is_empty() || self.files.iter().any(|file| !file.pending.is_empty())
    }

    fn rename(&mut self, change: impl FnOnce(&mut BTreeMap<String, usize>, usize)) {
        let newest = self.files.len().saturating_sub(1);
        change(&mut self.names, newest);
        self.pending_names.push(self.names.clone());
    }

    fn file(&mut self, name: &str) -> &mut File {
        &mut self.files[self.names[name]]
    }

    fn reached(&self, target: &Target) -> Reached {
        match target {
            Target::File(name) => {
                let file = self.names[name];
                Reached::File(file, self.files[file].synced + self.files[file].pending.len())
            }
            Target::Directory => Reached::Names(self.pending_names.len()),
            Target::Parent => Reached::Parent(self.made),
        }
    }

    fn sync(&mut self, reached: Reached) {
        match reached {
            Reached::File(file, changes) => self.files[file].sync(changes),
            // Two syncs of the directory at once do not happen: one thread makes the files.
            Reached::Names(changes) => {
                if let Some(durable) = self.pending_names.drain(..changes).next_back() {
                    self.durable_names = durable;
                }
            }
            Reached::Parent(made) => self.durable |= made,
        }
    }

    /// Writes what a machine would find after the loss of power. `-shm` holds nothing durable and is left out.
    pub(crate) fn restore(&self, directory: &Path, mut survives: Survives<'_>) {
        let (made, names) = match &mut survives {
            Survives::Nothing => (self.durable, &self.durable_names),
            Survives::Everything => (self.made, &self.names),
            Survives::Some(dice) => {
                let survivors = dice.below(self.pending_names.len() + 1);
                let names = survivors.checked_sub(1).map_or(&self.durable_names, |last| &self.pending_names[last]);
                (self.made, names)
            }
        };
        if !made {
            return;
        }
        fs::create_dir(directory).unwrap();
        for (name, file) in names.iter().filter(|(name, _)| !name.ends_with("-shm")) {
            fs::write(directory.join(name), self.files[*file].content(&mut survives)).unwrap();
        }
    }
}

impl File {
    fn sync(&mut self, changes: usize) {
        let count = changes.saturating_sub(self.synced);
        for change in self.pending.drain(..count) {
            change.apply(&mut self.durable);
        }
        self.synced += count;
    }

    fn content(&self, survives: &mut Survives<'_>) -> Vec<u8> {
        let mut content = self.durable.clone();
        match survives {
            Survives::Nothing => {}
            Survives::Everything => self.pending.iter().for_each(|change| change.apply(&mut content)),
            Survives::Some(dice) => {
                let survivors: Vec<_> = self.pending.iter().filter(|_| dice.below(2) == 0).collect();
                if let Some((last, others)) = survivors.split_last() {
                    others.iter().for_each(|change| change.apply(&mut content));
                    last.torn(dice).apply(&mut content);
                }
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate(length) => content.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    /// The part of it before some sector of the file.
    fn torn(&self, dice: &mut Dice) -> Self {
        let Self::Write { offset, bytes } = self else { return self.clone() };
        let boundaries: Vec<usize> = (1..=bytes.len()).filter(|n| (offset + n).is_multiple_of(SECTOR)).collect();
        let length = boundaries.get(dice.below(boundaries.len() + 1)).copied().unwrap_or(bytes.len());
        Self::Write { offset: *offset, bytes: bytes[..length].to_vec() }
    }
}
