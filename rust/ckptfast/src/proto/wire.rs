//! The fields of a protocol buffer message, read in place.
//!
//! A V1 record is up to 2 GiB of numbers, its metadata lists every tensor, and an index has an entry
//! for each. Walking the fields saves copies and allocations, and bounds what a hostile file can
//! cost.

use crate::coding;
use crate::error::{Error, Result};

/// One field: its number is beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    /// A message, a string, or packed numbers.
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// Takes a field off the front of `message`; `None` at its end.
///
/// # Errors
/// `Corruption` when the bytes are no field. Groups, which no message here ever had, are refused.
#[inline]
pub(crate) fn next_field<'a>(message: &mut &'a [u8]) -> Result<Option<(u64, Field<'a>)>> {
    if message.is_empty() {
        return Ok(None);
    }
    match take_field(message) {
        None => Err(Error::corruption("cannot parse a protocol buffer message")),
        field => Ok(field),
    }
}

#[inline]
fn take_field<'a>(message: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = coding::get_varint64(message)?;
    let field = match tag & 7 {
        0 => Field::Varint(coding::get_varint64(message)?),
        1 => Field::Fixed64(take_array(message)?),
        2 => {
            let length = usize::try_from(coding::get_varint64(message)?).ok()?;
            Field::Bytes(coding::take(message, length)?)
        }
        5 => Field::Fixed32(take_array(message)?),
        _ => return None,
    };
    Some((tag >> 3, field))
}

#[inline]
fn take_array<const LENGTH: usize>(input: &mut &[u8]) -> Option<[u8; LENGTH]> {
    let (head, tail) = input.split_first_chunk()?;
    *input = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_type_is_read() {
        let mut message: &[u8] =
            b"\x08\x96\x01\x12\x02ab\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08";
        let mut fields = Vec::new();
        while let Some(field) = next_field(&mut message).unwrap() {
            fields.push(field);
        }
        assert_eq!(
            fields,
            [
                (1, Field::Varint(150)),
                (2, Field::Bytes(b"ab")),
                (3, Field::Fixed32([1, 2, 3, 4])),
                (4, Field::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])),
            ]
        );
    }

    #[test]
    fn cut_fields_and_groups_are_refused() {
        for bytes in [
            b"\x08".as_slice(),
            b"\x08\x80",
            b"\x12\x03ab",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01ab",
            b"\x1d\x01\x02\x03",
            b"\x21\x01",
            b"\x0b\x0c",
            b"\x0e",
        ] {
            assert!(next_field(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
