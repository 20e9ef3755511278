use sealwire_store::Fingerprint;

use super::*;
use crate::session::fixtures::{key, mail, parcel};

const LIMITS: WindowLimits =
    WindowLimits { messages: 4, bytes: 1_000, patience: Duration::from_secs(2), clustered: false };

fn at(mono: u64) -> Now {
    Now { wall: mono, mono }
}

/// A receiving side, with what it has asked for since the test last looked.
struct Side {
    receiving: Receiving,
    effects: Vec<Effect>,
    now: u64,
}

impl Side {
    fn new() -> Self {
        let receiving = Receiving::new(LIMITS, Inbox::new());
        Self { receiving, effects: Vec::new(), now: 0 }
    }

    /// A session that has read an empty mailbox.
    fn live() -> Self {
        let mut side = Self::new();
        side.receiving.may_read(&mut side.effects);
        side.front(&[]);
        assert!(!side.receiving.is_draining());
        side.effects.clear();
        side
    }

    fn parcel(&mut self, n: u64) {
        self.receiving.parcel(parcel(n), at(self.now), &mut self.effects);
    }

    fn front(&mut self, orders: &[u64]) {
        let front = Front { mail: orders.iter().copied().map(mail).collect(), more: false };
        self.receiving.front(Some(front), at(self.now), &mut self.effects);
    }

    fn appended(&mut self, n: u64, outcome: Appended) {
        self.receiving.appended(key(n), n, outcome, &mut self.effects);
    }

    fn ack(&mut self, seq: u64) -> Acked {
        self.receiving.ack(seq, &mut self.effects)
    }

    fn delivered(&mut self) -> Vec<u64> {
        self.take(|effect| match effect {
            Effect::Deliver { mail, .. } => Some(mail.order),
            _ => None,
        })
    }

    fn appends(&mut self) -> Vec<u64> {
        self.take(|effect| match effect {
            Effect::Append { mail, .. } => Some(mail.order),
            _ => None,
        })
    }

    fn reads(&mut self) -> usize {
        self.take(|effect| matches!(effect, Effect::Read { .. }).then_some(())).len()
    }

    fn verdicts(&mut self) -> Vec<(u64, Verdict)> {
        self.take(|effect| match effect {
            Effect::Decided { reply: Reply::Session { ticket, .. }, verdict } => Some((*ticket, *verdict)),
            _ => None,
        })
    }

    fn removals(&mut self) -> Vec<MailKey> {
        self.take(|effect| match effect {
            Effect::Remove { key, .. } => Some(*key),
            _ => None,
        })
    }

    /// Takes the effects of one kind out.
    fn take<T>(&mut self, pick: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
        let (mut picked, mut kept) = (Vec::new(), Vec::new());
        for effect in self.effects.drain(..) {
            match pick(&effect) {
                Some(value) => picked.push(value),
                None => kept.push(effect),
            }
        }
        self.effects = kept;
        picked
    }
}

#[test]
fn a_live_session_hands_over_and_its_sender_hears_of_the_acknowledgement() {
    let mut side = Side::live();
    side.parcel(1);
    side.parcel(2);
    assert_eq!(side.delivered(), [1, 2]);
    assert_eq!(side.ack(2), Acked::Forward);
    assert_eq!(side.verdicts(), [(1, Verdict::Delivered), (2, Verdict::Delivered)]);
    assert!(side.effects.is_empty(), "nothing touches the store: {:?}", side.effects);
}

#[test]
fn in_a_cluster_nothing_is_stored_behind_what_only_the_window_holds() {
    for (clustered, stored) in [(false, vec![5]), (true, vec![1, 2, 3, 4, 5])] {
        let mut side = Side::live();
        side.receiving.limits.clustered = clustered;
        (1..=5).for_each(|n| side.parcel(n));
        assert_eq!((side.delivered(), side.appends()), (vec![1, 2, 3, 4], stored));
    }
}

