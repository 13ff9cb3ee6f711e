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
    /// Ask several models the same and show what came: answers, costs, times, checks, verdicts
    Compare(CompareArgs),
    /// Say which model to use for a task right now, and why
    BestModel(BestModelArgs),
    /// List the models with their abilities, prices and quality
    Models(ModelsArgs),
    /// Price a usage record to the last digit, bucket by bucket
    Price(PriceArgs),
    /// Ask the provider for costs that are missing or not certain, and compare whole days with its books
    Reconcile(ReconcileArgs),
    /// Say what was spent, and what could have been spent instead
    Report(Box<ReportArgs>),
    /// List experiments, and say what came of one and what to do
    Experiment(Box<ExperimentArgs>),
    /// Say what a routing policy would have cost and scored on logged traffic
    Replay(ReplayArgs),
    /// Try routing policies on simulated traffic: cost, quality, latency and success, from a seed, without asking any model
    Simulate(SimulateArgs),
    /// Say what callers thought of answers, as lines that `train` learns from
    Outcomes(OutcomesArgs),
    /// Learn from outcomes which model answers which prompt well enough
    Train(TrainArgs),
    /// Prove on labelled prompts that routing loses no more than promised, and say what it saves
    #[command(after_help = CERTIFY_HELP)]
    Certify(CertifyArgs),
    /// Measure how good routing is on outcomes: curves, savings, intervals
    Evaluate(EvaluateArgs),
    /// Learn when the answer of a cheap model is good enough, and say what asking it first saves
    #[command(after_help = CASCADE_HELP)]
    Cascade(CascadeArgs),
    /// Check that everything in the ledger adds up
    Verify(VerifyArgs),
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
        overrides.serves_nobody = true;
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
    /// The task: reasoning, coding, agentic, chat, summarise, extract, translate or vision
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

/// `compare`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("asked").required(true).args(["prompt", "prompts"]))]
pub struct CompareArgs {
    /// What to ask
    pub prompt: Option<String>,
    /// A file of prompts instead, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// The models to be compared, two at least
    #[arg(long, value_delimiter = ',', value_name = "LIST", required = true)]
    pub models: Vec<String>,
    /// The model each other is held against, prompt by prompt (default: the first of them)
    #[arg(long, value_name = "MODEL")]
    pub baseline: Option<String>,
    /// A model that says which of two answers is better; none of those compared
    #[arg(long, value_name = "MODEL")]
    pub judge: Option<String>,
    /// How many calls run at once, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// The most each call may be expected to cost, in US dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = dollars)]
    pub max_cost: Option<Decimal>,
    /// The most tokens each answer may have
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u64>,
    /// A new file for what came of each prompt whose answers are checked, as lines that `train` learns from
    #[arg(long, value_name = "FILE")]
    pub outcomes: Option<PathBuf>,
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
    /// The task: reasoning, coding, agentic, chat, summarise, extract, translate or vision
    pub task: String,
    /// The least quality on the task's index
    #[arg(long, value_name = "Q", allow_negative_numbers = true, value_parser = quality)]
    pub min_quality: Option<f64>,
    /// How sure its quality must be, from 0.5 to below 1
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = quality)]
    pub confidence: Option<f64>,
    /// Abilities it must have, such as tools,vision,json-schema
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub needs: Vec<String>,
    /// What must be promised of the data: no-training or no-retention
    #[arg(long, value_name = "POLICY")]
    pub data_policy: Option<String>,
    /// Where the data must stay, as a deployment of the configuration names it, such as eu
    #[arg(long)]
    pub region: Option<String>,
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
    /// By the median time to the first text of the answers in the ledger, quickest first.
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

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// One line for each: model, provider, upstream, key, team, project, task, tag, experiment, day or hour (default: model)
    #[arg(long, value_name = "KIND")]
    pub by: Option<String>,
    /// The first second, as 2026-11-01 or 2026-11-01T10:00:00Z (default: the first of this month, in UTC)
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// The first second after it, written likewise (default: the first of next month, in UTC)
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// How it is written: table, markdown, csv, json, html or focus (default: table)
    #[arg(long)]
    pub format: Option<String>,
    /// The version of the format focus: 1.2 or 1.3 (default: 1.2)
    #[arg(long, value_name = "VERSION")]
    pub focus: Option<String>,
    /// A new file to write to; what exists is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// At most so many lines, and one for the rest
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub top: Option<String>,
    /// The model that savings are held against, or none (default: the best one for the task of the configuration)
    #[arg(long, value_name = "MODEL")]
    pub baseline: Option<String>,
    /// Only this model, exactly; like all filters it may be there several times
    #[arg(long)]
    pub model: Vec<String>,
    /// Only this provider
    #[arg(long)]
    pub provider: Vec<String>,
    /// Only what this upstream served
    #[arg(long)]
    pub upstream: Vec<String>,
    /// Only this caller's key, by name
    #[arg(long)]
    pub key: Vec<String>,
    /// Only this team
    #[arg(long)]
    pub team: Vec<String>,
    /// Only this project
    #[arg(long)]
    pub project: Vec<String>,
    /// Only this task
    #[arg(long)]
    pub task: Vec<String>,
    /// Only with this tag, of which there may be one
    #[arg(long)]
    pub tag: Vec<String>,
    /// Only this arm of an experiment, as experiment=arm
    #[arg(long, value_name = "ARM")]
    pub experiment: Vec<String>,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["format", "focus"])]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

