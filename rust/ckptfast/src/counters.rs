//! What this process has read and written so far, for users who want to know which path they got.

use std::sync::atomic::{AtomicU64, Ordering};

/// One running total.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to the total.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The total since the library was loaded.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Tensors (or slices) handed to a caller.
pub static TENSORS_READ: Counter = Counter::new();
/// Bytes of those tensors.
pub static BYTES_READ: Counter = Counter::new();
/// Tensors (or slices) written.
pub static TENSORS_WRITTEN: Counter = Counter::new();
/// Bytes of those tensors.
pub static BYTES_WRITTEN: Counter = Counter::new();
/// Bytes whose checksum was compared with the stored one.
pub static BYTES_VERIFIED: Counter = Counter::new();
/// Bytes handed out without a copy.
pub static BYTES_ALIASED: Counter = Counter::new();
/// Bytes that were copied on their way to the caller.
pub static BYTES_COPIED: Counter = Counter::new();
