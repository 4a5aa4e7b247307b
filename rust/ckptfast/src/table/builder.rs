//! Builds a table that is byte for byte the one TensorFlow 2.21 writes for the same entries.
//!
//! The settings are those of its bundle writer; blocks are never compressed.

use super::block_builder::BlockBuilder;
use super::format::{self, BlockHandle};
use crate::error::{Error, Result};

/// A data block is closed once it has reached this many bytes.
const BLOCK_SIZE: usize = 262_144;
/// An entry of this many bytes or more begins a block.
const LARGE_ENTRY: usize = 2 * BLOCK_SIZE;
/// Keys and values of one table, together. Keeps every offset and length within 32 bits.
const MAX_ENTRY_BYTES: usize = 1 << 31;
const RESTART_INTERVAL: usize = 16;
/// In the index block every key is stored whole.
const INDEX_RESTART_INTERVAL: usize = 1;

/// Takes entries in the order of their keys and lays them out as a table.
#[derive(Debug)]
pub struct TableBuilder {
    output: Vec<u8>,
    data: BlockBuilder,
    index: BlockBuilder,
    last_key: Option<Vec<u8>>,
    /// A closed block that the index does not name yet: its separator depends on the next key.
    pending: Option<BlockHandle>,
    entry_bytes: usize,
}

impl Default for TableBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TableBuilder {
    /// A table without entries.
    pub fn new() -> Self {
        Self {
            output: Vec::new(),
            data: BlockBuilder::new(RESTART_INTERVAL),
            index: BlockBuilder::new(INDEX_RESTART_INTERVAL),
            last_key: None,
            pending: None,
            entry_bytes: 0,
        }
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// `InvalidArgument` unless `key`, compared by its bytes, is above every key added before; also
    /// when keys and values together pass 2 GiB.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let entry_bytes = key.len().saturating_add(value.len());
        self.check(key, entry_bytes)?;
        self.entry_bytes += entry_bytes;
        if let Some(last_key) = self.last_key.as_mut() {
            if entry_bytes >= LARGE_ENTRY && !self.data.is_empty() {
                self.pending = Some(format::write_block(&mut self.output, &self.data.finish()));
            }
            if let Some(handle) = self.pending.take() {
                shorten_to_separator(last_key, key);
                add_handle(&mut self.index, last_key, handle);
            }
        }
        self.data.add(key, value);
        let last_key = self.last_key.get_or_insert_default();
        last_key.clear();
        last_key.extend(key);
        if self.data.size() >= BLOCK_SIZE {
            self.pending = Some(format::write_block(&mut self.output, &self.data.finish()));
        }
        Ok(())
    }

    /// The bytes of the file.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.data.is_empty() {
            self.pending = Some(format::write_block(&mut self.output, &self.data.finish()));
        }
        let metaindex = BlockBuilder::new(RESTART_INTERVAL).finish();
        let metaindex = format::write_block(&mut self.output, &metaindex);
        if let Some((handle, mut last_key)) = self.pending.zip(self.last_key) {
            shorten_to_successor(&mut last_key);
            add_handle(&mut self.index, &last_key, handle);
        }
        let index = format::write_block(&mut self.output, &self.index.finish());
        format::write_footer(&mut self.output, metaindex, index);
        self.output
    }

    fn check(&self, key: &[u8], entry_bytes: usize) -> Result<()> {
        let name = key.escape_ascii();
        match self.last_key.as_deref() {
            Some(last_key) if last_key == key => {
                return Err(Error::invalid(format!("Adding duplicate key: {name}")));
            }
            Some(last_key) if last_key > key => {
                return Err(Error::invalid(format!("Adding key out of order: {name}")));
            }
            _ => {}
        }
        if entry_bytes > MAX_ENTRY_BYTES - self.entry_bytes {
            let problem = format!("keys and values of one table exceed {MAX_ENTRY_BYTES} bytes");
            return Err(Error::invalid(problem).with_key(key));
        }
        Ok(())
    }
}

