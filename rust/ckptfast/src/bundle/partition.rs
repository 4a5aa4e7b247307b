//! A tensor, or a box of it, put together from the slices that overlap it.
//!
//! Copying is by rows: the longest runs of elements that lie together in both the slice and the
//! box. The box is filled in bands of its outermost dimension, each by one thread.

use std::collections::HashSet;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::io;
use crate::parallel::Workers;
use crate::shape::Shape;
use crate::slice::Region;

/// Bytes of one band: large enough to be worth a thread, small enough to share evenly.
const BAND: usize = 4 << 20;

/// The smallest page that there is. What shares one with bytes that were entered can be touched.
const PAGE: usize = 4 << 10;

/// Checks that `slices` cover `target` exactly once.
///
/// # Errors
/// `Corruption` when two slices overlap or elements of `target` are in none, which is found
/// before any memory is allocated.
pub fn check_cover(target: &Region, slices: &[Region]) -> Result<()> {
    let parts: Vec<&Region> = slices.iter().filter(|slice| meets(target, slice)).collect();
    if let Some((first, second)) = find_overlap(&parts) {
        let text = |index: usize| parts.get(index).map_or_else(String::new, |part| describe(part));
        return Err(Error::corruption(format!(
            "Overlapping slices: existing slice = {}, new slice = {}",
            text(first),
            text(second)
        )));
    }
    let covered = parts
        .iter()
        .filter_map(|slice| overlap(target, slice))
        .fold(0u64, |sum, part| sum.saturating_add(part.shape.num_elements()));
    if covered == target.shape.num_elements() {
        return Ok(());
    }
    Err(Error::corruption(format!(
        "the stored slices hold {covered} of the {} elements asked for: {}",
        target.shape.num_elements(),
        describe(target)
    )))
}

/// Two boxes that share an element, by their positions in `boxes`.
///
/// Sweeps along the dimension that tells the boxes apart best, so that each is compared with its
/// neighbours only.
pub(super) fn find_overlap(boxes: &[&Region]) -> Option<(usize, usize)> {
    let range = |region: &Region, axis: usize| {
        let start = region.start.get(axis).copied().unwrap_or(0);
        let length = region.shape.dims().get(axis).copied().unwrap_or(1);
        start..start.saturating_add(length)
    };
    let starts = |&axis: &usize| -> usize {
        boxes.iter().map(|region| range(region, axis).start).collect::<HashSet<_>>().len()
    };
    let rank = boxes.first()?.start.len();
    let axis = (0..rank).max_by_key(starts).unwrap_or(0);
    let mut sorted: Vec<(usize, &Region)> = boxes.iter().copied().enumerate().collect();
    sorted.sort_by_key(|(_, region)| range(region, axis).start);
    sorted.iter().enumerate().find_map(|(index, (first, region))| {
        let end = range(region, axis).end;
        let following = sorted.iter().skip(index + 1);
        let mut near = following.take_while(|(_, other)| range(other, axis).start < end);
        near.find(|(_, other)| meets(region, other)).map(|(second, _)| (*first, *second))
    })
}

/// Whether two boxes share an element.
fn meets(first: &Region, second: &Region) -> bool {
    let lengths = first.shape.dims().iter().zip(second.shape.dims());
    first.start.iter().zip(&second.start).zip(lengths).all(|((&a, &b), (&a_length, &b_length))| {
        a < b.saturating_add(b_length) && b < a.saturating_add(a_length)
    })
}

/// The elements two boxes share; `None` where they share none.
pub fn overlap(first: &Region, second: &Region) -> Option<Region> {
    let mut start = Vec::with_capacity(first.start.len());
    let mut dims = Vec::with_capacity(first.start.len());
    let lengths = first.shape.dims().iter().zip(second.shape.dims());
    for ((&a, &b), (&a_length, &b_length)) in first.start.iter().zip(&second.start).zip(lengths) {
        let low = a.max(b);
        let high = (a + a_length).min(b + b_length);
        dims.push(high.checked_sub(low).filter(|&length| length > 0)?);
        start.push(low);
    }
    Some(Region { start, shape: Shape::new(dims).ok()? })
}

