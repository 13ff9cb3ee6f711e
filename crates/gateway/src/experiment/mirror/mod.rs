//! Calls that are sent to a second model as well, whose answers nobody waits for.
//!
//! All of it happens after the caller's call was answered, in a task of its own and with an executor of its own: breakers, retries,
//! budgets and whatever else decides about callers' calls see nothing of it. Of limits of the provider, at least half is left to callers.

mod config;
mod results;
mod soundness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use costing::{AttemptIntent, Caller, LedgerStore, Pico};
use experiments::{Context, Experiment, Exposure, MirrorGate, NotMirrored, Outcome, Units};
use futures_util::StreamExt;
use integration_core::chat::{ChatFold, ChatResponse};
use integration_core::{ChatClient, Clock, ModelId, RequestId};
use routing::{Call, Executor, ExecutorConfig, Target};

pub use self::config::{MirrorConfig, MirrorSettings};
pub(crate) use self::results::{Difference as MirrorDifference, MirrorResults};
use self::soundness::Soundness;
use crate::app::{App, Store, mint_request_id};
use crate::call::{Body, RouteOptions, prepare};
use crate::config::Settings;
use crate::ledger::{CallRecord, SettledAttempt};
use crate::pricing::{rule_for, sum};
use crate::spending::{CallEstimate, Offer, Spending};

/// What must be left of the provider's limits of the second model, so that callers who name it find room.
const ROOM: f64 = 0.5;

/// How many attempts of the ledger are read at a time.
const PAGE: usize = 1_000;

/// Why an answered call was not sent on, or its pair not kept. Beside these there are those of [`NotMirrored`].
mod why {
    pub(super) const OTHER_MODEL: &str = "other_model";
    pub(super) const SAME_MODEL: &str = "same_model";
    pub(super) const OTHER_MIRROR: &str = "other_mirror";
    pub(super) const CANNOT_SERVE: &str = "cannot_serve";
    pub(super) const RATE_LIMIT: &str = "rate_limit";
    pub(super) const STOPPING: &str = "stopping";
    pub(super) const NOT_SENT: &str = "not_sent";
    pub(super) const UNREADABLE: &str = "unreadable";
}

/// The mirrors of a running gateway.
#[derive(Debug)]
pub(crate) struct Mirrors {
    each: Vec<Mirror>,
    /// One attempt a call. How models are doing it keeps for itself: decisions about callers' calls do not go by it.
    pub(crate) executor: Executor,
    /// No budgets: each mirror has its own.
    pub(crate) spending: Arc<Spending>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) settings: MirrorSettings,
    experiment: Experiment,
    /// The second model, and the one whose calls are sent on, as they are listed.
    model: ModelId,
    of: Option<ModelId>,
    gate: Mutex<MirrorGate>,
    counts: Mutex<Counts>,
}

/// What became of answered calls since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Pairs that were kept.
    pub(crate) mirrored: u64,
    /// The others, by the reason.
    pub(crate) not_mirrored: BTreeMap<&'static str, u64>,
}

impl Mirrors {
    /// The mirrors of the settings. What was spent on them today is read from the ledger.
    ///
    /// # Errors
    /// One sentence about the ledger, or about a mirror whose pairs are of another model.
    pub(crate) async fn new(
        settings: &Settings,
        clients: impl Iterator<Item = Arc<dyn ChatClient>>,
        clock: &Arc<dyn Clock>,
        store: &dyn Store,
        resolve: impl Fn(&str) -> Option<ModelId>,
        simulated: bool,
    ) -> anyhow::Result<Self> {
        let longest = settings.mirrors.iter().map(MirrorSettings::timeout).max();
        let config =
            ExecutorConfig::new(1, longest.unwrap_or_else(|| settings.call_deadline())).with_retries(0);
        let mut spent = BTreeMap::new();
        if !settings.mirrors.is_empty() {
            spent = spent_today(store, simulated, clock.wall())
                .await
                .context("what was spent on mirrors today cannot be read from the ledger")?;
        }
        let mut each = Vec::new();
        for one in &settings.mirrors {
            let experiment = one.experiment()?;
            store.keep_definition(&experiment).await.with_context(|| {
                format!(
                    "the [[mirror]] '{}' cannot begin; with another model it needs another key",
                    one.key
                )
            })?;
            let listed = |name: &str| resolve(name).with_context(|| format!("there is no model '{name}'"));
            let before = spent.get(&one.tag()).copied().unwrap_or_default();
            let gate =
                MirrorGate::new(one.policy.clone()).with_spent(before.get(), milliseconds(clock.wall()));
            each.push(Mirror {
                experiment,
                model: listed(&one.model)?,
                of: one.of.as_deref().map(listed).transpose()?,
                gate: Mutex::new(gate),
                counts: Mutex::default(),
                settings: one.clone(),
            });
        }
        Ok(Self {
            each,
            executor: Executor::new(clients, Arc::clone(clock), config),
            spending: Arc::new(Spending::unlimited(settings)),
        })
    }

