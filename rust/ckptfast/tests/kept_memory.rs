//! Memory that a value has left is the next one's. A process of its own: what is kept is shared by
//! all of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use ckptfast::io::{Buffer, release_memory};

const LENGTH: usize = (5 << 20) + 100;

#[test]
fn memory_of_a_value_that_is_gone_serves_the_next_one_of_its_length() {
    let lengths = [LENGTH, 100, LENGTH];
    let mut first = Buffer::to_fill(&lengths).unwrap();
    assert!(first.iter().all(Buffer::is_fresh));
    for buffer in &mut first {
        buffer.fill(1);
    }
    let mut addresses: Vec<_> = first.iter().map(|buffer| buffer.as_ptr() as usize).collect();
    addresses.remove(1);
    addresses.sort_unstable();
    drop(first);

    let second = Buffer::to_fill(&[LENGTH - 64, 2 * LENGTH, LENGTH]).unwrap();
    let fresh: Vec<_> = second.iter().map(Buffer::is_fresh).collect();
    assert_eq!(fresh, [false, true, false]);
    let lengths: Vec<_> = second.iter().map(|buffer| buffer.len()).collect();
    assert_eq!(lengths, [LENGTH - 64, 2 * LENGTH, LENGTH]);
    let mut again = vec![second[0].as_ptr() as usize, second[2].as_ptr() as usize];
    again.sort_unstable();
    assert_eq!(again, addresses);

    drop(second);
    assert!(release_memory() >= 4 * LENGTH);
    assert_eq!(release_memory(), 0);

    // What does not fit goes back before as much fresh memory is taken.
    drop(Buffer::to_fill(&[LENGTH]).unwrap());
    let other = Buffer::to_fill(&[3 * LENGTH]).unwrap();
    assert!(other[0].is_fresh());
    assert_eq!(release_memory(), 0);
    drop(other);

    // Zeroed memory is never such memory, and a loop that asks for it keeps one at the most.
    for _ in 0..3 {
        let zeroed = Buffer::zeroed(3 * LENGTH).unwrap();
        assert!(zeroed.is_fresh());
        assert!(zeroed.iter().all(|&byte| byte == 0));
        assert_eq!(release_memory(), 0);
    }
}
