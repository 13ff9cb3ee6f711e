//! A cascade with a learned check, from recorded answers to a gateway that serves it: the cheap model first, a look at its answer, and the
//! dear one where that is likely to be worth it. Every call is on the ledger.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::Path;
use std::sync::Arc;

use http_transport::SystemClock;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};
use support::Gateway;
use tempfile::TempDir;

const CHEAP: &str = "openai/gpt-4o-mini";
const DEAR: &str = "openai/gpt-4o";

/// The prompt does not tell whether the cheap model will be right; its answer does.
fn answer(number: usize) -> (String, bool) {
    match number % 5 {
        0 | 2 => (format!("Perhaps {number}, hard to say, unsure really"), false),
        _ => (
            format!("Therefore the result is {number}, verified twice"),
            number % 35 != 1,
        ),
    }
}

fn lines(count: usize, dear: &str) -> String {
    let line = |number: usize| {
        let (text, is_right) = answer(number);
        let outcomes = json!({
            CHEAP: { "score": u8::from(is_right), "cost_usd": "0.0001", "answer": text },
            DEAR: { "score": u8::from(number % 35 != 1), "cost_usd": dear },
        });
        json!({ "id": format!("q{number}"), "prompt": format!("Add up {number} and {}", number * 7), "outcomes": outcomes })
            .to_string()
            + "\n"
    };
    (0..count).map(line).collect()
}

const COMMAND: [&str; 11] = [
    "cascade",
    "--data",
    "answers.jsonl",
    "--cheap",
    CHEAP,
    "--dear",
    DEAR,
    "--check",
    "check.waypost",
    "--out",
    "cascade.json",
];

fn learnt() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let unknown = json!({ "prompt": "x", "outcomes": { CHEAP: { "score": 1, "cost_usd": 0 }, DEAR: { "score": 1, "cost_usd": 0 } } });
    std::fs::write(
        dir.path().join("answers.jsonl"),
        lines(1_000, "0.002") + &unknown.to_string(),
    )
    .unwrap();
    let told = command::json_of(dir.path(), &COMMAND, 0);
    assert_eq!((&told["examples"], &told["left_out"]), (&json!(1_000), &json!(1)));
    // Two of five are asked again: at a twentieth for the first call, 55 % are saved. What the check gets wrong costs some of that.
    let cascade = &told["cascade"];
    let number = |key: &str| cascade[key].as_f64().unwrap();
    assert!((0.39..0.45).contains(&number("escalated")), "{told}");
    assert!((0.48..=0.551).contains(&number("saving")), "{told}");
    assert!(number("quality") >= number("dear_quality"), "{told}");
    dir
}

/// The cheap model answers by the number in the prompt, and the dear one always well.
async fn provider() -> ScriptedUpstream {
    ScriptedUpstream::start(|received| {
        if !received.path.ends_with("/chat/completions") {
            return Script::json(200, r#"{"data":{"label":"test","simulated":false}}"#);
        }
        let body = received.json();
        let model = body["model"].as_str().unwrap();
        let prompt = body["messages"][0]["content"].as_str().unwrap();
        let number: usize = prompt.split(' ').nth(2).unwrap().parse().unwrap();
        if model == CHEAP && prompt.ends_with("down") {
            return Script::json(503, r#"{"error":{"code":503,"message":"down"}}"#);
        }
        let (text, cost) = match (model, number) {
            (CHEAP, 7_777) => ("I'm sorry, but I can't help with that.".to_owned(), 0.0001),
            (CHEAP, _) => (answer(number).0, 0.0001),
            _ => ("Therefore it is so".to_owned(), 0.002),
        };
        let choice = json!({ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text } });
        if body["stream"] == true {
            let piece = json!({ "id": "g", "model": model, "choices": [{ "index": 0, "delta": { "role": "assistant", "content": text }, "finish_reason": "stop" }], "usage": { "prompt_tokens": 8, "completion_tokens": 2, "cost": cost } });
            return Script::sse([piece.to_string(), "[DONE]".to_owned()]);
        }
        Script::json(
            200,
            json!({
                "id": "gen-1", "model": model, "choices": [choice],
                "usage": { "prompt_tokens": 8, "completion_tokens": 2, "cost": cost },
            }),
        )
    })
    .await
}

fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "[[learned]]\nname = \"sums\"\npredictor = '{dir}/check.waypost'\ncascade = '{dir}/cascade.json'\n[limits]\nretries = 0\n"
    )
}

