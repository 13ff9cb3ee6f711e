//! Which limits hold for which model, and who shares them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use integration_core::{ModelId, ModelPattern};

use crate::limits::Limits;

/// Whose calls are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Those of one model.
    Model(ModelId),
    /// Those of every model under a name, such as the free models of an account.
    Shared(Arc<str>),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => write!(f, "the model {model}"),
            Self::Shared(name) => write!(f, "the shared limit {name}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    pattern: ModelPattern,
    limits: Limits,
    /// `None`: each model that matches is counted by itself.
    shared: Option<Arc<str>>,
}

/// Which limits hold for which model: the first rule that matches, and only that one. A model that no rule matches is not
/// limited.
///
/// They are the limits of one account at one provider. With two accounts, make two limiters.
///
/// ```
/// use rate_limits::{LimitRules, Limits};
/// let rules = LimitRules::new()
///     .with("acme/large".parse()?, Limits::none().with_requests_per_minute(50))
///     .with_shared("acme/*".parse()?, "acme", Limits::none().with_requests_per_minute(500))
///     .with("*".parse()?, Limits::none().with_concurrency(32));
/// let (scope, limits) = rules.find(&"acme/small".parse()?);
/// assert_eq!((scope.to_string().as_str(), limits.requests_per_minute), ("the shared limit acme", Some(500)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LimitRules {
    rules: Vec<Rule>,
    /// The first rule of each exact id.
    exact: HashMap<ModelId, usize>,
    /// The places of the other rules.
    others: Vec<usize>,
}

impl LimitRules {
    /// No rule: nothing is limited, until something is learnt.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule after those already there. Each model that it matches is counted by itself.
    #[must_use]
    pub fn with(self, pattern: ModelPattern, limits: Limits) -> Self {
        self.push(Rule {
            pattern,
            limits,
            shared: None,
        })
    }

    /// Adds a rule after those already there. All models that it matches are counted together, and with those of every other
    /// rule of that name; such rules should have the same limits.
    #[must_use]
    pub fn with_shared(self, pattern: ModelPattern, name: &str, limits: Limits) -> Self {
        self.push(Rule {
            pattern,
            limits,
            shared: Some(Arc::from(name)),
        })
    }

    /// Adds the rules of another list after those already there.
    #[must_use]
    pub fn then(self, others: Self) -> Self {
        others.rules.into_iter().fold(self, Self::push)
    }

    fn push(mut self, rule: Rule) -> Self {
        let place = self.rules.len();
        match &rule.pattern {
            ModelPattern::Exact(id) => {
                self.exact.entry(id.clone()).or_insert(place);
            }
            _ => self.others.push(place),
        }
        self.rules.push(rule);
        self
    }

    /// Replaces the limits of every rule that shares under `name`. Says whether there was one.
    pub fn set_shared(&mut self, name: &str, change: impl Fn(Limits) -> Limits) -> bool {
        let mut found = false;
        for rule in &mut self.rules {
            if rule.shared.as_deref() == Some(name) {
                rule.limits = change(rule.limits);
                found = true;
            }
        }
        found
    }

    /// Whose calls those of a model are counted with, and under which limits.
    pub fn find(&self, model: &ModelId) -> (Scope, Limits) {
        let exact = self.exact.get(model).copied();
        let pattern = self
            .others
            .iter()
            .copied()
            .take_while(|place| exact.is_none_or(|exact| *place < exact))
            .find(|place| self.rules[*place].pattern.matches(model));
        let rule = pattern.or(exact).and_then(|place| self.rules.get(place));
        let own = || Scope::Model(model.clone());
        match rule {
            Some(rule) => {
                let scope = rule.shared.clone().map_or_else(own, Scope::Shared);
                (scope, rule.limits)
            }
            None => (own(), Limits::none()),
        }
    }
}
