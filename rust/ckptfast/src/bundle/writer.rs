//! Writing a bundle.

use std::borrow::Cow;
use std::path::Path;

use super::commit::{self, Live};
use super::index::{self, IndexBuilder};
use super::layout::{Layout, Place};
use super::naming;
use super::shards;
use super::sources::{self, Source, TensorSource};
use crate::counters;
use crate::crc32c;
use crate::error::{Error, Result};
use crate::io::atomic::{self, Durability, TempFile, Undo};
use crate::ordered_code::encode_slice_key;
use crate::parallel::Workers;
use crate::proto::BundleEntryProto;

/// How to write a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Number of data files, at most one per tensor.
    ///
    /// `None` is one where the prefix is new, and a number whose names are free where it is not
    /// (one and two in turn), so that overwriting is atomic. A given number that equals that of
    /// the bundle at the prefix reuses its names: then a crash between the renames leaves neither
    /// the old bundle nor the new one.
    pub shards: Option<u32>,
    /// Every tensor begins at a multiple of this in its data file: a power of two up to 4096. With
    /// 1 tensors are packed as TensorFlow does it.
    pub align: u64,
    /// What is on disk when the call returns.
    pub durability: Durability,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { shards: None, align: 64, durability: Durability::Full }
    }
}

/// Writes `tensors` as the bundle at `prefix`, replacing what is there; returns the number of its
/// data files. Missing directories are created.
///
/// Tensors lie in the data files in the order of their names. A bundle of a single tensor that
/// replaces one of a single data file has a second, empty one; TensorFlow reads it like any other.
///
/// # Errors
/// `InvalidArgument` and `Unsupported` for what cannot be stored, before any file is touched. After
/// any other error, an interrupt included, the bundle at `prefix` is the one that was there, and no
/// temporary file is left; only where the error says so is the new one in place.
pub fn write(
    prefix: &Path,
    tensors: Vec<TensorSource<'_>>,
    options: &WriteOptions,
    workers: &Workers<'_>,
) -> Result<u32> {
    write_grouped(prefix, tensors, &[], options, workers)
}

/// As [`write`], with data files of its own for every group of tensors: `groups` has the number of
/// each tensor's, or nothing where there are no groups. Files follow the order of the numbers.
///
/// Over a bundle of as many data files as there are groups, the largest group gets two.
///
/// # Errors
/// As [`write`]; `InvalidArgument` also when `options.shards` is less than the number of groups.
pub fn write_grouped(
    prefix: &Path,
    tensors: Vec<TensorSource<'_>>,
    groups: &[u32],
    options: &WriteOptions,
    workers: &Workers<'_>,
) -> Result<u32> {
    let sources = sources::check(tensors, groups)?;
    if sources.is_empty() {
        return Err(Error::invalid("there are no tensors to write"));
    }
    let sizes: Vec<u64> = sources.iter().map(|source| source.size).collect();
    let of: Vec<u32> = sources.iter().map(|source| source.group).collect();
    let mut numbers = of.clone();
    numbers.sort_unstable();
    numbers.dedup();
    let least = u32::try_from(numbers.len()).map_err(|_| Error::invalid("too many groups"))?;
    let arranged = |shards: u32| match least {
        1 => Layout::new(&sizes, shards, options.align),
        _ => Layout::grouped(&sizes, &of, shards, options.align),
    };
    // Also before any file is touched; below the number of data files may be another.
    arranged(options.shards.unwrap_or(least))?;

    atomic::create_directories(&naming::directory(prefix), options.durability)?;
    commit::sweep(prefix);
    let written = loop {
        let num_shards = match options.shards {
            Some(number) => number,
            None => commit::free_count(prefix, Live::read(prefix), least)?,
        };
        let layout = arranged(num_shards.min(u32::try_from(sources.len()).unwrap_or(u32::MAX)))?;

        let files = create_files(prefix, num_shards, &layout)?;
        let checksums = shards::write(&sources, &layout, &files, options.durability, workers)?;
        let index = TempFile::create(&naming::index_path(prefix))?;
        index.write_at(&encode(num_shards, &sources, &layout.places, &checksums)?, 0)?;
        flush(&files, &index, options.durability, workers)?;

        let _turn = commit::turn(prefix);
        let live = Live::read(prefix);
        if options.shards.is_some() || live != Live::Shards(num_shards) {
            publish(prefix, files, index, live, options.durability)?;
            break num_shards;
        }
        // Another writer of this prefix took these names meanwhile.
    };
    counters::TENSORS_WRITTEN.add(sources.len() as u64);
    counters::BYTES_WRITTEN.add(sizes.iter().sum());
    Ok(written)
}

