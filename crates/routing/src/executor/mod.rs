//! Walks a list of targets until one answers: fallback by error class, under one deadline and one count of attempts.

mod attempt;
mod deadline;
mod limits;
mod stream;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use integration_core::{
    CallContext, ChatClient, ChatRequest, ChatResponse, ChatStream, Clock, Delivery, Error, ErrorKind,
    ProviderId, RequestId, RetryClass, StreamEvent,
};

pub use attempt::{Admission, Attempt, AttemptFailure, AttemptGate, AttemptOutcome, AttemptResult, OpenGate};
pub use limits::LimitGate;

use crate::Target;
use attempt::Settler;
use deadline::{Deadline, Expired, race};
use stream::{Committed, commits, truncated};

/// How far the executor goes for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecutorConfig {
    /// The most attempts a call may make, over all its targets. 0 counts as 1.
    pub max_attempts: u16,
    /// How long a call may take in all, attempts and streaming included.
    pub deadline: Duration,
    /// How long one attempt may take until it is committed to: to the first content of a stream, to the whole of an answer in
    /// one piece. `None`: as long as the client's own deadlines and that of the call allow.
    pub attempt_timeout: Option<Duration>,
}

impl ExecutorConfig {
    /// Limits without one of a single attempt.
    pub const fn new(max_attempts: u16, deadline: Duration) -> Self {
        Self {
            max_attempts,
            deadline,
            attempt_timeout: None,
        }
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
        }
    }

    /// Sets who admits the attempts.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn AttemptGate>) -> Self {
        self.gate = gate;
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

/// A target that was not asked, since the gate refused it.
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

/// An answer that has begun.
#[non_exhaustive]
pub struct Streamed {
    /// The whole stream, from its start. Nothing more is tried: an error is its last item, with [`Delivery::Partial`] and what
    /// was used as far as it is known. Dropping it ends the attempt.
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
}

/// Asks one target after the other until one answers.
///
/// - An error of class [`RetryClass::Never`] ends the call: it would fail the same way everywhere. Every other error passes
///   the call on to the next target. No target is asked twice unless it is listed twice.
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
}

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

