//! NATS over WebSocket: a `PUB` for each frame; the server acknowledges nothing and keeps nothing.

use super::{Heard, State, Step};
use crate::websocket;

fn subject(name: &str) -> String {
    format!("u.{name}")
}

fn say(out: &mut Vec<u8>, text: &str) {
    websocket::binary_header(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A `PUB` up to and with the message's id; what follows ends with a line of its own.
pub(super) fn head(to: &str, id: &str, rest: usize) -> Vec<u8> {
    let begin = format!("PUB {} {}\r\n{id}", subject(to), id.len() + rest - 2);
    let mut out = Vec::new();
    websocket::binary_header(&mut out, begin.len() + rest);
    out.extend_from_slice(begin.as_bytes());
    out
}

pub(super) fn hear<'a>(state: &mut State, name: &str, bytes: &'a [u8], out: &mut Vec<u8>) -> (usize, Heard<'a>) {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n") else { return (0, Heard::Nothing) };
    let (line, after) = (&bytes[..end], end + 2);
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let heard = match word {
        b"MSG" => return message(bytes, line, after),
        b"INFO" if state.step == Step::First => {
            state.step = Step::Authenticating;
            let connect =
                r#"{"verbose":false,"pedantic":false,"tls_required":false,"protocol":1,"lang":"rust","version":"1"}"#;
            say(out, &format!("CONNECT {connect}\r\nSUB {} 1\r\nPING\r\n", subject(name)));
            Heard::Nothing
        }
        b"PONG" if state.step == Step::Authenticating => {
            state.step = Step::Here;
            Heard::Entered
        }
        b"PING" => {
            say(out, "PONG\r\n");
            Heard::Nothing
        }
        b"INFO" | b"PONG" | b"+OK" => Heard::Nothing,
        _ => Heard::Refused(String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned()),
    };
    (after, heard)
}

/// `MSG <subject> <sid> <bytes>`, and the payload with a line's end behind it.
fn message<'a>(bytes: &'a [u8], line: &[u8], begin: usize) -> (usize, Heard<'a>) {
    let length = line.rsplit(|byte| *byte == b' ').next().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let Some(length): Option<usize> = length.filter(|length| *length <= websocket::LONGEST) else {
        return (begin, Heard::Refused("a MSG without a length".to_owned()));
    };
    match bytes.get(begin..begin + length + 2) {
        Some(payload) => (begin + length + 2, Heard::Message(&payload[..length])),
        None => (0, Heard::Nothing),
    }
}
