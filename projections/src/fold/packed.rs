//! Rows as bytes: a value that lies alone costs several times what it says. The bytes of keys have the order of their
//! values; those of the other columns can be changed one at a time.

use std::ops::Range;

use crate::change::Value;

/// A key or the rest of a row.
pub(super) type Packed = Box<[u8]>;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;
/// Bytes of a number, and of the length of a text.
const NUMBER: usize = size_of::<i64>();
const LENGTH: usize = size_of::<u32>();
/// Turns the order of signed numbers into that of their bytes.
const SIGN: u64 = 1 << 63;

/// Values whose bytes have their order: texts end with two zeros, and a zero within one is followed by 255.
pub(super) fn key<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Packed {
    let mut packed = Vec::with_capacity(values.clone().map(key_length).sum());
    values.for_each(|value| push_key(&mut packed, value));
    packed.into()
}

fn key_length(value: &Value) -> usize {
    // A byte more for each zero, of which there is one fewer than parts between them.
    let escaped = |bytes: &[u8]| 2 + bytes.len() + bytes.split(|byte| *byte == 0).count();
    match value {
        Value::Null => 1,
        Value::Integer(_) => 1 + NUMBER,
        Value::Text(text) => escaped(text.as_bytes()),
        Value::Bytes(bytes) => escaped(bytes),
    }
}

/// Adds a value to a key.
fn push_key(packed: &mut Vec<u8>, value: &Value) {
    let (tag, bytes) = match value {
        Value::Null => return packed.push(NULL),
        Value::Integer(number) => {
            packed.push(INTEGER);
            return packed.extend((number.cast_unsigned() ^ SIGN).to_be_bytes());
        }
        Value::Text(text) => (TEXT, text.as_bytes()),
        Value::Bytes(bytes) => (BYTES, bytes.as_slice()),
    };
    packed.push(tag);
    for (number, part) in bytes.split(|byte| *byte == 0).enumerate() {
        if number > 0 {
            packed.extend([0, 255]);
        }
        packed.extend(part);
    }
    packed.extend([0, 0]);
}

/// The values of a key.
pub(super) fn of_key(mut packed: &[u8]) -> Vec<Value> {
    let mut values = vec![];
    while let Some((tag, mut rest)) = packed.split_first() {
        let value = match *tag {
            NULL => Value::Null,
            INTEGER => {
                let (number, after) = rest.split_first_chunk().expect("a number has so many bytes");
                rest = after;
                Value::Integer((u64::from_be_bytes(*number) ^ SIGN).cast_signed())
            }
            tag => {
                let mut bytes = vec![];
                loop {
                    let zero = rest.iter().position(|byte| *byte == 0).expect("a text ends with zeros");
                    bytes.extend(&rest[..zero]);
                    let is_end = rest[zero + 1] == 0;
                    rest = &rest[zero + 2..];
                    if is_end {
                        break;
                    }
                    bytes.push(0);
                }
                text_or_bytes(tag, bytes)
            }
        };
        values.push(value);
        packed = rest;
    }
    values
}

fn text_or_bytes(tag: u8, bytes: Vec<u8>) -> Value {
    if tag == TEXT { Value::Text(String::from_utf8(bytes).expect("it was a text")) } else { Value::Bytes(bytes) }
}

/// The columns beside the key.
pub(super) fn row<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Packed {
    let mut packed = Vec::with_capacity(values.clone().map(length).sum());
    values.for_each(|value| push(&mut packed, value));
    packed.into()
}

fn length(value: &Value) -> usize {
    match value {
        Value::Null => 1,
        Value::Integer(_) => 1 + NUMBER,
        Value::Text(text) => 1 + LENGTH + text.len(),
        Value::Bytes(bytes) => 1 + LENGTH + bytes.len(),
    }
}

fn push(packed: &mut Vec<u8>, value: &Value) {
    let (tag, bytes) = match value {
        Value::Null => return packed.push(NULL),
        Value::Integer(number) => {
            packed.push(INTEGER);
            return packed.extend(number.to_le_bytes());
        }
        Value::Text(text) => (TEXT, text.as_bytes()),
        Value::Bytes(bytes) => (BYTES, bytes.as_slice()),
    };
    packed.push(tag);
    packed.extend(u32::try_from(bytes.len()).expect("no event holds four gigabytes").to_le_bytes());
    packed.extend(bytes);
}

/// Where the columns of a row lie.
fn ranges(packed: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = packed.get(start + 1..)?;
        let length = match packed[start] {
            NULL => 0,
            INTEGER => NUMBER,
            _ => LENGTH + u32::from_le_bytes(*rest.first_chunk().expect("a text has a length")) as usize,
        };
        let range = start..start + 1 + length;
        start = range.end;
        Some(range)
    })
}

fn value(column: &[u8]) -> Value {
    match column {
        [INTEGER, number @ ..] => Value::Integer(i64::from_le_bytes(number.try_into().expect("it has so many bytes"))),
        [tag @ (TEXT | BYTES), rest @ ..] => text_or_bytes(*tag, rest[LENGTH..].to_vec()),
        _ => Value::Null,
    }
}

/// The values of a row's columns.
pub(super) fn of_row(packed: &[u8]) -> impl Iterator<Item = Value> {
    ranges(packed).map(|range| value(&packed[range]))
}

/// The value of one column.
pub(super) fn column(packed: &[u8], place: usize) -> Option<Value> {
    ranges(packed).nth(place).map(|range| value(&packed[range]))
}

/// Gives one column another value.
pub(super) fn replace(packed: &mut Packed, place: usize, value: &Value) {
    let Some(range) = ranges(packed).nth(place) else { return };
    let mut other = Vec::with_capacity(length(value));
    push(&mut other, value);
    if other.len() == range.len() {
        packed[range].copy_from_slice(&other);
    } else {
        *packed = [&packed[..range.start], &other, &packed[range.end..]].concat().into();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<Value>> {
        let bytes = || prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()], 0..4);
        let text = prop::collection::vec(prop_oneof![Just('\0'), Just('\u{1}'), Just('ÿ'), any::<char>()], 0..4);
        let one = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            text.prop_map(|text| Value::Text(text.into_iter().collect())),
            bytes().prop_map(Value::Bytes),
        ];
        prop::collection::vec(one, 1..4)
    }

    proptest! {
        #[test]
        fn keys_come_back_and_have_the_order_of_their_values(one in values(), other in values()) {
            prop_assert_eq!(&of_key(&key(one.iter())), &one);
            prop_assert_eq!(key(one.iter()).cmp(&key(other.iter())), one.cmp(&other));
            prop_assert_eq!(key(one.iter()).len(), one.iter().map(key_length).sum::<usize>());
        }

        #[test]
        fn rows_come_back_also_with_another_value_in_a_column(one in values(), other in values()) {
            let mut packed = row(one.iter());
            prop_assert_eq!(&of_row(&packed).collect::<Vec<_>>(), &one);
            let place = one.len() - 1;
            replace(&mut packed, place, &other[0]);
            prop_assert_eq!(column(&packed, place), other.first().cloned());
            prop_assert_eq!(of_row(&packed).take(place).collect::<Vec<_>>(), &one[..place]);
        }
    }
}