/// A call that is answered.
struct Success<T> {
    answered: T,
    settler: Settler,
    target: Target,
    attempts: Vec<AttemptReport>,
    passed_over: Vec<PassedOver>,
    deadline: Deadline,
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
        Self {
            clients,
            clock,
            config,
        }
    }

    /// Asks for an answer in one piece, from the first target that gives one.
    ///
    /// # Errors
    /// [`Exhausted`] with every attempt and what ended the call.
    pub async fn chat(&self, call: Call<'_>) -> Result<Answer, Exhausted> {
        let Success {
            answered,
            target,
            attempts,
            passed_over,
            ..
        } = self.walk::<Whole>(call).await?;
        Ok(Answer {
            response: answered,
            target,
            attempts,
            passed_over,
        })
    }

    /// Asks for an answer piece by piece. Until the first content arrives the call may still pass on to another target; with
    /// it this future is ready, and nothing more is tried.
    ///
    /// # Errors
    /// [`Exhausted`] if no target began to answer. Later errors are the stream's last item.
    pub async fn stream(&self, call: Call<'_>) -> Result<Streamed, Exhausted> {
        let Success {
            answered,
            settler,
            target,
            attempts,
            passed_over,
            deadline,
        } = self.walk::<Pieces>(call).await?;
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

    async fn walk<A: Ask>(&self, call: Call<'_>) -> Result<Success<A::Answer>, Exhausted> {
        let limit = call
            .deadline
            .unwrap_or(self.config.deadline)
            .min(self.config.deadline);
        let mut deadline = Deadline::after(limit, &*self.clock);
        let mut attempts: Vec<AttemptReport> = Vec::new();
        let mut passed_over: Vec<PassedOver> = Vec::new();
        let mut request = Cow::Borrowed(call.request);
        // What ended the last attempt. A refusal never hides it: only this one tells whether something may have been billed.
        let mut ended: Option<Error> = None;
        let mut targets = call.targets.iter();
        let mut number = 1;
        loop {
            if number > self.config.max_attempts.max(1) {
                break;
            }
            let (target, may_wait) = match targets.next() {
                Some(target) => (target, false),
                None if attempts.is_empty() => match soonest(&passed_over) {
                    Some(at) => match call.targets.iter().find(|t| **t == passed_over[at].target) {
                        Some(target) => (target, true),
                        None => break,
                    },
                    None => break,
                },
                None => break,
            };
            if deadline.has_passed(&*self.clock) {
                let delivery = ended.as_ref().map_or(Delivery::NotSent, Error::delivery);
                ended = Some(deadline.error("the call", delivery));
                break;
            }
            if request.model != target.model {
                request.to_mut().model = target.model.clone();
            }
            let attempt = Attempt {
                request: call.id.clone(),
                number,
                target: target.clone(),
                stream: A::STREAM,
                may_wait,
                deadline: deadline.at,
            };
            let answered = self.attempt::<A>(&call, attempt, &request, &mut deadline).await;
            let (error, stop) = match answered {
                Ok((answered, settler)) => {
                    attempts.push(AttemptReport {
                        number,
                        target: target.clone(),
                        error: None,
                    });
                    return Ok(Success {
                        answered,
                        settler,
                        target: target.clone(),
                        attempts,
                        passed_over,
                        deadline,
                    });
                }
                Err(Ended::Call(error)) => {
                    return Err(Exhausted {
                        error,
                        attempts,
                        passed_over,
                    });
                }
                Err(Ended::Refused(error)) => {
                    passed_over.push(PassedOver {
                        target: target.clone(),
                        error,
                    });
                    if may_wait {
                        break;
                    }
                    continue;
                }
                Err(Ended::CallAndAttempt(error)) => (error, true),
                Err(Ended::Attempt(error)) => {
                    let stop = error.retry_class() == RetryClass::Never;
                    (error, stop)
                }
            };
            attempts.push(AttemptReport {
                number,
                target: target.clone(),
                error: Some(duplicate(&error)),
            });
            number += 1;
            ended = Some(error);
            if stop {
                break;
            }
        }
        let refused = || {
            // One that says when to come again says most; else the one that was waited for, which is the last.
            let errors = || passed_over.iter().map(|passed| &passed.error);
            let later = errors().rev().find(|error| error.retry_after().is_some());
            later.or_else(|| errors().next_back()).map(duplicate)
        };
        let error = ended.or_else(refused).unwrap_or_else(|| {
            Error::new(ErrorKind::NoRoute, "the call names no model to ask")
                .with_retry_class(RetryClass::Never)
        });
        Err(Exhausted {
            error,
            attempts,
            passed_over,
        })
    }

    async fn attempt<A: Ask>(
        &self,
        call: &Call<'_>,
        attempt: Attempt,
        request: &ChatRequest,
        deadline: &mut Deadline,
    ) -> Result<(A::Answer, Settler), Ended> {
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
        let admission = match race(deadline, None, call.gate.admit(&attempt)).await {
            Ok(Ok(admission)) => admission,
            Ok(Err(refusal)) if refusal.retry_class() == RetryClass::Never => {
                return Err(Ended::Call(refusal));
            }
            Ok(Err(refusal)) => return Err(Ended::Refused(refusal)),
            Err(_) => return Err(Ended::Call(deadline.error("the call", Delivery::NotSent))),
        };
        let mut settler = Settler::new(admission, Arc::clone(&self.clock));
        let mut own = self
            .config
            .attempt_timeout
            .map(|limit| Deadline::after(limit, &*self.clock));
        let mut cx = CallContext::new(call.id.clone())
            .with_attempt(attempt.number)
            .with_headers(call.headers.clone());
        // A stream lives on after its attempt is committed to, so only the call's deadline is the client's business then.
        let own_end = own.as_ref().filter(|_| !A::STREAM).and_then(|own| own.at);
        if let Some(end) = [deadline.at, own_end].into_iter().flatten().min() {
            cx = cx.with_deadline(end);
        }
        let asked = A::ask(&**client, &cx, request, &mut settler);
        let (error, call_is_over) = match race(deadline, own.as_mut(), asked).await {
            Ok(Ok(answered)) => return Ok((answered, settler)),
            Ok(Err(error)) => (error, false),
            Err(Expired::Call) => (deadline.error("the call", settler.delivery_in_flight()), true),
            Err(Expired::Attempt) => {
                let passed = own.as_ref().unwrap_or(deadline);
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

/// A way to ask one client: in one piece, or piece by piece.
trait Ask {
    const STREAM: bool;
    type Answer;

    /// Sends, and waits until the answer may be committed to. What becomes known is told to the settler; an attempt that is over
    /// with it is settled.
    fn ask<'a>(
        client: &'a dyn ChatClient,
        cx: &'a CallContext,
        request: &'a ChatRequest,
        settler: &'a mut Settler,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send + 'a;
}

enum Whole {}

impl Ask for Whole {
    const STREAM: bool = false;
    type Answer = ChatResponse;

    async fn ask<'a>(
        client: &'a dyn ChatClient,
        cx: &'a CallContext,
        request: &'a ChatRequest,
        settler: &'a mut Settler,
    ) -> Result<ChatResponse, Error> {
        let response = client.chat(cx, request).await?;
        settler.see_response(&response);
        settler.complete();
        Ok(response)
    }
}

enum Pieces {}

/// A stream up to its commit point.
struct Beginning {
    replay: VecDeque<StreamEvent>,
    /// What is still to come; `None` if the end has come already.
    source: Option<ChatStream>,
}

impl Ask for Pieces {
    const STREAM: bool = true;
    type Answer = Beginning;

    async fn ask<'a>(
        client: &'a dyn ChatClient,
        cx: &'a CallContext,
        request: &'a ChatRequest,
        settler: &'a mut Settler,
    ) -> Result<Beginning, Error> {
        let mut source = client.chat_stream(cx, request).await?;
        let mut replay = VecDeque::new();
        loop {
            let event = poll_fn(|cx| source.as_mut().poll_next(cx))
                .await
                .ok_or_else(truncated)??;
            settler.see(&event);
            let (commit, end) = (commits(&event), matches!(event, StreamEvent::End));
            replay.push_back(event);
            if end {
                settler.complete();
                return Ok(Beginning { replay, source: None });
            }
            if commit {
                return Ok(Beginning {
                    replay,
                    source: Some(source),
                });
            }
        }
    }
}

/// Which of the targets that were passed over will have room first: of those that will have it at all, the one with the
/// shortest wait, where an unknown one counts as short.
fn soonest(passed_over: &[PassedOver]) -> Option<usize> {
    (0..passed_over.len())
        .filter(|at| passed_over[*at].error.retry_class() == RetryClass::SameDeployment)
        .min_by_key(|at| passed_over[*at].error.retry_after().unwrap_or_default())
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
