//! Asks the provider again what attempts cost, in the background, and keeps asking over restarts.
//!
//! What to ask, when, and what an answer means is [`costing::reconcile`]'s; this drives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use costing::budget::{ReservationId, Seen, Subject};
use costing::reconcile::{Answer, Attempt, GaveUpReason, Job, JobEnd, SampleRate, Schedule, Verdict, wanted};
use costing::{
    AttemptCorrection, AttemptIntent, AttemptRow, CallToPrice, Charge, LedgerError, Pico, PriceBook,
    PriceSheet, ServiceTier, UtcTime,
};
use futures_util::{StreamExt, stream};
use integration_core::{BillingClient, Clock, Error, ErrorKind, ProviderId, ReportedCost};
use model_catalogue::Catalogue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::app::Store;
use crate::spending::Spending;

/// Asked for at once.
const AT_ONCE: usize = 4;

/// Attempts looked through at a time.
const ROWS: usize = 1_000;

/// How long to wait after the ledger could not be read or written, or the provider asked: twice as long each time.
const TROUBLE: Duration = Duration::from_secs(5);
const LONGEST_TROUBLE: Duration = Duration::from_secs(300);

/// Asks what attempts cost, and corrects the ledger.
#[derive(Debug)]
pub struct Reconciler {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) billing: BTreeMap<ProviderId, Arc<dyn BillingClient>>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) prices: Arc<PriceBook>,
    pub(crate) spending: Arc<Spending>,
    pub(crate) sample: SampleRate,
    pub(crate) schedule: Schedule,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether answers are simulated. Simulated attempts are asked for only of a simulation, and real ones only of the provider.
    pub(crate) simulated: bool,
    /// Since when there is who is asked, where that is a simulation in this process; it knows of nothing before.
    pub(crate) since: Option<SystemTime>,
    pub(crate) wake: Notify,
}

/// What came of asking once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The cost is known now; by how much it is more than was booked.
    Found(Pico),
    /// The provider does not know it yet: it is asked for again.
    Later,
    /// Nobody answered, or "later": it is asked for again, and so is everything else, after this long at the least.
    Trouble(Duration),
    /// It never became known.
    GaveUp(GaveUpReason),
}

impl Reconciler {
    /// Has an attempt asked for if its cost is worth asking for. Failing to keep that is logged; the next start finds it.
    pub async fn consider(&self, attempt: &Attempt) {
        if let Err(error) = self.enlist(attempt, false).await {
            tracing::warn!(%error, request = %attempt.request, "that a cost is to be asked for could not be kept");
        }
    }

    /// Has an attempt asked for if its cost is worth asking for, and says whether it is new. With `anew` one that was given up is asked
    /// for once more.
    ///
    /// # Errors
    /// The store's own trouble.
    pub async fn enlist(&self, attempt: &Attempt, anew: bool) -> Result<bool, LedgerError> {
        let Some(asked) = wanted(attempt, self.sample) else {
            return Ok(false);
        };
        // One without a name at the provider cannot be asked for.
        let Ok(job) = Job::new(attempt, asked, self.clock.wall(), &self.schedule) else {
            return Ok(false);
        };
        let is_new = if anew {
            self.store.ask_anew(&job).await?
        } else {
            self.store.ask(&job).await?
        };
        if is_new {
            self.wake.notify_one();
        }
        Ok(is_new)
    }

    /// Looks through the attempts that began since a time for those that are to be asked for and are not yet, such as those of which
    /// a crash between a settlement and its question has left nothing. How many there were.
    ///
    /// # Errors
    /// The store's own trouble.
    pub async fn enlist_since(&self, since: SystemTime, anew: bool) -> Result<u64, LedgerError> {
        let mut enlisted = 0;
        let to = self.clock.wall() + Duration::from_secs(86_400);
        let mut page = self.store.export(since, to, None, ROWS).await?;
        loop {
            for row in page.rows.iter().filter(|row| self.is_ours(row)) {
                let mut attempt = Attempt::of(row);
                attempt.had_override = self.had_override(row);
                enlisted += u64::from(row.settlement.is_some() && self.enlist(&attempt, anew).await?);
            }
            let Some(next) = page.next else {
                return Ok(enlisted);
            };
            page = self.store.export(since, to, Some(&next), ROWS).await?;
        }
    }

    /// Whether who is asked can know of the attempt.
    fn is_ours(&self, row: &AttemptRow) -> bool {
        let began_before = self.since.is_some_and(|since| row.intent.started < since);
        row.intent.simulated == self.simulated && !began_before
    }

    pub(crate) fn had_override(&self, row: &AttemptRow) -> bool {
        let usage = row
            .settlement
            .as_ref()
            .and_then(|settlement| settlement.usage.as_ref());
        let tokens = usage.and_then(|usage| usage.prompt_tokens);
        let at = UtcTime::from(row.intent.started);
        let sheet = self.sheet(row).zip(tokens);
        sheet.is_some_and(|(sheet, tokens)| sheet.has_override_for(tokens, at))
    }

