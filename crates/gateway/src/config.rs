//! What the gateway is told: the command line before the environment before `waypost.toml` before the defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use costing::budget::{BudgetConfig, BudgetRules, CallerConfig, HoldPolicy};
use costing::reconcile::SampleRate;
use costing::{Caller, Markup, MarkupConfig, MarkupRules, Pico};
use experiments::Holdout;
use http_transport::Timeouts;
use integration_core::{ModelPattern, Secret};
use model_catalogue::Catalogue;
use rate_limits::{Account, LimitRules, Limits, openrouter_free_tier};
use routing::{
    BreakerConfig, Evaluation, FactBook, Facts, FallbackClass, HedgePolicy, RetryBudgetConfig, Strategy,
    Task, read_evaluations, strategy,
};
use serde::Deserialize;
use store_sqlite::Durability;

use crate::callers::Callers;
use crate::cli::WrongUsage;
use crate::environment::Environment;
use crate::experiment::{ExperimentSettings, MirrorConfig, MirrorSettings};
use crate::learned::{LearnedConfig, LearnedSettings};
use crate::restraint::{BreakerSettings, RetryBudgetSettings, timeouts};

/// The model name that asks the gateway to choose.
pub const AUTO: &str = "waypost/auto";

/// What stands for every call in `[fallback.…]` that has no chain of its own there.
pub const ANY: &str = "*";

/// The file `waypost.toml`. Every key may be left out; an unknown key is an error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConfigFile {
    /// Where to listen, `127.0.0.1:8000` if absent.
    pub listen: Option<String>,
    /// Where the ledger is kept, `waypost-data` if absent.
    pub data_dir: Option<PathBuf>,
    /// The base URL of OpenRouter or of something that speaks like it.
    pub base_url: Option<String>,
    /// The markup on every cost, in basis points; 1000 (10 %) if absent.
    pub markup_bps: Option<u32>,
    /// Names of the caller's own for models: `fast = "openai/gpt-4o-mini"`.
    pub aliases: BTreeMap<String, String>,
    /// What to try after a model that a caller names: `"openai/gpt-4o" = ["anthropic/claude-sonnet-5"]`.
    pub fallbacks: BTreeMap<String, Vec<String>>,
    /// What to try instead after a failure of one class, `[fallback.context_too_long]`: by the model that a caller names,
    /// `waypost/auto`, or `*` for every other call. The classes are those of [`FallbackClass`].
    pub fallback: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// How `waypost/auto` chooses where the request does not say.
    pub routing: RoutingConfig,
    /// What the catalogue does not say of models, `[[deployment]]`. The first entry that means a model counts.
    pub deployment: Vec<DeploymentConfig>,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Rate limits of models, `[[rate_limit]]`. The first entry that matches a model counts, those for one model or one variant
    /// before OpenRouter's own limits of free variants, the others after them. Without one, only what the provider tells counts.
    pub rate_limit: Vec<RateLimitConfig>,
    /// Who may call, `[[caller]]`: which bearer token is whose. Without one everything is the caller `local`.
    pub caller: Vec<CallerConfig>,
    /// What may be spent, `[[budget]]`.
    pub budget: Vec<BudgetConfig>,
    /// What is added to the costs of one key, team, model or provider, `[[markup]]`, instead of `markup_bps`.
    pub markup: Vec<MarkupConfig>,
    /// How costs are kept and made certain.
    pub costs: CostsConfig,
    /// What is compared on the calls of callers, `[[experiment]]`: the keys of [`experiments::Experiment`], `window`, `plan`, and in
    /// each arm those of [`ArmSettings`](crate::experiment::ArmSettings).
    pub experiment: Vec<toml::Table>,
    /// Who is kept out of experiments, `[[holdout]]`.
    pub holdout: Vec<Holdout>,
    /// Whose calls are sent to a second model as well, whose answers nobody waits for, `[[mirror]]`.
    pub mirror: Vec<MirrorConfig>,
    /// Policies that were learnt from outcomes, `[[learned]]`.
    pub learned: Vec<LearnedConfig>,
    /// The simulated upstream that is used until there is a key.
    pub simulator: SimulatorSettings,
}

