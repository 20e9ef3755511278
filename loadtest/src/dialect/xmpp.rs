//! XMPP over WebSocket (RFC 7395): SASL PLAIN, a bound resource, stream management (XEP-0198) without resumption, and presence.
//!
//! A message counts as taken once the server's `<a/>` covers it. One `<r/>` is under way at a time, so an answer covers whatever was
//! sent before it; the server's own `<r/>` are answered at once.

use sealwire_protocol::base64::Base64;

use super::{Heard, State, Step};
use crate::websocket;

/// The only host that there is.
pub(crate) const HOST: &str = "localhost";
/// Everybody's password.
pub(crate) const PASSWORD: &str = "loadtest";
/// What ends a message.
pub(super) const CLOSING: &str = "</body></message>";

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
const BIND: &str = "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>loadtest</resource></bind></iq>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const PRESENCE: &str = "<presence xmlns='jabber:client'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn say(out: &mut Vec<u8>, stanza: &str) {
    websocket::text(out, stanza.as_bytes());
}

/// Opens the stream.
pub(super) fn greet(_: &mut State, out: &mut Vec<u8>) {
    say(out, OPEN);
}

/// Asks what the server has taken.
pub(super) fn ask(state: &mut State, out: &mut Vec<u8>) {
    state.asked = true;
    say(out, ASK);
}

/// A message up to its text. Its id stands in an attribute; with the text it has the payload's length.
pub(super) fn head(to: &str, id: &str, rest: usize) -> Vec<u8> {
    let begin = format!("<message xmlns='jabber:client' type='chat' to='{to}@{HOST}' id='{id}'><body>");
    let mut out = Vec::new();
    websocket::text_header(&mut out, begin.len() + rest);
    out.extend_from_slice(begin.as_bytes());
    out
}

/// A frame holds exactly one stanza.
pub(super) fn hear<'a>(state: &mut State, name: &str, stanza: &'a [u8], out: &mut Vec<u8>) -> (usize, Heard<'a>) {
    let end = stanza.iter().position(|byte| matches!(byte, b' ' | b'>' | b'/')).unwrap_or(stanza.len());
    let heard = match &stanza[..end] {
        b"<message" => message(state, stanza),
        b"<r" => {
            say(out, &format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", state.received));
            Heard::Nothing
        }
        b"<a" => covered(stanza).map_or_else(|| refused(stanza), Heard::TakenUpTo),
        b"<presence" => {
            state.received = state.received.wrapping_add(1);
            enter(state)
        }
        b"<iq" if state.step == Step::Managed || state.step == Step::Here => {
            state.received = state.received.wrapping_add(1);
            Heard::Nothing
        }
        b"<failure" | b"<failed" | b"<stream:error" | b"<close" => refused(stanza),
        _ => log_in(state, name, stanza, &stanza[..end], out),
    };
    (stanza.len(), heard)
}

fn refused<'a>(stanza: &[u8]) -> Heard<'a> {
    Heard::Refused(String::from_utf8_lossy(&stanza[..stanza.len().min(160)]).into_owned())
}

fn message<'a>(state: &mut State, stanza: &'a [u8]) -> Heard<'a> {
    state.received = state.received.wrapping_add(1);
    // Attributes stand before the body.
    let tag = &stanza[..memchr::memchr(b'>', stanza).unwrap_or(stanza.len())];
    let is_error =
        [&b"type='error'"[..], b"type=\"error\""].into_iter().any(|kind| memchr::memmem::find(tag, kind).is_some());
    if is_error { refused(stanza) } else { Heard::Message(tag) }
}

/// Our own presence comes back once others' messages reach us.
fn enter<'a>(state: &mut State) -> Heard<'a> {
    if state.step != Step::Managed {
        return Heard::Nothing;
    }
    state.step = Step::Here;
    Heard::Entered
}

/// How many stanzas an `<a/>` covers.
fn covered(stanza: &[u8]) -> Option<u32> {
    let at = memchr::memmem::find(stanza, b" h=")? + 4;
    let digits = stanza.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&stanza[at..at + digits]).ok()?.parse().ok()
}

fn log_in<'a>(state: &mut State, name: &str, stanza: &[u8], tag: &[u8], out: &mut Vec<u8>) -> Heard<'a> {
    match (state.step, tag) {
        (Step::First, b"<stream:features") => {
            state.step = Step::Authenticating;
            let secret = Base64::encode(format!("\0{name}\0{PASSWORD}").as_bytes());
            let secret = secret.as_str();
            say(out, &format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"));
        }
        (Step::Authenticating, b"<success") => say(out, OPEN),
        (Step::Authenticating, b"<stream:features") => {
            state.step = Step::Binding;
            say(out, BIND);
        }
        (Step::Binding, b"<iq") if memchr::memmem::find(stanza, b"error").is_none() => say(out, ENABLE),
        (Step::Binding, b"<enabled") => {
            state.step = Step::Managed;
            // From here on stanzas are counted on both sides, and this is the first.
            state.sent = 1;
            say(out, PRESENCE);
        }
        (_, b"<open") => {}
        _ => return refused(stanza),
    }
    Heard::Nothing
}
