//! Damaged and hostile tables: an error or the same contents, at a cost the file's size bounds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use ckptfast::coding;
use ckptfast::crc32c;
use ckptfast::error::{Error, ErrorKind, Result};
use ckptfast::table::{Table, TableBuilder};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

const STORED: u8 = 0;
const SNAPPY: u8 = 1;
const FOOTER_LENGTH: usize = 48;
const MAGIC: [u8; 8] = *b"\x57\xfb\x80\x8b\x24\x75\x47\xdb";

/// Everything in the table, read in both ways.
fn contents(file: &[u8]) -> Result<Pairs> {
    let table = Table::parse(file)?;
    let mut pairs = Vec::new();
    table.for_each(file, |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    for (key, value) in &pairs {
        assert_eq!(table.get(file, key)?.as_deref(), Some(value.as_slice()));
    }
    Ok(pairs)
}

fn sample() -> Pairs {
    let names = (0..40).map(|number| format!("layer_{number:02}/kernel"));
    let mut pairs = vec![(Vec::new(), b"\x08\x01\x1a\x02\x08\x01".to_vec())];
    pairs.extend(names.map(|name| (name.clone().into_bytes(), name.into_bytes())));
    pairs
}

fn build(pairs: &Pairs) -> Vec<u8> {
    let mut builder = TableBuilder::new();
    for (key, value) in pairs {
        builder.add(key, value).unwrap();
    }
    builder.finish()
}

/// A block with one restart point, from key (stored whole) and value pairs.
fn block(pairs: &Pairs) -> Vec<u8> {
    let mut block = Vec::new();
    for (key, value) in pairs {
        block.push(0);
        coding::put_varint64(&mut block, key.len() as u64);
        coding::put_varint64(&mut block, value.len() as u64);
        block.extend(key);
        block.extend(value);
    }
    block.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    block
}

fn handle(offset: usize, size: usize) -> Vec<u8> {
    let mut handle = Vec::new();
    coding::put_varint64(&mut handle, offset as u64);
    coding::put_varint64(&mut handle, size as u64);
    handle
}

/// Appends a block of this type with a right checksum, and returns its handle.
fn append(file: &mut Vec<u8>, contents: &[u8], kind: u8) -> Vec<u8> {
    let offset = file.len();
    file.extend(contents);
    file.push(kind);
    let crc = crc32c::mask(crc32c::value(&file[offset..]));
    file.extend(crc.to_le_bytes());
    handle(offset, contents.len())
}

/// Ends a file with this index and a footer.
fn finish(mut file: Vec<u8>, index: &Pairs) -> Vec<u8> {
    let metaindex = append(&mut file, &block(&Vec::new()), STORED);
    let index = append(&mut file, &block(index), STORED);
    end_with(file, &metaindex, &index)
}

fn end_with(mut file: Vec<u8>, metaindex: &[u8], index: &[u8]) -> Vec<u8> {
    let end = file.len() + FOOTER_LENGTH;
    file.extend([metaindex, index].concat());
    file.resize(end - MAGIC.len(), 0);
    file.extend(MAGIC);
    file
}

fn compress(contents: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(contents).unwrap()
}

/// The sample in three blocks: compressed, stored, compressed.
fn mixed_table() -> Vec<u8> {
    let mut file = Vec::new();
    let mut index = Vec::new();
    let parts = sample();
    for (part, kind) in parts.chunks(14).zip([SNAPPY, STORED, SNAPPY]) {
        let raw = block(&part.to_vec());
        let packed = if kind == SNAPPY { compress(&raw) } else { raw };
        let handle = append(&mut file, &packed, kind);
        index.push((part.last().unwrap().0.clone(), handle));
    }
    finish(file, &index)
}

fn assert_refused(what: &str, result: Result<Pairs>) -> Error {
    match result {
        Ok(_) => panic!("{what} was accepted"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corruption, "{what}: {error}");
            assert!(error.range().is_some(), "{what}: {error}");
            error
        }
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_changes_nothing() {
    for file in [build(&sample()), mixed_table(), build(&Vec::new())] {
        let expected = contents(&file).unwrap();
        let mut unnoticed = 0;
        for bit in 0..8 * file.len() {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match contents(&flipped) {
                Ok(pairs) => {
                    assert_eq!(pairs, expected, "bit {bit}");
                    unnoticed += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption, "bit {bit}: {error}");
                    assert!(error.range().is_some(), "bit {bit}: {error}");
                }
            }
        }
        // Nothing refers to the metaindex block (13 bytes), its handle and the footer's padding.
        assert!(unnoticed <= 8 * (13 + 40), "{unnoticed} flips");
    }
}

#[test]
fn every_cut_is_an_error() {
    for file in [build(&sample()), mixed_table()] {
        for cut in 0..file.len() {
            assert_refused("a cut", contents(&file[..cut]));
            assert_refused("a cut at the front", contents(&file[cut + 1..]));
        }
    }
}

#[test]
fn every_byte_removed_or_inserted_is_an_error_or_changes_nothing() {
    for file in [build(&sample()), mixed_table()] {
        let expected = contents(&file).unwrap();
        for position in 0..file.len() {
            let mut shorter = file.clone();
            shorter.remove(position);
            let mut longer = file.clone();
            longer.insert(position, 0x5a);
            for damaged in [shorter, longer] {
                if let Ok(pairs) = contents(&damaged) {
                    assert_eq!(pairs, expected, "position {position}");
                }
            }
        }
    }
}

#[test]
fn compressed_and_stored_blocks_hold_the_same() {
    assert_eq!(contents(&mixed_table()).unwrap(), sample());
    assert_eq!(contents(&build(&sample())).unwrap(), sample());
}

#[test]
fn a_key_that_is_not_there_is_not_found() {
    for file in [build(&sample()), mixed_table()] {
        let table = Table::parse(&file).unwrap();
        for key in ["layer", "layer_07/kernel/", "layer_13", "zzz"] {
            assert_eq!(table.get(&file, key.as_bytes()).unwrap(), None, "{key}");
        }
    }
}

#[test]
fn handles_that_point_where_no_block_can_be_are_refused() {
    let raw = block(&sample());
    let last = sample().pop().unwrap().0;
    let size = raw.len();
    let index_offset = size + 5 + 13;
    for (what, bad) in [
        ("the index block itself", handle(index_offset, 40)),
        ("past the end", handle(1 << 20, 8)),
        ("the whole file", handle(0, 1 << 20)),
        ("an end that overflows", handle(usize::MAX, usize::MAX)),
        ("a gigantic size", handle(0, usize::MAX - 16)),
        ("the middle of a block", handle(10, size - 10)),
        ("nothing", Vec::new()),
        ("more than a handle", [handle(0, size), vec![0]].concat()),
    ] {
        let mut file = Vec::new();
        append(&mut file, &raw, STORED);
        assert_refused(what, contents(&finish(file, &vec![(last.clone(), bad)])));
    }
    for (what, bad) in [
        ("the footer", handle(raw.len(), FOOTER_LENGTH)),
        ("a gigantic index", handle(0, usize::MAX / 2)),
        ("an index past the end", handle(usize::MAX - 10, 3)),
    ] {
        assert_refused(what, contents(&end_with(raw.clone(), &handle(0, 8), &bad)));
    }
}

#[test]
fn one_block_named_a_hundred_thousand_times_is_refused_at_once() {
    let mut file = Vec::new();
    let data = append(&mut file, &block(&sample()), STORED);
    let index =
        (0..100_000u32).map(|number| (number.to_be_bytes().to_vec(), data.clone())).collect();
    let error = assert_refused("a repeated handle", contents(&finish(file, &index)));
    assert_eq!(error.message(), "bad block handle");
}

#[test]
fn blocks_out_of_order_or_overlapping_are_refused() {
    let pairs = sample();
    let (low, high) = pairs.split_at(20);
    let mut file = Vec::new();
    let second = append(&mut file, &block(&high.to_vec()), STORED);
    let first = append(&mut file, &block(&low.to_vec()), STORED);
    let index = vec![(low[19].0.clone(), first.clone()), (high[20].0.clone(), second.clone())];
    assert_refused("blocks in another order", contents(&finish(file.clone(), &index)));
    let index = vec![(low[19].0.clone(), second), (high[20].0.clone(), first)];
    assert_refused("keys in another order", contents(&finish(file, &index)));
}

#[test]
fn keys_outside_the_separators_of_their_block_are_refused() {
    let pair = |key: &str| (key.as_bytes().to_vec(), Vec::new());
    for (first, second, separators) in [
        (["a", "c"], ["d", "e"], ["b", "e"]),
        (["a", "b"], ["c", "d"], ["c", "e"]),
        (["a", "b"], ["c", "d"], ["b", "c"]),
        (["a", "b"], ["b", "c"], ["b", "c"]),
    ] {
        let mut file = Vec::new();
        let handles =
            [first, second].map(|keys| append(&mut file, &block(&keys.map(pair).to_vec()), STORED));
        let index = separators.map(|key| key.as_bytes().to_vec()).into_iter().zip(handles);
        let result = contents(&finish(file, &index.collect()));
        let error = assert_refused("a key outside its block's separators", result);
        assert_eq!(error.message(), "keys out of order");
    }
}

#[test]
fn a_snappy_bomb_is_refused_before_memory_is_taken() {
    for claim in [1 << 20, u64::from(u32::MAX)] {
        let mut bomb = Vec::new();
        coding::put_varint64(&mut bomb, claim);
        bomb.extend([0; 1000]);
        let mut file = Vec::new();
        let handle = append(&mut file, &bomb, SNAPPY);
        let error = assert_refused("a bomb", contents(&finish(file, &vec![(Vec::new(), handle)])));
        assert_eq!(error.message(), "corrupted compressed block contents");
    }
}

#[test]
fn keys_that_grow_to_gigabytes_are_refused() {
    // Each key is the one before and one byte more: 4 bytes of file, up to 200 kB of key.
    let mut bomb = b"\0\0\0".to_vec();
    for shared in 0..200_000 {
        coding::put_varint64(&mut bomb, shared);
        bomb.extend(b"\x01\0a");
    }
    bomb.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    for (contents_of_block, kind) in [(bomb.clone(), STORED), (compress(&bomb), SNAPPY)] {
        let mut file = Vec::new();
        let handle = append(&mut file, &contents_of_block, kind);
        let index = vec![(vec![b'b'], handle)];
        assert_refused("growing keys", contents(&finish(file, &index)));
    }
}

#[test]
fn a_visitor_ends_the_walk_with_its_own_error() {
    let file = build(&sample());
    let mut visited = 0;
    let result = Table::parse(&file).unwrap().for_each(&file, |_, _| {
        visited += 1;
        if visited == 3 { Err(Error::interrupted()) } else { Ok(()) }
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(visited, 3);
}
