//! What a chat answer in one piece and a piece of a stream have in common: the same envelope around `choices`, and in them the
//! same fields, once as a `message` and once as a `delta`.
//!
//! Read by hand-written visitors: unknown fields must be kept, and serde's `flatten` would copy every field first.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The outermost object.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) provider: Option<Cow<'a, str>>,
    pub(crate) created: Option<i64>,
    pub(crate) choices: Vec<Choice<'a>>,
    /// As text: amounts in it must not pass through a float.
    pub(crate) usage: Option<&'a RawValue>,
    pub(crate) error: Option<&'a RawValue>,
    /// The fields not named here, unless they were not asked for.
    pub(crate) extra: Map<String, Value>,
}

impl<'a> Envelope<'a> {
    /// Reads an object. `keep_extra`: whether unknown fields are wanted.
    pub(crate) fn read(json: &'a [u8], keep_extra: bool) -> serde_json::Result<Self> {
        // Checked as a whole once, which is faster than string by string.
        let json = std::str::from_utf8(json).map_err(serde::de::Error::custom)?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let envelope = EnvelopeSeed {
            keep_extra,
            lifetime: PhantomData,
        }
        .deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(envelope)
    }
}

struct EnvelopeSeed<'a> {
    keep_extra: bool,
    lifetime: PhantomData<&'a ()>,
}

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'de> {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Envelope<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'de> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chat answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut out = Envelope::default();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match name.as_str() {
                "id" => out.id = map.next_value::<Word<'de>>()?.0,
                "model" => out.model = map.next_value::<Word<'de>>()?.0,
                "provider" => out.provider = map.next_value::<Word<'de>>()?.0,
                "created" => out.created = whole_seconds(&map.next_value()?),
                "choices" => out.choices = map.next_value::<Choices<'de>>()?.0,
                "usage" => out.usage = map.next_value()?,
                "error" => out.error = map.next_value()?,
                "object" => drop(map.next_value::<IgnoredAny>()?),
                _ if self.keep_extra => keep(&mut out.extra, name, map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(out)
    }
}

/// Keeps a field nobody here knows, unless it says nothing.
fn keep(extra: &mut Map<String, Value>, name: Name<'_>, value: Value) {
    let says_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if !says_nothing {
        extra.insert(name.as_str().to_owned(), value);
    }
}

fn whole_seconds(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

/// The name of a field, borrowed unless it is written with escapes.
struct Name<'a>(Cow<'a, str>);

impl Name<'_> {
    fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Borrowing)
            .map(|name| Self(name.unwrap_or_default()))
    }
}

/// A short string, borrowed where it can be. What is no string, or empty, is absent.
#[derive(Debug, Default)]
struct Word<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Borrowing)
            .map(|word| Self(word.filter(|word| !word.is_empty())))
    }
}

struct Borrowing;

impl<'de> Visitor<'de> for Borrowing {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A value that should be a string. Providers behind the aggregator have sent numbers and objects in such places; they are
/// kept as their JSON.
#[derive(Debug, Default)]
pub(crate) struct Loose(pub(crate) Option<String>);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr).map(|found| {
            Self(match found {
                TextOrValue::Null => None,
                TextOrValue::Text(text) => Some(text),
                TextOrValue::Other(value) => Some(value.to_string()),
            })
        })
    }
}

impl Loose {
    fn said(self) -> Option<String> {
        self.0.filter(|text| !text.is_empty())
    }
}

enum TextOrValue {
    Null,
    Text(String),
    Other(Value),
}

struct TextOr;

