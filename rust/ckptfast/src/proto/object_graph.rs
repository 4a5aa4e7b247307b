//! `trackable_object_graph.proto`: the objects that `tf.train.Checkpoint` saved.
//!
//! The message is the only element of a string tensor. Objects go by their number, the root first.
//! All parts of one kind are kept in one list, so that what is made of a message stays in
//! proportion to its size: an object of a hostile one may take two bytes.

use super::wire::{Field, next_field};
use crate::error::{Error, Result};

/// Ends the key of a variable's value, whatever the path before it.
const VALUE_SUFFIX: &str = ".ATTRIBUTES/VARIABLE_VALUE";
/// The name of a variable's only value.
const VALUE: &str = "VARIABLE_VALUE";

/// A child of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Child<'a> {
    /// The attribute of the parent.
    pub name: &'a str,
    /// The number of the child.
    pub object: usize,
}

/// One value of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The value's name within the object.
    pub name: &'a str,
    /// What a name-based checkpoint would call it.
    pub full_name: &'a str,
    /// Its key in this checkpoint.
    pub key: &'a str,
}

/// A slot variable of an optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotVariable<'a> {
    /// The slot's name.
    pub name: &'a str,
    /// The number of the variable that it belongs to.
    pub variable: usize,
    /// Its own number.
    pub slot: usize,
}

/// The saver that wrote an object in a way of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisteredSaver<'a> {
    /// Under what the program registered it.
    pub name: &'a str,
    /// The object's name there.
    pub object_name: &'a str,
}

/// One object, by its parts.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a, 'graph> {
    /// In the order of the file; two may have one name.
    pub children: &'graph [Child<'a>],
    /// The object's values.
    pub attributes: &'graph [Attribute<'a>],
    /// Of an optimizer.
    pub slots: &'graph [SlotVariable<'a>],
    /// Where the values are not in the checkpoint.
    pub registered_saver: Option<RegisteredSaver<'a>>,
}

impl<'a> Object<'a, '_> {
    /// The key of a variable's value, if that is all that was saved of the object.
    pub fn value_key(&self) -> Option<&'a str> {
        match (self.attributes, self.children, self.registered_saver) {
            // The other way round, a name of no variable may end so too.
            ([only], [], None) if only.name == VALUE && only.key.ends_with(VALUE_SUFFIX) => {
                Some(only.key)
            }
            _ => None,
        }
    }
}

/// A parsed `TrackableObjectGraph`; its texts are those of the message.
#[derive(Debug, Default)]
pub struct ObjectGraph<'a> {
    /// Of each object, where its parts end in the lists.
    ends: Vec<Ends>,
    children: Vec<Child<'a>>,
    attributes: Vec<Attribute<'a>>,
    slots: Vec<SlotVariable<'a>>,
    savers: Vec<RegisteredSaver<'a>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    children: u32,
    attributes: u32,
    slots: u32,
    savers: u32,
}

impl<'a> ObjectGraph<'a> {
    /// Parses a serialized message of at most `limit` parts: objects, children, values, slots.
    ///
    /// # Errors
    /// `Corruption` when the bytes are no such message, or one that refers to objects it does not
    /// have.
    pub fn parse(mut message: &'a [u8], limit: u32) -> Result<Self> {
        let mut graph = Self::default();
        let mut left = limit;
        let mut count = || {
            left = left.checked_sub(1).ok_or_else(|| too_many(limit))?;
            Ok(())
        };
        while let Some((number, field)) = next_field(&mut message)? {
            if number == 1 {
                count()?;
                graph.add_object(bytes(field)?, &mut count)?;
            }
        }
        let objects = graph.ends.len();
        if objects == 0 {
            return Err(Error::corruption("there is no root object"));
        }
        let children = graph.children.iter().map(|child| child.object);
        let slots = graph.slots.iter().flat_map(|slot| [slot.variable, slot.slot]);
        if children.chain(slots).any(|object| object >= objects) {
            let message = format!("it refers to an object that is not one of {objects}");
            return Err(Error::corruption(message));
        }
        Ok(graph)
    }

    /// All objects, in the order of their numbers.
    pub fn objects(&self) -> impl ExactSizeIterator<Item = Object<'a, '_>> {
        let mut start = Ends::default();
        self.ends.iter().map(move |&end| {
            let object = Object {
                children: part(&self.children, start.children, end.children),
                attributes: part(&self.attributes, start.attributes, end.attributes),
                slots: part(&self.slots, start.slots, end.slots),
                registered_saver: part(&self.savers, start.savers, end.savers).last().copied(),
            };
            start = end;
            object
        })
    }

    fn add_object(
        &mut self,
        mut message: &'a [u8],
        count: &mut impl FnMut() -> Result<()>,
    ) -> Result<()> {
        while let Some((number, field)) = next_field(&mut message)? {
            if (1..=4).contains(&number) {
                count()?;
            }
            match number {
                1 => self.children.push(child(bytes(field)?)?),
                2 => self.attributes.push(attribute(bytes(field)?)?),
                3 => self.slots.push(slot_variable(bytes(field)?)?),
                4 => self.savers.push(registered_saver(bytes(field)?)?),
                _ => {}
            }
        }
        self.ends.push(Ends {
            children: length(&self.children),
            attributes: length(&self.attributes),
            slots: length(&self.slots),
            savers: length(&self.savers),
        });
        Ok(())
    }
}

