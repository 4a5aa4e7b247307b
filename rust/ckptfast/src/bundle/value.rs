//! What a read hands out.

use std::sync::Arc;

use crate::counters;
use crate::io::Memory;

/// The elements of a tensor, row-major.
#[derive(Clone, Debug)]
pub enum Value {
    /// Elements of fixed width, little-endian.
    Dense(Dense),
    /// The elements of a `string` or `variant` tensor.
    Elements(Vec<Vec<u8>>),
}

/// Bytes within memory that others may share.
#[derive(Clone, Debug)]
pub struct Dense {
    /// A mapped file, or memory of our own.
    pub memory: Arc<Memory>,
    /// First byte.
    pub offset: usize,
    /// Number of bytes.
    pub length: usize,
}

impl Value {
    /// Counts what is handed out, whatever was read for it.
    pub(crate) fn count(&self) {
        let (bytes, how) = match self {
            Self::Dense(dense) if dense.memory.aliases_file() => {
                (dense.length, &counters::BYTES_ALIASED)
            }
            Self::Dense(dense) => (dense.length, &counters::BYTES_COPIED),
            Self::Elements(elements) => {
                (elements.iter().map(Vec::len).sum(), &counters::BYTES_COPIED)
            }
        };
        counters::TENSORS_READ.add(1);
        counters::BYTES_READ.add(bytes as u64);
        how.add(bytes as u64);
    }
}

impl Dense {
    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        let tail = self.memory.get(self.offset..).unwrap_or_default();
        tail.get(..self.length).unwrap_or_default()
    }
}
