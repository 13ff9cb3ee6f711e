//! The same answer in the shapes of four routes, and what becomes of it when it fails on the way.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use openrouter_simulator::{Outcome, Scenario, SimulatedReply, Simulation, Step};
use serde_json::{Value, json};
use support::*;

const QUESTION: &str = "Tell me of boats";
const THINKER: &str = "anthropic/claude-sonnet-4.5";

fn chat(more: Value) -> Value {
    let mut asked: Value = serde_json::from_str(&body(PLAIN, json!({}))).unwrap();
    extend(&mut asked, more);
    asked
}

fn extend(body: &mut Value, more: Value) {
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
}

fn messages(more: Value) -> Value {
    let mut asked =
        json!({ "model": PLAIN, "max_tokens": 5_000, "messages": [{ "role": "user", "content": QUESTION }] });
    extend(&mut asked, more);
    asked
}

fn responses(more: Value) -> Value {
    let mut asked = json!({ "model": PLAIN, "input": QUESTION });
    extend(&mut asked, more);
    asked
}

/// The events of a stream of responses, after checking its framing and its numbers.
fn response_events(reply: &SimulatedReply) -> (Vec<Value>, bool) {
    let text = String::from_utf8(reply.body()).unwrap();
    assert!(!text.contains("event:"));
    let (mut events, mut done) = (Vec::new(), false);
    for block in text
        .split_terminator("\n\n")
        .filter(|block| !block.starts_with(':'))
    {
        assert!(!done, "something follows [DONE]");
        let data = block.strip_prefix("data: ").unwrap();
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["sequence_number"], events.len());
        events.push(event);
    }
    (events, done)
}

/// The events of a stream of messages, by name.
fn message_events(reply: &SimulatedReply) -> Vec<(String, Value)> {
    let text = String::from_utf8(reply.body()).unwrap();
    assert!(!text.contains("[DONE]"));
    let mut events = Vec::new();
    for block in text
        .split_terminator("\n\n")
        .filter(|block| !block.starts_with(':'))
    {
        let (name, data) = block.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap().to_owned();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["type"], name.as_str());
        if name != "ping" {
            events.push((name, data));
        }
    }
    events
}

fn text_of(events: &[Value], kind: &str) -> String {
    let of_kind = events.iter().filter(|event| event["type"] == kind);
    of_kind.map(|event| event["delta"].as_str().unwrap()).collect()
}

/// The text of a number in a body, with every digit.
fn digits(reply: &SimulatedReply, field: &str) -> String {
    let text = String::from_utf8(reply.body()).unwrap();
    let after = text.split(&format!("\"{field}\":")).last().unwrap();
    after.split([',', '}']).next().unwrap().to_owned()
}

