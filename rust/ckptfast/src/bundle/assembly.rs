//! A box of a tensor being filled from parts, for elements of fixed and of varying width.

use std::sync::Arc;

use super::partition::{self, Pages};
use super::value::{Dense, Value};
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::io::{Buffer, Memory};
use crate::parallel::Workers;
use crate::slice::Region;

/// Width of the numbers that stand for elements of varying width.
const NUMBER: usize = size_of::<u64>();

/// The box, and what of it is there.
#[derive(Debug)]
pub struct Assembly<'a> {
    target: &'a Region,
    item: usize,
    /// Elements, or, where their width varies, their numbers in `elements`.
    bytes: Buffer,
    elements: Option<Vec<Vec<u8>>>,
}

impl<'a> Assembly<'a> {
    /// A box to be filled. The caller knows that `target` is covered by data that exists, which
    /// bounds the memory taken here, and leaves nothing of what was in it.
    pub fn new(target: &'a Region, dtype: DataType) -> Result<Self> {
        let item = dtype.size().unwrap_or(NUMBER);
        let too_large = || Error::unsupported(format!("a box of {} elements", target.shape));
        let count = usize::try_from(target.shape.num_elements()).map_err(|_| too_large())?;
        let bytes = Buffer::one_to_fill(count.checked_mul(item).ok_or_else(too_large)?)?;
        let elements = if dtype.size().is_none() { Some(Vec::new()) } else { None };
        Ok(Self { target, item, bytes, elements })
    }

    /// Copies in what the part at `region` has in common with the box.
    pub fn add(&mut self, region: &Region, part: Value, workers: &Workers<'_>) -> Result<()> {
        match (part, &mut self.elements) {
            (Value::Dense(part), None) => {
                let mapped = part.memory.aliases_file();
                self.copy(region, Pages { bytes: part.bytes(), mapped }, workers)
            }
            (Value::Elements(mut part), Some(elements)) => {
                let numbers = elements.len()..elements.len() + part.len();
                let numbers: Vec<u8> =
                    numbers.flat_map(|number| (number as u64).to_le_bytes()).collect();
                elements.append(&mut part);
                self.copy(region, Pages { bytes: &numbers, mapped: false }, workers)
            }
            _ => Err(Error::invalid("the parts of a tensor have different types")),
        }
    }

    fn copy(&mut self, region: &Region, part: Pages<'_>, workers: &Workers<'_>) -> Result<()> {
        partition::copy_overlap(self.target, &mut self.bytes, region, part, self.item, workers)
    }

    /// The filled box.
    pub fn finish(self) -> Result<Value> {
        let Some(mut elements) = self.elements else {
            let length = self.bytes.len();
            let memory = Arc::new(Memory::Owned(self.bytes));
            return Ok(Value::Dense(Dense { memory, offset: 0, length }));
        };
        // Every element has one place, so it can be moved there.
        let numbers = self.bytes.as_chunks::<NUMBER>().0.iter().copied().map(u64::from_le_bytes);
        let element =
            |number| Some(std::mem::take(elements.get_mut(usize::try_from(number).ok()?)?));
        let picked: Option<Vec<_>> = numbers.map(element).collect();
        picked.map(Value::Elements).ok_or_else(|| Error::invalid("an element went missing"))
    }
}
