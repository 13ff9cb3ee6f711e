//! What a simulated model answers: text, reasoning, tool calls and why it stopped.

use model_catalogue::ModelRecord;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::fault::Fault;
use crate::request::{Asked, Format, Tool, ToolChoice};
use crate::scenario::AnswerShape;
use crate::upstream::{Dialect, ReasoningStyle, dialect};
use crate::{schema, words};

/// A complete answer, before anybody decides how it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `None` for a model that does not reason here.
    pub(crate) reasoning: Option<Reasoning>,
    pub(crate) content: String,
    pub(crate) calls: Vec<Call>,
    /// What a model that refuses says instead.
    pub(crate) refusal: Option<String>,
    /// Where what it says was found.
    pub(crate) annotations: Vec<Value>,
    pub(crate) finish: &'static str,
    pub(crate) native_finish: &'static str,
    /// Reasoning included.
    pub(crate) completion_tokens: u64,
    pub(crate) reasoning_tokens: u64,
}

/// The reasoning of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reasoning {
    pub(crate) text: String,
    pub(crate) format: Option<&'static str>,
    pub(crate) style: ReasoningStyle,
    /// The signature or the encrypted block, by the style.
    pub(crate) seal: String,
    /// Whether the answer shows it. Its tokens count in any case.
    pub(crate) shown: bool,
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// How often a model that may call a tool does.
const CALLS_A_TOOL: f64 = 0.5;
/// How often it calls a second one at once.
const CALLS_TWO: f64 = 0.25;

/// Composes the answer of a model. It follows from the seed, the model and what is asked; how it is asked for (as a stream,
/// with which limit) only decides how much of it there is.
pub(crate) fn compose(seed: u64, asked: &Asked, model: &ModelRecord, shape: AnswerShape) -> Answer {
    let name = model.id.as_str();
    let about = asked.about.to_le_bytes();
    let parts: [&[u8]; 2] = [name.as_bytes(), &about];
    let dialect = dialect(name);
    let budget = asked
        .max_tokens
        .unwrap_or(u64::MAX)
        .min(model.max_completion_tokens.unwrap_or(u64::MAX));

    let reasoning = reasoning(
        asked,
        model,
        dialect,
        budget,
        &mut Dice::new(seed, "reasoning", &parts),
    );
    let reasoning_tokens = reasoning
        .as_ref()
        .map_or(0, |reasoning| words::tokens(reasoning.text.len()));
    let left = budget.saturating_sub(reasoning_tokens);

    let mut dice = Dice::new(seed, "answer", &parts);
    let tools = tools_to_call(asked, model, &mut dice);
    let mut answer = Answer {
        reasoning,
        content: String::new(),
        calls: Vec::new(),
        refusal: None,
        annotations: Vec::new(),
        finish: "stop",
        native_finish: dialect.stop,
        completion_tokens: 0,
        reasoning_tokens,
    };
    let cut = if tools.is_empty() {
        answer.write(asked, name, shape, left, &mut dice)
    } else {
        answer.call(&tools, dialect, left, &mut dice)
    };
    if !answer.calls.is_empty() {
        // A call that the limit cuts is still announced as a call; only the native reason gives it away.
        (answer.finish, answer.native_finish) = (
            "tool_calls",
            if cut { dialect.length } else { dialect.tool_calls },
        );
    } else if cut {
        (answer.finish, answer.native_finish) = ("length", dialect.length);
    }
    let written: usize = answer
        .calls
        .iter()
        .map(|call| call.name.len() + call.arguments.len())
        .sum();
    answer.completion_tokens = reasoning_tokens + words::tokens(answer.content.len() + written);
    answer
}

impl Answer {
    /// Takes the form in which some upstreams send an answer.
    pub(crate) fn twist(&mut self, fault: Fault, model: &str, dice: &mut Dice) {
        let dialect = dialect(model);
        match fault {
            Fault::Refusal => {
                *self = Self {
                    refusal: Some("I cannot help with that. This refusal is simulated.".to_owned()),
                    finish: "stop",
                    native_finish: dialect.stop,
                    ..self.emptied()
                };
                self.completion_tokens = self.reasoning_tokens + words::tokens(51);
            }
            Fault::ContentFilter => {
                let half = words::tokens(self.content.len()) / 2;
                self.content = words::limit(&self.content, half).to_owned();
                self.calls.clear();
                self.completion_tokens = self.reasoning_tokens + words::tokens(self.content.len());
                (self.finish, self.native_finish) = ("content_filter", "content_filter");
            }
            Fault::Blank => *self = self.emptied(),
            Fault::ToolStop if !self.calls.is_empty() => self.finish = "stop",
            Fault::ToolSameIndex => {
                if let [only] = self.calls.as_slice() {
                    let id = format!("{}{}", dialect.call_prefix, dice.alphanumeric(24));
                    self.calls.push(Call { id, ..only.clone() });
                }
            }
            Fault::ToolTruncated => {
                if let Some(last) = self.calls.last_mut() {
                    let end = last
                        .arguments
                        .char_indices()
                        .nth(last.arguments.chars().count() / 2);
                    last.arguments.truncate(end.map_or(0, |(at, _)| at.max(1)));
                    self.native_finish = dialect.length;
                }
            }
            _ => {}
        }
    }

