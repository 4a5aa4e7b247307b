//! The bytes of an `.index` file: read, or made from what it is to say.

use std::borrow::Cow;
use std::ops::Range;

use prost::Message;

use super::entry::VERSION;
use crate::error::{Error, Result};
use crate::io::File;
use crate::proto::{BundleEntryProto, BundleHeaderProto, Endianness, VersionDef};
use crate::table::TableBuilder;

/// Most bytes of an index. Twice what [`TableBuilder`] writes, which is twenty million tensors.
const MAX_LENGTH: u64 = 4 << 30;

/// About the bytes of an entry of a tensor of two dimensions.
const ENTRY: usize = 32;

/// The header of a bundle written by this code.
pub(super) fn header(num_shards: u32) -> BundleHeaderProto {
    BundleHeaderProto {
        num_shards: num_shards.cast_signed(),
        endianness: Endianness::Little.into(),
        version: Some(VersionDef { producer: VERSION, ..VersionDef::default() }),
    }
}

/// Reads an index.
///
/// # Errors
/// `Corruption` for a file that is too long to be one, before memory is taken for it.
pub(super) fn read(file: &File) -> Result<Vec<u8>> {
    if file.length() > MAX_LENGTH {
        let problem = format!("a file of {} bytes is too long to be an index", file.length());
        return Err(Error::corruption(problem).at_path(file.path()));
    }
    file.read_all()
}

/// Takes entries in any order; the index has them in that of their keys.
///
/// There may be many thousands: their stored forms lie one behind the other, so that no entry keeps
/// memory of its own.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder<'a> {
    /// Keys, and where the stored form of each begins and ends.
    keys: Vec<(Cow<'a, [u8]>, Range<usize>)>,
    stored: Vec<u8>,
}

impl<'a> IndexBuilder<'a> {
    /// With room for `entries`.
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self { keys: Vec::with_capacity(entries), stored: Vec::with_capacity(entries * ENTRY) }
    }

    /// Takes an entry.
    ///
    /// # Errors
    /// `InvalidArgument` when all entries together are too long for memory.
    pub(super) fn add(&mut self, key: Cow<'a, [u8]>, entry: &BundleEntryProto) -> Result<()> {
        let start = self.stored.len();
        let too_long = |_| Error::invalid("the entries of the index are too long");
        entry.encode(&mut self.stored).map_err(too_long)?;
        self.keys.push((key, start..self.stored.len()));
        Ok(())
    }

    /// The bytes of the file: those TensorFlow writes for the same header and entries.
    ///
    /// # Errors
    /// As [`TableBuilder::add`], also when there are two entries of one key.
    pub(super) fn finish(mut self, header: &BundleHeaderProto) -> Result<Vec<u8>> {
        // Mostly in order already, which a stable sort sees.
        self.keys.sort_by(|(first, _), (second, _)| first.cmp(second));
        let mut table = TableBuilder::new();
        table.add(b"", &header.encode_to_vec())?;
        for (key, place) in self.keys {
            table.add(&key, self.stored.get(place).unwrap_or_default())?;
        }
        Ok(table.finish())
    }
}
