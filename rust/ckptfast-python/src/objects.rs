//! The object graph of a checkpoint as plain tuples: all of it, or what a restore walks along.

use ckptfast::proto::{Child, ObjectGraph};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::errors::to_python;

/// `(children, attributes, slots, registered saver)` of every object of a serialized
/// `TrackableObjectGraph`: names and numbers of the children, `(name, full name, key)` of each
/// attribute, `(name, variable, slot)` of each slot, and `(name, object name)` or `None`.
///
/// A message of more than `limit` parts is refused.
#[pyfunction]
pub(crate) fn object_graph<'py>(
    py: Python<'py>,
    message: &Bound<'py, PyBytes>,
    limit: u32,
) -> PyResult<Bound<'py, PyList>> {
    let graph = parse(message, limit)?;
    let nothing = PyTuple::empty(py);
    let leaf = (&nothing, &nothing).into_pyobject(py)?;
    let empty = (&leaf, &nothing, &nothing, py.None()).into_pyobject(py)?;
    let rows: Vec<Bound<'py, PyTuple>> = graph
        .objects()
        .map(|object| {
            let children = children(&leaf, object.children)?;
            let attributes = object
                .attributes
                .iter()
                .map(|value| (value.name, value.full_name, value.key).into_pyobject(py));
            let slots = object
                .slots
                .iter()
                .map(|slot| (slot.name, slot.variable, slot.slot).into_pyobject(py));
            let saver = object.registered_saver.map(|saver| (saver.name, saver.object_name));
            if children.is(&leaf) && attributes.len() + slots.len() == 0 && saver.is_none() {
                return Ok(empty.clone());
            }
            let attributes = PyTuple::new(py, attributes.collect::<PyResult<Vec<_>>>()?)?;
            let slots = PyTuple::new(py, slots.collect::<PyResult<Vec<_>>>()?)?;
            (children, attributes, slots, saver).into_pyobject(py)
        })
        .collect::<PyResult<_>>()?;
    PyList::new(py, rows)
}

/// What a restore needs of a serialized `TrackableObjectGraph`: of every object names and numbers
/// of the children, and the key of its value if it is a variable and nothing else, or `None`; then
/// the numbers of the objects that have attributes, and `(optimizer, name, variable, slot)` of all
/// slots.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a plain tuple; Python gives the fields names")]
pub(crate) fn object_values<'py>(
    py: Python<'py>,
    message: &Bound<'py, PyBytes>,
    limit: u32,
) -> PyResult<(
    Vec<Bound<'py, PyTuple>>,
    Vec<Option<Bound<'py, PyString>>>,
    Vec<usize>,
    Vec<(usize, Bound<'py, PyString>, usize, usize)>,
)> {
    let graph = parse(message, limit)?;
    let nothing = PyTuple::empty(py);
    let leaf = (&nothing, &nothing).into_pyobject(py)?;
    let count = graph.objects().len();
    let (mut all_children, mut keys) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut stored, mut slots) = (Vec::new(), Vec::new());
    for (number, object) in graph.objects().enumerate() {
        all_children.push(children(&leaf, object.children)?);
        keys.push(object.value_key().map(|key| PyString::new(py, key)));
        if !object.attributes.is_empty() {
            stored.push(number);
        }
        slots.extend(
            object
                .slots
                .iter()
                .map(|slot| (number, PyString::new(py, slot.name), slot.variable, slot.slot)),
        );
    }
    Ok((all_children, keys, stored, slots))
}

fn parse<'a>(message: &'a Bound<'_, PyBytes>, limit: u32) -> PyResult<ObjectGraph<'a>> {
    ObjectGraph::parse(message.as_bytes(), limit).map_err(|error| to_python(message.py(), &error))
}

/// Names and numbers; `leaf` where there are none, as of most objects.
fn children<'py>(
    leaf: &Bound<'py, PyTuple>,
    children: &[Child<'_>],
) -> PyResult<Bound<'py, PyTuple>> {
    if children.is_empty() {
        return Ok(leaf.clone());
    }
    let py = leaf.py();
    let names = PyTuple::new(py, children.iter().map(|child| child.name))?;
    let numbers = PyTuple::new(py, children.iter().map(|child| child.object))?;
    (names, numbers).into_pyobject(py)
}
