//! What a session does with `signal`: an envelope that is handed to the devices that are connected, and never stored.

use bytes::Bytes;
use sealwire_protocol::frames::{ErrorFrame, Message, Shared, signal_json};
use sealwire_protocol::{ErrorCode, Username};

use super::admission::{self, Admission, Facts, Need};
use super::state::Stage;
use super::{Session, Signal, messaging};
use crate::metrics::Limit;

/// A session whose socket is so many bytes behind is given no signals.
const BEHIND: usize = 64 * 1024;

impl Session {
    /// Decides on a signal.
    pub(super) fn signal(&mut self, message: &Message<'_>, id: Option<&String>, facts: &mut Facts) -> Option<Need> {
        let now = self.now();
        let about = |error: ErrorFrame| ErrorFrame { id: id.cloned(), message_id: Some(message.message_id), ..error };
        if let Err(what) = message.check_shape() {
            self.refuse(about(ErrorFrame::new(ErrorCode::BadRequest, what)));
            return None;
        }
        let session = self.authenticated()?;
        let counted = std::mem::replace(&mut facts.counted, true);
        let share = if counted { Ok(()) } else { session.signals.take(now.mono) };
        if let Err(after) = share {
            let error = about(ErrorFrame::new(ErrorCode::RateLimited, "too many signals in a minute"));
            self.rate_limited(error, after, Limit::Signals);
            return None;
        }
        if let Some(need) = self.unknown_places(message, facts) {
            return Some(need);
        }
        let refusal = match self.decide(message, facts, now.wall, admission::admit_signal) {
            Admission::Accept { to, .. } => self.pass_on(message, &to).err(),
            Admission::Refuse(error) => Some(*error),
            Admission::Need(need) => return Some(need),
        };
        if let Some(error) = refusal {
            self.refuse(about(error));
        }
        None
    }

    fn pass_on(&self, message: &Message<'_>, to: &Username) -> Result<(), ErrorFrame> {
        let Stage::Authenticated(session) = &self.stage else { return Ok(()) };
        let shared = Bytes::from(Shared::new(message, &session.username, &session.device, to).into_string());
        messaging::check_length(message, &shared, &self.node.settings.limits)?;
        for (recipient, wrap) in message.recipients.iter().zip(message.wraps()) {
            let wrap = wrap.as_str().to_owned();
            match (self.node.directory.find(&recipient.d), &self.node.link) {
                (Some(inbox), _) => inbox.signal(Signal { shared: shared.clone(), wrap }),
                (None, Some(link)) => link.signal(recipient.d, shared.clone(), wrap),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Hands signals to the device. One that does not read gets none: they would be old when it does.
    pub(super) fn deliver_signals(&self, signals: Vec<Signal>) {
        if self.is_closing() {
            return;
        }
        // What is written here reaches the socket after the turn, so it is counted on the way.
        let mut behind = self.socket.backlog();
        for signal in signals {
            if behind > BEHIND {
                return;
            }
            behind += signal.size();
            if let Ok(shared) = std::str::from_utf8(&signal.shared) {
                self.write(&[signal_json(&signal.wrap, shared).as_bytes()]);
            }
        }
    }
}
