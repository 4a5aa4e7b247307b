//! `_native.EventReader`: the scalars and graphs of an event file.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use ckptfast::events::{Reader, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyList, PyString};

use crate::arguments::{to_path, to_text};
use crate::detached::detached;

/// An open event file.
#[pyclass(frozen, module = "ckptfast._native")]
pub(crate) struct EventReader(Mutex<State>);

struct State {
    reader: Reader,
    /// The tags of the reader that a scalar had, as text: one object each.
    tags: Vec<Option<Py<PyString>>>,
}

#[pymethods]
impl EventReader {
    #[new]
    fn new(py: Python<'_>, path: OsString) -> PyResult<Self> {
        let path = to_path(path)?;
        let reader = detached(py, Some(1), 0, |_| Reader::open(&path))?;
        Ok(Self(Mutex::new(State { reader, tags: Vec::new() })))
    }

    /// The next events, none at the end: `(wall time, step, tag, value)` for a scalar, and
    /// `(wall time, step, "graph_def" or "meta_graph_def", bytes)` for a graph.
    fn batch<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let events = detached(py, Some(1), 0, |_| {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).reader.batch()
        })?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let (name, value) = match event.value {
                Value::Scalar { tag, value } => {
                    (state.tag(py, tag)?, PyFloat::new(py, value).into_any())
                }
                Value::Graph(bytes) => {
                    (PyString::intern(py, "graph_def"), PyBytes::new(py, &bytes).into_any())
                }
                Value::MetaGraph(bytes) => {
                    (PyString::intern(py, "meta_graph_def"), PyBytes::new(py, &bytes).into_any())
                }
            };
            rows.push((event.wall_time, event.step, name, value));
        }
        PyList::new(py, rows)
    }
}

impl State {
    fn tag<'py>(&mut self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyString>> {
        if self.tags.len() <= place {
            self.tags.resize_with(place + 1, || None);
        }
        if let Some(Some(text)) = self.tags.get(place) {
            return Ok(text.bind(py).clone());
        }
        let name = self.reader.tags().get(place).map_or(&[][..], |name| name);
        let text = to_text(py, name)?;
        if let Some(slot) = self.tags.get_mut(place) {
            *slot = Some(text.clone().unbind());
        }
        Ok(text)
    }
}