/// How `waypost/auto` chooses where the request does not say.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RoutingConfig {
    /// The task of every request that names none, by which quality is measured. If absent it is guessed from the request, and is
    /// `reasoning` where the guess is not sure enough.
    pub task: Option<String>,
    /// The least quality, on the task's index; 40 for `waypost/auto` if absent.
    pub min_quality: Option<f64>,
    /// How sure that quality must be, from 0.5 to less than 1; absent: the expected quality counts.
    pub confidence: Option<f64>,
    /// How what qualifies is ordered: `cheapest`, `lowest-latency`, `weighted-utility:cost=1,quality=1,latency=0.5` and so on.
    pub strategy: String,
    /// A file of evaluations of one's own, one JSON object a line: `{"model", "task", "score", "n", "sd"?}`.
    pub evaluations: Option<PathBuf>,
    /// When a second model is asked beside the first, `[routing.hedge]`; absent: never. Both may have to be paid for.
    pub hedge: Option<HedgeConfig>,
    /// When a deployment is left alone after failures of its own, `[routing.breaker]`.
    pub breaker: BreakerSettings,
    /// How many extra attempts there may be for failures of load, `[routing.retry_budget]`.
    pub retry_budget: RetryBudgetSettings,
}

/// When a second model is asked beside the first.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// How long the first may let wait for its first text, or for the whole of an answer in one piece: `2s`, `800ms`.
    pub after: String,
    /// The most second models per call, over all calls of ten seconds: above 0, at most 1. 0.05 if absent.
    pub share: Option<f64>,
}

impl HedgeConfig {
    fn policy(&self) -> anyhow::Result<HedgePolicy> {
        let after = self.after.parse::<jiff::SignedDuration>().ok();
        let after = after.and_then(|after| Duration::try_from(after).ok());
        let Some(after) = after.filter(|after| !after.is_zero()) else {
            bail!(
                "routing.hedge.after is '{}'; it must be a time above 0, such as 2s or 800ms",
                self.after
            );
        };
        let policy = HedgePolicy::new(after);
        match self.share {
            None => Ok(policy),
            Some(share) if share > 0.0 && share <= 1.0 => Ok(policy.with_share(share)),
            Some(share) => bail!("routing.hedge.share is {share}; it must be above 0 and at most 1"),
        }
    }
}

/// What the operator says of the models that a pattern means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DeploymentConfig {
    /// Which models: `author/model`, `author/*`, `*:variant` or `*`.
    pub model: String,
    /// What they promise of the data they are sent: `no-training` or `no-retention`.
    pub data_policy: Option<String>,
    /// Where they serve, in one's own words, such as `eu`.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Their share in random draws against those of the others, above 0; 1 if absent.
    pub weight: Option<f64>,
}

impl DeploymentConfig {
    fn book(entries: &[Self]) -> anyhow::Result<FactBook> {
        let mut book = FactBook::new();
        for entry in entries {
            let mut facts = Facts::default();
            let of = || format!("the [[deployment]] for '{}'", entry.model);
            if let Some(word) = &entry.data_policy {
                facts = facts.with_data_policy(word.parse().with_context(of)?);
            }
            for region in &entry.regions {
                facts = facts.with_region(region);
            }
            if let Some(weight) = entry.weight {
                if !(weight.is_finite() && weight > 0.0) {
                    bail!("{} has a weight that is not above 0", of());
                }
                facts = facts.with_weight(weight);
            }
            book = book.with(entry.model.parse().with_context(of)?, facts);
        }
        Ok(book)
    }
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            task: None,
            min_quality: None,
            confidence: None,
            strategy: "cheapest".to_owned(),
            evaluations: None,
            hedge: None,
            breaker: BreakerSettings::default(),
            retry_budget: RetryBudgetSettings::default(),
        }
    }
}

impl RoutingConfig {
    /// The least quality of `waypost/auto` where the configuration names none.
    pub const MIN_QUALITY: f64 = 40.0;

