use serde_json::json;

use super::*;

fn read(body: &[u8]) -> Result<Asked, Problem> {
    parse(body).and_then(|fields| super::read(&fields))
}

fn asked(mut body: Value) -> Result<Asked, Problem> {
    let defaults = json!({ "model": "a/b", "messages": [{ "role": "user", "content": "hi" }] });
    for (name, value) in defaults.as_object().unwrap() {
        body.as_object_mut()
            .unwrap()
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    read(body.to_string().as_bytes())
}

#[test]
fn a_small_request_has_the_defaults() {
    let asked = asked(json!({})).unwrap();
    assert_eq!(asked.models, ["a/b"]);
    assert!(!asked.stream && asked.parallel_tools && !asked.after_tool);
    assert_eq!((asked.prompt_tokens, asked.question.as_str()), (1, "hi"));
    assert_eq!(
        (asked.tool_choice, asked.format),
        (ToolChoice::Auto, Format::Text)
    );
    assert_eq!(asked.reasoning, ReasoningAsked::default());
}

#[test]
fn the_content_names_the_answer_and_the_way_to_get_it_does_not() {
    let about = |body| asked(body).unwrap().about;
    assert_eq!(
        about(json!({})),
        about(json!({ "stream": true, "max_tokens": 3, "models": ["c/d"] }))
    );
    assert_ne!(about(json!({})), about(json!({ "seed": 1 })));
    assert_ne!(
        about(json!({})),
        about(json!({ "messages": [{ "role": "user", "content": "ho" }] }))
    );
}

#[test]
fn everything_that_shapes_an_answer_is_read() {
    let asked = asked(json!({
        "models": ["a/b", "c/d"], "stream": true, "max_tokens": 50, "max_completion_tokens": 40, "stop": "END",
        "temperature": 0.5, "reasoning": { "effort": "high", "exclude": true }, "parallel_tool_calls": false,
        "messages": [
            { "role": "system", "content": [{ "type": "text", "text": "12345678" }] },
            { "role": "user", "content": [{ "type": "text", "text": "look" }, { "type": "image_url", "image_url": { "url": "x" } }] },
            { "role": "assistant", "content": null, "tool_calls": [] },
            { "role": "tool", "tool_call_id": "1", "content": "done" },
        ],
        "tools": [
            { "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } },
            { "type": "openrouter:web_search" },
        ],
        "tool_choice": { "type": "function", "function": { "name": "f" } },
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": {} } },
        "provider": { "order": ["x"], "only": ["y"], "ignore": ["z"], "allow_fallbacks": false },
    }))
    .unwrap();
    assert_eq!(asked.models, ["a/b", "c/d"]);
    assert_eq!(asked.max_tokens, Some(40));
    assert!(asked.prompt_tokens > 256 && asked.after_tool && asked.stream && !asked.parallel_tools);
    assert_eq!(asked.question, "look");
    assert_eq!(
        (asked.tools.len(), asked.tool_choice),
        (1, ToolChoice::Function("f".to_owned()))
    );
    assert_eq!(asked.format, Format::JsonSchema(json!({})));
    assert_eq!(asked.reasoning.effort.as_deref(), Some("high"));
    assert!(asked.reasoning.exclude && asked.reasoning.enabled == Some(true));
    assert_eq!(asked.stop, ["END"]);
    assert!(asked.provider.no_fallbacks && asked.provider.only.is_some());
}

#[test]
fn a_prompt_stands_for_a_message() {
    let asked = read(br#"{"model":"a/b","prompt":"hello there"}"#).unwrap();
    assert_eq!((asked.question.as_str(), asked.prompt_tokens), ("hello there", 3));
    assert!(read(br#"{"model":"a/b","prompt":""}"#).is_err());
}

#[test]
fn reasoning_can_be_said_in_several_ways() {
    let reasoning = |body| asked(body).unwrap().reasoning;
    assert_eq!(reasoning(json!({ "include_reasoning": false })).enabled, None);
    assert!(reasoning(json!({ "include_reasoning": false })).exclude);
    assert_eq!(
        reasoning(json!({ "include_reasoning": true })).enabled,
        Some(true)
    );
    assert_eq!(
        reasoning(json!({ "reasoning_effort": "none" })).enabled,
        Some(false)
    );
    assert_eq!(
        reasoning(json!({ "reasoning": { "enabled": false } })).enabled,
        Some(false)
    );
    assert_eq!(
        reasoning(json!({ "reasoning": { "max_tokens": 9 } })).max_tokens,
        Some(9)
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let message = json!({ "role": "user", "content": "x" });
    for (body, part) in [
        (json!({ "messages": [] }), "Input required"),
        (
            json!({ "messages": "hi" }),
            "messages: Invalid input: expected array, received string",
        ),
        (
            json!({ "messages": [1] }),
            "messages.0: Invalid input: expected object, received number",
        ),
        (
            json!({ "messages": [message, { "role": "robot", "content": "x" }] }),
            "messages.1.role",
        ),
        (json!({ "messages": [{ "role": "user" }] }), "messages.0.content"),
        (
            json!({ "messages": [{ "role": "user", "content": 5 }] }),
            "received number",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{}] }] }),
            "messages.0.content.0.type",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text" }] }] }),
            "content.0.text",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "smell" }] }] }),
            "smell",
        ),
        (
            json!({ "messages": [{ "role": "tool", "content": "x" }] }),
            "tool_call_id",
        ),
        (
            json!({ "messages": [{ "role": "assistant", "tool_calls": 3 }] }),
            "messages.0.tool_calls",
        ),
        (
            json!({ "model": 5 }),
            "model: Invalid input: expected string, received number",
        ),
        (json!({ "model": null }), "No models provided"),
        (json!({ "models": ["a", 1] }), "models.1"),
        (
            json!({ "stream": "yes" }),
            "stream: Invalid input: expected boolean",
        ),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "max_tokens": "9" }), "received string"),
        (json!({ "temperature": 3 }), "temperature: Too big"),
        (json!({ "temperature": -1 }), "temperature: Too small"),
        (json!({ "top_p": "x" }), "top_p"),
        (json!({ "seed": 0.5 }), "seed"),
        (json!({ "tools": {} }), "tools"),
        (json!({ "tools": [{}] }), "tools.0.type"),
        (
            json!({ "tools": [{ "type": "function" }] }),
            "tools.0.function.name",
        ),
        (json!({ "tool_choice": "maybe" }), "tool_choice"),
        (
            json!({ "tool_choice": { "type": "function", "function": { "name": "g" } } }),
            "\"g\"",
        ),
        (json!({ "response_format": "json" }), "response_format"),
        (
            json!({ "response_format": { "type": "xml" } }),
            "response_format.type",
        ),
        (
            json!({ "response_format": { "type": "json_schema" } }),
            "response_format.json_schema.schema",
        ),
        (json!({ "reasoning": { "effort": "huge" } }), "reasoning.effort"),
        (
            json!({ "reasoning": { "effort": "low", "max_tokens": 5 } }),
            "Only one of",
        ),
        (
            json!({ "reasoning": { "effort": "low" }, "reasoning_effort": "high" }),
            "must not differ",
        ),
        (json!({ "stop": [1] }), "stop.0"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), "stop"),
        (json!({ "provider": { "order": "x" } }), "provider.order"),
        (json!({ "provider": [] }), "provider"),
        (
            json!({ "top_p": 0 }),
            "top_p: Too small: expected number to be >0",
        ),
        (json!({ "top_k": -1 }), "top_k: Too small"),
        (json!({ "top_logprobs": 21 }), "top_logprobs: Too big"),
        (json!({ "top_logprobs": 1.5 }), "top_logprobs"),
        (json!({ "max_tool_calls": 31 }), "max_tool_calls"),
        (
            json!({ "logprobs": 1 }),
            "logprobs: Invalid input: expected boolean",
        ),
        (json!({ "logit_bias": { "50256": 101 } }), "logit_bias.50256"),
        (json!({ "logit_bias": { "50256": "x" } }), "logit_bias.50256"),
        (json!({ "route": "cheapest" }), "route: Invalid option"),
        (json!({ "verbosity": "loud" }), "verbosity"),
        (json!({ "service_tier": "gold" }), "service_tier"),
        (json!({ "modalities": ["smell"] }), "modalities.0"),
        (json!({ "transforms": "middle-out" }), "transforms"),
        (json!({ "session_id": "x".repeat(257) }), "session_id: Too big"),
        (json!({ "metadata": { "a": 1 } }), "metadata.a"),
        (
            json!({ "metadata": { "a": "x".repeat(513) } }),
            "metadata.a: Too big",
        ),
        (
            json!({ "prediction": { "type": "content" } }),
            "prediction.content",
        ),
        (
            json!({ "prediction": { "type": "guess", "content": "x" } }),
            "prediction.type",
        ),
        (
            json!({ "stop_server_tools_when": [{ "type": "never" }] }),
            "stop_server_tools_when.0",
        ),
        (json!({ "reasoning": { "summary": "long" } }), "reasoning.summary"),
        (json!({ "reasoning": { "mode": "amateur" } }), "reasoning.mode"),
        (json!({ "plugins": [{ "id": "teleport" }] }), "plugins.0.id"),
        (json!({ "plugins": [{}] }), "plugins.0.id"),
        (
            json!({ "cache_control": { "type": "forever" } }),
            "cache_control.type",
        ),
        (
            json!({ "cache_control": { "type": "ephemeral", "ttl": "1d" } }),
            "cache_control.ttl",
        ),
        (
            json!({ "debug": { "echo_upstream_body": 1 } }),
            "echo_upstream_body",
        ),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "f".repeat(65) } }] }),
            "tools.0.function.name",
        ),
        (
            json!({ "messages": [{ "role": "system", "content": [{ "type": "image_url", "image_url": { "url": "x" } }] }] }),
            "messages.0.content.0.type",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "messages.0.content.0.image_url",
        ),
    ] {
        let problem = asked(body.clone()).unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.message.contains(part), "{body}: {}", problem.message);
    }
    for (body, part) in [
        ("[]", "expected an object"),
        ("{", "not valid JSON"),
        ("{\"model\":\"a/b\"}", "Input required"),
    ] {
        assert!(
            read(body.as_bytes()).unwrap_err().message.contains(part),
            "{body}"
        );
    }
}

