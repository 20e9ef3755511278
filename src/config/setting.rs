//! How a value of each type is read from TOML or from plain text, and how it is written.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use toml::de::DeValue;

/// A value as its source gave it.
pub(crate) enum Value<'a> {
    /// From the file: it has a type.
    Toml(&'a DeValue<'a>),
    /// From a variable or a flag: only text, whatever the type.
    Text(&'a str),
}

/// A field that can be set.
pub(crate) trait Setting {
    /// Takes `value`, or says what was expected instead.
    fn set(&mut self, value: &Value<'_>) -> Result<(), String>;

    /// What values it takes, in words that follow "expected".
    fn expects(&self) -> String;

    /// The value as TOML.
    fn show(&self) -> String;
}

/// A type that is written as a string in TOML, and bare in a variable.
pub(crate) trait Word: Sized {
    /// What is expected of one, and of several.
    const EXPECTS: [&'static str; 2];

    /// Reads one.
    fn read(text: &str) -> Option<Self>;

    /// Writes one, so that [`Word::read`] gives it back.
    fn write(&self) -> String;
}

impl<T: Word> Setting for T {
    fn set(&mut self, value: &Value<'_>) -> Result<(), String> {
        let text = match value {
            Value::Toml(value) => value.as_str(),
            Value::Text(text) => Some(*text),
        };
        *self = text.and_then(T::read).ok_or_else(|| self.expects())?;
        Ok(())
    }

    fn expects(&self) -> String {
        T::EXPECTS[0].to_owned()
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

/// An empty text is none.
impl<T: Word> Setting for Option<T> {
    fn set(&mut self, value: &Value<'_>) -> Result<(), String> {
        let text = match value {
            Value::Toml(value) => value.as_str(),
            Value::Text(text) => Some(*text),
        };
        *self = match text {
            Some("") => None,
            text => Some(text.and_then(T::read).ok_or_else(|| self.expects())?),
        };
        Ok(())
    }

    fn expects(&self) -> String {
        format!("{}; or \"\" for none", T::EXPECTS[0])
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "\"\"".to_owned(), quoted)
    }
}

impl<T: Word> Setting for Vec<T> {
    fn set(&mut self, value: &Value<'_>) -> Result<(), String> {
        let words: Option<Vec<T>> = match value {
            Value::Toml(value) => value
                .as_array()
                .and_then(|list| list.iter().map(|item| item.get_ref().as_str().and_then(T::read)).collect()),
            Value::Text(text) => text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(T::read).collect(),
        };
        *self = words.ok_or_else(|| self.expects())?;
        Ok(())
    }

    fn expects(&self) -> String {
        format!("a list of {} (in a variable: separated by commas)", T::EXPECTS[1])
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(quoted).collect::<Vec<_>>().join(", "))
    }
}

fn quoted(word: &impl Word) -> String {
    toml::Value::String(word.write()).to_string()
}

impl Setting for bool {
    fn set(&mut self, value: &Value<'_>) -> Result<(), String> {
        let read = match value {
            Value::Toml(value) => value.as_bool(),
            Value::Text(text) => text.parse().ok(),
        };
        *self = read.ok_or_else(|| self.expects())?;
        Ok(())
    }

