//! The route of messages: its requests and its errors.

use serde_json::{Value, json};

use crate::problem::Problem;
use crate::routes::skin::{Fields, carry, error_type, message};

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
    "stream",
    "session_id",
    "user",
    "trace",
    "max_tokens",
    "cache_control",
    "service_tier",
    "stop_server_tools_when",
];

/// How many models may be named to fall back to.
const FALLBACKS: usize = 3;

/// The chat request for a request of this route.
pub(crate) fn request(fields: &Fields) -> Result<Fields, Problem> {
    let mut chat = Fields::new();
    carry(fields, &mut chat, SAME);
    if let Some(fallbacks) = fields.get("fallbacks").filter(|list| !list.is_null()) {
        chat.insert("models".to_owned(), models(fallbacks, fields)?);
    }
    let mut messages = Vec::new();
    match fields.get("system") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => messages.push(json!({ "role": "system", "content": text })),
        Some(Value::Array(blocks)) => {
            let content: Result<Vec<Value>, Problem> =
                blocks.iter().map(|block| text_of(block, "system")).collect();
            messages.push(json!({ "role": "system", "content": content? }));
        }
        Some(_) => {
            return Err(Problem::invalid(
                "system: Invalid input: expected string or array",
            ));
        }
    }
    let turns = fields
        .get("messages")
        .and_then(Value::as_array)
        .filter(|turns| !turns.is_empty())
        .ok_or_else(|| Problem::invalid("messages: expected an array that is not empty"))?;
    for (at, turn) in turns.iter().enumerate() {
        push_turn(&mut messages, turn, at)?;
    }
    chat.insert("messages".to_owned(), Value::Array(messages));
    if let Some(stop) = fields.get("stop_sequences") {
        chat.insert("stop".to_owned(), stop.clone());
    }
    if let Some(tools) = fields.get("tools").and_then(Value::as_array) {
        chat.insert("tools".to_owned(), tools.iter().map(tool).collect());
    }
    if let Some(choice) = fields.get("tool_choice").and_then(Value::as_object) {
        let meant = match choice.get("type").and_then(Value::as_str) {
            Some("any") => Value::from("required"),
            Some("none") => Value::from("none"),
            Some("tool") => json!({ "type": "function", "function": { "name": choice.get("name") } }),
            _ => Value::from("auto"),
        };
        chat.insert("tool_choice".to_owned(), meant);
        if choice.get("disable_parallel_tool_use") == Some(&Value::Bool(true)) {
            chat.insert("parallel_tool_calls".to_owned(), Value::Bool(false));
        }
    }
    if let Some(id) = fields
        .get("metadata")
        .and_then(|metadata| metadata.get("user_id"))
        && id.is_string()
    {
        chat.entry("user").or_insert_with(|| id.clone());
    }
    think(fields, &mut chat);
    Ok(chat)
}

fn models(fallbacks: &Value, fields: &Fields) -> Result<Value, Problem> {
    let list = fallbacks
        .as_array()
        .ok_or_else(|| Problem::invalid("fallbacks: Invalid input: expected array"))?;
    if fields.get("models").is_some_and(|models| !models.is_null()) {
        return Err(Problem::invalid(
            "Only one of \"fallbacks\" and \"models\" can be specified",
        ));
    }
    if list.len() > FALLBACKS {
        return Err(Problem::invalid(format!(
            "fallbacks: Too big: expected array to have <={FALLBACKS} items"
        )));
    }
    let name = |item: &Value| {
        let only = item.as_object().filter(|fields| fields.len() == 1)?;
        only.get("model").filter(|model| model.is_string()).cloned()
    };
    let names: Option<Vec<Value>> = list.iter().map(name).collect();
    names
        .map(Value::Array)
        .ok_or_else(|| Problem::invalid("fallbacks: expected objects that hold \"model\" and nothing else"))
}

/// How much is thought, and in which form the answer comes.
fn think(fields: &Fields, chat: &mut Fields) {
    let output = fields.get("output_config");
    let effort = output
        .and_then(|output| output.get("effort"))
        .filter(|effort| effort.is_string());
    let thinking = fields.get("thinking");
    let kind = thinking
        .and_then(|thinking| thinking.get("type"))
        .and_then(Value::as_str);
    let budget = thinking.and_then(|thinking| thinking.get("budget_tokens"));
    let reasoning = match (kind, effort, budget) {
        (Some("disabled"), _, _) => Some(json!({ "enabled": false })),
        (_, Some(effort), _) => Some(json!({ "effort": effort })),
        (Some("enabled"), None, Some(budget)) => Some(json!({ "max_tokens": budget })),
        (Some(_), None, _) => Some(json!({ "enabled": true })),
        (None, None, _) => None,
    };
    if let Some(reasoning) = reasoning {
        chat.insert("reasoning".to_owned(), reasoning);
    }
    if let Some(schema) = output.and_then(|output| output.pointer("/format/schema")) {
        let named = json!({ "name": "output", "schema": schema });
        chat.insert(
            "response_format".to_owned(),
            json!({ "type": "json_schema", "json_schema": named }),
        );
    }
}

