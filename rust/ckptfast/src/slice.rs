//! `TensorSlice`: a sub-box of a partitioned tensor, and its text form.
//!
//! A dimension is either a pair `start,length` or `-`, the whole dimension. The two are different
//! even where they mean the same elements, because a slice is part of a table key.

use std::fmt;

use crate::error::{Error, Result};
use crate::shape::Shape;

/// One dimension of a [`TensorSlice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The whole dimension, written `-`.
    Full,
    /// `length` elements from `start`.
    Range {
        /// First element.
        start: u64,
        /// Number of elements, at least 1.
        length: u64,
    },
}

/// A sub-box, one [`Extent`] per dimension. Lives without the shape it is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TensorSlice(Vec<Extent>);

/// A slice laid onto a shape: where it starts, and its own shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// First element in every dimension.
    pub start: Vec<u64>,
    /// Elements in every dimension.
    pub shape: Shape,
}

impl Region {
    /// All of a tensor of this shape.
    pub fn whole(shape: &Shape) -> Self {
        Self { start: vec![0; shape.rank()], shape: shape.clone() }
    }

    /// Whether every element of the region is one of a tensor of this shape.
    pub fn is_inside(&self, shape: &Shape) -> bool {
        let extents = self.start.iter().zip(self.shape.dims());
        self.start.len() == shape.rank()
            && self.shape.rank() == shape.rank()
            && extents.zip(shape.dims()).all(|((&start, &length), &dim)| {
                start.checked_add(length).is_some_and(|end| end <= dim)
            })
    }
}

impl TensorSlice {
    /// A slice with these extents.
    pub fn new(extents: impl Into<Vec<Extent>>) -> Self {
        Self(extents.into())
    }

    /// The slice that is everything, as TensorFlow writes it for unsliced V1 tensors.
    pub fn full(rank: usize) -> Self {
        Self(vec![Extent::Full; rank])
    }

    /// One extent per dimension.
    pub fn extents(&self) -> &[Extent] {
        &self.0
    }

    /// Parses `0,2:-:3,1`; the empty string is the slice of a scalar.
    ///
    /// # Errors
    /// `InvalidArgument` for anything but `-` or `start,length` with `start ≥ 0`, `length ≥ 1`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let extent = |item: &str| -> Option<Extent> {
            if item == "-" {
                return Some(Extent::Full);
            }
            let (start, length) = item.split_once(',')?;
            let start = start.parse::<i64>().ok()?;
            let length = length.parse::<i64>().ok().filter(|&length| length > 0)?;
            Some(Extent::Range {
                start: u64::try_from(start).ok()?,
                length: u64::try_from(length).ok()?,
            })
        };
        text.split(':').map(extent).collect::<Option<Vec<_>>>().map(Self).ok_or_else(|| {
            Error::invalid(format!(
                "expected a slice such as '0,2:-' (start,length or - per dimension), got '{text}'"
            ))
        })
    }

    /// Lays the slice onto `shape`.
    ///
    /// # Errors
    /// `InvalidArgument` when the ranks differ or an extent reaches outside.
    pub fn resolve(&self, shape: &Shape) -> Result<Region> {
        if self.0.len() != shape.rank() {
            return Err(Error::invalid(format!(
                "slice {self} has {} dimensions, the tensor's shape is {shape}",
                self.0.len()
            )));
        }
        let mut start = Vec::with_capacity(self.0.len());
        let mut lengths = Vec::with_capacity(self.0.len());
        for (index, (&extent, &dim)) in self.0.iter().zip(shape.dims()).enumerate() {
            let (first, length) = match extent {
                Extent::Full => (0, dim),
                Extent::Range { start, length } => (start, length),
            };
            if first.checked_add(length).is_none_or(|end| end > dim) {
                return Err(Error::invalid(format!(
                    "Extent in dimension {index} out of bounds: shape = {shape}, slice = {self}"
                )));
            }
            start.push(first);
            lengths.push(length);
        }
        Ok(Region { start, shape: Shape::new(lengths)? })
    }

    /// Whether the slice, laid onto `shape`, is all of it.
    pub fn covers(&self, shape: &Shape) -> bool {
        self.resolve(shape).is_ok_and(|region| region.shape == *shape)
    }
}

impl fmt::Display for TensorSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, extent) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            match extent {
                Extent::Full => write!(f, "{colon}-")?,
                Extent::Range { start, length } => write!(f, "{colon}{start},{length}")?,
            }
        }
        Ok(())
    }
}

/// Parses a `shape_and_slice` as the save and restore ops take it: `d0 d1 … s0,l0:s1,l1`.
///
/// # Errors
/// `InvalidArgument` when a dimension or the slice does not parse.
pub fn parse_shape_and_slice(text: &str) -> Result<(Shape, TensorSlice)> {
    let problem = || {
        Error::invalid(format!(
            "expected dimensions and a slice such as '10 6 0,3:-', got '{text}'"
        ))
    };
    let (dims, slice) = text.rsplit_once(' ').ok_or_else(problem)?;
    let dims: Vec<u64> = dims
        .split(' ')
        .map(|dim| dim.parse::<i64>().ok().and_then(|dim| u64::try_from(dim).ok()))
        .collect::<Option<_>>()
        .ok_or_else(problem)?;
    Ok((Shape::new(dims)?, TensorSlice::parse(slice)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["", "-", "0,2:-", "10,1:0,9223372036854775807:-"] {
            assert_eq!(TensorSlice::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_slices_are_refused() {
        for text in [":", "1", "1,0", "-1,2", "0,2:", "0,2,3", "a,b", "0,9223372036854775808"] {
            assert!(TensorSlice::parse(text).is_err(), "{text}");
        }
        for text in ["0,1", "4 x 0,1", "4  0,1", "-4 0,1"] {
            assert!(parse_shape_and_slice(text).is_err(), "{text}");
        }
    }

    #[test]
    fn extents_outside_the_shape_are_refused() {
        let shape = Shape::new([4, 2]).unwrap();
        for text in ["3,2:-", "-", "0,5:-", "4,1:-"] {
            assert!(TensorSlice::parse(text).unwrap().resolve(&shape).is_err(), "{text}");
        }
        let (shape, slice) = parse_shape_and_slice("4 2 3,1:-").unwrap();
        let region = slice.resolve(&shape).unwrap();
        assert_eq!((region.start, region.shape.dims()), (vec![3, 0], [1, 2].as_slice()));
    }

    #[test]
    fn an_explicit_extent_may_cover_everything() {
        let shape = Shape::new([4, 2]).unwrap();
        assert!(TensorSlice::parse("0,4:-").unwrap().covers(&shape));
        assert!(!TensorSlice::parse("0,3:-").unwrap().covers(&shape));
    }
}
