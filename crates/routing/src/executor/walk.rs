//! The way of one call along its targets.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use integration_core::{CallContext, ChatRequest, Delivery, Error, ErrorKind, RetryClass};

use super::ask::Ask;
use super::attempt::{Attempt, AttemptFailure, Settler};
use super::deadline::{Deadline, Expired, Limit, race};
use super::fallback::{FallbackClass, backoff, costs_budget, may_come_back};
use super::observe::{RouteEvent, Teller};
use super::watched::Watched;
use super::{AttemptReport, Call, Executor, Exhausted, HedgePolicy, PassedOver};
use crate::Target;
use crate::live::{Standing, Taken};

const BEING_PROBED: &str = "it is being probed";

/// How an attempt ended that did not answer.
enum Ended {
    /// The attempt failed; whether the next target is tried depends on the error's class.
    Attempt(Error),
    /// The call is over, and the attempt with it.
    CallAndAttempt(Error),
    /// The call is over before the attempt was sent.
    Call(Error),
    /// The gate refused this target: the next one is tried, and the attempt does not count.
    Refused(Error),
}

/// An answer, or the beginning of one, and what belongs to it.
type Begun<T> = (T, Settler, Deadline);

/// A call that is answered.
pub(super) struct Success<T> {
    pub(super) answered: T,
    pub(super) settler: Settler,
    pub(super) deadline: Deadline,
    pub(super) target: Target,
    pub(super) attempts: Vec<AttemptReport>,
    pub(super) passed_over: Vec<PassedOver>,
    /// The number that the next attempt of the call would have. It is no less than one more than that of any attempt that was
    /// begun, reported or not.
    pub(super) next_number: u16,
}

/// Why a target was passed over.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Gate,
    Ejected,
    Cooling(Instant),
}

/// A target that failed in this call.
struct Failure<'c> {
    target: &'c Target,
    times: u32,
    retried: u16,
    /// When it may be asked again; `None` if it may not.
    ready: Option<Instant>,
}

struct Walk<'c> {
    executor: &'c Executor,
    call: &'c Call<'c>,
    limit: Limit,
    teller: Teller,
    queue: VecDeque<&'c Target>,
    /// The number of the next attempt.
    number: u16,
    /// Who was asked before this walk.
    tried: Vec<Target>,
    /// Who is asked beside the one whose end is being taken.
    in_flight: Option<&'c Target>,
    attempts: Vec<AttemptReport>,
    passed_over: Vec<PassedOver>,
    /// Beside `passed_over`: who and why.
    held: Vec<(&'c Target, Hold)>,
    failures: Vec<Failure<'c>>,
    /// What ended the last attempt. A refusal never hides it: only this one tells whether something may have been billed.
    ended: Option<Error>,
    /// Who failed last, for the next attempt to be told apart from.
    last_failed: Option<&'c Target>,
    /// Whether the next attempt is one that the budget must allow.
    owes: bool,
    budget_spent: bool,
    /// Whether everybody was passed over once and the best of them is asked all the same.
    last_resort: bool,
}

/// Where a walk begins: at a call's first target, or after an answer that was not good enough.
pub(super) struct Start<'c> {
    pub(super) targets: Vec<&'c Target>,
    pub(super) limit: Limit,
    /// The number of the first attempt.
    pub(super) number: u16,
    /// Who was asked before, and is not asked by the chain of a class either.
    pub(super) tried: Vec<Target>,
}

impl<'c> Start<'c> {
    /// The beginning of a call, which is counted.
    pub(super) fn of(executor: &Executor, call: &'c Call<'_>) -> Self {
        executor.shared().begin(executor.clock.now());
        let allowed = executor.config.deadline;
        Self {
            targets: call.targets.iter().collect(),
            limit: Limit::after(call.deadline.unwrap_or(allowed).min(allowed), &*executor.clock),
            number: 1,
            tried: Vec::new(),
        }
    }
}

