//! The data of `string` and `variant` tensors.
//!
//! ```text
//! string:   varint64 length × N · u32 checksum of the lengths · bytes of all elements
//! variant:  (varint64 length · bytes · u32 checksum of everything so far) × N
//! ```
//!
//! Checksums are masked CRC-32C, and they do not cover the varints as stored: a length counts as a
//! little-endian word, of 32 bits in a `string` unless it needs 64, of 64 bits in a `variant`. The
//! checksum in the entry goes on over the stored checksums and the bytes of the elements. (Before
//! lengths were 64 bits wide, a `string`'s were varint32 and counted as 32-bit words, which is the
//! same for every length that could be written.)
//!
//! A `string` tensor without elements takes four bytes, the checksum of no lengths; very old
//! writers left nothing at all. In a bundle of the other byte order the words and the checksums
//! are big-endian; `variant` tensors do not exist there.

use std::ops::Range;

use crate::coding;
use crate::crc32c::{self, Digest};
use crate::error::{Error, Result};
use crate::proto::Endianness;

/// Bytes of a stored checksum.
const CHECKSUM: usize = 4;

/// Words are handed to the checksum together: a call costs more than a word.
const WORDS: usize = 4096;

/// A decoded tensor: where its elements are in the stored bytes.
#[derive(Debug)]
pub struct Strings<'a> {
    /// The (unmasked) checksum that the entry should have.
    pub crc32c: u32,
    /// The bytes of every element, row-major.
    pub ranges: Ranges<'a>,
}

/// Byte ranges of the elements. Reads the lengths again as it goes, so that a tensor of many
/// short elements takes no memory beyond its stored bytes.
#[derive(Clone, Debug)]
pub struct Ranges<'a> {
    lengths: Lengths<'a>,
    /// Where the next element begins.
    position: usize,
}

/// Where the lengths of the elements not yet seen are.
#[derive(Clone, Debug)]
enum Lengths<'a> {
    /// In a row of this many.
    Together { stored: &'a [u8], remaining: u64 },
    /// In front of each element; these are all stored bytes.
    Apart { stored: &'a [u8], remaining: u64 },
}

impl Iterator for Ranges<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let (start, gap, length) = match &mut self.lengths {
            Lengths::Together { stored, remaining } => {
                *remaining = remaining.checked_sub(1)?;
                (self.position, 0, coding::get_varint64(stored)?)
            }
            Lengths::Apart { stored, remaining } => {
                *remaining = remaining.checked_sub(1)?;
                let mut cursor = stored.get(self.position..)?;
                let length = coding::get_varint64(&mut cursor)?;
                (stored.len() - cursor.len(), CHECKSUM, length)
            }
        };
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.position = end.checked_add(gap)?;
        Some(start..end)
    }
}

/// Decodes a `string` tensor of `count` elements.
///
/// # Errors
/// `Corruption` when the bytes are not `count` lengths, their checksum, and as many bytes as the
/// lengths say. Nothing is allocated.
pub fn decode_strings(bytes: &[u8], count: u64, byte_order: Endianness) -> Result<Strings<'_>> {
    if bytes.is_empty() && count == 0 {
        return Ok(Strings { crc32c: crc32c::value(&[]), ranges: together(&[], 0, 0) });
    }
    // Every length takes a byte at least.
    if bytes.len() < CHECKSUM || count > (bytes.len() - CHECKSUM) as u64 {
        return Err(cut(count, bytes.len()));
    }
    let mut cursor = bytes;
    let mut words = Words::new(byte_order);
    let mut total = 0u64;
    for _ in 0..count {
        let length = coding::get_varint64(&mut cursor).ok_or_else(|| cut(count, bytes.len()))?;
        words.push_string_length(length);
        total = total.checked_add(length).ok_or_else(|| too_long(u64::MAX, cursor.len()))?;
    }
    let (lengths, rest) = bytes.split_at_checked(bytes.len() - cursor.len()).unwrap_or_default();
    let Some((stored, content)) = rest.split_first_chunk::<CHECKSUM>() else {
        return Err(cut(count, bytes.len()));
    };
    let mut digest = words.finish();
    check(*stored, digest.value(), byte_order)?;
    if total != content.len() as u64 {
        return Err(too_long(total, content.len()));
    }
    digest.update(rest);
    let ranges = together(lengths, count, lengths.len() + CHECKSUM);
    Ok(Strings { crc32c: digest.value(), ranges })
}

