use proptest::prelude::*;

use super::*;

fn id(n: u64) -> MessageId {
    MessageId::new_v7(n, [0; 10])
}

fn bob() -> Username {
    "bob".parse().unwrap()
}

fn carol() -> Username {
    "carol".parse().unwrap()
}

/// Messages 1 to n to bob, sealed.
fn sealed(n: u64) -> Outbox {
    let mut outbox = Outbox::default();
    (1..=n).for_each(|n| outbox.push(&bob(), id(n), true, false));
    outbox
}

fn send_all(outbox: &mut Outbox, now: u64) -> Vec<MessageId> {
    std::iter::from_fn(|| outbox.next_to_send(now, |_| true)).collect()
}

fn ids(range: impl IntoIterator<Item = u64>) -> Vec<MessageId> {
    range.into_iter().map(id).collect()
}

fn refuse(outbox: &mut Outbox, n: u64, code: ErrorCode) -> Refusal {
    outbox.refused(&id(n), code, Some(1_000), 0, 0)
}

#[test]
fn messages_are_sealed_and_sent_in_order() {
    let mut outbox = Outbox::default();
    (1..=3).for_each(|n| outbox.push(&bob(), id(n), false, false));
    assert_eq!(outbox.to_seal(0, 10, |_| false), []);
    assert_eq!(outbox.to_seal(0, 2, |_| true), ids([1, 2]));
    outbox.sealed(&id(1));
    outbox.sealed(&id(2));
    assert_eq!(send_all(&mut outbox, 0), ids([1, 2]));
    assert_eq!(outbox.to_seal(0, 10, |_| true), ids([3]));
}

#[test]
fn no_more_than_the_window_is_sealed_ahead() {
    let mut outbox = Outbox::default();
    (0..100).for_each(|n| outbox.push(&bob(), id(n), false, false));
    let first = outbox.to_seal(0, 1_000, |_| true);
    assert_eq!(first.len(), WINDOW);
    first.iter().for_each(|id| outbox.sealed(id));
    assert_eq!(outbox.to_seal(0, 1_000, |_| true), []);
    assert!(outbox.settle(&id(0)));
    assert_eq!(outbox.to_seal(0, 1_000, |_| true), ids([WINDOW as u64]));
}

#[test]
fn after_a_lost_connection_the_same_go_again_in_order() {
    let mut outbox = sealed(4);
    assert_eq!(send_all(&mut outbox, 0), ids(1..=4));
    assert!(outbox.settle(&id(2)));
    outbox.disconnected(0);
    assert_eq!(send_all(&mut outbox, 0), ids([1, 3, 4]));
}

#[test]
fn a_second_status_settles_nothing() {
    let mut outbox = sealed(1);
    send_all(&mut outbox, 0);
    assert!(outbox.settle(&id(1)));
    assert!(!outbox.settle(&id(1)));
    assert!(outbox.is_empty());
}

#[test]
fn what_may_have_arrived_goes_again_as_it_is_after_the_time_that_was_named() {
    for code in [ErrorCode::RateLimited, ErrorCode::ServerBusy, ErrorCode::StoreUnavailable, ErrorCode::Internal] {
        let mut outbox = sealed(2);
        send_all(&mut outbox, 0);
        assert_eq!(refuse(&mut outbox, 1, code), Refusal::SendAgain(Duration::from_secs(1)));
        assert_eq!(outbox.wake_at(0), Some(1_000));
        assert_eq!(send_all(&mut outbox, 999), []);
        assert_eq!(send_all(&mut outbox, 1_000), ids([1]));
        assert_eq!(outbox.to_seal(1_000, 10, |_| true), []);
    }
}

#[test]
fn an_endless_wait_ends_after_an_hour_or_a_minute_after_its_connection() {
    let mut outbox = sealed(1);
    send_all(&mut outbox, 0);
    let refusal = outbox.refused(&id(1), ErrorCode::RateLimited, Some(u64::MAX), 0, 0);
    assert_eq!(refusal, Refusal::SendAgain(Duration::from_secs(3_600)));
    outbox.disconnected(5_000);
    assert_eq!(outbox.wake_at(5_000), Some(65_000));
    assert_eq!(send_all(&mut outbox, 65_000), ids([1]));
}

#[test]
fn nothing_for_the_same_name_goes_behind_a_refused_message() {
    let mut outbox = sealed(3);
    outbox.push(&carol(), id(10), true, false);
    assert_eq!((outbox.next_to_send(0, |_| true), outbox.next_to_send(0, |_| true)), (Some(id(1)), Some(id(2))));
    refuse(&mut outbox, 1, ErrorCode::RateLimited);
    // Message 1 goes alone; message 3 waits until it has its status; carol's does not wait.
    assert_eq!(send_all(&mut outbox, 1_000), ids([1, 10]));
    outbox.settle(&id(2));
    assert_eq!(send_all(&mut outbox, 1_000), []);
    outbox.settle(&id(1));
    assert_eq!(send_all(&mut outbox, 1_000), ids([3]));
}

#[test]
fn stale_devices_and_a_wrong_clock_seal_the_same_message_again_alone() {
    for code in [ErrorCode::StaleDevices, ErrorCode::TimestampOutOfRange] {
        let mut outbox = sealed(1);
        outbox.push(&bob(), id(2), false, false);
        send_all(&mut outbox, 0);
        assert_eq!(refuse(&mut outbox, 1, code), Refusal::SealAgain);
        assert_eq!(outbox.to_seal(0, 10, |_| true), ids([1]));
        outbox.sealed(&id(1));
        assert_eq!(send_all(&mut outbox, 0), ids([1]));
    }
}

