//! What can be said of an answer without reading it: whether it has the form it was asked for.

use std::collections::BTreeMap;

use async_trait::async_trait;
use integration_core::ChatRequest;
use integration_core::chat::{ChatResponse, Choice, FinishReason, ResponseFormat, Tool, ToolCall};
use jsonschema::Validator;
use routing::{Verdict, Verifier};
use serde::Deserialize;
use serde_json::Value;

/// The longest explanation of a failed check, in characters.
const MOST_DETAIL: usize = 200;

/// What a prompt's author says of its answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// A text that must be somewhere in the answer.
    contains: Option<String>,
    /// What the answer must be, but for white space around it.
    equals: Option<String>,
}

/// One check of one answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// A stable word.
    pub(crate) name: &'static str,
    /// Why it failed; `None` if it passed.
    pub(crate) failure: Option<String>,
}

/// What the answers to a prompt are held against.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    format: Option<Format>,
    /// The functions that were offered, by name, with the form of their arguments.
    tools: BTreeMap<String, Option<Validator>>,
    must_call: bool,
    expect: Expect,
}

/// The form of an answer is what a cascade of the gateway asks for.
#[async_trait]
impl Verifier for Checks {
    async fn verify(&self, _: &ChatRequest, response: &ChatResponse) -> Verdict {
        self.verdict(response)
    }
}

#[derive(Debug)]
enum Format {
    Object,
    Schema(Validator),
}

impl Checks {
    /// What a request's own fields and its author's expectations come to.
    ///
    /// # Errors
    /// What is wrong with a schema.
    pub(crate) fn new(
        format: Option<&ResponseFormat>,
        tools: &[Tool],
        choice: Option<&Value>,
        expect: Expect,
    ) -> Result<Self, String> {
        let format = match format {
            None => None,
            Some(format) => match format.kind.as_str() {
                "json_object" => Some(Format::Object),
                "json_schema" => {
                    let schema = format
                        .fields
                        .get("json_schema")
                        .and_then(|named| named.get("schema"));
                    let schema = schema.ok_or("`response_format` has no `json_schema.schema`")?;
                    Some(Format::Schema(compile(schema, "`response_format`")?))
                }
                _ => None,
            },
        };
        let functions = tools.iter().filter_map(|tool| tool.fields.get("function"));
        let tools = functions
            .map(|function| {
                let name = function.get("name").and_then(Value::as_str);
                let name = name.ok_or("`tools` has a function without a name")?;
                let form = function
                    .get("parameters")
                    .map(|schema| compile(schema, "`tools`"))
                    .transpose()?;
                Ok((name.to_owned(), form))
            })
            .collect::<Result<_, String>>()?;
        let must_call = choice.is_some_and(|choice| choice == "required" || choice.is_object());
        Ok(Self {
            format,
            tools,
            must_call,
            expect,
        })
    }

    /// Holds an answer against them. Where there are none, nothing is checked: that an answer ended well says little.
    pub(crate) fn of(&self, response: &ChatResponse) -> Vec<Check> {
        let choice = response.choices.first();
        let calls = choice.map_or(&[][..], |choice| &choice.message.tool_calls);
        let text = response.text();
        let mut checks = Vec::new();
        let mut check = |name, result: Result<(), String>| {
            let failure = result.err().map(|why| why.chars().take(MOST_DETAIL).collect());
            checks.push(Check { name, failure });
        };
        // An answer that calls a tool has its form another time.
        if let Some(format) = self
            .format
            .as_ref()
            .filter(|_| calls.is_empty() || !text.is_empty())
        {
            let (name, result) = match format {
                Format::Object => ("json", object(&text)),
                Format::Schema(schema) => ("schema", fits(&text, Some(schema))),
            };
            check(name, result);
        }
        if self.must_call && calls.is_empty() {
            check("tool_calls", Err("no tool is called".to_owned()));
        } else if !calls.is_empty() {
            check("tool_calls", calls.iter().try_for_each(|call| self.call(call)));
        }
        if let Some(part) = &self.expect.contains {
            check(
                "contains",
                must(text.contains(part.as_str()), "the text is not in it"),
            );
        }
        if let Some(whole) = &self.expect.equals {
            check("equals", must(text.trim() == whole.trim(), "it is another text"));
        }
        if !checks.is_empty() {
            let failure = ended(choice).err();
            checks.insert(
                0,
                Check {
                    name: "complete",
                    failure,
                },
            );
        }
        checks
    }

    /// Whether an answer passes all of them. That it came to an end of its own is asked of every one here.
    pub(crate) fn verdict(&self, response: &ChatResponse) -> Verdict {
        let complete = ended(response.choices.first()).map_err(|why| format!("complete: {why}"));
        let failed = |check: Check| Some(format!("{}: {}", check.name, check.failure?));
        let failed = complete
            .err()
            .or_else(|| self.of(response).into_iter().find_map(failed));
        failed.map_or(Verdict::Accepted, Verdict::Rejected)
    }

    fn call(&self, call: &ToolCall) -> Result<(), String> {
        let name = &call.function.name;
        let form = self
            .tools
            .get(name)
            .ok_or_else(|| format!("there is no tool '{name}'"))?;
        fits(&call.function.arguments, form.as_ref()).map_err(|why| format!("{name}: {why}"))
    }
}

