//! The loop around an attempt, and what a client keeps for it.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use integration_core::{Clock, Result};

use super::{Retries, RetryBudget, RetryPolicy, split_mix};

/// Makes a call, again and again as the policy says. `attempt` gets the number of the attempt, 1 for the first, which begins
/// at once. `deadline` is by `clock`: no wait is begun that would not end before it, but an attempt that runs is not cut
/// short, so give it the deadline too.
///
/// Dropping the future drops the attempt or the wait it is in.
///
/// # Errors
/// The last attempt's error, unchanged.
pub async fn run<T, F, A>(
    clock: &dyn Clock,
    policy: &RetryPolicy,
    budget: &RetryBudget,
    seed: u64,
    deadline: Option<Instant>,
    mut attempt: F,
) -> Result<T>
where
    F: FnMut(u32) -> A,
    A: Future<Output = Result<T>>,
{
    let mut retries = Retries::new(policy, seed);
    loop {
        let error = match attempt(retries.attempt()).await {
            Ok(done) => {
                retries.success(budget);
                return Ok(done);
            }
            Err(error) => error,
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(clock.now()));
        match retries.decide(&error, budget, left) {
            Ok(wait) => clock.sleep(wait).await,
            Err(_) => return Err(error),
        }
    }
}

/// What a client keeps to retry its calls: the policy, the budget all its calls share, and a source of seeds. Clones share
/// the budget and the seeds.
///
/// ```
/// use http_transport::retry::{Retrier, RetryPolicy};
/// use integration_core::{Error, ErrorKind, ManualClock};
/// # futures_util::FutureExt::now_or_never(async {
/// let retrier = Retrier::new(RetryPolicy::None);
/// let mut attempts = 0;
/// let outcome: Result<(), Error> = retrier
///     .run(&ManualClock::new(), None, |_| {
///         attempts += 1;
///         async { Err(Error::new(ErrorKind::Transport, "refused")) }
///     })
///     .await;
/// assert!(outcome.is_err());
/// assert_eq!(attempts, 1);
/// # });
/// ```
#[derive(Clone)]
pub struct Retrier {
    policy: RetryPolicy,
    budget: RetryBudget,
    seeds: Arc<AtomicU64>,
}

impl Retrier {
    /// With a full budget, and a seed that is another one in every process: clients that were refused together must not
    /// come back together.
    pub fn new(policy: RetryPolicy) -> Self {
        let capacity = policy.rules().map_or(0, |rules| rules.bucket);
        Self {
            policy,
            budget: RetryBudget::new(capacity),
            seeds: Arc::new(AtomicU64::new(RandomState::new().hash_one(0_u8))),
        }
    }

    /// Sets the seed all jitter comes from, so that a run can be repeated.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seeds = Arc::new(AtomicU64::new(seed));
        self
    }

    /// Shares another client's budget, for clients of one upstream and one key.
    #[must_use]
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// The policy.
    pub fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// The budget.
    pub fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// The retries of a call that begins now, with a seed of its own; for a caller with its own loop.
    pub fn retries(&self) -> Retries {
        Retries::new(&self.policy, self.seed())
    }

    /// As [`Retrier::run`], for a call that costs nothing however often it is made, such as reading a list: it is also made again
    /// where no answer came, or part of one. The budget is the same.
    ///
    /// # Errors
    /// The last attempt's error, unchanged.
    pub async fn run_free<T, F, A>(
        &self,
        clock: &dyn Clock,
        deadline: Option<Instant>,
        attempt: F,
    ) -> Result<T>
    where
        F: FnMut(u32) -> A,
        A: Future<Output = Result<T>>,
    {
        let policy = match self.policy {
            RetryPolicy::None => RetryPolicy::None,
            RetryPolicy::Standard(rules) => RetryPolicy::Standard(rules.with_may_be_billed(true)),
        };
        run(clock, &policy, &self.budget, self.seed(), deadline, attempt).await
    }

    fn seed(&self) -> u64 {
        // Neighbouring seeds would give neighbouring streams the same numbers one step apart, so they are mixed first.
        let mut state = self.seeds.fetch_add(1, Ordering::Relaxed);
        split_mix(&mut state)
    }

    /// Makes a call by [`run`].
    ///
    /// # Errors
    /// The last attempt's error, unchanged.
    pub async fn run<T, F, A>(&self, clock: &dyn Clock, deadline: Option<Instant>, attempt: F) -> Result<T>
    where
        F: FnMut(u32) -> A,
        A: Future<Output = Result<T>>,
    {
        run(clock, &self.policy, &self.budget, self.seed(), deadline, attempt).await
    }
}

impl fmt::Debug for Retrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrier")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