fn tool(tool: &Value) -> Value {
    let kind = tool.get("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind != "custom") {
        return tool.clone();
    }
    json!({ "type": "function", "function": {
        "name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"],
    } })
}

fn text_of(block: &Value, path: &str) -> Result<Value, Problem> {
    match (block.get("type").and_then(Value::as_str), block.get("text")) {
        (Some("text"), Some(text)) if text.is_string() => {
            let mut part = json!({ "type": "text", "text": text });
            if let (Some(fields), Some(cache)) = (part.as_object_mut(), block.get("cache_control")) {
                fields.insert("cache_control".to_owned(), cache.clone());
            }
            Ok(part)
        }
        _ => Err(Problem::invalid(format!(
            "{path}: Invalid input: expected text blocks"
        ))),
    }
}

/// A block that is shown to the model; `None` for one that only the service's own tools make.
fn part(block: &Value) -> Option<Value> {
    let source = block.get("source");
    let from = |name: &str| source.and_then(|source| source.get(name)).and_then(Value::as_str);
    let url = || match from("url") {
        Some(url) => url.to_owned(),
        None => format!(
            "data:{};base64,{}",
            from("media_type").unwrap_or("application/octet-stream"),
            from("data").unwrap_or_default()
        ),
    };
    match block.get("type").and_then(Value::as_str)? {
        "text" => text_of(block, "content").ok(),
        "image" => Some(json!({ "type": "image_url", "image_url": { "url": url() } })),
        "document" => {
            Some(json!({ "type": "file", "file": { "filename": block["title"], "file_data": url() } }))
        }
        "search_result" => Some(json!({ "type": "text", "text": block["content"].to_string() })),
        _ => None,
    }
}

fn push_turn(messages: &mut Vec<Value>, turn: &Value, at: usize) -> Result<(), Problem> {
    let wrong = |what: &str| Problem::invalid(format!("messages.{at}.{what}: Invalid input"));
    let role = turn.get("role").and_then(Value::as_str);
    let role = role
        .filter(|role| matches!(*role, "user" | "assistant" | "system"))
        .ok_or_else(|| wrong("role"))?;
    let blocks = match turn.get("content") {
        Some(Value::String(text)) => {
            messages.push(json!({ "role": role, "content": text }));
            return Ok(());
        }
        Some(Value::Array(blocks)) => blocks,
        _ => return Err(wrong("content")),
    };
    let (mut parts, mut calls, mut details) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        let kind = block.get("type").and_then(Value::as_str);
        match kind.ok_or_else(|| wrong("content"))? {
            "tool_use" => calls.push(json!({
                "id": block["id"], "type": "function",
                "function": { "name": block["name"], "arguments": block["input"].to_string() },
            })),
            "tool_result" => {
                let id = block.get("tool_use_id").and_then(Value::as_str);
                let content = match block.get("content") {
                    Some(Value::Array(blocks)) => blocks.iter().filter_map(part).collect(),
                    Some(Value::String(text)) => Value::from(text.as_str()),
                    _ => Value::from(""),
                };
                let id = id.ok_or_else(|| wrong("content.tool_use_id"))?;
                messages.push(json!({ "role": "tool", "tool_call_id": id, "content": content }));
            }
            "thinking" => details.push(json!({
                "type": "reasoning.text", "text": block["thinking"], "signature": block["signature"],
            })),
            "redacted_thinking" => {
                details.push(json!({ "type": "reasoning.encrypted", "data": block["data"] }))
            }
            _ => parts.extend(part(block)),
        }
    }
    if parts.is_empty() && calls.is_empty() && details.is_empty() {
        return Ok(());
    }
    let mut message =
        json!({ "role": role, "content": if parts.is_empty() { Value::Null } else { parts.into() } });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    if !details.is_empty() {
        message["reasoning_details"] = details.into();
    }
    messages.push(message);
    Ok(())
}

/// The type that this route has for a kind of error.
pub(crate) fn error_name(kind: &str) -> &'static str {
    match kind {
        "authentication" => "authentication_error",
        "permission_denied" => "permission_error",
        "payment_required" => "billing_error",
        "not_found" => "not_found_error",
        "rate_limit_exceeded" => "rate_limit_error",
        "provider_overloaded" => "overloaded_error",
        "timeout" => "timeout_error",
        "invalid_request"
        | "invalid_prompt"
        | "context_length_exceeded"
        | "max_tokens_exceeded"
        | "token_limit_exceeded"
        | "string_too_long"
        | "content_policy_violation"
        | "refusal" => "invalid_request_error",
        _ => "api_error",
    }
}

/// An error in this shape, inside a stream or as an answer.
pub(crate) fn error(error: &Value, status: u16) -> Value {
    let kind = error_type(error, status);
    json!({ "type": error_name(&kind), "message": message(error), "error_type": kind })
}

