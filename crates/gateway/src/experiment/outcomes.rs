//! What came of the calls in an experiment, on its way into the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use costing::Pico;
use experiments::{
    Assignment, Call, Context, Exposure, ExposureDeduper, Outcome, OutcomeStore, OutcomeStoreError, Units,
};
use integration_core::{Clock, ErrorKind, ModelId, RequestId};
use routing::AttemptResult;
use tokio_util::sync::CancellationToken;

use super::enter::Entered;
use crate::call::Prepared;
use crate::ledger::{CallRecord, SettledAttempt};
use crate::tasks::Tasks;

/// How many exposures are remembered, some ten megabytes of them, and for how long each is not written again.
const REMEMBERED: usize = 100_000;
const REMEMBERED_MS: i64 = 3_600_000;

/// How long to wait before a record is written again, at first and at the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Writes exposures and outcomes, by tasks of their own: no caller waits for them.
#[derive(Debug)]
pub(crate) struct Outcomes {
    store: Arc<dyn OutcomeStore>,
    seen: Mutex<ExposureDeduper>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    kill: CancellationToken,
}

#[derive(Debug)]
enum Record {
    Exposures(Vec<Exposure>),
    Outcome(Box<Outcome>),
}

impl Outcomes {
    /// Into this store. Once `kill` is cancelled, what waits is tried once more and then given up.
    pub(crate) fn new(
        store: Arc<dyn OutcomeStore>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        kill: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            seen: Mutex::new(ExposureDeduper::new(REMEMBERED, REMEMBERED_MS)),
            clock,
            tasks,
            kill,
        })
    }

    /// The time as records have it.
    pub(crate) fn now_ms(&self) -> i64 {
        let since = self.clock.wall().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether an assignment is an exposure that was not written of late.
    pub(super) fn is_new(&self, assignment: &Assignment<'_>, context: &Context<'_>, now_ms: i64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_new(assignment, context, now_ms)
    }

    /// Keeps exposures.
    pub(super) fn expose(self: &Arc<Self>, exposures: Vec<Exposure>) {
        if !exposures.is_empty() {
            self.keep(Record::Exposures(exposures));
        }
    }

    /// Keeps what a source says of an answer: the first that it says of each. It names the request only, and belongs to the units of
    /// the request's call.
    pub(crate) fn said(
        self: &Arc<Self>,
        request: &RequestId,
        source: &str,
        score: f64,
        success: Option<bool>,
    ) {
        let id = format!("{request}/feedback/{source}");
        let mut outcome = Outcome::new(id, self.now_ms(), Units::of_request(request.as_str()));
        outcome.score = Some(score);
        outcome.success = success;
        self.keep(Record::Outcome(Box::new(outcome)));
    }

    /// Keeps an outcome.
    pub(super) fn record(self: &Arc<Self>, outcome: Outcome) {
        self.keep(Record::Outcome(Box::new(outcome)));
    }

    fn keep(self: &Arc<Self>, record: Record) {
        let keeping = Arc::clone(self);
        self.tasks.spawn(async move { keeping.written(record).await });
    }

    /// Waits until a record is in the store.
    async fn written(&self, record: Record) {
        let mut wait = FIRST_RETRY;
        loop {
            let stops = self.kill.is_cancelled();
            let result = match &record {
                Record::Exposures(exposures) => self.store.append_exposures(exposures).await,
                Record::Outcome(outcome) => {
                    self.store.append_outcomes(std::slice::from_ref(&**outcome)).await
                }
            };
            match result {
                Ok(()) => return,
                Err(error @ OutcomeStoreError::Unavailable { .. }) if !stops => {
                    if wait == FIRST_RETRY {
                        tracing::error!(%error, "a record of an experiment cannot be kept now; it is tried again");
                    }
                    tokio::select! {
                        () = self.clock.sleep(wait) => {}
                        () = self.kill.cancelled() => {}
                    }
                    wait = (wait * 2).min(LONGEST_RETRY);
                }
                Err(error) => {
                    tracing::error!(%error, "a record of an experiment is lost");
                    return;
                }
            }
        }
    }
}

/// How a caller's call ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// With a whole answer.
    Answered,
    /// With none, or a broken one, for this reason if a call had begun.
    Failed(Option<ErrorKind>),
    /// The caller did not wait for the end. That is no failure of the arm, and how long it would have taken is not known.
    Gone,
}

