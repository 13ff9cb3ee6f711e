//! Reads a chat request and says what is wrong with it, in the service's words.

use serde_json::{Map, Value};

use crate::dice::fingerprint;
use crate::problem::Problem;
use crate::words::tokens;

/// A chat request, as far as an answer depends on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// The models in the order to try them; at least one.
    pub(crate) models: Vec<String>,
    pub(crate) stream: bool,
    /// The smaller of the two limits a request can give.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) prompt_tokens: u64,
    /// The text of the last user message.
    pub(crate) question: String,
    /// Whether the last message is the result of a tool.
    pub(crate) after_tool: bool,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: ToolChoice,
    pub(crate) parallel_tools: bool,
    pub(crate) format: Format,
    pub(crate) reasoning: ReasoningAsked,
    pub(crate) stop: Vec<String>,
    pub(crate) provider: Preferences,
    /// Names the content: the same for a request that differs in `stream` or a limit only.
    pub(crate) about: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) parameters: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    None,
    Auto,
    Required,
    Function(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Format {
    Text,
    JsonObject,
    JsonSchema(Value),
}

/// What a request says of reasoning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReasoningAsked {
    /// `Some(false)` where it is switched off, `Some(true)` where it is asked for.
    pub(crate) enabled: Option<bool>,
    pub(crate) effort: Option<String>,
    pub(crate) max_tokens: Option<u64>,
    /// Whether it is kept out of the answer.
    pub(crate) exclude: bool,
}

/// The part of `provider` that decides who may serve.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Preferences {
    pub(crate) order: Vec<String>,
    pub(crate) only: Option<Vec<String>>,
    pub(crate) ignore: Vec<String>,
    pub(crate) no_fallbacks: bool,
}

/// What one part that is not text counts for in the estimate.
const TOKENS_PER_ATTACHMENT: u64 = 256;

const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool"];

const EFFORTS: &[&str] = &["max", "xhigh", "high", "medium", "low", "minimal", "none"];

type Fields = Map<String, Value>;

/// Reads the body of a chat request.
pub(crate) fn read(body: &[u8]) -> Result<Asked, Problem> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("The request body is not valid JSON: {error}")))?;
    let Value::Object(fields) = body else {
        return Err(wrong("the request body", "an object", &body));
    };
    let messages = Messages::read(&fields)?;
    ranges(&fields)?;
    let tools = tools(&fields)?;
    let limits = [
        whole(&fields, "max_tokens", 1)?,
        whole(&fields, "max_completion_tokens", 1)?,
    ];
    let tool_bytes = given(&fields, "tools").map_or(0, |tools| tools.to_string().len());
    Ok(Asked {
        models: models(&fields)?,
        stream: flag(&fields, "stream")?.unwrap_or(false),
        max_tokens: limits.into_iter().flatten().min(),
        prompt_tokens: (tokens(messages.bytes + tool_bytes) + messages.attachments * TOKENS_PER_ATTACHMENT)
            .max(1),
        question: messages.question,
        after_tool: messages.after_tool,
        tool_choice: tool_choice(&fields, &tools)?,
        tools,
        parallel_tools: flag(&fields, "parallel_tool_calls")?.unwrap_or(true),
        format: format(&fields)?,
        reasoning: reasoning(&fields)?,
        stop: stop(&fields)?,
        provider: preferences(&fields)?,
        about: about(&fields),
    })
}

