//! What each route is asked: everything it answers with success, and everything it refuses.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use openrouter_simulator::{Access, Scenario, ServedRoute, SimulatedReply, SimulatedRequest, Simulation};
use serde_json::{Value, json};

use crate::support::*;

pub fn call(
    simulation: &Simulation,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &str,
    fault: Option<&str>,
) -> SimulatedReply {
    let mut request = SimulatedRequest::new(method, path)
        .with_body(body.as_bytes())
        .with_header("x-openrouter-metadata", "enabled");
    if let Some(key) = key {
        request = request.with_header("authorization", key);
    }
    if let Some(fault) = fault {
        request = request.with_header("x-simulator-fault", fault);
    }
    simulation.reply(&request)
}

pub fn key_for(route: &ServedRoute) -> Option<&'static str> {
    match route.access() {
        Access::Management => Some(MANAGEMENT),
        Access::Public => None,
        _ => Some(KEY),
    }
}

pub fn status(reply: &SimulatedReply) -> u16 {
    answer(reply).status
}

pub fn service() -> Simulation {
    let scenario = Scenario::read("[generation]\ncontent = true\n").unwrap();
    Simulation::new(config(1).with_scenario(scenario)).unwrap()
}

/// The requests that each route answers with success, as (path, body). A route that is not here has no check, and the test
/// fails.
pub fn successes(simulation: &Simulation, route: &ServedRoute) -> Vec<(String, String)> {
    let at = |path: &str| format!("/api/v1{path}");
    let get = |paths: &[&str]| paths.iter().map(|path| (at(path), String::new())).collect();
    let post = |path: &str, bodies: &[Value]| {
        bodies
            .iter()
            .map(|body| (at(path), body.to_string()))
            .collect::<Vec<_>>()
    };
    let both = |bodies: Vec<Value>| {
        let mut all = bodies.clone();
        for mut body in bodies {
            body["stream"] = json!(true);
            all.push(body);
        }
        all
    };
    match (route.method(), route.path()) {
        ("POST", path @ "/chat/completions") => post(path, &both(chat_bodies())),
        ("POST", path @ "/completions") => post(
            path,
            &both(vec![
                json!({ "model": PLAIN, "prompt": "Tell me of boats" }),
                json!({ "model": "anthropic/claude-sonnet-4", "prompt": "Tell me", "max_tokens": 5 }),
            ]),
        ),
        ("POST", path @ "/responses") => post(path, &both(responses_bodies())),
        ("POST", path @ "/messages") => post(path, &both(messages_bodies())),
        ("POST", path @ "/embeddings") => {
            let model = "openai/text-embedding-3-small";
            post(
                path,
                &[
                    json!({ "model": model, "input": "boats" }),
                    json!({ "model": model, "input": ["boats", "ships"], "dimensions": 8 }),
                    json!({ "model": model, "input": [1, 2, 3], "encoding_format": "base64" }),
                    json!({ "model": model, "input": [[1, 2], [3]] }),
                    json!({ "model": model, "input": [{ "content": [{ "type": "text", "text": "boats" }] }] }),
                ],
            )
        }
        ("POST", path @ "/rerank") => post(
            path,
            &[
                json!({ "model": "voyageai/rerank-2.5-lite", "query": "boats", "documents": ["a boat", "boats"], "top_n": 1 }),
                json!({ "model": "cohere/rerank-v3.5", "query": "boats", "documents": [{ "text": "a" }, { "image": "data:x" }] }),
            ],
        ),
        ("GET", "/models") => get(&[
            "/models",
            "/models?output_modalities=all",
            "/models?limit=3&offset=2&sort=newest",
            "/models?q=none-such",
        ]),
        ("GET", "/models/count") => get(&["/models/count", "/models/count?output_modalities=all"]),
        ("GET", "/models/user") => get(&["/models/user", "/models/user?client=codex"]),
        ("GET", "/model/{author}/{slug}") => get(&[
            "/model/openai/gpt-4o-mini",
            "/model/openai/text-embedding-3-small",
        ]),
        ("GET", "/models/{author}/{slug}/endpoints") => get(&[
            "/models/openai/gpt-4o-mini/endpoints",
            "/models/meta-llama/llama-3.3-70b-instruct/endpoints",
            "/models/google/gemini-2.5-flash/endpoints",
            "/models/openai/gpt-4o-mini:none/endpoints",
            "/models/voyageai/rerank-2.5/endpoints",
        ]),
        ("GET", "/endpoints/zdr") => get(&["/endpoints/zdr"]),
        ("GET", "/providers") => get(&["/providers"]),
        ("GET", "/generation") => vec![(
            at(&format!("/generation?id={}", made(simulation, None))),
            String::new(),
        )],
        ("GET", "/generation/content") => [None, Some("error-mid")]
            .iter()
            .map(|fault| {
                let id = made(simulation, *fault);
                (at(&format!("/generation/content?id={id}")), String::new())
            })
            .collect(),
        ("POST", path @ "/generation/feedback") => {
            let id = made(simulation, None);
            post(
                path,
                &[json!({ "generation_id": id, "category": "latency", "comment": "slow" })],
            )
        }
        ("GET", path @ ("/key" | "/credits" | "/keys" | "/activity")) => get(&[path]),
        ("POST", path @ "/keys") => post(
            path,
            &[
                json!({ "name": "one" }),
                json!({
                    "name": "two", "limit": 2.5, "limit_reset": "weekly", "include_byok_in_limit": true,
                    "expires_at": "2099-01-01T00:00:00Z", "external": { "user": "u" },
                }),
            ],
        ),
        (_, "/keys/{hash}") => {
            let hash = key_made(simulation);
            vec![(
                at(&format!("/keys/{hash}")),
                json!({ "name": "new", "limit": 1 }).to_string(),
            )]
        }
        ("POST", path @ "/auth/keys") => {
            let code = json!({ "callback_url": "https://app.example/x" }).to_string();
            let code = call(
                simulation,
                "POST",
                "/api/v1/auth/keys/code",
                Some(KEY),
                &code,
                None,
            );
            post(path, &[json!({ "code": json_of(&code)["data"]["id"] })])
        }
        ("POST", path @ "/auth/keys/code") => post(
            path,
            &[json!({
                "callback_url": "http://localhost:3000", "code_challenge": "x", "code_challenge_method": "plain",
                "limit": 3, "usage_limit_type": "daily", "key_label": "mine",
            })],
        ),
        // There is no success: the route is gone.
        ("POST", "/credits/coinbase") => Vec::new(),
        (method, path) => panic!("{method} {path} has no check here"),
    }
}

