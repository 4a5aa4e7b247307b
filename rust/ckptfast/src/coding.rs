//! Fixed-width little-endian integers and base-128 varints, as in tables and string tensors.
//!
//! Decoders take a cursor (`&mut &[u8]`), advance it past what they read, and answer `None` when
//! the bytes run out or a varint does not fit; they never look past the slice.

/// Most bytes a 64-bit varint takes.
pub const MAX_VARINT64_LENGTH: usize = 10;

/// Takes the first `length` bytes.
#[inline]
pub fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(length)?;
    *input = tail;
    Some(head)
}

/// Reads a little-endian `u32`.
pub fn get_fixed32(input: &mut &[u8]) -> Option<u32> {
    let (head, tail) = input.split_first_chunk::<4>()?;
    *input = tail;
    Some(u32::from_le_bytes(*head))
}

/// Reads a little-endian `u64`.
pub fn get_fixed64(input: &mut &[u8]) -> Option<u64> {
    let (head, tail) = input.split_first_chunk::<8>()?;
    *input = tail;
    Some(u64::from_le_bytes(*head))
}

/// Reads a varint of at most 64 bits. Encodings longer than needed are legal.
#[inline]
pub fn get_varint64(input: &mut &[u8]) -> Option<u64> {
    match input.split_first() {
        // Nearly every varint of an index.
        Some((&byte @ ..0x80, rest)) => {
            *input = rest;
            Some(byte.into())
        }
        _ => get_long_varint64(input),
    }
}

fn get_long_varint64(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().take(MAX_VARINT64_LENGTH).enumerate() {
        let payload = u64::from(byte & 0x7f);
        let shift = 7 * index;
        if shift == 63 && payload > 1 {
            return None;
        }
        value |= payload << shift;
        if byte & 0x80 == 0 {
            *input = input.get(index + 1..)?;
            return Some(value);
        }
    }
    None
}

/// Reads a varint that must fit 32 bits.
pub fn get_varint32(input: &mut &[u8]) -> Option<u32> {
    let mut rest = *input;
    let value = u32::try_from(get_varint64(&mut rest)?).ok()?;
    *input = rest;
    Some(value)
}

/// Appends a varint in its shortest form.
pub fn put_varint64(output: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        output.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    output.push(value.to_le_bytes()[0]);
}

/// Appends a varint in its shortest form.
pub fn put_varint32(output: &mut Vec<u8>, value: u32) {
    put_varint64(output, u64::from(value));
}

/// How many bytes [`put_varint64`] appends.
pub fn varint64_length(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_length() {
        for shift in 0..64 {
            for value in [(1u64 << shift) - 1, 1 << shift, (1 << shift) | 1] {
                let mut bytes = Vec::new();
                put_varint64(&mut bytes, value);
                assert_eq!(bytes.len(), varint64_length(value), "{value}");
                let mut cursor = bytes.as_slice();
                assert_eq!(get_varint64(&mut cursor), Some(value));
                assert!(cursor.is_empty());
            }
        }
    }

    #[test]
    fn cut_and_overlong_varints_are_refused_and_leave_the_cursor() {
        let mut cut: &[u8] = &[0x80, 0x80];
        assert_eq!(get_varint64(&mut cut), None);
        assert_eq!(cut.len(), 2);
        let mut overflow: &[u8] = &[0xff; 11];
        assert_eq!(get_varint64(&mut overflow), None);
        let mut wide: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(get_varint32(&mut wide), None);
        assert_eq!(wide.len(), 5);
    }

    #[test]
    fn a_varint_may_be_longer_than_needed() {
        let mut padded: &[u8] = &[0x81, 0x80, 0x00];
        assert_eq!(get_varint64(&mut padded), Some(1));
    }
}
