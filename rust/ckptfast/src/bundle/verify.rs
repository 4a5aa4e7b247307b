//! Checking every byte, going on after errors; and saying what a failed check means.

use super::entry::Content;
use super::partition;
use super::read::Plan;
use super::reader::Reader;
use super::transfer;
use crate::error::{Error, Result};
use crate::parallel::Workers;
use crate::slice::Region;

/// Other tensors looked at when one fails, to tell a flipped bit from the wrong file.
const WITNESSES: usize = 8;
/// None of them larger than this, so that an error does not take as long as a full check.
const WITNESS_SIZE: u64 = 16 << 20;

const NOT_A_PAIR: &str = "the other tensors do not match either: index and data files are not a \
                          pair, one of them was copied from a different save";

impl Reader {
    /// Checks the data of the tensors at `positions` against their checksums, going on after
    /// failures; returns each failed position with its error.
    ///
    /// # Errors
    /// Only an interrupt.
    pub fn verify(
        &self,
        positions: &[usize],
        workers: &Workers<'_>,
    ) -> Result<Vec<(usize, Error)>> {
        let mut failures = Vec::new();
        let mut plans = Vec::new();
        let mut owners = Vec::new();
        for &position in positions {
            workers.interrupt.check()?;
            if let Err(error) = self.plan_check(position, &mut plans) {
                failures.push((position, error));
            }
            owners.resize(plans.len(), position);
        }
        let transfers = plans.iter().map(|plan| plan.transfer(None)).collect::<Result<_>>()?;
        let failed = transfer::run(transfers, workers)?;
        let mut bad = vec![false; plans.len()];
        for (index, error) in failed {
            if let (Some(plan), Some(&owner)) = (plans.get(index), owners.get(index)) {
                failures.push((owner, self.locate(error, plan.position)));
            }
            if let Some(flag) = bad.get_mut(index) {
                *flag = true;
            }
        }
        let mut matching = 0;
        for (plan, _) in plans.iter().zip(&bad).filter(|(_, bad)| !*bad) {
            self.set_verified(plan.position);
            matching += usize::from(plan.extent.size > 0);
        }
        let differ = |(_, error): &(usize, Error)| error.checksums().is_some();
        if failures.len() > 1 && matching == 0 && failures.iter().all(differ) {
            let note = |(position, error): (usize, Error)| (position, error.with_note(NOT_A_PAIR));
            failures = failures.into_iter().map(note).collect();
        }
        failures.sort_by_key(|(position, _)| *position);
        Ok(failures)
    }

    /// Plans the checks behind one tensor: of itself, of each of its slices, or at once for
    /// strings, whose checksum is not over the plain bytes.
    fn plan_check(&self, position: usize, plans: &mut Vec<Plan>) -> Result<()> {
        let entry = self.entry(position)?;
        let located = |error| self.locate(error, position);
        match &entry.content {
            Content::Slices(slices) => {
                for slice in slices {
                    self.plan_check(self.slice_position(&entry, slice)?, plans)?;
                }
                let parts = slices.iter().map(|slice| slice.resolve(&entry.shape));
                let parts = parts.collect::<Result<Vec<_>>>().map_err(located)?;
                partition::check_cover(&Region::whole(&entry.shape), &parts).map_err(located)
            }
            Content::Data(extent) if entry.dtype.size().is_none() => {
                self.elements(position, &entry, extent, true).map(drop).map_err(located)
            }
            Content::Data(extent) => {
                let shard = self.shard(extent.shard).map_err(located)?;
                shard.check(extent).map_err(located)?;
                plans.push(Plan {
                    position,
                    extent: *extent,
                    shard,
                    swap_width: 1,
                    alias: None,
                    mapped: true,
                    check: true,
                });
                Ok(())
            }
        }
    }

    /// Says so when the data of every tensor disagrees with the index: then not the bytes are
    /// damaged, but the files belong to different saves.
    pub(super) fn explain(&self, error: Error, position: usize, workers: &Workers<'_>) -> Error {
        if error.checksums().is_none() {
            return error;
        }
        let mut plans = Vec::new();
        for (other, entry) in self.entries().iter().enumerate() {
            let small = matches!(&entry.content, Content::Data(extent)
                if (1..=WITNESS_SIZE).contains(&extent.size) && entry.dtype.size().is_some());
            if small && other != position && plans.len() < WITNESSES {
                // A data file that cannot be opened is no witness.
                let _ = self.plan_check(other, &mut plans);
            }
        }
        let witnesses = plans.len();
        let transfers: Result<Vec<_>> = plans.iter().map(|plan| plan.transfer(None)).collect();
        let failed = transfers.and_then(|transfers| transfer::run(transfers, workers));
        match failed {
            Ok(failed) if witnesses > 0 && failed.len() == witnesses => error.with_note(NOT_A_PAIR),
            _ => error,
        }
    }
}
