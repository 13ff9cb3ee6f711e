//! The parameters of a request that shape no text: their types and ranges, and which of them an endpoint has to support.

use serde_json::Value;

use crate::fields::{Fields, flag, given, object, option, text, texts, whole, wrong};
use crate::problem::Problem;

/// A parameter's name, its bounds, and whether the lower one is excluded.
const RANGES: &[(&str, f64, f64, bool)] = &[
    ("temperature", 0.0, 2.0, false),
    ("top_p", 0.0, 1.0, true),
    ("min_p", 0.0, 1.0, false),
    ("top_a", 0.0, 1.0, false),
    ("top_k", 0.0, f64::MAX, false),
    ("frequency_penalty", -2.0, 2.0, false),
    ("presence_penalty", -2.0, 2.0, false),
    ("repetition_penalty", 0.0, 2.0, false),
];

const PLUGINS: &[&str] = &[
    "auto-router",
    "auto-beta-router",
    "moderation",
    "web",
    "web-fetch",
    "file-parser",
    "response-healing",
    "context-compression",
    "pareto-router",
    "fusion",
    "switchyard-router",
    "jev-router",
    "alignment",
    "armor",
];

const STOP_CONDITIONS: &[&str] = &[
    "step_count_is",
    "has_tool_call",
    "max_tokens_used",
    "max_cost",
    "finish_reason_is",
];

/// What an endpoint has to support, by the names that lists of models use; in the order of the request's own list.
const SUPPORTED: &[&str] = &[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "max_tokens",
    "max_completion_tokens",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "prediction",
    "seed",
    "response_format",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "include_reasoning",
    "reasoning",
    "reasoning_effort",
    "web_search_options",
    "verbosity",
];

/// Checks what changes no text here, but which the service refuses where it is wrong.
pub(crate) fn check(fields: &Fields) -> Result<(), Problem> {
    ranges(fields)?;
    integers(fields)?;
    for name in ["logprobs", "structured_outputs"] {
        flag(fields, name)?;
    }
    option(fields, "route", "route", &["fallback", "sort"])?;
    option(
        fields,
        "verbosity",
        "verbosity",
        &["low", "medium", "high", "xhigh", "max"],
    )?;
    texts(fields, "transforms", "transforms")?;
    for name in ["user", "preset", "prompt_cache_key"] {
        text(fields, name, usize::MAX)?;
    }
    text(fields, "session_id", 256)?;
    for (at, modality) in texts(fields, "modalities", "modalities")?
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        if !["text", "image", "audio"].contains(&modality.as_str()) {
            return Err(Problem::invalid(format!(
                "modalities.{at}: Invalid option: expected one of \"text\"|\"image\"|\"audio\""
            )));
        }
    }
    for name in [
        "trace",
        "image_config",
        "web_search_options",
        "stream_options",
        "usage",
    ] {
        object(fields, name)?;
    }
    logit_bias(fields)?;
    metadata(fields)?;
    prediction(fields)?;
    stop_conditions(fields)?;
    if let Some(reasoning) = object(fields, "reasoning")? {
        let words = |name, options| option(reasoning, name, &format!("reasoning.{name}"), options);
        words("summary", &["auto", "concise", "detailed"])?;
        words("context", &["auto", "all_turns", "current_turn"])?;
        words("mode", &["standard", "pro"])?;
    }
    Ok(())
}

fn ranges(fields: &Fields) -> Result<(), Problem> {
    for (name, low, high, above) in RANGES {
        let Some(value) = given(fields, name) else {
            continue;
        };
        let number = value.as_f64().ok_or_else(|| wrong(name, "number", value))?;
        if number < *low || *above && number <= *low {
            let sign = if *above { ">" } else { ">=" };
            return Err(Problem::invalid(format!(
                "{name}: Too small: expected number to be {sign}{low}"
            )));
        }
        if number > *high {
            return Err(Problem::invalid(format!(
                "{name}: Too big: expected number to be <={high}"
            )));
        }
    }
    Ok(())
}

fn integers(fields: &Fields) -> Result<(), Problem> {
    if let Some(seed) = given(fields, "seed").filter(|seed| seed.as_i64().is_none()) {
        return Err(wrong("seed", "a whole number", seed));
    }
    for (name, least, most) in [("top_logprobs", 0, 20), ("max_tool_calls", 1, 30)] {
        if whole(fields, name, least)?.is_some_and(|number| number > most) {
            return Err(Problem::invalid(format!(
                "{name}: Too big: expected number to be <={most}"
            )));
        }
    }
    Ok(())
}

fn logit_bias(fields: &Fields) -> Result<(), Problem> {
    for (token, bias) in object(fields, "logit_bias")?.into_iter().flatten() {
        let path = format!("logit_bias.{token}");
        let number = bias.as_f64().ok_or_else(|| wrong(&path, "number", bias))?;
        if !(-100.0..=100.0).contains(&number) {
            return Err(Problem::invalid(format!(
                "{path}: Invalid input: expected a number from -100 to 100"
            )));
        }
    }
    Ok(())
}