/// The outcome of a call in an arm. It is kept once, by the first end that it is told, and at the latest when this is dropped: the caller
/// is gone then.
#[derive(Debug)]
pub(crate) struct Ending {
    entered: Arc<Entered>,
    outcomes: Arc<Outcomes>,
    request: RequestId,
    record: Option<Arc<CallRecord>>,
    /// The models that the arm chose: several where it asks for better answers one after the other.
    chosen: Vec<ModelId>,
    is_told: AtomicBool,
}

impl Ending {
    /// Of a request that begins; `None` if it is in no arm.
    pub(crate) fn of(entered: &Arc<Entered>, outcomes: &Arc<Outcomes>, request: &RequestId) -> Option<Self> {
        entered.arms()?;
        Some(Self {
            entered: Arc::clone(entered),
            outcomes: Arc::clone(outcomes),
            request: request.clone(),
            record: None,
            chosen: Vec::new(),
            is_told: AtomicBool::new(false),
        })
    }

    /// Says where the call goes.
    pub(crate) fn goes(&mut self, prepared: &Prepared) {
        let steps = prepared
            .escalation
            .as_ref()
            .map_or(1, |escalation| escalation.steps);
        let chosen = prepared.targets.iter().take(steps.max(1));
        self.chosen = chosen.map(|target| target.model.clone()).collect();
    }

    /// Says under which record its attempts are.
    pub(crate) fn is_recorded(&mut self, record: &Arc<CallRecord>) {
        self.record = Some(Arc::clone(record));
    }

    /// Keeps how the call ended, once its attempts are settled.
    pub(crate) fn end(&self, end: End) {
        if self.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let attempts = self
            .record
            .as_ref()
            .map_or_else(Vec::new, |record| record.attempts());
        let units = self.entered.units.clone();
        // A clock that was set back does not put it before its exposure.
        let at_ms = self.outcomes.now_ms().max(self.entered.began_ms);
        let mut outcome = Outcome::new(format!("{}/call", self.request), at_ms, units);
        outcome.call = Some(self.call(end, &attempts));
        outcome.cost_pico = charged(&attempts);
        if !matches!(end, End::Gone) {
            let took = self
                .outcomes
                .clock
                .now()
                .saturating_duration_since(self.entered.began);
            outcome.latency_ms = u64::try_from(took.as_millis()).ok();
        }
        self.outcomes.keep(Record::Outcome(Box::new(outcome)));
    }

    fn call(&self, end: End, attempts: &[SettledAttempt]) -> Call {
        let is_answer = |attempt: &&SettledAttempt| matches!(attempt.outcome.result, AttemptResult::Complete);
        let answered = attempts.iter().rev().find(is_answer);
        let ran_out = |attempt: &SettledAttempt| match &attempt.outcome.result {
            AttemptResult::Failed(failure) => failure.kind == ErrorKind::Timeout,
            _ => false,
        };
        let served = |attempt: &SettledAttempt| {
            let served = attempt.outcome.served_model.clone();
            served.unwrap_or_else(|| attempt.target.model.as_str().to_owned())
        };
        let mut call = Call::default();
        call.failed = matches!(end, End::Failed(_));
        call.timeout = attempts.iter().any(ran_out) || matches!(end, End::Failed(Some(ErrorKind::Timeout)));
        call.fallback = answered.is_some_and(|attempt| !self.chosen.contains(&attempt.target.model));
        call.served_model = answered.or(attempts.last()).map(served);
        call
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() {
            End::Failed(None)
        } else {
            End::Gone
        });
    }
}

