//! What a call may cost before it is made, what is held for it, and what a budget says that refuses it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use costing::budget::{
    Account, BudgetError, BudgetFacts, BudgetRefusal, BudgetRules, Claim, Demand, Estimate, HoldPolicy,
    LocalBudgets, OutputLengths, ReservationId, Scope, Subject, Window, worst_case,
};
use costing::{BudgetStore, Caller, MarkupRule, Pico, PriceSheet, UtcTime};
use integration_core::chat::Content;
use integration_core::{Capability, ChatRequest, Error, ErrorKind, ModelId, RetryClass};
use model_catalogue::ModelRecord;
use serde_json::{Value, json};

use crate::config::Settings;

/// The word for a call that a budget refuses, in errors.
pub const BUDGET_EXCEEDED: &str = "budget_exceeded";

/// A hold outlives the call it is for by so much before it is given up as lost.
const LATE: Duration = Duration::from_secs(60);

/// How long to wait where calls that run hold what is missing.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// So many soft limits are remembered to have been passed; beyond that some are told of once more.
const MOST_WARNED: usize = 10_000;

/// Tokens that a picture is taken for in a prompt. Providers make a few hundred to some sixteen hundred of one.
const PICTURE: u64 = 2_000;

/// What may be spent, what is held, and how long answers use to be.
pub struct Spending {
    rules: Arc<BudgetRules>,
    store: Arc<dyn BudgetStore>,
    hold: HoldPolicy,
    /// How long an answer is taken to be until its model's usual length is known.
    usual: u64,
    lengths: Mutex<BTreeMap<ModelId, OutputLengths>>,
    /// The soft limits that were passed, and the end of the window of which that was said.
    warned: Mutex<BTreeMap<Account, Option<UtcTime>>>,
}

/// Without the lengths, which are many.
impl fmt::Debug for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spending")
            .field("store", &self.store)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}

/// What an attempt would be made at.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The model as it is listed; `None` where no list has it.
    pub model: Option<&'a ModelRecord>,
    /// Its prices.
    pub sheet: Option<&'a PriceSheet>,
    /// What is added to its cost.
    pub markup: MarkupRule,
    /// When.
    pub at: UtcTime,
}

