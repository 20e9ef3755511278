//! One table of keys: what can be set, what it means, and where it lies in [`Config`].

use super::{Config, setting::Setting};

/// A key of the configuration. Reading, printing and the reference page all walk the same table of these.
#[derive(Debug)]
pub(crate) struct Key {
    /// The TOML table that it stands in.
    pub(crate) section: &'static str,
    /// Its name in that table.
    pub(crate) name: &'static str,
    /// What it means, in sentences; Markdown of one line.
    pub(crate) meaning: &'static str,
    /// Its place in a configuration.
    pub(crate) field: fn(&mut Config) -> &mut dyn Setting,
}

impl Key {
    /// `section.name`, as messages write it.
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("SEALWIRE_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    /// Its value in `config`, as TOML.
    pub(crate) fn show(&self, config: &Config) -> String {
        (self.field)(&mut config.clone()).show()
    }

    /// What values it takes, in words.
    pub(crate) fn expects(&self) -> String {
        (self.field)(&mut Config::default()).expects()
    }
}

/// Keys for fields that are declared elsewhere: `keys! { "section", slot; field "Meaning."; ... }`.
macro_rules! keys {
    ($section:literal, $slot:ident; $( $field:ident $meaning:literal; )+) => {
        &[ $( $crate::config::key::Key {
            section: $section,
            name: stringify!($field),
            meaning: $meaning,
            field: |config| &mut config.$slot.$field,
        }, )+ ]
    };
}

/// A section: its struct, its defaults and its keys from one list, so that a field cannot lack a meaning or a default.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        struct $Section:ident in $section:literal at $slot:ident;
        $( #[doc = $meaning:literal] $field:ident: $Type:ty = $default:expr; )+
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $Section { $( #[doc = $meaning] pub(crate) $field: $Type, )+ }

        impl Default for $Section {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        /// The keys of this section.
        pub(crate) const KEYS: &[$crate::config::key::Key] =
            $crate::config::key::keys! { $section, $slot; $( $field $meaning; )+ };
    };
}

pub(crate) use {keys, section};
