//! The old route of plain completions: a prompt goes in, a text comes out.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::problem::Problem;
use crate::routes::answers::Piece;
use crate::routes::skin::{Fields, Writer, data_line};

/// The chat request for a completion: the service takes a prompt in place of messages.
pub(crate) fn request(fields: &Fields) -> Result<Fields, Problem> {
    let mut chat = fields.clone();
    chat.remove("messages");
    match fields.get("prompt") {
        Some(Value::String(_)) => Ok(chat),
        None | Some(Value::Null) => Err(Problem::invalid("Input required: specify \"prompt\"")),
        Some(_) => Err(Problem::invalid("prompt: Invalid input: expected string")),
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    id: Option<&'a str>,
    object: &'static str,
    created: u64,
    model: Option<&'a str>,
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Value>,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openrouter_metadata: Option<&'a Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    logprobs: Option<&'a Value>,
    finish_reason: Option<&'a str>,
    native_finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Value>,
}

impl<'a> Whole<'a> {
    fn of(piece: &'a Piece) -> Self {
        let choices = piece.choices.iter().flatten().map(|choice| {
            let said = choice.delta.as_ref().or(choice.message.as_ref());
            Choice {
                index: choice.index,
                text: said.and_then(|said| said.content.as_deref()).unwrap_or_default(),
                reasoning: said.and_then(|said| said.reasoning.as_deref()),
                logprobs: choice.logprobs.as_ref(),
                finish_reason: choice.finish_reason.as_deref(),
                native_finish_reason: choice.native_finish_reason.as_deref(),
                error: choice.error.as_ref(),
            }
        });
        Self {
            id: piece.id.as_deref(),
            object: "text_completion",
            created: piece.created.unwrap_or_default(),
            model: piece.model.as_deref(),
            provider: piece.provider.as_deref(),
            error: piece.error.as_ref(),
            choices: choices.collect(),
            usage: piece.usage.as_deref(),
            openrouter_metadata: piece.openrouter_metadata.as_ref(),
        }
    }
}

/// Each chunk of a chat becomes one of a completion.
#[derive(Debug, Default)]
pub(crate) struct Completions(Piece);

impl Writer for Completions {
    fn comment(&mut self) -> Vec<u8> {
        b": OPENROUTER PROCESSING\n\n".to_vec()
    }

    fn piece(&mut self, piece: Piece) -> Vec<u8> {
        self.0 = piece;
        data_line(&Whole::of(&self.0))
    }

    fn done(&mut self) -> Vec<u8> {
        b"data: [DONE]\n\n".to_vec()
    }

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn whole(&mut self) -> Vec<u8> {
        serde_json::to_vec(&Whole::of(&self.0)).unwrap_or_default()
    }
}
