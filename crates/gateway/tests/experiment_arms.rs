//! Experiments on the calls of callers: who is in which arm, what the arm does, and what is kept of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use experiments::{Attribution, OutcomeSums, UnitKey, UnitRow};
use gateway::app::App;
use gateway::config::{Overrides, Settings};
use gateway::environment::Environment;
use http_transport::SystemClock;
use integration_core::ManualClock;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};
use store_sqlite::{SqliteStore, StoreOptions};
use support::{Gateway, INSTANT, pico, within_20_s};

const AUTO: &str = "waypost/auto";
const MINI: &str = "openai/gpt-4o-mini";
const FLASH: &str = "google/gemini-3.7-flash";
/// It reads no pictures.
const BLIND: &str = "openai/gpt-3.5-turbo";

/// Half of the users get a model by its name.
const HALVES: &str = "[[experiment]]
key = \"cheaper\"
arms = [
    { key = \"control\", weight_bps = 5000 },
    { key = \"mini\", weight_bps = 5000, model = \"openai/gpt-4o-mini\" },
]
";

/// Everybody is in one arm that does this.
fn single(key: &str, does: &str) -> String {
    format!(
        "[[experiment]]\nkey = \"{key}\"\narms = [{{ key = \"on\", weight_bps = 10000{}{does} }}]\n",
        if does.is_empty() { "" } else { ", " }
    )
}

async fn with(experiments: &str) -> Gateway {
    Gateway::with(&format!("{INSTANT}{experiments}"), []).await
}

fn body(model: &str, user: &str, options: Value) -> Value {
    let mut body = json!({
        "model": model, "user": user, "messages": [{ "role": "user", "content": "Hello" }], "waypost": options,
    });
    body["waypost"]["task"] = json!("coding");
    body
}

struct Answer {
    status: u16,
    /// The header.
    arms: Option<String>,
    waypost: Value,
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let header = answer.headers().get("x-waypost-experiment");
    let arms = header.map(|arms| arms.to_str().unwrap().to_owned());
    let text = answer.text().await.unwrap();
    let lines = support::data_lines(&text);
    let last = lines
        .len()
        .checked_sub(2)
        .map_or(text.as_str(), |last| &lines[last]);
    Answer {
        status,
        arms,
        waypost: support::json(last)["waypost"].take(),
    }
}

async fn asked(gateway: &Gateway, body: &Value, fault: &str) -> Answer {
    let request = gateway.post(body.to_string());
    send(if fault.is_empty() {
        request
    } else {
        request.header("x-simulator-fault", fault)
    })
    .await
}

async fn of_user(gateway: &Gateway, user: &str, options: Value) -> Answer {
    asked(gateway, &body(AUTO, user, options), "").await
}

/// What the store has of an experiment.
async fn rows(gateway: &Gateway, key: &str) -> Vec<UnitRow> {
    let (experiment, told) = gateway.app.settings.experiments.get(key).unwrap();
    let window = i64::try_from(told.window.as_millis()).unwrap();
    let attribution = Attribution::new(
        format!("simulated/{key}"),
        experiment.version(),
        experiment.unit(),
        window,
    )
    .unwrap();
    gateway
        .app
        .store
        .unit_rows(&attribution, None, 1_000)
        .await
        .unwrap()
}

/// What the calls of the only unit came to, once there are so many.
async fn sums(gateway: &Gateway, key: &str, calls: u64) -> OutcomeSums {
    let mut found = OutcomeSums::default();
    within_20_s(async || {
        let rows = rows(gateway, key).await;
        assert!(rows.len() <= 1, "{rows:?}");
        found = rows
            .into_iter()
            .next()
            .map_or_else(OutcomeSums::default, |row| row.sums);
        found.calls >= calls
    })
    .await;
    found
}

fn experiments_of(answer: &Answer) -> &Value {
    &answer.waypost["experiments"]
}

/// The only reason that an answer gives.
fn reason(answer: &Answer) -> &str {
    let told = experiments_of(answer).as_array().unwrap();
    assert_eq!(told.len(), 1);
    told[0]["reason"].as_str().unwrap()
}

#[tokio::test]
async fn users_are_split_and_stay_where_they_are() {
    let gateway = with(HALVES).await;
    let mut of: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..2 {
        for user in 0..60 {
            let user = format!("user-{user}");
            let answer = of_user(&gateway, &user, json!({})).await;
            assert_eq!(answer.status, 200, "{}", answer.waypost);
            let arm = answer.arms.unwrap();
            let is_mini = answer.waypost["model"] == MINI;
            assert_eq!(is_mini, arm == "cheaper=mini", "{arm} {}", answer.waypost);
            let told = &answer.waypost["experiments"];
            let key = arm.strip_prefix("cheaper=").unwrap();
            assert_eq!(
                *told,
                json!([{ "experiment": "cheaper", "version": 1, "arm": key, "reason": "split" }])
            );
            assert_eq!(of.entry(user).or_insert_with(|| arm.clone()), &arm);
        }
    }
    let mini = of.values().filter(|arm| *arm == "cheaper=mini").count();
    assert!((15..=45).contains(&mini), "{mini}");
    let mut found = Vec::new();
    within_20_s(async || {
        found = rows(&gateway, "cheaper").await;
        found.iter().map(|row| row.sums.calls).sum::<u64>() == 120
    })
    .await;
    assert_eq!(found.len(), 60);
    for row in &found {
        // Another tenant's user of the same name would be another.
        let user = row.unit.strip_prefix("local/").unwrap();
        assert_eq!(of[user], format!("cheaper={}", row.arm));
        assert_eq!(
            (row.arms, row.versions, row.forced, row.sums.calls),
            (1, 1, false, 2)
        );
    }
    // Who names no user is in no arm.
    let mut nobody = body(AUTO, "", json!({ "explain": true }));
    let answer = asked(&gateway, &nobody, "").await;
    assert_eq!((answer.arms.as_deref(), reason(&answer)), (None, "no_unit"));
    // The name in `waypost` goes before the other.
    let user = of.iter().find(|(_, arm)| *arm == "cheaper=mini").unwrap().0;
    nobody["waypost"]["user"] = json!(user);
    assert_eq!(
        asked(&gateway, &nobody, "").await.arms.as_deref(),
        Some("cheaper=mini")
    );
    gateway.stop().await;
}

#[tokio::test]
async fn other_units_than_users() {
    for (unit, kind) in [
        ("tenant", UnitKey::Tenant),
        ("conversation", UnitKey::Conversation),
        ("request", UnitKey::Request),
    ] {
        let gateway = with(&HALVES.replace("arms =", &format!("unit = \"{unit}\"\narms ="))).await;
        assert_eq!(
            gateway.app.settings.experiments.get("cheaper").unwrap().0.unit(),
            kind
        );
        let mut arms = Vec::new();
        for about in ["apples", "pears"] {
            for _ in 0..2 {
                let mut body = body(AUTO, "", json!({}));
                body["messages"][0]["content"] = json!(about);
                let answer = asked(&gateway, &body, "").await;
                arms.push((answer.arms.unwrap(), answer.waypost["request_id"].clone()));
            }
        }
        let mut found = Vec::new();
        within_20_s(async || {
            found = rows(&gateway, "cheaper").await;
            found.iter().map(|row| row.sums.calls).sum::<u64>() == 4
        })
        .await;
        match kind {
            UnitKey::Tenant => assert_eq!((found.len(), found[0].unit.as_str()), (1, "local")),
            UnitKey::Conversation => {
                assert_eq!(found.len(), 2);
                assert_eq!((&arms[0].0, &arms[2].0), (&arms[1].0, &arms[3].0));
            }
            _ => {
                let mut ids: Vec<_> = arms.iter().map(|(_, id)| id.as_str().unwrap()).collect();
                ids.sort_unstable();
                let units: Vec<_> = found.iter().map(|row| row.unit.as_str()).collect();
                assert_eq!(units, ids);
            }
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_system_prompt_comes_before_the_callers_messages() {
    let answer = json!({
        "id": "gen-1", "object": "chat.completion", "model": MINI,
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Hi" } }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "cost": 0.00001 },
    })
    .to_string();
    let upstream =
        ScriptedUpstream::start(
            move |received| match received.path.ends_with("/chat/completions") {
                true => Script::json(200, &answer),
                false => Script::json(200, r#"{"data":{"label":"test"}}"#),
            },
        )
        .await;
    let base = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    let gateway = Gateway::with(&single("brief", "system = \"Be brief.\""), env).await;
    let mut body = body(AUTO, "user-1", json!({ "only": [MINI], "min_quality": 0 }));
    body["messages"] =
        json!([{ "role": "system", "content": "Be kind." }, { "role": "user", "content": "Hello" }]);
    let answer = asked(&gateway, &body, "").await;
    assert_eq!(
        (answer.status, answer.arms.as_deref()),
        (200, Some("brief=on")),
        "{}",
        answer.waypost
    );
    let requests = upstream.requests();
    let sent = requests
        .iter()
        .find(|received| received.path.ends_with("/chat/completions"))
        .unwrap()
        .json();
    let said: Vec<_> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["content"])
        .collect();
    assert_eq!(said, ["Be brief.", "Be kind.", "Hello"]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_arm_sets_what_it_says_and_nothing_else() {
    let plain = with("").await;
    let usual = of_user(&plain, "user-1", json!({})).await;
    assert_eq!(
        (usual.arms.as_deref(), experiments_of(&usual)),
        (None, &Value::Null)
    );
    for (does, options) in [
        ("", json!({})),
        (
            "strategy = \"best-quality\"",
            json!({ "strategy": "best-quality" }),
        ),
        ("min_quality = 55", json!({ "min_quality": 55 })),
        (
            "min_quality = 50, confidence = 0.9",
            json!({ "min_quality": 50, "confidence": 0.9 }),
        ),
        ("only = [\"google/*\"]", json!({ "only": ["google/*"] })),
        (
            "fallbacks = [\"google/gemini-3.7-flash\"]",
            json!({ "fallbacks": [FLASH] }),
        ),
    ] {
        let gateway = with(&single("one", does)).await;
        let explained = async |gateway: &Gateway, mut options: Value| {
            options["explain"] = json!(true);
            of_user(gateway, "user-1", options).await
        };
        let (got, wanted) = (
            explained(&gateway, json!({})).await,
            explained(&plain, options).await,
        );
        assert_eq!(got.arms.as_deref(), Some("one=on"));
        let parts = [
            "/targets",
            "/strategy",
            "/replay/request/min_quality",
            "/replay/request/confidence",
        ];
        for part in parts.into_iter().chain(["/replay/request/only"]) {
            let [got, wanted] = [&got, &wanted].map(|answer| answer.waypost["plan"].pointer(part).unwrap());
            assert_eq!(got, wanted, "{does}: {part}");
        }
        if !does.is_empty() && !does.starts_with("fallbacks") {
            assert_ne!(
                got.waypost["model"], usual.waypost["model"],
                "{does} decides nothing here"
            );
        }
        gateway.stop().await;
    }
    // By its name, with what may stand in. A member that cannot serve the request is passed over.
    let gateway = with(&single(
        "one",
        &format!("model = \"{MINI}\", fallbacks = [\"{BLIND}\", \"{FLASH}\"]"),
    ))
    .await;
    let body = body(AUTO, "user-1", json!({ "needs": ["vision"] }));
    let answer = asked(&gateway, &body, &format!("{MINI}=503")).await;
    assert_eq!(
        (answer.status, &answer.waypost["model"]),
        (200, &json!(FLASH)),
        "{}",
        answer.waypost
    );
    // The ledger has what the caller asked for.
    let auto = "SELECT count(*) FROM attempts WHERE requested_model = 'waypost/auto'";
    assert_eq!(gateway.number(auto), 2);
    gateway.stop().await;
    plain.stop().await;
}

#[tokio::test]
async fn who_names_a_model_gets_it_unless_the_experiment_is_aimed_at_it() {
    let forced = format!(
        "{}forced = [{{ unit = \"local/tester\", arm = \"on\" }}]\n",
        single("one", &format!("model = \"{FLASH}\""))
    );
    let aimed = format!("{forced}targeting = [{{ attribute = \"model\", equals = \"{MINI}\" }}]\n");
    for (config, taken, left) in [(&forced, AUTO, MINI), (&aimed, MINI, AUTO)] {
        let gateway = with(config).await;
        for user in ["user-1", "tester"] {
            let explain = json!({ "explain": true });
            let answer = asked(&gateway, &body(left, user, explain.clone()), "").await;
            assert_eq!((answer.arms.as_deref(), reason(&answer)), (None, "other_model"));
            assert_ne!(answer.waypost["model"], FLASH);
            let answer = asked(&gateway, &body(taken, user, explain), "").await;
            let why = if user == "tester" { "forced" } else { "split" };
            assert_eq!((answer.arms.as_deref(), reason(&answer)), (Some("one=on"), why));
            assert_eq!(answer.waypost["model"], FLASH);
        }
        let mut found = Vec::new();
        within_20_s(async || {
            found = rows(&gateway, "one").await;
            found.iter().map(|row| row.sums.calls).sum::<u64>() == 2
        })
        .await;
        let forced: Vec<_> = found.iter().map(|row| (row.unit.as_str(), row.forced)).collect();
        assert_eq!(forced, [("local/tester", true), ("local/user-1", false)]);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_the_caller_decides_is_left_alone() {
    for (does, options, is_taken) in [
        (
            "strategy = \"best-quality\"",
            json!({ "strategy": "cheapest" }),
            false,
        ),
        ("strategy = \"best-quality\"", json!({ "min_quality": 30 }), true),
        ("min_quality = 55", json!({ "min_quality": 30 }), false),
        ("confidence = 0.9", json!({ "confidence": 0.6 }), false),
        ("only = [\"google/*\"]", json!({ "never": ["google/*"] }), false),
        (
            "only = [\"google/*\"]",
            json!({ "tags": ["a"], "max_cost_usd": "1" }),
            true,
        ),
        (
            "fallbacks = [\"openai/gpt-4o\"]",
            json!({ "fallbacks": [FLASH] }),
            false,
        ),
        // A model decides all that one is chosen by.
        (
            "model = \"openai/gpt-4o-mini\"",
            json!({ "strategy": "cheapest" }),
            false,
        ),
        (
            "model = \"openai/gpt-4o-mini\"",
            json!({ "never": ["google/*"] }),
            false,
        ),
        (
            "system = \"Be brief.\"",
            json!({ "strategy": "cheapest", "fallbacks": [FLASH] }),
            true,
        ),
    ] {
        // Also where its own arm would have changed nothing: who is in must not depend on the arm.
        let arms = format!(
            "arms = [{{ key = \"on\", weight_bps = 10000 }}, {{ key = \"off\", weight_bps = 0, {does} }}]"
        );
        let gateway = with(&format!("[[experiment]]\nkey = \"one\"\n{arms}\n")).await;
        let mut options = options.clone();
        options["explain"] = json!(true);
        let answer = of_user(&gateway, "user-1", options.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.waypost);
        let (arms, why) = if is_taken {
            (Some("one=on"), "split")
        } else {
            (None, "own_option")
        };
        assert_eq!(
            (answer.arms.as_deref(), reason(&answer)),
            (arms, why),
            "{does} {options}"
        );
        gateway.stop().await;
    }
}

#[tokio::test]
async fn of_two_experiments_that_would_decide_the_same_the_first_takes_the_request() {
    let first = single("first", &format!("model = \"{MINI}\"")) + "coverage_bps = 5000\n";
    let second = single("second", "min_quality = 50");
    let beside = single("beside", "system = \"Be brief.\"");
    let gateway = with(&[first, second, beside].concat()).await;
    let (mut of_first, mut of_second) = (0, 0);
    for user in 0..20 {
        let answer = of_user(&gateway, &format!("user-{user}"), json!({ "explain": true })).await;
        let told = experiments_of(&answer);
        let reasons = [0, 1, 2].map(|place| told[place]["reason"].as_str().unwrap());
        match answer.arms.as_deref().unwrap() {
            "first=on, beside=on" => {
                assert_eq!(reasons, ["split", "other_experiment", "split"]);
                assert_eq!(answer.waypost["model"], MINI);
                of_first += 1;
            }
            "second=on, beside=on" => {
                assert_eq!(reasons, ["not_in_coverage", "split", "split"]);
                of_second += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(of_first > 0 && of_second > 0, "{of_first} {of_second}");
    for (key, units) in [("first", of_first), ("second", of_second), ("beside", 20)] {
        within_20_s(async || rows(&gateway, key).await.len() == units).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn holdouts_keep_out_and_forced_units_are_in() {
    let forced = "forced = [{ unit = \"local/tester\", arm = \"on\" }]\n";
    let config = format!(
        "{}{forced}[[holdout]]\nsalt = \"2026\"\nshare_bps = 10000\n",
        single("one", &format!("model = \"{MINI}\""))
    );
    let gateway = with(&config).await;
    let explain = json!({ "explain": true });
    let answer = of_user(&gateway, "user-1", explain.clone()).await;
    assert_eq!((answer.arms.as_deref(), reason(&answer)), (None, "holdout"));
    let answer = of_user(&gateway, "tester", explain).await;
    assert_eq!(
        (answer.arms.as_deref(), reason(&answer)),
        (Some("one=on"), "forced")
    );
    // Without being asked, an answer tells only of arms.
    assert_eq!(
        experiments_of(&of_user(&gateway, "user-1", json!({})).await),
        &Value::Null
    );
    assert_eq!(sums(&gateway, "one", 1).await.calls, 1);
    // A draft is for the forced alone, and what has stopped for nobody.
    gateway.stop().await;
    for (status, of_tester) in [("draft", "forced"), ("stopped", "disabled")] {
        let config = single("one", "").replace("arms", &format!("status = \"{status}\"\narms")) + forced;
        let gateway = with(&config).await;
        let explain = json!({ "explain": true });
        assert_eq!(
            reason(&of_user(&gateway, "user-1", explain.clone()).await),
            "disabled"
        );
        assert_eq!(reason(&of_user(&gateway, "tester", explain).await), of_tester);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_answer_is_an_outcome_whole_or_streamed() {
    for stream in [false, true] {
        let gateway = with(&single("one", &format!("model = \"{MINI}\""))).await;
        let mut body = body(AUTO, "user-1", json!({}));
        body["stream"] = json!(stream);
        let mut charged = 0;
        for _ in 0..2 {
            let answer = asked(&gateway, &body, "").await;
            assert_eq!((answer.status, answer.arms.as_deref()), (200, Some("one=on")));
            assert_eq!(answer.waypost["experiments"][0]["arm"], "on");
            charged += pico(&answer.waypost["charge_usd"]);
        }
        let found = sums(&gateway, "one", 2).await;
        assert_eq!(
            (found.calls, found.failed, found.timeouts, found.fallbacks),
            (2, 0, 0, 0)
        );
        // Nobody has said whether it was right.
        assert_eq!((found.judged, found.score.n), (0, 0));
        assert_eq!(
            (found.priced, found.cost_pico, found.timed),
            (2, i128::from(charged), 2)
        );
        gateway.holds().await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_failure_and_a_broken_stream_are_failures_of_the_arm() {
    let gateway = with(&single("one", &format!("model = \"{MINI}\""))).await;
    let mut request = body(AUTO, "user-1", json!({}));
    let answer = asked(&gateway, &request, "500").await;
    assert!(answer.status >= 500 && answer.arms.as_deref() == Some("one=on"));
    assert_eq!(answer.waypost["experiments"][0]["arm"], "on");
    let found = sums(&gateway, "one", 1).await;
    // What failed before an answer began costs nothing.
    assert_eq!((found.failed, found.judged, found.successes), (1, 1, 0));
    assert_eq!((found.priced, found.cost_pico, found.timed), (1, 0, 1));
    request["stream"] = json!(true);
    assert_eq!(asked(&gateway, &request, "cut").await.status, 200);
    let found = sums(&gateway, "one", 2).await;
    // What a broken answer costs is not known.
    assert_eq!((found.failed, found.priced, found.timed), (2, 1, 2));
    gateway.stop().await;
}

#[tokio::test]
async fn a_timeout_and_a_fallback_are_told_apart_from_a_failure() {
    let clock = ManualClock::new();
    let does = format!("model = \"{MINI}\", fallbacks = [\"{FLASH}\"]");
    let config = format!(
        "{INSTANT}[limits]\nfirst_byte_seconds = 3\n{}",
        single("one", &does)
    );
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, []).await;
    let request = gateway
        .post(body(AUTO, "user-1", json!({})).to_string())
        .header("x-simulator-fault", format!("{MINI}=hang"));
    let call = tokio::spawn(send(request));
    let silence = Duration::from_secs(3);
    within_20_s(async || clock.due_in().contains(&silence)).await;
    clock.advance(silence);
    let answer = call.await.unwrap();
    assert_eq!((answer.status, &answer.waypost["model"]), (200, &json!(FLASH)));
    let found = sums(&gateway, "one", 1).await;
    assert_eq!((found.failed, found.timeouts, found.fallbacks), (0, 1, 1));
    // The whole wait counts.
    assert_eq!((found.timed, found.latency_ms), (1, 3_000));
    gateway.stop().await;
}

#[tokio::test]
async fn better_steps_of_a_cascade_are_the_arms_own() {
    let gateway = with(&single("one", "strategy = \"cascade\"")).await;
    let mut request = body(AUTO, "user-1", json!({ "explain": true, "min_quality": 20 }));
    let place =
        json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    request["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "place", "schema": place } });
    let first = asked(&gateway, &request, "").await.waypost["plan"]["targets"][0].clone();
    let answer = asked(
        &gateway,
        &request,
        &format!("{}=refusal", first.as_str().unwrap()),
    )
    .await;
    assert_ne!(answer.waypost["model"], first, "{}", answer.waypost);
    let found = sums(&gateway, "one", 2).await;
    assert_eq!((found.calls, found.failed, found.fallbacks), (2, 0, 0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_that_the_arms_model_cannot_serve_is_a_failure_of_the_arm() {
    let gateway = with(&single("one", &format!("model = \"{BLIND}\""))).await;
    let answer = of_user(&gateway, "user-1", json!({ "needs": ["vision"] })).await;
    assert_eq!(
        (answer.status, answer.arms.as_deref()),
        (400, Some("one=on")),
        "{}",
        answer.waypost
    );
    assert_eq!(answer.waypost["experiments"][0]["arm"], "on");
    let found = sums(&gateway, "one", 1).await;
    assert_eq!(
        (found.calls, found.failed, found.priced, found.cost_pico),
        (1, 1, 1, 0)
    );
    assert!(gateway.ledger().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_who_leaves_is_no_failure_of_the_arm() {
    for (fault, stream) in [("", true), ("hang", true), ("hang", false)] {
        let config = format!(
            "[limits]\nfirst_byte_seconds = 1\n{}",
            single("one", &format!("model = \"{MINI}\""))
        );
        let gateway = Gateway::with(&config, []).await;
        let mut request = body(AUTO, "user-1", json!({}));
        request["stream"] = json!(stream);
        let mut request = gateway.post(request.to_string());
        if fault.is_empty() {
            let mut response = request.send().await.unwrap();
            assert!(response.chunk().await.unwrap().is_some());
            drop(response);
        } else {
            request = request.header("x-simulator-fault", fault);
            let call = tokio::spawn(request.send());
            within_20_s(async || !gateway.ledger().is_empty()).await;
            call.abort();
        }
        let found = sums(&gateway, "one", 1).await;
        assert_eq!(
            (found.calls, found.failed, found.judged),
            (1, 0, 0),
            "{fault} {stream}"
        );
        assert_eq!(found.timed, 0, "how long it would have taken is not known");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_gateway_that_stops_writes_what_became_of_its_calls() {
    let config = format!(
        "[limits]\ndrain_seconds = 0\n{}",
        single("one", &format!("model = \"{MINI}\""))
    );
    let gateway = Gateway::with(&config, []).await;
    let request = gateway.post(body(AUTO, "user-1", json!({})).to_string());
    let call = tokio::spawn(send(request.header("x-simulator-fault", "hang")));
    within_20_s(async || !gateway.ledger().is_empty()).await;
    let dir = gateway.stop().await;
    let answer = call.await.unwrap();
    assert_eq!((answer.status, answer.arms.as_deref()), (503, Some("one=on")));
    let gateway = Gateway::in_folder(dir, Arc::new(SystemClock), &format!("{INSTANT}{config}"), []).await;
    let found = sums(&gateway, "one", 1).await;
    assert_eq!((found.calls, found.failed, found.timeouts), (1, 1, 0));
    gateway.stop().await;
}

#[tokio::test]
async fn feedback_belongs_to_the_unit_of_its_call() {
    let gateway = with(&single("one", "")).await;
    let said = async |body: Value| {
        let request = gateway.http.post(format!("{}/v1/feedback", gateway.base));
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    };
    let answer = of_user(&gateway, "user-1", json!({})).await;
    let request = &answer.waypost["request_id"];
    for (source, score, success) in [
        ("user", 0.75, json!(true)),
        ("judge", 0.25, json!(null)),
        ("user", 0.0, json!(false)),
    ] {
        let body = json!({ "request_id": request, "source": source, "score": score, "success": success });
        assert_eq!(said(body).await, 200);
        within_20_s(async || rows(&gateway, "one").await[0].sums.score.n >= 1).await;
    }
    let mut found = OutcomeSums::default();
    within_20_s(async || {
        found = rows(&gateway, "one").await[0].sums.clone();
        found.score.n == 2
    })
    .await;
    // The first word of each source; what does not say whether it was a success says nothing of it.
    assert_eq!(
        (found.score.sum, found.judged, found.successes, found.calls),
        (1.0, 1, 1, 1)
    );
    let wrong = json!({ "request_id": request, "score": 1, "success": "yes" });
    assert_eq!(said(wrong).await, 400);
    gateway.stop().await;
}

#[tokio::test]
async fn weights_do_not_change_without_a_new_version() {
    let gateway = with(HALVES).await;
    let mut dir = gateway.stop().await;
    let other = HALVES.replacen("5000", "4000", 1).replacen("5000", "6000", 1);
    let file = dir.path().join("waypost.toml");
    std::fs::write(&file, format!("{INSTANT}{other}")).unwrap();
    let mut overrides = Overrides::default();
    overrides.config = Some(file);
    overrides.data_dir = Some(dir.path().join("data"));
    let settings = Settings::resolve(&overrides, &Environment::of([])).unwrap();
    let store = SqliteStore::open_with(&settings.data_dir, StoreOptions::default()).unwrap();
    let error = App::with_parts(settings, Arc::new(store), Arc::new(SystemClock))
        .await
        .unwrap_err();
    let error = format!("{error:#}");
    for part in ["[[experiment]] 'cheaper'", "arms", "version"] {
        assert!(error.contains(part), "{error}");
    }
    // As it was, with more people in it, or under a new version, it goes on.
    for config in [HALVES.to_owned(), other.replace("arms =", "version = 2\narms =")] {
        let config = format!("{INSTANT}{config}");
        let gateway = Gateway::in_folder(dir, Arc::new(SystemClock), &config, []).await;
        dir = gateway.stop().await;
    }
}

#[tokio::test]
async fn costs_are_reported_by_arm() {
    let gateway = with(HALVES).await;
    let mut charged: BTreeMap<String, i64> = BTreeMap::new();
    for user in 0..10 {
        let answer = of_user(&gateway, &format!("user-{user}"), json!({})).await;
        *charged.entry(answer.arms.unwrap()).or_default() += pico(&answer.waypost["charge_usd"]);
    }
    let named = asked(&gateway, &body(MINI, "user-1", json!({})), "").await;
    assert_eq!(named.arms, None);
    let (status, report) = gateway.get("/v1/reports/costs?by=experiment").await;
    assert_eq!(status, 200);
    let lines = report["simulated"]["lines"].as_array().unwrap();
    assert_eq!((charged.len(), lines.len()), (2, 3), "{report}");
    for (arm, charge) in &charged {
        let query = arm.replace('=', "%3D");
        let (_, report) = gateway
            .get(&format!("/v1/reports/costs?by=experiment&experiment={query}"))
            .await;
        let lines = report["simulated"]["lines"].as_array().unwrap();
        assert_eq!(lines.len(), 1, "{report}");
        assert!(report.to_string().contains(arm.as_str()), "{report}");
        let exact = &report["simulated"]["total"]["charge_usd"];
        assert_eq!(pico(exact), *charge, "{report}");
    }
    gateway.holds().await;
    gateway.stop().await;
}
