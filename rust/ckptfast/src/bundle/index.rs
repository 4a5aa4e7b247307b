//! The bytes of an `.index` file: read, or made from what it is to say.

use std::collections::BTreeMap;

use prost::Message;

use super::entry::VERSION;
use crate::error::{Error, Result};
use crate::io::File;
use crate::proto::{BundleEntryProto, BundleHeaderProto, Endianness, VersionDef};
use crate::table::TableBuilder;

/// Most bytes of an index. Twice what [`TableBuilder`] writes, which is twenty million tensors.
const MAX_LENGTH: u64 = 4 << 30;

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

/// Encodes header and entries; byte for byte what TensorFlow writes for the same ones.
pub(super) fn encode(
    header: &BundleHeaderProto,
    entries: impl IntoIterator<Item = (Vec<u8>, BundleEntryProto)>,
) -> Result<Vec<u8>> {
    let entries: BTreeMap<_, _> = entries.into_iter().collect();
    let mut table = TableBuilder::new();
    table.add(b"", &header.encode_to_vec())?;
    for (key, entry) in &entries {
        table.add(key, &entry.encode_to_vec())?;
    }
    Ok(table.finish())
}
