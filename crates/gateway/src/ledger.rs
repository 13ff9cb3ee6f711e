//! Each attempt of a call in the ledger: an intent before anything leaves the machine, a settlement on every way out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use costing::budget::{BudgetError, BudgetRefusal, Claim, Reservation, ReservationId, Standing, Subject};
use costing::reconcile;
use costing::{
    AttemptIntent, AttemptSettlement, Caller, Charge, LedgerError, MarkupRule, MarkupRules, Outcome, Pico,
    PriceBook, PriceSheet, ServiceTier, UtcTime,
};
use integration_core::chat::FinishReason;
use integration_core::{Clock, Error, ErrorKind, GenerationId, ProviderId, RequestId, RetryClass};
use model_catalogue::Catalogue;
use rate_limits::{RateLimiter, TokenEstimate};
use routing::{
    Admission, Attempt, AttemptGate, AttemptOutcome, AttemptResult, LimitGate, LiveBook, PassedOver, Target,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::app::{App, Store};
use crate::call::{Body, Prepared};
use crate::experiment::Entered;
use crate::pricing::{price, rule_for, sum, total};
use crate::reconciler::Reconciler;
use crate::spending::{self, CallEstimate, Offer, Spending};
use crate::tasks::Tasks;
use crate::upstream::Mode;
use crate::warm::WarmCaches;

/// What all attempts of one call share.
#[derive(Debug)]
pub struct CallRecord {
    request: RequestId,
    task: Option<String>,
    requested_model: String,
    requested_tier: Option<String>,
    stream: bool,
    user: Option<String>,
    tags: Vec<String>,
    /// Where the call stands in the experiments, if there are any.
    entered: Option<Arc<Entered>>,
    /// What a learned policy chose, as answers tell it.
    learned: Option<Value>,
    /// The same, as the ledger keeps it.
    decision: Option<String>,
    mode: Mode,
    caller: Caller,
    subject: Subject,
    /// What its attempts are for, as [`AttemptIntent::purpose`] has it.
    purpose: &'static str,
    /// The most that a call of the gateway's own is taken to cost, which no budget holds.
    worst: Option<Pico>,
    markups: Arc<MarkupRules>,
    catalogue: Arc<Catalogue>,
    prices: Arc<PriceBook>,
    store: Arc<dyn Store>,
    spending: Arc<Spending>,
    reconciler: Arc<Reconciler>,
    limiters: Arc<BTreeMap<ProviderId, RateLimiter>>,
    live: Arc<LiveBook>,
    warm: Arc<WarmCaches>,
    conversation: u64,
    tokens: TokenEstimate,
    estimate: CallEstimate,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    kill: CancellationToken,
    /// Cancelled when the caller is gone: no further attempt is begun for it.
    gone: CancellationToken,
    /// Attempts that were admitted and have not ended.
    in_flight: AtomicUsize,
    settled: Mutex<Settled>,
}

/// How long to wait before a settlement is written again, at first and at the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How many of the models that were not asked an answer names.
const MAX_PASSED_OVER: usize = 10;

#[derive(Debug, Default)]
struct Settled {
    attempts: Vec<SettledAttempt>,
    /// Models that were not asked, and why.
    passed_over: Vec<(Target, String)>,
    /// How the call stood with its budgets when its last attempt was admitted.
    standing: Standing,
    /// Why a budget refused one last.
    refusal: Option<Box<BudgetRefusal>>,
    /// Whether an answer of the call bears its fixed fee, or will once its cost is known.
    fee_is_borne: bool,
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
    /// What was held for it.
    held: Option<Pico>,
}

impl CallRecord {
    /// The record of a call that begins now and is charged to this caller.
    pub fn new(app: &App, request: RequestId, body: &Body, prepared: &Prepared, caller: Caller) -> Self {
        Self::of_entered(app, request, body, prepared, caller, None)
    }

    /// The same of a call that was held against the experiments.
    pub(crate) fn of_entered(
        app: &App,
        request: RequestId,
        body: &Body,
        prepared: &Prepared,
        caller: Caller,
        entered: Option<Arc<Entered>>,
    ) -> Self {
        let user = body.options.user.clone().or_else(|| body.request.user.clone());
        let tier = body.request.extra.get("service_tier").and_then(Value::as_str);
        let learned = prepared.learned.as_ref();
        Self {
            learned: learned.map(|chosen| chosen.json(request.as_str())),
            decision: learned.and_then(|chosen| chosen.decision(request.as_str())),
            request,
            task: prepared.task.map(|task| task.as_str().to_owned()),
            requested_model: entered
                .as_ref()
                .map_or(&body.request.model, |entered| &entered.asked)
                .as_str()
                .to_owned(),
            requested_tier: tier.map(str::to_owned),
            stream: body.stream,
            subject: Subject::new(&caller).with_user(user.as_deref().unwrap_or_default()),
            caller,
            purpose: AttemptIntent::CALL,
            worst: None,
            user,
            tags: body.options.tags.clone(),
            entered,
            mode: app.mode(),
            markups: Arc::clone(&app.settings.markups),
            catalogue: Arc::clone(&app.catalogue),
            prices: Arc::clone(&app.prices),
            store: Arc::clone(&app.store),
            spending: Arc::clone(&app.spending),
            reconciler: Arc::clone(&app.reconciler),
            limiters: Arc::clone(&app.limiters),
            live: Arc::clone(app.executor.live()),
            warm: Arc::clone(&app.warm),
            conversation: prepared.conversation,
            tokens: prepared.tokens,
            estimate: CallEstimate::of(&body.request, prepared.tokens.prompt),
            clock: Arc::clone(&app.clock),
            tasks: app.tasks.clone(),
            kill: app.kill.clone(),
            gone: CancellationToken::new(),
            in_flight: AtomicUsize::new(0),
            settled: Mutex::default(),
        }
    }

    /// The record of a call in the shadow of a caller's. It is the gateway's own: no budget pays for it, and nothing that decides about
    /// callers' calls learns from it. `worst`: the most it is taken to cost.
    pub(crate) fn of_shadow(
        app: &App,
        request: RequestId,
        body: &Body,
        prepared: &Prepared,
        worst: Option<Pico>,
    ) -> Self {
        let caller = Caller::local();
        Self {
            purpose: AttemptIntent::SHADOW,
            worst,
            subject: Subject::new(&caller),
            user: None,
            spending: Arc::clone(&app.mirrors.spending),
            live: Arc::clone(app.mirrors.executor.live()),
            warm: Arc::default(),
            ..Self::new(app, request, body, prepared, caller)
        }
    }

    /// The record of a call for vectors. It is charged, and bears no fixed fee: that is of answers.
    pub(crate) fn of_vectors(
        app: &App,
        request: RequestId,
        body: &Body,
        prepared: &Prepared,
        caller: Caller,
    ) -> Self {
        let settled = Settled {
            fee_is_borne: true,
            ..Settled::default()
        };
        Self {
            purpose: AttemptIntent::EMBEDDING,
            settled: Mutex::new(settled),
            ..Self::new(app, request, body, prepared, caller)
        }
    }

    /// What each attempt of the call must pass: the rate limits of its model, then the ledger.
    pub fn gate(self: &Arc<Self>) -> Arc<dyn AttemptGate> {
        let ledger = Arc::new(LedgerGate(Arc::clone(self)));
        let limits = LimitGate::new(Arc::clone(&self.limiters), self.tokens, ledger);
        Arc::new(limits.with_live(Arc::clone(&self.live), Arc::clone(&self.clock)))
    }

    /// The call's name.
    pub fn request(&self) -> &RequestId {
        &self.request
    }

    /// Where the call stands in the experiments, as answers tell it.
    pub fn experiments(&self) -> Option<Value> {
        self.entered.as_ref()?.json()
    }

    /// What a learned policy chose, if the caller asked for one, as answers tell it.
    pub(crate) const fn learned(&self) -> Option<&Value> {
        self.learned.as_ref()
    }

    /// Whether the caller was gone before it had an answer, or the head of one.
    pub fn is_abandoned(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Goes on with a call as long as somebody waits for it, and beyond that until what is under way has told what it was: the
    /// provider bills it, so its name and its use are waited for. `None` if it was given up.
    pub async fn while_wanted<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = std::pin::pin!(call);
        tokio::select! {
            biased;
            done = &mut call => return Some(done),
            () = self.gone.cancelled() => {}
        }
        if self.in_flight.load(Ordering::SeqCst) == 0 {
            return None;
        }
        Some(call.await)
    }

    /// Tells the call, when dropped, that its caller is gone.
    pub fn caller(&self) -> DropGuard {
        self.gone.clone().drop_guard()
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
        total(&charges)
    }

    /// How the call stands with its budgets, as of its last attempt.
    pub fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }

    /// Why a budget refused an attempt; the last refusal, if there was one.
    pub fn refusal(&self) -> Option<Box<BudgetRefusal>> {
        self.lock().refusal.clone()
    }

    /// How the call would stand with its budgets if this model were asked now; `None` if it would be refused, or there are none.
    pub async fn preview(&self, target: &Target) -> Option<Standing> {
        if !self.spending.is_limited() {
            return None;
        }
        let claim = self.claim(target, 1, UtcTime::from(self.clock.wall()), Duration::ZERO);
        self.spending.store().preview(&claim).await.ok()
    }

    fn claim(&self, target: &Target, attempt: u16, at: UtcTime, time: Duration) -> Claim {
        let model = self.catalogue.resolve(target.model.as_str());
        let offer = Offer {
            model,
            sheet: model.and_then(|model| self.prices.sheet(&model.id)),
            markup: self.rule(target),
            at,
        };
        let id = ReservationId::new(self.request.clone(), attempt);
        self.spending
            .claim(id, &self.subject, &self.estimate, &offer, time)
            .with_already(self.already())
    }

    /// What the call's earlier attempts were charged, or hold where that is not known.
    fn already(&self) -> Pico {
        let settled = self.lock();
        let taken = settled
            .attempts
            .iter()
            .map(|attempt| attempt.charge.charge.or(attempt.held));
        sum(taken).unwrap_or_default()
    }

    /// What is added to the cost of an attempt at a model that begins now. A call bears its fixed fee once, so what follows an answer
    /// that bears it, since that one was not good enough, is begun without. The intent says so, and a later correction goes by it.
    fn rule(&self, target: &Target) -> MarkupRule {
        let rule = rule_for(&self.markups, &self.catalogue, &self.caller, target);
        if self.lock().fee_is_borne {
            rule.without_fee()
        } else {
            rule
        }
    }

    /// The prices of the model that served, in the tier that served, or of the one asked for where the answer names none that is
    /// known.
    fn sheet(&self, target: &Target, outcome: &AttemptOutcome) -> Option<&PriceSheet> {
        let asked = target.model.as_str();
        let model = match &outcome.served_model {
            Some(name) => self.catalogue.resolve_served([asked], name)?,
            None => self.catalogue.resolve(asked)?,
        };
        let tier = ServiceTier::billed(self.requested_tier.as_deref(), outcome.service_tier.as_deref());
        self.prices.tier_sheet(&model.id, &tier)
    }

    /// Settles an attempt once the ledger takes it. If the gateway stops before that, the next start finds the attempt open.
    async fn settle_later(&self, settlement: AttemptSettlement, asked: &reconcile::Attempt) {
        let mut wait = FIRST_RETRY;
        loop {
            let stops = tokio::select! {
                () = self.clock.sleep(wait) => false,
                () = self.kill.cancelled() => true,
            };
            match self.store.settle(settlement.clone()).await {
                Ok(()) => return self.reconciler.consider(asked).await,
                Err(LedgerError::Unavailable { .. } | LedgerError::ReadOnly) if !stops => {
                    wait = (wait * 2).min(LONGEST_RETRY);
                }
                Err(error) => {
                    tracing::error!(%error, request = %asked.request, "an attempt stays open in the ledger");
                    return;
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Admits an attempt once its budgets have room for it and its intent is durable.
#[derive(Debug, Clone)]
struct LedgerGate(Arc<CallRecord>);

#[async_trait]
impl AttemptGate for LedgerGate {
    async fn admit(&self, attempt: &Attempt) -> integration_core::Result<Box<dyn Admission>> {
        let record = &self.0;
        if record.gone.is_cancelled() {
            let error = Error::new(ErrorKind::Cancelled, "the caller is gone");
            return Err(error.with_retry_class(RetryClass::Never));
        }
        let started = record.clock.wall();
        let time = attempt
            .deadline
            .map(|end| end.saturating_duration_since(record.clock.now()))
            .unwrap_or_default();
        let claim = record.claim(&attempt.target, attempt.number, UtcTime::from(started), time);
        let reservation = match Reservation::take(Arc::clone(record.spending.store()), &claim).await {
            Ok(reservation) => reservation,
            Err(error) => {
                if let BudgetError::Refused(refusal) = &error {
                    record.lock().refusal = Some(refusal.clone());
                }
                return Err(spending::refused(error).with_model(attempt.target.model.clone()));
            }
        };
        record.spending.warn(&reservation.standing().warnings);
        record.lock().standing = reservation.standing().clone();
        let reserved = claim.demand.amount().filter(|_| !claim.lines.is_empty());
        let reserved = reserved.or(record.worst);
        let markup = record.rule(&attempt.target);
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
            arm: record
                .entered
                .as_ref()
                .and_then(|entered| entered.arms())
                .map(str::to_owned),
            decision: record.decision.clone(),
            caller: record.caller.clone(),
            markup,
            purpose: record.purpose.to_owned(),
            reserved,
        };
        let store = Arc::clone(&record.store);
        let write = record.tasks.spawn(async move { store.intend(intent).await });
        let admission = LedgerAdmission {
            record: Arc::clone(record),
            number: attempt.number,
            target: attempt.target.clone(),
            started,
            markup,
            held: reserved,
            is_sent: false,
            reservation,
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
            (Ok(Ok(())), Some(mut admission)) => {
                admission.reservation.sent();
                admission.record.in_flight.fetch_add(1, Ordering::SeqCst);
                admission.is_sent = true;
                Ok(Box::new(admission))
            }
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
    started: SystemTime,
    /// The rule of the moment the attempt was admitted.
    markup: MarkupRule,
    /// What is held for it, where that can be said.
    held: Option<Pico>,
    /// Whether it counts among those under way.
    is_sent: bool,
    /// Given back by its drop on every way that does not settle it.
    reservation: Reservation,
}

impl Admission for LedgerAdmission {
    fn named(&mut self, generation: &GenerationId) {
        let (store, request) = (Arc::clone(&self.record.store), self.record.request.clone());
        let (number, generation) = (self.number, generation.clone());
        // Nobody waits for it: it is of use only if this process dies before the attempt ends.
        self.record.tasks.spawn(async move {
            if let Err(error) = store.name(&request, number, &generation).await {
                tracing::warn!(%error, "the name of a generation could not be kept");
            }
        });
    }

    fn settle(self: Box<Self>, outcome: &AttemptOutcome) {
        let Self {
            record,
            number,
            target,
            started,
            markup,
            held,
            is_sent,
            reservation,
        } = *self;
        if is_sent {
            record.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        let sheet = record.sheet(&target, outcome);
        let at = UtcTime::from(started);
        // A fixed fee is for an answer: an attempt that gave none does not bear it.
        let rule = match outcome.result {
            AttemptResult::Complete => markup,
            _ => markup.without_fee(),
        };
        let priced = price(outcome, sheet, at, rule, record.tokens.prompt);
        let charge = priced.charge;
        // What is free bears none and leaves it to the next answer.
        let bears_fee = rule.fee() > Pico::ZERO && (priced.fee > Pico::ZERO || charge.cost.is_none());
        match charge.charge {
            Some(charge) => reservation.settle(charge),
            None => reservation.settle_unknown(),
        }
        let completion = outcome.usage.as_ref().and_then(|usage| usage.completion_tokens);
        // An answer that a limit of its own cut short says nothing of how long answers are.
        let by_itself = matches!(
            outcome.finish_reason,
            Some(FinishReason::Stop | FinishReason::ToolCalls)
        );
        if let (true, Some(tokens)) = (by_itself, completion)
            && let Some(model) = record.catalogue.resolve(target.model.as_str())
        {
            record.spending.see(&model.id, tokens);
        }
        if matches!(outcome.result, AttemptResult::Complete) {
            // The cache was used when the attempt began.
            let now = record.clock.now();
            let used = now.checked_sub(outcome.duration).unwrap_or(now);
            record
                .warm
                .see(record.conversation, &target, outcome.usage.as_ref(), used);
        }
        let prompt_tokens = outcome.usage.as_ref().and_then(|usage| usage.prompt_tokens);
        let mut asked = reconcile::Attempt::ended(record.request.clone(), number, started, charge.status);
        asked.generation.clone_from(&outcome.generation);
        let tokens = prompt_tokens.unwrap_or(record.tokens.prompt);
        asked.had_override = sheet.is_some_and(|sheet| sheet.has_override_for(tokens, at));
        if let Some(variance) = priced.variance.filter(|variance| variance.is_alarming) {
            tracing::warn!(
                request = %record.request, attempt = number, model = %target.model,
                reported_usd = %variance.reported, computed_usd = %variance.computed,
                "the provider's cost is not what usage and prices come to; the provider's is booked"
            );
        }
        let settlement = AttemptSettlement {
            request: record.request.clone(),
            attempt: number,
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
            service_tier: outcome
                .service_tier
                .clone()
                .or_else(|| record.requested_tier.clone()),
            usage: outcome.usage.clone(),
            charge,
            fee: priced.fee,
            bill: priced.bill,
            uncached_cost: priced.uncached,
            reported_cost: priced.reported,
            computed_cost: priced.computed,
            first_content: outcome.first_content,
            duration: Some(outcome.duration),
        };
        let (writing, tasks) = (Arc::clone(&record), record.tasks.clone());
        // Not awaited here: the caller may be gone and this future with it. The write goes on by itself.
        let write = record.tasks.spawn(async move {
            match writing.store.settle(settlement.clone()).await {
                Ok(()) => writing.reconciler.consider(&asked).await,
                // The answer does not wait for a ledger that is away; its line does.
                Err(error @ (LedgerError::Unavailable { .. } | LedgerError::ReadOnly)) => {
                    tracing::error!(%error, request = %asked.request, "an attempt cannot be settled now; it is tried again");
                    tasks.spawn(async move { writing.settle_later(settlement, &asked).await });
                }
                Err(error) => tracing::error!(%error, request = %asked.request, "an attempt cannot be settled"),
            }
        });
        let mut settled = record.lock();
        settled.fee_is_borne |= bears_fee;
        settled.writes.push(write);
        settled.attempts.push(SettledAttempt {
            number,
            target,
            charge,
            outcome: outcome.clone(),
            held,
        });
    }
}
