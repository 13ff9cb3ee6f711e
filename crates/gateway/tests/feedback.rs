//! Feedback over HTTP, and what is believed of models by it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use gateway::quality::GATHER;
use http_transport::SystemClock;
use integration_core::{ManualClock, ModelId};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use routing::{Belief, Task, View};
use serde_json::{Value, json};
use support::{Gateway, INSTANT, within_20_s};

const MINI: &str = r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}"#;

/// Words that no feedback may leave anywhere.
const COMMENT: &str = "the answer was about my-secret-project";

fn noon() -> ManualClock {
    ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_795_348_800))
}

/// Asks for a program of this quality. The call's name, and the model that answered.
async fn coded(gateway: &Gateway, min_quality: u8) -> (String, ModelId) {
    let body = json!({
        "model": "waypost/auto",
        "messages": [{ "role": "user", "content": "Sort this." }],
        "waypost": { "task": "coding", "min_quality": min_quality },
    });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = support::json(&answer.text().await.unwrap());
    let request = answer["waypost"]["request_id"].as_str().unwrap().to_owned();
    (request, answer["model"].as_str().unwrap().parse().unwrap())
}

async fn asked(gateway: &Gateway, token: &str) -> String {
    let answer = gateway.post(MINI).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = support::json(&answer.text().await.unwrap());
    answer["waypost"]["request_id"].as_str().unwrap().to_owned()
}

async fn said(gateway: &Gateway, token: &str, body: impl ToString) -> (u16, Value) {
    let request = gateway
        .http
        .post(format!("{}/v1/feedback", gateway.base))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, support::json(&answer.text().await.unwrap()))
}

fn of(view: &View, model: &ModelId) -> Belief {
    view.snapshot().get(model).unwrap().belief(Task::Coding).unwrap()
}

/// The name of what is believed now.
fn book(gateway: &Gateway) -> String {
    gateway.app.router.view().snapshot().quality_id().to_owned()
}

fn belief(gateway: &Gateway, model: &ModelId) -> Belief {
    of(&gateway.app.router.view(), model)
}

