//! The bytes of an `.index` file, from what it is to say.

use std::collections::BTreeMap;

use prost::Message;

use super::entry::VERSION;
use crate::error::Result;
use crate::proto::{BundleEntryProto, BundleHeaderProto, Endianness, VersionDef};
use crate::table::TableBuilder;

/// The header of a bundle written by this code.
pub(super) fn header(num_shards: u32) -> BundleHeaderProto {
    BundleHeaderProto {
        num_shards: num_shards.cast_signed(),
        endianness: Endianness::Little.into(),
        version: Some(VersionDef { producer: VERSION, ..VersionDef::default() }),
    }
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
