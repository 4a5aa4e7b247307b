//! Which data file holds which tensor, and where in it.
//!
//! Tensors lie in the order they are given, each data file holding a contiguous range of them, or of
//! those of one group.
//! Offsets are explicit in the index, so the gaps that alignment leaves are legal everywhere.

use std::collections::BTreeMap;

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
        if shards == 0 || sizes.len() < shards as usize {
            check_align(align)?;
            return Err(Error::invalid(format!(
                "{shards} data files need at least one tensor each, there are {}",
                sizes.len()
            )));
        }
        Self::grouped(sizes, &vec![0; sizes.len()], shards, align)
    }

    /// Gives every group of tensors (`groups` has the number of each tensor's) a data file of its
    /// own, in the order of their numbers. Files beyond the number of groups go to the largest
    /// group, or stay without a tensor where that has too few; those are not in `lengths`.
    ///
    /// # Errors
    /// As [`Layout::new`]; `InvalidArgument` also when there are fewer shards than groups.
    pub fn grouped(sizes: &[u64], groups: &[u32], shards: u32, align: u64) -> Result<Self> {
        check_align(align)?;
        let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (tensor, &group) in groups.iter().enumerate().take(sizes.len()) {
            members.entry(group).or_default().push(tensor);
        }
        let extra = (shards as usize).checked_sub(members.len()).ok_or_else(|| {
            Error::invalid(format!(
                "{} groups need as many data files, not {shards}",
                members.len()
            ))
        })?;
        let size = |&tensor: &usize| sizes.get(tensor).copied().unwrap_or(0);
        let total = |members: &[usize]| members.iter().map(|at| u128::from(size(at))).sum::<u128>();
        let largest =
            members.iter().max_by_key(|(_, of)| (of.len() > 1, total(of))).map(|(&group, _)| group);

        let mut places = vec![Place { shard: 0, offset: 0 }; sizes.len()];
        let mut lengths = Vec::with_capacity(shards as usize);
        for (group, tensors) in members {
            let files = if Some(group) == largest { tensors.len().min(1 + extra) } else { 1 };
            let of_group: Vec<u64> = tensors.iter().map(size).collect();
            let mut rest = tensors.iter().zip(&of_group);
            for count in balance(&of_group, files) {
                let shard = u32::try_from(lengths.len()).map_err(|_| too_large())?;
                let mut end = 0;
                for (&tensor, &size) in rest.by_ref().take(count) {
                    let offset = aligned(end, align).ok_or_else(too_large)?;
                    if let Some(place) = places.get_mut(tensor) {
                        *place = Place { shard, offset };
                    }
                    end = offset.checked_add(size).ok_or_else(too_large)?;
                }
                i64::try_from(end).map_err(|_| too_large())?;
                lengths.push(end);
            }
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
fn balance(sizes: &[u64], shards: usize) -> Vec<usize> {
    let total: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
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
                assert_eq!(counts.len(), shards);
                assert_eq!(counts.iter().sum::<usize>(), 7);
                assert!(counts.iter().all(|&count| count > 0), "{sizes:?} over {shards}");
            }
        }
    }

    #[test]
    fn every_group_has_files_of_its_own_and_the_largest_is_split() {
        let shards = |sizes: &[u64], groups: &[u32], shards| {
            let layout = Layout::grouped(sizes, groups, shards, 1).unwrap();
            let of = layout.places.iter().map(|place| place.shard).collect::<Vec<_>>();
            (of, layout.lengths)
        };
        let sizes = [5, 10, 5, 30];
        assert_eq!(shards(&sizes, &[0, 1, 0, 1], 2), (vec![0, 1, 0, 1], vec![10, 40]));
        assert_eq!(shards(&sizes, &[1, 0, 1, 0], 2), (vec![1, 0, 1, 0], vec![40, 10]));
        assert_eq!(shards(&sizes, &[0, 1, 0, 1], 3), (vec![0, 1, 0, 2], vec![10, 10, 30]));
        // The largest has a single tensor, so another is split; the last file stays empty.
        assert_eq!(shards(&sizes, &[0, 0, 0, 7], 3), (vec![0, 1, 1, 2], vec![5, 15, 30]));
        assert_eq!(shards(&sizes, &[0, 1, 2, 3], 5), (vec![0, 1, 2, 3], vec![5, 10, 5, 30]));
    }

    #[test]
    fn impossible_requests_are_refused() {
        assert!(Layout::grouped(&[1, 2], &[0, 1], 1, 1).is_err());
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
