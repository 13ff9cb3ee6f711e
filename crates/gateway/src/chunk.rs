//! From the pieces of an answer to the chunks OpenAI's clients read.

use integration_core::chat::{ChatResponse, FinishReason};
use integration_core::{StreamEvent, Usage};
use serde_json::{Map, Value, json};

/// Turns pieces into chunks. The last finish is held back until the end, so that the last chunk carries, beside a choice
/// that every client can index, the usage and what the gateway adds.
#[derive(Debug)]
pub struct ChunkWriter {
    id: String,
    model: String,
    created: i64,
    began: bool,
    finish: Option<Value>,
    usage: Option<Box<Usage>>,
    /// Fields of the answer as a whole that nobody here names; they go with the last chunk.
    extra: Map<String, Value>,
}

impl ChunkWriter {
    /// A writer for the answer `id` of `model`, begun at `created` (seconds since the Unix epoch).
    pub fn new(id: &str, model: &str, created: i64) -> Self {
        Self {
            id: id.to_owned(),
            model: model.to_owned(),
            created,
            began: false,
            finish: None,
            usage: None,
            extra: Map::new(),
        }
    }

    fn chunk(&self, choices: Value) -> Map<String, Value> {
        Map::from_iter([
            ("id".to_owned(), json!(self.id)),
            ("object".to_owned(), json!("chat.completion.chunk")),
            ("created".to_owned(), json!(self.created)),
            ("model".to_owned(), json!(self.model)),
            ("choices".to_owned(), choices),
        ])
    }

    fn delta(&mut self, choice: u32, delta: Map<String, Value>) -> Vec<Value> {
        self.piece(choice, delta, Map::new())
    }

    /// `beside`: what stands in the choice beside its delta.
    fn piece(
        &mut self,
        choice: u32,
        mut delta: Map<String, Value>,
        beside: Map<String, Value>,
    ) -> Vec<Value> {
        let mut out: Vec<Value> = self.finish.take().into_iter().collect();
        if !self.began {
            self.began = true;
            delta.insert("role".to_owned(), json!("assistant"));
        }
        let mut piece = beside;
        piece.insert("index".to_owned(), json!(choice));
        piece.insert("delta".to_owned(), Value::Object(delta));
        piece.insert("finish_reason".to_owned(), Value::Null);
        out.push(Value::Object(self.chunk(json!([piece]))));
        out
    }

    /// The chunks of a piece: none, one, or a finish that was held back and one.
    pub fn push(&mut self, event: StreamEvent) -> Vec<Value> {
        let one = |name: &str, value: Value| Map::from_iter([(name.to_owned(), value)]);
        match event {
            StreamEvent::Content { choice, text } => self.delta(choice, one("content", json!(text))),
            StreamEvent::Reasoning { choice, text } => self.delta(choice, one("reasoning", json!(text))),
            StreamEvent::ReasoningDetails { choice, details } => {
                self.delta(choice, one("reasoning_details", json!(details)))
            }
            StreamEvent::Refusal { choice, text } => self.delta(choice, one("refusal", json!(text))),
            StreamEvent::ToolCall {
                choice,
                slot,
                id,
                name,
                arguments,
            } => {
                let mut call = Map::from_iter([("index".to_owned(), json!(slot))]);
                let mut function = Map::new();
                if let Some(name) = name {
                    function.insert("name".to_owned(), json!(name));
                }
                if let Some(id) = id {
                    call.insert("id".to_owned(), json!(id));
                    call.insert("type".to_owned(), json!("function"));
                }
                function.insert("arguments".to_owned(), json!(arguments));
                call.insert("function".to_owned(), Value::Object(function));
                self.delta(choice, one("tool_calls", json!([call])))
            }
            StreamEvent::Extra { choice, fields } => self.delta(choice, fields),
            StreamEvent::ChoiceExtra { choice, fields } => self.piece(choice, Map::new(), fields),
            StreamEvent::Finish {
                choice,
                reason,
                native,
            } => {
                let held = self.finish.take();
                let finished = json!([{
                    "index": choice, "delta": {}, "finish_reason": reason, "native_finish_reason": native,
                }]);
                self.finish = Some(Value::Object(self.chunk(finished)));
                held.into_iter().collect()
            }
            StreamEvent::Start(start) => {
                self.extra.extend(start.extra);
                Vec::new()
            }
            StreamEvent::AnswerExtra { fields } => {
                self.extra.extend(fields);
                Vec::new()
            }
            StreamEvent::Usage(usage) => {
                self.usage = Some(usage);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The last chunk of a complete answer.
    pub fn last(&mut self, waypost: Value) -> Value {
        let mut chunk = match self.finish.take() {
            Some(Value::Object(chunk)) => chunk,
            _ => self.chunk(json!([])),
        };
        if let Some(usage) = self.usage.take() {
            chunk.insert("usage".to_owned(), json!(usage));
        }
        for (name, value) in std::mem::take(&mut self.extra) {
            chunk.entry(name).or_insert(value);
        }
        chunk.insert("waypost".to_owned(), waypost);
        Value::Object(chunk)
    }

    /// The last chunk of an answer that failed on its way.
    pub fn failed(&mut self, error: Value, waypost: Value) -> Value {
        let choices =
            json!([{ "index": 0, "delta": { "content": "" }, "finish_reason": FinishReason::Error }]);
        let mut chunk = self.chunk(choices);
        chunk.insert("error".to_owned(), error);
        chunk.insert("waypost".to_owned(), waypost);
        Value::Object(chunk)
    }
}

/// A complete answer in the shape of OpenAI's chat completions.
pub fn completion(id: &str, model: &str, created: i64, response: ChatResponse, waypost: Value) -> Value {
    let mut object = Map::from_iter([
        ("id".to_owned(), json!(id)),
        ("object".to_owned(), json!("chat.completion")),
        ("created".to_owned(), json!(created)),
        ("model".to_owned(), json!(model)),
        ("choices".to_owned(), json!(response.choices)),
    ]);
    if let Some(usage) = &response.usage {
        object.insert("usage".to_owned(), json!(usage));
    }
    for (name, value) in response.extra {
        object.entry(name).or_insert(value);
    }
    object.insert("waypost".to_owned(), waypost);
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_choice_stand_beside_its_delta() {
        let mut writer = ChunkWriter::new("r", "m", 7);
        let fields = Map::from_iter([
            ("filter".to_owned(), json!({ "hate": 0 })),
            ("index".to_owned(), json!(9)),
        ]);
        let chunks = writer.push(StreamEvent::ChoiceExtra { choice: 1, fields });
        let [chunk] = &chunks[..] else {
            panic!("{chunks:?}")
        };
        assert_eq!(
            chunk["choices"],
            json!([{ "filter": { "hate": 0 }, "index": 1, "delta": { "role": "assistant" }, "finish_reason": null }])
        );
    }
}
