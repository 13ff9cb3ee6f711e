#![doc = include_str!("../README.md")]

mod chat_chunk;
mod completion;
mod error_envelope;
mod evaluations;
mod judgement;
mod models_list;
mod outcomes;
mod policy_file;
mod predictor;
mod price_string;
pub mod recorded;
mod sse;
mod support;
mod unit_lines;
mod usage;

pub use support::KEY;

/// One reader of untrusted input and what it has promised.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Target {
    /// The name of the fuzz target, and of its folder of seeds.
    pub name: &'static str,
    /// Reads any bytes. Panics if the reader breaks a promise.
    pub run: fn(&[u8]),
    /// Words of the format, for mutations that get past its first check.
    pub dictionary: &'static [&'static str],
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "chat_chunk",
        run: chat_chunk::run,
        dictionary: CHAT_WORDS,
    },
    Target {
        name: "completion",
        run: completion::run,
        dictionary: CHAT_WORDS,
    },
    Target {
        name: "error_envelope",
        run: error_envelope::run,
        dictionary: ERROR_WORDS,
    },
    Target {
        name: "evaluations",
        run: evaluations::run,
        dictionary: EVALUATION_WORDS,
    },
    Target {
        name: "judgement",
        run: judgement::run,
        dictionary: JUDGEMENT_WORDS,
    },
    Target {
        name: "models_list",
        run: models_list::run,
        dictionary: MODEL_WORDS,
    },
    Target {
        name: "outcomes",
        run: outcomes::run,
        dictionary: OUTCOME_WORDS,
    },
    Target {
        name: "policy_file",
        run: policy_file::run,
        dictionary: POLICY_WORDS,
    },
    Target {
        name: "predictor",
        run: predictor::run,
        dictionary: PREDICTOR_WORDS,
    },
    Target {
        name: "price_string",
        run: price_string::run,
        dictionary: PRICE_WORDS,
    },
    Target {
        name: "sse",
        run: sse::run,
        dictionary: SSE_WORDS,
    },
    Target {
        name: "unit_lines",
        run: unit_lines::run,
        dictionary: UNIT_WORDS,
    },
    Target {
        name: "usage",
        run: usage::run,
        dictionary: USAGE_WORDS,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

const POLICY_WORDS: &[&str] = &[
    "{\"single\":0}",
    "{\"single\":3}",
    "{\"mixed\":{\"cheap\":0,\"dear\":1,\"share\":0.5}}",
    "{\"routed\":{\"price\":1e-6}}",
    "{\"routed\":{\"at_least\":0.8}}",
    "\"reference\":",
    "\"model\":\"dear\"",
    "\"rungs\":[",
    "\"variance\":",
    "\"confidence\":0.9999999999999999",
    "\"loss\":",
    "\"against\":null",
    "\"worst_tag\":true",
    "\"policy\":",
    "\"saving\":null",
    "\"not_enough\":",
    "\"certified\":",
    "\"price\":0",
    "\"slope\":",
    "\"scores\":[0,1,0]",
    "\"costs\":[1e308,1e308,1e308]",
    "\"predicted\":",
    "\"tag\":null",
    "1e308",
    "-1e308",
    "5e-324",
    "1e39",
    "0.9999999999999999",
    "1.0000000000000002",
    "-0.0",
    "4294967296",
    "null",
    "\n",
];

const PREDICTOR_WORDS: &[&str] = &[
    "WAYPOSTQ",
    "\"models\":",
    "\"tags\":",
    "\"figures\":",
    "\"steps\":",
    "\"rarest\":",
    "\"nearest\":",
    "\"dimensions\":",
    "\"vectors\":",
    "\"centres\":",
    "null",
    "1e39",
    "-1",
];

const SSE_WORDS: &[&str] = &[
    "data:",
    "data: ",
    "data",
    "event:",
    "id:",
    "retry:",
    ":",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\r\r",
    "\u{feff}",
    "\0",
    "é",
    "\u{10ffff}",
    "[DONE]",
    "99999999999999999999",
];

const CHAT_WORDS: &[&str] = &[
    "data: ",
    "\n\n",
    "[DONE]",
    ": OPENROUTER PROCESSING\n\n",
    "null",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-1",
    "1e400",
    "4294967296",
    "1000000000",
    "\"choices\":",
    "\"delta\":",
    "\"message\":",
    "\"content\":",
    "\"reasoning\":",
    "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"index\":0}]",
    "\"tool_calls\":[{\"index\":0,\"id\":\"a\"}]",
    "\"index\":",
    "\"id\":",
    "\"function\":{\"name\":\"f\",\"arguments\":\"{\"}",
    "\"finish_reason\":\"stop\"",
    "\"finish_reason\":\"error\"",
    "\"native_finish_reason\":\"length\"",
    "\"error\":{\"code\":502,\"message\":\"x\"}",
    "\"usage\":{\"prompt_tokens\":1,\"cost\":0.1}",
    "\"logprobs\":{\"content\":[]}",
    "\"provider\":",
    "\\ud800",
    "canary-key-7f3a91c05d",
    "\"extra\":{\"a\":[1]}",
];

const JUDGEMENT_WORDS: &[&str] = &[
    "{",
    "}",
    "\"verdict\":",
    "\"reason\":",
    "\"A\"",
    "\"B\"",
    "\"tie\"",
    "{\"verdict\":\"A\"}",
    "```json\n",
    "\n```",
    "\\u0041",
    ",",
    "[null,\"A\"]",
    "{\"A\":null}",
    "\u{feff}",
];

const ERROR_WORDS: &[&str] = &[
    "429\n",
    "402\n",
    "200\n",
    "599\n",
    "retry-after: ",
    "x-ratelimit-reset: ",
    "\n\n",
    "-1",
    "1e9",
    "soon",
    "9999999999999",
    "\"error\":",
    "\"message\":",
    "\"code\":",
    "\"metadata\":",
    "\"error_type\":",
    "\"raw\":",
    "\"limit_source\":\"openrouter_free_tier_daily\"",
    "\"resets_at\":\"2026-10-30T00:00:00.000Z\"",
    "\"retry_after_seconds\":",
    "\"availability\":{\"retryable\":true}",
    "\"provider_name\":",
    "\"flagged_input\":",
    "\"headers\":{\"Retry-After\":\"7\"}",
    "null",
    "{}",
    "[]",
    "<html>",
    "canary-key-7f3a91c05d",
    "\u{202e}",
    "\\n",
    "canary-key\\u002d7f3a91c05d",
];

const EVALUATION_WORDS: &[&str] = &[
    "\"model\":\"a/b\"",
    "\"task\":\"extract\"",
    "\"task\":\"coding\"",
    "\"score\":",
    "\"n\":",
    "\"sd\":",
    "{\"model\":\"a/c\",\"task\":\"chat\",\"score\":50,\"n\":9}",
    "\"a\\nb\":1",
    "\\u001b[31m",
    "\u{202e}",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\n",
    "\r\n",
    "\r",
    ",",
    "null",
    "100.0000001",
    "-0.0",
    "71",
    "4294967296",
    "1e-400",
    "NaN",
    "{}",
    "[]",
];

const MODEL_WORDS: &[&str] = &[
    "\"data\":[",
    "\"id\":",
    "\"canonical_slug\":",
    "\"pricing\":{",
    "\"prompt\":\"0.1\"",
    "\"-1\"",
    "\"overrides\":[",
    "\"min_prompt_tokens\":",
    "\"utc_start\":",
    "\"utc_end\":2400",
    "\"discount\":",
    "\"architecture\":{",
    "\"input_modalities\":[\"text\"]",
    "\"context_length\":",
    "\"top_provider\":{",
    "\"supported_parameters\":[",
    "\"reasoning\":{",
    "\"benchmarks\":{",
    "\"total_count\":",
    "null",
    "1e400",
    "-5",
    "{}",
    "[]",
    "\"\"",
    "18446744073709551616",
];

/// Words of units of an experiment.
const UNIT_WORDS: &[&str] = &[
    "\"unit\":",
    "\"arm\":",
    "\"metrics\":",
    "\"covariates\":",
    "\"exposed_at_ms\":",
    "\"excluded\":",
    "\"immature\"",
    "\"forced\"",
    "\"success\":",
    "\"judged\":",
    "\"cost\":",
    "\"priced\":",
    "\"latency_ms\":",
    "\"failed\":",
    "\"calls\":",
    ".count",
    "1e308",
];

const OUTCOME_WORDS: &[&str] = &[
    "\"prompt\":",
    "\"task\":\"coding\"",
    "\"outcomes\":{",
    "\"score\":",
    "\"cost_usd\":",
    "\"latency_ms\":",
    "\"chosen\":\"a\"",
    "\"propensity\":0.5",
    "{\"prompt\":\"x\",\"outcomes\":{\"a\":{\"score\":1}}}\n",
    "\"a\":{\"score\":1,\"cost_usd\":\"0.1\"}",
    "\"1e-12\"",
    "5e-324",
    "-0.0",
    "1e-400",
    "1e400",
    "9223372.036854775807",
    "9223372.036854775808",
    "\u{feff}",
    "\u{202e}",
    "\\u0000",
    "\\ud800",
    "\n",
    "\r\n",
    "null",
    "{}",
    "[]",
];

const PRICE_WORDS: &[&str] = &[
    "0.",
    "e-",
    "E+",
    "1e-28",
    "-1",
    "-0",
    "+",
    "_",
    " ",
    ",",
    "0x",
    "NaN",
    "inf",
    "١",
    "7922816251426433759354395033",
    "0000000000000000000000000000",
    ".",
    "e",
    "99",
    "1",
];

const USAGE_WORDS: &[&str] = &[
    "\"prompt_tokens\":",
    "\"completion_tokens\":",
    "\"total_tokens\":",
    "\"input_tokens\":",
    "\"prompt_tokens_details\":{",
    "\"cached_tokens\":",
    "\"cost\":",
    "\"cost_details\":{",
    "\"is_byok\":true",
    "\"upstream_inference_cost\":",
    "\"server_tool_use\":{",
    "null",
    "-1",
    "1e400",
    "1e-400",
    "0.1e-28",
    "1.0",
    "\"1\"",
    "18446744073709551615",
    "18446744073709551616",
    "{}",
    "[]",
    "NaN",
];
