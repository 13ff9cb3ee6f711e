//! Logged choices: what another policy would have given is estimated, or refused. The whole log is held in memory, because the gates
//! and the model of outcomes look at all of it: up to [`MOST_ROWS`] rows.

use std::collections::BTreeMap;

use experiments::off_policy::{
    Estimate, Evaluation, Gates, Logged, Outcome, Overlap, Predicted, contrast, evaluate,
};
use experiments::statistics::StatisticsError;
use routing::OutcomeRow;

use super::super::number::Unit;
use super::super::outcome_file::Rows;
use super::figures::{Compared, Estimators, Figure, level};
use super::policy::{Ask, Policy};
use super::report::{Report, Support, Tally};
use crate::cli::WrongUsage;

/// The most rows of a log.
const MOST_ROWS: usize = 1_000_000;

/// Tasks of which outcomes are predicted apart; all others are one more.
const MOST_TASKS: usize = 1_000;

/// So many outcomes of a model on all tasks count as much as what is known of it on one: few outcomes of a task say little.
const PRIOR: f64 = 10.0;

/// What is kept of a row.
struct Kept {
    /// The place of the chosen model among the names in order of appearance, then among the sorted ones.
    chosen: usize,
    task: usize,
    ask: Option<Ask>,
    propensity: f64,
    /// Score, pico-dollars, milliseconds.
    outcomes: [Option<f64>; 3],
}

/// What each policy would choose in each row; `None` where it could not.
type Choices = Vec<Option<usize>>;

/// Replays a log from its first row.
pub(super) fn replay(
    first: OutcomeRow,
    rows: &mut Rows,
    policy: &mut Policy,
    baseline: Option<&str>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let kept = keep(first, rows, policy, &mut tally)?;
    let names: Vec<String> = tally.names().cloned().collect();
    let place = |name: &str| {
        names.iter().position(|known| known == name).ok_or_else(|| {
            WrongUsage(format!(
                "{}: no row has an outcome of '{name}': the log never chose it",
                rows.name()
            ))
        })
    };
    if let Policy::Always(name) = policy {
        place(name)?;
    }
    let other = baseline.map(place).transpose()?;

    let mut choices: Choices = Vec::with_capacity(kept.len());
    for row in &kept {
        let choice = policy.choose(row.ask, tally.rows(), names.iter());
        tally.asked(row.ask);
        tally.chosen(choice.and_then(|at| names.get(at).map(String::as_str).ok_or("unknown_model")));
        choices.push(choice.ok());
    }
    report.baseline = Some(baseline.unwrap_or("logged").to_owned());
    let log = Log {
        kept: &kept,
        choices: &choices,
        other,
    };
    let unknown_to_all = |column: usize| kept.iter().all(|row| row.outcomes.get(column) == Some(&None));
    let (score, overlap) = if tally.chosen_rows() == 0 {
        (
            refused("the policy could choose a model in no row".to_owned()),
            None,
        )
    } else {
        log.compare(0, Unit::Plain)?
    };
    report.refused.clone_from(&score.refused);
    report.overlap = overlap;
    if report.refused.is_none() {
        report.score = Some(score);
        if !unknown_to_all(1) {
            report.cost_usd = Some(log.compare(1, Unit::Pico)?.0);
        }
        if !unknown_to_all(2) {
            report.latency_ms = Some(log.compare(2, Unit::Plain)?.0);
        }
    }
    tally.report(report);
    Ok(())
}

/// Reads the log. Afterwards each row's chosen model is a place among the sorted names.
fn keep(
    first: OutcomeRow,
    rows: &mut Rows,
    policy: &mut Policy,
    tally: &mut Tally,
) -> anyhow::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    let mut models: BTreeMap<String, usize> = BTreeMap::new();
    let mut tasks: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let mut next = Some(first);
    while let Some(row) = next {
        if kept.len() == MOST_ROWS {
            return Err(WrongUsage(format!(
                "{} has more than {MOST_ROWS} rows of logged choices; replay a part of it",
                rows.name()
            ))
            .into());
        }
        tally.seen(row.outcomes.keys(), policy)?;
        let ask = policy.ask(&row)?;
        let OutcomeRow {
            outcomes,
            task,
            propensity,
            ..
        } = row;
        // A row of this kind has one outcome, that of its choice.
        if let (Some((name, outcome)), Some(propensity)) = (outcomes.into_iter().next(), propensity) {
            let (of_models, of_tasks) = (models.len(), tasks.len());
            let task = if of_tasks < MOST_TASKS {
                *tasks.entry(task).or_insert(of_tasks)
            } else {
                tasks.get(&task).copied().unwrap_or(MOST_TASKS)
            };
            kept.push(Kept {
                chosen: *models.entry(name).or_insert(of_models),
                task,
                ask,
                propensity,
                outcomes: [
                    Some(outcome.score),
                    outcome.cost.map(|cost| cost.get() as f64),
                    outcome.latency_ms,
                ],
            });
        }
        next = rows.next()?;
    }
    let mut sorted = vec![0; models.len()];
    for (place, appeared) in models.values().enumerate() {
        if let Some(slot) = sorted.get_mut(*appeared) {
            *slot = place;
        }
    }
    for row in &mut kept {
        row.chosen = sorted.get(row.chosen).copied().unwrap_or_default();
    }
    Ok(kept)
}

/// A log, what the policy would have chosen, and the model it is held against.
struct Log<'a> {
    kept: &'a [Kept],
    choices: &'a Choices,
    /// `None`: the policy that was in force.
    other: Option<usize>,
}

