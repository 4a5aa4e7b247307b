//! V1 checkpoints: one table, or several, that hold metadata and values together.
//!
//! ```text
//! key ""           SavedTensorSlices { 1: meta { 1: SavedSliceMeta…, 2: versions } }
//! key of a slice   SavedTensorSlices { 2: data { 1: name, 2: slice, 3: TensorProto } }
//! ```
//!
//! The messages are those of `saved_tensor_slice.proto`, the keys those of `ordered_code`. An
//! unsliced tensor is one slice whose every dimension is `-`. The tensor message has neither type
//! nor shape, only the values; what they are stands in the metadata. A sharded checkpoint is a
//! number of such files, each with metadata of its own slices.

mod meta;
mod reader;
mod records;
mod values;

pub use meta::V1Tensor;
pub use reader::V1Reader;
pub use records::Pages;
pub use values::Values;
