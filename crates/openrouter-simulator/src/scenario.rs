//! Scenario files: which failures come, when, and how often.

pub(crate) mod account;
pub(crate) mod rules;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use account::AccountShape;
use rules::{LatencyRule, Rule, StatusRule, latency_rules, rules, status_rules};
use values::milliseconds;

use crate::fields::Fields;

/// How the simulated service behaves, as written in a scenario file (TOML). Without one nothing fails.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(default)]
    pub(crate) answer: AnswerShape,
    #[serde(default)]
    pub(crate) generation: GenerationShape,
    #[serde(default)]
    pub(crate) keys: Keys,
    #[serde(default)]
    pub(crate) account: AccountShape,
    /// Fields of chat requests, by the slug of the preset.
    #[serde(default, rename = "preset")]
    pub(crate) presets: BTreeMap<String, Fields>,
    #[serde(default, rename = "endpoint", deserialize_with = "status_rules")]
    pub(crate) statuses: Vec<StatusRule>,
    #[serde(default, rename = "rule", deserialize_with = "rules")]
    pub(crate) rules: Vec<Rule>,
    #[serde(default, rename = "latency", deserialize_with = "latency_rules")]
    pub(crate) latencies: Vec<LatencyRule>,
}

/// A scenario that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be opened.
    #[error("the scenario {path} cannot be read: {message}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        message: String,
    },
    /// The text is not a scenario.
    #[error("the scenario is wrong in line {line}, column {column}: {message}")]
    Invalid {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}

