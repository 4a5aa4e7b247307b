//! Bundles written to disk: what they hold, which names they take, and what failures leave behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ckptfast::bundle::{
    self, Content, MergeOptions, OpenOptions, Payload, ReadOptions, Reader, Strided, TensorSource,
    Value, WriteOptions,
};
use ckptfast::dtype::DataType;
use ckptfast::error::{Error, ErrorKind, Result};
use ckptfast::io::atomic::Durability;
use ckptfast::parallel::{Interrupt, Workers};
use ckptfast::shape::Shape;
use ckptfast::slice::TensorSlice;

const UNFLUSHED: WriteOptions =
    WriteOptions { shards: None, align: 64, durability: Durability::None };

/// A directory of one test, removed when it is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ckptfast-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn prefix(&self) -> PathBuf {
        self.0.join("m")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tensor<'a>(key: &str, dims: &[u64], bytes: &'a [u8]) -> TensorSource<'a> {
    TensorSource {
        key: key.as_bytes().to_vec().into(),
        dtype: DataType::Uint8,
        shape: Shape::new(dims.iter().copied()).unwrap(),
        slice: None,
        payload: Payload::Bytes(bytes),
    }
}

fn slice<'a>(key: &str, dims: &[u64], text: &str, bytes: &'a [u8]) -> TensorSource<'a> {
    TensorSource { slice: Some(TensorSlice::parse(text).unwrap()), ..tensor(key, dims, bytes) }
}

fn write_by(
    threads: usize,
    prefix: &Path,
    tensors: Vec<TensorSource<'_>>,
    options: &WriteOptions,
) -> Result<u32> {
    let interrupt = Interrupt::default();
    bundle::write(prefix, tensors, options, &Workers { threads, interrupt: &interrupt })
}

fn write(prefix: &Path, tensors: Vec<TensorSource<'_>>) -> Result<u32> {
    write_by(2, prefix, tensors, &UNFLUSHED)
}

fn read(prefix: &Path) -> Result<BTreeMap<String, Vec<Vec<u8>>>> {
    let interrupt = Interrupt::default();
    let workers = Workers { threads: 2, interrupt: &interrupt };
    let reader = Reader::open(prefix, OpenOptions::default())?;
    let positions: Vec<usize> = reader.named().collect();
    let values = reader.read(&positions, &ReadOptions::default(), &workers)?;
    let name = |position: usize| {
        String::from_utf8(reader.entries().key(position).unwrap().to_vec()).unwrap()
    };
    let value = |value| match value {
        Value::Dense(dense) => vec![dense.bytes().to_vec()],
        Value::Elements(elements) => elements,
    };
    Ok(positions.into_iter().map(name).zip(values.into_iter().map(value)).collect())
}

fn one(prefix: &Path, name: &str) -> Vec<u8> {
    read(prefix).unwrap()[name].concat()
}

/// Bytes that look random and are the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn tensors_of_every_size_come_back_whatever_the_threads_shards_and_alignment() {
    let scratch = Scratch::new("sizes");
    let huge = 2 << 20;
    let sizes = [0, 1, 63, 64, 4096, huge - 1, huge, huge + 1, (16 << 20) + 5, 35 << 20, 7, 0];
    let values: Vec<Vec<u8>> =
        sizes.iter().zip(1..).map(|(&size, seed)| noise(size, seed)).collect();
    let tensors = || {
        let number = |(index, value): (usize, &'static Vec<u8>)| {
            tensor(&format!("t{index:02}"), &[value.len() as u64], value)
        };
        let values: &'static Vec<Vec<u8>> = Box::leak(Box::new(values.clone()));
        values.iter().enumerate().map(number).collect::<Vec<_>>()
    };
    let mut files = BTreeMap::new();
    for (threads, shards, align) in [(1, 1, 1), (3, 1, 1), (2, 4, 1), (2, 1, 64), (2, 3, 4096)] {
        let prefix = scratch.0.join(format!("{threads}-{shards}-{align}"));
        let options = WriteOptions { shards: Some(shards), align, ..UNFLUSHED };
        assert_eq!(write_by(threads, &prefix, tensors(), &options).unwrap(), shards);
        let found = read(&prefix).unwrap();
        assert_eq!(found.len(), values.len());
        for (index, value) in values.iter().enumerate() {
            assert!(found[&format!("t{index:02}")][0] == *value, "tensor {index}");
        }
        let reader = Reader::open(&prefix, OpenOptions::default()).unwrap();
        for entry in reader.entries().iter() {
            let Content::Data(extent) = entry.content else { panic!("no data") };
            assert!(extent.offset.is_multiple_of(align));
        }
        if (shards, align) == (1, 1) {
            files.insert(threads, fs::read(bundle::naming::data_path(&prefix, 0, 1)).unwrap());
        }
    }
    assert!(files[&1] == files[&3], "the file depends on the number of threads");
    assert!(files[&1] == values.concat(), "packed tensors do not lie back to back");
}

