//! Copies of large values that go past the processor's cache.
//!
//! A value is copied once and used much later. Ordinary stores would first fetch the memory they
//! overwrite, and push out of the cache what is to be copied next; copying a gigabyte takes a
//! quarter less without.

/// Shorter copies stay in the cache, where their reader finds them.
const SHORT: usize = 64 << 10;

/// Copies `from` to `to`, which are of one length.
pub fn copy(from: &[u8], to: &mut [u8]) {
    if from.len() < SHORT {
        to.copy_from_slice(from);
    } else {
        stream(from, to);
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the processor's own instructions")]
fn stream(from: &[u8], to: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    // SAFETY: every 16 bytes are a valid `__m128i`, and the other way round.
    let (head, lanes, tail) = unsafe { to.align_to_mut::<__m128i>() };
    let (first, from) = from.split_at(head.len());
    let (bulk, last) = from.split_at(size_of_val(lanes));
    head.copy_from_slice(first);
    for (lane, bytes) in lanes.iter_mut().zip(bulk.chunks_exact(size_of::<__m128i>())) {
        // SAFETY: every x86-64 processor has these instructions. Any address can be loaded from,
        // and there are 16 bytes; `lane` is aligned as its type asks.
        unsafe { _mm_stream_si128(lane, _mm_loadu_si128(bytes.as_ptr().cast())) };
    }
    // SAFETY: as above. Without it another thread could see these stores after later ones.
    unsafe { _mm_sfence() };
    tail.copy_from_slice(last);
}

#[cfg(not(target_arch = "x86_64"))]
fn stream(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_every_alignment_and_tail_are_exact() {
        let source: Vec<u8> = (0..=250).cycle().take(SHORT + 256).collect();
        for (start, offset, length) in
            [(0, 0, SHORT), (1, 0, SHORT + 1), (12, 3, SHORT + 100), (5, 15, SHORT - 1), (0, 1, 0)]
        {
            let mut target = vec![255; offset + length + 1];
            copy(&source[start..start + length], &mut target[offset..offset + length]);
            assert_eq!(target[offset..offset + length], source[start..start + length]);
            assert!(target[..offset].iter().all(|&byte| byte == 255));
            assert_eq!(target[offset + length], 255);
        }
    }
}
