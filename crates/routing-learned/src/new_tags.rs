//! A promise for tags that no label has been seen of.

use std::collections::{BTreeMap, BTreeSet};

use experiments::statistics::Moments;
use experiments::statistics::distributions::t_quantile;

use crate::certify::{Verdict, loss_of};
use crate::{HeldOut, Ladder, LearnedError, Promise, Rung};

/// So few tags do not tell how much tags differ.
const FEWEST_TAGS: usize = 3;

/// A tag counts if it has so many labelled prompts.
const FEWEST_OF_A_TAG: usize = 10;

impl Ladder {
    /// As [`certify`](Self::certify), and moreover for tags that are not in the calibration: a rung must also be expected to keep the promise
    /// on the mean of such tags, given how much tags differ among each other.
    ///
    /// What a rung loses on a tag beyond what was predicted is taken for a draw from all tags, so that the mean over T′ new tags lies with the
    /// promise's confidence below `predicted + mean + t·s·√(1/T + 1/T′)` of the T tags of the calibration (a prediction bound). It is exact if what tags
    /// add is normal and tags are exchangeable, which nobody can check with a few: a working assumption, not a proof as that for the same tags
    /// is. `new_prompts` are prompts of the new tags, of which no score is looked at.
    ///
    /// # Errors
    /// As [`certify`](Self::certify), and [`LearnedError::TooFew`] for fewer than three tags with ten labelled prompts, or without new prompts.
    pub fn certify_for_new_tags(
        &self,
        promise: &Promise,
        calibration: &HeldOut,
        new_prompts: &HeldOut,
    ) -> Result<Verdict, LearnedError> {
        let level = promise.level()?;
        if calibration.models() != new_prompts.models()
            || calibration.models().get(self.reference_number()).is_none()
        {
            return Err(LearnedError::UnknownModel(self.reference().to_owned()));
        }
        if new_prompts.is_empty() {
            return Err(LearnedError::TooFew {
                what: "a certificate for new tags on prompts of them",
                needed: 1,
                have: 0,
            });
        }
        let mut by_tag: BTreeMap<&Option<String>, Vec<usize>> = BTreeMap::new();
        for (row, tag) in calibration.tags().iter().enumerate() {
            by_tag.entry(tag).or_default().push(row);
        }
        by_tag.retain(|tag, rows| tag.is_some() && rows.len() >= FEWEST_OF_A_TAG);
        if by_tag.len() < FEWEST_TAGS {
            return Err(LearnedError::TooFew {
                what: "a certificate for new tags on tags with ten labelled prompts",
                needed: FEWEST_TAGS,
                have: by_tag.len(),
            });
        }
        let new_tags: BTreeSet<_> = new_prompts.tags().iter().collect();
        let tags = by_tag.len() as f64;
        let t = t_quantile(1.0 - level.alpha(), tags - 1.0)?;
        let spread = (1.0 / tags + 1.0 / new_tags.len() as f64).sqrt();
        let keeps = |rung: &Rung| {
            let mut beyond = Moments::new();
            for rows in by_tag.values() {
                let sum: f64 = rows
                    .iter()
                    .map(|row| {
                        loss_of(&rung.policy, self.reference_number(), calibration, *row)
                            - self.predicted_loss(rung, calibration, *row)
                    })
                    .sum();
                // A mean of losses is finite, so it is taken.
                let _ = beyond.push(sum / rows.len() as f64);
            }
            let predicted = (0..new_prompts.len())
                .map(|row| self.predicted_loss(rung, new_prompts, row))
                .sum::<f64>()
                / new_prompts.len() as f64;
            let (Some(mean), Ok(variance)) = (beyond.mean(), beyond.variance()) else {
                return false;
            };
            predicted + mean + t * variance.sqrt() * spread <= promise.loss()
        };
        self.certify_while(promise, calibration, &keeps)
    }

    fn predicted_loss(&self, rung: &Rung, held: &HeldOut, row: usize) -> f64 {
        let predicted = held.predicted(row);
        let reached = rung.policy.expect(predicted, held.expected_costs(row), |model| {
            f64::from(predicted[model])
        });
        f64::from(predicted[self.reference_number()]) - reached
    }
}
