//! What Redis does as one step.

use ::redis::Script;

/// The scripts by name; each is told the time and the leases first.
macro_rules! scripts {
    ($($name:ident)+) => {
        #[derive(Debug)]
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)+
        }

        impl Scripts {
            pub(super) fn new() -> Self {
                const COMMON: &str = include_str!("scripts/common.lua");
                Self {
                    $($name: Script::new(&[COMMON, include_str!(concat!("scripts/", stringify!($name), ".lua"))].concat()),)+
                }
            }
        }
    };
}

scripts! { renew release enter leave enter_again find note count put_slot probe }
