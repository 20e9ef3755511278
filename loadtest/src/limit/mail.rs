//! What the relay's threads share, and how one hands frames to a connection of another.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::numbering::ID;
use crate::socket::Bell;

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) thread: usize,
    pub(super) peer: u32,
    /// Tells it from others that had the same number before.
    pub(super) life: u32,
}

/// The text of a message id.
pub(super) type Id = [u8; ID];

/// Something for a connection of another thread. What a delivery says lies in [`Mail::bytes`], one after the other.
pub(super) enum Item {
    Delivery { to: Place, from: Place, id: Id, length: usize },
    Delivered { to: Place, id: Id },
}

/// What one thread has for another; a turn's worth is handed over at once.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) items: Vec<Item>,
    pub(super) bytes: Vec<u8>,
}

impl Mail {
    fn append(&mut self, more: &mut Self) {
        if self.items.is_empty() {
            return std::mem::swap(self, more);
        }
        self.items.append(&mut more.items);
        self.bytes.append(&mut more.bytes);
    }
}

/// A thread's box. A relay promises nothing, so what it holds is bounded by what senders have unanswered.
pub(super) struct Mailbox {
    pub(super) bell: Bell,
    mail: Mutex<Mail>,
}

/// What all threads share.
pub(super) struct Shared {
    directory: RwLock<HashMap<Vec<u8>, Place>>,
    boxes: Vec<Mailbox>,
    pub(super) status_delay: u64,
}

impl Shared {
    pub(super) fn new(threads: usize, status_delay: u64) -> io::Result<Self> {
        let mailbox = |_| Ok(Mailbox { bell: Bell::new()?, mail: Mutex::default() });
        let boxes = (0..threads).map(mailbox).collect::<io::Result<_>>()?;
        Ok(Self { directory: RwLock::default(), boxes, status_delay })
    }

    pub(super) fn threads(&self) -> usize {
        self.boxes.len()
    }

    /// Where a name is connected.
    pub(super) fn find(&self, name: &[u8]) -> Option<Place> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// A name is connected here from now on.
    pub(super) fn enter(&self, name: &[u8], place: Place) {
        self.directory.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_vec(), place);
    }

    /// Hands a turn's worth over; what is lent comes back empty.
    pub(super) fn hand_over(&self, thread: usize, mail: &mut Mail) {
        if mail.items.is_empty() {
            return;
        }
        let mailbox = &self.boxes[thread];
        mailbox.mail.lock().unwrap_or_else(PoisonError::into_inner).append(mail);
        mailbox.bell.ring();
    }

    /// Takes what has come for a thread; what is lent must be empty.
    pub(super) fn take(&self, thread: usize, mail: &mut Mail) {
        std::mem::swap(mail, &mut *self.boxes[thread].mail.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What rings when something comes.
    pub(super) fn bell(&self, thread: usize) -> &Bell {
        &self.boxes[thread].bell
    }
}
