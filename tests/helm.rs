//! The chart renders, with Helm's own engine, to what Kubernetes and the server take.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealwire_tests::server::binary;

/// The Python that `tools/setup` has put Helm's engine into.
fn python() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv/bin/python3");
    // With TOOLS=DIR it lies elsewhere, and on the PATH.
    if ours.exists() { ours } else { "python3".into() }
}

// The engine's wheel exists for this processor only.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_chart_gives_what_kubernetes_and_the_server_take() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/check.py");
    let output = Command::new(python()).arg("-B").arg(script).arg(binary("sealwire")).output().expect("Python runs");
    assert!(
        output.status.success(),
        "{}\n`tools/setup` installs what this test needs",
        String::from_utf8_lossy(&output.stderr)
    );
}
