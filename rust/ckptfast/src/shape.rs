//! The shape of a whole tensor: non-negative dimensions whose product fits 64 bits.

use std::fmt;

use smallvec::SmallVec;

use crate::dtype::DataType;
use crate::error::{Error, Result};

/// TensorFlow's limit (`TensorShape::MaxDimensions`).
pub const MAX_RANK: usize = 254;

/// Shapes of at most this rank, which is nearly all, need no memory of their own.
const INLINE_RANK: usize = 4;

/// Dimensions, outermost first. Every value was checked on the way in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(SmallVec<[u64; INLINE_RANK]>);

impl Shape {
    /// Checks rank and element count.
    ///
    /// # Errors
    /// `InvalidArgument` when there are more than [`MAX_RANK`] dimensions, or more than 2^63 - 1
    /// elements in the non-zero dimensions.
    pub fn new(dims: impl IntoIterator<Item = u64>) -> Result<Self> {
        let shape = Self(dims.into_iter().collect());
        check(&shape.0)?;
        Ok(shape)
    }

    /// A shape of dimensions that passed [`check`].
    pub(crate) fn of_checked(dims: &[u64]) -> Self {
        Self(SmallVec::from_slice(dims))
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[u64] {
        &self.0
    }

    /// The number of dimensions; 0 for a scalar.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements there are; 1 for a scalar.
    pub fn num_elements(&self) -> u64 {
        self.0.iter().product()
    }

    /// How many bytes the elements take; `None` where `dtype` has no fixed width or on overflow.
    pub fn byte_size(&self, dtype: DataType) -> Option<u64> {
        byte_size(&self.0, dtype)
    }
}

/// Checks rank and element count of what is to be a shape.
///
/// # Errors
/// As [`Shape::new`].
pub fn check(dims: &[u64]) -> Result<()> {
    if dims.len() > MAX_RANK {
        return Err(Error::invalid(format!("shape has {} dimensions", dims.len())));
    }
    // Zero dimensions do not excuse the others: a product is formed over any part of a shape.
    dims.iter()
        .filter(|&&dim| dim != 0)
        .try_fold(1u64, |product, &dim| product.checked_mul(dim))
        .filter(|&product| i64::try_from(product).is_ok())
        .map(drop)
        .ok_or_else(|| {
            let shape = Shape(dims.into());
            Error::invalid(format!("shape {shape} has too many elements"))
        })
}

/// As [`Shape::byte_size`], of dimensions that passed [`check`].
pub fn byte_size(dims: &[u64], dtype: DataType) -> Option<u64> {
    dims.iter().product::<u64>().checked_mul(dtype.size()? as u64)
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, dim) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{dim}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_counts_that_overflow_are_refused_even_beside_a_zero() {
        assert!(Shape::new([1 << 32, 1 << 31]).is_err());
        assert!(Shape::new([0, u64::MAX]).is_err());
        assert!(Shape::new([1 << 32, 1 << 30]).is_ok());
        assert!(Shape::new(vec![1; MAX_RANK + 1]).is_err());
    }

    #[test]
    fn a_scalar_has_one_element_and_an_empty_dimension_none() {
        assert_eq!(Shape::default().num_elements(), 1);
        assert_eq!(Shape::new([3, 0]).unwrap().num_elements(), 0);
        assert_eq!(Shape::new([2, 3]).unwrap().byte_size(DataType::Half), Some(12));
        assert_eq!(Shape::new([2]).unwrap().byte_size(DataType::String), None);
    }
}
