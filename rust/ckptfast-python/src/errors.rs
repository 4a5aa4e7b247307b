//! The core's errors as Python exceptions: classes of `ckptfast.errors`, and Python's own.

use std::io;

use ckptfast::error::{Error, ErrorKind};
use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::arguments;

/// The exception for `error`.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error.kind() {
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::Corruption => "DataLossError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::InvalidArgument => return PyValueError::new_err(error.to_string()),
        ErrorKind::Io => return system_error(error),
    };
    located(py, class, error).unwrap_or_else(|failure| failure)
}

fn located(py: Python<'_>, class: &str, error: &Error) -> PyResult<PyErr> {
    let module = py.import(intern!(py, "ckptfast.errors"))?;
    let class = module.getattr(class)?.cast_into::<PyType>()?;
    let exception = class.call1((error.to_string(),))?;
    let place = PyDict::new(py);
    place.set_item("path", error.path())?;
    place.set_item("key", error.key().map(|key| arguments::to_text(py, key)).transpose()?)?;
    place.set_item("shard", error.shard())?;
    place.set_item("offset", error.range().map(|range| range.start))?;
    place.set_item("nbytes", error.range().map(|range| range.end - range.start))?;
    place.set_item("stored_crc32c", error.checksums().map(|both| both.stored))?;
    place.set_item("calculated_crc32c", error.checksums().map(|both| both.calculated))?;
    if let Some(path) = error.path() {
        place.set_item("path", path.as_os_str())?;
    }
    let exception = module.getattr(intern!(py, "_located"))?.call((exception,), Some(&place))?;
    Ok(PyErr::from_value(exception))
}

/// `OSError` picks its subclass (`FileNotFoundError`, …) by the error number.
fn system_error(error: &Error) -> PyErr {
    let text = error.message().to_owned();
    let number = match (error.raw_os_error(), error.io_kind()) {
        (Some(number), _) => number,
        (None, Some(io::ErrorKind::IsADirectory)) => 21,
        (None, Some(io::ErrorKind::NotFound)) => 2,
        _ => return PyOSError::new_err(error.to_string()),
    };
    if error.io_kind() == Some(io::ErrorKind::OutOfMemory) {
        return PyMemoryError::new_err(error.to_string());
    }
    let reason = io::Error::from_raw_os_error(number);
    let reason = reason.to_string();
    let reason = reason.split(" (os error").next().unwrap_or(&reason);
    let text = format!("{text}: {reason}");
    match error.path() {
        Some(path) => PyOSError::new_err((number, text, path.as_os_str().to_owned())),
        None => PyOSError::new_err((number, text)),
    }
}
