//! The policy that is replayed: a strategy of the gateway's, or one model for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use costing::UtcTime;
use integration_core::chat::Message;
use integration_core::{ChatRequest, ModelId, ModelPattern};
use model_catalogue::Catalogue;
use routing::{OutcomeRow, RefusalReason, RouteRequest, Scratch, Snapshot, Task, strategy};

use super::learned::Learned;
use crate::app::bundled;
use crate::call::RouteOptions;
use crate::cli::{ReplayArgs, WrongUsage};
use crate::config::{AUTO, Settings};
use crate::profile::{Chance, route_request};
use crate::quality::Sources;
use crate::upstream::enforced;

/// The reason where the one model of the policy is not in a row.
const NOT_IN_ROW: &str = "not_in_row";

/// The seed of random strategies: the same file gives the same figures.
const SEED: u64 = 0;

/// What chooses a model for each row.
pub(super) enum Policy {
    /// The same model for all, by its name in the file.
    Always(String),
    /// A strategy, with the rules that the gateway has.
    Routed(Box<Routed>),
    /// What was learnt from outcomes.
    Learned(Box<Learned>),
}

/// What is decided on for one row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    /// By a strategy.
    Routed {
        task: Task,
        prompt_tokens: u64,
        context: Option<u64>,
    },
    /// By what was predicted, under this number.
    Learned(usize),
}

impl Ask {
    /// The task that the row was taken for, where that matters.
    pub(super) const fn task(self) -> Option<Task> {
        match self {
            Self::Routed { task, .. } => Some(task),
            Self::Learned(_) => None,
        }
    }
}

/// A strategy over the models of the catalogue.
pub(super) struct Routed {
    settings: Settings,
    options: RouteOptions,
    at: UtcTime,
    catalogue: Arc<Catalogue>,
    snapshot: Snapshot,
    /// The request of the moment. The models it may choose among are those of `pool`.
    route: RouteRequest,
    pool: Pool,
    scratch: Scratch,
}

/// The models of a row, mostly those of the row before.
#[derive(Default)]
struct Pool {
    names: Vec<String>,
    /// The place among the names of each model that is in the catalogue.
    places: BTreeMap<ModelId, usize>,
}

impl Policy {
    /// # Errors
    /// [`WrongUsage`] for a policy that does not exist or goes by what no file knows; those of the configuration.
    pub(super) fn new(args: &ReplayArgs, settings: Settings, at: UtcTime) -> anyhow::Result<Self> {
        let word = args.policy.as_str();
        let one = word
            .strip_prefix("model:")
            .or_else(|| word.strip_prefix("always:"));
        if let Some(model) = one {
            if model.is_empty() {
                return Err(WrongUsage(format!("'{word}' names no model")).into());
            }
            if let Some(rule) = rule(args) {
                let message =
                    format!("`{rule}` says which models qualify, and '{word}' is one model for every row");
                return Err(WrongUsage(message).into());
            }
            return Ok(Self::Always(model.to_owned()));
        }
        if let Some(file) = word.strip_prefix("learned:") {
            return Ok(Self::Learned(Box::new(Learned::new(file, args)?)));
        }
        let name = strategy(word)
            .map_err(|error| {
                WrongUsage(format!(
                    "{error}; or model:ID for one model, learned:FILE for a predictor"
                ))
            })?
            .word();
        if let Some(what) = unknowable(name.split(':').next().unwrap_or_default()) {
            let message = format!("'{word}' goes by {what}, which a file of outcomes does not tell");
            return Err(WrongUsage(message).into());
        }
        let options = RouteOptions {
            task: args.task.clone(),
            min_quality: args.min_quality,
            confidence: args.confidence,
            max_cost_usd: args.max_cost,
            strategy: Some(word.to_owned()),
            allow_free: args.allow_free,
            completion_tokens: args.completion_tokens,
            ..RouteOptions::default()
        };
        let (catalogue, prices) = bundled()?;
        let route = route_request(
            &settings,
            at,
            Chance { seed: SEED, turn: 0 },
            &options,
            None,
            Some(settings.min_quality),
        )?;
        let mut sources = Sources::new(&settings, &catalogue, &prices);
        if let Some(policy) = enforced(settings.is_simulated(), &settings) {
            let provider = catalogue.provider().clone();
            sources.facts = sources.facts.with_enforced(provider, policy);
        }
        // Without the ledger's feedback: it may be of the very traffic that is replayed.
        let snapshot = sources.snapshot(&sources.base);
        Ok(Self::Routed(Box::new(Routed {
            settings,
            options,
            at,
            catalogue,
            snapshot,
            route,
            pool: Pool::default(),
            scratch: Scratch::new(),
        })))
    }

    /// What is to be decided on; `None` where nothing is, because it is one model for all.
    pub(super) fn ask(&mut self, row: &OutcomeRow) -> anyhow::Result<Option<Ask>> {
        match self {
            Self::Always(_) => Ok(None),
            Self::Learned(learned) => Ok(Some(Ask::Learned(learned.ask(row)))),
            Self::Routed(routed) => routed.ask(row).map(Some),
        }
    }

