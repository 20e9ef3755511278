//! What a session tells its client of the client's own messages, and when: several share a frame where that delays none for
//! long.

use std::time::Duration;

use actix::AsyncContext;
use sealwire_protocol::MessageId;
use sealwire_protocol::frames::{ErrorFrame, ServerFrame, Status, StatusFrame};

use super::Session;
use super::sending::Answer;
use super::socket::SessionContext;
use crate::clock::{Now, millis};

/// How long a status waits at most for others to share a frame with (protocol section 5).
const STATUS_WAITS: Duration = Duration::from_millis(20);

/// Statuses that wait to share a frame.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    queued: Vec<MessageId>,
    delivered: Vec<MessageId>,
    expired: Vec<MessageId>,
    /// When the last ones were told, on the monotonic clock.
    told: u64,
}

impl Statuses {
    /// Adds one.
    pub(crate) fn push(&mut self, message_id: MessageId, status: Status) {
        match status {
            Status::Queued => self.queued.push(message_id),
            Status::Delivered => self.delivered.push(message_id),
            Status::Expired => self.expired.push(message_id),
        }
    }

    /// When what has gathered must be told at the latest, on the monotonic clock, if it may wait for so long; `None` when
    /// nothing has. It counts from when the last ones were told, so who hears little hears at once.
    pub(crate) fn due(&self, wait: Duration) -> Option<u64> {
        let none = self.queued.is_empty() && self.delivered.is_empty() && self.expired.is_empty();
        (!none).then(|| self.told.saturating_add(millis(wait)))
    }

    /// The frames for what has gathered; a message that was first `queued`, then `delivered`, is told both in that order.
    pub(crate) fn take(&mut self, now: Now) -> impl Iterator<Item = StatusFrame> + use<> {
        self.told = now.mono;
        let all = [
            (Status::Queued, std::mem::take(&mut self.queued)),
            (Status::Delivered, std::mem::take(&mut self.delivered)),
            (Status::Expired, std::mem::take(&mut self.expired)),
        ];
        let frames = all.into_iter().filter(|(_, message_ids)| !message_ids.is_empty());
        frames.map(move |(status, message_ids)| StatusFrame { status, message_ids, at: now.wall })
    }
}

impl Session {
    pub(super) fn answer(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            match answer {
                Answer::Status(message_id, status) => {
                    if let Some(session) = self.authenticated() {
                        session.statuses.push(message_id, status);
                    }
                }
                Answer::Error(message_id, code) => {
                    let retry_after_ms = code.may_have_arrived().then_some(1_000);
                    let error = ErrorFrame::new(code, code.meaning());
                    let error = ErrorFrame { message_id: Some(message_id), retry_after_ms, ..error };
                    self.send(&ServerFrame::Error(Box::new(error)));
                }
            }
        }
    }

    pub(super) fn flush_statuses(&mut self) {
        let now = self.now();
        let Some(session) = self.authenticated() else { return };
        for frame in session.statuses.take(now) {
            self.send(&ServerFrame::Status(frame));
        }
    }

    /// Tells statuses, unless others will follow soon that can share their frame: as long as messages are undecided, and
    /// nothing else is said to the client, they wait a little.
    pub(super) fn tell_statuses(&mut self, ctx: &mut SessionContext) {
        let now = self.now();
        let speaks = self.socket.has_something_to_say();
        let Some(session) = self.authenticated() else { return };
        let Some(due) = session.statuses.due(STATUS_WAITS) else { return };
        if speaks || due <= now.mono || session.sending.undecided() == 0 {
            self.flush_statuses();
        } else if !std::mem::replace(&mut self.status_alarm, true) {
            ctx.run_later(Duration::from_millis(due - now.mono), |session, ctx| {
                session.status_alarm = false;
                session.end_turn(ctx);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_waits_from_when_others_were_told_last() {
        let wait = Duration::from_millis(20);
        let mut statuses = Statuses::default();
        assert_eq!(statuses.due(wait), None);
        let id = crate::session::fixtures::message_id(1);
        statuses.push(id, Status::Queued);
        assert_eq!(statuses.due(wait), Some(20), "who has heard nothing for long hears at once");
        statuses.push(id, Status::Delivered);
        let told: Vec<Status> = statuses.take(Now { wall: 100, mono: 100 }).map(|frame| frame.status).collect();
        assert_eq!((told, statuses.due(wait)), (vec![Status::Queued, Status::Delivered], None));
        statuses.push(id, Status::Expired);
        assert_eq!(statuses.due(wait), Some(120));
    }
}
