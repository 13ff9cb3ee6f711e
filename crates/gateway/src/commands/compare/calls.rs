//! The calls of a comparison: each by the road of every other call, so many at once, and each in the ledger whatever becomes of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use costing::{Charge, CostStatus, Pico};
use integration_core::ModelId;
use integration_core::chat::{ChatRequest, ChatResponse, Message};
use routing::{AttemptResult, Trial};
use rust_decimal::Decimal;

use super::prompts::Prompt;
use crate::app::App;
use crate::call::{Body, RouteOptions};
use crate::checks::Check;
use crate::commands::one_call::{Failure, OneCall};
use crate::ledger::{CallRecord, SettledAttempt};
use crate::pricing::total;

/// One call, over.
#[derive(Debug)]
pub(super) struct Asked {
    /// What the ledger has of it; `None` if it was refused before it had a name.
    pub(super) record: Option<Arc<CallRecord>>,
    /// The answer, or why there is none.
    pub(super) result: Result<ChatResponse, Failure>,
}

impl Asked {
    /// A call that was refused before it had a name.
    fn refused(kind: &str, message: impl Into<String>) -> Self {
        Self {
            record: None,
            result: Err(Failure::new(kind, message)),
        }
    }

    /// Its attempts, as they are in the ledger.
    pub(super) fn attempts(&self) -> Vec<SettledAttempt> {
        self.record
            .as_ref()
            .map_or_else(Vec::new, |record| record.attempts())
    }

    /// What it cost.
    pub(super) fn charge(&self) -> Charge {
        sum_of(&self.charges())
    }

    /// What each of its attempts cost.
    pub(super) fn charges(&self) -> Vec<Charge> {
        self.attempts().iter().map(|attempt| attempt.charge).collect()
    }

    /// The figures of its answer, all as the ledger has them, with what its checks said.
    pub(super) fn trial(&self, checks: &[Check]) -> Trial {
        let attempts = self.attempts();
        let is_known = attempts.iter().all(|attempt| attempt.charge.cost.is_some());
        let cost = self.charge().cost.filter(|_| is_known);
        let whole = attempts
            .iter()
            .rev()
            .find(|attempt| matches!(attempt.outcome.result, AttemptResult::Complete));
        let (Some(whole), Ok(_)) = (whole, &self.result) else {
            return Trial::failed().with_cost(cost);
        };
        let outcome = &whole.outcome;
        let count = |checks: usize| u32::try_from(checks).unwrap_or(u32::MAX);
        let passed = checks.iter().filter(|check| check.failure.is_none()).count();
        let mut trial = Trial::answered()
            .with_cost(cost)
            .with_checks(count(passed), count(checks.len()));
        trial.latency = Some(outcome.duration);
        trial.first_content = outcome.first_content;
        if let Some(usage) = &outcome.usage {
            trial.prompt_tokens = usage.prompt_tokens;
            trial.completion_tokens = usage.completion_tokens;
            trial.reasoning_tokens = usage.reasoning_tokens;
        }
        trial
    }
}

/// The sum of what is known, under the least certain status. Where nothing was sent nothing was spent, and that is certain.
pub(super) fn sum_of(charges: &[Charge]) -> Charge {
    if charges.is_empty() {
        return Charge {
            cost: Some(Pico::ZERO),
            markup: Some(Pico::ZERO),
            charge: Some(Pico::ZERO),
            status: CostStatus::Exact,
            ..total(charges)
        };
    }
    total(charges)
}

/// What a call is for; in the ledger it is a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Answer,
    Judgement,
}

impl Purpose {
    const fn tag(self) -> &'static str {
        match self {
            Self::Answer => "compare",
            Self::Judgement => "compare-judge",
        }
    }
}

/// What all calls of a comparison are made with.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    pub(super) app: &'a App,
    /// The most a call may be expected to cost.
    pub(super) max_cost: Option<Decimal>,
    /// The most tokens a compared answer may have.
    pub(super) max_tokens: Option<u64>,
    /// How many calls run at once.
    pub(super) at_once: usize,
    /// Every call that has a name, and what it is for, so that what an interruption cuts off is waited for.
    begun: Mutex<Vec<(Purpose, Arc<CallRecord>)>>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(
        app: &'a App,
        max_cost: Option<Decimal>,
        max_tokens: Option<u64>,
        at_once: usize,
    ) -> Self {
        Self {
            app,
            max_cost,
            max_tokens,
            at_once,
            begun: Mutex::default(),
        }
    }

    /// Asks a model a prompt.
    pub(super) async fn answer(&self, prompt: &Prompt, model: &ModelId) -> Asked {
        let mut request = ChatRequest::new(model.clone(), prompt.messages.clone());
        request.response_format.clone_from(&prompt.response_format);
        request.tools.clone_from(&prompt.tools);
        request.tool_choice.clone_from(&prompt.tool_choice);
        request.max_tokens = self.max_tokens;
        self.ask(request, Purpose::Answer).await
    }

    /// Asks a judge.
    pub(super) async fn judge(&self, judge: &ModelId, messages: Vec<Message>, is_formed: bool) -> Asked {
        let mut request = ChatRequest::new(judge.clone(), messages);
        request.response_format = is_formed.then(routing::judge_format);
        self.ask(request, Purpose::Judgement).await
    }

    async fn ask(&self, request: ChatRequest, purpose: Purpose) -> Asked {
        let app = self.app;
        let options = RouteOptions {
            max_cost_usd: self.max_cost,
            tags: vec![purpose.tag().to_owned()],
            ..RouteOptions::default()
        };
        // The model that was named comes first. What a caller would fall back to is another model.
        let call = match OneCall::begin(app, Body::new(request, true, options), true) {
            Ok(call) => call,
            Err(refused) => return Asked::refused(refused.code, refused.message),
        };
        self.lock().push((purpose, Arc::clone(&call.record)));
        let result = call.answer(|_| true).await;
        Asked {
            record: Some(call.record),
            result,
        }
    }

    /// Waits until everything of this purpose that was begun is in the ledger, and says what it cost attempt by attempt.
    pub(super) async fn written(&self, purpose: Purpose) -> Vec<Charge> {
        let begun = self.lock().clone();
        let mut charges = Vec::new();
        for (_, record) in begun.iter().filter(|(of, _)| *of == purpose) {
            record.written().await;
            charges.extend(record.attempts().iter().map(|attempt| attempt.charge));
        }
        charges
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Purpose, Arc<CallRecord>)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds, for JSON.
pub(super) fn milliseconds(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
