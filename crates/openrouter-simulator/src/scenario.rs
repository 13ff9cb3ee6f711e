//! Scenario files: which failures come, when, and how often.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;

use crate::fault::{Fault, matches};

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
    #[serde(default, rename = "rule", deserialize_with = "rules")]
    pub(crate) rules: Vec<Rule>,
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
}

/// Which keys are refused.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// Keys that the service does not know.
    #[serde(default)]
    pub(crate) invalid: Vec<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Somebody may list a real key here.
        f.debug_struct("Keys")
            .field("invalid", &self.invalid.len())
            .finish()
    }
}

/// Which requests a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Route {
    #[default]
    Chat,
    Models,
    Key,
    Generation,
    Providers,
}

/// One rule: what to match, when, and what happens then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) route: Route,
    model: Option<String>,
    upstream: Option<String>,
    pub(crate) probability: f64,
    pub(crate) fault: Option<Fault>,
    pub(crate) delay: Duration,
    pub(crate) retry_after: Option<u64>,
    requests: RangeInclusive<u64>,
    after: Duration,
    until: Option<Duration>,
}

impl Rule {
    /// Whether the rule is about this route, this model (by any of its names) and this upstream (by any of its names).
    pub(crate) fn is_about(&self, route: Route, models: &[&str], upstreams: &[&str]) -> bool {
        let one = |glob: &Option<String>, names: &[&str]| {
            glob.as_deref()
                .is_none_or(|glob| names.iter().any(|name| matches(glob, name)))
        };
        self.route == route && one(&self.model, models) && one(&self.upstream, upstreams)
    }

    /// Whether it is about one upstream, so that the service can move on to another.
    pub(crate) fn names_upstream(&self) -> bool {
        self.upstream.is_some()
    }

    /// Whether it is in force for the `number`-th attempt it is about (from 1), that long after the start.
    pub(crate) fn is_in_force(&self, number: u64, elapsed: Duration) -> bool {
        self.requests.contains(&number)
            && elapsed >= self.after
            && self.until.is_none_or(|until| elapsed < until)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(default)]
    route: Route,
    model: Option<String>,
    upstream: Option<String>,
    #[serde(default, deserialize_with = "probability")]
    probability: Option<f64>,
    #[serde(default, deserialize_with = "fault")]
    fault: Option<Fault>,
    #[serde(default, deserialize_with = "milliseconds")]
    delay_ms: Option<Duration>,
    #[serde(default, deserialize_with = "whole")]
    retry_after: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    from_request: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    to_request: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    after: Option<Duration>,
    #[serde(default, deserialize_with = "seconds")]
    until: Option<Duration>,
}

impl RawRule {
    fn check(self) -> Result<Rule, String> {
        if self.fault.is_none() && self.delay_ms.is_none() {
            return Err("a rule needs `fault`, `delay_ms` or both".to_owned());
        }
        let named = self.model.is_some() || self.upstream.is_some();
        if self.route != Route::Chat && named {
            return Err("`model` and `upstream` belong to rules of the route `chat`".to_owned());
        }
        if let Some(fault) = self
            .fault
            .filter(|fault| self.route != Route::Chat && !fault.fits_pages())
        {
            return Err(format!("`{fault}` is a fault of the route `chat` only"));
        }
        let requests = self.from_request.unwrap_or(1)..=self.to_request.unwrap_or(u64::MAX);
        if requests.is_empty() {
            return Err("`to_request` comes before `from_request`".to_owned());
        }
        let after = self.after.unwrap_or_default();
        if self.until.is_some_and(|until| until <= after) {
            return Err("`until` does not come after `after`".to_owned());
        }
        Ok(Rule {
            route: self.route,
            model: self.model,
            upstream: self.upstream,
            probability: self.probability.unwrap_or(1.0),
            fault: self.fault,
            delay: self.delay_ms.unwrap_or_default(),
            retry_after: self.retry_after,
            requests,
            after,
            until: self.until,
        })
    }
}

fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rule>, D::Error> {
    // The outer span is that of a rule; an error names the rule by number besides, for a file of many rules.
    let raw = Vec::<Spanned<RawRule>>::deserialize(deserializer)?;
    raw.into_iter()
        .enumerate()
        .map(|(at, rule)| {
            rule.into_inner()
                .check()
                .map_err(|message| D::Error::custom(format_args!("rule {}: {message}", at + 1)))
        })
        .collect()
}

fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&value) {
        Ok(Some(value))
    } else {
        Err(D::Error::custom(format_args!(
            "a probability is from 0 to 1, not {value}"
        )))
    }
}

fn fault<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fault>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Name(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Name(name) => name,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = i64::deserialize(deserializer)?;
    u64::try_from(value)
        .map(Some)
        .map_err(|_| D::Error::custom(format_args!("{value} is below 0")))
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(whole(deserializer)?.map(Duration::from_millis))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let value = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(value)
        .map(Some)
        .map_err(|_| D::Error::custom(format_args!("{value} is no number of seconds from 0 up")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (rule.fault, rule.retry_after),
            (Some(Fault::Status(503)), Some(3))
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
                "route `chat` only",
            ),
        ] {
            assert!(error(text).1.contains(part), "{:?}", error(text));
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
