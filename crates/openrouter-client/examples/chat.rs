//! One question, one answer, and what it cost.
//!
//! `cargo run -p openrouter-client --example chat`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let messages = vec![
        Message::system("Answer in one sentence."),
        Message::user("Why is the sky blue?"),
    ];
    let mut request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, messages);
    request.max_tokens = Some(200);
    request.temperature = Some(0.2);

    let answer = client.chat(&start::call()?, &request).await?;
    writeln!(out, "{}", answer.text())?;
    // Who answered may differ from what was asked: a fallback, or the same model under its dated name.
    writeln!(out, "model: {}", answer.model.as_deref().unwrap_or("not told"))?;
    if let Some(usage) = &answer.usage {
        writeln!(
            out,
            "tokens: {:?} in, {:?} out",
            usage.prompt_tokens, usage.completion_tokens
        )?;
        // To the last digit: a decimal, never a float. `None` would be "not known", which is not zero.
        writeln!(out, "cost in USD: {:?}", usage.reported.total())?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
