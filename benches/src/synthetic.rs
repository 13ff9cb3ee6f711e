//! Outcomes made from a seed, of which the truth is known: how probable it is that a model answers a prompt right.
//!
//! A prompt has a tag and a topic. A third of its words are of the topic, the others of a language of thousands of words. Models
//! are in order of their price; each knows topics, dearer models more of them, and the dearest knows all. A tag holds several topics,
//! so that it alone does not tell which model is enough: words do.

use costing::Pico;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use routing_learned::curve::{Hull, Point};
use routing_learned::{LearnedError, Outcome, Outcomes, Rule, Scored};

/// Every third is of the same tag.
const TOPICS: usize = 12;
const TAGS: [&str; 3] = ["law", "mathematics", "writing"];
/// Words of one topic.
const TOPIC_WORDS: usize = 30;
/// Words of the language that are of no topic.
const WORDS: u64 = 8_000;
/// How probable a right answer is of a model that knows the topic, and of one that does not.
const KNOWN: f64 = 0.9;
const UNKNOWN: f64 = 0.4;
/// What a token of the cheapest model costs, in pico-dollars; the dearest costs 40 times as much.
const CHEAPEST: f64 = 100_000.0;
const SPREAD: f64 = 40.0;

/// A set of outcomes with its truth.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// What was drawn.
    pub outcomes: Outcomes,
    /// For each prompt, by name, how probable a right answer of each model is, in the order of the models' names.
    pub chances: Vec<Vec<f32>>,
    /// For each prompt what each model costs, in pico-dollars.
    pub costs: Vec<Vec<f64>>,
}

/// Numbers out of a seed.
struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0.next_u64() % most
    }

    /// From 0 up to 1.
    fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A word of the language: small numbers are frequent, as in any language.
    fn word(&mut self) -> String {
        let frequent = self.share() * self.share() * self.share();
        spelled((frequent * WORDS as f64) as u64)
    }

    fn prompt(&mut self, topic: usize, words: u64) -> String {
        let word = |_: u64| match self.below(3) {
            0 => spelled(WORDS + (topic * TOPIC_WORDS) as u64 + self.below(TOPIC_WORDS as u64)),
            _ => self.word(),
        };
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    }
}

/// A number as a word of syllables.
fn spelled(mut number: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "za",
    ];
    let mut word = String::new();
    loop {
        word.push_str(SYLLABLES[(number % 16) as usize]);
        number /= 16;
        if number == 0 {
            return word;
        }
    }
}

/// Whether a model, by its place among so many from cheap to dear, knows a topic.
fn knows(model: usize, models: usize, topic: usize) -> bool {
    // How many it knows grows with its price; which ones differs from model to model.
    let known = TOPICS * (model + 1) / models;
    (topic + 5 * model) % TOPICS < known || model + 1 == models
}

/// Outcomes of so many prompts at so many models. The same seed gives the same.
///
/// # Errors
/// [`LearnedError::TooMany`] for more models than outcomes may be of.
pub fn outcomes(prompts: usize, models: usize, seed: u64) -> Result<Synthetic, LearnedError> {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let mut made = Synthetic {
        outcomes: Outcomes::new(),
        chances: Vec::with_capacity(prompts),
        costs: Vec::with_capacity(prompts),
    };
    for prompt in 0..prompts {
        let topic = dice.below(TOPICS as u64) as usize;
        let words = 20 + dice.below(80);
        let text = dice.prompt(topic, words);
        let (mut chances, mut costs) = (Vec::new(), Vec::new());
        for model in 0..models {
            let chance = if knows(model, models, topic) {
                KNOWN
            } else {
                UNKNOWN
            };
            let dear = SPREAD.powf(model as f64 / (models.max(2) - 1) as f64);
            let cost = (CHEAPEST * dear).round() * words as f64;
            let mut result = Scored::new(f64::from(u8::from(dice.share() < chance)));
            result.cost = Some(Pico::new(cost as i64));
            result.prompt_tokens = Some(words);
            made.outcomes.add(Outcome {
                id: format!("prompt-{prompt:07}"),
                prompt: text.clone(),
                tag: Some(TAGS[topic % TAGS.len()].to_owned()),
                model: format!("model-{model:02}"),
                result,
            })?;
            chances.push(chance as f32);
            costs.push(cost);
        }
        made.chances.push(chances);
        made.costs.push(costs);
    }
    Ok(made)
}