    /// The same without a word.
    fn emptied(&self) -> Self {
        Self {
            reasoning: None,
            content: String::new(),
            calls: Vec::new(),
            refusal: None,
            annotations: Vec::new(),
            completion_tokens: 0,
            reasoning_tokens: 0,
            ..self.clone()
        }
    }

    /// Says where it was found on the web: nowhere, in truth.
    pub(crate) fn cite(&mut self, dice: &mut Dice) {
        let name = words::name(dice);
        let end = self.content.chars().count();
        self.annotations.push(json!({
            "type": "url_citation",
            "url_citation": {
                "url": format!("https://example.com/{name}"), "title": format!("A simulated page of {name}"),
                "content": words::sentence(dice), "start_index": 0, "end_index": end,
            },
        }));
    }

    /// Writes text or JSON; `true` if the limit cut it.
    fn write(&mut self, asked: &Asked, model: &str, shape: AnswerShape, left: u64, dice: &mut Dice) -> bool {
        let mut text = match &asked.format {
            Format::JsonObject => schema::free_object(&asked.question, dice).to_string(),
            Format::JsonSchema(wanted) => schema::value(wanted, dice).to_string(),
            Format::Text => {
                let (low, high) = shape.range();
                let wanted = u64::from(dice.between(low, high));
                let mut text = words::opening(model, &asked.question);
                while words::tokens(text.len()) < wanted {
                    text.push(' ');
                    text.push_str(&words::sentence(dice));
                }
                text
            }
        };
        if let Some(at) = asked
            .stop
            .iter()
            .filter_map(|stop| text.find(stop.as_str()))
            .min()
        {
            text.truncate(at);
        }
        let kept = words::limit(&text, left);
        let cut = kept.len() < text.len();
        self.content = kept.to_owned();
        cut
    }

    /// Calls tools; `true` if the limit cut a call. With nothing left there is no call at all.
    fn call(&mut self, tools: &[&Tool], dialect: Dialect, left: u64, dice: &mut Dice) -> bool {
        let mut room = usize::try_from(left.saturating_mul(4)).unwrap_or(usize::MAX);
        for tool in tools {
            let Some(rest) = room.checked_sub(tool.name.len()).filter(|rest| *rest > 0) else {
                return true;
            };
            let arguments = match schema::value(&tool.parameters, dice) {
                made @ serde_json::Value::Object(_) => made.to_string(),
                _ => "{}".to_owned(),
            };
            let mut end = arguments.len().min(rest);
            while !arguments.is_char_boundary(end) {
                end -= 1;
            }
            room = rest - end;
            let id = format!("{}{}", dialect.call_prefix, dice.alphanumeric(24));
            self.calls.push(Call {
                id,
                name: tool.name.clone(),
                arguments: arguments[..end].to_owned(),
            });
            if end < arguments.len() {
                return true;
            }
        }
        false
    }
}

/// The tools the model calls now; none if it answers in words.
fn tools_to_call<'a>(asked: &'a Asked, model: &ModelRecord, dice: &mut Dice) -> Vec<&'a Tool> {
    let able = model
        .supported_parameters
        .iter()
        .any(|parameter| parameter == "tools");
    // Whoever has just been given the result of a tool answers, so that a conversation ends.
    let wants = dice.chance(CALLS_A_TOOL) && !asked.after_tool;
    let two = asked.parallel_tools && dice.chance(CALLS_TWO);
    let all: Vec<&Tool> = asked.tools.iter().collect();
    if !able || all.is_empty() {
        return Vec::new();
    }
    match &asked.tool_choice {
        ToolChoice::None => Vec::new(),
        ToolChoice::Auto if !wants => Vec::new(),
        ToolChoice::Function(name) => all
            .into_iter()
            .filter(|tool| tool.name == *name)
            .take(1)
            .collect(),
        ToolChoice::Auto | ToolChoice::Required => (0..if two { 2 } else { 1 })
            .filter_map(|_| dice.pick(&all))
            .collect(),
    }
}

