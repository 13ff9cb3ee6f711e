//! What the tests of `waypost compare` share.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::path::Path;
use std::process::Command;

use provider_testkit::upstream::{Script, ScriptedUpstream};
use rusqlite::OpenFlags;
use serde_json::{Value, json};

use super::command::waypost;

pub const ONE: &str = "openai/gpt-4o-mini";
pub const OTHER: &str = "google/gemini-3.7-flash";
pub const THIRD: &str = "anthropic/claude-haiku-4.5";
pub const JUDGE: &str = "openai/gpt-4o";

pub fn ledger(dir: &Path) -> rusqlite::Connection {
    let path = dir.join("waypost-data/waypost.db");
    rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

pub fn pico(amount: &Value) -> i64 {
    let amount: costing::Pico = amount.as_str().unwrap().parse().unwrap();
    amount.get()
}

pub fn simulated() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("waypost.toml"), "[simulator]\ninstant = true\n").unwrap();
    dir
}

/// A provider that answers as `say` says, by the model and the text of the last message.
pub async fn provider(say: impl Fn(&str, &str) -> Script + Send + Sync + 'static) -> ScriptedUpstream {
    ScriptedUpstream::start(move |received| {
        if !received.path.ends_with("/chat/completions") {
            return Script::json(200, r#"{"data":{"label":"test","simulated":false}}"#);
        }
        let body = received.json();
        let last = body["messages"].as_array().unwrap().last().unwrap();
        say(body["model"].as_str().unwrap(), last["content"].as_str().unwrap())
    })
    .await
}

/// An answer that costs a thousandth of a dollar.
pub fn says(model: &str, text: &str) -> Script {
    says_at(model, text, 0.001)
}

pub fn says_at(model: &str, text: &str, cost: f64) -> Script {
    let answer = json!({
        "id": "gen-1", "model": model,
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text } }],
        "usage": { "prompt_tokens": 8, "completion_tokens": 2, "cost": cost },
    });
    Script::json(200, answer)
}

pub fn at(upstream: &ScriptedUpstream, dir: &Path, args: &[&str]) -> Command {
    let mut command = waypost(dir);
    command
        .arg("compare")
        .args(args)
        .env("OPENROUTER_API_KEY", "sk-or-v1-test")
        .env("OPENROUTER_BASE_URL", format!("{}/api/v1", upstream.url()));
    command
}
