//! Writing WebSocket frames (RFC 6455, section 5.2). Reading them is actix-http's.

const FINAL: u8 = 0x80;
const MAX_HEADER: usize = 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Text = 0x1,
    Close = 0x8,
    Pong = 0xa,
}

/// Writes an unfragmented frame of a server, whose parts follow one another, behind what is in `out`.
pub(super) fn push(out: &mut Vec<u8>, opcode: Opcode, parts: &[&[u8]]) {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    out.reserve(MAX_HEADER + len);
    out.push(FINAL | opcode as u8);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..=125), _) => out.push(len),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use actix_codec::Decoder;
    use actix_http::ws::{Codec, Frame};
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn what_is_written_is_read_whatever_its_length() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let (head, tail) = (vec![b'h'; len / 3], vec![b't'; len - len / 3]);
            let mut out = Vec::new();
            push(&mut out, Opcode::Text, &[&head, &tail]);
            let mut codec = Codec::new().client_mode().max_size(1 << 20);
            let mut out = BytesMut::from(&out[..]);
            let read = codec.decode(&mut out).expect("a frame");
            assert!(matches!(read, Some(Frame::Text(text)) if text == [head, tail].concat()), "{len}");
            assert!(out.is_empty());
        }
    }
}