/// Whether the model reasons when asked like this.
fn reasons(asked: &Asked, model: &ModelRecord) -> bool {
    let Some(support) = &model.reasoning else {
        return false;
    };
    support.mandatory
        || asked
            .reasoning
            .enabled
            .unwrap_or(support.default_enabled.unwrap_or(false))
}

fn reasoning(
    asked: &Asked,
    model: &ModelRecord,
    dialect: Dialect,
    budget: u64,
    dice: &mut Dice,
) -> Option<Reasoning> {
    if !reasons(asked, model) {
        return None;
    }
    let default = model
        .reasoning
        .as_ref()
        .and_then(|support| support.default_effort.as_deref());
    let steps = match asked.reasoning.effort.as_deref().or(default) {
        Some("none" | "minimal") => 1,
        Some("low") => 2,
        Some("high") => 6,
        Some("xhigh" | "max") => 9,
        _ => 4,
    };
    let thoughts: Vec<&str> = (0..steps).map(|_| words::thought(dice)).collect();
    let text = format!("Simulated reasoning. {}", thoughts.join(" "));
    let most = budget.min(asked.reasoning.max_tokens.unwrap_or(u64::MAX));
    Some(Reasoning {
        text: words::limit(&text, most).to_owned(),
        format: dialect.reasoning_format,
        style: dialect.reasoning,
        seal: dice.alphanumeric(48),
        shown: !asked.reasoning.exclude,
    })
}

#[cfg(test)]
mod tests {
    use model_catalogue::ReasoningSupport;

    use super::*;
    use crate::request::read;

    fn model(id: &str) -> ModelRecord {
        let mut model = ModelRecord::new(id.parse().unwrap());
        model.supported_parameters = vec!["tools".to_owned()];
        model
    }

    fn thinker(id: &str) -> ModelRecord {
        let (mut model, mut support) = (model(id), ReasoningSupport::default());
        support.default_enabled = Some(true);
        model.reasoning = Some(support);
        model
    }

    fn asked(more: Value) -> Asked {
        let mut body =
            json!({ "model": "a/b", "messages": [{ "role": "user", "content": "Tell me of boats" }] });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        read(body.as_object().unwrap()).unwrap()
    }

    fn answer(more: Value, model: &ModelRecord, seed: u64) -> Answer {
        compose(seed, &asked(more), model, AnswerShape::default())
    }

    #[test]
    fn the_text_says_that_it_is_simulated_and_follows_from_the_seed() {
        let one = answer(json!({}), &model("a/b"), 1);
        assert!(
            one.content.contains("simulated") && one.content.contains("a/b") && one.content.contains("boats")
        );
        assert_eq!((one.finish, one.reasoning_tokens), ("stop", 0));
        assert!(
            (30..230).contains(&one.completion_tokens),
            "{}",
            one.completion_tokens
        );
        assert_eq!(one, answer(json!({}), &model("a/b"), 1));
        assert_ne!(one, answer(json!({}), &model("a/b"), 2));
        assert_ne!(one.content, answer(json!({}), &model("a/c"), 1).content);
        assert_eq!(one, answer(json!({ "stream": true }), &model("a/b"), 1));
    }

    #[test]
    fn a_limit_gives_the_start_of_the_same_text() {
        let full = answer(json!({}), &model("anthropic/b"), 1);
        for most in 1..full.completion_tokens {
            let cut = answer(json!({ "max_tokens": most }), &model("anthropic/b"), 1);
            assert!(full.content.starts_with(&cut.content));
            assert_eq!((cut.finish, cut.native_finish), ("length", "max_tokens"));
            assert!(cut.completion_tokens <= most);
        }
        let mut small = model("a/b");
        small.max_completion_tokens = Some(3);
        assert_eq!(answer(json!({}), &small, 1).completion_tokens, 3);
        let stopped = answer(json!({ "stop": ["place"] }), &model("a/b"), 1);
        assert_eq!(
            (stopped.content.as_str(), stopped.finish),
            ("This is a simulated answer in ", "stop")
        );
    }

