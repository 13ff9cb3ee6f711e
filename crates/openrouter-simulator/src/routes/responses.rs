//! The route of responses: its requests and its errors.

use serde_json::{Value, json};

use crate::dice::fingerprint;
use crate::problem::Problem;
use crate::routes::answers::Piece;
use crate::routes::responses_stream::ResponseWriter;
use crate::routes::skin::{About, Fields, Writer, carry, error_type, message, wants_stream};

/// Fields that mean the same in a chat request.
const SAME: &[&str] = &[
    "model",
    "models",
    "provider",
    "plugins",
    "route",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "stream",
    "session_id",
    "metadata",
    "user",
    "trace",
    "stop",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "cache_control",
    "modalities",
    "image_config",
    "top_logprobs",
    "debug",
    "service_tier",
    "max_tool_calls",
    "stop_server_tools_when",
    "preset",
    "reasoning",
];

/// The chat request for a request of this route. It is stateless: nothing is stored, and nothing stored can be continued.
pub(crate) fn request(fields: &Fields) -> Result<Fields, Problem> {
    if fields.get("store") == Some(&Value::Bool(true)) {
        return Err(Problem::invalid(
            "store: Invalid input: expected false; this route keeps nothing",
        ));
    }
    if fields.get("previous_response_id").is_some_and(|id| !id.is_null()) {
        return Err(Problem::invalid(
            "previous_response_id: Invalid input: expected null; this route keeps nothing",
        ));
    }
    let mut chat = Fields::new();
    carry(fields, &mut chat, SAME);
    if let Some(limit) = fields.get("max_output_tokens").filter(|limit| !limit.is_null()) {
        chat.insert("max_tokens".to_owned(), limit.clone());
    }
    if let Some(Value::Object(reasoning)) = chat.get_mut("reasoning") {
        // How much of it is shown does not matter here; the rest is what chat takes.
        reasoning.retain(|name, value| name != "summary" && !value.is_null());
    }
    chat.insert("messages".to_owned(), Value::Array(messages(fields)?));
    if let Some(tools) = fields.get("tools").and_then(Value::as_array) {
        chat.insert("tools".to_owned(), tools.iter().map(tool).collect());
    }
    if let Some(choice) = fields.get("tool_choice").filter(|choice| !choice.is_null()) {
        let function = choice.get("type").and_then(Value::as_str) == Some("function");
        let choice = match choice.get("name") {
            Some(name) if function => json!({ "type": "function", "function": { "name": name } }),
            _ if choice.is_object() => Value::from("auto"),
            _ => choice.clone(),
        };
        chat.insert("tool_choice".to_owned(), choice);
    }
    if let Some(format) = fields.get("text").and_then(|text| text.get("format")) {
        chat.insert("response_format".to_owned(), response_format(format));
    }
    if let Some(verbosity) = fields.get("text").and_then(|text| text.get("verbosity"))
        && !verbosity.is_null()
    {
        chat.insert("verbosity".to_owned(), verbosity.clone());
    }
    Ok(chat)
}

fn tool(tool: &Value) -> Value {
    if tool.get("type").and_then(Value::as_str) != Some("function") {
        return tool.clone();
    }
    let mut function = Fields::new();
    if let Some(fields) = tool.as_object() {
        carry(
            fields,
            &mut function,
            &["name", "description", "parameters", "strict"],
        );
    }
    json!({ "type": "function", "function": function })
}

fn response_format(format: &Value) -> Value {
    match (format.get("type").and_then(Value::as_str), format.as_object()) {
        (Some("json_schema"), Some(fields)) => {
            let mut named = Fields::new();
            carry(fields, &mut named, &["name", "description", "schema", "strict"]);
            json!({ "type": "json_schema", "json_schema": named })
        }
        _ => format.clone(),
    }
}

fn messages(fields: &Fields) -> Result<Vec<Value>, Problem> {
    let mut messages = Vec::new();
    if let Some(text) = fields.get("instructions").and_then(Value::as_str) {
        messages.push(json!({ "role": "system", "content": text }));
    }
    match fields.get("input") {
        Some(Value::String(text)) if !text.is_empty() => {
            messages.push(json!({ "role": "user", "content": text }));
        }
        Some(Value::Array(items)) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                push_item(&mut messages, item, at)?;
            }
        }
        None | Some(Value::Null | Value::String(_) | Value::Array(_)) => {
            return Err(Problem::invalid("Input required: specify \"input\""));
        }
        Some(_) => return Err(Problem::invalid("input: Invalid input: expected string or array")),
    }
    Ok(messages)
}