/// The id of an answer that was just made.
pub fn made(simulation: &Simulation, fault: Option<&str>) -> String {
    let reply = ask(simulation, &body(PLAIN, json!({})), fault);
    header(&reply, "x-generation-id").unwrap().to_owned()
}

/// The hash of a key that was just made.
pub fn key_made(simulation: &Simulation) -> String {
    let reply = call(
        simulation,
        "POST",
        "/api/v1/keys",
        Some(MANAGEMENT),
        r#"{"name":"x"}"#,
        None,
    );
    json_of(&reply)["data"]["hash"].as_str().unwrap().to_owned()
}

pub fn tools() -> Value {
    json!([{ "type": "function", "function": { "name": "weather", "parameters": {
        "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } },
    } } }])
}

pub const THINKER: &str = "anthropic/claude-sonnet-4.5";

pub fn chat_bodies() -> Vec<Value> {
    let ask = json!([{ "role": "user", "content": "Tell me of boats" }]);
    let image = json!([{ "role": "user", "content": [
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
    ] }]);
    let mut all = vec![
        json!({ "model": PLAIN, "messages": ask }),
        json!({ "model": PLAIN, "messages": ask, "max_tokens": 4 }),
        json!({ "model": PLAIN, "messages": image }),
        json!({ "model": PLAIN, "messages": ask, "tools": tools(), "tool_choice": "required" }),
        json!({ "model": PLAIN, "messages": ask, "response_format": { "type": "json_object" } }),
        json!({ "model": PLAIN, "messages": ask, "response_format": { "type": "json_schema", "json_schema": {
            "name": "n", "schema": { "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] },
        } } }),
        json!({ "models": ["openai/gpt-4o", PLAIN], "messages": ask }),
        json!({ "model": "openrouter/auto", "messages": ask }),
        json!({ "model": "z-ai/glm-5.2:free", "messages": ask }),
        json!({ "model": "meta-llama/llama-3.3-70b-instruct:nitro", "messages": ask }),
        json!({ "model": PLAIN, "messages": [{ "role": "user", "content": "words ".repeat(2_000) }] }),
        json!({ "model": PLAIN, "messages": ask, "plugins": [{ "id": "web", "max_results": 3 }] }),
        json!({ "model": "openai/gpt-4o:online", "messages": ask }),
        json!({ "model": PLAIN, "messages": ask, "tools": [{ "type": "openrouter:web_search" }, { "type": "openrouter:datetime" }] }),
        json!({ "model": PLAIN, "messages": ask, "service_tier": "flex" }),
        json!({ "model": PLAIN, "messages": ask, "service_tier": "priority", "session_id": "s", "user": "u" }),
        json!({ "model": PLAIN, "messages": ask, "provider": { "order": ["azure"], "sort": "price" } }),
        json!({ "model": PLAIN, "messages": ask, "logprobs": true, "top_logprobs": 2, "stop": ["the"] }),
    ];
    for model in [
        THINKER,
        "openai/o3",
        "google/gemini-2.5-pro",
        "x-ai/grok-4.5",
        "deepseek/deepseek-r1",
    ] {
        all.push(json!({ "model": model, "messages": ask, "reasoning": { "effort": "high" } }));
        all.push(
            json!({ "model": model, "messages": ask, "reasoning": { "effort": "low", "exclude": true } }),
        );
    }
    all
}

pub fn responses_bodies() -> Vec<Value> {
    let tools = json!([{ "type": "function", "name": "weather", "strict": null, "parameters": {
        "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } },
    } }]);
    let mut all = vec![
        json!({ "model": PLAIN, "input": "Tell me of boats" }),
        json!({ "model": PLAIN, "input": "Tell me of boats", "max_output_tokens": 4 }),
        json!({ "model": PLAIN, "input": "Weather?", "tools": tools, "tool_choice": "required" }),
        json!({ "model": PLAIN, "instructions": "Be kind.", "input": [
            { "role": "user", "content": [{ "type": "input_text", "text": "Weather?" }] },
            { "type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c1", "output": "sunny" },
        ], "metadata": { "a": "b" }, "temperature": 0.5 }),
        json!({ "model": PLAIN, "input": "List", "text": { "format": {
            "type": "json_schema", "name": "n", "schema": { "type": "object" },
        } } }),
        json!({ "model": PLAIN, "input": "News", "tools": [{ "type": "web_search" }] }),
        json!({ "model": PLAIN, "input": "News", "plugins": [{ "id": "web" }], "service_tier": "priority" }),
        // Too long by far: an answer that ended for want of room.
        json!({ "model": "openai/gpt-4", "input": "words ".repeat(40_000) }),
    ];
    for model in [
        THINKER,
        "openai/o3",
        "google/gemini-2.5-pro",
        "deepseek/deepseek-r1",
    ] {
        all.push(json!({ "model": model, "input": "Tell me", "reasoning": { "effort": "high", "summary": "auto" } }));
    }
    all
}

pub fn messages_bodies() -> Vec<Value> {
    let ask = json!([{ "role": "user", "content": "Tell me of boats" }]);
    let tools = json!([{ "name": "weather", "input_schema": {
        "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } },
    } }]);
    let mut all = vec![
        json!({ "model": PLAIN, "max_tokens": 500, "messages": ask }),
        json!({ "model": PLAIN, "max_tokens": 4, "messages": ask }),
        json!({ "model": PLAIN, "max_tokens": 500, "messages": ask, "tools": tools, "tool_choice": { "type": "any" } }),
        json!({ "model": PLAIN, "max_tokens": 500, "messages": ask, "plugins": [{ "id": "web" }] }),
        json!({ "model": PLAIN, "max_tokens": 500, "messages": ask, "service_tier": "priority" }),
        json!({ "model": "openai/gpt-4o", "max_tokens": 50, "messages": ask, "fallbacks": [{ "model": PLAIN }] }),
    ];
    for model in [THINKER, "openai/o3", "google/gemini-2.5-pro"] {
        all.push(json!({
            "model": model, "max_tokens": 9000, "messages": ask, "thinking": { "type": "enabled", "budget_tokens": 2000 },
        }));
    }
    all
}

/// Errors that each route gives for a reason of its own, as (path, key, body, status).
pub fn refusals(
    simulation: &Simulation,
    route: &ServedRoute,
) -> Vec<(String, Option<&'static str>, String, u16)> {
    let key = key_for(route);
    let at = |path: &str| format!("/api/v1{path}");
    let of = |path: &str, body: Value, status: u16| (at(path), key, body.to_string(), status);
    let sample = successes(simulation, route).into_iter().next();
    let mut all = Vec::new();
    if route.access() != Access::Public {
        let (path, body) = sample.clone().unwrap();
        all.push((path.clone(), None, body.clone(), 401));
        all.push((path.clone(), Some("Basic x"), body.clone(), 401));
        all.push((path.clone(), Some("Bearer sk-or-v1-invalid"), body.clone(), 401));
        match route.access() {
            Access::Key => all.push((path, Some(MANAGEMENT), body, 403)),
            Access::Management => {
                let status = if route.path() == "/activity" { 403 } else { 401 };
                all.push((path, Some(KEY), body, status));
            }
            _ => {}
        }
    }
    let path = route.path();
    let unknown = "gen-1787000000-none";
    all.extend(match (route.method(), path) {
        ("POST", "/chat/completions") => vec![
            of(path, json!([]), 400),
            of(path, json!({ "model": "no/body", "messages": [{ "role": "user", "content": "x" }] }), 400),
            of(path, json!({ "model": PLAIN, "messages": [] }), 400),
            of(path, json!({ "model": "openai/gpt-4o-mini:none", "messages": [{ "role": "user", "content": "x" }] }), 404),
            of(path, json!({ "model": "openai/gpt-4", "messages": [{ "role": "user", "content": "x ".repeat(60_000) }] }), 400),
        ],
        ("POST", "/completions") => vec![
            of(path, json!({ "model": PLAIN, "messages": [{ "role": "user", "content": "x" }] }), 400),
            of(path, json!({ "model": PLAIN, "prompt": ["x"] }), 400),
            of(path, json!({ "model": "no/body", "prompt": "x" }), 400),
        ],
        ("POST", "/responses") => vec![
            of(path, json!({ "model": PLAIN, "input": "x", "store": true }), 400),
            of(path, json!({ "model": PLAIN, "input": "x", "previous_response_id": "resp_1" }), 400),
            of(path, json!({ "model": PLAIN }), 400),
            of(path, json!({ "model": "no/body", "input": "x" }), 400),
            of(path, json!({ "model": "openai/gpt-4o-mini:none", "input": "x" }), 404),
        ],
        ("POST", "/messages") => vec![
            of(path, json!({ "model": PLAIN, "messages": [] }), 400),
            of(path, json!({ "model": "no/body", "messages": [{ "role": "user", "content": "x" }] }), 400),
            of(path, json!({ "model": "openai/gpt-4o-mini:none", "messages": [{ "role": "user", "content": "x" }] }), 404),
        ],
        ("POST", "/embeddings") => {
            let model = "openai/text-embedding-3-small";
            vec![
                of(path, json!({ "model": "no/body", "input": "x" }), 400),
                of(path, json!({ "input": "x" }), 400),
                of(path, json!({ "model": PLAIN, "input": "x" }), 404),
                of(path, json!({ "model": model, "input": "" }), 400),
                of(path, json!({ "model": model, "input": [] }), 400),
                of(path, json!({ "model": model, "input": ["x", 1] }), 400),
                of(path, json!({ "model": model, "input": [[]] }), 400),
                of(path, json!({ "model": model, "input": [{ "content": [{ "type": "smell" }] }] }), 400),
                of(path, json!({ "model": model, "input": "x", "dimensions": 0 }), 400),
                of(path, json!({ "model": model, "input": "x", "dimensions": 4000 }), 400),
                of(path, json!({ "model": model, "input": "x", "encoding_format": "int8" }), 400),
                of(path, json!({ "model": model, "input": "x ".repeat(40_000) }), 400),
                of(path, json!({ "model": model, "input": "x", "provider": { "only": ["azure"] } }), 404),
            ]
        }
        ("POST", "/rerank") => {
            let model = "voyageai/rerank-2.5";
            vec![
                of(path, json!({ "model": model, "query": "x", "documents": [] }), 400),
                of(path, json!({ "model": model, "query": "", "documents": ["a"] }), 400),
                of(path, json!({ "model": model, "query": "x", "documents": [1] }), 400),
                of(path, json!({ "model": model, "query": "x", "documents": ["a"], "top_n": 0 }), 400),
                of(path, json!({ "model": "openai/text-embedding-3-small", "query": "x", "documents": ["a"] }), 404),
            ]
        }
        ("GET", "/models") => vec![
            of("/models?output_modalities=smell", json!(null), 400),
            of("/models?limit=0", json!(null), 400),
        ],
        ("GET", "/models/count") => vec![of("/models/count?output_modalities=smell", json!(null), 400)],
        ("GET", "/models/user") => vec![of("/models/user?client=vim", json!(null), 400)],
        ("GET", "/model/{author}/{slug}") => vec![
            of("/model/no/body", json!(null), 404),
            of("/model/openai/gpt-4o-mini:none", json!(null), 404),
        ],
        ("GET", "/models/{author}/{slug}/endpoints") => vec![of("/models/no/body/endpoints", json!(null), 404)],
        ("GET", "/generation" | "/generation/content") => vec![
            of(path, json!(null), 400),
            of(&format!("{path}?id=chat-1"), json!(null), 400),
            of(&format!("{path}?id={unknown}"), json!(null), 404),
        ],
        ("POST", "/generation/feedback") => {
            let id = made(simulation, None);
            let good = json!({ "generation_id": id, "category": "other" });
            call(simulation, "POST", "/api/v1/generation/feedback", key, &good.to_string(), None);
            vec![
                of(path, json!({ "generation_id": id }), 400),
                of(path, json!({ "category": "other" }), 400),
                of(path, json!({ "generation_id": id, "category": "other", "comment": "x".repeat(1_001) }), 400),
                of(path, json!({ "generation_id": unknown, "category": "other" }), 404),
                of(path, good, 409),
            ]
        }
        ("POST", "/keys") => vec![
            of(path, json!({}), 400),
            of(path, json!({ "name": "" }), 400),
            of(path, json!({ "name": "x", "limit": -1 }), 400),
            of(path, json!({ "name": "x", "limit_reset": "yearly" }), 400),
            of(path, json!({ "name": "x", "expires_at": "2000-01-01T00:00:00Z" }), 400),
            of(path, json!({ "name": "x", "workspace_id": "none" }), 400),
            of(path, json!({ "name": "x", "external": {} }), 400),
        ],
        ("GET", "/keys") => vec![
            of("/keys?offset=x", json!(null), 400),
            of("/keys?workspace_id=none", json!(null), 400),
            of("/keys?workspace_id=00000000-0000-4000-8000-0000000000ff", json!(null), 404),
        ],
        ("PATCH", "/keys/{hash}") => {
            let hash = key_made(simulation);
            vec![
                of(&format!("/keys/{hash}"), json!({ "colour": "red" }), 400),
                of("/keys/none", json!({ "name": "x" }), 404),
            ]
        }
        (_, "/keys/{hash}") => vec![of("/keys/none", json!(null), 404)],
        ("GET", "/activity") => vec![
            of("/activity?date=yesterday", json!(null), 400),
            of("/activity?date=2001-01-01", json!(null), 400),
            of("/activity?group_by=key", json!(null), 400),
            of("/activity?workspace_id=none", json!(null), 404),
        ],
        ("POST", "/auth/keys") => vec![
            of(path, json!({}), 400),
            of(path, json!({ "code": "x", "code_challenge_method": "S512" }), 400),
            of(path, json!({ "code": "auth_code_none" }), 403),
        ],
        ("POST", "/auth/keys/code") => vec![
            of(path, json!({}), 400),
            of(path, json!({ "callback_url": "http://app.example" }), 400),
            of(path, json!({ "callback_url": "https://app.example", "code_challenge_method": "S512" }), 400),
        ],
        ("POST", "/credits/coinbase") => vec![of(path, json!({}), 410)],
        ("GET", "/endpoints/zdr" | "/providers" | "/key" | "/credits") => Vec::new(),
        (method, path) => panic!("{method} {path} has no refusals here"),
    });
    all
}
