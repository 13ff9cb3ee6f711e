//! Guesses the task of a request that names none.
//!
//! A linear model over hashed words and a few facts of the request, trained on the prompts in `data/task_prompts.jsonl`. It is a
//! function of the request alone: no network, no clock, the same answer on every machine. It reads at most [`MOST_READ`] bytes
//! however long the request is, and allocates nothing.

mod features;
mod keywords;
mod train;

use std::borrow::Cow;

use crate::task::Task;
use features::{BUCKETS, DENSE, Feature, PLACES};
use keywords::LEARNED;
pub use train::Example;

/// Below this confidence no task is named: the caller's own default is better than a guess. At this one
/// about nine answers in ten are right; `docs/task-classifier.md` has the measurements.
pub const CONFIDENCE_THRESHOLD: f64 = 0.5;

/// How sure a request with pictures is one about pictures. A judgement, not a measurement: that it needs sight is certain, that
/// nothing else matters more is not.
pub const PICTURES_CONFIDENCE: f64 = 0.95;

/// Bytes of a request that are read: the beginning and the end of its last message of the user (1,536 each) and of its system
/// text (512 each).
pub const MOST_READ: usize = 4096;

const MAGIC: &[u8; 4] = b"WPT1";
const HEADER: usize = 12;
const WEIGHTS_AT: usize = HEADER + DENSE * LEARNED * 4;
const LENGTH: usize = WEIGHTS_AT + BUCKETS * LEARNED;

/// Sized, so that a file of another layout does not compile.
static BUNDLED: &[u8; LENGTH] = include_bytes!("../../data/task_weights.bin");

/// What is known of a request that names no task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskHints<'a> {
    /// The text of the last message of the user.
    pub text: &'a str,
    /// The system text; empty if there is none.
    pub system: &'a str,
    /// Whether the request brings tools.
    pub has_tools: bool,
    /// Whether the last message of the user holds pictures.
    pub has_images: bool,
    /// Whether the answer is to follow a JSON schema.
    pub wants_json_schema: bool,
}

/// The guess at a request's task.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Classified {
    /// The task; `None` where the confidence is below [`CONFIDENCE_THRESHOLD`] or there is nothing to judge by.
    pub task: Option<Task>,
    /// How often a guess this sure is right, 0 to 1; 0 where there is nothing to judge by.
    pub confidence: f64,
    /// The likeliest task, also where it is too unlikely to be named.
    pub likeliest: Option<Task>,
    /// The second likeliest.
    pub runner_up: Option<Task>,
}

impl Classified {
    const NOTHING: Self = Self {
        task: None,
        confidence: 0.0,
        likeliest: None,
        runner_up: None,
    };
}

/// Guesses the task of a request with the weights that come with this crate.
///
/// ```
/// use routing::{Task, TaskHints, classify};
///
/// let hints = TaskHints { text: "Translate into German: the train is late again.", ..TaskHints::default() };
/// assert_eq!(classify(&hints).task, Some(Task::Translate));
/// ```
pub fn classify(hints: &TaskHints<'_>) -> Classified {
    Classifier::bundled().classify(hints)
}

/// Weights of words and facts for each task but [`Task::Vision`], which is told by pictures alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classifier {
    bytes: Cow<'static, [u8]>,
}

impl Classifier {
    /// The weights that come with this crate.
    pub const fn bundled() -> Self {
        Self {
            bytes: Cow::Borrowed(BUNDLED),
        }
    }

