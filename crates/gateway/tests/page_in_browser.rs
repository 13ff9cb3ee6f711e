//! The first page of the dashboard as a browser shows it, from a gateway that has answered calls. Without Chromium these are skipped,
//! and say so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

#[path = "../../costing/tests/common/browser.rs"]
mod browser;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{Html, Response};
use browser::{Look, Page, is_well_shown};
use costing::PicoSum;
use integration_core::ManualClock;
use serde_json::Value;

use support::{Gateway, INSTANT};

const MODEL: &str = "openai/gpt-4o-mini";

/// Two answers, one without a price, and one whose first choice failed.
async fn traffic(gateway: &Gateway) {
    let body =
        |model: &str| format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}"#);
    for model in [MODEL, "openai/gpt-4o", "waypost/auto"] {
        assert_eq!(gateway.post(body(model)).send().await.unwrap().status(), 200);
    }
    // Cut off by the provider: what it bills nobody knows.
    let cut = body(MODEL).replace("\"messages\"", "\"stream\":true,\"messages\"");
    let request = gateway.post(cut).header("x-simulator-fault", "cut");
    request.send().await.unwrap().text().await.unwrap();
    let first = gateway
        .ledger()
        .iter()
        .rev()
        .find(|row| row.model != MODEL)
        .unwrap()
        .model
        .clone();
    let request = gateway
        .post(body("waypost/auto"))
        .header("x-simulator-fault", format!("{first}=503"));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// A server before the gateway that has one page more, so that its script may look at the others. Everything else goes through as it
/// is, headers included.
async fn before(gateway: &Gateway, outer: String) -> String {
    let (http, base) = (gateway.http.clone(), gateway.base.clone());
    let pass_on = move |request: Request| {
        let (http, base) = (http.clone(), base.clone());
        async move {
            let address = format!("{base}{}", request.uri());
            let answer = http.get(address).send().await.unwrap();
            let mut response = Response::new(Body::empty());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = Body::from(answer.bytes().await.unwrap());
            response
        }
    };
    let router = axum::Router::new()
        .route("/outer", axum::routing::get(async || Html(outer)))
        .fallback(pass_on);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn look(
    gateway: &Gateway,
    path: &'static str,
    name: &'static str,
    width: u32,
    dark: bool,
) -> Option<Value> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
    let look = Look::new(name, width, dark, &folder);
    let base = before(gateway, look.outer(&Page::Address(path))).await;
    let direct = format!("{}{path}", gateway.base);
    let found = tokio::task::spawn_blocking(move || {
        let found = look.at(&format!("{base}/outer"))?;
        // The picture is of the gateway itself, and of the frame where no window is as narrow.
        let framed = look.width < 500;
        look.picture(&if framed { format!("{base}/outer") } else { direct });
        is_well_shown(&found, &look);
        Some(found)
    });
    found.await.unwrap()
}

