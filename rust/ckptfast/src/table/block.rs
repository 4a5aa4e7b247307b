//! The entries of one block.
//!
//! ```text
//! block:    entry…                    in key order
//!           offset…       u32 LE      restart points: entries whose key is stored whole
//!           count         u32 LE      how many restart points, at least 1
//!
//! entry:    shared        varint32    bytes the key has in common with the key before it
//!           non_shared    varint32    bytes of the key that follow here
//!           length        varint32    bytes of the value
//!           the rest of the key, the value
//! ```
//!
//! Restart points are for a search; who reads in order needs only to know where they begin.

use std::borrow::Cow;
use std::ops::Range;

use super::format::{self, BlockHandle};
use crate::coding;
use crate::error::{Error, Result};

/// How often over the keys of a block, put together, may exceed the bytes it takes in the file.
///
/// Without a limit prefix compression would let a small file hold gigabytes of keys. Writers store
/// a key whole at every 16th entry, which bounds the ratio to 16; the rest is left to Snappy.
const MAX_KEY_RATIO: u64 = 64;

/// A block whose checksum was right.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Borrowed from the file, unless they were compressed.
    contents: Cow<'a, [u8]>,
    handle: BlockHandle,
}

impl<'a> Block<'a> {
    /// Reads the block at `handle`.
    pub(super) fn read(file: &'a [u8], handle: BlockHandle) -> Result<Self> {
        Ok(Self { contents: format::read_block(file, handle)?, handle })
    }

    /// A part of the contents that outlives this block.
    pub(crate) fn slice(&self, range: Range<usize>) -> Cow<'a, [u8]> {
        match &self.contents {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(range).unwrap_or_default()),
            Cow::Owned(bytes) => Cow::Owned(bytes.get(range).unwrap_or_default().to_vec()),
        }
    }

    /// Where the contents begin in the file, unless they were compressed.
    pub(crate) fn file_offset(&self) -> Option<usize> {
        match self.contents {
            Cow::Borrowed(_) => usize::try_from(self.handle.offset).ok(),
            Cow::Owned(_) => None,
        }
    }

    /// The contents, if they were compressed.
    pub(crate) fn into_decompressed(self) -> Option<Vec<u8>> {
        match self.contents {
            Cow::Borrowed(_) => None,
            Cow::Owned(bytes) => Some(bytes),
        }
    }

    /// The entries, in order.
    ///
    /// # Errors
    /// `Corruption` when the restart points do not fit.
    pub(crate) fn entries(&self) -> Result<Entries<'_>> {
        Entries::new(&self.contents, self.handle)
    }
}

/// Walks the entries of a block.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
    /// Bytes of the block before its restart points.
    length: usize,
    key: Vec<u8>,
    value_length: usize,
    started: bool,
    key_budget: u64,
    handle: BlockHandle,
}

impl<'a> Entries<'a> {
    /// The entries of the block with these contents, stored at `handle`.
    pub(super) fn new(contents: &'a [u8], handle: BlockHandle) -> Result<Self> {
        let before_restarts = || {
            let (rest, count) = contents.split_last_chunk::<4>()?;
            let count = usize::try_from(u32::from_le_bytes(*count)).ok().filter(|&n| n > 0)?;
            rest.get(..rest.len().checked_sub(count.checked_mul(4)?)?)
        };
        let rest = before_restarts()
            .ok_or_else(|| handle.locate(Error::corruption("bad block contents")))?;
        Ok(Self {
            rest,
            length: rest.len(),
            key: Vec::new(),
            value_length: 0,
            started: false,
            key_budget: handle.size.saturating_mul(MAX_KEY_RATIO),
            handle,
        })
    }

