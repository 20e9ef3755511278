//! What the devices of a run tell each other and the hand that disturbs them: counts of what has happened, never times.

use std::cell::{Cell, RefCell};
use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sealwire_tests::stranger::PATIENCE;
use tokio::sync::watch;
use tokio::time::timeout;

/// What has happened since the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Log-ins of any device.
    pub(crate) log_ins: usize,
    /// `message` frames written by senders, repeats too.
    pub(crate) sent: usize,
    /// First statuses.
    pub(crate) statuses: usize,
    /// Messages that have reached the receiver, repeats not counted.
    pub(crate) arrivals: usize,
}

/// The state that all sides of a run share. One task runs all of them.
pub(crate) struct World {
    pub(crate) counts: watch::Sender<Counts>,
    /// Whether the server is worth dialling.
    pub(crate) up: watch::Sender<bool>,
    /// How many messages each sender may have sent.
    pub(crate) released: watch::Sender<usize>,
    /// Rises when the senders are to lose their connection.
    pub(crate) cut_senders: watch::Sender<u32>,
    /// Rises when the receiver is to lose its connection.
    pub(crate) cut_receiver: watch::Sender<u32>,
    /// Whether nothing more will be disturbed and every message has its status.
    pub(crate) settled: watch::Sender<bool>,
    seed: u64,
    rng: RefCell<StdRng>,
    pub(crate) repeats: Cell<usize>,
    /// Statuses of repeats whose message had its last status already.
    pub(crate) told_again: Cell<usize>,
    /// Messages that were refused for now, as by a store that did not answer in time: those behind them may overtake.
    pub(crate) refusals: Cell<usize>,
}

impl World {
    /// A world whose choices follow from `SEALWIRE_SEED`, or from a seed that is new each time.
    pub(crate) fn new() -> Self {
        let fresh = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        let seed = env::var("SEALWIRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(fresh);
        println!("seed {seed} (SEALWIRE_SEED={seed} makes the same choices again)");
        Self {
            counts: watch::Sender::default(),
            up: watch::Sender::new(true),
            released: watch::Sender::default(),
            cut_senders: watch::Sender::default(),
            cut_receiver: watch::Sender::default(),
            settled: watch::Sender::default(),
            seed,
            rng: RefCell::new(StdRng::seed_from_u64(seed)),
            repeats: Cell::default(),
            told_again: Cell::default(),
            refusals: Cell::default(),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// A number of the range, both ends included.
    pub(crate) fn pick(&self, from: usize, to: usize) -> usize {
        self.rng.borrow_mut().random_range(from..=to.max(from))
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    pub(crate) fn so_far(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until the server is worth dialling.
    pub(crate) async fn server_is_up(&self) {
        self.up.subscribe().wait_for(|up| *up).await.expect("the world outlives its devices");
    }

    /// Waits until the counts are as asked.
    ///
    /// # Panics
    /// When nothing happens any more, so that they never will be: something was lost.
    pub(crate) async fn until(&self, reached: impl Fn(&Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        while !reached(&counts.borrow_and_update()) {
            let change = timeout(PATIENCE, counts.changed()).await;
            assert!(change.is_ok(), "nothing happens behind {:?}, seed {}", self.so_far(), self.seed);
        }
    }
}
