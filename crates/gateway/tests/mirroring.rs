//! Calls that are sent to a second model as well: never to the cost of the caller, within their own budget, and counted right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/command.rs"]
mod command;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use experiments::MirrorPolicy;
use experiments::fixed::means::paired_t;
use experiments::fixed::paired::{Pairs, mcnemar_mid_p, tango_interval};
use experiments::statistics::{Alternative, Level, Moments};
use gateway::config::{Overrides, Settings};
use gateway::environment::Environment;
use http_transport::SystemClock;
use integration_core::ManualClock;
use serde_json::{Value, json};
use support::{Gateway, INSTANT, pico, unsettled, within_20_s};
use tempfile::TempDir;

const SERVED: &str = "openai/gpt-4o";
const SHADOW: &str = "openai/gpt-4o-mini";

/// A mirror of everything, with more keys or others.
fn mirror(more: &str) -> String {
    let mut keys = BTreeMap::from([
        ("key", "\"small\"".to_owned()),
        ("model", format!("\"{SHADOW}\"")),
        ("sample_bps", "10000".to_owned()),
        ("max_usd_per_day", "\"5\"".to_owned()),
    ]);
    for line in more.lines() {
        let (key, value) = line.split_once(" = ").unwrap();
        keys.insert(key, value.to_owned());
    }
    let lines: String = keys
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    format!("[[mirror]]\n{lines}")
}

/// An instant simulator in which the second model fails so. The folder must live as long as the gateway starts.
fn failing(fault: &str, more: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scenario.toml");
    std::fs::write(
        &path,
        format!("[[rule]]\nmodel = \"{SHADOW}\"\nfault = \"{fault}\"\n"),
    )
    .unwrap();
    let config = format!(
        "{INSTANT}scenario = {:?}\n{}",
        path.to_str().unwrap(),
        mirror(more)
    );
    (dir, config)
}

fn body(more: Value) -> String {
    let mut body = json!({ "model": SERVED, "messages": [{ "role": "user", "content": "Name a colour." }] });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string()
}

