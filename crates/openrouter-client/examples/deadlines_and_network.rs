//! What stands between a program and its provider: deadlines by phase, and a resolver that knows what may be reached.
//!
//! `cargo run -p openrouter-client --example deadlines_and_network` (never asks OpenRouter)
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use integration_core::chat::Message;
use integration_core::{BoxFuture, ChatClient, ChatRequest, IntegrationClient, Secret};
use openrouter_client::retry::RetryPolicy;
use openrouter_client::{Config, OpenRouterClient, Resolve, ResolveError, Timeouts};
use openrouter_simulator::{Scenario, Simulator, SimulatorConfig};

/// Knows no host but those it was told of.
#[derive(Debug)]
struct Pinned(Vec<(String, IpAddr)>);

impl Resolve for Pinned {
    fn resolve(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, ResolveError>> {
        let found = self.0.iter().filter(|(name, _)| name == host).map(|(_, ip)| *ip);
        let found: Vec<IpAddr> = found.collect();
        Box::pin(async move {
            match found.is_empty() {
                true => Err(ResolveError::new("this host is not on the list")),
                false => Ok(found),
            }
        })
    }
}

pub async fn run(_: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    // A model that never begins to answer costs its deadline and no more.
    let scenario: Scenario = "[[rule]]\nmodel = \"openai/gpt-4o-mini\"\nfault = \"hang\"\n".parse()?;
    let simulator = Simulator::start(SimulatorConfig::new(1).with_scenario(scenario)).await?;
    let timeouts = Timeouts::default()
        .with_connect(Duration::from_secs(2))
        .with_first_byte(Duration::from_millis(200));
    let config = start::simulated(&simulator, "sk-or-v1-example")?
        .with_timeouts(timeouts)
        .with_retry(RetryPolicy::None);
    let question = vec![Message::user("Are you there?")];
    let request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    let silent = OpenRouterClient::new(config)?;
    if let Err(error) = silent.chat(&start::call()?, &request).await {
        writeln!(
            out,
            "{}: {} ({:?})",
            error.kind(),
            error.message(),
            error.delivery()
        )?;
    }
    simulator.shutdown().await;

    // A host that is not on the list is never asked, and the key never sent.
    let config = Config::new(Secret::new("sk-or-v1-example")?).with_resolver(Arc::new(Pinned(Vec::new())));
    let pinned = OpenRouterClient::new(config)?;
    let health = pinned.health().await;
    writeln!(
        out,
        "{}: {}",
        health.status.as_str(),
        health.message.unwrap_or_default()
    )?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
