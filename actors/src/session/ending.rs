//! Connections end in turns.
//!
//! Thousands may break at once, when a proxy or a network goes. To end one takes some 20 microseconds, most of them the system's,
//! and a thread that ended all of its own one behind the other would meanwhile keep those waiting who go on talking.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

use super::socket::Socket;

/// How many connections of a thread end before it looks after the others again.
const AT_ONCE: usize = 8;

thread_local! {
    static TURNS: Arc<Semaphore> = Arc::new(Semaphore::new(AT_ONCE));
}

/// A connection's turn to end. The next one has it when this is dropped.
struct Turn(Option<OwnedSemaphorePermit>);

/// Ends a session, by dropping its context, and its connection, for whose life `held` is held.
pub(super) async fn end<C>(context: C, socket: Socket, held: impl Any) {
    let mut turn = Turn::wait().await;
    drop(context);
    // However the context has ended, the connection ends with it.
    let finish = |cx: &mut Context<'_>| {
        let finished = socket.poll_finish(cx);
        if finished.is_pending() {
            turn.pass_on();
        }
        finished
    };
    if let Err(error) = poll_fn(finish).await {
        tracing::trace!(%error, "a connection was gone before its end");
    }
    drop((socket, held));
    turn.over().await;
}

impl Turn {
    /// Waits for a turn; those who came first have it first.
    async fn wait() -> Self {
        let turns = TURNS.with(Arc::clone);
        Self(turns.acquire_owned().await.ok())
    }

    /// Lets the next one have it: what is left to do waits for the peer, as long as it likes.
    fn pass_on(&mut self) {
        self.0 = None;
    }

    /// The connection has ended. The next one has its turn when the thread has looked after all others.
    async fn over(self) {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// Many connections end at once, of which some first wait for their peers; gives how many have ended.
    fn many_end(waiting_for_peers: usize) -> Rc<Cell<usize>> {
        let ended = Rc::new(Cell::new(0));
        for n in 0..100 * AT_ONCE {
            let ended = ended.clone();
            spawn_local(async move {
                let mut turn = Turn::wait().await;
                if n < waiting_for_peers {
                    turn.pass_on();
                    pending::<()>().await;
                }
                ended.set(ended.get() + 1);
                turn.over().await;
            });
        }
        ended
    }

    #[tokio::test]
    async fn who_goes_on_talking_has_a_turn_between_those_who_end() {
        let talking = async {
            let ended = many_end(0);
            let mut turns = 0;
            while ended.get() < 100 * AT_ONCE {
                let before = ended.get();
                yield_now().await;
                turns += 1;
                assert!(ended.get() - before <= AT_ONCE, "{} of them ended in one go", ended.get() - before);
            }
            assert!(turns >= 100);
        };
        LocalSet::new().run_until(talking).await;
    }

    #[tokio::test]
    async fn peers_that_do_not_read_keep_nobody_from_ending() {
        let others = async {
            let ended = many_end(3 * AT_ONCE);
            while ended.get() < 97 * AT_ONCE {
                yield_now().await;
            }
        };
        LocalSet::new().run_until(others).await;
    }
}
