//! A small client of OpenAI's chat completions over plain sockets: one connection per call, everything by the clock. It is
//! right, unless it is given a [`Flaw`].

mod client;
mod flaw;
mod http;
mod read;

pub use client::TestClient;
pub use flaw::Flaw;
