//! The same question twice, the second time out of the cache of whole answers, for nothing.
//!
//! `cargo run -p openrouter-client --example response_cache`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;
use std::time::Duration;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::headers;

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let question = vec![Message::user("What is the capital of France?")];
    let request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    // Kept for ten minutes. The request must be the same to the last byte of its body, the order of its fields included.
    let cached = start::call()?.with_headers(headers::response_cache(Some(Duration::from_secs(600))));
    for time in ["first", "second"] {
        let answer = client.chat(&cached, &request).await?;
        let usage = answer.usage.unwrap_or_default();
        writeln!(
            out,
            "{time} time: from the cache: {}, cost in USD: {:?}",
            usage.answer_from_cache,
            usage.reported.total()
        )?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
