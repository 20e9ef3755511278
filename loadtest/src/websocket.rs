//! The client's side of RFC 6455, as far as it is needed here: whole frames, and what answers pings and closes.

/// The request that upgrades. The key is the example of RFC 6455, section 1.3: it shows that the answer is one to a WebSocket
/// handshake, for which a fixed one does, and its answer is known without SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// The longest frame that a server may send is 1 MiB; headers and what follows fit as well.
pub(crate) const LONGEST: usize = 2 * sealwire_protocol::frames::MAX_FRAME;

/// The upgrade to `host` (with its port), for this subprotocol if there is one.
pub(crate) fn request(host: &str, subprotocol: Option<&str>) -> String {
    let protocol = subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n{protocol}\r\n"
    )
}

/// What the server said to the upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// Not all of it has come.
    Unfinished,
    /// Taken; frames begin here.
    Taken(usize),
    /// Refused with this status, perhaps for some seconds.
    Refused { status: u16, retry_after: Option<u64> },
    /// No answer to a WebSocket handshake.
    Strange,
}

/// Reads the answer to the upgrade.
pub(crate) fn upgrade(bytes: &[u8]) -> Upgrade {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > 16 * 1024 { Upgrade::Strange } else { Upgrade::Unfinished };
    };
    let Ok(head) = std::str::from_utf8(&bytes[..end]) else { return Upgrade::Strange };
    let field = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
        Some(101) if field("sec-websocket-accept") == Some(ACCEPT) => Upgrade::Taken(end + 4),
        None | Some(101) => Upgrade::Strange,
        Some(status) => {
            Upgrade::Refused { status, retry_after: field("retry-after").and_then(|seconds| seconds.parse().ok()) }
        }
    }
}

/// Begins a text frame of this length. The mask must be there (section 5.3) and is zero: it protects caches of
/// proxies from scripts in browsers, of which this is none, and so the payload goes out as it lies.
pub(crate) fn text_header(out: &mut Vec<u8>, length: usize) {
    header(out, TEXT, length);
}

/// The same of a binary frame.
pub(crate) fn binary_header(out: &mut Vec<u8>, length: usize) {
    header(out, BINARY, length);
}

fn header(out: &mut Vec<u8>, opcode: u8, length: usize) {
    out.push(FIN | opcode);
    match length {
        0..=125 => out.push(MASKED | length as u8),
        126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

/// Writes a text frame.
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8]) {
    text_header(out, text.len());
    out.extend_from_slice(text);
}

/// Writes the answer to a ping.
pub(crate) fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    header(out, PONG, payload.len());
    out.extend_from_slice(payload);
}

/// Writes a proper goodbye: close 1000.
pub(crate) fn close(out: &mut Vec<u8>) {
    header(out, CLOSE, 2);
    out.extend_from_slice(&1000_u16.to_be_bytes());
}

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Not all of it has come.
    Unfinished,
    /// A text, and the length of the whole frame.
    Text(&'a [u8], usize),
    /// The same of a binary one, which only servers of other protocols send.
    Binary(&'a [u8], usize),
    /// A ping with its payload, and the length of the whole frame.
    Ping(&'a [u8], usize),
    /// Nothing to do, and the length of the whole frame.
    Nothing(usize),
    /// The server says goodbye with this code, if it names one.
    Close(Option<u16>),
    /// What a server of this protocol does not send.
    Strange,
}

/// Reads the frame that these bytes begin with.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    let [first, second, rest @ ..] = bytes else { return Frame::Unfinished };
    let (length, rest) = match second {
        0..=125 => (usize::from(*second), rest),
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
            None => return Frame::Unfinished,
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length) as usize, rest),
            None => return Frame::Unfinished,
        },
        // Servers do not mask (section 5.1).
        _ => return Frame::Strange,
    };
    if length > LONGEST {
        return Frame::Strange;
    }
    let Some(payload) = rest.get(..length) else { return Frame::Unfinished };
    let whole = bytes.len() - rest.len() + length;
    match first {
        0x81 => Frame::Text(payload, whole),
        0x82 => Frame::Binary(payload, whole),
        0x88 => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
        0x89 => Frame::Ping(payload, whole),
        0x8a => Frame::Nothing(whole),
        _ => Frame::Strange,
    }
}

const _: () = assert!(FIN | TEXT == 0x81 && FIN | CLOSE == 0x88 && FIN | PING == 0x89 && FIN | PONG == 0x8a);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_once_they_are_whole() {
        for length in [0, 125, 126, 0xffff, 0x1_0000] {
            let mut bytes = Vec::new();
            text(&mut bytes, &vec![b'x'; length]);
            let mask = bytes.len() - length - 4;
            // A server's frame is the same without the mask.
            bytes[1] &= !MASKED;
            bytes.drain(mask..mask + 4);
            for cut in [0, 1, 2, 3, mask, bytes.len() - 1].into_iter().filter(|cut| *cut < bytes.len()) {
                assert_eq!(frame(&bytes[..cut]), Frame::Unfinished, "{cut} of {}", bytes.len());
            }
            let whole = bytes.len();
            bytes.extend_from_slice(b"next");
            assert_eq!(frame(&bytes), Frame::Text(&vec![b'x'; length], whole));
        }
    }

    #[test]
    fn closes_and_pings_are_told_apart_and_the_rest_is_strange() {
        assert_eq!(frame(&[0x88, 2, 0x11, 0x30]), Frame::Close(Some(4400)));
        assert_eq!(frame(&[0x88, 0]), Frame::Close(None));
        assert_eq!(frame(&[0x89, 1, b'a']), Frame::Ping(b"a", 3));
        for strange in [&[0x01, 0][..], &[0x83, 0], &[0x81, 0x80], &[0xc1, 0], &[0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(frame(strange), Frame::Strange);
        }
    }

    #[test]
    fn an_upgrade_is_taken_refused_or_strange() {
        let taken = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        assert_eq!(upgrade(taken.as_bytes()), Upgrade::Taken(taken.len()));
        assert_eq!(upgrade(&taken.as_bytes()[..40]), Upgrade::Unfinished);
        let refused = upgrade(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\n\r\n");
        assert_eq!(refused, Upgrade::Refused { status: 429, retry_after: Some(7) });
        assert_eq!(upgrade(b"HTTP/1.1 101 Well\r\n\r\n"), Upgrade::Strange);
    }
}
