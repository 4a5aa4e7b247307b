//! One interface over both formats: a list of tensors in the order of their names.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bundle::assembly::Assembly;
use crate::bundle::{Backend, Content, CopyPolicy, Dense, OpenOptions, ReadOptions, Reader, Value};
use crate::bundle::{Extent, partition};
use crate::counters;
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::io::{Buffer, File, Mapping, Memory};
use crate::parallel::Workers;
use crate::shape::Shape;
use crate::slice::{Region, TensorSlice};
use crate::v1::{V1Reader, V1Tensor, Values};

/// An open checkpoint of either format.
#[derive(Debug)]
pub enum Checkpoint {
    /// `PREFIX.index` and its data files.
    V2(Reader),
    /// One file, or the files of a sharded save.
    V1(V1Reader<Memory>),
}

/// What the index says of one tensor.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Element type.
    pub dtype: DataType,
    /// Shape of the whole tensor.
    pub shape: Shape,
    /// Its bytes, where they are in one piece.
    pub extent: Option<Extent>,
    /// Its parts, where it is partitioned.
    pub slices: Vec<&'a TensorSlice>,
}

impl Checkpoint {
    /// Opens the bundle at `prefix`.
    pub fn open_bundle(prefix: &Path, options: OpenOptions) -> Result<Self> {
        Ok(Self::V2(Reader::open(prefix, options)?))
    }

    /// Opens V1 files that belong together.
    ///
    /// Their elements are encoded, so values are never pages of the file.
    pub fn open_v1(paths: &[PathBuf], options: OpenOptions) -> Result<Self> {
        let open = |path: &PathBuf| -> Result<(PathBuf, Memory)> {
            let file = File::open(path)?;
            let read = match options.backend {
                Backend::Auto => file.on_network(),
                Backend::Mmap => false,
                Backend::Pread => true,
            };
            let memory = if read {
                Memory::Owned(Buffer::copy_of(&file.read_all()?)?)
            } else {
                Memory::Mapped(Mapping::new(&file, options.protection)?)
            };
            Ok((path.clone(), memory))
        };
        Ok(Self::V1(V1Reader::open(paths.iter().map(open).collect::<Result<_>>()?)?))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        match self {
            Self::V2(reader) => reader.named().len(),
            Self::V1(reader) => reader.tensors().len(),
        }
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the tensor called `name`.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        match self {
            Self::V2(reader) => reader.find(name)?.checked_sub(reader.named().start),
            Self::V1(reader) => {
                reader.tensors().binary_search_by(|tensor| tensor.name.as_slice().cmp(name)).ok()
            }
        }
    }

    /// The name of tensor `number`.
    pub fn name(&self, number: usize) -> Option<&[u8]> {
        match self {
            Self::V2(reader) => reader.entries().key(reader.named().start.checked_add(number)?),
            Self::V1(reader) => Some(&reader.tensors().get(number)?.name),
        }
    }

