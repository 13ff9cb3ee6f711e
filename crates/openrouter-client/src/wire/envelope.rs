//! What a chat answer in one piece and a piece of a stream have in common: the same envelope around `choices`, and in them the
//! same fields, once as a `message` and once as a `delta`. Completions, the older dialect, have the envelope and `text`.
//!
//! Read by hand-written visitors: unknown fields must be kept, and serde's `flatten` would copy every field first.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The outermost object.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) provider: Option<Cow<'a, str>>,
    pub(crate) created: Option<i64>,
    pub(crate) choices: Choices<'a>,
    /// As text: amounts in it must not pass through a float.
    pub(crate) usage: Option<&'a RawValue>,
    pub(crate) error: Option<&'a RawValue>,
    /// The fields not named here, as text: most pieces of a stream repeat what the first one said.
    pub(crate) extra: Unread<'a>,
}

impl<'a> Envelope<'a> {
    /// Reads an object.
    pub(crate) fn read(json: &'a [u8]) -> serde_json::Result<Self> {
        // Checked as a whole once, which is faster than string by string.
        let json = std::str::from_utf8(json).map_err(serde::de::Error::custom)?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let envelope = deserializer.deserialize_map(EnvelopeVisitor)?;
        deserializer.end()?;
        Ok(envelope)
    }

    /// The text of a piece that says a text of one answer and nothing else but what pieces repeat; as it is written, without
    /// escapes. Whether fields that nobody here names are repeated is for the caller to see.
    pub(crate) fn only_text(&self) -> Option<(u32, &'a str)> {
        let choice = self.choices.first.as_ref()?;
        let fields = &choice.fields;
        let nothing_else = self.usage.is_none()
            && self.error.is_none()
            && self.choices.rest.is_empty()
            && choice.error.is_none()
            && choice.finish_reason.is_none()
            && choice.logprobs.is_none()
            && !choice.extra.iter().any(|(_, raw)| grows(raw))
            && fields.content_parts.is_none()
            && fields.reasoning.is_none()
            && fields.reasoning_details.is_empty()
            && fields.refusal.is_none()
            && fields.tool_calls.is_empty()
            && fields.extra.is_empty();
        match &fields.content {
            Some(Cow::Borrowed(text)) if nothing_else => Some((choice.index, text)),
            _ => None,
        }
    }

    /// The fields not named here, less those that say nothing.
    pub(crate) fn take_extra(&mut self) -> Map<String, Value> {
        kept(std::mem::take(&mut self.extra))
    }
}

/// Fields as they stand in the text.
pub(crate) type Unread<'a> = Vec<(Name<'a>, &'a RawValue)>;

/// The fields that say something, read.
pub(crate) fn kept(fields: Unread<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, raw) in fields {
        keep(&mut out, name, raw);
    }
    out
}

/// Whether the same value once more is more of it, and not the same again: pieces of lists are joined.
pub(crate) fn grows(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
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
                "created" => out.created = whole_seconds(map.next_value()?),
                "choices" => out.choices = map.next_value()?,
                "usage" => out.usage = map.next_value()?,
                "error" => out.error = map.next_value()?,
                "object" => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    let raw: &'de RawValue = map.next_value()?;
                    if !says_nothing(raw) {
                        out.extra.push((name, raw));
                    }
                }
            }
        }
        Ok(out)
    }
}

fn says_nothing(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "[]")
}

/// Keeps a field nobody here knows, unless it says nothing. One that no value can hold (a number out of every range, an
/// object of a thousand levels) is lost; the answer is not.
fn keep(extra: &mut Map<String, Value>, name: Name<'_>, raw: &RawValue) {
    if says_nothing(raw) {
        return;
    }
    if let Ok(value) = serde_json::from_str::<Value>(raw.get())
        && !value.as_array().is_some_and(Vec::is_empty)
    {
        extra.insert(name.as_str().to_owned(), value);
    }
}

