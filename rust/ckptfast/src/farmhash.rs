//! `FarmHash`'s `Fingerprint64`, by which `TensorFlow` recognises files.
//!
//! `fingerprint.pb` of a `SavedModel` holds that of its index (`checkpoint_hash`). The function is
//! frozen: its values are meant to be stored. Short inputs have formulas of their own; a long one
//! is taken in blocks of 64 bytes, the last of which overlaps the one before.

#![expect(clippy::many_single_char_names, reason = "nothing in a hash has a meaning to name")]

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

const BLOCK: usize = 64;

/// The fingerprint of `data`.
pub fn fingerprint64(data: &[u8]) -> u64 {
    match data.len() {
        0..=16 => up_to_16(data),
        17..=32 => up_to_32(data),
        33..=64 => up_to_64(data),
        _ => longer(data),
    }
}

/// The little-endian number at `at`; callers look only where there are 8 bytes.
fn word(data: &[u8], at: usize) -> u64 {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The word that ends `distance - 8` bytes before the end.
fn word_back(data: &[u8], distance: usize) -> u64 {
    word(data, data.len().saturating_sub(distance))
}

fn half_word(data: &[u8], at: usize) -> u64 {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

fn mix(u: u64, v: u64, multiplier: u64) -> u64 {
    let a = shift_mix((u ^ v).wrapping_mul(multiplier));
    shift_mix((v ^ a).wrapping_mul(multiplier)).wrapping_mul(multiplier)
}

fn multiplier(length: usize) -> u64 {
    K2.wrapping_add((length as u64).wrapping_mul(2))
}

fn up_to_16(data: &[u8]) -> u64 {
    let length = data.len();
    let mul = multiplier(length);
    if length >= 8 {
        let a = word(data, 0).wrapping_add(K2);
        let b = word_back(data, 8);
        let c = b.rotate_right(37).wrapping_mul(mul).wrapping_add(a);
        let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(mul);
        return mix(c, d, mul);
    }
    if length >= 4 {
        let first = (length as u64).wrapping_add(half_word(data, 0) << 3);
        return mix(first, half_word(data, length - 4), mul);
    }
    let (Some(&first), Some(&middle), Some(&last)) =
        (data.first(), data.get(length / 2), data.last())
    else {
        return K2;
    };
    let y = u64::from(first) + (u64::from(middle) << 8);
    let z = length as u64 + (u64::from(last) << 2);
    shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
}

fn up_to_32(data: &[u8]) -> u64 {
    let mul = multiplier(data.len());
    let a = word(data, 0).wrapping_mul(K1);
    let b = word(data, 8);
    let c = word_back(data, 8).wrapping_mul(mul);
    let d = word_back(data, 16).wrapping_mul(K2);
    mix(sum_of_turned(a, b, c, d), a.wrapping_add(turned(b)).wrapping_add(c), mul)
}

fn sum_of_turned(a: u64, b: u64, c: u64, d: u64) -> u64 {
    a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d)
}

fn turned(b: u64) -> u64 {
    b.wrapping_add(K2).rotate_right(18)
}

fn up_to_64(data: &[u8]) -> u64 {
    let mul = multiplier(data.len());
    let a = word(data, 0).wrapping_mul(K2);
    let b = word(data, 8);
    let c = word_back(data, 8).wrapping_mul(mul);
    let d = word_back(data, 16).wrapping_mul(K2);
    let y = sum_of_turned(a, b, c, d);
    let z = mix(y, a.wrapping_add(turned(b)).wrapping_add(c), mul);
    let e = word(data, 16).wrapping_mul(mul);
    let f = word(data, 24);
    let g = y.wrapping_add(word_back(data, 32)).wrapping_mul(mul);
    let h = z.wrapping_add(word_back(data, 24)).wrapping_mul(mul);
    let last = e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g);
    mix(sum_of_turned(e, f, g, h), last, mul)
}

