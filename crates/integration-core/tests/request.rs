//! Requests pass through unchanged, and say what they need.
#![allow(clippy::unwrap_used)]

use integration_core::chat::{
    ChatRequest, Content, ContentPart, Message, ResponseFormat, Stop, Tool, ToolCall,
};
use integration_core::{Capability, CapabilitySet, EmbeddingRequest, ModelId};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn request(body: Value) -> ChatRequest {
    serde_json::from_value(body).unwrap()
}

fn ask(further: Value) -> ChatRequest {
    let mut body = json!({ "model": "a/m", "messages": [{ "role": "user", "content": "Hi" }] });
    body.as_object_mut()
        .unwrap()
        .extend(further.as_object().unwrap().clone());
    request(body)
}

#[test]
fn a_request_is_written_as_it_was_read() {
    let text = concat!(
        r#"{"model":"a/m","messages":[{"role":"system","content":"Be brief."},"#,
        r#"{"role":"user","content":[{"type":"text","text":"What?","cache_control":{"type":"ephemeral"}},"#,
        r#"{"type":"image_url","image_url":{"url":"u","detail":"low"}},{"type":"hologram","z":1,"a":[2]}],"name":"Ann","zeta":1,"alpha":2},"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}","strict":true},"index":0}],"#,
        r#""reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"s"}],"refusal":"no"},"#,
        r#"{"role":"tool","content":"42","tool_call_id":"c1"},{"role":"critic","content":""}],"#,
        r#""max_tokens":5,"max_completion_tokens":6,"temperature":0.5,"top_p":0.25,"seed":-7,"stop":["a","b"],"#,
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}},{"type":"own:search","max":3}],"#,
        r#""tool_choice":{"type":"function","function":{"name":"f"}},"response_format":{"type":"json_schema","json_schema":{"name":"n"}},"#,
        r#""user":"u","zebra":{"b":1,"a":[null,true,1.25,-3]},"apple":"x","provider":{"order":["P"]}}"#
    );
    let read: ChatRequest = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

#[test]
fn what_is_absent_is_not_written() {
    let bare = ChatRequest::new(ModelId::new("a/m").unwrap(), vec![Message::user("Hi")]);
    let text = r#"{"model":"a/m","messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(serde_json::to_string(&bare).unwrap(), text);
    let nulls = ask(
        json!({ "max_tokens": null, "stop": null, "tools": null, "tool_choice": null, "response_format": null }),
    );
    assert_eq!(nulls, bare);
}

