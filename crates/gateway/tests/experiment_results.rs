//! What came of an experiment: over HTTP, from the ledger and from exported units the same, to the last digit; and the right decision.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use command::{run, waypost};
use futures_util::future::join_all;
use http_transport::SystemClock;
use integration_core::ManualClock;
use serde_json::{Value, json};
use support::{Gateway, INSTANT, within_20_s};
use tempfile::TempDir;

const STRONG: &str = "openai/gpt-4o";
const CHEAP: &str = "openai/gpt-4o-mini";

/// Cheaper and not worse.
const PLAN: &str = r#"
control = "strong"
look_hours = 1

[[metrics]]
key = "cost"
role = "goal"
kind = { mean = { of = "cost" } }
direction = "lower_is_better"

[[metrics]]
key = "success"
role = "guardrail"
kind = { ratio = { numerator = "success", denominator = "judged" } }
direction = "higher_is_better"
margin = { absolute = 0.1 }
expected = { control = 0.9, deviation = 0.3 }

[[metrics]]
key = "p95_latency"
role = "secondary"
kind = { quantile = { q = 0.95, of = "latency_ms" } }
direction = "lower_is_better"
"#;

fn config(window: &str, with_plan: bool) -> String {
    let plan = if with_plan {
        let plan = PLAN.replace("[[metrics]]", "[[experiment.plan.metrics]]");
        format!("[experiment.plan]{plan}")
    } else {
        String::new()
    };
    format!(
        "{INSTANT}[[experiment]]\nkey = \"cheaper\"\nwindow = \"{window}\"\narms = [\n\
         {{ key = \"strong\", weight_bps = 5000, model = \"{STRONG}\" }},\n\
         {{ key = \"cheap\", weight_bps = 5000, model = \"{CHEAP}\" }},\n]\n{plan}"
    )
}

