//! The `waypost` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = gateway::cli::Cli::parse();
    gateway::commands::run(cli)
}