impl Scenario {
    /// Reads the text of a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError::Invalid`] with the place, for a syntax error, an unknown key or a value out of range.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let before = text.get(..at).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            ScenarioError::Invalid {
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message: error.message().trim().replace('\n', " "),
            }
        })
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`] if it cannot be opened or is no scenario.
    pub fn open(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable {
            path: path.display().to_string(),
            message: error.to_string(),
        })?;
        Self::read(&text)
    }
}

impl std::str::FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        Self::read(text)
    }
}

/// How long the answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AnswerShape {
    /// The shortest text, in estimated tokens.
    pub(crate) min_tokens: Tokens,
    /// The longest.
    pub(crate) max_tokens: Tokens,
}

impl Default for AnswerShape {
    fn default() -> Self {
        Self {
            min_tokens: Tokens(30),
            max_tokens: Tokens(160),
        }
    }
}

impl AnswerShape {
    pub(crate) fn of(range: &RangeInclusive<u32>) -> Self {
        let clip = |tokens: u32| Tokens(tokens.clamp(1, MAX_ANSWER_TOKENS));
        Self {
            min_tokens: clip(*range.start()),
            max_tokens: clip(*range.end()),
        }
    }

    pub(crate) fn range(self) -> (u32, u32) {
        (self.min_tokens.0, self.max_tokens.0.max(self.min_tokens.0))
    }
}

/// The longest answer that can be asked for: an answer is made whole in memory before it is sent.
const MAX_ANSWER_TOKENS: u32 = 1_000_000;

/// A number of tokens from 1 to a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens(pub(crate) u32);

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tokens = i64::deserialize(deserializer)?;
        u32::try_from(tokens)
            .ok()
            .filter(|tokens| (1..=MAX_ANSWER_TOKENS).contains(tokens))
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format_args!(
                    "tokens are from 1 to {MAX_ANSWER_TOKENS}, not {tokens}"
                ))
            })
    }
}

/// When a generation can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerationShape {
    /// How long `GET /generation` answers 404 after the call.
    #[serde(default, rename = "delay_ms", deserialize_with = "milliseconds")]
    pub(crate) delay: Option<Duration>,
    /// Whether prompts and answers are kept for `GET /generation/content`.
    #[serde(default)]
    pub(crate) content: bool,
}

/// Which keys are refused.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// Keys that the service does not know.
    #[serde(default)]
    pub(crate) invalid: Vec<String>,
    /// Keys for administration, besides those that start with `sk-or-v1-management`.
    #[serde(default)]
    pub(crate) management: Vec<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Somebody may list a real key here.
        f.debug_struct("Keys")
            .field("invalid", &self.invalid.len())
            .field("management", &self.management.len())
            .finish()
    }
}

/// Which requests a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Route {
    #[default]
    Chat,
    Completions,
    Responses,
    Messages,
    Embeddings,
    Rerank,
    Models,
    ModelsCount,
    ModelsUser,
    Model,
    Endpoints,
    EndpointsZdr,
    Providers,
    Generation,
    GenerationContent,
    GenerationFeedback,
    Key,
    Credits,
    Keys,
    Activity,
    AuthKeys,
    AuthKeysCode,
    CreditsCoinbase,
}

impl Route {
    /// Whether text is generated there: the same service in four skins.
    pub(crate) fn generates(self) -> bool {
        matches!(
            self,
            Self::Chat | Self::Completions | Self::Responses | Self::Messages
        )
    }

    /// Whether a request names a model there, which upstreams serve.
    pub(crate) fn has_model(self) -> bool {
        self.generates() || matches!(self, Self::Embeddings | Self::Rerank)
    }

    /// Whether a rule of the route `self` is about requests of `other`: what happens to chat happens to its skins.
    pub(crate) fn covers(self, other: Self) -> bool {
        self == other || (self == Self::Chat && other.generates())
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::dice::Dice;
    use crate::fault::{Fault, RetryForm};

    fn error(text: &str) -> (usize, String) {
        match Scenario::read(text) {
            Err(ScenarioError::Invalid { line, message, .. }) => (line, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_scenario_is_read() {
        let scenario = Scenario::read(
            r#"
[answer]
min_tokens = 5
max_tokens = 9
[generation]
delay_ms = 1500
[keys]
invalid = ["sk-or-v1-old"]
[[rule]]
model = "openai/*"
upstream = "azure"
probability = 0.5
fault = 503
retry_after = 3
from_request = 2
to_request = 4
after = 1.5
until = 60
[[rule]]
route = "key"
fault = "hang"
delay_ms = 20
"#,
        )
        .unwrap();
        assert_eq!(scenario.answer.range(), (5, 9));
        assert_eq!(scenario.generation.delay, Some(Duration::from_millis(1500)));
        let rule = &scenario.rules[0];
        assert_eq!(
            (rule.draw(&mut Dice::new(1, "x", &[])), rule.retry_after),
            (Some(Fault::Status(503)), Some(RetryForm::Seconds(3)))
        );
        assert!(rule.is_about(Route::Chat, &["x", "openai/y"], &["Azure", "azure"]));
        assert!(!rule.is_about(Route::Chat, &["openai/y"], &["OpenAI"]));
        assert!(!rule.is_about(Route::Chat, &["a/b"], &["azure"]));
        assert!(!rule.is_about(Route::Key, &[], &[]));
        let at = Duration::from_secs(2);
        assert!(rule.is_in_force(2, at) && rule.is_in_force(4, at));
        assert!(!rule.is_in_force(1, at) && !rule.is_in_force(5, at));
        assert!(
            !rule.is_in_force(2, Duration::from_secs(1)) && !rule.is_in_force(2, Duration::from_secs(60))
        );
        assert!(scenario.rules[1].is_about(Route::Key, &[], &[]));
        assert!(!format!("{scenario:?}").contains("sk-or-v1-old"));
    }

    #[test]
    fn an_empty_scenario_is_the_default() {
        assert_eq!(Scenario::read("").unwrap(), Scenario::default());
        assert_eq!(AnswerShape::of(&RangeInclusive::new(9, 3)).range(), (9, 9));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(error("[[rule]]\nfault = \"503\"\nmodle = \"a\"\n").0, 3);
        assert!(
            error("[[rule]]\nfault = \"503\"\nmodle = \"a\"\n")
                .1
                .contains("modle")
        );
        assert_eq!(error("[[rule]]\nfault = 'boom'\n").0, 2);
        assert!(error("[[rule]]\nfault = 'boom'\n").1.contains("error-mid"));
        assert_eq!(error("\n\n[[rule]]\nfault = 503\nprobability = 1.5\n").0, 5);
        assert_eq!(error("[answer]\nmin_tokens = 0\n").0, 2);
        assert_eq!(error("[generation]\ndelay_ms = -1\n").0, 2);
        assert_eq!(error("[[rule]]\nfault = 503\nuntil = -4\n").0, 3);
        assert_eq!(error("[[rule]\n").0, 1);
        for (text, part) in [
            ("[[rule]]\nmodel = 'a'\n", "rule 1"),
            (
                "[[rule]]\nfault = 503\n[[rule]]\nfault=503\nfrom_request = 4\nto_request = 3\n",
                "rule 2",
            ),
            ("[[rule]]\nfault = 503\nafter = 4\nuntil = 4\n", "until"),
            (
                "[[rule]]\nroute = 'models'\nmodel = 'a'\nfault = 503\n",
                "belong to",
            ),
            (
                "[[rule]]\nroute = 'models'\nfault = 'error-mid'\n",
                "such as `chat`",
            ),
        ] {
            assert!(error(text).1.contains(part), "{:?}", error(text));
        }
    }

    #[test]
    fn faults_are_mixed_by_weight() {
        let scenario = Scenario::read("[[rule]]\nfaults = { '503' = 3, 'error-mid' = 1 }\n").unwrap();
        let mut dice = Dice::new(1, "mix", &[]);
        let drawn: Vec<_> = (0..1_000)
            .map(|_| scenario.rules[0].draw(&mut dice).unwrap())
            .collect();
        let overloaded = drawn.iter().filter(|fault| **fault == Fault::Status(503)).count();
        assert!((700..800).contains(&overloaded), "{overloaded}");
        assert!(
            drawn
                .iter()
                .all(|fault| matches!(fault, Fault::Status(503) | Fault::ErrorMid))
        );
        for (text, line, part) in [
            ("[[rule]]\nfaults = { '503' = 0 }\n", 2, "weight"),
            ("[[rule]]\nfaults = { boom = 1 }\n", 2, "error-mid"),
            ("[[rule]]\nfault = 503\nfaults = { '503' = 1 }\n", 1, "not both"),
            ("[[rule]]\nfault = 429\nretry_after = 'soon'\n", 3, "soon"),
            ("[[latency]]\nmodel = 'x'\n", 1, "latency 1"),
            ("[[latency]]\nfirst_ms = 0\n", 2, "distribution"),
            ("[[latency]]\nfirst_ms = 5\nspeed = 1\n", 3, "speed"),
        ] {
            let (at, message) = error(text);
            assert!(message.contains(part), "{message}");
            assert_eq!(at, line, "{text}: {message}");
        }
    }

    #[test]
    fn an_account_is_read_and_its_money_is_exact() {
        let text = "[account]\ncredits = '12.345678901234567890'\nused = 2\nbyok = ['azure']\nlow_balance = 5\n\
            in_flight_share = '0.25'\n[account.key_limit]\nlimit = 1\nreset = 'weekly'\nstatus = 403\n\
            [[account.budget]]\nscope = 'workspace'\nlimit = '0.5'\nreset = 'monthly'\n";
        let account = Scenario::read(text).unwrap().account;
        assert_eq!(account.credits.unwrap().0.to_string(), "12.345678901234567890");
        assert_eq!(
            (account.in_flight_share, account.budgets.len()),
            (Decimal::new(25, 2), 1)
        );
        assert_eq!(account.key_limit.unwrap().status, 403);
        for (text, line, part) in [
            ("[account]\ncredits = 1.5\n", 2, "2.50"),
            ("[account]\ncredit = 1\n", 2, "credit"),
            ("[account]\nin_flight_share = 2\n", 2, "share"),
            ("[account.key_limit]\nlimit = 1\nstatus = 404\n", 3, "402 or 403"),
            (
                "[[account.budget]]\nscope = 'team'\nlimit = 1\nreset = 'daily'\n",
                2,
                "team",
            ),
        ] {
            let (at, message) = error(text);
            assert!(
                at == line && message.contains(part),
                "{text}: line {at}: {message}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Scenario::open(Path::new("no-such-folder/scenario.toml"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-such-folder/scenario.toml"), "{error}");
    }
}
