//! Reading a client's frame in one pass: `type` decides what the other fields must be.
//!
//! `id` and `ack` may come with every type, so they are taken out on the way; whatever then remains unknown is refused.
//! A frame whose `type` does not come first is read twice.
//!
//! All that over the library's reading of JSON, or over [`compact`](super::compact)'s, which is tried first: it is fast, reads only
//! what programs write, and says nothing about what it does not read.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::client::{ClientFrame, Request};
use super::compact::{Compact, Declined};
use super::{MAX_DEPTH, MAX_REQUEST_ID};
use crate::codes::ErrorCode;

/// Why a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct FrameError {
    /// [`ErrorCode::BadRequest`] or [`ErrorCode::UnsupportedType`].
    pub code: ErrorCode,
    /// What is wrong and what is expected. Repeats nothing that the peer sent.
    pub message: String,
    /// The request's `id`, if it could be read.
    pub id: Option<String>,
}

/// What the visitor finds when it cannot go on in one pass.
enum Found<'a> {
    Frame(ClientFrame<'a>),
    /// `type` was not the first field.
    TypeLater,
    UnknownType(Option<Cow<'a, str>>),
}

pub(super) fn client_frame(text: &str) -> Result<ClientFrame<'_>, FrameError> {
    match compact_frame(text) {
        Ok(Found::Frame(frame)) => Ok(frame),
        _ => any_frame(text),
    }
}

/// Reads a frame in the form that programs write.
fn compact_frame(text: &str) -> Result<Found<'_>, Declined> {
    let mut json = Compact::new(text)?;
    let found = json.deserialize_map(FrameVisitor::<true> { kind: None });
    json.end()?;
    found
}

/// Reads whatever is JSON.
fn any_frame(text: &str) -> Result<ClientFrame<'_>, FrameError> {
    match read(text, FrameVisitor { kind: None }) {
        Ok(Found::Frame(frame)) => Ok(frame),
        Ok(Found::UnknownType(id)) => Err(unknown_type(text, id)),
        Ok(Found::TypeLater) => client_frame_in_two_passes(text),
        Err(error) => Err(bad_request(text, &error)),
    }
}

fn client_frame_in_two_passes(text: &str) -> Result<ClientFrame<'_>, FrameError> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }

    let head: Head<'_> = serde_json::from_str(text).map_err(|error| bad_request(text, &error))?;
    match read(text, FrameVisitor { kind: Some(head.kind) }) {
        Ok(Found::Frame(frame)) => Ok(frame),
        Ok(Found::UnknownType(id)) => Err(unknown_type(text, id)),
        Ok(Found::TypeLater) => unreachable!("the type was given"),
        Err(error) => Err(bad_request(text, &error)),
    }
}

fn read<'a>(text: &'a str, visitor: FrameVisitor<'a, false>) -> Result<Found<'a>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(visitor)?;
    // What follows an early stop is read on the second pass.
    if !matches!(found, Found::TypeLater) {
        json.end()?;
    }
    Ok(found)
}

/// A frame of an unknown type is passed over unread, so its depth is the one thing about its shape that can be wrong. In a
/// frame of a known type nothing may be as deep.
fn unknown_type(text: &str, id: Option<Cow<'_, str>>) -> FrameError {
    if depth(text) > MAX_DEPTH {
        let message = format!("the frame is nested deeper than {MAX_DEPTH}");
        return FrameError { code: ErrorCode::BadRequest, message, id: id.map(Cow::into_owned) };
    }
    let message = "this server does not know the frame's `type`".to_owned();
    FrameError { code: ErrorCode::UnsupportedType, message, id: id.map(Cow::into_owned) }
}

/// How deep the objects and arrays of a JSON text are nested.
fn depth(json: &str) -> usize {
    let (mut deepest, mut depth, mut in_string, mut escaped) = (0, 0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Says what is wrong in our own words: the library's would repeat names and values of the peer's.
fn bad_request(text: &str, error: &serde_json::Error) -> FrameError {
    #[derive(Deserialize)]
    struct IdOnly<'a> {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
    }

    let id = serde_json::from_str::<IdOnly<'_>>(text).ok().and_then(|frame| frame.id);
    let id = id.filter(|id| id.len() <= MAX_REQUEST_ID).map(Cow::into_owned);
    let message = format!("{} (near byte {}); see section 6 of the protocol", describe(error), error.column());
    FrameError { code: ErrorCode::BadRequest, message, id }
}

fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "the frame is not JSON".to_owned(),
        _ if text.starts_with("missing field") || text.starts_with("duplicate field") => {
            // Both name a field of ours.
            text.split(" at line ").next().unwrap_or_default().to_owned()
        }
        _ if text.starts_with(UNKNOWN_FIELD) => UNKNOWN_FIELD.to_owned(),
        _ => "a field has a wrong type or value, or the frame is not an object".to_owned(),
    }
}

