//! Pieces of a message's way: reading and writing frames, and the parts of a session that decide.

use std::hint::black_box;

use sealwire_actors::steps::{Exchange, HandOver};
use sealwire_protocol::base64::Base64;
use sealwire_protocol::frames::{ClientFrame, Delivery, Request, ServerFrame, Shared, Status, StatusFrame};

use crate::cast::{self, Person};
use crate::mark;

/// How often a step is done before counting, so that tables have grown.
const WARM: u64 = 500;

fn count(operations: u64, mut step: impl FnMut()) {
    (0..WARM).for_each(|_| step());
    mark();
    (0..operations).for_each(|_| step());
    mark();
}

/// A `message` frame is read and its shape checked.
pub(crate) fn parse_message(operations: u64) {
    let text = cast::letter(&Person::bob(1), 1);
    count(operations, || {
        let frame = ClientFrame::parse(black_box(&text)).expect("a well-formed frame");
        let Request::Message(message) = &frame.request else { unreachable!("it is a message") };
        message.check_shape().expect("a well-formed message");
        black_box(frame);
    });
}

/// An `ack` frame is read.
pub(crate) fn parse_ack(operations: u64) {
    let text = ClientFrame::from(Request::Ack(1_234_567)).to_json();
    count(operations, || {
        black_box(ClientFrame::parse(black_box(&text)).expect("a well-formed frame"));
    });
}

/// What all devices share is built from a message, and the frame for one of them.
pub(crate) fn write_delivery(operations: u64) {
    let (alice, bob) = (Person::alice(), Person::bob(1));
    let text = cast::letter(&bob, 1);
    let Ok(ClientFrame { request: Request::Message(message), .. }) = ClientFrame::parse(&text) else {
        unreachable!("it is a message")
    };
    let wrap = message.wraps().next().expect("it has a recipient").as_str().as_bytes();
    count(operations, || {
        let shared = Shared::new(black_box(&message), &alice.name, &alice.devices[0], &bob.name).into_string();
        black_box(Delivery { seq: 1_234_567, wrap, shared: shared.as_bytes() }.to_json());
    });
}

/// A `status` frame for one message is written.
pub(crate) fn write_status(operations: u64) {
    count(operations, || {
        let message_ids = vec![black_box(cast::message_id(1))];
        let frame = StatusFrame { status: Status::Delivered, message_ids, at: 1_750_000_000_000 };
        black_box(ServerFrame::Status(frame).to_json());
    });
}

/// A text of the length of a signature is seen to be Base64.
pub(crate) fn check_base64(operations: u64) {
    let text = Base64::encode(&[0x5a; 512]).as_str().to_owned();
    count(operations, || {
        black_box(Base64::from_text(black_box(text.as_str()).into()).expect("it is"));
    });
}

/// A message goes through both sessions' parts that decide, from acceptance to its status.
pub(crate) fn session_steps(operations: u64) {
    let mut exchange = Exchange::new(operations + WARM);
    count(operations, || assert!(exchange.step(), "the message is delivered"));
}

/// A copy is left in an inbox and taken out.
pub(crate) fn inbox(operations: u64) {
    let mut hand_over = HandOver::new(operations + WARM);
    count(operations, || assert!(hand_over.step(), "the copy arrives"));
}
