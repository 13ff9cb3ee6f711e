//! Cheap first: an answer is checked, and the next target is asked if it is not good enough.

use async_trait::async_trait;
use integration_core::{ChatRequest, ChatResponse, ErrorKind};

use super::ask::Whole;
use super::deadline::race;
use super::observe::RouteEvent;
use super::walk::{Start, walk};
use super::{Answer, AttemptReport, Call, Executor, Exhausted};
use crate::Target;

/// What a verifier says of an answer. Exhaustive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is good enough.
    Accepted,
    /// It is not, and why.
    Rejected(String),
}

/// Tells whether an answer is good enough, or a better model should be asked. It may ask somebody else for that, and is given up
/// with the call; the time it takes is the call's.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// Looks at an answer that `target` gave.
    async fn verify(&self, target: &Target, request: &ChatRequest, response: &ChatResponse) -> Verdict;
}

/// An answer that was not good enough, with another one asked for. It was billed all the same.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotGoodEnough {
    /// Who gave it.
    pub target: Target,
    /// What it was.
    pub response: ChatResponse,
    /// What the verifier had against it.
    pub why: String,
}

/// What a cascade came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cascaded {
    /// The last answer, with every attempt of the call.
    pub answer: Answer,
    /// What the verifier said of it. If it was rejected, nobody was left to ask, or nobody who was asked answered.
    pub verdict: Verdict,
    /// The answers before it, in order.
    pub rejected: Vec<NotGoodEnough>,
    /// Why the call ended where a better answer was wanted and did not come; `None` if nobody was left to ask.
    pub exhausted: Option<Exhausted>,
}

impl Executor {
    /// Asks for an answer in one piece, and for a better one as long as a verifier says no.
    ///
    /// The first `steps` of the call's targets are worth asking after one another, as in
    /// [`Decision::steps`](crate::Decision::steps); those behind them are there for failures of the first answer alone. An
    /// answer leads to the steps behind the one that gave it, and who was asked already is not asked again. All attempts are of one call: they share its deadline, its numbers and its cap. An
    /// attempt that is made since an answer was not good enough is not a matter of load, and costs nothing of the budget of
    /// extra attempts.
    ///
    /// An answer that is not good enough is better than none: it is returned, with its verdict, if no better one comes.
    ///
    /// # Errors
    /// [`Exhausted`] if there was no answer at all.
    pub async fn cascade(
        &self,
        call: Call<'_>,
        steps: usize,
        verifier: &dyn Verifier,
    ) -> Result<Cascaded, Exhausted> {
        let start = Start::of(self, &call);
        let limit = start.limit;
        let (mut answer, mut number) = match walk::<Whole>(self, &call, start).await {
            Ok(success) => {
                let next = success.next_number;
                (Answer::from(success), next)
            }
            Err(exhausted) => {
                self.tell_end(&call, None, exhausted.attempts.len());
                return Err(exhausted);
            }
        };
        let mut rejected = Vec::new();
        let mut exhausted = None;
        let verdict = loop {
            let mut deadline = limit.wait(&*self.clock);
            let verifying = verifier.verify(&answer.target, call.request, &answer.response);
            let why = match race(&mut deadline, None, verifying).await {
                Ok(Verdict::Accepted) => break Verdict::Accepted,
                Ok(Verdict::Rejected(why)) => why,
                Err(_) => break Verdict::Rejected("the call ended before it was checked".to_owned()),
            };
            self.teller(&call).tell(|request| RouteEvent::NotGoodEnough {
                request,
                number: answer.attempts.last().map_or(0, |attempt| attempt.number),
                target: answer.target.clone(),
            });
            let targets = next_steps(&call, steps, &answer);
            if targets.is_empty() || number > self.config.max_attempts.max(1) {
                break Verdict::Rejected(why);
            }
            let start = Start {
                targets,
                limit,
                number,
                tried: heard(&answer.attempts).cloned().collect(),
            };
            match walk::<Whole>(self, &call, start).await {
                Ok(success) => {
                    number = success.next_number;
                    let mut next = Answer::from(success);
                    answer.attempts.append(&mut next.attempts);
                    answer.passed_over.append(&mut next.passed_over);
                    next.attempts = answer.attempts;
                    next.passed_over = answer.passed_over;
                    rejected.push(NotGoodEnough {
                        target: answer.target,
                        response: answer.response,
                        why,
                    });
                    answer = next;
                }
                Err(error) => {
                    exhausted = Some(error);
                    break Verdict::Rejected(why);
                }
            }
        };
        let failed = exhausted.as_ref().map_or(0, |exhausted| exhausted.attempts.len());
        self.tell_end(&call, Some(&answer.target), answer.attempts.len() + failed);
        Ok(Cascaded {
            answer,
            verdict,
            rejected,
            exhausted,
        })
    }
}

/// Who was asked and heard to the end of its attempt: not whoever was given up for another.
fn heard(attempts: &[AttemptReport]) -> impl Iterator<Item = &Target> {
    let given_up = |attempt: &&AttemptReport| {
        let error = attempt.error.as_ref();
        error.is_some_and(|error| error.kind() == ErrorKind::Cancelled)
    };
    attempts
        .iter()
        .filter(move |attempt| !given_up(attempt))
        .map(|attempt| &attempt.target)
}

/// The steps behind the one that answered. One before it that was passed over is no better, and none is asked twice.
fn next_steps<'c>(call: &'c Call<'_>, steps: usize, answer: &Answer) -> Vec<&'c Target> {
    let steps = call.targets.get(..steps).unwrap_or(call.targets);
    let place = |target: &Target| steps.iter().position(|step| step == target);
    // Whoever answered may be no step, but of a chain; then those count that were asked.
    let last = place(&answer.target).or_else(|| heard(&answer.attempts).filter_map(place).max());
    let behind = steps.iter().skip(last.map_or(0, |place| place + 1));
    behind
        .filter(|step| !heard(&answer.attempts).any(|heard| heard == *step))
        .collect()
}