/// An error answer in this shape.
pub(crate) fn error_body(status: u16, body: &Value, id: Option<&str>) -> Value {
    let found = &body["error"];
    let mut shown = json!({ "type": "error", "error": error(found, status), "request_id": id });
    if let Some(fields) = shown.as_object_mut() {
        for (name, value) in [
            ("metadata", found.get("metadata")),
            ("openrouter_metadata", body.get("openrouter_metadata")),
        ] {
            if let Some(value) = value.filter(|value| value.is_object()) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
    }
    shown
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
            "model": "a/b", "max_tokens": 50, "stop_sequences": ["END"], "metadata": { "user_id": "u1" },
            "system": [{ "type": "text", "text": "Be kind.", "cache_control": { "type": "ephemeral" } }],
            "fallbacks": [{ "model": "c/d" }],
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "Look" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } },
                    { "type": "document", "title": "t", "source": { "type": "url", "url": "https://x.example/a.pdf" } },
                ] },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "Hm.", "signature": "s" },
                    { "type": "tool_use", "id": "t1", "name": "f", "input": { "a": 1 } },
                ] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "sunny" }] },
            ],
            "tools": [{ "name": "f", "input_schema": { "type": "object" } }, { "type": "openrouter:web_search" }],
            "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
            "thinking": { "type": "enabled", "budget_tokens": 1024 },
        })))
        .unwrap();
        let messages = chat["messages"].as_array().unwrap();
        let roles: Vec<&str> = messages.iter().map(|one| one["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(messages[0]["content"][0]["cache_control"]["type"], "ephemeral");
        assert_eq!(
            messages[1]["content"][1]["image_url"]["url"],
            "data:image/png;base64,AA=="
        );
        assert_eq!(
            messages[1]["content"][2]["file"]["file_data"],
            "https://x.example/a.pdf"
        );
        assert_eq!(
            messages[2]["tool_calls"][0]["function"]["arguments"],
            r#"{"a":1}"#
        );
        assert_eq!(messages[2]["reasoning_details"][0]["signature"], "s");
        assert_eq!((&chat["models"], &chat["user"]), (&json!(["c/d"]), &json!("u1")));
        assert_eq!(
            (&chat["tool_choice"], &chat["parallel_tool_calls"]),
            (&json!("required"), &json!(false))
        );
        assert_eq!(chat["reasoning"], json!({ "max_tokens": 1024 }));
        assert_eq!(chat["stop"], json!(["END"]));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let one = json!([{ "role": "user", "content": "x" }]);
        for bad in [
            json!({}),
            json!({ "messages": null }),
            json!({ "messages": [] }),
            json!({ "messages": [{ "role": "tool", "content": "x" }] }),
            json!({ "messages": [{ "role": "user" }] }),
            json!({ "messages": [{ "role": "user", "content": [{}] }] }),
            json!({ "messages": one, "system": 3 }),
            json!({ "messages": one, "system": [{ "type": "image" }] }),
            json!({ "messages": one, "fallbacks": [{ "model": "a" }], "models": ["b"] }),
            json!({ "messages": one, "fallbacks": [{ "model": "a", "provider": {} }] }),
            json!({ "messages": one, "fallbacks": [{ "model": "a" }, { "model": "b" }, { "model": "c" }, { "model": "d" }] }),
        ] {
            assert_eq!(request(&fields(bad.clone())).unwrap_err().status, 400, "{bad}");
        }
        assert!(request(&fields(json!({ "messages": one, "fallbacks": null }))).is_ok());
    }

    #[test]
    fn thinking_can_be_switched_off_or_left_to_the_model() {
        let reasoning = |more: Value| {
            let mut body = fields(json!({ "messages": [{ "role": "user", "content": "x" }] }));
            body.extend(fields(more));
            request(&body).unwrap().get("reasoning").cloned()
        };
        assert_eq!(
            reasoning(json!({ "thinking": { "type": "disabled" } })),
            Some(json!({ "enabled": false }))
        );
        assert_eq!(
            reasoning(json!({ "thinking": { "type": "adaptive" } })),
            Some(json!({ "enabled": true }))
        );
        assert_eq!(
            reasoning(json!({ "output_config": { "effort": "low" } })),
            Some(json!({ "effort": "low" }))
        );
        assert_eq!(reasoning(json!({})), None);
    }

    #[test]
    fn errors_have_the_names_of_this_route() {
        let names = [
            ("payment_required", "billing_error"),
            ("context_length_exceeded", "invalid_request_error"),
            ("refusal", "invalid_request_error"),
            ("provider_unavailable", "api_error"),
            ("timeout", "timeout_error"),
        ];
        for (kind, name) in names {
            assert_eq!(error_name(kind), name);
        }
        let body = json!({ "error": { "code": 503, "message": "m", "metadata": { "provider_name": "X" } } });
        let shown = error_body(503, &body, Some("gen-1"));
        assert_eq!(shown["error"]["type"], "overloaded_error");
        assert_eq!(
            (&shown["request_id"], &shown["metadata"]["provider_name"]),
            (&json!("gen-1"), &json!("X"))
        );
    }
}