fn whole_seconds(raw: &RawValue) -> Option<i64> {
    let digits = raw.get();
    digits.parse().ok().or_else(|| {
        let seconds: f64 = digits.parse().ok()?;
        seconds.is_finite().then_some(seconds as i64)
    })
}

/// A number from 0 up that fits, however it is written.
fn small(raw: &RawValue) -> Option<u32> {
    raw.get().trim_matches('"').parse().ok()
}

/// The name of a field, borrowed unless it is written with escapes.
#[derive(Debug)]
pub(crate) struct Name<'a>(Cow<'a, str>);

impl Name<'_> {
    pub(crate) fn as_str(&self) -> &str {
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
                TextOrValue::Text(text) => Some(text.into_owned()),
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

enum TextOrValue<'a> {
    Null,
    Text(Cow<'a, str>),
    Other(Value),
}

struct TextOr;

impl<'de> Visitor<'de> for TextOr {
    type Value = TextOrValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_unit<E>(self) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Text(Cow::Owned(text)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<TextOrValue<'de>, E> {
        Ok(TextOrValue::Other(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextOrValue<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(TextOrValue::Other(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextOrValue<'de>, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = map.next_entry()? {
            fields.insert(name, value);
        }
        Ok(TextOrValue::Other(Value::Object(fields)))
    }
}

/// The list of answers. Nearly always there is one, which costs no memory of its own. What is no list is an error, `null` is
/// none.
#[derive(Debug, Default)]
pub(crate) struct Choices<'a> {
    first: Option<Choice<'a>>,
    rest: Vec<Choice<'a>>,
}

impl Choice<'_> {
    /// Whether it holds anything that a model has produced.
    pub(crate) fn says_anything(&self) -> bool {
        let fields = &self.fields;
        let text = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        text(fields.content.as_deref())
            || fields.content_parts.is_some()
            || text(fields.reasoning.as_deref())
            || !fields.reasoning_details.is_empty()
            || text(fields.refusal.as_deref())
            || !fields.tool_calls.is_empty()
            || ["audio", "images"]
                .iter()
                .any(|name| fields.extra.contains_key(*name))
    }
}

impl<'a> Choices<'a> {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Choice<'a>> {
        self.first.iter().chain(&self.rest)
    }
}

impl<'a> IntoIterator for Choices<'a> {
    type Item = Choice<'a>;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Choice<'a>>, std::vec::IntoIter<Choice<'a>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Choices<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_unit<E>(self) -> Result<Choices<'de>, E> {
                Ok(Choices::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Choices<'de>, A::Error> {
                let first = seq.next_element()?;
                let mut rest = Vec::new();
                while let Some(choice) = seq.next_element()? {
                    rest.push(choice);
                }
                Ok(Choices { first, rest })
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// One of the answers, or a piece of one.
#[derive(Debug, Default)]
pub(crate) struct Choice<'a> {
    /// Its number; 0 where none is given.
    pub(crate) index: u32,
    pub(crate) fields: Fields<'a>,
    /// Why it ended, in the common words.
    pub(crate) finish_reason: Option<Cow<'a, str>>,
    /// The same in the upstream's own.
    pub(crate) native_finish_reason: Option<Cow<'a, str>>,
    pub(crate) logprobs: Option<Value>,
    pub(crate) error: Option<&'a RawValue>,
    /// The fields not named here, as text: pieces of a stream repeat them.
    pub(crate) extra: Unread<'a>,
}

impl Choice<'_> {
    /// A choice without a message is one of the older dialect, which says the text and the thoughts beside the index.
    fn take_completion(&mut self) {
        let mut take = |wanted: &str| {
            let at = self.extra.iter().position(|(name, _)| name.as_str() == wanted)?;
            let (_, raw) = self.extra.remove(at);
            serde_json::from_str::<Loose>(raw.get()).ok()
        };
        self.fields.content = take("text").and_then(|text| text.0).map(Cow::Owned);
        self.fields.reasoning = take("reasoning").and_then(Loose::said);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoiceVisitor;
        impl<'de> Visitor<'de> for ChoiceVisitor {
            type Value = Choice<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a choice")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choice<'de>, A::Error> {
                let mut out = Choice::default();
                let mut has_fields = false;
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    match name.as_str() {
                        "index" => out.index = small(map.next_value()?).unwrap_or(0),
                        "delta" | "message" => {
                            // An object beside a `null` of the other name counts.
                            if let Some(fields) = map.next_value()? {
                                out.fields = fields;
                                has_fields = true;
                            }
                        }
                        "finish_reason" => out.finish_reason = map.next_value::<Word<'de>>()?.0,
                        "native_finish_reason" => out.native_finish_reason = map.next_value::<Word<'de>>()?.0,
                        "logprobs" => {
                            let raw: &RawValue = map.next_value()?;
                            out.logprobs = serde_json::from_str::<Option<_>>(raw.get()).unwrap_or_default();
                        }
                        "error" => out.error = map.next_value()?,
                        _ => {
                            let raw: &'de RawValue = map.next_value()?;
                            if !says_nothing(raw) {
                                out.extra.push((name, raw));
                            }
                        }
                    }
                }
                if !has_fields && !out.extra.is_empty() {
                    out.take_completion();
                }
                Ok(out)
            }
        }
        deserializer.deserialize_map(ChoiceVisitor)
    }
}