/// The state of a long input, a block at a time.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// Takes one block. The last one has a multiplier of its own, and weighs two terms 9 times.
    fn take(&mut self, block: &[u8], mul: u64, weight: u64) {
        let Self { x, y, z, v, w } = self;
        let sum = x.wrapping_add(*y).wrapping_add(v.0).wrapping_add(word(block, 8));
        *x = sum.rotate_right(37).wrapping_mul(mul);
        let sum = y.wrapping_add(v.1).wrapping_add(word(block, 48));
        *y = sum.rotate_right(42).wrapping_mul(mul);
        *x ^= w.1.wrapping_mul(weight);
        *y = y.wrapping_add(v.0.wrapping_mul(weight)).wrapping_add(word(block, 40));
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(mul);
        *v = half_block(block, 0, v.1.wrapping_mul(mul), x.wrapping_add(w.0));
        let seeds = (z.wrapping_add(w.1), y.wrapping_add(word(block, 16)));
        *w = half_block(block, 32, seeds.0, seeds.1);
        std::mem::swap(z, x);
    }
}

fn half_block(block: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let [w, x, y, z] = [0, 8, 16, 24].map(|offset| word(block, at + offset));
    let a = a.wrapping_add(w);
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let sum = a.wrapping_add(x).wrapping_add(y);
    (sum.wrapping_add(z), b.wrapping_add(sum.rotate_right(44)).wrapping_add(a))
}

fn longer(data: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let z = shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2);
    let x = SEED.wrapping_mul(K2).wrapping_add(word(data, 0));
    let mut state = State { x, y, z, v: (0, 0), w: (0, 0) };
    let rest = (data.len() - 1) % BLOCK;
    let whole = data.len() - 1 - rest;
    for block in data.get(..whole).unwrap_or_default().chunks_exact(BLOCK) {
        state.take(block, K1, 1);
    }
    let mul = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add(rest as u64);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.take(data.get(data.len() - BLOCK..).unwrap_or_default(), mul, 9);
    let State { x, y, z, v, w } = state;
    let first = mix(v.0, w.0, mul).wrapping_add(shift_mix(y).wrapping_mul(K0)).wrapping_add(z);
    mix(first, mix(v.1, w.1, mul).wrapping_add(x), mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `tf.fingerprint` of `TensorFlow` 2.21, over bytes that count up from 0.
    const VECTORS: &[(usize, u64)] = &[
        (0, 0x9ae1_6a3b_2f90_404f),
        (1, 0xbe60_56ed_f5e9_4b54),
        (2, 0xc2a0_4665_ed03_8d75),
        (3, 0x94a1_3d22_e9eb_a49a),
        (4, 0x82bf_fd89_8958_e540),
        (7, 0xa2e0_bff2_0db0_a6a1),
        (8, 0xad5a_13e1_e8e9_3b98),
        (9, 0x8137_1e15_0e4a_d84f),
        (15, 0x862a_5155_5943_bd9d),
        (16, 0x0efd_25a0_a341_56d4),
        (17, 0xbbb6_a6f8_f20d_1f1c),
        (25, 0xb49f_c640_83cc_4c3e),
        (32, 0x1a9d_8199_972c_df49),
        (33, 0xe875_6ec1_cb75_524e),
        (48, 0xf39d_81ea_cd9b_8a63),
        (63, 0x01c1_f788_a248_076f),
        (64, 0xf585_04bb_53de_cc4b),
        (65, 0xc6a3_282c_3e79_3dbe),
        (100, 0x3cff_0f88_6d8d_6195),
        (127, 0xea8b_e9fa_0539_3db5),
        (128, 0x1c48_4c95_f0ea_5dd3),
        (129, 0xce8b_a374_1121_083e),
        (191, 0xa109_fdab_d652_b68b),
        (192, 0x6a48_f302_825f_e8d4),
        (193, 0x7c26_13a6_ee7a_0ecb),
        (1000, 0x6f79_79ad_c223_bce4),
        (4999, 0x4ae7_0ec6_e638_25a9),
        (5000, 0xcde8_bb7c_7855_8937),
    ];

    #[test]
    fn every_length_class_gives_tensorflows_value() {
        let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for &(length, expected) in VECTORS {
            assert_eq!(fingerprint64(&data[..length]), expected, "length {length}");
        }
    }
}
