//! `OrderedCode`: the encoding of slice keys, whose byte order is the order of what it encodes.
//!
//! A slice key is `00`, the tensor's name (escaped), the rank, and start and length of every
//! dimension. It starts with a zero byte, so slices sort before every plain name. A dimension that
//! is whole is start 0, length -1.

use std::borrow::Cow;

use crate::error::{Error, Result, shown};
use crate::slice::{Extent, TensorSlice};

/// The table key of one slice of the tensor `name`.
pub fn encode_slice_key(name: &[u8], slice: &TensorSlice) -> Vec<u8> {
    let mut key = vec![0];
    put_string(&mut key, name);
    put_unsigned(&mut key, slice.extents().len() as u64);
    for extent in slice.extents() {
        let (start, length) = match *extent {
            Extent::Full => (0, -1),
            // Both were parsed from, or checked against, 63-bit values.
            Extent::Range { start, length } => (start.cast_signed(), length.cast_signed()),
        };
        put_signed(&mut key, start);
        put_signed(&mut key, length);
    }
    key
}

/// Whether `key` is a slice key rather than the name of a tensor.
///
/// No name starts with a zero byte; the empty key is the header's.
pub fn is_slice_key(key: &[u8]) -> bool {
    key.first() == Some(&0)
}

/// The name and slice behind a slice key.
///
/// # Errors
/// `Corruption` when the bytes are not an encoded slice.
pub fn decode_slice_key(key: &[u8]) -> Result<(Vec<u8>, TensorSlice)> {
    decode(key).ok_or_else(|| Error::corruption("malformed slice key").with_key(key))
}

/// The name of the tensor that a key is about.
pub fn tensor_name(key: &[u8]) -> Cow<'_, [u8]> {
    match is_slice_key(key).then(|| decode(key)).flatten() {
        Some((name, _)) => Cow::Owned(name),
        None => Cow::Borrowed(key),
    }
}

/// What a key is about, for somebody to read.
pub fn describe_key(key: &[u8]) -> String {
    match is_slice_key(key).then(|| decode(key)).flatten() {
        Some((name, slice)) => format!("slice {slice} of tensor '{}'", shown(&name)),
        None => format!("tensor '{}'", shown(key)),
    }
}

fn decode(mut key: &[u8]) -> Option<(Vec<u8>, TensorSlice)> {
    if get_unsigned(&mut key)? != 0 {
        return None;
    }
    let name = get_string(&mut key)?;
    let rank = usize::try_from(get_unsigned(&mut key)?).ok()?;
    if rank > crate::shape::MAX_RANK {
        return None;
    }
    let mut extents = Vec::with_capacity(rank);
    for _ in 0..rank {
        let start = u64::try_from(get_signed(&mut key)?).ok()?;
        extents.push(match get_signed(&mut key)? {
            -1 if start == 0 => Extent::Full,
            length => Extent::Range { start, length: u64::try_from(length).ok()? },
        });
    }
    key.is_empty().then(|| (name, TensorSlice::new(extents)))
}

fn put_string(output: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            0x00 => output.extend([0x00, 0xff]),
            0xff => output.extend([0xff, 0x00]),
            _ => output.push(byte),
        }
    }
    output.extend([0x00, 0x01]);
}

fn get_string(input: &mut &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        match byte {
            0x00 | 0xff => {
                let (&escape, rest) = input.split_first()?;
                *input = rest;
                match (byte, escape) {
                    (0x00, 0x01) => return Some(text),
                    (0x00, 0xff) | (0xff, 0x00) => text.push(byte),
                    _ => return None,
                }
            }
            _ => text.push(byte),
        }
    }
}

/// A length byte, then that many big-endian bytes without leading zeros.
fn put_unsigned(output: &mut Vec<u8>, value: u64) {
    let skipped = value.leading_zeros() as usize / 8;
    output.push((8 - skipped).to_le_bytes()[0]);
    output.extend(value.to_be_bytes().iter().skip(skipped));
}

fn get_unsigned(input: &mut &[u8]) -> Option<u64> {
    let (&length, rest) = input.split_first()?;
    let (bytes, rest) = rest.split_at_checked(usize::from(length))?;
    if length > 8 || bytes.first() == Some(&0) {
        return None;
    }
    *input = rest;
    Some(bytes.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte)))
}

