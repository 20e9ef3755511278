//! Copies and outcomes as they go from node to node.

use sealwire_bus::frames;
use sealwire_store::{Fingerprint, Mail, MailKey};

use super::streams::Outcome;
use crate::session::Verdict;

/// A copy as it is sent.
pub(super) fn copy(mail: &Mail) -> frames::Copy {
    frames::Copy {
        device: mail.device,
        from_device: mail.key.from_device,
        message_id: mail.key.message_id,
        from: mail.from.clone(),
        own: mail.own,
        order: mail.order,
        accepted_at: mail.accepted_at,
        header: mail.fingerprint.header,
        content: mail.fingerprint.content,
        shared: mail.shared.clone(),
        wrap: mail.wrap.clone(),
    }
}

/// A copy as it was sent.
pub(super) fn mail(copy: frames::Copy) -> Mail {
    Mail {
        device: copy.device,
        key: MailKey { from_device: copy.from_device, message_id: copy.message_id },
        from: copy.from,
        own: copy.own,
        order: copy.order,
        accepted_at: copy.accepted_at,
        fingerprint: Fingerprint { header: copy.header, content: copy.content },
        shared: copy.shared,
        wrap: copy.wrap,
    }
}

/// What is said of a copy.
pub(super) fn verdict(verdict: Verdict) -> frames::Verdict {
    match verdict {
        Verdict::Delivered => frames::Verdict::Delivered,
        Verdict::Stored => frames::Verdict::Stored,
        Verdict::Missed => frames::Verdict::Missed,
        Verdict::Conflict => frames::Verdict::Conflict,
        Verdict::Failed => frames::Verdict::Failed,
    }
}

/// What was said of a copy.
pub(super) fn outcome(verdict: frames::Verdict) -> Outcome {
    match verdict {
        frames::Verdict::Delivered => Outcome::Decided(Verdict::Delivered),
        frames::Verdict::Stored => Outcome::Decided(Verdict::Stored),
        frames::Verdict::Missed => Outcome::Decided(Verdict::Missed),
        frames::Verdict::Conflict => Outcome::Decided(Verdict::Conflict),
        frames::Verdict::Failed => Outcome::Decided(Verdict::Failed),
        frames::Verdict::NotHere | frames::Verdict::Refused { .. } => Outcome::NotTaken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixtures;

    #[test]
    fn a_copy_comes_as_it_went() {
        let sent = fixtures::mail(7);
        assert_eq!(mail(copy(&sent)), sent);
    }

    #[test]
    fn an_outcome_comes_as_it_went() {
        for said in [Verdict::Delivered, Verdict::Stored, Verdict::Missed, Verdict::Conflict, Verdict::Failed] {
            assert_eq!(outcome(verdict(said)), Outcome::Decided(said));
        }
        assert_eq!(outcome(frames::Verdict::NotHere), Outcome::NotTaken);
        assert_eq!(outcome(frames::Verdict::Refused { token: 1 }), Outcome::NotTaken);
    }
}