    fn expects(&self) -> String {
        "true or false".to_owned()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($Type:ty: $expects:expr),+) => { $(
        impl Setting for $Type {
            fn set(&mut self, value: &Value<'_>) -> Result<(), String> {
                let read = match value {
                    Value::Toml(value) => {
                        value.as_integer().and_then(|number| <$Type>::from_str_radix(number.as_str(), number.radix()).ok())
                    }
                    Value::Text(text) => text.parse().ok(),
                };
                *self = read.ok_or_else(|| self.expects())?;
                Ok(())
            }

            fn expects(&self) -> String {
                $expects.to_owned()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+ };
}

// Sections check the ranges of the larger ones.
whole_numbers!(u32: "a whole number from 0 to 4294967295", u64: "a whole number", usize: "a whole number");

impl Word for SocketAddr {
    const EXPECTS: [&'static str; 2] =
        [r#"an IP address and a port, such as "127.0.0.1:8080" or "[::1]:8080""#, "IP addresses with ports"];

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Word for PathBuf {
    const EXPECTS: [&'static str; 2] = [r#"a path, such as "./data""#, "paths"];

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| text.into())
    }

    fn write(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

/// Units of a duration, the largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Word for Duration {
    const EXPECTS: [&'static str; 2] =
        [r#"a duration: a whole number with ms, s, m, h or d behind it, such as "250ms" or "10s""#, "durations"];

    fn read(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
        Some(Self::from_millis(number.parse::<u64>().ok()?.checked_mul(*milliseconds)?))
    }

    fn write(&self) -> String {
        let total = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let fits = |milliseconds: u64| total > 0 && total.is_multiple_of(milliseconds);
        // Zero is written "0ms"; 1 divides everything else.
        let (unit, milliseconds) = UNITS.iter().find(|(_, milliseconds)| fits(*milliseconds)).unwrap_or(&("ms", 1));
        format!("{}{unit}", total / milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_with_its_unit_and_written_with_the_largest_that_fits() {
        for (text, milliseconds, written) in
            [("250ms", 250, "250ms"), ("10s", 10_000, "10s"), ("90 s", 90_000, "90s"), ("60m", 3_600_000, "1h")]
        {
            let read = Duration::read(text).expect(text);
            assert_eq!(read, Duration::from_millis(milliseconds));
            assert_eq!(read.write(), written);
        }
        assert_eq!(Duration::ZERO.write(), "0ms");
    }

    #[test]
    fn a_duration_without_unit_or_number_or_beyond_the_scale_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "1 week", "999999999999999999d"] {
            assert_eq!(Duration::read(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_come_in_every_spelling_of_toml() {
        let mut number = 0_u32;
        for (text, value) in [("1_000", 1_000), ("0xff", 255), ("0b11", 3)] {
            let parsed = DeValue::parse(text).expect(text);
            number.set(&Value::Toml(parsed.get_ref())).expect(text);
            assert_eq!(number, value);
        }
    }

    #[test]
    fn a_number_of_another_type_or_out_of_range_is_refused_and_the_old_one_stays() {
        let mut number = 7_u32;
        for text in ["-1", "4294967296", "1.0", "\"1\"", "true"] {
            let parsed = DeValue::parse(text).expect(text);
            let refusal = number.set(&Value::Toml(parsed.get_ref())).expect_err(text);
            assert_eq!(refusal, "a whole number from 0 to 4294967295");
        }
        assert_eq!(number, 7);
    }

    #[test]
    fn an_empty_text_is_none_and_a_bad_one_is_refused() {
        let mut listen: Option<SocketAddr> = None;
        listen.set(&Value::Text("127.0.0.1:1")).expect("an address");
        assert_eq!(listen.show(), r#""127.0.0.1:1""#);
        listen.set(&Value::Text("here")).expect_err("no address");
        listen.set(&Value::Text("")).expect("none");
        assert_eq!((listen, listen.show()), (None, r#""""#.to_owned()));
    }

    #[test]
    fn a_list_is_an_array_in_the_file_and_words_with_commas_in_a_variable() {
        let mut list: Vec<PathBuf> = Vec::new();
        let parsed = DeValue::parse(r#"["a", "b"]"#).expect("an array");
        list.set(&Value::Toml(parsed.get_ref())).expect("paths");
        assert_eq!(list.show(), r#"["a", "b"]"#);
        list.set(&Value::Text("c, d,")).expect("paths");
        assert_eq!(list.show(), r#"["c", "d"]"#);
        list.set(&Value::Text("")).expect("no path is a list too");
        assert_eq!(list.show(), "[]");
    }
}