#[test]
fn thousands_of_small_tensors_share_their_writes() {
    let scratch = Scratch::new("small");
    let values: Vec<Vec<u8>> = (0..12_000).zip(0..).map(|(n, seed)| noise(n % 97, seed)).collect();
    let tensors = values
        .iter()
        .enumerate()
        .map(|(index, value)| tensor(&format!("t{index:05}"), &[value.len() as u64], value));
    write(&scratch.prefix(), tensors.collect()).unwrap();
    let found = read(&scratch.prefix()).unwrap();
    for (index, value) in values.iter().enumerate() {
        assert_eq!(found[&format!("t{index:05}")][0], *value, "tensor {index}");
    }
}

#[test]
fn strided_arrays_are_written_in_order_also_across_buffers_and_odd_offsets() {
    let scratch = Scratch::new("strided");
    let (rows, columns) = (1500, 1001);
    let source = noise(rows * columns * 8, 7);
    let transposed = Strided {
        bytes: &source,
        origin: 0,
        shape: vec![columns, rows],
        strides: vec![8, isize::try_from(columns).unwrap() * 8],
        item: 8,
        swap: 8,
        mask: 0,
    };
    let expected: Vec<u8> = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| (row * columns + column) * 8))
        .flat_map(|start| source[start..start + 8].iter().rev().copied().collect::<Vec<_>>())
        .collect();
    let tensors = vec![
        tensor("a", &[3], b"odd"),
        TensorSource {
            dtype: DataType::Float64,
            payload: Payload::Strided(Box::new(transposed)),
            ..tensor("b", &[columns as u64, rows as u64], b"")
        },
    ];
    for align in [1, 64] {
        let prefix = scratch.0.join(align.to_string());
        let options = WriteOptions { align, ..UNFLUSHED };
        write_by(2, &prefix, tensors.clone(), &options).unwrap();
        assert!(one(&prefix, "b") == expected, "align {align}");
    }
}

#[test]
fn strings_and_variants_come_back_also_where_they_outgrow_the_buffer() {
    let scratch = Scratch::new("strings");
    let long = noise(5 << 20, 3);
    let many: Vec<&[u8]> = (0..100_000).map(|index| &long[index..index + index % 40]).collect();
    let text = |key: &str, dtype, elements: &[&'static [u8]]| TensorSource {
        dtype,
        payload: Payload::Strings(elements.to_vec()),
        ..tensor(key, &[elements.len() as u64], b"")
    };
    let mut tensors = vec![
        text("empty", DataType::String, &[]),
        text("none", DataType::Variant, &[]),
        text("words", DataType::String, &[b"a", b"", b"\0\xff"]),
        text("protos", DataType::Variant, &[b"\x0a\x01x", b""]),
    ];
    for (key, dtype) in [("many", DataType::String), ("many variants", DataType::Variant)] {
        let payload = Payload::Strings(many.clone());
        tensors.push(TensorSource { dtype, payload, ..tensor(key, &[100, 1000], b"") });
    }
    let payload = Payload::Strings(vec![&long]);
    tensors.push(TensorSource { dtype: DataType::String, payload, ..tensor("long", &[], b"") });
    write(&scratch.prefix(), tensors).unwrap();
    let found = read(&scratch.prefix()).unwrap();
    assert!(found["empty"].is_empty() && found["none"].is_empty());
    assert_eq!(found["words"], [&b"a"[..], b"", b"\0\xff"]);
    assert_eq!(found["protos"], [&b"\x0a\x01x"[..], b""]);
    assert!(found["many"] == many && found["many variants"] == many);
    assert!(found["long"] == [long]);
}

#[test]
fn slices_are_found_under_the_tensor_and_one_that_is_everything_is_stored_whole() {
    let scratch = Scratch::new("slices");
    let tensors = vec![
        slice("w", &[4, 2], "2,2:-", b"efgh"),
        slice("w", &[4, 2], "0,2:0,2", b"abcd"),
        slice("v", &[4, 2], "0,4:-", b"ABCDEFGH"),
    ];
    write(&scratch.prefix(), tensors).unwrap();
    assert_eq!(one(&scratch.prefix(), "w"), b"abcdefgh");
    let reader = Reader::open(&scratch.prefix(), OpenOptions::default()).unwrap();
    let is_whole = |name: &[u8]| {
        let entry = reader.entry(reader.find(name).unwrap()).unwrap();
        matches!(entry.content, Content::Data(_))
    };
    assert!(is_whole(b"v") && !is_whole(b"w"));
    assert_eq!(reader.entries().len(), 4);
}

