//! A thread that owns a connection and does one job after another.
//!
//! SQLite blocks, so it gets threads of its own instead of the runtime's. The queue is bounded: who finds it full gets
//! [`StoreError::Unavailable`] at once instead of waiting without knowing for how long.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::StoreError;

/// What a worker owns.
pub(super) trait State: Send + 'static {
    /// Called once nothing has been asked for during [`REST`]: what is only kept to be quick can go.
    fn rest(&mut self) {}

    /// Called at least every [`IDLE`] and [`REST`] while nothing is asked for.
    fn idle(&mut self) {}

    /// Called when no job will come any more, before it is dropped.
    fn close(&mut self) {}
}

/// How long a worker waits for a job before it gives back what it can do without.
const REST: Duration = Duration::from_secs(1);

/// How long a worker that rests waits for a job before it looks after itself.
const IDLE: Duration = Duration::from_secs(60);

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A handle to the thread; dropping it lets the thread finish what is queued, and waits for that.
pub(super) struct Worker<S> {
    jobs: Option<SyncSender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: State> Worker<S> {
    /// Starts the thread with room for `queue` jobs that wait.
    pub(super) fn start(name: &str, queue: usize, state: S) -> std::io::Result<Self> {
        let (jobs, queued) = sync_channel(queue);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(state, &queued))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has the thread do a job and waits for its result. A job that is queued is done even if nobody waits any more.
    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        // The one who asked may have gone; that is no concern of the job.
        self.queue(Box::new(move |state| drop(reply.send(job(state)))))?;
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn queue(&self, job: Job<S>) -> Result<(), StoreError> {
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => {
                Err(StoreError::Unavailable("it is busy: too many requests wait".to_owned()))
            }
            Some(Err(TrySendError::Disconnected(_))) | None => Err(stopped()),
        }
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a thread of the store had stopped before its time");
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("its thread has stopped".to_owned())
}

fn work<S: State>(mut state: S, jobs: &Receiver<Job<S>>) {
    let mut rests = false;
    loop {
        match jobs.recv_timeout(if rests { IDLE } else { REST }) {
            Ok(job) => job(&mut state),
            Err(RecvTimeoutError::Timeout) if rests => state.idle(),
            Err(RecvTimeoutError::Timeout) => {
                state.rest();
                rests = true;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break state.close(),
        }
        rests = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl State for Vec<u8> {}

    #[test]
    fn who_finds_the_queue_full_is_refused_and_the_others_are_served() {
        let worker = Worker::start("test", 1, Vec::<u8>::new()).unwrap();
        let (begun, has_begun) = sync_channel(0);
        let (finish, may_finish) = sync_channel::<()>(0);
        let first = Box::new(move |_: &mut Vec<u8>| {
            begun.send(()).unwrap();
            may_finish.recv().unwrap();
        });
        worker.queue(first).unwrap();
        has_begun.recv().unwrap();
        let (served, has_served) = sync_channel(1);
        worker.queue(Box::new(move |_| served.send(()).unwrap())).unwrap();
        let refusal = worker.queue(Box::new(|_| {})).unwrap_err();
        assert!(matches!(refusal, StoreError::Unavailable(text) if text.contains("busy")));
        finish.send(()).unwrap();
        has_served.recv().unwrap();
    }

    /// Says when it rests.
    struct Resting(SyncSender<u8>, u8);

    impl State for Resting {
        fn rest(&mut self) {
            self.0.send(self.1).unwrap();
        }
    }

    #[test]
    fn a_worker_that_has_nothing_to_do_rests_after_its_jobs() {
        let (rests, has_rested) = sync_channel(1);
        let worker = Worker::start("test", 2, Resting(rests, 0)).unwrap();
        for n in 1..=2 {
            // It may have rested already when a job comes; then it does so again.
            worker.queue(Box::new(move |state| state.1 = n)).unwrap();
            assert!(has_rested.iter().any(|after| after == n));
        }
    }

    #[test]
    fn what_is_queued_is_done_before_the_end() {
        let (done, is_done) = sync_channel(10);
        let worker = Worker::start("test", 10, Vec::<u8>::new()).unwrap();
        for n in 0..10 {
            let done = done.clone();
            worker.queue(Box::new(move |_| done.send(n).unwrap())).unwrap();
        }
        drop((worker, done));
        assert_eq!(is_done.iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }
}