const UNKNOWN_FIELD: &str = "the frame has a field that its type does not have";

/// The fields that any frame may carry.
#[derive(Default)]
struct Common<'a> {
    id: Option<Cow<'a, str>>,
    ack: Option<u64>,
}

/// `STRICT`: the deserializer refuses fields that a type does not have, so nothing else need look for them.
struct FrameVisitor<'a, const STRICT: bool> {
    /// The type, where it is known from a first pass.
    kind: Option<Cow<'a, str>>,
}

impl<'de, const STRICT: bool> Visitor<'de> for FrameVisitor<'de, STRICT> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut common = Common::default();
        if let Some(kind) = self.kind {
            let fields = Fields::<_, STRICT> { map: &mut map, common: &mut common, skip_type: true };
            return request(&kind, fields).map(|request| found(common, request));
        }
        match map.next_key::<Key<'de>>()? {
            Some(Key(key)) if key == "type" => {
                let kind: Text<'de> = map.next_value()?;
                let fields = Fields::<_, STRICT> { map: &mut map, common: &mut common, skip_type: false };
                request(&kind.0, fields).map(|request| found(common, request))
            }
            Some(_) => {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Found::TypeLater)
            }
            None => Err(de::Error::missing_field("type")),
        }
    }
}

fn found<'a>(common: Common<'a>, request: Option<Request<'a>>) -> Found<'a> {
    match request {
        Some(request) => Found::Frame(ClientFrame { id: common.id, ack: common.ack, request }),
        None => Found::UnknownType(common.id),
    }
}

/// Reads the fields of a type; `None` when the type is unknown.
fn request<'de, A: MapAccess<'de>, const STRICT: bool>(
    kind: &str,
    fields: Fields<'_, 'de, A, STRICT>,
) -> Result<Option<Request<'de>>, A::Error> {
    #[derive(Deserialize)]
    struct Empty {}
    #[derive(Deserialize)]
    struct Seq {
        seq: u64,
    }

    Ok(Some(match kind {
        "message" => Request::Message(Box::new(strict(fields)?)),
        "ack" => Request::Ack(strict::<Seq, _, _>(fields)?.seq),
        "heartbeat" => Request::Heartbeat(strict(fields)?),
        "keys" => Request::Keys(strict(fields)?),
        "auth" => Request::Auth(Box::new(strict(fields)?)),
        "register" => Request::Register(Box::new(strict(fields)?)),
        "challenge" => strict::<Empty, _, _>(fields).map(|_| Request::Challenge)?,
        "link" => Request::Link(Box::new(strict(fields)?)),
        "rotate" => Request::Rotate(Box::new(strict(fields)?)),
        "devices" => Request::Devices(Box::new(strict(fields)?)),
        "rendezvous" => Request::Rendezvous(Box::new(strict(fields)?)),
        "backup" => Request::Backup(Box::new(strict(fields)?)),
        "signal" => Request::Signal(Box::new(strict(fields)?)),
        "presence" => Request::Presence(Box::new(strict(fields)?)),
        _ => {
            IgnoredAny.visit_map(fields)?;
            return Ok(None);
        }
    }))
}

/// Reads a value and refuses fields that it does not have, at any depth.
fn strict<'de, T: Deserialize<'de>, A: MapAccess<'de>, const STRICT: bool>(
    fields: Fields<'_, 'de, A, STRICT>,
) -> Result<T, A::Error> {
    if STRICT {
        return T::deserialize(MapAccessDeserializer::new(fields));
    }
    let unknown = Cell::new(false);
    let mut note = |_: serde_ignored::Path<'_>| unknown.set(true);
    let value = T::deserialize(serde_ignored::Deserializer::new(MapAccessDeserializer::new(fields), &mut note))?;
    if unknown.get() { Err(de::Error::custom(UNKNOWN_FIELD)) } else { Ok(value) }
}

