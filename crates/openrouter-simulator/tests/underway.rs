//! Answers that are left before their end: what they cost, what is told of them, and when.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::ManualClock;
use openrouter_simulator::{
    Outcome, Reading, Scenario, SimulatedReply, SimulatedRequest, Simulation, Simulator, SimulatorConfig,
    Step, Timing,
};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BEDROCK: &str = "amazon/nova-lite-v1";

fn service(scenario: &str) -> Arc<Simulation> {
    let scenario: Scenario = scenario.parse().unwrap();
    Arc::new(Simulation::new(config(1).with_scenario(scenario)).unwrap())
}

fn open(simulation: &Arc<Simulation>, body: &str) -> (SimulatedReply, Reading) {
    let request = SimulatedRequest::new("POST", CHAT)
        .with_header("authorization", KEY)
        .with_body(body.as_bytes());
    simulation.open(&request)
}

/// The record of an answer; null where there is none.
fn record(simulation: &Simulation, reply: &SimulatedReply) -> Value {
    let id = header(reply, "x-generation-id").unwrap();
    let path = format!("/api/v1/generation?id={id}");
    json_of(&get(simulation, &path, Some(KEY)))["data"].clone()
}

fn key(simulation: &Simulation) -> Value {
    json_of(&get(simulation, "/api/v1/key", Some(KEY)))["data"].clone()
}

/// Reads the first so many pieces of an answer and goes.
fn read_some(reply: &SimulatedReply, mut reading: Reading, pieces: usize) {
    let steps = &answer(reply).steps;
    let ends: Vec<usize> = (0..steps.len())
        .filter(|at| matches!(steps[*at], Step::Made(_)))
        .collect();
    for step in &steps[..=ends[pieces - 1]] {
        reading.step(step);
    }
}

fn decimal(value: &Value) -> Decimal {
    let text = value.to_string();
    Decimal::from_str(&text)
        .or_else(|_| Decimal::from_scientific(&text))
        .unwrap()
}

#[test]
fn whoever_leaves_a_stream_pays_for_what_came() {
    let simulation = service("");
    let request = body(PLAIN, json!({ "stream": true }));
    let whole = ask(&simulation, &request, None);
    let full = record(&simulation, &whole);
    assert_eq!(
        (&full["cancelled"], &full["finish_reason"]),
        (&json!(false), &json!("stop"))
    );
    let before = decimal(&key(&simulation)["usage"]);
    let (reply, reading) = open(&simulation, &request);
    let pieces = answer(&reply)
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Made(_)))
        .count();
    read_some(&reply, reading, pieces / 3);
    let part = record(&simulation, &reply);
    assert_eq!(
        (&part["cancelled"], &part["finish_reason"]),
        (&json!(true), &Value::Null)
    );
    let count = |record: &Value, name: &str| record[name].as_u64().unwrap();
    let (some, all) = (
        count(&part, "tokens_completion"),
        count(&full, "tokens_completion"),
    );
    assert!(some > 0 && some.abs_diff(all / 3) <= 2, "{some} of {all}");
    assert_eq!(count(&part, "tokens_prompt"), count(&full, "tokens_prompt"));
    // Its tokens at the prices of the list: 0.15 and 0.6 dollars for a million.
    let cost = Decimal::from(count(&part, "tokens_prompt")) * Decimal::new(15, 8)
        + Decimal::from(some) * Decimal::new(60, 8);
    assert_eq!(decimal(&part["total_cost"]), cost);
    assert_eq!(decimal(&key(&simulation)["usage"]), before + cost);
    let credits = json_of(&get(&simulation, "/api/v1/credits", Some(KEY)));
    assert_eq!(decimal(&credits["data"]["total_usage"]), before + cost);
}

