//! Walks a list of targets until one answers: fallback by error class, under one deadline and one count of attempts.

mod ask;
mod attempt;
mod cascade;
mod deadline;
mod fallback;
mod limits;
mod observe;
mod stream;
mod walk;
mod watched;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use integration_core::{
    ChatClient, ChatRequest, ChatResponse, ChatStream, Clock, Error, ProviderId, RequestId,
};

pub use attempt::{Admission, Attempt, AttemptFailure, AttemptGate, AttemptOutcome, AttemptResult, OpenGate};
pub use cascade::{Cascaded, NotGoodEnough, Verdict, Verifier};
pub use fallback::{FallbackClass, UnknownFallbackClass};
pub use limits::LimitGate;
pub use observe::{EventQueue, Observer, RouteEvent};

use crate::Target;
use crate::live::{BreakerConfig, LiveBook, RetryBudget, RetryBudgetConfig, unit};
use ask::{Beginning, Pieces, Whole};
use observe::Teller;
use stream::Committed;
use walk::{Start, Success, walk};

/// When a second target is asked beside the first, before the first has shown anything. The first answer wins; both may be
/// billed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct HedgePolicy {
    /// How long the first target may let wait.
    pub after: Duration,
    /// The most hedges per call begun, over all calls of ten seconds, 0 to 1. Each also costs the retry budget.
    pub share: f64,
}

impl HedgePolicy {
    /// A second target for at most one call in twenty.
    pub const fn new(after: Duration) -> Self {
        Self { after, share: 0.05 }
    }

    /// Sets the most hedges per call.
    #[must_use]
    pub const fn with_share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }
}

/// How far the executor goes for one call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExecutorConfig {
    /// The most attempts a call may make, over all its targets. 0 counts as 1.
    pub max_attempts: u16,
    /// How long a call may take in all, attempts and streaming included.
    pub deadline: Duration,
    /// How long one attempt may take until it is committed to: to the first content of a stream, to the whole of an answer in
    /// one piece. `None`: as long as the client's own deadlines and that of the call allow.
    pub attempt_timeout: Option<Duration>,
    /// How often one call may ask a target again that failed and may answer later, after all others were asked.
    pub retries: u16,
    /// How many extra attempts all calls together may make for failures that may be a matter of load.
    pub retry_budget: RetryBudgetConfig,
    /// When a second target is asked beside the first; `None`: never.
    pub hedge: Option<HedgePolicy>,
    /// When deployments are left alone.
    pub breaker: BreakerConfig,
    /// Where the jitter of waits begins: different in each process, equal for equal runs of a test.
    pub seed: u64,
}

impl ExecutorConfig {
    /// Limits without one of a single attempt, one retry for each target, the usual budget and breakers, and no hedging.
    pub fn new(max_attempts: u16, deadline: Duration) -> Self {
        Self {
            max_attempts,
            deadline,
            attempt_timeout: None,
            retries: 1,
            retry_budget: RetryBudgetConfig::default(),
            hedge: None,
            breaker: BreakerConfig::default(),
            seed: 0,
        }
    }

    /// Sets how often one call may ask a target again that failed.
    #[must_use]
    pub const fn with_retries(mut self, retries: u16) -> Self {
        self.retries = retries;
        self
    }

    /// Sets how many extra attempts all calls together may make.
    #[must_use]
    pub const fn with_retry_budget(mut self, budget: RetryBudgetConfig) -> Self {
        self.retry_budget = budget;
        self
    }

    /// Sets when a second target is asked beside the first.
    #[must_use]
    pub const fn with_hedge(mut self, hedge: HedgePolicy) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Sets when deployments are left alone.
    #[must_use]
    pub const fn with_breaker(mut self, breaker: BreakerConfig) -> Self {
        self.breaker = breaker;
        self
    }

    /// Sets where the jitter of waits begins.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how long one attempt may take until it is committed to.
    #[must_use]
    pub const fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }
}

/// Four attempts in ten minutes: a first choice and three fallbacks, and time for a long answer.
impl Default for ExecutorConfig {
    fn default() -> Self {
        Self::new(4, Duration::from_secs(600))
    }
}

/// One call: what is asked, of whom, in which order.
#[derive(Clone)]
pub struct Call<'a> {
    /// The call's name. All its attempts share it.
    pub id: RequestId,
    /// Who to ask, in order. A target that comes twice is asked twice.
    pub targets: &'a [Target],
    /// What to ask. Its model is replaced by that of each target.
    pub request: &'a ChatRequest,
    /// Headers for the provider, beside the client's own. Never a credential.
    pub headers: Vec<(String, String)>,
    /// How long this call may take; the executor's own deadline where it is shorter or this is `None`.
    pub deadline: Option<Duration>,
    /// Who admits the attempts of this call.
    pub gate: Arc<dyn AttemptGate>,
    /// Who to ask instead of the targets that are left, after a failure of a class; whoever was asked already is left out.
    pub by_class: BTreeMap<FallbackClass, Vec<Target>>,
}