#[tokio::test]
async fn feedback_moves_models_against_one_another_and_a_restart_keeps_it() {
    let clock = noon();
    let gateway = Gateway::at(Arc::new(clock.clone()), INSTANT, []).await;
    let bare = gateway.app.router.view();
    let ((first, weak), (second, strong)) = (coded(&gateway, 10).await, coded(&gateway, 55).await);
    assert_ne!(weak, strong);
    let before = (belief(&gateway, &weak), belief(&gateway, &strong));
    // The one is praised and the other is not, again and again: only the last word of each source counts.
    for score in [0.3, 1.0] {
        let body = json!({ "request_id": first, "score": score, "comment": COMMENT });
        let (status, answer) = said(&gateway, "", body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            answer,
            json!({
                "object": "feedback", "request_id": first, "source": "user", "score": score, "model": weak,
                "task": "coding",
            })
        );
    }
    let body = json!({ "request_id": second, "score": 0, "source": "judge.2" });
    assert_eq!(said(&gateway, "", body).await.0, 200);
    // It is gathered first, and read once.
    assert_eq!(book(&gateway), bare.snapshot().quality_id());
    clock.advance(GATHER);
    within_20_s(async || book(&gateway) != bare.snapshot().quality_id()).await;
    let after = (belief(&gateway, &weak), belief(&gateway, &strong));
    assert!(
        after.0.mean > before.0.mean && after.1.mean < before.1.mean,
        "{before:?} {after:?}"
    );
    assert!(after.0.sd < before.0.sd && after.0.sd > 0.0);
    // A call under way keeps the beliefs it began with.
    assert_eq!(of(&bare, &weak), before.0);
    assert_eq!(gateway.number("SELECT count(*) FROM feedback"), 2);
    let learned = book(&gateway);
    gateway.holds().await;
    let dir = gateway.stop().await;
    for file in std::fs::read_dir(dir.path().join("data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = b"my-secret-project";
        assert!(
            !bytes.windows(secret.len()).any(|part| part == secret),
            "a comment is kept"
        );
    }
    let gateway = Gateway::in_folder(dir, Arc::new(noon()), INSTANT, []).await;
    assert_eq!(book(&gateway), learned);
    gateway.stop().await;
}

/// The last feedback counts too, however close it comes to a refresh.
#[tokio::test]
async fn no_feedback_is_left_out() {
    let clock = noon();
    let gateway = Gateway::at(Arc::new(clock.clone()), INSTANT, []).await;
    let ((first, weak), (second, _)) = (coded(&gateway, 10).await, coded(&gateway, 55).await);
    said(&gateway, "", json!({ "request_id": second, "score": 0.5 })).await;
    let mut last = belief(&gateway, &weak).mean;
    for score in [0.0, 0.5, 1.0] {
        let body = json!({ "request_id": first, "score": score });
        assert_eq!(said(&gateway, "", body).await.0, 200);
        clock.advance(GATHER);
        within_20_s(async || belief(&gateway, &weak).mean != last).await;
        last = belief(&gateway, &weak).mean;
    }
    gateway.stop().await;
}

/// Where the caller named the model there is no task, and its feedback is kept for a day when somebody knows.
#[tokio::test]
async fn feedback_without_a_task_is_kept_and_moves_nothing() {
    let gateway = Gateway::start().await;
    let bare = book(&gateway);
    let request = asked(&gateway, "").await;
    let (status, answer) = said(&gateway, "", json!({ "request_id": request, "score": 0.5 })).await;
    assert_eq!(
        (status, &answer["task"], &answer["model"]),
        (200, &Value::Null, &json!("openai/gpt-4o-mini"))
    );
    gateway.app.learned.refresh().await.unwrap();
    assert_eq!(book(&gateway), bare);
    assert_eq!(gateway.number("SELECT score_e5 FROM feedback"), 50_000);
    gateway.stop().await;
}

#[tokio::test]
async fn feedback_is_the_callers_own() {
    let callers = "[[caller]]\nkey = \"web\"\ntoken_env = \"WEB\"\n[[caller]]\nkey = \"nightly\"\ntoken_env = \"NIGHTLY\"\n";
    let env = [
        ("WEB", "web-token"),
        ("NIGHTLY", "nightly-token"),
        ("WAYPOST_ADMIN_KEY", "admin-token"),
    ];
    let gateway = Gateway::with(&format!("{INSTANT}{callers}"), env).await;
    let request = asked(&gateway, "web-token").await;
    let body = json!({ "request_id": request, "score": 1 });
    for token in ["", "wrong"] {
        let (status, answer) = said(&gateway, token, &body).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (401, &json!("invalid_api_key"))
        );
    }
    let (status, answer) = said(&gateway, "nightly-token", &body).await;
    assert_eq!(
        (status, &answer["error"]["type"], &answer["error"]["code"]),
        (403, &json!("permission_error"), &json!("not_your_request"))
    );
    assert_eq!(gateway.number("SELECT count(*) FROM feedback"), 0);
    assert_eq!(said(&gateway, "web-token", &body).await.0, 200);
    let body = json!({ "request_id": request, "score": 0, "source": "operator" });
    assert_eq!(said(&gateway, "admin-token", &body).await.0, 200);
    assert_eq!(gateway.number("SELECT count(*) FROM feedback"), 2);
    // What is the operator's own is no caller's.
    let own = asked(&gateway, "admin-token").await;
    let body = json!({ "request_id": own, "score": 1 });
    assert_eq!(said(&gateway, "web-token", &body).await.0, 403);
    gateway.stop().await;
}

