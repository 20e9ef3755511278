//! The same with a server of another protocol: what it says is read by [`crate::dialect`], what comes of it is counted as ever.

use sealwire_protocol::frames::Status;

use super::Worker;
use super::seat::Stage;
use crate::dialect::Heard;

impl Worker {
    /// The upgrade is taken: says what comes first in this protocol.
    pub(super) fn greet(&mut self, at: u32) {
        let dialect = self.shared.dialect;
        if dialect.is_foreign() {
            self.output(at);
            let seat = &mut self.seats[at as usize];
            let name = self.shared.people[seat.place.person].name().as_str();
            dialect.greet(&mut seat.foreign, name, &mut seat.output);
            self.list(at);
        }
    }

    /// Reads the packets in a frame; what is not whole waits for the next one.
    pub(super) fn hear_foreign(&mut self, at: u32, payload: &[u8]) {
        let mut input = std::mem::take(&mut self.seats[at as usize].foreign.input);
        if input.is_empty() {
            let used = self.take_packets(at, payload);
            input.extend_from_slice(&payload[used..]);
        } else {
            input.extend_from_slice(payload);
            let used = self.take_packets(at, &input);
            input.drain(..used);
        }
        if !input.is_empty() {
            self.seats[at as usize].foreign.input = input;
        }
    }

    fn take_packets(&mut self, at: u32, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() && self.seats[at as usize].socket.is_some() {
            self.output(at);
            let seat = &mut self.seats[at as usize];
            let name = self.shared.people[seat.place.person].name().as_str();
            let (packet, heard) = self.shared.dialect.hear(&mut seat.foreign, name, &bytes[used..], &mut seat.output);
            if packet == 0 {
                break;
            }
            used += packet;
            self.heard_foreign(at, heard);
        }
        // Whether there is something to write or only a buffer to give back.
        self.list(at);
        used
    }

    fn heard_foreign(&mut self, at: u32, heard: Heard<'_>) {
        match heard {
            Heard::Nothing => {}
            Heard::Entered => {
                self.entered(at);
                // There are no mailboxes to wait for.
                self.counts.emptied += 1;
            }
            Heard::Message(text) => self.foreign_message(at, text),
            Heard::TakenOne(tag) => match self.seats[at as usize].foreign.taken(tag) {
                Some((line, number)) => self.told(line, number, Status::Delivered),
                None => self.trouble("an acknowledgement of nothing that was sent".to_owned()),
            },
            Heard::TakenUpTo(tag) => {
                while let Some((line, number)) = self.seats[at as usize].foreign.taken_up_to(tag) {
                    self.told(line, number, Status::Delivered);
                }
                self.output(at);
                let seat = &mut self.seats[at as usize];
                seat.foreign.ask_again(&mut seat.output);
                self.list(at);
            }
            Heard::Refused(why) => self.refused_foreign(at, &why),
        }
    }

    fn foreign_message(&mut self, at: u32, text: &[u8]) {
        let Some(id) = self.shared.numbering.find(text) else { return self.strange(at, text) };
        let came = self.came(at, id);
        let Some((line, number)) = came else { return };
        if self.shared.dialect.acknowledges() {
            self.write_next(line, number);
        } else {
            // Nobody tells the sender; that it has come is known here.
            self.told(line, number, Status::Delivered);
        }
    }

    fn refused_foreign(&mut self, at: u32, why: &str) {
        if matches!(self.seats[at as usize].stage, Stage::Here) {
            return self.ended(at, why);
        }
        self.greetings -= 1;
        self.seats[at as usize].clear();
        self.keep_out(at, &format!("log-in refused: {why}"));
    }
}
