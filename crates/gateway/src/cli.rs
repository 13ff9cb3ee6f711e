//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rust_decimal::Decimal;

use crate::config::Overrides;

/// A quality index: any number, but a number.
fn quality(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|quality: &f64| quality.is_finite())
        .ok_or_else(|| "not a number".to_owned())
}

/// An amount in US dollars, 0 or more.
fn dollars(text: &str) -> Result<Decimal, String> {
    let amount = Decimal::from_str_exact(text)
        .ok()
        .filter(|amount| !amount.is_sign_negative());
    amount
        .filter(|_| !text.contains(['_', '+']))
        .ok_or_else(|| "not an amount in US dollars, such as 0.01".to_owned())
}

/// One interface to many language models: the cheapest that is good enough, with fallback and exact costs.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A mistake in how a command was called: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub String);

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway: an OpenAI-compatible server
    Serve(ServeArgs),
    /// Send one routed request, show the answer as it comes, then its cost
    Chat(ChatArgs),
    /// Say which model to use for a task right now, and why
    BestModel(BestModelArgs),
    /// List the models with their abilities, prices and quality
    Models(ModelsArgs),
    /// Price a usage record to the last digit, bucket by bucket
    Price(PriceArgs),
    /// Ask the provider for costs that are missing or not certain, and compare whole days with its books
    Reconcile(ReconcileArgs),
    /// Look whether the integrations can be used, without paying for anything
    Health(HealthArgs),
    /// Names kept for what comes later.
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// Where the configuration and the data are.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// The configuration file (default: waypost.toml, if there is one)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of the ledger (default: waypost-data)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Use the simulated upstream even if there is a key
    #[arg(long)]
    pub simulate: bool,
}

impl PlaceArgs {
    /// As settings.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        overrides.config.clone_from(&self.config);
        overrides.data_dir.clone_from(&self.data_dir);
        overrides.simulate = self.simulate;
        overrides
    }
}

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
    /// Where to listen (default: 127.0.0.1:8000)
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// `chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What to ask
    pub prompt: String,
    /// The task: reasoning, coding or agentic
    #[arg(long)]
    pub task: Option<String>,
    /// A model instead of the gateway's choice
    #[arg(long)]
    pub model: Option<String>,
    /// The least quality on the task's index
    #[arg(long, value_name = "Q", allow_negative_numbers = true, value_parser = quality)]
    pub min_quality: Option<f64>,
    /// The most it may be expected to cost, in US dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = dollars)]
    pub max_cost: Option<Decimal>,
    /// How to order what qualifies: cheapest
    #[arg(long)]
    pub strategy: Option<String>,
    /// Let free variants qualify
    #[arg(long)]
    pub allow_free: bool,
    /// The most tokens the answer may have
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u64>,
    /// Tell how the model was chosen
    #[arg(long)]
    pub explain: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `best-model`.
#[derive(Debug, Args)]
pub struct BestModelArgs {
    /// The task: reasoning, coding or agentic
    pub task: String,
    /// The least quality on the task's index
    #[arg(long, value_name = "Q", allow_negative_numbers = true, value_parser = quality)]
    pub min_quality: Option<f64>,
    /// Abilities it must have, such as tools,vision,json-schema
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub needs: Vec<String>,
    /// Tokens of context it must hold
    #[arg(long, value_name = "N")]
    pub context: Option<u64>,
    /// The most it may cost per million tokens, prompt and completion each, in US dollars
    #[arg(long, value_name = "USD_PER_M", allow_negative_numbers = true, value_parser = dollars)]
    pub max_price: Option<Decimal>,
    /// How to order what qualifies: cheapest
    #[arg(long)]
    pub strategy: Option<String>,
    /// Let free variants qualify
    #[arg(long)]
    pub allow_free: bool,
    /// Tokens of the prompt whose cost is compared
    #[arg(long, value_name = "N")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer whose cost is compared
    #[arg(long, value_name = "N")]
    pub completion_tokens: Option<u64>,
    /// Show every model that was refused, with its reason
    #[arg(long)]
    pub explain: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// How `models` orders its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// By expected cost of the same request, cheapest first.
    Price,
    /// By the task's quality index, best first.
    Quality,
    /// By measured time to the first token.
    Latency,
}

/// `models`.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// The task whose quality is shown
    #[arg(long)]
    pub task: Option<String>,
    /// The order
    #[arg(long, value_enum)]
    pub sort: Option<Sort>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `price`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("rates_of").required(true).args(["model", "rates"]))]
pub struct PriceArgs {
    /// A file with a usage object, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub usage: String,
    /// The model whose prices apply
    #[arg(long)]
    pub model: Option<String>,
    /// A file with a pricing object, overrides included
    #[arg(long, value_name = "FILE")]
    pub rates: Option<PathBuf>,
    /// The instant whose prices apply, as 2026-08-22T12:00:00Z (default: now)
    #[arg(long, value_name = "RFC3339")]
    pub at: Option<String>,
    /// A catalogue file instead of the one shipped
    #[arg(long, value_name = "FILE", conflicts_with = "rates")]
    pub prices: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Since when, as 2026-08-22 or 2026-08-22T12:00:00Z (default: 24 hours ago)
    #[arg(long, value_name = "T")]
    pub since: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// One integration, such as openrouter (default: all)
    pub id: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}
