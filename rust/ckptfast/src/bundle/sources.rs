//! What a caller asks to be written, and the checks it passes before any file is touched.

use std::borrow::Cow;
use std::collections::HashSet;

use super::partition;
use super::strided::{Strided, Walk};
use super::strings;
use crate::dtype::DataType;
use crate::error::{Error, Result};
use crate::ordered_code::encode_slice_key;
use crate::shape::Shape;
use crate::slice::{Region, TensorSlice};

/// A tensor, or one slice of a partitioned tensor, to be written.
#[derive(Clone, Debug)]
pub struct TensorSource<'a> {
    /// Name of the tensor: not empty, and not beginning with a zero byte, which marks slices.
    pub key: Cow<'a, [u8]>,
    /// Element type.
    pub dtype: DataType,
    /// Shape of the whole tensor, also where this is a slice of it.
    pub shape: Shape,
    /// Which part this is; `None` for all of it.
    pub slice: Option<TensorSlice>,
    /// The elements of this part.
    pub payload: Payload<'a>,
}

/// Elements in memory.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Row-major, little-endian, without gaps.
    Bytes(&'a [u8]),
    /// The same, as pages of a file that may be shorter by now.
    Pages(&'a [u8]),
    /// In any other layout.
    Strided(Box<Strided<'a>>),
    /// Of a `string` tensor, or of a `variant` tensor in serialized form; row-major.
    Strings(Vec<&'a [u8]>),
}

/// A checked [`TensorSource`]. There may be many thousands, so what is rare lies elsewhere.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Name of the tensor.
    pub(super) name: Cow<'a, [u8]>,
    /// Number of the group that it shares its data file with.
    pub(super) group: u32,
    pub(super) dtype: DataType,
    /// Shape of the elements at hand.
    pub(super) shape: Shape,
    /// What they are a part of, where they are not all.
    pub(super) part: Option<Box<Part>>,
    pub(super) data: Data<'a>,
    /// Length of the stored form in bytes.
    pub(super) size: u64,
}

/// Which part of a tensor some elements are.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) whole: Shape,
    pub(super) slice: TensorSlice,
    pub(super) region: Region,
}

/// Elements with a known stored form.
#[derive(Debug)]
pub(super) enum Data<'a> {
    Bytes(&'a [u8]),
    Pages(&'a [u8]),
    Walk(Box<Walk<'a>>),
    Strings(Vec<&'a [u8]>),
    Variants(Vec<&'a [u8]>),
}

/// Checks everything that can be known in advance, and sorts by name. Slices of one tensor keep
/// their order. `groups` has one number per tensor, or none at all.
///
/// # Errors
/// `InvalidArgument` for the first tensor that cannot be stored as described; `Unsupported` for
/// resource handles, which nothing can store.
pub(super) fn check<'a>(tensors: Vec<TensorSource<'a>>, groups: &[u32]) -> Result<Vec<Source<'a>>> {
    if !groups.is_empty() && groups.len() != tensors.len() {
        return Err(Error::invalid(format!(
            "{} tensors need as many groups, not {}",
            tensors.len(),
            groups.len()
        )));
    }
    let mut sources = Vec::with_capacity(tensors.len());
    let groups = groups.iter().copied().chain(std::iter::repeat(0));
    for (tensor, group) in tensors.into_iter().zip(groups) {
        let name = tensor.key.clone();
        sources.push(check_one(tensor, group).map_err(|error| error.with_key(&name))?);
    }
    sources.sort_by(|first, second| first.name.cmp(&second.name));
    for group in sources.chunk_by(|first, second| first.name == second.name) {
        if let [first, _, ..] = group {
            check_group(group).map_err(|error| error.with_key(&first.name))?;
        }
    }
    Ok(sources)
}

fn check_one(tensor: TensorSource<'_>, group: u32) -> Result<Source<'_>> {
    let TensorSource { key, dtype, shape: whole, slice, payload } = tensor;
    match key.first() {
        None => return Err(Error::invalid("the name of a tensor must not be empty")),
        Some(0) => return Err(Error::invalid("the name of a tensor must not begin with NUL")),
        Some(_) => {}
    }
    if dtype == DataType::Resource {
        return Err(Error::unsupported("a resource handle cannot be stored"));
    }
    let part = match slice {
        Some(slice) if !slice.covers(&whole) => {
            let region = slice.resolve(&whole)?;
            Some(Box::new(Part { whole: whole.clone(), slice, region }))
        }
        _ => None,
    };
    let shape = part.as_ref().map_or(whole, |part| part.region.shape.clone());
    let mapped = matches!(payload, Payload::Pages(_));
    let misfit = |found: String| misfit(dtype, &shape, part.as_deref(), &found);
    let (data, size) = match (payload, dtype) {
        (Payload::Strings(elements), DataType::String | DataType::Variant) => {
            if elements.len() as u64 != shape.num_elements() {
                return Err(misfit(format!("{} elements", elements.len())));
            }
            if dtype == DataType::Variant {
                let size = strings::variants_size(&elements);
                (Data::Variants(elements), size)
            } else {
                let size = strings::strings_size(&elements);
                (Data::Strings(elements), size)
            }
        }
        (Payload::Bytes(bytes) | Payload::Pages(bytes), _) if dtype.size().is_some() => {
            if Some(bytes.len() as u64) != shape.byte_size(dtype) {
                return Err(misfit(format!("{} bytes", bytes.len())));
            }
            let data = if mapped { Data::Pages(bytes) } else { Data::Bytes(bytes) };
            (data, bytes.len() as u64)
        }
        (Payload::Strided(array), _) if dtype.size() == Some(array.item) => {
            if !array.shape.iter().map(|&dim| dim as u64).eq(shape.dims().iter().copied()) {
                return Err(misfit(format_dims(&array.shape)));
            }
            let size = shape.byte_size(dtype).ok_or_else(|| misfit("too many bytes".to_owned()))?;
            (Data::Walk(Box::new(array.walk()?)), size)
        }
        _ => {
            let name = dtype.name();
            return Err(Error::invalid(format!("the elements at hand are not of type {name}")));
        }
    };
    Ok(Source { name: key, group, dtype, shape, part, data, size })
}

fn misfit(dtype: DataType, shape: &Shape, part: Option<&Part>, found: &str) -> Error {
    Error::invalid(match part {
        // The two spaces are TensorFlow's.
        Some(part) => format!(
            "Slice in shape_and_slice specification does not match the shape of the tensor to  \
             save: {} of {}, tensor: {found}",
            part.slice, part.whole
        ),
        None => format!("the elements of a {} tensor of shape {shape} are {found}", dtype.name()),
    })
}

fn format_dims(dims: &[usize]) -> String {
    let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
    format!("of shape [{}]", dims.join(","))
}

/// Checks several sources of the same name: they must be slices that fit together.
fn check_group(group: &[Source<'_>]) -> Result<()> {
    let mut regions = Vec::with_capacity(group.len());
    let mut keys = HashSet::with_capacity(group.len());
    let mut first: Option<(DataType, &Shape)> = None;
    for source in group {
        let Some(part) = &source.part else {
            return Err(duplicate(&source.name));
        };
        let key = encode_slice_key(&source.name, &part.slice);
        if !keys.insert(key.clone()) {
            return Err(duplicate(&key));
        }
        let (dtype, whole) = *first.get_or_insert((source.dtype, &part.whole));
        if (dtype, whole) != (source.dtype, &part.whole) {
            return Err(Error::invalid(format!(
                "slices of one tensor disagree: {} {whole} and {} {}",
                dtype.name(),
                source.dtype.name(),
                part.whole
            )));
        }
        regions.push((&part.region, &part.slice));
    }
    check_disjoint(&regions)
}

pub(super) fn duplicate(key: &[u8]) -> Error {
    Error::invalid(format!("Adding duplicate key: {}", key.escape_ascii()))
}

/// Checks that no two slices share an element: TensorFlow would write them, and fail to read them.
///
/// # Errors
/// `InvalidArgument`, naming two that overlap.
pub(super) fn check_disjoint(slices: &[(&Region, &TensorSlice)]) -> Result<()> {
    let regions: Vec<&Region> = slices.iter().map(|(region, _)| *region).collect();
    let Some((first, second)) = partition::find_overlap(&regions) else { return Ok(()) };
    let text =
        |index: usize| slices.get(index).map_or_else(String::new, |(_, slice)| slice.to_string());
    Err(Error::invalid(format!(
        "Overlapping slices: existing slice = {}, new slice = {}",
        text(first),
        text(second)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn check_all(tensors: Vec<TensorSource<'_>>) -> Result<Vec<Source<'_>>> {
        check(tensors, &[])
    }

    const ZEROS: [u8; 64] = [0; 64];

    fn whole(key: &str, dims: &[u64]) -> TensorSource<'static> {
        let shape = Shape::new(dims.iter().copied()).unwrap();
        let size = usize::try_from(shape.num_elements()).unwrap();
        TensorSource {
            key: key.as_bytes().to_vec().into(),
            dtype: DataType::Uint8,
            shape,
            slice: None,
            payload: Payload::Bytes(&ZEROS[..size]),
        }
    }

    fn slice(key: &str, dims: &[u64], text: &str) -> TensorSource<'static> {
        let (shape, slice) =
            (Shape::new(dims.iter().copied()).unwrap(), TensorSlice::parse(text).unwrap());
        let count = slice.resolve(&shape).map_or(0, |region| region.shape.num_elements());
        let payload = Payload::Bytes(&ZEROS[..usize::try_from(count).unwrap()]);
        TensorSource {
            key: key.as_bytes().to_vec().into(),
            dtype: DataType::Uint8,
            shape,
            slice: Some(slice),
            payload,
        }
    }

    fn message(tensors: Vec<TensorSource<'_>>) -> String {
        let error = check_all(tensors).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn sources_are_sorted_by_the_bytes_of_their_names_and_slices_keep_their_order() {
        let sources = check_all(vec![
            whole("\u{e9}", &[1]),
            slice("w", &[4], "2,2"),
            whole("W", &[1]),
            slice("w", &[4], "0,2"),
        ])
        .unwrap();
        let order: Vec<_> = sources
            .iter()
            .map(|source| {
                let start = source.part.as_ref().map(|part| part.region.start.clone());
                (&*source.name, start)
            })
            .collect();
        assert_eq!(
            order,
            [
                (&b"W"[..], None),
                (b"w", Some(vec![2])),
                (b"w", Some(vec![0])),
                ("\u{e9}".as_bytes(), None)
            ]
        );
    }

    #[test]
    fn a_slice_that_is_everything_is_no_slice() {
        let sources = check_all(vec![slice("a", &[4, 2], "0,4:-"), slice("b", &[], "")]).unwrap();
        assert!(sources.iter().all(|source| source.part.is_none()));
        assert_eq!(
            message(vec![slice("a", &[4], "-"), whole("a", &[4])]),
            "Adding duplicate key: a"
        );
    }

    #[test]
    fn names_are_used_once() {
        assert_eq!(message(vec![whole("a", &[1]), whole("a", &[2])]), "Adding duplicate key: a");
        let twice = vec![slice("pv", &[4, 2], "0,2:0,2"), slice("pv", &[4, 2], "0,2:0,2")];
        assert_eq!(message(twice), r"Adding duplicate key: \x00pv\x00\x01\x01\x02\x80\x82\x80\x82");
        let mixed = vec![whole("a", &[4]), slice("a", &[4], "0,2")];
        assert_eq!(message(mixed), "Adding duplicate key: a");
    }

    #[test]
    fn slices_that_share_an_element_are_refused() {
        let overlapping = vec![slice("a", &[4, 4], "0,3:-"), slice("a", &[4, 4], "2,2:0,1")];
        assert!(message(overlapping).starts_with("Overlapping slices"));
        let same = vec![slice("a", &[4, 4], "0,2:-"), slice("a", &[4, 4], "0,2:0,4")];
        assert!(message(same).starts_with("Overlapping slices"));
        let quarters = ["0,2:0,2", "0,2:2,2", "2,2:0,2", "2,2:2,2"];
        assert!(check_all(quarters.map(|text| slice("a", &[4, 4], text)).into()).is_ok());
    }

    #[test]
    fn slices_of_one_tensor_agree_on_type_and_shape() {
        let shapes = vec![slice("a", &[4], "0,2"), slice("a", &[5], "2,2")];
        assert!(message(shapes).contains("disagree"));
        let mut types = vec![slice("a", &[4], "0,2"), slice("a", &[4], "2,2")];
        types[1].dtype = DataType::Int8;
        assert!(message(types).contains("disagree"));
    }

    #[test]
    fn slices_reach_no_further_than_the_tensor() {
        assert_eq!(
            message(vec![slice("a", &[4, 2], "3,2:0,2")]),
            "Extent in dimension 0 out of bounds: shape = [4,2], slice = 3,2:0,2"
        );
    }

    #[test]
    fn elements_fit_the_shape_and_the_type() {
        let mut short = whole("a", &[4]);
        short.payload = Payload::Bytes(&ZEROS[..3]);
        assert_eq!(message(vec![short]), "the elements of a uint8 tensor of shape [4] are 3 bytes");
        let mut short = slice("a", &[4], "0,2");
        short.payload = Payload::Bytes(&ZEROS[..3]);
        assert!(message(vec![short]).starts_with("Slice in shape_and_slice specification does"));
        let mut text = whole("a", &[4]);
        text.dtype = DataType::String;
        assert!(message(vec![text]).contains("not of type string"));
        let mut numbers = whole("a", &[1]);
        numbers.payload = Payload::Strings(vec![b"x"]);
        assert!(message(vec![numbers]).contains("not of type uint8"));
    }

    #[test]
    fn what_tensorflow_aborts_on_is_an_error() {
        let mut resource = whole("a", &[1]);
        resource.dtype = DataType::Resource;
        assert_eq!(check_all(vec![resource]).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(message(vec![whole("", &[1])]).contains("empty"));
        assert!(message(vec![whole("\0a", &[1])]).contains("NUL"));
    }
}
