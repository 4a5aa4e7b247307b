//! One entry of the index, checked: what a key holds and where its bytes are.

use prost::Message;

use crate::crc32c;
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::ordered_code;
use crate::proto::wire::{self, Field};
use crate::proto::{BundleHeaderProto, Endianness, TensorSliceProto};
use crate::shape::{self, Shape};
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
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The tensor's name, or an encoded slice key.
    pub key: &'a [u8],
    /// Element type.
    pub dtype: DataType,
    /// Shape of the tensor (of the slice, for a slice key).
    pub shape: Shape,
    /// Where the elements are.
    pub content: &'a Content,
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

impl Entry<'_> {
    /// Whether this is the data of a slice rather than a tensor with a name.
    pub fn is_slice(&self) -> bool {
        ordered_code::is_slice_key(self.key)
    }
}

/// Decodes the value of a key in a bundle of `num_shards` data files; the shape's dimensions are
/// appended to `dims`.
///
/// # Errors
/// `Corruption` when the value contradicts itself or the header; `Unsupported` for an element type
/// this code does not know.
pub(super) fn decode(
    value: &[u8],
    num_shards: u32,
    dims: &mut Vec<u64>,
) -> Result<(DataType, Content)> {
    let first = dims.len();
    let mut fields = Fields::default();
    fields.fill(value, dims)?;
    fields.check(dims.get(first..).unwrap_or_default(), num_shards)
}

/// A `BundleEntryProto` as it is stored, nothing of it checked.
///
/// Read field by field, because an index has an entry per tensor and a message per shape and
/// dimension: as structs of their own they would take longer than all the rest of opening it.
#[derive(Default)]
struct Fields {
    dtype: i32,
    shard: i32,
    offset: i64,
    size: i64,
    masked_crc32c: u32,
    slices: Vec<TensorSlice>,
}

impl Fields {
    fn fill(&mut self, mut message: &[u8], dims: &mut Vec<u64>) -> Result<()> {
        while let Some((number, field)) = wire::next_field(&mut message)? {
            match (number, field) {
                (1, Field::Varint(dtype)) => self.dtype = int32(dtype)?,
                (2, Field::Bytes(shape)) => decode_shape(shape, dims)?,
                (3, Field::Varint(shard)) => self.shard = int32(shard)?,
                (4, Field::Varint(offset)) => self.offset = offset.cast_signed(),
                (5, Field::Varint(size)) => self.size = size.cast_signed(),
                (6, Field::Fixed32(crc32c)) => self.masked_crc32c = u32::from_le_bytes(crc32c),
                (7, Field::Bytes(slice)) => self.slices.push(decode_slice(slice)?),
                (1..=7, _) => return Err(Error::corruption("cannot parse the entry")),
                _ => {}
            }
        }
        Ok(())
    }

    /// What the fields say, if they agree with each other and with the header.
    fn check(self, dims: &[u64], num_shards: u32) -> Result<(DataType, Content)> {
        let dtype = DataType::from_number(self.dtype)?;
        shape::check(dims)
            .map_err(|error| Error::corruption(format!("Invalid tensor shape: {error}")))?;
        if dtype == DataType::Resource {
            return Err(Error::corruption("a resource handle cannot be stored"));
        }
        if !self.slices.is_empty() {
            let shape = Shape::new(dims.iter().copied())?;
            for slice in &self.slices {
                slice.resolve(&shape).map_err(|error| Error::corruption(error.to_string()))?;
            }
            return Ok((dtype, Content::Slices(self.slices)));
        }
        let extent = Extent {
            shard: non_negative("shard number", self.shard.into())?,
            offset: non_negative("offset", self.offset)?,
            size: non_negative("size", self.size)?,
            masked_crc32c: self.masked_crc32c,
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
        match shape::byte_size(dims, dtype) {
            Some(expected) if expected != extent.size => Err(Error::corruption(format!(
                "Invalid size in bundle entry: stored size {}; expected size {expected}",
                extent.size
            ))),
            None if dtype.size().is_none() && extent.size < least_size(dtype, dims) => {
                Err(Error::corruption(format!(
                    "Invalid size in bundle entry: stored size {}; too small for {} strings",
                    extent.size,
                    dims.iter().product::<u64>()
                )))
            }
            None if dtype.size().is_some() => {
                Err(Error::corruption("Invalid tensor shape: it has too many bytes"))
            }
            _ => Ok((dtype, Content::Data(extent))),
        }
    }
}

/// Fewest bytes that hold the elements of a `string` or `variant` tensor, each of which has a length
/// of a byte at least. (Old writers left nothing for no elements.)
fn least_size(dtype: DataType, dims: &[u64]) -> u64 {
    let count = dims.iter().product::<u64>();
    match (dtype, count) {
        (_, 0) => 0,
        // The checksum of all lengths; of a variant there is one for each element.
        (DataType::String, count) => count.saturating_add(4),
        (_, count) => count.saturating_mul(5),
    }
}

/// `TensorShapeProto`: dimensions (2), each with a size (1) and a name, and whether the rank is
/// unknown (3).
fn decode_shape(mut message: &[u8], dims: &mut Vec<u64>) -> Result<()> {
    while let Some((number, field)) = wire::next_field(&mut message)? {
        match (number, field) {
            (2, Field::Bytes(dim)) => dims.push(decode_dim(dim)?),
            (3, Field::Varint(1..)) => {
                return Err(Error::corruption("Invalid tensor shape: unknown rank"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn decode_dim(mut message: &[u8]) -> Result<u64> {
    let mut size = 0;
    while let Some((number, field)) = wire::next_field(&mut message)? {
        if let (1, Field::Varint(value)) = (number, field) {
            size = value;
        }
    }
    i64::try_from(size)
        .map(|_| size)
        .map_err(|_| Error::corruption("Invalid tensor shape: negative dimension"))
}

fn decode_slice(message: &[u8]) -> Result<TensorSlice> {
    let proto = TensorSliceProto::decode(message)
        .map_err(|error| Error::corruption(format!("cannot parse a slice: {error}")))?;
    TensorSlice::try_from(&proto)
}

/// The number in an `int32` field. Negative ones are stored as 64 bits.
fn int32(value: u64) -> Result<i32> {
    i32::try_from(value.cast_signed())
        .map_err(|_| Error::corruption(format!("entry has a 32-bit number {value}")))
}

fn non_negative<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| Error::corruption(format!("entry has {what} {value}")))
}