    fn evaluations(&self) -> anyhow::Result<Vec<Evaluation>> {
        let Some(path) = &self.evaluations else {
            return Ok(Vec::new());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("routing.evaluations: {} cannot be read", path.display()))?;
        read_evaluations(&text).with_context(|| format!("routing.evaluations: {}", path.display()))
    }
}

/// How costs are kept and made certain.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CostsConfig {
    /// What an entry of the ledger survives once it is acknowledged: `power`, a power cut, or `process`, the death of the process
    /// alone, which is faster.
    pub durability: String,
    /// Of an answer that may be of any length, so many tokens are held against budgets until the usual length of the model's
    /// answers is known.
    pub hold_completion_tokens: u64,
    /// The most that is held for one call, in US dollars as a string; without it, the whole of what the usual answer takes.
    pub hold_most_usd: Option<String>,
    /// Of a million calls whose cost the provider has stated, so many are asked for once more, to see that it still says the same.
    pub sample_per_million: u32,
}

impl Default for CostsConfig {
    fn default() -> Self {
        Self {
            durability: "power".to_owned(),
            hold_completion_tokens: 4_096,
            hold_most_usd: None,
            sample_per_million: 10_000,
        }
    }
}

impl CostsConfig {
    fn durability(&self) -> anyhow::Result<Durability> {
        match self.durability.as_str() {
            "power" => Ok(Durability::Power),
            "process" => Ok(Durability::Process),
            other => bail!("costs.durability is '{other}'; there are power and process"),
        }
    }

    fn hold(&self) -> anyhow::Result<HoldPolicy> {
        let policy = HoldPolicy::DEFAULT;
        let Some(text) = &self.hold_most_usd else {
            return Ok(policy);
        };
        let most: Pico = text
            .parse()
            .with_context(|| format!("costs.hold_most_usd is '{text}'"))?;
        if most < Pico::ZERO {
            bail!("costs.hold_most_usd is below zero");
        }
        Ok(policy.with_most(most))
    }
}

/// The rate limits of the models a pattern matches. What is absent is not limited.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimitConfig {
    /// Which models: `author/model`, `author/*`, `*:variant` or `*`.
    pub model: String,
    /// A name under which all these models are counted together; without it each is counted by itself.
    pub shared: Option<String>,
    /// The most requests begun in any 60 seconds.
    pub requests_per_minute: Option<u32>,
    /// The most tokens in any 60 seconds, prompt and completion together.
    pub tokens_per_minute: Option<u64>,
    /// The most requests in one UTC day.
    pub requests_per_day: Option<u32>,
    /// The most calls under way at once.
    pub concurrency: Option<u32>,
}

/// Bounds on one call and on the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// The most models tried for one call.
    pub max_attempts: u16,
    /// How often one call may ask a model again that failed, after all others were asked.
    pub retries: u16,
    /// How long one call may take in all, in seconds.
    pub call_seconds: u64,
    /// How long an attempt may wait for the head of its answer, in seconds. For an answer in one piece that is often all of it.
    pub first_byte_seconds: u64,
    /// How long an attempt may wait for the first content of its answer, in seconds from its start.
    pub first_content_seconds: u64,
    /// How long an answer that has begun may pause, in seconds.
    pub idle_seconds: u64,
    /// How long a call waits for room in the rate limits of its last model, in seconds. At the models before it nobody waits.
    pub wait_seconds: u64,
    /// How long running answers may go on once the gateway is told to stop, in seconds.
    pub drain_seconds: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 * 1024 * 1024,
            max_attempts: 4,
            retries: 1,
            call_seconds: 600,
            first_byte_seconds: 120,
            first_content_seconds: 300,
            idle_seconds: 90,
            wait_seconds: 10,
            drain_seconds: 30,
        }
    }
}

/// The simulated upstream.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SimulatorSettings {
    /// The seed of its answers.
    pub seed: u64,
    /// A scenario file with its failures.
    pub scenario: Option<PathBuf>,
    /// Whether it answers at once instead of at a real model's pace.
    pub instant: bool,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            scenario: None,
            instant: false,
        }
    }
}

