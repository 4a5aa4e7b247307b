//! `_native.Reader`: an open checkpoint.

use std::collections::hash_map::{Entry, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use ckptfast::bundle::{Backend, CopyPolicy, OpenOptions, ReadOptions, Value};
use ckptfast::checkpoint::Checkpoint;
use ckptfast::error::Result;
use ckptfast::io::Protection;
use ckptfast::parallel::Workers;
use ckptfast::shape::Shape;
use ckptfast::slice;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::arguments::{to_name, to_path, to_text};
use crate::detached::detached;
use crate::dlpack;
use crate::errors::to_python;
use crate::region::Region;

/// A V2 bundle, or the files of a V1 checkpoint.
#[pyclass(frozen, module = "ckptfast._native")]
pub(crate) struct Reader {
    /// `None` after `close`.
    checkpoint: RwLock<Option<Arc<Checkpoint>>>,
    #[pyo3(get)]
    format: &'static str,
    #[pyo3(get)]
    prefix: OsString,
    #[pyo3(get)]
    num_shards: u32,
    /// `None` for as many as the process is granted.
    threads: Option<usize>,
}

#[pymethods]
impl Reader {
    #[new]
    #[pyo3(signature = (prefix, files, *, backend, private, threads))]
    fn new(
        py: Python<'_>,
        prefix: OsString,
        files: Vec<OsString>,
        backend: &str,
        private: bool,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let path = to_path(prefix.clone())?;
        let files: Vec<PathBuf> = files.into_iter().map(to_path).collect::<PyResult<_>>()?;
        let backend = match backend {
            "auto" => Backend::Auto,
            "mmap" => Backend::Mmap,
            "pread" => Backend::Pread,
            other => {
                return Err(PyValueError::new_err(format!(
                    "backend is \"auto\", \"mmap\" or \"pread\", not {other:?}"
                )));
            }
        };
        let protection = if private { Protection::Private } else { Protection::ReadOnly };
        let options = OpenOptions { backend, protection };
        let checkpoint = detached(py, threads, 0, |_| match files.as_slice() {
            [] => Checkpoint::open_bundle(&path, options),
            files => Checkpoint::open_v1(files, options),
        })?;
        let (format, num_shards) = match &checkpoint {
            Checkpoint::V2(reader) => ("V2", reader.header().num_shards),
            Checkpoint::V1(_) => ("V1", u32::try_from(files.len()).unwrap_or(u32::MAX)),
        };
        let checkpoint = RwLock::new(Some(Arc::new(checkpoint)));
        Ok(Self { checkpoint, format, prefix, num_shards, threads })
    }

    /// The names of all tensors, ordered by their bytes.
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let checkpoint = self.open()?;
        let names: Vec<Bound<'py, PyString>> = (0..checkpoint.len())
            .filter_map(|number| checkpoint.name(number))
            .map(|name| to_text(py, name))
            .collect::<PyResult<_>>()?;
        PyList::new(py, names)
    }

    /// The number of the tensor called `name`, -1 where there is none.
    fn find(&self, name: &Bound<'_, PyString>) -> PyResult<isize> {
        Ok(number_of(self.open()?.as_ref(), name))
    }

    /// As `find`, of many names.
    fn find_all(&self, names: Vec<Bound<'_, PyString>>) -> PyResult<Vec<isize>> {
        let checkpoint = self.open()?;
        Ok(names.iter().map(|name| number_of(&checkpoint, name)).collect())
    }

    /// `(DataType number, shape)` of every tensor.
    fn signatures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let checkpoint = self.open()?;
        let signatures: Vec<(i32, Bound<'py, PyTuple>)> = (0..checkpoint.len())
            .map(|number| {
                let summary = summary(py, &checkpoint, number)?;
                Ok((summary.dtype.number(), PyTuple::new(py, summary.shape.dims())?))
            })
            .collect::<PyResult<_>>()?;
        PyList::new(py, signatures)
    }

    /// `(shard, offset, nbytes, stored crc32c, slices)` of tensor `index`.
    #[expect(clippy::type_complexity, reason = "a plain tuple; Python gives the fields names")]
    fn entry(
        &self,
        py: Python<'_>,
        index: usize,
    ) -> PyResult<(Option<u32>, Option<u64>, Option<u64>, Option<u32>, Vec<String>)> {
        let checkpoint = self.open()?;
        let summary = summary(py, &checkpoint, index)?;
        let nbytes = match summary.extent {
            Some(extent) => Some(extent.size),
            None => summary.shape.byte_size(summary.dtype),
        };
        let slices = summary.slices.iter().map(ToString::to_string).collect();
        let place = summary.extent;
        Ok((
            place.map(|extent| extent.shard),
            place.map(|extent| extent.offset),
            nbytes,
            place.map(|extent| extent.masked_crc32c),
            slices,
        ))
    }

    /// Every key of the table of a V2 bundle, the header's and those of slices too.
    fn raw_keys<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        match self.open()?.as_ref() {
            Checkpoint::V2(reader) => {
                let keys = reader.entries().iter().map(|entry| entry.key);
                Ok(std::iter::once([].as_slice())
                    .chain(keys)
                    .map(|key| PyBytes::new(py, key))
                    .collect())
            }
            Checkpoint::V1(_) => Ok(Vec::new()),
        }
    }

    /// `(DataType number, shape)` of the entry under a raw key of a V2 bundle.
    fn raw_signature<'py>(
        &self,
        py: Python<'py>,
        key: &[u8],
    ) -> PyResult<Option<(i32, Bound<'py, PyTuple>)>> {
        let checkpoint = self.open()?;
        let Checkpoint::V2(reader) = checkpoint.as_ref() else { return Ok(None) };
        let Some(entry) = reader.find(key).and_then(|at| reader.entry(at).ok()) else {
            return Ok(None);
        };
        Ok(Some((entry.dtype.number(), PyTuple::new(py, entry.shape.dims())?)))
    }

    /// The tensors `indices`: `(region, byte offset)` each, or a list of `bytes` for strings.
    #[pyo3(signature = (indices, *, verify, copy, writable=false, align=1))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        indices: Vec<usize>,
        verify: bool,
        copy: Option<bool>,
        writable: bool,
        align: usize,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let checkpoint = self.open()?;
        let options = ReadOptions { verify, copy: policy(copy), writable, align };
        let bytes = bytes_to_move(py, &checkpoint, &indices, &options)?;
        let values = detached(py, self.threads, bytes, |workers| {
            checkpoint.read(&indices, &options, workers)
        })?;
        hand_out(py, values, writable)
    }

    /// As `read`, but every tensor that is not empty and of one of the types `elements` is a
    /// `DLPack` capsule; these are code and bits of a type there, by its number here.
    #[pyo3(signature = (indices, *, verify, copy, align, elements))]
    fn capsules<'py>(
        &self,
        py: Python<'py>,
        indices: Vec<usize>,
        verify: bool,
        copy: Option<bool>,
        align: usize,
        elements: HashMap<i32, (u8, u8)>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let checkpoint = self.open()?;
        let options = ReadOptions { verify, copy: policy(copy), writable: false, align };
        let bytes = bytes_to_move(py, &checkpoint, &indices, &options)?;
        let values = detached(py, self.threads, bytes, |workers| {
            checkpoint.read(&indices, &options, workers)
        })?;
        let mut regions = Regions { writable: false, known: HashMap::new() };
        let mut shape = Vec::new();
        let mut wrapped = Vec::with_capacity(values.len());
        for (index, value) in indices.into_iter().zip(values) {
            let summary = summary(py, &checkpoint, index)?;
            let element = elements.get(&summary.dtype.number());
            wrapped.push(match (value, element) {
                (Value::Dense(dense), Some(&element)) if !summary.shape.dims().contains(&0) => {
                    shape.clear();
                    shape.extend(summary.shape.dims().iter().map(|dim| dim.cast_signed()));
                    dlpack::capsule(py, &dense.memory, dense.offset, &shape, element)?.into_any()
                }
                (value, _) => regions.hand_out(py, value)?,
            });
        }
        Ok(wrapped)
    }

    /// A box of tensor `index`, as `read` gives it.
    #[pyo3(signature = (index, start, length, *, verify, copy, writable=false, align=1))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python method")]
    fn read_box<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        start: Vec<u64>,
        length: Vec<u64>,
        verify: bool,
        copy: Option<bool>,
        writable: bool,
        align: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let checkpoint = self.open()?;
        let shape = Shape::new(length).map_err(|error| to_python(py, &error))?;
        let region = slice::Region { start, shape };
        let options = ReadOptions { verify, copy: policy(copy), writable, align };
        let bytes = bytes_to_move(py, &checkpoint, &[index], &EVERY_BYTE)?;
        let value = detached(py, self.threads, bytes, |workers| {
            checkpoint.read_region(index, &region, &options, workers)
        })?;
        let mut values = hand_out(py, vec![value], writable)?;
        values.pop().ok_or_else(|| PyValueError::new_err("a value went missing"))
    }

    /// Checks every byte of the tensors `indices`; the failed ones with their exception.
    fn verify(&self, py: Python<'_>, indices: Vec<usize>) -> PyResult<Vec<(usize, PyErr)>> {
        let checkpoint = self.open()?;
        let bytes = bytes_to_move(py, &checkpoint, &indices, &EVERY_BYTE)?;
        let check = |workers: &Workers<'_>| -> Result<_> { checkpoint.verify(&indices, workers) };
        let failures = detached(py, self.threads, bytes, check)?;
        Ok(failures.iter().map(|(index, error)| (*index, to_python(py, error))).collect())
    }

    /// Lets go of the files. Values handed out keep what they need.
    fn close(&self) {
        self.checkpoint.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Reader {
    fn open(&self) -> PyResult<Arc<Checkpoint>> {
        let checkpoint = self.checkpoint.read().unwrap_or_else(PoisonError::into_inner);
        checkpoint.clone().ok_or_else(|| PyValueError::new_err("the reader is closed"))
    }
}

/// The number of the tensor called `name`, -1 where there is none.
fn number_of(checkpoint: &Checkpoint, name: &Bound<'_, PyString>) -> isize {
    // Text that stands for no bytes is the name of nothing.
    let found = match name.to_str() {
        Ok(name) => checkpoint.find(name.as_bytes()),
        Err(_) => to_name(name).ok().and_then(|name| checkpoint.find(&name)),
    };
    found.and_then(|number| isize::try_from(number).ok()).unwrap_or(-1)
}

fn policy(copy: Option<bool>) -> CopyPolicy {
    match copy {
        None => CopyPolicy::IfNeeded,
        Some(true) => CopyPolicy::Always,
        Some(false) => CopyPolicy::Never,
    }
}

fn summary<'a>(
    py: Python<'_>,
    checkpoint: &'a Checkpoint,
    number: usize,
) -> PyResult<ckptfast::checkpoint::Summary<'a>> {
    checkpoint.summary(number).map_err(|error| to_python(py, &error))
}

