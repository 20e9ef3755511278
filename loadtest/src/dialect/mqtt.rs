//! MQTT 3.1.1 over WebSocket (section 6 of the standard), QoS 1: a packet for each frame, every message acknowledged on both sides.

use super::Heard;
use crate::websocket;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const AT_LEAST_ONCE: u8 = 0x02;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xd0;

/// `CONNECT`: a clean session and no keep-alive.
pub(super) fn greet(name: &str, out: &mut Vec<u8>) {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0x02, 0, 0];
    string(&mut body, name);
    packet(out, CONNECT, &body);
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    let header = header(first, body.len());
    websocket::binary_header(out, header.len() + body.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
}

/// The fixed header (section 2.2): type, and the length in groups of seven bits.
fn header(first: u8, mut length: usize) -> Vec<u8> {
    let mut header = vec![first];
    loop {
        let group = (length % 128) as u8;
        length /= 128;
        if length == 0 {
            header.push(group);
            return header;
        }
        header.push(group | 0x80);
    }
}

fn topic(name: &str) -> String {
    format!("u/{name}")
}

/// A `PUBLISH` up to the message's id, which the packet id stands before.
pub(super) fn head(to: &str, id: &str, rest: usize) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, &topic(to));
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(id.as_bytes());
    let header = header(PUBLISH | AT_LEAST_ONCE, body.len() + rest);
    let mut out = Vec::new();
    websocket::binary_header(&mut out, header.len() + body.len() + rest);
    out.extend_from_slice(&header);
    out.extend_from_slice(&body);
    out
}

/// Packet ids are never 0.
pub(super) fn next_tag(tag: u32) -> u32 {
    if tag >= u32::from(u16::MAX) { 1 } else { tag + 1 }
}

/// Where the body lies, if the packet is whole.
fn body(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut length = 0;
    for n in 0..4 {
        let group = *bytes.get(1 + n)?;
        length |= usize::from(group & 0x7f) << (7 * n);
        if group & 0x80 == 0 {
            let begin = 2 + n;
            return (bytes.len() >= begin + length).then_some(begin..begin + length);
        }
    }
    None
}

pub(super) fn hear<'a>(name: &str, bytes: &'a [u8], out: &mut Vec<u8>) -> (usize, Heard<'a>) {
    let Some(range) = body(bytes) else { return (0, Heard::Nothing) };
    let (whole, body) = (range.end, &bytes[range]);
    let heard = match (bytes[0] & 0xf0, body) {
        (PUBLISH, _) => return (whole, message(bytes[0], body, out)),
        (PUBACK, [high, low, ..]) => Heard::TakenOne(u32::from(u16::from_be_bytes([*high, *low]))),
        (CONNACK, [_, 0]) => {
            let mut body = vec![0, 1];
            string(&mut body, &topic(name));
            body.push(1);
            packet(out, SUBSCRIBE, &body);
            Heard::Nothing
        }
        (CONNACK, [_, code]) => Heard::Refused(format!("CONNACK with code {code}")),
        (SUBACK, [_, _, 1]) => Heard::Entered,
        (SUBACK, _) => Heard::Refused("SUBACK does not grant QoS 1".to_owned()),
        (PINGRESP, _) => Heard::Nothing,
        (other, _) => Heard::Refused(format!("a packet of type {}", other >> 4)),
    };
    (whole, heard)
}

fn message<'a>(first: u8, body: &'a [u8], out: &mut Vec<u8>) -> Heard<'a> {
    let topic = body.first_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    let Some(tag) = body.get(2 + topic..4 + topic).filter(|_| first & AT_LEAST_ONCE != 0) else {
        return Heard::Refused("a PUBLISH that is not QoS 1".to_owned());
    };
    packet(out, PUBACK, tag);
    Heard::Message(&body[4 + topic..])
}
