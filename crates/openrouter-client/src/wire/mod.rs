//! The wire, without I/O: what is sent and how answers are read. One module per concern.
//!
//! | module | route |
//! |---|---|
//! | `request` | the body of `POST /chat/completions` |
//! | `response` | its answer in one piece |
//! | `stream` | its answer piece by piece |
//! | `envelope` | what both kinds of answer share |
//! | `head` | what the head of an answer tells |
//! | `error`, `classify` | errors, wherever they appear |
//!
//! What the other routes send and read is in [`routes`](crate::routes), beside the methods.

mod classify;
pub(crate) mod envelope;
mod error;
pub(crate) mod fields;
mod head;
mod request;
mod response;
mod stream;
pub(crate) mod tape;

pub use error::{ErrorReader, ErrorSite};
pub use head::AnswerHead;
pub use request::chat_body;
pub use response::read_chat;
pub use stream::{ChatAssembler, ChatStreamDecoder};
