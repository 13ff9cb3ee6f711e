//! Reads a chat request and says what is wrong with it, in the service's words.

use serde_json::Value;

use crate::dice::fingerprint;
use crate::endpoint::Tier;
use crate::fields::{Fields, flag, given, object, option, text, texts, whole, wrong};
use crate::parameters::{self, Plugin};
use crate::preferences::{Preferences, preferences};
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
    /// The parameters that an endpoint has to support to honour all of the request, by the names of the lists of models.
    pub(crate) sent: Vec<&'static str>,
    /// Kinds of input besides text.
    pub(crate) inputs: Vec<&'static str>,
    pub(crate) tier: TierAsked,
    pub(crate) plugins: Vec<Plugin>,
    /// The service's own tools that the request offers the model, by type.
    pub(crate) server_tools: Vec<String>,
    /// What `session_id` or `prompt_cache_key` says, the first of them that is there.
    pub(crate) session: Option<String>,
    /// Names the conversation by how it begins, for requests that do not.
    pub(crate) conversation: u64,
    /// Where the prompt may be cut into parts that are kept in a cache, in order.
    pub(crate) breakpoints: Vec<Breakpoint>,
    /// Whether the stream begins by showing what the upstream was asked.
    pub(crate) echo: bool,
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

/// Which tier of service is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TierAsked {
    /// The request says nothing.
    #[default]
    Unsaid,
    /// The usual one, by name.
    Default,
    /// Nothing but this one if anybody offers it (flex), or this one first (priority).
    Of(Tier),
}

/// The end of a part of the prompt that is to be kept in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breakpoint {
    /// Tokens from the start of the prompt up to here.
    pub(crate) tokens: u64,
    /// Names everything up to here.
    pub(crate) prefix: u64,
    /// Whether it is kept for an hour instead of five minutes.
    pub(crate) for_an_hour: bool,
}

/// What one part that is not text counts for in the estimate.
const TOKENS_PER_ATTACHMENT: u64 = 256;

const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool"];

const EFFORTS: &[&str] = &["max", "xhigh", "high", "medium", "low", "minimal", "none"];

/// Parses the body of a chat request.
pub(crate) fn parse(body: &[u8]) -> Result<Fields, Problem> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("The request body is not valid JSON: {error}")))?;
    match body {
        Value::Object(fields) => Ok(fields),
        other => Err(wrong("the request body", "an object", &other)),
    }
}

/// Reads the fields of a chat request.
pub(crate) fn read(fields: &Fields) -> Result<Asked, Problem> {
    let messages = Messages::read(fields)?;
    parameters::check(fields)?;
    let (tools, server_tools) = tools(fields)?;
    let limits = [
        whole(fields, "max_tokens", 1)?,
        whole(fields, "max_completion_tokens", 1)?,
    ];
    let tool_bytes = given(fields, "tools").map_or(0, |tools| tools.to_string().len());
    let session = match text(fields, "session_id", 256)? {
        Some(session) => Some(session),
        None => text(fields, "prompt_cache_key", usize::MAX)?,
    };
    Ok(Asked {
        models: models(fields)?,
        stream: flag(fields, "stream")?.unwrap_or(false),
        max_tokens: limits.into_iter().flatten().min(),
        prompt_tokens: (tokens(messages.bytes + tool_bytes) + messages.attachments * TOKENS_PER_ATTACHMENT)
            .max(1),
        question: messages.question,
        after_tool: messages.after_tool,
        tool_choice: tool_choice(fields, &tools)?,
        tools,
        parallel_tools: flag(fields, "parallel_tool_calls")?.unwrap_or(true),
        format: format(fields)?,
        reasoning: reasoning(fields)?,
        stop: parameters::stop(fields)?,
        provider: preferences(fields)?,
        sent: parameters::sent(fields),
        inputs: messages.inputs,
        tier: tier(fields)?,
        plugins: parameters::plugins(fields)?,
        server_tools,
        session: session.map(str::to_owned),
        conversation: fingerprint(&[
            &messages.first_system.unwrap_or_default().to_le_bytes(),
            &messages.first_other.unwrap_or_default().to_le_bytes(),
        ]),
        breakpoints: breakpoints(
            fields,
            &messages.marks,
            messages.bytes,
            messages.attachments,
            tool_bytes,
        )?,
        echo: match object(fields, "debug")? {
            Some(debug) => flag(debug, "echo_upstream_body")?.unwrap_or(false),
            None => false,
        },
        about: about(fields),
    })
}