    /// The mirrors, in the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mirror> {
        self.each.iter()
    }

    /// Keeps an eye on a caller's call that begins; `None` without mirrors.
    pub(crate) fn watch(&self, app: &App, request: &RequestId, body: &Arc<Body>) -> Option<Watched> {
        if self.each.is_empty() {
            return None;
        }
        let samples = |(_, mirror): &(usize, &Mirror)| mirror.settings.policy.samples(request.as_str());
        let sampled = self.each.iter().enumerate().filter(samples);
        Some(Watched {
            sampled: sampled.map(|(at, _)| at).collect(),
            request: request.clone(),
            body: Arc::clone(body),
            began: app.clock.now(),
        })
    }
}

/// A caller's call that may be sent on once it is answered.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The mirrors that have drawn it, by their places.
    sampled: Vec<usize>,
    request: RequestId,
    body: Arc<Body>,
    began: Instant,
}

impl Watched {
    /// Whether any mirror has drawn it, so that its answer is wanted.
    pub(crate) fn is_sampled(&self) -> bool {
        !self.sampled.is_empty()
    }

    /// Sends the call on, in a task of its own, if a mirror takes it. `answer`: what the caller was answered, if it could be read.
    ///
    /// The first mirror that has drawn it and is for the model that answered has it, whatever becomes of it then: who is sent where
    /// goes by the draw alone, and no call is sent on twice.
    pub(crate) fn answered(
        self,
        app: &Arc<App>,
        record: &CallRecord,
        target: &Target,
        answer: impl FnOnce() -> Option<ChatResponse>,
    ) {
        let answered_by = app
            .catalogue
            .resolve(target.model.as_str())
            .map(|record| &record.id);
        let mut taken = None;
        for (at, mirror) in app.mirrors.each.iter().enumerate() {
            let is_other = mirror.of.is_some() && mirror.of.as_ref() != answered_by;
            let why = if !self.sampled.contains(&at) {
                word(NotMirrored::NotSampled)
            } else if is_other {
                why::OTHER_MODEL
            } else if Some(&mirror.model) == answered_by {
                why::SAME_MODEL
            } else if taken.is_some() {
                why::OTHER_MIRROR
            } else if app.is_draining() {
                why::STOPPING
            } else {
                taken = Some(at);
                continue;
            };
            mirror.count(why);
        }
        let Some(at) = taken else { return };
        let served = Served {
            answer: answer(),
            cost: cost(&record.attempts()),
            latency_ms: since(self.began, app.clock.now()),
        };
        let begun = Arc::clone(app);
        app.tasks.spawn(async move {
            let app = begun;
            let Some(mirror) = app.mirrors.each.get(at) else {
                return;
            };
            match mirror.pair(&app, &self.request, &self.body, &served).await {
                Ok(()) => mirror.counts().mirrored += 1,
                Err(why) => mirror.count(why),
            }
        });
    }
}

/// How the caller's call went.
#[derive(Debug)]
struct Served {
    answer: Option<ChatResponse>,
    cost: Option<Pico>,
    latency_ms: f64,
}

/// How the second one went.
#[derive(Debug)]
struct Shadow {
    /// `None` if it failed, or took too long.
    answer: Option<ChatResponse>,
    cost: Option<Pico>,
    latency_ms: f64,
}

