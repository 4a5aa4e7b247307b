//! The metadata of one or several V1 files, merged.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};

use prost::Message;

use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::proto::wire::{self, Field};
use crate::proto::{BundleHeaderProto, SavedSliceMeta, VersionDef};
use crate::shape::Shape;
use crate::slice::TensorSlice;

/// The newest version of the format this code reads (`TF_CHECKPOINT_VERSION`).
const VERSION: i32 = 1;

/// What the metadata says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V1Tensor {
    /// Its name.
    pub name: Vec<u8>,
    /// Element type.
    pub dtype: DataType,
    /// Shape of the whole tensor.
    pub shape: Shape,
    /// Its slices, each with the number of the file that holds it. No slice is there twice; but
    /// slices may still overlap if together they leave out as much.
    pub slices: Vec<(TensorSlice, usize)>,
}

/// Collects the tensors of file after file.
#[derive(Debug, Default)]
pub(super) struct Tensors(BTreeMap<Vec<u8>, Pending>);

#[derive(Debug)]
struct Pending {
    dtype: DataType,
    shape: Shape,
    slices: Vec<(TensorSlice, usize)>,
    seen: HashSet<TensorSlice>,
    elements: u64,
}

impl Tensors {
    /// Adds the tensors of file number `file`, whose first record is `record`.
    ///
    /// # Errors
    /// `Corruption` when the record is no metadata, or contradicts itself or an earlier file;
    /// `Unsupported` when it asks for a newer reader or has an unknown element type.
    pub(super) fn add_file(&mut self, record: &[u8], file: usize) -> Result<()> {
        let mut meta = find_meta(record)?;
        while let Some((number, field)) = wire::next_field(&mut meta)? {
            match (number, field) {
                (1, Field::Bytes(tensor)) => {
                    let tensor =
                        SavedSliceMeta::decode(tensor).map_err(|error| malformed(&error))?;
                    self.add(&tensor, file).map_err(|error| error.with_key(&tensor.name))?;
                }
                (2, Field::Bytes(versions)) => {
                    check_version(
                        &VersionDef::decode(versions).map_err(|error| malformed(&error))?,
                    )?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, meta: &SavedSliceMeta, file: usize) -> Result<()> {
        let dtype = DataType::from_number(meta.dtype)?;
        let shape = meta.shape.as_ref().map_or_else(|| Ok(Shape::default()), Shape::try_from)?;
        if meta.slice.is_empty() {
            return Err(Error::corruption("the metadata names a tensor without slices"));
        }
        let pending = match self.0.entry(meta.name.clone()) {
            Entry::Vacant(vacant) => vacant.insert(Pending {
                dtype,
                shape,
                slices: Vec::new(),
                seen: HashSet::new(),
                elements: 0,
            }),
            Entry::Occupied(occupied) => {
                let earlier = occupied.into_mut();
                if (earlier.dtype, &earlier.shape) != (dtype, &shape) {
                    return Err(Error::corruption(format!(
                        "the metadata has the tensor as {}{} and as {}{shape}",
                        earlier.dtype.name(),
                        earlier.shape,
                        dtype.name(),
                    )));
                }
                earlier
            }
        };
        meta.slice.iter().try_for_each(|slice| pending.add(TensorSlice::try_from(slice)?, file))
    }

    /// The tensors, in the order of their names.
    pub(super) fn finish(self) -> Vec<V1Tensor> {
        let tensors = self.0.into_iter();
        tensors
            .map(|(name, Pending { dtype, shape, slices, .. })| V1Tensor {
                name,
                dtype,
                shape,
                slices,
            })
            .collect()
    }
}

impl Pending {
    /// Adds a slice, unless it is bound to overlap another one.
    ///
    /// Slices that overlap without reaching the element count of the tensor leave a gap, which is
    /// found when the tensor is put together.
    fn add(&mut self, slice: TensorSlice, file: usize) -> Result<()> {
        let region =
            slice.resolve(&self.shape).map_err(|error| Error::corruption(error.to_string()))?;
        let elements = self.elements.saturating_add(region.shape.num_elements());
        if elements > self.shape.num_elements() || !self.seen.insert(slice.clone()) {
            return Err(Error::corruption(format!("Overlapping slices: new slice = {slice}")));
        }
        self.elements = elements;
        self.slices.push((slice, file));
        Ok(())
    }
}

/// The metadata in the first record of a file.
fn find_meta(record: &[u8]) -> Result<&[u8]> {
    let mut rest = record;
    while let Ok(Some((number, field))) = wire::next_field(&mut rest) {
        if let (1, Field::Bytes(meta)) = (number, field) {
            return Ok(meta);
        }
    }
    // The first record of a V2 index is of the same kind of table, under the same key.
    match BundleHeaderProto::decode(record) {
        Ok(header) if header.num_shards > 0 => Err(Error::corruption(
            "this is the index of a V2 checkpoint, not a V1 file; open it by its prefix, which is \
             its name without '.index'",
        )),
        _ => Err(no_meta()),
    }
}

/// The error for a file that does not begin with metadata.
pub(super) fn no_meta() -> Error {
    Error::corruption(
        "Failed to find the saved tensor slices at the beginning of the checkpoint file",
    )
}

fn malformed(error: &prost::DecodeError) -> Error {
    Error::corruption(format!("cannot parse the metadata: {error}"))
}

fn check_version(version: &VersionDef) -> Result<()> {
    if version.min_consumer > VERSION || version.bad_consumers.contains(&VERSION) {
        return Err(Error::unsupported(format!(
            "written for readers of V1 format version {} and up, this is version {VERSION}; \
             upgrade ckptfast",
            version.min_consumer
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::proto::{Dim, TensorShapeProto, TensorSliceProto};

    fn message(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn tensor(name: &str, dtype: DataType, dims: &[i64], slices: &[&str]) -> Vec<u8> {
        let slice = |text: &&str| TensorSliceProto::from(&TensorSlice::parse(text).unwrap());
        let meta = SavedSliceMeta {
            name: name.into(),
            shape: Some(TensorShapeProto {
                dim: dims.iter().map(|&size| Dim { size }).collect(),
                unknown_rank: false,
            }),
            dtype: dtype.number(),
            slice: slices.iter().map(slice).collect(),
        };
        message(1, &meta.encode_to_vec())
    }

    /// Reads one file per list of tensors.
    fn read(files: &[&[Vec<u8>]]) -> Result<Vec<V1Tensor>> {
        let mut tensors = Tensors::default();
        for (number, file) in files.iter().enumerate() {
            tensors.add_file(&message(1, &file.concat()), number)?;
        }
        Ok(tensors.finish())
    }

    #[test]
    fn the_slices_of_a_tensor_are_gathered_from_all_files() {
        let float = DataType::Float32;
        let first =
            [tensor("w", float, &[4, 2], &["0,1:-", "1,1:-"]), tensor("x", float, &[], &[""])];
        let second = [tensor("w", float, &[4, 2], &["2,2:0,2"]), tensor("a", float, &[0], &["-"])];
        let tensors = read(&[&first, &second]).unwrap();
        let names: Vec<&[u8]> = tensors.iter().map(|tensor| tensor.name.as_slice()).collect();
        assert_eq!(names, [b"a", b"w", b"x"]);
        let slices = tensors[1].slices.iter().map(|(slice, file)| (slice.to_string(), *file));
        let expected = [("0,1:-", 0), ("1,1:-", 0), ("2,2:0,2", 1)];
        assert_eq!(
            slices.collect::<Vec<_>>(),
            expected.map(|(text, file)| (text.to_owned(), file))
        );
    }

    #[test]
    fn metadata_that_contradicts_itself_is_refused() {
        let (float, int) = (DataType::Float32, DataType::Int32);
        for (what, one, other) in [
            ("type", tensor("w", float, &[2], &["0,1"]), tensor("w", int, &[2], &["1,1"])),
            ("shape", tensor("w", float, &[2], &["0,1"]), tensor("w", float, &[3], &["1,1"])),
            ("same slice", tensor("w", float, &[4], &["0,1"]), tensor("w", float, &[4], &["0,1"])),
            ("empty twice", tensor("w", float, &[0], &["-"]), tensor("w", float, &[0], &["-"])),
            ("overlap", tensor("w", float, &[4], &["0,3"]), tensor("w", float, &[4], &["2,2"])),
            (
                "whole and part",
                tensor("w", float, &[4], &["-"]),
                tensor("w", float, &[4], &["2,2"]),
            ),
            ("outside", tensor("w", float, &[4], &["0,3"]), tensor("w", float, &[4], &["3,2"])),
            ("rank", tensor("w", float, &[4], &["0,3"]), tensor("w", float, &[4], &["3,1:-"])),
            ("no slice", tensor("w", float, &[4], &["0,3"]), tensor("w", float, &[4], &[])),
        ] {
            for files in [&[[one.clone(), other.clone()].as_slice()][..], &[&[one], &[other]]] {
                let error = read(files).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corruption, "{what}");
                assert_eq!(error.key(), Some(b"w".as_slice()), "{what}");
            }
        }
    }

    #[test]
    fn a_v2_index_is_named_as_such() {
        let mut tensors = Tensors::default();
        let error = tensors.add_file(b"\x08\x01\x1a\x02\x08\x01", 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
        assert!(error.message().contains("index of a V2 checkpoint"), "{error}");
    }

    #[test]
    fn other_first_records_are_refused() {
        for record in [b"".as_slice(), b"\x0a", b"\x12\x00", b"\x0a\x05\x0a\x09a", b"\xff\xff"] {
            let error = Tensors::default().add_file(record, 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption, "{record:?}");
        }
    }

    #[test]
    fn files_for_newer_readers_are_refused() {
        for versions in [b"\x08\x02\x10\x02".as_slice(), b"\x08\x02\x1a\x01\x01"] {
            let record = message(1, &message(2, versions));
            let error = Tensors::default().add_file(&record, 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}