/// What the command line says; what is `None` is left to the environment, the file and the defaults.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Overrides {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--simulate`.
    pub simulate: bool,
    /// Whether nobody will be let in: a command that serves nobody needs nobody's token.
    pub serves_nobody: bool,
}

/// Chains for classes of failures: by the model that a caller names, [`AUTO`], or [`ANY`].
pub type ClassFallbacks = BTreeMap<FallbackClass, BTreeMap<String, Vec<String>>>;

/// Everything resolved.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the ledger is kept.
    pub data_dir: PathBuf,
    /// The base URL of the provider; its own default if `None`.
    pub base_url: Option<String>,
    /// The provider's key; `None` in simulated mode.
    pub api_key: Option<Secret>,
    /// The key that needs a management key at the provider: it tells what was spent by day, and cannot be called with.
    pub management_key: Option<Secret>,
    /// The tokens that callers present; without any everybody on this machine is let in.
    pub callers: Callers,
    /// The models that have a markup of their own.
    marked_up: Vec<String>,
    /// What is added to costs.
    pub markups: Arc<MarkupRules>,
    /// What may be spent.
    pub budgets: Arc<BudgetRules>,
    /// How much is held of a budget while a call runs.
    pub hold: HoldPolicy,
    /// How long an answer is taken to be until its model's usual length is known, in tokens.
    pub usual_completion: u64,
    /// Which of the stated costs are asked for once more.
    pub sample: SampleRate,
    /// What an acknowledged entry of the ledger survives.
    pub durability: Durability,
    /// The caller's own names for models.
    pub aliases: BTreeMap<String, String>,
    /// What to try after a named model.
    pub fallbacks: BTreeMap<String, Vec<String>>,
    /// What to try after a failure of a class.
    pub class_fallbacks: ClassFallbacks,
    /// When a second model is asked beside the first.
    pub hedge: Option<HedgePolicy>,
    /// When a deployment is left alone after failures of its own.
    pub breaker: BreakerConfig,
    /// How many extra attempts there may be for failures of load.
    pub retry_budget: RetryBudgetConfig,
    /// How long a provider may be silent.
    pub timeouts: Timeouts,
    /// The task of requests that name none, unless it is guessed.
    pub task: Task,
    /// Whether a request that names no task has it guessed.
    pub guess_task: bool,
    /// The least quality of `waypost/auto`.
    pub min_quality: f64,
    /// The least quality that the configuration names, which holds for the best model too.
    pub asked_quality: Option<f64>,
    /// How sure it must be.
    pub confidence: Option<f64>,
    /// How `waypost/auto` orders what qualifies.
    pub strategy: Arc<dyn Strategy>,
    /// Evaluations of one's own.
    pub evaluations: Vec<Evaluation>,
    /// What the operator says of models.
    pub facts: FactBook,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Rate limits of models.
    pub rate_limits: LimitRules,
    /// What is compared on the calls of callers.
    pub experiments: Arc<ExperimentSettings>,
    /// Whose calls are sent to a second model as well.
    pub mirrors: Vec<MirrorSettings>,
    /// Policies that were learnt from outcomes.
    pub(crate) learned: Vec<LearnedSettings>,
    /// The simulated upstream.
    pub simulator: SimulatorSettings,
    /// Whether the simulator was asked for, key or no key.
    pub simulate: bool,
    /// Whether this is a command, and no server.
    pub serves_nobody: bool,
    /// How the provider is to see us.
    pub app: (Option<String>, Option<String>),
}