    /// Steps to the next entry and returns its value; [`Entries::key`] is then its key.
    ///
    /// # Errors
    /// `Corruption` when the entry is malformed or its key is not above the one before it.
    pub(crate) fn next_value(&mut self) -> Result<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.step().map(Some).map_err(|error| self.handle.locate(error))
    }

    fn step(&mut self) -> Result<&'a [u8]> {
        let bad_entry = || Error::corruption("bad entry in block");
        let (shared, delta, value) = decode(&mut self.rest).ok_or_else(bad_entry)?;
        let replaced = self.key.get(shared..).ok_or_else(bad_entry)?;
        // What is shared is equal by construction, so the rest decides the order.
        if self.started && replaced >= delta {
            let problem = if replaced == delta { "duplicate key" } else { "keys out of order" };
            return Err(Error::corruption(problem).with_key(&self.key));
        }
        self.started = true;
        self.value_length = value.len();
        self.key.truncate(shared);
        self.key.extend(delta);
        self.key_budget = self
            .key_budget
            .checked_sub(self.key.len() as u64)
            .ok_or_else(|| Error::corruption("the keys of a block exceed 64 times its size"))?;
        Ok(value)
    }

    /// The key of the entry last stepped to.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Where in the contents of the block the value of that entry is.
    pub(crate) fn value_range(&self) -> Range<usize> {
        let end = self.length - self.rest.len();
        end - self.value_length..end
    }
}

/// Takes one entry: how many bytes of the last key it keeps, those it adds, and its value.
fn decode<'a>(input: &mut &'a [u8]) -> Option<(usize, &'a [u8], &'a [u8])> {
    let mut length = || usize::try_from(coding::get_varint32(input)?).ok();
    let (shared, non_shared, value) = (length()?, length()?, length()?);
    Some((shared, coding::take(input, non_shared)?, coding::take(input, value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_RESTART: [u8; 8] = [0, 0, 0, 0, 1, 0, 0, 0];

    fn at(contents: &[u8]) -> BlockHandle {
        BlockHandle { offset: 100, size: contents.len() as u64 }
    }

    fn walk(entries: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let contents = [entries, &ONE_RESTART].concat();
        let mut entries = Entries::new(&contents, at(&contents))?;
        let mut found = Vec::new();
        while let Some(value) = entries.next_value()? {
            found.push((entries.key().to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    fn problem(entries: &[u8]) -> String {
        walk(entries).unwrap_err().message().to_owned()
    }

    #[test]
    fn keys_are_put_together_from_the_key_before() {
        let found = walk(b"\0\0\x01h\0\x02\x01ab1\x01\x01\0c\0\x02\0ba").unwrap();
        let keys: Vec<&[u8]> = found.iter().map(|(key, _)| key.as_slice()).collect();
        assert_eq!(keys, [b"".as_slice(), b"ab", b"ac", b"ba"]);
        assert_eq!(found[1].1, b"1");
        assert!(walk(b"").unwrap().is_empty());
    }

    #[test]
    fn entries_that_share_or_take_too_much_are_refused() {
        for entries in [
            b"\x01\x01\0a".as_slice(),
            b"\0\x01\0a\x02\x01\0c",
            b"\0\x02\0a",
            b"\0\x01\x02a1",
            b"\0\x01",
            b"\xff\xff\xff\xff\x0f\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0",
        ] {
            assert_eq!(problem(entries), "bad entry in block", "{entries:?}");
        }
    }

    #[test]
    fn keys_that_repeat_or_go_back_are_refused() {
        assert_eq!(problem(b"\0\x01\0a\x01\0\0"), "duplicate key");
        assert_eq!(problem(b"\0\0\0\0\0\0"), "duplicate key");
        assert_eq!(problem(b"\0\x02\0ab\x01\x01\0a"), "keys out of order");
        assert_eq!(problem(b"\0\x02\0ab\x01\0\0"), "keys out of order");
    }

    #[test]
    fn restart_counts_that_do_not_fit_are_refused() {
        for contents in
            [b"".as_slice(), b"\0\0\0", b"\0\0\0\0", b"\x01\0\0\0", b"\0\0\0\0\xff\xff\xff\xff"]
        {
            let error = Entries::new(contents, at(contents)).unwrap_err();
            assert_eq!(error.message(), "bad block contents");
            assert_eq!(error.range().unwrap().start, 100);
        }
    }

    #[test]
    fn a_small_block_cannot_hold_gigabytes_of_keys() {
        // Every entry takes 4 bytes and has a key one byte longer than the one before.
        let mut entries = b"\0\0\0".to_vec();
        for shared in 0..100_000 {
            coding::put_varint32(&mut entries, shared);
            entries.extend(b"\x01\0a");
        }
        assert_eq!(problem(&entries), "the keys of a block exceed 64 times its size");
    }
}
