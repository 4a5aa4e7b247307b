//! An array of any memory layout, copied out in row-major order.

use crate::error::{Error, Result};

/// Elements of fixed width that need not lie in row-major order, nor be in their stored form.
#[derive(Clone, Debug)]
pub struct Strided<'a> {
    /// Memory that holds all elements.
    pub bytes: &'a [u8],
    /// Position in `bytes` of the element whose indices are all 0.
    pub origin: usize,
    /// Elements per dimension, outermost first.
    pub shape: Vec<usize>,
    /// Distance in bytes between neighbours in each dimension; may be negative or 0.
    pub strides: Vec<isize>,
    /// Width of an element in bytes.
    pub item: usize,
    /// Width of the units whose bytes are reversed on the way; 0 or 1 reverses nothing.
    pub swap: usize,
    /// Bits of every byte to keep; 0 keeps all.
    pub mask: u8,
}

/// A [`Strided`] whose elements were all found to be within its memory, with as few dimensions as
/// describe it.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    origin: isize,
    /// Outermost first; neighbours that are one run of memory are merged, those of 1 left out.
    dims: Vec<Dim>,
    elements: usize,
    item: usize,
    swap: usize,
    mask: u8,
}

#[derive(Clone, Copy, Debug)]
struct Dim {
    length: usize,
    stride: isize,
}

impl<'a> Strided<'a> {
    /// Checks that every element is within the memory.
    ///
    /// # Errors
    /// `InvalidArgument` when one is not, or when the fields contradict each other.
    pub(super) fn walk(&self) -> Result<Walk<'a>> {
        let contradiction =
            || Error::invalid("the array's shape and strides contradict its memory");
        let swaps = self.swap > 1 && (!self.item.is_multiple_of(self.swap) || self.swap > 8);
        if self.shape.len() != self.strides.len() || self.item == 0 || swaps {
            return Err(contradiction());
        }
        let elements = self.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let elements = elements.ok_or_else(contradiction)?;
        let (dims, origin) = match elements {
            0 => (Vec::new(), 0),
            _ => self.reduce().ok_or_else(contradiction)?,
        };
        let Self { bytes, item, swap, mask, .. } = *self;
        Ok(Walk { bytes, origin, dims, elements, item, swap, mask })
    }

    /// The dimensions that matter and the position of the first element; `None` when an element is
    /// not within the memory. There is an element.
    fn reduce(&self) -> Option<(Vec<Dim>, isize)> {
        let origin = isize::try_from(self.origin).ok()?;
        let (mut lowest, mut highest) = (origin, origin.checked_add(self.item.try_into().ok()?)?);
        let mut dims: Vec<Dim> = Vec::with_capacity(self.shape.len());
        for (&length, &stride) in self.shape.iter().zip(&self.strides) {
            let steps = isize::try_from(length).ok()?;
            let reach = stride.checked_mul(steps - 1)?;
            lowest = lowest.checked_add(reach.min(0))?;
            highest = highest.checked_add(reach.max(0))?;
            match dims.last_mut() {
                _ if length == 1 => {}
                Some(outer) if stride.checked_mul(steps) == Some(outer.stride) => {
                    *outer = Dim { length: outer.length.checked_mul(length)?, stride };
                }
                _ => dims.push(Dim { length, stride }),
            }
        }
        let inside = lowest >= 0 && usize::try_from(highest).ok()? <= self.bytes.len();
        inside.then_some((dims, origin))
    }
}

