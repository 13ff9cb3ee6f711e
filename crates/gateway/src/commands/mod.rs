//! The commands, one file each. Everything the gateway prints is printed here.

#![expect(
    clippy::print_stderr,
    reason = "this is where a command talks to the person who runs it"
)]

mod best_model;
mod chat;
mod compare;
mod experiment;
mod health;
mod learned;
mod mirrors;
mod models;
mod number;
mod one_call;
mod outcome_file;
mod outcomes;
mod price;
mod reconcile;
mod replay;
mod report;
mod serve;
mod simulate;
mod verify;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use store_sqlite::{OpenError, SqliteStore};
use tracing_subscriber::EnvFilter;

use crate::call::Refused;
use crate::cli::{Cli, Command, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;

/// How a command ends. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done: exit code 0.
    Done,
    /// Not done, and it has said why: exit code 1.
    Failed,
}

/// Runs a command and prints its error, if any, as one line.
pub fn run(cli: Cli) -> ExitCode {
    match execute(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waypost: {error:#}");
            let wrong_usage = error.is::<WrongUsage>()
                || error
                    .downcast_ref::<Refused>()
                    .is_some_and(|refused| refused.code != "no_model_qualifies");
            ExitCode::from(if wrong_usage { 2 } else { 1 })
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn execute(cli: Cli) -> anyhow::Result<Outcome> {
    let env = Environment::load(Path::new(".env"))?;
    match cli.command {
        Command::Serve(args) => {
            log(&env, "info");
            runtime()?.block_on(serve::run(&args, &env))
        }
        Command::Chat(args) => {
            log(&env, "warn,gateway=info");
            runtime()?.block_on(chat::run(&args, &env))
        }
        Command::Compare(args) => {
            log(&env, "warn,gateway=info");
            runtime()?.block_on(compare::run(&args, &env))
        }
        Command::Health(args) => {
            log(&env, "warn");
            runtime()?.block_on(health::run(&args, &env))
        }
        Command::BestModel(args) => {
            log(&env, "warn");
            runtime()?.block_on(best_model::run(&args, &env))
        }
        Command::Models(args) => {
            log(&env, "warn");
            runtime()?.block_on(models::run(&args, &env))
        }
        Command::Experiment(args) => {
            log(&env, "warn");
            runtime()?.block_on(experiment::run(&args, &env))
        }
        Command::Price(args) => {
            log(&env, "warn");
            price::run(&args, &env)
        }
        Command::Reconcile(args) => {
            log(&env, "warn");
            runtime()?.block_on(reconcile::run(&args, &env))
        }
        Command::Report(args) => {
            log(&env, "warn");
            runtime()?.block_on(report::run(&args, &env))
        }
        Command::Replay(args) => {
            log(&env, "warn");
            replay::run(&args, &env)
        }
        Command::Simulate(args) => {
            log(&env, "warn");
            simulate::run(&args, &env)
        }
        Command::Outcomes(args) => {
            log(&env, "warn");
            runtime()?.block_on(outcomes::run(&args, &env))
        }
        Command::Train(args) => {
            log(&env, "warn");
            learned::train(&args, &env)
        }
        Command::Certify(args) => {
            log(&env, "warn");
            learned::certify(&args, &env)
        }
        Command::Evaluate(args) => {
            log(&env, "warn");
            learned::evaluate(&args, &env)
        }
        Command::Cascade(args) => {
            log(&env, "warn");
            learned::cascade(&args)
        }
        Command::Verify(args) => {
            log(&env, "warn");
            runtime()?.block_on(verify::run(&args, &env))
        }
        Command::Other(words) => Err(other(words.first().map(String::as_str).unwrap_or_default())),
    }
}

/// Names that are promised and not built yet, and names that do not exist.
fn other(name: &str) -> anyhow::Error {
    const RESERVED: [&str; 1] = ["keys"];
    let message = if RESERVED.contains(&name) {
        format!("`{name}` is a reserved name and not built yet; `waypost --help` lists what is there")
    } else {
        format!("there is no command '{name}'; `waypost --help` lists what is there")
    };
    WrongUsage(message).into()
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")
}

/// Logs go to standard error; what a command answers goes to standard output.
fn log(env: &Environment, default: &str) {
    let filter = env.get("RUST_LOG").unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(default));
    // A second subscriber in one process (tests) is refused, which is as well.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init();
}

/// The ledger, to be read beside a gateway that may be writing it.
fn read_ledger(settings: &Settings) -> anyhow::Result<SqliteStore> {
    SqliteStore::open_read_only(&settings.data_dir).map_err(|error| match error {
        OpenError::Missing { path } => anyhow::anyhow!(
            "there is no ledger at {} yet; `waypost serve` and `waypost chat` begin one",
            path.display()
        ),
        other => other.into(),
    })
}

/// The same, where a command can do without.
fn read_ledger_if_any(settings: &Settings) -> anyhow::Result<Option<SqliteStore>> {
    match SqliteStore::open_read_only(&settings.data_dir) {
        Ok(ledger) => Ok(Some(ledger)),
        Err(OpenError::Missing { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// A sign that something is going on, where a person looks at standard error.
fn busy(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Prints a line of the answer. A reader that has seen enough (`| head`) is an error that [`run`] knows.
fn say(line: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Prints JSON, indented for people and readable by programs.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?)
}

/// How far a long piece of work is, on standard error, where somebody looks at it.
struct Progress(indicatif::ProgressBar);

impl Progress {
    fn new(steps: usize, of: &'static str) -> Self {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        Self::styled(steps, "{bar:40} {pos} of {len} {msg}, {eta} left", of)
    }

    /// Through so many bytes.
    fn bytes(length: u64) -> Self {
        Self::styled(length, "{bar:40} {bytes} of {total_bytes}, {eta} left", "")
    }

    fn styled(steps: u64, template: &str, of: &'static str) -> Self {
        let bar = indicatif::ProgressBar::new(steps).with_message(of);
        Self(match indicatif::ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    fn step(&self) {
        self.0.inc(1);
    }

    /// So many steps more.
    fn steps(&self, more: usize) {
        self.0.inc(u64::try_from(more).unwrap_or(u64::MAX));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// An amount per token as an amount per million tokens, for people.
fn per_million(rate: Option<rust_decimal::Decimal>) -> String {
    rate.and_then(|rate| rate.checked_mul(rust_decimal::Decimal::from(1_000_000)))
        .map_or_else(|| "–".to_owned(), |amount| amount.normalize().to_string())
}

/// A table without lines, as wide as its content.
fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().copied());
    table
}
