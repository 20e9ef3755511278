//! Looking for many byte strings at once, in everything that a server leaves behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use aho_corasick::AhoCorasick;
use sealwire_tests::Server;
use tempfile::TempDir;

use super::secrets::Secret;

/// What was found, how often.
pub(crate) type Found = BTreeMap<String, usize>;

/// Finds these byte strings.
pub(crate) fn find(secrets: &[Secret], haystack: &[u8]) -> Found {
    let searcher = AhoCorasick::new(secrets.iter().map(|secret| &secret.bytes)).expect("a few hundred strings");
    let mut found = Found::new();
    for hit in searcher.find_overlapping_iter(haystack) {
        *found.entry(secrets[hit.pattern().as_usize()].name.clone()).or_default() += 1;
    }
    found
}

/// A core image of a running process, which goes on afterwards.
pub(crate) fn core_of(pid: u32) -> Vec<u8> {
    let directory = TempDir::new().expect("a directory");
    let prefix = directory.path().join("core");
    let mut gcore = Command::new("gcore");
    gcore.arg("-o").arg(&prefix).arg(pid.to_string()).env("DEBUGINFOD_URLS", "").current_dir(directory.path());
    let output = gcore.output().expect("gcore is missing: tools/setup installs it (Debian's package gdb)");
    let core = fs::read(directory.path().join(format!("core.{pid}")));
    let said = [output.stdout, output.stderr].concat();
    core.unwrap_or_else(|error| {
        panic!("gcore made no image of process {pid} (may it trace others here?): {error}\n{}", said.escape_ascii())
    })
}

/// Everything in a server's data directory.
pub(crate) fn data_of(server: &Server) -> Vec<u8> {
    fn collect(directory: &Path, all: &mut Vec<u8>) {
        for entry in fs::read_dir(directory).expect("the directory can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, all);
            } else {
                all.extend(fs::read(&path).expect("the file can be read"));
            }
        }
    }
    let mut all = Vec::new();
    collect(server.data_dir(), &mut all);
    all
}