#[test]
fn sealing_again_and_again_slows_down() {
    let mut outbox = sealed(1);
    for _ in 0..3 {
        send_all(&mut outbox, 0);
        refuse(&mut outbox, 1, ErrorCode::StaleDevices);
        assert_eq!(outbox.to_seal(0, 1, |_| true), ids([1]));
        outbox.sealed(&id(1));
    }
    send_all(&mut outbox, 0);
    outbox.refused(&id(1), ErrorCode::StaleDevices, None, 0, 700);
    assert_eq!(outbox.to_seal(0, 1, |_| true), []);
    assert_eq!(outbox.wake_at(0), Some(700));
    assert_eq!(outbox.to_seal(700, 1, |_| true), ids([1]));
}

#[test]
fn what_is_given_up_is_replaced_once_then_dropped() {
    let mut outbox = sealed(1);
    send_all(&mut outbox, 0);
    assert_eq!(refuse(&mut outbox, 1, ErrorCode::TooLarge), Refusal::Replace);
    assert_eq!(outbox.to_seal(0, 1, |_| true), ids([1]));
    outbox.sealed(&id(1));
    send_all(&mut outbox, 0);
    assert_eq!(refuse(&mut outbox, 1, ErrorCode::MailboxFull), Refusal::Drop);
    assert!(outbox.is_empty());
}

#[test]
fn an_id_that_the_server_knows_with_other_bytes_is_not_replaced() {
    let mut outbox = sealed(1);
    send_all(&mut outbox, 0);
    assert_eq!(refuse(&mut outbox, 1, ErrorCode::DuplicateConflict), Refusal::Drop);
    assert_eq!(refuse(&mut outbox, 1, ErrorCode::DuplicateConflict), Refusal::Unknown);
}

#[test]
fn only_what_was_never_sealed_is_withdrawn_the_last_first() {
    let mut outbox = sealed(1);
    (2..=4).for_each(|n| outbox.push(&bob(), id(n), false, false));
    assert_eq!(outbox.withdraw_unsealed(&bob()), ids([4, 3, 2]));
    assert_eq!(outbox.len(), 1);
    assert_eq!(outbox.withdraw_unsealed(&carol()), []);
}

#[test]
fn a_name_whose_keys_are_refused_is_passed_over_and_its_messages_stay() {
    let mut outbox = sealed(2);
    outbox.push(&carol(), id(10), true, false);
    send_all(&mut outbox, 0);
    assert_eq!(refuse(&mut outbox, 1, ErrorCode::StaleDevices), Refusal::SealAgain);
    outbox.disconnected(0);
    let believed = |name: &Username| *name != bob();
    assert_eq!(outbox.to_seal(0, 10, believed), []);
    assert_eq!((outbox.next_to_send(0, believed), outbox.next_to_send(0, believed)), (Some(id(10)), None));
    assert_eq!(outbox.withdraw_unsealed(&bob()), []);
    assert_eq!(outbox.all_to(&bob()), ids([1, 2]));
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    Seal,
    Send,
    Answer(usize, Option<ErrorCode>),
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    let code = prop_oneof![
        4 => Just(None),
        1 => Just(Some(ErrorCode::RateLimited)),
        1 => Just(Some(ErrorCode::StaleDevices)),
        1 => Just(Some(ErrorCode::TooLarge)),
    ];
    prop_oneof![
        1 => Just(Step::Push),
        1 => Just(Step::Seal),
        3 => Just(Step::Send),
        3 => (any::<usize>(), code).prop_map(|(at, code)| Step::Answer(at, code)),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    /// Runs an outbox against a peer that answers as it likes, and looks at every send.
    #[test]
    fn order_and_refusals_are_respected_whatever_the_peer_answers(steps in prop::collection::vec(step(), 0..200)) {
        let mut outbox = Outbox::default();
        let (mut pushed, mut now, mut settled) = (0, 0, Vec::new());
        let (mut in_flight, mut refused): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        for step in steps {
            now += 10_000;
            match step {
                Step::Push => {
                    pushed += 1;
                    outbox.push(&bob(), id(pushed), false, false);
                }
                Step::Seal => outbox.to_seal(now, 10, |_| true).iter().for_each(|id| outbox.sealed(id)),
                Step::Send => {
                    if let Some(sent) = outbox.next_to_send(now, |_| true) {
                        let sent = (1..=pushed).find(|n| id(*n) == sent).unwrap();
                        prop_assert!(!in_flight.contains(&sent) && !settled.contains(&sent));
                        prop_assert!(refused.iter().all(|n| *n >= sent), "{sent} behind one of {refused:?}");
                        let earlier = (1..sent).filter(|n| !settled.contains(n));
                        prop_assert!(earlier.into_iter().all(|n| in_flight.contains(&n)));
                        in_flight.push(sent);
                    }
                }
                Step::Answer(at, code) if !in_flight.is_empty() => {
                    let n = in_flight.remove(at % in_flight.len());
                    refused.retain(|other| *other != n);
                    let gone = match code {
                        None => outbox.settle(&id(n)),
                        Some(code) => outbox.refused(&id(n), code, Some(1), now, 0) == Refusal::Drop,
                    };
                    if gone { settled.push(n) } else { refused.push(n) }
                }
                Step::Answer(..) => {}
                Step::Lose => {
                    outbox.disconnected(now);
                    in_flight.clear();
                }
            }
            prop_assert_eq!(outbox.len(), pushed as usize - settled.len());
        }
    }
}
