//! Cheap first: an answer that has not the form it was asked for is asked for again, from a better model, and both are booked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::ManualClock;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use support::{Gateway, INSTANT, pico, within_20_s};

fn body(stream: bool) -> Value {
    let schema =
        json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    json!({
        "model": "waypost/auto",
        "stream": stream,
        "messages": [{ "role": "user", "content": "Where is the tower?" }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "place", "schema": schema } },
        "waypost": { "task": "reasoning", "min_quality": 30, "strategy": "cascade" },
    })
}

async fn steps(gateway: &Gateway) -> Vec<String> {
    let mut body = body(false);
    body["waypost"]["explain"] = json!(true);
    let (_, answer) = asked(gateway, "none/such=503", &body).await;
    let candidates = answer["waypost"]["plan"]["candidates"].as_array().unwrap();
    candidates
        .iter()
        .map(|one| one["model"].as_str().unwrap().to_owned())
        .collect()
}

async fn asked(gateway: &Gateway, faults: &str, body: &Value) -> (u16, Value) {
    let request = gateway.post(body.to_string()).header("x-simulator-fault", faults);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, support::json(&answer.text().await.unwrap()))
}

fn amount(value: &Value) -> Decimal {
    value.as_str().expect("an amount").parse().unwrap()
}

#[tokio::test]
async fn an_answer_without_its_form_is_asked_for_again_from_a_better_model() {
    let gateway = Gateway::with(INSTANT, []).await;
    let steps = steps(&gateway).await;
    let (first, second) = (&steps[0], &steps[1]);
    let (status, good) = asked(&gateway, "none/such=503", &body(false)).await;
    assert_eq!(
        (status, good["waypost"]["attempts"].as_array().unwrap().len()),
        (200, 1)
    );
    assert_eq!(
        good["waypost"]["cascade"],
        json!({ "accepted": true, "why": null, "rejected": [] })
    );

    for fault in ["content-filter", "refusal"] {
        let (status, better) = asked(&gateway, &format!("{first}={fault}"), &body(false)).await;
        assert_eq!(status, 200);
        let waypost = &better["waypost"];
        assert_eq!(waypost["model"], json!(second), "{fault}");
        assert_eq!(waypost["cascade"]["accepted"], true);
        assert_eq!(
            waypost["cascade"]["rejected"][0]["model"],
            json!(first),
            "{waypost}"
        );
        let attempts = waypost["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2);
        // Both answered, and both are paid for.
        let sum: Decimal = attempts.iter().map(|attempt| amount(&attempt["cost_usd"])).sum();
        assert_eq!(amount(&waypost["cost_usd"]), sum);
        assert!(
            attempts.iter().all(|attempt| attempt["error"].is_null()),
            "{attempts:?}"
        );
    }
}

#[tokio::test]
async fn where_every_step_was_rejected_the_last_answer_is_given_and_said_to_be_no_good() {
    let gateway = Gateway::with(INSTANT, []).await;
    let (status, answer) = asked(&gateway, "refusal", &body(false)).await;
    assert_eq!(status, 200);
    let waypost = &answer["waypost"];
    let attempts = waypost["attempts"].as_array().unwrap().len();
    assert!(attempts > 1);
    assert_eq!(waypost["cascade"]["accepted"], false);
    assert_eq!(
        waypost["cascade"]["rejected"].as_array().unwrap().len(),
        attempts - 1
    );
    assert!(
        waypost["cascade"]["why"]
            .as_str()
            .is_some_and(|why| !why.is_empty())
    );
}

#[tokio::test]
async fn a_stream_is_not_checked_and_a_form_that_is_none_is_refused() {
    let gateway = Gateway::with(INSTANT, []).await;
    let first = steps(&gateway).await.remove(0);
    let request = gateway.post(body(true).to_string());
    let answer = request
        .header("x-simulator-fault", format!("{first}=refusal"))
        .send()
        .await
        .unwrap();
    let lines = support::data_lines(&answer.text().await.unwrap());
    let waypost = &support::json(&lines[lines.len() - 2])["waypost"];
    assert_eq!(waypost["attempts"].as_array().unwrap().len(), 1);
    let mut body = body(false);
    body["response_format"]["json_schema"]["schema"] = json!({ "type": "no such type" });
    let (status, refused) = asked(&gateway, "none/such=503", &body).await;
    assert_eq!(
        (status, &refused["error"]["param"]),
        (400, &json!("response_format")),
        "{refused}"
    );
}

/// A fixed fee of a tenth of a cent, on everything.
const FEE: &str = "[[caller]]\nkey = \"web\"\ntoken_env = \"WEB_TOKEN\"\n[[markup]]\nkey = \"web\"\nbps = 1000\nfee_usd = \"0.001\"\n";
const WEB: [(&str, &str); 1] = [("WEB_TOKEN", "token-of-web")];

#[tokio::test]
async fn a_call_bears_its_fee_once_however_many_answers_it_takes() {
    let clock = ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_795_348_800));
    let gateway = Gateway::at(Arc::new(clock.clone()), &format!("{FEE}{INSTANT}"), WEB).await;
    let request = gateway
        .post(body(false).to_string())
        .bearer_auth("token-of-web")
        .header("x-simulator-fault", "refusal");
    let answer = support::json(&request.send().await.unwrap().text().await.unwrap());
    let waypost = &answer["waypost"];
    let attempts = waypost["attempts"].as_array().unwrap();
    assert!(attempts.len() > 1, "{waypost}");
    let fee = |attempt: &Value| {
        let (cost, markup) = (pico(&attempt["cost_usd"]), pico(&attempt["markup_usd"]));
        // The share is a tenth, a half or less of a pico-dollar off.
        (markup - cost / 10) / 1_000_000 * 1_000_000
    };
    assert_eq!(fee(&attempts[0]), 1_000_000_000, "{waypost}");
    for later in &attempts[1..] {
        assert_eq!(fee(later), 0, "{waypost}");
    }
    assert_eq!(fee(waypost), 1_000_000_000);
    let once = |sql: &str| assert_eq!(gateway.number(sql), 1, "{sql}");
    once("SELECT count(*) FROM attempts WHERE fee_pico > 0");
    once("SELECT count(*) FROM entries WHERE kind = 'fee'");
    // What an attempt bears is in its intent: a correction goes by it, and so does a start after a crash.
    once("SELECT count(*) FROM attempts WHERE rule_fee_pico > 0");
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn of_two_models_side_by_side_the_one_that_answers_bears_the_fee() {
    let clock = ManualClock::new();
    let config = format!("{FEE}{INSTANT}[routing.hedge]\nafter = \"2s\"\nshare = 1.0\n");
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, WEB).await;
    let body = json!({
        "model": "openai/gpt-4o-mini",
        "messages": [{ "role": "user", "content": "Hello" }],
        "waypost": { "fallbacks": ["google/gemini-3.7-flash"] },
    });
    let request = gateway
        .post(body.to_string())
        .bearer_auth("token-of-web")
        .header("x-simulator-fault", "openai/gpt-4o-mini=hang");
    let answer = tokio::spawn(request.send());
    within_20_s(async || gateway.ledger().len() == 1).await;
    clock.advance(Duration::from_secs(2));
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    within_20_s(async || gateway.ledger().iter().all(|row| row.outcome.is_some())).await;
    let bearing = "SELECT sum(attempt * (fee_pico > 0)) FROM attempts";
    assert_eq!((gateway.ledger().len(), gateway.number(bearing)), (2, 2));
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_schema_that_doubles_is_refused_before_anything_is_sent() {
    let gateway = Gateway::with(INSTANT, []).await;
    let mut definitions = serde_json::Map::new();
    for at in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/d{}", at + 1) });
        definitions.insert(format!("d{at}"), json!({ "allOf": [next, next] }));
    }
    definitions.insert("d40".to_owned(), json!({}));
    let doubling = json!({ "$defs": definitions, "$ref": "#/$defs/d0" });
    let mut format = body(false);
    format["response_format"]["json_schema"]["schema"] = doubling.clone();
    let mut tools = body(false);
    tools["response_format"] = Value::Null;
    tools["tools"] = json!([{ "type": "function", "function": { "name": "place", "parameters": doubling } }]);
    for (body, param) in [(format, "response_format"), (tools, "tools")] {
        let (status, refused) = asked(&gateway, "none/such=503", &body).await;
        assert_eq!(
            (status, &refused["error"]["param"]),
            (400, &json!(param)),
            "{refused}"
        );
    }
    assert!(gateway.ledger().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_cut_where_its_caller_said_is_not_asked_for_again() {
    let gateway = Gateway::with(INSTANT, []).await;
    let mut free = body(false);
    free["response_format"] = Value::Null;
    free["max_tokens"] = json!(1);
    let (status, answer) = asked(&gateway, "none/such=503", &free).await;
    assert_eq!(
        (status, &answer["choices"][0]["finish_reason"]),
        (200, &json!("length")),
        "{answer}"
    );
    assert_eq!(answer["waypost"]["cascade"]["accepted"], true);
    assert_eq!(answer["waypost"]["attempts"].as_array().unwrap().len(), 1);
}
