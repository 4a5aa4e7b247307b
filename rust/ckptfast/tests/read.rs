//! What a read is expected to cost before it begins.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use std::fs;

use ckptfast::bundle::{
    self, CopyPolicy, OpenOptions, Payload, ReadOptions, Reader, TensorSource, WriteOptions,
};
use ckptfast::dtype::DataType;
use ckptfast::io::atomic::Durability;
use ckptfast::parallel::{Interrupt, Workers};
use ckptfast::shape::Shape;

#[test]
fn only_what_is_copied_or_checked_counts_as_moved() {
    let directory = std::env::temp_dir().join(format!("ckptfast-moved-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let interrupt = Interrupt::default();
    let workers = Workers { threads: 1, interrupt: &interrupt };
    let bytes = [7; 4096];
    let tensor = |key: &'static str, size: usize| TensorSource {
        key: key.as_bytes().to_vec().into(),
        dtype: DataType::Uint8,
        shape: Shape::new([size as u64]).unwrap(),
        slice: None,
        payload: Payload::Bytes(&bytes[..size]),
    };
    // Packed: the first lies at 0, the second at 100.
    let options = WriteOptions { shards: Some(1), align: 1, durability: Durability::None };
    let prefix = directory.join("m");
    bundle::write(&prefix, vec![tensor("a", 100), tensor("b", 4096)], &options, &workers).unwrap();

    let reader = Reader::open(&prefix, OpenOptions::default()).unwrap();
    let [a, b] = [reader.find(b"a").unwrap(), reader.find(b"b").unwrap()];
    let unchecked = ReadOptions { verify: false, align: 64, ..ReadOptions::default() };
    assert_eq!(reader.bytes_to_move(a, &unchecked), 0);
    assert_eq!(reader.bytes_to_move(b, &unchecked), 4096); // it does not lie at a multiple of 64
    let copied = ReadOptions { copy: CopyPolicy::Always, ..unchecked };
    assert_eq!(reader.bytes_to_move(a, &copied), 100);
    let checked = ReadOptions { verify: true, ..unchecked };
    assert_eq!(reader.bytes_to_move(a, &checked), 100);
    reader.read(&[a], &checked, &workers).unwrap();
    assert_eq!(reader.bytes_to_move(a, &checked), 0);
    assert_eq!(reader.bytes_to_move(reader.entries().len(), &checked), 0); // there is no such one
    fs::remove_dir_all(&directory).unwrap();
}
