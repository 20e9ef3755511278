//! What is said is what the standards want, and what is heard is found in pieces of any size.

use super::*;
use crate::websocket::{self, Frame};

const NAME: &str = "lt-t-7";

fn numbering() -> Numbering {
    Numbering::new(1_790_000_000_000, 1)
}

/// What a client has written, as a server sees it: the payloads of its frames.
fn payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let [first, second, ..] = bytes {
        let (length, header) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            length => (usize::from(length), 2),
        };
        assert!(matches!(first, 0x81 | 0x82) && second & 0x80 != 0, "a whole frame with a mask");
        all.push(bytes[header + 4..header + 4 + length].to_vec());
        bytes = &bytes[header + 4 + length..];
    }
    all
}

fn letter(dialect: Dialect) -> Letter {
    Letter::new(dialect, &numbering(), 3, NAME, &dialect.ending(900))
}

#[test]
fn the_payload_has_the_length_that_was_asked_for_in_every_dialect() {
    for (dialect, around) in [(Dialect::Mqtt, 3 + 2 + 8 + 2), (Dialect::Nats, 18 + 2), (Dialect::Xmpp, 80 + 17)] {
        let mut out = Vec::new();
        State::default().write(&letter(dialect), 3, 258, &mut out);
        let message = payloads(&out).remove(0);
        let id = numbering().find(&message).expect("it holds its id");
        assert_eq!(numbering().read(id), Some((3, 258)));
        assert!((900..=900 + around).contains(&message.len()), "{dialect:?}: {} bytes", message.len());
    }
}

#[test]
fn mqtt_logs_in_acknowledges_and_is_acknowledged() {
    let (mut state, mut out) = (State::default(), Vec::new());
    let hear = |state: &mut State, bytes: &'static [u8], out: &mut Vec<u8>| Dialect::Mqtt.hear(state, NAME, bytes, out);
    Dialect::Mqtt.greet(&mut state, NAME, &mut out);
    assert_eq!(payloads(&out), [b"\x10\x12\0\x04MQTT\x04\x02\0\0\0\x06lt-t-7".to_vec()]);
    out.clear();
    assert_eq!(hear(&mut state, b"\x20\x02\0\0", &mut out), (4, Heard::Nothing));
    assert_eq!(payloads(&out), [b"\x82\x0d\0\x01\0\x08u/lt-t-7\x01".to_vec()]);
    assert_eq!(hear(&mut state, b"\x90\x03\0\x01\x01rest", &mut out), (5, Heard::Entered));
    out.clear();
    let message = b"\x32\x0c\0\x05u/abc\x12\x34xyz";
    assert_eq!(hear(&mut state, &message[..9], &mut out), (0, Heard::Nothing));
    assert_eq!(hear(&mut state, message, &mut out), (14, Heard::Message(b"xyz")));
    assert_eq!(payloads(&out), [b"\x40\x02\x12\x34".to_vec()]);
    state.write(&letter(Dialect::Mqtt), 3, 1, &mut out);
    state.write(&letter(Dialect::Mqtt), 3, 2, &mut out);
    assert_eq!(hear(&mut state, b"\x40\x02\0\x02", &mut out), (4, Heard::TakenOne(2)));
    assert_eq!((state.taken(2), state.taken(2), state.taken(1)), (Some((3, 2)), None, Some((3, 1))));
    assert!(matches!(hear(&mut state, b"\x20\x02\0\x05", &mut out), (4, Heard::Refused(why)) if why.contains('5')));
}

#[test]
fn nats_subscribes_and_finds_messages_in_pieces() {
    let (mut state, mut out) = (State::default(), Vec::new());
    let hear = |state: &mut State, bytes: &'static [u8], out: &mut Vec<u8>| Dialect::Nats.hear(state, NAME, bytes, out);
    assert_eq!(hear(&mut state, b"INFO {}", &mut out), (0, Heard::Nothing));
    assert_eq!(hear(&mut state, b"INFO {}\r\nPING\r\n", &mut out), (9, Heard::Nothing));
    let said = String::from_utf8(payloads(&out).remove(0)).expect("text");
    assert!(said.starts_with("CONNECT {") && said.ends_with("}\r\nSUB u.lt-t-7 1\r\nPING\r\n"), "{said}");
    assert_eq!(hear(&mut state, b"PONG\r\n", &mut out), (6, Heard::Entered));
    let message = b"MSG u.lt-t-7 1 5\r\na\r\nbc\r\n+OK\r\n";
    assert_eq!(hear(&mut state, &message[..22], &mut out), (0, Heard::Nothing));
    assert_eq!(hear(&mut state, message, &mut out), (25, Heard::Message(b"a\r\nbc")));
    assert!(matches!(hear(&mut state, b"-ERR 'no'\r\n", &mut out), (11, Heard::Refused(_))));
}

#[test]
fn xmpp_logs_in_counts_and_asks_once_at_a_time() {
    let (mut state, mut out) = (State::default(), Vec::new());
    Dialect::Xmpp.greet(&mut state, NAME, &mut out);
    let said = |state: &mut State, stanza: &'static str| {
        let mut out = Vec::new();
        let (used, heard) = Dialect::Xmpp.hear(state, NAME, stanza.as_bytes(), &mut out);
        assert_eq!(used, stanza.len());
        (heard, payloads(&out).into_iter().map(|text| String::from_utf8(text).expect("text")).collect::<String>())
    };
    assert_eq!(said(&mut state, "<open id='1'/>"), (Heard::Nothing, String::new()));
    assert!(
        said(&mut state, "<stream:features><mechanisms/></stream:features>")
            .1
            .contains("'PLAIN'>AGx0LXQtNwBsb2FkdGVzdA==<")
    );
    assert_eq!(said(&mut state, "<success xmlns='x'/>").1, xmpp_open());
    assert!(said(&mut state, "<stream:features/>").1.contains("<bind "));
    assert!(said(&mut state, "<iq type='result' id='bind'/>").1.starts_with("<enable "));
    assert!(said(&mut state, "<enabled xmlns='urn:xmpp:sm:3'/>").1.starts_with("<presence "));
    assert_eq!(said(&mut state, "<presence from='a'/>").0, Heard::Entered);
    assert_eq!(said(&mut state, "<message id='x'><body>y</body></message>").0, Heard::Message(b"<message id='x'"));
    assert!(said(&mut state, "<r xmlns='urn:xmpp:sm:3'/>").1.contains("h='2'"));
    out.clear();
    (1..=3).for_each(|number| state.write(&letter(Dialect::Xmpp), 3, number, &mut out));
    assert_eq!(payloads(&out).iter().filter(|stanza| stanza.starts_with(b"<r ")).count(), 1, "one question at a time");
    // Presence was the first stanza.
    assert_eq!(said(&mut state, "<a xmlns='urn:xmpp:sm:3' h='3'/>").0, Heard::TakenUpTo(3));
    assert_eq!([state.taken_up_to(3), state.taken_up_to(3), state.taken_up_to(3)], [Some((3, 1)), Some((3, 2)), None]);
    out.clear();
    state.ask_again(&mut out);
    assert_eq!(payloads(&out).len(), 1, "one message waits");
    assert!(matches!(said(&mut state, "<message type='error' id='x'/>").0, Heard::Refused(_)));
    assert!(matches!(said(&mut state, "<failure><not-authorized/></failure>").0, Heard::Refused(_)));
}

fn xmpp_open() -> &'static str {
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
}

#[test]
fn a_binary_frame_of_a_server_is_told_from_a_text() {
    assert_eq!(websocket::frame(&[0x82, 1, 7]), Frame::Binary(&[7], 3));
}
