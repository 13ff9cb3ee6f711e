//! Cost reports over HTTP, held against the ledger.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;

use costing::report::ReportFormat;
use serde_json::{Value, json};

use support::{Gateway, INSTANT, pico};

const COSTS: &str = "/v1/reports/costs";

fn body(model: &str, tags: &[&str]) -> String {
    json!({
        "model": model,
        "messages": [{ "role": "user", "content": "Why is the sky blue?" }],
        "waypost": { "tags": tags },
    })
    .to_string()
}

async fn chat(gateway: &Gateway, model: &str, tags: &[&str]) {
    let answer = gateway.post(body(model, tags)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

async fn get(gateway: &Gateway, path: &str) -> Answer {
    let answer = gateway
        .http
        .get(format!("{}{path}", gateway.base))
        .send()
        .await
        .unwrap();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        text: answer.text().await.unwrap(),
    }
}

fn sum(lines: &Value, key: &str) -> i64 {
    lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| pico(&line[key]))
        .sum()
}

#[tokio::test]
async fn the_route_gives_the_ledger_in_every_form() {
    let gateway = Gateway::start().await;
    chat(&gateway, "openai/gpt-4o-mini", &["a", "b"]).await;
    chat(&gateway, "openai/gpt-4o", &["a"]).await;
    chat(&gateway, "openai/gpt-4o", &[]).await;
    let rows = gateway.ledger();
    let charge: i64 = rows.iter().map(|row| row.charge.unwrap()).sum();
    let (status, report) = gateway.get(COSTS).await;
    assert_eq!(status, 200, "{report}");
    assert_eq!(report["by"], "model");
    let simulated = &report["simulated"];
    assert_eq!(pico(&simulated["total"]["charge_usd"]), charge);
    assert_eq!(sum(&simulated["lines"], "charge_usd"), charge);
    assert_eq!(simulated["lines"].as_array().unwrap().len(), 2);

    let (_, tags) = gateway.get(&format!("{COSTS}?by=tag")).await;
    let simulated = &tags["simulated"];
    assert_eq!(pico(&simulated["total"]["charge_usd"]), charge);
    assert_eq!(
        sum(&simulated["lines"], "charge_usd") + pico(&simulated["difference"]["charge_usd"]),
        charge
    );
    let (_, one) = gateway.get(&format!("{COSTS}?tag=a&by=model&top=1")).await;
    assert_eq!(one["simulated"]["total"]["attempts"], 2);
    let (_, one) = gateway
        .get(&format!("{COSTS}?model=openai/gpt-4o-mini&model=openai%2Fgpt-4o"))
        .await;
    assert_eq!(one["simulated"]["total"]["attempts"], 3);

    for (format, media, says) in [
        ("table", "text/plain; charset=utf-8", "Cost by day"),
        ("markdown", "text/markdown; charset=utf-8", "# Cost by day"),
        ("csv", "text/csv; charset=utf-8; header=present", "row,by,group"),
        ("json", "application/json", "\"schema\""),
        ("html", "text/html; charset=utf-8", "<!doctype html>"),
        ("focus", "text/csv; charset=utf-8; header=present", "BilledCost"),
    ] {
        let answer = get(
            &gateway,
            &format!("{COSTS}?by=day&format={format}&from=2026-01-01&to=2026-02-01"),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.contains(says), "{format}: {}", answer.text);
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("content-type"), Some(media));
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        assert_eq!(header("cache-control"), Some("no-store"));
        assert_eq!(header("x-waypost-mode"), Some("simulated"));
        let policy = ReportFormat::content_security_policy();
        assert_eq!(
            header("content-security-policy"),
            (format == "html").then_some(policy.as_str())
        );
        let file = match format {
            "csv" => Some("attachment; filename=\"waypost-costs-day-2026-01-01-2026-02-01.csv\""),
            "focus" => Some("attachment; filename=\"waypost-costs-focus-2026-01-01-2026-02-01.csv\""),
            _ => None,
        };
        assert_eq!(header("content-disposition"), file);
    }
}

