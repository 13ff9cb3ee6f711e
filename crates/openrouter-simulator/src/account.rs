//! What an account may still do: credits, requests on their way, limits of keys, budgets, and the counters of free models.

use std::collections::BTreeMap;
use std::time::Duration;

use costing::{PriceKey, PriceSheet, UtcTime};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use crate::bill::Terms;
use crate::endpoint::Endpoint;
use crate::moment::Moment;
use crate::preferences::Preferences;
use crate::problem::Problem;
use crate::routes::dates::{DAY, day_of, month_start, next_month, rfc3339, week_start};
use crate::routes::money::Money;
use crate::routes::spending::{Spending, Windows};
use crate::scenario::account::{AccountShape, BudgetScope, BudgetShape, Interval};
use crate::simulation::Simulation;

/// How many requests for free models a minute takes.
pub(crate) const FREE_A_MINUTE: u32 = 20;
/// And a day, for accounts that have bought few credits and for the others.
const FREE_A_DAY: u32 = 50;
const FREE_A_DAY_HIGH: u32 = 1_000;
/// From so many dollars bought on. The service says 10 and means 9.
const HIGH_BALANCE: Decimal = Decimal::from_parts(9, 0, 0, false, 0);
/// What a request is held for where it does not say how long the answer may be.
const ASSUMED_OUTPUT: u64 = 65_536;
/// The most output that is held for.
const HELD_OUTPUT: u64 = 16_384;

/// What changes of an account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The minute and the day of the last request for a free model, and how many there have been in each.
    free_minute: (i64, u32),
    free_day: (i64, u32),
    /// What is held for requests on their way, by the number of the hold.
    holds: BTreeMap<u64, Hold>,
    held_before: u64,
    /// The month, by its first day, and what own keys bought in it by list price.
    own_keys: (i64, Decimal),
}

/// Dollars held for a request on its way. Only its end lets them go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    dollars: Decimal,
    /// When the answer is likely to have been read: for the time to come back, and for nothing else.
    until: Duration,
}

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    prompt: Decimal,
    per_output: Decimal,
    pub(crate) output: u64,
}

impl Weight {
    /// `None` where there is no price.
    pub(crate) fn new(sheet: &PriceSheet, prompt: u64, most: Option<u64>, at: UtcTime) -> Option<Self> {
        let prompt_cost = sheet
            .rate(PriceKey::Prompt, prompt, at)?
            .checked_mul(Decimal::from(prompt))?;
        let request = sheet.rate(PriceKey::Request, prompt, at).unwrap_or_default();
        Some(Self {
            prompt: prompt_cost.checked_add(request)?,
            per_output: sheet.rate(PriceKey::Completion, prompt, at)?,
            output: most.unwrap_or(ASSUMED_OUTPUT),
        })
    }

    fn of(&self, output: u64) -> Decimal {
        self.prompt
            .saturating_add(self.per_output.saturating_mul(Decimal::from(output)))
    }

    /// What is held for it.
    pub(crate) fn held(&self) -> Decimal {
        self.of(self.output.min(HELD_OUTPUT))
    }
}

/// The first second after a span of time that this one lies in.
fn next(interval: Interval, at: UtcTime) -> UtcTime {
    let today = day_of(at);
    let day = match interval {
        Interval::Daily => today + 1,
        Interval::Weekly => week_start(today) + 7,
        Interval::Monthly => next_month(today),
    };
    UtcTime::from_unix(day * DAY)
}

fn window(interval: Option<Interval>, spent: &Windows) -> Decimal {
    match interval {
        None => spent.all,
        Some(Interval::Daily) => spent.day,
        Some(Interval::Weekly) => spent.week,
        Some(Interval::Monthly) => spent.month,
    }
}

fn name(interval: Option<Interval>) -> &'static str {
    match interval {
        None => "total",
        Some(Interval::Daily) => "daily",
        Some(Interval::Weekly) => "weekly",
        Some(Interval::Monthly) => "monthly",
    }
}

fn dollars(amount: Decimal) -> Value {
    serde_json::to_value(Money(amount)).unwrap_or_default()
}

/// How an amount that may not be exceeded has been exceeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exceeded {
    pub(crate) limit: Decimal,
    pub(crate) spent: Decimal,
    pub(crate) reset: Option<Interval>,
}

