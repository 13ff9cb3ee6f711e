//! Whether an answer is one, as far as that can be said without reading it.

use integration_core::ChatRequest;
use integration_core::chat::{ChatResponse, Choice, Content};
use routing::Verdict;

use crate::checks::{Checks, Expect};

/// What the answers to a request are held against.
#[derive(Debug)]
pub(super) struct Soundness(Checks);

impl Soundness {
    /// `None` where the request's own schema is one that cannot be held against anything.
    pub(super) fn of(request: &ChatRequest) -> Option<Self> {
        let (format, tools) = (request.response_format.as_ref(), &request.tools);
        let checks = Checks::new(format, tools, request.tool_choice.as_ref(), Expect::default());
        checks.ok().map(Self)
    }

    /// Whether every choice came to an end of its own, is not empty and no refusal, and has the form that was asked for.
    pub(super) fn holds(&self, answer: &ChatResponse) -> bool {
        matches!(self.0.verdict(answer), Verdict::Accepted) && answer.choices.iter().all(says_something)
    }
}

fn says_something(choice: &Choice) -> bool {
    let message = &choice.message;
    let refuses = message.refusal.as_ref().is_some_and(|why| !why.trim().is_empty());
    let text = message.content.as_ref().map_or_else(String::new, Content::text);
    let other = ["images", "audio"]
        .iter()
        .any(|field| message.extra.get(*field).is_some_and(|value| !value.is_null()));
    !refuses && (!text.trim().is_empty() || !message.tool_calls.is_empty() || other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use integration_core::ModelId;
    use integration_core::chat::{Choice, Message};
    use serde_json::{Value, json};

    use super::*;

    fn holds(format: Value, message: Value, finish: &str) -> bool {
        let mut request = ChatRequest::new(
            ModelId::new("openai/gpt-4o").unwrap(),
            vec![Message::user("Say it")],
        );
        request.response_format = serde_json::from_value(format).unwrap();
        let mut choice = Choice::new(0, serde_json::from_value(message).unwrap());
        choice.finish_reason = serde_json::from_value(json!(finish)).unwrap();
        let answer = ChatResponse::new(vec![choice]);
        Soundness::of(&request).unwrap().holds(&answer)
    }

    #[test]
    fn an_answer_is_whole_says_something_and_has_its_form() {
        let schema = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {
            "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } } } } });
        let text = |text: &str| json!({ "role": "assistant", "content": text });
        for (format, message, finish, expected) in [
            (Value::Null, text("Hello"), "stop", true),
            (Value::Null, text(" \n"), "stop", false),
            (Value::Null, text("Hel"), "length", false),
            (Value::Null, text("Hello"), "content_filter", false),
            (
                Value::Null,
                json!({ "role": "assistant", "content": null, "refusal": "I will not." }),
                "stop",
                false,
            ),
            (schema.clone(), text("{\"a\":1}"), "stop", true),
            (schema.clone(), text("{\"a\":\"1\"}"), "stop", false),
            (schema, text("one"), "stop", false),
        ] {
            let told = format!("{message} {finish}");
            assert_eq!(holds(format, message, finish), expected, "{told}");
        }
    }
}
