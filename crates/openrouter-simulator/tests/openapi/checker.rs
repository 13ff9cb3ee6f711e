//! What answers are held to: the service's document, and schemas of ours for what it leaves out.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use integration_core::testing::shared_data;
use openrouter_simulator::{Outcome, SimulatedReply};
use provider_testkit::openapi::{OpenApi, OpenApiError};
use serde_json::{Value, json};

use crate::support::header;

/// A wrong parameter of the list of models is answered without the usual envelope.
pub const ZOD_BODY: &str = "§6.1: route-level validation errors `{success:false, error:{name:\"ZodError\", message}}` without a code";
/// After the status has been sent, an error comes as a body that is only an error.
pub const ERROR_IN_200: &str = "§6.2 (b): HTTP 200 whose JSON body has only `error`";
/// The skin of such an error on the route of responses.
pub const RESPONSES_ERROR_IN_200: &str =
    "§6.1: Responses-skin `{error:{code:\"invalid_prompt\", message}, metadata:null}`";
/// The old route is in no document.
pub const COMPLETIONS: &str =
    "§2: POST /completions is not in the document; a choice has `text` instead of `message`";
/// Statuses that a route's part of the document does not list have the common envelope.
pub const ENVELOPE: &str = "§6.1: the envelope `{error:{code, message, metadata?}, user_id?}`";
/// The same on the route of messages.
pub const MESSAGES_ENVELOPE: &str = "§6.5: `{type:\"error\", error:{type, message, error_type}, request_id}`";

/// Schemas of ours, for what the document leaves out.
pub fn ours() -> OpenApi {
    let usage = json!({
        "type": "object", "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
        "properties": {
            "prompt_tokens": { "type": "integer" }, "completion_tokens": { "type": "integer" },
            "total_tokens": { "type": "integer" }, "cost": { "type": ["number", "null"] },
            "is_byok": { "type": "boolean" },
        },
    });
    let completion = json!({
        "type": "object", "required": ["id", "object", "created", "model", "provider", "choices"],
        "properties": {
            "id": { "type": "string", "pattern": "^(gen-|chatcmpl-)" }, "object": { "const": "text_completion" },
            "created": { "type": "integer" }, "model": { "type": "string" }, "provider": { "type": "string" },
            "usage": usage,
            "error": { "$ref": "#/components/schemas/Error" },
            "choices": { "type": "array", "items": {
                "type": "object", "required": ["index", "text", "finish_reason"], "not": { "required": ["message"] },
                "properties": {
                    "index": { "type": "integer" }, "text": { "type": "string" },
                    "finish_reason": { "enum": ["stop", "length", "tool_calls", "content_filter", "error", null] },
                    "native_finish_reason": { "type": ["string", "null"] },
                },
            } },
        },
    });
    let error = json!({
        "type": "object", "required": ["code", "message"],
        "properties": {
            "code": { "type": "integer", "minimum": 400, "maximum": 599 },
            "message": { "type": "string", "minLength": 1 }, "metadata": { "type": "object" },
        },
    });
    let document = json!({ "openapi": "3.1.0", "paths": {}, "components": { "schemas": {
        "Completion": completion,
        "Error": error,
        "Envelope": {
            "type": "object", "required": ["error"],
            "properties": {
                "error": { "$ref": "#/components/schemas/Error" }, "user_id": { "type": ["string", "null"] },
                "openrouter_metadata": { "type": ["object", "null"] },
            },
        },
        "MessagesError": {
            "type": "object", "required": ["type", "error", "request_id"],
            "properties": {
                "type": { "const": "error" }, "request_id": { "type": ["string", "null"] },
                "error": {
                    "type": "object", "required": ["type", "message"],
                    "properties": {
                        "type": { "type": "string", "pattern": "_error$" }, "message": { "type": "string" },
                        "error_type": { "type": "string" },
                    },
                },
            },
        },
        "Zod": {
            "type": "object", "required": ["success", "error"],
            "properties": {
                "success": { "const": false },
                "error": {
                    "type": "object", "required": ["name", "message"],
                    "properties": { "name": { "const": "ZodError" }, "message": { "type": "string", "pattern": "^\\[" } },
                },
            },
        },
        "ResponsesError": {
            "type": "object", "required": ["error", "metadata"],
            "properties": {
                "error": {
                    "type": "object", "required": ["code", "message"],
                    "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
                },
            },
        },
    } } });
    OpenApi::read(&document.to_string()).unwrap()
}

/// What an answer was held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// The service's document.
    Document,
    /// A schema of ours, written from this line of the contract.
    Ours(&'static str),
    /// There was no JSON to hold to anything: HTML, a broken body, silence.
    Nothing,
}

pub struct Checker {
    document: OpenApi,
    ours: OpenApi,
}

impl Checker {
    pub fn new(test: &str) -> Option<Self> {
        let path = shared_data(test, "openrouter/openapi-2026-10-30.json")?;
        let text = std::fs::read_to_string(path).unwrap();
        Some(Self {
            document: OpenApi::read(&text).unwrap(),
            ours: ours(),
        })
    }