    /// The place of the chosen model among the names, which are sorted; or why there is none. `turn` is the number of the row.
    pub(super) fn choose<'n>(
        &mut self,
        ask: Option<Ask>,
        turn: u64,
        mut names: impl ExactSizeIterator<Item = &'n String> + Clone,
    ) -> Result<usize, &'static str> {
        match (self, ask) {
            (Self::Routed(routed), Some(ask)) => routed.choose(ask, turn, names),
            (Self::Learned(learned), Some(Ask::Learned(row))) => learned
                .choose(row, names)
                .ok_or(RefusalReason::UnknownModel.as_str()),
            (Self::Always(model), _) => names
                .position(|name| name.as_str() == model.as_str())
                .ok_or(NOT_IN_ROW),
            (Self::Routed(_) | Self::Learned(_), _) => Err(RefusalReason::UnknownModel.as_str()),
        }
    }

    /// Whether prices and quality of the model are known. One model for all needs neither.
    pub(super) fn knows(&self, name: &str) -> bool {
        match self {
            Self::Always(_) => true,
            Self::Routed(routed) => routed.catalogue.resolve(name).is_some(),
            Self::Learned(learned) => learned.knows(name),
        }
    }

    /// The strategy's rules, for the report.
    pub(super) fn routed(&self) -> Option<(&Snapshot, &RouteRequest)> {
        match self {
            Self::Always(_) | Self::Learned(_) => None,
            Self::Routed(routed) => Some((&routed.snapshot, &routed.route)),
        }
    }
}

impl Routed {
    fn ask(&self, row: &OutcomeRow) -> anyhow::Result<Ask> {
        let chat = ChatRequest::new(ModelId::new(AUTO)?, vec![Message::user(row.prompt.as_str())]);
        let mut options = self.options.clone();
        // A word that is no task of the gateway's says nothing to it, as if there were none.
        if let Some(task) = row.task.as_ref().filter(|task| task.parse::<Task>().is_ok()) {
            options.task = Some(task.clone());
        }
        let route = route_request(
            &self.settings,
            self.at,
            Chance::default(),
            &options,
            Some(&chat),
            Some(self.settings.min_quality),
        )?;
        Ok(Ask::Routed {
            task: route.task,
            prompt_tokens: route.prompt_tokens,
            context: route.context,
        })
    }

    fn choose<'n>(
        &mut self,
        ask: Ask,
        turn: u64,
        names: impl ExactSizeIterator<Item = &'n String> + Clone,
    ) -> Result<usize, &'static str> {
        let unknown = Err(RefusalReason::UnknownModel.as_str());
        let Ask::Routed {
            task,
            prompt_tokens,
            context,
        } = ask
        else {
            return unknown;
        };
        if names.len() != self.pool.names.len() || !names.clone().eq(&self.pool.names) {
            self.pool = Pool::new(names, &self.catalogue);
            let models = self.pool.places.keys().cloned();
            self.route.only = models.map(ModelPattern::from).collect();
        }
        // No pattern at all would allow every model.
        if self.route.only.is_empty() {
            return unknown;
        }
        let route = &mut self.route;
        route.task = task;
        route.prompt_tokens = prompt_tokens;
        route.context = context;
        route.turn = turn;
        route.seed = SEED.wrapping_add(turn);
        let chosen = self.snapshot.decide(route, &mut self.scratch).chosen();
        if let Some(place) = chosen.and_then(|target| self.pool.places.get(&target.model)) {
            return Ok(*place);
        }
        let plan = self.snapshot.plan(route);
        let furthest = plan
            .refused
            .iter()
            .filter(|refusal| self.pool.places.contains_key(&refusal.model))
            .map(|refusal| refusal.reason)
            .max();
        furthest.map_or(unknown, |reason| Err(reason.as_str()))
    }
}

impl Pool {
    fn new<'n>(names: impl Iterator<Item = &'n String>, catalogue: &Catalogue) -> Self {
        let names: Vec<String> = names.cloned().collect();
        let mut places = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            let Some(record) = catalogue.resolve(name) else {
                continue;
            };
            // Of two names for one model its id is the better one.
            if record.id.as_str() == name {
                places.insert(record.id.clone(), place);
            } else {
                places.entry(record.id.clone()).or_insert(place);
            }
        }
        Self { names, places }
    }
}

/// The first option that a policy of one model has no use for.
pub(super) fn rule(args: &ReplayArgs) -> Option<&'static str> {
    [
        (args.task.is_some(), "--task"),
        (args.min_quality.is_some(), "--min-quality"),
        (args.confidence.is_some(), "--confidence"),
        (args.max_cost.is_some(), "--max-cost"),
        (args.allow_free, "--allow-free"),
        (args.completion_tokens.is_some(), "--completion-tokens"),
    ]
    .into_iter()
    .find_map(|(is_there, name)| is_there.then_some(name))
}

/// What a strategy goes by that is not in any file of outcomes.
fn unknowable(strategy: &str) -> Option<&'static str> {
    match strategy {
        "lowest-latency" | "throughput" | "least-busy" | "headroom" => {
            Some("how each deployment is doing at the moment")
        }
        "sticky" => Some("which model has a conversation in its cache"),
        "cascade" => Some("whether the text of an answer passes its checks"),
        _ => None,
    }
}