async fn check(name: &'static str, width: u32, dark: bool) {
    // A clock that stands still: nothing is asked again behind the page's back.
    let now = UNIX_EPOCH + Duration::from_secs(1_795_348_800);
    let gateway = Gateway::at(Arc::new(ManualClock::starting_at(now)), INSTANT, []).await;
    traffic(&gateway).await;
    let Some(found) = look(&gateway, "/", name, width, dark).await else {
        return;
    };
    // What the page says is what any other program reads in the ledger.
    let rows = gateway.ledger();
    assert!(rows.iter().all(|row| row.simulated == 1));
    let sum = |part: fn(&support::Row) -> Option<i64>| {
        let sum: i64 = rows.iter().filter_map(part).sum();
        PicoSum::new(sum.into())
    };
    let exact = format!(
        "at least {} cost + {} markup = {} charge, US dollars",
        sum(|row| row.cost),
        sum(|row| row.markup),
        sum(|row| row.charge)
    );
    let facts = found["facts"].as_str().unwrap();
    assert!(facts.contains(&exact), "{exact} in {facts}");
    let cards: Vec<&str> = found["cards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|card| card.as_str().unwrap())
        .collect();
    let attempts = rows.len();
    assert!(
        cards.contains(&format!("Attempts{attempts}").as_str()),
        "{cards:?}"
    );
    assert!(
        cards.contains(&"Requests5") && cards.contains(&"Attempts pending1"),
        "{cards:?}"
    );
    assert!(cards.contains(&"Attempts unpriced0"), "{cards:?}");
    assert!(
        found["total"].as_str().unwrap().starts_with("at least "),
        "{found}"
    );
    let warning = found["warning"][0].as_str().unwrap();
    assert!(
        warning.contains("simulated") && warning.contains("nothing is paid"),
        "{warning}"
    );
    let text = found["text"].as_str().unwrap();
    for says in [
        "By model",
        "By day",
        "By key",
        "Saved against",
        "Spent on attempts that gave the caller nothing",
        "Charge by the end of the month",
        MODEL,
        "local",
    ] {
        assert!(text.contains(says), "{says} in {text}");
    }
    assert!(found["bars"].as_u64().unwrap() >= 3, "{found}");
    // Every link of it leads somewhere.
    let links = found["links"].as_array().unwrap();
    assert_eq!(links.len(), costing::report::Grouping::ALL.len());
    for link in links {
        let answer = gateway
            .http
            .get(format!("{}{}", gateway.base, link.as_str().unwrap()));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{link}");
        assert!(answer.headers().contains_key("content-security-policy"), "{link}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_dashboard_on_a_desk_by_day() {
    check("dashboard-on-a-desk-by-day", 1_280, false).await;
}

#[tokio::test]
async fn the_dashboard_on_a_phone_by_day() {
    check("dashboard-on-a-phone-by-day", 390, false).await;
}

#[tokio::test]
async fn the_dashboard_on_a_desk_by_night() {
    check("dashboard-on-a-desk-by-night", 1_280, true).await;
}

#[tokio::test]
async fn the_dashboard_on_a_phone_by_night() {
    check("dashboard-on-a-phone-by-night", 390, true).await;
}

#[tokio::test]
async fn a_report_with_its_second_part_on_a_phone() {
    let gateway = Gateway::start().await;
    traffic(&gateway).await;
    let path = "/v1/reports/costs?by=model&format=html&baseline=openai/gpt-4o";
    let Some(found) = look(&gateway, path, "served-report-on-a-phone", 390, false).await else {
        return;
    };
    assert!(
        found["text"]
            .as_str()
            .unwrap()
            .contains("Saved against openai/gpt-4o"),
        "{found}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_has_answered_nothing_has_a_page_all_the_same() {
    let gateway = Gateway::start().await;
    let answer = gateway.http.get(&gateway.base).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.unwrap();
    assert!(
        page.contains("No attempts in this period.") && page.contains("This gateway is simulated"),
        "{page}"
    );
    gateway.stop().await;
}

const EXPERIMENT: &str = "[[experiment]]
key = \"cheaper\"
window = \"1ms\"
arms = [{ key = \"control\", weight_bps = 5000 }, { key = \"mini\", weight_bps = 5000, model = \"openai/gpt-4o-mini\" }]
[experiment.plan]
control = \"control\"
look_hours = 1
[[experiment.plan.metrics]]
key = \"latency\"
role = \"guardrail\"
kind = { mean = { of = \"latency_ms\" } }
direction = \"lower_is_better\"
margin = { relative = 0.1 }
[[experiment.plan.metrics]]
key = \"cost\"
role = \"goal\"
kind = { mean = { of = \"cost\" } }
direction = \"lower_is_better\"
";

/// An experiment with a few looks, through the store, as the gateway keeps them.
async fn check_experiment(name: &'static str, width: u32, dark: bool) {
    let now = UNIX_EPOCH + Duration::from_secs(1_795_348_800);
    let config = format!("{INSTANT}{EXPERIMENT}");
    let gateway = Gateway::at(Arc::new(ManualClock::starting_at(now)), &config, []).await;
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    for i in 0..1_200_i64 {
        let context = format!("web/user-{i}");
        let context = experiments::Context::new().with_user(&context);
        let (experiment, _) = gateway.app.settings.experiments.get("cheaper").unwrap();
        let assignment = experiment.assign_for(&context);
        let at_ms = 1_795_300_000_000 + i * 36_000;
        let is_mini = assignment.arm == Some("mini");
        let mut exposure = experiments::Exposure::of(&assignment, &context, at_ms).unwrap();
        "simulated/cheaper".clone_into(&mut exposure.experiment);
        exposures.push(exposure);
        let mut outcome = experiments::Outcome::new(format!("{i}"), at_ms, (&context).into());
        outcome.call = Some(experiments::Call::default());
        outcome.cost_pico = Some((1_000 + i % 7 * 100) * if is_mini { 400 } else { 1_000 });
        outcome.latency_ms = Some(u64::try_from(800 + i % 13 * 20).unwrap());
        outcomes.push(outcome);
    }
    gateway.app.store.append_exposures(&exposures).await.unwrap();
    gateway.app.store.append_outcomes(&outcomes).await.unwrap();
    let path = "/v1/experiments/cheaper?format=html";
    let Some(found) = look(&gateway, path, name, width, dark).await else {
        return;
    };
    let text = found["text"].as_str().unwrap();
    for says in [
        "cheaper, version 1",
        "Ship 'mini'",
        "mini against control",
        "cost is lower",
        "How it was judged",
    ] {
        assert!(text.contains(says), "{says} in {text}");
    }
    assert_eq!(found["bars"], serde_json::json!(2), "{found}");
    assert!(
        found["warning"][0].as_str().unwrap().contains("simulated"),
        "{found}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn an_experiment_on_a_desk_by_day() {
    check_experiment("experiment-on-a-desk-by-day", 1_280, false).await;
}

#[tokio::test]
async fn an_experiment_on_a_telephone_by_night() {
    check_experiment("experiment-on-a-telephone-by-night", 390, true).await;
}
