//! Fallback chains held against the catalogue before any request comes.

use std::fmt;

use integration_core::{CapabilitySet, ModelId};

use crate::{Deployment, Snapshot};

/// What a member of a fallback chain can never do, though the model it stands in for can.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainGap {
    /// Which member.
    pub member: ModelId,
    /// Why it can never answer a call; `None` if it can.
    pub never: Option<&'static str>,
    /// The abilities it lacks.
    pub lacks: CapabilitySet,
    /// Its context and that of the model it stands in for, in tokens, where its own is smaller or not known.
    pub context: Option<(Option<u64>, u64)>,
}

impl fmt::Display for ChainGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.member)?;
        if let Some(never) = self.never {
            return write!(f, "can never stand in: it {never}");
        }
        if !self.lacks.is_empty() {
            write!(f, "can never serve {}", self.lacks)?;
        }
        let and = if self.lacks.is_empty() { "" } else { ", and " };
        match self.context {
            Some((Some(has), of)) => write!(f, "{and}holds {has} tokens of {of}"),
            Some((None, _)) => write!(f, "{and}has no known context length"),
            None => Ok(()),
        }
    }
}

impl Snapshot {
    /// What the members of a fallback chain can never do, though the model at its head can: calls that need it pass them over. Those
    /// that can do all of it are left out; so is a model that the snapshot does not have.
    pub fn chain_gaps(&self, head: &ModelId, members: &[ModelId]) -> Vec<ChainGap> {
        let Some(head) = self.get(head) else {
            return Vec::new();
        };
        let gap = |member: &ModelId| {
            let deployment = self.get(member)?;
            let context = match (head.context_length(), deployment.context_length()) {
                (Some(of), has) if has.is_none_or(|has| has < of) => Some((has, of)),
                _ => None,
            };
            let gap = ChainGap {
                member: member.clone(),
                never: never(deployment),
                lacks: head.capabilities().missing_from(deployment.capabilities()),
                context,
            };
            let is_one = gap.never.is_some() || !gap.lacks.is_empty() || gap.context.is_some();
            is_one.then_some(gap)
        };
        members.iter().filter_map(gap).collect()
    }
}

fn never(deployment: &Deployment) -> Option<&'static str> {
    if deployment.is_batch {
        Some("answers in batches only")
    } else if deployment.is_alias {
        Some("is another name for a model that changes")
    } else {
        None
    }
}
