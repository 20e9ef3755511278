//! Writes the generated regions of `docs/protocol.md` anew (`make generate`).

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let text = fs::read_to_string(&page)?;
    let missing = |region| io::Error::other(format!("docs/protocol.md has no region `{region}`"));
    fs::write(&page, sealwire_protocol::page::with_regions(&text).map_err(missing)?)
}
