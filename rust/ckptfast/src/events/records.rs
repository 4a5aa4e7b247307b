//! The records of a file, one after another, each checked against its checksums.

use std::path::Path;

use crate::coding;
use crate::crc32c;
use crate::error::{Error, Result};
use crate::io::File;

/// Length and its checksum, before the data.
const HEADER: usize = 12;
/// The checksum of the data, after it.
const FOOTER: usize = 4;
/// How much is read at a time.
const BLOCK: usize = 1 << 20;
/// No writer of protocol buffers makes a longer message.
const MAX_LENGTH: u64 = i32::MAX as u64;

/// A cursor over the records of one file, as long as it was when it was opened.
#[derive(Debug)]
pub(super) struct Records {
    file: File,
    /// Bytes of the file from `offset` on that are in memory: `buffer[taken..]`.
    buffer: Vec<u8>,
    taken: usize,
    offset: u64,
}

impl Records {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: File::open(path)?, buffer: Vec::new(), taken: 0, offset: 0 })
    }

    /// The next record and where it begins; `None` at the end.
    ///
    /// A record that the file ends in the middle of is one that is being written, and the end too.
    ///
    /// # Errors
    /// `Corruption` with the bytes of the record whose length or data is not what was written.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>> {
        let start = self.offset;
        let remaining = self.file.length().saturating_sub(start);
        if remaining < HEADER as u64 {
            return Ok(None);
        }
        let mut header = self.peek(HEADER)?;
        let crc = crc32c::value(header.get(..8).unwrap_or_default());
        let length = coding::get_fixed64(&mut header).unwrap_or_default();
        let stored = crc32c::unmask(coding::get_fixed32(&mut header).unwrap_or_default());
        if crc != stored {
            let error = Error::checksum(stored, crc).with_range(start, HEADER as u64);
            let note = if start == 0 { "is this an event file?" } else { IN_LENGTH };
            return Err(self.located(error).with_note(note));
        }
        if length > MAX_LENGTH {
            let error = Error::unsupported(format!("a record of {length} bytes"));
            return Err(self.located(error).with_range(start, HEADER as u64));
        }
        if remaining - (HEADER as u64) < length + FOOTER as u64 {
            return Ok(None);
        }
        // At most MAX_LENGTH, and the file is that long.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.skip(HEADER);
        self.peek(length + FOOTER)?;
        self.skip(length + FOOTER);
        let record = self.buffer.get(self.taken - length - FOOTER..self.taken).unwrap_or_default();
        let (data, mut footer) = record.split_at_checked(length).unwrap_or_default();
        let stored = crc32c::unmask(coding::get_fixed32(&mut footer).unwrap_or_default());
        let crc = crc32c::value(data);
        if crc != stored {
            let bytes = (HEADER + length + FOOTER) as u64;
            return Err(self.located(Error::checksum(stored, crc).with_range(start, bytes)));
        }
        Ok(Some((start, data)))
    }

    /// Names the file in an error.
    pub(super) fn located(&self, error: Error) -> Error {
        error.at_path(self.file.path())
    }

    /// The next `wanted` bytes, which the file is known to have.
    fn peek(&mut self, wanted: usize) -> Result<&[u8]> {
        let there = self.buffer.len() - self.taken;
        if there < wanted {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            let read = self.offset + there as u64;
            let left = usize::try_from(self.file.length() - read).unwrap_or(usize::MAX);
            self.buffer.resize(there + (wanted - there).max(BLOCK).min(left), 0);
            self.file.read_at(self.buffer.get_mut(there..).unwrap_or_default(), read)?;
        }
        Ok(self.buffer.get(self.taken..self.taken + wanted).unwrap_or_default())
    }

    fn skip(&mut self, length: usize) {
        self.taken += length;
        self.offset += length as u64;
    }
}

const IN_LENGTH: &str = "the length of the record is damaged, so those after it cannot be found";
