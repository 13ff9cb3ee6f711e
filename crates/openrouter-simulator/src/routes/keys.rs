//! Administration of keys.

use costing::UtcTime;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::problem::{Problem, USER_ID};
use crate::routes::accounts::{KeyRecord, Wanted};
use crate::routes::dates::{read_rfc3339, rfc3339};
use crate::routes::money::{Money, amount};
use crate::routes::page::{Call, Page, Refusal};
use crate::routes::spending::KeySpending;
use crate::scenario::account::Interval;
use crate::simulation::Simulation;

/// The one workspace of the account.
pub(crate) const WORKSPACE: &str = "00000000-0000-4000-8000-000000000001";

/// How many keys a list shows.
const PAGE: usize = 100;

/// A key as the routes of administration show it.
#[derive(Debug, Serialize)]
struct KeyData<'a> {
    hash: &'a str,
    name: &'a str,
    label: &'a str,
    disabled: bool,
    limit: Option<Money>,
    limit_remaining: Option<Money>,
    limit_reset: Option<&'static str>,
    include_byok_in_limit: bool,
    usage: Money,
    usage_daily: Money,
    usage_weekly: Money,
    usage_monthly: Money,
    byok_usage: Money,
    byok_usage_daily: Money,
    byok_usage_weekly: Money,
    byok_usage_monthly: Money,
    created_at: String,
    updated_at: Option<String>,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    external_user: Option<&'a str>,
    creator_user_id: Option<&'a str>,
    workspace_id: &'static str,
}

impl<'a> KeyData<'a> {
    fn of(record: &'a KeyRecord, spending: &KeySpending, now: UtcTime) -> Self {
        let (charged, byok) = (spending.charged(now), spending.byok(now));
        let remaining = record
            .standing(now, spending)
            .map(|standing| standing.remaining());
        Self {
            hash: &record.hash,
            name: &record.name,
            label: &record.label,
            disabled: record.disabled,
            limit: record.limit.map(Money),
            limit_remaining: remaining.map(Money),
            limit_reset: record.reset.map(Interval::name),
            include_byok_in_limit: record.include_byok,
            usage: Money(charged.all),
            usage_daily: Money(charged.day),
            usage_weekly: Money(charged.week),
            usage_monthly: Money(charged.month),
            byok_usage: Money(byok.all),
            byok_usage_daily: Money(byok.day),
            byok_usage_weekly: Money(byok.week),
            byok_usage_monthly: Money(byok.month),
            created_at: rfc3339(record.created),
            updated_at: record.updated.map(rfc3339),
            last_used_at: record.last_used.map(rfc3339),
            expires_at: record.expires.map(rfc3339),
            external_user: record.external_user.as_deref(),
            creator_user_id: record.creator.as_deref(),
            workspace_id: WORKSPACE,
        }
    }
}

/// All operations on `/keys` and `/keys/{hash}`.
pub(crate) fn answer(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    match (call.entry.method(), call.values.is_empty()) {
        ("GET", true) => list(simulation, call),
        ("POST", _) => create(simulation, call),
        ("PATCH", _) => update(simulation, call),
        ("DELETE", _) => delete(simulation, call),
        _ => get(simulation, call),
    }
}

fn not_found() -> Problem {
    Problem::new(404, "API key not found").with("error_type", "not_found")
}

/// A workspace that is asked for by its id: there is one.
fn workspace(id: &str) -> Result<(), Problem> {
    let groups: Vec<&str> = id.split('-').collect();
    let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = groups.iter().map(|part| part.len()).collect();
    if lengths != [8, 4, 4, 4, 12] || !groups.iter().all(hex) {
        return Err(Problem::invalid("workspace_id: Invalid UUID"));
    }
    if id.eq_ignore_ascii_case(WORKSPACE) {
        Ok(())
    } else {
        Err(Problem::new(404, "Workspace not found").with("error_type", "not_found"))
    }
}

fn list(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let flag = |name: &str| match call.query.get(name) {
        None => Ok(false),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Problem::invalid(format!(
            "{name}: Invalid input: expected boolean"
        ))),
    };
    let (disabled, expired) = (flag("include_disabled")?, flag("include_expired")?);
    let offset = match call.query.get("offset") {
        None => 0,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| Problem::invalid("offset: Invalid input: expected a number from 0 up"))?,
    };
    if let Some(id) = call.query.get("workspace_id") {
        workspace(id)?;
    }
    let now = simulation.time();
    let state = simulation.state();
    let shown = state.accounts.newest().into_iter();
    let data: Vec<KeyData<'_>> = shown
        .filter(|(_, record)| (disabled || !record.disabled) && (expired || !record.is_expired(now)))
        .skip(offset)
        .take(PAGE)
        .map(|(key, record)| KeyData::of(record, state.memory.spending.of(key), now))
        .collect();
    #[derive(Serialize)]
    struct List<'a> {
        data: Vec<KeyData<'a>>,
    }
    Ok(Page::json(&List { data }))
}

#[derive(Serialize)]
struct One<'a> {
    data: KeyData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

fn shown(simulation: &Simulation, key: u64, text: Option<&str>) -> Result<Page, Problem> {
    let now = simulation.time();
    let state = simulation.state();
    let record = state.accounts.record(key).ok_or_else(not_found)?;
    let data = KeyData::of(record, state.memory.spending.of(key), now);
    Ok(Page::json(&One { data, key: text }))
}

fn get(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let key = simulation
        .state()
        .accounts
        .by_hash(call.value(0))
        .map(|(key, _)| key);
    Ok(shown(simulation, key.ok_or_else(not_found)?, None)?)
}

/// Fields that a body may hold. Each reader is `None` where the field is absent.
struct Body(Map<String, Value>);

