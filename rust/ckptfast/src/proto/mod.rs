//! The few protocol buffer messages that an index (or a V1 file) holds.
//!
//! Field numbers are those of `tensor_bundle.proto`, `tensor_shape.proto`, `tensor_slice.proto`
//! and `saved_tensor_slice.proto`. Unknown fields are skipped, as everywhere in
//! protocol buffers; encoding is in field order with defaults omitted, which makes it equal to
//! TensorFlow's byte for byte.

mod bundle;
mod saved_slices;
mod tensor_shape;
pub(crate) mod wire;

pub use bundle::{BundleEntryProto, BundleHeaderProto, Endianness, VersionDef};
pub use saved_slices::SavedSliceMeta;
pub use tensor_shape::{Dim, ExtentProto, TensorShapeProto, TensorSliceProto};