impl Settings {
    /// Resolves everything.
    ///
    /// # Errors
    /// One sentence that names the setting, where it came from, and what it may be.
    pub fn resolve(overrides: &Overrides, env: &Environment) -> anyhow::Result<Self> {
        for name in ["DATABASE_URL", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            if env.get(name).is_some() {
                return Err(
                    WrongUsage(format!("{name} is a reserved name and not built yet; unset it")).into(),
                );
            }
        }
        let file = ConfigFile::find(overrides.config.as_deref(), env)?;
        let markups = MarkupConfig::rules(&file.markup, file.markup_bps.map(Markup::from_bps))
            .context("a [[markup]] of the configuration cannot be used")?;
        let budgets =
            BudgetConfig::rules(&file.budget).context("a [[budget]] of the configuration cannot be used")?;
        file.check_names()?;
        let listen = overrides
            .listen
            .clone()
            .or_else(|| env.get("WAYPOST_LISTEN"))
            .or(file.listen)
            .unwrap_or_else(|| "127.0.0.1:8000".to_owned());
        let listen: SocketAddr = listen
            .replace("localhost:", "127.0.0.1:")
            .parse()
            .with_context(|| {
                format!("'{listen}' is not an address to listen on; give one like 127.0.0.1:8000")
            })?;
        let data_dir = overrides
            .data_dir
            .clone()
            .or_else(|| env.get("WAYPOST_DATA_DIR").map(PathBuf::from))
            .or(file.data_dir)
            .unwrap_or_else(|| PathBuf::from("waypost-data"));
        let secret = |name: &str| -> anyhow::Result<Option<Secret>> {
            env.get(name)
                .map(|value| Secret::new(value).with_context(|| format!("{name} is not usable")))
                .transpose()
        };
        let api_key = if overrides.simulate {
            None
        } else {
            secret("OPENROUTER_API_KEY")?
        };
        let management_key = if overrides.simulate {
            None
        } else {
            secret("OPENROUTER_MANAGEMENT_KEY")?
        };
        let admin_key = secret("WAYPOST_ADMIN_KEY")?;
        let asked_quality = file.routing.min_quality;
        if asked_quality.is_some_and(|quality| !quality.is_finite()) {
            bail!("routing.min_quality must be a number");
        }
        if file
            .routing
            .confidence
            .is_some_and(|sure| !(0.5..1.0).contains(&sure))
        {
            bail!("routing.confidence must be at least 0.5 and less than 1");
        }
        if file.limits.max_attempts == 0 || file.limits.call_seconds == 0 || file.limits.max_body_bytes == 0 {
            bail!("limits.max_attempts, limits.call_seconds and limits.max_body_bytes must be at least 1");
        }
        Ok(Self {
            listen,
            data_dir,
            base_url: env.get("OPENROUTER_BASE_URL").or(file.base_url),
            api_key,
            management_key,
            callers: if overrides.serves_nobody {
                Callers::default()
            } else {
                Callers::resolve(&file.caller, admin_key.as_ref(), env)?
            },
            marked_up: file
                .markup
                .iter()
                .filter_map(|entry| entry.model.clone())
                .collect(),
            markups: Arc::new(markups),
            budgets: Arc::new(budgets),
            hold: file.costs.hold()?,
            usual_completion: file.costs.hold_completion_tokens,
            // Every store chooses the same ones.
            sample: SampleRate::per_million(file.costs.sample_per_million, 0),
            durability: file.costs.durability()?,
            aliases: file.aliases,
            fallbacks: file.fallbacks,
            class_fallbacks: class_fallbacks(file.fallback)?,
            hedge: file.routing.hedge.as_ref().map(HedgeConfig::policy).transpose()?,
            breaker: file.routing.breaker.breaker()?,
            retry_budget: file.routing.retry_budget.budget()?,
            timeouts: timeouts(&file.limits)?,
            guess_task: file.routing.task.is_none(),
            task: match &file.routing.task {
                None => Task::Reasoning,
                Some(task) => task
                    .parse()
                    .context("routing.task of the configuration is unknown")?,
            },
            min_quality: asked_quality.unwrap_or(RoutingConfig::MIN_QUALITY),
            asked_quality,
            confidence: file.routing.confidence,
            strategy: strategy(&file.routing.strategy)
                .context("routing.strategy of the configuration is unknown")?,
            evaluations: file.routing.evaluations()?,
            facts: DeploymentConfig::book(&file.deployment)?,
            rate_limits: rate_limits(&file.rate_limit)?,
            limits: file.limits,
            experiments: Arc::new(ExperimentSettings::read(file.experiment, file.holdout)?),
            mirrors: MirrorSettings::read(file.mirror)?,
            learned: LearnedSettings::read(file.learned)?,
            simulator: file.simulator,
            simulate: overrides.simulate,
            serves_nobody: overrides.serves_nobody,
            app: (env.get("OPENROUTER_APP_NAME"), env.get("OPENROUTER_SITE_URL")),
        })
    }

