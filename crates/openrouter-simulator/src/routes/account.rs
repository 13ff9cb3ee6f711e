//! The account and the key that asks.

use std::collections::BTreeMap;

use model_catalogue::Day;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};

use crate::dice::fingerprint;
use crate::problem::{Problem, USER_ID};
use crate::routes::accounts::{KeyRecord, Standing, label_of};
use crate::routes::dates::{date, day_of, rfc3339};
use crate::routes::keys::WORKSPACE;
use crate::routes::money::Money;
use crate::routes::page::{Call, Page, Refusal};
use crate::routes::spending::{Line, Sums};
use crate::scenario::account::{BudgetScope, Interval};
use crate::simulation::Simulation;

/// A limit of a key, as a layer of its budget.
#[derive(Debug, Clone, Serialize)]
struct Budget {
    scope: &'static str,
    guardrail_id: Option<String>,
    budget_id: Option<String>,
    limit_usd: Money,
    spend_usd: Money,
    remaining_usd: Money,
    reset_interval: Option<&'static str>,
    resets_at: Option<String>,
    include_byok: bool,
}

impl Budget {
    fn of(scope: &'static str, standing: &Standing, include_byok: bool) -> Self {
        let id = |owner: &str| (scope == owner).then(|| endpoint_id(owner, "budget"));
        Self {
            scope,
            guardrail_id: id("member"),
            budget_id: id("workspace"),
            limit_usd: Money(standing.limit),
            spend_usd: Money(standing.spent),
            // Unlike what is left of a limit, this goes below zero.
            remaining_usd: Money(standing.limit.saturating_sub(standing.spent)),
            reset_interval: standing.reset.map(Interval::name),
            resets_at: standing.resets.map(rfc3339),
            include_byok,
        }
    }
}

