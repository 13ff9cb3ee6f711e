//! The composition root: every part of the gateway, put together once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use costing::budget::LocalBudgets;
use costing::reconcile::{ReconcileStore, Schedule};
use costing::{Caller, LedgerStore, PriceBook, UtcTime};
use experiments::OutcomeStore;
use http_transport::SystemClock;
use integration_core::{Clock, ProviderId, RequestId};
use model_catalogue::Catalogue;
use rate_limits::RateLimiter;
use routing::{Executor, ExecutorConfig, FeedbackStore, RouteRequest, Router, Snapshot, Task};
use store_sqlite::{OpenError, SqliteStore, StoreOptions};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::experiment::{Mirrors, Outcomes};
use crate::learned::{LearnedPolicies, LearnedPolicy};
use crate::pricing::Charges;
use crate::quality::{LearnedQuality, Sources};
use crate::reconciler::Reconciler;
use crate::recovery;
use crate::spending::Spending;
use crate::tasks::Tasks;
use crate::upstream::{Mode, Upstreams};
use crate::warm::WarmCaches;

/// How much memory request bodies may take together: half a gibibyte.
pub(crate) const BODY_KILOBYTES: u32 = 512 * 1024;

/// What keeps the ledger, what is asked of providers about it, feedback on it, and what came of experiments: one file, or one database.
pub trait Store: LedgerStore + ReconcileStore + FeedbackStore + OutcomeStore {}

impl<T: LedgerStore + ReconcileStore + FeedbackStore + OutcomeStore> Store for T {}

/// Every part of a running gateway.
#[derive(Debug)]
pub struct App {
    /// What it was told.
    pub settings: Settings,
    /// The models.
    pub catalogue: Arc<Catalogue>,
    /// Their prices.
    pub prices: Arc<PriceBook>,
    /// Both, built for decisions, with what is believed of quality and how the models are doing.
    pub router: Arc<Router>,
    /// Walks plans.
    pub executor: Executor,
    /// The ledger.
    pub store: Arc<dyn Store>,
    /// The budgets.
    pub spending: Arc<Spending>,
    /// Keeps who met which arm of an experiment, and what came of it.
    pub(crate) outcomes: Arc<Outcomes>,
    /// Sends some calls to a second model as well.
    pub(crate) mirrors: Mirrors,
    /// Asks providers again what attempts cost.
    pub reconciler: Arc<Reconciler>,
    /// Where random choices begin.
    pub(crate) seed: u64,
    /// Puts what callers say of models into the router's decisions.
    pub learned: Arc<LearnedQuality>,
    /// The policies that were learnt from outcomes.
    pub(crate) policies: LearnedPolicies,
    /// Who has the beginning of which conversation in its cache.
    pub(crate) warm: Arc<WarmCaches>,
    /// The rate limits of each provider's models.
    pub limiters: Arc<BTreeMap<ProviderId, RateLimiter>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The providers.
    pub upstreams: Upstreams,
    /// What goes on when a caller is gone.
    pub tasks: Tasks,
    /// Kilobytes of request bodies that may still be held.
    pub(crate) bodies: Semaphore,
    draining: AtomicBool,
    /// Cancelled when running answers must end at once.
    pub kill: CancellationToken,
}

/// The catalogue this release ships and the price book over it.
///
/// # Errors
/// If the shipped data cannot be read, which a test of this release rules out.
pub fn bundled() -> anyhow::Result<(Arc<Catalogue>, Arc<PriceBook>)> {
    let catalogue = Catalogue::bundled().context("the catalogue of this release cannot be read")?;
    let (prices, problems) = PriceBook::from_catalogue(&catalogue);
    for problem in problems {
        tracing::warn!(%problem, "a price of the catalogue is not understood");
    }
    Ok((Arc::new(catalogue), Arc::new(prices)))
}

