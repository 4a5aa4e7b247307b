//! The values of a slice: the `…_val` fields of `tensor.proto`.
//!
//! | element type | field | stored as |
//! |---|---|---|
//! | float32, complex64 | 5, 9 | fixed 32 bits; complex as real and imaginary part in turn |
//! | float64, complex128 | 6, 12 | fixed 64 bits, likewise |
//! | int32, int16, int8, uint16, uint8, qint32, qint8, quint8 | 7 | varint of an int32 |
//! | string | 8 | bytes |
//! | int64 | 10 | varint |
//! | bool | 11 | varint |
//! | half | 13 | varint of the bit pattern |
//!
//! A negative varint is that of its 64-bit two's complement, ten bytes long. Numbers are packed
//! into one field, but a field for each of them means the same. TensorFlow 2.21 writes no other
//! type into V1 files.

use crate::coding;
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::io::zeroed;
use crate::proto::wire::{self, Field};

/// The elements of one slice, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Elements of fixed width, little-endian.
    Bytes(Vec<u8>),
    /// The elements of a string tensor.
    Strings(Vec<Vec<u8>>),
}

/// Where and how the numbers of an element type are stored.
#[derive(Clone, Copy, Debug)]
struct Encoding {
    field: u64,
    form: Form,
    /// Bytes of one number in memory.
    width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Fixed,
    /// A varint within these bounds, of which the low bytes are kept.
    Integer(i64, i64),
    Bool,
}

impl Encoding {
    fn of(dtype: DataType) -> Result<Self> {
        let (field, form, width) = match dtype {
            DataType::Float32 => (5, Form::Fixed, 4),
            DataType::Float64 => (6, Form::Fixed, 8),
            DataType::Complex64 => (9, Form::Fixed, 4),
            DataType::Complex128 => (12, Form::Fixed, 8),
            DataType::Int32 | DataType::Qint32 => {
                (7, Form::Integer(i32::MIN.into(), i32::MAX.into()), 4)
            }
            DataType::Int16 => (7, Form::Integer(i16::MIN.into(), i16::MAX.into()), 2),
            DataType::Uint16 => (7, Form::Integer(0, u16::MAX.into()), 2),
            DataType::Int8 | DataType::Qint8 => {
                (7, Form::Integer(i8::MIN.into(), i8::MAX.into()), 1)
            }
            DataType::Uint8 | DataType::Quint8 => (7, Form::Integer(0, u8::MAX.into()), 1),
            DataType::Int64 => (10, Form::Integer(i64::MIN, i64::MAX), 8),
            DataType::Bool => (11, Form::Bool, 1),
            DataType::Half => (13, Form::Integer(0, u16::MAX.into()), 2),
            _ => return Err(unsupported(dtype)),
        };
        Ok(Self { field, form, width })
    }

    /// Bytes that a number takes in the file, at the least.
    fn least(self) -> u64 {
        if self.form == Form::Fixed { self.width as u64 } else { 1 }
    }
}

fn unsupported(dtype: DataType) -> Error {
    Error::unsupported(format!("V1 checkpoints cannot hold {} tensors", dtype.name()))
}

/// Decodes `count` elements out of a `TensorProto`.
///
/// # Errors
/// `Corruption` when the message is malformed or holds another number of elements, `Unsupported`
/// for a type that V1 files do not have.
pub(super) fn decode(dtype: DataType, count: u64, tensor: &[u8]) -> Result<Values> {
    if dtype == DataType::String {
        return decode_strings(count, tensor).map(Values::Strings);
    }
    // Memory is taken only for what the message has bytes enough to hold.
    check_room(dtype, count, tensor)?;
    let encoding = Encoding::of(dtype)?;
    let length = dtype.size().and_then(|size| count.checked_mul(size as u64));
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or_else(|| too_few(count))?;
    let mut output = zeroed(length)?;
    decode_into(encoding, tensor, &mut output)?;
    Ok(Values::Bytes(output))
}

fn too_few(expected: u64) -> Error {
    Error::corruption(format!("the record holds fewer than {expected} elements"))
}

fn too_many() -> Error {
    Error::corruption("the record holds more elements than its slice")
}

