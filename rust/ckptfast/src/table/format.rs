//! Handles, trailers and the footer: the parts of a table outside its blocks.
//!
//! ```text
//! handle:   offset    varint64    first byte of a block in the file
//!           size      varint64    bytes of the block, trailer excluded
//!
//! trailer:  type      u8          0 stored as it is, 1 Snappy
//!           crc       u32 LE      masked CRC-32C of the stored block and the type byte
//!
//! footer:   metaindex handle, index handle
//!           zeros up to 40 bytes
//!           magic     u64 LE      0xdb4775248b80fb57
//! ```

use std::borrow::Cow;
use std::io;

use crate::coding;
use crate::crc32c;
use crate::error::{Error, Result};

/// Bytes of a trailer.
pub(super) const TRAILER_LENGTH: usize = 5;
/// Bytes of the footer.
pub(super) const FOOTER_LENGTH: usize = 48;

const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();
const STORED: u8 = 0;
const SNAPPY: u8 = 1;

/// Snappy's best element is a copy of 64 bytes written in 3, so no block grows by more than this.
/// A block that claims more is refused before memory is taken for it.
const MAX_SNAPPY_RATIO: usize = 22;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHandle {
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl BlockHandle {
    /// Takes a handle off the front of `input`.
    pub(super) fn decode(input: &mut &[u8]) -> Result<Self> {
        let numbers = coding::get_varint64(input).zip(coding::get_varint64(input));
        let (offset, size) = numbers.ok_or_else(|| Error::corruption("bad block handle"))?;
        Ok(Self { offset, size })
    }

    pub(super) fn encode(self, output: &mut Vec<u8>) {
        coding::put_varint64(output, self.offset);
        coding::put_varint64(output, self.size);
    }

    /// Where the trailer ends; `None` when that does not fit 64 bits.
    pub(super) fn end(self) -> Option<u64> {
        self.offset.checked_add(self.size)?.checked_add(TRAILER_LENGTH as u64)
    }

    /// Gives an error about this block its place.
    pub(super) fn locate(self, error: Error) -> Error {
        error.with_range(self.offset, self.size.saturating_add(TRAILER_LENGTH as u64))
    }
}

/// Finds the index block of the table that is `file`.
pub(super) fn read_footer(file: &[u8]) -> Result<BlockHandle> {
    let Some((blocks, footer)) = file.split_last_chunk::<FOOTER_LENGTH>() else {
        let error = Error::corruption("file is too short to be an sstable");
        return Err(error.with_range(0, file.len() as u64));
    };
    let locate = |error: Error| error.with_range(blocks.len() as u64, FOOTER_LENGTH as u64);
    let Some(mut handles) = footer.strip_suffix(&MAGIC) else {
        return Err(locate(Error::corruption("not an sstable (bad magic number)")));
    };
    // The metaindex block holds nothing, so its handle only has to be one.
    BlockHandle::decode(&mut handles).map_err(locate)?;
    BlockHandle::decode(&mut handles).map_err(locate)
}

/// Appends the footer.
pub(super) fn write_footer(output: &mut Vec<u8>, metaindex: BlockHandle, index: BlockHandle) {
    let padded = output.len() + FOOTER_LENGTH - MAGIC.len();
    metaindex.encode(output);
    index.encode(output);
    output.resize(padded, 0);
    output.extend(MAGIC);
}

/// The contents of one block, checked against its trailer and decompressed.
pub(super) fn read_block(file: &[u8], handle: BlockHandle) -> Result<Cow<'_, [u8]>> {
    let contents = || {
        let (&kind, stored) = check(file, handle)?.split_last().ok_or_else(truncated)?;
        match kind {
            STORED => Ok(Cow::Borrowed(stored)),
            SNAPPY => decompress(stored).map(Cow::Owned),
            _ => Err(Error::corruption("bad block type")),
        }
    };
    contents().map_err(|error| handle.locate(error))
}

/// The stored block and its type byte, if the checksum behind them agrees.
fn check(file: &[u8], handle: BlockHandle) -> Result<&[u8]> {
    let end = handle.end().ok_or_else(|| Error::corruption("handle.size() too big"))?;
    let range = usize::try_from(handle.offset).ok().zip(usize::try_from(end).ok());
    let (checked, crc) = file
        .split_last_chunk::<FOOTER_LENGTH>()
        .zip(range)
        .and_then(|((blocks, _), (start, end))| blocks.get(start..end))
        .and_then(|stored| stored.split_last_chunk::<4>())
        .ok_or_else(truncated)?;
    let stored = crc32c::unmask(u32::from_le_bytes(*crc));
    let calculated = crc32c::value(checked);
    if stored == calculated { Ok(checked) } else { Err(Error::checksum(stored, calculated)) }
}

fn truncated() -> Error {
    Error::corruption("truncated block read")
}

