//! The element types of `tensorflow.DataType` that a checkpoint can hold.

use crate::error::{Error, Result};

/// An element type; the discriminant is TensorFlow's number for it (`types.proto`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[expect(missing_docs, reason = "the variants are TensorFlow's own names")]
pub enum DataType {
    Float32 = 1,
    Float64 = 2,
    Int32 = 3,
    Uint8 = 4,
    Int16 = 5,
    Int8 = 6,
    String = 7,
    Complex64 = 8,
    Int64 = 9,
    Bool = 10,
    Qint8 = 11,
    Quint8 = 12,
    Qint32 = 13,
    Bfloat16 = 14,
    Qint16 = 15,
    Quint16 = 16,
    Uint16 = 17,
    Complex128 = 18,
    Half = 19,
    Resource = 20,
    Variant = 21,
    Uint32 = 22,
    Uint64 = 23,
    Float8E5m2 = 24,
    Float8E4m3fn = 25,
    Float8E4m3fnuz = 26,
    Float8E4m3b11fnuz = 27,
    Float8E5m2fnuz = 28,
    Int4 = 29,
    Uint4 = 30,
    Int2 = 31,
    Uint2 = 32,
    Float4E2m1fn = 33,
}

/// Number, name and, where elements have a fixed width, bytes per element on disk.
const TABLE: [(DataType, &str, Option<usize>); 33] = [
    (DataType::Float32, "float32", Some(4)),
    (DataType::Float64, "float64", Some(8)),
    (DataType::Int32, "int32", Some(4)),
    (DataType::Uint8, "uint8", Some(1)),
    (DataType::Int16, "int16", Some(2)),
    (DataType::Int8, "int8", Some(1)),
    (DataType::String, "string", None),
    (DataType::Complex64, "complex64", Some(8)),
    (DataType::Int64, "int64", Some(8)),
    (DataType::Bool, "bool", Some(1)),
    (DataType::Qint8, "qint8", Some(1)),
    (DataType::Quint8, "quint8", Some(1)),
    (DataType::Qint32, "qint32", Some(4)),
    (DataType::Bfloat16, "bfloat16", Some(2)),
    (DataType::Qint16, "qint16", Some(2)),
    (DataType::Quint16, "quint16", Some(2)),
    (DataType::Uint16, "uint16", Some(2)),
    (DataType::Complex128, "complex128", Some(16)),
    (DataType::Half, "float16", Some(2)),
    (DataType::Resource, "resource", None),
    (DataType::Variant, "variant", None),
    (DataType::Uint32, "uint32", Some(4)),
    (DataType::Uint64, "uint64", Some(8)),
    (DataType::Float8E5m2, "float8_e5m2", Some(1)),
    (DataType::Float8E4m3fn, "float8_e4m3fn", Some(1)),
    (DataType::Float8E4m3fnuz, "float8_e4m3fnuz", Some(1)),
    (DataType::Float8E4m3b11fnuz, "float8_e4m3b11fnuz", Some(1)),
    (DataType::Float8E5m2fnuz, "float8_e5m2fnuz", Some(1)),
    // The sub-byte types take a whole byte each, the high bits zero.
    (DataType::Int4, "int4", Some(1)),
    (DataType::Uint4, "uint4", Some(1)),
    (DataType::Int2, "int2", Some(1)),
    (DataType::Uint2, "uint2", Some(1)),
    (DataType::Float4E2m1fn, "float4_e2m1fn", Some(1)),
];

impl DataType {
    /// The type with TensorFlow's number `number`; reference types (101 and up) never reach disk.
    pub fn from_number(number: i32) -> Result<Self> {
        TABLE
            .iter()
            .map(|row| row.0)
            .find(|dtype| dtype.number() == number)
            .ok_or_else(|| Error::unsupported(format!("unknown element type number {number}")))
    }

    /// TensorFlow's number.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// TensorFlow's name, such as `bfloat16`.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("unknown", |row| row.1)
    }

    /// Bytes per element on disk; `None` for `string` and `variant`, whose elements vary.
    pub fn size(self) -> Option<usize> {
        TABLE.iter().find(|row| row.0 == self).and_then(|row| row.2)
    }

    /// The width in bytes of the units to reverse in a bundle of the other byte order.
    ///
    /// # Errors
    /// `Unsupported` for `variant` and `resource`, whose bytes are not known here.
    pub fn swap_width(self) -> Result<usize> {
        match self {
            Self::Complex64 => Ok(4),
            Self::Complex128 => Ok(8),
            Self::String => Ok(1),
            _ => self.size().ok_or_else(|| {
                Error::unsupported(format!("cannot swap the bytes of {} tensors", self.name()))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_each_type_once_in_the_order_of_its_number() {
        for (position, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0.number(), i32::try_from(position).unwrap() + 1);
            assert_eq!(DataType::from_number(row.0.number()).unwrap(), row.0);
        }
    }

    #[test]
    fn reference_types_and_nonsense_are_refused() {
        for number in [-1, 0, 34, 101, i32::MAX] {
            assert!(DataType::from_number(number).is_err());
        }
    }
}