fn compile(schema: &Value, of: &str) -> Result<Validator, String> {
    jsonschema::validator_for(schema).map_err(|error| format!("{of} has a schema that is none: {error}"))
}

fn must(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn object(text: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    must(value.is_object(), "JSON, but no object")
}

fn fits(text: &str, schema: Option<&Validator>) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let Some(schema) = schema else { return Ok(()) };
    schema.validate(&value).map_err(|error| error.to_string())
}

/// Whether an answer came to an end of its own.
fn ended(choice: Option<&Choice>) -> Result<(), String> {
    let choice = choice.ok_or("there is no answer in it")?;
    match &choice.finish_reason {
        _ if choice.tool_calls_truncated() => Err("a tool call is cut at the limit".to_owned()),
        Some(FinishReason::Stop | FinishReason::ToolCalls) => Ok(()),
        Some(other) => Err(format!("it ended by '{}'", other.as_str())),
        None => Err("it does not say why it ended".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use integration_core::chat::{Message, Role};
    use serde_json::json;

    fn answer(text: &str, calls: &[(&str, &str)], reason: FinishReason) -> ChatResponse {
        let mut message = Message::empty(Role::Assistant);
        message.content = (!text.is_empty()).then(|| text.into());
        message.tool_calls = calls
            .iter()
            .map(|(name, arguments)| ToolCall::new("c", *name, *arguments))
            .collect();
        let mut choice = Choice::new(0, message);
        choice.finish_reason = Some(reason);
        ChatResponse::new(vec![choice])
    }

    fn checks(line: Value) -> Checks {
        let part = |name: &str| line.get(name).cloned();
        let format = part("response_format").map(|format| serde_json::from_value(format).unwrap());
        let tools: Vec<Tool> = serde_json::from_value(part("tools").unwrap_or(json!([]))).unwrap();
        let expect = serde_json::from_value(part("expect").unwrap_or(json!({}))).unwrap();
        Checks::new(format.as_ref(), &tools, line.get("tool_choice"), expect).unwrap()
    }

    fn failed(checks: &Checks, answer: &ChatResponse) -> (usize, Vec<&'static str>) {
        let all = checks.of(answer);
        let failed = all.iter().filter(|check| check.failure.is_some());
        (all.len(), failed.map(|check| check.name).collect())
    }

    #[test]
    fn without_anything_to_hold_it_against_nothing_is_checked() {
        assert!(
            Checks::default()
                .of(&answer("x", &[], FinishReason::Length))
                .is_empty()
        );
    }

    #[test]
    fn the_form_asked_for_is_the_form_it_must_have() {
        let object = checks(json!({ "response_format": { "type": "json_object" } }));
        let schema = checks(
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": {
            "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } } } } } }),
        );
        for (text, as_object, as_schema) in [
            (r#"{"a": 1}"#, true, true),
            (r#"{"a": "1"}"#, true, false),
            ("{}", true, false),
            ("[1]", false, false),
            ("```json\n{\"a\": 1}\n```", false, false),
            ("", false, false),
            (r#"{"a": 1"#, false, false),
        ] {
            let answer = answer(text, &[], FinishReason::Stop);
            assert_eq!(failed(&object, &answer).1.is_empty(), as_object, "{text}");
            assert_eq!(failed(&schema, &answer).1.is_empty(), as_schema, "{text}");
        }
        let cut = answer(r#"{"a": 1}"#, &[], FinishReason::Length);
        assert_eq!(failed(&object, &cut), (2, vec!["complete"]));
    }

    #[test]
    fn calls_must_be_of_tools_that_were_offered() {
        let tools = json!([
            { "type": "function", "function": { "name": "add", "parameters": {
                "type": "object", "required": ["a"], "properties": { "a": { "type": "number" } } } } },
            { "type": "function", "function": { "name": "now" } },
        ]);
        let offered = checks(json!({ "tools": tools }));
        let required = checks(json!({ "tools": tools, "tool_choice": "required" }));
        for (calls, right) in [
            (&[("add", r#"{"a":1}"#)][..], true),
            (&[("add", r#"{"a":1}"#), ("now", "{}")], true),
            (&[("add", r#"{"a":1}"#), ("add", "{}")], false),
            (&[("sub", r#"{"a":1}"#)], false),
            (&[("add", r#"{"a":"#)], false),
            (&[("now", "")], false),
        ] {
            let answer = answer("", calls, FinishReason::ToolCalls);
            assert_eq!(failed(&offered, &answer).1.is_empty(), right, "{calls:?}");
            assert_eq!(failed(&required, &answer).1.is_empty(), right, "{calls:?}");
        }
        let text = answer("no", &[], FinishReason::Stop);
        assert_eq!(failed(&offered, &text), (0, vec![]));
        assert_eq!(failed(&required, &text), (2, vec!["tool_calls"]));
    }

    #[test]
    fn texts_are_found() {
        let both = checks(json!({ "expect": { "contains": "42", "equals": "It is 42." } }));
        assert_eq!(
            failed(&both, &answer(" It is 42.\n", &[], FinishReason::Stop)),
            (3, vec![])
        );
        assert_eq!(
            failed(&both, &answer("42", &[], FinishReason::Stop)).1,
            ["equals"]
        );
        let wrong = answer("41", &[], FinishReason::ContentFilter);
        assert_eq!(failed(&both, &wrong), (3, vec!["complete", "contains", "equals"]));
    }
}