/// Decodes a `variant` tensor of `count` elements, each a serialized `VariantTensorDataProto`.
///
/// # Errors
/// `Corruption` when the bytes are not `count` elements, each with its length and checksum.
/// Nothing is allocated.
pub fn decode_variants(bytes: &[u8], count: u64) -> Result<Strings<'_>> {
    // An empty element takes its length and its checksum.
    if count > (bytes.len() / (1 + CHECKSUM)) as u64 {
        return Err(cut(count, bytes.len()));
    }
    let mut cursor = bytes;
    let mut digest = Digest::default();
    for _ in 0..count {
        let length = coding::get_varint64(&mut cursor).ok_or_else(|| cut(count, bytes.len()))?;
        let available = cursor.len();
        let content = usize::try_from(length).ok().and_then(|n| coding::take(&mut cursor, n));
        digest.update(&length.to_le_bytes());
        digest.update(content.ok_or_else(|| too_long(length, available))?);
        let Some((stored, rest)) = cursor.split_first_chunk::<CHECKSUM>() else {
            return Err(cut(count, bytes.len()));
        };
        check(*stored, digest.value(), Endianness::Little)?;
        digest.update(stored);
        cursor = rest;
    }
    if !cursor.is_empty() {
        return Err(Error::corruption(format!("{} bytes follow the last variant", cursor.len())));
    }
    let lengths = Lengths::Apart { stored: bytes, remaining: count };
    Ok(Strings { crc32c: digest.value(), ranges: Ranges { lengths, position: 0 } })
}

/// How many bytes [`encode_strings`] hands out.
pub fn strings_size(elements: &[&[u8]]) -> u64 {
    let element = |element: &&[u8]| sized(element) + element.len() as u64;
    elements.iter().map(element).sum::<u64>() + CHECKSUM as u64
}

/// How many bytes [`encode_variants`] hands out.
pub fn variants_size(elements: &[&[u8]]) -> u64 {
    let element = |element: &&[u8]| sized(element) + (element.len() + CHECKSUM) as u64;
    elements.iter().map(element).sum()
}

/// Hands the stored form of a `string` tensor to `emit`, part by part; returns the entry's
/// (unmasked) checksum.
///
/// # Errors
/// Those of `emit`.
pub fn encode_strings(
    elements: &[&[u8]],
    mut emit: impl FnMut(&[u8]) -> Result<()>,
) -> Result<u32> {
    let mut words = Words::new(Endianness::Little);
    let mut varint = Vec::with_capacity(coding::MAX_VARINT64_LENGTH);
    for element in elements {
        words.push_string_length(element.len() as u64);
        varint.clear();
        coding::put_varint64(&mut varint, element.len() as u64);
        emit(&varint)?;
    }
    let mut digest = words.finish();
    let checksum = crc32c::mask(digest.value()).to_le_bytes();
    digest.update(&checksum);
    emit(&checksum)?;
    for element in elements {
        digest.update(element);
        emit(element)?;
    }
    Ok(digest.value())
}

/// Hands the stored form of a `variant` tensor to `emit`, part by part; returns the entry's
/// (unmasked) checksum.
///
/// # Errors
/// Those of `emit`.
pub fn encode_variants(
    elements: &[&[u8]],
    mut emit: impl FnMut(&[u8]) -> Result<()>,
) -> Result<u32> {
    let mut digest = Digest::default();
    let mut varint = Vec::with_capacity(coding::MAX_VARINT64_LENGTH);
    for element in elements {
        let length = element.len() as u64;
        varint.clear();
        coding::put_varint64(&mut varint, length);
        digest.update(&length.to_le_bytes());
        digest.update(element);
        let checksum = crc32c::mask(digest.value()).to_le_bytes();
        digest.update(&checksum);
        emit(&varint)?;
        emit(element)?;
        emit(&checksum)?;
    }
    Ok(digest.value())
}

/// The checksum over lengths as words.
struct Words {
    digest: Digest,
    pending: Vec<u8>,
    byte_order: Endianness,
}

impl Words {
    fn new(byte_order: Endianness) -> Self {
        Self { digest: Digest::default(), pending: Vec::new(), byte_order }
    }

