//! Names, paths and memory on their way in and out.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A name as text; bytes that are not UTF-8 come through as lone surrogates.
pub(crate) fn to_text<'py>(py: Python<'py>, name: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(name) {
        Ok(name) => Ok(PyString::new(py, name)),
        Err(_) => Ok(PyBytes::new(py, name)
            .call_method1(intern!(py, "decode"), ("utf-8", "surrogateescape"))?
            .cast_into()?),
    }
}

/// The bytes of a name, undoing [`to_text`].
pub(crate) fn to_name<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(text) = text.to_str() {
        return Ok(text.as_bytes().into());
    }
    let encode = intern!(text.py(), "encode");
    let bytes = text.call_method1(encode, ("utf-8", "surrogateescape"))?.cast_into::<PyBytes>()?;
    Ok(bytes.as_bytes().to_vec().into())
}

/// A path as given by `os.fsdecode`.
pub(crate) fn to_path(path: OsString) -> PyResult<PathBuf> {
    if OsStr::as_bytes(&path).contains(&0) {
        return Err(PyValueError::new_err("embedded null byte in the path"));
    }
    Ok(path.into())
}

/// The memory of a contiguous buffer.
#[allow(unsafe_code, reason = "memory of Python objects is only reachable by pointer")]
pub(crate) fn bytes_of(buffer: &PyBuffer<u8>) -> PyResult<&[u8]> {
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer is not contiguous"));
    }
    if buffer.len_bytes() == 0 {
        return Ok(&[]);
    }
    // SAFETY: the buffer is contiguous, and its owner may not free the memory while the view is
    // held, which is as long as the borrow. Another thread may write to it meanwhile; what is read
    // is then one of the values it held, which is what every user of the buffer protocol gets.
    Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) })
}
