//! Reads the service's own chat answers back: other routes show the same answer in another shape.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::simulation::{Outcome, SimulatedReply};
use crate::wire::Step;

/// A chat answer, or one chunk of a streamed one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Piece {
    pub(crate) id: Option<String>,
    pub(crate) created: Option<u64>,
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) service_tier: Option<String>,
    pub(crate) choices: Option<Vec<PieceChoice>>,
    /// As it is written: amounts have more digits than a float holds.
    pub(crate) usage: Option<Box<RawValue>>,
    pub(crate) error: Option<Value>,
    pub(crate) openrouter_metadata: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PieceChoice {
    pub(crate) index: u64,
    pub(crate) delta: Option<Said>,
    pub(crate) message: Option<Said>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) native_finish_reason: Option<String>,
    pub(crate) logprobs: Option<Value>,
    pub(crate) error: Option<Value>,
}

/// What a model says in a message or in a part of one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    pub(crate) content: Option<String>,
    pub(crate) reasoning: Option<String>,
    pub(crate) reasoning_details: Option<Vec<Value>>,
    pub(crate) refusal: Option<String>,
    pub(crate) tool_calls: Option<Vec<CallPiece>>,
    pub(crate) annotations: Option<Vec<Value>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CallPiece {
    pub(crate) index: Option<u64>,
    pub(crate) id: Option<String>,
    pub(crate) function: Option<FunctionPiece>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FunctionPiece {
    pub(crate) name: Option<String>,
    pub(crate) arguments: Option<String>,
}

impl Piece {
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The error that a piece reports, wherever it stands in it.
    pub(crate) fn failure(&self) -> Option<Value> {
        let of_choice = || {
            self.choices
                .iter()
                .flatten()
                .find_map(|choice| choice.error.clone())
        };
        self.error.clone().or_else(of_choice)
    }
}

/// The counts and amounts of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Used {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) total_tokens: u64,
    pub(crate) cost: Option<Box<RawValue>>,
    pub(crate) is_byok: bool,
    pub(crate) prompt_tokens_details: Option<PromptParts>,
    pub(crate) completion_tokens_details: Option<CompletionParts>,
    pub(crate) cost_details: Option<CostParts>,
    pub(crate) server_tool_use_details: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PromptParts {
    pub(crate) cached_tokens: u64,
    pub(crate) cache_write_tokens: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CompletionParts {
    pub(crate) reasoning_tokens: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CostParts {
    pub(crate) upstream_inference_cost: Option<Box<RawValue>>,
    pub(crate) upstream_inference_prompt_cost: Option<Box<RawValue>>,
    pub(crate) upstream_inference_completions_cost: Option<Box<RawValue>>,
}

impl Used {
    pub(crate) fn read(usage: &RawValue) -> Self {
        serde_json::from_str(usage.get()).unwrap_or_default()
    }
}

/// Takes the complete events out of what has come so far: comments, data, and the end.
#[derive(Debug, Default)]
pub(crate) struct Events(Vec<u8>);

/// One event of a chat stream.
#[derive(Debug)]
pub(crate) enum Event {
    Comment,
    Piece(Box<Piece>),
    Done,
}

impl Events {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.0.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.0.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.0.drain(..end + 2).collect();
            let line = block.trim_ascii();
            let data = line
                .strip_prefix(b"data: ")
                .or_else(|| line.strip_prefix(b"data:"));
            events.extend(match data {
                Some(b"[DONE]") => Some(Event::Done),
                Some(data) => Piece::read(data).map(|piece| Event::Piece(Box::new(piece))),
                None => line.starts_with(b":").then_some(Event::Comment),
            });
        }
        events
    }
}

/// How many contents are kept; the oldest go first.
const KEPT: usize = 256;

/// Prompts and answers, for those who want to see them again.
#[derive(Default)]
pub(crate) struct Contents(VecDeque<Content>);

/// One request and its answer.
struct Content {
    id: String,
    request: Bytes,
    answer: Bytes,
    /// Where in the answer the piece begins with which so many tokens have been made.
    made: Vec<(u64, usize)>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Somebody's prompts are nobody's business.
        f.debug_tuple("Contents").field(&self.0.len()).finish()
    }
}

