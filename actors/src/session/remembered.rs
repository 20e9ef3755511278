//! The latest entries by their keys.
//!
//! A busy session looks each message up several times, in thousands of them, and what is looked up lies seconds apart: were
//! the entries in the table itself, almost every look would go to main memory. So they lie in the order in which they came,
//! and the table holds a number of four bytes for each.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

/// At most `N` entries; one more takes the place of the oldest.
#[derive(Debug)]
pub(crate) struct Remembered<K, V, const N: usize> {
    /// In the order in which they came; a gap for each that was forgotten.
    entries: VecDeque<Option<(K, V)>>,
    /// The number of the first of them. Numbers rise by one, and wrap.
    first: u32,
    /// The number of each entry, by the hash of its key.
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl<K, V, const N: usize> Default for Remembered<K, V, N> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), first: 0, numbers: HashTable::new(), hasher: RandomState::new() }
    }
}

impl<K: Eq + Hash, V, const N: usize> Remembered<K, V, N> {
    fn number(&self, key: &K) -> Option<u32> {
        let is = |number: &u32| self.entry(*number).is_some_and(|(known, _)| known == key);
        self.numbers.find(self.hasher.hash_one(key), is).copied()
    }

    fn entry(&self, number: u32) -> Option<&(K, V)> {
        self.entries.get(number.wrapping_sub(self.first) as usize)?.as_ref()
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut Option<(K, V)>> {
        self.entries.get_mut(number.wrapping_sub(self.first) as usize)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entry(self.number(key)?).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let number = self.number(key)?;
        self.entry_mut(number)?.as_mut().map(|(_, value)| value)
    }

    /// Remembers a value; a key that is remembered keeps its place.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(known) = self.get_mut(&key) {
            *known = value;
            return;
        }
        if self.entries.len() >= N {
            self.forget_oldest();
        }
        let number = self.first.wrapping_add(self.entries.len() as u32);
        let (hash, first) = (self.hasher.hash_one(&key), self.first);
        self.entries.push_back(Some((key, value)));
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.numbers.insert_unique(hash, number, |number| {
            let entry = entries[number.wrapping_sub(first) as usize].as_ref();
            hasher.hash_one(&entry.expect("the table holds what is remembered").0)
        });
    }

    fn forget_oldest(&mut self) {
        if let Some(Some((key, _))) = self.entries.front() {
            let (hash, first) = (self.hasher.hash_one(key), self.first);
            self.unlist(hash, first);
        }
        self.entries.pop_front();
        self.first = self.first.wrapping_add(1);
    }

    fn unlist(&mut self, hash: u64, number: u32) {
        if let Ok(place) = self.numbers.find_entry(hash, |known| *known == number) {
            place.remove();
        }
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &K) {
        let Some(number) = self.number(key) else { return };
        self.unlist(self.hasher.hash_one(key), number);
        if let Some(entry) = self.entry_mut(number) {
            *entry = None;
        }
        // Gaps count as long as something older is remembered.
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first = self.first.wrapping_add(1);
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
        [(1, 'a'), (2, 'b'), (3, 'c'), (1, 'd')].into_iter().for_each(|(key, value)| some.insert(key, value));
        assert_eq!((some.get(&1), some.get(&2), some.get(&3)), (Some(&'d'), Some(&'b'), Some(&'c')));
        some.insert(4, 'e');
        assert_eq!((some.get(&1), some.get(&2), some.get(&4)), (None, Some(&'b'), Some(&'e')));
    }

    proptest! {
        /// Against a list that is searched, over numbers that wrap.
        #[test]
        fn it_answers_like_a_list(steps in proptest::collection::vec((0..12_u8, 0..40_u8), 0..400)) {
            const N: usize = 8;
            let mut some = Remembered::<u8, usize, N> { first: u32::MAX - 20, ..Remembered::default() };
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
                        some.insert(key, value);
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
                prop_assert_eq!(some.numbers.len(), list.iter().flatten().count());
            }
        }
    }
}