impl App {
    /// Opens the ledger, starts the simulator if there is no key, and puts the parts together. What an earlier process left open in
    /// the ledger is given its end, and the budgets learn what was spent.
    ///
    /// # Errors
    /// One sentence about the part that failed: the data directory, the database file, the scenario, the configuration.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let store = open(&settings, &settings.data_dir)?;
        Self::with_parts(settings, Arc::new(store), Arc::new(SystemClock)).await
    }

    /// Like [`App::start`] for a command that may run beside a gateway: where that one holds the ledger, calls are
    /// recorded in `cli` below the data directory.
    ///
    /// # Errors
    /// Those of [`App::start`].
    pub async fn start_beside(settings: Settings) -> anyhow::Result<Self> {
        let store = match open(&settings, &settings.data_dir) {
            Err(OpenError::InUse { .. }) => {
                let beside = settings.data_dir.join("cli");
                tracing::info!(
                    "a gateway holds the ledger; this call is recorded in {}, where the gateway's budgets and questions do not \
                     reach it",
                    beside.display()
                );
                open(&settings, &beside)?
            }
            other => other?,
        };
        Self::with_parts(settings, Arc::new(store), Arc::new(SystemClock)).await
    }

    /// Puts the parts together over a ledger that is open already. `clock`: what deadlines, limits and prices go by.
    ///
    /// # Errors
    /// Those of [`App::start`] but for the ledger's.
    pub async fn with_parts(
        settings: Settings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let (catalogue, prices) = bundled()?;
        settings.check_models(&catalogue)?;
        let policies = LearnedPolicies::read(&settings, |model| catalogue.resolve(model).is_some());
        let policies = match policies {
            // A command may be what mends it.
            Err(error) if settings.serves_nobody => {
                tracing::warn!("{error:#}; no learned policy is used");
                LearnedPolicies::default()
            }
            policies => policies?,
        };
        let upstreams = Upstreams::connect(&settings, &clock).await?;
        let seed = seed(&*clock);
        let mut config = ExecutorConfig::new(settings.limits.max_attempts, settings.call_deadline())
            .with_seed(seed)
            .with_retries(settings.limits.retries)
            .with_breaker(settings.breaker)
            .with_retry_budget(settings.retry_budget);
        config.hedge = settings.hedge;
        let executor = Executor::new(upstreams.clients(), Arc::clone(&clock), config);
        let simulated = upstreams.mode() == Mode::Simulated;
        let spending = Arc::new(Spending::new(
            &settings,
            Arc::new(LocalBudgets::<Mutex<_>>::new()),
        ));
        let left = recovery::recover(&*store, &spending, simulated, clock.wall()).await?;
        let reconciler = Reconciler {
            store: Arc::clone(&store),
            billing: upstreams.billing().collect(),
            catalogue: Arc::clone(&catalogue),
            prices: Arc::clone(&prices),
            spending: Arc::clone(&spending),
            sample: settings.sample,
            schedule: Schedule::DEFAULT,
            clock: Arc::clone(&clock),
            simulated,
            since: upstreams.simulates().then(|| clock.wall()),
            wake: Notify::new(),
        };
        for attempt in &left.unknown {
            reconciler.enlist(attempt, false).await?;
        }
        for experiment in settings.experiments.set() {
            store
                .keep_definition(experiment)
                .await
                .with_context(|| format!("the [[experiment]] '{}' cannot begin", experiment.key()))?;
        }
        let listed = |name: &str| {
            let name = settings.aliases.get(name).map_or(name, String::as_str);
            Some(catalogue.resolve(name)?.id.clone())
        };
        let clients = upstreams.clients();
        let mirrors = Mirrors::new(&settings, clients, &clock, &*store, listed, simulated).await?;
        let (tasks, kill) = (Tasks::here(), CancellationToken::new());
        let outcomes = Outcomes::new(
            Arc::clone(&store) as Arc<dyn OutcomeStore>,
            Arc::clone(&clock),
            tasks.clone(),
            kill.clone(),
        );
        let mut sources = Sources::new(&settings, &catalogue, &prices);
        for (provider, policy) in upstreams.enforced(&settings) {
            sources.facts = sources.facts.with_enforced(provider, policy);
        }
        let snapshot = sources.snapshot(&sources.base);
        for warning in chain_warnings(&settings, &catalogue, &snapshot, UtcTime::from(clock.wall())) {
            tracing::warn!("{warning}");
        }
        let router = Arc::new(Router::new(snapshot, Arc::clone(executor.live())));
        let learned = LearnedQuality::read(
            sources,
            Arc::clone(&router),
            Arc::clone(&store),
            simulated,
            Arc::clone(&clock),
            tasks.clone(),
        )
        .await
        .context("the feedback of callers cannot be read from the ledger")?;
        Ok(Self {
            learned: Arc::new(learned),
            policies,
            seed,
            warm: Arc::default(),
            spending,
            outcomes,
            mirrors,
            reconciler: Arc::new(reconciler),
            limiters: Arc::new(upstreams.limiters().collect()),
            router,
            executor,
            catalogue,
            prices,
            store,
            clock,
            upstreams,
            tasks,
            bodies: Semaphore::new(BODY_KILOBYTES as usize),
            draining: AtomicBool::new(false),
            kill,
            settings,
        })
    }

    /// Where answers come from.
    pub fn mode(&self) -> Mode {
        self.upstreams.mode()
    }

    /// What a caller is charged for what models cost.
    pub(crate) fn charges<'a>(&'a self, caller: &'a Caller) -> Charges<'a> {
        Charges {
            markups: &self.settings.markups,
            catalogue: &self.catalogue,
            caller,
        }
    }

    /// The learned policy that a model's name, or an alias of it, stands for.
    pub(crate) fn policy(&self, model: &str) -> Option<&Arc<LearnedPolicy>> {
        let model = self.settings.aliases.get(model).map_or(model, String::as_str);
        self.policies.of_model(model)
    }

    /// The instant by which prices are read.
    pub fn utc_now(&self) -> UtcTime {
        UtcTime::from(self.clock.wall())
    }

    /// Whether the gateway has been told to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Tells load balancers to look elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// Which configured fallbacks can never stand in for the model they are named for, or only for a part of its calls. What stands in for
