//! Chat requests, answers, and the stream grammar that joins them: a complete answer is a finished stream.

mod fold;
mod message;
mod request;
mod response;
mod stream;

pub use fold::{ChatFold, GrammarError, fold_stream};
pub use message::{Content, ContentPart, FunctionCall, Message, Role, ToolCall};
pub use request::{ChatRequest, ResponseFormat, Stop, Tool};
pub use response::{ChatResponse, Choice, FinishReason};
pub use stream::{ChatStream, StreamEvent, StreamStart, ToolCallSlots};
