//! What can be said of an answer without reading it: whether it has the form it was asked for.

use std::collections::BTreeMap;

use integration_core::chat::{ChatResponse, Choice, Content, FinishReason, ResponseFormat, Tool, ToolCall};
use routing::Verdict;
use serde::Deserialize;
use serde_json::Value;

use crate::schema::{Bounds, Schema};

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
    tools: BTreeMap<String, Option<Schema>>,
    must: Must,
    /// Whether an answer may be cut: the caller said how long it may be, and a dearer model would be cut too.
    may_be_cut: bool,
    expect: Expect,
}

/// Which tools an answer must call.
#[derive(Debug, Default, PartialEq, Eq)]
enum Must {
    #[default]
    None,
    Any,
    Function(String),
}

impl Must {
    fn of(choice: &Value) -> Self {
        if choice == "required" {
            return Self::Any;
        }
        let word = |of: &Value, field: &str| of.get(field).and_then(Value::as_str).map(str::to_owned);
        match choice.get("type").and_then(Value::as_str) {
            Some("function") => {
                let name = choice.get("function").and_then(|function| word(function, "name"));
                name.or_else(|| word(choice, "name"))
                    .map_or(Self::Any, Self::Function)
            }
            // Which tools may be called says nothing of whether one must be.
            Some("allowed_tools") => {
                let mode = choice
                    .get("allowed_tools")
                    .and_then(|allowed| word(allowed, "mode"));
                match mode.or_else(|| word(choice, "mode")).as_deref() {
                    Some("required") => Self::Any,
                    _ => Self::None,
                }
            }
            _ => Self::None,
        }
    }
}

/// What is wrong with the fields that say what answers are held against.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The field.
    pub(crate) param: &'static str,
    /// One sentence.
    pub(crate) why: String,
}

impl Wrong {
    fn new(param: &'static str, why: impl Into<String>) -> Self {
        Self {
            param,
            why: why.into(),
        }
    }
}

#[derive(Debug)]
enum Format {
    Object,
    Schema(Schema),
}

impl Checks {
    /// What a request's own fields and its author's expectations come to.
    ///
    /// # Errors
    /// What is wrong with a schema, or which bound it is over.
    pub(crate) fn new(
        format: Option<&ResponseFormat>,
        tools: &[Tool],
        choice: Option<&Value>,
        expect: Expect,
    ) -> Result<Self, Wrong> {
        let mut bounds = Bounds::default();
        let format = match format {
            None => None,
            Some(format) => match format.kind.as_str() {
                "json_object" => Some(Format::Object),
                "json_schema" => {
                    let schema = format
                        .fields
                        .get("json_schema")
                        .and_then(|named| named.get("schema"));
                    let param = "response_format";
                    let none = || Wrong::new(param, "`response_format` has no `json_schema.schema`");
                    let schema = schema.ok_or_else(none)?;
                    Some(Format::Schema(compile(schema, param, &mut bounds)?))
                }
                _ => None,
            },
        };
        let functions = tools.iter().filter_map(|tool| tool.fields.get("function"));
        let tools = functions
            .map(|function| {
                let name = function.get("name").and_then(Value::as_str);
                let none = || Wrong::new("tools", "`tools` has a function without a name");
                let name = name.ok_or_else(none)?;
                let form = function
                    .get("parameters")
                    .map(|schema| compile(schema, "tools", &mut bounds))
                    .transpose()?;
                Ok((name.to_owned(), form))
            })
            .collect::<Result<_, Wrong>>()?;
        Ok(Self {
            format,
            tools,
            must: choice.map_or(Must::None, Must::of),
            may_be_cut: false,
            expect,
        })
    }

    /// The same where the caller said how long an answer may be, or did not: one that is cut there came to its end.
    pub(crate) const fn with_limit(mut self, is_set: bool) -> Self {
        self.may_be_cut = is_set;
        self
    }

    /// Whether any check may be made.
    pub(crate) fn may_check(&self) -> bool {
        let Expect { contains, equals } = &self.expect;
        let on_tools = !self.tools.is_empty() || self.must != Must::None;
        self.format.is_some() || on_tools || contains.is_some() || equals.is_some()
    }