impl Mirror {
    /// Asks the second model what the first one was asked, and keeps how both did. Prompts and answers are not kept.
    async fn pair(
        &self,
        app: &App,
        request: &RequestId,
        body: &Body,
        served: &Served,
    ) -> Result<(), &'static str> {
        let sound = Soundness::of(&body.request);
        let is_sound = served.answer.as_ref().zip(sound.as_ref());
        let Some((answer, sound)) = is_sound else {
            return Err(why::UNREADABLE);
        };
        let is_sound = sound.holds(answer);
        let shadow = self.ask(app, request, body).await?;
        let mut named = BTreeMap::new();
        let one_or_zero = |holds: bool| f64::from(u8::from(holds));
        named.insert(results::SERVED_OK, one_or_zero(is_sound));
        named.insert(
            results::MIRROR_OK,
            one_or_zero(shadow.answer.as_ref().is_some_and(|answer| sound.holds(answer))),
        );
        named.insert(results::SERVED_LATENCY, served.latency_ms);
        if let Some(cost) = served.cost {
            named.insert(results::SERVED_COST, dollars(cost));
        }
        // How long a failure took, and that it cost nothing, is no merit of it.
        if shadow.answer.is_some() {
            named.insert(results::MIRROR_LATENCY, shadow.latency_ms);
            if let Some(cost) = shadow.cost {
                named.insert(results::MIRROR_COST, dollars(cost));
            }
        }
        self.keep(app, request, named);
        Ok(())
    }

    fn keep(&self, app: &App, request: &RequestId, named: BTreeMap<&str, f64>) {
        let at_ms = app.outcomes.now_ms();
        let context = Context::new().with_request(request.as_str());
        let assignment = self.experiment.assign_for(&context);
        let exposure = Exposure::of(&assignment, &context, at_ms);
        let id = format!("{request}/mirror/{}", self.settings.key);
        let mut outcome = Outcome::new(id, at_ms, Units::of_request(request.as_str()));
        outcome.named = named
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        app.outcomes.expose(exposure.into_iter().collect());
        app.outcomes.record(outcome);
    }

    /// Sends a call to the second model, if the gate lets it through. An error is a reason why nothing can be said of the model.
    async fn ask(&self, app: &App, request: &RequestId, body: &Body) -> Result<Shadow, &'static str> {
        let (caller, mut body) = (Caller::local(), self.body(body).ok_or(why::CANNOT_SERVE)?);
        let mut prepared = prepare(app, &mut body, &caller).map_err(|_| why::CANNOT_SERVE)?;
        prepared.targets.truncate(1);
        prepared.by_class.clear();
        prepared.escalation = None;
        let target = prepared.targets.first().ok_or(why::CANNOT_SERVE)?;
        let limiter = app.limiters.get(&target.provider);
        let room = limiter.and_then(|limiter| limiter.room(&self.model));
        if room.is_some_and(|room| room < ROOM) {
            return Err(why::RATE_LIMIT);
        }
        let offer = Offer {
            model: app.catalogue.resolve(self.model.as_str()),
            sheet: app.prices.sheet(&self.model),
            markup: rule_for(&app.settings.markups, &app.catalogue, &caller, target),
            at: app.utc_now(),
        };
        let estimate = CallEstimate::of(&body.request, prepared.tokens.prompt);
        let worst = app.mirrors.spending.worst(&estimate, &offer);
        let id = mint_request_id().map_err(|_| why::NOT_SENT)?;
        let now_ms = milliseconds(app.clock.wall());
        let taken = self.gate().take(request.as_str(), worst.map(Pico::get), now_ms);
        let ticket = taken.map_err(word)?;
        let record = Arc::new(CallRecord::of_shadow(app, id, &body, &prepared, worst));
        let call = prepared
            .call(record.request().clone(), &body.request)
            .with_gate(record.gate())
            .with_deadline(self.settings.timeout());
        let began = app.clock.now();
        let answer = tokio::select! {
            biased;
            // What is dropped is settled: nobody knows then how it would have ended.
            () = app.kill.cancelled() => None,
            answer = answer(&app.mirrors.executor, call, body.stream) => Some(answer),
        };
        let latency_ms = since(began, app.clock.now());
        record.written().await;
        let attempts = record.attempts();
        let charges = attempts.iter().map(|attempt| attempt.charge.charge);
        let charge = sum(charges).map(Pico::get);
        self.gate()
            .release(ticket, charge, milliseconds(app.clock.wall()));
        let answer = answer.ok_or(why::STOPPING)?;
        if attempts.is_empty() {
            return Err(why::NOT_SENT);
        }
        Ok(Shadow {
            answer,
            cost: cost(&attempts),
            latency_ms,
        })
    }

    /// The same request for the second model. What the caller's data may be used for and where it may go holds here too; how its own
    /// model was to be chosen, and what it may cost, does not.
    fn body(&self, body: &Body) -> Option<Body> {
        let mut request = body.request.clone();
        request.model = ModelId::new(self.settings.model.as_str()).ok()?;
        let of = &body.options;
        let options = RouteOptions {
            never: of.never.clone(),
            only: of.only.clone(),
            data_policy: of.data_policy.clone(),
            region: of.region.clone(),
            needs: of.needs.clone(),
            prompt_tokens: of.prompt_tokens,
            completion_tokens: of.completion_tokens,
            tags: vec!["mirror".to_owned(), self.settings.tag()],
            ..RouteOptions::default()
        };
        Some(Body::new(request, body.stream, options))
    }

    /// What became of answered calls since the start.
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds it to its policy.
    pub(crate) fn gate(&self) -> MutexGuard<'_, MirrorGate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, why: &'static str) {
        *self.counts().not_mirrored.entry(why).or_default() += 1;
    }
}

