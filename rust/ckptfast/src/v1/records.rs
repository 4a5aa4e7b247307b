//! Finds the records of one file by their keys.
//!
//! Every block is walked once, when the first of its records is asked for. Searching anew for each
//! record would read, checksum and decompress a block as often as it has records.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::io::Memory;
use crate::table::Table;

/// The bytes of a file, which may be cut while it is mapped.
pub trait Pages: AsRef<[u8]> {
    /// Whether the bytes of `range` can be touched.
    fn enter(&self, range: Range<usize>) -> bool {
        range.end <= self.as_ref().len()
    }
}

impl Pages for &[u8] {}

impl Pages for Memory {
    fn enter(&self, range: Range<usize>) -> bool {
        self.enter(range)
    }
}

fn enter(file: &impl Pages, range: Range<usize>) -> Result<()> {
    if file.enter(range.clone()) {
        return Ok(());
    }
    let error = Error::corruption("the file was cut after it was opened, or cannot be read");
    Err(error.with_range(range.start as u64, range.len() as u64))
}

/// The records of the file that `table` was parsed from.
#[derive(Debug)]
pub(super) struct Records {
    table: Table,
    blocks: Vec<OnceLock<Walked>>,
}

/// A block after its walk.
#[derive(Debug)]
struct Walked {
    /// The contents, where they are not as they stand in the file.
    decompressed: Option<Vec<u8>>,
    /// Where the values are: in `decompressed`, or else in the file.
    values: HashMap<Vec<u8>, Range<usize>>,
}

impl Records {
    pub(super) fn new(table: Table) -> Self {
        let blocks = (0..table.num_blocks()).map(|_| OnceLock::new()).collect();
        Self { table, blocks }
    }

    /// The record of `key`, if there is one.
    ///
    /// # Errors
    /// `Corruption` when its block is bad, or no longer there.
    pub(super) fn get<'a>(&'a self, file: &'a impl Pages, key: &[u8]) -> Result<Option<&'a [u8]>> {
        let Some(number) = self.table.find_block(key) else { return Ok(None) };
        let Some(slot) = self.blocks.get(number) else { return Ok(None) };
        let walked = if let Some(walked) = slot.get() {
            walked
        } else {
            // A range that the file never had is for the table to complain about.
            let range = self.table.block_range(number).unwrap_or_default();
            if range.end <= file.as_ref().len() {
                enter(file, range)?;
            }
            let walked = self.walk(file.as_ref(), number)?;
            slot.get_or_init(|| walked)
        };
        let Some(range) = walked.values.get(key).cloned() else { return Ok(None) };
        if let Some(bytes) = &walked.decompressed {
            return Ok(bytes.get(range));
        }
        enter(file, range.clone())?;
        Ok(file.as_ref().get(range))
    }

    fn walk(&self, file: &[u8], number: usize) -> Result<Walked> {
        let block = self.table.read_block(file, number)?;
        let start = block.file_offset().unwrap_or(0);
        let mut values = HashMap::new();
        let mut entries = block.entries()?;
        while entries.next_value()?.is_some() {
            let range = entries.value_range();
            values.insert(entries.key().to_vec(), start + range.start..start + range.end);
        }
        Ok(Walked { decompressed: block.into_decompressed(), values })
    }
}
