//! The shape of a whole tensor: non-negative dimensions whose product fits 64 bits.

use std::fmt;

use crate::dtype::DataType;
use crate::error::{Error, Result};

/// TensorFlow's limit (`TensorShape::MaxDimensions`).
pub const MAX_RANK: usize = 254;

/// Dimensions, outermost first. Every value was checked on the way in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<u64>);

impl Shape {
    /// Checks rank and element count.
    ///
    /// # Errors
    /// `InvalidArgument` when there are more than [`MAX_RANK`] dimensions, or more than 2^63 - 1
    /// elements in the non-zero dimensions.
    pub fn new(dims: impl Into<Vec<u64>>) -> Result<Self> {
        let shape = Self(dims.into());
        if shape.0.len() > MAX_RANK {
            return Err(Error::invalid(format!("shape has {} dimensions", shape.0.len())));
        }
        // Zero dimensions do not excuse the others: a product is formed over any part of a shape.
        let product = shape
            .0
            .iter()
            .filter(|&&dim| dim != 0)
            .try_fold(1u64, |product, &dim| product.checked_mul(dim))
            .filter(|&product| i64::try_from(product).is_ok());
        match product {
            Some(_) => Ok(shape),
            None => Err(Error::invalid(format!("shape {shape} has too many elements"))),
        }
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
        self.num_elements().checked_mul(dtype.size()? as u64)
    }
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
