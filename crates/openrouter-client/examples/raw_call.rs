//! Any operation that has no method of its own.
//!
//! `cargo run -p openrouter-client --example raw_call`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::ErrorKind;
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::RawRequest;
use serde_json::{Value, json};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    // A path below the base URL, a query that is encoded, the same key, deadlines, caps, errors and retries.
    let request = RawRequest::get("models/count")?.with_query("output_modalities", "image,text");
    let answer = client.raw(&start::call()?, &request).await?;
    let count: Value = answer.json()?;
    writeln!(out, "HTTP {}: {count}", answer.status)?;

    // With a body, and events as they come.
    let request = RawRequest::post("chat/completions")?.with_json(&json!({
        "model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}], "stream": true,
    }))?;
    let mut stream = client.raw_stream(&start::call()?, &request).await?;
    let mut events = 0;
    while let Some(event) = stream.next().await {
        event?;
        events += 1;
    }
    writeln!(out, "{events} events of {:?}", stream.generation())?;

    // Names from elsewhere are added apart, so that they cannot lead anywhere else.
    let request = RawRequest::get("batches")?.with_segment("../keys")?;
    match client.raw(&start::call()?, &request).await {
        Ok(answer) => writeln!(out, "HTTP {}", answer.status)?,
        Err(error) => writeln!(out, "no such batch: {}", error.kind())?,
    }
    match RawRequest::get("https://elsewhere.example/keys") {
        Err(error) if error.kind() == ErrorKind::InvalidRequest => writeln!(out, "{}", error.message())?,
        _ => return Err("a foreign address must be refused".into()),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
