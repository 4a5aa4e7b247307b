//! An open bundle: the checked index, and data files opened as they are needed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::entries::Entries;
use super::entry::{Content, Entry, Extent, Header};
use super::index;
use super::naming;
use super::shard::{Backend, Shard};
use crate::error::{Error, Result};
use crate::io::{File, Protection};
use crate::ordered_code::{describe_key, encode_slice_key, is_slice_key, tensor_name};
use crate::slice::TensorSlice;
use crate::table::Table;

/// How to open a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// How data files are reached.
    pub backend: Backend,
    /// Who may write to mapped pages.
    pub protection: Protection,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { backend: Backend::Auto, protection: Protection::ReadOnly }
    }
}

/// An open bundle. The index was read and checked in whole; tensors are known by their number in
/// the order of their names.
#[derive(Debug)]
pub struct Reader {
    prefix: PathBuf,
    /// Kept open, so that no other file can be given its inode.
    index: File,
    header: Header,
    /// Sorted by key, the header left out: first slices, then names.
    entries: Entries,
    /// Number of slice entries, which is the position of the first name.
    num_slices: usize,
    /// Whether the data of the entry was compared with its checksum.
    verified: Vec<AtomicBool>,
    /// The data files that have an entry, by number, opened when they are needed. Not behind one
    /// lock: a process that is forked while another thread holds it could never take it.
    shards: Vec<(u32, OnceLock<Arc<Shard>>)>,
    options: OpenOptions,
}

impl Reader {
    /// Reads and checks `PREFIX.index`.
    ///
    /// # Errors
    /// `Io` when the index cannot be read, `Corruption` when any of it is not as it should be.
    pub fn open(prefix: &Path, options: OpenOptions) -> Result<Self> {
        let path = naming::index_path(prefix);
        let index = File::open(&path)?;
        let bytes = index::read(&index)?;
        let (header, entries) = decode_index(&bytes).map_err(|error| error.at_path(&path))?;
        check_no_overlap(&entries).map_err(|error| error.at_path(&path))?;
        let num_slices = entries.partition_point(is_slice_key);
        Ok(Self {
            prefix: prefix.to_owned(),
            index,
            header,
            num_slices,
            verified: (0..entries.len()).map(|_| AtomicBool::new(false)).collect(),
            shards: numbers(&entries).into_iter().map(|number| (number, OnceLock::new())).collect(),
            entries,
            options,
        })
    }

    /// The path stem the bundle was opened by.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Number of data files and their byte order.
    pub fn header(&self) -> Header {
        self.header
    }

    /// All entries in key order: the data of slices first, then tensors by name.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Positions in [`Reader::entries`] of the tensors that have a name.
    pub fn named(&self) -> Range<usize> {
        self.num_slices..self.entries.len()
    }

