//! Memory of the core, seen by Python through the buffer protocol.
//!
//! # Contract
//! The memory lives as long as the `Region`, and every view holds the `Region`. Nobody writes to
//! it through a read-only view. A writable one is handed out once, for memory nothing else uses.

use std::ffi::c_int;
use std::sync::Arc;

use ckptfast::io::Memory;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::dlpack;

/// A stretch of memory: a mapped data file, or a buffer that holds copied tensors.
#[pyclass(frozen, module = "ckptfast._native")]
pub(crate) struct Region {
    memory: Arc<Memory>,
    writable: bool,
}

impl Region {
    pub(crate) fn new(memory: Arc<Memory>, writable: bool) -> Self {
        Self { memory, writable }
    }
}

#[pymethods]
impl Region {
    #[getter]
    fn nbytes(&self) -> usize {
        self.memory.len()
    }

    /// Where the memory begins.
    #[getter]
    fn address(&self) -> usize {
        self.memory.as_ptr() as usize
    }

    /// Whether the bytes are pages of a file that somebody could change.
    #[getter]
    fn aliases_file(&self) -> bool {
        self.memory.aliases_file()
    }

    #[getter]
    fn readonly(&self) -> bool {
        !self.writable
    }

    /// A `DLPack` capsule of the tensor at `offset`, for a consumer that aliases the memory.
    fn dlpack<'py>(
        &self,
        py: Python<'py>,
        offset: usize,
        shape: Vec<i64>,
        code: u8,
        bits: u8,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        dlpack::capsule(py, &self.memory, offset, &shape, (code, bits))
    }

    #[allow(unsafe_code, reason = "the buffer protocol hands out a pointer")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let region = slf.get();
        let length = isize::try_from(region.memory.len())
            .map_err(|_| PyValueError::new_err("the memory is too large for a buffer"))?;
        let address = region.memory.as_ptr().cast_mut().cast();
        let readonly = c_int::from(!region.writable);
        // SAFETY: `view` comes from the interpreter; the filled-in view holds a reference to
        // `slf`, whose memory does not move (contract above).
        let code =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address, length, readonly, flags) };
        if code == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