/// Walks a call along targets.
pub(super) async fn walk<A: Ask>(
    executor: &Executor,
    call: &Call<'_>,
    start: Start<'_>,
) -> Result<Success<A::Answer>, Exhausted> {
    let walk = Walk {
        executor,
        call,
        limit: start.limit,
        teller: executor.teller(call),
        queue: start.targets.into(),
        number: start.number,
        tried: start.tried,
        in_flight: None,
        attempts: Vec::new(),
        passed_over: Vec::new(),
        held: Vec::new(),
        failures: Vec::new(),
        ended: None,
        last_failed: None,
        owes: false,
        budget_spent: false,
        last_resort: false,
    };
    walk.run::<A>().await
}

impl<'c> Walk<'c> {
    async fn run<A: Ask>(mut self) -> Result<Success<A::Answer>, Exhausted> {
        let mut request = Cow::Borrowed(self.call.request);
        while let Some(target) = self.next().await {
            if self.limit.has_passed(&*self.executor.clock) {
                let delivery = self.ended.as_ref().map_or(Delivery::NotSent, Error::delivery);
                self.ended = Some(self.limit.error("the call", delivery));
                break;
            }
            if !self.pay() {
                break;
            }
            if request.model != target.model {
                request.to_mut().model = target.model.clone();
            }
            let hedge = self.executor.config.hedge.filter(|_| !self.last_resort);
            let answered = match hedge {
                Some(policy) => self.hedged::<A>(target, &request, policy).await,
                None => {
                    let (number, attempt) = self.attempt_at::<A>(target);
                    let ended = self
                        .executor
                        .attempt::<A>(self.call, attempt, &request, self.limit, &AtomicBool::new(false))
                        .await;
                    self.take(number, target, ended)
                }
            };
            match answered {
                Ok(Some((number, target, (answered, settler, deadline)))) => {
                    self.attempts.push(AttemptReport {
                        number,
                        target: target.clone(),
                        error: None,
                    });
                    return Ok(Success {
                        answered,
                        settler,
                        deadline,
                        target: target.clone(),
                        attempts: self.attempts,
                        passed_over: self.passed_over,
                        next_number: self.number,
                    });
                }
                Ok(None) => {}
                Err(Stop::Gate(error)) => return Err(self.exhausted(Some(error))),
                Err(Stop::Failed) => break,
            }
        }
        Err(self.exhausted(None))
    }

    fn exhausted(mut self, error: Option<Error>) -> Exhausted {
        let refused = || {
            // One that says when to come again says most; else the one that was waited for, which is the last.
            let errors = || self.passed_over.iter().map(|passed| &passed.error);
            let later = errors().rev().find(|error| error.retry_after().is_some());
            later.or_else(|| errors().next_back()).map(duplicate)
        };
        let error = error.or_else(|| self.ended.take()).or_else(refused);
        Exhausted {
            error: error.unwrap_or_else(|| {
                Error::new(ErrorKind::NoRoute, "the call names no model to ask")
                    .with_retry_class(RetryClass::Never)
            }),
            attempts: self.attempts,
            passed_over: self.passed_over,
            retry_budget_spent: self.budget_spent,
        }
    }