    fn ours(&self, schema: &str, line: &'static str, value: &Value) -> Result<Held, String> {
        let pointer = format!("/components/schemas/{schema}");
        match self.ours.check_schema(&pointer, value) {
            Ok(()) => Ok(Held::Ours(line)),
            Err(error) => Err(format!("{error} ({line}): {value}")),
        }
    }

    /// Checks one body or one event.
    fn value(
        &self,
        method: &str,
        path: &str,
        status: u16,
        kind: &str,
        value: &Value,
    ) -> Result<Held, String> {
        let path = path.split('?').next().unwrap().strip_prefix("/api/v1").unwrap();
        if path == "/completions" && status == 200 && value.get("choices").is_some() {
            return self.ours("Completion", COMPLETIONS, value);
        }
        if value.pointer("/error/name") == Some(&json!("ZodError")) {
            return self.ours("Zod", ZOD_BODY, value);
        }
        let only_error = value.get("error").is_some_and(Value::is_object) && value.get("choices").is_none();
        if status == 200 && kind == "application/json" && only_error && value.get("object").is_none() {
            return match path {
                "/responses" => self.ours("ResponsesError", RESPONSES_ERROR_IN_200, value),
                "/messages" => self.ours("MessagesError", ERROR_IN_200, value),
                _ => self.ours("Envelope", ERROR_IN_200, value),
            };
        }
        match self.document.check_answer(method, path, status, kind, value) {
            Ok(()) => Ok(Held::Document),
            Err(OpenApiError::NoOperation { .. } | OpenApiError::Nothing { .. }) if status >= 400 => {
                if path == "/messages" {
                    self.ours("MessagesError", MESSAGES_ENVELOPE, value)
                } else {
                    self.ours("Envelope", ENVELOPE, value)
                }
            }
            Err(error) => Err(format!("{method} {path} {status}: {error}\n{value}")),
        }
    }

    /// Checks an answer and says what it was held to.
    pub fn reply(&self, method: &str, path: &str, reply: &SimulatedReply) -> Result<Vec<Held>, String> {
        self.mended(method, path, reply, &|_| {})
    }

    /// Checks what becomes of an answer, or of each event of one, when something in it is mended.
    pub fn mended(
        &self,
        method: &str,
        path: &str,
        reply: &SimulatedReply,
        mend: &dyn Fn(&mut Value),
    ) -> Result<Vec<Held>, String> {
        let Outcome::Answer(answer) = &reply.outcome else {
            return Ok(vec![Held::Nothing]);
        };
        let body = reply.body();
        match header(reply, "content-type").unwrap() {
            "application/json" => match serde_json::from_slice(&body) {
                Ok(mut value) => {
                    mend(&mut value);
                    Ok(vec![self.value(
                        method,
                        path,
                        answer.status,
                        "application/json",
                        &value,
                    )?])
                }
                // A body that is cut off, or none.
                Err(_) => Ok(vec![Held::Nothing]),
            },
            "text/event-stream" => {
                let mut held = Vec::new();
                for mut event in wrapped(&body) {
                    match event.get_mut("data") {
                        Some(data) => mend(data),
                        None => mend(&mut event),
                    }
                    held.push(self.value(method, path, answer.status, "text/event-stream", &event)?);
                }
                Ok(held)
            }
            _ => Ok(vec![Held::Nothing]),
        }
    }
}

/// The events of a stream, each as the document wraps it.
pub fn wrapped(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    let mut events = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let (mut name, mut data) = (None, None);
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("event: ") {
                name = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(value.to_owned());
            } else {
                assert!(line.starts_with(':'), "{line:?}");
            }
        }
        let Some(data) = data.filter(|data| data != "[DONE]") else {
            continue;
        };
        // A stream may be cut inside an event.
        let Ok(data) = serde_json::from_str::<Value>(&data) else {
            continue;
        };
        if data.get("object") == Some(&json!("text_completion")) {
            events.push(data);
            continue;
        }
        events.push(match name {
            Some(name) => {
                assert_eq!(data["type"], name.as_str());
                json!({ "event": name, "data": data })
            }
            None => json!({ "data": data }),
        });
    }
    events
}

/// Puts a value at a JSON pointer in which `*` stands for any place of a list. What holds it has to be there.
pub fn put(value: &mut Value, pointer: &str, new: &Value) {
    let rest = pointer.strip_prefix('/').unwrap();
    let (part, below) = match rest.split_once('/') {
        Some((part, _)) => (part, Some(&rest[part.len()..])),
        None => (rest, None),
    };
    match (value, below) {
        (Value::Array(items), Some(below)) if part == "*" => {
            items.iter_mut().for_each(|item| put(item, below, new));
        }
        (Value::Object(fields), Some(below)) => {
            if let Some(inner) = fields.get_mut(part) {
                put(inner, below, new);
            }
        }
        (Value::Object(fields), None) => {
            fields.insert(part.to_owned(), new.clone());
        }
        _ => {}
    }
}