async fn ask(gateway: &Gateway, prompt: &str) -> Value {
    let body = json!({ "model": "waypost/sums", "messages": [{ "role": "user", "content": prompt }] });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    support::json(&answer.text().await.unwrap())
}

#[tokio::test]
async fn an_answer_that_is_likely_to_be_wrong_is_asked_for_again() {
    let (dir, upstream) = (learnt(), provider().await);
    let (url, config) = (format!("{}/api/v1", upstream.url()), config(dir.path()));
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", url.as_str()),
    ];
    let gateway = Gateway::in_folder(dir, Arc::new(SystemClock), &config, env).await;

    let good = ask(&gateway, "Add up 20004 and 5").await;
    assert_eq!(good["model"], CHEAP, "{good}");
    assert_eq!(
        good["waypost"]["cascade"],
        json!({ "accepted": true, "why": null, "rejected": [] })
    );
    assert_eq!(good["waypost"]["learned"]["basis"], "cascade");

    for number in [20_000, 7_777] {
        let again = ask(&gateway, &format!("Add up {number} and 5")).await;
        assert_eq!(again["model"], DEAR, "{again}");
        let cascade = &again["waypost"]["cascade"];
        assert_eq!(
            (&cascade["accepted"], &cascade["rejected"][0]["model"]),
            (&json!(true), &json!(CHEAP))
        );
        let why = cascade["rejected"][0]["why"].as_str().unwrap();
        let says = if number == 7_777 {
            "a refusal"
        } else {
            "the dear model is likely to be better"
        };
        assert!(why.starts_with("learned: ") && why.contains(says), "{why}");
        // Both are paid for.
        assert_eq!(again["waypost"]["cost_usd"], "0.0021");
        assert_eq!(again["waypost"]["attempts"].as_array().unwrap().len(), 2);
    }
    // The dear model's own answer is as good as it gets.
    let down = ask(&gateway, "Add up 20004 and 5 down").await;
    assert_eq!(
        (&down["model"], &down["waypost"]["cascade"]["accepted"]),
        (&json!(DEAR), &json!(true)),
        "{down}"
    );
    // An answer in pieces cannot be looked at before it is given.
    let body = json!({ "model": "waypost/sums", "stream": true, "messages": [{ "role": "user", "content": "Add up 20004 and 5" }] });
    let lines = gateway.stream(gateway.post(body.to_string())).await;
    let last = support::json(&lines[lines.len() - 2]);
    assert_eq!(last["waypost"]["learned"]["model"], DEAR, "{last}");
    let booked = gateway.number("SELECT count(*) FROM attempts WHERE requested_model = 'waypost/sums'");
    assert_eq!(booked, 8);
    gateway.holds().await;
    let (_, all) = gateway.get("/v1/routing/learned").await;
    assert_eq!(all["data"][0]["models"], json!([CHEAP, DEAR]));
    gateway.stop().await;
}

#[test]
fn a_cascade_is_not_simulated() {
    let dir = learnt();
    std::fs::write(dir.path().join("waypost.toml"), config(dir.path())).unwrap();
    std::fs::write(
        dir.path().join("s.toml"),
        "[[request]]\nprompts = [\"Add up 1 and 7\"]",
    )
    .unwrap();
    let simulate = ["simulate", "--scenario", "s.toml", "--policy", "waypost/sums"];
    let (code, _, err) = command::run(dir.path(), &simulate);
    assert!(
        code == 2 && err.contains("'waypost/sums' is a cascade"),
        "{code}: {err}"
    );
}

#[test]
fn a_cascade_that_saves_nothing_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("answers.jsonl"), lines(500, "0.0001")).unwrap();
    let (code, out, err) = command::run(dir.path(), &COMMAND);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.contains("saves anything") && out.contains("no file was written"),
        "{out}"
    );
    assert!(!dir.path().join("check.waypost").exists() && !dir.path().join("cascade.json").exists());

    std::fs::write(
        dir.path().join("answers.jsonl"),
        lines(20, "0.002").replace("answer", "text"),
    )
    .unwrap();
    let (code, _, err) = command::run(dir.path(), &COMMAND);
    assert_eq!(code, 2);
    assert!(err.contains("the `answer` of the former"), "{err}");
}
