//! The few protocol buffer messages that a checkpoint holds.
//!
//! Field numbers are those of `tensor_bundle.proto`, `tensor_shape.proto`, `tensor_slice.proto`,
//! `saved_tensor_slice.proto` and `trackable_object_graph.proto`. Unknown fields are skipped, as
//! everywhere in protocol buffers; encoding is in field order with defaults omitted, which makes it
//! equal to TensorFlow's byte for byte.

mod bundle;
mod object_graph;
mod saved_slices;
mod tensor_shape;
pub(crate) mod wire;

pub use bundle::{BundleEntryProto, BundleHeaderProto, Endianness, VersionDef};
pub use object_graph::{Attribute, Child, Object, ObjectGraph, RegisteredSaver, SlotVariable};
pub use saved_slices::SavedSliceMeta;
pub use tensor_shape::{Dim, ExtentProto, TensorShapeProto, TensorSliceProto};
