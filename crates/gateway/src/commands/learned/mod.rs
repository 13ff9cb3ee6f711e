//! `waypost train`, `certify`, `evaluate` and `cascade`: policies that are learnt from outcomes.

mod cascade;
mod certify;
mod embed;
mod evaluate;
mod page;
mod train;

use std::path::Path;

use routing_learned::{LearnedError, MOST_PROMPTS, Outcomes, Prompt};
use rust_decimal::Decimal;
use serde::Serialize;

use super::number::{Number, Unit};
use super::outcome_file::Rows;
use super::{Outcome, Progress};
use crate::cli::WrongUsage;
use crate::learned::{LONGEST_NAME, read_predictor, said};

pub(super) use cascade::run as cascade;
pub(super) use certify::run as certify;
pub(super) use evaluate::run as evaluate;
pub(super) use train::run as train;

/// A model must have answered this share of the prompts, at a known cost, to be taken without being named.
const COMPLETE: f64 = 0.99;

/// What the outcomes do not allow, in one line. They repeat names out of the file.
fn wrong(error: &LearnedError) -> WrongUsage {
    WrongUsage(said(error))
}

/// The outcomes of a file; of these models alone, unless none is named. With the vectors of the file, if they are wanted, which are taken
/// to be of this embedding model.
fn read(path: &Path, models: &[String], embedding: Option<&str>) -> Result<Outcomes, WrongUsage> {
    let mut rows = Rows::open(path)?;
    let mut outcomes = Outcomes::new();
    while let Some(mut row) = rows.next()? {
        if !models.is_empty() {
            row.outcomes.retain(|model, _| models.contains(model));
        }
        let added = match embedding {
            Some(embedding) => outcomes.add_embedded_row(row, embedding),
            None => outcomes.add_row(row),
        };
        added.map_err(|error| {
            WrongUsage(format!("{}: line {}: {}", rows.name(), rows.line(), said(&error)))
        })?;
        if outcomes.len() > MOST_PROMPTS {
            return Err(WrongUsage(format!(
                "{}: there are more than {MOST_PROMPTS} prompts in it",
                rows.name()
            )));
        }
    }
    if outcomes.is_empty() {
        let what = if models.is_empty() {
            "there is no row in it"
        } else {
            "there is no outcome of these models in it"
        };
        return Err(WrongUsage(format!("{}: {what}", rows.name())));
    }
    Ok(outcomes)
}

/// Models that were named, once each.
fn named(models: &[String]) -> Result<Vec<String>, WrongUsage> {
    let mut named: Vec<String> = models.iter().map(|model| model.trim().to_owned()).collect();
    if named.iter().any(String::is_empty) {
        return Err(WrongUsage("--models has an empty name in it".to_owned()));
    }
    named.sort();
    named.dedup();
    Ok(named)
}

/// A model that is not taken, and why.
#[derive(Debug, Serialize)]
struct LeftOut {
    model: String,
    /// How many prompts it answered.
    outcomes: usize,
    /// Of how many of those the cost is known.
    with_cost: usize,
}

impl LeftOut {
    fn sentence(&self, prompts: usize) -> String {
        let prompts = count(prompts);
        if self.with_cost < self.outcomes {
            format!(
                "{}: an outcome on {} of {prompts} prompts, its cost on {}",
                self.model,
                count(self.outcomes),
                count(self.with_cost)
            )
        } else {
            format!(
                "{}: an outcome on {} of {prompts} prompts",
                self.model,
                count(self.outcomes)
            )
        }
    }
}

/// The models that are known well enough to be taken without being named, and the others.
fn complete_models(outcomes: &Outcomes) -> Result<(Vec<String>, Vec<LeftOut>), WrongUsage> {
    let complete = outcomes.complete_models(COMPLETE, true);
    if complete.is_empty() {
        return Err(WrongUsage(
            "no model has an outcome and its cost on 99 % of the prompts; name some with --models".to_owned(),
        ));
    }
    let mut left_out: Vec<LeftOut> = outcomes
        .models()
        .iter()
        .filter(|model| !complete.contains(model))
        .map(|model| LeftOut {
            model: model.clone(),
            outcomes: outcomes.answered_by(model),
            with_cost: with_cost(outcomes, model),
        })
        .collect();
    left_out.sort_by(|a, b| a.model.cmp(&b.model));
    Ok((complete, left_out))
}