/// The limit of a key, in either of the two ways in which the service tells of it.
pub(crate) fn key_limit(status: u16, exceeded: Exceeded, at: UtcTime) -> Problem {
    let message = format!("Key limit exceeded ({} limit).", name(exceeded.reset));
    let problem = Problem::new(status, message).with("limit_source", "openrouter_key_limit");
    if status == 402 {
        return problem.with("error_type", "payment_required");
    }
    with_limit(
        problem.with("error_type", "permission_denied"),
        "key_limit",
        exceeded,
        at,
    )
}

/// A budget of the account, which never comes as a 402.
pub(crate) fn budget(scope: BudgetScope, exceeded: Exceeded, at: UtcTime) -> Problem {
    let (which, source, scope) = match scope {
        BudgetScope::Guardrail => ("Guardrail", "openrouter_guardrail_budget", "guardrail"),
        BudgetScope::Workspace => ("Workspace", "openrouter_workspace_budget", "workspace"),
    };
    let message = format!("{which} budget exceeded ({} limit).", name(exceeded.reset));
    let problem = Problem::new(403, message)
        .with("error_type", "permission_denied")
        .with("limit_source", source);
    with_limit(problem, scope, exceeded, at)
}

fn with_limit(problem: Problem, scope: &str, exceeded: Exceeded, at: UtcTime) -> Problem {
    let resets = exceeded.reset.map(|interval| rfc3339(next(interval, at)));
    problem
        .with("scope", scope)
        .with("limit_usd", dollars(exceeded.limit))
        .with("spend_usd", dollars(exceeded.spent))
        .with("resets_at", resets)
}

