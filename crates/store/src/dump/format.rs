//! A whole store in one file.
//!
//! ```text
//! file    = "SEALDUMP" version:u32 record* end digest
//! record  = length:u32 piece        length > 0; a piece in postcard's encoding
//! end     = 0:u32 length:u32 counts
//! digest  = SHA-256 of everything before it
//! ```
//!
//! Numbers are little-endian. A file that was cut off anywhere has no end, and one in which a bit is wrong has another digest;
//! so a file is read once to its end before anything is made of it.

use std::io::{ErrorKind, Read, Write};

use sha2::{Digest, Sha256};

use super::{BATCH_BYTES, BATCH_PIECES, Counts, Piece, row};
use crate::StoreError;

const MAGIC: &[u8; 8] = b"SEALDUMP";

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// No piece is longer, by far: a wrong length is found out before that much memory is asked for.
const LONGEST: u32 = 64 << 20;

/// Writes a dump.
#[derive(Debug)]
pub struct DumpWriter<W> {
    to: W,
    digest: Sha256,
    counts: Counts,
}

impl<W: Write> DumpWriter<W> {
    /// Begins a dump. `to` should be buffered.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn begin(to: W) -> std::io::Result<Self> {
        let mut writer = Self { to, digest: Sha256::new(), counts: Counts::default() };
        writer.write(MAGIC)?;
        writer.write(&VERSION.to_le_bytes())?;
        Ok(writer)
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn add(&mut self, piece: &Piece) -> std::io::Result<()> {
        self.counts.add(piece);
        self.write_with_length(&row::encode(piece))
    }

    /// Ends the dump, and gives back what it was written to (not flushed) and what it holds.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn end(mut self) -> std::io::Result<(W, Counts)> {
        let counts = postcard::to_allocvec(&self.counts).expect("numbers can be written, and memory does not fail");
        self.write(&0_u32.to_le_bytes())?;
        self.write_with_length(&counts)?;
        let digest = self.digest.finalize();
        self.to.write_all(&digest)?;
        Ok((self.to, self.counts))
    }

    /// What has been added so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn write_with_length(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
        self.write(&length.ok_or(ErrorKind::FileTooLarge)?.to_le_bytes())?;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.digest.update(bytes);
        self.to.write_all(bytes)
    }
}

/// Reads a dump.
#[derive(Debug)]
pub struct DumpReader<R> {
    from: R,
    digest: Sha256,
    counts: Counts,
    ended: bool,
}

impl<R: Read> DumpReader<R> {
    /// Begins to read. `from` should be buffered.
    ///
    /// # Errors
    /// [`StoreError::Open`] for what is no dump, one of another version, or cannot be read; with what to do.
    pub fn begin(from: R) -> Result<Self, StoreError> {
        let mut reader = Self { from, digest: Sha256::new(), counts: Counts::default(), ended: false };
        let mut magic = [0; 8];
        let is_dump = match reader.from.read_exact(&mut magic) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(unreadable(&error)),
            Ok(()) => magic == *MAGIC,
        };
        if !is_dump {
            return Err(StoreError::Open("it is not a file that `sealwire admin backup` has written".to_owned()));
        }
        reader.digest.update(magic);
        let version = reader.number()?;
        if version != VERSION {
            return Err(StoreError::Open(format!(
                "it has version {version} of the format, or is damaged, and this program reads version {VERSION}; restore it \
                 by the version of sealwire that has written it"
            )));
        }
        Ok(reader)
    }

    /// The next pieces; none at the end, which is then known to be the right one: all that the writer has added has come, and no
    /// bit is another one.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it is damaged or cut off, or cannot be read.
    pub fn pieces(&mut self) -> Result<Vec<Piece>, StoreError> {
        let (mut pieces, mut size) = (Vec::new(), 0);
        while !self.ended && pieces.len() < BATCH_PIECES && size < BATCH_BYTES {
            let length = self.number()?;
            if length == 0 {
                self.end()?;
                break;
            }
            let piece =
                row::decode(&self.bytes(length)?).ok_or_else(|| damaged("a record is not of the right shape"))?;
            self.counts.add(&piece);
            size += piece.size();
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// What has come so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let length = self.number()?;
        let counts = postcard::from_bytes::<Counts>(&self.bytes(length)?).ok();
        let expected = self.digest.clone().finalize();
        let mut digest = [0; 32];
        self.from.read_exact(&mut digest).map_err(|error| unfit(&error))?;
        if digest[..] != expected[..] || counts != Some(self.counts) {
            return Err(damaged("its checksum does not fit"));
        }
        let more = self.from.read(&mut [0]).map_err(|error| unreadable(&error))?;
        if more > 0 {
            return Err(damaged("something follows its end"));
        }
        self.ended = true;
        Ok(())
    }

    fn number(&mut self) -> Result<u32, StoreError> {
        let mut bytes = [0; 4];
        self.from.read_exact(&mut bytes).map_err(|error| unfit(&error))?;
        self.digest.update(bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn bytes(&mut self, length: u32) -> Result<Vec<u8>, StoreError> {
        if length > LONGEST {
            return Err(damaged("a length is out of all bounds"));
        }
        let mut bytes = vec![0; length as usize];
        self.from.read_exact(&mut bytes).map_err(|error| unfit(&error))?;
        self.digest.update(&bytes);
        Ok(bytes)
    }
}

fn damaged(how: &str) -> StoreError {
    StoreError::Open(format!("it is damaged: {how}; take another backup"))
}

fn unreadable(error: &std::io::Error) -> StoreError {
    StoreError::Open(format!("it cannot be read: {error}"))
}

fn unfit(error: &std::io::Error) -> StoreError {
    if error.kind() == ErrorKind::UnexpectedEof { damaged("it is cut off") } else { unreadable(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notice;
    use crate::conformance::{device, message};

    fn pieces() -> Vec<Piece> {
        let notice = |n| Notice { device: device(n), message_id: message(n) };
        (1..700).map(|n| Piece::Notice { notice: notice(n), made_at: n }).collect()
    }

    fn written() -> Vec<u8> {
        let mut writer = DumpWriter::begin(Vec::new()).unwrap();
        pieces().iter().for_each(|piece| writer.add(piece).unwrap());
        writer.end().unwrap().0
    }

    fn read(bytes: &[u8]) -> Result<Vec<Piece>, StoreError> {
        let mut reader = DumpReader::begin(bytes)?;
        let mut all = Vec::new();
        loop {
            match reader.pieces()? {
                pieces if pieces.is_empty() => return Ok(all),
                pieces => all.extend(pieces),
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&written()).unwrap(), pieces());
        assert_eq!(read(&DumpWriter::begin(Vec::new()).unwrap().end().unwrap().0).unwrap(), []);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_refused() {
        let whole = written();
        for length in (0..200).chain(whole.len() - 200..whole.len()) {
            read(&whole[..length]).expect_err("it is cut off");
        }
    }

    #[test]
    fn a_file_with_a_wrong_bit_anywhere_is_refused() {
        let whole = written();
        for place in (0..200).chain(whole.len() - 200..whole.len()) {
            let mut wrong = whole.clone();
            wrong[place] ^= 1;
            read(&wrong).expect_err("a bit is wrong");
        }
        read(&[&whole[..], &[0]].concat()).expect_err("something follows its end");
    }
}