fn about(fields: &Fields) -> u64 {
    let parts: Vec<Vec<u8>> = [
        "messages",
        "prompt",
        "tools",
        "tool_choice",
        "response_format",
        "seed",
    ]
    .iter()
    .map(|name| {
        fields
            .get(*name)
            .map(Value::to_string)
            .unwrap_or_default()
            .into_bytes()
    })
    .collect();
    fingerprint(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// A field that is there and not null.
fn given<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn wrong(path: &str, expected: &str, found: &Value) -> Problem {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Problem::invalid(format!(
        "{path}: Invalid input: expected {expected}, received {found}"
    ))
}

fn flag(fields: &Fields, name: &str) -> Result<Option<bool>, Problem> {
    given(fields, name)
        .map(|value| value.as_bool().ok_or_else(|| wrong(name, "boolean", value)))
        .transpose()
}

fn whole(fields: &Fields, name: &str, least: u64) -> Result<Option<u64>, Problem> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(number) if number >= least => Ok(Some(number)),
        _ if value.is_number() => Err(Problem::invalid(format!(
            "{name}: Invalid input: expected a whole number from {least} up, received {value}"
        ))),
        _ => Err(wrong(name, "number", value)),
    }
}

fn texts(fields: &Fields, name: &str, path: &str) -> Result<Option<Vec<String>>, Problem> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    let list = value.as_array().ok_or_else(|| wrong(path, "array", value))?;
    list.iter()
        .enumerate()
        .map(|(at, item)| {
            item.as_str()
                .map(str::to_owned)
                .ok_or_else(|| wrong(&format!("{path}.{at}"), "string", item))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

fn object<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a Fields>, Problem> {
    given(fields, name)
        .map(|value| value.as_object().ok_or_else(|| wrong(name, "object", value)))
        .transpose()
}

fn models(fields: &Fields) -> Result<Vec<String>, Problem> {
    let mut models = Vec::new();
    if let Some(model) = given(fields, "model") {
        models.push(
            model
                .as_str()
                .ok_or_else(|| wrong("model", "string", model))?
                .to_owned(),
        );
    }
    for model in texts(fields, "models", "models")?.unwrap_or_default() {
        if !models.contains(&model) {
            models.push(model);
        }
    }
    if models.is_empty() {
        Err(Problem::invalid("No models provided"))
    } else {
        Ok(models)
    }
}

/// The sampling parameters: they change nothing here, but the service refuses values out of range.
fn ranges(fields: &Fields) -> Result<(), Problem> {
    const RANGES: &[(&str, f64, f64)] = &[
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("min_p", 0.0, 1.0),
        ("top_a", 0.0, 1.0),
        ("top_k", 0.0, f64::MAX),
        ("frequency_penalty", -2.0, 2.0),
        ("presence_penalty", -2.0, 2.0),
        ("repetition_penalty", 0.0, 2.0),
        ("top_logprobs", 0.0, 20.0),
    ];
    for (name, low, high) in RANGES {
        let Some(value) = given(fields, name) else {
            continue;
        };
        let number = value.as_f64().ok_or_else(|| wrong(name, "number", value))?;
        if number < *low {
            return Err(Problem::invalid(format!(
                "{name}: Too small: expected number to be >={low}"
            )));
        }
        if number > *high {
            return Err(Problem::invalid(format!(
                "{name}: Too big: expected number to be <={high}"
            )));
        }
    }
    if let Some(seed) = given(fields, "seed").filter(|seed| seed.as_i64().is_none()) {
        return Err(wrong("seed", "a whole number", seed));
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Messages {
    bytes: usize,
    attachments: u64,
    question: String,
    after_tool: bool,
}

impl Messages {
    fn read(fields: &Fields) -> Result<Self, Problem> {
        let mut read = Self::default();
        let Some(messages) = given(fields, "messages") else {
            let prompt = given(fields, "prompt").ok_or_else(no_input)?;
            let prompt = prompt.as_str().ok_or_else(|| wrong("prompt", "string", prompt))?;
            read.bytes = prompt.len();
            read.question = prompt.to_owned();
            return if prompt.is_empty() {
                Err(no_input())
            } else {
                Ok(read)
            };
        };
        let messages = messages
            .as_array()
            .ok_or_else(|| wrong("messages", "array", messages))?;
        if messages.is_empty() {
            return Err(no_input());
        }
        for (at, message) in messages.iter().enumerate() {
            read.message(&format!("messages.{at}"), message)?;
        }
        Ok(read)
    }

    fn message(&mut self, path: &str, message: &Value) -> Result<(), Problem> {
        let fields = message
            .as_object()
            .ok_or_else(|| wrong(path, "object", message))?;
        let role = fields
            .get("role")
            .and_then(Value::as_str)
            .filter(|role| ROLES.contains(role))
            .ok_or_else(|| {
                Problem::invalid(format!(
                    "{path}.role: Invalid option: expected one of \"{}\"",
                    ROLES.join("\"|\"")
                ))
            })?;
        let path_to = |name: &str| format!("{path}.{name}");
        let mut text = String::new();
        match given(fields, "content") {
            None if role == "assistant" => {}
            None => return Err(wrong(&path_to("content"), "string or array", &Value::Null)),
            Some(Value::String(content)) => text.push_str(content),
            Some(Value::Array(parts)) => {
                for (at, part) in parts.iter().enumerate() {
                    self.part(&format!("{path}.content.{at}"), part, &mut text)?;
                }
            }
            Some(other) => return Err(wrong(&path_to("content"), "string or array", other)),
        }
        self.bytes += text.len();
        if let Some(calls) = given(fields, "tool_calls") {
            if !calls.is_array() {
                return Err(wrong(&path_to("tool_calls"), "array", calls));
            }
            self.bytes += calls.to_string().len();
        }
        if role == "tool" && !fields.get("tool_call_id").is_some_and(Value::is_string) {
            let found = fields.get("tool_call_id").unwrap_or(&Value::Null);
            return Err(wrong(&path_to("tool_call_id"), "string", found));
        }
        self.after_tool = role == "tool";
        if role == "user" {
            self.question = text;
        }
        Ok(())
    }

    fn part(&mut self, path: &str, part: &Value, text: &mut String) -> Result<(), Problem> {
        let kind = part.get("type").and_then(Value::as_str).ok_or_else(|| {
            wrong(
                &format!("{path}.type"),
                "string",
                part.get("type").unwrap_or(&Value::Null),
            )
        })?;
        match kind {
            "text" => {
                let found = part.get("text").unwrap_or(&Value::Null);
                text.push_str(
                    found
                        .as_str()
                        .ok_or_else(|| wrong(&format!("{path}.text"), "string", found))?,
                );
            }
            "image_url" | "input_audio" | "video_url" | "input_video" | "file" => self.attachments += 1,
            _ => {
                return Err(Problem::invalid(format!(
                    "{path}.type: Invalid option: \"{kind}\" is no kind of content"
                )));
            }
        }
        Ok(())
    }
}

fn no_input() -> Problem {
    Problem::invalid("Input required: specify \"prompt\" or \"messages\"")
}

fn tools(fields: &Fields) -> Result<Vec<Tool>, Problem> {
    let Some(list) = given(fields, "tools") else {
        return Ok(Vec::new());
    };
    let list = list.as_array().ok_or_else(|| wrong("tools", "array", list))?;
    let mut tools = Vec::new();
    for (at, tool) in list.iter().enumerate() {
        let kind = tool.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| {
            wrong(
                &format!("tools.{at}.type"),
                "string",
                tool.get("type").unwrap_or(tool),
            )
        })?;
        // Tools that the service would run itself have other types; they are never called by name.
        if kind == "function" {
            let function = tool.get("function").unwrap_or(&Value::Null);
            let name = function.get("name").unwrap_or(&Value::Null);
            let name = name
                .as_str()
                .ok_or_else(|| wrong(&format!("tools.{at}.function.name"), "string", name))?;
            let parameters = function.get("parameters").cloned().unwrap_or(Value::Null);
            tools.push(Tool {
                name: name.to_owned(),
                parameters,
            });
        }
    }
    Ok(tools)
}

fn tool_choice(fields: &Fields, tools: &[Tool]) -> Result<ToolChoice, Problem> {
    let Some(choice) = given(fields, "tool_choice") else {
        return Ok(ToolChoice::Auto);
    };
    let function = choice
        .get("function")
        .and_then(|function| function.get("name"))
        .and_then(Value::as_str);
    match (choice.as_str(), function) {
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some(name)) if tools.iter().any(|tool| tool.name == name) => {
            Ok(ToolChoice::Function(name.to_owned()))
        }
        (None, Some(name)) => Err(Problem::invalid(format!(
            "tool_choice: there is no tool named \"{name}\""
        ))),
        _ if choice.is_object() => Ok(ToolChoice::Auto),
        _ => Err(Problem::invalid(
            "tool_choice: Invalid option: expected \"none\", \"auto\", \"required\" or a function",
        )),
    }
}

fn format(fields: &Fields) -> Result<Format, Problem> {
    let Some(format) = object(fields, "response_format")? else {
        return Ok(Format::Text);
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::JsonObject),
        Some("json_schema") => {
            let schema = format.get("json_schema").and_then(|named| named.get("schema"));
            let schema = schema
                .filter(|schema| schema.is_object() || schema.is_boolean())
                .ok_or_else(|| {
                    wrong(
                        "response_format.json_schema.schema",
                        "object",
                        schema.unwrap_or(&Value::Null),
                    )
                })?;
            Ok(Format::JsonSchema(schema.clone()))
        }
        Some("grammar" | "python") => Ok(Format::Text),
        _ => Err(Problem::invalid(
            "response_format.type: Invalid option: expected one of \"text\"|\"json_object\"|\"json_schema\"|\"grammar\"|\"python\"",
        )),
    }
}

fn reasoning(fields: &Fields) -> Result<ReasoningAsked, Problem> {
    let mut asked = ReasoningAsked::default();
    if let Some(include) = flag(fields, "include_reasoning")? {
        asked.exclude = !include;
        asked.enabled = include.then_some(true);
    }
    let mut efforts = vec![given(fields, "reasoning_effort")];
    if let Some(reasoning) = object(fields, "reasoning")? {
        efforts.push(given(reasoning, "effort"));
        asked.max_tokens = whole(reasoning, "max_tokens", 1)?;
        asked.exclude |= flag(reasoning, "exclude")?.unwrap_or(false);
        asked.enabled = flag(reasoning, "enabled")?.or(Some(true));
    }
    for effort in efforts.into_iter().flatten() {
        let effort = effort
            .as_str()
            .filter(|effort| EFFORTS.contains(effort))
            .ok_or_else(|| {
                let options = EFFORTS.join("\"|\"");
                Problem::invalid(format!(
                    "reasoning.effort: Invalid option: expected one of \"{options}\""
                ))
            })?;
        if asked.effort.as_deref().is_some_and(|other| other != effort) {
            return Err(Problem::invalid(
                "\"reasoning_effort\" and \"reasoning.effort\" must not differ",
            ));
        }
        asked.enabled = Some(effort != "none");
        asked.effort = Some(effort.to_owned());
    }
    if asked.effort.is_some() && asked.max_tokens.is_some() {
        return Err(Problem::invalid(
            "Only one of \"reasoning.effort\" and \"reasoning.max_tokens\" can be specified",
        ));
    }
    Ok(asked)
}

fn stop(fields: &Fields) -> Result<Vec<String>, Problem> {
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

fn preferences(fields: &Fields) -> Result<Preferences, Problem> {
    let Some(provider) = object(fields, "provider")? else {
        return Ok(Preferences::default());
    };
    Ok(Preferences {
        order: texts(provider, "order", "provider.order")?.unwrap_or_default(),
        only: texts(provider, "only", "provider.only")?,
        ignore: texts(provider, "ignore", "provider.ignore")?.unwrap_or_default(),
        no_fallbacks: flag(provider, "allow_fallbacks")? == Some(false),
    })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
