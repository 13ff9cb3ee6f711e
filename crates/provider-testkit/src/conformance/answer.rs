//! What a server is to say, before it is written in a dialect.

use integration_core::chat::FinishReason;

/// An answer that a server is to give: [`Subject::whole`](super::Subject::whole) writes it in one piece,
/// [`Subject::frames`](super::Subject::frames) piece by piece.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The server's name for the generation.
    pub id: String,
    /// The model that answers.
    pub model: String,
    /// What it says, in the pieces a stream brings.
    pub pieces: Vec<Piece>,
    /// Why it ends; `None`: it breaks off.
    pub finish: Option<FinishReason>,
    /// What it used.
    pub usage: WireUsage,
}

/// One piece of an answer. Exhaustive: a dialect must be able to write each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// More of the text.
    Text(String),
    /// More of the reasoning.
    Reasoning(String),
    /// More of the reason for declining.
    Refusal(String),
    /// More of a tool call.
    Tool(ToolPiece),
}

/// More of a tool call: the first piece of a call has its id and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ToolPiece {
    /// Which call, from 0.
    pub index: u32,
    /// The server's name for the call.
    pub id: Option<String>,
    /// The function.
    pub name: Option<String>,
    /// More of the arguments.
    pub arguments: String,
}

/// What the server says an answer used. Exhaustive: a dialect must be able to write each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireUsage {
    /// Nothing is said.
    Absent,
    /// The field is there and is `null`.
    Null,
    /// Tokens, and what the server says it cost, in US dollars as a JSON number. A dialect without prices leaves it out.
    Tokens {
        /// Tokens of the prompt.
        prompt: u64,
        /// Tokens of the answer.
        completion: u64,
        /// What it cost.
        cost: Option<String>,
    },
}

impl Answer {
    /// An answer with these pieces that ends properly and used a few tokens.
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self {
            id: "gen-1".to_owned(),
            model: "acme/model-1-2026".to_owned(),
            pieces: pieces.into_iter().collect(),
            finish: Some(FinishReason::Stop),
            usage: WireUsage::Tokens {
                prompt: 12,
                completion: 5,
                cost: None,
            },
        }
    }

    /// An answer whose text comes in these pieces.
    pub fn text(pieces: &[&str]) -> Self {
        Self::new(pieces.iter().map(|text| Piece::Text((*text).to_owned())))
    }

    /// Sets why it ends.
    #[must_use]
    pub fn with_finish(mut self, finish: Option<FinishReason>) -> Self {
        self.finish = finish;
        self
    }

    /// Sets what it used.
    #[must_use]
    pub fn with_usage(mut self, usage: WireUsage) -> Self {
        self.usage = usage;
        self
    }

    /// All text together; `None` if it says none.
    pub fn whole_text(&self) -> Option<String> {
        self.joined(|piece| match piece {
            Piece::Text(text) => Some(text),
            _ => None,
        })
    }

    /// All reasoning together; `None` if there is none.
    pub fn whole_reasoning(&self) -> Option<String> {
        self.joined(|piece| match piece {
            Piece::Reasoning(text) => Some(text),
            _ => None,
        })
    }

    /// The whole reason for declining; `None` if it does not decline.
    pub fn whole_refusal(&self) -> Option<String> {
        self.joined(|piece| match piece {
            Piece::Refusal(text) => Some(text),
            _ => None,
        })
    }

    /// Each tool call with its pieces joined, in order.
    pub fn whole_calls(&self) -> Vec<ToolPiece> {
        let mut calls: Vec<ToolPiece> = Vec::new();
        for piece in &self.pieces {
            let Piece::Tool(piece) = piece else { continue };
            match calls.iter_mut().find(|call| call.index == piece.index) {
                Some(call) => call.arguments.push_str(&piece.arguments),
                None => calls.push(piece.clone()),
            }
        }
        calls
    }

    fn joined<'a>(&'a self, part: impl Fn(&'a Piece) -> Option<&'a String>) -> Option<String> {
        let parts: Vec<&str> = self.pieces.iter().filter_map(part).map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.concat())
    }
}

impl Piece {
    /// The first piece of a tool call.
    pub fn tool(index: u32, id: &str, name: &str, arguments: &str) -> Self {
        Self::Tool(ToolPiece {
            index,
            id: Some(id.to_owned()),
            name: Some(name.to_owned()),
            arguments: arguments.to_owned(),
        })
    }

    /// A further piece of a tool call: no id, no name.
    pub fn more(index: u32, arguments: &str) -> Self {
        Self::Tool(ToolPiece {
            index,
            arguments: arguments.to_owned(),
            ..ToolPiece::default()
        })
    }
}