impl ReportArgs {
    /// What is asked for, in the words of the HTTP route.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        let once = [
            ("by", &self.by),
            ("from", &self.from),
            ("to", &self.to),
            ("format", &self.format),
            ("focus", &self.focus),
            ("top", &self.top),
            ("baseline", &self.baseline),
        ];
        let filters = [
            ("model", &self.model),
            ("provider", &self.provider),
            ("upstream", &self.upstream),
            ("key", &self.key),
            ("team", &self.team),
            ("project", &self.project),
            ("task", &self.task),
            ("tag", &self.tag),
            ("experiment", &self.experiment),
        ];
        let once = once
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let filters = filters
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value.as_str())));
        once.chain(filters)
    }
}

/// `experiment`.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// What is to be done.
    #[command(subcommand)]
    pub command: ExperimentCommand,
}

/// What can be done with experiments.
#[derive(Debug, Subcommand)]
pub enum ExperimentCommand {
    /// The experiments of the configuration
    List(ExperimentListArgs),
    /// One of them: its arms, what its plan needs, and what came of it so far
    Show(ExperimentOneArgs),
    /// What came of one, or of units in a file, and what to do
    Analyse(ExperimentAnalyseArgs),
    /// The units of one as lines of JSON, from which `analyse --input` says the same
    Export(ExperimentExportArgs),
    /// What came of the calls that were sent to a second model as well
    Mirrors(ExperimentMirrorsArgs),
}

/// `experiment mirrors`.
#[derive(Debug, Args)]
pub struct ExperimentMirrorsArgs {
    /// Only this one of the configuration
    pub key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `experiment list`.
#[derive(Debug, Args)]
pub struct ExperimentListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `experiment show`.
#[derive(Debug, Args)]
pub struct ExperimentOneArgs {
    /// Its key
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// How an analysis is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExperimentFormat {
    /// For a terminal.
    Text,
    /// For programs.
    Json,
    /// A page with the intervals over time.
    Html,
}

/// `experiment analyse`.
#[derive(Debug, Args)]
pub struct ExperimentAnalyseArgs {
    /// The key of an experiment of the configuration
    #[arg(conflicts_with_all = ["input", "plan"], required_unless_present = "input")]
    pub name: Option<String>,
    /// A file of units instead: lines of JSON, or CSV if its name ends in .csv; - is standard input
    #[arg(long, value_name = "FILE", requires = "plan")]
    pub input: Option<PathBuf>,
    /// The plan by which they are analysed: the keys of [experiment.plan], and `arms` with their weights
    #[arg(long, value_name = "FILE", requires = "input")]
    pub plan: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: ExperimentFormat,
    /// A new file to write to; what exists is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `experiment export`.
#[derive(Debug, Args)]
pub struct ExperimentExportArgs {
    /// Its key
    pub name: String,
    /// A new file to write to; what exists is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The traffic with what came of it, one JSON object a line, plain or compressed by zstd
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// What would have chosen the models: a strategy such as cheapest, model:ID for one model, or learned:FILE@0.8 for the cheapest
    /// that a predictor of `train` takes to score 0.8
    #[arg(long, value_name = "POLICY")]
    pub policy: String,
    /// The model it is held against (default: what was chosen when it was logged, if that is known)
    #[arg(long, value_name = "MODEL")]
    pub baseline: Option<String>,
    /// The task of rows that name none of the gateway's
    #[arg(long)]
    pub task: Option<String>,
    /// The least quality on the task's index
    #[arg(long, value_name = "Q", allow_negative_numbers = true, value_parser = quality)]
    pub min_quality: Option<f64>,
    /// How sure that quality must be, from 0.5 to below 1
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = quality)]
    pub confidence: Option<f64>,
    /// The most a call may be expected to cost, in US dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = dollars)]
    pub max_cost: Option<Decimal>,
    /// Let free variants qualify
    #[arg(long)]
    pub allow_free: bool,
    /// Tokens of the answer whose cost is compared
    #[arg(long, value_name = "N")]
    pub completion_tokens: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// What happens: traffic, speeds, failures, outages, limits, prices (default: 10,000 requests on a day without trouble)
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// A policy: a strategy such as cheapest, with a least quality of its own as cheapest@60; model:ID for one model; or waypost/NAME for
    /// a learned policy of the configuration. It may be there several times; the others are held against the first
    #[arg(long, value_name = "POLICY")]
    pub policy: Vec<String>,
    /// How many requests come, 1 to 1,000,000
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// What everything left to chance is drawn from: the same seed, the same report
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// The task of requests whose kind names none
    #[arg(long)]
    pub task: Option<String>,
    /// The least quality on the task's index, of policies that name none
    #[arg(long, value_name = "Q", allow_negative_numbers = true, value_parser = quality)]
    pub min_quality: Option<f64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `outcomes`.
#[derive(Debug, Args)]
pub struct OutcomesArgs {
    /// Only answers to requests that began at this time or later, such as 2026-11-01 or 2026-11-01T09:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only answers to requests that began before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// A new file to write to; what exists is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Prompts with what came of them, one JSON object a line as `replay` reads it, plain or compressed by zstd; scores from 0 to 1
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// A new file for the predictor; what exists is never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The models (default: those with an outcome and its cost on 99 % of the prompts at the least)
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub models: Vec<String>,
    /// The strength of the penalty on weights, above 0: the higher, the closer predictions stay to the mean (default: 8)
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = quality)]
    pub penalty: Option<f64>,
    /// Learn from vectors of the prompts too, by this embedding model, such as openai/text-embedding-3-small: from `embedding` in the lines,
    /// otherwise asked for and paid. Predictions then take a call to it before each decision, if that helps clearly
    #[arg(long, value_name = "MODEL")]
    pub embeddings: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// What a certificate takes, beyond its options.
