//! The metrics of the node in Prometheus' text format.

use std::sync::Arc;

use prometheus::{
    TextEncoder,
    core::Collector as _,
    process_collector::ProcessCollector,
    proto::{self, LabelPair, MetricFamily, MetricType},
};
use sealwire_actors::{
    Broker, StoreHealth,
    metrics::{Kind, Metric, Sample, Samples, Value},
};

use super::{BusCounts, StoreCounts};
use crate::http::Edge;

/// Everything that counts.
pub(crate) struct Telemetry {
    /// Sessions, messages, the spool.
    pub(crate) broker: Broker,
    /// Refused upgrades.
    pub(crate) edge: Arc<Edge>,
    /// What was asked of the store.
    pub(crate) store: Arc<StoreCounts>,
    /// What was asked of the bus, where there is one.
    pub(crate) bus: Option<Arc<BusCounts>>,
}

impl Telemetry {
    /// Every metric with its values of now.
    ///
    /// # Errors
    ///
    /// When a metric has no value; that would be a fault of ours.
    pub(crate) async fn metrics(&self) -> prometheus::Result<String> {
        let mut samples = Samples::default();
        samples.gauge(Metric::BuildInfo, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let health = self.broker.health().await;
        samples.gauge(Metric::Ready, &[], usize::from(health.ready));
        samples.gauge(Metric::StoreUp, &[], usize::from(!matches!(health.store, StoreHealth::Silent(_))));
        self.broker.observe(&mut samples);
        self.edge.observe(&mut samples);
        self.store.observe(&mut samples);
        if let Some(bus) = &self.bus {
            bus.observe(&mut samples);
        }
        let mut families = families(&samples.into_inner());
        families.extend(ProcessCollector::for_self().collect());
        TextEncoder::new().encode_to_string(&families)
    }
}

/// The samples by their metrics, in the order of the list.
fn families(samples: &[Sample]) -> Vec<MetricFamily> {
    let of = |metric: Metric| samples.iter().filter(move |sample| sample.metric == metric);
    let family = |metric: Metric| {
        let mut family = MetricFamily::default();
        family.set_name(metric.name().to_owned());
        family.set_help(metric.help().to_owned());
        family.set_field_type(match metric.kind() {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(of(metric).map(value).collect());
        family
    };
    // A node alone has nothing to say of a bus.
    Metric::ALL.iter().map(|metric| family(*metric)).filter(|family| !family.get_metric().is_empty()).collect()
}

fn value(sample: &Sample) -> proto::Metric {
    let label = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = proto::Metric::from_label(sample.labels.iter().map(label).collect());
    match (&sample.value, sample.metric.kind()) {
        (Value::Number(number), Kind::Gauge) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*number);
            metric.set_gauge(gauge);
        }
        (Value::Number(number), _) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*number);
            metric.set_counter(counter);
        }
        (Value::Ranges { below, count, sum }, _) => metric.set_histogram(histogram(below, *count, *sum)),
    }
    metric
}

fn histogram(below: &[(f64, u64)], count: u64, sum: f64) -> proto::Histogram {
    let bucket = |(bound, count): &(f64, u64)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(*count);
        bucket
    };
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(below.iter().map(bucket).collect());
    histogram.set_sample_count(count);
    histogram.set_sample_sum(sum);
    histogram
}

/// The page `docs/metrics.md`.
#[cfg(test)]
fn page() -> String {
    use std::fmt::Write as _;

    let mut page = PREFACE.to_owned();
    for metric in Metric::ALL {
        let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels, help) = (metric.name(), metric.kind().word(), labels.join(", "), metric.help());
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page
}

#[cfg(test)]
const PREFACE: &str = "\
# Metrics

<!-- Generated from actors/src/metrics/list.rs. After a change there: `make generate`. -->

With `metrics.listen` set ([configuration.md](configuration.md)) the server serves these in Prometheus' text format on `/metrics` of a listener of
its own. The public listener never does. No label's value comes from a client: there is no name, no device and no address among them.

Counters begin at 0 with the process. Beside these stand Prometheus' usual metrics of the process: `process_cpu_seconds_total`,
`process_open_fds`, `process_max_fds`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_start_time_seconds` and
`process_threads`.

What to be woken for: `sealwire_store_up == 0`; `sealwire_ready == 0` without a roll-out; a rate of
`sealwire_messages_total{status=\"refused\"}` or of `sealwire_commits_failed_total` above 0; `sealwire_bus_lease_held == 0` for minutes. What to look at in the morning: growth of
`sealwire_spool_entries` or `sealwire_verifications_waiting` from hour to hour, the high quantiles of `sealwire_first_status_seconds`,
and `process_open_fds` near `process_max_fds`.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::assert_generated;

    #[test]
    fn the_generated_page_of_metrics_is_current() {
        assert_generated("docs/metrics.md", &page());
    }

    #[test]
    fn a_histogram_is_written_as_prometheus_reads_it() {
        let histogram = sealwire_actors::metrics::Histogram::new(&[1_000, 10_000], 1e-6);
        [500, 2_000, 20_000].into_iter().for_each(|number| histogram.observe(number));
        let mut samples = Samples::default();
        samples.histogram(Metric::StoreSeconds, &[("operation", "execute")], &histogram);
        let text = TextEncoder::new().encode_to_string(&families(&samples.into_inner())).expect("it can be written");
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            values,
            [
                "sealwire_store_seconds_bucket{operation=\"execute\",le=\"0.001\"} 1",
                "sealwire_store_seconds_bucket{operation=\"execute\",le=\"0.01\"} 2",
                "sealwire_store_seconds_bucket{operation=\"execute\",le=\"+Inf\"} 3",
                "sealwire_store_seconds_sum{operation=\"execute\"} 0.0225",
                "sealwire_store_seconds_count{operation=\"execute\"} 3",
            ]
        );
    }
}
