//! What a catalogue does not say of a deployment, and the operator does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use integration_core::{ModelPattern, ProviderId};

use crate::Target;

/// What a deployment promises of the data it is sent. A stricter promise keeps the looser ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DataPolicy {
    /// Nothing that is sent is used for training.
    NoTraining,
    /// Nothing that is sent is kept either.
    NoRetention,
}

impl DataPolicy {
    /// Every policy, the loosest first.
    pub const ALL: [Self; 2] = [Self::NoTraining, Self::NoRetention];

    /// The word for it in requests and configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoTraining => "no-training",
            Self::NoRetention => "no-retention",
        }
    }
}

impl fmt::Display for DataPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no data policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a data policy; there are no-training and no-retention")]
pub struct UnknownDataPolicy(String);

impl FromStr for DataPolicy {
    type Err = UnknownDataPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownDataPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str() == word)
            .ok_or_else(|| UnknownDataPolicy(word.to_owned()))
    }
}

/// What the operator says of deployments. What is not said is not known.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// What they promise of the data they are sent.
    pub data_policy: Option<DataPolicy>,
    /// What their provider holds a single request to, where the request asks for it. It counts where nothing is promised, and adds
    /// nothing to a promise.
    pub enforced: Option<DataPolicy>,
    /// Where they serve, in the operator's own words, such as `eu`; empty: not known.
    pub regions: Vec<String>,
    /// Their share in random draws, against those of the others: above 0, 1 where nothing is said.
    pub weight: f64,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            data_policy: None,
            enforced: None,
            regions: Vec::new(),
            weight: 1.0,
        }
    }
}

impl Facts {
    /// Sets what is promised of data.
    #[must_use]
    pub const fn with_data_policy(mut self, policy: DataPolicy) -> Self {
        self.data_policy = Some(policy);
        self
    }

    /// Whether a request that demands this policy may go there. A promise that is too weak is not made up for by the provider: whoever
    /// wrote it knows more.
    pub fn keep(&self, policy: DataPolicy) -> bool {
        self.data_policy.or(self.enforced) >= Some(policy)
    }

    /// Adds a place where they serve.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.regions.push(region.into());
        self
    }

    /// Sets the share in random draws; one that is not above 0 is taken for 1.
    #[must_use]
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = if weight.is_finite() && weight > 0.0 {
            weight
        } else {
            1.0
        };
        self
    }
}

/// Facts by pattern, and by provider. The first pattern that means a model counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FactBook {
    patterns: Vec<(ModelPattern, Facts)>,
    enforced: BTreeMap<ProviderId, DataPolicy>,
}

impl FactBook {
    /// Nothing is known of any deployment.
    pub const fn new() -> Self {
        Self {
            patterns: Vec::new(),
            enforced: BTreeMap::new(),
        }
    }

    /// Adds what is known of the models that a pattern means.
    #[must_use]
    pub fn with(mut self, pattern: ModelPattern, facts: Facts) -> Self {
        self.patterns.push((pattern, facts));
        self
    }

    /// Says that a provider holds each request to a data policy, up to this one, if the request asks it to. Whoever decides with these
    /// facts must send requests that ask.
    #[must_use]
    pub fn with_enforced(mut self, provider: ProviderId, policy: DataPolicy) -> Self {
        self.enforced.insert(provider, policy);
        self
    }

    /// What is known of a deployment.
    pub fn facts(&self, target: &Target) -> Facts {
        let known = self
            .patterns
            .iter()
            .find(|(pattern, _)| pattern.matches(&target.model));
        let mut facts = known.map(|(_, facts)| facts.clone()).unwrap_or_default();
        if let Some(policy) = self.enforced.get(&target.provider) {
            facts.enforced = Some(*policy);
        }
        facts
    }
}