fn add_handle(index: &mut BlockBuilder, separator: &[u8], handle: BlockHandle) {
    let mut value = Vec::new();
    handle.encode(&mut value);
    index.add(separator, &value);
}

/// Makes `key` shorter, where that is simple, so that it still sorts before `next`.
fn shorten_to_separator(key: &mut Vec<u8>, next: &[u8]) {
    let differing = key.iter_mut().zip(next).enumerate().find(|(_, (byte, next))| byte != next);
    if let Some((position, (byte, &next))) = differing
        && byte.checked_add(1).is_some_and(|above| above < next)
    {
        *byte += 1;
        key.truncate(position + 1);
    }
}

/// Makes `key` shorter, where that is simple, into something that sorts after it.
fn shorten_to_successor(key: &mut Vec<u8>) {
    if let Some((position, byte)) = key.iter_mut().enumerate().find(|(_, byte)| **byte != 0xff) {
        *byte += 1;
        key.truncate(position + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    #[test]
    fn separators_are_those_of_leveldb() {
        for (key, next, separator) in [
            ("layer_09865/kernel", "layer_09867/bias", "layer_09866"),
            ("layer_09865/kernel", "layer_09866/bias", "layer_09865/kernel"),
            ("ab", "abc", "ab"),
            ("", "a", ""),
            ("a", "c", "b"),
            ("a", "b", "a"),
        ] {
            let mut shortened = key.as_bytes().to_vec();
            shorten_to_separator(&mut shortened, next.as_bytes());
            assert_eq!(shortened, separator.as_bytes(), "{key} {next}");
        }
        for (key, successor) in
            [(b"zs".as_slice(), b"{".as_slice()), (b"\xff\xffab", b"\xff\xffb"), (b"\xff", b"\xff")]
        {
            let mut shortened = key.to_vec();
            shorten_to_successor(&mut shortened);
            assert_eq!(shortened, successor);
        }
    }

    #[test]
    fn keys_that_repeat_or_go_back_are_refused() {
        let mut builder = TableBuilder::new();
        builder.add(b"", b"").unwrap();
        assert!(builder.add(b"", b"").is_err());
        builder.add(b"b", b"").unwrap();
        let error = builder.add(b"b", b"").unwrap_err();
        assert_eq!(error.message(), "Adding duplicate key: b");
        assert!(builder.add(b"a", b"").is_err());
        builder.add(b"c", b"").unwrap();
        assert!(Table::parse(&builder.finish()).is_ok());
    }

    #[test]
    fn the_smallest_tables_have_tensorflows_bytes() {
        let empty = TableBuilder::new().finish();
        // Metaindex and index block are empty, each 8 bytes and a trailer.
        assert_eq!(empty.len(), 13 + 13 + 48);
        assert_eq!(&empty[26..30], [0, 8, 13, 8]);
        let mut builder = TableBuilder::new();
        builder.add(b"", b"\x08\x01\x1a\x02\x08\x01").unwrap();
        let header_only = builder.finish();
        assert_eq!(&header_only[..9], [0, 0, 6, 8, 1, 0x1a, 2, 8, 1]);
        // The successor of the empty key is the empty key.
        assert_eq!(&header_only[35..40], [0, 0, 2, 0, 17]);
    }

    #[test]
    fn a_large_entry_begins_a_block() {
        let large = vec![1; LARGE_ENTRY];
        let mut builder = TableBuilder::new();
        for (key, value) in [(b"a", b"1".as_slice()), (b"b", &large), (b"c", b"1")] {
            builder.add(key, value).unwrap();
        }
        let file = builder.finish();
        let table = Table::parse(&file).unwrap();
        assert_eq!(table.num_blocks(), 3);
        assert_eq!(table.get(&file, b"b").unwrap().unwrap(), large.as_slice());
    }
}