fn tier(fields: &Fields) -> Result<TierAsked, Problem> {
    let names = [
        "auto",
        "default",
        "flex",
        "priority",
        "fast",
        "scale",
        "ultrafast",
    ];
    Ok(match option(fields, "service_tier", "service_tier", &names)? {
        None => TierAsked::Unsaid,
        Some("flex") => TierAsked::Of(Tier::Flex),
        // Nobody here offers the fastest tier, and the next one to it is this one.
        Some("priority" | "fast" | "ultrafast") => TierAsked::Of(Tier::Priority),
        Some(_) => TierAsked::Default,
    })
}

/// The most parts that can be marked to be kept.
const MOST_BREAKPOINTS: usize = 4;

fn breakpoints(
    fields: &Fields,
    marks: &[Mark],
    bytes: usize,
    attachments: u64,
    tool_bytes: usize,
) -> Result<Vec<Breakpoint>, Problem> {
    let tools = given(fields, "tools").map(Value::to_string).unwrap_or_default();
    let base = fingerprint(&[tools.as_bytes()]);
    let point = |mark: &Mark| Breakpoint {
        tokens: tokens(mark.bytes + tool_bytes) + mark.attachments * TOKENS_PER_ATTACHMENT,
        prefix: fingerprint(&[&base.to_le_bytes(), &mark.prefix.to_le_bytes()]),
        for_an_hour: mark.for_an_hour,
    };
    let mut points: Vec<Breakpoint> = marks.iter().filter(|mark| mark.marked).map(point).collect();
    if points.len() > MOST_BREAKPOINTS {
        return Err(Problem::invalid(format!(
            "A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {}.",
            points.len()
        )));
    }
    // At the top level it means everything there is so far.
    if let Some(control) = object(fields, "cache_control")? {
        let for_an_hour = is_kept_for_an_hour(control, "cache_control")?;
        if let Some(last) = marks.last() {
            points.push(point(&Mark {
                bytes,
                attachments,
                for_an_hour,
                ..*last
            }));
        }
    }
    Ok(points)
}

fn is_kept_for_an_hour(control: &Fields, path: &str) -> Result<bool, Problem> {
    option(control, "type", &format!("{path}.type"), &["ephemeral"])?
        .ok_or_else(|| wrong(&format!("{path}.type"), "string", &Value::Null))?;
    Ok(option(control, "ttl", &format!("{path}.ttl"), &["5m", "1h"])? == Some("1h"))
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

/// A place in the prompt after a part of it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    bytes: usize,
    attachments: u64,
    prefix: u64,
    /// Whether the part asks to be kept.
    marked: bool,
    for_an_hour: bool,
}

#[derive(Debug, Default)]
struct Messages {
    bytes: usize,
    attachments: u64,
    question: String,
    after_tool: bool,
    inputs: Vec<&'static str>,
    first_system: Option<u64>,
    first_other: Option<u64>,
    /// Names everything read so far.
    prefix: u64,
    marks: Vec<Mark>,
}

