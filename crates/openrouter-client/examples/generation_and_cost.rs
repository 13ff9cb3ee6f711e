//! What a call cost, asked for afterwards.
//!
//! `cargo run -p openrouter-client --example generation_and_cost`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use std::time::Duration;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{FeedbackCategory, GenerationLookup, Patience};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let question = vec![Message::user("Hello!")];
    let request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    let answer = client.chat(&start::call()?, &request).await?;
    let Some(id) = answer.id else {
        writeln!(out, "the answer has no id")?;
        return Ok(());
    };
    // Right after a call OpenRouter does not know it yet. This asks again for as long as the patience lasts.
    match client
        .wait_for_generation(&id, Patience::of(Duration::from_secs(15)))
        .await?
    {
        GenerationLookup::Found(info) => {
            writeln!(out, "cost in USD: {:?}", info.total_cost)?;
            writeln!(
                out,
                "served by {:?} in {:?} ms",
                info.provider_name, info.generation_time
            )?;
            // The counts that are billed, in the words of an answer.
            let usage = info.to_usage();
            writeln!(
                out,
                "tokens: {:?} in, {:?} out",
                usage.prompt_tokens, usage.completion_tokens
            )?;
            client
                .generation_feedback(
                    &id,
                    &FeedbackCategory::Latency,
                    Some("An example: nothing was slow."),
                )
                .await?;
        }
        GenerationLookup::NotYet(not_yet) => {
            writeln!(out, "not known after {:?}; some never are", not_yet.waited)?;
        }
        _ => {}
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