/// The fields of a frame less those that any frame may carry.
struct Fields<'m, 'de, A, const STRICT: bool> {
    map: &'m mut A,
    common: &'m mut Common<'de>,
    skip_type: bool,
}

impl<'de, A: MapAccess<'de>, const STRICT: bool> MapAccess<'de> for Fields<'_, 'de, A, STRICT> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(Key(key)) = self.map.next_key::<Key<'de>>()? {
            match key.as_ref() {
                "id" => self.take_id()?,
                "ack" => self.take_ack()?,
                "type" if self.skip_type => {
                    self.skip_type = false;
                    self.map.next_value::<IgnoredAny>()?;
                }
                "type" => return Err(de::Error::duplicate_field("type")),
                _ => return seed.deserialize(CowStrDeserializer::new(key)).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<'de, A: MapAccess<'de>, const STRICT: bool> Fields<'_, 'de, A, STRICT> {
    fn take_id(&mut self) -> Result<(), A::Error> {
        let Text(id) = self.map.next_value::<Text<'de>>()?;
        if self.common.id.is_some() {
            return Err(de::Error::duplicate_field("id"));
        }
        if id.len() > MAX_REQUEST_ID {
            return Err(de::Error::custom("id is too long"));
        }
        self.common.id = Some(id);
        Ok(())
    }

    fn take_ack(&mut self) -> Result<(), A::Error> {
        if self.common.ack.replace(self.map.next_value()?).is_some() {
            return Err(de::Error::duplicate_field("ack"));
        }
        Ok(())
    }
}

/// A text, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);
/// The name of a field.
struct Key<'a>(Cow<'a, str>);

macro_rules! borrowed_text {
    ($text:ident) => {
        impl<'de> Deserialize<'de> for $text<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AsText;

                impl<'de> Visitor<'de> for AsText {
                    type Value = $text<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }

                    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                        Ok($text(Cow::Borrowed(text)))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        Ok($text(Cow::Owned(text.to_owned())))
                    }
                }

                deserializer.deserialize_str(AsText)
            }
        }
    };
}

borrowed_text!(Text);
borrowed_text!(Key);

pub(super) fn write_client_frame(frame: &ClientFrame<'_>) -> String {
    #[derive(Serialize)]
    struct Written<'f, T: Serialize> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'f str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ack: Option<u64>,
        #[serde(flatten)]
        fields: T,
    }
    #[derive(Serialize)]
    struct Seq {
        seq: u64,
    }
    #[derive(Serialize)]
    struct Empty {}

    let (id, ack) = (frame.id.as_deref(), frame.ack);
    let json = match &frame.request {
        Request::Challenge => serde_json::to_string(&Written { kind: "challenge", id, ack, fields: Empty {} }),
        Request::Register(fields) => serde_json::to_string(&Written { kind: "register", id, ack, fields }),
        Request::Auth(fields) => serde_json::to_string(&Written { kind: "auth", id, ack, fields }),
        Request::Message(fields) => serde_json::to_string(&Written { kind: "message", id, ack, fields }),
        Request::Ack(seq) => serde_json::to_string(&Written { kind: "ack", id, ack, fields: Seq { seq: *seq } }),
        Request::Heartbeat(fields) => serde_json::to_string(&Written { kind: "heartbeat", id, ack, fields }),
        Request::Keys(fields) => serde_json::to_string(&Written { kind: "keys", id, ack, fields }),
        Request::Link(fields) => serde_json::to_string(&Written { kind: "link", id, ack, fields }),
        Request::Rotate(fields) => serde_json::to_string(&Written { kind: "rotate", id, ack, fields }),
        Request::Devices(fields) => serde_json::to_string(&Written { kind: "devices", id, ack, fields }),
        Request::Rendezvous(fields) => serde_json::to_string(&Written { kind: "rendezvous", id, ack, fields }),
        Request::Backup(fields) => serde_json::to_string(&Written { kind: "backup", id, ack, fields }),
        Request::Signal(fields) => serde_json::to_string(&Written { kind: "signal", id, ack, fields }),
        Request::Presence(fields) => serde_json::to_string(&Written { kind: "presence", id, ack, fields }),
    };
    json.expect("frames have string keys and no failing Serialize")
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
