//! Keys that are made here, what they may spend, what has been spent, and codes for keys.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::ManualClock;
use openrouter_simulator::{Scenario, Simulation, SimulatorConfig};
use serde_json::{Value, json};
use support::*;

/// A service whose time of day is that of a clock moved by hand: Saturday, 2026-08-22, 09:30 UTC at first.
fn timed() -> (Simulation, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(
        UNIX_EPOCH + Duration::from_secs(1_787_391_000),
    ));
    let config = SimulatorConfig::new(1).with_clock(Arc::clone(&clock) as Arc<_>);
    (Simulation::new(config).unwrap(), clock)
}

const DAY: Duration = Duration::from_secs(86_400);

fn manage(simulation: &Simulation, method: &str, path: &str, body: Value) -> Value {
    json_of(&send(simulation, method, path, Some(MANAGEMENT), &body, None))
}

/// A key with these settings: the header to use it, and its hash.
fn make(simulation: &Simulation, more: Value) -> (String, String) {
    let mut body = json!({ "name": "one" });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let made = manage(simulation, "POST", "/keys", body);
    let key = made["key"].as_str().unwrap_or_else(|| panic!("{made}"));
    (
        format!("Bearer {key}"),
        made["data"]["hash"].as_str().unwrap().to_owned(),
    )
}

fn chat_with(simulation: &Simulation, key: &str) -> openrouter_simulator::SimulatedReply {
    let body: Value = serde_json::from_str(&body(PLAIN, json!({}))).unwrap();
    send(simulation, "POST", "/chat/completions", Some(key), &body, None)
}

/// The text of a number in a body, with every digit.
fn digits(reply: &openrouter_simulator::SimulatedReply, field: &str) -> String {
    let text = String::from_utf8(reply.body()).unwrap();
    let after = text
        .split(&format!("\"{field}\":"))
        .nth(1)
        .unwrap_or_else(|| panic!("{field} in {text}"));
    after.split([',', '}']).next().unwrap().to_owned()
}

#[test]
fn a_key_is_shown_once_and_then_only_its_hash() {
    let simulation = simulation(1);
    let (key, hash) = make(&simulation, json!({ "limit": 2.5, "limit_reset": "monthly" }));
    let text = key.strip_prefix("Bearer ").unwrap();
    assert!(text.starts_with("sk-or-v1-") && text.len() == 73 && hash.len() == 64);
    let shown = manage(&simulation, "GET", &format!("/keys/{hash}"), Value::Null);
    assert_eq!(
        (&shown["data"]["limit"], &shown["data"]["limit_reset"]),
        (&json!(2.5), &json!("monthly"))
    );
    let list = manage(&simulation, "GET", "/keys", Value::Null);
    assert_eq!(list["data"][0]["hash"], hash.as_str());
    for body in [shown, list] {
        assert!(!body.to_string().contains(text));
    }
    assert!(!format!("{simulation:?}").contains(text));
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 200);
    assert_ne!(make(&simulation, json!({})).1, hash);
}

