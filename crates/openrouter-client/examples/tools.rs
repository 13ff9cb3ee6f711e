//! A model that calls a function, and gets its result.
//!
//! `cargo run -p openrouter-client --example tools`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::chat::{Message, Tool};
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;
use serde_json::json;

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let weather = Tool::function(
        "get_weather",
        "The weather of a city now",
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
    );
    let question = vec![Message::user("What is the weather in Lisbon?")];
    let mut request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    request.tools = vec![weather];

    for _ in 0..3 {
        let answer = client.chat(&start::call()?, &request).await?;
        let Some(choice) = answer.choices.into_iter().next() else {
            break;
        };
        // Decide by the calls, not by the finish reason, which may say "stop" all the same.
        if choice.message.tool_calls.is_empty() {
            writeln!(
                out,
                "{}",
                choice
                    .message
                    .content
                    .map(|content| content.text())
                    .unwrap_or_default()
            )?;
            break;
        }
        let calls = choice.message.tool_calls.clone();
        // The whole message goes back, with its reasoning as it came: some models refuse the next turn without it.
        request.messages.push(choice.message);
        for call in calls {
            // A call may be cut short by the token limit; half a JSON is an error here, not something to run.
            let arguments = call.parsed_arguments()?;
            writeln!(out, "call {}: {}({arguments})", call.id, call.function.name)?;
            let result = json!({"city": arguments.get("city"), "celsius": 21});
            request.messages.push(Message::tool(call.id, result.to_string()));
        }
        request.tool_choice = Some(json!("none"));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