#[derive(Debug, Serialize)]
struct KeyPage {
    label: String,
    limit: Option<Money>,
    limit_remaining: Option<Money>,
    limit_reset: Option<&'static str>,
    usage: Money,
    usage_daily: Money,
    usage_weekly: Money,
    usage_monthly: Money,
    byok_usage: Money,
    byok_usage_daily: Money,
    byok_usage_weekly: Money,
    byok_usage_monthly: Money,
    include_byok_in_limit: bool,
    is_free_tier: bool,
    is_management_key: bool,
    is_provisioning_key: bool,
    creator_user_id: Option<String>,
    organization_id: Option<String>,
    workspace_id: &'static str,
    expires_at: Option<String>,
    allowed_data_regions: [&'static str; 1],
    free_model_daily_requests: Value,
    budgets: Vec<Budget>,
    effective_budget: Option<Budget>,
    rate_limit: Value,
    simulated: bool,
}

/// `GET /key`.
pub(crate) fn key(simulation: &Simulation, call: &Call<'_>) -> Page {
    let moment = simulation.moment();
    let now = moment.utc();
    let key = call.key();
    let shape = &simulation.config.scenario.account;
    let state = simulation.state();
    let spending = state.memory.spending.of(key);
    let (charged, byok) = (spending.charged(now), spending.byok(now));
    let record: Option<&KeyRecord> = state.accounts.record(key);
    // A key that was not made here has the limit that the scenario gives to all of them.
    let (limit, include_byok) = match (record, shape.key_limit) {
        (Some(record), _) => (record.standing(now, spending), record.include_byok),
        (None, Some(limit)) => (
            Some(Standing::new(
                limit.limit.0,
                limit.reset,
                limit.include_byok,
                now,
                spending,
            )),
            limit.include_byok,
        ),
        (None, None) => (None, false),
    };
    let budget = limit.map(|standing| Budget::of("key_limit", &standing, include_byok));
    let of_account = shape.budgets().map(|one| {
        let spent = state
            .memory
            .spending
            .account()
            .charged(now)
            .within(Some(one.reset));
        let standing = Standing {
            limit: one.limit.0,
            spent,
            reset: Some(one.reset),
            resets: Some(one.reset.next(now)),
        };
        // Both count what all keys spend: the one those of the member, the other those of the workspace.
        let scope = match one.scope {
            BudgetScope::Guardrail => "member",
            BudgetScope::Workspace => "workspace",
        };
        Budget::of(scope, &standing, false)
    });
    let budgets: Vec<Budget> = of_account.chain(budget).collect();
    // The first that is spent is the one that stops a request; else the tightest is the one that counts.
    let effective = budgets
        .iter()
        .find(|budget| budget.remaining_usd.0 <= Decimal::ZERO)
        .or_else(|| budgets.iter().min_by_key(|budget| budget.remaining_usd.0))
        .cloned();
    let (free_limit, free_used) = state.account.free_requests(shape, moment);
    let management = call.caller.unwrap_or_default().management;
    let data = KeyPage {
        label: label_of(key),
        limit: limit.map(|limit| Money(limit.limit)),
        limit_remaining: limit.map(|limit| Money(limit.remaining())),
        limit_reset: limit.and_then(|limit| limit.reset).map(Interval::name),
        usage: Money(charged.all),
        usage_daily: Money(charged.day),
        usage_weekly: Money(charged.week),
        usage_monthly: Money(charged.month),
        byok_usage: Money(byok.all),
        byok_usage_daily: Money(byok.day),
        byok_usage_weekly: Money(byok.week),
        byok_usage_monthly: Money(byok.month),
        include_byok_in_limit: include_byok,
        // Whoever has never bought anything.
        is_free_tier: shape.credits.is_some_and(|bought| bought.0.is_zero()),
        is_management_key: management,
        is_provisioning_key: management,
        creator_user_id: match record {
            Some(record) => record.creator.clone(),
            None => Some(USER_ID.to_owned()),
        },
        organization_id: None,
        workspace_id: WORKSPACE,
        expires_at: record.and_then(|record| record.expires).map(rfc3339),
        allowed_data_regions: ["global"],
        free_model_daily_requests: json!({
            "limit": free_limit, "used": free_used, "remaining": free_limit.saturating_sub(free_used),
        }),
        budgets,
        effective_budget: effective,
        rate_limit: json!({ "requests": -1, "interval": "10s", "note": "deprecated" }),
        simulated: true,
    };
    #[derive(Serialize)]
    struct Whole {
        data: KeyPage,
    }
    Page::json(&Whole { data })
}

/// What the account has bought where a scenario does not say, in US dollars.
const BOUGHT: Decimal = Decimal::ONE_THOUSAND;

/// `GET /credits`.
pub(crate) fn credits(simulation: &Simulation) -> Page {
    #[derive(Serialize)]
    struct Data {
        total_credits: Money,
        total_usage: Money,
    }
    #[derive(Serialize)]
    struct Whole {
        data: Data,
    }
    let shape = &simulation.config.scenario.account;
    let used = simulation.state().memory.spending.total();
    Page::json(&Whole {
        data: Data {
            total_credits: Money(shape.credits.map_or(BOUGHT, |bought| bought.0)),
            total_usage: Money(used.saturating_add(shape.used.0)),
        },
    })
}

/// How many days the list of activity goes back.
const DAYS: i64 = 30;

#[derive(Debug, Serialize)]
struct ActivityRow {
    date: String,
    model: String,
    model_permaslug: String,
    endpoint_id: String,
    provider_name: String,
    usage: Money,
    byok_usage_inference: Money,
    requests: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    reasoning_tokens: u64,
    cached_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<&'static str>,
}

/// A name for an endpoint that stays the same.
pub(crate) fn endpoint_id(model: &str, provider: &str) -> String {
    let high = fingerprint(&[model.as_bytes(), provider.as_bytes()]);
    let low = fingerprint(&[provider.as_bytes(), model.as_bytes()]);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// `GET /activity`: days that are over, in UTC, and no more than thirty of them.
pub(crate) fn activity(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let today = day_of(simulation.time());
    let days = match call.query.get("date") {
        None => today - DAYS..today,
        Some(text) => {
            let day = Day::parse(text).map(Day::days_since_epoch);
            match day {
                Some(day) if (today - DAYS..today).contains(&day) => day..day + 1,
                Some(_) => {
                    return Err(
                        Problem::invalid("Date must be within the last 30 (completed) UTC days").into(),
                    );
                }
                None => return Err(Problem::invalid("Invalid date format. Expected YYYY-MM-DD").into()),
            }
        }
    };
    let by_workspace = match call.query.get("group_by") {
        None => false,
        Some("workspace") => true,
        Some(_) => {
            return Err(Problem::invalid("group_by: Invalid option: expected \"workspace\"").into());
        }
    };
    let not_found =
        |what: &str| Problem::new(404, format!("{what} not found")).with("error_type", "not_found");
    if call.query.get("workspace_id").is_some_and(|id| id != WORKSPACE) {
        return Err(not_found("Workspace").into());
    }
    let others = call.query.get("user_id").is_some_and(|id| id != USER_ID);
    let state = simulation.state();
    let wanted = call.query.get("api_key_hash");
    let mut rows: BTreeMap<(i64, &str, &str), Sums> = BTreeMap::new();
    let spending = &state.memory.spending;
    let listed: Vec<(&Line, &Sums)> = match wanted {
        _ if others => Vec::new(),
        None => spending.lines(days).collect(),
        Some(wanted) => spending
            .lines_of_keys(days)
            .filter(|(key, _, _)| state.accounts.hash(*key) == Some(wanted))
            .map(|(_, line, sums)| (line, sums))
            .collect(),
    };
    for (line, sums) in listed {
        let row = (line.day, line.model.as_str(), line.provider.as_str());
        rows.entry(row).or_default().add(sums);
    }
    // The latest day first.
    let data: Vec<ActivityRow> = rows
        .into_iter()
        .rev()
        .map(|((day, permaslug, provider), sums)| ActivityRow {
            date: date(day),
            model: simulation.id_of(permaslug),
            model_permaslug: permaslug.to_owned(),
            endpoint_id: endpoint_id(permaslug, provider),
            provider_name: provider.to_owned(),
            usage: Money(sums.cost),
            byok_usage_inference: Money(sums.byok),
            requests: sums.requests,
            prompt_tokens: sums.prompt,
            completion_tokens: sums.completion,
            reasoning_tokens: sums.reasoning,
            cached_tokens: sums.cached,
            workspace_id: by_workspace.then_some(WORKSPACE),
        })
        .collect();
    #[derive(Serialize)]
    struct Whole {
        data: Vec<ActivityRow>,
    }
    Ok(Page::json(&Whole { data }))
}

impl Simulation {
    /// The name in the list of models that belongs to a dated name.
    fn id_of(&self, permaslug: &str) -> String {
        self.listing
            .find(permaslug)
            .map_or_else(|| permaslug.to_owned(), |record| record.id.as_str().to_owned())
    }
}