#[test]
fn overwriting_takes_free_names_and_removes_the_replaced_data() {
    let scratch = Scratch::new("overwrite");
    let prefix = scratch.prefix();
    fs::write(scratch.0.join("m.data-00000-of-00003"), b"stale").unwrap();
    fs::write(scratch.0.join("m2.data-00000-of-00001"), b"another's").unwrap();
    let others = ["m.data-00000-of-00003", "m2.data-00000-of-00001"];
    for (value, files) in [
        (b"1", &["m.data-00000-of-00001"][..]),
        (b"2", &["m.data-00000-of-00002", "m.data-00001-of-00002"]),
        (b"3", &["m.data-00000-of-00001"]),
    ] {
        let tensors = vec![tensor("a", &[1], value), tensor("b", &[1], b"b")];
        assert_eq!(write(&prefix, tensors).unwrap() as usize, files.len());
        assert_eq!(one(&prefix, "a"), value);
        let mut expected = [files, &others, &["m.index"]].concat();
        expected.sort_unstable();
        assert_eq!(scratch.names(), expected);
    }
}

#[test]
fn values_read_before_an_overwrite_stay_as_they_were() {
    let scratch = Scratch::new("alive");
    let interrupt = Interrupt::default();
    let workers = Workers { threads: 1, interrupt: &interrupt };
    let (old, new) = (noise(1 << 20, 1), noise(1 << 20, 2));
    let size = [old.len() as u64];
    write(&scratch.prefix(), vec![tensor("a", &size, &old), tensor("b", &size, &old)]).unwrap();
    let reader = Reader::open(&scratch.prefix(), OpenOptions::default()).unwrap();
    let positions: Vec<usize> = reader.named().collect();
    let mut values = Vec::new();
    // Over the same number of data files, over another, and back.
    for shards in [1, 2, 1] {
        values.extend(reader.read(&positions, &ReadOptions::default(), &workers).unwrap());
        let options = WriteOptions { shards: Some(shards), ..UNFLUSHED };
        let tensors = vec![tensor("a", &size, &new), tensor("b", &size, &new)];
        write_by(1, &scratch.prefix(), tensors, &options).unwrap();
    }
    for value in values {
        let Value::Dense(dense) = value else { panic!("not numbers") };
        assert!(dense.bytes() == old);
    }
}

#[test]
fn a_single_tensor_over_one_data_file_gets_an_empty_second_one() {
    let scratch = Scratch::new("single");
    for (value, shards) in [(b"1", 1), (b"2", 2), (b"3", 1)] {
        assert_eq!(write(&scratch.prefix(), vec![tensor("a", &[1], value)]).unwrap(), shards);
        assert_eq!(one(&scratch.prefix(), "a"), value);
        assert_eq!(scratch.names().len(), 1 + shards as usize);
    }
}

