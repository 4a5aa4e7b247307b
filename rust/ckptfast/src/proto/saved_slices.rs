//! What V1 files say of a tensor, from `saved_tensor_slice.proto`.
//!
//! The records around it are walked field by field in `v1`, because they hold the data as well.

use super::{TensorShapeProto, TensorSliceProto};

/// One tensor of a V1 file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedSliceMeta {
    /// Name of the tensor; bytes, because old writers did not check.
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    /// Shape of the whole tensor.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
    /// `DataType` number.
    #[prost(int32, tag = "3")]
    pub dtype: i32,
    /// The slices in this file.
    #[prost(message, repeated, tag = "4")]
    pub slice: Vec<TensorSliceProto>,
}
