//! Tools that OpenRouter runs by itself inside a request, and the choice between tools.
//!
//! Their calls do not come back as tool calls; what they did is in `usage.server_tools`, what they cost in `usage`.

use integration_core::chat::Tool;
use serde_json::{Map, Value, json};

use super::parts::CacheControl;

/// A tool that OpenRouter runs, by its name without `openrouter:`, such as `datetime`, with its parameters.
pub fn server(name: &str, parameters: Map<String, Value>) -> Tool {
    let fields = if parameters.is_empty() {
        Map::new()
    } else {
        Map::from_iter([("parameters".to_owned(), Value::Object(parameters))])
    };
    Tool::new(format!("openrouter:{name}"), fields)
}

/// Lets the model search the web, with at most this many results a search.
pub fn web_search(max_results: Option<u32>) -> Tool {
    let results = max_results.map(|results| ("max_results".to_owned(), json!(results)));
    server("web_search", results.into_iter().collect())
}

/// Lets the model fetch pages, at most this many.
pub fn web_fetch(max_uses: Option<u32>) -> Tool {
    let uses = max_uses.map(|uses| ("max_uses".to_owned(), json!(uses)));
    server("web_fetch", uses.into_iter().collect())
}

/// Tells the model what time it is. `timezone` is such as `Europe/Berlin`.
pub fn datetime(timezone: Option<&str>) -> Tool {
    let zone = timezone.map(|zone| ("timezone".to_owned(), json!(zone)));
    server("datetime", zone.into_iter().collect())
}

/// A function whose arguments follow their schema to the letter, where the upstream can do that.
pub fn strict_function(name: &str, description: &str, parameters: Value) -> Tool {
    let mut tool = Tool::function(name, description, parameters);
    if let Some(Value::Object(function)) = tool.fields.get_mut("function") {
        function.insert("strict".to_owned(), Value::Bool(true));
    }
    tool
}

/// A tool up to which the prompt is to be cached.
pub fn cached(mut tool: Tool, control: &CacheControl) -> Tool {
    tool.fields.insert("cache_control".to_owned(), json!(control));
    tool
}

/// The value of `tool_choice` that has one function called.
pub fn choose_function(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name } })
}

/// The value of `tool_choice` that has a tool of OpenRouter's called, by its name without `openrouter:`.
pub fn choose_server(name: &str) -> Value {
    json!({ "type": format!("openrouter:{name}") })
}
