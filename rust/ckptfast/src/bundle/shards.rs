//! Writing the data files: elements are copied, checksummed and written piece by piece.
//!
//! Memory that others may change meanwhile is read once: a piece is copied into a small buffer,
//! and both the checksum and the file get the copy. The buffer stays in the processor's cache, so
//! the second reading costs little, and extra memory is one buffer per thread. Large tensors are
//! cut into pieces whose checksums are combined; small ones share a buffer and a system call.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::layout::Layout;
use super::sources::{Data, Source};
use super::strings;
use crate::crc32c::{self, Digest};
use crate::error::{Error, Result};
use crate::io::{self, atomic::TempFile};
use crate::parallel::{Interrupt, Workers};

/// Most bytes of one tensor that are one piece. Combining two checksums takes as long as computing
/// one over half a megabyte, so pieces are large.
const PIECE: u64 = 16 << 20;

/// Fewest bytes worth a thread's attention.
const MIN_JOB: u64 = 1 << 20;

/// Bytes per system call. Writes end at multiples of it, so that pages are written whole.
const BUFFER: usize = 512 << 10;

/// Room at the end of a buffer, for a last write too short to hold an element.
const SLACK: usize = 64;

/// Consecutive bytes of one tensor.
struct Piece {
    source: usize,
    start: u64,
    length: u64,
    /// Position in the data file.
    offset: u64,
    /// Their checksum, when written.
    crc32c: AtomicU32,
}

/// Neighbouring pieces in one data file.
struct Job {
    shard: usize,
    pieces: Range<usize>,
}

