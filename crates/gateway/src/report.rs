//! What the gateway tells of a call: the `waypost` object of an answer, and the same as headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use costing::Charge;
use costing::budget::Standing;
use integration_core::{HealthAggregate, HealthReport};
use model_catalogue::{Catalogue, ModelRecord};
use routing::{AttemptResult, Target, Task};
use serde_json::{Map, Value, json};

use crate::ledger::{CallRecord, SettledAttempt};
use crate::spending;
use crate::upstream::Mode;

/// An amount as JSON: a decimal string of US dollars, `null` where it is not known.
pub fn amount(pico: Option<costing::Pico>) -> Value {
    pico.map_or(Value::Null, |pico| Value::String(pico.to_string()))
}

/// The parts of a charge as JSON.
pub fn charge(charge: &Charge) -> Map<String, Value> {
    Map::from_iter([
        ("cost_usd".to_owned(), amount(charge.cost)),
        ("markup_usd".to_owned(), amount(charge.markup)),
        ("charge_usd".to_owned(), amount(charge.charge)),
        ("markup_bps".to_owned(), json!(charge.markup_bps)),
        ("status".to_owned(), json!(charge.status.as_str())),
    ])
}

fn attempt_json(attempt: &SettledAttempt) -> Value {
    let mut object = Map::from_iter([
        ("attempt".to_owned(), json!(attempt.number)),
        ("provider".to_owned(), json!(attempt.target.provider)),
        ("model".to_owned(), json!(attempt.target.model)),
    ]);
    let outcome = &attempt.outcome;
    let word = match &outcome.result {
        AttemptResult::Complete => "succeeded",
        AttemptResult::Failed(failure) => {
            let error = json!({
                "kind": failure.kind.as_str(),
                "message": failure.message,
                "status": failure.status,
            });
            object.insert("error".to_owned(), error);
            "failed"
        }
        AttemptResult::Cancelled => "cancelled",
    };
    object.insert("outcome".to_owned(), json!(word));
    object.insert("served_model".to_owned(), json!(outcome.served_model));
    object.insert("upstream".to_owned(), json!(outcome.upstream));
    object.insert("generation".to_owned(), json!(outcome.generation));
    object.extend(charge(&attempt.charge));
    Value::Object(object)
}

/// The `waypost` object of an answer or an error, once all attempts are settled.
pub fn waypost(record: &CallRecord, mode: Mode, snapshot: &str, plan: Option<&Value>) -> Value {
    let attempts = record.attempts();
    let mut object = charge(&record.total());
    let served = attempts
        .iter()
        .rev()
        .find(|attempt| matches!(attempt.outcome.result, AttemptResult::Complete));
    object.insert("request_id".to_owned(), json!(record.request()));
    object.insert("mode".to_owned(), json!(mode.as_str()));
    object.insert(
        "model".to_owned(),
        json!(served.map(|attempt| &attempt.target.model)),
    );
    object.insert("price_snapshot".to_owned(), json!(snapshot));
    object.insert("attempts".to_owned(), attempts.iter().map(attempt_json).collect());
    let not_asked = record.not_asked();
    if !not_asked.is_empty() {
        let why = |(target, reason): &(Target, String)| json!({ "model": target.model, "reason": reason });
        object.insert("passed_over".to_owned(), not_asked.iter().map(why).collect());
    }
    let standing = record.standing();
    if let Some(facts) = &standing.tightest {
        object.insert("budget".to_owned(), spending::facts(facts));
    }
    if !standing.warnings.is_empty() {
        let warnings = standing.warnings.iter().map(spending::facts);
        object.insert("budget_warnings".to_owned(), warnings.collect());
    }
    if let Some(refusal) = record.refusal() {
        object.insert("budget_refusal".to_owned(), spending::refusal(&refusal));
    }
    if let Some(experiments) = record.experiments() {
        object.insert("experiments".to_owned(), experiments);
    }
    if let Some(learned) = record.learned() {
        object.insert("learned".to_owned(), learned.clone());
    }
    if let Some(plan) = plan {
        object.insert("plan".to_owned(), plan.clone());
    }
    Value::Object(object)
}