#[test]
fn all_four_routes_give_the_same_text_and_the_same_cost() {
    for stream in [false, true] {
        let simulation = simulation(3);
        let stream = json!({ "stream": stream });
        let plain = post(&simulation, "/chat/completions", &chat(json!({})));
        let expected = json_of(&plain)["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned();
        let cost = digits(&plain, "cost");
        let response = post(&simulation, "/responses", &responses(stream.clone()));
        let message = post(&simulation, "/messages", &messages(stream.clone()));
        let (text, other) = if stream["stream"] == true {
            let (events, done) = response_events(&response);
            assert!(done);
            let told = message_events(&message);
            let pieces = told.iter().filter(|(name, _)| name == "content_block_delta");
            let other: String = pieces
                .map(|(_, data)| data["delta"]["text"].as_str().unwrap())
                .collect();
            (text_of(&events, "response.output_text.delta"), other)
        } else {
            let text = json_of(&response)["output"][0]["content"][0]["text"]
                .as_str()
                .unwrap()
                .to_owned();
            (
                text,
                json_of(&message)["content"][0]["text"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            )
        };
        assert_eq!(
            (text.as_str(), other.as_str()),
            (expected.as_str(), expected.as_str())
        );
        assert_eq!(
            (digits(&response, "cost"), digits(&message, "cost")),
            (cost.clone(), cost)
        );
        // A prompt is another question than a message, but the same one whether streamed or not.
        let completion = json!({ "model": PLAIN, "prompt": QUESTION });
        let mut asked = completion.clone();
        extend(&mut asked, stream.clone());
        let whole = json_of(&post(&simulation, "/completions", &completion))["choices"][0]["text"].clone();
        let reply = post(&simulation, "/completions", &asked);
        let text = if stream["stream"] == true {
            let (events, done) = events(&reply.body());
            assert!(done && events.iter().all(|event| event["object"] == "text_completion"));
            events
                .iter()
                .filter_map(|event| event["choices"][0]["text"].as_str())
                .collect()
        } else {
            json_of(&reply)["choices"][0]["text"].as_str().unwrap().to_owned()
        };
        assert_eq!(Value::from(text), whole);
        assert!(header(&reply, "x-generation-id").unwrap().starts_with("gen-"));
    }
}

#[test]
fn every_answer_can_be_looked_up_by_its_header() {
    let simulation = simulation(1);
    for (path, body) in [
        ("/completions", json!({ "model": PLAIN, "prompt": QUESTION })),
        ("/responses", responses(json!({}))),
        ("/messages", messages(json!({ "stream": true }))),
    ] {
        let reply = post(&simulation, path, &body);
        let id = header(&reply, "x-generation-id").unwrap();
        let record = json_of(&get(
            &simulation,
            &format!("/api/v1/generation?id={id}"),
            Some(KEY),
        ));
        assert_eq!(record["data"]["finish_reason"], "stop", "{path}");
        assert_eq!(record["data"]["streamed"], body.get("stream").is_some());
    }
}

fn weather(anthropic: bool) -> Value {
    let schema =
        json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } } });
    if anthropic {
        json!([{ "name": "weather", "input_schema": schema }])
    } else {
        json!([{ "type": "function", "name": "weather", "parameters": schema, "strict": null }])
    }
}

#[test]
fn tools_are_called_in_the_words_of_each_route() {
    let simulation = simulation(1);
    let asked = json!({ "tools": weather(false), "tool_choice": "required" });
    let whole = json_of(&post(&simulation, "/responses", &responses(asked.clone())));
    let call = &whole["output"][0];
    assert_eq!(
        (&call["type"], &call["name"], &call["status"]),
        (&json!("function_call"), &json!("weather"), &json!("completed"))
    );
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["city"].is_string() && call["call_id"].as_str().unwrap().starts_with("call_"));
    let mut asked = responses(asked);
    extend(&mut asked, json!({ "stream": true }));
    let (events, _) = response_events(&post(&simulation, "/responses", &asked));
    let calls = whole["output"].as_array().unwrap();
    let written: String = calls
        .iter()
        .map(|call| call["arguments"].as_str().unwrap())
        .collect();
    assert_eq!(
        text_of(&events, "response.function_call_arguments.delta"),
        written
    );
    let done = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .count();
    assert_eq!(done, calls.len());

    let asked = messages(json!({ "tools": weather(true), "tool_choice": { "type": "any" } }));
    let message = json_of(&post(&simulation, "/messages", &asked));
    assert_eq!(
        (&message["stop_reason"], &message["content"][0]["type"]),
        (&json!("tool_use"), &json!("tool_use"))
    );
    assert!(message["content"][0]["input"]["city"].is_string());
}

#[test]
fn a_call_without_room_is_cut_in_every_shape() {
    let simulation = simulation(1);
    let asked = json!({ "tools": weather(false), "tool_choice": "required", "max_output_tokens": 3 });
    let whole = json_of(&post(&simulation, "/responses", &responses(asked)));
    assert!(serde_json::from_str::<Value>(whole["output"][0]["arguments"].as_str().unwrap()).is_err());
    let asked =
        messages(json!({ "tools": weather(true), "tool_choice": { "type": "any" }, "max_tokens": 3 }));
    let message = json_of(&post(&simulation, "/messages", &asked));
    assert_eq!(
        (&message["stop_reason"], &message["content"][0]["input"]),
        (&json!("max_tokens"), &json!({}))
    );
}

