//! An open V1 checkpoint.

use std::path::PathBuf;

use prost::Message;

use super::meta::{self, Tensors, V1Tensor};
use super::records::{Pages, Records};
use super::values::{self, Values};
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::ordered_code::encode_slice_key;
use crate::proto::TensorSliceProto;
use crate::proto::wire::{self, Field};
use crate::slice::TensorSlice;
use crate::table::Table;

/// A V1 checkpoint of one or several files, whose bytes are `B`: mappings, as a rule. Values are
/// read, and verified, as they are asked for.
#[derive(Debug)]
pub struct V1Reader<B> {
    files: Vec<ShardFile<B>>,
    tensors: Vec<V1Tensor>,
}

#[derive(Debug)]
struct ShardFile<B> {
    path: PathBuf,
    bytes: B,
    records: Records,
}

impl<B: Pages> V1Reader<B> {
    /// Reads the metadata of all files.
    ///
    /// # Errors
    /// `Corruption` when a file is no V1 checkpoint, when its metadata is bad, or when the metadata
    /// of two files contradict each other; `Unsupported` when a file asks for a newer reader.
    pub fn open(files: Vec<(PathBuf, B)>) -> Result<Self> {
        let mut tensors = Tensors::default();
        let mut shards = Vec::with_capacity(files.len());
        for (number, (path, bytes)) in files.into_iter().enumerate() {
            let records = open_file(bytes.as_ref(), number, &mut tensors)
                .map_err(|error| error.at_path(&path))?;
            shards.push(ShardFile { path, bytes, records });
        }
        Ok(Self { files: shards, tensors: tensors.finish() })
    }

    /// The tensors, in the order of their names.
    pub fn tensors(&self) -> &[V1Tensor] {
        &self.tensors
    }

    /// The elements of one slice of `tensor`, which is one of [`V1Reader::tensors`].
    ///
    /// # Errors
    /// `Corruption` when the slice has no record, or the record is not as the metadata says;
    /// `Unsupported` for an element type that V1 files do not have.
    pub fn read_slice(&self, tensor: &V1Tensor, slice: usize) -> Result<Values> {
        self.with_record(tensor, slice, values::decode)
    }

    /// Checks that a slice has a record long enough for its elements: less than reading it, and
    /// done before memory is taken for a tensor of many slices.
    ///
    /// # Errors
    /// As [`V1Reader::read_slice`].
    pub fn check_slice(&self, tensor: &V1Tensor, slice: usize) -> Result<()> {
        self.with_record(tensor, slice, values::check_room)
    }

    /// Hands element type, number of elements and `TensorProto` of one slice to `work`.
    fn with_record<T>(
        &self,
        tensor: &V1Tensor,
        slice: usize,
        work: impl FnOnce(DataType, u64, &[u8]) -> Result<T>,
    ) -> Result<T> {
        let file = tensor
            .slices
            .get(slice)
            .and_then(|(slice, number)| Some((slice, self.files.get(*number)?)));
        let (slice, file) = file.ok_or_else(|| {
            Error::invalid(format!("there is no slice number {slice}")).with_key(&tensor.name)
        })?;
        find_record(file, tensor, slice)
            .and_then(|(count, values)| work(tensor.dtype, count, values))
            .map_err(|error| error.with_key(&tensor.name).at_path(&file.path))
    }
}

fn open_file(bytes: &[u8], number: usize, tensors: &mut Tensors) -> Result<Records> {
    let table = Table::parse(bytes)?;
    let record = table.get(bytes, b"")?.ok_or_else(meta::no_meta)?;
    tensors.add_file(&record, number)?;
    Ok(Records::new(table))
}

/// Number of elements and `TensorProto` of one slice.
fn find_record<'a, B: Pages>(
    file: &'a ShardFile<B>,
    tensor: &V1Tensor,
    slice: &TensorSlice,
) -> Result<(u64, &'a [u8])> {
    let key = encode_slice_key(&tensor.name, slice);
    let record = file
        .records
        .get(&file.bytes, &key)?
        .ok_or_else(|| Error::corruption(format!("the file has no record of slice '{slice}'")))?;
    let (name, stored_slice, values) = split_record(record)?;
    if name != tensor.name || stored_slice != *slice {
        return Err(Error::corruption(format!(
            "the record of slice '{slice}' is that of slice '{stored_slice}' of tensor {}",
            name.escape_ascii()
        )));
    }
    let count = slice.resolve(&tensor.shape)?.shape.num_elements();
    Ok((count, values))
}