/// The headers known when an answer begins, beside those that every answer has.
pub fn head(headers: &mut HeaderMap, model: Option<&str>, attempts: usize) {
    set(headers, "x-waypost-attempts", &attempts.to_string());
    if let Some(model) = model {
        set(headers, "x-waypost-model", model);
    }
}

/// How the call stands with its budgets: the one with the least left, hard limits before others. Nothing without budgets.
pub fn budget(headers: &mut HeaderMap, standing: &Standing) {
    let Some(facts) = &standing.tightest else { return };
    set(headers, "x-waypost-budget", &facts.account.to_string());
    for (name, amount) in [
        ("x-waypost-budget-limit-usd", facts.limit),
        ("x-waypost-budget-remaining-usd", facts.remaining()),
        ("x-waypost-budget-reserved-usd", facts.reserved),
    ] {
        set(headers, name, &amount.to_string());
    }
    if let Some(resets) = facts.resets_at.and_then(spending::rfc3339) {
        set(headers, "x-waypost-budget-resets-at", &resets);
    }
    if let Some(warning) = standing.warnings.first() {
        set(headers, "x-waypost-budget-warning", &warning.account.to_string());
    }
}

/// The headers known once an answer is complete. An unknown amount has no header.
pub fn costs(headers: &mut HeaderMap, charge: &Charge) {
    for (name, amount) in [
        ("x-waypost-cost-usd", charge.cost),
        ("x-waypost-markup-usd", charge.markup),
        ("x-waypost-charge-usd", charge.charge),
    ] {
        if let Some(amount) = amount {
            set(headers, name, &amount.to_string());
        }
    }
    set(headers, "x-waypost-cost-status", charge.status.as_str());
}

/// Sets a header; a value no header may carry is left out.
pub fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Which catalogue, of which day, with how many models.
pub fn catalogue(catalogue: &Catalogue) -> Value {
    json!({
        "snapshot": catalogue.id(),
        "captured": catalogue.captured(),
        "models": catalogue.records().len(),
    })
}

/// The health of one integration as JSON.
pub fn health(mode: Mode, models: &Catalogue, report: &HealthReport) -> Value {
    let checked_at = jiff::Timestamp::try_from(report.checked_at)
        .ok()
        .map(|at| at.to_string());
    let mut body = json!({
        "id": report.id,
        "status": report.status.as_str(),
        "mode": mode.as_str(),
        "checked_at": checked_at,
        "latency_ms": report.latency.map(|latency| latency.as_millis() as u64),
        "message": report.message,
        "catalogue": catalogue(models),
    });
    if let Some(object) = body.as_object_mut() {
        for (name, value) in &report.details {
            object.entry(name).or_insert_with(|| value.clone());
        }
    }
    body
}

/// The health of all integrations as JSON.
pub fn health_of_all(mode: Mode, catalogue: &Catalogue, aggregate: &HealthAggregate) -> Value {
    let reports = aggregate
        .reports
        .iter()
        .map(|report| health(mode, catalogue, report));
    json!({
        "status": aggregate.status.as_str(),
        "mode": mode.as_str(),
        "integrations": reports.collect::<Vec<_>>(),
    })
}

/// A model as JSON: what it holds, what it can do, its price strings, its quality.
pub fn model(record: &ModelRecord) -> Value {
    let capabilities: Vec<_> = record
        .capabilities()
        .iter()
        .map(|capability| capability.as_str())
        .collect();
    let mut pricing: Map<String, Value> = record
        .prices
        .rates
        .iter()
        .map(|(name, rate)| (name.clone(), json!(rate)))
        .collect();
    if !record.prices.overrides.is_empty() {
        pricing.insert("overrides".to_owned(), json!(record.prices.overrides));
    }
    json!({
        "id": record.id,
        "canonical_slug": record.canonical_slug,
        "context_length": record.context_length,
        "max_completion_tokens": record.max_completion_tokens,
        "input_modalities": record.input_modalities,
        "output_modalities": record.output_modalities,
        "capabilities": capabilities,
        "pricing": pricing,
        "quality": {
            "reasoning": Task::Reasoning.quality(&record.benchmarks),
            "coding": Task::Coding.quality(&record.benchmarks),
            "agentic": Task::Agentic.quality(&record.benchmarks),
        },
        "expiration_date": record.expiration_date,
    })
}