/// What a message, or a piece of one, says. Empty strings are absent.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    /// The text, an empty one included: it tells "nothing" from "not given". Borrowed where it is written without escapes.
    pub(crate) content: Option<Cow<'a, str>>,
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
    /// The fields of the function that are not named here.
    pub(crate) function_extra: Map<String, Value>,
    pub(crate) extra: Map<String, Value>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut out = Fields::default();
                let mut other_reasoning = None;
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    match name.as_str() {
                        "role" => drop(map.next_value::<IgnoredAny>()?),
                        "content" => match map.next_value::<Content<'de>>()?.0 {
                            TextOrValue::Null => {}
                            TextOrValue::Text(text) => out.content = Some(text),
                            TextOrValue::Other(value) => out.content_parts = Some(value),
                        },
                        "reasoning" => out.reasoning = map.next_value::<Loose>()?.said(),
                        // The same words under the name that other services use.
                        "reasoning_content" => other_reasoning = map.next_value::<Loose>()?.said(),
                        "reasoning_details" => out.reasoning_details = list(map.next_value()?),
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

struct Content<'a>(TextOrValue<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr).map(Self)
    }
}

/// A list of anything; one object alone is a list of one.
fn list(raw: &RawValue) -> Vec<Value> {
    if says_nothing(raw) {
        return Vec::new();
    }
    match serde_json::from_str(raw.get()) {
        Ok(Value::Array(list)) => list,
        Ok(object @ Value::Object(_)) => vec![object],
        _ => Vec::new(),
    }
}

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
                        "index" => out.index = small(map.next_value()?),
                        "id" => out.id = map.next_value::<Loose>()?.said(),
                        "type" => out.kind = map.next_value::<Loose>()?.said(),
                        "function" => {
                            if let Some(function) = map.next_value::<Option<Function>>()? {
                                out.name = function.name;
                                out.arguments = function.arguments;
                                out.function_extra = function.extra;
                            }
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

/// The `function` of a tool call.
#[derive(Default)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
    extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FunctionVisitor;
        impl<'de> Visitor<'de> for FunctionVisitor {
            type Value = Function;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a function")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Function, A::Error> {
                let mut out = Function::default();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    match name.as_str() {
                        "name" => out.name = map.next_value::<Loose>()?.said(),
                        "arguments" => out.arguments = map.next_value::<Loose>()?.said(),
                        _ => keep(&mut out.extra, name, map.next_value()?),
                    }
                }
                Ok(out)
            }
        }
        deserializer.deserialize_map(FunctionVisitor)
    }
}
