//! The wire, without I/O: what is sent and how answers are read. One module per concern.
//!
//! | module | holds |
//! |---|---|
//! | `request` | the body of `POST /chat/completions` |
//! | `response` | its answer in one piece |
//! | `stream` | its answer piece by piece |
//! | `error` | errors, wherever they appear |
//! | `limits` | what the headers tell about rate limits |

mod error;
mod limits;
mod request;
mod response;
mod stream;

pub use error::ErrorReader;
pub use limits::rate_limits;
pub use request::chat_body;
pub use response::read_chat;
pub use stream::ChatAssembler;
