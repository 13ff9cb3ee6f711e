//! What a call used. A count that is not reported is `None`; a count of zero is `Some(0)`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Why a `usage` object could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Not a JSON object.
    #[error("usage is not a JSON object")]
    NotAnObject(#[source] serde_json::Error),
    /// A count that is no whole number from 0.
    #[error("usage field `{field}` is not a whole number from 0 up")]
    Count {
        /// Which field.
        field: &'static str,
    },
    /// An amount that is no plain decimal number, is negative, or has more digits than 28.
    #[error("usage field `{field}` is not an amount in US dollars")]
    Amount {
        /// Which field.
        field: &'static str,
    },
}

/// What the provider says the call cost, in US dollars, to the last digit it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReportedCost {
    /// What the provider takes from our account.
    pub cost: Option<Decimal>,
    /// Whether the tokens were paid under a key of our own at the upstream. `cost` is then only the fee.
    pub is_byok: Option<bool>,
    /// What the upstream takes. Without a key of our own it repeats `cost` and must not be added to it.
    pub upstream_cost: Option<Decimal>,
    /// The part of `upstream_cost` for the prompt.
    pub upstream_prompt_cost: Option<Decimal>,
    /// The part of `upstream_cost` for the completion.
    pub upstream_completion_cost: Option<Decimal>,
    /// The part of `cost` for tools the provider ran.
    pub server_tool_cost: Option<Decimal>,
}

impl ReportedCost {
    /// What the call cost us in all: `cost`, plus the upstream's part only where the tokens were paid under a key of our own.
    ///
    /// `None` if it cannot be known: `cost` is absent, or the tokens were paid under a key of our own and the upstream's
    /// part is absent. Where the provider does not say whose key it was, it is taken as our own only if the upstream's
    /// part is more than twice `cost`: a fee is a small share of it, while otherwise `cost` is the upstream's part or more.
    pub fn total(&self) -> Option<Decimal> {
        let cost = self.cost?;
        let fee_only = |upstream: Decimal| cost.checked_add(cost).is_some_and(|twice| upstream > twice);
        if self
            .is_byok
            .unwrap_or_else(|| self.upstream_cost.is_some_and(fee_only))
        {
            cost.checked_add(self.upstream_cost?)
        } else {
            Some(cost)
        }
    }
}

/// Tools the provider ran inside the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerToolUse {
    /// Calls the model asked for.
    pub tool_calls_requested: Option<u64>,
    /// Calls that were run.
    pub tool_calls_executed: Option<u64>,
    /// Web searches, already counted in the calls.
    pub web_search_requests: Option<u64>,
}

/// What a call used, in tokens by the model's own tokenizer.
///
/// `cached_tokens` and `cache_write_tokens` are parts of `prompt_tokens`; `reasoning_tokens` is a part of
/// `completion_tokens`. None of them is ever added on top.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: Option<u64>,
    /// Both together, as the provider counts.
    pub total_tokens: Option<u64>,
    /// Prompt tokens read from a cache.
    pub cached_tokens: Option<u64>,
    /// Prompt tokens written to a cache.
    pub cache_write_tokens: Option<u64>,
    /// Of those written, the ones kept for an hour instead of five minutes.
    pub cache_write_1h_tokens: Option<u64>,
    /// Prompt tokens that were audio.
    pub prompt_audio_tokens: Option<u64>,
    /// Prompt tokens that were images.
    pub prompt_image_tokens: Option<u64>,
    /// Prompt tokens that were video.
    pub prompt_video_tokens: Option<u64>,
    /// Answer tokens spent on reasoning.
    pub reasoning_tokens: Option<u64>,
    /// Answer tokens that were audio.
    pub completion_audio_tokens: Option<u64>,
    /// Answer tokens that were images.
    pub completion_image_tokens: Option<u64>,
    /// What the provider says it cost.
    pub reported: ReportedCost,
    /// Tools the provider ran.
    pub server_tools: ServerToolUse,
    /// Whether the whole answer came from the provider's cache of answers: nothing was generated, and nothing is billed.
    /// Told by the answer's head, so it is not part of the `usage` object.
    pub answer_from_cache: bool,
    /// Fields this crate does not name, as the JSON values they came as. Those of a group are kept under the group's
    /// name in chat completions, such as `completion_tokens_details`.
    pub extra: Map<String, Value>,
}

