//! The router, the command and the route name the same best model, whatever decides which one it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/command.rs"]
mod command;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use gateway::app::bundled;
use http_transport::SystemClock;
use integration_core::{Capability, CapabilitySet, Clock};
use routing::{
    BreakerConfig, DataPolicy, FactBook, Facts, LiveBook, QualityBook, RouteRequest, Router, Snapshot, Task,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use support::{Gateway, INSTANT, within_20_s};

/// One question, in the words of each of the three.
struct Asked {
    command: &'static [&'static str],
    query: &'static str,
    request: fn(&mut RouteRequest),
}

fn asked() -> Vec<Asked> {
    vec![
        Asked {
            command: &[],
            query: "",
            request: |_| {},
        },
        Asked {
            command: &["--min-quality", "50"],
            query: "&min_quality=50",
            request: |request| request.min_quality = Some(50.0),
        },
        Asked {
            command: &["--needs", "tools,vision", "--allow-free"],
            query: "&needs=tools,vision&allow_free=true",
            request: |request| {
                request.needs = CapabilitySet::from_iter([Capability::Tools, Capability::Vision]);
                request.allow_free = true;
            },
        },
        Asked {
            command: &[
                "--min-quality",
                "30",
                "--context",
                "200000",
                "--max-price",
                "5",
                "--prompt-tokens",
                "50000",
                "--completion-tokens",
                "10",
            ],
            query: "&min_quality=30&context=200000&max_price=5&prompt_tokens=50000&completion_tokens=10",
            request: |request| {
                request.min_quality = Some(30.0);
                request.context = Some(200_000);
                request.max_price = Some(5.into());
                (request.prompt_tokens, request.completion_tokens) = (50_000, 10);
            },
        },
        Asked {
            command: &["--min-quality", "20", "--confidence", "0.95"],
            query: "&min_quality=20&confidence=0.95",
            request: |request| (request.min_quality, request.confidence) = (Some(20.0), Some(0.95)),
        },
        Asked {
            command: &["--strategy", "best-quality"],
            query: "&strategy=best-quality",
            request: |request| request.strategy = routing::strategy("best-quality").unwrap(),
        },
    ]
}

/// What no two may differ in. How deployments are doing only the gateway knows that calls them.
fn essence(plan: &Value) -> Value {
    let candidates: Vec<_> = plan["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            json!([
                one["model"],
                one["quality"],
                one["quality_sd"],
                one["expected_cost_usd"],
                one["expected_charge_usd"],
            ])
        })
        .collect();
    json!({
        "task": plan["task"], "model": plan["model"], "quality": plan["quality"], "cost": plan["expected_cost_usd"],
        "charge": plan["expected_charge_usd"], "candidates": candidates, "refused": plan["refused"],
        "assumed": plan["assumed"], "best": plan["best_quality"], "strategy": plan["strategy"],
        "snapshot": plan["snapshot"],
    })
}

fn by_command(gateway: &Gateway, task: Task, args: &[&str]) -> Value {
    let mut command = command::waypost(gateway.dir.path());
    command.args(["best-model", task.as_str(), "--json", "--data-dir", "data"]);
    let (code, out, error) = command::ended(command.args(args).output().unwrap());
    assert_eq!(code, 0, "{error}");
    essence(&support::json(&out))
}

async fn by_route(gateway: &Gateway, task: Task, query: &str) -> Value {
    let path = format!("/v1/routing/best-model?task={task}{query}");
    let (status, plan) = gateway.get(&path).await;
    assert_eq!(status, 200, "{plan}");
    essence(&plan)
}

/// Holds the command and the route against a router for every task and question; `defaults` is what the configuration asks of a
/// request that does not say.
async fn all_agree(gateway: &Gateway, router: &Router, defaults: fn(&mut RouteRequest)) {
    for task in Task::ALL {
        for asked in asked() {
            agreed(gateway, router, task, defaults, &asked).await;
        }
    }
}

