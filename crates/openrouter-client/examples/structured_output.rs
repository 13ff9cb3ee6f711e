//! Answers that are JSON by a schema.
//!
//! `cargo run -p openrouter-client --example structured_output`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{ChatOptions, Plugin, ProviderPreferences, response_format};
use serde_json::{Value, json};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let schema = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
        "required": ["city", "country"],
        "additionalProperties": false,
    });
    let question = vec![Message::user("Where is the Eiffel tower?")];
    let mut request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    request.response_format = Some(response_format::json_schema("place", schema, true));
    ChatOptions::new()
        // Without this, an upstream that knows no schemas may serve, and ignore it.
        .with_provider(ProviderPreferences::new().with_require_parameters(true))
        // Mends JSON that is not quite; for answers in one piece only.
        .with_plugins([Plugin::response_healing()])
        .apply(&mut request)?;

    let answer = client.chat(&start::call()?, &request).await?;
    match serde_json::from_str::<Value>(&answer.text()) {
        Ok(place) => writeln!(out, "city: {}, country: {}", place["city"], place["country"])?,
        Err(error) => writeln!(out, "not JSON after all: {error}")?,
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
