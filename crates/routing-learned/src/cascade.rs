//! Ask the cheap model first, look at its answer, and ask the dear one only if that is likely to be better.
//!
//! What is looked at costs nothing or microseconds: first what is plainly no answer, then a learned check on the prompt and the end of the
//! answer (FrugalGPT, arXiv 2305.05176, with a regression instead of a model), then whether a second cheap answer agrees (ABC, arXiv
//! 2407.02348). The cheap call is always paid for, so a cascade is only worth it where the dear model costs many times as much: one that is
//! not expected to save anything is not made.

use costing::Pico;
use serde::{Deserialize, Serialize};

use crate::curve::{Hull, Point};
use crate::{HeldOut, LearnedError, Outcome, Outcomes, Predictor, Scored, Scratch};

/// What is plainly wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// There is nothing in it.
    Empty,
    /// It was cut off at a limit of tokens.
    Truncated,
    /// The model declines to answer.
    Refusal,
    /// It does not fit the schema that was asked for.
    SchemaInvalid,
}

impl Flaw {
    /// In a word, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Truncated => "cut off",
            Self::Refusal => "a refusal",
            Self::SchemaInvalid => "not of the schema",
        }
    }
}

/// An answer that was received.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its text.
    pub text: &'a str,
    /// Whether it ended because no more tokens were allowed.
    pub truncated: bool,
    /// Whether it fits the schema that was asked for; `None` if none was.
    pub schema_valid: Option<bool>,
    /// What it has cost, without markup; `None` if that is not known.
    pub cost: Option<Pico>,
}

impl<'a> Answer<'a> {
    /// A whole answer for which no schema was asked.
    pub const fn whole(text: &'a str) -> Self {
        Self {
            text,
            truncated: false,
            schema_valid: None,
            cost: None,
        }
    }

    /// What is plainly wrong with it, found without learning anything. Refusals are told by how they begin, in English.
    pub fn flaw(&self) -> Option<Flaw> {
        let text = self.text.trim();
        if text.is_empty() {
            Some(Flaw::Empty)
        } else if self.truncated {
            Some(Flaw::Truncated)
        } else if self.schema_valid == Some(false) {
            Some(Flaw::SchemaInvalid)
        } else {
            refuses(text).then_some(Flaw::Refusal)
        }
    }
}

/// How refusals begin. They are short: a long answer that begins so goes on to answer.
const REFUSALS: [&str; 10] = [
    "i can't",
    "i can\u{2019}t",
    "i cannot",
    "i'm sorry",
    "i\u{2019}m sorry",
    "i am sorry",
    "sorry, ",
    "i'm unable",
    "i am unable",
    "as an ai",
];

const LONGEST_REFUSAL: usize = 400;

fn refuses(text: &str) -> bool {
    let begins = |with: &&str| {
        text.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    text.len() <= LONGEST_REFUSAL && REFUSALS.iter().any(begins)
}

/// Whether two answers say the same: the same letters and digits, in ASCII whatever their case.
pub fn agree(one: &str, other: &str) -> bool {
    let said = |text: &str| -> String {
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        letters.map(|c| c.to_ascii_lowercase()).collect()
    };
    let one = said(one);
    !one.is_empty() && one == said(other)
}

/// So much of a prompt and of the end of an answer is looked at.
const PROMPT_READ: usize = 2 << 10;
const ANSWER_READ: usize = 800;

/// The last boundary of a character at or before a byte.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default()
}

/// The text that a learned check reads: the prompt, then the answer's length and last words, marked so that they are not taken for words of the
/// prompt.
pub fn text_of(prompt: &str, answer: &str) -> String {
    let mut text = prompt[..boundary(prompt, PROMPT_READ)].to_owned();
    text.push('\n');
    // A word for each half doubling that the answer is long, so that what is learnt of long answers holds of longer ones too.
    let halves = ((answer.len() as f32 + 1.0).log2() * 2.0) as u32;
    for half in 0..=halves {
        text.push_str(&format!(" ªlength{half}"));
    }
    let start = boundary(answer, answer.len().saturating_sub(ANSWER_READ));
    for word in answer[start..].split_whitespace() {
        text.push_str(" ª");
        text.push_str(word);
    }
    text
}