fn decompress(compressed: &[u8]) -> Result<Vec<u8>> {
    let corrupted = || Error::corruption("corrupted compressed block contents");
    let length = snap::raw::decompress_len(compressed)
        .ok()
        .filter(|&length| length / MAX_SNAPPY_RATIO <= compressed.len())
        .ok_or_else(corrupted)?;
    let mut contents = Vec::new();
    contents
        .try_reserve_exact(length)
        .map_err(|_| Error::io("decompress a block", io::ErrorKind::OutOfMemory.into()))?;
    contents.resize(length, 0);
    match snap::raw::Decoder::new().decompress(compressed, &mut contents) {
        Ok(written) if written == length => Ok(contents),
        _ => Err(corrupted()),
    }
}

/// Appends a block as it is, and its trailer.
pub(super) fn write_block(output: &mut Vec<u8>, contents: &[u8]) -> BlockHandle {
    let offset = output.len();
    output.extend(contents);
    output.push(STORED);
    let crc = crc32c::value(output.get(offset..).unwrap_or_default());
    output.extend(crc32c::mask(crc).to_le_bytes());
    BlockHandle { offset: offset as u64, size: contents.len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One block of this type with a right checksum, and the room of a footer behind it.
    fn file_with(contents: &[u8], kind: u8) -> (Vec<u8>, BlockHandle) {
        let mut file = contents.to_vec();
        file.push(kind);
        file.extend(crc32c::mask(crc32c::value(&file)).to_le_bytes());
        file.resize(file.len() + FOOTER_LENGTH, 0);
        (file, BlockHandle { offset: 0, size: contents.len() as u64 })
    }

    fn message(file: &[u8], handle: BlockHandle) -> String {
        read_block(file, handle).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_block_is_read_back_stored_and_compressed() {
        let contents = [7; 1000];
        let (file, handle) = file_with(&contents, STORED);
        assert_eq!(read_block(&file, handle).unwrap(), contents.as_slice());
        let packed = snap::raw::Encoder::new().compress_vec(&contents).unwrap();
        let (file, handle) = file_with(&packed, SNAPPY);
        assert_eq!(read_block(&file, handle).unwrap(), contents.as_slice());
    }

    #[test]
    fn the_best_that_snappy_can_do_is_within_the_ratio() {
        let zeros = vec![0; 1 << 24];
        let packed = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        assert_eq!(decompress(&packed).unwrap(), zeros);
    }

    #[test]
    fn a_compressed_block_that_claims_gigabytes_is_refused() {
        for claim in [1000, u64::from(u32::MAX), u64::MAX] {
            let mut bomb = Vec::new();
            coding::put_varint64(&mut bomb, claim);
            bomb.extend([0xfe, 1, 0, 0xfe, 1, 0]);
            let (file, handle) = file_with(&bomb, SNAPPY);
            assert_eq!(message(&file, handle), "corrupted compressed block contents", "{claim}");
        }
        let (file, handle) = file_with(b"", SNAPPY);
        assert_eq!(message(&file, handle), "corrupted compressed block contents");
    }

    #[test]
    fn handles_that_reach_outside_the_blocks_are_refused() {
        let (file, handle) = file_with(b"contents", STORED);
        for handle in [
            BlockHandle { size: handle.size + 1, ..handle },
            BlockHandle { offset: file.len() as u64, size: 0 },
            BlockHandle { offset: 1 << 63, size: 8 },
            BlockHandle { offset: 0, size: 1 << 62 },
        ] {
            let error = read_block(&file, handle).unwrap_err();
            assert_eq!(error.message(), "truncated block read", "{handle:?}");
            assert_eq!(error.range().unwrap().start, handle.offset);
        }
        let handle = BlockHandle { offset: 8, size: u64::MAX - 8 };
        assert_eq!(message(&file, handle), "handle.size() too big");
    }

    #[test]
    fn an_unknown_type_and_a_wrong_checksum_are_refused() {
        let (mut file, handle) = file_with(b"contents", 2);
        assert_eq!(message(&file, handle), "bad block type");
        file[8] = STORED;
        let error = read_block(&file, handle).unwrap_err();
        assert!(error.checksums().is_some());
        assert_eq!(error.range(), Some(0..13));
    }

    #[test]
    fn the_footer_has_room_for_the_longest_handles() {
        let metaindex = BlockHandle { offset: u64::MAX, size: u64::MAX };
        let index = BlockHandle { offset: u64::MAX - 1, size: u64::MAX };
        let mut file = Vec::new();
        write_footer(&mut file, metaindex, index);
        assert_eq!(file.len(), FOOTER_LENGTH);
        assert_eq!(&file[40..], b"\x57\xfb\x80\x8b\x24\x75\x47\xdb");
        assert_eq!(read_footer(&file).unwrap(), index);
    }

    #[test]
    fn files_that_are_no_tables_are_refused_with_tensorflows_words() {
        let error = read_footer(&[0; 47]).unwrap_err();
        assert_eq!(error.message(), "file is too short to be an sstable");
        let error = read_footer(&[0; 50]).unwrap_err();
        assert_eq!(error.message(), "not an sstable (bad magic number)");
        assert_eq!(error.range(), Some(2..50));
        let mut footer = [0xff; FOOTER_LENGTH];
        footer[40..].copy_from_slice(&MAGIC);
        assert_eq!(read_footer(&footer).unwrap_err().message(), "bad block handle");
    }
}
