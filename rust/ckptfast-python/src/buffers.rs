//! The memory of many Python objects at once, by the buffer protocol.
//!
//! `PyO3`'s buffers are an allocation each. For ten thousand arrays, in a heap as scattered as
//! TensorFlow leaves it, these take as long as to copy the values.

#![allow(unsafe_code, reason = "memory of Python objects is only reachable by pointer")]

use std::ffi::c_char;
use std::marker::{PhantomData, PhantomPinned};
use std::{iter, slice};

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

const C_ORDER: c_char = b'C'.cast_signed();

/// Room for the views of so many objects, which are given back together.
pub(crate) struct Buffers<'py> {
    views: Box<[View]>,
    /// They are given back with the interpreter held.
    _py: PhantomData<Python<'py>>,
}

/// A view, or none yet. It may point into itself, so nothing moves it out of its box.
struct View {
    raw: ffi::Py_buffer,
    _pinned: PhantomPinned,
}

/// Room for one view.
pub(crate) struct Slot<'a>(&'a mut View);

/// The memory of an object, which may not go away meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Buffer<'a>(&'a ffi::Py_buffer);

impl<'py> Buffers<'py> {
    pub(crate) fn new(_: Python<'py>, count: usize) -> Self {
        Self { views: iter::repeat_with(View::none).take(count).collect(), _py: PhantomData }
    }

    pub(crate) fn slots(&mut self) -> impl Iterator<Item = Slot<'_>> {
        self.views.iter_mut().map(Slot)
    }
}

/// What `look` sees in the bytes that all elements of `object` lie in.
///
/// # Errors
/// As [`Slot::view`] and [`Buffer::memory`].
pub(crate) fn look_at<T>(object: &Bound<'_, PyAny>, look: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    let mut view = View::none();
    let (bytes, _) = Slot(&mut view).view(object)?.memory()?;
    Ok(look(bytes))
}

impl View {
    fn none() -> Self {
        Self { raw: ffi::Py_buffer::new(), _pinned: PhantomPinned }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the view was filled by `Slot::view`, or never, when there is nothing to release;
        // `Buffers` cannot leave the thread that holds the interpreter.
        unsafe { ffi::PyBuffer_Release(&raw mut self.raw) };
    }
}

impl<'a> Slot<'a> {
    /// The memory of `object`, in any layout.
    ///
    /// # Errors
    /// What the object raises, `BufferError` where that has no dimensions.
    pub(crate) fn view(self, object: &Bound<'_, PyAny>) -> PyResult<Buffer<'a>> {
        let raw = &raw mut self.0.raw;
        // SAFETY: `raw` is where a view may be written, and stays there until it is released.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), raw, ffi::PyBUF_FULL_RO) } != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let raw = &self.0.raw;
        if raw.shape.is_null() || raw.strides.is_null() {
            return Err(PyBufferError::new_err("the buffer has no dimensions"));
        }
        Ok(Buffer(raw))
    }
}

impl<'a> Buffer<'a> {
    /// How many dimensions there are.
    pub(crate) fn rank(self) -> usize {
        usize::try_from(self.0.ndim).unwrap_or(0)
    }

    /// Elements per dimension.
    pub(crate) fn shape(self) -> &'a [usize] {
        // SAFETY: of `ndim` numbers, which are not negative, and are the view's as long as it is.
        unsafe { slice::from_raw_parts(self.0.shape.cast::<usize>(), self.rank()) }
    }

    /// Bytes from one element to the next in each dimension.
    pub(crate) fn strides(self) -> &'a [isize] {
        // SAFETY: as of the shape.
        unsafe { slice::from_raw_parts(self.0.strides, self.rank()) }
    }

    /// Bytes per element.
    pub(crate) fn item_size(self) -> usize {
        self.0.itemsize.unsigned_abs()
    }

    /// Whether the elements lie one behind the other, the last dimension running fastest.
    pub(crate) fn is_c_contiguous(self) -> bool {
        // SAFETY: the view is filled; the call only looks at it.
        unsafe { ffi::PyBuffer_IsContiguous(&raw const *self.0, C_ORDER) != 0 }
    }

    /// The bytes that all elements lie in, and where the first one (of index 0) is in them.
    ///
    /// # Errors
    /// `ValueError` for memory that is not one piece.
    pub(crate) fn memory(self) -> PyResult<(&'a [u8], usize)> {
        // SAFETY: of `ndim` numbers, where there are any.
        let offsets = (!self.0.suboffsets.is_null())
            .then(|| unsafe { slice::from_raw_parts(self.0.suboffsets, self.rank()) });
        if offsets.is_some_and(|offsets| offsets.iter().any(|&offset| offset >= 0)) {
            return Err(PyValueError::new_err("the buffer is a table of pointers"));
        }
        if self.shape().contains(&0) {
            return Ok((&[], 0));
        }
        let too_large = || PyValueError::new_err("the buffer's strides overflow");
        let (mut before, mut after) = (0usize, self.item_size());
        for (&dim, &stride) in self.shape().iter().zip(self.strides()) {
            let reach = stride.unsigned_abs().checked_mul(dim - 1).ok_or_else(too_large)?;
            let side = if stride < 0 { &mut before } else { &mut after };
            *side = side.checked_add(reach).ok_or_else(too_large)?;
        }
        let length = before.checked_add(after).ok_or_else(too_large)?;
        if length == 0 {
            return Ok((&[], 0));
        }
        let first = self.0.buf.cast::<u8>().wrapping_sub(before);
        // SAFETY: the elements at the corners of the array are `before` bytes back and `after`
        // bytes on, all of an array's elements lie in one allocation, and its owner may not free it
        // while the view is held. Another thread may write to it meanwhile; what is read is then
        // one of the values it held, which is what every user of the buffer protocol gets.
        Ok((unsafe { slice::from_raw_parts(first, length) }, before))
    }
}
