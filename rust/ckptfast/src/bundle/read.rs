//! Reading tensors: decide for each whether its bytes can be used where they are, move and check
//! the bytes of all of them together, then hand them out.

use std::sync::Arc;

use super::arena::{Arenas, Target};
use super::assembly::Assembly;
use super::entry::{Content, Entry, Extent};
use super::partition;
use super::reader::Reader;
use super::shard::{CopyPolicy, Shard};
use super::strings;
use super::transfer::{self, Transfer};
use super::value::{Dense, Value};
use crate::counters;
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::io::Memory;
use crate::parallel::Workers;
use crate::proto::Endianness;
use crate::slice::{Region, TensorSlice};

/// What the caller wants of the values.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Compare checksums of data not yet compared.
    pub verify: bool,
    /// Whether values may be pages of the file.
    pub copy: CopyPolicy,
    /// The caller will write to the values: they are never pages of the file.
    pub writable: bool,
    /// Least alignment of every value in bytes, beyond that of its type; at most 64. With 0 not
    /// even that of its type is asked for.
    pub align: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { verify: true, copy: CopyPolicy::IfNeeded, writable: false, align: 1 }
    }
}

/// A tensor of fixed-width elements in one data file, on its way out.
pub(super) struct Plan {
    pub(super) position: usize,
    pub(super) extent: Extent,
    pub(super) shard: Arc<Shard>,
    pub(super) swap_width: usize,
    /// The mapping, where the value is its pages.
    pub(super) alias: Option<Arc<Memory>>,
    /// Whether its bytes may be checked in, or copied from, the mapping rather than read.
    pub(super) mapped: bool,
    pub(super) check: bool,
}

