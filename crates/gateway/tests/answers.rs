//! The road from a request to a routed, priced answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use integration_core::ManualClock;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::json as object;
use support::{Gateway, data_lines, json, pico, unsettled, within_20_s};

const AUTO: &str = r#"{"model":"waypost/auto","messages":[{"role":"user","content":"Why is the sky blue?"}],
    "waypost":{"task":"reasoning","min_quality":50}}"#;
const AUTO_STREAM: &str = r#"{"model":"waypost/auto","stream":true,"messages":[{"role":"user","content":"Hello"}],
    "waypost":{"task":"reasoning","min_quality":50}}"#;

async fn first_choice(gateway: &Gateway) -> String {
    let (status, plan) = gateway
        .get("/v1/routing/best-model?task=reasoning&min_quality=50")
        .await;
    assert_eq!(status, 200);
    plan["model"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_whole_answer_is_routed_priced_and_recorded() {
    let gateway = Gateway::start().await;
    let best = first_choice(&gateway).await;
    let response = gateway.post(AUTO).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let body = json(&response.text().await.unwrap());
    assert_eq!(headers["x-waypost-mode"], "simulated");
    assert_eq!(headers["x-waypost-attempts"], "1");
    assert_eq!(headers["x-waypost-model"], best.as_str());
    assert_eq!(headers["x-waypost-cost-status"], "reported");
    assert_eq!(headers["x-waypost-request-id"], body["id"].as_str().unwrap());
    assert_eq!(
        headers["x-waypost-cost-usd"],
        body["waypost"]["cost_usd"].as_str().unwrap()
    );
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], best.as_str());
    assert!(
        !body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .is_empty()
    );
    assert!(body["usage"]["completion_tokens"].as_u64().unwrap() > 0);

    let waypost = &body["waypost"];
    let (cost, markup, charge) = (
        pico(&waypost["cost_usd"]),
        pico(&waypost["markup_usd"]),
        pico(&waypost["charge_usd"]),
    );
    assert!(cost > 0);
    assert_eq!(cost + markup, charge);
    assert!(
        (markup * 10 - cost).abs() <= 5,
        "ten percent to the pico-dollar: {cost} {markup}"
    );
    assert_eq!(waypost["mode"], "simulated");

    let rows = gateway.ledger();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].request, body["id"].as_str().unwrap());
    assert_eq!(
        (rows[0].model.as_str(), rows[0].outcome.as_deref()),
        (best.as_str(), Some("succeeded"))
    );
    assert_eq!(
        (rows[0].cost, rows[0].markup, rows[0].charge),
        (Some(cost), Some(markup), Some(charge))
    );
    assert_eq!(rows[0].simulated, 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_streamed_answer_ends_with_its_price() {
    let gateway = Gateway::start().await;
    let lines = gateway.stream(gateway.post(AUTO_STREAM)).await;
    assert_eq!(lines.last().unwrap(), "[DONE]");
    let chunks: Vec<_> = lines[..lines.len() - 1].iter().map(|line| json(line)).collect();
    let (last, before) = chunks.split_last().unwrap();
    assert!(before.len() > 1, "it comes in pieces");
    assert!(
        before
            .iter()
            .all(|chunk| chunk.get("waypost").is_none() && chunk["choices"][0]["delta"].is_object())
    );
    assert_eq!(before[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    let waypost = &last["waypost"];
    for name in ["cost_usd", "markup_usd", "charge_usd", "status", "model"] {
        assert!(waypost[name].is_string(), "{name} of {waypost}");
    }
    assert_eq!(waypost["attempts"].as_array().unwrap().len(), 1);
    let finished = chunks
        .iter()
        .filter(|chunk| chunk["choices"][0]["finish_reason"].is_string())
        .count();
    assert_eq!(finished, 1, "the doubled finish of the wire is one here");
    let rows = gateway.ledger();
    assert_eq!(rows[0].charge, Some(pico(&waypost["charge_usd"])));
    gateway.stop().await;
}

#[tokio::test]
async fn a_failing_first_choice_is_replaced_and_both_are_in_the_ledger() {
    let gateway = Gateway::start().await;
    let first = first_choice(&gateway).await;
    let request = gateway
        .post(AUTO_STREAM)
        .header("x-simulator-fault", format!("{first}=503"));
    let lines = gateway.stream(request).await;
    let last = json(&lines[lines.len() - 2]);
    let attempts = last["waypost"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(
        (&attempts[0]["model"], &attempts[0]["outcome"]),
        (&object!(first), &object!("failed"))
    );
    assert_eq!(attempts[0]["error"]["kind"], "overloaded");
    assert_eq!(attempts[1]["outcome"], "succeeded");
    assert_ne!(last["model"], object!(first));
    let rows = gateway.ledger();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].error_kind.as_deref(), Some("overloaded"));
    assert_eq!(
        (rows[0].cost, rows[0].charge),
        (Some(0), Some(0)),
        "a refusal before the answer is not billed"
    );
    assert_eq!(rows[1].outcome.as_deref(), Some("succeeded"));
    assert_eq!(rows[0].request, rows[1].request);

    let response = gateway
        .post(AUTO)
        .header("x-simulator-fault", format!("{first}=429"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-waypost-attempts"], "2");
    assert_eq!(response.headers()["x-waypost-cost-status"], "reported");
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_after_its_first_piece_is_not_begun_anew() {
    let gateway = Gateway::start().await;
    let lines = gateway
        .stream(gateway.post(AUTO_STREAM).header("x-simulator-fault", "cut"))
        .await;
    assert_eq!(lines.last().unwrap(), "[DONE]");
    let last = json(&lines[lines.len() - 2]);
    assert!(last["error"]["message"].is_string());
    assert_eq!(last["choices"][0]["finish_reason"], "error");
    assert_eq!(last["waypost"]["attempts"].as_array().unwrap().len(), 1);
    let rows = gateway.ledger();
    assert_eq!((rows.len(), rows[0].outcome.as_deref()), (1, Some("failed")));
    assert_eq!(
        (rows[0].cost, rows[0].status.as_deref()),
        (None, Some("pending")),
        "what is not known is not zero"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_who_leaves_is_settled_too() {
    let gateway = Gateway::with("[simulator]\ninstant = false\n", []).await;
    let mut response = gateway.post(AUTO_STREAM).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    within_20_s(async || gateway.ledger()[0].outcome.is_some()).await;
    let row = &gateway.ledger()[0];
    assert_eq!(row.outcome.as_deref(), Some("cancelled"));
    assert_eq!(row.status.as_deref(), Some("estimated"), "by what came of it");
    assert!(row.cost > Some(0), "{row:?}");
    gateway.stop().await;
}

/// The upstream's answer is longer than all the buffers on the way; the caller takes nothing of it.
#[tokio::test]
async fn a_caller_who_takes_nothing_for_a_minute_is_given_up_and_settled() {
    let text = "x".repeat(8 << 10);
    let event = format!(
        r#"{{"id":"gen-1","model":"openai/gpt-4o-mini","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
    );
    let events = vec![event; 4_000];
    let upstream =
        ScriptedUpstream::start(
            move |received| match received.path.ends_with("/chat/completions") {
                true => Script::sse(&events),
                false => Script::json(200, r#"{"data":{"label":"test"}}"#),
            },
        )
        .await;
    let clock = ManualClock::new();
    let base = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    let gateway = Gateway::at(Arc::new(clock.clone()), "", env).await;
    let body =
        r#"{"model":"openai/gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
    let response = gateway.post(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let minute = Duration::from_secs(60);
    // The caller is waited for once every buffer is full, and then for good.
    let mut waited_for = 0;
    within_20_s(async || {
        waited_for = if clock.due_in().contains(&minute) {
            waited_for + 1
        } else {
            0
        };
        waited_for > 1_000
    })
    .await;
    assert_eq!(gateway.ledger()[0].outcome, None);
    clock.advance(minute);
    within_20_s(async || gateway.ledger()[0].outcome.is_some()).await;
    assert_eq!(gateway.ledger()[0].outcome.as_deref(), Some("cancelled"));
    upstream.closed().await;
    drop(response);
    gateway.stop().await;
}

#[tokio::test]
async fn an_intent_nobody_waits_for_is_settled_as_never_sent() {
    let gateway = Gateway::start().await;
    let body = r#"{"model":"waypost/auto","messages":[{"role":"user","content":"Hello"}],"waypost":{"max_latency_ms":1}}"#;
    for _ in 0..20 {
        let response = gateway.post(body).send().await.unwrap();
        assert!(matches!(response.status().as_u16(), 200 | 504));
    }
    let dir = gateway.stop().await;
    assert_eq!(unsettled(&dir), 0);
}

#[tokio::test]
async fn a_call_that_hangs_is_settled_when_the_gateway_stops() {
    let config = "[simulator]\ninstant = true\n[limits]\ndrain_seconds = 0\n";
    let gateway = Gateway::with(config, []).await;
    let hanging = gateway
        .post(AUTO_STREAM)
        .header("x-simulator-fault", "hang")
        .send();
    let hanging = tokio::spawn(hanging);
    while gateway.ledger().is_empty() {
        tokio::task::yield_now().await;
    }
    let dir = gateway.stop().await;
    drop(hanging);
    assert_eq!(unsettled(&dir), 0);
}

#[tokio::test]
async fn every_model_failing_ends_in_one_error_with_every_attempt() {
    let gateway = Gateway::start().await;
    let response = gateway
        .post(AUTO)
        .header("x-simulator-fault", "502")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["x-waypost-attempts"], "4");
    assert_eq!(response.headers()["x-should-retry"], "false");
    let body = json(&response.text().await.unwrap());
    assert_eq!(body["error"]["code"], "upstream");
    assert_eq!(body["waypost"]["attempts"].as_array().unwrap().len(), 4);
    assert_eq!(gateway.ledger().len(), 4);
    gateway.stop().await;
}

#[tokio::test]
async fn a_named_model_with_fallbacks_and_an_alias() {
    let config = "[simulator]\ninstant = true\n[aliases]\nfast = \"openai/gpt-4o-mini\"\n\
                  [fallbacks]\n\"openai/gpt-4o-mini\" = [\"openrouter/auto:batch\", \"openai/gpt-4o\"]\n"
        .replace("openrouter/auto:batch", "openai/gpt-5.4:batch");
    let config = config.as_str();
    let gateway = Gateway::with(config, []).await;
    let body = r#"{"model":"fast","messages":[{"role":"user","content":"Hello"}]}"#;
    let response = gateway
        .post(body)
        .header("x-simulator-fault", "openai/gpt-4o-mini=500")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-waypost-model"], "openai/gpt-4o");
    let body = r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}],
        "waypost":{"fallbacks":["openai/gpt-4o"],"tags":["t"],"user":"u"}}"#;
    let response = gateway
        .post(body)
        .header("x-simulator-fault", "openai/gpt-4o-mini=500")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-waypost-model"], "openai/gpt-4o");
    let body = r#"{"model":"openai/gpt-4o-mini:floor","messages":[{"role":"user","content":"Hello"}]}"#;
    let response = gateway
        .post(body)
        .header("x-simulator-fault", "no-usage")
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.headers()["x-waypost-model"],
        "openai/gpt-4o-mini:floor",
        "the suffix is the provider's to read"
    );
    let (_, models) = gateway.get("/v1/models").await;
    let ids: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(&ids[..2], ["waypost/auto", "fast"]);
    assert_eq!(ids.len(), 2 + 421);
    gateway.stop().await;
}

#[tokio::test]
async fn a_suffix_that_is_said_again_is_no_other_deployment() {
    let gateway = Gateway::start().await;
    for (name, asked) in [
        ("openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini:nitro:nitro:nitro", "openai/gpt-4o-mini:nitro"),
        (
            "openai/gpt-4o-mini:floor:nitro:floor:nitro",
            "openai/gpt-4o-mini:floor:nitro",
        ),
    ] {
        let (listed, target) = gateway::call::resolve(&gateway.app, name).unwrap();
        assert_eq!(
            (listed.as_str(), target.model.as_str()),
            ("openai/gpt-4o-mini", asked)
        );
    }
}

#[tokio::test]
async fn tools_and_explanations_pass_through() {
    let gateway = Gateway::start().await;
    let body = object!({
        "model": "waypost/auto",
        "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}],
        "tool_choice": "required",
        "waypost": {"explain": true, "min_quality": 30},
    });
    let response = gateway.post(body.to_string()).send().await.unwrap();
    let answer = json(&response.text().await.unwrap());
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "weather", "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    assert!(json(call["function"]["arguments"].as_str().unwrap())["city"].is_string());
    let plan = &answer["waypost"]["plan"];
    assert!(
        plan["refused"]
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["reason"] == "missing_capability")
    );

    let mut streamed = body;
    streamed["stream"] = object!(true);
    let lines = gateway.stream(gateway.post(streamed.to_string())).await;
    let chunks: Vec<_> = lines[..lines.len() - 1].iter().map(|line| json(line)).collect();
    let mut arguments = String::new();
    for chunk in &chunks {
        if let Some(call) = chunk["choices"][0]["delta"]["tool_calls"].get(0) {
            assert_eq!(call["index"], 0);
            arguments.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
    assert!(json(&arguments)["city"].is_string(), "{arguments}");
    gateway.stop().await;
}

#[tokio::test]
async fn health_says_simulated_and_costs_nothing() {
    let gateway = Gateway::start().await;
    let (status, body) = gateway.get("/health/integrations/openrouter").await;
    assert_eq!(
        (status, &body["status"], &body["mode"]),
        (200, &object!("healthy"), &object!("simulated"))
    );
    assert_eq!(
        gateway.get("/health/integrations").await.1["integrations"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(gateway.get("/health/live").await.0, 200);
    assert_eq!(gateway.get("/health/ready").await.0, 200);
    assert_eq!(gateway.get("/health/integrations/nobody").await.0, 404);
    assert!(gateway.ledger().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_stop_lets_running_answers_end_with_an_event() {
    let config = "[simulator]\ninstant = true\n[limits]\ndrain_seconds = 0\n";
    let gateway = Gateway::with(config, []).await;
    let response = gateway.post(AUTO_STREAM).send().await.unwrap();
    let hanging = gateway
        .post(AUTO_STREAM)
        .header("x-simulator-fault", "hang")
        .send();
    let hanging = tokio::spawn(hanging);
    let lines = data_lines(&response.text().await.unwrap());
    assert_eq!(lines.last().unwrap(), "[DONE]");
    while gateway.ledger().len() < 2 {
        tokio::task::yield_now().await;
    }
    gateway.stop().await;
    // The one that hangs has no first piece yet.
    let refused = hanging.await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["x-should-retry"], "true");
}