    /// The prices an attempt was admitted under, if they are those of today.
    fn sheet(&self, row: &AttemptRow) -> Option<&PriceSheet> {
        if row.intent.price_snapshot != self.prices.id() {
            return None;
        }
        let asked = row.intent.model.as_str();
        let served = row
            .settlement
            .as_ref()
            .and_then(|settlement| settlement.served_model.as_deref());
        let model = match served {
            Some(name) => self.catalogue.resolve_served([asked], name)?,
            None => self.catalogue.resolve(asked)?,
        };
        let tier = row
            .settlement
            .as_ref()
            .and_then(|settlement| settlement.service_tier.as_deref());
        self.prices
            .tier_sheet(&model.id, &ServiceTier::billed(None, tier))
    }

    /// Asks, until told to stop. What is being asked for at that moment is asked for again after the next start.
    pub async fn run(&self, stop: CancellationToken) {
        let asking = async {
            let mut trouble = TROUBLE;
            loop {
                let (wait, may_wake) = match self.work().await {
                    Ok((wait, true)) => {
                        trouble = TROUBLE;
                        (wait, true)
                    }
                    Ok((wait, false)) => (wait.max(trouble), false),
                    Err(error) => {
                        tracing::warn!(%error, "costs cannot be asked for now");
                        (trouble, false)
                    }
                };
                if !may_wake {
                    trouble = (trouble * 2).min(LONGEST_TROUBLE);
                }
                let slept = self.clock.sleep(wait);
                if may_wake {
                    tokio::select! {
                        () = slept => {}
                        () = self.wake.notified() => {}
                    }
                } else {
                    slept.await;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = asking => {}
        }
    }

    /// Asks for all whose time has come. How long until the next one's, and whether all is well: with trouble at the provider or in
    /// the ledger it stops asking.
    async fn work(&self) -> Result<(Duration, bool), LedgerError> {
        // A hold that nobody ends is a mistake; it is told, and counts as spent until its attempt is settled.
        let lost = self
            .spending
            .store()
            .take_lost(UtcTime::from(self.clock.wall()))
            .await;
        for id in lost.unwrap_or_default() {
            tracing::warn!("what was held for {id} was given up, and counts as spent");
        }
        loop {
            let due = self.store.due(self.clock.wall(), AT_ONCE).await?;
            if due.is_empty() {
                break;
            }
            // What could not be booked is not asked for.
            self.store.check().await?;
            let asked = stream::iter(due)
                .map(|job| self.ask(job))
                .buffer_unordered(AT_ONCE);
            let results: Vec<_> = asked.collect().await;
            let mut pause = None;
            for result in results {
                if let Asked::Trouble(wait) = result? {
                    pause = pause.max(Some(wait));
                }
            }
            if let Some(pause) = pause {
                return Ok((pause, false));
            }
        }
        let next = self.store.next_due().await?;
        let wait = next.map(|next| next.duration_since(self.clock.wall()).unwrap_or_default());
        Ok((wait.unwrap_or(HOUR).min(HOUR), true))
    }

    /// Asks for one attempt, and books what comes of it.
    ///
    /// # Errors
    /// The store's own trouble. Trouble with the provider is none: it is asked again.
    pub async fn ask(&self, job: Job) -> Result<Asked, LedgerError> {
        match self.ask_once(&job).await {
            // Something about this attempt alone: it does not keep the others waiting.
            Err(error @ (LedgerError::Unbalanced { .. } | LedgerError::Corrupt { .. })) => {
                tracing::error!(%error, request = %job.request, "what an attempt cost cannot be booked");
                self.put_off(job).await
            }
            other => other,
        }
    }

    async fn ask_once(&self, job: &Job) -> Result<Asked, LedgerError> {
        let rows = self.store.attempts(&job.request).await?;
        let row = rows.into_iter().find(|row| row.intent.attempt == job.attempt);
        let Some((row, booked)) = row.and_then(|row| Some((row.clone(), row.charge()?))) else {
            // It still runs; its end comes first.
            return self.put_off(job.clone()).await;
        };
        if row.intent.simulated && !self.is_ours(&row) {
            // The simulation that made it is over, and has cost nothing.
            self.end(job, Err(GaveUpReason::NotFound)).await?;
            return Ok(Asked::GaveUp(GaveUpReason::NotFound));
        }
        let client = self
            .billing
            .get(&row.intent.provider)
            .filter(|_| self.is_ours(&row));
        let Some(client) = client else {
            // Nobody here can be asked; another process may know whom.
            return self.put_off(job.clone()).await;
        };
        let answer = answer(&**client, job).await;
        let (rule, now) = (row.markup(), self.clock.wall());
        match job.clone().answered(answer, booked, rule, now, &self.schedule) {
            Verdict::Found(correction) => {
                let Answer::Found(stated) = answer else {
                    return self.put_off(job.clone()).await;
                };
                self.correct(&row, correction.exact, stated).await?;
                // Beside what was booked at the end, whatever was corrected since: a crash may have come between a correction and
                // the end of its question.
                let first = row
                    .settlement
                    .as_ref()
                    .and_then(|settlement| settlement.charge.cost);
                let now = correction.exact.cost.unwrap_or_default();
                let difference = now.checked_sub(first.unwrap_or_default()).unwrap_or_default();
                self.end(job, Ok(difference)).await?;
                Ok(Asked::Found(difference))
            }
            Verdict::AskAgain(next) => {
                self.store.ask_again(&next).await?;
                Ok(match answer {
                    Answer::Trouble(wait) => Asked::Trouble(wait.unwrap_or_default()),
                    _ => Asked::Later,
                })
            }
            Verdict::GaveUp(gave_up) => {
                tracing::warn!(
                    request = %gave_up.request, attempt = gave_up.attempt, reason = gave_up.reason.as_str(),
                    "the provider never told what an attempt cost; what is booked stays"
                );
                self.end(job, Err(gave_up.reason)).await?;
                Ok(Asked::GaveUp(gave_up.reason))
            }
            _ => self.put_off(job.clone()).await,
        }
    }

    async fn put_off(&self, mut job: Job) -> Result<Asked, LedgerError> {
        job.tries = job.tries.saturating_add(1);
        job.next = self.clock.wall() + self.schedule.wait_after(job.tries);
        self.store.ask_again(&job).await?;
        Ok(Asked::Later)
    }

    /// Books what the provider's record says, and tells the budgets.
    async fn correct(
        &self,
        row: &AttemptRow,
        exact: Charge,
        stated: ReportedCost,
    ) -> Result<(), LedgerError> {
        let intent = &row.intent;
        let usage = row
            .settlement
            .as_ref()
            .and_then(|settlement| settlement.usage.as_ref());
        let rule = row.markup();
        let priced = CallToPrice::new(usage, self.sheet(row), UtcTime::from(intent.started))
            .with_markup(rule)
            .with_confirmed_cost(stated)
            .price();
        let bill = priced.bill().filter(|_| priced.charge == exact);
        let correction = AttemptCorrection {
            request: intent.request.clone(),
            attempt: intent.attempt,
            at: self.clock.wall(),
            source: "generation".to_owned(),
            charge: exact,
            fee: exact.cost.map_or(Pico::ZERO, |cost| rule.fee_on(cost)),
            bill: bill
                .map(|bill| bill.lines().copied().collect())
                .unwrap_or_default(),
            reported_cost: stated.total(),
        };
        if self.store.correct(correction).await? {
            self.tell_budgets(row, exact);
        }
        Ok(())
    }

    fn tell_budgets(&self, row: &AttemptRow, exact: Charge) {
        let (intent, budgets) = (&row.intent, self.spending.store());
        if intent.purpose == AttemptIntent::SHADOW {
            return;
        }
        let Some(charge) = exact.charge else { return };
        let before = row.charge().and_then(|charge| charge.charge);
        let Some(before) = before else {
            // What was held for it counts as spent; its truth takes that place.
            let id = ReservationId::new(intent.request.clone(), intent.attempt);
            return budgets.settle(&id, Seen::Known(charge));
        };
        let Some(more) = charge.checked_sub(before).filter(|more| *more != Pico::ZERO) else {
            return;
        };
        let subject = Subject::new(&intent.caller).with_user(intent.user.as_deref().unwrap_or_default());
        for (account, _) in self.spending.rules().accounts(&subject) {
            budgets.record(&account, UtcTime::from(intent.started), more);
        }
    }

    async fn end(&self, job: &Job, found: Result<Pico, GaveUpReason>) -> Result<(), LedgerError> {
        let end = JobEnd {
            request: job.request.clone(),
            attempt: job.attempt,
            at: self.clock.wall(),
            tries: job.tries.saturating_add(1),
            found,
        };
        self.store.end(&end).await.map(drop)
    }
}

async fn answer(client: &dyn BillingClient, job: &Job) -> Answer {
    match client.generation_cost(&job.generation).await {
        Ok(Some(cost)) => Answer::Found(cost),
        Ok(None) => Answer::NotYet,
        Err(error) if is_final(&error) => Answer::Never,
        Err(error) => {
            tracing::debug!(%error, "the provider does not say now what an attempt cost");
            Answer::Trouble(error.retry_after())
        }
    }
}

/// The longest wait before it is looked whether something is to be done.
const HOUR: Duration = Duration::from_secs(3_600);

/// Whether asking again can never help: the name is not taken, or the provider has no such records.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidRequest | ErrorKind::Unsupported)
}