    /// Who is to be asked next, once it may be.
    async fn next(&mut self) -> Option<&'c Target> {
        if self.number > self.executor.config.max_attempts.max(1) {
            return None;
        }
        if let Some(target) = self.first_standing() {
            return Some(target);
        }
        let asked = !self.attempts.is_empty();
        if asked && let Some(target) = self.again().await {
            return Some(target);
        }
        if self.last_resort || self.budget_spent {
            return None;
        }
        self.last_resort = true;
        let (target, hold) = self.soonest(asked)?;
        if let Hold::Cooling(until) = hold {
            self.wait(target, until).await;
            // Where somebody was asked already, nobody is disturbed who asked for more time meanwhile.
            if asked && !matches!(self.standing(target), Standing::Admits | Standing::ProbeDue) {
                return None;
            }
        }
        Some(target)
    }

    fn standing(&self, target: &Target) -> Standing {
        let (standing, change) = self.executor.live.of(target).standing(self.executor.clock.now());
        self.teller.changed(target, change);
        standing
    }

    /// The first of the listed targets that is not left alone for now.
    fn first_standing(&mut self) -> Option<&'c Target> {
        while let Some(target) = self.queue.pop_front() {
            let now = self.executor.clock.now();
            let (standing, change) = self.executor.live.of(target).standing(now);
            self.teller.changed(target, change);
            let (kind, hold, until, why) = match standing {
                Standing::Admits | Standing::ProbeDue => return Some(target),
                Standing::Probing => (ErrorKind::Overloaded, Hold::Ejected, None, BEING_PROBED),
                Standing::Ejected(until) => (
                    ErrorKind::Overloaded,
                    Hold::Ejected,
                    Some(until),
                    "it failed too often and is left alone for now",
                ),
                Standing::Cooling(until) => (
                    ErrorKind::RateLimited,
                    Hold::Cooling(until),
                    Some(until),
                    "it asked to be left alone for now",
                ),
            };
            let mut error = Error::new(kind, why)
                .with_provider(target.provider.clone())
                .with_model(target.model.clone());
            if let Some(until) = until {
                error = error.with_retry_after(until.saturating_duration_since(now));
            }
            self.pass_over(target, hold, error);
        }
        None
    }

    /// Which of the targets that were passed over will have room first: of those that will have it at all, the one with the
    /// shortest wait, where an unknown one counts as short. Whoever asked to be left alone for longer than the call lasts is
    /// left alone, and so is one that is ejected, if somebody was asked already.
    fn soonest(&self, asked: bool) -> Option<(&'c Target, Hold)> {
        let in_time = |hold: Hold| match (hold, self.limit.at) {
            (Hold::Cooling(until), Some(end)) => until < end,
            (Hold::Ejected, _) => !asked,
            _ => true,
        };
        self.held
            .iter()
            .zip(&self.passed_over)
            .filter(|(held, passed)| {
                passed.error.retry_class() == RetryClass::SameDeployment && in_time(held.1)
            })
            .min_by_key(|(_, passed)| passed.error.retry_after().unwrap_or_default())
            .map(|(held, _)| *held)
    }

    /// Who failed and may be asked again, after its wait.
    async fn again(&mut self) -> Option<&'c Target> {
        let now = self.executor.clock.now();
        let retries = self.executor.config.retries;
        let (at, ready) = self
            .failures
            .iter()
            .enumerate()
            .filter(|(_, failure)| failure.retried < retries)
            .filter_map(|(at, failure)| {
                let ready = failure.ready?;
                let ready = match self.executor.live.of(failure.target).standing(now).0 {
                    Standing::Admits | Standing::ProbeDue => ready,
                    Standing::Cooling(until) => ready.max(until),
                    Standing::Ejected(_) | Standing::Probing => return None,
                };
                Some((at, ready))
            })
            .min_by_key(|(_, ready)| *ready)?;
        // Whoever has no time or no leave to ask again is told at once.
        if self.limit.at.is_some_and(|end| ready >= end) || !self.pay() {
            return None;
        }
        let failure = self.failures.get_mut(at)?;
        failure.retried += 1;
        let target = failure.target;
        self.wait(target, ready).await;
        // Meanwhile others may have found out that it should be left alone.
        self.queue.push_front(target);
        self.first_standing()
    }

    async fn wait(&self, target: &Target, until: Instant) {
        let clock = &self.executor.clock;
        let wait = until.saturating_duration_since(clock.now());
        if !wait.is_zero() {
            self.teller.tell(|request| RouteEvent::Waiting {
                request,
                target: target.clone(),
                wait,
            });
            clock.sleep(wait).await;
        }
    }

    /// Whether the budget allows the next attempt. What is paid once is not paid again until an attempt is made.
    fn pay(&mut self) -> bool {
        if self.owes && !self.executor.shared().budget.try_spend(self.executor.clock.now()) {
            self.budget_spent = true;
            self.teller.tell(|request| RouteEvent::BudgetSpent { request });
            return false;
        }
        self.owes = false;
        true
    }

    fn pass_over(&mut self, target: &'c Target, hold: Hold, error: Error) {
        self.teller.tell(|request| RouteEvent::PassedOver {
            request,
            target: target.clone(),
            error: error.kind(),
        });
        self.held.push((target, hold));
        self.passed_over.push(PassedOver {
            target: target.clone(),
            error,
        });
    }

    /// The next attempt, at this target.
    fn attempt_at<A: Ask>(&mut self, target: &'c Target) -> (u16, Attempt) {
        if let Some(from) = self.last_failed.take().filter(|from| *from != target) {
            let class = self.ended.as_ref().and_then(FallbackClass::of);
            self.teller.tell(|request| RouteEvent::FellBack {
                request,
                from: from.clone(),
                to: target.clone(),
                class,
            });
        }
        let number = self.number;
        self.number = self.number.saturating_add(1);
        let attempt = Attempt {
            request: self.call.id.clone(),
            number,
            target: target.clone(),
            stream: A::STREAM,
            may_wait: self.last_resort,
            deadline: self.limit.at,
        };
        (number, attempt)
    }

    /// Takes how an attempt ended.
    fn take<T>(&mut self, number: u16, target: &'c Target, ended: Result<Begun<T>, Ended>) -> Step<'c, T> {
        let (error, stop) = match ended {
            Ok(begun) => return Ok(Some((number, target, begun))),
            Err(Ended::Call(error)) => {
                self.give_back(number);
                return Err(Stop::Gate(error));
            }
            Err(Ended::Refused(error)) => {
                self.give_back(number);
                self.pass_over(target, Hold::Gate, error);
                return if self.last_resort {
                    Err(Stop::Failed)
                } else {
                    Ok(None)
                };
            }
            Err(Ended::CallAndAttempt(error)) => (error, true),
            Err(Ended::Attempt(error)) => {
                let stop = error.retry_class() == RetryClass::Never;
                (error, stop)
            }
        };
        self.attempts.push(AttemptReport {
            number,
            target: target.clone(),
            error: Some(duplicate(&error)),
        });
        self.failed(target, &error);
        self.owes = costs_budget(error.kind());
        let chain = FallbackClass::of(&error).and_then(|class| self.call.by_class.get(&class));
        if let Some(chain) = chain {
            let tried = |target: &Target| {
                self.attempts.iter().any(|attempt| attempt.target == *target)
                    || self.tried.contains(target)
                    || self.in_flight == Some(target)
            };
            self.queue = chain.iter().filter(|target| !tried(target)).collect();
        }
        self.ended = Some(error);
        self.last_failed = Some(target);
        if stop { Err(Stop::Failed) } else { Ok(None) }
    }

    /// What was never made has no number.
    fn give_back(&mut self, number: u16) {
        if number.saturating_add(1) == self.number {
            self.number = number;
        }
    }

    fn failed(&mut self, target: &'c Target, error: &Error) {
        let at = self.failures.iter().position(|failure| failure.target == target);
        let at = at.unwrap_or_else(|| {
            self.failures.push(Failure {
                target,
                times: 0,
                retried: 0,
                ready: None,
            });
            self.failures.len() - 1
        });
        let random = self.executor.shared().random();
        let now = self.executor.clock.now();
        if let Some(failure) = self.failures.get_mut(at) {
            failure.times += 1;
            failure.ready = may_come_back(error)
                .then(|| now.checked_add(backoff(error, failure.times, random)))
                .flatten();
        }
    }

    /// Asks a target, and beside it the next one if the first lets wait for too long. The first answer wins.
    async fn hedged<A: Ask>(
        &mut self,
        target: &'c Target,
        request: &ChatRequest,
        policy: HedgePolicy,
    ) -> Step<'c, A::Answer> {
        let (executor, call, limit) = (self.executor, self.call, self.limit);
        let (number, attempt) = self.attempt_at::<A>(target);
        // Only what was admitted is an attempt that can be given up.
        let (first_sent, second_sent) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut first = Some(Box::pin(executor.attempt::<A>(
            call,
            attempt,
            request,
            limit,
            &first_sent,
        )));
        let mut timer = pin!(executor.clock.sleep(policy.after));
        let mut beside = None;
        let mut due = false;
        // Until the second one is asked.
        let ended = poll_fn(|cx| {
            if let Some(Poll::Ready(ended)) = first.as_mut().map(|first| first.as_mut().poll(cx)) {
                return Poll::Ready(Some(ended));
            }
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await;
        match ended {
            Some(ended) => {
                drop(first.take());
                return self.take(number, target, ended);
            }
            None => {
                if self.number <= executor.config.max_attempts.max(1)
                    && let Some(other) = self.first_standing()
                {
                    if self.executor.shared().spend_hedge(executor.clock.now()) {
                        due = true;
                        beside = Some(other);
                    } else {
                        self.queue.push_front(other);
                    }
                }
            }
        }
        let Some(other) = beside.filter(|_| due) else {
            let ended = match first.take() {
                Some(first) => first.await,
                None => return Ok(None),
            };
            return self.take(number, target, ended);
        };
        let mut copy = request.clone();
        copy.model = other.model.clone();
        let (second_number, attempt) = self.attempt_at::<A>(other);
        self.teller.tell(|request| RouteEvent::HedgeStarted {
            request,
            number: second_number,
            target: other.clone(),
        });
        let mut second = Some(Box::pin(executor.attempt::<A>(
            call,
            attempt,
            &copy,
            limit,
            &second_sent,
        )));
        let mut verdict = Ok(None);
        while first.is_some() || second.is_some() {
            let (is_first, ended) = poll_fn(|cx| {
                if let Some(Poll::Ready(ended)) = first.as_mut().map(|first| first.as_mut().poll(cx)) {
                    return Poll::Ready((true, ended));
                }
                if let Some(Poll::Ready(ended)) = second.as_mut().map(|second| second.as_mut().poll(cx)) {
                    return Poll::Ready((false, ended));
                }
                Poll::Pending
            })
            .await;
            let (done, number, target, loser) = if is_first {
                drop(first.take());
                (
                    true,
                    number,
                    target,
                    second.is_some().then_some((second_number, other, &second_sent)),
                )
            } else {
                drop(second.take());
                (
                    false,
                    second_number,
                    other,
                    first.is_some().then_some((number, target, &first_sent)),
                )
            };
            if ended.is_ok() {
                // Dropping it settles it as given up.
                drop((first.take(), second.take()));
                self.hedge_over(second_number, !done);
                if let Some((number, target, _)) = loser.filter(|loser| loser.2.load(Ordering::Relaxed)) {
                    self.attempts.push(AttemptReport {
                        number,
                        target: target.clone(),
                        error: Some(given_up(target)),
                    });
                }
                return self.take(number, target, ended);
            }
            // A gate's refusal of the second is no reason to leave the first.
            let ended = match ended {
                Err(Ended::Call(error)) if !is_first && first.is_some() => Err(Ended::Refused(error)),
                ended => ended,
            };
            let before = self.attempts.len();
            self.in_flight = loser.map(|(_, target, _)| target);
            verdict = self.take(number, target, ended);
            self.in_flight = None;
            if verdict.is_err() {
                if let Some((number, target, _)) = loser.filter(|loser| loser.2.load(Ordering::Relaxed)) {
                    let report = AttemptReport {
                        number,
                        target: target.clone(),
                        error: Some(given_up(target)),
                    };
                    // What ended the call comes last.
                    self.attempts.insert(before, report);
                }
                break;
            }
        }
        verdict
    }

    fn hedge_over(&self, number: u16, won: bool) {
        self.teller.tell(|request| match won {
            true => RouteEvent::HedgeWon { request, number },
            false => RouteEvent::HedgeLost { request, number },
        });
    }
}

/// Why a call goes no further.
enum Stop {
    /// The gate, or the deadline before anything was sent.
    Gate(Error),
    /// The last failure.
    Failed,
}

/// An answer with its number and who gave it, or leave to go on.
type Step<'c, T> = Result<Option<(u16, &'c Target, Begun<T>)>, Stop>;

