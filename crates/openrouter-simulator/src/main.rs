//! A local OpenRouter, as a program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use openrouter_simulator::{Scenario, ScenarioError, Simulator, SimulatorConfig, Timing};

/// A local OpenRouter: real catalogue, seeded answers and timings, failures on demand, exact costs.
#[derive(Debug, Parser)]
#[command(name = "openrouter-simulator", version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Where answers, timings and chance come from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A scenario file (TOML) with failures to stage.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// `instant` or `realistic`.
    #[arg(long, value_name = "TIMING", default_value = "realistic")]
    timing: Timing,
    /// Fixes the time of day of the first request, in seconds since 1970, so that two runs give the same bytes.
    #[arg(long, value_name = "UNIX_SECONDS")]
    start_time: Option<u32>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say_error(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let mut config = SimulatorConfig::new(arguments.seed)
        .with_listen(arguments.listen)
        .with_timing(arguments.timing);
    if let Some(path) = &arguments.scenario {
        let scenario = Scenario::open(path).map_err(|error| match error {
            // Only the file's own name is missing from what is wrong inside it.
            ScenarioError::Invalid { .. } => format!("{}: {error}", path.display()),
            error => error.to_string(),
        })?;
        config = config.with_scenario(scenario);
    }
    if let Some(seconds) = arguments.start_time {
        let start = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.into());
        config = config.with_start_time(start);
    }
    let simulator = Simulator::start(config)
        .await
        .map_err(|error| error.to_string())?;
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    // Polled once, so that the signal is caught before anybody is told that this program runs.
    tokio::select! {
        biased;
        _ = interrupted.as_mut() => return Ok(()),
        () = std::future::ready(()) => {}
    }
    say(&format!(
        "simulated OpenRouter at {} (any key that starts with sk-or-v1-)",
        simulator.base_url()
    ));
    let waited = interrupted.await;
    simulator.shutdown().await;
    waited.map_err(|error| format!("cannot wait for Ctrl-C: {error}"))
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "this is the program's output")]
fn say_error(line: &str) {
    eprintln!("{line}");
}
