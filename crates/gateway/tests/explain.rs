//! Explanations of requests that name their model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/command.rs"]
mod command;
mod support;

use costing::{MarkupSubject, expected_cost};
use gateway::app::bundled;
use integration_core::{Capability, ModelId};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use support::{Gateway, INSTANT};

const MINI: &str = "openai/gpt-4o-mini";
const FLASH: &str = "google/gemini-3.7-flash";

/// A model with a price that cannot look at pictures.
fn blind() -> ModelId {
    let (catalogue, prices) = bundled().unwrap();
    let blind = catalogue.records().iter().find(|record| {
        let able = record.capabilities();
        able.contains(Capability::TextOutput)
            && !able.contains(Capability::Vision)
            && !record.is_alias()
            && !record.is_batch()
            && prices.sheet(&record.id).is_some_and(|sheet| !sheet.is_dynamic())
    });
    blind.unwrap().id.clone()
}

async fn asked(gateway: &Gateway, model: &str, options: Value) -> (u16, Value) {
    let body =
        json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }], "waypost": options });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, support::json(&answer.text().await.unwrap()))
}

/// A list of objects as the values of some of their keys.
fn list(of: &Value, keys: &[&str]) -> Value {
    let row = |one: &Value| keys.iter().map(|key| one[*key].clone()).collect::<Value>();
    of.as_array().unwrap().iter().map(row).collect()
}

/// What the call of [`asked`] is expected to cost, by the price book alone.
fn cost(model: &str) -> Decimal {
    let (_, prices) = bundled().unwrap();
    let sheet = prices.sheet(&model.parse().unwrap()).unwrap();
    let at = costing::UtcTime::from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_348_800));
    // "Hello" are two tokens, and the message takes four.
    expected_cost(sheet, 6, 500, at).unwrap()
}

