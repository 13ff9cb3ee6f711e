//! `[[caller]]` and `[[budget]]` as a configuration file writes them. Data only: who reads the file and the environment is the
//! gateway's affair.

use serde::Deserialize;

use super::rules::{BudgetRule, BudgetRules, Level, OnUnpriced, RuleError, Target};
use super::scope::ScopeKind;
use super::window::Window;
use crate::caller::Caller;
use crate::money::Pico;

/// A `[[caller]]`: which bearer token is whose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// The key's name in budgets and reports. Never the token.
    pub key: String,
    /// The environment variable with the bearer token.
    pub token_env: String,
    /// The project the key belongs to.
    pub project: Option<String>,
    /// The team the project belongs to.
    pub team: Option<String>,
}

impl CallerConfig {
    /// Whom a call with this token is charged to.
    pub fn caller(&self) -> Caller {
        Caller {
            key: self.key.clone(),
            project: self.project.clone(),
            team: self.team.clone(),
        }
    }
}

/// A `[[budget]]`: one limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// `global`, `team`, `project`, `key` or `user`.
    pub scope: String,
    /// Which one of them; absent or `*`: each of them by itself.
    pub name: Option<String>,
    /// For a user: the key whose user it is.
    pub key: Option<String>,
    /// `request`, `minute`, `day` or `month`, in UTC.
    pub window: String,
    /// US dollars, as a string: a float has digits that nobody wrote.
    pub limit_usd: String,
    /// `hard`, `shaping` or `soft`; absent: `hard`.
    pub level: Option<String>,
    /// What a hard limit does with calls without a price; absent: `deny`.
    pub on_unpriced: Option<OnUnpricedConfig>,
}

/// `"deny"`, `"allow"` or `{ floor_usd = "0.05" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(untagged)]
pub enum OnUnpricedConfig {
    /// A word.
    Word(String),
    /// An amount to hold.
    Floor(FloorConfig),
}

/// An amount to hold for a call without a price.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct FloorConfig {
    /// US dollars, as a string.
    pub floor_usd: String,
}

/// What is wrong with a `[[budget]]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that the field cannot have.
    #[error("budget {entry}, `{field}`: {problem}")]
    Value {
        /// Which entry, from 1.
        entry: usize,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Limits that cannot hold together.
    #[error(transparent)]
    Rules(#[from] RuleError),
}

impl BudgetConfig {
    /// The rules that entries stand for.
    ///
    /// # Errors
    /// [`ConfigError`] names the first entry and field that is wrong.
    pub fn rules(entries: &[Self]) -> Result<BudgetRules, ConfigError> {
        let rules = entries.iter().enumerate().map(|(index, entry)| {
            entry.rule().map_err(|(field, problem)| ConfigError::Value {
                entry: index + 1,
                field,
                problem,
            })
        });
        let rules: Vec<BudgetRule> = rules.collect::<Result<_, _>>()?;
        Ok(BudgetRules::new(rules)?)
    }

    fn rule(&self) -> Result<BudgetRule, (&'static str, String)> {
        let kind: ScopeKind = parsed("scope", &self.scope)?;
        let window: Window = parsed("window", &self.window)?;
        let level: Level = match &self.level {
            Some(level) => parsed("level", level)?,
            None => Level::Hard,
        };
        let limit = amount("limit_usd", &self.limit_usd)?;
        let rule = BudgetRule::new(self.target(kind)?, window, level, limit);
        let on_unpriced = match &self.on_unpriced {
            None => return Ok(rule),
            Some(_) if level != Level::Hard => {
                return Err(("on_unpriced", "for hard budgets only".to_owned()));
            }
            Some(OnUnpricedConfig::Floor(floor)) => {
                OnUnpriced::Floor(amount("on_unpriced", &floor.floor_usd)?)
            }
            Some(OnUnpricedConfig::Word(word)) => match word.as_str() {
                "deny" => OnUnpriced::Deny,
                "allow" => OnUnpriced::Allow,
                other => {
                    let problem = format!("`{other}`; there are deny, allow and {{ floor_usd = \"0.05\" }}");
                    return Err(("on_unpriced", problem));
                }
            },
        };
        Ok(rule.with_on_unpriced(on_unpriced))
    }

    fn target(&self, kind: ScopeKind) -> Result<Target, (&'static str, String)> {
        let name = self.name.as_deref().filter(|name| *name != "*");
        if name.is_some_and(str::is_empty) {
            return Err(("name", "empty".to_owned()));
        }
        if self.key.is_some() && kind != ScopeKind::User {
            return Err((
                "key",
                "for budgets of users only; of a key it is the `name`".to_owned(),
            ));
        }
        match (kind, name, self.key.as_deref()) {
            (ScopeKind::Global, Some(_), _) => Err(("name", "not for the global budget".to_owned())),
            (ScopeKind::Global, None, _) => Ok(Target::global()),
            (ScopeKind::Team, Some(name), _) => Ok(Target::team(name)),
            (ScopeKind::Project, Some(name), _) => Ok(Target::project(name)),
            (ScopeKind::Key, Some(name), _) => Ok(Target::key(name)),
            (ScopeKind::User, Some(name), Some(key)) => Ok(Target::user(key, name)),
            (ScopeKind::User, Some(_), None) => {
                Err(("key", "missing: a user is known by the key as well".to_owned()))
            }
            (ScopeKind::User, None, Some(key)) => Ok(Target::users_of(key)),
            (kind, None, _) => Ok(Target::each(kind)),
        }
    }
}

fn parsed<T>(field: &'static str, text: &str) -> Result<T, (&'static str, String)>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| (field, error.to_string()))
}

fn amount(field: &'static str, text: &str) -> Result<Pico, (&'static str, String)> {
    let amount: Pico = text
        .parse()
        .map_err(|error| (field, format!("`{text}`: {error}")))?;
    if amount < Pico::ZERO {
        return Err((field, format!("`{text}`, below zero")));
    }
    Ok(amount)
}