    /// Weights that [`as_bytes`](Self::as_bytes) gave; `None` if they are of another layout.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let fits = bytes.len() == LENGTH && bytes.starts_with(MAGIC);
        fits.then_some(Self {
            bytes: Cow::Owned(bytes),
        })
    }

    /// The weights, to be kept in a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Guesses the task of a request.
    pub fn classify(&self, hints: &TaskHints<'_>) -> Classified {
        if hints.has_images {
            let (likeliest, _) = self.ranked(hints).unzip();
            return Classified {
                task: Some(Task::Vision),
                confidence: PICTURES_CONFIDENCE,
                likeliest: Some(Task::Vision),
                runner_up: likeliest.map(|[best, _]| best),
            };
        }
        let Some(([likeliest, runner_up], confidence)) = self.ranked(hints) else {
            return Classified::NOTHING;
        };
        Classified {
            task: (confidence >= CONFIDENCE_THRESHOLD).then_some(likeliest),
            confidence,
            likeliest: Some(likeliest),
            runner_up: Some(runner_up),
        }
    }

    /// The two likeliest of the learned tasks, and how likely the first is.
    fn ranked(&self, hints: &TaskHints<'_>) -> Option<([Task; 2], f64)> {
        let scores = self.scores(hints)?;
        let chances = softmax(scores.map(|score| score * f64::from(self.number(8))));
        let mut best = (Task::Reasoning, f64::NEG_INFINITY);
        let mut second = best;
        for (task, chance) in Task::ALL.into_iter().zip(chances) {
            if chance > best.1 {
                second = best;
                best = (task, chance);
            } else if chance > second.1 {
                second = (task, chance);
            }
        }
        best.1.is_finite().then_some(([best.0, second.0], best.1))
    }

    /// The sum of weights for each learned task; `None` where there is no word.
    fn scores(&self, hints: &TaskHints<'_>) -> Option<[f64; LEARNED]> {
        let mut sums = [[0_i32; LEARNED]; PLACES];
        let mut counts = [0_u32; PLACES];
        let mut scores = [0.0; LEARNED];
        let words = features::extract(hints, &mut |feature| match feature {
            Feature::Word { place, bucket } => {
                let from = WEIGHTS_AT + bucket * LEARNED;
                let row = self.bytes.get(from..from + LEARNED).unwrap_or_default();
                for (sum, weight) in sums.iter_mut().skip(place).take(1).flatten().zip(row) {
                    *sum += i32::from(weight.cast_signed());
                }
                counts
                    .iter_mut()
                    .skip(place)
                    .take(1)
                    .for_each(|count| *count += 1);
            }
            Feature::Fact { index, value } => {
                for (task, score) in scores.iter_mut().enumerate() {
                    let weight = self.number(HEADER + (index * LEARNED + task) * 4);
                    *score += f64::from(weight) * f64::from(value);
                }
            }
        });
        if words == 0 {
            return None;
        }
        let step = f64::from(self.number(4));
        for (sums, count) in sums.into_iter().zip(counts) {
            let scale = step / f64::from(count.max(1)).sqrt();
            for (score, sum) in scores.iter_mut().zip(sums) {
                *score += f64::from(sum) * scale;
            }
        }
        Some(scores)
    }

    fn number(&self, at: usize) -> f32 {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes.copied().map_or(0.0, f32::from_le_bytes)
    }
}

/// The beginning and the end of a text, together at most `most` bytes, cut between characters; the whole text where it is
/// shorter.
fn window(text: &str, most: usize) -> [&str; 2] {
    if text.len() <= most {
        return [text, ""];
    }
    let head = (0..=most / 2).rev().find(|at| text.is_char_boundary(*at));
    let tail = (text.len() - most / 2..=text.len()).find(|at| text.is_char_boundary(*at));
    [
        head.and_then(|at| text.get(..at)).unwrap_or_default(),
        tail.and_then(|at| text.get(at..)).unwrap_or_default(),
    ]
}

/// Shares of one that grow with the scores.
fn softmax(scores: [f64; LEARNED]) -> [f64; LEARNED] {
    let most = scores.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let powers = scores.map(|score| exp(score - most));
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// e to the power of a number that is not above zero. The standard library's differs in its last digit from one system to another,
/// and the weights, which are checked byte by byte, must not.
fn exp(power: f64) -> f64 {
    if power < -40.0 {
        return 0.0;
    }
    let part = power / 64.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for step in 1..=12_u8 {
        term *= part / f64::from(step);
        sum += term;
    }
    // Squared six times: to the power of 64.
    (0..6).fold(sum, |value, _| value * value)
}
