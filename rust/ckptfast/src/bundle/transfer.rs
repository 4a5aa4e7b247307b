//! Moving and checking bytes: the one loop behind every read.
//!
//! A [`Transfer`] takes the bytes of one entry to memory, or nowhere, computing their checksum on
//! the way. Large ones are cut into pieces, small ones are handled together, so that every thread
//! has work of about the same size; the checksums of pieces are combined at the end.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::counters;
use crate::crc32c::{self, Digest};
use crate::error::{Error, Result};
use crate::io::{Buffer, File, Mapping, streaming};
use crate::parallel::Workers;

/// Most bytes one thread takes at a time. Combining two checksums costs as much as computing one
/// over half a megabyte, so pieces are large.
const PIECE: usize = 16 << 20;

/// Fewest bytes worth a thread's attention.
const MIN_UNIT: usize = 1 << 20;

/// Bytes read or checksummed before they are checksummed or copied, while they are still in the
/// processor's cache.
const STEP: usize = 256 << 10;

/// The same where the disk is the limit.
const COLD_STEP: usize = 1 << 20;

/// Bytes between two tensors that are not worth a look or a call of their own.
const GAP: usize = 64 << 10;

/// Parts that each of the caller's threads has to read in parallel where the disk is the limit:
/// they wait rather than compute. Each part is read from its start to its end through an open file
/// of its own, because the system reads ahead for every open file, of one reader.
const COLD_STREAMS: usize = 2;

/// Where bytes come from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The data file.
    pub file: &'a File,
    /// Its pages, where the bytes may be taken from them.
    pub mapping: Option<&'a Mapping>,
}

/// One entry on its way.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// The data file.
    pub source: Source<'a>,
    /// First byte in it.
    pub offset: usize,
    /// Number of bytes.
    pub length: usize,
    /// Where they go, `length` bytes; `None` only checks them.
    pub target: Option<&'a mut [u8]>,
    /// The (unmasked) checksum they should have; `None` does not compute one.
    pub expected_crc32c: Option<u32>,
    /// Width of the units whose bytes are reversed after the checksum; 1 leaves them.
    pub swap_width: usize,
}

struct Piece<'a> {
    transfer: usize,
    source: Source<'a>,
    offset: usize,
    length: usize,
    target: Mutex<Option<&'a mut [u8]>>,
    check: bool,
    swap_width: usize,
    outcome: Mutex<Option<Result<u32>>>,
}

/// Runs all transfers; the failed ones come back with their number.
///
/// # Errors
/// Only an interrupt ends the whole call.
pub fn run(transfers: Vec<Transfer<'_>>, workers: &Workers<'_>) -> Result<Vec<(usize, Error)>> {
    let expected: Vec<_> = transfers.iter().map(|transfer| transfer.expected_crc32c).collect();
    let mut pieces = Vec::with_capacity(transfers.len());
    for (index, transfer) in transfers.into_iter().enumerate() {
        cut(index, transfer, &mut pieces);
    }
    let scratch = Scratch::default();
    let total: usize = pieces.iter().map(|piece| piece.length).sum();
    let streams = workers.threads.saturating_mul(COLD_STREAMS);
    let regions = units(&pieces, total.div_ceil(streams.max(1)).max(MIN_UNIT));
    if are_mostly_cold(&regions) {
        Workers { threads: streams, ..*workers }.run(regions.len(), |index| {
            let mut stream = Stream::default();
            regions.get(index).copied().unwrap_or_default().iter().try_for_each(|piece| {
                let shared = piece.source.file;
                let file = if regions.len() > 1 { stream.through(shared) } else { shared };
                piece.settle(workers, |piece| piece.run(file, true, &scratch))
            })
        })?;
    } else {
        let enough = (total / (workers.threads * 4).max(1)).clamp(MIN_UNIT, PIECE);
        let units = units(&pieces, enough);
        workers.run(units.len(), |index| {
            let unit = units.get(index).copied().unwrap_or_default();
            let cold = is_cold(unit) || !is_mapped(unit);
            unit.iter().try_for_each(|piece| {
                piece.settle(workers, |piece| piece.run(piece.source.file, cold, &scratch))
            })
        })?;
    }
    Ok(judge(&mut pieces, &expected))
}