#[test]
fn what_is_kept_of_a_stream_is_what_was_made_of_it() {
    let simulation = service("[generation]\ncontent = true\n");
    let content = |reply: &SimulatedReply| {
        let id = header(reply, "x-generation-id").unwrap();
        let path = format!("/api/v1/generation/content?id={id}");
        let data = json_of(&get(&simulation, &path, Some(KEY)))["data"].clone();
        data["output"]["completion"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let request = body(PLAIN, json!({ "stream": true }));
    let whole = content(&ask(&simulation, &request, None));
    let (reply, reading) = open(&simulation, &request);
    read_some(&reply, reading, 6);
    let part = content(&reply);
    assert!(
        !part.is_empty() && part.len() < whole.len() / 2 && whole.starts_with(&part),
        "{part}"
    );
    let (reply, reading) = open(&simulation, &body(BEDROCK, json!({ "stream": true })));
    drop(reading);
    assert!(content(&reply).len() > whole.len() / 2);
}

#[test]
fn an_upstream_that_does_not_stop_charges_for_all_of_it() {
    let simulation = service("");
    for (model, stream) in [(BEDROCK, true), (PLAIN, false)] {
        let request = body(model, json!({ "stream": stream }));
        let full = record(&simulation, &ask(&simulation, &request, None));
        let (reply, reading) = open(&simulation, &request);
        drop(reading);
        let left = record(&simulation, &reply);
        assert_eq!(left["cancelled"], true);
        for same in ["tokens_completion", "total_cost"] {
            assert_eq!(left[same], full[same], "{model}");
        }
    }
}

#[test]
fn where_nothing_came_nothing_is_charged() {
    let simulation = service("");
    let (reply, reading) = open(&simulation, &body(PLAIN, json!({ "stream": true })));
    drop(reading);
    let left = record(&simulation, &reply);
    assert_eq!(
        (
            &left["cancelled"],
            &left["tokens_completion"],
            &left["total_cost"]
        ),
        (&json!(true), &json!(0), &json!(0))
    );
    assert_eq!(key(&simulation)["usage"], 0);
}

#[test]
fn a_stream_that_breaks_or_stalls_is_no_success() {
    let simulation = service("");
    let request = body(PLAIN, json!({ "stream": true }));
    let full = record(&simulation, &ask(&simulation, &request, None));
    let all = full["tokens_completion"].as_u64().unwrap();
    for (fault, cancelled, share) in [
        ("cut", true, 2),
        ("stall", true, 2),
        ("truncate", false, 2),
        ("keep-alive", false, 0),
    ] {
        let left = record(&simulation, &ask(&simulation, &request, Some(fault)));
        assert_eq!(left["cancelled"], cancelled, "{fault}");
        assert_eq!(left["finish_reason"], Value::Null, "{fault}");
        let some = left["tokens_completion"].as_u64().unwrap();
        let expected = all.checked_div(share).unwrap_or(0);
        assert!(some.abs_diff(expected) <= 2, "{fault}: {some} of {all}");
        assert!(decimal(&left["total_cost"]) < decimal(&full["total_cost"]));
    }
    // An error that is read is not charged, whatever came before it.
    let failed = record(&simulation, &ask(&simulation, &request, Some("error-mid")));
    assert_eq!(
        (
            &failed["cancelled"],
            &failed["finish_reason"],
            &failed["total_cost"]
        ),
        (&json!(false), &json!("error"), &json!(0))
    );
}

#[test]
fn every_shape_of_a_stream_is_counted_alike() {
    let count = |path: &str, body: Value| {
        let simulation = service("");
        let text = body.to_string();
        let request = SimulatedRequest::new("POST", path)
            .with_header("authorization", KEY)
            .with_body(text.as_bytes());
        let (reply, reading) = simulation.open(&request);
        read_some(&reply, reading, 9);
        record(&simulation, &reply)["tokens_completion"].clone()
    };
    let question = json!([{ "role": "user", "content": "Tell me of boats" }]);
    let chat = count(
        CHAT,
        json!({ "model": PLAIN, "stream": true, "messages": question }),
    );
    assert!(chat.as_u64().unwrap() > 5);
    let messages = json!({ "model": PLAIN, "stream": true, "max_tokens": 4_000, "messages": question });
    assert_eq!(count("/api/v1/messages", messages), chat);
    let responses = json!({ "model": PLAIN, "stream": true, "input": "Tell me of boats" });
    assert_eq!(count("/api/v1/responses", responses), chat);
}

#[test]
fn a_call_is_in_no_book_before_it_ends() {
    let simulation = service("");
    let (reply, reading) = open(&simulation, &body(PLAIN, json!({ "stream": true })));
    assert_eq!(record(&simulation, &reply), Value::Null);
    assert_eq!(key(&simulation)["usage"], 0);
    read_some(&reply, reading, 2);
    assert_eq!(record(&simulation, &reply)["cancelled"], true);
    assert!(decimal(&key(&simulation)["usage"]) > Decimal::ZERO);
}

#[test]
fn where_requests_make_the_time_a_look_up_that_comes_early_does_too() {
    let made = || {
        let config = SimulatorConfig::new(1)
            .with_start_time(UNIX_EPOCH + Duration::from_secs(1_787_000_000))
            .with_generation_delay(Duration::from_secs(3));
        let simulation = Arc::new(Simulation::new(config).unwrap());
        let reply = ask(&simulation, &body(PLAIN, json!({})), None);
        let seen: Vec<bool> = (0..5).map(|_| !record(&simulation, &reply).is_null()).collect();
        (seen, ask(&simulation, &body(PLAIN, json!({})), None))
    };
    let (seen, next) = made();
    assert_eq!(seen, [false, false, false, true, true]);
    assert_eq!(made(), (seen, next));
}

#[test]
fn a_part_of_an_allowance_is_given_back() {
    let simulation = service("[account]\nbyok = ['azure']\nbyok_allowance = '0.0000001'\n");
    let request = body(PLAIN, json!({ "stream": true }));
    // The first has all of the allowance, and makes no use of it.
    let (_, reading) = open(&simulation, &request);
    drop(reading);
    let paid = |reply: &SimulatedReply| {
        let record = record(&simulation, reply);
        let upstream = decimal(&record["upstream_inference_cost"]);
        (decimal(&record["total_cost"]), upstream)
    };
    let (fee, upstream) = paid(&ask(&simulation, &request, None));
    assert_eq!(fee, (upstream - Decimal::new(1, 7)) * Decimal::new(5, 2));
    let (fee, upstream) = paid(&ask(&simulation, &request, None));
    assert_eq!(fee, upstream * Decimal::new(5, 2));
}

#[test]
fn answers_on_their_way_hold_a_low_balance_until_they_end() {
    let simulation = service(
        "[account]\ncredits = '0.1'\nlow_balance = 1\nin_flight_share = '0.5'\n\
         [[latency]]\nfirst_ms = 19000\ntokens_per_second = 1000000\n",
    );
    // 0.024 dollars each, of the 0.05 that may be held.
    let request = body("openai/gpt-4o", json!({ "max_tokens": 2_400, "stream": true }));
    let (_, first) = open(&simulation, &request);
    let (_, second) = open(&simulation, &request);
    let (reply, _) = open(&simulation, &request);
    assert_eq!(
        (answer(&reply).status, header(&reply, "retry-after")),
        (402, Some("18"))
    );
    let metadata = &json_of(&reply)["error"]["metadata"];
    assert_eq!(metadata["limit_source"], "openrouter_in_flight_budget");
    assert_eq!(metadata["reason"], "in_flight_budget_exhausted");
    // The one is left, the other one read: each makes room for one, and neither for two.
    drop(first);
    let (reply, third) = open(&simulation, &request);
    assert_eq!(answer(&reply).status, 200);
    assert_eq!(answer(&open(&simulation, &request).0).status, 402);
    second.finish();
    assert_eq!(answer(&open(&simulation, &request).0).status, 200);
    drop(third);
    let heavy = body("openai/gpt-4o", json!({ "max_tokens": 8_000 }));
    let (reply, _) = open(&simulation, &heavy);
    assert_eq!(
        json_of(&reply)["error"]["metadata"]["reason"],
        "weight_exceeds_budget"
    );
    // What fails at one endpoint and goes on to the next is held for once.
    let simulation = service(
        "[account]\ncredits = '0.1'\nlow_balance = 1\nin_flight_share = '0.5'\n\
         [[rule]]\nupstream = 'openai'\nfault = 503\n[[rule]]\nupstream = 'azure'\nfault = 503\n",
    );
    for _ in 0..5 {
        assert_eq!(answer(&open(&simulation, &request).0).status, 503);
    }
}

#[test]
fn no_two_calls_at_once_pass_where_one_may() {
    let simulation = service("[account]\ncredits = '0.1'\nlow_balance = 1\nin_flight_share = '0.5'\n");
    for _ in 0..100 {
        let request = body("openai/gpt-4o", json!({ "max_tokens": 4_000, "stream": true }));
        let start = std::sync::Barrier::new(4);
        let passed: Vec<(u16, Reading)> = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                let (reply, reading) = open(&simulation, &request);
                (answer(&reply).status, reading)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(passed.iter().filter(|(status, _)| *status == 200).count(), 1);
    }
}

/// Reads from a socket until some text has come.
async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let mut buffer = [0; 1_024];
        let count = socket.read(&mut buffer).await.unwrap();
        assert!(count > 0);
        seen.extend_from_slice(&buffer[..count]);
        let all = String::from_utf8_lossy(&seen).into_owned();
        if all.contains(text) {
            return all;
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_is_seen_to_go() {
    let clock = ManualClock::new();
    let scenario: Scenario = "[account]\ncredits = '0.1'\nlow_balance = 1\nin_flight_share = '0.5'\n"
        .parse()
        .unwrap();
    let config = config(1)
        .with_clock(Arc::new(clock.clone()))
        .with_timing(Timing::Realistic)
        .with_generation_delay(Duration::ZERO)
        .with_scenario(scenario);
    let simulator = Simulator::start(config.with_generation_delay(Duration::ZERO))
        .await
        .unwrap();
    let text = body("openai/gpt-4o", json!({ "stream": true, "max_tokens": 4_000 }));
    let post = format!(
        "POST /api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {KEY}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    let mut socket = TcpStream::connect(simulator.local_addr()).await.unwrap();
    socket.write_all(post.as_bytes()).await.unwrap();
    // The model thinks, and then says its first words.
    while clock.pending() == 0 {
        tokio::task::yield_now().await;
    }
    clock.advance_to_next();
    let seen = read_until(&mut socket, "data: {").await;
    let id = seen.split("x-generation-id: ").nth(1).unwrap();
    let id = id.split("\r\n").next().unwrap().to_owned();
    let client = reqwest::Client::new();
    let get = async |path: String| {
        let url = format!("{}{path}", simulator.base_url());
        let answer = client.get(url).header("authorization", KEY).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (status, body)
    };
    assert_eq!(get(format!("/generation?id={id}")).await.0, 404);
    drop(socket);
    let record = loop {
        let (status, body) = get(format!("/generation?id={id}")).await;
        if status == 200 {
            break body["data"].clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(record["cancelled"], true);
    let some = record["tokens_completion"].as_u64().unwrap();
    assert!((1..20).contains(&some), "{record}");
    let (_, key) = get("/key".to_owned()).await;
    assert_eq!(key["data"]["usage"], record["total_cost"]);
    // Nothing is held any more.
    let again = client
        .post(format!("{}/chat/completions", simulator.base_url()))
        .header("authorization", KEY)
        .body(text.clone())
        .send();
    assert_eq!(again.await.unwrap().status(), 200);
    simulator.shutdown().await;
}

#[tokio::test]
async fn whoever_has_the_last_word_finds_the_record() {
    let simulator = Simulator::start(config(1)).await.unwrap();
    let client = reqwest::Client::new();
    for stream in [true, false] {
        for number in 0..20 {
            let answer = client
                .post(format!("{}/chat/completions", simulator.base_url()))
                .header("authorization", KEY)
                .body(body(PLAIN, json!({ "stream": stream, "seed": number })))
                .send()
                .await
                .unwrap();
            let id = answer.headers()["x-generation-id"].to_str().unwrap().to_owned();
            let _ = answer.bytes().await.unwrap();
            let url = format!("{}/generation?id={id}", simulator.base_url());
            let found = client.get(url).header("authorization", KEY).send().await.unwrap();
            assert_eq!(found.status(), 200);
            let text = found.text().await.unwrap();
            assert!(text.contains("\"cancelled\":false"), "{text}");
        }
    }
    simulator.shutdown().await;
}

#[test]
fn the_steps_say_nothing_to_a_client() {
    let simulation = service("");
    let reply = ask(&simulation, &body(PLAIN, json!({ "stream": true })), None);
    let Outcome::Answer(answer) = &reply.outcome else {
        panic!("{reply:?}");
    };
    let made: Vec<u64> = answer
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Made(tokens) => Some(*tokens),
            _ => None,
        })
        .collect();
    assert!(made.is_sorted() && made.len() > 10);
    let (events, _) = events(&reply.body());
    assert_eq!(
        made.last().copied(),
        events.last().unwrap()["usage"]["completion_tokens"].as_u64()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However many answers are read, left and dropped, and in whichever order: key, credits and records tell of the same sums.
    #[test]
    fn all_books_agree(plan in proptest::collection::vec((0usize..4, any::<bool>(), 0usize..60, any::<bool>()), 1..14)) {
        let simulation = service("[account]\ncredits = 5\nbyok = ['azure']\nbyok_allowance = '0.00005'\n");
        let models = [PLAIN, BEDROCK, "anthropic/claude-haiku-4.5", "deepseek/deepseek-chat-v3.1"];
        let mut open_calls = Vec::new();
        let mut replies = Vec::new();
        for (model, stream, pieces, at_once) in plan {
            let (reply, mut reading) = open(&simulation, &body(models[model], json!({ "stream": stream, "max_tokens": 300 })));
            prop_assert_eq!(answer(&reply).status, 200);
            let steps = &answer(&reply).steps;
            let read = pieces.min(steps.len());
            for step in &steps[..read] {
                reading.step(step);
            }
            let whole = read == steps.len();
            replies.push(reply);
            match (whole, at_once) {
                (true, _) => reading.finish(),
                (false, true) => drop(reading),
                (false, false) => open_calls.push(reading),
            }
        }
        drop(open_calls);
        let records: Vec<Value> = replies.iter().map(|reply| record(&simulation, reply)).collect();
        let sum = |name: &str| records.iter().map(|record| decimal(&record[name])).sum::<Decimal>();
        let key = key(&simulation);
        prop_assert_eq!(decimal(&key["usage"]), sum("total_cost"));
        prop_assert_eq!(decimal(&key["byok_usage"]), sum("upstream_inference_cost"));
        let credits = json_of(&get(&simulation, "/api/v1/credits", Some(KEY)));
        prop_assert_eq!(decimal(&credits["data"]["total_usage"]), sum("total_cost"));
        // What own keys bought beyond the allowance is charged for, whoever it was that crossed its edge.
        let bought = sum("upstream_inference_cost");
        let fees: Decimal = records
            .iter()
            .filter(|record| record["is_byok"] == true)
            .map(|record| decimal(&record["total_cost"]))
            .sum();
        prop_assert!(fees <= bought * Decimal::new(5, 2));
    }
}
