//! Threads that sign. A signature takes a millisecond or two, for which connections that talk must not wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::keys::Pool;
use crate::person::ToSign;
use crate::worker::Inbox;

/// Something to sign, and for whom.
pub(crate) struct Job {
    pub(crate) worker: usize,
    pub(crate) seat: u32,
    /// The connection of the seat that it is for.
    pub(crate) life: u32,
    pub(crate) to_sign: Vec<ToSign>,
}

/// What was signed.
pub(crate) struct Signed {
    pub(crate) seat: u32,
    pub(crate) life: u32,
    pub(crate) signatures: Vec<Vec<u8>>,
}

/// Jobs wait here. The number of connections that are being opened bounds them: each waits for one.
#[derive(Default)]
pub(crate) struct Desk {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Desk {
    /// Leaves a job; its signatures come to the worker's inbox.
    pub(crate) fn leave(&self, job: Job) {
        self.queue().jobs.push_back(job);
        self.more.notify_one();
    }

    /// Lets the threads end.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.more.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let waiting = self.more.wait_while(self.queue(), |queue| queue.jobs.is_empty() && !queue.closed);
        waiting.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }
}

/// Starts the threads. They are nicer than those that talk, so that log-ins do not show in the latencies of messages.
pub(crate) fn start(threads: usize, desk: &Arc<Desk>, pool: &Arc<Pool>, inboxes: &[Arc<Inbox>]) -> Vec<JoinHandle<()>> {
    let signer = || {
        let (desk, pool, inboxes) = (desk.clone(), pool.clone(), inboxes.to_vec());
        move || {
            // On Linux this is the thread's own. Where it is refused, signing only competes more.
            let _ = rustix::process::setpriority_process(None, 19);
            while let Some(Job { worker, seat, life, to_sign }) = desk.next() {
                let signatures = to_sign.iter().map(|job| pool.key(job.key).sign(&job.message)).collect();
                inboxes[worker].signed(Signed { seat, life, signatures });
            }
        }
    };
    (0..threads).map(|_| thread::spawn(signer())).collect()
}
