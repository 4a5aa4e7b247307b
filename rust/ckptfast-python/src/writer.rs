//! `_native.write` and `_native.merge`.

use std::collections::HashSet;
use std::ffi::OsString;

use ckptfast::bundle::{self, Payload, Strided, TensorSource, WriteOptions};
use ckptfast::dtype::DataType;
use ckptfast::error::Error;
use ckptfast::io::atomic::Durability;
use ckptfast::shape::Shape;
use ckptfast::slice::parse_shape_and_slice;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::arguments::{to_name, to_path};
use crate::buffers::{Buffer, Buffers, Slot};
use crate::detached::detached;
use crate::errors::to_python;

/// What is saved under one name, as Python hands it over:
/// `(name, DataType number, shape or None, "shape slice" or None, data, swap, mask)`. Without a shape
/// it is that of the buffer.
type Tensor<'py> =
    (Bound<'py, PyString>, i32, Option<Vec<u64>>, Option<String>, Bound<'py, PyAny>, usize, u8);

/// The memory behind a payload, held while it is written.
enum Held<'a, 'py> {
    Buffer { buffer: Buffer<'a>, swap: usize, mask: u8 },
    Elements(Vec<Bound<'py, PyBytes>>),
}

/// Writes the bundle at `prefix`; returns the number of data files. `groups` has a number for each
/// tensor: those of one number share data files. `mapped` are the numbers of those tensors whose
/// memory is pages of a file.
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
#[pyfunction]
#[pyo3(signature = (prefix, tensors, *, shards, align, durability, threads, groups=None, mapped=None))]
pub(crate) fn write(
    py: Python<'_>,
    prefix: OsString,
    tensors: Vec<Tensor<'_>>,
    shards: Option<u32>,
    align: u64,
    durability: &str,
    threads: Option<usize>,
    groups: Option<Vec<u32>>,
    mapped: Option<HashSet<usize>>,
) -> PyResult<u32> {
    let prefix = to_path(prefix)?;
    let groups = groups.unwrap_or_default();
    let mapped = mapped.unwrap_or_default();
    let options = WriteOptions { shards, align, durability: level(durability)? };
    let mut buffers = Buffers::new(py, tensors.len());
    let mut held: Vec<Option<Held<'_, '_>>> = tensors.iter().map(|_| None).collect();
    let mut bytes = 0u64;
    let mut sources = Vec::with_capacity(tensors.len());
    // Once over the arrays, which may be thousands and in no cache.
    let room = buffers.slots().zip(&mut held);
    for (number, (tensor, (slot, held))) in tensors.iter().zip(room).enumerate() {
        let mut source = source(py, tensor, held.insert(hold(tensor, slot)?))?;
        if let (true, Payload::Bytes(bytes)) = (mapped.contains(&number), &source.payload) {
            source.payload = Payload::Pages(bytes);
        }
        bytes = bytes.saturating_add(source.shape.byte_size(source.dtype).unwrap_or(0));
        sources.push(source);
    }
    detached(py, threads, bytes, |workers| {
        bundle::write_grouped(&prefix, sources, &groups, &options, workers)
    })
}

/// Makes one bundle of the bundles at `prefixes`, by renaming; returns the number of data files.
#[pyfunction]
#[pyo3(signature = (prefixes, prefix, *, durability, delete_old, allow_missing))]
pub(crate) fn merge(
    py: Python<'_>,
    prefixes: Vec<OsString>,
    prefix: OsString,
    durability: &str,
    delete_old: bool,
    allow_missing: bool,
) -> PyResult<u32> {
    let sources = prefixes.into_iter().map(to_path).collect::<PyResult<Vec<_>>>()?;
    let prefix = to_path(prefix)?;
    let options =
        bundle::MergeOptions { durability: level(durability)?, delete_old, allow_missing };
    detached(py, Some(1), 0, |_| bundle::merge(&sources, &prefix, &options))
}

fn level(durability: &str) -> PyResult<Durability> {
    match durability {
        "full" => Ok(Durability::Full),
        "rename" => Ok(Durability::Rename),
        "none" => Ok(Durability::None),
        other => Err(PyValueError::new_err(format!(
            "durability is \"full\", \"rename\" or \"none\", not {other:?}"
        ))),
    }
}

fn hold<'a, 'py>(tensor: &Tensor<'py>, slot: Slot<'a>) -> PyResult<Held<'a, 'py>> {
    let (_, _, _, _, data, swap, mask) = tensor;
    let Ok(list) = data.cast::<PyList>() else {
        return Ok(Held::Buffer { buffer: slot.view(data)?, swap: *swap, mask: *mask });
    };
    let elements = list.iter().map(|element| Ok(element.cast_into::<PyBytes>()?));
    Ok(Held::Elements(elements.collect::<PyResult<_>>()?))
}

fn source<'a>(
    py: Python<'_>,
    (name, dtype, shape, spec, ..): &'a Tensor<'_>,
    held: &'a Held<'_, '_>,
) -> PyResult<TensorSource<'a>> {
    let key = to_name(name)?;
    let failed = |error: Error| to_python(py, &error.with_key(&key));
    let dtype = DataType::from_number(*dtype).map_err(failed)?;
    let (shape, slice) = match (spec.as_deref(), shape, held) {
        (Some(spec), ..) => {
            let (full, slice) = parse_shape_and_slice(spec).map_err(failed)?;
            (full, Some(slice))
        }
        (None, Some(shape), _) => (Shape::new(shape.clone()).map_err(failed)?, None),
        (None, None, Held::Buffer { buffer, .. }) => {
            (Shape::new(buffer.shape().iter().map(|&dim| dim as u64)).map_err(failed)?, None)
        }
        (None, None, Held::Elements(_)) => {
            return Err(PyValueError::new_err("strings need a shape"));
        }
    };
    let payload = match held {
        Held::Elements(elements) => {
            Payload::Strings(elements.iter().map(PyBytesMethods::as_bytes).collect())
        }
        Held::Buffer { buffer, swap, mask } => {
            let (bytes, origin) = buffer.memory()?;
            // A scalar comes as a row of one: a buffer has dimensions.
            let rank = if shape.rank() == 0 { 0 } else { buffer.rank() };
            if buffer.is_c_contiguous() && *swap == 0 && *mask == 0 {
                Payload::Bytes(bytes)
            } else {
                Payload::Strided(Box::new(Strided {
                    bytes,
                    origin,
                    shape: buffer.shape().iter().copied().take(rank).collect(),
                    strides: buffer.strides().iter().copied().take(rank).collect(),
                    item: buffer.item_size(),
                    swap: *swap,
                    mask: *mask,
                }))
            }
        }
    };
    Ok(TensorSource { key, dtype, shape, slice, payload })
}