#[tokio::test]
async fn feedback_that_says_nothing_clear_is_refused() {
    let gateway = Gateway::start().await;
    let request = asked(&gateway, "").await;
    let with = |field: &str, value: Value| {
        let mut body = json!({ "request_id": request, "score": 0.5 });
        body[field] = value;
        body.to_string()
    };
    let long = "x".repeat(65);
    for (body, param, says) in [
        (
            with("score", json!(1.01)),
            Some("score"),
            "from 0, of no use, to 1, perfect, and not 1.01",
        ),
        (with("score", json!(-0.01)), Some("score"), "from 0"),
        (with("score", json!("0.5")), Some("score"), "expected a number"),
        (with("score", Value::Null), Some("score"), "expected a number"),
        (with("request_id", json!(7)), Some("request_id"), "invalid type"),
        (
            with("request_id", json!("")),
            Some("request_id"),
            "is not the name of a request",
        ),
        (with("source", json!("")), Some("source"), "a word of 1 to 64"),
        (with("source", json!("a b")), Some("source"), "a word of 1 to 64"),
        (with("source", json!(long)), Some("source"), "a word of 1 to 64"),
        (with("stars", json!(5)), Some("stars"), "unknown field"),
        ("{\"score\":1}".to_owned(), None, "missing field `request_id`"),
        (
            format!("{{\"request_id\":\"{request}\"}}"),
            None,
            "missing field `score`",
        ),
        (
            format!("{{\"request_id\":\"{request}\",\"score\":NaN}}"),
            None,
            "not JSON",
        ),
        (
            format!("{{\"request_id\":\"{request}\",\"score\":1e999}}"),
            None,
            "not JSON",
        ),
        (String::new(), None, "not JSON"),
        ("[]".to_owned(), None, ""),
        ("{} {}".to_owned(), None, ""),
    ] {
        let (status, answer) = said(&gateway, "", &body).await;
        assert_eq!(
            (status, &answer["error"]["type"]),
            (400, &json!("invalid_request_error")),
            "{body}"
        );
        assert_eq!(answer["error"]["param"].as_str(), param, "{body}: {answer}");
        assert!(
            answer["error"]["message"].as_str().unwrap().contains(says),
            "{body}: {answer}"
        );
    }
    let (status, answer) = said(&gateway, "", json!({ "request_id": "unheard-of", "score": 1 })).await;
    assert_eq!(
        (status, &answer["error"]["type"], &answer["error"]["code"]),
        (404, &json!("not_found_error"), &json!("request_not_found"))
    );
    let (status, _) = said(&gateway, "", with("comment", json!("x".repeat(65 * 1024)))).await;
    assert_eq!(status, 413);
    let url = format!("{}/v1/feedback", gateway.base);
    let plain = gateway
        .http
        .post(&url)
        .body(with("score", json!(1)))
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 415);
    assert_eq!(gateway.http.get(&url).send().await.unwrap().status(), 405);
    for source in 0..8 {
        assert_eq!(
            said(&gateway, "", with("source", json!(source.to_string())))
                .await
                .0,
            200
        );
    }
    let (status, answer) = said(&gateway, "", with("source", json!("more"))).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("too_many_sources"))
    );
    assert_eq!(gateway.number("SELECT count(*) FROM feedback"), 8);
    gateway.stop().await;
}

/// A call that no model answered has nobody to be praised or blamed.
#[tokio::test]
async fn feedback_on_no_answer_is_refused() {
    let upstream = ScriptedUpstream::start(|received| match received.path.ends_with("/chat/completions") {
        true => Script::json(500, r#"{"error":{"code":500,"message":"no"}}"#),
        false => Script::json(200, r#"{"data":{"label":"test"}}"#),
    })
    .await;
    let base = format!("{}/api/v1", upstream.url());
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    let gateway = Gateway::in_folder(dir, Arc::new(SystemClock), "", env).await;
    let answer = gateway.post(MINI).send().await.unwrap();
    assert_ne!(answer.status(), 200);
    let answer = support::json(&answer.text().await.unwrap());
    let body = json!({ "request_id": answer["waypost"]["request_id"], "score": 0 });
    let (status, answer) = said(&gateway, "", body).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("request_not_answered"))
    );
    gateway.stop().await;
}