/// Puts files that are written and flushed in their places.
fn publish(
    prefix: &Path,
    files: Vec<TempFile>,
    index: TempFile,
    live: Live,
    durability: Durability,
) -> Result<()> {
    let num_shards = u32::try_from(files.len()).unwrap_or(u32::MAX);
    let mut undo = Undo::default();
    for file in files {
        let target = file.target().to_owned();
        file.publish()?;
        // Of a live bundle's data nothing can be taken back.
        if live != Live::Shards(num_shards) {
            undo.remove(&target);
        }
    }
    commit::publish(prefix, index, undo, durability)?;
    commit::remove_replaced(prefix, live, num_shards);
    Ok(())
}

/// Data files under temporary names, with the room they need. Those without a tensor are empty.
fn create_files(prefix: &Path, num_shards: u32, layout: &Layout) -> Result<Vec<TempFile>> {
    let lengths = layout.lengths.iter().copied().chain(std::iter::repeat(0));
    (0..num_shards)
        .zip(lengths)
        .map(|(shard, length)| {
            let file = TempFile::create(&naming::data_path(prefix, shard, num_shards))?;
            file.reserve(length).map_err(|error| error.with_shard(shard))?;
            Ok(file)
        })
        .collect()
}

/// Everything is on disk before anything is renamed.
fn flush(
    files: &[TempFile],
    index: &TempFile,
    durability: Durability,
    workers: &Workers<'_>,
) -> Result<()> {
    workers.run(files.len() + 1, |number| files.get(number).unwrap_or(index).sync(durability))?;
    workers.interrupt.check()
}

/// The bytes of the index: an entry for each source, and one for each tensor that comes in slices.
fn encode(
    num_shards: u32,
    sources: &[Source<'_>],
    places: &[Place],
    checksums: &[u32],
) -> Result<Vec<u8>> {
    let mut index = IndexBuilder::with_capacity(sources.len());
    let mut stored = places.iter().zip(checksums);
    for tensor in sources.chunk_by(|first, second| first.name == second.name) {
        let mut shard = u32::MAX;
        for (source, (place, &checksum)) in tensor.iter().zip(stored.by_ref()) {
            shard = shard.min(place.shard);
            let entry = BundleEntryProto {
                dtype: source.dtype.number(),
                shape: Some((&source.shape).into()),
                shard_id: place.shard.cast_signed(),
                offset: place.offset.cast_signed(),
                size: source.size.cast_signed(),
                crc32c: crc32c::mask(checksum),
                slices: Vec::new(),
            };
            let key = match &source.part {
                Some(part) => encode_slice_key(&source.name, &part.slice).into(),
                None => Cow::from(&*source.name),
            };
            index.add(key, &entry)?;
        }
        if let Some((name, whole)) = whole(tensor, shard) {
            index.add(name.into(), &whole)?;
        }
    }
    index.finish(&index::header(num_shards))
}

/// Name and entry of a tensor that comes in slices. It has no data; its data file is that of the
/// slice which TensorFlow, file after file, merges first.
fn whole<'a>(slices: &'a [Source<'_>], shard: u32) -> Option<(&'a [u8], BundleEntryProto)> {
    let first = slices.first()?;
    let entry = BundleEntryProto {
        dtype: first.dtype.number(),
        shape: Some((&first.part.as_ref()?.whole).into()),
        shard_id: shard.cast_signed(),
        slices: slices.iter().filter_map(|one| Some((&one.part.as_ref()?.slice).into())).collect(),
        ..BundleEntryProto::default()
    };
    Some((&first.name, entry))
}
