//! An outage staged by a scenario file: what the retries see, and what a caller sees who does without them.
//!
//! `cargo run -p openrouter-client --example outages` (never asks OpenRouter)
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;
use openrouter_client::retry::RetryPolicy;
use openrouter_simulator::{Scenario, Simulator, SimulatorConfig};

/// The first two attempts of one model fail; the third is answered.
const SCENARIO: &str = r#"
[[rule]]
model = "openai/gpt-4o-mini"
from_request = 1
to_request = 2
fault = 503
"#;

pub async fn run(_: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let question = vec![Message::user("Are you there?")];
    let request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    for policy in [RetryPolicy::None, RetryPolicy::standard()] {
        let scenario: Scenario = SCENARIO.parse()?;
        let simulator = Simulator::start(SimulatorConfig::new(1).with_scenario(scenario)).await?;
        let retries = matches!(policy, RetryPolicy::Standard(_));
        let config = start::simulated(&simulator, "sk-or-v1-example")?.with_retry(policy);
        match OpenRouterClient::new(config)?
            .chat(&start::call()?, &request)
            .await
        {
            Ok(answer) => writeln!(out, "retries {retries}: answered by {:?}", answer.model)?,
            Err(error) => writeln!(out, "retries {retries}: {}", error.kind())?,
        }
        simulator.shutdown().await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