    #[test]
    fn reasoning_comes_when_asked_for_and_counts() {
        let shown = answer(json!({}), &thinker("openai/o"), 1);
        let reasoning = shown.reasoning.unwrap();
        assert!(reasoning.shown && reasoning.text.starts_with("Simulated reasoning."));
        assert_eq!(reasoning.format, Some("openai-responses-v1"));
        assert!(shown.reasoning_tokens > 10 && shown.completion_tokens > shown.reasoning_tokens);
        let hidden = answer(
            json!({ "reasoning": { "exclude": true } }),
            &thinker("openai/o"),
            1,
        );
        assert!(!hidden.reasoning.unwrap().shown && hidden.reasoning_tokens > 0);
        assert_eq!(
            answer(
                json!({ "reasoning": { "effort": "none" } }),
                &thinker("openai/o"),
                1
            )
            .reasoning,
            None
        );
        assert_eq!(
            answer(
                json!({ "reasoning": { "effort": "high" } }),
                &model("openai/o"),
                1
            )
            .reasoning,
            None
        );
        let tokens = |effort: &str| {
            answer(json!({ "reasoning": { "effort": effort } }), &thinker("a/b"), 1).reasoning_tokens
        };
        assert!(tokens("minimal") < tokens("low") && tokens("low") < tokens("medium"));
        assert!(tokens("medium") < tokens("high") && tokens("high") < tokens("max"));
        assert_eq!(
            answer(json!({ "reasoning": { "max_tokens": 5 } }), &thinker("a/b"), 1).reasoning_tokens,
            5
        );
        // All of the limit went into reasoning.
        let starved = answer(json!({ "max_tokens": 8 }), &thinker("a/b"), 1);
        assert_eq!(
            (
                starved.content.as_str(),
                starved.finish,
                starved.completion_tokens
            ),
            ("", "length", 8)
        );
    }

    fn tool(choice: Value) -> Value {
        let parameters =
            json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } } });
        json!({ "tools": [{ "type": "function", "function": { "name": "weather", "parameters": parameters } }], "tool_choice": choice })
    }

    #[test]
    fn tools_are_called_when_required_and_sometimes_otherwise() {
        for seed in 0..20 {
            let called = answer(tool(json!("required")), &model("google/g"), seed);
            assert_eq!(
                (called.finish, called.native_finish, called.content.as_str()),
                ("tool_calls", "STOP", "")
            );
            for call in &called.calls {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                assert!(
                    arguments["city"].is_string() && call.id.starts_with("tool_") && call.name == "weather"
                );
            }
            assert!(answer(tool(json!("none")), &model("a/b"), seed).calls.is_empty());
        }
        let called = |seed| answer(tool(json!("auto")), &model("a/b"), seed).calls.len();
        let counts: Vec<usize> = (0..200).map(called).collect();
        assert!(
            (70..130).contains(&counts.iter().filter(|count| **count > 0).count()),
            "{counts:?}"
        );
        assert!(counts.contains(&2));
        // Once the tool has answered, the model does.
        let mut after = tool(json!("auto"));
        let result = json!({ "role": "tool", "tool_call_id": "1", "content": "sunny" });
        after["messages"] = json!([{ "role": "user", "content": "x" }, result]);
        assert!((0..50).all(|seed| answer(after.clone(), &model("a/b"), seed).calls.is_empty()));
        let named = json!({ "type": "function", "function": { "name": "weather" } });
        assert_eq!(answer(tool(named), &model("a/b"), 1).calls.len(), 1);
        // A model that has no tools ignores them.
        let mut plain = model("a/b");
        plain.supported_parameters.clear();
        assert!(answer(tool(json!("required")), &plain, 1).calls.is_empty());
    }

    #[test]
    fn a_call_cut_by_the_limit_is_still_called_a_call() {
        let mut body = tool(json!("required"));
        body["max_tokens"] = json!(4);
        let cut = answer(body.clone(), &model("openai/o"), 3);
        assert_eq!(
            (cut.finish, cut.native_finish),
            ("tool_calls", "max_output_tokens")
        );
        assert!(serde_json::from_str::<Value>(&cut.calls[0].arguments).is_err());
        assert!(cut.completion_tokens <= 4);
        body["max_tokens"] = json!(1);
        let nothing = answer(body, &model("openai/o"), 3);
        assert_eq!((nothing.finish, nothing.calls.len()), ("length", 0));
        let mut odd = tool(json!("required"));
        odd["tools"][0]["function"]["parameters"] = json!({ "type": "string" });
        assert_eq!(answer(odd, &model("a/b"), 1).calls[0].arguments, "{}");
    }

    #[test]
    fn json_is_json_and_follows_the_schema() {
        let object = answer(
            json!({ "response_format": { "type": "json_object" } }),
            &model("a/b"),
            1,
        );
        assert!(
            serde_json::from_str::<Value>(&object.content).unwrap()["simulated"]
                .as_bool()
                .unwrap()
        );
        let schema =
            json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" } } });
        let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
        let made = answer(json!({ "response_format": format }), &model("a/b"), 1);
        assert!(serde_json::from_str::<Value>(&made.content).unwrap()["n"].is_i64());
    }
}