#[test]
fn calls_with_colliding_places_stay_apart() {
    let simulation = simulation(1);
    for fault in [
        "tool-same-index",
        "tool-no-index",
        "tool-repeated-id",
        "tool-empty-id",
        "tool-no-type",
    ] {
        let asked = responses(json!({ "tools": weather(false), "tool_choice": "required", "stream": true }));
        let reply = send(&simulation, "POST", "/responses", Some(KEY), &asked, Some(fault));
        let (events, _) = response_events(&reply);
        let last = events.last().unwrap();
        let calls = last["response"]["output"].as_array().unwrap();
        assert!(!calls.is_empty(), "{fault}");
        for call in calls {
            assert!(
                serde_json::from_str::<Value>(call["arguments"].as_str().unwrap()).is_ok(),
                "{fault}: {call}"
            );
        }
        let asked =
            messages(json!({ "tools": weather(true), "tool_choice": { "type": "any" }, "stream": true }));
        let told = message_events(&send(
            &simulation,
            "POST",
            "/messages",
            Some(KEY),
            &asked,
            Some(fault),
        ));
        let starts = told
            .iter()
            .filter(|(name, _)| name == "content_block_start")
            .count();
        let stops = told
            .iter()
            .filter(|(name, _)| name == "content_block_stop")
            .count();
        assert!(starts >= 1 && starts == stops, "{fault}");
    }
}

