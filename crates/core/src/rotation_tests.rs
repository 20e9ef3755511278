//! Every rule of rotation, with the clock as an argument.

use super::*;

const NOW: u64 = 1_790_000_000_000;
const NOBODY_WAITS: fn(&Kid) -> bool = |_| false;

fn kid(n: u8) -> Kid {
    Kid([n; 32])
}

fn at(time: u64) -> Moment {
    Moment { ticks: 1_000_000_000 + (time - (NOW - 400 * DAY)), time }
}

/// A key that was made at this time and accepted.
fn key(n: u8, made: u64) -> Held {
    Held { kid: kid(n), seq: u64::from(n), not_before: made, not_after: made + LIFE, accepted: true, replaced_at: None }
}

fn cert(n: u8) -> ServerHas {
    ServerHas::Cert { seq: u64::from(n), kid: kid(n) }
}

/// A device that is connected, to a server that shows its key with this number.
fn rotation(keys: Vec<Held>, server: ServerHas) -> Rotation {
    let mut rotation = Rotation::new(keys);
    rotation.server_has(server);
    rotation
}

fn next(rotation: &mut Rotation, time: u64) -> Option<Step> {
    rotation.next(at(time), NOBODY_WAITS)
}

/// Key 2 has replaced key 1 at `NOW`.
fn replaced() -> Rotation {
    let first = Held { replaced_at: Some(NOW), ..key(1, NOW - 7 * DAY) };
    rotation(vec![first, key(2, NOW)], cert(2))
}

#[test]
fn a_key_is_replaced_after_a_week_and_not_before() {
    let mut rotation = rotation(vec![key(1, NOW)], cert(1));
    assert_eq!(next(&mut rotation, NOW + 7 * DAY - 1), None);
    assert_eq!(rotation.wake_at(at(NOW + 7 * DAY - 1)), Some(at(NOW + 7 * DAY).ticks));
    assert_eq!(next(&mut rotation, NOW + 7 * DAY), Some(Step::Make { seq: 2 }));
    // It is being made: nothing more until then.
    assert_eq!(next(&mut rotation, NOW + 8 * DAY), None);
}

#[test]
fn a_key_is_made_stored_told_and_then_the_old_one_is_replaced() {
    let mut rotation = rotation(vec![key(1, NOW - 7 * DAY)], cert(1));
    assert_eq!(next(&mut rotation, NOW), Some(Step::Make { seq: 2 }));
    rotation.stored(Held { accepted: false, ..key(2, NOW) });
    assert_eq!(next(&mut rotation, NOW), Some(Step::Tell(kid(2))));
    assert_eq!(rotation.telling(), Some(&kid(2)));
    assert_eq!(next(&mut rotation, NOW), None);
    assert_eq!(rotation.accepted(NOW + 5), Some(kid(2)));
    assert_eq!(next(&mut rotation, NOW + 5), None);
    let [first, second] = rotation.keys() else { panic!("two keys") };
    assert_eq!((first.replaced_at, second.replaced_at, second.accepted), (Some(NOW + 5), None, true));
}

#[test]
fn nothing_is_made_or_told_before_the_server_has_shown_what_it_has() {
    let pending = Held { accepted: false, ..key(2, NOW) };
    for keys in [vec![key(1, NOW - 8 * DAY)], vec![key(1, NOW - 8 * DAY), pending]] {
        let mut rotation = Rotation::new(keys);
        assert_eq!(next(&mut rotation, NOW), None);
    }
}

#[test]
fn after_a_lost_answer_or_a_restart_the_same_key_is_told_again() {
    let keys = || vec![key(1, NOW - 7 * DAY), Held { accepted: false, ..key(2, NOW) }];
    // Whether the server took it or not.
    for server in [cert(1), cert(2)] {
        let mut rotation = rotation(keys(), server);
        assert_eq!(next(&mut rotation, NOW + DAY), Some(Step::Tell(kid(2))));
        rotation.disconnected();
        assert_eq!(next(&mut rotation, NOW + DAY), None);
        rotation.server_has(server);
        // However old it has become: the server may have handed it out.
        assert_eq!(next(&mut rotation, NOW + 300 * DAY), Some(Step::Tell(kid(2))));
    }
}

#[test]
fn a_key_that_is_being_made_when_the_connection_goes_is_still_wanted() {
    let mut rotation = rotation(vec![key(1, NOW - 7 * DAY)], cert(1));
    assert_eq!(next(&mut rotation, NOW), Some(Step::Make { seq: 2 }));
    rotation.disconnected();
    rotation.server_has(cert(1));
    assert_eq!(next(&mut rotation, NOW), None);
    rotation.stored(Held { accepted: false, ..key(2, NOW) });
    assert_eq!(next(&mut rotation, NOW), Some(Step::Tell(kid(2))));
}