/// A call of a user, and what was said of the answer, by the model that gave it.
async fn call(gateway: &Gateway, user: &str, success: impl Fn(&str) -> bool) {
    let body = json!({
        "model": "waypost/auto", "user": user, "max_tokens": 20,
        "messages": [{ "role": "user", "content": "Hello ".repeat(1 + user.len() * user.bytes().map(usize::from).sum::<usize>() % 40) }],
    });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let id = answer.headers()["x-waypost-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let is_good = success(answer["waypost"]["model"].as_str().unwrap());
    let said = json!({ "request_id": id, "score": f64::from(u8::from(is_good)), "success": is_good });
    let url = format!("{}/v1/feedback", gateway.base);
    let taken = gateway
        .http
        .post(url)
        .header("content-type", "application/json")
        .body(said.to_string())
        .send()
        .await
        .unwrap();
    assert!(taken.status().is_success(), "{}", taken.text().await.unwrap());
}

/// All users at once, a few at a time.
async fn calls(
    gateway: &Gateway,
    users: impl Iterator<Item = String>,
    success: impl Fn(&str, &str) -> bool + Copy,
) {
    let users: Vec<String> = users.collect();
    for some in users.chunks(16) {
        join_all(
            some.iter()
                .map(|user| call(gateway, user, move |model| success(user, model))),
        )
        .await;
    }
}

/// Waits until calls and feedback of so many are in the store.
async fn kept(gateway: &Gateway, count: i64) {
    within_20_s(async || gateway.number("SELECT count(*) FROM outcomes") >= 2 * count).await;
}

fn file(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn output_of(dir: &Path, args: &[&str]) -> String {
    let (code, out, err) = run(dir, args);
    assert_eq!(code, 0, "{args:?}: {err}");
    out
}

#[tokio::test]
async fn http_the_ledger_and_exported_units_say_the_same_to_the_last_digit() {
    let clock = ManualClock::new();
    let gateway = Gateway::at(Arc::new(clock.clone()), &config("1ms", true), []).await;
    calls(
        &gateway,
        (0..60).map(|i| format!("user-{}", i % 50)),
        |user, _| !user.ends_with('7'),
    )
    .await;
    kept(&gateway, 60).await;
    clock.advance(Duration::from_secs(1));
    let (status, over_http) = gateway.get("/v1/experiments/cheaper").await;
    assert_eq!(status, 200, "{over_http}");
    let analysis = serde_json::to_string(&over_http["analysis"]).unwrap();
    assert_eq!(over_http["analysis"]["units"], json!(50));
    let success = &over_http["analysis"]["treatments"][0]["metrics"][1];
    assert!(
        success["difference"].is_number() && success["control"]["missing"] == json!(0),
        "{success}"
    );
    assert_eq!(
        (&over_http["experiment"], &over_http["version"]),
        (&json!("cheaper"), &json!(1))
    );
    assert_eq!(
        (&over_http["mode"], &over_http["simulated"]),
        (&json!("simulated"), &json!(true))
    );
    // What is simulated is kept apart from what is real.
    assert_eq!(
        gateway.number("SELECT count(*) FROM exposures WHERE experiment = 'simulated/cheaper'"),
        50
    );
    assert_eq!(
        gateway.number("SELECT count(*) FROM exposures WHERE experiment = 'cheaper'"),
        0
    );
    assert_eq!(over_http["plan"]["control"], json!("strong"));
    assert_eq!(over_http["forecast"][0]["metric"], json!("success"));

    let dir = &gateway.dir;
    let place = ["--data-dir", "data"];
    let again = |text: &str| serde_json::to_string(&serde_json::from_str::<Value>(text).unwrap()).unwrap();
    let from_ledger = output_of(
        dir.path(),
        &[&["experiment", "analyse", "cheaper", "--json"][..], &place].concat(),
    );
    assert_eq!(again(&from_ledger), analysis);

    let lines = output_of(
        dir.path(),
        &[&["experiment", "export", "cheaper"][..], &place].concat(),
    );
    assert_eq!(lines.lines().count(), 50);
    let plan = format!(
        "arms = [{{ key = \"strong\", weight_bps = 5000 }}, {{ key = \"cheap\", weight_bps = 5000 }}]\n{PLAN}"
    );
    let (lines, plan) = (file(dir, "units.jsonl", &lines), file(dir, "plan.toml", &plan));
    let offline = output_of(
        dir.path(),
        &[
            "experiment",
            "analyse",
            "--input",
            &lines,
            "--plan",
            &plan,
            "--json",
        ],
    );
    assert_eq!(again(&offline), analysis);
    gateway.stop().await;
}

#[tokio::test]
async fn a_person_sees_what_to_do() {
    let clock = ManualClock::new();
    let gateway = Gateway::at(Arc::new(clock.clone()), &config("1ms", true), []).await;
    calls(&gateway, (0..300).map(|i| format!("user-{i}")), |user, _| {
        !user.ends_with('7')
    })
    .await;
    kept(&gateway, 300).await;
    clock.advance(Duration::from_secs(1));
    let url = format!("{}/v1/experiments/cheaper?format=html", gateway.base);
    let page = gateway.http.get(url).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let page = page.text().await.unwrap();
    for part in [
        "<h1>cheaper, version 1</h1>",
        "simulated",
        "class=\"decision",
        "<svg",
        "cheap against strong",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    let dir = gateway.dir.path();
    let place = ["--data-dir", "data"];
    let shown = output_of(dir, &[&["experiment", "show", "cheaper"][..], &place].concat());
    for part in [
        "The answers are simulated",
        "cheaper, version 1: running, randomises by user, 100 % of them, outcomes within",
        "model openai/gpt-4o-mini",
        "Planned, for a power of 80 %",
        "strong (control)",
        "success is not worse by more than 0.1",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let listed = output_of(dir, &[&["experiment", "list"][..], &place].concat());
    assert!(
        listed.contains("cheaper") && listed.contains("sequential"),
        "{listed}"
    );
    let listed: Value = serde_json::from_str(&output_of(
        dir,
        &[&["experiment", "list", "--json"][..], &place].concat(),
    ))
    .unwrap();
    assert_eq!(listed["experiments"][0]["arms"][1]["does"]["model"], json!(CHEAP));
    let (_, over_http) = gateway.get("/v1/experiments").await;
    assert_eq!(over_http["experiments"], listed["experiments"]);
    output_of(
        dir,
        &[
            &[
                "experiment",
                "analyse",
                "cheaper",
                "--format",
                "html",
                "--out",
                "page.html",
            ][..],
            &place,
        ]
        .concat(),
    );
    assert!(
        std::fs::read_to_string(dir.join("page.html"))
            .unwrap()
            .contains("<svg")
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_told_is_told() {
    let gateway = Gateway::with(
        &format!(
            "{}[[caller]]\nkey = \"team\"\ntoken_env = \"TEAM\"\n",
            config("24h", false)
        ),
        [
            ("TEAM", "team-token-0123456789"),
            ("WAYPOST_ADMIN_KEY", "admin-token-0123456789"),
        ],
    )
    .await;
    let get = async |path: &str, token: &str| {
        let url = format!("{}{path}", gateway.base);
        let answer = gateway.http.get(url).bearer_auth(token).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, body)
    };
    let (admin, team) = ("admin-token-0123456789", "team-token-0123456789");
    for path in ["/v1/experiments", "/v1/experiments/cheaper"] {
        let (status, body) = get(path, team).await;
        assert_eq!((status, &body["error"]["code"]), (403, &json!("not_permitted")));
    }
    let (status, body) = get("/v1/experiments/cheaper", admin).await;
    assert_eq!(
        (status, &body["analysis"], &body["plan"]),
        (200, &Value::Null, &Value::Null)
    );
    for (path, status, code) in [
        ("/v1/experiments/none", 404, "experiment_not_found"),
        ("/v1/experiments/cheaper?format=xml", 400, "invalid_request"),
        ("/v1/experiments/cheaper?from=1", 400, "invalid_request"),
        ("/v1/experiments/cheaper?format=html", 404, "no_plan"),
    ] {
        let (got, body) = get(path, admin).await;
        assert_eq!((got, &body["error"]["code"]), (status, &json!(code)), "{path}");
    }
    gateway.stop().await;
}

#[test]
fn mistakes_of_the_command_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let units = file(&dir, "units.csv", "unit,arm,success\nu,strong,1\n");
    let plan = file(&dir, "plan.toml", PLAN);
    for (args, code, told) in [
        (&["experiment"][..], 2, "Usage"),
        (
            &["experiment", "show", "none"],
            2,
            "there is no experiment 'none'; the configuration has none",
        ),
        (&["experiment", "analyse"], 2, "<NAME>"),
        (&["experiment", "analyse", "--input", &units], 2, "--plan"),
        (
            &["experiment", "analyse", "--input", "none.csv", "--plan", &plan],
            1,
            "none.csv cannot be read",
        ),
        (
            &["experiment", "analyse", "--input", &units, "--plan", "none.toml"],
            1,
            "none.toml cannot be read",
        ),
        (
            &["experiment", "analyse", "--input", &units, "--plan", &units],
            1,
            "is no plan",
        ),
        (
            &["experiment", "analyse", "--input", &units, "--plan", &plan],
            1,
            "metric 'cost' is of 'cost', which no line has",
        ),
    ] {
        let (got, out, err) = run(dir.path(), args);
        assert_eq!(got, code, "{args:?}: {out}{err}");
        assert!(err.contains(told), "{args:?}: {err}");
    }
    let listed = output_of(dir.path(), &["experiment", "list"]);
    assert!(listed.contains("there are no experiments"), "{listed}");
}

#[test]
fn units_of_a_file_are_analysed_without_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let mut table = "unit,arm,success,cost,latency_ms\n".to_owned();
    for i in 0..1_500 {
        let cost = 1.0 + f64::from(i % 7) / 10.0;
        table += &format!(
            "s{i},strong,{},{cost},100\nc{i},cheap,{},{},90\n",
            u8::from(i % 10 > 0),
            u8::from(i % 10 > 1),
            cost / 4.0
        );
    }
    let (units, plan) = (file(&dir, "units.csv", &table), file(&dir, "plan.toml", PLAN));
    let text = output_of(
        dir.path(),
        &["experiment", "analyse", "--input", &units, "--plan", &plan],
    );
    assert!(text.contains("units.csv: keep running"), "{text}");
    assert!(
        text.contains("success") && text.contains("90 % interval"),
        "{text}"
    );
    // The same from standard input, as lines of JSON.
    let lines: String = table
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            format!(
                "{{\"unit\":\"{}\",\"arm\":\"{}\",\"metrics\":{{\"success\":{},\"cost\":{},\"latency_ms\":{}}}}}\n",
                cells[0], cells[1], cells[2], cells[3], cells[4]
            )
        })
        .collect();
    let stdin = std::fs::File::open(file(&dir, "units.jsonl", &lines)).unwrap();
    let output = waypost(dir.path())
        .args(["experiment", "analyse", "--input", "-", "--plan", &plan, "--json"])
        .stdin(stdin)
        .output()
        .unwrap();
    let from_lines: Value = serde_json::from_slice(&output.stdout).unwrap();
    let from_csv = output_of(
        dir.path(),
        &[
            "experiment",
            "analyse",
            "--input",
            &units,
            "--plan",
            &plan,
            "--json",
        ],
    );
    assert_eq!(from_lines, serde_json::from_str::<Value>(&from_csv).unwrap());
    assert_eq!(from_lines["sample_ratio"], Value::Null);
}

/// A number from 0 to 1 that a seed, a user and a word decide.
fn draw(seed: u64, user: &str, word: &str) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in user.bytes().chain(word.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// One experiment through the gateway: every second seed has a cheap model that is as good, the others one that fails a quarter more.
async fn decided(seed: u64) -> (bool, String, String) {
    const USERS: usize = 1_400;
    let gap = if seed.is_multiple_of(2) { 0.0 } else { 0.25 };
    let clock = ManualClock::new();
    let gateway = Gateway::at(Arc::new(clock.clone()), &config("1ms", true), []).await;
    let (mut state, mut sentence) = (String::new(), String::new());
    for part in 0..7_usize {
        let users = (0..USERS / 7).map(|i| format!("seed-{seed}-user-{}", part * USERS / 7 + i));
        calls(&gateway, users, |user, model| {
            draw(seed, user, "answer") < if model == CHEAP { 0.9 - gap } else { 0.9 }
        })
        .await;
        let so_far = i64::try_from((part + 1) * USERS / 7).unwrap();
        kept(&gateway, so_far).await;
        clock.advance(Duration::from_secs(3_600));
        // Whoever looks stops at the first answer.
        let (status, found) = gateway.get("/v1/experiments/cheaper").await;
        assert_eq!(status, 200, "{found}");
        found["analysis"]["decision"]["state"]
            .as_str()
            .unwrap()
            .clone_into(&mut state);
        found["analysis"]["decision"]["sentence"]
            .as_str()
            .unwrap()
            .clone_into(&mut sentence);
        if state != "keep_running" {
            break;
        }
    }
    gateway.stop().await;
    (gap == 0.0, state, sentence)
}

async fn many(seeds: std::ops::Range<u64>) {
    let (mut right, mut opposite) = (0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let (as_good, state, sentence) = decided(seed).await;
        let (wanted, other) = if as_good {
            ("ship", "roll_back")
        } else {
            ("roll_back", "ship")
        };
        right += u64::from(state == wanted);
        opposite += u64::from(state == other);
        if state != wanted {
            println!("seed {seed}: {state}, not {wanted}: {sentence}");
        }
    }
    println!("{count} experiments through the gateway: {right} right, {opposite} the opposite");
    assert!(
        right * 100 >= count * 95 && opposite == 0,
        "{right} of {count} right, {opposite} the opposite"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_experiments_reach_the_right_decision() {
    many(0..10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: a hundred experiments through the gateway"]
async fn a_hundred_experiments_reach_the_right_decision() {
    many(0..100).await;
}

#[tokio::test]
async fn a_window_that_is_not_over_leaves_its_unit_for_later() {
    let gateway = Gateway::at(Arc::new(SystemClock), &config("24h", true), []).await;
    calls(&gateway, (0..5).map(|i| format!("user-{i}")), |_, _| true).await;
    kept(&gateway, 5).await;
    let (_, found) = gateway.get("/v1/experiments/cheaper").await;
    assert_eq!(found["analysis"]["units"], json!(0));
    assert_eq!(found["analysis"]["excluded"]["immature"], json!(5));
    assert_eq!(found["analysis"]["decision"]["state"], json!("keep_running"));
    gateway.stop().await;
}
