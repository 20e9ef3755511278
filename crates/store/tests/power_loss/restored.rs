//! A store that is being restored when the power is lost: it is there as a whole or not at all.

use std::path::Path;

use sealwire_store::{Export, SqliteStore, Tally};

use crate::disk::{Dice, Disk, Survives};
use crate::steps::{self, Content, STEPS};
use crate::trace::Event;
use crate::{RECORDED, SAMPLE, contents_after_each_step, record, runtime, scratch};

#[test]
fn a_store_that_was_being_restored_is_there_as_a_whole_or_not_at_all() {
    if let Some(base) = std::env::var_os(RECORDED) {
        return work(Path::new(&base));
    }
    let events = record("restored::a_store_that_was_being_restored_is_there_as_a_whole_or_not_at_all");
    let source = scratch();
    fill(source.path());
    let mut trial =
        Trial { source: source.path(), whole: contents_after_each_step().pop().unwrap(), refused: 0, whole_ones: 0 };
    let (mut disk, mut promised, mut marked) = (Disk::default(), false, false);
    for (at, event) in events.iter().enumerate() {
        disk.apply(event);
        promised |= matches!(event, Event::Promised(_));
        if matches!(event, Event::SyncEnds { .. } | Event::Promised(_)) {
            trial.check(&disk, promised, &mut marked, Survives::Nothing);
        }
        if at.is_multiple_of(SAMPLE) || promised {
            trial.check(&disk, promised, &mut false, Survives::Some(&mut Dice::new(at as u64)));
            trial.check(&disk, promised, &mut false, Survives::Everything);
        }
    }
    assert!(promised && marked && trial.refused > 20 && trial.whole_ones > 3, "{} {}", trial.refused, trial.whole_ones);
}

/// A store after all steps.
fn fill(directory: &Path) {
    let store = SqliteStore::open(directory).unwrap();
    for n in 1..=STEPS {
        runtime().block_on(steps::try_to_perform(&store, n)).unwrap();
    }
}

/// What the recorded process does: the promise comes when the restore says that it is done.
fn work(base: &Path) {
    let mut promises = std::fs::File::create(base.join("promises")).unwrap();
    fill(&base.join("source"));
    restore(&base.join("source"), &base.join("data"));
    std::io::Write::write_all(&mut promises, format!("{STEPS}\n").as_bytes()).unwrap();
}

fn restore(from: &Path, to: &Path) {
    runtime().block_on(async {
        let (mut export, mut import) = (SqliteStore::export(from).unwrap(), SqliteStore::import(to).unwrap());
        let (mut put, mut found) = (Tally::default(), Tally::default());
        loop {
            let pieces = export.next().await.unwrap();
            if pieces.is_empty() {
                break;
            }
            pieces.iter().for_each(|piece| put.add(piece));
            // Each alone, so that there are many moments to lose the power in.
            for piece in pieces {
                import.put(vec![piece]).await.unwrap();
            }
        }
        let mut back: Box<dyn Export> = import.read_back().await.unwrap();
        loop {
            let pieces = back.next().await.unwrap();
            if pieces.is_empty() {
                break;
            }
            pieces.iter().for_each(|piece| found.add(piece));
        }
        drop(back);
        assert_eq!(found, put);
        import.release().await.unwrap();
    });
}

struct Trial<'a> {
    source: &'a Path,
    whole: Content,
    refused: usize,
    whole_ones: usize,
}

impl Trial<'_> {
    /// Opens what is left. `marked` says, and hears, whether the half restored store is known for one from now on.
    fn check(&mut self, disk: &Disk, promised: bool, marked: &mut bool, survives: Survives<'_>) {
        let base = scratch();
        let directory = base.path().join("data");
        disk.restore(&directory, survives);
        let content = SqliteStore::open(&directory).map(|store| runtime().block_on(Content::of(&store)).unwrap());
        match content {
            Ok(content) if content == self.whole => self.whole_ones += 1,
            Ok(content) => {
                assert!(!promised && !*marked, "a half restored store is served, or a restored one is lost");
                assert_eq!(content, contents_after_each_step()[0], "it is neither whole nor empty");
            }
            Err(error) => {
                assert!(!promised && error.to_string().contains("has not come to its end"), "{error}");
                *marked = true;
                self.refused += 1;
                if self.refused.is_multiple_of(10) {
                    restore(self.source, &directory);
                    let again = SqliteStore::open(&directory).unwrap();
                    assert_eq!(runtime().block_on(Content::of(&again)).unwrap(), self.whole);
                }
            }
        }
    }
}