#[test]
fn an_old_key_is_held_for_forty_nine_hours_whatever_queue_says() {
    let mut rotation = replaced();
    rotation.mailbox_empty(NOW + HELD_AFTER - 1);
    assert_eq!(next(&mut rotation, NOW + HELD_AFTER - 1), None);
}

#[test]
fn an_old_key_is_never_erased_by_a_timer_alone() {
    let mut rotation = replaced();
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), None);
    rotation.mailbox_empty(NOW + 6 * DAY);
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), Some(Step::Erase(kid(1))));
    rotation.erased(&kid(1));
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), None);
    assert_eq!(rotation.keys(), [key(2, NOW)]);
}

#[test]
fn a_mailbox_that_was_empty_on_an_earlier_connection_says_nothing_of_this_one() {
    let mut rotation = replaced();
    rotation.mailbox_empty(NOW + 6 * DAY);
    rotation.disconnected();
    rotation.server_has(cert(2));
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), None);
}

#[test]
fn who_stays_connected_makes_a_new_connection_when_the_time_is_over() {
    let mut rotation = replaced();
    rotation.mailbox_empty(NOW + DAY);
    assert_eq!(next(&mut rotation, NOW + HELD_AFTER - 1), None);
    assert_eq!(rotation.wake_at(at(NOW + HELD_AFTER - 1)), Some(at(NOW + HELD_AFTER).ticks));
    assert_eq!(next(&mut rotation, NOW + HELD_AFTER), Some(Step::Reconnect));
    // A server whose clock jumps is not dialled again and again.
    assert_eq!(next(&mut rotation, NOW + HELD_AFTER + 1), None);
    rotation.disconnected();
    rotation.server_has(cert(2));
    // Without `queue`, nothing happens.
    assert_eq!(next(&mut rotation, NOW + 3 * DAY), None);
    rotation.mailbox_empty(NOW + 3 * DAY);
    assert_eq!(next(&mut rotation, NOW + 3 * DAY), Some(Step::Erase(kid(1))));
}

#[test]
fn a_key_that_an_envelope_waits_for_is_held_but_not_for_ever() {
    let mut rotation = replaced();
    let wanted = |of: &Kid| *of == kid(1);
    rotation.mailbox_empty(NOW + 6 * DAY);
    assert_eq!(rotation.next(at(NOW + 6 * DAY), wanted), None);
    let last = NOW + HELD_AFTER + HELD_FOR_WAITING;
    rotation.keys[1].not_before = last;
    assert_eq!(rotation.next(at(last - 1), wanted), None);
    assert_eq!(rotation.next(at(last), wanted), Some(Step::Erase(kid(1))));
}

#[test]
fn no_key_is_erased_before_the_server_has_shown_what_it_has() {
    let mut rotation = replaced();
    rotation.server_has(ServerHas::Unknown);
    rotation.mailbox_empty(NOW + 6 * DAY);
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), None);
}

#[test]
fn a_server_that_has_no_key_is_told_the_newest() {
    let mut rotation = replaced();
    rotation.server_has(ServerHas::Nothing);
    rotation.mailbox_empty(NOW + 6 * DAY);
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), Some(Step::Forgotten { seq: 0 }));
    rotation.forgotten(0);
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), Some(Step::Tell(kid(2))));
}

#[test]
fn a_server_that_forgot_a_key_is_told_again_and_the_old_one_lives_on() {
    let mut rotation = replaced();
    rotation.server_has(cert(1));
    rotation.mailbox_empty(NOW + 6 * DAY);
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), Some(Step::Forgotten { seq: 1 }));
    rotation.forgotten(1);
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), Some(Step::Tell(kid(2))));
    rotation.accepted(NOW + 6 * DAY);
    // Others sealed to it until now.
    assert_eq!(rotation.keys()[0].replaced_at, Some(NOW + 6 * DAY));
    assert_eq!(next(&mut rotation, NOW + 6 * DAY), None);
}

#[test]
fn a_server_that_shows_an_old_certificate_for_ever_keeps_its_key_until_nobody_seals_to_it() {
    let mut rotation = replaced();
    rotation.forgotten(1);
    rotation.server_has(cert(1));
    let over = NOW - 7 * DAY + LIFE + WrapCert::MAX_STALE + HELD_AFTER;
    rotation.mailbox_empty(over - 1);
    assert!(!matches!(next(&mut rotation, over), Some(Step::Erase(_))));
    rotation.mailbox_empty(over);
    assert_eq!(next(&mut rotation, over), Some(Step::Erase(kid(1))));
}

#[test]
fn the_last_key_is_never_erased() {
    let mut rotation = rotation(vec![Held { replaced_at: Some(NOW - 100 * DAY), ..key(1, NOW - 300 * DAY) }], cert(1));
    rotation.mailbox_empty(NOW);
    assert_eq!(next(&mut rotation, NOW), Some(Step::Make { seq: 2 }));
}

