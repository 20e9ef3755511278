//! How long things took: counts in buckets whose width grows with the value, so that any value is known to 1.6 %.

const BITS: u32 = 6;
const STEPS: usize = 1 << BITS;
/// What is longer counts as this: an hour and eleven minutes, in microseconds.
const LARGEST: u64 = u32::MAX as u64;
/// The first octaves share [`STEPS`] buckets of width 1; each further one has as many of its own.
const BUCKETS: usize = STEPS * (32 - BITS as usize + 1);

/// Durations, in microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, sum: 0, max: 0 }
    }
}

fn bucket(value: u64) -> usize {
    let value = usize::try_from(value.min(LARGEST)).unwrap_or(usize::MAX);
    let shift = (usize::BITS - (value | 1).leading_zeros() - 1).saturating_sub(BITS);
    match shift {
        0 => value,
        _ => shift as usize * STEPS + (value >> shift),
    }
}

/// The largest value that falls into a bucket.
fn highest(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let first = if shift == 0 { bucket } else { (bucket % STEPS + STEPS) << shift };
    (first + (1 << shift) - 1) as u64
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn record(&mut self, micros: u64) {
        self.buckets[bucket(micros)] += 1;
        self.count += 1;
        self.sum += micros;
        self.max = self.max.max(micros);
    }

    /// Adds what another one has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The mean; 0 of none.
    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// What this share (0 to 1) of all did not exceed; 0 of none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut passed = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            passed += u64::from(*count);
            if passed >= wanted {
                return highest(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_near_its_end() {
        for value in (0..5_000).chain([99_999, 1_234_567, LARGEST - 1, LARGEST]) {
            let end = highest(bucket(value));
            assert!(end >= value && end - value <= value / 64 + 1, "{value} lies in a bucket that ends at {end}");
            assert!(
                bucket(end + 1) == bucket(value) + 1 || end == LARGEST,
                "{value}: the next bucket begins at {end} + 1"
            );
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut even = Histogram::default();
        (1..=50).for_each(|value| even.record(2 * value));
        let mut odd = Histogram::default();
        (0..50).for_each(|value| odd.record(2 * value + 1));
        even.merge(&odd);
        assert_eq!((even.count(), even.max(), even.mean()), (100, 100, 50.5));
        assert_eq!((even.quantile(0.5), even.quantile(1.0)), (50, 100));
        assert!((99..=100).contains(&even.quantile(0.99)));
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