fn describe(region: &Region) -> String {
    let extents: Vec<String> = region
        .start
        .iter()
        .zip(region.shape.dims())
        .map(|(start, length)| format!("{start},{length}"))
        .collect();
    extents.join(":")
}

/// Copies what `source` (the box of `source_bytes`) shares with `target` into `target_bytes`.
///
/// `item` is the width of an element in bytes; both byte strings are row-major and dense.
///
/// # Errors
/// `Corruption` where `source_bytes` are pages that their file no longer has.
pub fn copy_overlap(
    target: &Region,
    target_bytes: &mut [u8],
    source: &Region,
    source_bytes: Pages<'_>,
    item: usize,
    workers: &Workers<'_>,
) -> Result<()> {
    let Some((&rows, inner)) = target.shape.dims().split_first() else {
        return copy_band(target, target_bytes, source, source_bytes, item);
    };
    let row = inner.iter().product::<u64>().saturating_mul(item as u64);
    let row = usize::try_from(row).map_err(|_| Error::invalid("box is too large"))?;
    if row == 0 || rows == 0 {
        return Ok(());
    }
    let band_rows = (BAND / row).max(1);
    let bands: Vec<_> =
        target_bytes.chunks_mut(band_rows * row).map(std::sync::Mutex::new).collect();
    workers.run(bands.len(), |index| {
        let Some(band) = bands.get(index) else { return Ok(()) };
        let mut bytes = band.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut start = target.start.clone();
        let mut dims = target.shape.dims().to_vec();
        if let (Some(first), Some(count)) = (start.first_mut(), dims.first_mut()) {
            *first += (index * band_rows) as u64;
            *count = (bytes.len() / row) as u64;
        }
        let region = Region { start, shape: Shape::new(dims)? };
        copy_band(&region, &mut bytes, source, source_bytes, item)
    })
}

fn copy_band(
    target: &Region,
    target_bytes: &mut [u8],
    source: &Region,
    source_bytes: Pages<'_>,
    item: usize,
) -> Result<()> {
    let Some(part) = overlap(target, source) else { return Ok(()) };
    let runs = Runs::new(&part, target, source, item);
    let misfit = || Error::invalid("slice bytes do not fit their box");
    let mut outer = vec![0u64; runs.outer];
    let mut entered = 0..0;
    loop {
        let to = Runs::position(&part, target, &outer, item).ok_or_else(misfit)?;
        let from = Runs::position(&part, source, &outer, item).ok_or_else(misfit)?;
        let to = target_bytes.get_mut(to..).and_then(|bytes| bytes.get_mut(..runs.bytes));
        let end = from.checked_add(runs.bytes).ok_or_else(misfit)?;
        if from < entered.start || end > entered.end {
            entered = source_bytes.enter(from..end)?;
        }
        let from = source_bytes.bytes.get(from..end);
        to.ok_or_else(misfit)?.copy_from_slice(from.ok_or_else(misfit)?);
        if !advance(&mut outer, part.shape.dims()) {
            return Ok(());
        }
    }
}

/// The bytes of a box, which may be pages of a file.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whether they are pages of a file, which may be shorter by now.
    pub mapped: bool,
}

impl Pages<'_> {
    /// Makes sure that `range` can be touched; returns how far that holds.
    ///
    /// No more pages than those asked for, because the next ones may be far away.
    fn enter(&self, range: Range<usize>) -> Result<Range<usize>> {
        if !self.mapped {
            return Ok(0..self.bytes.len());
        }
        let address = self.bytes.as_ptr() as usize;
        let end = (address + range.end).next_multiple_of(PAGE) - address;
        let end = end.min(self.bytes.len()).max(range.end);
        match self.bytes.get(range.start..end) {
            Some(pages) if io::enter(pages) => Ok(range.start..end),
            _ => Err(Error::corruption("the data file was cut after it was opened")),
        }
    }
}

/// How an overlap falls apart into runs that are contiguous in both boxes.
struct Runs {
    /// Leading dimensions to walk; the others are inside a run.
    outer: usize,
    /// Length of a run.
    bytes: usize,
}