/// A prompt of so many bytes in the language of the outcomes.
pub fn prompt(bytes: usize, seed: u64) -> String {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let topic = dice.below(TOPICS as u64) as usize;
    // No word has fewer than two letters and a space.
    let mut text = dice.prompt(topic, bytes as u64 / 3 + 1);
    text.truncate(bytes);
    text
}

/// What the best policy reaches on what was drawn: the one that knows every chance, but no draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// The mean quality over costs from the cheapest model to the dearest.
    pub aiq: f64,
    /// The share of the best model's cost that it saves while losing no more than asked for.
    pub saving: f64,
}

impl Synthetic {
    /// The true best policy: that with the most chance less a price times the cost, over all prices. `None` without a prompt.
    pub fn best(&self, loss: f64) -> Option<Best> {
        let models = self.chances.first()?.len();
        let n = self.chances.len() as f64;
        // Prompts are in the order of their names, which is that of the rows.
        let prompts: Vec<_> = self.outcomes.prompts().collect();
        let mean = |choose: &dyn Fn(usize) -> usize| {
            let (mut cost, mut quality) = (0.0, 0.0);
            for (row, prompt) in prompts.iter().enumerate() {
                let model = choose(row);
                cost += self.costs[row][model] / n;
                quality += prompt.of(model).map_or(0.0, |scored| scored.score) / n;
            }
            Point { cost, quality }
        };
        let single: Vec<Point> = (0..models).map(|model| mean(&|_| model)).collect();
        let reference = single
            .iter()
            .copied()
            .max_by(|a, b| a.quality.total_cmp(&b.quality))?;
        let dearest = single.iter().map(|point| point.cost).fold(0.0, f64::max);
        let cheapest = single
            .iter()
            .map(|point| point.cost)
            .fold(f64::INFINITY, f64::min);
        // A price at which the dearest answer is worth from a thousandth of a right one to a thousand.
        let routed = (-60..=60).map(|step: i32| {
            let rule = Rule::Price(10_f64.powf(f64::from(step) / 20.0) / dearest);
            mean(&|row| {
                rule.choose(&self.chances[row], &self.costs[row])
                    .unwrap_or_default()
            })
        });
        let hull = Hull::of(routed.chain(single.iter().copied()));
        let cost = hull.cost_of(reference.quality - loss)?;
        Some(Best {
            aiq: hull.mean_quality(cheapest, dearest)?,
            saving: 1.0 - cost / reference.cost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_set() {
        let set = outcomes(50, 3, 1).unwrap();
        assert_eq!(set.outcomes, outcomes(50, 3, 1).unwrap().outcomes);
        assert_ne!(set.outcomes, outcomes(50, 3, 2).unwrap().outcomes);
        assert_eq!(set.outcomes.complete_models(1.0, true).len(), 3);
    }

    #[test]
    fn the_dearest_model_knows_all_and_cheaper_ones_some() {
        for models in [2, 5, 12, 32] {
            let known = |model| (0..TOPICS).filter(|topic| knows(model, models, *topic)).count();
            assert_eq!(known(models - 1), TOPICS);
            assert!((1..models).all(|model| known(model) >= known(model - 1)));
            assert!((0..models - 1).any(|model| (1..TOPICS).contains(&known(model))));
        }
    }

    #[test]
    fn draws_are_as_probable_as_they_are_said_to_be() {
        let set = outcomes(4_000, 4, 3).unwrap();
        for model in 0..4 {
            let right: f64 = set
                .outcomes
                .prompts()
                .map(|prompt| prompt.of(model).unwrap().score)
                .sum();
            let expected: f64 = set.chances.iter().map(|chances| f64::from(chances[model])).sum();
            // Four standard deviations.
            assert!(
                (right - expected).abs() < 4.0 * (4_000.0_f64 / 4.0).sqrt(),
                "{right} {expected}"
            );
        }
    }

    #[test]
    fn the_best_policy_saves_more_where_it_may_lose() {
        let set = outcomes(2_000, 4, 4).unwrap();
        let (none, some) = (set.best(0.0).unwrap(), set.best(0.02).unwrap());
        // Two of four models are cheaper where they know the topic.
        assert!(
            none.saving > 0.2 && none.saving < some.saving && some.saving < 1.0,
            "{none:?} {some:?}"
        );
        assert!(none.aiq > 0.7 && none.aiq < KNOWN + 0.02);
    }

    #[test]
    fn a_prompt_has_the_bytes_asked_for() {
        for bytes in [60, 600, 4_096, 40_000] {
            assert_eq!(prompt(bytes, 1).len(), bytes);
        }
    }
}