impl Usage {
    /// Counts of prompt and completion, with their sum as the total and no reported cost.
    pub fn of_tokens(prompt: u64, completion: u64) -> Self {
        Self {
            prompt_tokens: Some(prompt),
            completion_tokens: Some(completion),
            total_tokens: prompt.checked_add(completion),
            ..Self::default()
        }
    }

    /// Reads the `usage` object of OpenAI's and OpenRouter's answers (chat, responses and embeddings alike). Amounts are
    /// read from the digits on the wire, never through a float.
    ///
    /// `null` and absent fields are not reported; an empty object is a usage that reports nothing. Where both names of a
    /// field are present, the one of chat completions counts.
    ///
    /// # Errors
    /// [`UsageError`] if the text is no JSON object (`null` is none), or a count or amount is not one; it names the field.
    pub fn from_json(text: &str) -> Result<Self, UsageError> {
        let mut top = Object::read(text, &TOP).map_err(UsageError::NotAnObject)?;
        let prompt = top.group(&PROMPT_DETAILS, &PROMPT);
        let completion = top.group(&COMPLETION_DETAILS, &COMPLETION);
        let cost = top.group(&COST_DETAILS, &COST);
        let tools = top.group(&SERVER_TOOLS, &TOOLS);
        let mut usage = Self {
            prompt_tokens: top.count(&["prompt_tokens", "input_tokens"])?,
            completion_tokens: top.count(&["completion_tokens", "output_tokens"])?,
            total_tokens: top.count(&["total_tokens"])?,
            cached_tokens: prompt.count(&["cached_tokens"])?,
            cache_write_tokens: prompt.count(&["cache_write_tokens"])?,
            cache_write_1h_tokens: prompt.count(&["cache_write_1h_tokens"])?,
            prompt_audio_tokens: prompt.count(&["audio_tokens"])?,
            prompt_image_tokens: prompt.count(&["image_tokens"])?,
            prompt_video_tokens: prompt.count(&["video_tokens"])?,
            reasoning_tokens: completion.count(&["reasoning_tokens"])?,
            completion_audio_tokens: completion.count(&["audio_tokens"])?,
            completion_image_tokens: completion.count(&["image_tokens"])?,
            reported: ReportedCost {
                cost: top.amount(&["cost"])?,
                is_byok: top
                    .first(&["is_byok"])
                    .and_then(|(_, raw)| serde_json::from_str(raw.get()).ok()),
                upstream_cost: cost.amount(&["upstream_inference_cost"])?,
                upstream_prompt_cost: cost
                    .amount(&["upstream_inference_prompt_cost", "upstream_inference_input_cost"])?,
                upstream_completion_cost: cost.amount(&[
                    "upstream_inference_completions_cost",
                    "upstream_inference_output_cost",
                ])?,
                server_tool_cost: cost.amount(&["server_tool_cost"])?,
            },
            server_tools: ServerToolUse {
                tool_calls_requested: tools.count(&["tool_calls_requested"])?,
                tool_calls_executed: tools.count(&["tool_calls_executed"])?,
                web_search_requests: tools.count(&["web_search_requests"])?,
            },
            answer_from_cache: false,
            extra: rest(top.rest),
        };
        for (name, fields) in [
            (PROMPT_DETAILS[0], prompt.rest),
            (COMPLETION_DETAILS[0], completion.rest),
            (COST_DETAILS[0], cost.rest),
            (SERVER_TOOLS[0], tools.rest),
        ] {
            let rest = rest(fields);
            if !rest.is_empty() {
                usage.extra.insert(name.to_owned(), Value::Object(rest));
            }
        }
        Ok(usage)
    }
}

/// The names of the groups, the one of chat completions first.
const PROMPT_DETAILS: [&str; 2] = ["prompt_tokens_details", "input_tokens_details"];
const COMPLETION_DETAILS: [&str; 2] = ["completion_tokens_details", "output_tokens_details"];
const COST_DETAILS: [&str; 1] = ["cost_details"];
const SERVER_TOOLS: [&str; 2] = ["server_tool_use_details", "server_tool_use"];