#[test]
fn groups_have_data_files_of_their_own_and_overwriting_takes_free_names() {
    let scratch = Scratch::new("groups");
    let interrupt = Interrupt::default();
    let workers = Workers { threads: 2, interrupt: &interrupt };
    let large = noise(3 << 20, 7);
    for (round, shards) in [2, 3, 2].into_iter().enumerate() {
        let small = noise(100, round as u64);
        let tensors = vec![
            tensor("d", &[large.len() as u64], &large),
            slice("p", &[2, 100], "0,1:-", &small),
            tensor("a", &[100], &small),
            slice("p", &[2, 100], "1,1:-", &small),
        ];
        let groups = [4, 1, 1, 4];
        let written =
            bundle::write_grouped(&scratch.prefix(), tensors, &groups, &UNFLUSHED, &workers);
        assert_eq!(written.unwrap(), shards);
        assert_eq!(scratch.names().len(), 1 + shards as usize);
        let found = read(&scratch.prefix()).unwrap();
        assert_eq!(found["a"].concat(), small);
        assert_eq!(found["d"].concat(), large);
        assert_eq!(found["p"].concat(), [&small[..], &small[..]].concat());
        let first = fs::metadata(scratch.0.join(format!("m.data-00000-of-{shards:05}"))).unwrap();
        assert_eq!(first.len(), 128 + 100); // the slice and "a", and nothing of the other group
    }
    let tensors = vec![tensor("a", &[1], b"1"), tensor("b", &[1], b"2")];
    let too_few = WriteOptions { shards: Some(1), ..UNFLUSHED };
    let error = bundle::write_grouped(&scratch.prefix(), tensors, &[0, 1], &too_few, &workers);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let tensors = vec![tensor("a", &[1], b"1")];
    let error = bundle::write_grouped(&scratch.prefix(), tensors, &[0, 1], &UNFLUSHED, &workers);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_given_number_of_shards_is_kept_also_over_the_same_number() {
    let scratch = Scratch::new("given");
    let options = WriteOptions { shards: Some(2), ..UNFLUSHED };
    for value in [b"1", b"2"] {
        let tensors = vec![tensor("a", &[1], value), tensor("b", &[1], b"b")];
        assert_eq!(write_by(1, &scratch.prefix(), tensors, &options).unwrap(), 2);
        assert_eq!(one(&scratch.prefix(), "a"), value);
        assert_eq!(scratch.names().len(), 3);
    }
    let error = write_by(1, &scratch.prefix(), vec![tensor("a", &[1], b"1")], &options);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn beside_an_unreadable_index_no_data_file_is_touched() {
    let scratch = Scratch::new("unreadable");
    let prefix = scratch.prefix();
    write(&prefix, vec![tensor("a", &[1], b"1")]).unwrap();
    fs::write(scratch.0.join("m.data-00000-of-00002"), b"whose?").unwrap();
    fs::write(scratch.0.join("m.index"), b"not a table").unwrap();
    let tensors = vec![tensor("a", &[1], b"2"), tensor("b", &[1], b"b")];
    assert_eq!(write(&prefix, tensors).unwrap(), 3);
    assert_eq!(one(&prefix, "a"), b"2");
    assert_eq!(fs::read(scratch.0.join("m.data-00000-of-00001")).unwrap(), b"1");
    assert_eq!(fs::read(scratch.0.join("m.data-00000-of-00002")).unwrap(), b"whose?");
}

#[test]
fn what_cannot_be_stored_is_refused_before_any_file_is_touched() {
    let scratch = Scratch::new("refused");
    let prefix = scratch.0.join("new/m");
    let resource = TensorSource { dtype: DataType::Resource, ..tensor("a", &[1], b"1") };
    for tensors in [
        vec![],
        vec![resource],
        vec![tensor("a", &[2], b"1")],
        vec![tensor("a", &[1], b"1"), tensor("a", &[1], b"2")],
    ] {
        assert!(write(&prefix, tensors).is_err());
    }
    let misaligned = WriteOptions { align: 48, ..UNFLUSHED };
    assert!(write_by(1, &prefix, vec![tensor("a", &[1], b"1")], &misaligned).is_err());
    assert!(scratch.names().is_empty());
}

#[test]
fn a_failed_or_interrupted_write_leaves_the_old_bundle_and_nothing_else() {
    let scratch = Scratch::new("failed");
    let prefix = scratch.prefix();
    write(&prefix, vec![tensor("a", &[1], b"1")]).unwrap();
    let before = scratch.names();
    let interrupt = Interrupt::default();
    interrupt.set();
    let workers = Workers { threads: 2, interrupt: &interrupt };
    let tensors = || vec![tensor("a", &[1], b"2"), tensor("b", &[1], b"2")];
    let result = bundle::write(&prefix, tensors(), &WriteOptions::default(), &workers);
    assert_eq!(result.unwrap_err().io_kind(), Some(std::io::ErrorKind::Interrupted));
    assert_eq!(scratch.names(), before);

    // A directory in the way of the second data file: the first is already in place.
    fs::create_dir(scratch.0.join("m.data-00001-of-00002")).unwrap();
    assert!(write(&prefix, tensors()).is_err());
    assert_eq!(one(&prefix, "a"), b"1");
    assert_eq!(scratch.names().len(), before.len() + 1);
}

#[test]
fn prefixes_may_end_in_a_slash_and_their_directories_may_be_missing() {
    let scratch = Scratch::new("slash");
    let mut prefix = scratch.0.join("a/b").into_os_string();
    prefix.push("/");
    for durability in [Durability::Full, Durability::Rename, Durability::None] {
        let options = WriteOptions { durability, ..WriteOptions::default() };
        let prefix = Path::new(&prefix);
        write_by(1, prefix, vec![tensor("a", &[1], b"1")], &options).unwrap();
        assert_eq!(one(prefix, "a"), b"1");
        assert!(scratch.0.join("a/b/.index").exists());
    }
}

fn merge(scratch: &Scratch, inputs: &[&str], prefix: &str) -> Result<u32> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|input| scratch.0.join(input)).collect();
    let options = MergeOptions { delete_old: true, ..MergeOptions::default() };
    bundle::merge(&inputs, &scratch.0.join(prefix), &options)
}