fn metadata(fields: &Fields) -> Result<(), Problem> {
    let Some(metadata) = object(fields, "metadata")? else {
        return Ok(());
    };
    if metadata.len() > 16 {
        return Err(Problem::invalid("metadata: Too big: expected at most 16 pairs"));
    }
    for (name, value) in metadata {
        let path = format!("metadata.{name}");
        let text = value.as_str().ok_or_else(|| wrong(&path, "string", value))?;
        if name.chars().count() > 64 || text.chars().count() > 512 {
            return Err(Problem::invalid(format!(
                "{path}: Too big: expected names of at most 64 and values of at most 512 characters"
            )));
        }
    }
    Ok(())
}

fn prediction(fields: &Fields) -> Result<(), Problem> {
    let Some(prediction) = object(fields, "prediction")? else {
        return Ok(());
    };
    option(prediction, "type", "prediction.type", &["content"])?;
    match given(prediction, "content") {
        Some(Value::String(_) | Value::Array(_)) => Ok(()),
        other => Err(wrong(
            "prediction.content",
            "string or array",
            other.unwrap_or(&Value::Null),
        )),
    }
}

fn stop_conditions(fields: &Fields) -> Result<(), Problem> {
    let name = "stop_server_tools_when";
    let Some(list) = given(fields, name) else {
        return Ok(());
    };
    let list = list.as_array().ok_or_else(|| wrong(name, "array", list))?;
    for (at, condition) in list.iter().enumerate() {
        let kind = condition.get("type").and_then(Value::as_str);
        if kind.is_none_or(|kind| !STOP_CONDITIONS.contains(&kind)) {
            return Err(Problem::invalid(format!(
                "{name}.{at}.type: Invalid option: expected one of \"{}\"",
                STOP_CONDITIONS.join("\"|\"")
            )));
        }
    }
    Ok(())
}

/// The texts that end an answer, at most four.
pub(crate) fn stop(fields: &Fields) -> Result<Vec<String>, Problem> {
    let stop = match given(fields, "stop") {
        Some(Value::String(one)) => vec![one.clone()],
        _ => texts(fields, "stop", "stop")?.unwrap_or_default(),
    };
    if stop.len() > 4 {
        return Err(Problem::invalid(
            "stop: Too big: expected array to have <=4 items",
        ));
    }
    Ok(stop.into_iter().filter(|stop| !stop.is_empty()).collect())
}

/// A plugin of a request that is not switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    pub(crate) id: String,
    /// `engine` of the web plugin.
    pub(crate) engine: Option<String>,
}

pub(crate) fn plugins(fields: &Fields) -> Result<Vec<Plugin>, Problem> {
    let Some(list) = given(fields, "plugins") else {
        return Ok(Vec::new());
    };
    let list = list.as_array().ok_or_else(|| wrong("plugins", "array", list))?;
    let mut plugins = Vec::new();
    for (at, plugin) in list.iter().enumerate() {
        let path = format!("plugins.{at}");
        let plugin = plugin.as_object().ok_or_else(|| wrong(&path, "object", plugin))?;
        let id = option(plugin, "id", &format!("{path}.id"), PLUGINS)?
            .ok_or_else(|| wrong(&format!("{path}.id"), "string", &Value::Null))?;
        if flag(plugin, "enabled")? != Some(false) {
            let engine = text(plugin, "engine", usize::MAX)?.map(str::to_owned);
            plugins.push(Plugin {
                id: id.to_owned(),
                engine,
            });
        }
    }
    Ok(plugins)
}

/// The parameters of a request that an endpoint has to support to honour them all.
pub(crate) fn sent(fields: &Fields) -> Vec<&'static str> {
    let mut sent: Vec<&'static str> = SUPPORTED
        .iter()
        .copied()
        .filter(|name| given(fields, name).is_some())
        .collect();
    let schema = given(fields, "response_format").and_then(|format| format.get("type"));
    if schema.and_then(Value::as_str) == Some("json_schema") {
        sent.push("structured_outputs");
    }
    sent
}

/// Whether an endpoint that lists these parameters supports one. The two limits of tokens are one limit.
pub(crate) fn supports(listed: &[String], name: &str) -> bool {
    let has = |name: &str| listed.iter().any(|one| one == name);
    match name {
        "max_tokens" | "max_completion_tokens" => has("max_tokens") || has("max_completion_tokens"),
        // Wherever tools are taken, so is how many at once.
        "parallel_tool_calls" => has("parallel_tool_calls") || has("tools"),
        "reasoning" | "include_reasoning" | "reasoning_effort" => {
            has("reasoning") || has("include_reasoning") || has("reasoning_effort")
        }
        name => has(name),
    }
}
