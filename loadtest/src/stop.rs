//! Ending before the end, by Ctrl-C or `kill`: what was played is still checked and reported, and servers and directories go. A
//! second signal ends the program at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// As shells say of a program that Ctrl-C has ended.
pub(crate) const EXIT_CODE: u8 = 130;

static STOPPED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Listens for signals from now on.
pub(crate) fn listen() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, and only raises it.
        flag::register_conditional_shutdown(signal, EXIT_CODE.into(), STOPPED.clone())?;
        flag::register(signal, STOPPED.clone())?;
    }
    Ok(())
}

/// Whether somebody wants an end.
pub(crate) fn is_wanted() -> bool {
    STOPPED.load(Ordering::Relaxed)
}