/// An example that a check is learnt from.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Its name.
    pub id: String,
    /// What was asked.
    pub prompt: String,
    /// What kind of request it was.
    pub tag: Option<String>,
    /// What the cheap model answered.
    pub answer: String,
    /// What came of that answer.
    pub cheap: Scored,
    /// What came of the dear model's answer.
    pub dear: Scored,
}

/// The names that the two models have in the outcomes of a check.
const CHEAP: &str = "cheap";
const DEAR: &str = "dear";

/// Examples as outcomes of two models, `cheap` and `dear`, whose prompts hold the cheap answer: a predictor
/// [trained](crate::train) on them is a learned check.
///
/// # Errors
/// As [`Outcomes::add`].
pub fn outcomes(examples: impl IntoIterator<Item = Example>) -> Result<Outcomes, LearnedError> {
    let mut outcomes = Outcomes::new();
    for example in examples {
        let prompt = text_of(&example.prompt, &example.answer);
        for (model, result) in [(CHEAP, example.cheap), (DEAR, example.dear)] {
            outcomes.add(Outcome {
                id: example.id.clone(),
                prompt: prompt.clone(),
                tag: example.tag.clone(),
                model: model.to_owned(),
                result,
            })?;
        }
    }
    Ok(outcomes)
}

/// Takes answers that are plainly none for what they are: nothing can be worse, and the dear model is asked whatever a check predicts.
/// `is_flawed` is told the name of each example.
pub fn mark_flawed(held: &mut HeldOut, is_flawed: impl Fn(&str) -> bool) {
    for (id, predicted) in held.ids.iter().zip(held.predicted.chunks_exact_mut(2)) {
        if is_flawed(id) {
            predicted.copy_from_slice(&[0.0, 1.0]);
        }
    }
}

/// What a cascade does, and gives on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    /// The dear model is asked if its score is predicted to be this much higher for each pico-dollar that it is expected to cost.
    pub price: f64,
    /// What the dear model is expected to cost.
    pub dear_cost: DearCost,
    /// The share of requests that the dear model is asked too.
    pub escalated: f64,
    /// The mean score.
    pub quality: f64,
    /// The mean score of the dear model alone.
    pub dear_quality: f64,
    /// The share of the dear model's cost that is saved, the cheap call included.
    pub saving: f64,
}

/// The dear model's cost as a line over what the cheap answer to the same request has cost: long answers of one are long of the other.
/// A weight in pico-dollars, of which nothing is booked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DearCost {
    mean: f64,
    cheap_mean: f64,
    slope: f64,
}

impl DearCost {
    /// By least squares.
    fn of(held: &HeldOut) -> Self {
        let [cheap_mean, mean] = [held.mean_costs()[0], held.mean_costs()[1]];
        let (mut both, mut squares) = (0.0, 0.0);
        for row in 0..held.len() {
            let [cheap, dear] = [held.costs(row)[0], held.costs(row)[1]];
            both += (cheap - cheap_mean) * (dear - mean);
            squares += (cheap - cheap_mean).powi(2);
        }
        Self {
            mean,
            cheap_mean,
            slope: if squares > 0.0 { both / squares } else { 0.0 },
        }
    }

    /// The mean, whatever the cheap answer has cost.
    const fn flat(self) -> Self {
        Self { slope: 0.0, ..self }
    }

    /// What is expected after a cheap answer of this cost; the mean if that is not known. Never below a tenth of the mean, and always a number.
    fn after(&self, cheap: Option<f64>) -> f64 {
        let beyond = cheap.map_or(0.0, |cheap| self.slope * (cheap - self.cheap_mean));
        (self.mean + beyond).clamp(self.mean / 10.0, f64::MAX)
    }
}

