//! Each attempt of a call in the ledger: an intent before anything leaves the machine, a settlement on every way out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use costing::{
    AttemptIntent, AttemptSettlement, Caller, Charge, CostStatus, LedgerError, Markup, Outcome, Pico,
    PriceBook, PriceSheet, PricedCall, UtcTime, price_call,
};
use integration_core::{Clock, Delivery, Error, ErrorKind, ProviderId, RequestId};
use model_catalogue::Catalogue;
use rate_limits::{RateLimiter, TokenEstimate};
use routing::{
    Admission, Attempt, AttemptGate, AttemptOutcome, AttemptResult, LimitGate, PassedOver, Target,
};
use tokio::task::JoinHandle;

use crate::app::{App, Store};
use crate::call::{Body, Prepared};
use crate::tasks::Tasks;
use crate::upstream::Mode;

/// What all attempts of one call share.
#[derive(Debug)]
pub struct CallRecord {
    request: RequestId,
    task: Option<String>,
    requested_model: String,
    stream: bool,
    user: Option<String>,
    tags: Vec<String>,
    mode: Mode,
    markup: Markup,
    catalogue: Arc<Catalogue>,
    prices: Arc<PriceBook>,
    store: Arc<dyn Store>,
    limiters: Arc<BTreeMap<ProviderId, RateLimiter>>,
    estimate: TokenEstimate,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    settled: Mutex<Settled>,
}

/// How many of the models that were not asked an answer names.
const MAX_PASSED_OVER: usize = 10;

#[derive(Debug, Default)]
struct Settled {
    attempts: Vec<SettledAttempt>,
    /// Models that were not asked, and why.
    passed_over: Vec<(Target, String)>,
    writes: Vec<JoinHandle<()>>,
}

/// One attempt, over and priced.
#[derive(Debug, Clone)]
pub struct SettledAttempt {
    /// Its number, from 1.
    pub number: u16,
    /// Who was asked.
    pub target: Target,
    /// What it cost.
    pub charge: Charge,
    /// How it went, with what the provider told of itself.
    pub outcome: AttemptOutcome,
}

impl CallRecord {
    /// The record of a call that begins now.
    pub fn new(app: &App, request: RequestId, body: &Body, prepared: &Prepared) -> Self {
        Self {
            request,
            task: prepared.task.map(|task| task.as_str().to_owned()),
            requested_model: body.request.model.as_str().to_owned(),
            stream: body.stream,
            user: body.options.user.clone().or_else(|| body.request.user.clone()),
            tags: body.options.tags.clone(),
            mode: app.mode(),
            markup: app.settings.markup,
            catalogue: Arc::clone(&app.catalogue),
            prices: Arc::clone(&app.prices),
            store: Arc::clone(&app.store),
            limiters: Arc::clone(&app.limiters),
            estimate: prepared.estimate,
            clock: Arc::clone(&app.clock),
            tasks: app.tasks.clone(),
            settled: Mutex::default(),
        }
    }

    /// What each attempt of the call must pass: the rate limits of its model, then the ledger.
    pub fn gate(self: &Arc<Self>) -> Arc<dyn AttemptGate> {
        let ledger = Arc::new(LedgerGate(Arc::clone(self)));
        Arc::new(LimitGate::new(Arc::clone(&self.limiters), self.estimate, ledger))
    }

    /// The call's name.
    pub fn request(&self) -> &RequestId {
        &self.request
    }

    /// Waits until every settlement so far is in the ledger.
    pub async fn written(&self) {
        loop {
            let writes = std::mem::take(&mut self.lock().writes);
            if writes.is_empty() {
                return;
            }
            for write in writes {
                // A write that panicked has nothing more to wait for; the store logs its own failures.
                let _ = write.await;
            }
        }
    }

    /// The attempts that are over, in order.
    pub fn attempts(&self) -> Vec<SettledAttempt> {
        self.lock().attempts.clone()
    }

    /// Notes the models that were not asked. Of a long list the first ones say what there is to say.
    pub fn passed_over(&self, passed_over: &[PassedOver]) {
        self.lock().passed_over = passed_over
            .iter()
            .take(MAX_PASSED_OVER)
            .map(|passed| (passed.target.clone(), passed.error.message().to_owned()))
            .collect();
    }

