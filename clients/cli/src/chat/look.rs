//! What the terminal can show: colours or none, which characters, and in which time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How things are drawn.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Whether colours are used. Nothing is said by a colour alone.
    pub(crate) colour: bool,
    /// Whether the terminal knows ASCII only.
    pub(crate) ascii: bool,
    /// In which time zone times are shown.
    pub(crate) zone: TimeZone,
}

/// A sign with a plain twin for terminals that know ASCII only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Something was cut off.
    More,
    /// Somebody is online.
    Here,
    /// Somebody is not, or does not say.
    Away,
    /// A message is waiting on this device.
    Waiting,
    /// The server has it.
    Queued,
    /// A device of the addressee has it.
    Delivered,
    /// It will not arrive.
    Lost,
    /// A horizontal rule.
    Rule,
    /// A vertical rule.
    Bar,
    /// Where the cursor of a list is.
    Chosen,
    /// More lies further down.
    Below,
}

impl Look {
    /// By `NO_COLOR` and the locale.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(name)).unwrap_or_default();
        let locale = locale.to_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        Self { colour: set("NO_COLOR").is_none(), ascii: !utf8, zone: TimeZone::system() }
    }

    pub(crate) fn sign(&self, sign: Sign) -> &'static str {
        let (plain, fine) = match sign {
            Sign::More => ("~", "…"),
            Sign::Here => ("*", "●"),
            Sign::Away => ("-", "○"),
            Sign::Waiting => (".", "…"),
            Sign::Queued => ("+", "✓"),
            Sign::Delivered => ("++", "✓✓"),
            Sign::Lost => ("!", "!"),
            Sign::Rule => ("-", "─"),
            Sign::Bar => ("|", "│"),
            Sign::Chosen => (">", "▸"),
            Sign::Below => ("v", "↓"),
        };
        if self.ascii { plain } else { fine }
    }

    /// The day and the minute of a time in milliseconds since 1970.
    pub(crate) fn time(&self, millis: u64) -> (String, String) {
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        // A peer may claim any time; what no calendar has is shown as its end.
        let at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX).to_zoned(self.zone.clone());
        (at.strftime("%A, %-d %B %Y").to_string(), at.strftime("%H:%M").to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(variables: &[(&str, &str)]) -> Look {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Look::of_environment(get)
    }

    #[test]
    fn colours_go_with_no_color_and_signs_with_the_locale() {
        assert!(look(&[]).colour && look(&[("NO_COLOR", "")]).colour);
        assert!(!look(&[("NO_COLOR", "1")]).colour);
        for (variables, ascii) in [
            (&[][..], true),
            (&[("LANG", "de_DE.UTF-8")], false),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], true),
            (&[("LC_CTYPE", "C.utf8"), ("LC_ALL", "")], false),
        ] {
            assert_eq!(look(variables).ascii, ascii, "{variables:?}");
        }
    }

    #[test]
    fn every_sign_has_a_plain_twin() {
        let look = look(&[]);
        for sign in [
            Sign::More,
            Sign::Here,
            Sign::Away,
            Sign::Waiting,
            Sign::Queued,
            Sign::Delivered,
            Sign::Lost,
            Sign::Rule,
            Sign::Bar,
            Sign::Chosen,
            Sign::Below,
        ] {
            assert!(look.sign(sign).is_ascii(), "{sign:?}");
        }
    }

    #[test]
    fn any_time_that_a_peer_claims_can_be_shown() {
        let look = Look { zone: TimeZone::UTC, ..look(&[]) };
        assert_eq!(look.time(1_795_411_260_999), ("Monday, 23 November 2026".to_owned(), "05:21".to_owned()));
        for time in [0, u64::MAX] {
            assert_eq!(look.time(time).1.len(), 5);
        }
    }
}