#[tokio::test]
async fn a_named_model_is_explained_with_its_chain() {
    let blind = blind();
    let config = format!("{INSTANT}[fallbacks]\n\"{MINI}\" = [\"{blind}\", \"{FLASH}\"]\n");
    let gateway = Gateway::with(&config, []).await;
    let (status, answer) = asked(&gateway, MINI, json!({ "explain": true, "needs": ["vision"] })).await;
    assert_eq!(status, 200, "{answer}");
    let plan = &answer["waypost"]["plan"];
    let keys = ["provider", "model", "why", "expected_cost_usd"];
    let dollars = |model| cost(model).normalize().to_string();
    assert_eq!(
        list(&plan["candidates"], &keys),
        json!([
            ["openrouter", MINI, "named by the request", dollars(MINI)],
            [
                "openrouter",
                FLASH,
                "a fallback of the configuration",
                dollars(FLASH)
            ],
        ])
    );
    assert_eq!(
        list(&plan["refused"], &["model", "reason", "detail"]),
        json!([[blind, "missing_capability", "lacks vision"]])
    );
    assert_eq!(plan["targets"], json!([MINI, FLASH]));
    assert_eq!(
        (&plan["model"], &plan["strategy"], &plan["assumed"]),
        (
            &json!(MINI),
            &json!("named"),
            &json!({ "prompt_tokens": 6, "completion_tokens": 500 })
        )
    );
    // Its parts add up, and the charge has the markup.
    let first = &plan["candidates"][0];
    let amount = |value: &Value| -> Decimal { value.as_str().unwrap().parse().unwrap() };
    let parts = first["cost_parts_usd"].as_object().unwrap();
    assert_eq!(parts.values().map(amount).sum::<Decimal>(), cost(MINI));
    let markup = gateway
        .app
        .settings
        .markups
        .rule_for(MarkupSubject::default())
        .share();
    assert_eq!(markup.bps(), 1_000);
    assert_eq!(
        amount(&first["expected_charge_usd"]),
        cost(MINI) * Decimal::new(11, 1)
    );
    // Nothing was compared, so nothing says that it was.
    assert_eq!(
        (&plan["best_quality"], &plan["replay"], &first["on_pareto_front"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    // It has every key of a plan that was decided.
    let (_, chosen) = asked(&gateway, "waypost/auto", json!({ "explain": true })).await;
    let chosen = &chosen["waypost"]["plan"];
    for (one, other) in [(chosen, plan), (&chosen["candidates"][0], first)] {
        let missing: Vec<_> = one
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| other.get(key).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    assert_eq!(chosen["targets"][0], chosen["model"]);
    // Who does not ask gets none.
    let (_, silent) = asked(&gateway, MINI, json!({})).await;
    assert!(silent["waypost"].get("plan").is_none());
    gateway.stop().await;
}

#[tokio::test]
async fn fallbacks_of_the_request_come_in_its_order_and_a_refused_name_is_explained() {
    let gateway = Gateway::start().await;
    let options = json!({ "explain": true, "fallbacks": [FLASH, MINI, "openai/gpt-4o:nitro"] });
    let (status, answer) = asked(&gateway, MINI, options).await;
    assert_eq!(status, 200, "{answer}");
    let plan = &answer["waypost"]["plan"];
    assert_eq!(plan["targets"], json!([MINI, FLASH, "openai/gpt-4o:nitro"]));
    assert_eq!(
        list(&plan["candidates"], &["model", "why"]),
        json!([
            [MINI, "named by the request"],
            [FLASH, "a fallback of the request"],
            ["openai/gpt-4o:nitro", "a fallback of the request"],
        ])
    );
    // A price that nobody can know before the call is not made up.
    let (status, answer) = asked(&gateway, "openrouter/auto", json!({ "explain": true })).await;
    assert_eq!(status, 200, "{answer}");
    let first = &answer["waypost"]["plan"]["candidates"][0];
    assert_eq!(
        (&first["expected_cost_usd"], &first["quality"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        first["unpriced"].as_str().unwrap().contains("only afterwards"),
        "{first}"
    );
    // Why it is not allowed: the same reason that refuses the request.
    let options = json!({ "explain": true, "fallbacks": [FLASH], "never": ["google/*"] });
    let (status, answer) = asked(&gateway, MINI, options.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("forbidden")));
    let plan = &answer["waypost"]["plan"];
    assert_eq!(list(&plan["candidates"], &["model"]), json!([[MINI]]));
    assert_eq!(
        list(&plan["refused"], &["model", "reason"]),
        json!([[FLASH, "forbidden"]])
    );
    let mut silent = options;
    silent["explain"] = json!(false);
    let (_, answer) = asked(&gateway, MINI, silent).await;
    assert!(answer["waypost"].get("plan").is_none());
    gateway.stop().await;
}

#[tokio::test]
async fn the_explanation_has_the_order_in_which_a_nearly_spent_budget_asks() {
    let config = format!(
        "{INSTANT}[[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = \"0.0001\"\nlevel = \"shaping\"\n"
    );
    let gateway = Gateway::with(&config, []).await;
    let dear = "openai/gpt-4o";
    let options = json!({ "explain": true, "fallbacks": [MINI] });
    let (_, answer) = asked(&gateway, dear, options).await;
    let plan = &answer["waypost"]["plan"];
    assert_eq!(plan["targets"], json!([MINI, dear]), "{answer}");
    assert_eq!(list(&plan["candidates"], &["model"]), json!([[MINI], [dear]]));
    assert_eq!(plan["strategy"], "named, cheapest first");
    assert_eq!(plan["model"], answer["waypost"]["attempts"][0]["model"]);
    gateway.stop().await;
}

#[tokio::test]
async fn under_headroom_calls_go_by_what_the_configured_limits_have_left() {
    const NARROW: &str = "openai/gpt-5.4-mini";
    let limit =
        |model, requests| format!("[[rate_limit]]\nmodel = \"{model}\"\nrequests_per_minute = {requests}\n");
    let config = format!("{INSTANT}{}{}", limit(NARROW, 4), limit(FLASH, 40));
    let gateway = Gateway::with(&config, []).await;
    let options =
        json!({ "strategy": "headroom", "only": [NARROW, FLASH], "min_quality": 0, "explain": true });
    let mut asked_of = std::collections::BTreeMap::<String, u32>::new();
    let mut seen = Vec::new();
    for _ in 0..11 {
        let (status, answer) = asked(&gateway, "waypost/auto", options.clone()).await;
        assert_eq!(status, 200, "{answer}");
        let plan = &answer["waypost"]["plan"];
        *asked_of
            .entry(plan["model"].as_str().unwrap().to_owned())
            .or_default() += 1;
        seen = list(&plan["candidates"], &["reading"])
            .as_array()
            .unwrap()
            .clone();
    }
    assert_eq!(
        asked_of,
        std::collections::BTreeMap::from([(NARROW.to_owned(), 1), (FLASH.to_owned(), 10)])
    );
    let left: Vec<_> = seen.iter().map(|one| one[0]["headroom"].clone()).collect();
    assert_eq!(left, [0.775, 0.75]);
    gateway.stop().await;
}

/// Calls begin and end on every model while requests are prepared, and the strategy goes by just that.
#[tokio::test]
async fn the_plan_shown_is_the_one_that_is_followed_whatever_goes_on_meanwhile() {
    let gateway = Gateway::start().await;
    let app = &gateway.app;
    let body = json!({ "model": "waypost/auto", "messages": [{ "role": "user", "content": "Hello" }],
        "waypost": { "task": "reasoning", "strategy": "least-busy", "explain": true } });
    let body = gateway::call::Body::parse(body.to_string().as_bytes()).unwrap();
    let lives: Vec<_> = app.router.view().live().lives().to_vec();
    assert!(!lives.is_empty());
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let now = app.clock.now();
                let begun: Vec<_> = lives.iter().map(|live| live.begin(false, now)).collect();
                for (live, ticket) in lives.iter().zip(begun) {
                    live.end(ticket, routing::Ending::Cancelled, now);
                }
            }
        });
        let differ = (0..300).filter(|_| {
            let mut body = body.clone();
            let prepared = gateway::call::prepare(app, &mut body, &costing::Caller::local()).unwrap();
            let plan = prepared.explanation().unwrap();
            let planned = plan["candidates"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| &one["model"]);
            !planned
                .zip(plan["targets"].as_array().unwrap())
                .all(|(planned, target)| planned == target)
        });
        let differ = differ.count();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(differ, 0);
    });
}

#[test]
fn the_command_explains_a_named_model() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{INSTANT}[fallbacks]\n\"{MINI}\" = [\"{FLASH}\"]\n");
    std::fs::write(dir.path().join("waypost.toml"), config).unwrap();
    let args = ["chat", "Hello", "--model", MINI, "--explain"];
    let (code, _, err) = command::run(dir.path(), &args);
    assert_eq!(code, 0, "{err}");
    for (model, why) in [
        (MINI, "named by the request"),
        (FLASH, "a fallback of the configuration"),
    ] {
        let line = err
            .lines()
            .find(|line| line.starts_with(&format!("candidate {model}:")));
        let cost = format!("expected cost ${}, {why}", cost(model).normalize());
        assert!(
            line.is_some_and(|line| line.ends_with(&cost)),
            "{cost} is not in {err}"
        );
    }
    assert!(!err.contains("models refused"), "nothing was chosen: {err}");
}
