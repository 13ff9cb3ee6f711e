//! What the gateway tells of a call: the `waypost` object of an answer, and the same as headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use costing::Charge;
use routing::AttemptResult;
use serde_json::{Map, Value, json};

use crate::ledger::{CallRecord, SettledAttempt};
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
    if let Some(plan) = plan {
        object.insert("plan".to_owned(), plan.clone());
    }
    Value::Object(object)
}

/// The headers known before an answer begins.
pub fn head(headers: &mut HeaderMap, record: &CallRecord, mode: Mode, model: Option<&str>, attempts: usize) {
    set(headers, "x-waypost-request-id", record.request().as_str());
    set(headers, "x-waypost-mode", mode.as_str());
    set(headers, "x-waypost-attempts", &attempts.to_string());
    if let Some(model) = model {
        set(headers, "x-waypost-model", model);
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