/// Adds what belongs to a turn of the assistant to the one before, if that is one as well.
fn push_turn(messages: &mut Vec<Value>, field: &str, value: Value) {
    let open = messages
        .last_mut()
        .filter(|last| last["role"] == "assistant" && last.get("content").is_none_or(Value::is_null));
    if let Some(Value::Object(last)) = open {
        let list = last.entry(field).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(value);
        }
        return;
    }
    let mut turn = json!({ "role": "assistant", "content": null });
    turn[field] = json!([value]);
    messages.push(turn);
}

fn push_item(messages: &mut Vec<Value>, item: &Value, at: usize) -> Result<(), Problem> {
    let wrong = |what: &str| Problem::invalid(format!("input.{at}.{what}: Invalid input"));
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    match text("type") {
        None | Some("message") => {
            let role = text("role").ok_or_else(|| wrong("role"))?;
            let content = match item.get("content") {
                Some(Value::Array(parts)) => parts.iter().map(part).collect(),
                Some(other) => other.clone(),
                None => Value::Null,
            };
            messages.push(json!({ "role": role, "content": content }));
        }
        Some("function_call") => {
            let id = text("call_id").ok_or_else(|| wrong("call_id"))?;
            let function = json!({ "name": text("name"), "arguments": text("arguments") });
            let call = json!({ "id": id, "type": "function", "function": function });
            push_turn(messages, "tool_calls", call);
        }
        Some("function_call_output") => {
            let id = text("call_id").ok_or_else(|| wrong("call_id"))?;
            let output = match item.get("output") {
                Some(Value::Array(parts)) => parts.iter().map(part).collect(),
                Some(other) => other.clone(),
                None => return Err(wrong("output")),
            };
            messages.push(json!({ "role": "tool", "tool_call_id": id, "content": output }));
        }
        Some("reasoning") => {
            let data = item.get("encrypted_content").filter(|data| data.is_string());
            let detail = match data {
                Some(data) => json!({ "type": "reasoning.encrypted", "data": data, "id": text("id") }),
                None => {
                    json!({ "type": "reasoning.summary", "summary": item["summary"].to_string(), "id": text("id") })
                }
            };
            push_turn(messages, "reasoning_details", detail);
        }
        // What the service's own tools have done is not said again.
        Some(_) => {}
    }
    Ok(())
}

fn part(part: &Value) -> Value {
    match part.get("type").and_then(Value::as_str) {
        Some("input_text" | "output_text") => json!({ "type": "text", "text": part["text"] }),
        Some("refusal") => json!({ "type": "text", "text": part["refusal"] }),
        Some("input_image") => json!({ "type": "image_url", "image_url": { "url": part["image_url"] } }),
        Some("input_file") => {
            let data = part.get("file_data").or_else(|| part.get("file_url"));
            json!({ "type": "file", "file": { "filename": part["filename"], "file_data": data } })
        }
        Some("input_video") => json!({ "type": "video_url", "video_url": { "url": part["video_url"] } }),
        _ => part.clone(),
    }
}

/// Errors about length are no errors here: the answer ends for want of room.
const LENGTH: &[&str] = &[
    "context_length_exceeded",
    "max_tokens_exceeded",
    "token_limit_exceeded",
    "string_too_long",
];

/// Whether an error is only about length.
pub(crate) fn is_length(error: &Value, status: u16) -> bool {
    LENGTH.contains(&error_type(error, status).as_str())
}

/// The code that this route has for a kind of error.
pub(crate) fn code(kind: &str) -> &'static str {
    match kind {
        "rate_limit_exceeded" => "rate_limit_exceeded",
        "context_length_exceeded" | "invalid_request" | "invalid_prompt" | "refusal" => "invalid_prompt",
        "content_policy_violation" => "image_content_policy_violation",
        _ => "server_error",
    }
}

