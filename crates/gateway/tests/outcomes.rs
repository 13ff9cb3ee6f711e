//! A team's own history becomes what is learnt from: feedback in the ledger, and comparisons.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

#[path = "support/command.rs"]
mod command;
#[path = "support/comparing.rs"]
mod comparing;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use command::{ended, run, waypost};
use comparing::{JUDGE, ONE, OTHER, at, provider, says_at};
use integration_core::ManualClock;
use provider_testkit::upstream::Script;
use routing_learned::{Predictor, Scratch};
use serde_json::{Value, json};
use store_sqlite::{Durability, StoreOptions};
use support::Gateway;

/// Ten in a hundred are added to every cost, and none of that is in an outcome.
const CONFIG: &str = "markup_bps = 1000\n[simulator]\ninstant = true\n";

fn rows(dir: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What is predicted of a prompt with this tag, by model.
fn predicted(dir: &Path, file: &str, prompt: &str, tag: &str) -> [f32; 2] {
    let predictor = Predictor::from_bytes(&std::fs::read(dir.join(file)).unwrap()).unwrap();
    let (mut scratch, mut scores) = (Scratch::default(), Vec::new());
    predictor.predict(prompt, Some(tag), &mut scratch, &mut scores);
    [ONE, OTHER].map(|model| {
        let place = predictor.models().iter().position(|own| own == model);
        scores[place.unwrap()]
    })
}

/// Asks a model and says what to think of its answer. The call's name.
async fn asked(gateway: &Gateway, model: &str, of: Value, said: &[(&str, f64)]) -> String {
    let messages = json!([{ "role": "user", "content": "my-secret-project" }]);
    let body = json!({ "model": model, "messages": messages, "waypost": of });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = support::json(&answer.text().await.unwrap());
    let request = answer["waypost"]["request_id"].as_str().unwrap().to_owned();
    for (source, score) in said {
        let body = json!({ "request_id": request, "source": source, "score": score });
        let url = format!("{}/v1/feedback", gateway.base);
        let post = gateway.http.post(url).header("content-type", "application/json");
        let answer = post.body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_in_the_ledger_is_learnt_from_tag_by_tag() {
    let clock = ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_795_348_800));
    let options = StoreOptions::default().with_durability(Durability::Process);
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::with_store(dir, options, Arc::new(clock.clone()), CONFIG, []).await;
    // The one is praised for letters, the other for sums. Two speak of each answer; nobody does of some.
    for number in 0..80 {
        let (model, tag) = ([ONE, OTHER][number % 2], ["letters", "sums"][number / 2 % 2]);
        let score = if (model == ONE) == (tag == "letters") {
            0.9
        } else {
            0.1
        };
        let of = json!({ "tags": [tag, "of-acme"] });
        asked(&gateway, model, of, &[("user", score), ("judge", score / 2.0)]).await;
    }
    asked(&gateway, ONE, json!({}), &[]).await;
    clock.advance(Duration::from_secs(86_400));
    let auto = json!({ "task": "coding", "tags": ["sums"], "min_quality": 10 });
    let auto = asked(&gateway, "waypost/auto", auto, &[("user", 0.5)]).await;
    let path = gateway.dir.path();
    let outcomes = |more: &[&str]| run(path, &[&["outcomes", "--data-dir", "data"], more].concat());

    let (code, out, err) = outcomes(&["--out", "day.jsonl", "--to", "2026-11-23"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert_eq!(
        err,
        "waypost: 80 SIMULATED answers of 2 models are in day.jsonl\n"
    );
    let found = rows(path, "day.jsonl");
    assert_eq!(found.len(), 80);
    for row in &found {
        assert_eq!(row["prompt"], "");
        let (model, outcome) = row["outcomes"].as_object().unwrap().iter().next().unwrap();
        let praised = (model == ONE) == (row["task"] == "letters");
        let mean: f64 = if praised { 0.675 } else { 0.075 };
        assert!((outcome["score"].as_f64().unwrap() - mean).abs() < 1e-9, "{row}");
        let of = |column: &str| {
            let request = row["id"].as_str().unwrap();
            gateway.number(&format!(
                "SELECT {column} FROM attempts WHERE request_id = '{request}'"
            ))
        };
        assert_eq!(comparing::pico(&outcome["cost_usd"]), of("cost_pico"));
        assert!(of("cost_pico") > 0 && of("charge_pico") > of("cost_pico"));
        assert_eq!(outcome["prompt_tokens"], of("prompt_tokens"));
        assert_eq!(outcome["completion_tokens"], of("completion_tokens"));
        assert_eq!(
            outcome["latency_ms"].as_f64().unwrap(),
            of("duration_us") as f64 / 1_000.0
        );
    }
    // What it was routed for comes before a label, and the day after is by itself.
    let (code, out, err) = outcomes(&["--from", "2026-11-23"]);
    assert_eq!(code, 0, "{err}");
    let row: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&row["id"], &row["task"]), (&json!(auto), &json!("coding")));

    let models = format!("{ONE},{OTHER}");
    let train = |data: &str, out: &str| {
        let args = ["train", "--data", data, "--out", out, "--models", &models];
        let (code, _, err) = run(path, &args);
        assert_eq!((code, err.as_str()), (0, ""));
    };
    train("day.jsonl", "r.waypost");
    for (tag, [better, worse]) in [("letters", [0, 1]), ("sums", [1, 0])] {
        let scores = predicted(path, "r.waypost", "anything", tag);
        assert!(scores[better] > 0.5 && scores[worse] < 0.25, "{tag}: {scores:?}");
    }
    // Which model is better on the same prompts cannot be told from the answers of one each, and that is said.
    for args in [
        &["certify", "--data", "day.jsonl", "--predictor", "r.waypost"][..],
        &["evaluate", "--data", "day.jsonl", "--predictor", "r.waypost"],
        &["evaluate", "--data", "day.jsonl", "--models", &models],
    ] {
        let (code, _, err) = run(path, args);
        assert_eq!((code, err.lines().count()), (2, 1), "{args:?}: {err}");
        assert!(
            err.contains("`waypost compare --prompts FILE --outcomes FILE`"),
            "{err}"
        );
    }
    let args = [
        "replay",
        "--data",
        "day.jsonl",
        "--policy",
        &format!("model:{ONE}"),
    ];
    let (code, _, err) = run(path, &args);
    assert!(
        code == 1 && err.contains("the outcome of one model alone"),
        "{code}: {err}"
    );
    // Beside prompts that are known, words count where there are any and the tag where there are none.
    let mut mixed = std::fs::read_to_string(path.join("day.jsonl")).unwrap();
    for number in 0..60 {
        let (word, score) = [("write", 1), ("add", 0)][number % 2];
        let outcomes = json!({
            ONE: { "score": score, "cost_usd": "0.001" }, OTHER: { "score": 1 - score, "cost_usd": "0.01" },
        });
        mixed += &format!(
            "{}\n",
            json!({ "prompt": format!("{word} {number}"), "outcomes": outcomes })
        );
    }
    std::fs::write(path.join("mixed.jsonl"), mixed).unwrap();
    train("mixed.jsonl", "mixed.waypost");
    for (prompt, tag, [better, worse]) in [
        ("write something", "none", [0, 1]),
        ("add something", "none", [1, 0]),
        ("", "letters", [0, 1]),
        ("", "sums", [1, 0]),
    ] {
        let scores = predicted(path, "mixed.waypost", prompt, tag);
        assert!(scores[better] > scores[worse] + 0.2, "{prompt} {tag}: {scores:?}");
    }

    // With a key the gateway is another one: what was said of a simulator says nothing of its models.
    let mut real = waypost(path);
    let real = real
        .args(["outcomes", "--data-dir", "data"])
        .env("OPENROUTER_API_KEY", "k");
    let (code, out, err) = ended(real.output().unwrap());
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.contains("no feedback on such answers") && err.contains("left out: 81 that were simulated"),
        "{err}"
    );
    for (args, code, says) in [
        (&["--from", "yesterday"][..], 2, "--from: "),
        (&["--from", "2026-11-23", "--to", "2026-11-23"], 2, "before --to"),
        (&["--to", "2020-01-01"], 1, "no feedback on such answers"),
        (&["--out", "day.jsonl"], 1, "day.jsonl"),
    ] {
        let (ended, out, err) = outcomes(args);
        assert_eq!(
            (ended, out.as_str(), err.lines().count()),
            (code, "", 1),
            "{args:?}: {err}"
        );
        assert!(err.contains(says), "{args:?}: {err}");
    }
    let dir = gateway.stop().await;
    let (code, _, err) = run(dir.path(), &["outcomes", "--data-dir", "none"]);
    assert!(code == 1 && err.contains("there is no ledger at"), "{err}");
}