/// What the caller is charged for all attempts; `None` if that is not known of all.
fn charged(attempts: &[SettledAttempt]) -> Option<i64> {
    let sum = attempts
        .iter()
        .try_fold(Pico::ZERO, |sum, attempt| sum.checked_add(attempt.charge.charge?));
    // What is given back is no cost.
    sum.map(Pico::get).filter(|cost| *cost >= 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use async_trait::async_trait;
    use experiments::{Arm, Attribution, Experiment, Reason, RecordError, UnitRow};
    use integration_core::ManualClock;

    use super::*;

    /// A store that is away for the first few writes, or refuses everything.
    #[derive(Debug, Default)]
    struct Store {
        away: Mutex<u32>,
        refuses: bool,
        written: Mutex<Vec<String>>,
        asked: Mutex<u32>,
    }

    impl Store {
        fn take(&self, names: Vec<String>) -> Result<(), OutcomeStoreError> {
            *self.asked.lock().unwrap() += 1;
            if self.refuses {
                return Err(RecordError::NoUnit.into());
            }
            let mut away = self.away.lock().unwrap();
            if *away > 0 {
                *away -= 1;
                let message = "no room".to_owned();
                return Err(OutcomeStoreError::Unavailable { message });
            }
            self.written.lock().unwrap().extend(names);
            Ok(())
        }
    }

    #[async_trait]
    impl OutcomeStore for Store {
        async fn append_exposures(&self, exposures: &[Exposure]) -> Result<(), OutcomeStoreError> {
            self.take(exposures.iter().map(|one| one.unit.clone()).collect())
        }

        async fn append_outcomes(&self, outcomes: &[Outcome]) -> Result<(), OutcomeStoreError> {
            self.take(outcomes.iter().map(|one| one.id.clone()).collect())
        }

        async fn unit_rows(
            &self,
            _: &Attribution,
            _: Option<&str>,
            _: usize,
        ) -> Result<Vec<UnitRow>, OutcomeStoreError> {
            Ok(Vec::new())
        }

        async fn keep_definition(&self, _: &Experiment) -> Result<(), OutcomeStoreError> {
            Ok(())
        }
    }

    fn outcomes(store: Store) -> (Arc<Store>, ManualClock, CancellationToken, Arc<Outcomes>) {
        let (store, clock, kill) = (Arc::new(store), ManualClock::new(), CancellationToken::new());
        let outcomes = Outcomes::new(
            Arc::clone(&store) as Arc<dyn OutcomeStore>,
            Arc::new(clock.clone()),
            Tasks::here(),
            kill.clone(),
        );
        (store, clock, kill, outcomes)
    }

    async fn until(mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }

    fn said(outcomes: &Arc<Outcomes>) {
        outcomes.said(&RequestId::new("request-1").unwrap(), "user", 0.5, None);
    }

    #[tokio::test]
    async fn what_the_store_cannot_take_now_is_written_later() {
        let (store, clock, _, outcomes) = outcomes(Store {
            away: Mutex::new(2),
            ..Store::default()
        });
        said(&outcomes);
        for wait in [FIRST_RETRY, FIRST_RETRY * 2] {
            until(|| clock.due_in().contains(&wait)).await;
            assert!(store.written.lock().unwrap().is_empty());
            clock.advance(wait);
        }
        outcomes.tasks.finished().await;
        assert_eq!(*store.written.lock().unwrap(), ["request-1/feedback/user"]);
    }

    #[tokio::test]
    async fn the_end_of_the_gateway_is_the_last_chance_to_write() {
        for (away, written) in [(1, 1), (100, 0)] {
            let (store, clock, kill, outcomes) = outcomes(Store {
                away: Mutex::new(away),
                ..Store::default()
            });
            said(&outcomes);
            until(|| clock.due_in().contains(&FIRST_RETRY)).await;
            kill.cancel();
            outcomes.tasks.finished().await;
            assert_eq!(store.written.lock().unwrap().len(), written);
            assert_eq!(*store.asked.lock().unwrap(), 2);
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_not_written_again() {
        let (store, _, _, outcomes) = outcomes(Store {
            refuses: true,
            ..Store::default()
        });
        said(&outcomes);
        outcomes.tasks.finished().await;
        assert_eq!(*store.asked.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn an_exposure_is_written_once_in_an_hour() {
        let (_, clock, _, outcomes) = outcomes(Store::default());
        let experiment = Experiment::new("one", [Arm::new("only", 10_000)]).unwrap();
        let context = Context::new().with_user("user-1");
        let assignment = experiment.assign_for(&context);
        assert_eq!(assignment.reason, Reason::Split);
        let is_new = || outcomes.is_new(&assignment, &context, outcomes.now_ms());
        assert!(is_new() && !is_new());
        clock.advance(Duration::from_millis(REMEMBERED_MS as u64 - 1));
        assert!(!is_new());
        clock.advance(Duration::from_millis(1));
        assert!(is_new() && !is_new());
    }
}
