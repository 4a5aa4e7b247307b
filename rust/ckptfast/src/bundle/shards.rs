//! Writing the data files: elements are copied, checksummed and written piece by piece.
//!
//! Memory that others may change meanwhile is read once: a piece is copied into a small buffer,
//! and both the checksum and the file get the copy. The buffer stays in the processor's cache, so
//! the second reading costs little, and extra memory is one buffer per thread.
//!
//! A data file is cut at fixed positions into spans that threads take; large tensors lie in several
//! pieces whose checksums are combined, small ones share a buffer and a system call. Spans consist
//! of whole huge pages, and each of those is written by one call: Linux then keeps it as one page,
//! which a reader maps at once, where 4 KiB pages of 1 GiB take as long to map as half a checksum.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;

use super::layout::Layout;
use super::sources::{Data, Source};
use super::strings;
use crate::crc32c::{self, Digest};
use crate::error::{Error, Result};
use crate::io;
use crate::io::atomic::{Durability, TempFile};
use crate::parallel::{Interrupt, Workers};

/// A huge page, and the bytes per system call. Writes end at multiples of it.
const BUFFER: usize = 2 << 20;

/// Most huge pages that a thread takes at a time.
const MAX_SPAN: u64 = 8;

/// Bytes that are copied before they are checksummed, while they are in the innermost caches.
const STEP: usize = 128 << 10;

/// Length of a buffer: after the first huge page there is room for a last write too short to hold
/// an element, and the system aligns whole huge pages only. It takes no memory that is not used.
const ROOM: usize = 2 * BUFFER;

/// Consecutive bytes of one tensor.
struct Piece {
    source: usize,
    start: u64,
    length: u64,
    shard: usize,
    /// Position in the data file.
    offset: u64,
    /// Their checksum, when written.
    crc32c: AtomicU32,
}

/// Writes all elements to their places; returns the (unmasked) checksum of each source.
pub(super) fn write(
    sources: &[Source<'_>],
    layout: &Layout,
    files: &[TempFile],
    durability: Durability,
    workers: &Workers<'_>,
) -> Result<Vec<u32>> {
    let total: u64 = layout.lengths.iter().sum();
    let span = span(total, workers.threads);
    let mut pieces = cut(sources, layout, span);
    // Neighbours in a file become neighbours here; those of one source stay together.
    pieces.sort_by_key(|piece| piece.shard);
    let jobs: Vec<&[Piece]> = pieces
        .chunk_by(|one, next| (one.shard, one.offset / span) == (next.shard, next.offset / span))
        .collect();
    let buffers: Mutex<Vec<MmapMut>> = Mutex::default();
    workers.run(jobs.len(), |index| {
        let Some((job, first)) = jobs.get(index).and_then(|job| Some((job, job.first()?))) else {
            return Ok(());
        };
        let file = files.get(first.shard).ok_or_else(|| Error::invalid("no such data file"))?;
        let buffer = buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = buffer.map_or_else(|| io::scratch(ROOM, total >= BUFFER as u64), Ok)?;
        let mut sink = Sink::new(file, buffer, workers.interrupt);
        for piece in *job {
            let Some(source) = sources.get(piece.source) else { continue };
            let located = |error: Error| error.with_key(&source.name);
            let crc32c = sink.put(piece, &source.data).map_err(located)?;
            piece.crc32c.store(crc32c, Ordering::Relaxed);
        }
        let end = sink.start + sink.filled as u64;
        let buffer = sink.finish()?;
        file.begin_sync(first.offset..end, durability);
        buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        Ok(())
    })?;
    Ok(combine(&pieces, sources.len()))
}

/// How far a thread goes in one file: a few spans for each, so that they end together.
fn span(total: u64, threads: usize) -> u64 {
    let share = total / (threads as u64 * 4).max(1);
    (share / BUFFER as u64).clamp(1, MAX_SPAN) * BUFFER as u64
}

fn cut(sources: &[Source<'_>], layout: &Layout, span: u64) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(sources.len());
    for (index, (source, place)) in sources.iter().zip(&layout.places).enumerate() {
        let grain = match &source.data {
            Data::Bytes(_) | Data::Pages(_) => 1,
            Data::Walk(walk) => walk.item() as u64,
            // Encoded from the first to the last.
            Data::Strings(_) | Data::Variants(_) => u64::MAX,
        };
        let mut start = 0;
        loop {
            let rest = source.size - start;
            let offset = place.offset + start;
            // Elements stay whole, wherever the tensor begins.
            let room = (span - offset % span).checked_next_multiple_of(grain);
            let length = room.map_or(rest, |room| room.min(rest));
            pieces.push(Piece {
                source: index,
                start,
                length,
                shard: place.shard as usize,
                offset,
                crc32c: AtomicU32::new(0),
            });
            start += length;
            if start == source.size {
                break;
            }
        }
    }
    pieces
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
    buffer: MmapMut,
    /// Position in the file of the buffer's first byte.
    start: u64,
    filled: usize,
    /// How far the buffer is filled before it is written.
    limit: usize,
}

impl<'a> Sink<'a> {
    fn new(file: &'a TempFile, buffer: MmapMut, interrupt: &'a Interrupt) -> Self {
        Self { file, interrupt, buffer, start: 0, filled: 0, limit: 0 }
    }

    /// Writes one piece; returns the checksum of its bytes (of the entry, for strings).
    fn put(&mut self, piece: &Piece, data: &Data<'_>) -> Result<u32> {
        self.seek(piece.offset)?;
        match data {
            Data::Bytes(bytes) => self.put_bytes(part(bytes, piece)?),
            Data::Pages(bytes) => {
                let bytes = part(bytes, piece)?;
                if !io::enter(bytes) {
                    return Err(Error::corruption(
                        "the values are pages of a file that was cut since, or whose disk fails",
                    ));
                }
                self.put_bytes(bytes)
            }
            Data::Walk(walk) => {
                let item = walk.item();
                let first = usize::try_from(piece.start).map_err(|_| misfit())? / item;
                let count = usize::try_from(piece.length).map_err(|_| misfit())? / item;
                let mut digest = Digest::default();
                let mut done = 0;
                while done < count {
                    let room = self.room(item)?;
                    let items = (room.len().min(STEP) / item).min(count - done);
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

    fn put_bytes(&mut self, mut bytes: &[u8]) -> Result<u32> {
        let mut digest = Digest::default();
        while !bytes.is_empty() {
            let room = self.room(1)?;
            let (head, tail) = bytes.split_at(bytes.len().min(room.len()).min(STEP));
            let target = room.get_mut(..head.len()).ok_or_else(misfit)?;
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
        if let Some(end) = end.filter(|&end| self.filled > 0 && end <= self.limit) {
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
            if self.limit < least {
                self.limit += BUFFER;
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

    fn finish(mut self) -> Result<MmapMut> {
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