impl Cascade {
    /// The cheapest cascade whose mean score is at least `share` of the dear model's, found on predictions of examples that the check has not
    /// seen ([`HeldOut`] of [`outcomes`]). `None` if none is expected to save anything.
    ///
    /// The figures are those of the examples that the threshold was found on: others will have a little less, and nothing is promised.
    ///
    /// # Errors
    /// [`LearnedError::UnknownModel`] unless the rows are of a check; [`LearnedError::TooFew`] without a row;
    /// [`LearnedError::OutOfRange`] unless `share` is above 0 and at most 1.
    pub fn compile(held: &HeldOut, share: f64) -> Result<Option<Self>, LearnedError> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(LearnedError::OutOfRange {
                what: "the share of the dear model's quality",
                range: "above 0 and at most 1",
                value: share,
            });
        }
        is_of_check(held)?;
        let fitted = DearCost::of(held);
        let found: Vec<Self> = [fitted, fitted.flat()]
            .into_iter()
            .filter_map(|dear| Self::cheapest(held, share, dear))
            .collect();
        Ok(found.into_iter().max_by(|a, b| a.saving.total_cmp(&b.saving)))
    }

    fn cheapest(held: &HeldOut, share: f64, dear: DearCost) -> Option<Self> {
        let steps = Steps::of(held, dear);
        let wanted = share * steps.dear_quality;
        let reached = steps
            .all
            .iter()
            .filter(|step| step.point.quality >= wanted && step.point.cost < steps.dear_cost);
        let cheapest = reached.min_by(|a, b| a.point.cost.total_cmp(&b.point.cost));
        cheapest.map(|step| Self {
            price: step.worth,
            dear_cost: steps.dear,
            escalated: step.escalated,
            quality: step.point.quality,
            dear_quality: steps.dear_quality,
            saving: 1.0 - step.point.cost / steps.dear_cost,
        })
    }

    /// Whether a cascade and its check that were read from outside can be used.
    ///
    /// # Errors
    /// [`LearnedError::UnknownModel`] unless the predictor is a check; [`LearnedError::OutOfRange`] for a price or a cost that is no number, or
    /// a mean cost below 0.
    pub fn check(&self, check: &Predictor) -> Result<(), LearnedError> {
        if check.models() != [CHEAP, DEAR] {
            return Err(LearnedError::UnknownModel(DEAR.to_owned()));
        }
        let DearCost {
            mean,
            cheap_mean,
            slope,
        } = self.dear_cost;
        for (what, value, least, range) in [
            ("the price of a cascade", self.price, f64::MIN, "a number"),
            ("the mean cost of a dear model", mean, 0.0, "0 or more"),
            ("the mean cost of a cheap model", cheap_mean, 0.0, "0 or more"),
            ("the slope of costs", slope, f64::MIN, "a number"),
        ] {
            if !(least..=f64::MAX).contains(&value) {
                return Err(LearnedError::OutOfRange { what, range, value });
            }
        }
        Ok(())
    }

    /// Whether the dear model is to be asked. `second` is another cheap model's answer, if there is one: if it agrees, the answer is kept unless
    /// it is plainly none.
    pub fn escalates(
        &self,
        check: &Predictor,
        prompt: &str,
        tag: Option<&str>,
        answer: &Answer<'_>,
        second: Option<&str>,
        scratch: &mut Scratch,
    ) -> bool {
        if answer.flaw().is_some() {
            return true;
        }
        let mut scores = Vec::new();
        check.predict(&text_of(prompt, answer.text), tag, scratch, &mut scores);
        let [cheap, dear] = scores.as_slice() else {
            return true;
        };
        let expected = self.dear_cost.after(answer.cost.map(|cost| cost.get() as f64));
        f64::from(dear - cheap) >= self.price * expected
            && !second.is_some_and(|second| agree(answer.text, second))
    }
}