impl Messages {
    fn read(fields: &Fields) -> Result<Self, Problem> {
        let mut read = Self::default();
        let Some(messages) = given(fields, "messages") else {
            let prompt = given(fields, "prompt").ok_or_else(no_input)?;
            let prompt = prompt.as_str().ok_or_else(|| wrong("prompt", "string", prompt))?;
            read.bytes = prompt.len();
            read.question = prompt.to_owned();
            read.first_other = Some(fingerprint(&[prompt.as_bytes()]));
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
        let role = option(fields, "role", &format!("{path}.role"), ROLES)?
            .ok_or_else(|| wrong(&format!("{path}.role"), "string", &Value::Null))?;
        let path_to = |name: &str| format!("{path}.{name}");
        self.prefix = fingerprint(&[&self.prefix.to_le_bytes(), role.as_bytes()]);
        let mut text = String::new();
        match given(fields, "content") {
            None if role == "assistant" => {}
            None => return Err(wrong(&path_to("content"), "string or array", &Value::Null)),
            Some(Value::String(content)) => text.push_str(content),
            Some(Value::Array(parts)) => {
                for (at, part) in parts.iter().enumerate() {
                    self.part(&format!("{path}.content.{at}"), role, part, &mut text)?;
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
        self.prefix = fingerprint(&[&self.prefix.to_le_bytes(), message.to_string().as_bytes()]);
        let own = fingerprint(&[text.as_bytes()]);
        let first = match role {
            "system" | "developer" => &mut self.first_system,
            _ => &mut self.first_other,
        };
        first.get_or_insert(own);
        self.mark(false, false);
        self.after_tool = role == "tool";
        if role == "user" {
            self.question = text;
        }
        Ok(())
    }

    fn mark(&mut self, marked: bool, for_an_hour: bool) {
        self.marks.push(Mark {
            bytes: self.bytes,
            attachments: self.attachments,
            prefix: self.prefix,
            marked,
            for_an_hour,
        });
    }

    fn part(&mut self, path: &str, role: &str, part: &Value, text: &mut String) -> Result<(), Problem> {
        let fields = part.as_object().ok_or_else(|| wrong(path, "object", part))?;
        let kind = part.get("type").unwrap_or(&Value::Null);
        let kind = kind
            .as_str()
            .ok_or_else(|| wrong(&format!("{path}.type"), "string", kind))?;
        let mut needs = |input: &'static str| {
            if !self.inputs.contains(&input) {
                self.inputs.push(input);
            }
        };
        match kind {
            "text" => {
                let found = part.get("text").unwrap_or(&Value::Null);
                text.push_str(
                    found
                        .as_str()
                        .ok_or_else(|| wrong(&format!("{path}.text"), "string", found))?,
                );
            }
            _ if matches!(role, "system" | "developer") => {
                return Err(Problem::invalid(format!(
                    "{path}.type: Invalid option: expected \"text\""
                )));
            }
            "image_url" => needs("image"),
            "input_audio" => needs("audio"),
            "video_url" | "input_video" => needs("video"),
            // Files are parsed on the way for whoever takes none.
            "file" => {}
            _ => {
                return Err(Problem::invalid(format!(
                    "{path}.type: Invalid option: \"{kind}\" is no kind of content"
                )));
            }
        }
        if kind != "text" {
            // What it holds stands under its own name; an older one for videos is still understood.
            let name = if kind == "input_video" { "video_url" } else { kind };
            if object(fields, name)?.is_none() && kind != "input_video" {
                return Err(wrong(&format!("{path}.{name}"), "object", &Value::Null));
            }
            self.attachments += 1;
        }
        self.prefix = fingerprint(&[&self.prefix.to_le_bytes(), part.to_string().as_bytes()]);
        if let Some(control) = object(fields, "cache_control")? {
            let for_an_hour = is_kept_for_an_hour(control, &format!("{path}.cache_control"))?;
            // The text of this message is added up only when the message is read.
            self.bytes += text.len();
            self.mark(true, for_an_hour);
            self.bytes -= text.len();
        } else if given(fields, "prompt_cache_breakpoint").is_some() {
            self.bytes += text.len();
            self.mark(true, false);
            self.bytes -= text.len();
        }
        Ok(())
    }
}

fn no_input() -> Problem {
    Problem::invalid("Input required: specify \"prompt\" or \"messages\"")
}

/// The longest name of a tool or a schema.
const LONGEST_NAME: usize = 64;

/// The functions that the client offers, and the types of the tools that the service runs itself.
fn tools(fields: &Fields) -> Result<(Vec<Tool>, Vec<String>), Problem> {
    let Some(list) = given(fields, "tools") else {
        return Ok((Vec::new(), Vec::new()));
    };
    let list = list.as_array().ok_or_else(|| wrong("tools", "array", list))?;
    let (mut tools, mut server_tools) = (Vec::new(), Vec::new());
    for (at, tool) in list.iter().enumerate() {
        let kind = tool.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| {
            wrong(
                &format!("tools.{at}.type"),
                "string",
                tool.get("type").unwrap_or(tool),
            )
        })?;
        // Tools that the service runs itself have other types; they are never called by name.
        if kind == "function" {
            let function = tool.get("function").unwrap_or(&Value::Null);
            let name = function.get("name").unwrap_or(&Value::Null);
            let name = name
                .as_str()
                .ok_or_else(|| wrong(&format!("tools.{at}.function.name"), "string", name))?;
            if name.is_empty() || name.chars().count() > LONGEST_NAME {
                return Err(Problem::invalid(format!(
                    "tools.{at}.function.name: Invalid input: expected 1 to {LONGEST_NAME} characters"
                )));
            }
            let parameters = function.get("parameters").cloned().unwrap_or(Value::Null);
            tools.push(Tool {
                name: name.to_owned(),
                parameters,
            });
        } else {
            server_tools.push(kind.to_owned());
        }
    }
    Ok((tools, server_tools))
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
            let named = format.get("json_schema").and_then(Value::as_object);
            if let Some(named) = named {
                text(named, "name", LONGEST_NAME)?;
            }
            let schema = named.and_then(|named| named.get("schema"));
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

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
