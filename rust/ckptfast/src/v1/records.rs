//! Finds the records of one file by their keys.
//!
//! Every block is walked once, when the first of its records is asked for. Searching anew for each
//! record would read, checksum and decompress a block as often as it has records.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use crate::error::Result;
use crate::table::Table;

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
    /// `Corruption` when its block is bad.
    pub(super) fn get<'a>(&'a self, file: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>> {
        let Some(number) = self.table.find_block(key) else { return Ok(None) };
        let Some(slot) = self.blocks.get(number) else { return Ok(None) };
        let walked = if let Some(walked) = slot.get() {
            walked
        } else {
            let walked = self.walk(file, number)?;
            slot.get_or_init(|| walked)
        };
        let bytes = walked.decompressed.as_deref().unwrap_or(file);
        Ok(walked.values.get(key).and_then(|range| bytes.get(range.clone())))
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
