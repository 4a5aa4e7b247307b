//! Merging bundles into one without copying their data (`MergeV2Checkpoints`).
//!
//! Data files get new names, the index is written anew. Each data file first gets its new name as
//! a second one, and loses the old after the commit; so until the commit every bundle that goes in
//! is whole, and so is the one that is replaced, whose names are not taken. (On a file system
//! without hard links the files are renamed instead: a crash before the commit then leaves them
//! under their new names, without an index.)

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use prost::Message;

use super::commit::{self, Live};
use super::entry::{self, Content, Header};
use super::index::{self, IndexBuilder};
use super::naming;
use super::sources;
use crate::error::{Error, Result};
use crate::io::File;
use crate::io::atomic::{self, Durability, TempFile, Undo};
use crate::proto::{BundleEntryProto, BundleHeaderProto, TensorSliceProto};
use crate::shape::Shape;
use crate::slice::TensorSlice;
use crate::table::Table;

/// How to merge bundles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeOptions {
    /// What is on disk when the call returns.
    pub durability: Durability,
    /// Remove the directories of the merged bundles where nothing else is in them. The bundles
    /// themselves are gone in any case.
    pub delete_old: bool,
    /// Pass over a prefix that has no index.
    pub allow_missing: bool,
}

/// Merges the bundles at `prefixes` into one at `prefix`, replacing what is there; returns the
/// number of its data files.
///
/// Data files are numbered in the order in which the indexes mention them. Where a bundle of the
/// same number of data files is replaced, the new one has an empty one more, so that it takes no
/// name in use.
///
/// # Errors
/// `InvalidArgument` when a prefix has no index, when two bundles hold the same tensor or
/// overlapping slices, or differ in byte order or version; `Corruption` when one of them is
/// damaged. Nothing has changed then.
pub fn merge(prefixes: &[PathBuf], prefix: &Path, options: &MergeOptions) -> Result<u32> {
    let mut merged = Merged::default();
    for input in prefixes {
        let index = naming::index_path(input);
        let read = File::open(&index).and_then(|file| index::read(&file));
        match read {
            Ok(bytes) => merged.add(input, &bytes).map_err(|error| error.at_path(&index))?,
            Err(error) if error.io_kind() != Some(std::io::ErrorKind::NotFound) => {
                return Err(error);
            }
            Err(_) if options.allow_missing => {}
            Err(error) => {
                return Err(Error::invalid(format!(
                    "allow_missing_files was set to false and {} did not exist. {error}",
                    input.display()
                )));
            }
        }
    }
    let Some(first) = merged.inputs.first() else {
        return Err(Error::invalid(
            "At least one prefix checkpoint file must exist, but none existed.",
        ));
    };
    let header = first.header.clone();
    merged.check()?;
    commit_merged(&merged, header, prefix, *options)
}

fn commit_merged(
    merged: &Merged,
    mut header: BundleHeaderProto,
    prefix: &Path,
    options: MergeOptions,
) -> Result<u32> {
    let durability = options.durability;
    atomic::create_directories(&naming::directory(prefix), durability)?;
    commit::sweep(prefix);
    let _turn = commit::turn(prefix);
    let live = Live::read(prefix);
    let num_files = u32::try_from(merged.files.len())
        .map_err(|_| Error::invalid("there are too many data files"))?;
    let num_shards = commit::free_count(prefix, live, num_files)?;
    header.num_shards = num_shards.cast_signed();

    let index = TempFile::create(&naming::index_path(prefix))?;
    index.write_at(&encode(&header, merged)?, 0)?;
    index.sync(durability)?;
    let mut undo = Undo::default();
    for (shard, file) in (0..).zip(&merged.files) {
        atomic::sync_file(&file.path, durability)?;
        atomic::place(&file.path, &naming::data_path(prefix, shard, num_shards), &mut undo)?;
    }
    for shard in num_files..num_shards {
        let target = naming::data_path(prefix, shard, num_shards);
        TempFile::create(&target)?.publish()?;
        undo.remove(&target);
    }
    commit::publish(prefix, index, undo, durability)?;
    commit::remove_replaced(prefix, live, num_shards);
    remove_inputs(&merged.inputs, &merged.files, prefix, options.delete_old);
    Ok(num_shards)
}

fn encode(header: &BundleHeaderProto, merged: &Merged) -> Result<Vec<u8>> {
    let mut index = IndexBuilder::with_capacity(merged.entries.len());
    for (key, entry) in &merged.entries {
        index.add(key.into(), entry)?;
    }
    index.finish(header)
}

/// A bundle that goes in.
#[derive(Debug)]
struct Input {
    prefix: PathBuf,
    header: BundleHeaderProto,
}

/// A data file that goes in.
#[derive(Debug)]
struct DataFile {
    path: PathBuf,
    /// The least length that holds all its entries.
    length: u64,
}

/// Everything that goes in, put together.
#[derive(Debug, Default)]
struct Merged {
    inputs: Vec<Input>,
    /// In the order of their new numbers.
    files: Vec<DataFile>,
    entries: BTreeMap<Vec<u8>, BundleEntryProto>,
}