impl Spending {
    /// The budgets of the settings, of which nothing is spent yet.
    pub fn new(settings: &Settings, store: Arc<dyn BudgetStore>) -> Self {
        Self {
            rules: Arc::clone(&settings.budgets),
            store,
            hold: settings.hold,
            usual: settings.usual_completion,
            lengths: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    /// No budgets at all, for calls that no caller asked for.
    pub(crate) fn unlimited(settings: &Settings) -> Self {
        Self {
            rules: Arc::default(),
            ..Self::new(settings, Arc::new(LocalBudgets::<Mutex<_>>::new()))
        }
    }

    /// What is to be held for an attempt, where that can be said.
    pub(crate) fn worst(&self, estimate: &CallEstimate, offer: &Offer<'_>) -> Option<Pico> {
        self.demand(estimate, offer, offer.sheet?).amount()
    }

    /// Where they are kept.
    pub fn store(&self) -> &Arc<dyn BudgetStore> {
        &self.store
    }

    /// The limits.
    pub fn rules(&self) -> &BudgetRules {
        &self.rules
    }

    /// What an attempt asks of every budget it is under. `time` is what the call has left.
    pub fn claim(
        &self,
        id: ReservationId,
        subject: &Subject,
        estimate: &CallEstimate,
        offer: &Offer<'_>,
        time: Duration,
    ) -> Claim {
        if self.rules.is_empty() {
            return self.rules.claim(id, subject, Demand::NoPrices, offer.at, time);
        }
        let demand = match offer.sheet {
            Some(sheet) => self.demand(estimate, offer, sheet),
            None => Demand::NoPrices,
        };
        self.rules
            .claim(id, subject, demand, offer.at, time.saturating_add(LATE))
    }

    fn demand(&self, estimate: &CallEstimate, offer: &Offer<'_>, sheet: &PriceSheet) -> Demand {
        let longest = offer.model.and_then(longest_answer);
        let one = match (estimate.limit, longest) {
            (Some(limit), Some(longest)) => Some(limit.min(longest)),
            (limit, longest) => limit.or(longest),
        };
        let mut known = estimate.known;
        if let Some(one) = one {
            known = known.with_most_completion_tokens(one.saturating_mul(estimate.answers));
        }
        let learnt = offer.model.and_then(|model| {
            let lengths = self.lengths.lock().unwrap_or_else(PoisonError::into_inner);
            lengths.get(&model.id)?.p95()
        });
        let usual = learnt.unwrap_or(self.usual).saturating_mul(estimate.answers);
        let hold = self.hold.with_usual_completion(usual);
        worst_case(&known, sheet, offer.at, offer.markup, &hold).into()
    }

    /// Says once of each soft limit in its window that it is passed. Users are not named: their names are their own affair.
    pub fn warn(&self, passed: &[BudgetFacts]) {
        for facts in passed {
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            let before = warned.insert(facts.account.clone(), facts.resets_at);
            if before == Some(facts.resets_at) {
                continue;
            }
            if warned.len() > MOST_WARNED {
                warned.clear();
            }
            let of = match &facts.account.scope {
                Scope::User { key, .. } => format!("a user of key {key}"),
                scope => scope.to_string(),
            };
            tracing::warn!(
                "the soft budget of {of} per {} is passed: ${}",
                facts.account.window,
                facts.limit
            );
        }
    }

    /// Takes note of how long an answer was.
    pub fn see(&self, model: &ModelId, completion_tokens: u64) {
        let mut lengths = self.lengths.lock().unwrap_or_else(PoisonError::into_inner);
        lengths.entry(model.clone()).or_default().see(completion_tokens);
    }

    /// How every budget stands that anything was counted in, or that a rule names; of a caller, those that its calls are under and
    /// those of its own users.
    ///
    /// # Errors
    /// The store's own trouble.
    pub async fn overview(&self, of: Option<&Caller>, at: UtcTime) -> Result<Vec<BudgetFacts>, BudgetError> {
        let mut accounts = self.store.counted(at).await?;
        accounts.extend(self.rules.named());
        accounts.sort_unstable();
        accounts.dedup();
        if let Some(caller) = of {
            let subject = Subject::new(caller);
            accounts.retain(|account| match &account.scope {
                Scope::User { key, .. } => **key == *caller.key,
                scope => subject.scope(scope.kind()).as_ref() == Some(scope),
            });
        }
        // A budget per request has nothing to show between requests.
        let limits = accounts
            .into_iter()
            .filter(|account| account.window != Window::Request)
            .map(|account| {
                let limits = self.rules.limits(&account);
                (account, limits)
            });
        self.store.facts(&limits.collect::<Vec<_>>(), at).await
    }

    /// Whether anything is counted that a call could be refused for.
    pub fn is_limited(&self) -> bool {
        !self.rules.is_empty()
    }
}

fn longest_answer(model: &ModelRecord) -> Option<u64> {
    model.max_completion_tokens.or(model.context_length)
}

/// What is known of a call before it is made, whatever model it goes to.
#[derive(Debug, Clone, Copy)]
pub struct CallEstimate {
    known: Estimate,
    /// The most tokens of one answer, where the request says so.
    limit: Option<u64>,
    /// How many answers are asked for.
    answers: u64,
}

impl CallEstimate {
    /// A request whose prompt has about so many tokens of text.
    pub fn of(request: &ChatRequest, prompt_tokens: u64) -> Self {
        let needs = request.needs();
        let parts = || {
            let contents = request
                .messages
                .iter()
                .filter_map(|message| match &message.content {
                    Some(Content::Parts(parts)) => Some(parts.as_slice()),
                    _ => None,
                });
            contents.flatten()
        };
        let pictures = parts().filter(|part| part.kind == "image_url").count();
        let pictures = u64::try_from(pictures)
            .unwrap_or(u64::MAX)
            .saturating_mul(PICTURE);
        let mut known = Estimate::new(prompt_tokens.saturating_add(pictures));
        if needs.contains(Capability::Vision) {
            known = known.with_image_prompt();
        }
        if needs.contains(Capability::AudioInput) {
            known = known.with_audio_prompt();
        }
        if needs.contains(Capability::AudioOutput) {
            known = known.with_audio_completion();
        }
        if needs.contains(Capability::ImageOutput) {
            known = known.with_image_completion();
        }
        let an_hour = |cache: &Value| cache.get("ttl").and_then(Value::as_str) == Some("1h");
        if parts().any(|part| part.fields.get("cache_control").is_some_and(an_hour)) {
            known = known.with_hour_cache();
        }
        Self {
            known: known.with_searches(u64::from(searches_the_web(request))),
            limit: request.completion_limit(),
            answers: request.extra.get("n").and_then(Value::as_u64).unwrap_or(1).max(1),
        }
    }
}

/// Whether the request asks the provider to search the web: by the model's suffix, a plugin or the options of a search.
fn searches_the_web(request: &ChatRequest) -> bool {
    let by_plugin = |plugins: &Value| {
        let mut plugins = plugins.as_array().into_iter().flatten();
        plugins.any(|plugin| plugin.get("id").and_then(Value::as_str) == Some("web"))
    };
    request
        .model
        .as_str()
        .split(':')
        .skip(1)
        .any(|suffix| suffix == "online")
        || request.extra.get("plugins").is_some_and(by_plugin)
        || request.extra.contains_key("web_search_options")
}

/// A refusal as the error of an attempt: the next model may be cheaper, so the call goes on to it.
pub fn refused(error: BudgetError) -> Error {
    match error {
        BudgetError::Refused(refusal) => {
            let (kind, wait) = if refusal.is_transient() {
                (ErrorKind::RateLimited, Some(IN_FLIGHT))
            } else {
                (ErrorKind::Billing, None)
            };
            let error = Error::new(kind, refusal.to_string())
                .with_code(BUDGET_EXCEEDED)
                .with_retry_class(RetryClass::OtherDeployment);
            match wait {
                Some(wait) => error.with_retry_after(wait),
                None => error,
            }
        }
        other => Error::new(
            ErrorKind::Config,
            "the budgets cannot be read, so nothing was sent",
        )
        .with_retry_class(RetryClass::Never)
        .with_source(other),
    }
}

/// How an account stands, as JSON.
pub fn facts(facts: &BudgetFacts) -> Value {
    let window = facts.account.window;
    json!({
        "scope": facts.account.scope.kind().as_str(),
        "name": facts.account.scope.name(),
        "window": window.as_str(),
        "level": facts.level.as_str(),
        "limit_usd": facts.limit.to_string(),
        "spent_usd": facts.spent.to_string(),
        "reserved_usd": facts.reserved.to_string(),
        "remaining_usd": facts.remaining().to_string(),
        "resets_at": facts.resets_at.filter(|_| window != Window::Request).and_then(rfc3339),
    })
}

/// A refusal, as JSON.
pub fn refusal(refusal: &BudgetRefusal) -> Value {
    let mut object = facts(&refusal.facts);
    object["asked_usd"] = json!(refusal.asked.map(|asked| asked.to_string()));
    object["reason"] = json!(refusal.reason.as_str());
    object
}

/// An instant as RFC 3339; `None` beyond the years that has.
pub fn rfc3339(time: UtcTime) -> Option<String> {
    let at = jiff::Timestamp::from_second(time.unix()).ok()?;
    Some(at.to_string())
}
