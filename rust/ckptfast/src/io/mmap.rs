//! A file mapped into memory.
//!
//! # Contract
//! A mapping is sound while nobody changes the file in place. Writers of this library never do:
//! they write a sibling and rename it, which leaves the mapped inode as it was. Somebody else may:
//! rewriting the file in place changes the bytes seen here, truncating it makes the next access
//! raise `SIGBUS`. That is inherent in mapping a file, documented to users, and what
//! `copy=True` avoids.

use std::ops::{Deref, Range};

use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::io::Errno;

use super::File;
use crate::error::{Error, Result};

/// From this length on a mapping is taken back by a thread of its own: to take back the small pages
/// of 1 GiB takes 9 ms, and whoever lets go of the last array, such as an assignment to a variable,
/// should not wait for that.
const SLOW_TO_UNMAP: usize = 64 << 20;

/// Who may write to the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nobody.
    ReadOnly,
    /// The process, into pages of its own: a write neither faults nor reaches the file. For memory
    /// handed to kernels of another library.
    Private,
}

/// The pages of a whole file.
#[derive(Debug)]
pub struct Mapping(Pages);

#[derive(Debug)]
enum Pages {
    /// An empty file cannot be mapped.
    Empty,
    ReadOnly(Mmap),
    Private(MmapMut),
}

impl Mapping {
    /// Maps `file` in its whole length.
    #[allow(unsafe_code, reason = "a file can change under its mapping: see the contract above")]
    pub fn new(file: &File, protection: Protection) -> Result<Self> {
        let failed = |error| Error::io("cannot map into memory", error).at_path(file.path());
        let length = usize::try_from(file.length())
            .map_err(|_| Error::unsupported("file is too large to map").at_path(file.path()))?;
        if length == 0 {
            return Ok(Self(Pages::Empty));
        }
        let mut options = MmapOptions::new();
        options.len(length);
        let pages = match protection {
            // SAFETY: the contract of this module.
            Protection::ReadOnly => {
                Pages::ReadOnly(unsafe { options.map(file.handle()) }.map_err(failed)?)
            }
            // SAFETY: the contract of this module. Without reserving swap for pages that nobody
            // is expected to write, a large file maps under strict overcommit too.
            Protection::Private => Pages::Private(
                unsafe { options.no_reserve_swap().map_copy(file.handle()) }.map_err(failed)?,
            ),
        };
        Ok(Self(pages))
    }

    /// Enters the pages of `range`, and says whether they can be touched.
    ///
    /// They cannot where the file ends earlier by now, so that to touch its pages would end the
    /// process, and where the disk fails. A read tells which. Linux before 5.14 does not know, and
    /// nobody knows what happens between this call and the next: it is for whoever touches the
    /// pages at once.
    pub fn enter(&self, range: Range<usize>) -> bool {
        self.get(range).is_some_and(enter)
    }
}

/// As [`Mapping::enter`], for bytes of which the caller knows that they are pages of some file.
#[allow(unsafe_code, reason = "the system's call takes an address")]
pub fn enter(bytes: &[u8]) -> bool {
    let address = bytes.as_ptr();
    let before = address as usize % rustix::param::page_size();
    let start = address.wrapping_sub(before).cast_mut().cast();
    // SAFETY: this changes no byte, and fails for addresses that are none of this process.
    let entered = unsafe {
        rustix::mm::madvise(start, before + bytes.len(), rustix::mm::Advice::LinuxPopulateRead)
    };
    bytes.is_empty() || matches!(entered, Ok(()) | Err(Errno::INVAL))
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len() < SLOW_TO_UNMAP {
            return;
        }
        let pages = std::mem::replace(&mut self.0, Pages::Empty);
        // Where there can be no further thread, the closure is dropped here, and the pages with it.
        let _ = std::thread::Builder::new().name("ckptfast-unmap".into()).spawn(|| drop(pages));
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Pages::Empty => &[],
            Pages::ReadOnly(pages) => pages,
            Pages::Private(pages) => pages,
        }
    }
}