impl Runs {
    fn new(part: &Region, target: &Region, source: &Region, item: usize) -> Self {
        let (dims, whole) = (part.shape.dims(), |index: usize| {
            let dim = part.shape.dims().get(index);
            dim == target.shape.dims().get(index) && dim == source.shape.dims().get(index)
        });
        let mut outer = dims.len();
        let mut bytes = item;
        while outer > 0 {
            outer -= 1;
            let dim = dims.get(outer).copied().unwrap_or(1);
            bytes = bytes.saturating_mul(usize::try_from(dim).unwrap_or(usize::MAX));
            if !whole(outer) {
                break;
            }
        }
        Self { outer, bytes }
    }

    /// Byte position in `holder` of the element `outer` (then zeros) of `part`.
    fn position(part: &Region, holder: &Region, outer: &[u64], item: usize) -> Option<usize> {
        let mut index = 0u64;
        for (dimension, (&dim, &base)) in holder.shape.dims().iter().zip(&holder.start).enumerate()
        {
            let within = part.start.get(dimension)?.checked_sub(base)?;
            let step = outer.get(dimension).copied().unwrap_or(0);
            index = index.checked_mul(dim)?.checked_add(within)?.checked_add(step)?;
        }
        usize::try_from(index).ok()?.checked_mul(item)
    }
}

/// Steps a counter whose digit `i` runs below `dims[i]`; false after the last value.
fn advance(counter: &mut [u64], dims: &[u64]) -> bool {
    for (digit, &dim) in counter.iter_mut().zip(dims).rev() {
        *digit += 1;
        if *digit < dim {
            return true;
        }
        *digit = 0;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Interrupt;

    fn region(start: &[u64], dims: &[u64]) -> Region {
        Region { start: start.to_vec(), shape: Shape::new(dims.iter().copied()).unwrap() }
    }

    /// The element of a `dims`-shaped tensor counting up from 0, cut to `part`.
    fn cut(dims: &[u64], part: &Region) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut counter = vec![0; dims.len()];
        if part.shape.num_elements() == 0 {
            return bytes;
        }
        loop {
            let index = counter
                .iter()
                .zip(&part.start)
                .zip(dims)
                .fold(0, |index, ((step, start), dim)| index * dim + start + step);
            bytes.extend(u16::try_from(index).unwrap().to_le_bytes());
            if !advance(&mut counter, part.shape.dims()) {
                return bytes;
            }
        }
    }

    #[test]
    fn any_box_comes_out_of_any_partition_as_it_went_in() {
        let dims = [4, 6, 5];
        let slices = [
            region(&[0, 0, 0], &[2, 6, 5]),
            region(&[2, 0, 0], &[2, 3, 5]),
            region(&[2, 3, 0], &[2, 3, 2]),
            region(&[2, 3, 2], &[2, 3, 3]),
        ];
        let interrupt = Interrupt::default();
        let workers = Workers { threads: 2, interrupt: &interrupt };
        for target in [
            region(&[0, 0, 0], &dims),
            region(&[1, 2, 1], &[2, 3, 3]),
            region(&[3, 5, 4], &[1, 1, 1]),
            region(&[0, 0, 0], &[4, 1, 5]),
        ] {
            check_cover(&target, &slices).unwrap();
            let expected = cut(&dims, &target);
            let mut bytes = vec![0xee; expected.len()];
            for slice in &slices {
                let source = cut(&dims, slice);
                let source = Pages { bytes: &source, mapped: false };
                copy_overlap(&target, &mut bytes, slice, source, 2, &workers).unwrap();
            }
            assert_eq!(bytes, expected, "{target:?}");
        }
    }

    #[test]
    fn holes_and_overlaps_are_refused() {
        let target = region(&[0], &[4]);
        assert!(check_cover(&target, &[region(&[0], &[3])]).is_err());
        assert!(check_cover(&target, &[region(&[0], &[3]), region(&[2], &[2])]).is_err());
        assert!(check_cover(&target, &[region(&[0], &[3]), region(&[3], &[1])]).is_ok());
    }

    #[test]
    fn a_scalar_is_one_run() {
        let interrupt = Interrupt::default();
        let workers = Workers { threads: 1, interrupt: &interrupt };
        let mut target = [0; 2];
        let scalar = region(&[], &[]);
        let source = Pages { bytes: &[1, 2], mapped: false };
        copy_overlap(&scalar, &mut target, &scalar, source, 2, &workers).unwrap();
        assert_eq!(target, [1, 2]);
    }
}
