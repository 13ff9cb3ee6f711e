//! What is thought of models before there are outcomes of one's own.

use std::collections::BTreeMap;

use crate::LearnedError;

/// Expected mean scores by model, and how many outcomes of one's own weigh as much as they do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prior {
    means: BTreeMap<String, f64>,
    strength: f64,
}

/// Mean accuracy over ten sets (AIME, LiveMathBench, LiveCodeBench, SWE-Bench, GPQA, HLE, MMLU-Pro, SimpleQA, ArenaHard, Tau2):
/// LLMRouterBench 2026 (arXiv 2601.07206), tables 9 and 10, by the names of OpenRouter's catalogue.
const BUNDLED: &[(&str, f64)] = &[
    ("anthropic/claude-sonnet-4", 0.466),
    ("deepseek/deepseek-r1", 0.580),
    ("deepseek/deepseek-v3.1-terminus", 0.528),
    ("google/gemini-2.5-flash", 0.488),
    ("google/gemini-2.5-pro", 0.615),
    ("moonshotai/kimi-k2", 0.536),
    ("openai/gpt-5", 0.656),
    ("qwen/qwen3-235b-a22b-2507", 0.551),
    ("qwen/qwen3-235b-a22b-thinking-2507", 0.583),
    ("z-ai/glm-4.6", 0.547),
];

/// So few outcomes outweigh a table that was made on other prompts.
const BUNDLED_STRENGTH: f64 = 5.0;

impl Prior {
    /// Nothing is thought of any model.
    pub fn none() -> Self {
        Self::default()
    }

    /// Published benchmarks of some models. Weak: five outcomes weigh as much.
    pub fn bundled() -> Self {
        Self {
            means: BUNDLED
                .iter()
                .map(|(model, mean)| ((*model).to_owned(), *mean))
                .collect(),
            strength: BUNDLED_STRENGTH,
        }
    }

    /// These mean scores, each from 0 to 1, as strong as `strength` outcomes.
    ///
    /// # Errors
    /// [`LearnedError::OutOfRange`] for another mean, or a strength that is not 0 or more.
    pub fn new(means: BTreeMap<String, f64>, strength: f64) -> Result<Self, LearnedError> {
        if let Some(value) = means.values().find(|mean| !(0.0..=1.0).contains(*mean)) {
            return Err(LearnedError::OutOfRange {
                what: "the mean score of a prior",
                range: "from 0 to 1",
                value: *value,
            });
        }
        if !(strength.is_finite() && strength >= 0.0) {
            return Err(LearnedError::OutOfRange {
                what: "the strength of a prior",
                range: "0 or more",
                value: strength,
            });
        }
        Ok(Self { means, strength })
    }

    /// The mean of `n` scores with this sum, drawn to what was thought before. Of a model of which nothing was, it is the mean of its scores.
    pub(crate) fn mean(&self, model: &str, n: u64, sum: f64) -> f64 {
        let (prior, strength) = self
            .means
            .get(model)
            .map_or((0.0, 0.0), |mean| (*mean, self.strength));
        (sum + prior * strength) / (n as f64 + strength)
    }
}
