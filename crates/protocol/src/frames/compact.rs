//! Reading JSON in the form that programs write: without white space, escapes or fractions.
//!
//! Nearly every frame is of this form, and a `message` in it is read in half the time. Whatever is different or wrong is declined,
//! and then [`parse`](super::parse) reads the frame again by the library, which alone decides what is refused and says why. So all
//! that has to hold here is: what is read is what the library reads. How deep the text goes is bounded by the types that are read.

use std::fmt;

use memchr::memchr;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The text is not in the compact form, or not what was to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Declined;

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not read in the compact form")
    }
}

impl std::error::Error for Declined {}

impl de::Error for Declined {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// A deserializer over a text. Fields that a type does not have are declined too.
#[derive(Debug)]
pub(super) struct Compact<'de> {
    text: &'de str,
    /// How many bytes have been read.
    at: usize,
}

impl<'de> Compact<'de> {
    /// Over a whole text.
    pub(super) fn new(text: &'de str) -> Result<Self, Declined> {
        // With neither escapes nor control characters, which a text may not hold, the next quotation mark ends a text. Without a
        // branch, so that the compiler looks at many bytes at a time.
        let plain = text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'\\'));
        if plain { Ok(Self { text, at: 0 }) } else { Err(Declined) }
    }

    /// Refuses what follows the value.
    pub(super) fn end(&self) -> Result<(), Declined> {
        if self.at == self.text.len() { Ok(()) } else { Err(Declined) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Declined> {
        let byte = self.peek().ok_or(Declined)?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Declined> {
        if self.next()? == byte { Ok(()) } else { Err(Declined) }
    }

    /// The text whose opening quotation mark has been read.
    fn string(&mut self) -> Result<&'de str, Declined> {
        let rest = self.text.get(self.at..).ok_or(Declined)?;
        let length = memchr(b'"', rest.as_bytes()).ok_or(Declined)?;
        self.at += length + 1;
        rest.get(..length).ok_or(Declined)
    }

    fn number(&mut self) -> Result<u64, Declined> {
        let rest = self.text.get(self.at..).ok_or(Declined)?;
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = &rest[..length];
        if length > 1 && digits.starts_with('0') {
            return Err(Declined);
        }
        self.at += length;
        // A fraction or an exponent would follow: whoever reads on finds neither a comma nor an end.
        digits.parse().map_err(|_| Declined)
    }
}

impl<'de> Deserializer<'de> for &mut Compact<'de> {
    type Error = Declined;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Declined> {
        Err(Declined)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        self.expect(b'"')?;
        visitor.visit_borrowed_str(self.string()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        visitor.visit_u64(self.number()?)
    }

    /// `null` is declined by whatever is wanted in its place.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        self.expect(b'[')?;
        let mut items = Items { json: self, read: 0, ended: false };
        let value = visitor.visit_seq(&mut items);
        if items.ended { value } else { Err(Declined) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Declined> {
        self.expect(b'{')?;
        let mut members = Items { json: self, read: 0, ended: false };
        let value = visitor.visit_map(&mut members);
        if members.ended { value } else { Err(Declined) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Declined> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u16 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

/// What stands in an array or object, of which the opening bracket has been read.
struct Items<'c, 'de> {
    json: &'c mut Compact<'de>,
    read: usize,
    ended: bool,
}

impl Items<'_, '_> {
    /// Goes to the next one; false when the closing bracket has been read.
    fn advance(&mut self, closing: u8) -> Result<bool, Declined> {
        match self.json.peek() {
            Some(byte) if byte == closing => {
                self.json.at += 1;
                self.ended = true;
                return Ok(false);
            }
            _ if self.read > 0 => self.json.expect(b',')?,
            _ => {}
        }
        self.read += 1;
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Declined;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Declined> {
        if self.advance(b']')? { seed.deserialize(&mut *self.json).map(Some) } else { Ok(None) }
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Declined;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Declined> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        self.json.expect(b'"')?;
        let key = self.json.string()?;
        self.json.expect(b':')?;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Declined> {
        seed.deserialize(&mut *self.json)
    }
}
