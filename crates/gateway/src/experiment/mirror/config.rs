//! `[[mirror]]` of `waypost.toml`.

use std::time::Duration;

use anyhow::{Context, bail};
use costing::Pico;
use experiments::{Arm, Experiment, MirrorPolicy, UnitKey};
use model_catalogue::Catalogue;
use serde::Deserialize;

use crate::config::AUTO;
use crate::experiment::config::read_named;

/// What is put before the key of a mirror, where its pairs are kept. No key of an experiment has a slash in it.
const OF_MIRROR: &str = "mirror/";

/// The arm that every pair is in: it met both models.
const ARM: &str = "pair";

/// The entry of a mirror: whose calls are sent to a second model as well, whose answers nobody waits for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MirrorConfig {
    /// Its name: letters, digits, `-`, `_` and `.`, 64 at the most.
    pub key: String,
    /// The second model, by its name or an alias.
    pub model: String,
    /// Of 10000 calls, so many are sent to it.
    pub sample_bps: u16,
    /// What may be spent on it per day of UTC, in US dollars as a string.
    pub max_usd_per_day: String,
    /// How many may be under way at once.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// How long one may take.
    #[serde(default = "timeout")]
    pub timeout: String,
    /// Only calls that this model answered, by its name or an alias.
    pub of: Option<String>,
}

fn concurrency() -> u32 {
    4
}

fn timeout() -> String {
    "60s".to_owned()
}

/// A mirror, checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MirrorSettings {
    /// Its name.
    pub key: String,
    /// The second model, as it was written.
    pub model: String,
    /// The only model whose calls are sent on, as it was written.
    pub of: Option<String>,
    /// Of 10000 calls, so many are sent on.
    pub sample_bps: u16,
    /// What it may take.
    pub policy: MirrorPolicy,
}

impl MirrorSettings {
    /// Reads the entries.
    ///
    /// # Errors
    /// One sentence that names the mirror and the key.
    pub(crate) fn read(entries: Vec<MirrorConfig>) -> anyhow::Result<Vec<Self>> {
        read_named("mirror", entries, |entry| &entry.key, Self::of)
    }

    fn of(entry: MirrorConfig) -> anyhow::Result<Self> {
        let most = &entry.max_usd_per_day;
        let budget: Pico = most
            .parse()
            .with_context(|| format!("max_usd_per_day is '{most}'"))?;
        let time = entry.timeout.parse::<jiff::SignedDuration>().ok();
        let time = time.and_then(|time| i64::try_from(time.as_millis()).ok());
        let Some(time) = time.filter(|time| *time > 0) else {
            bail!(
                "timeout is '{}'; it must be a time above 0, such as 60s",
                entry.timeout
            );
        };
        if entry.model == AUTO || entry.of.as_deref() == Some(AUTO) {
            bail!("'{AUTO}' is no model; name the one that is meant");
        }
        let salt = format!("{OF_MIRROR}{}", entry.key);
        Ok(Self {
            policy: MirrorPolicy::new(salt, entry.sample_bps, budget.get(), entry.concurrency, time)?,
            key: entry.key,
            model: entry.model,
            of: entry.of,
            sample_bps: entry.sample_bps,
        })
    }

    /// How long one may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.policy.timeout_ms()).unwrap_or_default())
    }

    /// What may be spent per day.
    pub(crate) const fn budget(&self) -> Pico {
        Pico::new(self.policy.budget_per_day_pico())
    }

    /// Holds the models against the catalogue. `listed`: the model of a name or an alias.
    ///
    /// # Errors
    /// One sentence that names the mirror and the model.
    pub(crate) fn check_models(
        &self,
        catalogue: &Catalogue,
        alias: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<()> {
        let listed = |name: &str| {
            let name = alias(name).unwrap_or_else(|| name.to_owned());
            let Some(record) = catalogue.resolve(&name) else {
                bail!(
                    "the [[mirror]] '{}' names '{name}', which is not in the catalogue; `waypost models` lists it",
                    self.key
                );
            };
            Ok(record.id.clone())
        };
        let model = listed(&self.model)?;
        if let Some(of) = &self.of
            && listed(of)? == model
        {
            bail!("the [[mirror]] '{}' compares {model} with itself", self.key);
        }
        Ok(())
    }

    /// Under what its pairs are kept. With another model it would be another experiment, which the store refuses under the same key.
    ///
    /// # Errors
    /// Never for a mirror that was checked.
    pub(crate) fn experiment(&self) -> anyhow::Result<Experiment> {
        let experiment = Experiment::new(format!("{OF_MIRROR}{}", self.key), [Arm::new(ARM, 10_000)])?;
        Ok(experiment
            .with_salt(self.model.as_str())?
            .with_unit(UnitKey::Request))
    }

    /// The label of its attempts in the ledger.
    pub(crate) fn tag(&self) -> String {
        format!("mirror:{}", self.key)
    }
}
