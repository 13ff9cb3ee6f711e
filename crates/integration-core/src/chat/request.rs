//! What is asked.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::message::null_as_default;
use super::{Content, Message};
use crate::{Capability, CapabilitySet, ModelId};

/// A chat request in the shape of OpenAI's chat completions.
///
/// Fields not named here are kept in `extra`, in their order, and passed on. A named field that is `null` counts as
/// absent. Whether the answer is streamed is the method called, not a field: whoever reads a request from a caller takes
/// `stream` out of `extra`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The model asked.
    pub model: ModelId,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The most tokens the answer may have (older name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// The most tokens the answer may have, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u64>,
    /// How freely tokens are drawn, 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The share of probability drawn from, over 0 up to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// A seed for repeatable sampling, where the model takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Tools the model may call.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub tools: Vec<Tool>,
    /// Which tool must be called: `auto`, `none`, `required`, or an object naming one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// The form of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// The caller's stable name for its end user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Fields this crate does not name, passed on as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One text that ends the answer, or several. Exhaustive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`stop` must be a string or an array of strings")]
pub enum Stop {
    /// One text.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

/// A tool, kept as it came: its `type` (`function` mostly) and its other fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tool {
    /// `function`, or a provider's own tool.
    #[serde(rename = "type")]
    pub kind: String,
    /// Everything beside the type.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Tool {
    /// A tool of any type.
    pub fn new(kind: impl Into<String>, fields: Map<String, Value>) -> Self {
        Self {
            kind: kind.into(),
            fields,
        }
    }

    /// A function with a JSON schema for its arguments.
    pub fn function(name: &str, description: &str, parameters: Value) -> Self {
        let function =
            serde_json::json!({ "name": name, "description": description, "parameters": parameters });
        Self {
            kind: "function".to_owned(),
            fields: Map::from_iter([("function".to_owned(), function)]),
        }
    }
}

/// The form of the answer, kept as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResponseFormat {
    /// `text`, `json_object`, `json_schema`, or a newer word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Everything beside the type.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl ResponseFormat {
    /// A format of any type.
    pub fn new(kind: impl Into<String>, fields: Map<String, Value>) -> Self {
        Self {
            kind: kind.into(),
            fields,
        }
    }
}

impl ChatRequest {
    /// A request with nothing set but the conversation.
    pub fn new(model: ModelId, messages: Vec<Message>) -> Self {
        Self {
            model,
            messages,
            max_tokens: None,
            max_completion_tokens: None,
            temperature: None,
            top_p: None,
            seed: None,
            stop: None,
            tools: Vec::new(),
            tool_choice: None,
            response_format: None,
            user: None,
            extra: Map::new(),
        }
    }

    /// The most tokens the answer may have, whichever name it was given under.
    pub fn completion_limit(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// What a model must be able to do to serve this request, read off the request itself: text output always; function
    /// tools, JSON, log-probabilities, output of images or audio, and the kinds of input its messages hold. Wishes that
    /// a model may ignore (a seed, an effort of reasoning) are not needs.
    pub fn needs(&self) -> CapabilitySet {
        let mut needs = CapabilitySet::of(Capability::TextOutput);
        if self.tools.iter().any(|tool| tool.kind == "function") {
            needs = needs.with(Capability::Tools);
        }
        match self.response_format.as_ref().map(|format| format.kind.as_str()) {
            Some("json_schema") => needs = needs.with(Capability::JsonSchema),
            Some("json_object") => needs = needs.with(Capability::JsonMode),
            _ => {}
        }
        if self.extra.get("logprobs").and_then(Value::as_bool) == Some(true) {
            needs = needs.with(Capability::Logprobs);
        }
        for modality in self
            .extra
            .get("modalities")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            needs = match modality.as_str() {
                Some("audio") => needs.with(Capability::AudioOutput),
                Some("image") => needs.with(Capability::ImageOutput),
                _ => needs,
            };
        }
        for part in self.parts() {
            needs = match part {
                "image_url" => needs.with(Capability::Vision),
                "input_audio" => needs.with(Capability::AudioInput),
                "video_url" | "input_video" => needs.with(Capability::VideoInput),
                "file" => needs.with(Capability::FileInput),
                _ => needs,
            };
        }
        needs
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.messages
            .iter()
            .flat_map(|message| match &message.content {
                Some(Content::Parts(parts)) => parts.as_slice(),
                _ => &[],
            })
            .map(|part| part.kind.as_str())
    }

    /// The bytes of text a tokenizer would see: message texts, tool calls, reasoning sent back, tool definitions and the
    /// schema of the answer. Images, audio and files are not counted.
    pub fn text_bytes(&self) -> usize {
        let messages: usize = self.messages.iter().map(Message::text_bytes).sum();
        let tools: usize = self.tools.iter().map(|tool| json_bytes(&tool.fields)).sum();
        messages
            + tools
            + self
                .response_format
                .as_ref()
                .map_or(0, |format| json_bytes(&format.fields))
    }
}

/// The length of a JSON object as text, counted without writing it.
fn json_bytes(fields: &Map<String, Value>) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing to a counter cannot fail, and a JSON map always has text keys.
    let _ = serde_json::to_writer(&mut count, fields);
    count.0
}
