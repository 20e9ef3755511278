use Status::{Delivered, Expired, Queued};

use super::*;

fn line_of(sent: u64) -> Line {
    let mut line = Line::new(1);
    (1..=sent).for_each(|due| assert_eq!(u64::from(line.send(due)), due));
    line
}

#[test]
fn a_message_is_over_once_it_is_answered_and_has_come() {
    let mut line = Line::new(1);
    let (first, second) = (line.send(0), line.send(0));
    line.answered(first, Status::Delivered);
    line.arrived(0, first);
    line.arrived(0, second);
    assert_eq!((line.is_over(first), line.is_over(second)), (true, false));
    line.answered(second, Status::Delivered);
    assert!(line.is_over(second));
}

#[test]
fn what_comes_once_in_order_and_is_answered_leaves_nothing() {
    let mut line = line_of(3);
    for number in 1..=3 {
        assert_eq!(line.arrived(0, number), Arrival::New { due: number.into() });
        assert_eq!(line.answered(number, Delivered), Answer::First { due: number.into() });
    }
    assert_eq!((line.lost(), line.unanswered(), line.sent()), (0, 0, 3));
}

#[test]
fn what_has_not_come_is_lost_and_named() {
    let mut line = line_of(4);
    line.arrived(0, 1);
    line.arrived(0, 3);
    (1..=4).for_each(|number| assert!(matches!(line.answered(number, Delivered), Answer::First { .. })));
    assert_eq!((line.lost(), line.first_lost(9), line.first_lost(1)), (2, vec![2, 4], vec![2]));
}

#[test]
fn what_was_not_answered_is_counted() {
    let mut line = line_of(2);
    line.arrived(0, 1);
    line.arrived(0, 2);
    line.answered(2, Delivered);
    assert_eq!((line.lost(), line.unanswered()), (0, 1));
}

#[test]
fn an_overtaken_message_is_noticed_when_it_comes() {
    let mut line = line_of(3);
    assert_eq!(line.arrived(0, 1), Arrival::New { due: 1 });
    assert_eq!(line.arrived(0, 3), Arrival::New { due: 3 });
    assert_eq!(line.arrived(0, 2), Arrival::Late { due: 2 });
    assert_eq!(line.arrived(0, 2), Arrival::Fault(Fault::Repeated));
}

#[test]
fn a_repeat_on_one_connection_is_a_fault() {
    let mut line = line_of(3);
    line.arrived(0, 1);
    assert_eq!(line.arrived(0, 1), Arrival::Fault(Fault::Repeated), "the newest one");
    line.answered(1, Delivered);
    line.arrived(0, 2);
    assert_eq!(line.arrived(0, 1), Arrival::Fault(Fault::Repeated), "one that is over");
}

#[test]
fn what_came_before_a_reconnect_may_come_again_but_once_and_in_order() {
    let mut line = line_of(4);
    (1..=3).for_each(|number| assert!(matches!(line.arrived(0, number), Arrival::New { .. })));
    line.connected(0);
    assert_eq!(line.arrived(0, 2), Arrival::Again);
    assert_eq!(line.arrived(0, 3), Arrival::Again);
    assert_eq!(line.arrived(0, 3), Arrival::Fault(Fault::Repeated));
    assert_eq!(line.arrived(0, 2), Arrival::Fault(Fault::Repeated));
    assert_eq!(line.arrived(0, 4), Arrival::New { due: 4 });
    assert_eq!(line.arrived(0, 4), Arrival::Fault(Fault::Repeated));
}

#[test]
fn every_device_of_the_addressee_must_get_its_copy() {
    let mut line = Line::new(3);
    line.send(7);
    line.answered(1, Delivered);
    assert_eq!(line.lost(), 3);
    assert_eq!(line.arrived(0, 1), Arrival::New { due: 7 });
    assert_eq!(line.arrived(2, 1), Arrival::New { due: 7 });
    assert_eq!((line.lost(), line.arrived(2, 1)), (1, Arrival::Fault(Fault::Repeated)));
    assert_eq!(line.arrived(1, 1), Arrival::New { due: 7 });
    assert_eq!(line.lost(), 0);
}

#[test]
fn what_was_never_sent_is_astray() {
    let mut line = line_of(1);
    assert_eq!(line.arrived(0, 2), Arrival::Fault(Fault::Stray));
    assert_eq!(line.arrived(0, 0), Arrival::Fault(Fault::Stray));
    assert_eq!(line.answered(2, Delivered), Answer::Fault(Fault::Stray));
}

#[test]
fn one_first_status_and_delivered_once_after_queued() {
    let mut line = line_of(3);
    assert_eq!(line.answered(1, Queued), Answer::First { due: 1 });
    assert_eq!(line.answered(1, Queued), Answer::Fault(Fault::AnsweredTwice));
    assert_eq!(line.answered(1, Delivered), Answer::Second);
    assert_eq!(line.answered(1, Delivered), Answer::Fault(Fault::AnsweredTwice));
    line.answered(2, Queued);
    (1..=3).for_each(|number| assert!(matches!(line.arrived(0, number), Arrival::New { .. })));
    assert_eq!(line.answered(2, Delivered), Answer::Second, "it is over, and may be followed");
    assert_eq!(line.answered(2, Delivered), Answer::Fault(Fault::AnsweredTwice));
    line.answered(3, Delivered);
    assert_eq!(line.answered(3, Queued), Answer::Fault(Fault::AnsweredTwice));
}

#[test]
fn what_expires_is_a_fault_and_stays_lost() {
    let mut line = line_of(1);
    line.answered(1, Queued);
    assert_eq!(line.answered(1, Expired), Answer::Fault(Fault::Expired));
    assert_eq!(line.lost(), 1);
}

#[test]
fn a_refused_message_is_waited_for_no_more_and_must_not_come() {
    let mut line = line_of(2);
    assert_eq!(line.refused(1, false), Refusal { was_unanswered: true, missing: 1 });
    assert_eq!((line.lost(), line.unanswered()), (1, 1), "the second one is still under way");
    assert_eq!(line.arrived(0, 2), Arrival::New { due: 2 });
    line.answered(2, Delivered);
    assert_eq!((line.lost(), line.unanswered()), (0, 0));
    assert_eq!(line.arrived(0, 1), Arrival::Fault(Fault::Stray));
    assert_eq!(line.answered(1, Delivered), Answer::Fault(Fault::AnsweredTwice));
}

#[test]
fn what_may_have_arrived_in_spite_of_an_error_may_come_once() {
    let mut line = line_of(4);
    line.arrived(0, 1);
    assert_eq!(line.refused(1, true), Refusal { was_unanswered: true, missing: 0 });
    assert_eq!(line.arrived(0, 1), Arrival::Fault(Fault::Repeated));
    assert_eq!(line.answered(1, Delivered), Answer::Unpromised);
    assert_eq!(line.refused(3, true), Refusal { was_unanswered: true, missing: 1 });
    assert_eq!(line.refused(3, true), Refusal { was_unanswered: false, missing: 0 });
    assert_eq!(line.arrived(0, 3), Arrival::Unpromised);
    assert_eq!(line.arrived(0, 2), Arrival::Late { due: 2 }, "the one behind it overtook one that was promised");
    assert_eq!((line.lost(), line.unanswered()), (1, 2), "two and four are still under way");
}