impl<'de> Visitor<'de> for TextOr {
    type Value = TextOrValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_unit<E>(self) -> Result<TextOrValue, E> {
        Ok(TextOrValue::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<TextOrValue, E> {
        Ok(TextOrValue::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<TextOrValue, E> {
        Ok(TextOrValue::Text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<TextOrValue, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<TextOrValue, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<TextOrValue, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<TextOrValue, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextOrValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(TextOrValue::Other(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextOrValue, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = map.next_entry()? {
            fields.insert(name, value);
        }
        Ok(TextOrValue::Other(Value::Object(fields)))
    }
}

/// The list of answers: nearly always one, so room is made for one. What is no list is an error, `null` is none.
struct Choices<'a>(Vec<Choice<'a>>);

impl<'de> Deserialize<'de> for Choices<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Choices<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_unit<E>(self) -> Result<Choices<'de>, E> {
                Ok(Choices(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Choices<'de>, A::Error> {
                let mut choices = Vec::with_capacity(1);
                while let Some(choice) = seq.next_element()? {
                    choices.push(choice);
                }
                Ok(Choices(choices))
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// One of the answers, or a piece of one.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(default)]
    index: Value,
    #[serde(default, alias = "message")]
    delta: Option<Fields>,
    #[serde(default, borrow)]
    finish_reason: Word<'a>,
    #[serde(default, borrow)]
    native_finish_reason: Word<'a>,
    #[serde(default)]
    logprobs: Option<Value>,
    #[serde(default, borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

impl<'a> Choice<'a> {
    /// Its number; 0 where none is given.
    pub(crate) fn index(&self) -> u32 {
        self.index
            .as_u64()
            .and_then(|index| index.try_into().ok())
            .unwrap_or(0)
    }

    pub(crate) fn take_fields(&mut self) -> Fields {
        self.delta.take().unwrap_or_default()
    }

    pub(crate) fn take_logprobs(&mut self) -> Option<Value> {
        self.logprobs.take()
    }

    /// Why it ended, in the common words and in the upstream's own.
    pub(crate) fn take_finish(&mut self) -> (Option<Cow<'a, str>>, Option<String>) {
        let native = self.native_finish_reason.0.take().map(Cow::into_owned);
        (self.finish_reason.0.take(), native)
    }
}

/// What a message, or a piece of one, says. Empty strings are absent.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// The text, an empty one included: it tells "nothing" from "not given".
    pub(crate) content: Option<String>,
    /// Content in parts, as some models send it.
    pub(crate) content_parts: Option<Value>,
    pub(crate) reasoning: Option<String>,
    pub(crate) reasoning_details: Vec<Value>,
    pub(crate) refusal: Option<String>,
    pub(crate) tool_calls: Vec<Call>,
    pub(crate) extra: Map<String, Value>,
}

/// A call of a tool, or a piece of one.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) index: Option<u32>,
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) arguments: Option<String>,
    pub(crate) extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut out = Fields::default();
                let mut other_reasoning = None;
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    match name.as_str() {
                        "role" => drop(map.next_value::<IgnoredAny>()?),
                        "content" => match map.next_value::<Content>()?.0 {
                            TextOrValue::Null => {}
                            TextOrValue::Text(text) => out.content = Some(text),
                            TextOrValue::Other(value) => out.content_parts = Some(value),
                        },
                        "reasoning" => out.reasoning = map.next_value::<Loose>()?.said(),
                        // The same words under the name that other services use.
                        "reasoning_content" => other_reasoning = map.next_value::<Loose>()?.said(),
                        "reasoning_details" => {
                            out.reasoning_details = map.next_value::<Option<_>>()?.unwrap_or_default();
                        }
                        "refusal" => out.refusal = map.next_value::<Loose>()?.said(),
                        "tool_calls" => out.tool_calls = map.next_value::<Option<_>>()?.unwrap_or_default(),
                        _ => keep(&mut out.extra, name, map.next_value()?),
                    }
                }
                out.reasoning = out.reasoning.or(other_reasoning);
                Ok(out)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct Content(TextOrValue);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr).map(Self)
    }
}

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        struct Function {
            #[serde(default)]
            name: Loose,
            #[serde(default)]
            arguments: Loose,
        }
        struct CallVisitor;
        impl<'de> Visitor<'de> for CallVisitor {
            type Value = Call;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tool call")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Call, A::Error> {
                let mut out = Call::default();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    match name.as_str() {
                        "index" => {
                            let index: Value = map.next_value()?;
                            out.index = index.as_u64().and_then(|index| index.try_into().ok());
                        }
                        "id" => out.id = map.next_value::<Loose>()?.said(),
                        "type" => out.kind = map.next_value::<Loose>()?.said(),
                        "function" => {
                            let function: Function = map.next_value::<Option<_>>()?.unwrap_or_default();
                            out.name = function.name.said();
                            out.arguments = function.arguments.said();
                        }
                        _ => keep(&mut out.extra, name, map.next_value()?),
                    }
                }
                Ok(out)
            }
        }
        deserializer.deserialize_map(CallVisitor)
    }
}
