//! Cascades with a learned check: the cheap model first, and the dear one if its answer is not likely to be good enough.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use costing::Pico;
use integration_core::ChatRequest;
use integration_core::chat::{ChatResponse, Content, Role};
use routing::Verdict;
use routing_learned::cascade::{Answer, Cascade};
use routing_learned::{Predictor, Scratch};
use serde::Deserialize;

use super::file::{FileOf, hex, read_report, said};
use super::{Basis, CASCADE, Chosen, LearnedPolicy};
use crate::profile::last_text;

/// The largest file of a cascade that is read.
const MOST_CASCADE: u64 = 1 << 20;

const FIRST: &str = "asked first by the learned cascade";
const SECOND: &str = "asked if that answer is not good enough";
const ALONE: &str = "asked alone: an answer in pieces cannot be looked at before it is given";
const INSTEAD: &str = "the other model of the learned cascade";

/// A cascade that is served.
#[derive(Debug)]
pub(crate) struct ServedCascade {
    cascade: Cascade,
    /// The SHA-256 of the file.
    pub(super) sha256: String,
    /// The cheap and the dear one.
    pub(super) models: [String; 2],
}

/// The part of the file of `waypost cascade` that is read. The rest is for people.
#[derive(Deserialize)]
struct Report {
    check: FileOf,
    cheap: String,
    dear: String,
    cascade: Cascade,
}

impl ServedCascade {
    /// Reads the cascade of a check whose file has this SHA-256.
    ///
    /// # Errors
    /// One sentence that names the file: not there, none of `waypost cascade --out`, or of another check.
    pub(super) fn read(path: &Path, check: &Predictor, sha256: &str) -> anyhow::Result<Self> {
        let (bytes, report) = read_report(path, MOST_CASCADE, "cascade", "cascade")?;
        Self::of(report, hex(&bytes), check, sha256).with_context(|| path.display().to_string())
    }

    fn of(report: Report, own: String, check: &Predictor, sha256: &str) -> anyhow::Result<Self> {
        if report.check.sha256 != sha256 {
            bail!("it is of another check");
        }
        let checked = report.cascade.check(check);
        checked.map_err(|error| anyhow::anyhow!("it is damaged: {}", said(&error)))?;
        Ok(Self {
            cascade: report.cascade,
            sha256: own,
            models: [report.cheap, report.dear],
        })
    }

    /// The choice for a request.
    pub(super) fn chosen(&self, policy: &Arc<LearnedPolicy>, tag: Option<&str>, whole: bool) -> Chosen {
        let [cheap, dear] = self.models.clone();
        Chosen {
            policy: policy.name.clone(),
            file: self.sha256.clone(),
            basis: CASCADE,
            tag: tag.map(str::to_owned),
            propensity: 1.0,
            order: if whole {
                vec![(cheap, FIRST), (dear, SECOND)]
            } else {
                vec![(dear, ALONE), (cheap, INSTEAD)]
            },
            check: whole.then(|| LearnedCheck {
                policy: Arc::clone(policy),
                tag: tag.map(str::to_owned),
            }),
            label: None,
            predicted: Vec::new(),
        }
    }
}

/// Tells whether a cheap answer is likely to be as good as the dear one would be, for what that one costs.
#[derive(Debug, Clone)]
pub(crate) struct LearnedCheck {
    policy: Arc<LearnedPolicy>,
    tag: Option<String>,
}

impl LearnedCheck {
    /// Looks at an answer of the cheap model.
    pub(crate) fn verdict(&self, request: &ChatRequest, response: &ChatResponse) -> Verdict {
        let Basis::Cascade(served) = &self.policy.basis else {
            return Verdict::Accepted;
        };
        let message = response.choices.first().map(|choice| &choice.message);
        // What calls a tool is judged by its form alone: the check has learnt from texts.
        if message.is_some_and(|message| !message.tool_calls.is_empty()) {
            return Verdict::Accepted;
        }
        let text = message.and_then(|message| message.content.as_ref());
        let text = text.map_or_else(String::new, Content::text);
        let cost = response.usage.as_ref().and_then(|usage| usage.reported.total());
        let answer = Answer {
            cost: cost.and_then(|cost| Pico::from_decimal(cost).ok()),
            ..Answer::whole(&text)
        };
        if let Some(flaw) = answer.flaw() {
            return Verdict::Rejected(format!("learned: the answer is {}", flaw.as_str()));
        }
        let prompt = last_text(&request.messages, Role::User).unwrap_or_default();
        let (check, tag) = (&self.policy.predictor, self.tag.as_deref());
        let escalates = served
            .cascade
            .escalates(check, &prompt, tag, &answer, None, &mut Scratch::new());
        if escalates {
            Verdict::Rejected(
                "learned: the dear model is likely to be better by more than it costs".to_owned(),
            )
        } else {
            Verdict::Accepted
        }
    }
}