/// An error answer in this shape.
pub(crate) fn error_body(status: u16, mut body: Value, id: Option<&str>, about: About<'_>) -> (u16, Vec<u8>) {
    let error = body.get("error").cloned().unwrap_or_default();
    let kind = error_type(&error, status);
    if is_length(&error, status) {
        let About { asked, now, .. } = about;
        let mut writer = ResponseWriter::new(about);
        let made = format!("gen-{now}-{:020x}", fingerprint(&[message(&error).as_bytes()]));
        let events = writer.piece(Piece {
            id: Some(id.map_or(made, str::to_owned)),
            created: Some(now),
            model: asked.get("model").and_then(Value::as_str).map(str::to_owned),
            error: Some(error),
            ..Piece::default()
        });
        if !wants_stream(asked) {
            return (200, writer.whole());
        }
        let mut events = events;
        events.extend(writer.done());
        return (200, events);
    }
    if status == 200 {
        // After the status has been sent, an error has this route's own codes.
        let error = json!({ "code": code(&kind), "message": message(&error) });
        let body = json!({ "error": error, "metadata": null, "error_type": kind });
        return (200, body.to_string().into_bytes());
    }
    if let Some(fields) = body.as_object_mut() {
        fields.insert("error_type".to_owned(), Value::from(kind));
    }
    (status, body.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_conversation_becomes_messages() {
        let chat = request(&fields(json!({
            "model": "a/b", "instructions": "Be kind.", "max_output_tokens": 9, "stream": true,
            "input": [
                { "role": "user", "content": [
                    { "type": "input_text", "text": "Look" },
                    { "type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AA==" },
                ] },
                { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz" },
                { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}" },
                { "type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}" },
                { "type": "function_call_output", "call_id": "c1", "output": "sunny" },
                { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "It is." }] },
                { "type": "web_search_call", "id": "ws_1", "status": "completed" },
            ],
            "tools": [{ "type": "function", "name": "f", "parameters": {}, "strict": true }, { "type": "web_search" }],
            "tool_choice": { "type": "function", "name": "f" },
            "text": { "format": { "type": "json_schema", "name": "n", "schema": {} } },
            "reasoning": { "effort": "low", "summary": "auto", "max_tokens": null },
        })))
        .unwrap();
        let messages = chat["messages"].as_array().unwrap();
        let roles: Vec<&str> = messages.iter().map(|one| one["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
        assert_eq!(
            messages[1]["content"][1]["image_url"]["url"],
            "data:image/png;base64,AA=="
        );
        assert_eq!(messages[2]["reasoning_details"][0]["data"], "xyz");
        assert_eq!(messages[2]["tool_calls"][1]["id"], "c2");
        assert_eq!(messages[4]["content"][0]["text"], "It is.");
        assert_eq!(chat["max_tokens"], 9);
        assert_eq!(chat["tools"][0]["function"]["name"], "f");
        assert_eq!(chat["tools"][1]["type"], "web_search");
        assert_eq!(chat["tool_choice"]["function"]["name"], "f");
        assert_eq!(chat["response_format"]["json_schema"]["name"], "n");
        assert_eq!(chat["reasoning"], json!({ "effort": "low" }));
    }

    #[test]
    fn nothing_is_kept_and_something_must_be_said() {
        for bad in [
            json!({ "input": "x", "store": true }),
            json!({ "input": "x", "previous_response_id": "resp_1" }),
            json!({}),
            json!({ "input": [] }),
            json!({ "input": 7 }),
            json!({ "input": [{ "type": "function_call", "name": "f" }] }),
            json!({ "input": [{ "type": "message", "content": "x" }] }),
        ] {
            assert_eq!(request(&fields(bad.clone())).unwrap_err().status, 400, "{bad}");
        }
        assert!(
            request(&fields(
                json!({ "input": "x", "store": false, "previous_response_id": null })
            ))
            .is_ok()
        );
    }

    #[test]
    fn errors_have_the_codes_of_this_route() {
        assert_eq!(code("invalid_request"), "invalid_prompt");
        assert_eq!(code("content_policy_violation"), "image_content_policy_violation");
        assert_eq!(code("provider_overloaded"), "server_error");
        assert_eq!(code("rate_limit_exceeded"), "rate_limit_exceeded");
    }
}
