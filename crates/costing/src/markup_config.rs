//! `[[markup]]` as a configuration file writes it. Data only: who reads the file is the gateway's affair.

use serde::Deserialize;

use crate::markup::{Markup, MarkupRule, MarkupRules};
use crate::money::Pico;

/// A `[[markup]]`: what is added to the cost of some calls. It names one key, team, model or provider, and holds for its calls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct MarkupConfig {
    /// For the calls of this key.
    pub key: Option<String>,
    /// For those of this team.
    pub team: Option<String>,
    /// For those of this model, by exactly its id.
    pub model: Option<String>,
    /// For those to this provider.
    pub provider: Option<String>,
    /// The share of the cost, in basis points: 1,000 are ten percent.
    pub bps: u32,
    /// A fixed fee for each answer that costs something, in US dollars as a string; none if absent.
    pub fee_usd: Option<String>,
    /// Whether answers that cost nothing bear the fee as well.
    #[serde(default)]
    pub fee_on_free: bool,
}

/// What is wrong with a `[[markup]]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkupConfigError {
    /// It names nothing it could be for, or more than one thing.
    #[error("markup {entry}: name one of key, team, model and provider; for everything there is markup_bps")]
    Target {
        /// Which entry, from 1.
        entry: usize,
    },
    /// A value that the field cannot have.
    #[error("markup {entry}, `{field}`: {problem}")]
    Value {
        /// Which entry, from 1.
        entry: usize,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Two entries for the same.
    #[error("markup {entry}: there is one for {target} already")]
    Twice {
        /// Which entry, from 1.
        entry: usize,
        /// What both are for.
        target: String,
    },
}

impl MarkupConfig {
    /// The rules that entries stand for, and `global` for what none of them is for.
    ///
    /// # Errors
    /// [`MarkupConfigError`] names the first entry that is wrong.
    pub fn rules(entries: &[Self], global: Option<Markup>) -> Result<MarkupRules, MarkupConfigError> {
        let mut rules = MarkupRules::new();
        if let Some(global) = global {
            rules = rules.with_global(global);
        }
        let mut seen = Vec::new();
        for (index, config) in entries.iter().enumerate() {
            let entry = index + 1;
            let rule = config.rule(entry)?;
            let value = |field, problem: String| MarkupConfigError::Value {
                entry,
                field,
                problem,
            };
            let targets = [&config.key, &config.team, &config.model, &config.provider];
            if targets.iter().filter(|target| target.is_some()).count() != 1 {
                return Err(MarkupConfigError::Target { entry });
            }
            if targets.iter().any(|target| target.as_deref() == Some("")) {
                return Err(MarkupConfigError::Target { entry });
            }
            let (kind, name) = match (&config.key, &config.team, &config.model, &config.provider) {
                (Some(key), ..) => {
                    rules = rules.with_key(key, rule);
                    ("key", key)
                }
                (_, Some(team), ..) => {
                    rules = rules.with_team(team, rule);
                    ("team", team)
                }
                (_, _, Some(model), _) => {
                    let id = model
                        .parse()
                        .map_err(|error| value("model", format!("{error}")))?;
                    rules = rules.with_model(id, rule);
                    ("model", model)
                }
                (_, _, _, Some(provider)) => {
                    let id = provider
                        .parse()
                        .map_err(|error| value("provider", format!("{error}")))?;
                    rules = rules.with_provider(id, rule);
                    ("provider", provider)
                }
                _ => return Err(MarkupConfigError::Target { entry }),
            };
            let target = format!("{kind} {name}");
            if seen.contains(&target) {
                return Err(MarkupConfigError::Twice { entry, target });
            }
            seen.push(target);
        }
        Ok(rules)
    }

    fn rule(&self, entry: usize) -> Result<MarkupRule, MarkupConfigError> {
        let value = |problem: String| MarkupConfigError::Value {
            entry,
            field: "fee_usd",
            problem,
        };
        let rule = MarkupRule::new(Markup::from_bps(self.bps));
        let Some(text) = &self.fee_usd else {
            if self.fee_on_free {
                return Err(value("missing, and fee_on_free is set".to_owned()));
            }
            return Ok(rule);
        };
        let fee: Pico = text
            .parse()
            .map_err(|error| value(format!("`{text}`: {error}")))?;
        let rule = if self.fee_on_free {
            rule.with_fee_on_free_too(fee)
        } else {
            rule.with_fee(fee)
        };
        rule.map_err(|error| value(error.to_string()))
    }
}