#[test]
fn an_acknowledgement_names_what_was_sent() {
    let mut side = Side::live();
    side.parcel(1);
    assert_eq!(side.ack(2), Acked::Beyond);
    assert_eq!((side.ack(1), side.ack(1), side.ack(0)), (Acked::Forward, Acked::Nothing, Acked::Nothing));
}

#[test]
fn a_new_session_stores_what_comes_until_it_has_read_its_mailbox() {
    let mut side = Side::new();
    side.parcel(5);
    assert_eq!((side.appends(), side.delivered(), side.reads()), (vec![5], vec![], 0));
    side.receiving.may_read(&mut side.effects);
    assert_eq!(side.reads(), 1);
    side.appended(5, Appended::Stored);
    // The read may have begun before the append was there: 7 may not overtake 5, 3 may be sent.
    side.front(&[3, 7]);
    assert_eq!(side.delivered(), [3]);
    assert_eq!(side.reads(), 1);
    side.front(&[3, 5, 7]);
    assert_eq!(side.delivered(), [5, 7]);
    assert!(!side.receiving.is_draining());
}

#[test]
fn the_backlog_is_announced_once() {
    let mut side = Side::new();
    side.receiving.may_read(&mut side.effects);
    side.front(&[]);
    side.receiving.nudge();
    side.receiving.read_if_due(&mut side.effects);
    side.front(&[]);
    let announced = side.take(|effect| matches!(effect, Effect::BacklogSent).then_some(()));
    assert_eq!(announced.len(), 1);
}

#[test]
fn a_full_window_stores_and_reads_when_half_of_it_is_free() {
    let mut side = Side::live();
    (1..=5).for_each(|n| side.parcel(n));
    assert_eq!((side.delivered(), side.appends()), (vec![1, 2, 3, 4], vec![5]));
    side.appended(5, Appended::Stored);
    side.ack(1);
    assert_eq!(side.reads(), 0);
    side.ack(2);
    assert_eq!(side.reads(), 1);
    side.front(&[5]);
    assert_eq!(side.delivered(), [5]);
    assert!(!side.receiving.is_draining());
    side.parcel(6);
    assert_eq!(side.delivered(), [6]);
}

#[test]
fn a_large_message_that_does_not_fit_waits_for_an_acknowledgement() {
    let mut side = Side::live();
    side.parcel(1);
    side.receiving.nudge();
    side.receiving.read_if_due(&mut side.effects);
    side.effects.clear();
    let large = Mail { shared: vec![b's'; 950].into(), ..mail(2) };
    side.receiving.front(Some(Front { mail: vec![large], more: false }), at(0), &mut side.effects);
    assert_eq!((side.delivered(), side.reads()), (vec![], 0));
    side.ack(1);
    assert_eq!(side.reads(), 1);
}

#[test]
fn a_silent_device_has_its_window_stored_in_order_and_its_late_acknowledgement_counts() {
    let mut side = Side::live();
    side.parcel(1);
    side.now = 500;
    side.parcel(2);
    side.effects.clear();
    assert_eq!(side.receiving.next_deadline(), Some(2_000));
    side.receiving.tick(at(1_999), &mut side.effects);
    assert!(side.effects.is_empty());
    side.receiving.tick(at(2_000), &mut side.effects);
    assert_eq!(side.appends(), [1, 2]);
    assert_eq!(side.receiving.next_deadline(), None);
    side.parcel(3);
    assert_eq!((side.appends(), side.delivered()), (vec![3], vec![]));
    (1..=3).for_each(|n| side.appended(n, Appended::Stored));
    side.ack(2);
    assert_eq!(side.removals(), [key(1), key(2)]);
    // The read began when 2 and 3 were still on their way into the mailbox, so it may not show all before 3.
    assert_eq!(side.reads(), 1);
    side.front(&[3]);
    assert_eq!((side.delivered(), side.reads()), (vec![], 1));
    side.front(&[3]);
    assert_eq!(side.delivered(), [3]);
}