impl<'a> Call<'a> {
    /// A call without headers or a deadline of its own, whose attempts are all admitted.
    pub fn new(id: RequestId, targets: &'a [Target], request: &'a ChatRequest) -> Self {
        Self {
            id,
            targets,
            request,
            headers: Vec::new(),
            deadline: None,
            gate: Arc::new(OpenGate),
            by_class: BTreeMap::new(),
        }
    }

    /// Sets who admits the attempts.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn AttemptGate>) -> Self {
        self.gate = gate;
        self
    }

    /// Sets who is asked after a failure of a class, in order, instead of the targets that are left.
    #[must_use]
    pub fn with_fallbacks(mut self, class: FallbackClass, targets: Vec<Target>) -> Self {
        self.by_class.insert(class, targets);
        self
    }

    /// Sets how long the call may take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets headers for the provider.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, String)>) -> Self {
        self.headers = headers;
        self
    }
}

/// Without the request, which holds the prompt.
impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Call");
        out.field("id", &self.id)
            .field("targets", &self.targets)
            .field("deadline", &self.deadline);
        out.finish_non_exhaustive()
    }
}

/// One attempt as the caller sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttemptReport {
    /// Its number, from 1.
    pub number: u16,
    /// Who was asked.
    pub target: Target,
    /// Why it failed; `None` for the one that answers.
    pub error: Option<Error>,
}

/// A target that was not asked, since the gate refused it or since it is left alone for now.
#[derive(Debug)]
#[non_exhaustive]
pub struct PassedOver {
    /// Who would have been asked.
    pub target: Target,
    /// Why not.
    pub error: Error,
}

/// An answer in one piece.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The answer.
    pub response: ChatResponse,
    /// Who gave it.
    pub target: Target,
    /// Every attempt, the last being the one that answered.
    pub attempts: Vec<AttemptReport>,
    /// Who was not asked on the way, in order.
    pub passed_over: Vec<PassedOver>,
}

impl From<Success<ChatResponse>> for Answer {
    fn from(success: Success<ChatResponse>) -> Self {
        Self {
            response: success.answered,
            target: success.target,
            attempts: success.attempts,
            passed_over: success.passed_over,
        }
    }
}

/// An answer that has begun.
#[non_exhaustive]
pub struct Streamed {
    /// The whole stream, from its start. Nothing more is tried: an error is its last item, with
    /// [`Delivery::Partial`](integration_core::Delivery::Partial) and what was used as far as it is known. Dropping it ends the
    /// attempt.
    pub stream: ChatStream,
    /// Who gives it.
    pub target: Target,
    /// Every attempt, the last being the one that answers.
    pub attempts: Vec<AttemptReport>,
    /// Who was not asked on the way, in order.
    pub passed_over: Vec<PassedOver>,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Streamed");
        out.field("target", &self.target)
            .field("attempts", &self.attempts)
            .field("passed_over", &self.passed_over)
            .finish_non_exhaustive()
    }
}

/// No target answered, or the call was ended before one could.
#[derive(Debug, thiserror::Error)]
#[error("no answer after {} {}", attempts.len(), if attempts.len() == 1 { "attempt" } else { "attempts" })]
#[non_exhaustive]
pub struct Exhausted {
    /// What ended the call: the last attempt's error, the deadline, the gate's refusal; where no attempt was made, the refusal
    /// of the target that will have room first.
    #[source]
    pub error: Error,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptReport>,
    /// Who was not asked, in order.
    pub passed_over: Vec<PassedOver>,
    /// Whether more would have been tried, had the budget of extra attempts allowed it.
    pub retry_budget_spent: bool,
}

/// Asks one target after the other until one answers.
///
/// - An error of class [`RetryClass::Never`](integration_core::RetryClass::Never) ends the call: it would fail the same way
///   everywhere. Every other error passes the call on to the next target; some classes of errors may have targets of their own.
/// - When all were asked and attempts remain, those that may answer later are asked again after a wait, unless what they did
///   may have been billed.
/// - An attempt that adds load because of a failure must be within a budget that all calls share.
/// - A target that failed too often, hangs, or asked for it is left alone for a while. If that is so of every target, the one
///   that comes back first is asked all the same, but one that asked to be left alone is waited for, if the call lasts so long.
/// - One deadline and one count of attempts hold for the whole call, streaming included.
/// - Before an attempt is sent, the call's [`AttemptGate`] must admit it; one that is refused for its target's sake is passed
///   over. Each admission is settled exactly once, also when
///   the caller drops the future or the stream.
/// - It needs no particular runtime: it waits on the [`Clock`] it is given.
///
/// Dropping a future of the executor drops the attempt in flight, which closes its connection.
#[derive(Debug, Clone)]
pub struct Executor {
    clients: BTreeMap<ProviderId, Arc<dyn ChatClient>>,
    clock: Arc<dyn Clock>,
    config: ExecutorConfig,
    live: Arc<LiveBook>,
    shared: Arc<Mutex<Shared>>,
    events: Option<Arc<EventQueue>>,
}

