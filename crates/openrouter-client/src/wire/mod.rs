//! The wire, without I/O: what is sent and how answers are read. One module per concern.
//!
//! | module | route |
//! |---|---|
//! | `request` | the body of `POST /chat/completions` |
//! | `response` | its answer in one piece |
//! | `stream` | its answer piece by piece |
//! | `envelope` | what both kinds of answer share |
//! | `error` | errors, wherever they appear |
//!
//! Routes to come get a module each here: `embeddings`, `responses`, `messages`, `rerank`, `generation`, `credits`.

pub(crate) mod envelope;
mod error;
mod request;
mod response;
mod stream;

pub use error::{ErrorReader, ErrorSite};
pub use request::chat_body;
pub use response::read_chat;
pub use stream::{ChatAssembler, ChatStreamDecoder};
