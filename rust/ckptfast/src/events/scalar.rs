//! The number in a `TensorProto` of one element.
//!
//! Small tensors may have their value in `tensor_content`, as in memory, or in the repeated field
//! of their type, packed or not. A field that is left out means zero.

use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::proto::wire::{Field, next_field};

/// A tensor of one number, and how many dimensions it has.
#[derive(Debug, PartialEq)]
pub(super) struct Scalar {
    pub(super) value: f64,
    pub(super) rank: usize,
}

/// The number in a tensor; `None` where it has several elements, or is not of real numbers.
///
/// # Errors
/// `Corruption` where the bytes are no tensor.
pub(super) fn parse(mut message: &[u8]) -> Result<Option<Scalar>> {
    let (mut dtype, mut rank) = (0, Some(0));
    let mut content: &[u8] = &[];
    let mut first: Option<(u64, Field<'_>)> = None;
    while let Some((number, field)) = next_field(&mut message)? {
        match (number, field) {
            (1, Field::Varint(value)) => dtype = value,
            (2, Field::Bytes(shape)) => rank = rank_of_one(shape)?,
            (4, Field::Bytes(bytes)) => content = bytes,
            (5..=7 | 9..=13 | 16 | 17, value) if first.is_none() => first = Some((number, value)),
            _ => {}
        }
    }
    let (Some(rank), Some(kind)) = (rank, Kind::of(dtype)) else { return Ok(None) };
    let value = if content.is_empty() {
        first
            .filter(|(number, _)| *number == kind.field)
            .map_or(Some(0.0), |(_, field)| kind.in_field(field))
    } else {
        kind.in_content(content)
    };
    let malformed = || Error::corruption("malformed tensor in a summary");
    Ok(Some(Scalar { value: value.ok_or_else(malformed)?, rank }))
}

/// The rank of a `TensorShapeProto` of one element, `None` for any other shape.
fn rank_of_one(mut shape: &[u8]) -> Result<Option<usize>> {
    let (mut rank, mut is_one) = (0, true);
    while let Some((number, field)) = next_field(&mut shape)? {
        match (number, field) {
            (2, Field::Bytes(mut dim)) => {
                let mut size = 0;
                while let Some((number, field)) = next_field(&mut dim)? {
                    if let (1, Field::Varint(value)) = (number, field) {
                        size = value;
                    }
                }
                rank += 1;
                is_one &= size == 1;
            }
            (3, Field::Varint(unknown)) => is_one &= unknown == 0,
            _ => {}
        }
    }
    Ok(is_one.then_some(rank))
}

/// How one element type is stored.
struct Kind {
    dtype: DataType,
    /// The repeated field of `TensorProto` that its values are in.
    field: u64,
}

impl Kind {
    fn of(number: u64) -> Option<Self> {
        let dtype = DataType::from_number(i32::try_from(number).ok()?).ok()?;
        let field = match dtype {
            DataType::Float32 => 5,
            DataType::Float64 => 6,
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Uint8
            | DataType::Uint16 => 7,
            DataType::Int64 => 10,
            DataType::Bool => 11,
            DataType::Half | DataType::Bfloat16 => 13,
            DataType::Uint32 => 16,
            DataType::Uint64 => 17,
            _ => return None,
        };
        Some(Self { dtype, field })
    }

    /// The value of a field: one number, or the first of packed ones.
    fn in_field(&self, field: Field<'_>) -> Option<f64> {
        match (self.dtype, field) {
            (DataType::Float32, Field::Fixed32(bytes)) => Some(f32::from_le_bytes(bytes).into()),
            (DataType::Float64, Field::Fixed64(bytes)) => Some(f64::from_le_bytes(bytes)),
            (DataType::Float32 | DataType::Float64, Field::Bytes(bytes)) => self.in_content(bytes),
            (DataType::Float32 | DataType::Float64, _) => None,
            (_, Field::Varint(bits)) => self.of_bits(bits),
            (_, Field::Bytes(mut packed)) => {
                self.of_bits(crate::coding::get_varint64(&mut packed)?)
            }
            _ => None,
        }
    }

    /// The value as it is in memory.
    fn in_content(&self, content: &[u8]) -> Option<f64> {
        let mut bytes = [0; 8];
        let width = self.dtype.size().filter(|&width| width == content.len())?;
        bytes.get_mut(..width)?.copy_from_slice(content);
        let bits = u64::from_le_bytes(bytes);
        match self.dtype {
            DataType::Float32 => Some(f32::from_bits(u32::try_from(bits).ok()?).into()),
            DataType::Float64 => Some(f64::from_bits(bits)),
            _ => self.of_bits(bits),
        }
    }

    /// The value of the low bits of a number: more than the type has are ignored.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the low bits are meant, and 64-bit integers become the nearest float"
    )]
    fn of_bits(&self, bits: u64) -> Option<f64> {
        Some(match self.dtype {
            DataType::Int8 => f64::from((bits as u8).cast_signed()),
            DataType::Int16 => f64::from((bits as u16).cast_signed()),
            DataType::Int32 => f64::from((bits as u32).cast_signed()),
            DataType::Int64 => bits.cast_signed() as f64,
            DataType::Uint8 => f64::from(bits as u8),
            DataType::Uint16 => f64::from(bits as u16),
            DataType::Uint32 => f64::from(bits as u32),
            DataType::Uint64 => bits as f64,
            DataType::Bool => f64::from(u8::from(bits != 0)),
            DataType::Half => half(bits as u16),
            DataType::Bfloat16 => f64::from(f32::from_bits(u32::from(bits as u16) << 16)),
            _ => return None,
        })
    }
}

