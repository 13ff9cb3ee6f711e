//! `[[learned]]` of `waypost.toml`.

use std::path::PathBuf;

use anyhow::bail;
use serde::Deserialize;

use crate::config::AUTO;
use crate::experiment::read_named;

/// The entry of a learned policy. A call for the model `waypost/NAME` goes to the model that the policy chooses for its prompt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LearnedConfig {
    /// Its name: letters, digits, `-`, `_` and `.`, 64 at the most.
    pub name: String,
    /// The predictor, as `waypost train --out` wrote it.
    pub predictor: PathBuf,
    /// The certificate, as `waypost certify --out` wrote it for this predictor.
    pub certificate: Option<PathBuf>,
    /// Instead of a certificate: the cheapest model that is predicted to score this, from 0 to 1. Nothing is promised then.
    pub min_score: Option<f64>,
    /// Instead of a certificate: a cascade, as `waypost cascade --out` wrote it; the predictor is its check.
    pub cascade: Option<PathBuf>,
    /// Of a certified policy: the share of calls, drawn by chance, for which a label is asked for, from 0 to 1; 0.05 if absent.
    pub labels: Option<f64>,
    /// Of a certified policy: from how many of the latest labels a new policy is certified after the promise was broken, 100 at the
    /// least; 1000 if absent.
    pub window: Option<usize>,
}

/// An entry, checked, but for its files.
#[derive(Debug, Clone)]
pub(crate) struct LearnedSettings {
    pub(crate) name: String,
    pub(crate) predictor: PathBuf,
    pub(crate) basis: BasisSettings,
}

/// By what a policy chooses.
#[derive(Debug, Clone)]
pub(crate) enum BasisSettings {
    /// The least predicted score.
    AtLeast(f64),
    /// A cascade.
    Cascade(PathBuf),
    /// What was certified.
    Certified {
        certificate: PathBuf,
        labels: f64,
        window: usize,
    },
}

/// The share of calls for which labels are asked for, where the configuration does not say.
const LABELS: f64 = 0.05;
/// How many labels a new policy is certified from, where the configuration does not say.
const WINDOW: usize = 1_000;
/// The bounds of that.
const SHORTEST_WINDOW: usize = 100;
const LONGEST_WINDOW: usize = 100_000;

impl LearnedSettings {
    /// Reads the entries.
    ///
    /// # Errors
    /// One sentence that names the entry and the key.
    pub(crate) fn read(entries: Vec<LearnedConfig>) -> anyhow::Result<Vec<Self>> {
        read_named("learned", entries, |entry| &entry.name, Self::of)
    }

    /// The model that callers ask for.
    pub(crate) fn model(&self) -> String {
        model_name(&self.name)
    }

    fn of(entry: LearnedConfig) -> anyhow::Result<Self> {
        if model_name(&entry.name) == AUTO {
            bail!("the name is taken: '{AUTO}' asks the gateway to choose");
        }
        let basis = match (entry.certificate, entry.min_score, entry.cascade) {
            (Some(certificate), None, None) => BasisSettings::Certified {
                certificate,
                labels: entry.labels.unwrap_or(LABELS),
                window: entry.window.unwrap_or(WINDOW),
            },
            (None, Some(score), None) => BasisSettings::AtLeast(score),
            (None, None, Some(cascade)) => BasisSettings::Cascade(cascade),
            _ => bail!("it takes one of certificate, min_score and cascade"),
        };
        let is_certified = matches!(basis, BasisSettings::Certified { .. });
        if !is_certified && (entry.labels.is_some() || entry.window.is_some()) {
            bail!("labels and window are for a certificate: without one nothing is promised");
        }
        match &basis {
            BasisSettings::Cascade(_) => {}
            BasisSettings::AtLeast(score) => {
                if !(0.0..=1.0).contains(score) {
                    bail!("min_score is {score}; it must be from 0 to 1");
                }
            }
            BasisSettings::Certified { labels, window, .. } => {
                if !(0.0..=1.0).contains(labels) {
                    bail!("labels is {labels}; it must be a share from 0 to 1");
                }
                if !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(window) {
                    bail!("window is {window}; it must be from {SHORTEST_WINDOW} to {LONGEST_WINDOW}");
                }
            }
        }
        Ok(Self {
            name: entry.name,
            predictor: entry.predictor,
            basis,
        })
    }
}

/// The model that callers ask for a policy of this name by.
pub(super) fn model_name(name: &str) -> String {
    format!("waypost/{name}")
}
