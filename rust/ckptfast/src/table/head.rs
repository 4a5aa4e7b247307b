//! The beginning of a table: enough to tell what it is, and all that a damaged one may have left.

use crate::coding::{get_varint64, take};

/// The value under the first key, which in every table here is the empty one, from the first bytes
/// of the table; as much of it as they hold. `None` where no table begins so.
pub fn first_value(head: &[u8]) -> Option<&[u8]> {
    // A plain block begins with an entry that shares 0 bytes with its predecessor, and a compressed
    // one with its length.
    let mut entry = if head.first() == Some(&0) { head } else { snappy_literal(head)? };
    if take(&mut entry, 2)? != [0, 0] {
        return None;
    }
    let length = usize::try_from(get_varint64(&mut entry)?).ok()?;
    Some(entry.get(..length).unwrap_or(entry))
}

/// The bytes that a Snappy block begins with: its first element can only be a literal.
fn snappy_literal(mut block: &[u8]) -> Option<&[u8]> {
    get_varint64(&mut block)?;
    let (&tag, mut rest) = block.split_first()?;
    if tag & 3 != 0 {
        return None;
    }
    let mut length = usize::from(tag >> 2);
    if length >= 60 {
        // It stands in the next 1 to 4 bytes.
        let digits = take(&mut rest, length - 59)?;
        length = digits.iter().rev().fold(0, |sum, &digit| sum << 8 | usize::from(digit));
    }
    Some(rest.get(..=length).unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_found_in_plain_and_compressed_blocks() {
        assert_eq!(first_value(b"\0\0\x02ab\0\x01"), Some(b"ab".as_slice()));
        assert_eq!(first_value(b"\0\0\x05ab"), Some(b"ab".as_slice()), "cut");
        let plain = [b"\0\0\x50".as_slice(), &[7; 80]].concat();
        let lengths: [&[u8]; 3] = [b"\xf0\x52", b"\xf4\x52\0", b"\xfc\x52\0\0\0"];
        for length in lengths {
            let block = [b"\x53", length, &plain].concat();
            assert_eq!(first_value(&block), Some([7; 80].as_slice()));
            assert_eq!(first_value(&block[..20]), first_value(&plain[..20 - 1 - length.len()]));
        }
        assert_eq!(first_value(b"\x05\x10\0\0\x02ab"), Some(b"ab".as_slice()));
    }

    #[test]
    fn what_begins_otherwise_is_no_table() {
        for head in [
            b"".as_slice(),
            b"\0",
            b"\0\0",
            b"\0\x01\x02ab",
            b"\0\0\xff\xff",
            b"\x05",
            b"\x05\x11\0\0\x02ab",
            b"\x05\xf4\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(first_value(head), None, "{head:?}");
        }
    }
}
