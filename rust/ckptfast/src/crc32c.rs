//! CRC-32C (Castagnoli), the checksum of every block, tensor and record.
//!
//! The kernels are those of the `crc-fast` crate, which picks the widest carry-less multiplication
//! the processor has. Stored checksums are *masked*, so that a checksum of bytes that themselves
//! hold checksums stays meaningful (`LevelDB`, `util/crc32c.h`).

use crc_fast::CrcAlgorithm::Crc32Iscsi;

const MASK_DELTA: u32 = 0xa282_ead8;

/// The checksum of `data`.
pub fn value(data: &[u8]) -> u32 {
    narrow(crc_fast::checksum(Crc32Iscsi, data))
}

/// The checksum of some earlier bytes with checksum `crc`, followed by `data`.
pub fn extend(crc: u32, data: &[u8]) -> u32 {
    combine(crc, value(data), data.len() as u64)
}

/// The checksum of two byte strings laid end to end, from their checksums and the second's length.
pub fn combine(first: u32, second: u32, second_length: u64) -> u32 {
    narrow(crc_fast::checksum_combine(
        Crc32Iscsi,
        u64::from(first),
        u64::from(second),
        second_length,
    ))
}

/// A checksum in progress, over bytes that come in parts.
#[derive(Debug)]
pub struct Digest(crc_fast::Digest);

impl Default for Digest {
    fn default() -> Self {
        Self(crc_fast::Digest::new(Crc32Iscsi))
    }
}

impl Digest {
    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The checksum of all bytes so far.
    pub fn value(&self) -> u32 {
        narrow(self.0.finalize())
    }
}

/// The form in which a checksum is stored.
pub fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK_DELTA)
}

/// The checksum behind a stored one.
pub fn unmask(masked: u32) -> u32 {
    masked.wrapping_sub(MASK_DELTA).rotate_left(15)
}

#[expect(clippy::cast_possible_truncation, reason = "crc-fast returns 32-bit checksums in a u64")]
fn narrow(crc: u64) -> u32 {
    crc as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_vectors_of_rfc_3720() {
        assert_eq!(value(&[0; 32]), 0x8a91_36aa);
        assert_eq!(value(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(value(&ascending), 0x46dd_794e);
        assert_eq!(value(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn empty_input_has_the_stored_form_tensorflow_writes_for_empty_tensors() {
        assert_eq!(mask(value(b"")), 0xa282_ead8);
    }

    #[test]
    fn extending_equals_one_pass_at_every_cut() {
        let data: Vec<u8> = (0..=255).cycle().take(700).collect();
        for cut in 0..data.len() {
            let (head, tail) = data.split_at(cut);
            assert_eq!(extend(value(head), tail), value(&data), "cut at {cut}");
        }
    }

    #[test]
    fn a_digest_over_parts_equals_one_pass() {
        let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let mut digest = Digest::default();
        for part in data.chunks(777) {
            digest.update(part);
        }
        assert_eq!(digest.value(), value(&data));
    }

    #[test]
    fn unmask_undoes_mask() {
        for crc in [0, 1, 0xffff_ffff, 0x8a91_36aa] {
            assert_eq!(unmask(mask(crc)), crc);
            assert_ne!(mask(crc), crc);
        }
    }
}
