//! The dialects of OpenAI and of Anthropic, and the old one of plain texts.
//!
//! `cargo run -p openrouter-client --example responses_and_messages`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{
    CompletionRequest, MessagesEvent, MessagesRequest, ResponsesEvent, ResponsesRequest, Turn,
};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let model = start::model("openai/gpt-4o-mini")?;

    // Responses. OpenRouter stores nothing: what was said before goes into `input` again.
    let mut request = ResponsesRequest::new(model.clone(), "Say hello.");
    request.max_output_tokens = Some(200);
    let answer = client.responses(&start::call()?, &request).await?;
    writeln!(out, "responses: {}", answer.text())?;
    let mut stream = client.responses_stream(&start::call()?, &request).await?;
    while let Some(event) = stream.next().await {
        match event? {
            ResponsesEvent::Text { delta, .. } => write!(out, "{delta}")?,
            // The whole answer again, with what it used.
            ResponsesEvent::Completed(answer) => writeln!(out, "\n[{:?}]", answer.status)?,
            _ => {}
        }
    }

    // Messages, with any model.
    let mut request = MessagesRequest::new(model.clone(), 200, vec![Turn::user("Say hello.")]);
    request.fallbacks = vec![start::model("anthropic/claude-haiku-4.5")?];
    let answer = client.messages(&start::call()?, &request).await?;
    writeln!(out, "messages: {}", answer.text())?;
    let mut stream = client.messages_stream(&start::call()?, &request).await?;
    while let Some(event) = stream.next().await {
        match event? {
            MessagesEvent::Text { text, .. } => write!(out, "{text}")?,
            // Anthropic counts the cache beside the prompt; this is as everyone else counts.
            MessagesEvent::Delta { usage, .. } => {
                writeln!(out, "\n[{:?} tokens in all]", usage.to_usage().total_tokens)?;
            }
            _ => {}
        }
    }

    // Completions: one text in, one text out.
    let mut request = CompletionRequest::new(model, "Once upon a time");
    request.max_tokens = Some(50);
    let answer = client.completions(&start::call()?, &request).await?;
    writeln!(out, "completions: {}", answer.text())?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
