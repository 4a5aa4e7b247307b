//! Reads a table.
//!
//! Writers lay blocks out one after the other. That is checked, because otherwise a small index
//! could name one block a million times and cost as many reads of it.

use std::borrow::Cow;
use std::ops::Range;

use super::block::Block;
use super::format::{self, BlockHandle};
use crate::error::{Error, Result};

/// Where the data blocks of a table are. Every method takes the bytes of the file, which must be
/// those that [`Table::parse`] saw.
#[derive(Debug)]
pub struct Table {
    blocks: Vec<Location>,
}

#[derive(Debug)]
struct Location {
    separator: Vec<u8>,
    handle: BlockHandle,
}

impl Table {
    /// Reads footer and index block.
    ///
    /// # Errors
    /// `Corruption`, with the byte range, when `file` is not a table, or when its data blocks are
    /// not one after the other and before the index block.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let index = format::read_footer(file)?;
        let block = Block::read(file, index)?;
        let mut entries = block.entries()?;
        let mut blocks = Vec::new();
        let mut end = Some(0);
        while let Some(mut value) = entries.next_value()? {
            let handle = BlockHandle::decode(&mut value).map_err(|error| index.locate(error))?;
            if !value.is_empty() || end.is_none_or(|end| handle.offset < end) {
                return Err(index.locate(Error::corruption("bad block handle")));
            }
            end = handle.end();
            blocks.push(Location { separator: entries.key().to_vec(), handle });
        }
        if end.is_none_or(|end| index.offset < end) {
            return Err(index.locate(Error::corruption("bad block handle")));
        }
        Ok(Self { blocks })
    }

    /// Calls `visit` with every key and value, in the order of the keys.
    ///
    /// Every block's checksum is verified before its entries are visited.
    ///
    /// # Errors
    /// `Corruption` for a bad block, and for keys that do not increase strictly; whatever `visit`
    /// returns, which ends the walk.
    pub fn for_each(
        &self,
        file: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut lower: Option<&[u8]> = None;
        for Location { separator, handle } in &self.blocks {
            let block = Block::read(file, *handle)?;
            let mut entries = block.entries()?;
            let out_of_order =
                |key: &[u8]| handle.locate(Error::corruption("keys out of order")).with_key(key);
            // Within a block the keys increase, so its first and its last decide for all of them.
            while let Some(value) = entries.next_value()? {
                let key = entries.key();
                if lower.take().is_some_and(|lower| key <= lower) {
                    return Err(out_of_order(key));
                }
                visit(key, value)?;
            }
            if entries.key() > separator.as_slice() {
                return Err(out_of_order(entries.key()));
            }
            lower = Some(separator);
        }
        Ok(())
    }

    /// The value of `key`. Reads, and verifies, one block.
    ///
    /// # Errors
    /// `Corruption` for a bad block.
    pub fn get<'a>(&self, file: &'a [u8], key: &[u8]) -> Result<Option<Cow<'a, [u8]>>> {
        let Some(block) = self.find_block(key) else { return Ok(None) };
        let block = self.read_block(file, block)?;
        let mut entries = block.entries()?;
        while entries.next_value()?.is_some() {
            if entries.key() >= key {
                return Ok((entries.key() == key).then(|| block.slice(entries.value_range())));
            }
        }
        Ok(None)
    }

    /// How many data blocks there are.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The number of the one block that `key` may be in.
    pub(crate) fn find_block(&self, key: &[u8]) -> Option<usize> {
        let block = self.blocks.partition_point(|block| block.separator.as_slice() < key);
        (block < self.blocks.len()).then_some(block)
    }

    /// Where a data block and its trailer are in the file.
    pub(crate) fn block_range(&self, block: usize) -> Option<Range<usize>> {
        let handle = self.blocks.get(block)?.handle;
        let end = usize::try_from(handle.end()?).ok()?;
        Some(usize::try_from(handle.offset).ok()?..end)
    }

    /// Reads a data block and verifies its checksum.
    pub(crate) fn read_block<'a>(&self, file: &'a [u8], block: usize) -> Result<Block<'a>> {
        let location = self.blocks.get(block);
        let location = location.ok_or_else(|| Error::invalid("the table has no such block"))?;
        Block::read(file, location.handle)
    }
}
