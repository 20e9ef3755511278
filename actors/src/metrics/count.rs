//! Counting on the hot path: atomics that threads do not fight for.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many places a counter has. Threads take turns in them; more threads than places share some, which costs time and
/// nothing else.
const PLACES: usize = 8;

/// A cache line, so that a thread which counts does not take another one's line away.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Place(AtomicU64);

fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % PLACES);
    }
    // A thread that is ending counts in the first place.
    OWN.try_with(Cell::get).unwrap_or_default()
}

/// A number that only rises. Relaxed: a reader may see one counter's rise before another one's that came earlier.
#[derive(Debug, Default)]
pub struct Counter([Place; PLACES]);

impl Counter {
    /// Counts one.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0[place()].0.fetch_add(n, Ordering::Relaxed);
    }

    /// What was counted since the start.
    pub fn get(&self) -> u64 {
        self.0.iter().fold(0, |sum, place| sum.wrapping_add(place.0.load(Ordering::Relaxed)))
    }
}

/// The values of a label: words that are known beforehand.
pub trait Label: Copy + PartialEq + 'static {
    /// The label's name.
    const NAME: &'static str;

    /// Every value.
    const ALL: &'static [Self];

    /// The value as it is shown.
    fn word(self) -> &'static str;
}

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Labelled<L> {
    counters: Box<[Counter]>,
    label: PhantomData<L>,
}

impl<L: Label> Default for Labelled<L> {
    fn default() -> Self {
        Self { counters: L::ALL.iter().map(|_| Counter::default()).collect(), label: PhantomData }
    }
}

impl<L: Label> Labelled<L> {
    /// Counts one of this value. A value that is not in the list is not counted: the protocol's codes have one for those that
    /// this version does not know, and the server never sends it.
    pub fn add(&self, value: L) {
        self.add_many(value, 1);
    }

    /// Counts `n` of this value.
    pub fn add_many(&self, value: L, n: u64) {
        if let Some(index) = L::ALL.iter().position(|known| *known == value) {
            self.counters[index].add(n);
        }
    }

    /// Each value with its count.
    pub fn each(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().copied().zip(self.counters.iter().map(Counter::get))
    }
}

/// How often a number fell into which range.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    scale: f64,
    /// One for each bound, and one for what is above the last.
    buckets: Box<[Counter]>,
    sum: Counter,
}

impl Histogram {
    /// Ranges that end at these bounds, each included. What is observed times `scale` is what is shown.
    pub fn new(bounds: &'static [u64], scale: f64) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, scale, buckets, sum: Counter::default() }
    }

    /// Counts a number.
    pub fn observe(&self, number: u64) {
        self.buckets[self.bounds.partition_point(|bound| *bound < number)].add_one();
        self.sum.add(number);
    }

    /// The upper bounds as they are shown, each with how many numbers were at most that; all of them; their sum.
    pub(crate) fn read(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut count = 0;
        let mut below = Vec::with_capacity(self.bounds.len());
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            count += bucket.get();
            below.push((*bound as f64 * self.scale, count));
        }
        let above = self.buckets.last().map_or(0, Counter::get);
        (below, count + above, self.sum.get() as f64 * self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_s_counts_are_in_the_sum() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * PLACES {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add_one()));
            }
        });
        assert_eq!(counter.get(), 2 * PLACES as u64 * 1_000);
    }

    #[test]
    fn a_number_is_counted_up_to_its_bound_included() {
        let histogram = Histogram::new(&[1, 10], 0.5);
        [0, 1, 2, 10, 11].into_iter().for_each(|number| histogram.observe(number));
        assert_eq!(histogram.read(), (vec![(0.5, 2), (5.0, 4)], 5, 12.0));
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Colour {
        Red,
        Blue,
        Infrared,
    }

    impl Label for Colour {
        const NAME: &'static str = "colour";
        const ALL: &'static [Self] = &[Self::Red, Self::Blue];

        fn word(self) -> &'static str {
            "a colour"
        }
    }

    #[test]
    fn each_value_is_counted_by_itself_and_an_unknown_one_not_at_all() {
        let counts = Labelled::<Colour>::default();
        [Colour::Blue, Colour::Infrared, Colour::Blue].into_iter().for_each(|colour| counts.add(colour));
        assert_eq!(counts.each().collect::<Vec<_>>(), [(Colour::Red, 0), (Colour::Blue, 2)]);
    }
}