impl Walk<'_> {
    /// Width of an element in bytes.
    pub(super) fn item(&self) -> usize {
        self.item
    }

    /// Fills `out`, whole elements long, with the elements from number `first` on, in their stored
    /// form; `None` when there are not as many.
    pub(super) fn copy(&self, first: usize, out: &mut [u8]) -> Option<()> {
        if first.checked_add(out.len() / self.item)? > self.elements {
            return None;
        }
        let single = Dim { length: 1, stride: 0 };
        let (inner, outer) = self.dims.split_last().unwrap_or((&single, &[]));
        let (mut indices, mut row) = self.locate(outer, first / inner.length)?;
        let mut column = first % inner.length;
        let mut rest = &mut *out;
        while !rest.is_empty() {
            let count = (inner.length - column).min(rest.len() / self.item);
            let (target, tail) = rest.split_at_mut_checked(count.checked_mul(self.item)?)?;
            rest = tail;
            let start = row.checked_add(distance(inner.stride, column)?)?;
            self.copy_row(start.try_into().ok()?, inner.stride, target)?;
            column = 0;
            row = advance(outer, &mut indices, row)?;
        }
        self.finish(out);
        Some(())
    }

    /// The indices of row number `row`, and where it begins; after the last comes the first.
    fn locate(&self, outer: &[Dim], mut row: usize) -> Option<(Vec<usize>, isize)> {
        let mut indices = vec![0; outer.len()];
        let mut start = self.origin;
        for (index, dim) in indices.iter_mut().zip(outer).rev() {
            *index = row % dim.length;
            row /= dim.length;
            start = start.checked_add(distance(dim.stride, *index)?)?;
        }
        Some((indices, start))
    }

    fn copy_row(&self, start: usize, stride: isize, out: &mut [u8]) -> Option<()> {
        if usize::try_from(stride) == Ok(self.item) || out.len() == self.item {
            let end = start.checked_add(out.len())?;
            out.copy_from_slice(self.bytes.get(start..end)?);
            return Some(());
        }
        match self.item {
            1 => gather::<1>(self.bytes, start, stride, out),
            2 => gather::<2>(self.bytes, start, stride, out),
            4 => gather::<4>(self.bytes, start, stride, out),
            8 => gather::<8>(self.bytes, start, stride, out),
            16 => gather::<16>(self.bytes, start, stride, out),
            _ => None,
        }
    }

    /// Brings copied elements into their stored form.
    fn finish(&self, out: &mut [u8]) {
        match self.swap {
            2 => convert(out, |unit| u16::from_ne_bytes(unit).swap_bytes().to_ne_bytes()),
            4 => convert(out, |unit| u32::from_ne_bytes(unit).swap_bytes().to_ne_bytes()),
            8 => convert(out, |unit| u64::from_ne_bytes(unit).swap_bytes().to_ne_bytes()),
            _ => {}
        }
        if self.mask != 0 {
            for byte in out {
                *byte &= self.mask;
            }
        }
    }
}

/// Steps to the next row; its start, which after the last row is that of the first.
fn advance(outer: &[Dim], indices: &mut [usize], mut start: isize) -> Option<isize> {
    for (index, dim) in indices.iter_mut().zip(outer).rev() {
        *index += 1;
        if *index < dim.length {
            return start.checked_add(dim.stride);
        }
        *index = 0;
        start = start.checked_sub(distance(dim.stride, dim.length - 1)?)?;
    }
    Some(start)
}

/// How far `steps` strides reach.
fn distance(stride: isize, steps: usize) -> Option<isize> {
    stride.checked_mul(steps.try_into().ok()?)
}

fn gather<const N: usize>(bytes: &[u8], start: usize, stride: isize, out: &mut [u8]) -> Option<()> {
    let (targets, _) = out.as_chunks_mut::<N>();
    let mut position = start;
    for target in targets {
        *target = *bytes.get(position..)?.first_chunk::<N>()?;
        position = position.wrapping_add_signed(stride);
    }
    Some(())
}