/// Writes all elements to their places; returns the (unmasked) checksum of each source.
pub(super) fn write(
    sources: &[Source<'_>],
    layout: &Layout,
    files: &[TempFile],
    workers: &Workers<'_>,
) -> Result<Vec<u32>> {
    let mut pieces = cut(sources, layout);
    // Neighbours in a file become neighbours here; those of one source stay together.
    pieces.sort_by_key(|piece| shard_of(layout, piece));
    let jobs = group(&pieces, layout, workers.threads);
    let buffers: Mutex<Vec<Vec<u8>>> = Mutex::default();
    workers.run(jobs.len(), |index| {
        let Some(job) = jobs.get(index) else { return Ok(()) };
        let file = files.get(job.shard).ok_or_else(|| Error::invalid("no such data file"))?;
        let buffer = buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut sink = Sink::new(file, buffer.unwrap_or_default(), workers.interrupt);
        for piece in pieces.get(job.pieces.clone()).unwrap_or_default() {
            let Some(source) = sources.get(piece.source) else { continue };
            let located = |error: Error| error.with_key(&source.name);
            let crc32c = sink.put(piece, &source.data).map_err(located)?;
            piece.crc32c.store(crc32c, Ordering::Relaxed);
        }
        let buffer = sink.finish()?;
        buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        Ok(())
    })?;
    Ok(combine(&pieces, sources.len()))
}

fn cut(sources: &[Source<'_>], layout: &Layout) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(sources.len());
    for (index, (source, place)) in sources.iter().zip(&layout.places).enumerate() {
        // Strings are encoded from the first to the last.
        let most = match source.data {
            Data::Bytes(_) | Data::Pages(_) | Data::Walk(_) => PIECE,
            Data::Strings(_) | Data::Variants(_) => u64::MAX,
        };
        let mut start = 0;
        loop {
            let length = (source.size - start).min(most);
            let offset = place.offset + start;
            pieces.push(Piece { source: index, start, length, offset, crc32c: AtomicU32::new(0) });
            start += length;
            if start == source.size {
                break;
            }
        }
    }
    pieces
}

/// Groups pieces until a group is worth a thread.
fn group(pieces: &[Piece], layout: &Layout, threads: usize) -> Vec<Job> {
    let total: u64 = pieces.iter().map(|piece| piece.length).sum();
    let enough = (total / (threads as u64 * 4).max(1)).clamp(MIN_JOB, PIECE);
    let mut jobs: Vec<Job> = Vec::new();
    let mut bytes = u64::MAX;
    for (index, piece) in pieces.iter().enumerate() {
        let shard = shard_of(layout, piece);
        match jobs.last_mut() {
            Some(job) if job.shard == shard && bytes < enough => job.pieces.end = index + 1,
            _ => {
                jobs.push(Job { shard, pieces: index..index + 1 });
                bytes = 0;
            }
        }
        bytes = bytes.saturating_add(piece.length);
    }
    jobs
}

fn shard_of(layout: &Layout, piece: &Piece) -> usize {
    layout.places.get(piece.source).map_or(0, |place| place.shard as usize)
}

/// The checksum of each source from those of its pieces.
fn combine(pieces: &[Piece], sources: usize) -> Vec<u32> {
    let crc32c = |piece: &Piece| piece.crc32c.load(Ordering::Relaxed);
    let mut checksums = vec![0; sources];
    for group in pieces.chunk_by(|first, second| first.source == second.source) {
        let Some((first, rest)) = group.split_first() else { continue };
        if let Some(checksum) = checksums.get_mut(first.source) {
            *checksum = rest.iter().fold(crc32c(first), |crc, piece| {
                crc32c::combine(crc, crc32c(piece), piece.length)
            });
        }
    }
    checksums
}

/// Takes bytes at rising positions of a file and writes them in large parts.
struct Sink<'a> {
    file: &'a TempFile,
    interrupt: &'a Interrupt,
    buffer: Vec<u8>,
    /// Position in the file of the buffer's first byte.
    start: u64,
    filled: usize,
    /// How far the buffer is filled before it is written.
    limit: usize,
}

impl<'a> Sink<'a> {
    fn new(file: &'a TempFile, mut buffer: Vec<u8>, interrupt: &'a Interrupt) -> Self {
        buffer.resize(BUFFER + SLACK, 0);
        Self { file, interrupt, buffer, start: 0, filled: 0, limit: 0 }
    }

    /// Writes one piece; returns the checksum of its bytes (of the entry, for strings).
    fn put(&mut self, piece: &Piece, data: &Data<'_>) -> Result<u32> {
        self.seek(piece.offset)?;
        match data {
            Data::Bytes(bytes) => self.put_bytes(part(bytes, piece)?, |_| true),
            Data::Pages(bytes) => self.put_bytes(part(bytes, piece)?, io::enter),
            Data::Walk(walk) => {
                let item = walk.item();
                let first = usize::try_from(piece.start).map_err(|_| misfit())? / item;
                let count = usize::try_from(piece.length).map_err(|_| misfit())? / item;
                let mut digest = Digest::default();
                let mut done = 0;
                while done < count {
                    let room = self.room(item)?;
                    let items = (room.len() / item).min(count - done);
                    let target = room.get_mut(..items * item).ok_or_else(misfit)?;
                    walk.copy(first + done, target).ok_or_else(misfit)?;
                    digest.update(target);
                    self.filled += items * item;
                    done += items;
                }
                Ok(digest.value())
            }
            Data::Strings(elements) => strings::encode_strings(elements, |part| self.push(part)),
            Data::Variants(elements) => strings::encode_variants(elements, |part| self.push(part)),
        }
    }

    /// `enter` says whether bytes can be touched.
    fn put_bytes(&mut self, mut bytes: &[u8], enter: fn(&[u8]) -> bool) -> Result<u32> {
        let mut digest = Digest::default();
        while !bytes.is_empty() {
            let room = self.room(1)?;
            let (head, tail) = bytes.split_at(bytes.len().min(room.len()));
            let target = room.get_mut(..head.len()).ok_or_else(misfit)?;
            if !enter(head) {
                return Err(Error::corruption(
                    "the values are pages of a file that was cut since, or whose disk fails",
                ));
            }
            target.copy_from_slice(head);
            // Over the copy: the original may be changing.
            digest.update(target);
            self.filled += head.len();
            bytes = tail;
        }
        Ok(digest.value())
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.room(1)?;
            let (head, tail) = bytes.split_at(bytes.len().min(room.len()));
            room.get_mut(..head.len()).ok_or_else(misfit)?.copy_from_slice(head);
            self.filled += head.len();
            bytes = tail;
        }
        Ok(())
    }

    /// Goes on at `offset`; what is skipped reads as zeros.
    fn seek(&mut self, offset: u64) -> Result<()> {
        let gap = offset.checked_sub(self.start + self.filled as u64);
        let end = gap.and_then(|gap| usize::try_from(gap).ok()?.checked_add(self.filled));
        if let Some(end) = end.filter(|&end| self.filled > 0 && end < self.limit) {
            self.buffer.get_mut(self.filled..end).unwrap_or_default().fill(0);
            self.filled = end;
        } else {
            self.flush()?;
            self.start = offset;
            self.limit = 0;
        }
        Ok(())
    }

    /// Unused buffer, of `least` bytes at least.
    fn room(&mut self, least: usize) -> Result<&mut [u8]> {
        if self.limit.saturating_sub(self.filled) < least {
            self.flush()?;
            let beyond = usize::try_from(self.start % BUFFER as u64).unwrap_or(0);
            self.limit = BUFFER - beyond;
            if self.limit < SLACK {
                self.limit = BUFFER + SLACK;
            }
        }
        self.buffer.get_mut(self.filled..self.limit).ok_or_else(misfit)
    }

    fn flush(&mut self) -> Result<()> {
        self.interrupt.check()?;
        self.file.write_at(self.buffer.get(..self.filled).unwrap_or_default(), self.start)?;
        self.start += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.flush()?;
        Ok(self.buffer)
    }
}

fn part<'a>(bytes: &'a [u8], piece: &Piece) -> Result<&'a [u8]> {
    let start = usize::try_from(piece.start).ok();
    let length = usize::try_from(piece.length).ok();
    start
        .zip(length)
        .and_then(|(start, length)| bytes.get(start..)?.get(..length))
        .ok_or_else(misfit)
}

fn misfit() -> Error {
    Error::invalid("the elements do not fit their place in the data file")
}
