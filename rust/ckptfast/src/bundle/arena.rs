//! Memory for the copies of one read: large ones get their own, small ones share.

use std::sync::Arc;

use super::value::Dense;
use crate::error::Result;
use crate::io::{ALIGNMENT, Buffer, Memory};

/// Copies smaller than this share memory with their neighbours.
const SHARED: usize = 1 << 20;
/// How much memory they share at the most, and keep alive together.
const ARENA: usize = 4 << 20;

/// Memory of one value, to be filled.
#[derive(Debug)]
pub struct Target<'a> {
    /// As long as the value.
    pub bytes: &'a mut [u8],
    /// Whether the system has yet to find the pages: see [`Buffer::is_fresh`].
    pub fresh: bool,
}

/// Buffers for a list of values, each value aligned to [`ALIGNMENT`]. Between them is whatever was
/// there before.
#[derive(Debug)]
pub struct Arenas {
    buffers: Vec<Buffer>,
    /// Buffer, offset and length of every value, ascending.
    places: Vec<(usize, usize, usize)>,
}

impl Arenas {
    /// Memory for values of these lengths.
    pub fn allocate(lengths: Vec<usize>) -> Result<Self> {
        let mut places = Vec::with_capacity(lengths.len());
        let mut sizes: Vec<usize> = Vec::new();
        let mut open = false;
        for length in lengths {
            let end = sizes.last().copied().unwrap_or(0).next_multiple_of(ALIGNMENT);
            let small = length < SHARED;
            if open && small && end + length <= ARENA {
                places.push((sizes.len() - 1, end, length));
                sizes.pop();
                sizes.push(end + length);
            } else {
                places.push((sizes.len(), 0, length));
                sizes.push(length);
            }
            open = small;
        }
        let buffers = Buffer::to_fill(&sizes)?;
        Ok(Self { buffers, places })
    }

    /// The memory of every value, to be filled.
    pub fn targets(&mut self) -> Vec<Target<'_>> {
        let mut targets = Vec::with_capacity(self.places.len());
        let mut places = self.places.iter().peekable();
        for (index, buffer) in self.buffers.iter_mut().enumerate() {
            let fresh = buffer.is_fresh();
            let mut rest: &mut [u8] = buffer;
            let mut position = 0;
            while let Some(&(_, offset, length)) = places.next_if(|place| place.0 == index) {
                let (bytes, tail) = rest.split_at_mut(offset - position).1.split_at_mut(length);
                targets.push(Target { bytes, fresh });
                rest = tail;
                position = offset + length;
            }
        }
        targets
    }

    /// The filled values.
    pub fn into_values(self) -> Vec<Dense> {
        let memories: Vec<Arc<Memory>> =
            self.buffers.into_iter().map(|buffer| Arc::new(Memory::Owned(buffer))).collect();
        let value = |(index, offset, length): (usize, usize, usize)| {
            let memory = Arc::clone(memories.get(index)?);
            Some(Dense { memory, offset, length })
        };
        self.places.into_iter().filter_map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_disjoint_and_in_order() {
        let lengths = vec![3, 0, 100, SHARED, SHARED - 1, 5 << 20, 64, 1];
        let mut arenas = Arenas::allocate(lengths.clone()).unwrap();
        for (number, target) in arenas.targets().into_iter().enumerate() {
            assert_eq!(target.bytes.len(), lengths[number]);
            target.bytes.fill(u8::try_from(number).unwrap());
        }
        let values = arenas.into_values();
        assert_eq!(values.len(), lengths.len());
        for (number, value) in values.iter().enumerate() {
            assert_eq!(value.bytes().len(), lengths[number]);
            assert_eq!(value.bytes().as_ptr() as usize % ALIGNMENT, 0);
            assert!(value.bytes().iter().all(|&byte| usize::from(byte) == number));
        }
    }
}
