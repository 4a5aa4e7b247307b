//! `ckptfast._native`: the core, callable from Python.
//!
//! The binding has no ideas of its own: it takes arguments apart, lets go of the interpreter,
//! calls the core and wraps what comes back. Names and policy are Python's.

#![allow(
    clippy::needless_pass_by_value,
    reason = "functions called from Python own their arguments"
)]

mod arguments;
mod buffers;
mod detached;
mod dlpack;
mod errors;
mod events;
mod objects;
mod reader;
mod region;
mod writer;

use std::collections::BTreeMap;
use std::ffi::OsString;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The native core of ckptfast.
#[pymodule(name = "_native", gil_used = false)]
mod native {
    #[pymodule_export]
    use super::{
        events::EventReader,
        objects::{object_graph, object_values},
        reader::Reader,
        region::Region,
        writer::{merge, write},
        {
            counters, crc32c, default_threads, enter, fingerprint64, first_value, libraries_name,
            library_loads, on_network, release_memory, shard_count,
        },
    };

    #[pymodule_init]
    #[expect(clippy::unnecessary_wraps, reason = "what the macro calls may fail")]
    fn init(_module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        // Before there are threads to fork beside. Where it fails, no memory is kept.
        ckptfast::io::forks_are_safe();
        Ok(())
    }
}

/// Totals since import, by name.
#[pyfunction]
fn counters() -> BTreeMap<&'static str, u64> {
    use ckptfast::counters as totals;
    BTreeMap::from([
        ("tensors_read", totals::TENSORS_READ.get()),
        ("bytes_read", totals::BYTES_READ.get()),
        ("tensors_written", totals::TENSORS_WRITTEN.get()),
        ("bytes_written", totals::BYTES_WRITTEN.get()),
        ("bytes_verified", totals::BYTES_VERIFIED.get()),
        ("bytes_aliased", totals::BYTES_ALIASED.get()),
        ("bytes_copied", totals::BYTES_COPIED.get()),
    ])
}

/// How many threads parallel work uses when the caller does not say.
#[pyfunction]
fn default_threads() -> usize {
    ckptfast::parallel::default_threads()
}

/// Whether a loaded library has `text` among its dynamic symbols, but for those whose file name
/// begins with one of `excepted`.
#[pyfunction]
fn libraries_name(py: Python<'_>, text: Vec<u8>, excepted: Vec<Vec<u8>>) -> bool {
    py.detach(|| ckptfast::libraries::any_names(&text, &excepted))
}

/// How many libraries have ever been loaded into this process.
#[pyfunction]
fn library_loads() -> u64 {
    ckptfast::libraries::loads()
}

/// The unmasked CRC-32C of `data`, continuing from the checksum `crc` of earlier bytes.
#[pyfunction]
#[pyo3(signature = (data, crc=0))]
fn crc32c(py: Python<'_>, data: pyo3::buffer::PyBuffer<u8>, crc: u32) -> PyResult<u32> {
    let bytes = arguments::bytes_of(&data)?;
    let value = py.detach(|| ckptfast::crc32c::value(bytes));
    Ok(if crc == 0 { value } else { ckptfast::crc32c::combine(crc, value, bytes.len() as u64) })
}

/// Whether memory can be touched, which pages of a file that was cut since cannot.
#[pyfunction]
fn enter(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
    buffers::look_at(data, |bytes| py.detach(|| ckptfast::io::enter(bytes)))
}

/// `FarmHash`'s `Fingerprint64` of `data`, as in `fingerprint.pb`.
#[pyfunction]
fn fingerprint64(py: Python<'_>, data: pyo3::buffer::PyBuffer<u8>) -> PyResult<u64> {
    let bytes = arguments::bytes_of(&data)?;
    Ok(py.detach(|| ckptfast::farmhash::fingerprint64(bytes)))
}

/// Whether a file lies on a network (or user-space) file system, where mappings are wrong.
#[pyfunction]
fn on_network(py: Python<'_>, path: OsString) -> PyResult<bool> {
    let path = arguments::to_path(path)?;
    detached::detached(py, Some(1), 0, |_| Ok(ckptfast::io::File::open(&path)?.on_network()))
}

/// Gives back memory kept for the next values; returns the number of bytes.
#[pyfunction]
fn release_memory(py: Python<'_>) -> usize {
    py.detach(ckptfast::io::release_memory)
}

/// The value under the first key of a table, from its first bytes; as much of it as they hold.
#[pyfunction]
fn first_value<'py>(py: Python<'py>, head: &[u8]) -> Option<Bound<'py, PyBytes>> {
    ckptfast::table::first_value(head).map(|value| PyBytes::new(py, value))
}

/// The number of shards that an index gives, from its first bytes.
#[pyfunction]
fn shard_count(head: &[u8]) -> Option<u32> {
    ckptfast::bundle::naming::shard_count(head)
}
