//! What a server's `/metrics` says.

use std::collections::BTreeMap;

use crate::Server;
use crate::server::page;

/// Has a server serve its metrics on a port of its own.
pub const METRICS: (&str, &str) = ("SEALWIRE_METRICS_LISTEN", "127.0.0.1:0");

/// The values at one moment.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The page.
    pub text: String,
    values: BTreeMap<String, f64>,
}

impl Metrics {
    /// Asks a server that was started with [`METRICS`].
    ///
    /// # Panics
    /// When it does not answer, or not with metrics.
    pub async fn of(server: &Server) -> Self {
        let page = page(server.internal(), "/metrics").await.expect("the internal listener answers");
        assert_eq!(page.status, 200, "{}", page.body);
        let lines = page.body.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let value = |line: &str| {
            let (name, value) = line.rsplit_once(' ').expect("a line is a name and a number");
            (name.to_owned(), value.parse().expect("a number"))
        };
        Self { values: lines.map(value).collect(), text: page.body }
    }

    /// The value of a metric, with its labels as they are written: `sealwire_messages_total{status="queued"}`.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn get(&self, name: &str) -> f64 {
        *self.values.get(name).unwrap_or_else(|| panic!("no {name} in:\n{}", self.text))
    }

    /// The names of all values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}
