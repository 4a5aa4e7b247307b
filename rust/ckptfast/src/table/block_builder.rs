//! Builds one block; `block` describes the layout.

use crate::coding;

/// Collects entries, each key as its difference from the one before.
///
/// Lengths must fit 32 bits; `TableBuilder` sees to that for the table as a whole.
#[derive(Debug)]
pub(super) struct BlockBuilder {
    contents: Vec<u8>,
    restarts: Vec<u32>,
    last_key: Vec<u8>,
    /// Entries since the last restart point.
    run: usize,
    interval: usize,
}

impl BlockBuilder {
    /// A builder that stores every `interval`-th key whole.
    pub(super) fn new(interval: usize) -> Self {
        Self { contents: Vec::new(), restarts: vec![0], last_key: Vec::new(), run: 0, interval }
    }

    /// Appends an entry; the caller sees to it that the keys increase.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        if self.run == self.interval {
            self.restarts.push(narrow(self.contents.len()));
            self.last_key.clear();
            self.run = 0;
        }
        let shared = self.last_key.iter().zip(key).take_while(|(old, new)| old == new).count();
        let delta = key.get(shared..).unwrap_or_default();
        for length in [shared, delta.len(), value.len()] {
            coding::put_varint32(&mut self.contents, narrow(length));
        }
        self.contents.extend(delta);
        self.contents.extend(value);
        self.last_key.truncate(shared);
        self.last_key.extend(delta);
        self.run += 1;
    }

    /// How many bytes the block has as it stands.
    pub(super) fn size(&self) -> usize {
        self.contents.len() + 4 * self.restarts.len() + 4
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// The finished block; the builder starts anew.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let Self { mut contents, restarts, .. } = std::mem::replace(self, Self::new(self.interval));
        contents.extend(restarts.iter().flat_map(|offset| offset.to_le_bytes()));
        contents.extend(narrow(restarts.len()).to_le_bytes());
        contents
    }
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::block::Entries;
    use super::super::format::BlockHandle;
    use super::*;

    #[test]
    fn every_intervalth_key_is_stored_whole() {
        let mut builder = BlockBuilder::new(2);
        for key in ["aa", "ab", "ac"] {
            builder.add(key.as_bytes(), b"");
        }
        let size = builder.size();
        let block = builder.finish();
        let entries = b"\0\x02\0aa\x01\x01\0b\0\x02\0ac";
        let tail = b"\0\0\0\0\x09\0\0\0\x02\0\0\0";
        assert_eq!(block, [entries.as_slice(), tail].concat());
        assert_eq!(block.len(), size);
        assert!(builder.is_empty());
    }

    #[test]
    fn what_is_built_is_read_back() {
        let keys: Vec<String> = (0..100).map(|index| format!("layer_{index:03}/kernel")).collect();
        for interval in [1, 16] {
            let mut builder = BlockBuilder::new(interval);
            for key in &keys {
                builder.add(key.as_bytes(), key.as_bytes());
            }
            let block = builder.finish();
            let handle = BlockHandle { offset: 0, size: block.len() as u64 };
            let mut entries = Entries::new(&block, handle).unwrap();
            for key in &keys {
                assert_eq!(entries.next_value().unwrap(), Some(key.as_bytes()));
                assert_eq!(entries.key(), key.as_bytes());
            }
            assert_eq!(entries.next_value().unwrap(), None);
        }
    }

    #[test]
    fn an_empty_block_is_the_eight_bytes_of_tensorflows_metaindex() {
        assert_eq!(BlockBuilder::new(16).finish(), [0, 0, 0, 0, 1, 0, 0, 0]);
    }
}
