//! The counters of a conversation: given out when sending, checked when receiving (protocol section 4).
//!
//! A conversation is the `to` name. Each sending device counts 1, 2, 3 ... in it, and each message names by `previous`
//! all that came before it.

use sealwire_protocol::ids::MessageId;
use sealwire_protocol::signed;

/// A message's place in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// 1, 2, 3 ...
    pub counter: u64,
    /// Stands for all messages before; zeros in the first.
    pub previous: [u8; 32],
    /// The message at this place.
    pub message_id: MessageId,
}

impl Link {
    /// The `previous` of the message after this one.
    pub fn hash(&self) -> [u8; 32] {
        signed::chain(&self.previous, self.counter, &self.message_id)
    }
}

/// The end of the chain that this device sends in one conversation: the next message's counter and `previous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The next message's counter.
    pub counter: u64,
    /// The next message's `previous`.
    pub previous: [u8; 32],
}

impl Default for Head {
    fn default() -> Self {
        Self { counter: 1, previous: [0; 32] }
    }
}

impl Head {
    /// Gives the next place to a message.
    pub fn take(&mut self, message_id: MessageId) -> Link {
        let link = Link { counter: self.counter, previous: self.previous, message_id };
        *self = Self { counter: self.counter + 1, previous: link.hash() };
        link
    }

    /// Takes back the place of a message of which nothing ever left this device, and of all behind it.
    pub fn take_back(&mut self, link: &Link) {
        *self = Self { counter: link.counter, previous: link.previous };
    }
}

/// What is known around the place of a message that has just been opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The message that holds its place already.
    pub same: Option<MessageId>,
    /// The message one before.
    pub before: Option<Link>,
    /// The message one after.
    pub after: Option<Link>,
}

/// Proof that a device, or somebody with its keys, wrote two histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// Two messages have the same counter.
    SameCounter,
    /// A message and the one before it do not belong to the same chain.
    BrokenLink,
}

/// Checks a message against its neighbours. Whatever is found, the message itself is genuine and is shown.
pub fn check(link: &Link, around: &Neighbours) -> Option<Fork> {
    if around.same.is_some_and(|other| other != link.message_id) {
        return Some(Fork::SameCounter);
    }
    let follows = around.before.is_none_or(|before| before.hash() == link.previous);
    let is_followed = around.after.is_none_or(|after| after.previous == link.hash());
    if follows && is_followed { None } else { Some(Fork::BrokenLink) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u64) -> MessageId {
        MessageId::new_v7(n, [0; 10])
    }

    fn chain_of(n: u64) -> Vec<Link> {
        let mut head = Head::default();
        (1..=n).map(|n| head.take(id(n))).collect()
    }

    fn around(links: &[Link], at: usize) -> Neighbours {
        let before = at.checked_sub(1).map(|i| links[i]);
        Neighbours { same: None, before, after: links.get(at + 1).copied() }
    }

    #[test]
    fn the_first_message_has_counter_one_and_previous_zero() {
        let first = Head::default().take(id(1));
        assert_eq!((first.counter, first.previous), (1, [0; 32]));
    }

    #[test]
    fn two_messages_at_one_place_are_a_fork_a_repeat_is_none() {
        let link = chain_of(1)[0];
        let at_its_place = |other| Neighbours { same: Some(other), ..Neighbours::default() };
        assert_eq!(check(&link, &at_its_place(id(2))), Some(Fork::SameCounter));
        assert_eq!(check(&link, &at_its_place(id(1))), None);
    }

    #[test]
    fn what_was_taken_back_is_given_out_again() {
        let mut head = Head::default();
        head.take(id(1));
        let withdrawn = head.take(id(2));
        head.take(id(3));
        head.take_back(&withdrawn);
        let again = head.take(id(4));
        assert_eq!((again.counter, again.previous), (withdrawn.counter, withdrawn.previous));
    }

    proptest! {
        #[test]
        fn every_message_of_a_chain_fits_between_its_neighbours(n in 1_u64..20) {
            let links = chain_of(n);
            for (at, link) in links.iter().enumerate() {
                prop_assert_eq!(check(link, &around(&links, at)), None);
            }
        }

        #[test]
        fn a_message_of_another_history_does_not_fit(n in 2_u64..20, at in 0_usize..20) {
            let mut links = chain_of(n);
            let at = at % links.len();
            let neighbours = around(&links, at);
            links[at].message_id = id(99);
            let expected = (neighbours.after.is_some()).then_some(Fork::BrokenLink);
            prop_assert_eq!(check(&links[at], &neighbours), expected);
            if at > 0 {
                links[at].previous = [7; 32];
                prop_assert_eq!(check(&links[at], &neighbours), Some(Fork::BrokenLink));
            }
        }
    }
}