/// Checks that a `TensorProto` is long enough for `count` elements.
///
/// # Errors
/// `Corruption` when it is not, `Unsupported` for a type that V1 files do not have.
pub(super) fn check_room(dtype: DataType, count: u64, tensor: &[u8]) -> Result<()> {
    let least = if dtype == DataType::String {
        // A tag and a length for each of them.
        count.checked_mul(2)
    } else {
        let encoding = Encoding::of(dtype)?;
        let length = dtype.size().and_then(|size| count.checked_mul(size as u64));
        length.map(|length| length / encoding.width as u64 * encoding.least())
    };
    least.filter(|&least| least <= tensor.len() as u64).map(drop).ok_or_else(|| too_few(count))
}

/// Fills `output`, exactly, with the numbers of a `TensorProto`.
fn decode_into(encoding: Encoding, mut tensor: &[u8], output: &mut [u8]) -> Result<()> {
    let length = output.len();
    let mut output = output;
    while let Some((number, field)) = wire::next_field(&mut tensor)? {
        if number != encoding.field {
            continue;
        }
        output = match (encoding.form, field) {
            (Form::Fixed, Field::Bytes(packed)) => put(output, packed)?,
            (Form::Fixed, Field::Fixed32(value)) if encoding.width == 4 => put(output, &value)?,
            (Form::Fixed, Field::Fixed64(value)) if encoding.width == 8 => put(output, &value)?,
            (Form::Integer(..) | Form::Bool, Field::Bytes(packed)) => {
                put_varints(encoding, output, packed)?
            }
            (Form::Integer(..) | Form::Bool, Field::Varint(value)) => {
                put_varint(encoding, output, value)?
            }
            _ => return Err(Error::corruption("the record has a value field of the wrong type")),
        };
    }
    if output.is_empty() { Ok(()) } else { Err(too_few((length / encoding.width) as u64)) }
}

/// Copies `bytes` to the front of `output` and returns what is left of it.
fn put<'a>(output: &'a mut [u8], bytes: &[u8]) -> Result<&'a mut [u8]> {
    let (target, rest) = output.split_at_mut_checked(bytes.len()).ok_or_else(too_many)?;
    target.copy_from_slice(bytes);
    Ok(rest)
}

fn put_varints<'a>(
    encoding: Encoding,
    mut output: &'a mut [u8],
    mut packed: &[u8],
) -> Result<&'a mut [u8]> {
    while !packed.is_empty() {
        let value = coding::get_varint64(&mut packed)
            .ok_or_else(|| Error::corruption("cannot parse a protocol buffer message"))?;
        output = put_varint(encoding, output, value)?;
    }
    Ok(output)
}

fn put_varint(encoding: Encoding, output: &mut [u8], value: u64) -> Result<&mut [u8]> {
    let value = match encoding.form {
        Form::Bool => u64::from(value != 0),
        Form::Integer(least, most) if !(least..=most).contains(&value.cast_signed()) => {
            return Err(Error::corruption(format!(
                "the record holds {}, outside {least}..={most}",
                value.cast_signed()
            )));
        }
        _ => value,
    };
    put(output, value.to_le_bytes().get(..encoding.width).unwrap_or_default())
}