/// Asks, and reads the answer to its end; `None` if there is none, or no whole one.
async fn answer(executor: &Executor, call: Call<'_>, stream: bool) -> Option<ChatResponse> {
    if !stream {
        return executor.chat(call).await.ok().map(|answer| answer.response);
    }
    let mut events = executor.stream(call).await.ok()?.stream;
    let mut fold = ChatFold::new();
    while let Some(event) = events.next().await {
        fold.push(event.ok()?).ok()?;
    }
    fold.finish()
}

/// What all attempts cost at the provider, without markups, which differ from caller to caller; `None` if that is not known of all.
fn cost(attempts: &[SettledAttempt]) -> Option<Pico> {
    let known = attempts
        .iter()
        .try_fold(Pico::ZERO, |sum, attempt| sum.checked_add(attempt.charge.cost?));
    known.filter(|cost| *cost >= Pico::ZERO)
}

/// For statistics, which have no need of the last digit.
fn dollars(cost: Pico) -> f64 {
    cost.get() as f64 / 1e12
}

fn since(began: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(began).as_secs_f64() * 1e3
}

fn milliseconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn word(why: NotMirrored) -> &'static str {
    match why {
        NotMirrored::NotSampled => "not_sampled",
        NotMirrored::InFlight => "in_flight",
        NotMirrored::Budget => "budget",
        NotMirrored::UnknownCost => "unknown_cost",
        _ => "other",
    }
}

/// What was charged for the attempts of today, by the label of their mirror. Where a charge is not known, the most that the attempt was
/// taken to cost.
///
/// # Errors
/// The store's own trouble.
pub(crate) async fn spent_today(
    store: &dyn LedgerStore,
    simulated: bool,
    now: SystemTime,
) -> Result<BTreeMap<String, Pico>, costing::LedgerError> {
    const DAY_MS: i64 = 86_400_000;
    let into_day = u64::try_from(milliseconds(now).rem_euclid(DAY_MS)).unwrap_or_default();
    let from = now - std::time::Duration::from_millis(into_day);
    let to = now + std::time::Duration::from_secs(1);
    let mut spent: BTreeMap<String, Pico> = BTreeMap::new();
    let mut page = store.export(from, to, None, PAGE).await?;
    loop {
        let shadows = page
            .rows
            .iter()
            .filter(|row| row.intent.purpose == AttemptIntent::SHADOW && row.intent.simulated == simulated);
        for row in shadows {
            let charge = row
                .charge()
                .and_then(|charge| charge.charge)
                .or(row.intent.reserved);
            for tag in row.intent.tags.iter().filter(|tag| tag.starts_with("mirror:")) {
                let sum = spent.entry(tag.clone()).or_default();
                *sum = sum.checked_add(charge.unwrap_or_default()).unwrap_or(*sum);
            }
        }
        let Some(next) = page.next else {
            return Ok(spent);
        };
        page = store.export(from, to, Some(&next), PAGE).await?;
    }
}