fn cut<'a>(index: usize, transfer: Transfer<'a>, pieces: &mut Vec<Piece<'a>>) {
    let mut rest = transfer.target;
    let mut done = 0;
    // An empty tensor is one empty piece: its checksum is stored and checked as well.
    loop {
        let length = (transfer.length - done).min(PIECE);
        let target = rest.take().map(|bytes| {
            let (head, tail) = bytes.split_at_mut(length.min(bytes.len()));
            rest = Some(tail);
            head
        });
        pieces.push(Piece {
            transfer: index,
            source: transfer.source,
            offset: transfer.offset + done,
            length,
            target: Mutex::new(target),
            check: transfer.expected_crc32c.is_some(),
            swap_width: transfer.swap_width,
            outcome: Mutex::new(None),
        });
        done += length;
        if done == transfer.length {
            return;
        }
    }
}

/// Groups neighbouring pieces until a group has `enough` bytes.
fn units<'p, 'a>(pieces: &'p [Piece<'a>], enough: usize) -> Vec<&'p [Piece<'a>]> {
    let mut units = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        bytes += piece.length;
        if bytes >= enough || index + 1 == pieces.len() {
            units.extend(pieces.get(first..=index));
            (first, bytes) = (index + 1, 0);
        }
    }
    units
}

/// Puts the pieces of every transfer together again and compares.
fn judge(pieces: &mut [Piece<'_>], expected: &[Option<u32>]) -> Vec<(usize, Error)> {
    let transfers = pieces.chunk_by_mut(|piece, next| piece.transfer == next.transfer);
    let failed = transfers.filter_map(|pieces| {
        let index = pieces.first()?.transfer;
        let stored = expected.get(index).copied().flatten();
        let error = match (combined(pieces), stored) {
            (Err(error), _) => error,
            (Ok(calculated), Some(stored)) if stored != calculated => {
                Error::checksum(stored, calculated)
            }
            _ => return None,
        };
        Some((index, error))
    });
    failed.collect()
}

fn combined(pieces: &mut [Piece<'_>]) -> Result<u32> {
    let mut whole = None;
    for piece in pieces {
        let outcome = piece.outcome.get_mut().unwrap_or_else(PoisonError::into_inner);
        let crc = outcome.take().unwrap_or_else(|| Err(Error::interrupted()))?;
        whole = Some(match whole {
            Some(head) => crc32c::combine(head, crc, piece.length as u64),
            None => crc,
        });
    }
    Ok(whole.unwrap_or(0))
}

/// The stretches of files that the pieces lie in, each with no gap to speak of.
fn stretches<'p, 'a: 'p>(
    pieces: impl Iterator<Item = &'p Piece<'a>>,
) -> Vec<(Source<'a>, Range<usize>)> {
    let mut all: Vec<(Source<'a>, Range<usize>)> = Vec::new();
    for piece in pieces {
        let end = piece.offset.saturating_add(piece.length);
        match all.last_mut() {
            Some((source, range))
                if std::ptr::eq(source.file, piece.source.file)
                    && range.start <= piece.offset
                    && piece.offset <= range.end.saturating_add(GAP) =>
            {
                range.end = range.end.max(end);
            }
            _ => all.push((piece.source, piece.offset..end)),
        }
    }
    all
}

/// Whether the disk has to be waited for. Pages fault in one by one then, so that even what will
/// be used through a mapping is better read first.
fn is_cold(unit: &[Piece<'_>]) -> bool {
    let cached = |(source, range): &(Source<'_>, Range<usize>)| {
        source.file.is_cached(range.start as u64, range.len() as u64)
    };
    !stretches(unit.iter()).iter().all(cached)
}

/// Whether the pages that will be checked or copied from can be touched. Entering them all at once
/// costs what touching them one by one does, and fails instead of ending the process where somebody
/// has cut the file; reading it then gives the error.
fn is_mapped(unit: &[Piece<'_>]) -> bool {
    let touched = unit
        .iter()
        .filter(|piece| piece.source.mapping.is_some() && (piece.check || piece.has_target()));
    stretches(touched)
        .into_iter()
        .all(|(source, range)| source.mapping.is_none_or(|mapping| mapping.enter(range)))
}

/// Whether most of the work is to wait for the disk, judged by where the parts begin.
///
/// Nowhere else: to look at a place that is not in the cache brings its page in, and a page in the
/// middle of what is read next ends the system's reading ahead there.
fn are_mostly_cold(regions: &[&[Piece<'_>]]) -> bool {
    let begins_cold = |region: &&&[Piece<'_>]| {
        let first = region.iter().find(|piece| piece.length > 0);
        first.is_some_and(|piece| !piece.source.file.is_cached(piece.offset as u64, 1))
    };
    2 * regions.iter().filter(begins_cold).count() > regions.len()
}

/// An open file for one reader of several.
#[derive(Debug, Default)]
struct Stream<'a>(Option<(&'a File, Option<File>)>);

impl<'a> Stream<'a> {
    /// The file, opened once more; or itself where that cannot be.
    fn through(&mut self, file: &'a File) -> &File {
        if !self.0.as_ref().is_some_and(|(shared, _)| std::ptr::eq(*shared, file)) {
            self.0 = Some((file, file.open_again()));
        }
        self.0.as_ref().and_then(|(_, own)| own.as_ref()).unwrap_or(file)
    }
}

/// Memory for bytes that are read only to be checked, kept from piece to piece.
#[derive(Debug, Default)]
struct Scratch(Mutex<Vec<Buffer>>);

impl Scratch {
    fn with<T>(&self, work: impl FnOnce(&mut [u8]) -> Result<T>) -> Result<T> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = match idle {
            Some(buffer) => buffer,
            None => Buffer::one_to_fill(COLD_STEP)?,
        };
        let result = work(&mut buffer);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }
}

impl Piece<'_> {
    /// Does the work, and keeps what comes of it; fails only when the call is to end.
    fn settle(&self, workers: &Workers<'_>, work: impl FnOnce(&Self) -> Result<u32>) -> Result<()> {
        workers.interrupt.check()?;
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(work(self));
        Ok(())
    }

    fn has_target(&self) -> bool {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Moves the bytes and returns their checksum (0 when none was asked for).
    fn run(&self, file: &File, cold: bool, scratch: &Scratch) -> Result<u32> {
        let step = if cold { COLD_STEP } else { STEP };
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let crc = match (target.as_deref_mut(), self.source.mapping) {
            (Some(target), Some(mapping)) if !cold => self.copy(self.mapped(mapping)?, target),
            (Some(target), _) => self.read(file, target, step)?,
            (None, _) if !self.check => 0,
            (None, Some(mapping)) if !cold => crc32c::value(self.mapped(mapping)?),
            (None, _) => scratch.with(|scratch| self.read_past(file, scratch, step))?,
        };
        if self.check {
            counters::BYTES_VERIFIED.add(self.length as u64);
        }
        if self.swap_width > 1 {
            for unit in target.iter_mut().flat_map(|bytes| bytes.chunks_exact_mut(self.swap_width))
            {
                unit.reverse();
            }
        }
        Ok(crc)
    }

    fn mapped<'m>(&self, mapping: &'m Mapping) -> Result<&'m [u8]> {
        mapping
            .get(self.offset..)
            .and_then(|bytes| bytes.get(..self.length))
            .ok_or_else(|| Error::corruption("data file ends too early"))
    }

    /// Copies pages of the file. The target is not in the cache, so the checksum is that of the
    /// pages: what somebody writes to the file between the two would be missed, as it would be a
    /// moment later where the pages themselves are the value.
    fn copy(&self, pages: &[u8], target: &mut [u8]) -> u32 {
        let mut digest = Digest::default();
        for (from, to) in pages.chunks(STEP).zip(target.chunks_mut(STEP)) {
            if self.check {
                digest.update(from);
            }
            streaming::copy(from, to);
        }
        digest.value()
    }

    fn read(&self, file: &File, target: &mut [u8], step: usize) -> Result<u32> {
        let mut digest = Digest::default();
        for (index, part) in target.chunks_mut(step).enumerate() {
            file.read_at(part, (self.offset + index * step) as u64)?;
            if self.check {
                digest.update(part);
            }
        }
        Ok(digest.value())
    }

    /// Reads only to compute the checksum.
    fn read_past(&self, file: &File, scratch: &mut [u8], step: usize) -> Result<u32> {
        let mut digest = Digest::default();
        for start in (0..self.length).step_by(step) {
            let part = scratch.get_mut(..step.min(self.length - start)).unwrap_or_default();
            file.read_at(part, (self.offset + start) as u64)?;
            digest.update(part);
        }
        Ok(digest.value())
    }
}