/// The plan that all three make of one question.
async fn agreed(
    gateway: &Gateway,
    router: &Router,
    task: Task,
    defaults: fn(&mut RouteRequest),
    asked: &Asked,
) -> Value {
    let clock = SystemClock;
    let mut request = RouteRequest::new(task, clock.wall().into());
    defaults(&mut request);
    (asked.request)(&mut request);
    let plan = router.view().plan(&request, clock.now());
    let plan = essence(&serde_json::to_value(plan).unwrap());
    assert!(plan["model"].is_string(), "{task} {:?}", asked.command);
    let (command, route) = (
        by_command(gateway, task, asked.command),
        by_route(gateway, task, asked.query).await,
    );
    assert_eq!(
        command, plan,
        "the command differs for {task} {:?}",
        asked.command
    );
    assert_eq!(route, plan, "the route differs for {task} {}", asked.query);
    plan
}

fn router(quality: &QualityBook) -> Router {
    router_with(quality, &FactBook::new())
}

fn router_with(quality: &QualityBook, facts: &FactBook) -> Router {
    let (catalogue, prices) = bundled().unwrap();
    let snapshot = Snapshot::with_parts(&[(&*catalogue, &*prices)], quality, facts);
    let live = LiveBook::new(BreakerConfig::default(), SystemClock.now(), 1);
    Router::new(snapshot, Arc::new(live))
}

fn bare() -> QualityBook {
    QualityBook::from_catalogue(&bundled().unwrap().0)
}

