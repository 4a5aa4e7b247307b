//! The entries of an index, in order and packed.
//!
//! An index has thousands of entries, and to open it is to decode them all. Keys and dimensions lie
//! one after the other in two lists, because an allocation for each, made and freed, takes longer
//! than everything else there is to do about an entry.

use std::ops::Range;

use super::entry::{self, Content, Entry};
use crate::dtype::DataType;
use crate::error::Result;
use crate::ordered_code::tensor_name;
use crate::shape::Shape;

/// The entries of an index, sorted by key, without the header.
#[derive(Debug, Default)]
pub struct Entries {
    keys: Vec<u8>,
    dims: Vec<u64>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    /// Where this entry's key ends in `keys`. It begins where the one before ends.
    key_end: usize,
    /// The same of its dimensions in `dims`.
    dims_end: usize,
    dtype: DataType,
    content: Content,
}

impl Entries {
    /// Room for what an index of `length` bytes may hold.
    pub(super) fn with_capacity(length: usize) -> Self {
        // An entry rarely takes less than 32 bytes in the file.
        let number = length / 32;
        Self {
            keys: Vec::with_capacity(length),
            dims: Vec::with_capacity(number),
            rows: Vec::with_capacity(number),
        }
    }

    /// Decodes `value` and adds it under `key`, which is greater than all before it.
    ///
    /// # Errors
    /// As [`entry::decode`], with the key.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], num_shards: u32) -> Result<()> {
        let (dtype, content) = entry::decode(value, num_shards, &mut self.dims)
            .map_err(|error| error.with_key(&tensor_name(key)))?;
        self.keys.extend_from_slice(key);
        let (key_end, dims_end) = (self.keys.len(), self.dims.len());
        self.rows.push(Row { key_end, dims_end, dtype, content });
        Ok(())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The entry at `position`.
    pub fn get(&self, position: usize) -> Option<Entry<'_>> {
        let row = self.rows.get(position)?;
        let dims = self.range(position, |row| row.dims_end);
        let shape = Shape::of_checked(self.dims.get(dims)?);
        let key = self.key(position)?;
        Some(Entry { key, dtype: row.dtype, shape, content: &row.content })
    }

    /// The key of the entry at `position`.
    pub fn key(&self, position: usize) -> Option<&[u8]> {
        self.keys.get(self.range(position, |row| row.key_end))
    }

    /// Position of the entry with this very key.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let position = self.partition_point(|other| other < key);
        (self.key(position) == Some(key)).then_some(position)
    }

    /// Number of entries at the front for whose keys `before` holds.
    pub(super) fn partition_point(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.key(middle).is_some_and(&before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).filter_map(|position| self.get(position))
    }

    /// Where the data of each entry is, for those that have some, in the order of their keys.
    pub(super) fn contents(&self) -> impl Iterator<Item = &Content> {
        self.rows.iter().map(|row| &row.content)
    }

    fn range(&self, position: usize, end: impl Fn(&Row) -> usize) -> Range<usize> {
        let ends = |position: usize| self.rows.get(position).map_or(0, &end);
        position.checked_sub(1).map_or(0, ends)..ends(position)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::{BundleEntryProto, Dim, TensorShapeProto};

    fn stored(dims: &[i64], size: i64) -> Vec<u8> {
        let dim = dims.iter().map(|&size| Dim { size }).collect();
        let shape = Some(TensorShapeProto { dim, unknown_rank: false });
        BundleEntryProto { dtype: 1, shape, size, ..BundleEntryProto::default() }.encode_to_vec()
    }

    #[test]
    fn keys_and_shapes_are_those_of_their_own_entry() {
        let mut entries = Entries::default();
        for (key, dims, size) in [("a", &[2, 3][..], 24), ("ab", &[], 4), ("b", &[0], 0)] {
            entries.push(key.as_bytes(), &stored(dims, size), 1).unwrap();
        }
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.key, entry.shape.dims().to_vec())).collect();
        assert_eq!(found, [(&b"a"[..], vec![2, 3]), (b"ab", vec![]), (b"b", vec![0])]);
        assert_eq!(entries.find(b"ab"), Some(1));
        assert_eq!(entries.find(b"aa"), None);
        assert_eq!(entries.find(b"c"), None);
        assert!(entries.get(3).is_none());
    }

    #[test]
    fn an_entry_that_contradicts_itself_is_refused_with_its_key() {
        let error = Entries::default().push(b"w", &stored(&[2, 3], 23), 1).unwrap_err();
        assert_eq!(error.key(), Some(b"w".as_slice()));
        assert!(error.message().contains("stored size 23; expected size 24"));
    }
}