fn parts(scratch: &Scratch, value: [u8; 2]) {
    let first = vec![tensor("a", &[1], &value[..1]), slice("w", &[4], "0,2", b"ab")];
    let second = vec![tensor("b", &[1], &value[1..]), slice("w", &[4], "2,2", b"cd")];
    write(&scratch.0.join("m_temp/part-0"), first).unwrap();
    let options = WriteOptions { shards: Some(2), ..UNFLUSHED };
    write_by(1, &scratch.0.join("m_temp/part-1"), second, &options).unwrap();
}

#[test]
fn merged_bundles_are_one_bundle_and_their_directory_is_gone() {
    let scratch = Scratch::new("merge");
    for (value, shards) in [(b"12", 3), (b"34", 4), (b"56", 3)] {
        parts(&scratch, *value);
        let inputs = ["m_temp/part-0", "m_temp/part-1"];
        assert_eq!(merge(&scratch, &inputs, "m").unwrap(), shards);
        let found = read(&scratch.prefix()).unwrap();
        assert_eq!([found["a"].concat(), found["b"].concat()].concat(), value);
        assert_eq!(found["w"].concat(), b"abcd");
        assert_eq!(scratch.names().len(), 1 + shards as usize);
    }
}

#[test]
fn a_bundle_may_be_merged_into_its_own_prefix() {
    let scratch = Scratch::new("self");
    write(&scratch.prefix(), vec![tensor("a", &[1], b"1")]).unwrap();
    write(&scratch.0.join("n"), vec![tensor("b", &[1], b"2")]).unwrap();
    assert_eq!(merge(&scratch, &["m", "n"], "m").unwrap(), 2);
    assert_eq!(merge(&scratch, &["m"], "m").unwrap(), 3);
    assert_eq!([one(&scratch.prefix(), "a"), one(&scratch.prefix(), "b")].concat(), b"12");
    assert_eq!(scratch.names().len(), 4);
}

#[test]
fn merges_that_cannot_be_right_change_nothing() {
    let scratch = Scratch::new("merges");
    let message = |result: Result<u32>| -> String {
        let error: Error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Corruption));
        error.message().to_owned()
    };
    write(&scratch.0.join("x"), vec![tensor("a", &[1], b"1")]).unwrap();
    write(&scratch.0.join("y"), vec![tensor("a", &[1], b"2")]).unwrap();
    write(&scratch.0.join("s"), vec![slice("w", &[4], "0,2", b"ab")]).unwrap();
    write(&scratch.0.join("t"), vec![slice("w", &[4], "1,2", b"bc")]).unwrap();
    write(&scratch.0.join("u"), vec![slice("w", &[5], "3,2", b"de")]).unwrap();
    write(&scratch.0.join("cut"), vec![tensor("c", &[2], b"12")]).unwrap();
    fs::write(scratch.0.join("cut.data-00000-of-00001"), b"1").unwrap();
    let before = scratch.names();
    assert_eq!(
        message(merge(&scratch, &["x", "y"], "m")),
        format!(
            "Duplicate tensor keyed by a encountered, when merging prefix: {}",
            scratch.0.join("y").display()
        )
    );
    assert!(message(merge(&scratch, &["s", "t"], "m")).starts_with("Overlapping slices"));
    assert!(message(merge(&scratch, &["s", "u"], "m")).contains("disagree"));
    assert!(message(merge(&scratch, &["x", "cut"], "m")).contains("has 1 bytes"));
    assert!(message(merge(&scratch, &["x", "gone"], "m")).starts_with("allow_missing_files was"));
    let missing = MergeOptions { allow_missing: true, ..MergeOptions::default() };
    let none = bundle::merge(&[scratch.0.join("gone")], &scratch.prefix(), &missing);
    assert!(message(none).starts_with("At least one prefix"));
    assert_eq!(scratch.names(), before);

    let inputs = [scratch.0.join("gone"), scratch.0.join("x")];
    assert_eq!(bundle::merge(&inputs, &scratch.prefix(), &missing).unwrap(), 1);
    assert_eq!(one(&scratch.prefix(), "a"), b"1");
}