/// The value of an IEEE 754 half: 1 bit sign, 5 bits exponent, 10 bits fraction.
fn half(bits: u16) -> f64 {
    let exponent = (bits >> 10) & 0x1f;
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(message: &[u8]) -> Option<f64> {
        parse(message).unwrap().map(|scalar| scalar.value)
    }

    #[test]
    fn halves_are_what_ieee_says() {
        for (bits, expected) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f64.powi(-24)),
            (0x3555, 0.333_251_953_125),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f64::to_bits(expected), "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
        assert!(half(0x8000).is_sign_negative());
    }

    #[test]
    fn both_forms_of_a_value_are_read() {
        // float32 1.5: float_val unpacked, packed, and as content.
        assert_eq!(value(b"\x08\x01\x12\0\x2d\0\0\xc0\x3f"), Some(1.5));
        assert_eq!(value(b"\x08\x01\x2a\x04\0\0\xc0\x3f"), Some(1.5));
        assert_eq!(value(b"\x08\x01\x22\x04\0\0\xc0\x3f"), Some(1.5));
        // int32 -1 is a varint of ten bytes.
        let minus_one = b"\x08\x03\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(value(minus_one), Some(-1.0));
        // bfloat16 1.5 in half_val; int64 without a value.
        assert_eq!(value(b"\x08\x0e\x6a\x03\xc0\xff\x00"), Some(1.5));
        assert_eq!(value(b"\x08\x09"), Some(0.0));
    }

    #[test]
    fn only_one_real_number_is_a_scalar() {
        assert_eq!(value(b"\x08\x01\x12\x04\x12\x02\x08\x02\x2d\0\0\xc0\x3f"), None);
        assert_eq!(value(b"\x08\x07\x42\x01a"), None, "a string");
        assert_eq!(value(b"\x08\x08"), None, "complex");
        let ranked = parse(b"\x08\x01\x12\x04\x12\x02\x08\x01\x2d\0\0\xc0\x3f").unwrap();
        assert_eq!(ranked, Some(Scalar { value: 1.5, rank: 1 }));
        assert!(parse(b"\x08\x01\x22\x03abc").is_err());
        assert!(parse(b"\x08\x01\x12\x09").is_err());
    }
}
