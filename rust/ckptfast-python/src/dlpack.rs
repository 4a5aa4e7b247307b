//! `DLPack` capsules: tensors that another library may use in place.
//!
//! `NumPy` makes such capsules too, but refuses read-only and bfloat16 arrays. Field layout is that
//! of `dlpack.h` before version 1, which TensorFlow reads.

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use ckptfast::io::{ALIGNMENT, Memory};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

const UNUSED: &CStr = c"dltensor";
const CPU: i32 = 1;

#[repr(C)]
struct Device {
    kind: i32,
    number: i32,
}

#[repr(C)]
struct ElementType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device: Device,
    rank: i32,
    element: ElementType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct ManagedTensor {
    tensor: Tensor,
    owner: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
}

/// What a capsule points to, and what that needs.
#[repr(C)]
struct Owned {
    /// First: its address is that of the whole.
    managed: ManagedTensor,
    _memory: Arc<Memory>,
    /// The shape, then the strides.
    dims: Vec<i64>,
}

/// A capsule of the row-major tensor at `offset`, of `(code, bits)` elements.
///
/// # Errors
/// `ValueError` when the tensor does not fit the memory, or is not aligned to 64 bytes: `TensorFlow`
/// takes a misaligned one and aborts the process later.
#[allow(unsafe_code, reason = "a capsule carries a pointer")]
pub(crate) fn capsule<'py>(
    py: Python<'py>,
    memory: &Arc<Memory>,
    offset: usize,
    shape: &[i64],
    (code, bits): (u8, u8),
) -> PyResult<Bound<'py, PyCapsule>> {
    let problem = |text: String| Err(PyValueError::new_err(text));
    let count =
        shape.iter().try_fold(1i64, |count, &dim| count.checked_mul(dim).filter(|_| dim >= 0));
    let width = usize::from(bits).div_ceil(8);
    let bytes = count.and_then(|count| usize::try_from(count).ok()?.checked_mul(width));
    let Some(bytes) =
        bytes.filter(|&bytes| offset.checked_add(bytes).is_some_and(|end| end <= memory.len()))
    else {
        return problem(format!("a tensor of this shape at {offset} does not fit the memory"));
    };
    let data = memory.as_ptr().wrapping_add(offset);
    if bytes > 0 && !(data as usize).is_multiple_of(ALIGNMENT) {
        return problem(format!("the tensor at {offset} is not aligned to {ALIGNMENT} bytes"));
    }
    let Ok(rank) = i32::try_from(shape.len()) else {
        return problem("too many dimensions".to_owned());
    };
    let tensor = Tensor {
        data: data.cast_mut().cast(),
        device: Device { kind: CPU, number: 0 },
        rank,
        element: ElementType { code, bits, lanes: 1 },
        shape: std::ptr::null_mut(),
        strides: std::ptr::null_mut(),
        byte_offset: 0,
    };
    let managed = ManagedTensor { tensor, owner: std::ptr::null_mut(), deleter: Some(delete) };
    let mut owned =
        Box::new(Owned { managed, _memory: Arc::clone(memory), dims: with_strides(shape) });
    let dims = owned.dims.as_mut_ptr();
    owned.managed.tensor.shape = dims;
    owned.managed.tensor.strides = dims.wrapping_add(shape.len());
    let managed = Box::into_raw(owned).cast::<ManagedTensor>();
    // SAFETY: `managed` was just made; from here on it belongs to the capsule, or, when that is
    // consumed and renamed, to the consumer, which calls the deleter.
    unsafe {
        let capsule = ffi::PyCapsule_New(managed.cast(), UNUSED.as_ptr(), Some(drop_unused));
        if capsule.is_null() {
            delete(managed);
            return Err(PyErr::fetch(py));
        }
        Ok(Bound::from_owned_ptr(py, capsule).cast_into_unchecked())
    }
}

/// A shape, and behind it the strides of a row-major tensor.
fn with_strides(shape: &[i64]) -> Vec<i64> {
    let mut dims = shape.repeat(2);
    let mut step = 1i64;
    for (stride, dim) in dims.iter_mut().rev().zip(shape.iter().rev()) {
        *stride = step;
        step = step.saturating_mul(*dim);
    }
    dims
}

/// Frees a tensor and what it kept alive. Needs no interpreter: consumers call it on any thread.
#[allow(unsafe_code, reason = "called through a C function pointer")]
unsafe extern "C" fn delete(managed: *mut ManagedTensor) {
    // SAFETY: the box was made by `capsule`, begins with what the pointer is to, and a consumer
    // calls this once.
    unsafe { drop(Box::from_raw(managed.cast::<Owned>())) }
}

/// Frees the tensor of a capsule that nobody consumed.
#[allow(unsafe_code, reason = "called through a C function pointer")]
unsafe extern "C" fn drop_unused(capsule: *mut ffi::PyObject) {
    // SAFETY: called by the interpreter with a capsule that `capsule` made. A consumed one has
    // another name, and its tensor is the consumer's.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, UNUSED.as_ptr()) == 1 {
            let managed = ffi::PyCapsule_GetPointer(capsule, UNUSED.as_ptr());
            if !managed.is_null() {
                delete(managed.cast());
            }
        }
    }
}
