//! The latest entries by their keys.
//!
//! A busy session looks each message up several times, among thousands that came seconds ago, so almost every entry that is
//! touched comes from main memory. They lie in the order in which they came. Those whose keys fall on the same place are
//! chained from the newest to the oldest, as Deflate's implementations find what they have seen before (RFC 1951,
//! section 4): the oldest is the end of its chain, so it goes without being looked for, and a key that is new touches little
//! more than its place and its entry.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

/// Chains for each entry, about.
const CHAINS: usize = 2;
/// More entries than this could not be told apart by their numbers.
const MOST: usize = 1 << 15;

/// At most `N` entries; one more takes the place of the oldest.
#[derive(Debug)]
pub(crate) struct Remembered<K, V, const N: usize> {
    /// In the order in which they came.
    entries: VecDeque<Entry<K, V>>,
    /// The number of the first of them. Numbers rise by one, and wrap: what names an entry that is gone may in time name
    /// another one, so the key is always looked at too.
    first: u16,
    /// The number of the newest entry of each chain; a chain is chosen by the hash of the key. There are as many as a power
    /// of two, or none.
    newest: Vec<u16>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry<K, V> {
    /// `None` when it was forgotten.
    known: Option<(K, V)>,
    /// The number of the next older entry of its chain. A chain ends where this is none of an older entry.
    older: u16,
}

/// Names an entry for as long as it is remembered; together with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(u16);

/// Tells that a key is new without looking for it, where whoever makes keys lets them rise, as ids of version 7 do
/// (RFC 9562, section 6.2). Others are looked for.
#[derive(Debug)]
pub(crate) struct Rising<K>(Option<K>);

impl<K> Default for Rising<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Ord + Copy> Rising<K> {
    /// Whether the key is above all that were noted.
    pub(crate) fn is_above(&self, key: &K) -> bool {
        self.0.is_none_or(|highest| *key > highest)
    }

    /// Notes a key.
    pub(crate) fn note(&mut self, key: K) {
        if self.is_above(&key) {
            self.0 = Some(key);
        }
    }
}

impl<K, V, const N: usize> Default for Remembered<K, V, N> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), first: 0, newest: Vec::new(), hasher: RandomState::default() }
    }
}

impl<K: Eq + Hash, V, const N: usize> Remembered<K, V, N> {
    fn chain(&self, key: &K) -> usize {
        self.hasher.hash_one(key) as usize & self.newest.len().wrapping_sub(1)
    }

    fn index(&self, number: u16) -> usize {
        number.wrapping_sub(self.first).into()
    }

    fn number(&self, index: usize) -> u16 {
        self.first.wrapping_add(index as u16)
    }

