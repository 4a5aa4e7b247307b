//! Names, paths and memory on their way in and out.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pyo3::buffer::{PyBuffer, PyUntypedBuffer};
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

/// The memory that a buffer of any strides spans, and where its first element is in it.
#[allow(unsafe_code, reason = "memory of Python objects is only reachable by pointer")]
pub(crate) fn strided_memory(buffer: &PyUntypedBuffer) -> PyResult<(&[u8], usize)> {
    if buffer.suboffsets().is_some_and(|offsets| offsets.iter().any(|&offset| offset >= 0)) {
        return Err(PyValueError::new_err("the buffer is a table of pointers"));
    }
    if buffer.len_bytes() == 0 {
        return Ok((&[], 0));
    }
    let too_large = || PyValueError::new_err("the buffer's strides overflow");
    let (mut before, mut after) = (0usize, buffer.item_size());
    for (&dim, &stride) in buffer.shape().iter().zip(buffer.strides()) {
        let reach = stride.unsigned_abs().checked_mul(dim - 1).ok_or_else(too_large)?;
        let side = if stride < 0 { &mut before } else { &mut after };
        *side = side.checked_add(reach).ok_or_else(too_large)?;
    }
    let length = before.checked_add(after).ok_or_else(too_large)?;
    let first = buffer.buf_ptr().cast::<u8>().wrapping_sub(before);
    // SAFETY: the elements at the corners of the array are `before` bytes back and `after` bytes
    // on, and all of an array's elements lie in one allocation. Otherwise as in `bytes_of`.
    Ok((unsafe { std::slice::from_raw_parts(first, length) }, before))
}
