//! One data file, opened when the first tensor in it is asked for.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::entry::Extent;
use super::transfer::Source;
use crate::error::{Error, Result};
use crate::io::{File, Mapping, Memory, Protection, zeroed};

/// How the bytes of data files are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Backend {
    /// Mapped on local file systems, read on network ones.
    #[default]
    Auto,
    /// Mapped.
    Mmap,
    /// Read into memory.
    Pread,
}

/// Whether values may be the pages of the file themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CopyPolicy {
    /// Where the file system is local and the bytes can be used as they are.
    #[default]
    IfNeeded,
    /// Never: values depend on nothing.
    Always,
    /// Always, or fail.
    Never,
}

/// An open data file.
#[derive(Debug)]
pub struct Shard {
    file: File,
    mapping: Option<Arc<Memory>>,
    network: bool,
}

impl Shard {
    /// Opens and, where `backend` says so, maps the data file.
    pub fn open(path: &Path, backend: Backend, protection: Protection) -> Result<Self> {
        let file = File::open(path)?;
        let network = file.on_network();
        let map = match backend {
            Backend::Auto => !network,
            Backend::Mmap => true,
            Backend::Pread => false,
        };
        let mapping = if map {
            Some(Arc::new(Memory::Mapped(Mapping::new(&file, protection)?)))
        } else {
            None
        };
        Ok(Self { file, mapping, network })
    }

    /// Checks that the file reaches as far as the entry says.
    pub fn check(&self, extent: &Extent) -> Result<()> {
        if extent.end() <= self.file.length() {
            return Ok(());
        }
        Err(Error::corruption(format!(
            "data file is too short: it has {} bytes, the entry ends at {}",
            self.file.length(),
            extent.end()
        )))
    }

    /// Where to take bytes from; from the mapping, if there is one, only where `mapped`.
    pub fn source(&self, mapped: bool) -> Source<'_> {
        let mapping = match self.mapping.as_deref() {
            Some(Memory::Mapped(mapping)) if mapped => Some(mapping),
            _ => None,
        };
        Source { file: &self.file, mapping }
    }

    /// The mapping, if values may be its pages.
    ///
    /// # Errors
    /// `InvalidArgument` when they must be and there is no mapping.
    pub fn alias(&self, policy: CopyPolicy) -> Result<Option<&Arc<Memory>>> {
        match policy {
            CopyPolicy::Always => Ok(None),
            CopyPolicy::IfNeeded if self.network => Ok(None),
            CopyPolicy::IfNeeded => Ok(self.mapping.as_ref()),
            CopyPolicy::Never => self.mapping.as_ref().map(Some).ok_or_else(|| {
                Error::invalid(
                    "copy=False needs the file mapped into memory, and this backend reads it; \
                     pass backend=\"mmap\" or leave copy at None",
                )
                .at_path(self.file.path())
            }),
        }
    }

    /// The bytes of an entry: pages of the mapping, or read.
    pub fn bytes(&self, extent: &Extent) -> Result<Cow<'_, [u8]>> {
        self.check(extent)?;
        let short = || Error::corruption("data file is too short");
        let start = usize::try_from(extent.offset).map_err(|_| short())?;
        let length = usize::try_from(extent.size).map_err(|_| short())?;
        let end = start.checked_add(length).ok_or_else(short)?;
        // Where the pages cannot be touched, to read them gives the error.
        if let Some(memory) = self.mapping.as_deref().filter(|memory| memory.enter(start..end)) {
            return memory.get(start..end).map(Into::into).ok_or_else(short);
        }
        let mut bytes = zeroed(length)?;
        self.file.read_at(&mut bytes, extent.offset)?;
        Ok(bytes.into())
    }
}
