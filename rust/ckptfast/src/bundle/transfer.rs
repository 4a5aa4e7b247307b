//! Moving and checking bytes: the one loop behind every read.
//!
//! A [`Transfer`] takes the bytes of one entry to memory, or nowhere, computing their checksum on
//! the way. Large ones are cut into pieces, small ones are handled together, so that every thread
//! has work of about the same size; the checksums of pieces are combined at the end.

use std::sync::{Mutex, PoisonError};

use crate::counters;
use crate::crc32c::{self, Digest};
use crate::error::{Error, Result};
use crate::io::{Buffer, File, Mapping};
use crate::parallel::Workers;

/// Most bytes one thread takes at a time. Combining two checksums costs as much as computing one
/// over half a megabyte, so pieces are large.
const PIECE: usize = 16 << 20;

/// Fewest bytes worth a thread's attention.
const MIN_UNIT: usize = 1 << 20;

/// Bytes copied before they are checksummed, while they are still in the processor's cache.
const STEP: usize = 256 << 10;

/// Where bytes come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The pages of a mapped data file.
    Mapped(&'a Mapping),
    /// A data file that is read.
    File(&'a File),
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
    let units = units(&pieces, workers.threads);
    let depth = 2 * workers.threads;
    workers.run(units.len(), |index| {
        // The disk reads what comes next while this unit is computed.
        let next = if index == 0 { 0..depth } else { index + depth - 1..index + depth };
        let next = next.start.min(units.len())..next.end.min(units.len());
        for unit in units.get(next).unwrap_or_default() {
            unit.iter().for_each(Piece::will_need);
        }
        let Some(unit) = units.get(index) else { return Ok(()) };
        for piece in *unit {
            workers.interrupt.check()?;
            let outcome = piece.run();
            *piece.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        }
        Ok(())
    })?;
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

/// Groups neighbouring pieces until a group is worth a thread.
fn units<'p, 'a>(pieces: &'p [Piece<'a>], threads: usize) -> Vec<&'p [Piece<'a>]> {
    let total: usize = pieces.iter().map(|piece| piece.length).sum();
    let enough = (total / (threads * 4).max(1)).clamp(MIN_UNIT, PIECE);
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

impl Piece<'_> {
    fn will_need(&self) {
        match self.source {
            Source::Mapped(mapping) => mapping.will_need(self.offset, self.length),
            Source::File(file) => file.will_need(self.offset as u64, self.length as u64),
        }
    }

    /// Moves the bytes and returns their checksum (0 when none was asked for).
    fn run(&self) -> Result<u32> {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let crc = match (self.source, target.as_deref_mut()) {
            (Source::Mapped(mapping), None) => {
                if self.check { crc32c::value(self.mapped(mapping)?) } else { 0 }
            }
            (Source::Mapped(mapping), Some(target)) => self.copy(self.mapped(mapping)?, target),
            (Source::File(file), Some(target)) => self.read(file, target)?,
            (Source::File(_), None) if !self.check => 0,
            (Source::File(file), None) => self.read_past(file)?,
        };
        if self.check {
            counters::BYTES_VERIFIED.add(self.length as u64);
        }
        if self.swap_width > 1 {
            for unit in target.iter_mut().flat_map(|bytes| bytes.chunks_exact_mut(self.swap_width)) {
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

    fn copy(&self, source: &[u8], target: &mut [u8]) -> u32 {
        if !self.check {
            target.copy_from_slice(source);
            return 0;
        }
        let mut digest = Digest::default();
        for (target, source) in target.chunks_mut(STEP).zip(source.chunks(STEP)) {
            target.copy_from_slice(source);
            digest.update(target);
        }
        digest.value()
    }

    fn read(&self, file: &File, target: &mut [u8]) -> Result<u32> {
        let mut digest = Digest::default();
        for (index, step) in target.chunks_mut(STEP).enumerate() {
            file.read_at(step, (self.offset + index * STEP) as u64)?;
            if self.check {
                digest.update(step);
            }
        }
        Ok(digest.value())
    }

    /// Reads only to compute the checksum.
    fn read_past(&self, file: &File) -> Result<u32> {
        let mut scratch = Buffer::zeroed(STEP.min(self.length))?;
        let mut digest = Digest::default();
        for start in (0..self.length).step_by(STEP) {
            let length = STEP.min(self.length - start);
            let step = scratch.get_mut(..length).unwrap_or_default();
            file.read_at(step, (self.offset + start) as u64)?;
            digest.update(step);
        }
        Ok(digest.value())
    }
}
