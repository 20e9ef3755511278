//! `[log]`: what is written to standard error, and how.

use tracing_subscriber::EnvFilter;

use super::{key::section, setting::Word};

section! {
    /// What is written to standard error, and how.
    struct Log in "log" at log;

    #[doc = "`error`, `warn`, `info`, `debug` or `trace`, also by module: `info,sealwire_actors=debug`. No level shows what people write or who they are."]
    level: Level = Level("info,actix_server=warn".to_owned());
    #[doc = "`text` for people, `json` for machines: one object a line."]
    format: Format = Format::Text;
}

/// A filter of log lines that has been found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Level(String);

impl Level {
    /// The filter's directives.
    pub(crate) fn directives(&self) -> &str {
        &self.0
    }
}

impl Word for Level {
    const EXPECTS: [&'static str; 2] =
        [r#"error, warn, info, debug or trace, also by module: "info,sealwire_actors=debug""#, "levels"];

    fn read(text: &str) -> Option<Self> {
        // A lone word that is no level would be taken for a module's name and silence everything else.
        let known = |directive: &str| {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim().to_ascii_lowercase();
            ["error", "warn", "info", "debug", "trace", "off"].contains(&level.as_str())
        };
        (text.split(',').all(known) && EnvFilter::builder().parse(text).is_ok()).then(|| Self(text.to_owned()))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Word for Format {
    const EXPECTS: [&'static str; 2] = [r#""text" or "json""#, "formats"];

    fn read(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
        .to_owned()
    }
}