/// Name, slice and `TensorProto` of a record.
fn split_record(record: &[u8]) -> Result<(&[u8], TensorSlice, &[u8])> {
    let [_, data, _] = message_fields(record)?;
    let [name, slice, values] = message_fields(data)?;
    let slice = TensorSliceProto::decode(slice)
        .map_err(|error| Error::corruption(format!("cannot parse the slice: {error}")))?;
    Ok((name, TensorSlice::try_from(&slice)?, values))
}

/// The fields 1, 2 and 3 of a message, all of them strings or messages; empty where absent.
fn message_fields(mut message: &[u8]) -> Result<[&[u8]; 3]> {
    let mut fields: [&[u8]; 3] = [&[]; 3];
    while let Some((number, field)) = wire::next_field(&mut message)? {
        let place = usize::try_from(number).ok().and_then(|n| fields.get_mut(n.checked_sub(1)?));
        if let (Some(place), Field::Bytes(bytes)) = (place, field) {
            *place = bytes;
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::table::TableBuilder;

    fn message(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn record(name: &[u8], slice: &[u8], values: &[u8]) -> Vec<u8> {
        message(2, &[message(1, name), message(2, slice), message(3, values)].concat())
    }

    /// Metadata of the int32 tensor `w` of shape [4], in two slices.
    fn metadata() -> Vec<u8> {
        let tensor = b"\x0a\x01w\x12\x04\x12\x02\x08\x04\x18\x03\
            \x22\x04\x0a\x02\x10\x01\x22\x06\x0a\x04\x08\x01\x10\x03";
        message(1, &message(1, tensor))
    }

    const FIRST: &[u8] = b"\0w\0\x01\x01\x01\x80\x81";
    const SECOND: &[u8] = b"\0w\0\x01\x01\x01\x81\x83";

    fn file(records: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
        let mut builder = TableBuilder::new();
        for (key, value) in records {
            builder.add(key, value).unwrap();
        }
        builder.finish()
    }

    fn good_file() -> Vec<u8> {
        file(&[
            (b"", metadata()),
            (FIRST, record(b"w", b"\x0a\x02\x10\x01", b"\x3a\x01\x07")),
            (SECOND, record(b"w", b"\x0a\x04\x08\x01\x10\x03", b"\x3a\x03\x08\x09\x0a")),
        ])
    }

    fn open(file: &[u8]) -> Result<V1Reader<&[u8]>> {
        V1Reader::open(vec![(PathBuf::from("w.ckpt"), file)])
    }

    fn read_all(file: &[u8]) -> Result<Vec<Values>> {
        let reader = open(file)?;
        let mut values = Vec::new();
        for tensor in reader.tensors() {
            for slice in 0..tensor.slices.len() {
                values.push(reader.read_slice(tensor, slice)?);
            }
        }
        Ok(values)
    }

    #[test]
    fn every_slice_is_read() {
        let expected = [vec![7, 0, 0, 0], vec![8, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0]];
        assert_eq!(read_all(&good_file()).unwrap(), expected.map(Values::Bytes));
    }

    #[test]
    fn a_record_that_is_missing_or_of_something_else_is_refused() {
        let right: (&[u8], Vec<u8>) =
            (SECOND, record(b"w", b"\x0a\x04\x08\x01\x10\x03", b"\x3a\x03\x08\x09\x0a"));
        let short = record(b"w", b"\x0a\x02\x10\x01", b"");
        let other_name = record(b"v", b"\x0a\x02\x10\x01", b"\x3a\x01\x07");
        let other_slice = record(b"w", b"\x0a\x02\x10\x02", b"\x3a\x01\x07");
        for first in [short, other_name, other_slice, b"\x12\x09".to_vec(), Vec::new()] {
            let file = file(&[(b"", metadata()), (FIRST, first), right.clone()]);
            let error = read_all(&file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption);
            assert_eq!(error.key(), Some(b"w".as_slice()));
            assert_eq!(error.path().unwrap().to_str(), Some("w.ckpt"));
        }
        let error = read_all(&file(&[(b"", metadata()), right])).unwrap_err();
        assert_eq!(error.message(), "the file has no record of slice '0,1'");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error_or_changes_nothing() {
        let file = good_file();
        let expected = read_all(&file).unwrap();
        for bit in 0..8 * file.len() {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(values) = read_all(&flipped) {
                assert_eq!(values, expected, "bit {bit}");
            }
        }
        for cut in 0..file.len() {
            assert!(read_all(&file[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_table_without_metadata_is_refused() {
        for records in [&[][..], &[(FIRST, Vec::new())]] {
            let error = open(&file(records)).unwrap_err();
            assert!(error.message().starts_with("Failed to find the saved tensor slices"));
        }
    }
}