#[test]
fn a_limit_holds_for_every_kind_of_call_until_it_starts_anew() {
    let (simulation, clock) = timed();
    let (key, hash) = make(&simulation, json!({ "limit": 0.000001, "limit_reset": "daily" }));
    // The first call is let through and goes over the limit.
    let first = chat_with(&simulation, &key);
    assert_eq!(answer(&first).status, 200);
    let refused = chat_with(&simulation, &key);
    let error = json_of(&refused)["error"].clone();
    assert_eq!(
        (answer(&refused).status, &error["message"]),
        (403, &json!("Key limit exceeded (daily limit)."))
    );
    assert_eq!(error["metadata"]["limit_source"], "openrouter_key_limit");
    assert_eq!(error["metadata"]["resets_at"], "2026-08-23T00:00:00.000Z");
    for (path, body) in [
        ("/completions", json!({ "model": PLAIN, "prompt": "x" })),
        ("/responses", json!({ "model": PLAIN, "input": "x" })),
        (
            "/embeddings",
            json!({ "model": "openai/text-embedding-3-small", "input": "x" }),
        ),
    ] {
        assert_eq!(
            answer(&send(&simulation, "POST", path, Some(&key), &body, None)).status,
            403,
            "{path}"
        );
    }
    let body = json!({ "model": PLAIN, "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] });
    let refused = send(&simulation, "POST", "/messages", Some(&key), &body, None);
    assert_eq!(json_of(&refused)["error"]["type"], "permission_error");
    // What costs nothing goes on, and tells how it stands.
    let page = send(&simulation, "GET", "/key", Some(&key), &Value::Null, None);
    let data = json_of(&page)["data"].clone();
    assert_eq!(
        (&data["limit_remaining"], &data["limit_reset"]),
        (&json!(0), &json!("daily"))
    );
    assert_eq!(data["budgets"][0]["scope"], "key_limit");
    assert_eq!(data["effective_budget"]["resets_at"], "2026-08-23T00:00:00.000Z");
    assert_eq!(digits(&page, "usage"), digits(&first, "cost"));
    // Another key is not touched, and the next day is a new one.
    assert_eq!(answer(&chat_with(&simulation, KEY)).status, 200);
    clock.advance(DAY);
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 200);
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 403);
    let raised = manage(
        &simulation,
        "PATCH",
        &format!("/keys/{hash}"),
        json!({ "limit": null }),
    );
    assert_eq!(
        (&raised["data"]["limit"], &raised["data"]["limit_remaining"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 200);
}

#[test]
fn a_key_that_is_disabled_expired_or_deleted_is_no_key() {
    let (simulation, clock) = timed();
    let path = |hash: &str| format!("/keys/{hash}");
    let (key, hash) = make(&simulation, json!({}));
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 200);
    let data = manage(
        &simulation,
        "PATCH",
        &path(&hash),
        json!({ "disabled": true, "name": "off" }),
    )["data"]
        .clone();
    assert_eq!((&data["disabled"], &data["name"]), (&json!(true), &json!("off")));
    assert!(data["updated_at"].is_string() && data["last_used_at"].is_string());
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 401);
    let count = |query: &str| {
        manage(&simulation, "GET", &format!("/keys{query}"), Value::Null)["data"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((count(""), count("?include_disabled=true")), (0, 1));
    manage(&simulation, "PATCH", &path(&hash), json!({ "disabled": false }));
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 200);
    assert_eq!(
        manage(&simulation, "DELETE", &path(&hash), Value::Null),
        json!({ "deleted": true })
    );
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 401);
    assert_eq!(
        manage(&simulation, "GET", &path(&hash), Value::Null)["error"]["code"],
        404
    );
    let (key, _) = make(&simulation, json!({ "expires_at": "2026-08-22T09:31:00Z" }));
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 200);
    clock.advance(Duration::from_secs(60));
    assert_eq!(answer(&chat_with(&simulation, &key)).status, 401);
    assert_eq!((count(""), count("?include_expired=true")), (0, 1));
}