/// Of a box any share may have to be moved, and to verify is to look at everything.
const EVERY_BYTE: ReadOptions =
    ReadOptions { verify: true, copy: CopyPolicy::Always, writable: false, align: 1 };

fn bytes_to_move(
    py: Python<'_>,
    checkpoint: &Checkpoint,
    indices: &[usize],
    options: &ReadOptions,
) -> PyResult<u64> {
    detached(py, Some(1), 0, |_| Ok(checkpoint.bytes_to_move(indices, options)))
}

/// Values of one mapping or buffer share one `Region` object.
struct Regions<'py> {
    writable: bool,
    known: HashMap<usize, Bound<'py, Region>>,
}

impl<'py> Regions<'py> {
    fn hand_out(&mut self, py: Python<'py>, value: Value) -> PyResult<Bound<'py, PyAny>> {
        let dense = match value {
            Value::Dense(dense) => dense,
            Value::Elements(elements) => {
                let elements = elements.iter().map(|element| PyBytes::new(py, element));
                return Ok(PyList::new(py, elements)?.into_any());
            }
        };
        let region = match self.known.entry(Arc::as_ptr(&dense.memory) as usize) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Bound::new(py, Region::new(dense.memory, self.writable))?)
            }
        };
        Ok((&*region, dense.offset).into_pyobject(py)?.into_any())
    }
}

fn hand_out(py: Python<'_>, values: Vec<Value>, writable: bool) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let mut regions = Regions { writable, known: HashMap::new() };
    values.into_iter().map(|value| regions.hand_out(py, value)).collect()
}