/// The balance is below zero: nothing is served, not even what is free.
pub(crate) fn no_credits() -> Problem {
    Problem::new(
        402,
        "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    )
    .with("error_type", "payment_required")
    .with("limit_source", "openrouter_credits")
}

/// The answer may cost more than there is.
pub(crate) fn too_long_for_the_balance(asked: u64, affordable: u64) -> Problem {
    Problem::new(
        402,
        format!(
            "This request requires more credits, or fewer max_tokens. You requested up to {asked} tokens, but can only \
             afford {affordable}. To increase, visit https://openrouter.ai/settings/credits and add more credits"
        ),
    )
    .with("error_type", "payment_required")
    .with("limit_source", "openrouter_credits")
}

/// This request alone would hold more than requests on their way may.
pub(crate) fn weighs_too_much() -> Problem {
    Problem::new(
        402,
        "This request may cost more than your balance allows to be in flight at once",
    )
    .with("error_type", "payment_required")
    .with("limit_source", "openrouter_credits")
    .with("reason", "weight_exceeds_budget")
}

/// The requests on their way hold all they may.
pub(crate) fn in_flight(seconds: u64) -> Problem {
    Problem::new(
        402,
        "Too many requests are in flight for your balance. Retry when some have settled",
    )
    .with("error_type", "payment_required")
    .with("limit_source", "openrouter_in_flight_budget")
    .with("reason", "in_flight_budget_exhausted")
    .come_back_after(seconds)
}

/// A limit of the free models: the service's own 429, with the time of the reset in milliseconds.
pub(crate) fn free_limit(which: &str, hint: &str, limit: u32, resets_ms: i64) -> Problem {
    let headers = [
        ("X-RateLimit-Limit", "x-ratelimit-limit", limit.to_string()),
        ("X-RateLimit-Remaining", "x-ratelimit-remaining", "0".to_owned()),
        ("X-RateLimit-Reset", "x-ratelimit-reset", resets_ms.to_string()),
    ];
    let written: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, _, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let mut problem = Problem::new(429, format!("Rate limit exceeded: {which}. {hint}"))
        .with("error_type", "rate_limit_exceeded")
        .with("headers", written);
    if which != PER_MINUTE {
        problem = problem.with("limit_source", "openrouter_free_tier_daily");
    }
    headers.into_iter().fold(problem, |problem, (_, name, value)| {
        problem.with_header(name, value)
    })
}

pub(crate) const PER_MINUTE: &str = "free-models-per-min";
pub(crate) const PER_DAY: &str = "free-models-per-day";
pub(crate) const PER_DAY_HIGH: &str = "free-models-per-day-high-balance";

/// A text that the account does not let through.
pub(crate) fn blocked(pattern: &str) -> Problem {
    Problem::new(
        403,
        "Request blocked: the input matches a pattern of your guardrail",
    )
    .with("error_type", "permission_denied")
    .with("patterns", json!([pattern]))
}

impl AccountShape {
    /// What a request wants of those who serve it, together with what the account wants.
    pub(crate) fn narrowed(&self, wanted: &Preferences) -> Preferences {
        let mut wanted = wanted.clone();
        wanted.ignore.extend(self.ignored_providers.iter().cloned());
        wanted.zdr |= self.zdr;
        wanted.deny_collection |= self.deny_data_collection;
        wanted
    }

    /// Whether the account lets an endpoint serve.
    pub(crate) fn allows(&self, endpoint: &Endpoint) -> bool {
        let list = self.allowed_providers.as_ref();
        list.is_none_or(|list| list.iter().any(|slug| endpoint.is_named(slug)))
    }

    /// Whether the account has a key of its own for an endpoint.
    pub(crate) fn has_own_key(&self, endpoint: &Endpoint) -> bool {
        self.byok.iter().any(|slug| slug == endpoint.upstream.slug)
    }

    /// The budgets in the order in which they are looked at: those of guardrails come before those of the workspace.
    pub(crate) fn budgets(&self) -> impl Iterator<Item = &BudgetShape> {
        let of = |scope| self.budgets.iter().filter(move |one| one.scope == scope);
        of(BudgetScope::Guardrail).chain(of(BudgetScope::Workspace))
    }
}

impl Simulation {
    /// Whether a key may ask for anything that costs money at all. Its own limit is looked at last.
    pub(crate) fn may_ask(&self, key: u64, now: Moment) -> Result<(), Problem> {
        let state = self.state();
        let spending = &state.memory.spending;
        let made_here = state.accounts.record(key).is_some();
        Account::let_in(&self.config.scenario.account, spending, key, made_here, now)?;
        state.accounts.may_spend(key, now.utc(), spending.of(key))
    }
}

impl Account {
    /// What the account has left; `None` where there is no end to it.
    fn balance(shape: &AccountShape, spending: &Spending) -> Option<Decimal> {
        let bought = shape.credits?.0;
        Some(
            bought
                .saturating_sub(shape.used.0)
                .saturating_sub(spending.total()),
        )
    }

    /// What no request gets past, whatever it asks for.
    pub(crate) fn let_in(
        shape: &AccountShape,
        spending: &Spending,
        key: u64,
        made_here: bool,
        now: Moment,
    ) -> Result<(), Problem> {
        let at = now.utc();
        if Self::balance(shape, spending)
            .is_some_and(|balance| balance.is_sign_negative() && !balance.is_zero())
        {
            return Err(no_credits());
        }
        for one in shape.budgets() {
            let spent = window(Some(one.reset), &spending.account().charged(at));
            if spent >= one.limit.0 {
                let exceeded = Exceeded {
                    limit: one.limit.0,
                    spent,
                    reset: Some(one.reset),
                };
                return Err(budget(one.scope, exceeded, at));
            }
        }
        if let Some(limit) = shape.key_limit.filter(|_| !made_here) {
            let of_key = spending.of(key);
            let mut spent = window(limit.reset, &of_key.charged(at));
            if limit.include_byok {
                spent = spent.saturating_add(window(limit.reset, &of_key.byok(at)));
            }
            if spent >= limit.limit.0 {
                let exceeded = Exceeded {
                    limit: limit.limit.0,
                    spent,
                    reset: limit.reset,
                };
                return Err(key_limit(limit.status, exceeded, at));
            }
        }
        Ok(())
    }

    /// Whether the balance bears what a request may cost. Where the balance is low, that is held at once, until
    /// [`release`](Self::release) is told the number that this gives.
    pub(crate) fn afford(
        &mut self,
        shape: &AccountShape,
        spending: &Spending,
        weight: &Weight,
        now: Moment,
    ) -> Result<Option<u64>, Problem> {
        let Some(balance) = Self::balance(shape, spending) else {
            return Ok(None);
        };
        if weight.of(weight.output) > balance {
            // Nothing could be asked for that costs less.
            if weight.output == 0 {
                return Err(no_credits());
            }
            let left = balance.saturating_sub(weight.prompt).max(Decimal::ZERO);
            let affordable = left.checked_div(weight.per_output).unwrap_or_default().floor();
            return Err(too_long_for_the_balance(
                weight.output,
                affordable.to_u64().unwrap_or(u64::MAX),
            ));
        }
        if shape.low_balance.is_none_or(|low| balance >= low.0) {
            return Ok(None);
        }
        let most = balance.saturating_mul(shape.in_flight_share);
        let dollars = weight.held();
        if dollars > most {
            return Err(weighs_too_much());
        }
        let mut all = self
            .holds
            .values()
            .fold(dollars, |sum, hold| sum.saturating_add(hold.dollars));
        if all > most {
            // When enough of them are likely to have settled.
            let mut holds: Vec<Hold> = self.holds.values().copied().collect();
            holds.sort_by_key(|hold| hold.until);
            let mut wait = Duration::ZERO;
            for hold in holds {
                wait = hold.until.saturating_sub(now.since);
                all = all.saturating_sub(hold.dollars);
                if all <= most {
                    break;
                }
            }
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Err(in_flight(seconds.max(1)));
        }
        self.held_before += 1;
        let until = now.since;
        self.holds.insert(self.held_before, Hold { dollars, until });
        Ok(Some(self.held_before))
    }

    /// Says when a request that something is held for is likely to end.
    pub(crate) fn expect(&mut self, hold: u64, until: Duration) {
        if let Some(hold) = self.holds.get_mut(&hold) {
            hold.until = until;
        }
    }

    /// Lets go what was held for a request that has ended, however it did.
    pub(crate) fn release(&mut self, hold: Option<u64>) {
        if let Some(hold) = hold {
            self.holds.remove(&hold);
        }
    }

    /// Counts a request for a free model, or says why there is none left.
    pub(crate) fn count_free(&mut self, shape: &AccountShape, now: Moment) -> Result<(), Problem> {
        if !shape.free_limits {
            return Ok(());
        }
        if self.free_minute.0 != now.minute() {
            self.free_minute = (now.minute(), 0);
        }
        if self.free_day.0 != now.day() {
            self.free_day = (now.day(), 0);
        }
        let limit = Self::free_a_day(shape);
        if self.free_day.1 >= limit {
            let midnight = (now.day() + 1) * DAY * 1_000;
            return Err(if limit == FREE_A_DAY_HIGH {
                free_limit(PER_DAY_HIGH, "", limit, midnight)
            } else {
                let hint = "Add 10 credits to unlock 1000 free model requests per day";
                free_limit(PER_DAY, hint, limit, midnight)
            });
        }
        if self.free_minute.1 >= FREE_A_MINUTE {
            return Err(free_limit(
                PER_MINUTE,
                "",
                FREE_A_MINUTE,
                (now.minute() + 1) * 60_000,
            ));
        }
        self.free_minute.1 += 1;
        self.free_day.1 += 1;
        Ok(())
    }

    fn free_a_day(shape: &AccountShape) -> u32 {
        match shape.credits {
            Some(bought) if bought.0 < HIGH_BALANCE => FREE_A_DAY,
            _ => FREE_A_DAY_HIGH,
        }
    }

    /// How many requests for free models a day takes, and how many there have been today.
    pub(crate) fn free_requests(&self, shape: &AccountShape, now: Moment) -> (u32, u32) {
        let used = if self.free_day.0 == now.day() {
            self.free_day.1
        } else {
            0
        };
        (Self::free_a_day(shape), used)
    }

    /// How a call with an own key is charged.
    pub(crate) fn own_key_terms(&self, shape: &AccountShape, now: Moment) -> Terms {
        let month = month_start(now.day());
        let bought = if self.own_keys.0 == month {
            self.own_keys.1
        } else {
            Decimal::ZERO
        };
        Terms::OwnKey {
            free: shape.byok_allowance.0.saturating_sub(bought).max(Decimal::ZERO),
            share: shape.byok_fee,
        }
    }

    /// Counts what an own key buys, by list price, from the start of the call on; what then comes otherwise is counted with
    /// the time of that start again, as the difference.
    pub(crate) fn own_key_bought(&mut self, list_price: Decimal, started: Moment) {
        let month = month_start(started.day());
        if self.own_keys.0 < month {
            self.own_keys = (month, Decimal::ZERO);
        }
        if self.own_keys.0 == month {
            self.own_keys.1 = self.own_keys.1.saturating_add(list_price);
        }
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