#[test]
fn a_restored_profile_goes_above_what_the_server_has() {
    // The server has a key of this device's that the profile has lost.
    let mut rotation = rotation(vec![key(1, NOW)], cert(9));
    assert_eq!(next(&mut rotation, NOW), Some(Step::Make { seq: 10 }));
    // What is stored already, under a number that was used, is of no use either.
    let pending = Held { accepted: false, ..key(2, NOW) };
    let mut rotation = self::rotation(vec![key(1, NOW), pending], cert(9));
    assert_eq!(next(&mut rotation, NOW), Some(Step::Make { seq: 10 }));
    rotation.stored(Held { accepted: false, ..key(10, NOW) });
    assert_eq!(next(&mut rotation, NOW), Some(Step::Tell(kid(10))));
    rotation.accepted(NOW + 1);
    assert!(rotation.keys()[..2].iter().all(|key| key.replaced_at == Some(NOW + 1)));
}

#[test]
fn a_number_that_cannot_rise_stops_nothing_else() {
    let mut rotation = rotation(vec![key(1, NOW - 20 * DAY)], ServerHas::Cert { seq: u64::MAX, kid: kid(9) });
    assert_eq!(next(&mut rotation, NOW), None);
    assert!(!rotation.comes_first(at(NOW)));
}

#[test]
fn a_device_that_comes_back_after_the_end_rotates_before_it_sends() {
    let mut rotation = rotation(vec![key(1, NOW)], cert(1));
    assert!(!rotation.comes_first(at(NOW + LIFE)));
    let back = NOW + LIFE + 1;
    assert!(rotation.comes_first(at(back)));
    assert_eq!(next(&mut rotation, back), Some(Step::Make { seq: 2 }));
    rotation.stored(Held { accepted: false, ..key(2, back) });
    assert!(rotation.comes_first(at(back)));
    assert_eq!(next(&mut rotation, back), Some(Step::Tell(kid(2))));
    rotation.accepted(back);
    assert!(!rotation.comes_first(at(back)));
}

#[test]
fn a_server_that_takes_no_key_hinders_no_message_and_is_given_no_second_key() {
    let mut rotation = rotation(vec![key(1, NOW - 20 * DAY), Held { accepted: false, ..key(2, NOW) }], cert(1));
    assert_eq!(next(&mut rotation, NOW), Some(Step::Tell(kid(2))));
    rotation.refused(at(NOW).ticks);
    assert!(!rotation.comes_first(at(NOW)));
    assert_eq!(next(&mut rotation, NOW + PAUSE - 1), None);
    assert_eq!(rotation.wake_at(at(NOW)), Some(at(NOW + PAUSE).ticks));
    assert_eq!(next(&mut rotation, NOW + PAUSE), Some(Step::Tell(kid(2))));
}

#[test]
fn a_busy_server_is_told_again_when_it_said() {
    let mut rotation = rotation(vec![key(1, NOW - 7 * DAY), Held { accepted: false, ..key(2, NOW) }], cert(1));
    for (wait, expected) in [(Some(700), 700), (None, WAIT), (Some(u64::MAX), PAUSE)] {
        assert_eq!(next(&mut rotation, NOW), Some(Step::Tell(kid(2))));
        rotation.later(at(NOW).ticks, wait);
        assert_eq!(next(&mut rotation, NOW + expected - 1), None);
        rotation.held_until = 0;
    }
}

#[test]
fn no_key_made_is_no_loop() {
    let mut rotation = rotation(vec![key(1, NOW - 20 * DAY)], cert(1));
    assert_eq!(next(&mut rotation, NOW), Some(Step::Make { seq: 2 }));
    rotation.not_made(at(NOW).ticks);
    assert_eq!(next(&mut rotation, NOW + 1), None);
    assert!(!rotation.comes_first(at(NOW + 1)));
    assert_eq!(next(&mut rotation, NOW + PAUSE), Some(Step::Make { seq: 2 }));
}

#[test]
fn a_key_dated_ahead_is_replaced_at_once_and_one_not_told_yet_is_not_told() {
    let ahead = NOW + WrapCert::MAX_AHEAD + 1;
    let mut accepted = rotation(vec![key(1, ahead)], cert(1));
    assert_eq!(next(&mut accepted, NOW), Some(Step::Make { seq: 2 }));
    let pending = Held { accepted: false, ..key(2, ahead) };
    let mut untold = rotation(vec![key(1, NOW), pending], cert(1));
    assert_eq!(next(&mut untold, NOW), Some(Step::Make { seq: 3 }));
    let mut fine = rotation(vec![key(1, ahead - 1)], cert(1));
    assert_eq!(next(&mut fine, NOW), None);
}

#[test]
fn a_message_to_a_key_that_was_replaced_over_nine_days_before_is_seen() {
    let rotation = replaced();
    assert!(!rotation.was_long_replaced(&kid(1), NOW + ALARM_AFTER));
    assert!(rotation.was_long_replaced(&kid(1), NOW + ALARM_AFTER + 1));
    assert!(!rotation.was_long_replaced(&kid(2), NOW + 300 * DAY));
}