const CERTIFY_HELP: &str = "\
The prompts must be none of those that the predictor was trained on, and drawn like the traffic the promise is for. A tenth of them, \
chosen by a hash of their names, lays out the ladder of policies from safe to cheap, without a look at its scores; the other nine tenths \
are the labels that its rungs are tested on, one after the other. Exit code 0: certified; 1: not enough evidence; 2: wrong usage.";

/// `certify`.
#[derive(Debug, Args)]
pub struct CertifyArgs {
    /// Labelled prompts that the predictor was not trained on, written as for `train`
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// The file that `train` wrote
    #[arg(long, value_name = "FILE")]
    pub predictor: PathBuf,
    /// The most that the mean score may be below that of the model it is held against, above 0 and below 1
    #[arg(long, value_name = "X", default_value_t = 0.02, allow_negative_numbers = true, value_parser = quality)]
    pub max_loss: f64,
    /// How sure that must be, above 0.5 and below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.90, allow_negative_numbers = true, value_parser = quality)]
    pub confidence: f64,
    /// The model it is held against (default: the one that is predicted best)
    #[arg(long, value_name = "MODEL")]
    pub vs: Option<String>,
    /// One promise that holds for each tag, not on average alone
    #[arg(long, conflicts_with = "each_tag")]
    pub worst_tag: bool,
    /// A promise for each tag, from its own labels alone; the exit code is 0 if all of them are certified
    #[arg(long)]
    pub each_tag: bool,
    /// A new file for what was certified, as the JSON of --json; it is written if anything was
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Prompts with what came of them, written as for `train`
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// A file that `train` wrote from other prompts (default: five are trained, each on four fifths, to predict the other fifth)
    #[arg(long, value_name = "FILE")]
    pub predictor: Option<PathBuf>,
    /// The models, without a predictor (default: those with an outcome and its cost on 99 % of the prompts at the least)
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        conflicts_with = "predictor"
    )]
    pub models: Vec<String>,
    /// Two models between which routing is measured too (default: the two, if there are no more)
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub pair: Vec<String>,
    /// A new file for a page with the curves; what exists is never overwritten
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Learn from vectors of the prompts too, as `train` does (with a predictor: as it was trained)
    #[arg(long, value_name = "MODEL", conflicts_with = "predictor")]
    pub embeddings: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: PlaceArgs,
}

/// What a cascade takes, beyond its options.
const CASCADE_HELP: &str = "\
Each row has a score and a cost of both models, and the text of the cheap answer: {\"prompt\":…,\"outcomes\":{\"CHEAP\":{\"score\":1,\
\"cost_usd\":0.0001,\"answer\":\"…\"},\"DEAR\":{\"score\":1,\"cost_usd\":0.002}}}. A gateway serves the cascade as [[learned]] with \
`predictor` and `cascade`. Exit code 0: something is saved; 1: nothing is, and no file is written; 2: wrong usage.";

/// `cascade`.
#[derive(Debug, Args)]
pub struct CascadeArgs {
    /// Prompts with what came of them, written as for `train`, and with the cheap answers
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// The model that is asked first
    #[arg(long, value_name = "MODEL")]
    pub cheap: String,
    /// The model that is asked if the answer is not good enough
    #[arg(long, value_name = "MODEL")]
    pub dear: String,
    /// The share of the dear model's mean score that is kept, above 0 and at most 1
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, allow_negative_numbers = true, value_parser = quality)]
    pub keep: f64,
    /// A new file for the learned check; what exists is never overwritten
    #[arg(long, value_name = "FILE")]
    pub check: PathBuf,
    /// A new file for the cascade, as the JSON of --json
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
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