    /// The models that were not asked, and why, in order.
    pub fn not_asked(&self) -> Vec<(Target, String)> {
        self.lock().passed_over.clone()
    }

    /// What the call costs in all: the sum of what is known, under the least certain status of its attempts.
    pub fn total(&self) -> Charge {
        let charges: Vec<Charge> = self
            .lock()
            .attempts
            .iter()
            .map(|attempt| attempt.charge)
            .collect();
        total(&charges, self.markup)
    }

    /// The prices of the model that served, or of the one asked for where the answer names none that is known.
    fn sheet(&self, target: &Target, served: Option<&str>) -> Option<&PriceSheet> {
        let asked = target.model.as_str();
        let model = match served {
            Some(name) => self.catalogue.resolve_served([asked], name)?,
            None => self.catalogue.resolve(asked)?,
        };
        self.prices.sheet(&model.id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sums amounts that are known; `None` if none is, or the sum cannot be held.
fn sum(amounts: impl Iterator<Item = Option<Pico>>) -> Option<Pico> {
    amounts
        .flatten()
        .map(Some)
        .reduce(|sum, amount| sum?.checked_add(amount?))
        .flatten()
}

/// The sum of several charges, amount by amount, so that the total is what its lines add up to.
fn total(charges: &[Charge], markup: Markup) -> Charge {
    // An attempt known to be free says nothing about how certain the price of the others is.
    let paid = charges
        .iter()
        .filter(|charge| charge.cost != Some(Pico::ZERO))
        .map(|charge| charge.status)
        .max();
    let status = paid
        .or_else(|| charges.iter().map(|charge| charge.status).max())
        .unwrap_or(CostStatus::Pending);
    let known = charges.iter().any(|charge| charge.cost.is_some());
    let cost = sum(charges.iter().map(|charge| charge.cost));
    let added = sum(charges.iter().map(|charge| charge.markup));
    let charge = sum(charges.iter().map(|charge| charge.charge));
    match (cost, added, charge) {
        (Some(_), Some(_), Some(_)) => Charge {
            cost,
            markup: added,
            charge,
            markup_bps: markup.bps(),
            status,
        },
        _ if known => Charge::unknown(markup, CostStatus::Unpriced),
        _ => Charge::unknown(markup, status),
    }
}

/// A cost with its markup. One that is not known, or too large to hold, has no amounts.
fn charge_of(cost: Option<Pico>, markup: Markup, status: CostStatus) -> Charge {
    match cost.map(|cost| Charge::known(cost, markup, status)) {
        Some(Ok(charge)) => charge,
        Some(Err(_)) => Charge::unknown(markup, CostStatus::Unpriced),
        None => Charge::unknown(markup, status),
    }
}

/// Admits an attempt once its intent is durable.
#[derive(Debug, Clone)]
struct LedgerGate(Arc<CallRecord>);

#[async_trait]
impl AttemptGate for LedgerGate {
    async fn admit(&self, attempt: &Attempt) -> integration_core::Result<Box<dyn Admission>> {
        let record = &self.0;
        let started = record.clock.wall();
        let intent = AttemptIntent {
            request: record.request.clone(),
            attempt: attempt.number,
            started,
            task: record.task.clone(),
            requested_model: record.requested_model.clone(),
            provider: attempt.target.provider.clone(),
            model: attempt.target.model.clone(),
            price_snapshot: record.prices.id().to_owned(),
            stream: record.stream,
            simulated: record.mode == Mode::Simulated,
            user: record.user.clone(),
            tags: record.tags.clone(),
            arm: None,
            caller: Caller::local(),
            markup: record.markup.into(),
            purpose: AttemptIntent::CALL.to_owned(),
            reserved: None,
        };
        let store = Arc::clone(&record.store);
        let write = record.tasks.spawn(async move { store.intend(intent).await });
        let admission = LedgerAdmission {
            record: Arc::clone(record),
            number: attempt.number,
            target: attempt.target.clone(),
            priced_at: UtcTime::from(started),
        };
        Unsent {
            write: Some((write, admission)),
        }
        .written()
        .await
    }
}

/// An intent on its way into the ledger. If nobody waits for it any more it is settled as never sent, as soon as it is there.
struct Unsent {
    write: Option<(JoinHandle<Result<(), LedgerError>>, LedgerAdmission)>,
}

impl Unsent {
    async fn written(mut self) -> integration_core::Result<Box<dyn Admission>> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(
                ErrorKind::Config,
                "the ledger cannot be written, so nothing was sent",
            )
            .with_source(cause)
        };
        let result = match &mut self.write {
            Some((write, _)) => write.await,
            None => return Err(failed("the intent is gone".into())),
        };
        let admission = self.write.take().map(|(_, admission)| admission);
        match (result, admission) {
            (Ok(Ok(())), Some(admission)) => Ok(Box::new(admission)),
            (Ok(Err(error)), _) => Err(failed(error.into())),
            (Err(error), _) => Err(failed(error.into())),
            (_, None) => Err(failed("the intent is gone".into())),
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        let Some((write, admission)) = self.write.take() else {
            return;
        };
        let record = Arc::clone(&admission.record);
        let settled = record.tasks.spawn(async move {
            if matches!(write.await, Ok(Ok(()))) {
                let error = Error::new(ErrorKind::Cancelled, "the call was over before anything was sent");
                let failure = AttemptResult::Failed((&error).into());
                Box::new(admission).settle(&AttemptOutcome::new(failure, Duration::ZERO));
            }
        });
        record.lock().writes.push(settled);
    }
}

struct LedgerAdmission {
    record: Arc<CallRecord>,
    number: u16,
    target: Target,
    /// Prices are those of the moment the attempt began.
    priced_at: UtcTime,
}

impl Admission for LedgerAdmission {
    fn settle(self: Box<Self>, outcome: &AttemptOutcome) {
        let record = &self.record;
        let (charge, priced) = price(
            outcome,
            record.sheet(&self.target, outcome.served_model.as_deref()),
            self.priced_at,
            record.markup,
        );
        let settlement = AttemptSettlement {
            request: record.request.clone(),
            attempt: self.number,
            finished: record.clock.wall(),
            outcome: match &outcome.result {
                AttemptResult::Complete => Outcome::Succeeded,
                AttemptResult::Failed(_) => Outcome::Failed,
                AttemptResult::Cancelled => Outcome::Cancelled,
            },
            error_kind: match &outcome.result {
                AttemptResult::Failed(failure) => Some(failure.kind.as_str().to_owned()),
                _ => None,
            },
            served_model: outcome.served_model.clone(),
            upstream: outcome.upstream.clone(),
            generation: outcome.generation.clone(),
            finish_reason: outcome
                .finish_reason
                .as_ref()
                .map(|reason| reason.as_str().to_owned()),
            usage: outcome.usage.clone(),
            charge,
            // The rule is of a share alone.
            fee: Pico::ZERO,
            bill: priced
                .and_then(|priced| priced.bill())
                .map(|bill| bill.lines().copied().collect())
                .unwrap_or_default(),
            uncached_cost: None,
            reported_cost: priced.and_then(|priced| priced.reported),
            computed_cost: priced.and_then(|priced| priced.computed).map(|cost| cost.total()),
            first_content: outcome.first_content,
            duration: Some(outcome.duration),
        };
        let store = Arc::clone(&record.store);
        // Not awaited here: the caller may be gone and this future with it. The write goes on by itself.
        let write = record.tasks.spawn(async move {
            if let Err(error) = store.settle(settlement).await {
                tracing::error!(%error, "an attempt could not be settled; its intent stays open in the ledger");
            }
        });
        let mut settled = record.lock();
        settled.writes.push(write);
        settled.attempts.push(SettledAttempt {
            number: self.number,
            target: self.target.clone(),
            charge,
            outcome: outcome.clone(),
        });
    }
}

/// What an attempt cost. An attempt that never left, or that the provider refused before it answered, cost nothing; one
/// whose fate is not known is pending, never zero.
fn price(
    outcome: &AttemptOutcome,
    sheet: Option<&PriceSheet>,
    at: UtcTime,
    markup: Markup,
) -> (Charge, Option<PricedCall>) {
    let refused = match &outcome.result {
        AttemptResult::Failed(failure) => matches!(failure.delivery, Delivery::NotSent | Delivery::Answered),
        _ => false,
    };
    if refused && outcome.usage.is_none() {
        return (charge_of(Some(Pico::ZERO), markup, CostStatus::Computed), None);
    }
    let priced = price_call(outcome.usage.as_ref(), sheet, at, markup);
    (priced.charge, Some(priced))
}