    /// Whether it is safe to listen where the settings say.
    ///
    /// # Errors
    /// If other machines could call and no token is needed.
    pub fn check_listen(&self) -> anyhow::Result<()> {
        if self.callers.is_open() && !self.listen.ip().is_loopback() {
            bail!(
                "{} can be reached from other machines and no key is set; set WAYPOST_ADMIN_KEY (callers then send it as \
                 their API key), name callers with [[caller]], or listen on 127.0.0.1",
                self.listen
            );
        }
        Ok(())
    }

    /// Whether answers come from the simulator in this process, because there is no key or nobody wants it used.
    pub fn is_simulated(&self) -> bool {
        self.api_key.is_none()
    }

    /// How long one call may take in all.
    pub fn call_deadline(&self) -> Duration {
        Duration::from_secs(self.limits.call_seconds)
    }

    /// Holds aliases, fallbacks and markups against the catalogue, so that a typing error shows at the start and not at a call.
    ///
    /// # Errors
    /// Names the first entry that points nowhere.
    pub fn check_models(&self, catalogue: &Catalogue) -> anyhow::Result<()> {
        for (alias, model) in &self.aliases {
            if alias == AUTO {
                bail!("the alias '{AUTO}' is taken: it asks the gateway to choose");
            }
            if catalogue.resolve(model).is_none() && !self.is_learned(model) {
                bail!(
                    "the alias '{alias}' points to '{model}', which is not in the catalogue; `waypost models` lists it"
                );
            }
        }
        for model in &self.marked_up {
            let listed = catalogue.resolve(model).map(|record| record.id.as_str());
            match listed {
                Some(listed) if listed == model => {}
                Some(listed) => bail!(
                    "the [[markup]] for '{model}' would never hold: the catalogue lists it as '{listed}'"
                ),
                None => bail!(
                    "the [[markup]] for '{model}' names a model that is not in the catalogue; `waypost models` lists it"
                ),
            }
        }
        let resolved = |name: &str| self.aliases.get(name).map_or(name.to_owned(), String::clone);
        let exists = |name: &str| catalogue.resolve(&resolved(name)).is_some();
        // A learned policy may fall back to something, and is nothing that may be fallen back to.
        let heads = |name: &&String| !self.is_learned(&resolved(name));
        for (model, chain) in &self.fallbacks {
            for name in Some(model).filter(heads).into_iter().chain(chain) {
                if !exists(name) {
                    bail!(
                        "the fallbacks of '{model}' name '{name}', which is not in the catalogue; `waypost models` lists it"
                    );
                }
            }
        }
        for (class, chains) in &self.class_fallbacks {
            for (model, chain) in chains {
                let named = Some(model).filter(|model| ![AUTO, ANY].contains(&model.as_str()));
                let named = named.filter(heads);
                for name in named.into_iter().chain(chain) {
                    if !exists(name) {
                        bail!(
                            "[fallback.{class}] of '{model}' names '{name}', which is not in the catalogue; `waypost models` lists it"
                        );
                    }
                }
            }
        }
        for mirror in &self.mirrors {
            mirror.check_models(catalogue, |name| self.aliases.get(name).cloned())?;
        }
        self.experiments
            .check_models(catalogue, exists, |name| self.is_learned(&resolved(name)))
    }

    /// The entry of the learned policy that a model's name stands for.
    pub(crate) fn learned_of(&self, model: &str) -> Option<&LearnedSettings> {
        self.learned.iter().find(|entry| entry.model() == model)
    }

    fn is_learned(&self, model: &str) -> bool {
        self.learned_of(model).is_some()
    }
}