fn decode_strings(count: u64, mut tensor: &[u8]) -> Result<Vec<Vec<u8>>> {
    const STRING_VAL: u64 = 8;
    let count = usize::try_from(count).map_err(|_| too_few(count))?;
    let mut strings = Vec::new();
    while let Some((number, field)) = wire::next_field(&mut tensor)? {
        match (number, field) {
            (STRING_VAL, _) if strings.len() == count => return Err(too_many()),
            (STRING_VAL, Field::Bytes(bytes)) => strings.push(bytes.to_vec()),
            (STRING_VAL, _) => {
                return Err(Error::corruption("the record has a value field of the wrong type"));
            }
            _ => {}
        }
    }
    if strings.len() == count { Ok(strings) } else { Err(too_few(count as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(dtype: DataType, count: u64, tensor: &[u8]) -> Vec<u8> {
        match decode(dtype, count, tensor).unwrap() {
            Values::Bytes(bytes) => bytes,
            Values::Strings(_) => panic!("{} decoded as strings", dtype.name()),
        }
    }

    fn varints(field: u8, values: &[i64]) -> Vec<u8> {
        let mut packed = Vec::new();
        for value in values {
            coding::put_varint64(&mut packed, value.cast_unsigned());
        }
        let mut message = vec![field << 3 | 2];
        coding::put_varint64(&mut message, packed.len() as u64);
        [message, packed].concat()
    }

    #[test]
    fn negative_numbers_are_ten_byte_varints() {
        let message = varints(7, &[-1, 5]);
        assert_eq!(message.len(), 2 + 10 + 1);
        assert_eq!(bytes(DataType::Int32, 2, &message), [255, 255, 255, 255, 5, 0, 0, 0]);
        assert_eq!(bytes(DataType::Int8, 2, &message), [255, 5]);
        assert_eq!(bytes(DataType::Int16, 2, &message), [255, 255, 5, 0]);
        let message = varints(10, &[i64::MIN, -2]);
        let expected = [i64::MIN.to_le_bytes(), (-2i64).to_le_bytes()].concat();
        assert_eq!(bytes(DataType::Int64, 2, &message), expected);
    }

    #[test]
    fn half_is_its_bit_pattern() {
        let message = varints(13, &[0x3e00, 0xfc00]);
        assert_eq!(bytes(DataType::Half, 2, &message), [0x00, 0x3e, 0x00, 0xfc]);
    }

    #[test]
    fn numbers_may_be_packed_or_not_and_in_several_fields() {
        assert_eq!(bytes(DataType::Uint8, 3, b"\x38\x01\x3a\x01\x02\x38\x03"), [1, 2, 3]);
        let unpacked = b"\x2d\0\0\x80\x3f\x2d\0\0\0\x40";
        let packed = b"\x2a\x08\0\0\x80\x3f\0\0\0\x40";
        let expected = [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat();
        assert_eq!(bytes(DataType::Float32, 2, unpacked), expected);
        assert_eq!(bytes(DataType::Float32, 2, packed), expected);
        assert_eq!(bytes(DataType::Bool, 2, b"\x58\x07\x5a\x01\0"), [1, 0]);
    }

    #[test]
    fn complex_numbers_are_two_numbers_each() {
        let message = [b"\x62\x10".as_slice(), &1f64.to_le_bytes(), &2f64.to_le_bytes()].concat();
        assert_eq!(bytes(DataType::Complex128, 1, &message), message[2..]);
        assert!(decode(DataType::Complex128, 2, &message).is_err());
    }

    #[test]
    fn strings_are_one_field_each() {
        let strings = decode(DataType::String, 2, b"\x42\x00\x42\x02a\0").unwrap();
        assert_eq!(strings, Values::Strings(vec![vec![], b"a\0".to_vec()]));
        assert!(decode(DataType::String, 1, b"\x42\x00\x42\x00").is_err());
        assert!(decode(DataType::String, 3, b"\x42\x00\x42\x00").is_err());
        assert!(decode(DataType::String, 1, b"\x40\x00").is_err());
    }

    #[test]
    fn fields_of_other_types_are_skipped_and_empty_tensors_need_none() {
        assert_eq!(bytes(DataType::Uint8, 1, b"\x08\x04\x2a\x04\0\0\x80\x3f\x38\x09"), [9]);
        assert!(bytes(DataType::Float32, 0, b"").is_empty());
        assert_eq!(decode(DataType::String, 0, b"").unwrap(), Values::Strings(Vec::new()));
    }

    #[test]
    fn other_numbers_of_elements_are_refused_before_memory_is_taken() {
        let message = varints(7, &[1, 2]);
        for count in [0, 1, 3, 5, 1 << 40, u64::MAX] {
            assert!(decode(DataType::Int32, count, &message).is_err(), "{count}");
        }
        let message = b"\x2a\x06\0\0\x80\x3f\0\0";
        for count in [1, 2] {
            assert!(decode(DataType::Float32, count, message).is_err(), "{count}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_their_type_are_refused() {
        for (dtype, field, value) in [
            (DataType::Uint8, 7, 256),
            (DataType::Uint8, 7, -1),
            (DataType::Int8, 7, 128),
            (DataType::Int16, 7, -32769),
            (DataType::Uint16, 7, 65536),
            (DataType::Int32, 7, 1 << 31),
            (DataType::Half, 13, -1),
        ] {
            assert!(decode(dtype, 1, &varints(field, &[value])).is_err(), "{}", dtype.name());
        }
    }

    #[test]
    fn types_that_v1_files_never_held_are_refused() {
        for dtype in [DataType::Bfloat16, DataType::Uint32, DataType::Variant, DataType::Int4] {
            let error = decode(dtype, 0, b"").unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Unsupported);
        }
    }
}