    fn push_string_length(&mut self, length: u64) {
        match (u32::try_from(length), self.byte_order) {
            (Ok(word), Endianness::Little) => self.pending.extend(word.to_le_bytes()),
            (Ok(word), Endianness::Big) => self.pending.extend(word.to_be_bytes()),
            (Err(_), Endianness::Little) => self.pending.extend(length.to_le_bytes()),
            (Err(_), Endianness::Big) => self.pending.extend(length.to_be_bytes()),
        }
        if self.pending.len() >= WORDS {
            self.digest.update(&self.pending);
            self.pending.clear();
        }
    }

    fn finish(mut self) -> Digest {
        self.digest.update(&self.pending);
        self.digest
    }
}

fn together(stored: &[u8], count: u64, content: usize) -> Ranges<'_> {
    Ranges { lengths: Lengths::Together { stored, remaining: count }, position: content }
}

fn sized(element: &[u8]) -> u64 {
    coding::varint64_length(element.len() as u64) as u64
}

fn check(stored: [u8; CHECKSUM], calculated: u32, byte_order: Endianness) -> Result<()> {
    let stored = match byte_order {
        Endianness::Little => u32::from_le_bytes(stored),
        Endianness::Big => u32::from_be_bytes(stored),
    };
    let stored = crc32c::unmask(stored);
    if stored == calculated { Ok(()) } else { Err(Error::checksum(stored, calculated)) }
}

fn cut(count: u64, length: usize) -> Error {
    Error::corruption(format!("{length} bytes cannot hold {count} strings"))
}