/// `n` bytes carry `7n` bits; the number of leading ones (zeros for negative values) is `n`.
fn put_signed(output: &mut Vec<u8>, value: i64) {
    let magnitude = if value < 0 { !value } else { value };
    let length = (1..10).find(|&length| magnitude < 1i64 << (7 * length - 1)).unwrap_or(10usize);
    // Sign-extended to ten bytes, of which the last `length` are kept and their header bits set.
    let mut bytes = [if value < 0 { 0xff } else { 0 }; 10];
    for (target, byte) in bytes.iter_mut().skip(2).zip(value.to_be_bytes()) {
        *target = byte;
    }
    let header = signed_header(length);
    let kept = bytes.iter_mut().skip(10 - length);
    for (position, byte) in kept.enumerate() {
        output.push(*byte ^ header.get(position).copied().unwrap_or(0));
    }
}

fn get_signed(input: &mut &[u8]) -> Option<i64> {
    let negative = input.first()? & 0x80 == 0;
    let flip = if negative { 0xff } else { 0 };
    let first = input.first()? ^ flip;
    let length = match first.leading_ones() {
        8 => 8 + (input.get(1)? ^ flip).leading_ones() as usize,
        ones => ones as usize,
    };
    let (bytes, rest) = input.split_at_checked(length).filter(|_| length <= 10)?;
    let header = signed_header(length);
    let mut value = if negative { -1i128 } else { 0 };
    for (position, byte) in bytes.iter().enumerate() {
        value = (value << 8) | i128::from(byte ^ header.get(position).copied().unwrap_or(0));
    }
    *input = rest;
    i64::try_from(value).ok()
}

/// The bits set (by exclusive or) in the first two bytes of a signed value of `length` bytes.
fn signed_header(length: usize) -> [u8; 2] {
    let ones = 0xffff_u16.checked_shl(16 - u32::try_from(length).unwrap_or(16)).unwrap_or(0);
    ones.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(value: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_signed(&mut bytes, value);
        bytes
    }

    #[test]
    fn signed_values_have_tensorflows_bytes() {
        assert_eq!(signed(0), [0x80]);
        assert_eq!(signed(2), [0x82]);
        assert_eq!(signed(-1), [0x7f]);
        assert_eq!(signed(-64), [0x40]);
        assert_eq!(signed(63), [0xbf]);
        assert_eq!(signed(100), [0xc0, 0x64]);
        assert_eq!(signed(200), [0xc0, 0xc8]);
        assert_eq!(signed(i64::MAX)[..2], [0xff, 0xc0]);
    }

    #[test]
    fn signed_values_round_trip_and_keep_their_order_at_every_length() {
        let mut values = vec![i64::MIN, i64::MAX];
        for shift in 0..63 {
            let power = 1i64 << shift;
            values.extend([power - 1, power, power + 1, -power - 1, -power, 1 - power]);
        }
        values.sort_unstable();
        values.dedup();
        for pair in values.windows(2) {
            assert!(signed(pair[0]) < signed(pair[1]), "{pair:?}");
        }
        for value in values {
            let bytes = signed(value);
            assert_eq!(get_signed(&mut bytes.as_slice()), Some(value), "{bytes:02x?}");
        }
    }

    #[test]
    fn the_key_of_the_first_two_rows_of_pv_is_tensorflows() {
        let slice = TensorSlice::parse("0,2:0,2").unwrap();
        let key = [0, 0x70, 0x76, 0, 1, 1, 2, 0x80, 0x82, 0x80, 0x82];
        assert_eq!(encode_slice_key(b"pv", &slice), key);
        assert_eq!(decode_slice_key(&key).unwrap(), (b"pv".to_vec(), slice));
    }

    #[test]
    fn a_key_is_described_by_its_tensor_and_what_is_none_as_it_stands() {
        let key = encode_slice_key("\u{e9}".as_bytes(), &TensorSlice::parse("0,2:-").unwrap());
        assert_eq!(describe_key(&key), "slice 0,2:- of tensor '\u{e9}'");
        assert_eq!(*tensor_name(&key), *"\u{e9}".as_bytes());
        assert_eq!(describe_key(b"w/b"), "tensor 'w/b'");
        assert_eq!(describe_key(b"\0w\n"), r"tensor '\0w\n'");
        assert_eq!(*tensor_name(b"\0w"), *b"\0w");
    }

    #[test]
    fn names_with_the_escaped_bytes_round_trip() {
        let slice = TensorSlice::parse("-:70,9000000000").unwrap();
        for name in [b"".as_slice(), b"\x00", b"\xff\x00\x01", b"a\xffb"] {
            let key = encode_slice_key(name, &slice);
            assert_eq!(decode_slice_key(&key).unwrap(), (name.to_vec(), slice.clone()));
        }
    }

    #[test]
    fn every_cut_of_a_key_is_refused() {
        let key = encode_slice_key(b"w\x00", &TensorSlice::parse("100,2:-").unwrap());
        for cut in 0..key.len() {
            assert!(decode_slice_key(&key[..cut]).is_err(), "cut at {cut}");
        }
    }
}
