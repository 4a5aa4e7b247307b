//! One entry of the index, checked: what a key holds and where its bytes are.

use prost::Message;

use crate::crc32c;
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::ordered_code;
use crate::proto::{BundleEntryProto, BundleHeaderProto, Endianness};
use crate::shape::Shape;
use crate::slice::TensorSlice;

/// The newest version of the format this code reads and writes (`kTensorBundleVersion`).
pub const VERSION: i32 = 1;

/// The header: what the data files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of data files, part of their names.
    pub num_shards: u32,
    /// Byte order of the data files.
    pub endianness: Endianness,
}

impl Header {
    /// Decodes the value of the empty key.
    ///
    /// # Errors
    /// `Corruption` when it is no header, `Unsupported` when it asks for a newer reader.
    pub fn decode(value: &[u8]) -> Result<Self> {
        let proto = BundleHeaderProto::decode(value).map_err(|error| {
            Error::corruption(format!("cannot parse the bundle header: {error}"))
        })?;
        let version = proto.version.unwrap_or_default();
        if version.min_consumer > VERSION || version.bad_consumers.contains(&VERSION) {
            return Err(Error::unsupported(format!(
                "written for readers of format version {} and up, this is version {VERSION}; \
                 upgrade ckptfast",
                version.min_consumer
            )));
        }
        let num_shards =
            u32::try_from(proto.num_shards).ok().filter(|&number| number > 0).ok_or_else(|| {
                Error::corruption(format!("bundle header has {} data files", proto.num_shards))
            })?;
        let endianness = Endianness::try_from(proto.endianness).map_err(|_| {
            Error::corruption(format!("bundle header has byte order {}", proto.endianness))
        })?;
        Ok(Self { num_shards, endianness })
    }
}

/// What the index says of one key.
#[derive(Debug)]
pub struct Entry {
    /// The tensor's name, or an encoded slice key.
    pub key: Box<[u8]>,
    /// Element type.
    pub dtype: DataType,
    /// Shape of the tensor (of the slice, for a slice key).
    pub shape: Shape,
    /// Where the elements are.
    pub content: Content,
}

/// Where the elements of an entry are.
#[derive(Debug)]
pub enum Content {
    /// In one data file.
    Data(Extent),
    /// Under the keys of these slices.
    Slices(Vec<TensorSlice>),
}

/// Bytes of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of the data file.
    pub shard: u32,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub size: u64,
    /// Their checksum as stored, masked.
    pub masked_crc32c: u32,
}

impl Extent {
    /// The byte after the last; checked when the entry was decoded.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    /// The checksum the bytes should have.
    pub fn crc32c(&self) -> u32 {
        crc32c::unmask(self.masked_crc32c)
    }
}

impl Entry {
    /// Decodes the value of `key` in a bundle of `num_shards` data files.
    ///
    /// # Errors
    /// `Corruption` when the value contradicts itself or the header; `Unsupported` for an element
    /// type this code does not know.
    pub fn decode(key: &[u8], value: &[u8], num_shards: u32) -> Result<Self> {
        Self::decode_inner(key, value, num_shards).map_err(|error| error.with_key(key))
    }

    fn decode_inner(key: &[u8], value: &[u8], num_shards: u32) -> Result<Self> {
        let proto = BundleEntryProto::decode(value)
            .map_err(|error| Error::corruption(format!("cannot parse the entry: {error}")))?;
        let dtype = DataType::from_number(proto.dtype)?;
        if dtype == DataType::Resource {
            return Err(Error::corruption("a resource handle cannot be stored"));
        }
        let shape = Shape::try_from(&proto.shape.unwrap_or_default())?;
        if !proto.slices.is_empty() {
            let slices = proto.slices.iter().map(TensorSlice::try_from);
            let slices = slices.collect::<Result<Vec<_>>>()?;
            for slice in &slices {
                slice.resolve(&shape).map_err(|error| Error::corruption(error.to_string()))?;
            }
            return Ok(Self { key: key.into(), dtype, shape, content: Content::Slices(slices) });
        }
        let extent = Extent {
            shard: non_negative("shard number", proto.shard_id.into())?,
            offset: non_negative("offset", proto.offset)?,
            size: non_negative("size", proto.size)?,
            masked_crc32c: proto.crc32c,
        };
        if extent.shard >= num_shards {
            return Err(Error::corruption(format!(
                "entry is in data file {} of {num_shards}",
                extent.shard
            )));
        }
        if i64::try_from(extent.end()).is_err() {
            return Err(Error::corruption("entry reaches past the largest possible file"));
        }
        if let Some(expected) = shape.byte_size(dtype).filter(|&size| size != extent.size) {
            return Err(Error::corruption(format!(
                "Invalid size in bundle entry: stored size {}; expected size {expected}",
                extent.size
            )));
        }
        if dtype.size().is_some() && shape.byte_size(dtype).is_none() {
            return Err(Error::corruption(format!("shape {shape} has too many elements")));
        }
        Ok(Self { key: key.into(), dtype, shape, content: Content::Data(extent) })
    }

    /// Whether this is the data of a slice rather than a tensor with a name.
    pub fn is_slice(&self) -> bool {
        ordered_code::is_slice_key(&self.key)
    }
}

fn non_negative<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| Error::corruption(format!("entry has {what} {value}")))
}