    /// Name, type, shape and place of tensor `number`.
    pub fn summary(&self, number: usize) -> Result<Summary<'_>> {
        match self {
            Self::V2(reader) => {
                let entry = reader.entry(reader.named().start.saturating_add(number))?;
                let (extent, slices) = match &entry.content {
                    Content::Data(extent) => (Some(*extent), Vec::new()),
                    Content::Slices(slices) => (None, slices.iter().collect()),
                };
                let (dtype, shape) = (entry.dtype, entry.shape);
                Ok(Summary { name: entry.key, dtype, shape, extent, slices })
            }
            Self::V1(reader) => {
                let tensor = v1_tensor(reader, number)?;
                let slices = tensor.slices.iter().map(|(slice, _)| slice);
                Ok(Summary {
                    name: &tensor.name,
                    dtype: tensor.dtype,
                    shape: tensor.shape.clone(),
                    extent: None,
                    slices: slices.filter(|slice| !slice.covers(&tensor.shape)).collect(),
                })
            }
        }
    }

    /// About how many bytes a `read` would copy or check; it would use others where they are.
    pub fn bytes_to_move(&self, numbers: &[usize], options: &ReadOptions) -> u64 {
        let sizes = numbers.iter().map(|&number| match self {
            Self::V2(reader) => {
                reader.bytes_to_move(reader.named().start.saturating_add(number), options)
            }
            // A string, whose size is not known before, has a byte at least: its length.
            Self::V1(reader) => v1_tensor(reader, number).map_or(0, |tensor| {
                let size = tensor.shape.byte_size(tensor.dtype);
                size.unwrap_or_else(|| tensor.shape.num_elements())
            }),
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// The tensors `numbers`, in that order.
    pub fn read(
        &self,
        numbers: &[usize],
        options: &ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Vec<Value>> {
        match self {
            Self::V2(reader) => reader.read(&positions(reader, numbers), options, workers),
            Self::V1(reader) => {
                let slots: Vec<Mutex<Option<Value>>> =
                    numbers.iter().map(|_| Mutex::default()).collect();
                workers.run(numbers.len(), |index| {
                    if let (Some(&number), Some(slot)) = (numbers.get(index), slots.get(index)) {
                        let whole = Region::whole(&v1_tensor(reader, number)?.shape);
                        let value = read_v1(reader, number, &whole, options, workers)?;
                        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                    }
                    Ok(())
                })?;
                let taken = slots
                    .into_iter()
                    .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
                let values: Option<Vec<Value>> = taken.collect();
                let values = values.ok_or_else(|| Error::invalid("a value went missing"))?;
                values.iter().for_each(Value::count);
                Ok(values)
            }
        }
    }

    /// The box `region` of tensor `number`.
    pub fn read_region(
        &self,
        number: usize,
        region: &Region,
        options: &ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Value> {
        match self {
            Self::V2(reader) => {
                let position = reader.named().start.saturating_add(number);
                reader.read_region(position, region, options, workers)
            }
            Self::V1(reader) => {
                let value = read_v1(reader, number, region, options, workers)?;
                value.count();
                Ok(value)
            }
        }
    }

    /// Checks every byte of the tensors `numbers`, going on after failures.
    pub fn verify(&self, numbers: &[usize], workers: &Workers<'_>) -> Result<Vec<(usize, Error)>> {
        match self {
            Self::V2(reader) => {
                let first = reader.named().start;
                let failures = reader.verify(&positions(reader, numbers), workers)?;
                Ok(failures.into_iter().map(|(at, error)| (at - first, error)).collect())
            }
            Self::V1(reader) => {
                // Every block read is compared with its checksum.
                let failures = Mutex::new(Vec::new());
                workers.run(numbers.len(), |index| {
                    let Some(&number) = numbers.get(index) else { return Ok(()) };
                    let read = v1_tensor(reader, number).and_then(|tensor| {
                        let whole = Region::whole(&tensor.shape);
                        read_v1(reader, number, &whole, &ReadOptions::default(), workers)
                    });
                    if let Err(error) = read {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push((number, error));
                    }
                    Ok(())
                })?;
                let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
                failures.sort_by_key(|(number, _)| *number);
                Ok(failures)
            }
        }
    }
}

fn positions(reader: &Reader, numbers: &[usize]) -> Vec<usize> {
    let first = reader.named().start;
    numbers.iter().map(|&number| first.saturating_add(number)).collect()
}

fn v1_tensor(reader: &V1Reader<Memory>, number: usize) -> Result<&V1Tensor> {
    reader
        .tensors()
        .get(number)
        .ok_or_else(|| Error::invalid(format!("there is no tensor number {number}")))
}

fn read_v1(
    reader: &V1Reader<Memory>,
    number: usize,
    target: &Region,
    options: &ReadOptions,
    workers: &Workers<'_>,
) -> Result<Value> {
    let tensor = v1_tensor(reader, number)?;
    if options.copy == CopyPolicy::Never {
        return Err(Error::invalid(
            "copy=False, but a V1 file holds encoded elements that must be decoded; \
             leave copy at None",
        ));
    }
    if !target.is_inside(&tensor.shape) {
        return Err(
            Error::invalid("the slice reaches outside of the tensor").with_key(&tensor.name)
        );
    }
    let regions = tensor.slices.iter().map(|(slice, _)| slice.resolve(&tensor.shape));
    let regions = regions.collect::<Result<Vec<_>>>()?;
    partition::check_cover(target, &regions).map_err(|error| error.with_key(&tensor.name))?;
    let is_needed = |region: &Region| {
        partition::overlap(target, region).is_some() || target.shape.num_elements() == 0
    };
    let needed = || regions.iter().enumerate().filter(|(_, region)| is_needed(region));
    if needed().nth(1).is_some() {
        // Every part may be there before memory for the whole is taken.
        needed().try_for_each(|(index, _)| reader.check_slice(tensor, index))?;
    }
    let mut assembly = None;
    for (index, region) in needed() {
        let part = match reader.read_slice(tensor, index)? {
            Values::Bytes(bytes) => {
                counters::BYTES_VERIFIED.add(bytes.len() as u64);
                let memory = Arc::new(Memory::Owned(Buffer::copy_of(&bytes)?));
                Value::Dense(Dense { memory, offset: 0, length: bytes.len() })
            }
            Values::Strings(elements) => {
                let bytes: usize = elements.iter().map(Vec::len).sum();
                counters::BYTES_VERIFIED.add(bytes as u64);
                Value::Elements(elements)
            }
        };
        if region == target {
            return Ok(part);
        }
        let assembly = match &mut assembly {
            Some(assembly) => assembly,
            empty @ None => empty.insert(Assembly::new(target, tensor.dtype)?),
        };
        assembly.add(region, part, workers)?;
    }
    let assembly = match assembly {
        Some(assembly) => assembly,
        None => Assembly::new(target, tensor.dtype)?,
    };
    assembly.finish()
}