fn too_long(total: u64, available: usize) -> Error {
    Error::corruption(format!("string lengths add up to {total} bytes, there are {available}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(elements: &[&[u8]]) -> (Vec<u8>, u32) {
        let mut bytes = Vec::new();
        let crc = encode_strings(elements, |part| {
            bytes.extend(part);
            Ok(())
        });
        assert_eq!(bytes.len() as u64, strings_size(elements));
        (bytes, crc.unwrap())
    }

    fn stored_variants(elements: &[&[u8]]) -> (Vec<u8>, u32) {
        let mut bytes = Vec::new();
        let crc = encode_variants(elements, |part| {
            bytes.extend(part);
            Ok(())
        });
        assert_eq!(bytes.len() as u64, variants_size(elements));
        (bytes, crc.unwrap())
    }

    fn elements<'a>(bytes: &'a [u8], decoded: Strings<'a>) -> Vec<&'a [u8]> {
        decoded.ranges.map(|range| &bytes[range]).collect()
    }

    fn decode(bytes: &[u8], count: u64) -> Result<Strings<'_>> {
        decode_strings(bytes, count, Endianness::Little)
    }

    #[test]
    fn no_elements_take_the_four_bytes_tensorflow_writes() {
        let (bytes, crc) = stored(&[]);
        assert_eq!(bytes, [0xd8, 0xea, 0x82, 0xa2]);
        assert_eq!(crc32c::mask(crc).to_le_bytes(), [0xf6, 0xc1, 0x0c, 0x64]);
        assert_eq!(decode(&bytes, 0).unwrap().crc32c, crc);
    }

    #[test]
    fn old_writers_left_no_bytes_for_no_elements() {
        let decoded = decode(&[], 0).unwrap();
        assert_eq!((decoded.crc32c, decoded.ranges.count()), (0, 0));
        assert!(decode(&[], 1).is_err());
    }

    /// The first two tensors of TensorFlow's own test data from before cl/214343133.
    #[test]
    fn bytes_from_before_64_bit_lengths_decode_and_are_still_what_is_written() {
        let empty = [0x00, 0xa6, 0x7b, 0x11, 0x3a];
        let hello = [0x05, 0xd9, 0xc6, 0x9c, 0x43, b'h', b'e', b'l', b'l', b'o'];
        for (bytes, element, crc) in
            [(&empty[..], &b""[..], 0xbe07_67bd_u32), (&hello, b"hello", 0x29c0_e0ec)]
        {
            let decoded = decode(bytes, 1).unwrap();
            assert_eq!(crc32c::mask(decoded.crc32c), crc);
            assert_eq!(elements(bytes, decoded), [element]);
            assert_eq!(stored(&[element]), (bytes.to_vec(), crc32c::unmask(crc)));
        }
    }

    #[test]
    fn elements_come_back_in_order_whatever_their_length() {
        let long = vec![7; 70_000];
        let many: Vec<&[u8]> = (0..5000).map(|index| &long[..index % 300]).collect();
        for list in [vec![&b"a"[..], b"", &long, b"\0\xff"], many] {
            let (bytes, crc) = stored(&list);
            let decoded = decode(&bytes, list.len() as u64).unwrap();
            assert_eq!(decoded.crc32c, crc);
            assert_eq!(elements(&bytes, decoded), list);
            let (bytes, crc) = stored_variants(&list);
            let decoded = decode_variants(&bytes, list.len() as u64).unwrap();
            assert_eq!(decoded.crc32c, crc);
            assert_eq!(elements(&bytes, decoded), list);
        }
    }

    #[test]
    fn a_length_beyond_32_bits_counts_as_a_64_bit_word() {
        let digest = |lengths: &[u64]| {
            let mut words = Words::new(Endianness::Little);
            for &length in lengths {
                words.push_string_length(length);
            }
            words.finish().value()
        };
        let word = u64::from(u32::MAX);
        assert_eq!(digest(&[word]), crc32c::value(&[0xff; 4]));
        assert_eq!(digest(&[1, word + 1]), crc32c::value(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]));
    }

    #[test]
    fn big_endian_bundles_have_big_endian_words_and_checksums() {
        let lengths = crc32c::value(&[0, 0, 0, 2]);
        let mut bytes = vec![2];
        bytes.extend(crc32c::mask(lengths).to_be_bytes());
        bytes.extend(b"hi");
        let decoded = decode_strings(&bytes, 1, Endianness::Big).unwrap();
        let expected = [&[0, 0, 0, 2], &bytes[1..]].concat();
        assert_eq!(decoded.crc32c, crc32c::value(&expected));
        assert_eq!(elements(&bytes, decoded), [b"hi"]);
        assert!(decode(&bytes, 1).is_err());
    }

    #[test]
    fn a_variant_counts_its_length_as_64_bits_and_checksums_run_on() {
        let (bytes, crc) = stored_variants(&[b"x", b""]);
        let first = crc32c::value(&[1, 0, 0, 0, 0, 0, 0, 0, b'x']);
        assert_eq!(bytes[..2], [1, b'x']);
        assert_eq!(bytes[2..6], crc32c::mask(first).to_le_bytes());
        let all = [&[1, 0, 0, 0, 0, 0, 0, 0, b'x'], &bytes[2..6], &[0; 8]].concat();
        assert_eq!(bytes[7..], crc32c::mask(crc32c::value(&all)).to_le_bytes());
        assert_eq!(crc, crc32c::value(&[&all, &bytes[7..]].concat()));
    }

    #[test]
    fn every_cut_extension_and_flipped_bit_is_noticed() {
        let list: Vec<&[u8]> = vec![b"alpha", b"", b"beta"];
        for (encode, decode) in [
            (
                stored as fn(&[&[u8]]) -> (Vec<u8>, u32),
                decode as fn(&[u8], u64) -> Result<Strings<'_>>,
            ),
            (stored_variants, decode_variants),
        ] {
            let (bytes, crc) = encode(&list);
            for cut in 0..bytes.len() {
                assert!(decode(&bytes[..cut], 3).is_err(), "cut at {cut}");
            }
            assert!(decode(&[&bytes[..], &[0]].concat(), 3).is_err());
            assert!(decode(&bytes, 2).is_err());
            assert!(decode(&bytes, 4).is_err());
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&bytes, 3).map_or(true, |found| found.crc32c != crc), "bit {bit}");
            }
        }
    }

    #[test]
    fn absurd_counts_and_lengths_are_refused_at_once() {
        assert!(decode(&[0; 100], u64::MAX).is_err());
        assert!(decode_variants(&[0; 100], u64::MAX).is_err());
        let mut bytes = Vec::new();
        for _ in 0..3 {
            coding::put_varint64(&mut bytes, u64::MAX);
        }
        bytes.extend([0; 8]);
        assert!(decode(&bytes, 3).is_err());
        assert!(decode_variants(&bytes, 1).is_err());
    }
}