fn best(router: &Router, task: Task) -> Value {
    let plan = router.best_model(task, SystemClock.wall().into(), SystemClock.now());
    essence(&serde_json::to_value(plan).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_settings_it_is_the_routers_best_model() {
    let gateway = Gateway::start().await;
    let router = router(&bare());
    for task in Task::ALL {
        let expected = best(&router, task);
        assert_eq!(by_command(&gateway, task, &[]), expected);
        assert_eq!(by_route(&gateway, task, "").await, expected);
        assert_eq!(best(&gateway.app.router, task), expected);
    }
    all_agree(&gateway, &router, |_| {}).await;
    // Nothing is read of a ledger that is not there.
    let dir = tempfile::tempdir().unwrap();
    let (code, out, error) = command::run(dir.path(), &["best-model", "coding", "--json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(essence(&support::json(&out)), best(&router, Task::Coding));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_routing_says_in_the_configuration_counts() {
    let config = format!(
        "{INSTANT}[routing]\nmin_quality = 35\nconfidence = 0.9\nstrategy = \"weighted-utility:cost=2,quality=1\"\n\
         [[markup]]\nmodel = \"openai/gpt-4o\"\nbps = 1\n"
    );
    let gateway = Gateway::with(&format!("markup_bps = 250\n{config}"), []).await;
    all_agree(&gateway, &router(&bare()), |request| {
        request.min_quality = Some(35.0);
        request.confidence = Some(0.9);
        request.strategy = routing::strategy("weighted-utility:cost=2,quality=1").unwrap();
        request.markup = costing::Markup::from_bps(250);
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_of_deployments_counts() {
    let config = format!(
        "{INSTANT}[[deployment]]\nmodel = \"google/*\"\ndata_policy = \"no-training\"\nregions = [\"eu\", \"us\"]\n\
         [[deployment]]\nmodel = \"openai/*\"\ndata_policy = \"no-retention\"\n\
         [[deployment]]\nmodel = \"*\"\nregions = [\"us\"]\n"
    );
    let facts = FactBook::new()
        .with(
            "google/*".parse().unwrap(),
            Facts::default()
                .with_data_policy(DataPolicy::NoTraining)
                .with_region("eu")
                .with_region("us"),
        )
        .with(
            "openai/*".parse().unwrap(),
            Facts::default().with_data_policy(DataPolicy::NoRetention),
        )
        .with("*".parse().unwrap(), Facts::default().with_region("us"))
        // The simulator does as OpenRouter does, where nothing is promised.
        .with_enforced("openrouter".parse().unwrap(), DataPolicy::NoRetention);
    let gateway = Gateway::with(&config, []).await;
    let router = router_with(&bare(), &facts);
    all_agree(&gateway, &router, |_| {}).await;
    let promises: [Asked; 4] = [
        Asked {
            command: &["--data-policy", "no-training"],
            query: "&data_policy=no-training",
            request: |request| request.data_policy = Some(DataPolicy::NoTraining),
        },
        Asked {
            command: &["--data-policy", "no-retention"],
            query: "&data_policy=no-retention",
            request: |request| request.data_policy = Some(DataPolicy::NoRetention),
        },
        Asked {
            command: &["--region", "us"],
            query: "&region=us",
            request: |request| request.region = Some("us".to_owned()),
        },
        Asked {
            command: &[
                "--region",
                "eu",
                "--data-policy",
                "no-training",
                "--confidence",
                "0.8",
            ],
            query: "&region=eu&data_policy=no-training&confidence=0.8",
            request: |request| {
                request.region = Some("eu".to_owned());
                request.data_policy = Some(DataPolicy::NoTraining);
                request.confidence = Some(0.8);
            },
        },
    ];
    let (mut best_ones, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for asked in promises {
        let plan = agreed(&gateway, &router, Task::Coding, |_| {}, &asked).await;
        best_ones.insert(plan["model"].to_string());
        let refused = plan["refused"].as_array().unwrap();
        reasons.extend(refused.iter().map(|one| one["reason"].to_string()));
    }
    assert!(best_ones.len() > 1, "{best_ones:?}");
    for reason in ["data_policy", "region"] {
        assert!(reasons.contains(&format!("{reason:?}")), "{reasons:?}");
    }
    // A wrong word is refused by both, as in a request.
    for (args, query, says) in [
        (["--data-policy", "secret"], "data_policy=secret", "no-retention"),
        (["--confidence", "0.3"], "confidence=0.3", "at least 0.5"),
    ] {
        let mut command = command::waypost(gateway.dir.path());
        command.args(["best-model", "coding"]).args(args);
        let (code, _, error) = command::ended(command.output().unwrap());
        assert!(code != 0 && error.contains(says), "{error}");
        let path = format!("/v1/routing/best-model?task=coding&{query}");
        let (status, answer) = gateway.get(&path).await;
        assert_eq!(status, 400);
        assert!(answer.to_string().contains(says), "{answer}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_of_ones_own_count() {
    // A model that the benchmarks call weak, measured often and found to be the best.
    let router_before = router(&bare());
    let weak = best(&router_before, Task::Coding)["model"].clone();
    let line = json!({ "model": weak, "task": "coding", "score": 99, "n": 100_000 }).to_string();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evaluations.jsonl");
    std::fs::write(&file, &line).unwrap();
    let config = format!("{INSTANT}[routing]\nevaluations = {:?}\n", file.to_str().unwrap());
    let gateway = Gateway::with(&config, []).await;
    let router = router(&bare().with_evaluations(routing::read_evaluations(&line).unwrap()));
    all_agree(&gateway, &router, |_| {}).await;
    // No benchmark says 80 of any model.
    let mut strong = RouteRequest::new(Task::Coding, SystemClock.wall().into());
    strong.min_quality = Some(80.0);
    assert!(
        router_before
            .view()
            .plan(&strong, SystemClock.now())
            .candidates
            .is_empty()
    );
    let args = ["--min-quality", "80"];
    assert_eq!(by_command(&gateway, Task::Coding, &args)["model"], weak);
    assert_eq!(
        by_route(&gateway, Task::Coding, "&min_quality=80").await["model"],
        weak
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_counts_where_the_gateway_runs_and_where_it_has_run() {
    let gateway = Gateway::start().await;
    let before = by_command(&gateway, Task::Coding, &[]);
    for (min_quality, score) in [(10, 1), (55, 0)] {
        let body = json!({
            "model": "waypost/auto",
            "messages": [{ "role": "user", "content": "Sort this." }],
            "waypost": { "task": "coding", "min_quality": min_quality },
        });
        let answer = gateway.post(body.to_string()).send().await.unwrap();
        let answer = support::json(&answer.text().await.unwrap());
        let body = json!({ "request_id": answer["waypost"]["request_id"], "score": score });
        let said = gateway
            .http
            .post(format!("{}/v1/feedback", gateway.base))
            .header("content-type", "application/json")
            .body(body.to_string());
        assert_eq!(said.send().await.unwrap().status(), 200);
    }
    let rows = gateway.app.store.feedback_sums(true).await.unwrap();
    assert_eq!(rows.len(), 2);
    let learned = router(&gateway.app.learned.sources().learned(&rows));
    let id = learned.view().snapshot().quality_id().to_owned();
    within_20_s(async || gateway.app.router.view().snapshot().quality_id() == id).await;
    all_agree(&gateway, &learned, |_| {}).await;
    let after = by_command(&gateway, Task::Coding, &[]);
    assert_ne!(after, before, "feedback changed nothing");
    // The command finds it in the ledger of a gateway that no longer runs, and changes nothing there.
    let dir = gateway.stop().await;
    let args = ["best-model", "coding", "--json", "--data-dir", "data"];
    let (code, out, _) = command::run(dir.path(), &args);
    assert_eq!((code, essence(&support::json(&out))), (0, after.clone()));
    let key = command::waypost(dir.path())
        .args(args)
        .env("OPENROUTER_API_KEY", "sk-or-v1-test")
        .output()
        .unwrap();
    let (_, out, _) = command::ended(key);
    assert_eq!(
        essence(&support::json(&out)),
        before,
        "what is thought of simulated answers says nothing of real ones"
    );
}

/// The charge that a plan expects of a model, over what it expects it to cost, in basis points.
fn added(plan: &Value, model: &str) -> Decimal {
    let candidates = plan["candidates"].as_array().unwrap();
    let one = candidates.iter().find(|one| one["model"] == model).unwrap();
    let amount = |name: &str| -> Decimal { one[name].as_str().unwrap().parse().unwrap() };
    let (cost, charge) = (amount("expected_cost_usd"), amount("expected_charge_usd"));
    ((charge - cost) / cost * Decimal::from(10_000)).round_dp(2)
}

/// Each model's charge is expected by the rule that it will be settled by: of the caller's own key, the model, or for everything.
#[tokio::test]
async fn each_charge_is_expected_by_the_markup_of_its_own_model_and_caller() {
    const MINI: &str = "openai/gpt-4.1-mini";
    const FLASH: &str = "google/gemini-3.7-flash";
    const GLM: &str = "z-ai/glm-5.3";
    let config = format!(
        "markup_bps = 100\n{INSTANT}\
         [[caller]]\nkey = \"web\"\ntoken_env = \"WEB_TOKEN\"\nteam = \"sales\"\n\
         [[caller]]\nkey = \"nightly\"\ntoken_env = \"NIGHTLY_TOKEN\"\n\
         [[markup]]\nmodel = \"{MINI}\"\nbps = 2000\n\
         [[markup]]\nmodel = \"{FLASH}\"\nbps = 3000\n\
         [[markup]]\nteam = \"sales\"\nbps = 700\n"
    );
    let tokens = [
        ("WEB_TOKEN", "token-of-web"),
        ("NIGHTLY_TOKEN", "token-of-nightly"),
    ];
    let gateway = Gateway::with(&config, tokens).await;
    let plan = async |token: &str| {
        let url = format!("{}/v1/routing/best-model?task=reasoning", gateway.base);
        let answer = gateway.http.get(url).bearer_auth(token).send().await.unwrap();
        support::json(&answer.text().await.unwrap())
    };
    let by_model = [(MINI, 2_000), (FLASH, 3_000), (GLM, 100)];
    let of_sales = by_model.map(|(model, _)| (model, 700));
    for (token, rules) in [("token-of-nightly", by_model), ("token-of-web", of_sales)] {
        let plan = plan(token).await;
        for (model, bps) in rules {
            assert_eq!(added(&plan, model), Decimal::from(bps), "{token} {model}");
        }
    }
    // The plans beside answers say the same, of models that were chosen and of those that were named; and so does the ledger.
    for (model, more) in [("waypost/auto", json!([])), (MINI, json!([FLASH]))] {
        let body = json!({
            "model": model, "messages": [{ "role": "user", "content": "Hello" }],
            "waypost": { "task": "reasoning", "min_quality": 0, "fallbacks": more, "explain": true },
        });
        let request = gateway.post(body.to_string()).bearer_auth("token-of-nightly");
        let answer = support::json(&request.send().await.unwrap().text().await.unwrap());
        let waypost = &answer["waypost"];
        assert_eq!(added(&waypost["plan"], MINI), Decimal::from(2_000), "{model}");
        assert_eq!(added(&waypost["plan"], FLASH), Decimal::from(3_000), "{model}");
        if model == MINI {
            assert_eq!(waypost["markup_bps"], 2_000);
        }
    }
    gateway.stop().await;
}