#[test]
fn a_list_of_keys_has_the_newest_first_and_a_hundred_to_a_page() {
    let simulation = simulation(1);
    for number in 0..103 {
        make(&simulation, json!({ "name": format!("key {number}") }));
    }
    let names = |path: &str| {
        let page = manage(&simulation, "GET", path, Value::Null);
        let names = page["data"].as_array().unwrap().iter();
        names
            .map(|key| key["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = names("/keys");
    assert_eq!(
        (first.len(), first[0].as_str(), first[99].as_str()),
        (100, "key 102", "key 3")
    );
    assert_eq!(names("/keys?offset=100"), ["key 2", "key 1", "key 0"]);
}

#[test]
fn activity_lists_days_that_are_over() {
    let (simulation, clock) = timed();
    let first = chat_with(&simulation, KEY);
    chat_with(&simulation, "Bearer sk-or-v1-other");
    post(
        &simulation,
        "/embeddings",
        &json!({ "model": "openai/text-embedding-3-small", "input": "boats" }),
    );
    let rows = |query: &str| {
        manage(&simulation, "GET", &format!("/activity{query}"), Value::Null)["data"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert!(rows("").is_empty());
    clock.advance(DAY);
    assert_eq!(rows("").len(), 2);
    let chat = rows("").into_iter().find(|row| row["model"] == PLAIN).unwrap();
    let usage = json_of(&first)["usage"].clone();
    assert_eq!(
        (&chat["date"], &chat["requests"]),
        (&json!("2026-08-22"), &json!(2))
    );
    assert_eq!(
        chat["prompt_tokens"].as_u64().unwrap(),
        2 * usage["prompt_tokens"].as_u64().unwrap()
    );
    assert_eq!(chat["model_permaslug"], json_of(&first)["model"]);
    assert_eq!(rows("?date=2026-08-22").len(), 2);
    assert!(rows("?date=2026-08-21").is_empty());
    assert_eq!(
        rows("?group_by=workspace")[0]["workspace_id"],
        "00000000-0000-4000-8000-000000000001"
    );
    // By key: the hash is SHA-256 of the key.
    use sha2::Digest as _;
    let hash: String = sha2::Sha256::digest(b"sk-or-v1-other")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let own = rows(&format!("?api_key_hash={hash}"));
    assert_eq!((own.len(), &own[0]["requests"]), (1, &json!(1)));
    assert!(rows("?api_key_hash=none").is_empty() && rows("?user_id=somebody").is_empty());
    // The thirtieth day is the last that counts.
    clock.advance(29 * DAY);
    assert_eq!(rows("").len(), 2);
    clock.advance(DAY);
    assert!(rows("").is_empty());
}

#[test]
fn credits_go_down_by_what_is_spent() {
    let scenario = Scenario::read("[account]\ncredits = \"12.50\"\nused = \"0.25\"\n").unwrap();
    let simulation = Simulation::new(config(1).with_scenario(scenario)).unwrap();
    let credits = || send(&simulation, "GET", "/credits", Some(KEY), &Value::Null, None);
    assert_eq!(
        (
            digits(&credits(), "total_credits"),
            digits(&credits(), "total_usage")
        ),
        ("12.5".into(), "0.25".into())
    );
    let cost: rust_decimal::Decimal = digits(&chat_with(&simulation, KEY), "cost").parse().unwrap();
    let expected = (cost + rust_decimal::Decimal::new(25, 2)).normalize().to_string();
    assert_eq!(digits(&credits(), "total_usage"), expected);
    assert_eq!(
        digits(
            &send(
                &simulation,
                "GET",
                "/credits",
                Some(MANAGEMENT),
                &Value::Null,
                None
            ),
            "total_usage"
        ),
        expected
    );
}

#[test]
fn the_key_says_what_kind_it_is_and_what_is_free() {
    let simulation = simulation(1);
    let data =
        |key: &str| json_of(&send(&simulation, "GET", "/key", Some(key), &Value::Null, None))["data"].clone();
    assert_eq!(
        (
            &data(KEY)["is_management_key"],
            &data(MANAGEMENT)["is_management_key"]
        ),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        data(KEY)["free_model_daily_requests"],
        json!({ "limit": 1000, "used": 0, "remaining": 1000 })
    );
    let free: Value = serde_json::from_str(&body("z-ai/glm-5.2:free", json!({}))).unwrap();
    assert_eq!(answer(&post(&simulation, "/chat/completions", &free)).status, 200);
    assert_eq!(
        data(KEY)["free_model_daily_requests"],
        json!({ "limit": 1000, "used": 1, "remaining": 999 })
    );
}

#[test]
fn a_scenario_says_which_keys_are_for_administration_and_which_limits_there_are() {
    let scenario = Scenario::read(
        "[keys]\nmanagement = [\"sk-or-v1-boss\"]\n[account.key_limit]\nlimit = \"5\"\nreset = \"weekly\"\n\
         [[account.budget]]\nscope = \"workspace\"\nlimit = \"1\"\nreset = \"monthly\"\n",
    )
    .unwrap();
    let simulation = Simulation::new(config(1).with_scenario(scenario)).unwrap();
    let keys = send(
        &simulation,
        "GET",
        "/keys",
        Some("Bearer sk-or-v1-boss"),
        &Value::Null,
        None,
    );
    assert_eq!(answer(&keys).status, 200);
    let data = json_of(&send(&simulation, "GET", "/key", Some(KEY), &Value::Null, None))["data"].clone();
    assert_eq!(
        (&data["limit"], &data["limit_reset"]),
        (&json!(5), &json!("weekly"))
    );
    assert_eq!(
        (
            data["budgets"].as_array().unwrap().len(),
            &data["effective_budget"]["scope"]
        ),
        (2, &json!("workspace"))
    );
}

#[test]
fn each_budget_shows_what_counts_against_it_in_its_own_span() {
    let clock = Arc::new(ManualClock::starting_at(
        UNIX_EPOCH + Duration::from_secs(1_787_391_000),
    ));
    let scenario: Scenario = "[account.key_limit]\nlimit = '0.0002'\nreset = 'daily'\nstatus = 403\n\
         [[account.budget]]\nscope = 'workspace'\nlimit = 1\nreset = 'monthly'\n\
         [[account.budget]]\nscope = 'guardrail'\nlimit = '0.0003'\nreset = 'weekly'\n"
        .parse()
        .unwrap();
    let config = SimulatorConfig::new(1)
        .with_clock(Arc::clone(&clock) as Arc<_>)
        .with_scenario(scenario);
    let simulation = Simulation::new(config).unwrap();
    let one = "Bearer sk-or-v1-one";
    let other = "Bearer sk-or-v1-other";
    let page = || json_of(&get(&simulation, "/api/v1/key", Some(one)))["data"].clone();
    let number = |value: &Value| value.as_f64().unwrap();
    let near = |value: &Value, wanted: f64| (number(value) - wanted).abs() < 1e-12;
    let cost = |key: &str| {
        let reply = chat_with(&simulation, key);
        let usage = json_of(&reply)["usage"]["cost"].clone();
        usage.as_f64().unwrap_or_else(|| panic!("{:?}", json_of(&reply)))
    };
    // A Saturday: one call of each key. The key's own limit counts its own calls, the others those of the account.
    let mine = cost(one);
    let theirs = cost(other);
    let data = page();
    let of = |data: &Value, field: &str| {
        let budgets = data["budgets"].as_array().unwrap().iter();
        budgets.map(|one| one[field].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&data, "scope"), ["member", "workspace", "key_limit"]);
    assert_eq!(of(&data, "reset_interval"), ["weekly", "monthly", "daily"]);
    assert_eq!(
        of(&data, "resets_at"),
        [
            "2026-08-24T00:00:00.000Z",
            "2026-09-01T00:00:00.000Z",
            "2026-08-23T00:00:00.000Z"
        ]
    );
    let given = |field: &str| of(&data, field).iter().map(Value::is_string).collect::<Vec<_>>();
    assert_eq!(given("guardrail_id"), [true, false, false]);
    assert_eq!(given("budget_id"), [false, true, false]);
    for (spent, wanted) in of(&data, "spend_usd")
        .iter()
        .zip([mine + theirs, mine + theirs, mine])
    {
        assert!(near(spent, wanted), "{spent}");
    }
    assert!(near(&data["limit_remaining"], 0.0002 - mine));
    // On Sunday the daily one starts anew, and nothing else does.
    clock.advance(DAY);
    let again = cost(one);
    let data = page();
    assert!(near(&data["limit_remaining"], 0.0002 - again));
    assert!(near(&data["usage"], mine + again) && near(&data["usage_daily"], again));
    assert!(near(&data["usage_weekly"], mine + again) && near(&data["usage_monthly"], mine + again));
    for (spent, wanted) in
        of(&data, "spend_usd")
            .iter()
            .zip([mine + theirs + again, mine + theirs + again, again])
    {
        assert!(near(spent, wanted), "{spent}");
    }
    // The first that is spent is the one that stops a request, although another one may be further below zero.
    let mut last = None;
    for _ in 0..20 {
        let reply = chat_with(&simulation, one);
        if answer(&reply).status != 200 {
            last = Some(json_of(&reply)["error"].clone());
            break;
        }
        chat_with(&simulation, other);
    }
    let error = last.unwrap();
    let data = page();
    let remaining = of(&data, "remaining_usd");
    assert!(number(&remaining[0]) <= 0.0, "{data}");
    assert_eq!(error["metadata"]["limit_source"], "openrouter_guardrail_budget");
    assert_eq!(data["effective_budget"], data["budgets"][0]);
    assert!(near(
        &remaining[0],
        number(&data["budgets"][0]["limit_usd"]) - number(&data["budgets"][0]["spend_usd"])
    ));
    // On Monday only the month is left of what was spent.
    clock.advance(DAY);
    let data = page();
    assert_eq!(data["effective_budget"]["scope"], "key_limit");
    assert_eq!(of(&data, "spend_usd")[0], 0);
    assert!(number(&of(&data, "spend_usd")[1]) > 0.0);
    assert_eq!(of(&data, "spend_usd")[2], 0);
}

fn exchange(simulation: &Simulation, body: Value) -> openrouter_simulator::SimulatedReply {
    send(simulation, "POST", "/auth/keys", None, &body, None)
}

fn code(simulation: &Simulation, more: Value) -> String {
    let mut body = json!({ "callback_url": "http://localhost:3000/x" });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json_of(&post(simulation, "/auth/keys/code", &body))["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_code_becomes_a_key_once() {
    let simulation = simulation(1);
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let made = code(
        &simulation,
        json!({ "code_challenge": challenge, "code_challenge_method": "S256", "limit": 7, "key_label": "app" }),
    );
    let body = json!({ "code": made, "code_verifier": verifier, "code_challenge_method": "S256" });
    let reply = json_of(&exchange(&simulation, body.clone()));
    let key = format!("Bearer {}", reply["key"].as_str().unwrap());
    assert!(reply["user_id"].is_string());
    let data = json_of(&send(&simulation, "GET", "/key", Some(&key), &Value::Null, None))["data"].clone();
    assert_eq!(data["limit"], 7);
    assert_eq!(
        manage(&simulation, "GET", "/keys", Value::Null)["data"][0]["name"],
        "app"
    );
    assert_eq!(answer(&exchange(&simulation, body)).status, 403);
}

#[test]
fn a_code_needs_its_verifier_and_ends_after_ten_minutes() {
    let (simulation, clock) = timed();
    let hashed = json!({ "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" });
    for wrong in [json!({}), json!({ "code_verifier": "other" })] {
        let mut body = json!({ "code": code(&simulation, hashed.clone()) });
        body.as_object_mut()
            .unwrap()
            .extend(wrong.as_object().unwrap().clone());
        assert_eq!(answer(&exchange(&simulation, body)).status, 403, "{wrong}");
    }
    let plain = json!({ "code_challenge": "abc", "code_challenge_method": "plain" });
    let made = code(&simulation, plain.clone());
    let body = json!({ "code": made, "code_verifier": "abc", "code_challenge_method": "plain" });
    assert_eq!(answer(&exchange(&simulation, body)).status, 200);
    let made = code(&simulation, plain);
    let body = json!({ "code": made, "code_verifier": "abc", "code_challenge_method": "S256" });
    assert_eq!(answer(&exchange(&simulation, body)).status, 403);
    let (early, late) = (code(&simulation, json!({})), code(&simulation, json!({})));
    clock.advance(Duration::from_secs(599));
    assert_eq!(
        answer(&exchange(&simulation, json!({ "code": early }))).status,
        200
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        answer(&exchange(&simulation, json!({ "code": late }))).status,
        403
    );
}

#[test]
fn contents_are_kept_only_where_a_scenario_says_so() {
    let ask_for = |simulation: &Simulation, reply: &openrouter_simulator::SimulatedReply| {
        let id = header(reply, "x-generation-id").unwrap();
        send(
            simulation,
            "GET",
            &format!("/generation/content?id={id}"),
            Some(KEY),
            &Value::Null,
            None,
        )
    };
    let off = simulation(1);
    let reply = chat_with(&off, KEY);
    assert_eq!(answer(&ask_for(&off, &reply)).status, 404);
    let scenario = Scenario::read("[generation]\ncontent = true\n").unwrap();
    let on = Simulation::new(config(1).with_scenario(scenario)).unwrap();
    let reply = chat_with(&on, KEY);
    let data = json_of(&ask_for(&on, &reply))["data"].clone();
    assert_eq!(data["input"]["messages"][0]["content"], "Tell me of boats");
    assert_eq!(
        data["output"]["completion"],
        json_of(&reply)["choices"][0]["message"]["content"]
    );
    assert_eq!(
        (&data["output"]["reasoning"], &data["error"]),
        (&Value::Null, &Value::Null)
    );
    let streamed = post(
        &on,
        "/messages",
        &json!({
            "model": PLAIN, "stream": true, "max_tokens": 500, "messages": [{ "role": "user", "content": "Tell me of boats" }],
        }),
    );
    let data = json_of(&ask_for(&on, &streamed))["data"].clone();
    assert_eq!(
        data["output"]["completion"],
        json_of(&reply)["choices"][0]["message"]["content"]
    );
    let prompt = post(
        &on,
        "/completions",
        &json!({ "model": PLAIN, "prompt": "Tell me" }),
    );
    assert_eq!(
        json_of(&ask_for(&on, &prompt))["data"]["input"]["prompt"],
        "Tell me"
    );
    assert!(!format!("{on:?}").contains("Tell me of boats"));
}