/// The chains for classes of failures.
fn class_fallbacks(
    tables: BTreeMap<String, BTreeMap<String, Vec<String>>>,
) -> anyhow::Result<ClassFallbacks> {
    let mut found = BTreeMap::new();
    for (word, chains) in tables {
        let Ok(class) = word.parse::<FallbackClass>() else {
            let all = FallbackClass::ALL.map(FallbackClass::as_str).join(", ");
            bail!("[fallback.{word}] is for no class of failures; there are {all}");
        };
        if let Some((model, _)) = chains.iter().find(|(_, chain)| chain.is_empty()) {
            bail!("[fallback.{class}] of '{model}' names no model");
        }
        found.insert(class, chains);
    }
    Ok(found)
}

/// The rules of the configuration, and after them what OpenRouter says of its free variants.
fn rate_limits(entries: &[RateLimitConfig]) -> anyhow::Result<LimitRules> {
    // A rule for one model or one variant says more than what is built in for free variants; one for all models says less.
    let (mut closer, mut wider) = (LimitRules::new(), LimitRules::new());
    for entry in entries {
        let pattern: ModelPattern = entry
            .model
            .parse()
            .context("a `model` of the configuration's [[rate_limit]] cannot be used")?;
        let mut limits = Limits::none();
        limits.requests_per_minute = entry.requests_per_minute;
        limits.tokens_per_minute = entry.tokens_per_minute;
        limits.requests_per_day = entry.requests_per_day;
        limits.concurrency = entry.concurrency;
        if limits.is_none() {
            bail!(
                "the configuration's [[rate_limit]] for '{}' limits nothing; set requests_per_minute, tokens_per_minute, \
                 requests_per_day or concurrency",
                entry.model
            );
        }
        let rules = match pattern {
            ModelPattern::Exact(_) | ModelPattern::Variant(_) => &mut closer,
            _ => &mut wider,
        };
        *rules = match &entry.shared {
            Some(name) => std::mem::take(rules).with_shared(pattern, name, limits),
            None => std::mem::take(rules).with(pattern, limits),
        };
    }
    Ok(closer.then(openrouter_free_tier(Account::Unknown)).then(wider))
}

impl ConfigFile {
    /// Holds the names of budgets and markups against those of callers: one that nobody has would limit nobody.
    fn check_names(&self) -> anyhow::Result<()> {
        let callers = || self.caller.iter();
        let known = |kind: &str, name: &str| match kind {
            "key" => name == Caller::LOCAL || callers().any(|caller| caller.key == name),
            "team" => callers().any(|caller| caller.team.as_deref() == Some(name)),
            "project" => callers().any(|caller| caller.project.as_deref() == Some(name)),
            _ => true,
        };
        let budgets = self.budget.iter().flat_map(|entry| {
            let of_key = entry.key.as_deref().map(|key| ("key", key));
            let named = entry.name.as_deref().filter(|name| *name != "*");
            [of_key, named.map(|name| (entry.scope.as_str(), name))].map(|named| ("budget", named))
        });
        let markups = self.markup.iter().flat_map(|entry| {
            let key = entry.key.as_deref().map(|key| ("key", key));
            let team = entry.team.as_deref().map(|team| ("team", team));
            [key, team].map(|named| ("markup", named))
        });
        for (list, named) in budgets.chain(markups) {
            if let Some((kind, name)) = named
                && !known(kind, name)
            {
                bail!("a [[{list}]] is for the {kind} '{name}', which no [[caller]] has");
            }
        }
        Ok(())
    }

    fn find(explicit: Option<&Path>, env: &Environment) -> anyhow::Result<Self> {
        let named = explicit
            .map(Path::to_owned)
            .or_else(|| env.get("WAYPOST_CONFIG").map(PathBuf::from));
        match named {
            Some(path) => Self::read(&path),
            None if Path::new("waypost.toml").exists() => Self::read(Path::new("waypost.toml")),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
        toml::from_str(&text).with_context(|| format!("the configuration {} is not valid", path.display()))
    }
}
