//! Requests of a program that are sent while it is logged in, and whose answers go back to whoever asked: `rendezvous`,
//! `backup`, `devices` and their like.
//!
//! A request waits for a connection. Once it is sent it belongs to that connection: when that is lost, nobody knows
//! whether the server has acted, and whoever asked decides whether to ask again.

use std::collections::{HashMap, VecDeque};

use sealwire_protocol::frames::{ClientFrame, Request, ServerFrame};

/// The most requests that wait for a connection; one more is refused.
const WAITING: usize = 256;

/// The requests of a client. `T` stands for whoever asked.
#[derive(Debug)]
pub struct Requests<T> {
    waiting: VecDeque<(Request<'static>, T)>,
    sent: HashMap<String, T>,
    count: u64,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), sent: HashMap::new(), count: 0 }
    }
}

impl<T> Requests<T> {
    /// Takes a request in. Gives whoever asked back when too many wait already.
    ///
    /// # Errors
    /// Whoever asked.
    pub fn push(&mut self, request: Request<'static>, who: T) -> Result<(), T> {
        if self.waiting.len() >= WAITING {
            return Err(who);
        }
        self.waiting.push_back((request, who));
        Ok(())
    }

    /// The next frame to send, on a connection that is logged in.
    pub fn next_frame(&mut self) -> Option<String> {
        let (request, who) = self.waiting.pop_front()?;
        self.count += 1;
        let id = format!("request-{}", self.count);
        let json = ClientFrame { id: Some(id.as_str().into()), ack: None, request }.to_json();
        self.sent.insert(id, who);
        Some(json)
    }

    /// Whose request has this id; it is open no more.
    pub fn answered(&mut self, id: &str) -> Option<T> {
        self.sent.remove(id)
    }

    /// The connection is lost: gives all whose requests were sent and not answered. The others wait for the next one.
    pub fn disconnected(&mut self) -> Vec<T> {
        self.sent.drain().map(|(_, who)| who).collect()
    }
}

/// The `id` of the request that a frame answers.
pub fn answered_id(frame: &ServerFrame) -> Option<&str> {
    match frame {
        ServerFrame::Challenge(frame) => frame.id.as_deref(),
        ServerFrame::Session(frame) => frame.id.as_deref(),
        ServerFrame::Error(frame) => frame.id.as_deref(),
        ServerFrame::Heartbeat(frame) => frame.id.as_deref(),
        ServerFrame::Keys(frame) => frame.id.as_deref(),
        ServerFrame::Rotate(frame) => frame.id.as_deref(),
        ServerFrame::Devices(frame) => frame.id.as_deref(),
        ServerFrame::Rendezvous(frame) => frame.id.as_deref(),
        ServerFrame::Backup(frame) => frame.id.as_deref(),
        ServerFrame::Presence(frame) => frame.id.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sealwire_protocol::frames::PresenceRequest;

    use super::*;

    fn request() -> Request<'static> {
        Request::Presence(Box::new(PresenceRequest { share: Some(true), ..PresenceRequest::default() }))
    }

    fn id_of(frame: &str) -> String {
        ClientFrame::parse(frame).unwrap().id.unwrap().into_owned()
    }

    #[test]
    fn an_answer_goes_back_to_whoever_asked_and_only_once() {
        let mut requests = Requests::default();
        requests.push(request(), "first").unwrap();
        requests.push(request(), "second").unwrap();
        let (one, two) = (requests.next_frame().unwrap(), requests.next_frame().unwrap());
        assert_eq!(requests.next_frame(), None);
        assert_eq!(requests.answered(&id_of(&two)), Some("second"));
        assert_eq!(requests.answered(&id_of(&one)), Some("first"));
        assert_eq!(requests.answered(&id_of(&one)), None);
        assert_eq!(requests.answered("request-99"), None);
    }

    #[test]
    fn what_was_sent_fails_with_its_connection_and_the_rest_waits_for_the_next() {
        let mut requests = Requests::default();
        requests.push(request(), "sent").unwrap();
        let sent = requests.next_frame().unwrap();
        requests.push(request(), "waits").unwrap();
        assert_eq!(requests.disconnected(), ["sent"]);
        assert_eq!(requests.answered(&id_of(&sent)), None);
        let next = requests.next_frame().unwrap();
        assert_ne!(id_of(&next), id_of(&sent));
        assert_eq!(requests.answered(&id_of(&next)), Some("waits"));
    }

    #[test]
    fn too_many_that_wait_are_refused() {
        let mut requests = Requests::default();
        (0..WAITING).for_each(|n| requests.push(request(), n).unwrap());
        assert_eq!(requests.push(request(), WAITING), Err(WAITING));
    }

    #[test]
    fn the_id_of_an_answer_is_found_in_every_frame_that_has_one() {
        for json in [
            r#"{"type":"rotate","id":"x"}"#,
            r#"{"type":"devices","id":"x","version":2}"#,
            r#"{"type":"rendezvous","id":"x"}"#,
            r#"{"type":"backup","id":"x"}"#,
            r#"{"type":"presence","id":"x"}"#,
            r#"{"type":"error","code":"bad_request","message":"m","id":"x"}"#,
            r#"{"type":"heartbeat","id":"x","timestamp":1,"serverTime":2}"#,
        ] {
            assert_eq!(answered_id(&serde_json::from_str(json).unwrap()), Some("x"), "{json}");
        }
        assert_eq!(answered_id(&serde_json::from_str(r#"{"type":"queue","empty":true}"#).unwrap()), None);
    }
}
