//! Memory aligned to 64 bytes, on huge pages where it is large.
//!
//! TensorFlow uses a foreign buffer without copying only if it is aligned to 64 bytes. Faulting in
//! fresh memory by 4 KiB pages is four times slower than by huge pages.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

use super::kept;
use crate::error::{Error, Result};

/// The alignment of every buffer, and of every tensor within one.
pub const ALIGNMENT: usize = 64;

/// From here on memory comes straight from the system, by huge pages.
const HUGE: usize = 1 << 20;

/// Memory of our own.
#[derive(Debug)]
pub struct Buffer {
    storage: Storage,
    length: usize,
    fresh: bool,
}

#[derive(Debug)]
enum Storage {
    /// The aligned bytes begin at `start`.
    Heap {
        bytes: Vec<u8>,
        start: usize,
    },
    Pages(MmapMut),
}

impl Buffer {
    /// `length` zero bytes.
    ///
    /// # Errors
    /// `Io` when the system has no such amount of memory.
    pub fn zeroed(length: usize) -> Result<Self> {
        if length >= HUGE {
            kept::make_room(length);
        }
        Self::fresh(length)
    }

    fn fresh(length: usize) -> Result<Self> {
        let failed = |error| Error::io(format!("cannot allocate {length} bytes of memory"), error);
        let storage = if length >= HUGE {
            let pages = MmapMut::map_anon(length).map_err(failed)?;
            // Advice: where huge pages are switched off, small ones serve.
            let _ = pages.advise(Advice::HugePage);
            Storage::Pages(pages)
        } else {
            let bytes = vec![0; length + ALIGNMENT];
            let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
            Storage::Heap { bytes, start }
        };
        Ok(Self { storage, length, fresh: true })
    }

    /// Buffers of these lengths with anything in them, for a caller who fills them: of the memory
    /// that earlier ones have left, where it fits.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn to_fill(lengths: &[usize]) -> Result<Vec<Self>> {
        let found: Vec<Option<Self>> = lengths.iter().map(|&length| Self::kept(length)).collect();
        let missing = lengths.iter().zip(&found).filter(|(_, found)| found.is_none());
        let large = missing.map(|(length, _)| *length).filter(|length| *length >= HUGE);
        kept::make_room(large.fold(0, usize::saturating_add));
        let all = found.into_iter().zip(lengths);
        all.map(|(found, &length)| found.map_or_else(|| Self::fresh(length), Ok)).collect()
    }

    /// The same of one length.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn one_to_fill(length: usize) -> Result<Self> {
        Self::kept(length).map_or_else(|| Self::zeroed(length), Ok)
    }

    fn kept(length: usize) -> Option<Self> {
        let pages = if length >= HUGE { kept::take(length) } else { None };
        pages.map(|pages| Self { storage: Storage::Pages(pages), length, fresh: false })
    }

    /// Whether the system has yet to find, and to zero, the pages.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut buffer = Self::one_to_fill(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let nothing = Storage::Heap { bytes: Vec::new(), start: 0 };
        if let Storage::Pages(pages) = std::mem::replace(&mut self.storage, nothing) {
            kept::keep(pages);
        }
    }
}

/// `length` zero bytes for a short while: memory that is never kept. With `filled` most of it will
/// be used, and comes in huge pages where `length` is a multiple of them.
///
/// # Errors
/// As [`Buffer::zeroed`].
pub fn scratch(length: usize, filled: bool) -> Result<MmapMut> {
    let failed = |error| Error::io(format!("cannot allocate {length} bytes of memory"), error);
    let pages = MmapMut::map_anon(length).map_err(failed)?;
    if filled {
        // Advice, as above.
        let _ = pages.advise(Advice::HugePage);
    }
    Ok(pages)
}

/// As [`Buffer::zeroed`], where alignment does not matter.
///
/// # Errors
/// `Io` when the system has no such amount of memory.
pub fn zeroed(length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| {
        let what = format!("cannot allocate {length} bytes of memory");
        Error::io(what, io::ErrorKind::OutOfMemory.into())
    })?;
    bytes.resize(length, 0);
    Ok(bytes)
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all = match &self.storage {
            Storage::Heap { bytes, start } => bytes.get(*start..).unwrap_or_default(),
            Storage::Pages(pages) => pages,
        };
        all.get(..self.length).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let all = match &mut self.storage {
            Storage::Heap { bytes, start } => bytes.get_mut(*start..).unwrap_or_default(),
            Storage::Pages(pages) => pages,
        };
        all.get_mut(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_aligned_zeroed_and_exactly_as_long_as_asked() {
        for length in [0, 1, 63, 64, 65, 4096, HUGE - 1, HUGE, HUGE + 1] {
            let mut buffer = Buffer::zeroed(length).unwrap();
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(7);
            assert!(buffer.iter().all(|&byte| byte == 7));
        }
    }
}
