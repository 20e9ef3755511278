//! Takes out of the store what is over: mail that nobody has fetched in time, backups that another one has replaced.

use std::sync::Arc;
use std::time::Duration;

use sealwire_store::{Expired, Store, StoreError};

use super::Directory;
use crate::in_time;
use crate::router::{Link, News};

/// How many rows one transaction takes out at most, and how many of them follow each other before the next sweep.
const BATCH: usize = 500;
const ROUNDS: usize = 100;

/// One sweep.
pub(super) struct Sweep {
    pub(super) store: Arc<dyn Store>,
    pub(super) directory: Arc<Directory>,
    /// To the other nodes, if there are any.
    pub(super) link: Option<Arc<Link>>,
    /// How long a request of the store may take. The next sweep tries again.
    pub(super) patience: Duration,
    /// Copies that were accepted before it are over (milliseconds since 1970).
    pub(super) mail_before: u64,
    /// So are backups that were replaced before it.
    pub(super) backups_before: u64,
}

impl Sweep {
    /// Does it. Senders who are here are told; the others are told when they come.
    pub(super) async fn run(&self) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let Expired { copies, notices } =
                in_time(self.patience, self.store.expire(self.mail_before, BATCH)).await?;
            let mut elsewhere = Vec::new();
            for notice in &notices {
                let news = News::Expired(notice.message_id);
                match self.directory.find(&notice.device) {
                    Some(sender) => sender.tell(news.event()),
                    None => elsewhere.push((notice.device, news)),
                }
            }
            if let Some(link) = &self.link {
                link.tell_devices(elsewhere);
            }
            if copies < BATCH {
                break;
            }
        }
        for _ in 0..ROUNDS {
            let erase = self.store.erase_replaced_backups(self.backups_before, BATCH);
            if in_time(self.patience, erase).await? < BATCH {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sealwire_store::{Batch, Mail, Mailboxes, MemoryStore};

    use super::*;
    use crate::session::fixtures::{device, mail};

    #[tokio::test]
    async fn own_copies_that_are_over_go_in_one_sweep_like_the_others() {
        let store = Arc::new(MemoryStore::new());
        let copy = |n: u64| Mail { device: device(1), own: n > 1, accepted_at: 10, ..mail(n) };
        let appends = (1..=2 * BATCH as u64 + 7).map(copy).collect();
        store.execute(Batch { appends, ..Batch::default() }).await.unwrap();
        let sweep = Sweep {
            store: store.clone(),
            directory: Arc::default(),
            link: None,
            patience: Duration::from_secs(60),
            mail_before: 11,
            backups_before: 0,
        };
        sweep.run().await.unwrap();
        let left = store.front(&device(1), HashSet::new(), usize::MAX, usize::MAX).await.unwrap();
        assert!(left.mail.is_empty());
    }

    #[tokio::test]
    async fn a_store_that_never_answers_is_given_up() {
        let never = std::future::pending::<Result<(), StoreError>>();
        assert!(matches!(in_time(Duration::from_millis(1), never).await, Err(StoreError::Unavailable(_))));
    }
}