fn too_many(limit: u32) -> Error {
    Error::corruption(format!("it has more than {limit} parts"))
}

/// The length of a list of counted parts, whose number fits.
fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

fn part<T>(list: &[T], start: u32, end: u32) -> &[T] {
    list.get(start as usize..end as usize).unwrap_or_default()
}

fn child(mut message: &[u8]) -> Result<Child<'_>> {
    let mut child = Child::default();
    while let Some((number, field)) = next_field(&mut message)? {
        match number {
            1 => child.object = object_number(field)?,
            2 => child.name = text(field)?,
            _ => {}
        }
    }
    Ok(child)
}

fn attribute(mut message: &[u8]) -> Result<Attribute<'_>> {
    let mut attribute = Attribute::default();
    while let Some((number, field)) = next_field(&mut message)? {
        match number {
            1 => attribute.name = text(field)?,
            2 => attribute.full_name = text(field)?,
            3 => attribute.key = text(field)?,
            _ => {}
        }
    }
    Ok(attribute)
}

fn slot_variable(mut message: &[u8]) -> Result<SlotVariable<'_>> {
    let mut slot = SlotVariable::default();
    while let Some((number, field)) = next_field(&mut message)? {
        match number {
            1 => slot.variable = object_number(field)?,
            2 => slot.name = text(field)?,
            3 => slot.slot = object_number(field)?,
            _ => {}
        }
    }
    Ok(slot)
}

fn registered_saver(mut message: &[u8]) -> Result<RegisteredSaver<'_>> {
    let mut saver = RegisteredSaver::default();
    while let Some((number, field)) = next_field(&mut message)? {
        match number {
            1 => saver.name = text(field)?,
            2 => saver.object_name = text(field)?,
            _ => {}
        }
    }
    Ok(saver)
}

fn bytes(field: Field<'_>) -> Result<&[u8]> {
    match field {
        Field::Bytes(bytes) => Ok(bytes),
        _ => Err(Error::corruption("a number stands where text or a message should")),
    }
}

fn text(field: Field<'_>) -> Result<&str> {
    std::str::from_utf8(bytes(field)?)
        .map_err(|_| Error::corruption("a name in it is not valid UTF-8"))
}

/// -1 is stored as 2^64 - 1, so it is too large for any graph.
fn object_number(field: Field<'_>) -> Result<usize> {
    match field {
        Field::Varint(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        _ => Err(Error::corruption("the number of an object is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(value.len()).unwrap()], value].concat()
    }

    fn value(name: &str, key: &str) -> Vec<u8> {
        field(2, &[field(1, name.as_bytes()), field(3, key.as_bytes())].concat())
    }

    #[test]
    fn every_part_belongs_to_its_object() {
        let child = |name: &str, object| [field(2, name.as_bytes()), vec![0x08, object]].concat();
        let objects = [
            [field(1, &child("w", 1)), field(1, &child("optimizer", 2))].concat(),
            value(VALUE, "w/.ATTRIBUTES/VARIABLE_VALUE"),
            field(3, &[b"\x08\x01\x18\x03".as_slice(), &field(2, b"m")].concat()),
            [value(VALUE, "m/.ATTRIBUTES/VARIABLE_VALUE"), value("other", "o")].concat(),
            field(4, &field(1, b"saver")),
            value(VALUE, "named/VARIABLE_VALUE"),
            Vec::new(),
        ];
        let message = objects.map(|object| field(1, &object)).concat();
        let graph = ObjectGraph::parse(&message, 15).unwrap();
        let objects: Vec<_> = graph.objects().collect();
        let children: Vec<_> = objects[0].children.iter().map(|c| (c.name, c.object)).collect();
        assert_eq!(children, [("w", 1), ("optimizer", 2)]);
        let keys: Vec<_> = objects.iter().map(Object::value_key).collect();
        let key = "w/.ATTRIBUTES/VARIABLE_VALUE";
        assert_eq!(keys, [None, Some(key), None, None, None, None, None]);
        assert_eq!(objects[2].slots, [SlotVariable { name: "m", variable: 1, slot: 3 }]);
        assert_eq!(objects[3].attributes[1].name, "other");
        assert_eq!(objects[4].registered_saver.unwrap().name, "saver");
        assert!(ObjectGraph::parse(&message, 14).is_err());
    }

    #[test]
    fn what_is_no_object_graph_is_refused() {
        let alone = |field: &[u8]| [&[0x0a, u8::try_from(field.len()).unwrap()], field].concat();
        for message in [
            Vec::new(),
            b"\x08\x05".to_vec(),
            alone(b"\x0a\x02\x08\x01"),     // child 1 of 1 object
            alone(b"\x1a\x02\x08\x09"),     // a slot of variable 9
            alone(b"\x0a\x03\x0a\x01x"),    // a child without a number
            alone(b"\x12\x03\x1a\x01\xff"), // a key that is no text
            alone(b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            assert!(ObjectGraph::parse(&message, 100).is_err(), "{message:?}");
        }
    }
}