impl Body {
    fn name(&self) -> Result<Option<String>, Problem> {
        let Some(value) = self.0.get("name") else {
            return Ok(None);
        };
        let good = value
            .as_str()
            .filter(|name| (1..=256).contains(&name.chars().count()));
        let wrong = || Problem::invalid("name: expected a string of 1 to 256 characters");
        good.map(|name| Some(name.to_owned())).ok_or_else(wrong)
    }

    /// The inner `None` means "no limit".
    fn limit(&self) -> Result<Option<Option<Decimal>>, Problem> {
        match self.0.get("limit") {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => amount(value)
                .filter(|limit| !limit.is_sign_negative() && *limit < Decimal::from(1_000_000))
                .map(|limit| Some(Some(limit)))
                .ok_or_else(|| Problem::invalid("limit: expected a number from 0 to below 1000000")),
        }
    }

    fn reset(&self, field: &str) -> Result<Option<Option<Interval>>, Problem> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => value
                .as_str()
                .and_then(Interval::read)
                .map(|reset| Some(Some(reset)))
                .ok_or_else(|| {
                    let options = Interval::NAMES.join("\"|\"");
                    Problem::invalid(format!("{field}: Invalid option: expected one of \"{options}\""))
                }),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.0
            .get(name)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| Problem::invalid(format!("{name}: Invalid input: expected boolean")))
            })
            .transpose()
    }

    fn expires(&self, now: UtcTime) -> Result<Option<UtcTime>, Problem> {
        let value = match self.0.get("expires_at") {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let at = value.as_str().and_then(read_rfc3339).ok_or_else(|| {
            Problem::invalid("expires_at: expected a time in UTC with seconds, such as 2027-12-31T23:59:59Z")
        })?;
        if at <= now {
            return Err(Problem::invalid("expires_at: must lie in the future"));
        }
        Ok(Some(at))
    }

    fn workspace(&self) -> Result<bool, Problem> {
        match self.0.get("workspace_id") {
            None => Ok(false),
            Some(value) => workspace(value.as_str().unwrap_or_default()).map(|()| true),
        }
    }
}

/// Reads what `POST /auth/keys/code` says of the key to be made.
pub(crate) fn wanted_by_code(fields: &Map<String, Value>, now: UtcTime) -> Result<Wanted, Problem> {
    let body = Body(fields.clone());
    body.workspace()?;
    let label = match fields.get("key_label") {
        None => "Simulated app".to_owned(),
        Some(label) => label
            .as_str()
            .filter(|label| label.chars().count() <= 100)
            .map(str::to_owned)
            .ok_or_else(|| Problem::invalid("key_label: expected a string of at most 100 characters"))?,
    };
    Ok(Wanted {
        name: label,
        limit: body.limit()?.flatten(),
        reset: body.reset("usage_limit_type")?.flatten(),
        expires: body.expires(now)?,
        creator: Some(USER_ID.to_owned()),
        ..Wanted::default()
    })
}

fn create(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let body = Body(call.object()?);
    let now = simulation.time();
    let Some(name) = body.name()? else {
        return Err(Problem::invalid("name: Invalid input: expected string, received undefined").into());
    };
    // A workspace that does not exist is a wrong parameter here.
    body.workspace()
        .map_err(|problem| Problem::invalid(problem.message))?;
    let external = body.0.get("external");
    let user = external
        .and_then(|external| external.get("user"))
        .and_then(Value::as_str);
    if external.is_some() && user.is_none_or(|user| user.is_empty() || user.chars().count() > 512) {
        return Err(Problem::invalid("external.user: expected a string of 1 to 512 characters").into());
    }
    let creator = match body.0.get("creator_user_id") {
        None | Some(Value::Null) => USER_ID,
        Some(value) => value
            .as_str()
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Problem::invalid("creator_user_id: expected a string that is not empty"))?,
    };
    let wanted = Wanted {
        name,
        limit: body.limit()?.flatten(),
        reset: body.reset("limit_reset")?.flatten(),
        include_byok: body.flag("include_byok_in_limit")?.unwrap_or(false),
        expires: body.expires(now)?,
        creator: Some(creator.to_owned()),
        external_user: user.map(str::to_owned),
    };
    let (text, key) = simulation
        .state()
        .accounts
        .make(simulation.config.seed, wanted, now);
    Ok(shown(simulation, key, Some(&text))?.with_status(201))
}

fn update(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let body = Body(call.object()?);
    let (name, limit, reset) = (body.name()?, body.limit()?, body.reset("limit_reset")?);
    let (disabled, include_byok) = (body.flag("disabled")?, body.flag("include_byok_in_limit")?);
    let moved = body.workspace()?;
    let nothing = name.is_none() && limit.is_none() && reset.is_none();
    if nothing && disabled.is_none() && include_byok.is_none() && !moved {
        return Err(Problem::invalid("No update fields provided").into());
    }
    let now = simulation.time();
    let key = {
        let mut state = simulation.state();
        let (key, record) = state.accounts.by_hash(call.value(0)).ok_or_else(not_found)?;
        record.name = name.unwrap_or_else(|| std::mem::take(&mut record.name));
        record.limit = limit.unwrap_or(record.limit);
        record.reset = reset.unwrap_or(record.reset);
        record.disabled = disabled.unwrap_or(record.disabled);
        record.include_byok = include_byok.unwrap_or(record.include_byok);
        record.updated = Some(now);
        key
    };
    Ok(shown(simulation, key, None)?)
}

fn delete(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    if simulation.state().accounts.delete(call.value(0)) {
        Ok(Page::json(&json!({ "deleted": true })))
    } else {
        Err(not_found().into())
    }
}