/// every model, or for whichever is chosen, is held against the smallest of requests.
fn chain_warnings(
    settings: &Settings,
    catalogue: &Catalogue,
    snapshot: &Snapshot,
    at: UtcTime,
) -> Vec<String> {
    let listed = |name: &String| {
        let name = settings.aliases.get(name).unwrap_or(name);
        Some(catalogue.resolve(name)?.id.clone())
    };
    let least = RouteRequest::new(Task::Reasoning, at);
    let mut warnings = Vec::new();
    let mut look = |of: String, named: &String, chain: &[String]| {
        let mut members: Vec<_> = chain.iter().filter_map(listed).collect();
        members.retain(|member| {
            let refusal = snapshot.check_explicit(member, &least);
            if let Some(refusal) = &refusal {
                let detail = &refusal.detail;
                warnings.push(format!(
                    "{of}: {member} can never stand in: it {detail}; every call passes it over"
                ));
            }
            refusal.is_none()
        });
        let gaps = listed(named).map_or_else(Vec::new, |head| snapshot.chain_gaps(&head, &members));
        let gaps = gaps.iter();
        warnings.extend(gaps.map(|gap| format!("{of}: {gap}; calls that need it pass it over")));
    };
    for (named, chain) in &settings.fallbacks {
        look(format!("a fallback of '{named}'"), named, chain);
    }
    for (class, chains) in &settings.class_fallbacks {
        for (named, chain) in chains {
            look(format!("[fallback.{class}] of '{named}'"), named, chain);
        }
    }
    warnings
}

/// Makes what is left to chance differ from other gateways and other starts.
pub(crate) fn seed(clock: &dyn Clock) -> u64 {
    let since = clock.wall().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        since.as_secs() ^ (u64::from(since.subsec_nanos()) << 32)
    })
}

fn open(settings: &Settings, path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open_with(path, StoreOptions::default().with_durability(settings.durability))
}

/// A new name for a caller's call: time-ordered, unique, minted here and nowhere else.
///
/// # Errors
/// Never in practice: a UUID is a valid name.
pub fn mint_request_id() -> anyhow::Result<RequestId> {
    Ok(RequestId::new(uuid::Uuid::now_v7().to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use integration_core::{Capability, ModelId};
    use std::collections::BTreeSet;

    use crate::config::Overrides;
    use crate::environment::Environment;

    /// The bundled models with one that draws, one that answers in batches, and one whose last day is over.
    #[test]
    fn members_of_a_chain_that_can_never_serve_are_told_whoever_they_stand_in_for() {
        let (catalogue, prices) = bundled().unwrap();
        let snapshot = Snapshot::new(&catalogue, &prices);
        let id = |of: &dyn Fn(&model_catalogue::ModelRecord) -> bool| -> ModelId {
            catalogue
                .records()
                .iter()
                .find(|record| of(record))
                .unwrap()
                .id
                .clone()
        };
        let expired = id(&|record| record.expiration_date.is_some());
        let batch = id(&|record| record.id.variant() == Some("batch"));
        let good = ModelId::new("openai/gpt-4o-mini").unwrap();
        let silent = catalogue.records().iter();
        let silent: Vec<_> = silent
            .filter(|record| !record.capabilities().contains(Capability::TextOutput))
            .map(|record| record.id.clone())
            .take(1)
            .collect();
        let chain: Vec<String> = [&expired, &batch, &good]
            .into_iter()
            .chain(&silent)
            .map(ToString::to_string)
            .collect();
        let mut settings = Settings::resolve(&Overrides::default(), &Environment::of([])).unwrap();
        for head in ["*", "waypost/auto", "openai/gpt-4o"] {
            settings.fallbacks.insert(head.to_owned(), chain.clone());
        }
        // The last second that is written in four digits.
        let late = UtcTime::from_unix(253_402_300_799);
        let warnings = chain_warnings(&settings, &catalogue, &snapshot, late);
        for head in ["*", "waypost/auto", "openai/gpt-4o"] {
            let told: BTreeSet<_> = warnings
                .iter()
                .filter(|warning| warning.starts_with(&format!("a fallback of '{head}'")))
                .filter(|warning| warning.contains("can never stand in"))
                .collect();
            assert_eq!(told.len(), 2 + silent.len(), "{warnings:?}");
            assert!(!told.iter().any(|warning| warning.contains(good.as_str())));
        }
    }
}