    /// Position of the entry with this very key.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        self.entries.find(key)
    }

    /// The entry at `position`.
    pub fn entry(&self, position: usize) -> Result<Entry<'_>> {
        self.entries
            .get(position)
            .ok_or_else(|| Error::invalid(format!("there is no tensor number {position}")))
    }

    /// Position of the data of one slice of the tensor `entry`.
    ///
    /// # Errors
    /// `Corruption` when the entry lists a slice that has none.
    pub(super) fn slice_position(&self, entry: &Entry<'_>, slice: &TensorSlice) -> Result<usize> {
        self.find(&encode_slice_key(entry.key, slice)).ok_or_else(|| {
            Error::corruption(format!("the index has no data for slice {slice}"))
                .at_path(&naming::index_path(&self.prefix))
                .with_key(entry.key)
        })
    }

    /// The data file `number`, opened on first use and then kept open: a reader goes on working
    /// while somebody deletes the checkpoint.
    pub(super) fn shard(&self, number: u32) -> Result<Arc<Shard>> {
        let place = self.shards.binary_search_by_key(&number, |(number, _)| *number).ok();
        let Some((_, slot)) = place.and_then(|place| self.shards.get(place)) else {
            return Err(Error::invalid(format!("no entry is in data file {number}")));
        };
        if let Some(shard) = slot.get() {
            return Ok(Arc::clone(shard));
        }
        let path = naming::data_path(&self.prefix, number, self.header.num_shards);
        let opened = Shard::open(&path, self.options.backend, self.options.protection);
        // The names of data files come round again: those of a live index are left alone until
        // another index has taken its place. So if it is in place still, the file is the right one.
        if self.index.is_replaced() {
            return Err(Error::io(
                "the checkpoint was replaced by another save after it was opened; open it again",
                rustix::io::Errno::STALE.into(),
            )
            .at_path(self.index.path()));
        }
        let opened = opened.map_err(|error| match error.io_kind() {
            Some(std::io::ErrorKind::NotFound) => Error::io(
                "this data file is missing, and the index names it: copy it there too, or use \
                 another checkpoint",
                std::io::ErrorKind::NotFound.into(),
            )
            .at_path(&path),
            _ => error,
        });
        let shard = Arc::new(opened.map_err(|error| error.with_shard(number))?);
        // Of two threads that opened it at once, one lets go of its own.
        Ok(Arc::clone(slot.get_or_init(|| shard)))
    }

    pub(super) fn is_verified(&self, position: usize) -> bool {
        self.verified.get(position).is_some_and(|flag| flag.load(Ordering::Acquire))
    }

    pub(super) fn set_verified(&self, position: usize) {
        if let Some(flag) = self.verified.get(position) {
            flag.store(true, Ordering::Release);
        }
    }

    /// Adds to an error which tensor, data file and bytes it is about.
    pub(super) fn locate(&self, error: Error, position: usize) -> Error {
        let Some(entry) = self.entries.get(position) else { return error };
        let error = error.with_key(&tensor_name(entry.key));
        let Content::Data(extent) = entry.content else {
            return error.at_path(&naming::index_path(&self.prefix));
        };
        error
            .at_path(&naming::data_path(&self.prefix, extent.shard, self.header.num_shards))
            .with_shard(extent.shard)
            .with_range(extent.offset, extent.size)
    }
}

fn decode_index(index: &[u8]) -> Result<(Header, Entries)> {
    let table = Table::parse(index)?;
    let mut header = None;
    let mut entries = Entries::with_capacity(index.len());
    table.for_each(index, |key, value| {
        match (key, &header) {
            (b"", _) => header = Some(Header::decode(value)?),
            (key, Some(Header { num_shards, .. })) => {
                entries.push(key, value, *num_shards)?;
            }
            (_, None) => return Err(no_header()),
        }
        Ok(())
    })?;
    Ok((header.ok_or_else(no_header)?, entries))
}

fn no_header() -> Error {
    Error::corruption(
        "the index has no bundle header: it is corrupt, or a table of another kind \
         (a V1 checkpoint is one file without the ending .index)",
    )
}

/// The numbers of the data files that have an entry.
fn numbers(entries: &Entries) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    let mut last = None;
    for content in entries.contents() {
        if let Content::Data(extent) = content
            && last.replace(extent.shard) != Some(extent.shard)
        {
            numbers.insert(extent.shard);
        }
    }
    numbers
}

/// Two entries that share bytes cannot both be what was saved.
fn check_no_overlap(entries: &Entries) -> Result<()> {
    let mut extents: Vec<(Extent, usize)> = Vec::with_capacity(entries.len());
    for (position, content) in entries.contents().enumerate() {
        if let Content::Data(extent) = content
            && extent.size > 0
        {
            extents.push((*extent, position));
        }
    }
    extents.sort_unstable_by_key(|(extent, _)| (extent.shard, extent.offset));
    for (first, second) in extents.iter().zip(extents.iter().skip(1)) {
        if first.0.shard == second.0.shard && first.0.end() > second.0.offset {
            let key = |position: usize| describe_key(entries.key(position).unwrap_or_default());
            return Err(Error::corruption(format!(
                "{} and {} overlap in data file {}",
                key(first.1),
                key(second.1),
                first.0.shard
            )));
        }
    }
    Ok(())
}
