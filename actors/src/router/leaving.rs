//! Nodes that end in order say so once all that they held is stored. Nobody waits for them from then on: without that a copy on
//! its way there, a nudge, and a device that comes back would each cost a time-out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sealwire_bus::NodeId;
use sealwire_bus::frames::Frame;

use super::link::Link;

/// How many nodes are remembered. A node that starts again is another one, and what the bus holds of one that is gone counts
/// for seconds only.
const REMEMBERED: usize = 64;

/// Nodes that have said good-bye, the last ones.
#[derive(Debug, Default)]
pub(super) struct Left(Vec<NodeId>);

impl Left {
    /// Whether this one has.
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.0.contains(&node)
    }

    fn add(&mut self, node: NodeId) {
        if !self.has(node) {
            self.0.push(node);
        }
        if self.0.len() > REMEMBERED {
            self.0.remove(0);
        }
    }
}

impl Link {
    /// Tells the others that this node is about to end. It is not renewed any more, and says nothing else.
    pub(crate) fn say_good_bye(&self) {
        self.broadcast(&Frame::Leaving);
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether it has been told.
    pub(super) fn has_said_good_bye(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Another node has ended: none of its connections is there any more, and all that it held is committed. So who asked it
    /// to let go has its answer, and who was to be nudged there finds the mail when it connects elsewhere.
    pub(super) fn note_left(self: &Arc<Self>, node: NodeId) {
        {
            let mut left = self.left.lock();
            left.add(node);
            self.places.retain(|_, known| known.place.is_none_or(|place| place.node != node));
        }
        self.heard.lock().forget(node);
        let mut peers = self.peers.lock();
        *peers = peers.iter().copied().filter(|peer| *peer != node).collect();
        drop(peers);
        self.give_up(|place| place.node == node);
        let theirs: Vec<u64> = {
            let questions = self.questions.lock();
            questions.iter().filter(|(_, question)| question.node == node).map(|(id, _)| *id).collect()
        };
        for id in theirs {
            // As after an answer: whoever has stopped waiting for it has more to read.
            if let Some(session) = self.answered(id).and_then(|device| self.directory.find(&device)) {
                session.nudge();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use sealwire_bus::{Bus, MemoryBus, MemoryHub};
    use tokio::runtime::Handle;

    use super::*;
    use crate::clock::Clock;
    use crate::presence::Directory;
    use crate::session::fixtures::{device, parcel};
    use crate::spool::{Bounds, SpoolQueue};

    struct Site {
        bus: Arc<MemoryBus>,
        spool: Arc<SpoolQueue>,
        link: Arc<Link>,
    }

    impl Site {
        async fn of(hub: &MemoryHub) -> Self {
            let (bus, clock) = (Arc::new(hub.join()), Arc::new(Clock::new(0)));
            let (directory, spool) = (Arc::new(Directory::default()), Arc::new(SpoolQueue::new(Bounds::default())));
            let link = Arc::new(Link::new(bus.clone(), clock.clone(), directory, spool.clone(), Handle::current()));
            let (asked, renewal) = (clock.now(), bus.renew().await.expect("the hub answers"));
            link.set_peers(renewal.peers);
            link.lease.renew(asked);
            Self { bus, spool, link }
        }
    }

    #[test]
    fn only_the_last_that_left_are_remembered() {
        let mut left = Left::default();
        (0..=REMEMBERED as u64).for_each(|n| left.add(NodeId(n)));
        left.add(NodeId(1));
        assert!(!left.has(NodeId(0)) && left.has(NodeId(1)) && left.has(NodeId(REMEMBERED as u64)));
        assert_eq!(left.0.len(), REMEMBERED);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_node_that_has_said_good_bye() {
        let hub = MemoryHub::new();
        let (here, there) = (Site::of(&hub).await, Site::of(&hub).await);
        let bob = device(0xb1);
        there.bus.enter(&bob, 7).await.expect("the hub answers");
        let places = here.link.find(&[bob]).await.expect("the hub answers");
        assert!(places[0].is_some() && here.link.start(&parcel(1)), "a copy is on its way there");
        assert!(here.spool.next().is_none());

        here.link.note_left(there.bus.node());
        let stored = here.spool.next().expect("it is stored here instead");
        assert_eq!(stored.appends.len(), 1);
        assert!(!here.link.start(&parcel(2)), "nothing more goes there");
        // The bus shows its entry until its lease is over.
        assert_eq!(here.link.find(&[bob]).await.expect("the hub answers"), [None]);
        let entered = here.link.enter(bob, 1, Duration::from_secs(600));
        assert!(entered.now_or_never().is_some(), "the predecessor is not waited for");
        here.link.note_peer(there.bus.node());
        assert!(!here.link.peers().contains(&there.bus.node()), "what it still says does not bring it back");
    }

    #[tokio::test]
    async fn what_a_node_was_asked_is_answered_by_its_good_bye() {
        let hub = MemoryHub::new();
        let (here, there) = (Site::of(&hub).await, Site::of(&hub).await);
        let bob = device(0xb1);
        there.bus.enter(&bob, 7).await.expect("the hub answers");
        let link = here.link.clone();
        let entering = tokio::spawn(async move { link.enter(bob, 1, Duration::from_secs(600)).await });
        while here.link.questions.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        here.link.note_left(there.bus.node());
        entering.await.expect("it ends long before its time");
        assert!(here.link.questions.lock().is_empty());
    }
}