/// Whether there are rows, and of a check.
fn is_of_check(held: &HeldOut) -> Result<(), LearnedError> {
    if held.models() != [CHEAP, DEAR] {
        return Err(LearnedError::UnknownModel(DEAR.to_owned()));
    }
    if held.is_empty() {
        return Err(LearnedError::TooFew {
            what: "a cascade on examples",
            needed: 1,
            have: 0,
        });
    }
    Ok(())
}

/// The curve of all cascades of a check over all thresholds, and the dear model alone.
///
/// # Errors
/// As [`Cascade::compile`].
pub fn curve(held: &HeldOut) -> Result<Hull, LearnedError> {
    is_of_check(held)?;
    let steps = Steps::of(held, DearCost::of(held));
    let dear = Point {
        cost: steps.dear_cost,
        quality: steps.dear_quality,
    };
    Ok(Hull::of(steps.all.iter().map(|step| step.point).chain([dear])))
}

struct Step {
    worth: f64,
    escalated: f64,
    point: Point,
}

struct Steps {
    all: Vec<Step>,
    dear: DearCost,
    dear_quality: f64,
    dear_cost: f64,
}

impl Steps {
    fn of(held: &HeldOut, dear: DearCost) -> Self {
        let n = held.len() as f64;
        let worth = |row: usize| {
            let gain = f64::from(held.predicted(row)[1] - held.predicted(row)[0]);
            gain / dear.after(Some(held.costs(row)[0]))
        };
        let mut order: Vec<usize> = (0..held.len()).collect();
        order.sort_by(|a, b| worth(*b).total_cmp(&worth(*a)));
        let mut point = Point {
            cost: held.mean_costs()[0],
            quality: held.mean_scores()[0],
        };
        let mut all = vec![Step {
            // Above what any gain is worth, and a number that can be written.
            worth: f64::MAX,
            escalated: 0.0,
            point,
        }];
        for (i, row) in order.iter().enumerate() {
            point.cost += held.costs(*row)[1] / n;
            point.quality += (f64::from(held.scores(*row)[1]) - f64::from(held.scores(*row)[0])) / n;
            let is_last_of_equals = order.get(i + 1).is_none_or(|next| worth(*next) < worth(*row));
            if is_last_of_equals {
                all.push(Step {
                    worth: worth(*row),
                    escalated: (i + 1) as f64 / n,
                    point,
                });
            }
        }
        Self {
            all,
            dear,
            dear_quality: held.mean_scores()[1],
            dear_cost: held.mean_costs()[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_are_seen_without_learning() {
        fn flaw(text: &str) -> Option<Flaw> {
            Answer::whole(text).flaw()
        }
        assert_eq!(flaw(" \n"), Some(Flaw::Empty));
        assert_eq!(
            flaw("I'm sorry, but that is not something I do."),
            Some(Flaw::Refusal)
        );
        assert_eq!(
            flaw(&format!(
                "I cannot see the figure, but {}",
                "it is 4. ".repeat(60)
            )),
            None
        );
        assert_eq!(flaw("Paris"), None);
        let cut = Answer {
            truncated: true,
            ..Answer::whole("Par")
        };
        assert_eq!(cut.flaw(), Some(Flaw::Truncated));
        let invalid = Answer {
            schema_valid: Some(false),
            ..Answer::whole("{}")
        };
        assert_eq!(invalid.flaw(), Some(Flaw::SchemaInvalid));
    }

    #[test]
    fn agreement_is_of_what_is_said() {
        assert!(agree("The answer is (C).", "the answer is C"));
        assert!(!agree("C", "D"));
        assert!(!agree("", ""), "two that say nothing do not agree");
    }

    #[test]
    fn long_prompts_and_answers_are_cut_at_characters() {
        let text = text_of(&"é".repeat(10_000), &"ü ".repeat(10_000));
        assert!(text.len() < PROMPT_READ + 3 * ANSWER_READ);
        assert_eq!(text_of("", ""), "\n ªlength0");
    }
}