#[test]
fn reasoning_comes_as_each_route_has_it() {
    let simulation = simulation(1);
    let asked = json!({ "model": THINKER, "reasoning": { "effort": "high" } });
    let whole = json_of(&post(&simulation, "/responses", &responses(asked.clone())));
    let item = &whole["output"][0];
    assert_eq!(item["type"], "reasoning");
    assert!(
        item["content"][0]["text"]
            .as_str()
            .unwrap()
            .starts_with("Simulated reasoning")
    );
    assert!(item["signature"].is_string() && whole["output"][1]["type"] == "message");
    assert!(
        whole["usage"]["output_tokens_details"]["reasoning_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    let mut streamed = responses(asked);
    extend(&mut streamed, json!({ "stream": true }));
    let (events, _) = response_events(&post(&simulation, "/responses", &streamed));
    assert_eq!(
        text_of(&events, "response.reasoning_text.delta"),
        item["content"][0]["text"].as_str().unwrap()
    );
    // A summary and a seal, where the model shows no more.
    let sealed = responses(json!({ "model": "openai/o3", "reasoning": { "effort": "low" }, "stream": true }));
    let (events, _) = response_events(&post(&simulation, "/responses", &sealed));
    let last = &events.last().unwrap()["response"]["output"][0];
    assert!(last["encrypted_content"].is_string());
    assert_eq!(
        text_of(&events, "response.reasoning_summary_text.delta"),
        last["summary"][0]["text"].as_str().unwrap()
    );

    let asked =
        messages(json!({ "model": THINKER, "thinking": { "type": "enabled", "budget_tokens": 2_000 } }));
    let message = json_of(&post(&simulation, "/messages", &asked));
    let block = &message["content"][0];
    assert!(block["type"] == "thinking" && !block["signature"].as_str().unwrap().is_empty());
    assert!(
        message["usage"]["output_tokens_details"]["thinking_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    // Sent back with the next turn, it is taken.
    let again = messages(json!({ "model": THINKER, "messages": [
        { "role": "user", "content": QUESTION },
        { "role": "assistant", "content": message["content"] },
        { "role": "user", "content": "And ships?" },
    ] }));
    assert_eq!(answer(&post(&simulation, "/messages", &again)).status, 200);
}

#[test]
fn the_end_is_told_in_the_words_of_each_route() {
    let simulation = simulation(1);
    let whole = json_of(&post(
        &simulation,
        "/responses",
        &responses(json!({ "max_output_tokens": 4 })),
    ));
    assert_eq!(
        (&whole["status"], &whole["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    let (events, _) = response_events(&post(
        &simulation,
        "/responses",
        &responses(json!({ "max_output_tokens": 4, "stream": true })),
    ));
    assert_eq!(events.last().unwrap()["type"], "response.incomplete");
    let message = json_of(&post(
        &simulation,
        "/messages",
        &messages(json!({ "max_tokens": 4 })),
    ));
    assert_eq!(
        (&message["stop_reason"], &message["stop_details"]),
        (&json!("max_tokens"), &Value::Null)
    );
    let told = message_events(&post(
        &simulation,
        "/messages",
        &messages(json!({ "stream": true })),
    ));
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        (names[0], names[1], names[names.len() - 2], names[names.len() - 1]),
        (
            "message_start",
            "content_block_start",
            "message_delta",
            "message_stop"
        )
    );
    let refused = send(
        &simulation,
        "POST",
        "/messages",
        Some(KEY),
        &messages(json!({})),
        Some("refusal"),
    );
    assert_eq!(
        (
            &json_of(&refused)["stop_reason"],
            &json_of(&refused)["stop_details"]["type"]
        ),
        (&json!("refusal"), &json!("refusal"))
    );
    let refused = send(
        &simulation,
        "POST",
        "/responses",
        Some(KEY),
        &responses(json!({ "stream": true })),
        Some("refusal"),
    );
    let (events, _) = response_events(&refused);
    assert!(!text_of(&events, "response.refusal.delta").is_empty());
    let filtered = send(
        &simulation,
        "POST",
        "/responses",
        Some(KEY),
        &responses(json!({})),
        Some("content-filter"),
    );
    assert_eq!(
        json_of(&filtered)["incomplete_details"]["reason"],
        "content_filter"
    );
}

#[test]
fn a_prompt_that_is_too_long_ends_a_response_and_refuses_a_message() {
    let simulation = simulation(1);
    let long = "words ".repeat(40_000);
    let response = post(
        &simulation,
        "/responses",
        &json!({ "model": "openai/gpt-4", "input": long }),
    );
    let whole = json_of(&response);
    assert_eq!(
        (answer(&response).status, &whole["status"], &whole["error"]),
        (200, &json!("incomplete"), &Value::Null)
    );
    let asked = json!({ "model": "openai/gpt-4", "input": long, "stream": true });
    let streamed = post(&simulation, "/responses", &asked);
    assert_eq!(header(&streamed, "content-type"), Some("text/event-stream"));
    let (events, done) = response_events(&streamed);
    assert!(done && events.last().unwrap()["type"] == "response.incomplete");
    let asked = json!({ "model": "openai/gpt-4", "max_tokens": 5, "messages": [{ "role": "user", "content": long }] });
    let message = post(&simulation, "/messages", &asked);
    assert_eq!(
        (answer(&message).status, &json_of(&message)["error"]["error_type"]),
        (400, &json!("context_length_exceeded"))
    );
}

#[test]
fn errors_have_the_shape_of_the_route() {
    let simulation = simulation(1);
    let failed =
        |path: &str, body: &Value, fault: &str| send(&simulation, "POST", path, Some(KEY), body, Some(fault));
    let response = failed("/responses", &responses(json!({})), "429");
    assert_eq!(
        (answer(&response).status, header(&response, "retry-after")),
        (429, Some("2"))
    );
    assert_eq!(
        (
            &json_of(&response)["error"]["code"],
            &json_of(&response)["error_type"]
        ),
        (&json!(429), &json!("rate_limit_exceeded"))
    );
    let message = failed("/messages", &messages(json!({})), "503");
    let error = json_of(&message);
    assert_eq!(
        (
            &error["type"],
            &error["error"]["type"],
            &error["error"]["error_type"]
        ),
        (
            &json!("error"),
            &json!("overloaded_error"),
            &json!("provider_overloaded")
        )
    );
    assert!(error["metadata"]["provider_name"].is_string());
    // After the status has been sent.
    for fault in ["error-mid", "error-first"] {
        let (events, _) = response_events(&failed(
            "/responses",
            &responses(json!({ "stream": true })),
            fault,
        ));
        let last = events.last().unwrap();
        assert_eq!(
            (&last["type"], &last["response"]["status"]),
            (&json!("response.failed"), &json!("failed"))
        );
        assert_eq!(
            (
                &last["response"]["error"]["code"],
                &last["response"]["error_type"]
            ),
            (&json!("server_error"), &json!("provider_unavailable"))
        );
        let whole = json_of(&failed("/responses", &responses(json!({})), fault));
        assert_eq!(
            (&whole["status"], &whole["error"]["code"]),
            (&json!("failed"), &json!("server_error"))
        );
        let told = message_events(&failed("/messages", &messages(json!({ "stream": true })), fault));
        let (name, data) = told.last().unwrap();
        assert_eq!(
            (name.as_str(), &data["error"]["type"]),
            ("error", &json!("api_error"))
        );
        let whole = json_of(&failed("/messages", &messages(json!({})), fault));
        assert_eq!(whole["type"], "error");
    }
    let (events, _) = response_events(&failed(
        "/responses",
        &responses(json!({ "stream": true })),
        "finish-error",
    ));
    assert_eq!(events.last().unwrap()["type"], "response.failed");
    assert_eq!(
        message_events(&failed(
            "/messages",
            &messages(json!({ "stream": true })),
            "finish-error"
        ))
        .last()
        .unwrap()
        .0,
        "error"
    );
    let whole = json_of(&failed("/responses", &responses(json!({})), "error-200"));
    assert_eq!(whole["error"]["code"], "server_error");
    assert_eq!(
        json_of(&failed("/messages", &messages(json!({})), "error-200"))["type"],
        "error"
    );
    assert_eq!(
        json_of(&failed(
            "/completions",
            &json!({ "model": PLAIN, "prompt": "x" }),
            "error-200"
        ))["error"]["code"],
        502
    );
    let html = failed("/messages", &messages(json!({})), "html");
    assert!(header(&html, "content-type").unwrap().starts_with("text/html"));
}

#[test]
fn what_breaks_off_breaks_off_in_every_shape() {
    let simulation = simulation(1);
    let asked = [
        ("/completions", json!({ "model": PLAIN, "prompt": QUESTION })),
        ("/responses", responses(json!({}))),
        ("/messages", messages(json!({}))),
    ];
    for (path, body) in asked {
        let mut streamed = body.clone();
        extend(&mut streamed, json!({ "stream": true }));
        let of = |body: &Value, fault: &str| send(&simulation, "POST", path, Some(KEY), body, Some(fault));
        for body in [&body, &streamed] {
            assert_eq!(of(body, "hang").outcome, Outcome::Hang);
            assert_eq!(of(body, "reset").outcome, Outcome::Reset);
            let cut = of(body, "cut");
            assert_eq!(answer(&cut).steps.last(), Some(&Step::Break), "{path}");
            assert!(!cut.body().is_empty() && serde_json::from_slice::<Value>(&cut.body()).is_err());
            assert_eq!(answer(&of(body, "empty")).status, 200);
        }
        let ended = |fault: &str| String::from_utf8(of(&streamed, fault).body()).unwrap();
        let whole = ended("usage-twice");
        for end in [
            "data: [DONE]",
            "response.completed",
            "message_stop",
            "message_delta",
        ] {
            assert!(!ended("truncate").contains(end), "{path} {end}");
            assert!(!ended("cut").contains(end), "{path} {end}");
        }
        let last = if path == "/messages" {
            "message_stop"
        } else {
            "[DONE]"
        };
        assert!(whole.contains(last) && !ended("no-done").contains(last), "{path}");
        // Without usage it is complete all the same.
        assert!(ended("no-usage").contains(last));
        let truncated = of(&body, "truncate").body();
        assert!(serde_json::from_slice::<Value>(&truncated).is_err());
    }
}

#[test]
fn rules_for_chat_cover_the_other_shapes_and_rules_for_one_cover_that_one() {
    let chat_down = "[[rule]]\nfault = 503\n";
    let responses_down = "[[rule]]\nroute = \"responses\"\nfault = 503\n";
    for (text, expected) in [(chat_down, [503, 503, 503]), (responses_down, [200, 503, 200])] {
        let scenario = Scenario::read(text).unwrap();
        let simulation = Simulation::new(config(1).with_scenario(scenario)).unwrap();
        let statuses = [
            post(&simulation, "/chat/completions", &chat(json!({}))),
            post(&simulation, "/responses", &responses(json!({}))),
            post(&simulation, "/messages", &messages(json!({}))),
        ]
        .map(|reply| answer(&reply).status);
        assert_eq!(statuses, expected, "{text}");
    }
}

#[test]
fn fallbacks_are_tried_in_order() {
    let simulation = simulation(1);
    let asked = messages(json!({ "model": "openai/gpt-4o", "fallbacks": [{ "model": THINKER }] }));
    let reply = send(
        &simulation,
        "POST",
        "/messages",
        Some(KEY),
        &asked,
        Some("openai/gpt-4o=503"),
    );
    assert_eq!(answer(&reply).status, 200);
    assert!(
        json_of(&reply)["model"]
            .as_str()
            .unwrap()
            .starts_with("anthropic/")
    );
    let asked = responses(json!({ "models": ["openai/gpt-4o", THINKER], "model": "openai/gpt-4o" }));
    let reply = send(
        &simulation,
        "POST",
        "/responses",
        Some(KEY),
        &asked,
        Some("openai/gpt-4o=503"),
    );
    assert!(
        json_of(&reply)["model"]
            .as_str()
            .unwrap()
            .starts_with("anthropic/")
    );
}

#[test]
fn pictures_and_results_of_tools_are_understood() {
    let simulation = simulation(1);
    let asked = messages(json!({ "messages": [
        { "role": "user", "content": [
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } },
            { "type": "text", "text": "Weather here?" },
        ] },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny" }] },
    ], "tools": weather(true) }));
    let message = json_of(&post(&simulation, "/messages", &asked));
    assert_eq!(message["stop_reason"], "end_turn", "{message}");
    let asked = responses(json!({ "input": [
        { "role": "user", "content": [{ "type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AA==" }] },
        { "type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c1", "output": "sunny" },
    ] }));
    assert_eq!(
        json_of(&post(&simulation, "/responses", &asked))["status"],
        "completed"
    );
}

#[test]
fn the_response_cache_keeps_the_routes_apart() {
    let simulation = simulation(1);
    let cached = |path: &str, body: &Value| {
        let (path, body) = (format!("/api/v1{path}"), body.to_string());
        let request = openrouter_simulator::SimulatedRequest::new("POST", &path)
            .with_header("authorization", KEY)
            .with_header("x-openrouter-cache", "true")
            .with_body(body.as_bytes());
        simulation.reply(&request)
    };
    let status = |reply: &SimulatedReply| header(reply, "x-openrouter-cache-status").unwrap().to_owned();
    let asked = responses(json!({}));
    let first = cached("/responses", &asked);
    let second = cached("/responses", &asked);
    assert_eq!(
        (status(&first), status(&second)),
        ("MISS".to_owned(), "HIT".to_owned())
    );
    assert_eq!(
        json_of(&first)["output"][0]["content"],
        json_of(&second)["output"][0]["content"]
    );
    assert_eq!(
        (
            &json_of(&second)["usage"]["total_tokens"],
            &json_of(&second)["usage"]["cost"]
        ),
        (&json!(0), &json!(0))
    );
    // The same words by another route, and the same meaning in another order of words, are other requests.
    assert_eq!(status(&cached("/messages", &messages(json!({})))), "MISS");
    let turned = json!({ "input": QUESTION, "model": PLAIN });
    assert_eq!(status(&cached("/responses", &turned)), "MISS");
}
