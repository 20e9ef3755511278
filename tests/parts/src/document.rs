//! MongoDB's binary documents (bsonspec.org), as far as the commands need them that start and watch a replica set.
//!
//! A driver would add its own view of the set: it pools, retries and picks a member. Here each member is asked for itself.

use serde_json::{Value, json};

/// Why bytes are not a document that this module knows.
#[derive(Debug)]
pub(crate) struct Damaged;

/// `value` under `name`, and behind it `rest`: MongoDB takes the first name for the command.
pub(crate) fn command(name: &str, value: &Value, rest: &Value) -> Vec<u8> {
    let rest = rest.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
    document([(name, value)].into_iter().chain(rest))
}

fn document<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for (name, value) in fields {
        let kind = bytes.len();
        bytes.push(0);
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes[kind] = append(&mut bytes, value);
    }
    bytes.push(0);
    let length = length_of(&bytes);
    bytes[..4].copy_from_slice(&length);
    bytes
}

/// Appends `value` and gives its type. Whole numbers are written with 64 bits: where MongoDB wants fewer, it converts.
fn append(bytes: &mut Vec<u8>, value: &Value) -> u8 {
    match value {
        Value::Null => 0x0A,
        Value::Bool(value) => {
            bytes.push((*value).into());
            0x08
        }
        Value::Number(number) => match number.as_i64() {
            Some(number) => {
                bytes.extend(number.to_le_bytes());
                0x12
            }
            None => {
                bytes.extend(number.as_f64().expect("a number").to_le_bytes());
                0x01
            }
        },
        Value::String(text) => {
            bytes.extend((u32::try_from(text.len() + 1).expect("a short text")).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes.push(0);
            0x02
        }
        Value::Array(values) => {
            let names: Vec<String> = (0..values.len()).map(|n| n.to_string()).collect();
            bytes.extend(document(names.iter().map(String::as_str).zip(values)));
            0x04
        }
        Value::Object(fields) => match fields.get("$oid").and_then(Value::as_str).and_then(hex) {
            Some(id) => {
                bytes.extend(id);
                0x07
            }
            None => {
                bytes.extend(document(fields.iter().map(|(name, value)| (name.as_str(), value))));
                0x03
            }
        },
    }
}

/// Reads a document. ObjectIds become `{"$oid": HEX}` and are written from that again; times become milliseconds and
/// timestamps whole numbers; of binary data nothing is kept.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Value, Damaged> {
    Ok(Value::Object(read_fields(&mut bytes)?.into_iter().collect()))
}

fn read_fields(from: &mut &[u8]) -> Result<Vec<(String, Value)>, Damaged> {
    let length = u32::from_le_bytes(array(from)?) as usize;
    let mut body = take(from, length)?.get(4..).ok_or(Damaged)?;
    let mut fields = Vec::new();
    loop {
        let [kind] = array(take(&mut body, 1)?)?;
        if kind == 0 {
            return Ok(fields);
        }
        let name = body.iter().position(|byte| *byte == 0).ok_or(Damaged)?;
        let name = text(take(&mut body, name + 1)?);
        fields.push((name, read_value(kind, &mut body)?));
    }
}

fn read_value(kind: u8, from: &mut &[u8]) -> Result<Value, Damaged> {
    Ok(match kind {
        0x01 => json!(f64::from_le_bytes(array(take(from, 8)?)?)),
        0x02 => {
            let length = u32::from_le_bytes(array(take(from, 4)?)?) as usize;
            Value::String(text(take(from, length)?))
        }
        0x03 => Value::Object(read_fields(from)?.into_iter().collect()),
        0x04 => Value::Array(read_fields(from)?.into_iter().map(|(_, value)| value).collect()),
        0x05 => {
            let length = u32::from_le_bytes(array(take(from, 4)?)?) as usize;
            take(from, length + 1)?;
            Value::Null
        }
        0x07 => {
            let id: String = take(from, 12)?.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "$oid": id })
        }
        0x08 => Value::Bool(take(from, 1)? != [0]),
        0x0A => Value::Null,
        0x10 => json!(i32::from_le_bytes(array(take(from, 4)?)?)),
        0x09 | 0x11 | 0x12 => json!(i64::from_le_bytes(array(take(from, 8)?)?)),
        _ => return Err(Damaged),
    })
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], Damaged> {
    let (taken, rest) = from.split_at_checked(count).ok_or(Damaged)?;
    *from = rest;
    Ok(taken)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Damaged> {
    bytes.first_chunk().copied().ok_or(Damaged)
}

/// Without the zero byte at its end.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn length_of(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("commands are short").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let nested = json!({
            "text": "ä", "no": false, "yes": true, "small": 1, "large": 1_i64 << 40, "half": 0.5, "nothing": null,
            "id": { "$oid": "0123456789abcdef01234567" }, "list": [1, "two", { "three": [] }, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        });
        let read = read(&command("ping", &json!(1), &nested)).expect("a document");
        let mut expected = nested;
        expected["ping"] = json!(1);
        assert_eq!(read, expected);
    }

    #[test]
    fn the_command_stands_first() {
        let bytes = command("z", &json!(true), &json!({ "a": null }));
        assert_eq!(bytes, [12, 0, 0, 0, 0x08, b'z', 0, 1, 0x0A, b'a', 0, 0]);
    }

    #[test]
    fn what_is_cut_short_is_refused_and_not_read_beyond_its_end() {
        let bytes = command("ping", &json!("text"), &json!({ "list": [1, 2.5] }));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes of {}", bytes.len());
        }
    }
}