impl Log<'_> {
    /// One outcome, over the rows where it is known and the policy could choose.
    fn compare(&self, column: usize, unit: Unit) -> anyhow::Result<(Compared, Option<Support>)> {
        let used = || {
            self.kept
                .iter()
                .zip(self.choices)
                .filter_map(|(row, choice)| Some((row, (*choice)?)))
        };
        let known = used().filter_map(|(row, choice)| Some((row, choice, (*row.outcomes.get(column)?)?)));
        let known: Vec<(&Kept, usize, f64)> = known.collect();
        let rows = known.len() as u64;
        let unknown = used().count() as u64 - rows;
        let predictions = Predictions::of(&known);
        let under = |target: &dyn Fn(usize) -> usize| -> Vec<Logged> {
            let rows = known.iter().enumerate();
            rows.map(|(at, (row, choice, value))| {
                let target = target(*choice);
                Logged {
                    unit: None,
                    propensity: row.propensity,
                    target: f64::from(u8::from(target == row.chosen)),
                    // The log chose every model of the pool somewhere; where it could not, the mean weight shows it.
                    unreachable: 0.0,
                    outcomes: vec![Outcome {
                        value: *value,
                        predicted: Some(Predicted {
                            logged: predictions.of_row(at, row.task, row.chosen),
                            target: predictions.of_row(at, row.task, target),
                        }),
                    }],
                }
            })
            .collect()
        };
        let (gates, level) = (Gates::default(), level()?);
        let own = under(&|choice| choice);
        let evaluation = match evaluate(&own, &gates, level) {
            Ok(evaluation) => evaluation,
            Err(error) => return Ok((refused(reason(error)?), None)),
        };
        let support = support(&evaluation.overlap);
        let Some(estimates) = evaluation.outcomes.first() else {
            return Ok((Compared::default(), None));
        };
        let figure = |estimate: &Estimate| Figure::of(estimate, unit, rows, unknown);
        let mut compared = Compared {
            policy: estimates.doubly_robust.as_ref().and_then(figure),
            baseline: figure(&estimates.logged),
            difference: figure(&estimates.change),
            estimators: Some(Estimators {
                inverse_propensity: figure(&estimates.inverse_propensity),
                self_normalised: figure(&estimates.self_normalised),
                doubly_robust: estimates.doubly_robust.as_ref().and_then(figure),
            }),
            refused: None,
        };
        if let Some(other) = self.other {
            let others = under(&|_| other);
            let both = evaluate(&others, &gates, level)
                .and_then(|evaluation| Ok((evaluation, contrast(&own, &others, &gates, level)?)));
            let (evaluation, differences): (Evaluation, _) = match both {
                Ok(both) => both,
                Err(error) => return Ok((refused(format!("of the baseline: {}", reason(error)?)), None)),
            };
            let robust = evaluation
                .outcomes
                .first()
                .and_then(|outcome| outcome.doubly_robust);
            compared.baseline = robust.as_ref().and_then(figure);
            compared.difference = differences.first().and_then(figure);
        }
        Ok((compared, Some(support)))
    }
}

/// Why there is no estimate, if that is what it is.
fn reason(error: StatisticsError) -> anyhow::Result<String> {
    match error {
        StatisticsError::NoSupport(why) => Ok(why),
        error @ StatisticsError::TooFew { .. } => Ok(error.to_string()),
        error => Err(error.into()),
    }
}

fn refused(why: String) -> Compared {
    Compared {
        refused: Some(why),
        ..Compared::default()
    }
}

fn support(overlap: &Overlap) -> Support {
    Support {
        rows: overlap.rows as u64,
        effective_rows: overlap.effective,
        largest_share: overlap.largest_share,
        mean_weight: overlap.mean_weight,
        explored_rows: overlap.explored as u64,
    }
}

/// A sum and how many it is of.
type Sum = (f64, f64);

/// What outcomes were like in one half of the log.
#[derive(Default)]
struct Half {
    by_task: BTreeMap<(usize, usize), Sum>,
    by_model: BTreeMap<usize, Sum>,
    all: Sum,
}

/// A model of outcomes for the doubly robust estimator: the mean of a model on a task, drawn towards that of the model. Rows of one half are
/// predicted from the other, because no outcome may predict itself.
struct Predictions([Half; 2]);

impl Predictions {
    fn of(rows: &[(&Kept, usize, f64)]) -> Self {
        let mut halves = [Half::default(), Half::default()];
        for (at, (row, _, value)) in rows.iter().enumerate() {
            if let Some(half) = halves.get_mut(at % 2) {
                let sums = [
                    half.by_task.entry((row.chosen, row.task)).or_default(),
                    half.by_model.entry(row.chosen).or_default(),
                    &mut half.all,
                ];
                for sum in sums {
                    sum.0 += value;
                    sum.1 += 1.0;
                }
            }
        }
        Self(halves)
    }

    /// What a model is expected to give in a row.
    fn of_row(&self, at: usize, task: usize, model: usize) -> f64 {
        let Some(half) = self.0.get((at + 1) % 2) else {
            return 0.0;
        };
        let all = half.all.0 / half.all.1.max(1.0);
        let (sum, n) = half.by_model.get(&model).copied().unwrap_or_default();
        let of_model = if n > 0.0 { sum / n } else { all };
        let (sum, n) = half.by_task.get(&(model, task)).copied().unwrap_or_default();
        (sum + PRIOR * of_model) / (n + PRIOR)
    }
}