fn convert<const N: usize>(out: &mut [u8], unit: impl Fn([u8; N]) -> [u8; N]) {
    let (units, _) = out.as_chunks_mut::<N>();
    for bytes in units {
        *bytes = unit(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided(bytes: &[u8], origin: usize, item: usize) -> Strided<'_> {
        Strided { bytes, origin, shape: Vec::new(), strides: Vec::new(), item, swap: 0, mask: 0 }
    }

    /// Every element, one at a time, by the definition of strides.
    fn expected(array: &Strided<'_>) -> Vec<u8> {
        let total: usize = array.shape.iter().product();
        let mut bytes = Vec::new();
        for number in 0..total {
            let (mut rest, mut position) = (number, isize::try_from(array.origin).unwrap());
            for (&length, &stride) in array.shape.iter().zip(&array.strides).rev() {
                position += stride * isize::try_from(rest % length).unwrap();
                rest /= length;
            }
            let position = usize::try_from(position).unwrap();
            bytes.extend(&array.bytes[position..position + array.item]);
        }
        bytes
    }

    #[test]
    fn any_strides_come_out_row_major_from_any_element_on() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (origin, item, shape, strides) in [
            (0, 1, vec![], vec![]),
            (8, 4, vec![1, 1], vec![-99, 99]),
            (0, 2, vec![4, 5], vec![10, 2]),
            (0, 2, vec![5, 4], vec![2, 10]),
            (0, 4, vec![3, 4, 5], vec![4, 12, 48]),
            (4, 4, vec![3, 2, 2], vec![24, 12, 4]),
            (254, 2, vec![4, 6], vec![-12, -2]),
            (100, 1, vec![3, 3, 7], vec![-30, 0, 3]),
            (16, 8, vec![2, 3, 1, 4], vec![0, 8, 1, 24]),
            (0, 16, vec![7], vec![32]),
        ] {
            let array = Strided { shape, strides, ..strided(&bytes, origin, item) };
            let whole = expected(&array);
            let walk = array.walk().unwrap();
            for first in 0..whole.len() / item {
                for last in first..=whole.len() / item {
                    let mut out = vec![0xee; (last - first) * item];
                    walk.copy(first, &mut out).unwrap();
                    assert_eq!(out, whole[first * item..last * item], "{array:?} {first}..{last}");
                }
            }
            assert!(walk.copy(0, &mut vec![0; whole.len() + item]).is_none());
        }
    }

    #[test]
    fn bytes_are_swapped_and_masked_on_the_way() {
        let bytes: Vec<u8> = (0..16).collect();
        let array = |swap, mask| Strided {
            shape: vec![16 / 8],
            strides: vec![8],
            swap,
            mask,
            ..strided(&bytes, 0, 8)
        };
        let copied = |array: Strided<'_>| {
            let mut out = [0; 16];
            array.walk().unwrap().copy(0, &mut out).unwrap();
            out
        };
        assert_eq!(copied(array(8, 0))[..9], [7, 6, 5, 4, 3, 2, 1, 0, 15]);
        assert_eq!(copied(array(4, 0))[..5], [3, 2, 1, 0, 7]);
        assert_eq!(copied(array(2, 0))[..3], [1, 0, 3]);
        assert_eq!(copied(array(0, 0x03))[4..8], [0, 1, 2, 3]);
    }

    #[test]
    fn no_elements_are_within_any_memory() {
        let array =
            Strided { shape: vec![3, 0], strides: vec![isize::MAX, 4], ..strided(&[], 99, 4) };
        assert!(array.walk().unwrap().copy(0, &mut []).is_some());
    }

    #[test]
    fn elements_outside_the_memory_are_refused() {
        let bytes = [0; 24];
        for (origin, shape, strides) in [
            (0, vec![7], vec![4]),
            (21, vec![], vec![]),
            (0, vec![2], vec![-4]),
            (0, vec![2, 2], vec![4]),
            (0, vec![usize::MAX], vec![4]),
            (0, vec![3], vec![isize::MAX]),
            (usize::MAX, vec![1], vec![4]),
        ] {
            let array = Strided { shape, strides, ..strided(&bytes, origin, 4) };
            assert!(array.walk().is_err(), "{array:?}");
        }
        let wide = Strided { swap: 3, ..strided(&bytes, 0, 4) };
        assert!(wide.walk().is_err());
    }
}