fn with_cost(outcomes: &Outcomes, model: &str) -> usize {
    let Some(number) = outcomes.models().iter().position(|known| known == model) else {
        return 0;
    };
    outcomes
        .prompts()
        .filter(|prompt| prompt.of(number).is_some_and(|scored| scored.cost.is_some()))
        .count()
}

/// Each of these models must be there, and must have cost something known.
fn check(outcomes: &Outcomes, models: &[String]) -> Result<(), WrongUsage> {
    for model in models {
        if outcomes.answered_by(model) == 0 {
            return Err(wrong(&LearnedError::UnknownModel(model.clone())));
        }
        if with_cost(outcomes, model) == 0 {
            return Err(wrong(&LearnedError::UnknownCost(model.clone())));
        }
    }
    Ok(())
}

/// The prompts of which the outcome and the cost of each of these models are known, and how many are left out for that.
fn complete(outcomes: &Outcomes, models: &[String]) -> Result<(Outcomes, usize), WrongUsage> {
    check(outcomes, models)?;
    let known = outcomes.only(models).map_err(|error| wrong(&error))?;
    let known = known.filtered(|prompt| {
        (0..models.len()).all(|model| prompt.of(model).is_some_and(|scored| scored.cost.is_some()))
    });
    if known.is_empty() {
        let mut message = "there is no prompt with an outcome and its cost of each of the models".to_owned();
        let answers = |prompt: &Prompt| {
            (0..outcomes.models().len())
                .filter(|one| prompt.of(*one).is_some())
                .count()
        };
        if outcomes.prompts().all(|prompt| answers(prompt) < 2) {
            message += "; each has the outcome of one model alone, as feedback is, and which model is better is told by the outcomes \
                        of all on the same prompts: `waypost compare --prompts FILE --outcomes FILE` gets them";
        }
        return Err(WrongUsage(message));
    }
    let left_out = outcomes.len() - known.len();
    Ok((known, left_out))
}

/// Shows how far a training is.
fn training() -> impl FnMut(routing_learned::Progress) {
    let mut bar: Option<Progress> = None;
    move |step| {
        let steps = usize::try_from(step.of).unwrap_or(usize::MAX);
        bar.get_or_insert_with(|| Progress::new(steps, "steps of training"))
            .step();
    }
}

/// A mean cost in pico-dollars as US dollars; `None` beyond what an amount can be.
fn usd(pico: f64) -> Option<Number> {
    Unit::Pico.number(pico)
}

/// A mean cost for people, of four digits.
fn dollars(pico: f64) -> String {
    match usd(pico) {
        Some(Number::Usd(amount)) => rounded(amount),
        _ => UNKNOWN.to_owned(),
    }
}

fn rounded(amount: Decimal) -> String {
    format!("${}", amount.round_sf(4).unwrap_or(amount).normalize())
}

const UNKNOWN: &str = "–";

/// A whole number with its thousands set apart.
fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as percents, without digits that say nothing.
fn percent(share: f64) -> String {
    let tenths = (1_000.0 * share).round() / 10.0;
    // No minus before a nought.
    format!("{} %", tenths + 0.0)
}

/// Prompts of which too little is known, in a sentence.
fn prompts_left_out(prompts: usize) -> Option<String> {
    (prompts > 0).then(|| {
        format!(
            "prompts left out, where the outcome or the cost of a model is not known: {}; nothing is said of their like",
            count(prompts)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [percent(0.9), percent(0.995), percent(-0.000_01), percent(0.4321)],
            ["90 %", "99.5 %", "0 %", "43.2 %"]
        );
        assert_eq!(
            [dollars(1.234_56e9), dollars(0.0), dollars(f64::NAN)],
            ["$0.001235", "$0", "–"]
        );
    }
}