/// What a file cannot say itself is said beside it.
#[tokio::test]
async fn what_focus_leaves_out_is_in_a_header() {
    let gateway = Gateway::start().await;
    let note = async || {
        get(&gateway, &format!("{COSTS}?format=focus"))
            .await
            .headers
            .remove("x-waypost-note")
    };
    assert_eq!(note().await, None);
    chat(&gateway, "openai/gpt-4o-mini", &[]).await;
    let note = note().await.unwrap();
    assert!(
        note.to_str()
            .unwrap()
            .starts_with("1 hourly sums of simulated calls are left out"),
        "{note:?}"
    );
}

#[tokio::test]
async fn only_a_simulated_gateway_says_that_it_is() {
    let says = "This gateway is simulated";
    let simulated = Gateway::start().await;
    assert!(get(&simulated, "/").await.text.contains(says));
    // A port on which nobody answers: with a key, that is no simulator.
    let live = Gateway::behind("a-key", "http://127.0.0.1:9/api/v1").await;
    let page = get(&live, "/").await;
    assert_eq!(page.headers["x-waypost-mode"], "live");
    assert!(page.status == 200 && !page.text.contains(says) && page.text.contains("Real calls"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert_eq!(policy, ReportFormat::content_security_policy());
    assert!(page.text.contains("http-equiv") && !page.text.contains("<script"));
}

#[tokio::test]
async fn input_93_a_wrong_period_is_a_400_that_names_it() {
    let gateway = Gateway::start().await;
    for (query, param) in [
        ("from=2026-02-30", "from"),
        ("from=2026-11-02&to=2026-11-01", "from"),
        ("to=9999999-01-01", "to"),
        ("from=0000-01-01", "from"),
        ("from=2026-11-01T00:30:00Z", "from"),
        ("from=2026-11-01&from=2026-11-02", "from"),
    ] {
        let (status, error) = gateway.get(&format!("{COSTS}?{query}")).await;
        assert_eq!(
            (status, error["error"]["param"].as_str()),
            (400, Some(param)),
            "{query}: {error}"
        );
    }
}

#[tokio::test]
async fn input_96_filters_and_parameters_are_taken_to_the_letter() {
    let gateway = Gateway::start().await;
    chat(&gateway, "openai/gpt-4o-mini", &["a"]).await;
    for query in [
        "model=%25",
        "model=openai/%25",
        "key=_ocal",
        "tag=%25",
        "tag=A",
        "model='%20OR%201=1",
    ] {
        let (status, report) = gateway.get(&format!("{COSTS}?{query}")).await;
        assert_eq!(status, 200, "{query}");
        assert!(report["simulated"].is_null(), "{query}: {report}");
    }
    for (query, param) in [
        ("colour=red", "colour"),
        ("by=model&by=day", "by"),
        ("by=moon", "by"),
        ("format=pdf", "format"),
        ("top=x", "top"),
        ("tag=a&tag=b", "tag"),
        ("day=2026-11-01", "day"),
        ("baseline=no/such", "baseline"),
        ("json=true", "json"),
    ] {
        let (status, error) = gateway.get(&format!("{COSTS}?{query}")).await;
        assert_eq!(status, 400, "{query}: {error}");
        assert_eq!(error["error"]["param"], param, "{query}: {error}");
        let message = error["error"]["message"].as_str().unwrap();
        let value = query.rsplit('=').next().unwrap();
        assert!(message.contains(param) || message.contains(value), "{error}");
    }
}

#[tokio::test]
async fn reports_are_behind_the_gateways_key() {
    let gateway = Gateway::with(INSTANT, [("WAYPOST_ADMIN_KEY", "the-key")]).await;
    for path in [COSTS, "/"] {
        assert_eq!(get(&gateway, path).await.status, 401, "{path}");
        let request = gateway
            .http
            .get(format!("{}{path}", gateway.base))
            .bearer_auth("the-key");
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }
}

/// What a caller may see of others is not for its filters to decide.
#[tokio::test]
async fn a_report_for_one_key_has_nothing_of_another() {
    use costing::report::Period;
    use gateway::costs::{CostFormat, CostQuery, CostSources, report};

    let gateway = Gateway::start().await;
    chat(&gateway, "openai/gpt-4o-mini", &["a"]).await;
    let app = &gateway.app;
    let rows = app
        .store
        .rollups(
            std::time::UNIX_EPOCH,
            app.clock.wall() + std::time::Duration::from_secs(1),
            &costing::RollupFilter::default(),
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let own = rows[0].key.caller.key.clone();
    let now = app.utc_now();
    let query = CostQuery::new(
        Period::month_of(now).unwrap(),
        CostFormat::Report(ReportFormat::Json),
    );
    let attempts = async |query: CostQuery| {
        let text = report(&*app.store, &query, CostSources::of(app, now))
            .await
            .unwrap();
        let report: Value = serde_json::from_str(&text.body).unwrap();
        report["simulated"]["total"]["attempts"].as_u64()
    };
    assert_eq!(attempts(query.clone().for_key(own.as_str())).await, Some(1));
    assert_eq!(attempts(query.clone().for_key("another")).await, None);
    // Filters of one kind are alternatives; this restriction is none of them.
    let words = [("key", own.as_str()), ("by", "tag")];
    let asked = CostQuery::read(words, now, query.format, &app.catalogue).unwrap();
    assert_eq!(attempts(asked.clone()).await, Some(1));
    assert_eq!(attempts(asked.for_key("another")).await, None);
}

/// While calls are booked, every report is one of some moment: its lines are its total, cost and markup are its charge, and it never
/// goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f61_a_report_while_calls_are_booked_adds_up() {
    const CALLS: u64 = 60;
    let gateway = Arc::new(Gateway::start().await);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..CALLS {
        let gateway = Arc::clone(&gateway);
        let model = ["openai/gpt-4o-mini", "openai/gpt-4o"][n as usize % 2];
        let tag = ["a", "b", "c"][n as usize % 3];
        calls.spawn(async move { chat(&gateway, model, &[tag]).await });
    }
    let (mut before, mut looks) = (0, 0_usize);
    while looks < 2 || !calls.is_empty() {
        // Every call has one tag, so that the lines by tag are the total as well.
        let by = ["model", "tag"][looks % 2];
        let (_, report) = gateway.get(&format!("{COSTS}?by={by}&baseline=none")).await;
        let simulated = &report["simulated"];
        if !simulated.is_null() {
            let total = &simulated["total"];
            let amount = |key: &str| total[key].as_str().map_or(0, |_| pico(&total[key]));
            assert_eq!(
                amount("cost_usd") + amount("markup_usd"),
                amount("charge_usd"),
                "{report}"
            );
            let lines = simulated["lines"].as_array().unwrap();
            let count = |key: &str| lines.iter().map(|line| line[key].as_u64().unwrap()).sum::<u64>();
            for key in ["attempts", "unknown_attempts", "prompt_tokens"] {
                assert_eq!(Some(count(key)), total[key].as_u64(), "{key}: {report}");
            }
            let known = lines.iter().filter(|line| line["charge_usd"].is_string());
            let charge: i64 = known.map(|line| pico(&line["charge_usd"])).sum();
            assert_eq!(charge, amount("charge_usd"), "{report}");
            let by_status: u64 = simulated["status"]
                .as_object()
                .unwrap()
                .values()
                .map(|status| status["attempts"].as_u64().unwrap())
                .sum();
            let attempts = total["attempts"].as_u64().unwrap();
            assert_eq!(by_status, attempts, "{report}");
            assert!(before <= attempts, "{before} were there before {report}");
            before = attempts;
        }
        looks += 1;
        while let Some(call) = calls.try_join_next() {
            call.unwrap();
        }
    }
    let charge: i64 = gateway.ledger().iter().map(|row| row.charge.unwrap()).sum();
    for by in ["model", "tag"] {
        let (_, report) = gateway.get(&format!("{COSTS}?by={by}")).await;
        let total = &report["simulated"]["total"];
        assert_eq!(
            (pico(&total["charge_usd"]), total["attempts"].as_u64()),
            (charge, Some(CALLS))
        );
    }
}
