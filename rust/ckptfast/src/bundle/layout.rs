//! Which data file holds which tensor, and where in it.
//!
//! Tensors lie in the order they are given, each data file holding a contiguous range of them.
//! Offsets are explicit in the index, so the gaps that alignment leaves are legal everywhere.

use crate::error::{Error, Result};

/// The largest alignment: a page. A mapping starts at a page, so more would promise nothing.
pub const MAX_ALIGN: u64 = 4096;

/// Where one tensor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the data file.
    pub shard: u32,
    /// First byte in it.
    pub offset: u64,
}

/// Where all of them go.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// One per tensor, in the given order.
    pub places: Vec<Place>,
    /// Length of every data file in bytes.
    pub lengths: Vec<u64>,
}

impl Layout {
    /// Spreads tensors of `sizes` bytes over `shards` data files of about equal length, each of at
    /// least one tensor, every tensor beginning at a multiple of `align`.
    ///
    /// # Errors
    /// `InvalidArgument` when `align` is not a power of two up to [`MAX_ALIGN`], when there are
    /// fewer tensors than shards, or when a file would pass 2^63 bytes.
    pub fn new(sizes: &[u64], shards: u32, align: u64) -> Result<Self> {
        check_align(align)?;
        if shards == 0 || sizes.len() < shards as usize {
            return Err(Error::invalid(format!(
                "{shards} data files need at least one tensor each, there are {}",
                sizes.len()
            )));
        }
        let mut places = Vec::with_capacity(sizes.len());
        let mut lengths = Vec::with_capacity(shards as usize);
        let mut rest = sizes;
        for (shard, count) in (0..shards).zip(balance(sizes, shards)) {
            let (range, tail) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = tail;
            let mut end = 0;
            for &size in range {
                let offset = aligned(end, align).ok_or_else(too_large)?;
                places.push(Place { shard, offset });
                end = offset.checked_add(size).ok_or_else(too_large)?;
            }
            i64::try_from(end).map_err(|_| too_large())?;
            lengths.push(end);
        }
        Ok(Self { places, lengths })
    }
}

/// Checks an alignment.
///
/// # Errors
/// `InvalidArgument` for anything but a power of two from 1 (packed) to [`MAX_ALIGN`].
pub fn check_align(align: u64) -> Result<()> {
    if align.is_power_of_two() && align <= MAX_ALIGN {
        return Ok(());
    }
    Err(Error::invalid(format!("alignment must be a power of two up to {MAX_ALIGN}, got {align}")))
}

fn too_large() -> Error {
    Error::invalid("the tensors do not fit a file")
}

/// The first multiple of `align` from `offset` on.
fn aligned(offset: u64, align: u64) -> Option<u64> {
    offset.checked_add(align - 1).map(|end| end & !(align - 1))
}

/// How many tensors each data file gets.
///
/// File `k` ends where the running total comes closest to its share, yet never so early or late
/// that a file is left without a tensor.
fn balance(sizes: &[u64], shards: u32) -> Vec<usize> {
    let total: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
    let shards = shards as usize;
    let mut counts = Vec::with_capacity(shards);
    let mut rest = sizes.iter();
    let mut before = 0u128;
    for shard in 1..=shards {
        let later = shards - shard;
        let share = total * shard as u128 / shards as u128;
        let mut count = 0;
        while rest.len() > later {
            let after = before + rest.as_slice().first().map_or(0, |&size| u128::from(size));
            let closer = after <= share || after - share < share.saturating_sub(before);
            if count > 0 && later > 0 && !closer {
                break;
            }
            rest.next();
            before = after;
            count += 1;
        }
        counts.push(count);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(sizes: &[u64], shards: u32, align: u64) -> Vec<(u32, u64)> {
        let layout = Layout::new(sizes, shards, align).unwrap();
        layout.places.iter().map(|place| (place.shard, place.offset)).collect()
    }

    #[test]
    fn alignment_one_packs() {
        assert_eq!(places(&[3, 0, 5], 1, 1), [(0, 0), (0, 3), (0, 3)]);
        assert_eq!(Layout::new(&[3, 0, 5], 1, 1).unwrap().lengths, [8]);
    }

    #[test]
    fn every_tensor_begins_aligned_and_an_empty_last_one_lies_within_the_file() {
        assert_eq!(places(&[3, 64, 1, 0], 1, 64), [(0, 0), (0, 64), (0, 128), (0, 192)]);
        assert_eq!(Layout::new(&[3, 64, 1, 0], 1, 64).unwrap().lengths, [192]);
    }

    #[test]
    fn files_are_of_about_equal_length() {
        assert_eq!(balance(&[10; 9], 3), [3, 3, 3]);
        assert_eq!(balance(&[100, 1, 1, 1, 1, 100], 2), [3, 3]);
        assert_eq!(balance(&[1, 1, 1, 97], 2), [3, 1]);
        assert_eq!(balance(&[97, 1, 1, 1], 2), [1, 3]);
    }

    #[test]
    fn no_file_is_left_without_a_tensor() {
        for sizes in [vec![0; 7], vec![1_000_000, 0, 0, 0, 0, 0, 0], vec![0, 0, 0, 0, 0, 0, 9]] {
            for shards in 1..=7 {
                let counts = balance(&sizes, shards);
                assert_eq!(counts.len(), shards as usize);
                assert_eq!(counts.iter().sum::<usize>(), 7);
                assert!(counts.iter().all(|&count| count > 0), "{sizes:?} over {shards}");
            }
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        assert!(Layout::new(&[1], 2, 1).is_err());
        assert!(Layout::new(&[1], 0, 1).is_err());
        assert!(Layout::new(&[u64::MAX, 2], 1, 1).is_err());
        assert!(Layout::new(&[u64::MAX - 3, 2], 1, 64).is_err());
        assert!(Layout::new(&[i64::MAX as u64, 1], 1, 1).is_err());
        for align in [0, 3, 96, 8192] {
            assert!(Layout::new(&[1], 1, align).is_err(), "{align}");
        }
    }
}
