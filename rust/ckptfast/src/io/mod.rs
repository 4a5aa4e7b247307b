//! Files, mappings and memory: the only layer that sees a path or asks the system for pages.

pub mod atomic;
mod buffer;
mod file;
mod kept;
mod mmap;
pub mod streaming;

use std::ops::Range;

pub use buffer::{ALIGNMENT, Buffer, scratch, zeroed};
pub use file::File;
pub use kept::{forks_are_safe, release as release_memory};
pub use mmap::{Mapping, Protection, enter};

/// Immutable bytes with a stable address: a mapped file, or memory of our own.
#[derive(Debug)]
pub enum Memory {
    /// The pages of a file.
    Mapped(Mapping),
    /// Memory filled by a copy.
    Owned(Buffer),
}

impl Memory {
    /// Whether the bytes are those of a file that somebody could change.
    pub fn aliases_file(&self) -> bool {
        matches!(self, Self::Mapped(_))
    }

    /// Whether the bytes of `range` can be touched: see [`Mapping::enter`].
    pub fn enter(&self, range: Range<usize>) -> bool {
        match self {
            Self::Mapped(mapping) => mapping.enter(range),
            Self::Owned(buffer) => buffer.get(range).is_some(),
        }
    }
}

impl std::ops::Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping,
            Self::Owned(buffer) => buffer,
        }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