/// The names this crate knows, by where they stand.
const TOP: [&str; 14] = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost",
    "is_byok",
    PROMPT_DETAILS[0],
    COMPLETION_DETAILS[0],
    COST_DETAILS[0],
    SERVER_TOOLS[0],
    SERVER_TOOLS[1],
    "input_tokens",
    "output_tokens",
    PROMPT_DETAILS[1],
    COMPLETION_DETAILS[1],
];
const PROMPT: [&str; 6] = [
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "image_tokens",
    "video_tokens",
];
const COMPLETION: [&str; 3] = ["reasoning_tokens", "audio_tokens", "image_tokens"];
const COST: [&str; 6] = [
    "upstream_inference_cost",
    "upstream_inference_prompt_cost",
    "upstream_inference_completions_cost",
    "upstream_inference_input_cost",
    "upstream_inference_output_cost",
    "server_tool_cost",
];
const TOOLS: [&str; 3] = [
    "tool_calls_requested",
    "tool_calls_executed",
    "web_search_requests",
];

/// A field's name, borrowed from the text: on its own a `Cow` would copy it.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of one object, read in one pass: those with a known name by its place among the names, the others in the order
/// they came. Of a field given twice the last one counts. Every answer's usage is read.
struct Object<'a, const N: usize> {
    names: &'static [&'static str; N],
    known: [Option<&'a RawValue>; N],
    rest: Vec<(Name<'a>, &'a RawValue)>,
}

impl<'a, const N: usize> Object<'a, N> {
    fn empty(names: &'static [&'static str; N]) -> Self {
        Self {
            names,
            known: [None; N],
            rest: Vec::new(),
        }
    }

    fn read(text: &'a str, names: &'static [&'static str; N]) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = deserializer.deserialize_map(Self::empty(names))?;
        deserializer.end()?;
        Ok(object)
    }

    /// The first of several names that is present and not null.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &'a RawValue)> {
        names.iter().find_map(|name| {
            let at = self.names.iter().position(|known| known == name)?;
            let raw = self.known[at].filter(|raw| raw.get() != "null")?;
            Some((*name, raw))
        })
    }

    /// Reads a group. One that is no object reports nothing and stays among the fields without a name.
    fn group<const M: usize>(
        &mut self,
        group: &[&'static str],
        names: &'static [&'static str; M],
    ) -> Object<'a, M> {
        let Some((name, raw)) = self.first(group) else {
            return Object::empty(names);
        };
        Object::read(raw.get(), names).unwrap_or_else(|_| {
            self.rest.push((Name(Cow::Borrowed(name)), raw));
            Object::empty(names)
        })
    }

    fn count(&self, names: &[&'static str]) -> Result<Option<u64>, UsageError> {
        self.first(names)
            .map(|(field, raw)| raw.get().parse().map_err(|_| UsageError::Count { field }))
            .transpose()
    }

    fn amount(&self, names: &[&'static str]) -> Result<Option<Decimal>, UsageError> {
        self.first(names)
            .map(|(field, raw)| exact_decimal(raw.get()).ok_or(UsageError::Amount { field }))
            .transpose()
    }
}

impl<'de, const N: usize> Visitor<'de> for Object<'de, N> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let raw = map.next_value()?;
            match self.names.iter().position(|known| **known == *name.0) {
                Some(at) => self.known[at] = Some(raw),
                None => self.rest.push((name, raw)),
            }
        }
        Ok(self)
    }
}

fn rest(fields: Vec<(Name<'_>, &RawValue)>) -> Map<String, Value> {
    fields
        .into_iter()
        .filter_map(|(name, raw)| Some((name.0.into_owned(), serde_json::from_str(raw.get()).ok()?)))
        .collect()
}

/// A JSON number from 0 up as a decimal, without loss; `None` if it is not one or does not fit 28 digits.
fn exact_decimal(text: &str) -> Option<Decimal> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    // Zeros at the end of a fraction are no digits that could be lost.
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    let value = Decimal::from_str_exact(digits).ok()?.normalize();
    if value.is_zero() {
        return Some(Decimal::ZERO);
    }
    if value.is_sign_negative() {
        return None;
    }
    // Moving the point never changes the digits, so nothing is rounded.
    let mut digits = value.mantissa();
    let mut scale = i64::from(value.scale()) - i64::from(exponent);
    while scale > i64::from(Decimal::MAX_SCALE) && digits % 10 == 0 {
        (digits, scale) = (digits / 10, scale - 1);
    }
    if scale < 0 {
        let factor = 10i128.checked_pow(u32::try_from(-scale).ok()?)?;
        (digits, scale) = (digits.checked_mul(factor)?, 0);
    }
    Decimal::try_from_i128_with_scale(digits, u32::try_from(scale).ok()?).ok()
}