#[test]
fn wrong_types_are_told() {
    for (body, says) in [
        (json!({ "model": "a/m" }), "messages"),
        (json!({ "model": "", "messages": [] }), "the name is empty"),
        (json!({ "model": "a/m", "messages": {} }), "expected a sequence"),
        (
            json!({ "model": "a/m", "messages": [{ "content": "x" }] }),
            "role",
        ),
        (
            json!({ "model": "a/m", "messages": [{ "role": "user", "content": 3 }] }),
            "a string or an array of content parts",
        ),
        (
            json!({ "model": "a/m", "messages": [{ "role": "user", "content": [{}] }] }),
            "type",
        ),
        (
            json!({ "model": "a/m", "messages": [], "stop": 3 }),
            "`stop` must be a string or an array of strings",
        ),
        (json!({ "model": "a/m", "messages": [], "max_tokens": -1 }), "u64"),
    ] {
        let error = serde_json::from_value::<ChatRequest>(body)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_call_is_read_whatever_is_missing() {
    let call: ToolCall =
        serde_json::from_value(json!({ "id": null, "function": { "name": "f", "arguments": null } }))
            .unwrap();
    assert_eq!(call, ToolCall::new("", "f", ""));
    assert_eq!(
        serde_json::from_value::<ToolCall>(json!({})).unwrap(),
        ToolCall::default()
    );
    let message: Message =
        serde_json::from_value(json!({ "role": "assistant", "tool_calls": null, "reasoning_details": null }))
            .unwrap();
    assert_eq!(message, Message::empty("assistant".into()));
}

#[test]
fn needs_are_read_off_the_request() {
    let part = |kind: &str| json!({ "messages": [{ "role": "user", "content": [{ "type": kind }] }] });
    for (further, need) in [
        (json!({}), None),
        (
            json!({ "seed": 1, "reasoning": { "effort": "high" }, "logprobs": false, "modalities": ["text"] }),
            None,
        ),
        (json!({ "response_format": { "type": "text" } }), None),
        (json!({ "tools": [{ "type": "own:search" }] }), None),
        (
            json!({ "tools": [{ "type": "function" }] }),
            Some(Capability::Tools),
        ),
        (
            json!({ "response_format": { "type": "json_object" } }),
            Some(Capability::JsonMode),
        ),
        (
            json!({ "response_format": { "type": "json_schema" } }),
            Some(Capability::JsonSchema),
        ),
        (json!({ "logprobs": true }), Some(Capability::Logprobs)),
        (
            json!({ "modalities": ["text", "image"] }),
            Some(Capability::ImageOutput),
        ),
        (
            json!({ "modalities": ["audio", 3] }),
            Some(Capability::AudioOutput),
        ),
        (part("text"), None),
        (part("image_url"), Some(Capability::Vision)),
        (part("input_audio"), Some(Capability::AudioInput)),
        (part("video_url"), Some(Capability::VideoInput)),
        (part("input_video"), Some(Capability::VideoInput)),
        (part("file"), Some(Capability::FileInput)),
    ] {
        let expected: CapabilitySet = need.into_iter().chain([Capability::TextOutput]).collect();
        assert_eq!(ask(further.clone()).needs(), expected, "{further}");
    }
}

#[test]
fn the_newer_name_of_the_limit_counts() {
    assert_eq!(ask(json!({})).completion_limit(), None);
    assert_eq!(ask(json!({ "max_tokens": 5 })).completion_limit(), Some(5));
    assert_eq!(
        ask(json!({ "max_tokens": 5, "max_completion_tokens": 6 })).completion_limit(),
        Some(6)
    );
}

#[test]
fn text_is_counted_in_bytes() {
    let mut request = ChatRequest::new(ModelId::new("a/m").unwrap(), Vec::new());
    assert_eq!(request.text_bytes(), 0);
    let mut call = Message::assistant(vec_of_parts());
    call.tool_calls = vec![ToolCall::new("ignored", "fn", "{}")];
    call.reasoning = Some("äh".into());
    request.messages = vec![
        Message::system("ab"),
        call,
        Message::tool("ignored", "xyz"),
        Message::empty("user".into()),
    ];
    assert_eq!(request.text_bytes(), 2 + (3 + 2 + 2 + 3) + 3);
    let tool = Tool::function("f", "does", json!({ "type": "object" }));
    let tool_bytes = serde_json::to_string(&tool.fields).unwrap().len();
    request.tools = vec![tool];
    let format = ResponseFormat::new("json_schema", Map::from_iter([("schema".to_owned(), json!({}))]));
    request.response_format = Some(format);
    assert_eq!(request.text_bytes(), 15 + tool_bytes + r#"{"schema":{}}"#.len());
}

fn vec_of_parts() -> Content {
    Content::Parts(vec![
        ContentPart::text("ä"),
        ContentPart::image_url("data:image/png;base64,AAAA"),
        ContentPart::text("!"),
    ])
}

#[test]
fn parts_and_tools_are_built_as_the_wire_wants_them() {
    assert_eq!(vec_of_parts().text(), "ä!");
    assert_eq!(Content::from("x".to_owned()), Content::from("x"));
    let image = serde_json::to_value(ContentPart::image_url("u")).unwrap();
    assert_eq!(image, json!({ "type": "image_url", "image_url": { "url": "u" } }));
    assert_eq!(ContentPart::image_url("u").as_text(), None);
    assert_eq!(ContentPart::new("text", Map::new()).as_text(), None);
    let tool = serde_json::to_value(Tool::function("f", "d", json!({}))).unwrap();
    assert_eq!(
        tool,
        json!({ "type": "function", "function": { "name": "f", "description": "d", "parameters": {} } })
    );
    assert_eq!(
        serde_json::to_value(Tool::new("own:search", Map::new())).unwrap(),
        json!({ "type": "own:search" })
    );
    assert_eq!(serde_json::to_value(Stop::One("x".into())).unwrap(), json!("x"));
}

#[test]
fn an_embedding_request_keeps_what_it_does_not_know() {
    let text = r#"{"model":"a/e","input":["x","y"],"dimensions":3,"encoding_format":"float"}"#;
    let read: EmbeddingRequest = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    let bare = EmbeddingRequest::new(ModelId::new("a/e").unwrap(), vec!["x".into()]);
    assert_eq!(
        serde_json::to_string(&bare).unwrap(),
        r#"{"model":"a/e","input":["x"]}"#
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec(("[a-z]{1,6}", inner), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Unknown fields come out with the same bytes in the same order, at every level that keeps them.
    #[test]
    fn unknown_fields_pass_verbatim(fields in proptest::collection::vec(("x_[a-z]{1,6}", json_value()), 0..5)) {
        let fields: Map<String, Value> = fields.into_iter().collect();
        let further = serde_json::to_string(&fields).unwrap();
        let further = further.strip_prefix('{').and_then(|f| f.strip_suffix('}')).unwrap();
        let and = if further.is_empty() { String::new() } else { format!(",{further}") };
        let text = format!(
            r#"{{"model":"a/m","messages":[{{"role":"user","content":[{{"type":"t"{and}}}]{and}}}],"tools":[{{"type":"t"{and}}}],"response_format":{{"type":"t"{and}}}{and}}}"#
        );
        let read: ChatRequest = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