    /// Holds an answer against them, with every choice in it. Where there are none, nothing is checked: that an answer ended well
    /// says little.
    pub(crate) fn of(&self, response: &ChatResponse) -> Vec<Check> {
        let choices = &response.choices;
        let mut checks = Vec::new();
        let mut check = |name, of: &dyn Fn(&Choice, &str) -> Result<(), String>| {
            let one = |choice| of(choice, &text(choice));
            let failure = present(choices)
                .and_then(|choices| choices.iter().try_for_each(one))
                .err();
            let failure = failure.map(|why| why.chars().take(MOST_DETAIL).collect());
            checks.push(Check { name, failure });
        };
        // An answer that calls a tool has its form another time.
        let has_form = |choice: &Choice| choice.message.tool_calls.is_empty() || !text(choice).is_empty();
        if let Some(format) = self
            .format
            .as_ref()
            .filter(|_| choices.is_empty() || choices.iter().any(has_form))
        {
            let name = match format {
                Format::Object => "json",
                Format::Schema(_) => "schema",
            };
            check(name, &|choice, text| match format {
                _ if !has_form(choice) => Ok(()),
                Format::Object => object(text),
                Format::Schema(schema) => schema.check(text),
            });
        }
        let calls = |choice: &Choice| !choice.message.tool_calls.is_empty();
        if self.must != Must::None || choices.iter().any(calls) {
            check("tool_calls", &|choice, _| self.calls(&choice.message.tool_calls));
        }
        if let Some(part) = &self.expect.contains {
            check("contains", &|_, text| {
                must(text.contains(part.as_str()), "the text is not in it")
            });
        }
        if let Some(whole) = &self.expect.equals {
            check("equals", &|_, text| {
                must(text.trim() == whole.trim(), "it is another text")
            });
        }
        if !checks.is_empty() {
            let failure = self.complete(choices).err();
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
        let complete = self
            .complete(&response.choices)
            .map_err(|why| format!("complete: {why}"));
        let failed = |check: Check| Some(format!("{}: {}", check.name, check.failure?));
        let failed = complete
            .err()
            .or_else(|| self.of(response).into_iter().find_map(failed));
        failed.map_or(Verdict::Accepted, Verdict::Rejected)
    }

    fn complete(&self, choices: &[Choice]) -> Result<(), String> {
        present(choices)?
            .iter()
            .try_for_each(|choice| ended(choice, self.may_be_cut))
    }

    fn calls(&self, calls: &[ToolCall]) -> Result<(), String> {
        must(self.must == Must::None || !calls.is_empty(), "no tool is called")?;
        calls.iter().try_for_each(|call| self.call(call))
    }

    fn call(&self, call: &ToolCall) -> Result<(), String> {
        let name = &call.function.name;
        if let Must::Function(wanted) = &self.must
            && wanted != name
        {
            return Err(format!("'{name}' is called and not '{wanted}'"));
        }
        let form = self
            .tools
            .get(name)
            .ok_or_else(|| format!("there is no tool '{name}'"))?;
        let arguments = &call.function.arguments;
        let fits = form
            .as_ref()
            .map_or_else(|| json(arguments).map(|_| ()), |schema| schema.check(arguments));
        fits.map_err(|why| format!("{name}: {why}"))
    }
}

fn compile(schema: &Value, param: &'static str, bounds: &mut Bounds) -> Result<Schema, Wrong> {
    let wrong = |why| Wrong::new(param, format!("`{param}` has a schema that is not taken: {why}"));
    Schema::new(schema, bounds).map_err(wrong)
}

fn present(choices: &[Choice]) -> Result<&[Choice], String> {
    must(!choices.is_empty(), "there is no answer in it").map(|()| choices)
}

fn text(choice: &Choice) -> String {
    choice
        .message
        .content
        .as_ref()
        .map_or_else(String::new, Content::text)
}

fn must(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

fn object(text: &str) -> Result<(), String> {
    must(json(text)?.is_object(), "JSON, but no object")
}

/// Whether an answer came to an end of its own, or to the one that its caller set.
fn ended(choice: &Choice, may_be_cut: bool) -> Result<(), String> {
    match &choice.finish_reason {
        _ if choice.tool_calls_truncated() => Err("a tool call is cut at the limit".to_owned()),
        Some(FinishReason::Stop | FinishReason::ToolCalls) => Ok(()),
        Some(FinishReason::Length) if may_be_cut => Ok(()),
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
    fn which_tools_must_be_called_is_read_from_the_choice() {
        let tools = json!([
            { "type": "function", "function": { "name": "add" } },
            { "type": "function", "function": { "name": "now" } },
        ]);
        let named = json!({ "type": "function", "function": { "name": "add" } });
        let allowed = |mode: &str| json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": tools } });
        // Whether a text will do, a call of `now`, one of `add`, and both.
        for (choice, takes) in [
            (json!("auto"), [true, true, true, true]),
            (json!("none"), [true, true, true, true]),
            (json!("required"), [false, true, true, true]),
            (named, [false, false, true, false]),
            (allowed("auto"), [true, true, true, true]),
            (allowed("required"), [false, true, true, true]),
            (
                json!({ "type": "allowed_tools", "mode": "auto" }),
                [true, true, true, true],
            ),
            (
                json!({ "type": "allowed_tools", "mode": "required" }),
                [false, true, true, true],
            ),
            (json!({}), [true, true, true, true]),
        ] {
            let checks = checks(json!({ "tools": tools, "tool_choice": choice }));
            let (now, add) = (("now", "{}"), ("add", "{}"));
            let answers = [
                answer("text", &[], FinishReason::Stop),
                answer("", &[now], FinishReason::ToolCalls),
                answer("", &[add], FinishReason::ToolCalls),
                answer("", &[add, now], FinishReason::ToolCalls),
            ];
            let taken = answers.map(|answer| checks.verdict(&answer) == Verdict::Accepted);
            assert_eq!(taken, takes, "{choice}");
        }
    }

    #[test]
    fn an_answer_cut_where_its_caller_said_is_good_enough_but_for_its_form() {
        let cut = |text: &str| answer(text, &[], FinishReason::Length);
        let is_taken = |checks: Checks, text: &str, limit: bool| {
            checks.with_limit(limit).verdict(&cut(text)) == Verdict::Accepted
        };
        let object = || checks(json!({ "response_format": { "type": "json_object" } }));
        assert!(is_taken(Checks::default(), "Once upon", true));
        assert!(!is_taken(Checks::default(), "Once upon", false));
        assert!(is_taken(object(), "{}", true));
        assert!(!is_taken(object(), "{\"a\": ", true));
        let called = answer("", &[("now", "{}")], FinishReason::Length);
        let tools = checks(json!({ "tools": [{ "type": "function", "function": { "name": "now" } }] }));
        assert!(matches!(
            tools.with_limit(true).verdict(&called),
            Verdict::Rejected(_)
        ));
    }

    #[test]
    fn every_choice_is_checked() {
        let object = checks(json!({ "response_format": { "type": "json_object" } }));
        let both = |second: ChatResponse| {
            let mut first = answer("{}", &[], FinishReason::Stop);
            first.choices.extend(second.choices);
            first
        };
        let stop = FinishReason::Stop;
        assert_eq!(
            failed(&object, &both(answer("{}", &[], stop.clone()))),
            (2, vec![])
        );
        assert_eq!(
            failed(&object, &both(answer("no", &[], stop.clone()))),
            (2, vec!["json"])
        );
        let filtered = both(answer("{}", &[], FinishReason::ContentFilter));
        assert_eq!(failed(&object, &filtered), (2, vec!["complete"]));
        let none = ChatResponse::new(Vec::new());
        assert_eq!(failed(&object, &none), (2, vec!["complete", "json"]));
        let called = answer("", &[("now", "{}")], FinishReason::ToolCalls);
        let required = checks(json!({ "tool_choice": "required",
            "tools": [{ "type": "function", "function": { "name": "now" } }] }));
        assert_eq!(failed(&required, &called), (2, vec![]));
        let mut mixed = called.clone();
        mixed.choices.extend(answer("text", &[], stop).choices);
        assert_eq!(failed(&required, &mixed), (2, vec!["tool_calls"]));
    }

    #[test]
    fn a_schema_at_fault_is_told_with_its_field() {
        let wrong = json!({ "type": "no such type" });
        let tools: Vec<Tool> = serde_json::from_value(
            json!([{ "type": "function", "function": { "name": "a", "parameters": wrong } }]),
        )
        .unwrap();
        let wrong = Checks::new(None, &tools, None, Expect::default()).unwrap_err();
        assert_eq!(wrong.param, "tools");
        assert!(wrong.why.starts_with("`tools`"), "{}", wrong.why);
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
