//! Making a wrap key: seconds of computing, on a thread of its own, so that nothing else waits for it.

use std::thread;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::WrapKey;
use tokio::sync::oneshot;

/// A key that is being made. When this is dropped, the thread finishes, and the key is zeroized.
pub(super) struct Making {
    seq: u64,
    key: oneshot::Receiver<WrapKey>,
}

impl Making {
    /// Starts to make a key, for the certificate with this number.
    pub(super) fn start(seq: u64) -> Self {
        let (made, key) = oneshot::channel();
        let make = move || {
            // Whoever asked may have gone.
            drop(made.send(WrapKey::generate(&mut UnwrapErr(SysRng))));
        };
        // Without a thread, the sender is dropped, and no key comes: it is tried again later.
        let _ = thread::Builder::new().name("sealwire-key".to_owned()).spawn(make);
        Self { seq, key }
    }

    /// Waits for the key that is being made, for ever if there is none; `None` when none could be made.
    pub(super) async fn done(making: &mut Option<Self>) -> (u64, Option<WrapKey>) {
        let Some(Self { seq, key }) = making else { return std::future::pending().await };
        let made = (*seq, key.await.ok());
        *making = None;
        made
    }
}
