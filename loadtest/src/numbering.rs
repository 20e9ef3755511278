//! Message ids that say which message they are: a UUID of version 7 (RFC 9562, section 5.7) whose random bits hold the
//! number of the line and the number of the message in it. An id is unique per sending device, and a line has one.

use sealwire_protocol::MessageId;

/// What all ids of a run have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbering {
    /// The first 18 characters.
    begin: [u8; BEGIN],
    millis: u64,
    tag: u16,
}

const BEGIN: usize = 18;
/// Length of an id.
pub(crate) const ID: usize = 36;
/// Where the number of the message begins.
pub(crate) const NUMBER_AT: usize = 28;

impl Numbering {
    /// Of a run that began at this time (milliseconds since 1970), with a random tag.
    pub(crate) fn new(millis: u64, tag: u16) -> Self {
        let mut numbering = Self { begin: [0; BEGIN], millis, tag };
        let example = numbering.id(0, 0).to_string();
        numbering.begin.copy_from_slice(&example.as_bytes()[..BEGIN]);
        numbering
    }

    /// The id of a message.
    pub(crate) fn id(&self, line: u32, number: u32) -> MessageId {
        let mut random = [0; 10];
        random[..2].copy_from_slice(&(self.tag & 0x0fff).to_be_bytes());
        random[2..6].copy_from_slice(&(line & 0x0fff_ffff).to_be_bytes());
        random[6..].copy_from_slice(&number.to_be_bytes());
        MessageId::new_v7(self.millis, random)
    }

    /// The id of this run that comes first in a text.
    pub(crate) fn find<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let at = memchr::memmem::find(text, &self.begin)?;
        text.get(at..at + ID)
    }

    /// Which message it is; `None` when it is none of this run.
    pub(crate) fn read(&self, id: &[u8]) -> Option<(u32, u32)> {
        if id.len() != ID || id[..BEGIN] != self.begin {
            return None;
        }
        let line = (hex(&id[20..23])? << 16) | hex(&id[24..NUMBER_AT])?;
        Some((line, hex(&id[NUMBER_AT..])?))
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

/// Writes a number over the eight hexadecimal digits that stand for it in an id.
pub(crate) fn write_number(digits: &mut [u8], number: u32) {
    for (n, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (28 - 4 * n) & 0xf) as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_which_message_it_is() {
        let numbering = Numbering::new(1_790_000_000_000, 0xfabc);
        for (line, number) in [(0, 1), (0x0fff_ffff, u32::MAX), (70_000, 123_456)] {
            let id = numbering.id(line, number).to_string();
            assert_eq!(numbering.read(id.as_bytes()), Some((line, number)), "{id}");
            let mut other = numbering.id(line, 0).to_string().into_bytes();
            write_number(&mut other[NUMBER_AT..], number);
            assert_eq!(other, id.as_bytes());
        }
    }

    #[test]
    fn ids_of_other_runs_and_other_texts_are_none_of_ours() {
        let numbering = Numbering::new(1_790_000_000_000, 1);
        for other in [Numbering::new(1_790_000_000_001, 1), Numbering::new(1_790_000_000_000, 2)] {
            assert_eq!(numbering.read(other.id(1, 1).to_string().as_bytes()), None);
        }
        let mut broken = numbering.id(1, 1).to_string();
        broken.replace_range(35.., "x");
        assert_eq!(numbering.read(broken.as_bytes()), None);
        assert_eq!(numbering.read(b""), None);
    }
}
