//! `tensor_shape.proto` and `tensor_slice.proto`, with their checked forms.

use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::slice::{Extent, TensorSlice};

/// A shape; `dim` is empty for a scalar.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShapeProto {
    /// Dimensions, outermost first.
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
    /// Set for a shape that is not known; never in a checkpoint.
    #[prost(bool, tag = "3")]
    pub unknown_rank: bool,
}

/// One dimension.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dim {
    /// Number of elements.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// A slice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorSliceProto {
    /// One extent per dimension.
    #[prost(message, repeated, tag = "1")]
    pub extent: Vec<ExtentProto>,
}

/// One dimension of a slice; without a length it is the whole dimension.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExtentProto {
    /// First element.
    #[prost(int64, tag = "1")]
    pub start: i64,
    /// Number of elements; a `oneof` in the schema, so 0 and absent differ.
    #[prost(int64, optional, tag = "2")]
    pub length: Option<i64>,
}

impl TryFrom<&TensorShapeProto> for Shape {
    type Error = Error;

    fn try_from(proto: &TensorShapeProto) -> Result<Self> {
        if proto.unknown_rank {
            return Err(Error::corruption("Invalid tensor shape: unknown rank"));
        }
        let dims = proto.dim.iter().map(|dim| u64::try_from(dim.size));
        let dims: Vec<u64> = dims
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Error::corruption("Invalid tensor shape: negative dimension"))?;
        Shape::new(dims)
            .map_err(|error| Error::corruption(format!("Invalid tensor shape: {error}")))
    }
}

impl From<&Shape> for TensorShapeProto {
    fn from(shape: &Shape) -> Self {
        let dim = shape.dims().iter().map(|&size| Dim { size: size.cast_signed() }).collect();
        Self { dim, unknown_rank: false }
    }
}

impl TryFrom<&TensorSliceProto> for TensorSlice {
    type Error = Error;

    fn try_from(proto: &TensorSliceProto) -> Result<Self> {
        let extent = |extent: &ExtentProto| match (u64::try_from(extent.start), extent.length) {
            (Ok(0), None) => Some(Extent::Full),
            (Ok(start), Some(length)) => u64::try_from(length)
                .ok()
                .filter(|&length| length > 0)
                .map(|length| Extent::Range { start, length }),
            _ => None,
        };
        let extents: Option<Vec<_>> = proto.extent.iter().map(extent).collect();
        extents.map(TensorSlice::new).ok_or_else(|| Error::corruption("malformed slice"))
    }
}

impl From<&TensorSlice> for TensorSliceProto {
    fn from(slice: &TensorSlice) -> Self {
        let extent = |extent: &Extent| match *extent {
            Extent::Full => ExtentProto { start: 0, length: None },
            Extent::Range { start, length } => {
                ExtentProto { start: start.cast_signed(), length: Some(length.cast_signed()) }
            }
        };
        Self { extent: slice.extents().iter().map(extent).collect() }
    }
}
