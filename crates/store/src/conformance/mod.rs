//! What every store must do, as checks that run on any of them.
//!
//! ```text
//! mod memory {
//!     sealwire_store::conformance::suite!(((), MemoryStore::new()));
//! }
//! ```
//!
//! The expression is evaluated for each check and gives a guard and an empty store; the store is dropped first. Where the
//! server behind a store takes long to start, one test runs all checks on what they share:
//!
//! ```text
//! sealwire_store::conformance::suite!(sharing set = start().await; ((), open(&set).await));
//! ```
//!
//! Each check
//! takes one sentence of the contract of [`Accounts`](crate::Accounts), [`Mailboxes`](crate::Mailboxes) or
//! [`Backups`](crate::Backups), which says what it means. A check panics when the store breaks it. Durability is not tested here: it takes a machine to lose its power.

mod accounts;
mod backups;
mod expiry;
mod fixtures;
mod mailboxes;
mod manifests;
mod order;
mod together;
mod usage;
mod wraps;

pub use accounts::*;
pub use backups::*;
pub use expiry::*;
pub use fixtures::{device, message, name};
pub use mailboxes::*;
pub use manifests::*;
pub use order::*;
pub use together::*;
pub use usage::*;
pub use wraps::*;

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_suite {
    (sharing $shared:ident = $start:expr; $open:expr) => {
        $crate::conformance_suite! { @all (@share $shared, $start, $open) }
    };
    ($open:expr) => {
        $crate::conformance_suite! { @all (@check $open) }
    };
    (@all ($($how:tt)+)) => {
        $crate::conformance_suite! {
            $($how)+;
            an_account_comes_back_as_it_was_made
            an_unknown_name_has_no_account_and_no_manifests
            a_name_is_given_once
            a_device_id_belongs_to_one_account
            a_refused_account_leaves_nothing_behind
            manifests_begin_after_since_and_end_at_the_limit
            a_device_is_seen_at_the_latest_time_given
            an_unknown_device_that_was_seen_is_no_error
            a_link_makes_its_devices_those_of_the_account
            a_device_that_stays_loses_nothing
            a_link_fits_the_newest_one_only
            a_link_that_is_held_is_a_repeat
            an_unknown_name_has_nothing_to_extend
            a_link_lists_no_device_that_is_taken
            a_removed_device_loses_all_that_was_its
            an_account_without_devices_is_gone
            a_deleted_account_comes_not_back
            presence_is_shared_only_when_asked
            replaced_keys_come_newest_first_with_their_time
            a_new_device_gets_its_first_key
            what_is_noted_of_a_device_is_noted_of_no_other
            a_key_must_rise_above_the_last
            a_key_of_an_unknown_device_is_not_kept
            replaced_keys_are_known_for_as_long_as_they_may_be_used
            the_newest_backup_and_the_one_before_are_kept
            a_backup_under_the_newest_id_replaces_it
            a_backup_under_the_id_before_is_the_newest_again
            a_backup_that_was_replaced_is_erased_in_time
            backups_are_of_one_account
            mail_accepted_before_a_time_expires
            expiry_ends_at_its_limit
            expiry_says_how_many_copies_it_took
            an_expired_copy_is_missed_by_its_device
            the_last_copy_of_the_addressee_makes_the_notice
            own_copies_make_no_notice
            mail_that_was_fetched_makes_no_notice
            a_notice_is_for_the_device_that_sent
            notices_wait_until_they_are_forgotten
            a_message_that_expires_again_has_one_notice
            notices_that_nobody_fetches_are_dropped
            a_removed_device_has_no_notices
            mail_from_the_future_does_not_stop_expiry
            a_mailbox_is_ordered_by_order
            equal_orders_are_ordered_by_message_id
            late_mail_with_a_lower_order_comes_first
            the_front_passes_over_what_is_excepted
            the_front_ends_at_max_messages
            the_front_ends_at_max_bytes
            more_is_said_only_of_what_was_not_passed_over
            mail_comes_back_as_it_was_appended
            a_mailbox_shows_only_its_own_mail
            a_repeat_is_no_second_copy_and_says_so
            a_copy_is_held_under_the_lowest_order_that_it_came_with
            a_repeat_with_other_content_gets_the_held_fingerprint
            one_message_for_two_devices_is_no_repeat
            one_id_from_two_devices_names_two_messages
            a_row_that_fails_fails_alone
            removal_takes_what_it_names
            removing_what_is_not_there_is_no_error
            appends_come_before_removals
            what_was_removed_can_be_appended_again
            an_empty_batch_does_nothing
            find_names_every_holder
            the_highest_order_is_of_any_mailbox
            the_devices_with_mail_are_named
            a_store_with_a_clock_knows_the_time
            usage_counts_messages_and_bytes
            usage_follows_appends_and_removals
            own_copies_are_not_a_senders_share
            a_repeat_and_a_failure_take_no_room
            missed_copies_are_counted_until_forgotten
            a_removed_device_misses_nothing
            forgetting_more_than_was_missed_leaves_none
            tasks_see_what_other_tasks_have_written
            of_many_who_want_one_name_one_gets_it
            of_many_links_for_one_place_one_is_taken
            of_many_keys_the_highest_is_the_newest
            of_many_who_expire_mail_one_says_so
            of_many_equal_appends_one_is_stored
        }
    };
    (@check $open:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let (_guard, store) = $open;
                $crate::conformance::$check(::std::sync::Arc::new(store)).await;
            }
        )+
    };
    (@share $shared:ident, $start:expr, $open:expr; $($check:ident)+) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn every_check_holds() {
            let $shared = ::std::sync::Arc::new($start);
            // A few at once: what they wait for is mostly the disk.
            let turns = ::std::sync::Arc::new(::tokio::sync::Semaphore::new(8));
            let mut checks = ::std::vec::Vec::new();
            $({
                let ($shared, turns) = (::std::sync::Arc::clone(&$shared), ::std::sync::Arc::clone(&turns));
                checks.push((stringify!($check), ::tokio::spawn(async move {
                    let _turn = turns.acquire().await.expect("nobody closes it");
                    let (_guard, store) = $open;
                    $crate::conformance::$check(::std::sync::Arc::new(store)).await;
                })));
            })+
            let mut broken = ::std::vec::Vec::new();
            for (name, check) in checks {
                if check.await.is_err() {
                    broken.push(name);
                }
            }
            assert!(broken.is_empty(), "these checks do not hold (what they said stands above): {broken:?}");
        }
    };
}

/// Expands into a test for each check, given an expression that makes a guard and an empty store.
pub use crate::conformance_suite as suite;
