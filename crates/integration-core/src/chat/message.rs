//! One turn of a conversation.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::open_enum::open_enum;

open_enum! {
    /// Who speaks.
    pub enum Role {
        /// The model.
        Assistant = "assistant",
        /// Instructions, in the newer word for them.
        Developer = "developer",
        /// Instructions.
        System = "system",
        /// The result of a tool.
        Tool = "tool",
        /// The person or program that asks.
        User = "user",
    }
}

/// What is said: one text, or parts of several kinds. Exhaustive.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// One text.
    Text(String),
    /// Texts, images, files and other parts, in order.
    Parts(Vec<ContentPart>),
}

impl Content {
    /// All text in it, parts joined without a separator.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().filter_map(ContentPart::as_text).collect(),
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrParts;
        impl<'de> Visitor<'de> for TextOrParts {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content parts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(TextOrParts)
    }
}

/// One part of a message, kept as it came: its `type` and its other fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContentPart {
    /// `text`, `image_url`, `input_audio`, `video_url`, `file`, or a newer word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Everything beside the type.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl ContentPart {
    /// A part of any type.
    pub fn new(kind: impl Into<String>, fields: Map<String, Value>) -> Self {
        Self {
            kind: kind.into(),
            fields,
        }
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(
            "text",
            Map::from_iter([("text".to_owned(), Value::String(text.into()))]),
        )
    }

    /// An image by its URL or data URL.
    pub fn image_url(url: impl Into<String>) -> Self {
        Self::new(
            "image_url",
            Map::from_iter([("image_url".to_owned(), serde_json::json!({ "url": url.into() }))]),
        )
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        (self.kind == "text")
            .then(|| self.fields.get("text")?.as_str())
            .flatten()
    }
}

/// A function the model wants called.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FunctionCall {
    /// The function's name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Its arguments: JSON as text, as the model wrote it. It may be empty (no arguments) or cut short.
    #[serde(default, deserialize_with = "null_as_default")]
    pub arguments: String,
    /// Fields this crate does not name, kept as they came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A call of a tool, to be echoed with its id when the result is sent back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolCall {
    /// The provider's name for this call.
    #[serde(default, deserialize_with = "null_as_default")]
    pub id: String,
    /// `function`, in every case seen.
    #[serde(rename = "type", default = "function_type")]
    pub kind: String,
    /// What to call.
    #[serde(default)]
    pub function: FunctionCall,
    /// Fields this crate does not name, kept as they came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn function_type() -> String {
    "function".to_owned()
}

/// A call of a function without a name.
impl Default for ToolCall {
    fn default() -> Self {
        Self::new("", "", "")
    }
}

impl ToolCall {
    /// A call of a function.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: function_type(),
            function: FunctionCall {
                name: name.into(),
                arguments: arguments.into(),
                extra: Map::new(),
            },
            extra: Map::new(),
        }
    }

    /// The arguments as JSON; no arguments are an empty object.
    ///
    /// # Errors
    /// The JSON error, if the model was cut off or wrote no JSON.
    pub fn parsed_arguments(&self) -> Result<Value, serde_json::Error> {
        match self.function.arguments.trim() {
            "" => Ok(Value::Object(Map::new())),
            text => serde_json::from_str(text),
        }
    }
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; absent in a turn that only calls tools.
    #[serde(default)]
    pub content: Option<Content>,
    /// The speaker's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The tools the model wants called.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub tool_calls: Vec<ToolCall>,
    /// In a tool's turn, the call it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The model's reasoning as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The model's reasoning as the provider structures it. Send it back unchanged and in order with the results of
    /// tools, or some providers refuse the next turn.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub reasoning_details: Vec<Value>,
    /// Why the model declined, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Fields this crate does not name, passed on as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Message {
    /// A turn with content.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Self {
            content: Some(content.into()),
            ..Self::empty(role)
        }
    }

    /// A turn without content.
    pub fn empty(role: Role) -> Self {
        Self {
            role,
            content: None,
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            reasoning: None,
            reasoning_details: Vec::new(),
            refusal: None,
            extra: Map::new(),
        }
    }

    /// The bytes of text in it: content, reasoning, a refusal, tool calls. Images, audio and files are not counted.
    pub fn text_bytes(&self) -> usize {
        let content = match &self.content {
            Some(Content::Text(text)) => text.len(),
            Some(Content::Parts(parts)) => parts.iter().filter_map(|part| part.as_text()).map(str::len).sum(),
            None => 0,
        };
        let calls = self.tool_calls.iter().map(|call| &call.function);
        let calls: usize = calls.map(|call| call.name.len() + call.arguments.len()).sum();
        let said = [&self.reasoning, &self.refusal];
        content + calls + said.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// Instructions.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// A question.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// An answer.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of the tool call `id`.
    pub fn tool(id: impl Into<String>, content: impl Into<Content>) -> Self {
        Self {
            tool_call_id: Some(id.into()),
            ..Self::new(Role::Tool, content)
        }
    }
}