impl Merged {
    fn add(&mut self, prefix: &Path, bytes: &[u8]) -> Result<()> {
        let mut header = None;
        let mut numbers = HashMap::new();
        Table::parse(bytes)?.for_each(bytes, |key, value| {
            let Some(num_shards) = header else {
                header = Some(self.add_header(prefix, key, value)?);
                return Ok(());
            };
            let mut dims = Vec::new();
            let (_, content) =
                entry::decode(value, num_shards, &mut dims).map_err(|error| error.with_key(key))?;
            let mut proto = BundleEntryProto::decode(value)
                .map_err(|error| Error::corruption(format!("cannot parse the entry: {error}")))?;
            if self.join(prefix, key, &proto)? {
                return Ok(());
            }
            // The entry of a partitioned tensor has no data; its number means nothing.
            let number = numbers.get(&proto.shard_id).copied();
            proto.shard_id = match (&content, number) {
                (Content::Data(extent), None) => {
                    let number = i32::try_from(self.files.len())
                        .map_err(|_| Error::invalid("there are too many data files"))?;
                    let path = naming::data_path(prefix, extent.shard, num_shards);
                    self.files.push(DataFile { path, length: 0 });
                    numbers.insert(proto.shard_id, number);
                    number
                }
                (_, number) => number.unwrap_or(0),
            };
            if let Content::Data(extent) = content
                && let Some(file) = usize::try_from(proto.shard_id)
                    .ok()
                    .and_then(|number| self.files.get_mut(number))
            {
                file.length = file.length.max(extent.end());
            }
            self.entries.insert(key.to_vec(), proto);
            Ok(())
        })?;
        match header {
            Some(_) => Ok(()),
            None => Err(Error::corruption("the index has no bundle header")),
        }
    }

    /// Checks the first value of an index; returns the number of data files.
    fn add_header(&mut self, prefix: &Path, key: &[u8], value: &[u8]) -> Result<u32> {
        if !key.is_empty() {
            return Err(Error::corruption("the index has no bundle header"));
        }
        let num_shards = Header::decode(value)?.num_shards;
        let header = BundleHeaderProto::decode(value)
            .map_err(|error| Error::corruption(format!("cannot parse the header: {error}")))?;
        if let Some(first) = self.inputs.first() {
            if first.header.endianness != header.endianness {
                return Err(Error::invalid(
                    "Merging bundles with conflicting endianness; inputs corrupted?",
                ));
            }
            if first.header.version != header.version {
                return Err(Error::invalid("Merging bundles with different format versions"));
            }
        }
        self.inputs.push(Input { prefix: prefix.to_owned(), header });
        Ok(num_shards)
    }

    /// Adds slices to a partitioned tensor that is already there; false where there is none.
    fn join(&mut self, prefix: &Path, key: &[u8], proto: &BundleEntryProto) -> Result<bool> {
        let Some(there) = self.entries.get_mut(key) else { return Ok(false) };
        if there.slices.is_empty() || proto.slices.is_empty() {
            return Err(Error::invalid(format!(
                "Duplicate tensor keyed by {} encountered, when merging prefix: {}",
                key.escape_ascii(),
                prefix.display()
            )));
        }
        if (there.dtype, &there.shape) != (proto.dtype, &proto.shape) {
            return Err(Error::invalid(
                "slices of one tensor disagree on its element type or shape",
            )
            .with_key(key));
        }
        there.slices.extend(proto.slices.iter().cloned());
        Ok(true)
    }

    /// Checks what only shows when everything is together.
    fn check(&self) -> Result<()> {
        if self.files.is_empty() {
            return Err(Error::invalid("there are no tensors to merge"));
        }
        for (key, entry) in self.entries.iter().filter(|(_, entry)| entry.slices.len() > 1) {
            check_slices(entry).map_err(|error| error.with_key(key))?;
        }
        for file in &self.files {
            let length = File::open(&file.path)?.length();
            if length < file.length {
                return Err(Error::corruption(format!(
                    "file has {length} bytes, its tensors end at {}",
                    file.length
                ))
                .at_path(&file.path));
            }
        }
        Ok(())
    }
}

fn check_slices(entry: &BundleEntryProto) -> Result<()> {
    let whole = Shape::try_from(&entry.shape.clone().unwrap_or_default())?;
    let resolve = |proto: &TensorSliceProto| {
        let slice = TensorSlice::try_from(proto)?;
        Ok((slice.resolve(&whole)?, slice))
    };
    let slices = entry.slices.iter().map(resolve).collect::<Result<Vec<_>>>()?;
    let slices: Vec<_> = slices.iter().map(|(region, slice)| (region, slice)).collect();
    sources::check_disjoint(&slices)
}

/// Removes what the new bundle has made superfluous: indexes first, so that none is left whose
/// data is gone. The merge has succeeded; what cannot be removed stays.
fn remove_inputs(inputs: &[Input], files: &[DataFile], prefix: &Path, delete_old: bool) {
    let home = |prefix: &Path| naming::directory(prefix).canonicalize().ok();
    let others = || {
        let is_target = |input: &Input| {
            home(&input.prefix) == home(prefix)
                && naming::stem(&input.prefix) == naming::stem(prefix)
        };
        inputs.iter().filter(move |input| !is_target(input))
    };
    for input in others() {
        let _ = atomic::remove(&naming::index_path(&input.prefix));
    }
    for file in files {
        let _ = atomic::remove(&file.path);
    }
    if delete_old {
        for input in others().filter(|input| home(&input.prefix) != home(prefix)) {
            let _ = atomic::remove_directory(&naming::directory(&input.prefix));
        }
    }
}
