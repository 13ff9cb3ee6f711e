//! Each attempt of a call in the ledger: an intent before anything leaves the machine, a settlement on every way out.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use costing::{
    AttemptIntent, AttemptSettlement, Charge, CostStatus, LedgerStore, Markup, Outcome, Pico, PriceBook,
    PriceSheet, PricedCall, UtcTime, price_call,
};
use integration_core::{Clock, Delivery, Error, ErrorKind, RequestId};
use model_catalogue::Catalogue;
use routing::{Admission, Attempt, AttemptGate, AttemptOutcome, AttemptResult, Target};
use tokio::task::JoinHandle;

use crate::app::App;
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
    store: Arc<dyn LedgerStore>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
    settled: Mutex<Settled>,
}

#[derive(Debug, Default)]
struct Settled {
    attempts: Vec<SettledAttempt>,
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
    /// The record of a call that begins now. Must be made inside a tokio runtime.
    pub fn new(
        app: &App,
        request: RequestId,
        requested_model: String,
        task: Option<String>,
        stream: bool,
    ) -> Self {
        Self {
            request,
            task,
            requested_model,
            stream,
            user: None,
            tags: Vec::new(),
            mode: app.mode(),
            markup: app.settings.markup,
            catalogue: Arc::clone(&app.catalogue),
            prices: Arc::clone(&app.prices),
            store: Arc::clone(&app.store),
            clock: Arc::clone(&app.clock),
            runtime: tokio::runtime::Handle::current(),
            settled: Mutex::default(),
        }
    }

    /// Files the call under the caller's end user and tags.
    #[must_use]
    pub fn with_owner(mut self, user: Option<String>, tags: Vec<String>) -> Self {
        self.user = user;
        self.tags = tags;
        self
    }

    /// The call's name.
    pub fn request(&self) -> &RequestId {
        &self.request
    }

    /// Waits until every settlement so far is in the ledger.
    pub async fn written(&self) {
        let writes = std::mem::take(&mut self.lock().writes);
        for write in writes {
            // A write that panicked has nothing more to wait for; the store logs its own failures.
            let _ = write.await;
        }
    }

    /// The attempts that are over, in order.
    pub fn attempts(&self) -> Vec<SettledAttempt> {
        self.lock().attempts.clone()
    }

    /// What the call costs in all: the sum of what is known, under the least certain status of its attempts.
    pub fn total(&self) -> Charge {
        let settled = self.lock();
        total(
            settled.attempts.iter().map(|attempt| &attempt.charge),
            self.markup,
        )
    }

    /// The prices of what was asked for, under the name it is listed by.
    fn sheet(&self, target: &Target) -> Option<&PriceSheet> {
        self.prices
            .sheet(&self.catalogue.resolve(target.model.as_str())?.id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn total<'a>(charges: impl Iterator<Item = &'a Charge> + Clone, markup: Markup) -> Charge {
    let sum = charges
        .clone()
        .filter_map(|charge| charge.cost)
        .try_fold(None, |sum: Option<Pico>, cost| {
            sum.map_or(Some(cost), |sum| sum.checked_add(cost)).map(Some)
        });
    // An attempt known to be free says nothing about how certain the price of the others is.
    let paid = charges
        .clone()
        .filter(|charge| charge.cost != Some(Pico::ZERO))
        .map(|charge| charge.status)
        .max();
    let status = paid
        .or_else(|| charges.map(|charge| charge.status).max())
        .unwrap_or(CostStatus::Pending);
    charge_of(sum.flatten(), markup, status)
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
pub struct LedgerGate(pub Arc<CallRecord>);

#[async_trait]
impl AttemptGate for LedgerGate {
    async fn admit(&self, attempt: &Attempt) -> integration_core::Result<Box<dyn Admission>> {
        let record = &self.0;
        let started = record.clock.wall();
        record
            .store
            .intend(AttemptIntent {
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
            })
            .await
            .map_err(|e| {
                Error::new(
                    ErrorKind::Config,
                    "the ledger cannot be written, so nothing was sent",
                )
                .with_source(e)
            })?;
        Ok(Box::new(LedgerAdmission {
            record: Arc::clone(record),
            number: attempt.number,
            target: attempt.target.clone(),
            priced_at: UtcTime::from(started),
        }))
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
        let (charge, priced) = price(outcome, record.sheet(&self.target), self.priced_at, record.markup);
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
            reported_cost: priced.and_then(|priced| priced.reported),
            computed_cost: priced.and_then(|priced| priced.computed).map(|cost| cost.total()),
            first_content: outcome.first_content,
            duration: Some(outcome.duration),
        };
        let store = Arc::clone(&record.store);
        // Not awaited here: the caller may be gone and this future with it. The write goes on by itself.
        let write = record.runtime.spawn(async move {
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