/// What all calls share.
#[derive(Debug)]
struct Shared {
    budget: RetryBudget,
    hedges: RetryBudget,
    random: u64,
}

impl Shared {
    fn begin(&mut self, now: Instant) {
        self.budget.call(now);
        self.hedges.call(now);
    }

    /// The next random number, from 0 to below 1.
    fn random(&mut self) -> f64 {
        unit(&mut self.random)
    }

    /// Takes one hedge out of both budgets, or out of none.
    fn spend_hedge(&mut self, now: Instant) -> bool {
        // The narrower one first: what it refuses costs the other nothing.
        self.hedges.has_left(now) && self.budget.try_spend(now) && self.hedges.try_spend(now)
    }
}

impl Executor {
    /// An executor over these clients, each known by its [`id`](integration_core::IntegrationClient::id). Of two with the same
    /// id the later one is used.
    pub fn new(
        clients: impl IntoIterator<Item = Arc<dyn ChatClient>>,
        clock: Arc<dyn Clock>,
        config: ExecutorConfig,
    ) -> Self {
        let clients = clients
            .into_iter()
            .map(|client| (client.id().clone(), client))
            .collect();
        let hedge_share = config.hedge.map_or(0.0, |hedge| hedge.share);
        let shared = Shared {
            budget: RetryBudget::new(config.retry_budget),
            hedges: RetryBudget::new(RetryBudgetConfig::new(hedge_share, 0.0)),
            random: config.seed,
        };
        Self {
            clients,
            live: Arc::new(LiveBook::new(config.breaker, clock.now(), config.seed)),
            clock,
            config,
            shared: Arc::new(Mutex::new(shared)),
            events: None,
        }
    }

    /// Sets where to put what happens. Fetch it with [`EventQueue::drain`] or [`EventQueue::deliver`].
    #[must_use]
    pub fn with_observer(mut self, events: Arc<EventQueue>) -> Self {
        self.events = Some(events);
        self
    }

    /// What is known of the deployments that were asked.
    pub const fn live(&self) -> &Arc<LiveBook> {
        &self.live
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn teller(&self, call: &Call<'_>) -> Teller {
        Teller {
            queue: self.events.clone(),
            request: call.id.clone(),
        }
    }

    fn ended<T>(&self, call: &Call<'_>, walked: &Result<Success<T>, Exhausted>) {
        let (target, attempts) = match walked {
            Ok(success) => (Some(&success.target), success.attempts.len()),
            Err(exhausted) => (None, exhausted.attempts.len()),
        };
        self.tell_end(call, target, attempts);
    }

    fn tell_end(&self, call: &Call<'_>, target: Option<&Target>, attempts: usize) {
        self.teller(call).tell(|request| RouteEvent::CallEnded {
            request,
            target: target.cloned(),
            attempts,
        });
    }

    /// Asks for an answer in one piece, from the first target that gives one.
    ///
    /// # Errors
    /// [`Exhausted`] with every attempt and what ended the call.
    pub async fn chat(&self, call: Call<'_>) -> Result<Answer, Exhausted> {
        let walked = walk::<Whole>(self, &call, Start::of(self, &call)).await;
        self.ended(&call, &walked);
        Ok(Answer::from(walked?))
    }

    /// Asks for an answer piece by piece. Until the first content arrives the call may still pass on to another target; with
    /// it this future is ready, and nothing more is tried.
    ///
    /// A stream of which 65,536 pieces show nothing is left for the next target.
    ///
    /// # Errors
    /// [`Exhausted`] if no target began to answer. Later errors are the stream's last item.
    pub async fn stream(&self, call: Call<'_>) -> Result<Streamed, Exhausted> {
        let walked = walk::<Pieces>(self, &call, Start::of(self, &call)).await;
        self.ended(&call, &walked);
        let Success {
            answered,
            settler,
            target,
            attempts,
            passed_over,
            deadline,
            ..
        } = walked?;
        let Beginning { replay, source } = answered;
        let committed = Committed {
            replay,
            source,
            settler,
            deadline,
            target: target.clone(),
        };
        Ok(Streamed {
            stream: Box::pin(committed),
            target,
            attempts,
            passed_over,
        })
    }
}