/// The one is right on what is easy, the other always; each costs what it says.
fn answer(model: &str, prompt: &str) -> Script {
    let (is_one, is_easy) = (model == ONE, prompt.starts_with("translate"));
    if is_one && prompt.ends_with(" 7") {
        return Script::json(400, r#"{"error":{"message":"no","code":400}}"#);
    }
    let text = if !is_one || is_easy { "right" } else { "wrong" };
    says_at(model, text, if is_one { 0.001 } else { 0.01 })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_is_learnt_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let upstream = provider(answer).await;
    let mut prompts = String::from("{\"prompt\":\"Tell me more\"}\n");
    for number in 0..60 {
        let (task, verb) = [("easy", "translate"), ("hard", "prove")][number % 2];
        let mut line = json!({
            "task": task, "expect": { "equals": "right" },
            "messages": [{ "role": "user", "content": format!("{verb} {number}") }],
        });
        if number > 50 {
            line["id"] = json!(format!("q{number}"));
        }
        if number == 58 {
            let system = json!({ "role": "system", "content": "Be short" });
            line["messages"].as_array_mut().unwrap().insert(0, system);
        }
        prompts += &format!("{line}\n");
    }
    std::fs::write(path.join("p.jsonl"), prompts).unwrap();
    let models = format!("{ONE},{OTHER}");
    let args = [
        "--prompts",
        "p.jsonl",
        "--models",
        &models,
        "--outcomes",
        "o.jsonl",
    ];
    let (code, out, err) = ended(at(&upstream, path, &args).output().unwrap());
    assert!(code == 0 && !out.is_empty(), "{err}");
    assert!(
        err.contains(
            "the outcomes of 60 prompts are in o.jsonl; left out: 1 without an answer that is checked"
        ),
        "{err}"
    );
    let found = rows(path, "o.jsonl");
    assert_eq!(found.len(), 60);
    for (number, row) in found.iter().enumerate() {
        let (task, verb) = [("easy", "translate"), ("hard", "prove")][number % 2];
        // As a learned policy takes it: a system prompt is none of it.
        assert_eq!(row["prompt"], format!("{verb} {number}"));
        assert_eq!(row["task"], task);
        assert_eq!(
            row["id"],
            if number > 50 {
                json!(format!("q{number}"))
            } else {
                Value::Null
            }
        );
        // A call that brought no answer has no score.
        let (one, other) = (&row["outcomes"][ONE], &row["outcomes"][OTHER]);
        assert_eq!(one.is_null(), number == 7, "{row}");
        assert_eq!(
            (
                &other["score"],
                &other["cost_usd"],
                &other["prompt_tokens"],
                &other["completion_tokens"]
            ),
            (&json!(1.0), &json!("0.01"), &json!(8), &json!(2))
        );
        assert!(other["latency_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(other["answer"], "right");
        if number != 7 {
            assert_eq!(one["score"], f64::from(u8::from(number % 2 == 0)));
            assert_eq!(one["cost_usd"], "0.001");
        }
    }

    let train = [
        "train",
        "--data",
        "o.jsonl",
        "--out",
        "r.waypost",
        "--models",
        &models,
    ];
    let (code, _, err) = run(path, &train);
    assert_eq!((code, err.as_str()), (0, ""));
    let easy = predicted(path, "r.waypost", "translate this", "easy");
    let hard = predicted(path, "r.waypost", "prove this", "hard");
    assert!(
        easy[0] > 0.8 && hard[0] < 0.2 && easy[1] > 0.9 && hard[1] > 0.9,
        "{easy:?} {hard:?}"
    );
    let replay = [
        "replay",
        "--data",
        "o.jsonl",
        "--policy",
        "learned:r.waypost@0.8",
        "--baseline",
        OTHER,
        "--json",
    ];
    let (code, out, err) = run(path, &replay);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("\"rows\""), "{out}");
    let (code, _, err) = run(
        path,
        &["certify", "--data", "o.jsonl", "--predictor", "r.waypost"],
    );
    assert!(code < 2, "{err}");

    // Nothing is sent for what cannot be had.
    let sent = upstream.requests().len();
    std::fs::write(path.join("bare.jsonl"), "{\"prompt\":\"Tell me more\"}\n").unwrap();
    for (args, expected, says) in [
        (
            &[
                "--prompts",
                "bare.jsonl",
                "--judge",
                JUDGE,
                "--outcomes",
                "new.jsonl",
            ][..],
            2,
            "no score of either",
        ),
        (&["Hello", "--outcomes", "new.jsonl"], 2, "no score of either"),
        (&["--prompts", "p.jsonl", "--outcomes", "o.jsonl"], 1, "o.jsonl"),
    ] {
        let args = [&["--models", &models], args].concat();
        let (code, out, err) = ended(at(&upstream, path, &args).output().unwrap());
        assert_eq!(
            (code, out.as_str(), err.lines().count()),
            (expected, "", 1),
            "{args:?}: {err}"
        );
        assert!(err.contains(says), "{args:?}: {err}");
    }
    assert_eq!(upstream.requests().len(), sent);
    assert!(!path.join("new.jsonl").exists());
}
