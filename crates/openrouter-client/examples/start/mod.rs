//! How every example begins: with the key of the environment, or against a simulator in this program.
#![allow(dead_code, missing_docs, missing_debug_implementations, unreachable_pub)]

use std::io::Write;

use integration_core::{CallContext, ModelId, RequestId, Secret};
use openrouter_client::{Config, OpenRouterClient};
use openrouter_simulator::{Simulator, SimulatorConfig};

pub type AnyError = Box<dyn std::error::Error>;

/// A client, and what it talks to if that is not OpenRouter.
pub struct Started {
    pub client: OpenRouterClient,
    _simulator: Option<Simulator>,
}

/// A client of OpenRouter if `OPENROUTER_API_KEY` is set, else of a simulator, and says which.
pub async fn client() -> Result<Started, AnyError> {
    let (config, simulator) = match Config::from_env() {
        Ok(config) => {
            writeln!(std::io::stderr(), "Asking OpenRouter; answers are paid for.")?;
            (config, None)
        }
        Err(reason) => {
            writeln!(
                std::io::stderr(),
                "{reason}\nAsking a simulator instead: its answers are made up."
            )?;
            let simulator = Simulator::start(SimulatorConfig::new(1)).await?;
            (simulated(&simulator, "sk-or-v1-example")?, Some(simulator))
        }
    };
    Ok(Started {
        client: OpenRouterClient::new(config)?,
        _simulator: simulator,
    })
}

/// The settings for a client of a simulator.
pub fn simulated(simulator: &Simulator, key: &str) -> Result<Config, AnyError> {
    Ok(Config::new(Secret::new(key)?).with_base_url(&simulator.base_url()))
}

/// What a call is filed under. A program would mint an id a call.
pub fn call() -> Result<CallContext, AnyError> {
    Ok(CallContext::new(RequestId::new("example-1")?))
}

pub fn model(id: &str) -> Result<ModelId, AnyError> {
    Ok(ModelId::new(id)?)
}
