//! The tasks of the workspace, run as `cargo xtask TASK`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its user"
)]

mod bench;
mod catalogue;
mod check;
mod consume;
mod coverage;
mod docs;
mod env_keys;
mod fuzz;
mod guide;
mod instructions;
mod layering;
mod new_provider;
mod process;
mod provider;
mod readme;
mod reliability;
mod summary;
mod table;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The tasks of the workspace", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs every test, names the skipped ones, and closes with one line of counts
    Test(test::Options),
    /// Formatting, lints, docs, layering, manifests, environment keys, licences
    Check(check::Options),
    /// Line coverage of each crate, without the shared data; fails under the floor
    Coverage,
    /// Writes the compact catalogue file that the project ships
    Catalogue {
        /// A saved answer of the provider's models route
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The day of capture, as YYYY-MM-DD; read from the file's name if not given
        #[arg(long, value_name = "DATE")]
        captured: Option<String>,
        /// Take the list although it is older than the one that is shipped, or half of it is gone
        #[arg(long)]
        anyway: bool,
    },
    /// Writes the generated parts of the documentation anew
    Docs(docs::Options),
    /// Makes the crate of a new provider from the template
    NewProvider(new_provider::Options),
    /// The fuzz targets under cargo-fuzz; skipped without a nightly compiler
    Fuzz(fuzz::Options),
    /// All benches, then one summary
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Catalogue {
            from,
            captured,
            anyway,
        } => catalogue::run(&from, captured.as_deref(), anyway),
        Task::Test(options) => test::run(&Workspace::load()?, &options),
        Task::Check(options) => check::run(&Workspace::load()?, &options),
        Task::Coverage => coverage::run(&Workspace::load()?),
        Task::Docs(options) => docs::run(&Workspace::load()?, &options),
        Task::NewProvider(options) => new_provider::run(&Workspace::load()?, &options),
        Task::Fuzz(options) => fuzz::run(&Workspace::load()?, &options),
        Task::Bench(options) => bench::run(&Workspace::load()?, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