#[test]
fn what_was_spilled_is_not_sent_again_on_the_same_connection() {
    let mut side = Side::live();
    side.parcel(1);
    side.receiving.tick(at(2_000), &mut side.effects);
    side.appended(1, Appended::Stored);
    side.effects.clear();
    side.front(&[1]);
    assert!(side.delivered().is_empty());
    side.ack(1);
    side.front(&[1]);
    assert!(side.delivered().is_empty());
}

#[test]
fn a_nudge_keeps_later_parcels_behind_what_was_stored() {
    let mut side = Side::live();
    side.receiving.nudge();
    side.parcel(8);
    assert_eq!((side.appends(), side.delivered()), (vec![8], vec![]));
    side.receiving.read_if_due(&mut side.effects);
    side.appended(8, Appended::Stored);
    side.front(&[7]);
    assert_eq!(side.delivered(), [7]);
    side.front(&[7, 8]);
    assert_eq!(side.delivered(), [8]);
}

#[test]
fn repeats_are_recognised_whatever_became_of_the_first() {
    let mut side = Side::live();
    side.parcel(1);
    side.parcel(1);
    assert_eq!(side.delivered(), [1]);
    side.ack(1);
    assert_eq!(side.verdicts(), [(1, Verdict::Delivered), (1, Verdict::Delivered)]);
    side.parcel(1);
    assert_eq!((side.delivered(), side.verdicts()), (vec![], vec![(1, Verdict::Delivered)]));
    let other = parcel(1);
    let fingerprint = Fingerprint { content: 99, ..other.mail.fingerprint };
    let other = Parcel { mail: Mail { fingerprint, ..Mail::clone(&other.mail) }.into(), ..other };
    side.receiving.parcel(other, at(0), &mut side.effects);
    assert_eq!(side.verdicts(), [(1, Verdict::Conflict)]);
}

#[test]
fn what_could_not_be_stored_is_new_when_it_comes_again() {
    let mut side = Side::new();
    side.parcel(1);
    side.appended(1, Appended::Failed);
    side.receiving.may_read(&mut side.effects);
    side.front(&[]);
    side.effects.clear();
    side.parcel(1);
    assert_eq!(side.delivered(), [1]);
}

#[test]
fn the_end_gives_back_what_is_undecided_in_order() {
    let mut side = Side::live();
    (1..=3).for_each(|n| side.parcel(n));
    side.ack(1);
    let spilled: Vec<u64> = side.receiving.end().into_iter().map(|(mail, _)| mail.order).collect();
    assert_eq!(spilled, [2, 3]);
}

#[test]
fn a_store_that_does_not_answer_is_asked_again() {
    let mut side = Side::new();
    side.receiving.may_read(&mut side.effects);
    side.effects.clear();
    side.receiving.front(None, at(0), &mut side.effects);
    assert!(matches!(side.effects[..], [Effect::ReadLater]));
    side.receiving.read_again(&mut side.effects);
    assert_eq!(side.reads(), 1);
}

#[test]
fn what_comes_for_a_device_that_was_removed_is_lost_to_it_and_not_stored() {
    let mut side = Side::live();
    side.parcel(1);
    side.receiving.revoke();
    side.parcel(2);
    assert_eq!((side.delivered(), side.appends()), (vec![1], vec![]));
    assert_eq!(side.verdicts(), [(2, Verdict::Missed)]);
    assert_eq!(side.receiving.end().len(), 1);
}

#[test]
fn whether_mail_waits_is_known_with_the_first_read() {
    let mut side = Side::new();
    side.receiving.may_read(&mut side.effects);
    assert!(side.receiving.has_not_begun());
    side.front(&[]);
    assert!(!side.receiving.has_not_begun());
    let mut side = Side::new();
    side.receiving.may_read(&mut side.effects);
    side.front(&[1, 2]);
    assert!(!side.receiving.has_not_begun());
}