    fn find(&self, key: &K) -> Option<usize> {
        let mut number = *self.newest.get(self.chain(key))?;
        let mut end = self.entries.len();
        loop {
            let index = self.index(number);
            // A number from before the first wraps to a high index. One so old that it names an entry again leads on into
            // another chain, from the newer to the older as well.
            if index >= end {
                return None;
            }
            let entry = &self.entries[index];
            if entry.known.as_ref().is_some_and(|(known, _)| known == key) {
                return Some(index);
            }
            (number, end) = (entry.older, index);
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries[self.find(key)?].known.as_ref().map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let index = self.find(key)?;
        self.entries[index].known.as_mut().map(|(_, value)| value)
    }

    /// The value of a key, to be changed, by the number that [`Remembered::insert`] has given.
    pub(crate) fn at(&mut self, number: Number, key: &K) -> Option<&mut V> {
        let index = self.index(number.0);
        let known = self.entries.get_mut(index)?.known.as_mut();
        known.filter(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Remembers a value; a key that is remembered keeps its place.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Number {
        match self.find(&key) {
            Some(index) => {
                self.entries[index].known = Some((key, value));
                Number(self.number(index))
            }
            None => self.insert_new(key, value),
        }
    }

    /// Remembers the value of a key that is not remembered.
    pub(crate) fn insert_new(&mut self, key: K, value: V) -> Number {
        const { assert!(N <= MOST) };
        if self.entries.len() >= N {
            self.forget_oldest();
        }
        if self.newest.len() < self.entries.len() * CHAINS + 1 {
            self.chain_anew();
        }
        let number = self.number(self.entries.len());
        let chain = self.chain(&key);
        let older = std::mem::replace(&mut self.newest[chain], number);
        self.entries.push_back(Entry { known: Some((key, value)), older });
        Number(number)
    }

    /// More chains, each shorter.
    fn chain_anew(&mut self) {
        let chains = (self.entries.len() + 1).next_power_of_two() * CHAINS;
        // A number that is none of an entry.
        let none = self.first.wrapping_sub(1);
        self.newest = vec![none; chains];
        for index in 0..self.entries.len() {
            let Some((key, _)) = &self.entries[index].known else { continue };
            let chain = self.chain(key);
            let number = self.number(index);
            self.entries[index].older = std::mem::replace(&mut self.newest[chain], number);
        }
    }

    fn forget_oldest(&mut self) {
        self.entries.pop_front();
        self.first = self.first.wrapping_add(1);
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &K) {
        let Some(index) = self.find(key) else { return };
        self.entries[index].known = None;
        // Gaps count as long as something older is remembered.
        while self.entries.front().is_some_and(|oldest| oldest.known.is_none()) {
            self.forget_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_goes_first_and_a_known_key_keeps_its_place() {
        let mut some = Remembered::<u8, char, 3>::default();
        [(1, 'a'), (2, 'b'), (3, 'c'), (1, 'd')].into_iter().for_each(|(key, value)| _ = some.insert(key, value));
        assert_eq!((some.get(&1), some.get(&2), some.get(&3)), (Some(&'d'), Some(&'b'), Some(&'c')));
        some.insert(4, 'e');
        assert_eq!((some.get(&1), some.get(&2), some.get(&4)), (None, Some(&'b'), Some(&'e')));
    }

    #[test]
    fn a_number_names_its_entry_until_that_is_forgotten() {
        let mut some = Remembered::<u8, char, 2>::default();
        let one = some.insert(1, 'a');
        let two = some.insert(2, 'b');
        assert_eq!(some.insert(1, 'c'), one);
        let mut at = |number, key| some.at(number, &key).copied();
        assert_eq!((at(one, 1), at(one, 2), at(two, 2)), (Some('c'), None, Some('b')));
        some.insert(3, 'd');
        let mut at = |number, key| some.at(number, &key).copied();
        assert_eq!((at(one, 1), at(two, 2)), (None, Some('b')));
        some.forget(&2);
        assert_eq!(some.at(two, &2), None);
    }

    #[test]
    fn numbers_that_were_used_before_mislead_nobody() {
        let mut some = Remembered::<u32, u32, 100>::default();
        for key in 0..200_000_u32 {
            some.insert_new(key, key);
            let known = |key: u32| some.get(&key).is_some();
            let oldest = key.saturating_sub(99);
            assert!(known(key) && known(oldest) && !known(oldest.wrapping_sub(1)) && !known(oldest ^ 1 << 20));
        }
    }

    proptest! {
        /// Against a list that is searched, over numbers that wrap.
        #[test]
        fn it_answers_like_a_list(steps in proptest::collection::vec((0..12_u8, 0..40_u8), 0..400)) {
            const N: usize = 8;
            let mut some = Remembered::<u8, usize, N> { first: u16::MAX - 20, ..Remembered::default() };
            let mut list: Vec<Option<(u8, usize)>> = Vec::new();
            for (value, (what, key)) in steps.into_iter().enumerate() {
                let known = list.iter().position(|entry| entry.is_some_and(|(known, _)| known == key));
                match (what, known) {
                    (0, _) => {
                        some.forget(&key);
                        known.into_iter().for_each(|at| list[at] = None);
                        let gaps = list.iter().take_while(|entry| entry.is_none()).count();
                        list.drain(..if known.is_some() { gaps } else { 0 });
                    }
                    (1, _) => some.get_mut(&key).into_iter().for_each(|found| *found += 1),
                    (_, Some(at)) => {
                        let number = some.insert(key, value);
                        prop_assert_eq!(some.at(number, &key).copied(), Some(value));
                        list[at] = Some((key, value));
                    }
                    (_, None) => {
                        some.insert(key, value);
                        if list.len() >= N {
                            list.remove(0);
                        }
                        list.push(Some((key, value)));
                    }
                }
                if let (1, Some(at)) = (what, known) {
                    list[at] = list[at].map(|(key, value)| (key, value + 1));
                }
                for key in 0..40 {
                    let expected = list.iter().flatten().find(|(known, _)| *known == key).map(|(_, value)| value);
                    prop_assert_eq!(some.get(&key), expected);
                }
                prop_assert_eq!(some.entries.len(), list.len());
            }
        }
    }
}
