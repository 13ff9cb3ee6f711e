//! The form an answer shall have.

use integration_core::chat::ResponseFormat;
use serde_json::{Map, Value, json};

/// Some JSON object.
pub fn json_object() -> ResponseFormat {
    ResponseFormat::new("json_object", Map::new())
}

/// JSON by a schema. `name` has at most 64 characters. With `strict` the answer follows it to the letter, where the upstream can
/// do that; [`require_parameters`](super::ProviderPreferences::require_parameters) leaves out those that cannot.
pub fn json_schema(name: &str, schema: Value, strict: bool) -> ResponseFormat {
    let schema = json!({ "name": name, "schema": schema, "strict": strict });
    ResponseFormat::new(
        "json_schema",
        Map::from_iter([("json_schema".to_owned(), schema)]),
    )
}

/// Text by a grammar.
pub fn grammar(grammar: &str) -> ResponseFormat {
    ResponseFormat::new(
        "grammar",
        Map::from_iter([("grammar".to_owned(), Value::String(grammar.to_owned()))]),
    )
}

/// A Python program.
pub fn python() -> ResponseFormat {
    ResponseFormat::new("python", Map::new())
}