/// A member of a group as it is written.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Count(u64),
    Amount(Box<RawValue>),
    Extra(&'a Value),
}

fn number(amount: Decimal) -> Option<Box<RawValue>> {
    RawValue::from_string(amount.normalize().to_string()).ok()
}

/// Writes the shape that [`Usage::from_json`] reads, in the words of chat completions. Amounts are JSON numbers with every
/// digit: write to text, since a `serde_json::Value` in between keeps only those that fit a float.
impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let group = |name: &str, counts: &[(&'static str, Option<u64>)]| {
            let counts = counts
                .iter()
                .filter_map(|(name, count)| Some((*name, Member::Count((*count)?))));
            let mut group: BTreeMap<&str, Member<'_>> = counts.collect();
            for (name, value) in self
                .extra
                .get(name)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                group.entry(name).or_insert(Member::Extra(value));
            }
            (!group.is_empty()).then_some(group)
        };
        let mut written = Vec::new();
        let mut map = serializer.serialize_map(None)?;
        for (name, count) in [
            ("prompt_tokens", self.prompt_tokens),
            ("completion_tokens", self.completion_tokens),
            ("total_tokens", self.total_tokens),
        ] {
            if let Some(count) = count {
                map.serialize_entry(name, &count)?;
            }
        }
        let details = group(
            PROMPT_DETAILS[0],
            &[
                ("cached_tokens", self.cached_tokens),
                ("cache_write_tokens", self.cache_write_tokens),
                ("cache_write_1h_tokens", self.cache_write_1h_tokens),
                ("audio_tokens", self.prompt_audio_tokens),
                ("image_tokens", self.prompt_image_tokens),
                ("video_tokens", self.prompt_video_tokens),
            ],
        );
        if let Some(details) = details {
            map.serialize_entry(PROMPT_DETAILS[0], &details)?;
            written.push(PROMPT_DETAILS[0]);
        }
        let details = group(
            COMPLETION_DETAILS[0],
            &[
                ("reasoning_tokens", self.reasoning_tokens),
                ("audio_tokens", self.completion_audio_tokens),
                ("image_tokens", self.completion_image_tokens),
            ],
        );
        if let Some(details) = details {
            map.serialize_entry(COMPLETION_DETAILS[0], &details)?;
            written.push(COMPLETION_DETAILS[0]);
        }
        if let Some(cost) = self.reported.cost.and_then(number) {
            map.serialize_entry("cost", &cost)?;
        }
        if let Some(is_byok) = self.reported.is_byok {
            map.serialize_entry("is_byok", &is_byok)?;
        }
        let mut details = group(COST_DETAILS[0], &[]).unwrap_or_default();
        for (name, amount) in [
            ("upstream_inference_cost", self.reported.upstream_cost),
            (
                "upstream_inference_prompt_cost",
                self.reported.upstream_prompt_cost,
            ),
            (
                "upstream_inference_completions_cost",
                self.reported.upstream_completion_cost,
            ),
            ("server_tool_cost", self.reported.server_tool_cost),
        ] {
            if let Some(amount) = amount.and_then(number) {
                details.insert(name, Member::Amount(amount));
            }
        }
        if !details.is_empty() {
            map.serialize_entry(COST_DETAILS[0], &details)?;
            written.push(COST_DETAILS[0]);
        }
        let tools = group(
            SERVER_TOOLS[0],
            &[
                ("tool_calls_requested", self.server_tools.tool_calls_requested),
                ("tool_calls_executed", self.server_tools.tool_calls_executed),
                ("web_search_requests", self.server_tools.web_search_requests),
            ],
        );
        if let Some(tools) = tools {
            map.serialize_entry(SERVER_TOOLS[0], &tools)?;
            written.push(SERVER_TOOLS[0]);
        }
        for (name, value) in self
            .extra
            .iter()
            .filter(|(name, _)| !written.contains(&name.as_str()))
        {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