impl Reader {
    /// The tensors at `positions`, in that order.
    ///
    /// # Errors
    /// The first failure, with the place; nothing is returned then.
    pub fn read(
        &self,
        positions: &[usize],
        options: &ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Vec<Value>> {
        let values = self.values(positions, options, workers)?;
        values.iter().for_each(Value::count);
        Ok(values)
    }

    /// About how many bytes of the tensor at `position` a [`Reader::read`] would copy or check; 0
    /// where it would fail.
    pub fn bytes_to_move(&self, position: usize, options: &ReadOptions) -> u64 {
        let Ok(entry) = self.entry(position) else { return 0 };
        match &entry.content {
            Content::Data(extent) if entry.dtype.size().is_some() => {
                match self.plan(position, &entry, *extent, options) {
                    Ok(plan) if plan.check || plan.alias.is_none() => extent.size,
                    _ => 0,
                }
            }
            Content::Data(extent) => extent.size,
            Content::Slices(_) => entry.shape.byte_size(entry.dtype).unwrap_or(0),
        }
    }

    fn values(
        &self,
        positions: &[usize],
        options: &ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Vec<Value>> {
        let mut values: Vec<Option<Value>> = Vec::with_capacity(positions.len());
        let mut plans = Vec::new();
        for &position in positions {
            workers.interrupt.check()?;
            let entry = self.entry(position)?;
            let located = |error| self.locate(error, position);
            values.push(match &entry.content {
                Content::Slices(_) => {
                    let all = Region::whole(&entry.shape);
                    Some(self.assemble(&entry, &all, options, workers).map_err(located)?)
                }
                Content::Data(extent) if entry.dtype.size().is_none() => {
                    Some(self.elements(position, &entry, extent, options.verify).map_err(located)?)
                }
                Content::Data(extent) => {
                    plans.push(self.plan(position, &entry, *extent, options).map_err(located)?);
                    None
                }
            });
        }
        let mut dense = self.transfer(&plans, workers)?.into_iter();
        let values: Option<Vec<Value>> = values
            .into_iter()
            .map(|value| value.or_else(|| dense.next().map(Value::Dense)))
            .collect();
        values.ok_or_else(|| Error::invalid("a value went missing"))
    }

    /// The box `region` of the tensor at `position`.
    ///
    /// # Errors
    /// As [`Reader::read`]; `InvalidArgument` when the box reaches outside of the tensor.
    pub fn read_region(
        &self,
        position: usize,
        region: &Region,
        options: &ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Value> {
        let value = self.region(position, region, options, workers)?;
        value.count();
        Ok(value)
    }

    fn region(
        &self,
        position: usize,
        region: &Region,
        options: &ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Value> {
        let entry = self.entry(position)?;
        let whole = Region::whole(&entry.shape);
        if !region.is_inside(&entry.shape) {
            return Err(Error::invalid(format!(
                "the slice reaches outside of the tensor's shape {}",
                entry.shape
            ))
            .with_key(entry.key));
        }
        if *region == whole {
            return self.read_raw(position, *options, workers);
        }
        if matches!(entry.content, Content::Slices(_)) {
            let value = self.assemble(&entry, region, options, workers);
            return value.map_err(|error| self.locate(error, position));
        }
        // The pages of the whole tensor, whatever their alignment: only the box may be copied.
        let raw = ReadOptions { writable: false, align: 0, ..*options };
        match self.read_raw(position, raw, workers)? {
            Value::Dense(source) => {
                let item = entry.dtype.size().unwrap_or(1);
                let part = contiguous_part(&whole, &source, region, item);
                let usable = |part: &Dense| {
                    options.copy != CopyPolicy::Always && fits(entry.dtype, part.bytes(), options)
                };
                match part.filter(usable) {
                    Some(part) => Ok(Value::Dense(part)),
                    None if options.copy == CopyPolicy::Never => {
                        Err(must_copy("this slice").with_key(entry.key))
                    }
                    None => {
                        let mut assembly = Assembly::new(region, entry.dtype)?;
                        let part = Value::Dense(source);
                        self.add(&mut assembly, position, &whole, part, workers)?;
                        assembly.finish()
                    }
                }
            }
            elements @ Value::Elements(_) => {
                let mut assembly = Assembly::new(region, entry.dtype)?;
                assembly.add(&whole, elements, workers)?;
                assembly.finish()
            }
        }
    }

    fn plan(
        &self,
        position: usize,
        entry: &Entry<'_>,
        extent: Extent,
        options: &ReadOptions,
    ) -> Result<Plan> {
        let shard = self.shard(extent.shard)?;
        shard.check(&extent)?;
        let swap_width = match self.header().endianness {
            Endianness::Little => 1,
            Endianness::Big => entry.dtype.swap_width()?,
        };
        let usable = |memory: &Arc<Memory>| {
            let bytes = memory.get(usize::try_from(extent.offset).ok()?..)?;
            (swap_width == 1 && fits(entry.dtype, bytes, options)).then(|| Arc::clone(memory))
        };
        let mapping = shard.alias(options.copy)?;
        let (mapped, alias) = (mapping.is_some(), mapping.and_then(usable));
        if alias.is_none() && options.copy == CopyPolicy::Never && extent.size > 0 {
            return Err(must_copy("this tensor"));
        }
        let check = options.verify && !self.is_verified(position);
        Ok(Plan { position, extent, shard, swap_width, alias, mapped, check })
    }

    /// Moves and checks the bytes of all plans.
    fn transfer(&self, plans: &[Plan], workers: &Workers<'_>) -> Result<Vec<Dense>> {
        let copied = plans.iter().filter(|plan| plan.alias.is_none());
        let mut arenas = Arenas::allocate(copied.map(Plan::length).collect())?;
        let mut transfers = Vec::new();
        let mut moved = Vec::new();
        let mut targets = arenas.targets().into_iter();
        for plan in plans {
            let target = if plan.alias.is_none() { targets.next() } else { None };
            if target.is_some() || plan.check {
                transfers.push(plan.transfer(target)?);
                moved.push(plan);
            }
        }
        if let Some((index, error)) = transfer::run(transfers, workers)?.into_iter().next() {
            let position = moved.get(index).map_or(0, |plan| plan.position);
            return Err(self.explain(self.locate(error, position), position, workers));
        }
        for plan in moved.iter().filter(|plan| plan.check) {
            self.set_verified(plan.position);
        }
        let mut filled = arenas.into_values().into_iter();
        let value = |plan: &Plan| {
            let length = plan.length();
            let Some(memory) = &plan.alias else { return filled.next() };
            let offset = usize::try_from(plan.extent.offset).ok()?;
            Some(Dense { memory: Arc::clone(memory), offset, length })
        };
        let values: Option<Vec<Dense>> = plans.iter().map(value).collect();
        values.ok_or_else(|| Error::invalid("a value went missing"))
    }

    /// Elements of a `string` or `variant` tensor. Their checksum is over decoded lengths, so
    /// decoding and checking are one step, repeated on every read.
    pub(super) fn elements(
        &self,
        position: usize,
        entry: &Entry<'_>,
        extent: &Extent,
        verify: bool,
    ) -> Result<Value> {
        let shard = self.shard(extent.shard)?;
        let bytes = shard.bytes(extent)?;
        let count = entry.shape.num_elements();
        let byte_order = self.header().endianness;
        let decoded = match entry.dtype {
            DataType::Variant if byte_order == Endianness::Big => {
                return Err(Error::unsupported("cannot swap the bytes of variant tensors"));
            }
            DataType::Variant => strings::decode_variants(&bytes, count)?,
            _ => strings::decode_strings(&bytes, count, byte_order)?,
        };
        if verify && !self.is_verified(position) {
            if decoded.crc32c != extent.crc32c() && extent.size > 0 {
                return Err(Error::checksum(extent.crc32c(), decoded.crc32c));
            }
            counters::BYTES_VERIFIED.add(extent.size);
            self.set_verified(position);
        }
        let element = |range| bytes.get(range).map(<[u8]>::to_vec);
        let elements: Option<Vec<_>> = decoded.ranges.map(element).collect();
        elements.map(Value::Elements).ok_or_else(|| Error::corruption("string ends too early"))
    }

    /// Puts the box `target` of a partitioned tensor together.
    fn assemble(
        &self,
        entry: &Entry<'_>,
        target: &Region,
        options: &ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Value> {
        let Content::Slices(slices) = &entry.content else {
            return Err(Error::invalid("the tensor has no slices"));
        };
        let regions = slices.iter().map(|slice| slice.resolve(&entry.shape));
        let regions = regions.collect::<Result<Vec<_>>>()?;
        partition::check_cover(target, &regions)?;
        // Every part is known to be there before memory for the whole is taken.
        let mut parts = Vec::new();
        for (slice, region) in slices.iter().zip(&regions) {
            if partition::overlap(target, region).is_some() {
                parts.push((self.part(entry, slice, region)?, region));
            }
        }
        if let [(position, region)] = parts.as_slice()
            && *region == target
        {
            return self.read_raw(*position, *options, workers);
        }
        if options.copy == CopyPolicy::Never {
            return Err(must_copy("a partitioned tensor"));
        }
        let raw = ReadOptions { writable: false, align: 0, copy: CopyPolicy::IfNeeded, ..*options };
        let mut assembly = Assembly::new(target, entry.dtype)?;
        for (position, region) in parts {
            let part = self.read_raw(position, raw, workers)?;
            self.add(&mut assembly, position, region, part, workers)?;
        }
        assembly.finish()
    }

    /// Adds a part; where it is pages that cannot be touched any more, by reading it, which says
    /// what is wrong.
    fn add(
        &self,
        assembly: &mut Assembly<'_>,
        position: usize,
        region: &Region,
        part: Value,
        workers: &Workers<'_>,
    ) -> Result<()> {
        let mapped = matches!(&part, Value::Dense(part) if part.memory.aliases_file());
        let added = assembly.add(region, part, workers);
        if added.is_ok() || !mapped {
            return added;
        }
        let copied = ReadOptions { copy: CopyPolicy::Always, ..ReadOptions::default() };
        assembly.add(region, self.read_raw(position, copied, workers)?, workers)
    }

    /// Position of the data of one slice, which agrees with what the whole tensor says of it.
    fn part(&self, entry: &Entry<'_>, slice: &TensorSlice, region: &Region) -> Result<usize> {
        let position = self.slice_position(entry, slice)?;
        let part = self.entry(position)?;
        let Content::Data(extent) = &part.content else {
            return Err(Error::corruption(format!("slice {slice} is itself sliced")));
        };
        if part.dtype != entry.dtype || part.shape != region.shape {
            return Err(Error::corruption(format!(
                "slice {slice} of a {} tensor is stored as {} of shape {}",
                entry.dtype.name(),
                part.dtype.name(),
                part.shape
            )));
        }
        let located = |error| self.locate(error, position);
        self.shard(extent.shard).map_err(located)?.check(extent).map_err(located)?;
        Ok(position)
    }

    fn read_raw(
        &self,
        position: usize,
        options: ReadOptions,
        workers: &Workers<'_>,
    ) -> Result<Value> {
        let mut values = self.values(&[position], &options, workers)?;
        values.pop().ok_or_else(|| Error::invalid("a value went missing"))
    }
}

impl Plan {
    /// Number of bytes; the data file was found to be at least as long.
    fn length(&self) -> usize {
        usize::try_from(self.extent.size).unwrap_or(usize::MAX)
    }

    pub(super) fn transfer<'a>(&'a self, target: Option<Target<'a>>) -> Result<Transfer<'a>> {
        // Into fresh memory the system copies as fast as anybody, and maps nothing for it.
        let mapped = self.mapped && !target.as_ref().is_some_and(|target| target.fresh);
        let too_large = |_| Error::unsupported("file is too large for this system");
        Ok(Transfer {
            source: self.shard.source(mapped),
            offset: usize::try_from(self.extent.offset).map_err(too_large)?,
            length: usize::try_from(self.extent.size).map_err(too_large)?,
            target: target.map(|target| target.bytes),
            expected_crc32c: self.check.then(|| self.extent.crc32c()),
            swap_width: self.swap_width,
        })
    }
}

/// Whether bytes at this address can be used as they are.
fn fits(dtype: DataType, bytes: &[u8], options: &ReadOptions) -> bool {
    // Complex numbers are aligned like their parts, which is also how they are swapped.
    let natural = dtype.swap_width().unwrap_or(1);
    let align = if options.align == 0 { 1 } else { options.align.max(natural) };
    !options.writable && (bytes.as_ptr() as usize).is_multiple_of(align)
}

fn must_copy(what: &str) -> Error {
    Error::invalid(format!(
        "copy=False, but {what} cannot be used where it lies in the file (its bytes are not \
         aligned, not in one piece, or not in this machine's order); leave copy at None"
    ))
}

/// The bytes of `region` where they lie together in those of `whole`.
fn contiguous_part(whole: &Region, source: &Dense, region: &Region, item: usize) -> Option<Dense> {
    // Leading dimensions of one element, then one that is cut, then whole ones.
    let dims = region.shape.dims().iter().zip(whole.shape.dims());
    let mut cut = dims.skip_while(|(part, _)| **part == 1).skip(1);
    if !cut.all(|(part, all)| part == all) {
        return None;
    }
    let strides = region.start.iter().zip(whole.shape.dims());
    let first = strides.fold(0u64, |index, (&start, &dim)| index * dim + start);
    let first = usize::try_from(first).ok()?.checked_mul(item)?;
    let length = usize::try_from(region.shape.num_elements()).ok()?.checked_mul(item)?;
    let inside = first.checked_add(length)? <= source.length;
    let offset = source.offset + first;
    inside.then(|| Dense { memory: Arc::clone(&source.memory), offset, length })
}