/// The name of an answered call, and the answer.
async fn call(gateway: &Gateway, more: Value) -> (String, Value) {
    let answer = gateway.post(body(more)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let id = answer.headers()["x-waypost-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    (id, support::json(&answer.text().await.unwrap()))
}

async fn told(gateway: &Gateway) -> Value {
    let (status, body) = gateway.get("/v1/mirrors/small").await;
    assert_eq!(status, 200, "{body}");
    body
}

fn reasons(told: &Value) -> &Value {
    &told["since_start"]["not_mirrored"]
}

/// Waits until the pairs of so many calls are in the store.
async fn kept(gateway: &Gateway, count: i64) {
    let of = |table: &str, column: &str| {
        format!("SELECT count(*) FROM {table} WHERE {column} LIKE '%mirror/small'")
    };
    within_20_s(async || {
        gateway.number(&of("outcomes", "id")) >= count
            && gateway.number(&of("exposures", "experiment")) >= count
    })
    .await;
}

/// What was measured of each pair, as it is in the store.
fn measures(gateway: &Gateway) -> Vec<Value> {
    let path = gateway.dir.path().join("data/waypost.db");
    let db = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut query = db
        .prepare("SELECT named FROM outcomes WHERE id LIKE '%/mirror/small' ORDER BY request")
        .unwrap();
    let rows = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|text| support::json(&text.unwrap())).collect()
}

fn shadows(gateway: &Gateway) -> i64 {
    gateway.number("SELECT count(*) FROM attempts WHERE purpose = 'shadow'")
}

#[tokio::test]
async fn the_sample_is_mirrored_and_the_figures_are_the_librarys() {
    let config = format!("{INSTANT}{}", mirror("sample_bps = 6000\nconcurrency = 100"));
    let gateway = Gateway::with(&config, []).await;
    let policy = MirrorPolicy::new("mirror/small", 6_000, 0, 0, 1).unwrap();
    let mut sampled = 0;
    for i in 0..80 {
        // Some of the answers are cut short, by either model.
        let (id, _) = call(&gateway, json!({ "max_tokens": 20 + i * 3, "seed": i })).await;
        sampled += i64::from(policy.samples(&id));
    }
    assert!((30..80).contains(&sampled), "{sampled}");
    kept(&gateway, sampled).await;
    let told = told(&gateway).await;
    assert_eq!(shadows(&gateway), sampled);
    assert_eq!(
        (&told["units"], &told["since_start"]["mirrored"]),
        (&json!(sampled), &json!(sampled))
    );
    assert_eq!(reasons(&told), &json!({ "not_sampled": 80 - sampled }));
    let charged = gateway.number("SELECT sum(charge_pico) FROM attempts WHERE purpose = 'shadow'");
    assert_eq!(pico(&told["spent_today_usd"]), charged);

    let (mut ok, mut cost, mut latency) = (Pairs::default(), Moments::new(), Moments::new());
    for pair in measures(&gateway) {
        let of = |name: &str| pair[name].as_f64().unwrap();
        ok.push(of("served.ok") > 0.5, of("mirror.ok") > 0.5);
        cost.push(of("mirror.cost") - of("served.cost")).unwrap();
        latency
            .push(of("mirror.latency_ms") - of("served.latency_ms"))
            .unwrap();
    }
    let (level, both) = (Level::new(0.05).unwrap(), Alternative::TwoSided);
    assert_eq!(told["ok"]["pairs"], json!(sampled));
    assert_eq!(told["ok"]["p_value"], json!(mcnemar_mid_p(&ok, both).unwrap()));
    assert_eq!(told["ok"]["interval"], json!(tango_interval(&ok, level).unwrap()));
    assert_eq!(told["ok"]["difference"], json!(ok.difference().unwrap()));
    for (name, differences) in [("cost_usd", &cost), ("latency_ms", &latency)] {
        let effect = paired_t(differences, level, both).unwrap();
        let told = &told[name];
        assert_eq!(
            (&told["pairs"], &told["left_out"]),
            (&json!(sampled), &json!(0)),
            "{told}"
        );
        assert_eq!(told["interval"], json!(effect.interval), "{name}");
        assert_eq!(told["p_value"], json!(effect.p_value), "{name}");
    }
    assert!(told["cost_usd"]["difference"].as_f64().unwrap() < 0.0, "{told}");

    // The command reads the same out of the ledger.
    let args = ["experiment", "mirrors", "small", "--json", "--data-dir", "data"];
    let (code, out, err) = command::run(gateway.dir.path(), &args);
    assert_eq!(code, 0, "{err}");
    let by_command = support::json(&out)["mirrors"][0].take();
    for key in ["units", "ok", "cost_usd", "latency_ms", "spent_today_usd"] {
        assert_eq!(by_command[key], told[key], "{key}");
    }
    let (code, out, _) = command::run(
        gateway.dir.path(),
        &["experiment", "mirrors", "--data-dir", "data"],
    );
    assert!(
        code == 0 && out.contains("in the shadow of any model, 60 % of its calls"),
        "{out}"
    );
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_caller_sees_nothing_of_a_second_model_that_hangs_and_it_is_not_ok_when_its_time_is_over() {
    let clock = ManualClock::new();
    let (_dir, config) = failing("hang", "timeout = \"20s\"\nconcurrency = 2");
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, []).await;
    let plain = Gateway::at(Arc::new(clock.clone()), INSTANT, []).await;
    let headers = async |gateway: &Gateway| {
        let answer = gateway.post(body(json!({}))).send().await.unwrap();
        let mut headers = answer.headers().clone();
        for own in ["x-waypost-request-id", "date"] {
            headers.remove(own);
        }
        let mut answer = support::json(&answer.text().await.unwrap());
        for own in ["id", "created"] {
            answer[own] = Value::Null;
        }
        answer["waypost"]["request_id"] = Value::Null;
        (
            headers.len(),
            answer["waypost"]["charge_usd"].clone(),
            answer["choices"].clone(),
        )
    };
    // The clock stands: whatever waited for the second model would wait for ever.
    for _ in 0..3 {
        assert_eq!(headers(&gateway).await, headers(&plain).await);
    }
    within_20_s(async || shadows(&gateway) == 2).await;
    let before = told(&gateway).await;
    assert_eq!(before["since_start"]["in_flight"], json!(2), "{before}");
    assert_eq!(reasons(&before), &json!({ "in_flight": 1 }));
    assert!(pico(&before["since_start"]["committed_usd"]) > 0);
    assert_eq!(pico(&before["spent_today_usd"]), 0);
    clock.advance(Duration::from_secs(20));
    kept(&gateway, 2).await;
    for pair in measures(&gateway) {
        assert_eq!(
            (&pair["served.ok"], &pair["mirror.ok"]),
            (&json!(1.0), &json!(0.0))
        );
        assert!(
            pair.get("mirror.latency_ms").is_none() && pair.get("mirror.cost").is_none(),
            "{pair}"
        );
    }
    let after = told(&gateway).await;
    assert_eq!(
        (&after["ok"]["served_only"], &after["cost_usd"]["left_out"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(after["ok"]["interval"], Value::Null);
    assert_eq!(
        after["ok"]["no_interval"],
        json!("there are 2 pairs; an interval needs 30")
    );
    // Nobody knows what they cost: the most they could have counts.
    assert_eq!(after["spent_today_usd"], before["since_start"]["committed_usd"]);
    gateway.holds().await;
    gateway.stop().await;
    plain.stop().await;
}

#[tokio::test]
async fn the_budget_of_a_day_ends_it_and_a_restart_does_not_begin_it_anew() {
    let config = format!("{INSTANT}{}", mirror("max_usd_per_day = \"0.0001\""));
    let gateway = Gateway::with(&config, []).await;
    for done in 1..=12_u64 {
        call(&gateway, json!({ "max_tokens": 20 })).await;
        within_20_s(async || {
            let told = told(&gateway).await;
            let refused = reasons(&told)["budget"].as_u64().unwrap_or_default();
            told["since_start"]["mirrored"].as_u64().unwrap() + refused == done
        })
        .await;
    }
    let before = told(&gateway).await;
    let mirrored = before["since_start"]["mirrored"].as_u64().unwrap();
    assert!((1..12).contains(&mirrored), "{before}");
    let spent = pico(&before["spent_today_usd"]);
    assert!(spent > 0 && spent <= 100_000_000, "{spent}");
    assert_eq!(
        spent,
        gateway.number("SELECT sum(charge_pico) FROM attempts WHERE purpose = 'shadow'")
    );
    let dir = gateway.stop().await;
    let gateway = Gateway::in_folder(dir, Arc::new(SystemClock), &config, []).await;
    assert_eq!(told(&gateway).await["spent_today_usd"], before["spent_today_usd"]);
    call(&gateway, json!({ "max_tokens": 20 })).await;
    within_20_s(async || reasons(&told(&gateway).await) == &json!({ "budget": 1 })).await;
    gateway.stop().await;
}

#[tokio::test]
async fn no_budget_of_callers_pays_not_even_after_a_restart() {
    let config = format!(
        "{INSTANT}{}[[budget]]\nscope = \"key\"\nname = \"local\"\nwindow = \"day\"\nlimit_usd = \"9\"\n\
         [[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = \"9\"\n",
        mirror("")
    );
    let gateway = Gateway::with(&config, []).await;
    let (_, answer) = call(&gateway, json!({ "user": "one" })).await;
    kept(&gateway, 1).await;
    let charge = pico(&answer["waypost"]["charge_usd"]);
    let spent = async |gateway: &Gateway| {
        let (_, told) = gateway.get("/v1/budgets").await;
        let budgets = told["budgets"].as_array().unwrap().clone();
        assert!(budgets.len() >= 2, "{told}");
        budgets
            .iter()
            .map(|one| pico(&one["spent_usd"]))
            .collect::<Vec<_>>()
    };
    assert!(spent(&gateway).await.iter().all(|one| *one == charge));
    assert_eq!(
        gateway.number(
            "SELECT count(*) FROM attempts WHERE purpose = 'shadow' AND caller_key = 'local' AND end_user IS NULL \
             AND tags LIKE '%mirror:small%'"
        ),
        1
    );
    assert_eq!(
        gateway.number("SELECT count(*) FROM attempts WHERE purpose = 'call'"),
        1
    );
    let dir = gateway.stop().await;
    let gateway = Gateway::in_folder(dir, Arc::new(SystemClock), &config, []).await;
    assert!(spent(&gateway).await.iter().all(|one| *one == charge));
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn streamed_calls_are_mirrored_as_streams() {
    let gateway = Gateway::with(&format!("{INSTANT}{}", mirror("")), []).await;
    let lines = gateway
        .stream(gateway.post(body(json!({ "stream": true }))))
        .await;
    assert_eq!(lines.last().unwrap(), "[DONE]");
    kept(&gateway, 1).await;
    let pair = &measures(&gateway)[0];
    assert_eq!(
        (&pair["served.ok"], &pair["mirror.ok"]),
        (&json!(1.0), &json!(1.0))
    );
    assert!(
        pair["mirror.cost"].as_f64().unwrap() < pair["served.cost"].as_f64().unwrap(),
        "{pair}"
    );
    assert_eq!(
        gateway.number("SELECT count(*) FROM attempts WHERE purpose = 'shadow' AND stream = 1"),
        1
    );
    // An answer in one piece has no first content before its end.
    assert_eq!(
        gateway.number(
            "SELECT count(*) FROM attempts WHERE purpose = 'shadow' AND first_content_us IS NOT NULL"
        ),
        1
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_model_that_refuses_or_breaks_off_is_not_ok() {
    for (fault, stream) in [
        ("refusal", false),
        ("content-filter", false),
        ("503", false),
        ("error-mid", true),
    ] {
        let (_dir, config) = failing(fault, "");
        let gateway = Gateway::with(&config, []).await;
        // More often than any breaker would let it fail.
        for done in 1..=7 {
            if stream {
                gateway
                    .stream(gateway.post(body(json!({ "stream": true }))))
                    .await;
            } else {
                call(&gateway, json!({})).await;
            }
            kept(&gateway, done).await;
        }
        let told = told(&gateway).await;
        assert_eq!(
            (&told["ok"]["served"], &told["ok"]["mirror"]),
            (&json!(1.0), &json!(0.0)),
            "{fault}: {told}"
        );
        assert_eq!(reasons(&told), &json!({}), "{fault}");
        // What a caller asks of that model itself is not held against it by what mirrors saw.
        let answer = gateway
            .post(body(json!({ "model": "waypost/auto", "waypost": { "only": [SHADOW], "explain": true, "min_quality": 0 } })))
            .send()
            .await
            .unwrap();
        let plan = support::json(&answer.text().await.unwrap()).to_string();
        assert!(!plan.contains("cooling\":true"), "{plan}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn who_is_not_sent_on_is_counted_with_the_reason() {
    let config = format!(
        "{INSTANT}{}{}",
        mirror(&format!("of = \"{SERVED}\"")),
        mirror("key = \"second\"\nmodel = \"google/gemini-2.5-flash\"")
    );
    let gateway = Gateway::with(&config, []).await;
    // The first has it, and the second not.
    call(&gateway, json!({})).await;
    kept(&gateway, 1).await;
    // This one is answered by another model, so the second has it.
    call(&gateway, json!({ "model": SHADOW })).await;
    // The second model of neither may see these.
    call(&gateway, json!({ "waypost": { "never": [SHADOW] } })).await;
    within_20_s(async || reasons(&told(&gateway).await)["cannot_serve"] == json!(1)).await;
    let first = told(&gateway).await;
    assert_eq!(reasons(&first), &json!({ "other_model": 1, "cannot_serve": 1 }));
    assert_eq!(shadows(&gateway), 2);
    let (_, second) = gateway.get("/v1/mirrors/second").await;
    assert_eq!(reasons(&second), &json!({ "other_mirror": 2 }));
    // Calls that were not answered are no pairs.
    let failed = gateway
        .post(body(json!({})))
        .header("x-simulator-fault", "503")
        .send()
        .await
        .unwrap();
    assert!(failed.status().is_server_error());
    assert_eq!(told(&gateway).await["since_start"], first["since_start"]);
    gateway.stop().await;
}

#[tokio::test]
async fn the_end_of_the_gateway_ends_them_and_what_they_would_have_been_is_not_made_up() {
    let (_dir, config) = failing("hang", "");
    let gateway = Gateway::with(&config, []).await;
    call(&gateway, json!({})).await;
    within_20_s(async || shadows(&gateway) == 1).await;
    gateway.app.drain();
    call(&gateway, json!({})).await;
    assert_eq!(reasons(&told(&gateway).await), &json!({ "stopping": 1 }));
    let dir = gateway.stop().await;
    assert_eq!(unsettled(&dir), 0);
    let db = rusqlite::Connection::open(dir.path().join("data/waypost.db")).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM outcomes"), 0);
    assert_eq!(
        count("SELECT count(*) FROM attempts WHERE purpose = 'shadow' AND outcome = 'cancelled'"),
        1
    );
}

#[tokio::test]
async fn only_who_may_see_all_calls_may_see_them() {
    let config = format!(
        "{INSTANT}{}[[caller]]\nkey = \"team\"\ntoken_env = \"TEAM\"\n",
        mirror("")
    );
    let tokens = [
        ("TEAM", "team-token-0123456789"),
        ("WAYPOST_ADMIN_KEY", "admin-token-0123456789"),
    ];
    let gateway = Gateway::with(&config, tokens).await;
    for (token, path, status, code) in [
        (tokens[0].1, "/v1/mirrors", 403, json!("not_permitted")),
        (tokens[0].1, "/v1/mirrors/small", 403, json!("not_permitted")),
        (tokens[1].1, "/v1/mirrors/none", 404, json!("mirror_not_found")),
        (tokens[1].1, "/v1/mirrors", 200, Value::Null),
    ] {
        let url = format!("{}{path}", gateway.base);
        let answer = gateway.http.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let body = support::json(&answer.text().await.unwrap());
        assert_eq!(body["error"]["code"], code, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn mistakes_are_found_at_the_start() {
    for (more, told) in [
        (
            "model = \"no/such\"",
            "names 'no/such', which is not in the catalogue",
        ),
        (
            "of = \"no/such\"",
            "names 'no/such', which is not in the catalogue",
        ),
        (
            "of = \"openai/gpt-4o-mini\"",
            "compares openai/gpt-4o-mini with itself",
        ),
        ("model = \"waypost/auto\"", "'waypost/auto' is no model"),
        ("key = \"a/b\"", "the name 'a/b'"),
        ("sample_bps = 10001", "the most is 10000"),
        ("max_usd_per_day = \"much\"", "max_usd_per_day is 'much'"),
        ("max_usd_per_day = \"-1\"", "below zero"),
        ("timeout = \"0s\"", "timeout is '0s'"),
        ("colour = 1", "colour"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("waypost.toml"), mirror(more)).unwrap();
        let (code, _, err) = command::run(dir.path(), &["chat", "Hello"]);
        assert!(code != 0 && err.contains(told), "{more}: {err}");
    }
    let two = format!("{}{}", mirror(""), mirror(""));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("waypost.toml");
    std::fs::write(&path, two).unwrap();
    let mut overrides = Overrides::default();
    overrides.config = Some(path);
    let error = Settings::resolve(&overrides, &Environment::of([])).unwrap_err();
    assert!(error.to_string().contains("two [[mirror]] 'small'"), "{error:#}");
    // Pairs of another model are not mixed with those that are there.
    let gateway = Gateway::with(&format!("{INSTANT}{}", mirror("")), []).await;
    let dir = gateway.stop().await;
    std::fs::write(
        dir.path().join("waypost.toml"),
        mirror(&format!("model = \"{SERVED}\"")),
    )
    .unwrap();
    let (code, _, err) = command::run(dir.path(), &["chat", "Hello", "--data-dir", "data"]);
    assert!(
        code != 0 && err.contains("with another model it needs another key"),
        "{err}"
    );
}
