//! What the parts of the node say when they are asked.

use super::{Counter, Histogram, Kind, Label, Labelled, Metric};

/// A number, or how often numbers fell into which range.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Ranges {
        /// The upper bounds, each with how many numbers were at most that.
        below: Vec<(f64, u64)>,
        /// How many there were.
        count: u64,
        /// What they make together.
        sum: f64,
    },
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Of which.
    pub metric: Metric,
    /// Name and value of each label.
    pub labels: Vec<(&'static str, &'static str)>,
    /// What it is now.
    pub value: Value,
}

/// Values of metrics, in the order in which they were said.
#[derive(Debug, Default)]
pub struct Samples(Vec<Sample>);

impl Samples {
    fn push(&mut self, metric: Metric, kind: Kind, labels: &[(&'static str, &'static str)], value: Value) {
        debug_assert_eq!(metric.kind(), kind, "{metric:?}");
        debug_assert!(metric.labels().iter().eq(labels.iter().map(|(name, _)| name)), "{metric:?} with {labels:?}");
        self.0.push(Sample { metric, labels: labels.to_vec(), value });
    }

    /// A number that rises and falls.
    pub fn gauge(&mut self, metric: Metric, labels: &[(&'static str, &'static str)], value: usize) {
        self.push(metric, Kind::Gauge, labels, Value::Number(value as f64));
    }

    /// A counter without labels.
    pub fn counter(&mut self, metric: Metric, counter: &Counter) {
        self.push(metric, Kind::Counter, &[], Value::Number(counter.get() as f64));
    }

    /// What somebody else has counted.
    pub fn total(&mut self, metric: Metric, count: u64) {
        self.push(metric, Kind::Counter, &[], Value::Number(count as f64));
    }

    /// A counter for each value of a label; those that have counted nothing too.
    pub fn labelled<L: Label>(&mut self, metric: Metric, counters: &Labelled<L>) {
        for (value, count) in counters.each() {
            self.push(metric, Kind::Counter, &[(L::NAME, value.word())], Value::Number(count as f64));
        }
    }

    /// A histogram.
    pub fn histogram(&mut self, metric: Metric, labels: &[(&'static str, &'static str)], histogram: &Histogram) {
        let (below, count, sum) = histogram.read();
        self.push(metric, Kind::Histogram, labels, Value::Ranges { below, count, sum });
    }

    /// All of it.
    pub fn into_inner(self) -> Vec<Sample> {
        self.0
    }
}
