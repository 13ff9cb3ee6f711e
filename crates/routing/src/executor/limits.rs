//! Rate limits in front of another gate.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use integration_core::{
    Clock, Error, ErrorKind, GenerationId, ModelId, ProviderId, RateLimitFacts, RetryClass,
};
use model_catalogue::is_routing_variant;
use rate_limits::{Attempt as Try, Permit, RateLimiter, TokenEstimate};

use super::attempt::{Admission, Attempt, AttemptGate, AttemptOutcome, AttemptResult};
use crate::{LiveBook, Target};

/// A gate that reserves each attempt's share of its target's rate limits before it asks another gate, and settles it with the
/// tokens the attempt used.
///
/// - A target without room is passed over at once. Where no target has room, the gate waits at the one that will have it
///   first, as long as the call and its limiter allow; what would have to wait longer is refused without waiting.
/// - A routing suffix (`:nitro`, `:floor`) makes no other model of it.
/// - What an attempt told of the provider's limits is learnt, also from failures.
/// - Clients behind it must not be wrapped in [`rate_limits::RateLimited`]: every call would be counted twice.
///
/// Make one per call. The limiters are shared by cloning.
#[derive(Clone)]
pub struct LimitGate {
    limiters: Arc<BTreeMap<ProviderId, RateLimiter>>,
    estimate: TokenEstimate,
    then: Arc<dyn AttemptGate>,
    board: Option<Board>,
}

/// Where it is told what limits have left.
#[derive(Clone)]
struct Board {
    live: Arc<LiveBook>,
    clock: Arc<dyn Clock>,
}

impl Board {
    fn tell(&self, limiter: &RateLimiter, target: &Target) {
        let listed = listed(&target.model);
        let Some(left) = limiter.room(&listed) else { return };
        let live = match listed {
            Cow::Borrowed(_) => self.live.of(target),
            Cow::Owned(model) => self.live.of(&Target::new(target.provider.clone(), model)),
        };
        live.set_own_headroom(left, self.clock.now());
    }
}

impl LimitGate {
    /// A gate for one call of about as many tokens as estimated. A provider without a limiter has no limits.
    pub fn new(
        limiters: Arc<BTreeMap<ProviderId, RateLimiter>>,
        estimate: TokenEstimate,
        then: Arc<dyn AttemptGate>,
    ) -> Self {
        Self {
            limiters,
            estimate,
            then,
            board: None,
        }
    }

    /// Tells a book, by its clock, what each attempt leaves of its model's limits, so that strategies see it
    /// ([`Reading::headroom`](crate::Reading::headroom)). Models that share limits are each told of their own attempts alone.
    #[must_use]
    pub fn with_live(mut self, live: Arc<LiveBook>, clock: Arc<dyn Clock>) -> Self {
        self.board = Some(Board { live, clock });
        self
    }

    fn tell(&self, limiter: &RateLimiter, target: &Target) {
        if let Some(board) = &self.board {
            board.tell(limiter, target);
        }
    }

    async fn reserve(&self, limiter: &RateLimiter, attempt: &Attempt) -> Result<Permit, Error> {
        let model = listed(&attempt.target.model);
        if attempt.may_wait {
            return limiter.acquire(&model, self.estimate, attempt.deadline).await;
        }
        let (limit, wait, class) = match limiter.try_acquire(&model, self.estimate).await? {
            Try::Granted(permit) => return Ok(permit),
            Try::Wait { limit, wait } => (limit, wait, RetryClass::SameDeployment),
            Try::Never { limit } => (limit, None, RetryClass::OtherDeployment),
        };
        let error = Error::new(
            ErrorKind::RateLimited,
            format!("no room at once: {limit} stands in the way"),
        )
        .with_retry_class(class)
        .with_model(attempt.target.model.clone());
        Err(match wait {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        })
    }
}

/// The model as it is listed: a suffix that only tells the provider how to route (`:nitro`) has no limits of its own.
fn listed(model: &ModelId) -> Cow<'_, ModelId> {
    let mut parts = model.as_str().split(':');
    if !parts.clone().skip(1).any(is_routing_variant) {
        return Cow::Borrowed(model);
    }
    let mut name = parts.next().unwrap_or_default().to_owned();
    for variant in parts.filter(|variant| !is_routing_variant(variant)) {
        name.push(':');
        name.push_str(variant);
    }
    ModelId::new(name).map_or(Cow::Borrowed(model), Cow::Owned)
}

impl fmt::Debug for LimitGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitGate")
            .field("providers", &self.limiters.keys())
            .field("estimate", &self.estimate)
            .field("then", &self.then)
            .finish()
    }
}

#[async_trait]
impl AttemptGate for LimitGate {
    async fn admit(&self, attempt: &Attempt) -> integration_core::Result<Box<dyn Admission>> {
        let provider = &attempt.target.provider;
        let Some(limiter) = self.limiters.get(provider) else {
            return self.then.admit(attempt).await;
        };
        let reserved = self.reserve(limiter, attempt).await;
        self.tell(limiter, &attempt.target);
        let mut permit = reserved.map_err(|error| error.with_provider(provider.clone()))?;
        let then = self.then.admit(attempt).await?;
        permit.sent();
        Ok(Box::new(Reserved {
            permit,
            limiter: limiter.clone(),
            board: self.board.clone().map(|board| (board, attempt.target.clone())),
            then,
        }))
    }
}

struct Reserved {
    permit: Permit,
    limiter: RateLimiter,
    board: Option<(Board, Target)>,
    then: Box<dyn Admission>,
}

impl Admission for Reserved {
    fn told(&mut self, facts: &RateLimitFacts) {
        self.limiter.learn_facts(self.permit.model(), facts);
        self.then.told(facts);
    }

    fn named(&mut self, generation: &GenerationId) {
        self.then.named(generation);
    }

    fn settle(mut self: Box<Self>, outcome: &AttemptOutcome) {
        match (&outcome.result, &outcome.usage) {
            (AttemptResult::Failed(failure), usage) => {
                let mut error = failure.to_error();
                if let Some(usage) = usage {
                    error = error.with_usage(usage.clone());
                }
                self.permit.settle_failure(&error);
                self.limiter.learn(self.permit.model(), &error);
            }
            (_, Some(usage)) => self.permit.settle_usage(usage),
            (_, None) => {}
        }
        let Self {
            permit,
            limiter,
            board,
            then,
        } = *self;
        // The place among the calls under way is free before anything else is done.
        drop(permit);
        if let Some((board, target)) = board {
            board.tell(&limiter, &target);
        }
        then.settle(outcome);
    }
}