impl Contents {
    /// Keeps a chat request and its answer, if it has an id.
    pub(crate) fn keep(&mut self, request: &[u8], reply: &SimulatedReply) {
        let Outcome::Answer(answer) = &reply.outcome else {
            return;
        };
        let id = answer.headers.iter().find(|(name, _)| *name == "x-generation-id");
        if let Some((_, id)) = id {
            if self.0.len() == KEPT {
                self.0.pop_front();
            }
            let (mut sent, mut made) = (0, Vec::new());
            for step in &answer.steps {
                match step {
                    Step::Send(bytes) => sent += bytes.len(),
                    Step::Made(tokens) => made.push((*tokens, sent)),
                    _ => {}
                }
            }
            self.0.push_back(Content {
                id: id.clone(),
                request: Bytes::copy_from_slice(request),
                answer: Bytes::from(reply.body()),
                made,
            });
        }
    }

    /// The content of `data` for an id, as far as the answer goes with its first so many tokens.
    pub(crate) fn find(&self, id: &str, tokens: u64) -> Option<Value> {
        let kept = self.0.iter().rev().find(|one| one.id == id)?;
        let request: Value = serde_json::from_slice(&kept.request).unwrap_or_default();
        let beyond = kept.made.iter().find(|(made, _)| *made > tokens);
        let answer = &kept.answer[..beyond.map_or(kept.answer.len(), |(_, at)| *at)];
        let input = match request.get("messages") {
            Some(messages) => json!({ "messages": messages }),
            None => json!({ "prompt": request.get("prompt").and_then(Value::as_str).unwrap_or_default() }),
        };
        let pieces = match Piece::read(answer.trim_ascii_start()) {
            Some(whole) => vec![whole],
            None => Events::default()
                .push(answer)
                .into_iter()
                .filter_map(|event| match event {
                    Event::Piece(piece) => Some(*piece),
                    _ => None,
                })
                .collect(),
        };
        let (mut text, mut reasoning) = (String::new(), String::new());
        let mut failed = None;
        for piece in pieces {
            failed = failed.or_else(|| piece.failure());
            for choice in piece.choices.into_iter().flatten() {
                for said in [choice.delta, choice.message].into_iter().flatten() {
                    text.push_str(said.content.as_deref().unwrap_or_default());
                    reasoning.push_str(said.reasoning.as_deref().unwrap_or_default());
                }
            }
        }
        let given = |text: String| (!text.is_empty()).then_some(text);
        let error = failed.map(|error| {
            let detail = |name: &str| error.pointer(&format!("/metadata/{name}")).cloned();
            json!({
                "message": error["message"], "status": error["code"].as_u64(), "previous_errors": [],
                "provider_name": detail("provider_name"), "raw": detail("raw"),
            })
        });
        Some(json!({
            "input": input,
            "output": { "completion": given(text), "reasoning": given(reasoning) },
            "error": error,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_keep_their_digits() {
        let text = br#"{"id":"gen-1","usage":{"prompt_tokens":3,"cost":0.0100022624999999999999,"cost_details":null}}"#;
        let piece = Piece::read(text).unwrap();
        let used = Used::read(&piece.usage.unwrap());
        assert_eq!(
            (used.prompt_tokens, used.cost.unwrap().get()),
            (3, "0.0100022624999999999999")
        );
    }

    proptest! {
        #[test]
        fn events_come_out_whole_however_they_are_cut(cut in 1usize..9) {
            let stream = b": OPENROUTER PROCESSING\n\ndata: {\"id\":\"gen-1\"}\n\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n";
            let mut events = Events::default();
            let mut found = String::new();
            for piece in stream.chunks(cut) {
                for event in events.push(piece) {
                    found.push(match event {
                        Event::Comment => 'c',
                        Event::Piece(_) => 'p',
                        Event::Done => 'd',
                    });
                }
            }
            prop_assert_eq!(found, "cppd");
        }
    }
}