impl Executor {
    async fn attempt<A: Ask>(
        &self,
        call: &Call<'_>,
        attempt: Attempt,
        request: &ChatRequest,
        limit: Limit,
        admitted: &AtomicBool,
    ) -> Result<Begun<A::Answer>, Ended> {
        let target = &attempt.target;
        let Some(client) = self.clients.get(&target.provider) else {
            let message = format!("there is no client for the provider {}", target.provider);
            let error = Error::new(ErrorKind::Unsupported, message);
            return Err(Ended::Attempt(
                error
                    .with_provider(target.provider.clone())
                    .with_model(target.model.clone()),
            ));
        };
        let live = self.live.of(target);
        let probe = match live.probe(self.clock.now()) {
            Ok(probe) => probe,
            // Nobody else is left to be asked.
            Err(Taken) if attempt.may_wait => None,
            Err(Taken) => {
                let error = Error::new(ErrorKind::Overloaded, BEING_PROBED);
                return Err(Ended::Refused(
                    error
                        .with_provider(target.provider.clone())
                        .with_model(target.model.clone()),
                ));
            }
        };
        let mut deadline = limit.wait(&*self.clock);
        let admission = match race(&mut deadline, None, call.gate.admit(&attempt)).await {
            Ok(Ok(admission)) => admission,
            Ok(Err(refusal)) if refusal.retry_class() == RetryClass::Never => {
                return Err(Ended::Call(refusal));
            }
            Ok(Err(refusal)) => return Err(Ended::Refused(refusal)),
            Err(_) => return Err(Ended::Call(limit.error("the call", Delivery::NotSent))),
        };
        admitted.store(true, Ordering::Relaxed);
        let teller = Teller {
            queue: self.events.clone(),
            request: call.id.clone(),
        };
        let watched = Watched::begin(
            live,
            probe,
            (A::STREAM, attempt.number),
            self.clock.now(),
            limit.at,
            teller,
        );
        let mut settler = Settler::new(admission, watched, Arc::clone(&self.clock));
        let own = self
            .config
            .attempt_timeout
            .map(|timeout| Limit::after(timeout, &*self.clock));
        let mut own_wait = own.map(|own| own.wait(&*self.clock));
        let mut cx = CallContext::new(call.id.clone())
            .with_attempt(attempt.number)
            .with_headers(call.headers.clone());
        // A stream lives on after its attempt is committed to, so only the call's deadline is the client's business then.
        let own_end = own.filter(|_| !A::STREAM).and_then(|own| own.at);
        if let Some(end) = [limit.at, own_end].into_iter().flatten().min() {
            cx = cx.with_deadline(end);
        }
        let asked = A::ask(&**client, &cx, request, &mut settler);
        let (error, call_is_over) = match race(&mut deadline, own_wait.as_mut(), asked).await {
            Ok(Ok(answered)) => return Ok((answered, settler, deadline)),
            Ok(Err(error)) => (error, false),
            Err(Expired::Call) => (limit.error("the call", settler.delivery_in_flight()), true),
            Err(Expired::Attempt) => {
                let passed = own.unwrap_or(limit);
                (passed.error("the attempt", settler.delivery_in_flight()), false)
            }
        };
        let error = settler.enrich(error, target);
        settler.failed(&error);
        Err(if call_is_over {
            Ended::CallAndAttempt(error)
        } else {
            Ended::Attempt(error)
        })
    }
}

/// What the report says of an attempt that was left since another one answered, or since the call ended.
fn given_up(target: &Target) -> Error {
    Error::new(ErrorKind::Cancelled, "given up for another attempt of the call")
        // Nobody forbade it: it would have been asked on.
        .with_retry_class(RetryClass::SameDeployment)
        .with_delivery(Delivery::MaybeSent)
        .with_provider(target.provider.clone())
        .with_model(target.model.clone())
}

/// The same error without its cause, which cannot be copied: one for the list of attempts, one for the caller.
fn duplicate(error: &Error) -> Error {
    let mut copy = AttemptFailure::from(error).to_error();
    if let Some(provider) = error.provider() {
        copy = copy.with_provider(provider.clone());
    }
    if let Some(model) = error.model() {
        copy = copy.with_model(model.clone());
    }
    if let Some(upstream) = error.upstream() {
        copy = copy.with_upstream(upstream.clone());
    }
    if let Some(generation) = error.generation() {
        copy = copy.with_generation(generation.clone());
    }
    if let Some(usage) = error.usage() {
        copy = copy.with_usage(usage.clone());
    }
    copy
}