#[test]
fn what_is_not_known_is_let_through() {
    let asked =
        asked(json!({ "safe_prompt": true, "n": 3, "usage": { "include": true }, "provider": { "new": 1 } }));
    assert!(asked.is_ok());
}

#[test]
fn what_an_endpoint_has_to_support_is_listed() {
    let asked = asked(json!({
        "temperature": 1, "top_k": null, "max_tokens": 5, "service_tier": "fast", "session_id": "s",
        "tools": [{ "type": "openrouter:web_search" }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": {} } },
        "plugins": [{ "id": "web", "engine": "exa" }, { "id": "armor", "enabled": false }],
        "messages": [{ "role": "user", "content": [
            { "type": "image_url", "image_url": { "url": "x" } }, { "type": "file", "file": {} },
            { "type": "input_audio", "input_audio": {} }, { "type": "image_url", "image_url": { "url": "y" } },
        ] }],
    }))
    .unwrap();
    assert_eq!(
        asked.sent,
        [
            "temperature",
            "max_tokens",
            "response_format",
            "tools",
            "structured_outputs"
        ]
    );
    assert_eq!(asked.inputs, ["image", "audio"]);
    assert_eq!(asked.tier, TierAsked::Of(Tier::Priority));
    assert_eq!(asked.server_tools, ["openrouter:web_search"]);
    assert_eq!((asked.plugins.len(), asked.plugins[0].id.as_str()), (1, "web"));
    assert_eq!(asked.session.as_deref(), Some("s"));
}

#[test]
fn a_conversation_is_named_by_its_first_messages() {
    let named = |last: &str, first: &str| {
        asked(json!({ "messages": [
            { "role": "system", "content": "be kind" }, { "role": "user", "content": first },
            { "role": "assistant", "content": "yes" }, { "role": "user", "content": last },
        ] }))
        .unwrap()
        .conversation
    };
    assert_eq!(named("a", "x"), named("b", "x"));
    assert_ne!(named("a", "x"), named("a", "y"));
}

#[test]
fn parts_to_keep_are_counted_from_the_start() {
    let text = |length: usize, control: Value| {
        let mut part = json!({ "type": "text", "text": "x".repeat(length) });
        if !control.is_null() {
            part["cache_control"] = control;
        }
        part
    };
    let ephemeral = json!({ "type": "ephemeral" });
    let hour = json!({ "type": "ephemeral", "ttl": "1h" });
    let read = |last: &str| {
        asked(json!({ "messages": [
            { "role": "system", "content": [text(400, ephemeral.clone()), text(40, Value::Null)] },
            { "role": "user", "content": [text(60, hour.clone()), { "type": "text", "text": last }] },
        ] }))
        .unwrap()
        .breakpoints
    };
    let points = read("one");
    let tokens: Vec<u64> = points.iter().map(|point| point.tokens).collect();
    assert_eq!(tokens, [100, 125]);
    assert_eq!((points[0].for_an_hour, points[1].for_an_hour), (false, true));
    // What comes after the last mark changes none of them.
    assert_eq!(points, read("two"));
    let all = asked(json!({ "cache_control": ephemeral })).unwrap().breakpoints;
    assert_eq!((all.len(), all[0].tokens), (1, 1));
    let five = json!({ "messages": [{ "role": "user", "content": vec![text(4, ephemeral.clone()); 5] }] });
    assert!(asked(five).unwrap_err().message.contains("Found 5"));
}
