//! `tensor_bundle.proto` and `versions.proto`.

use super::{TensorShapeProto, TensorSliceProto};

/// The header, stored under the empty key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BundleHeaderProto {
    /// Number of data files; part of their names.
    #[prost(int32, tag = "1")]
    pub num_shards: i32,
    /// Byte order of the data files.
    #[prost(enumeration = "Endianness", tag = "2")]
    pub endianness: i32,
    /// Versions of the format.
    #[prost(message, optional, tag = "3")]
    pub version: Option<VersionDef>,
}

/// Byte order of the data files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Endianness {
    /// Least significant byte first.
    Little = 0,
    /// Most significant byte first.
    Big = 1,
}

/// Who wrote the bundle, and who may read it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionDef {
    /// Version of the writer.
    #[prost(int32, tag = "1")]
    pub producer: i32,
    /// Oldest reader allowed.
    #[prost(int32, tag = "2")]
    pub min_consumer: i32,
    /// Readers not allowed.
    #[prost(int32, repeated, tag = "3")]
    pub bad_consumers: Vec<i32>,
}

/// Metadata of one key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BundleEntryProto {
    /// `DataType` number.
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    /// Shape of the tensor; in the entry of a slice's data, the shape of the slice.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
    /// Number of the data file.
    #[prost(int32, tag = "3")]
    pub shard_id: i32,
    /// First byte in the data file.
    #[prost(int64, tag = "4")]
    pub offset: i64,
    /// Number of bytes.
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// Masked CRC-32C of exactly those bytes.
    #[prost(fixed32, tag = "6")]
    pub crc32c: u32,
    /// For a partitioned tensor: its slices; then there is no data in this entry.
    #[prost(message, repeated, tag = "7")]
    pub slices: Vec<TensorSliceProto>,
}
