//! Seeds out of recorded exchanges, which live outside the repository.

use serde_json::Value;

/// The inputs that recorded exchanges (one JSON object a line: `url_path`, `status`, `response_headers`, `response_body`)
/// make for a target, each once.
pub fn inputs(target: &str, exchanges: &str) -> Vec<Vec<u8>> {
    let mut inputs: Vec<Vec<u8>> = exchanges
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .flat_map(|exchange| of(target, &exchange))
        .collect();
    inputs.sort();
    inputs.dedup();
    inputs
}

fn of(target: &str, exchange: &Value) -> Vec<Vec<u8>> {
    let text = |name: &str| exchange.get(name).and_then(Value::as_str).unwrap_or_default();
    let (path, body) = (text("url_path"), text("response_body"));
    let status = exchange.get("status").and_then(Value::as_u64).unwrap_or_default();
    let streamed = exchange
        .pointer("/response_headers/content-type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.contains("event-stream"));
    let chat = path.contains("/chat/completions");
    let whole = || vec![body.as_bytes().to_vec()];
    match target {
        "sse" if streamed => whole(),
        "chat_chunk" if streamed && chat => {
            // The stream, and some pieces of it by themselves.
            let pieces = body.lines().filter_map(|line| line.strip_prefix("data: "));
            let pieces = pieces.step_by(7).map(|piece| piece.as_bytes().to_vec());
            whole().into_iter().chain(pieces).collect()
        }
        "completion" if !streamed && chat && status == 200 => whole(),
        "error_envelope" if status >= 400 => vec![format!("{status}\n\n{body}").into_bytes()],
        "models_list" if path.ends_with("/models") => whole(),
        "usage" if status == 200 => usages(body),
        _ => Vec::new(),
    }
}

/// Every `usage` object of a body, as it was written.
fn usages(body: &str) -> Vec<Vec<u8>> {
    let found = body.match_indices("\"usage\":").filter_map(|(at, name)| {
        let rest = body.get(at + name.len()..)?;
        let mut values =
            serde_json::Deserializer::from_str(rest).into_iter::<Box<serde_json::value::RawValue>>();
        Some(values.next()?.ok()?.get().as_bytes().to_vec())
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_become_inputs_of_the_targets_that_read_them() {
        let stream = "data: {\"choices\":[],\"usage\":{\"cost\":1.10}}\n\ndata: [DONE]\n\n";
        let line = |path: &str, status: u16, kind: &str, body: &str| {
            serde_json::json!({
                "url_path": path, "status": status, "response_headers": {"content-type": kind}, "response_body": body,
            })
        };
        let exchanges = [
            line("/api/v1/chat/completions", 200, "text/event-stream", stream),
            line("/api/v1/chat/completions", 200, "text/event-stream", stream),
            line("/api/v1/chat/completions", 402, "application/json", "{}"),
            line("/api/v1/models", 200, "application/json", "[]"),
        ];
        let text = exchanges.map(|line| line.to_string()).join("\n");
        let of = |target: &str| -> Vec<String> {
            let inputs = inputs(target, &text).into_iter();
            inputs.map(|input| String::from_utf8(input).unwrap()).collect()
        };
        assert_eq!(of("sse"), [stream]);
        assert_eq!(of("chat_chunk").len(), 2);
        assert_eq!(of("error_envelope"), ["402\n\n{}"]);
        assert_eq!(of("models_list"), ["[]"]);
        assert_eq!(of("usage"), ["{\"cost\":1.10}"]);
        assert_eq!(of("price_string"), Vec::<String>::new());
    }
}
