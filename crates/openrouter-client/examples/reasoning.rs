//! Models that think first: how long, what is shown, and what must be sent back.
//!
//! `cargo run -p openrouter-client --example reasoning`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{ChatOptions, Effort, Reasoning, ReasoningSummary};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let question = vec![Message::user("Is 91 a prime number?")];
    let mut request = ChatRequest::new(start::model("anthropic/claude-sonnet-4.5")?, question);
    // Thoughts are completion tokens: the limit must leave room for the answer.
    request.max_tokens = Some(8_000);
    ChatOptions::new()
        .with_reasoning(Reasoning::effort(Effort::Low).with_summary(ReasoningSummary::Auto))
        .apply(&mut request)?;
    let answer = client.chat(&start::call()?, &request).await?;
    writeln!(out, "answer: {}", answer.text())?;
    let Some(choice) = answer.choices.into_iter().next() else {
        return Ok(());
    };
    writeln!(
        out,
        "thoughts: {}",
        choice.message.reasoning.as_deref().unwrap_or("none shown")
    )?;
    writeln!(
        out,
        "details to send back: {}",
        choice.message.reasoning_details.len()
    )?;
    if let Some(usage) = answer.usage {
        writeln!(
            out,
            "tokens of thoughts: {:?} of {:?}",
            usage.reasoning_tokens, usage.completion_tokens
        )?;
    }

    // The message goes back as it came, details and all, in their order.
    request.messages.push(choice.message);
    request.messages.push(Message::user("And 97?"));
    // A budget in tokens instead of an effort. Both together are refused.
    ChatOptions::new()
        .with_reasoning(Reasoning::max_tokens(2_000).excluded())
        .apply(&mut request)?;
    let answer = client.chat(&start::call()?, &request).await?;
    writeln!(out, "answer: {}", answer.text())?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
