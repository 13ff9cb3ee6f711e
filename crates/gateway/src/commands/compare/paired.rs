//! Each model held against one of them, prompt by prompt: what both answered, and by how much they differ there.

use std::collections::BTreeMap;

use costing::PicoSum;
use experiments::fixed::means::paired_t;
use experiments::fixed::paired::{Pairs, mcnemar_mid_p, tango_interval};
use experiments::multiple::holm;
use experiments::statistics::{Alternative, Interval, Level, Moments, StatisticsError};
use integration_core::ModelId;
use routing::{PairVerdict, Trial};
use rust_decimal::Decimal;

use super::super::number::{Number, Unit};

/// Below so many pairs there is no interval. One prompt of fewer moves a share by more than ten points, and that the mean of so few
/// differences is normal, as Student's t has it, is something nobody can see from them.
pub(super) const LEAST_PAIRS: u64 = 10;

/// What two models are compared in. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// The share of answers that passed all their checks.
    Checks,
    /// The share of answers the judge liked better, less that of those it liked less.
    Judge,
    /// What an answer cost.
    Cost,
    /// How long an answer took, in milliseconds.
    Latency,
}

impl Measure {
    pub(super) const ALL: [Self; 4] = [Self::Checks, Self::Judge, Self::Cost, Self::Latency];

    /// A stable word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Judge => "judge",
            Self::Cost => "cost",
            Self::Latency => "latency",
        }
    }
}

/// Why there is no interval. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoInterval {
    /// One prompt says nothing of the next.
    OnePrompt,
    /// Fewer than [`LEAST_PAIRS`].
    FewPairs,
    /// All pairs differ by the same: how far chance moves it cannot be seen.
    Alike,
    /// It is beyond what can be computed with.
    BeyondNumbers,
}

impl NoInterval {
    /// A stable word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OnePrompt => "one_prompt",
            Self::FewPairs => "few_pairs",
            Self::Alike => "alike",
            Self::BeyondNumbers => "beyond_numbers",
        }
    }
}

/// On how many prompts the model did better than the baseline, worse, and neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) better: u64,
    pub(super) even: u64,
    pub(super) worse: u64,
}

/// An interval and what a test says of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tested {
    pub(super) low: Number,
    pub(super) high: Number,
    /// How likely equals differ at least so much.
    pub(super) p: f64,
    /// The same, corrected by Holm's procedure for there being several models.
    pub(super) corrected_p: f64,
}

/// By how much the model is more than the baseline, in one measure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub(super) measure: Measure,
    /// Pairs of answers in which the measure is known of both.
    pub(super) pairs: u64,
    /// Where prompts are counted.
    pub(super) tally: Option<Tally>,
    /// `None` without pairs.
    pub(super) mean: Option<Number>,
    pub(super) tested: Result<Tested, NoInterval>,
}

/// One model against the baseline.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Against {
    pub(super) model: ModelId,
    /// Prompts both answered. The differences are over these.
    pub(super) both: usize,
    /// The places of prompts only the baseline answered.
    pub(super) only_baseline: Vec<usize>,
    /// The places of prompts only the model answered.
    pub(super) only_model: Vec<usize>,
    /// In the order of [`Measure::ALL`]; checks and judge only where there are any.
    pub(super) differences: Vec<Difference>,
}

/// Every other model against the baseline, in the order they were named.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Paired {
    pub(super) baseline: ModelId,
    pub(super) models: Vec<Against>,
}

/// What a judge said of a prompt and two models by their places, the one of which it is said first.
pub(super) type Verdicts = BTreeMap<(usize, usize, usize), PairVerdict>;

/// What a model did, by prompt; `None` where it was not asked any more.
#[derive(Debug)]
pub(super) struct Column {
    /// Its place among the models.
    pub(super) place: usize,
    pub(super) model: ModelId,
    pub(super) trials: Vec<Option<Trial>>,
}

impl Paired {
    /// Holds the others against the baseline. `verdicts` is what the judge said; `None` if there is none.
    pub(super) fn of(base: &Column, others: &[Column], verdicts: Option<&Verdicts>) -> Self {
        let columns = std::iter::once(base).chain(others);
        let mut trials = columns.flat_map(|column| &column.trials).flatten();
        let is_checked = trials.any(|trial| trial.passed_all().is_some());
        let mut models: Vec<Against> = others
            .iter()
            .map(|column| against(base, column, is_checked, verdicts))
            .collect();
        correct(&mut models);
        Self {
            baseline: base.model.clone(),
            models,
        }
    }
}

fn against(base: &Column, column: &Column, is_checked: bool, verdicts: Option<&Verdicts>) -> Against {
    let prompts = base.trials.len();
    let answered = |trial: &Option<Trial>| trial.as_ref().is_some_and(|trial| trial.is_answered);
    let (mut both, mut only_baseline, mut only_model) = (Vec::new(), Vec::new(), Vec::new());
    for (prompt, (control, treatment)) in base.trials.iter().zip(&column.trials).enumerate() {
        match (answered(control), answered(treatment)) {
            (true, true) => both.extend(
                control
                    .as_ref()
                    .zip(treatment.as_ref())
                    .map(|pair| (prompt, pair)),
            ),
            (true, false) => only_baseline.push(prompt),
            (false, true) => only_model.push(prompt),
            (false, false) => {}
        }
    }
    let pairs = || both.iter().map(|(_, pair)| *pair);
    let mut differences = Vec::new();
    if is_checked {
        let mut counts = Pairs::default();
        for (control, treatment) in pairs() {
            if let (Some(control), Some(treatment)) = (control.passed_all(), treatment.passed_all()) {
                counts.push(control, treatment);
            }
        }
        differences.push(share(Measure::Checks, counts, prompts));
    }
    if let Some(verdicts) = verdicts {
        let mut counts = Pairs::default();
        for (prompt, _) in &both {
            match verdicts.get(&(*prompt, column.place, base.place)) {
                Some(PairVerdict::First) => counts.treatment_only += 1,
                Some(PairVerdict::Second) => counts.control_only += 1,
                // The interval asks only how many are even, not in which way.
                Some(PairVerdict::Tie | PairVerdict::OrderDependent) => counts.neither += 1,
                Some(PairVerdict::Unjudged) | None => {}
            }
        }
        differences.push(share(Measure::Judge, counts, prompts));
    }
    let costs = pairs().filter_map(|(control, treatment)| {
        let (control, treatment) = control.cost.zip(treatment.cost)?;
        Some(PicoSum::from(treatment) - PicoSum::from(control))
    });
    differences.push(cost(costs, prompts));
    let times = pairs().filter_map(|(control, treatment)| {
        let (control, treatment) = control.latency.zip(treatment.latency)?;
        Some((treatment.as_secs_f64() - control.as_secs_f64()) * 1000.0)
    });
    differences.push(latency(times, prompts));
    Against {
        model: column.model.clone(),
        both: both.len(),
        only_baseline,
        only_model,
        differences,
    }
}

/// Whether there may be an interval.
fn admit(pairs: u64, prompts: usize) -> Result<(), NoInterval> {
    if prompts < 2 {
        Err(NoInterval::OnePrompt)
    } else if pairs < LEAST_PAIRS {
        Err(NoInterval::FewPairs)
    } else {
        Ok(())
    }
}

/// A reason to print instead of an interval.
fn reason(error: &StatisticsError) -> NoInterval {
    match error {
        StatisticsError::ZeroVariance(_) => NoInterval::Alike,
        StatisticsError::TooFew { .. } => NoInterval::FewPairs,
        _ => NoInterval::BeyondNumbers,
    }
}

fn tested(interval: Interval, p: f64, unit: Unit) -> Result<Tested, NoInterval> {
    let number = |value| unit.number(value).ok_or(NoInterval::BeyondNumbers);
    Ok(Tested {
        low: number(interval.low)?,
        high: number(interval.high)?,
        p,
        corrected_p: p,
    })
}

fn share(measure: Measure, counts: Pairs, prompts: usize) -> Difference {
    let test = || -> Result<(Interval, f64), StatisticsError> {
        Ok((
            tango_interval(&counts, Level::default())?,
            mcnemar_mid_p(&counts, Alternative::TwoSided)?,
        ))
    };
    Difference {
        measure,
        pairs: counts.n(),
        tally: Some(Tally {
            better: counts.treatment_only,
            even: counts.both + counts.neither,
            worse: counts.control_only,
        }),
        mean: counts.difference().map(Number::Plain),
        tested: admit(counts.n(), prompts)
            .and_then(|()| test().map_err(|error| reason(&error)))
            .and_then(|(interval, p)| tested(interval, p, Unit::Plain)),
    }
}

/// The mean is exact, but for being rounded to whole pico-dollars; how far it may be off is a statistic, and not an amount.
fn cost(differences: impl Iterator<Item = PicoSum>, prompts: usize) -> Difference {
    let (mut sum, mut values) = (PicoSum::default(), Vec::new());
    for difference in differences {
        sum += difference;
        values.push(difference.get() as f64);
    }
    let mean = sum.to_decimal().and_then(|sum| {
        let mean = sum.checked_div(Decimal::from(values.len()))?;
        Some(Number::Usd(mean.round_dp(12)))
    });
    Difference {
        mean,
        ..of_means(Measure::Cost, &values, prompts, Unit::Pico)
    }
}

fn latency(differences: impl Iterator<Item = f64>, prompts: usize) -> Difference {
    let values: Vec<f64> = differences.collect();
    of_means(Measure::Latency, &values, prompts, Unit::Plain)
}

fn of_means(measure: Measure, values: &[f64], prompts: usize, unit: Unit) -> Difference {
    let mut moments = Moments::new();
    let told = values.iter().try_for_each(|value| moments.push(*value));
    let pairs = values.len() as u64;
    Difference {
        measure,
        pairs,
        tally: None,
        mean: moments.mean().and_then(|mean| unit.number(mean)),
        tested: admit(pairs, prompts)
            .and_then(|()| {
                told.and_then(|()| paired_t(&moments, Level::default(), Alternative::TwoSided))
                    .map_err(|error| reason(&error))
            })
            .and_then(|effect| tested(effect.interval, effect.p_value, unit)),
    }
}

/// Corrects the tests of each measure for there being several models. What was not tested does not count.
fn correct(models: &mut [Against]) {
    for measure in Measure::ALL {
        let tests = models.iter_mut().flat_map(|model| &mut model.differences);
        let tests = tests.filter(|difference| difference.measure == measure);
        let mut tests: Vec<&mut Tested> = tests.filter_map(|own| own.tested.as_mut().ok()).collect();
        let raw: Vec<f64> = tests.iter().map(|test| test.p).collect();
        if let Ok(corrected) = holm(&raw, Level::default()) {
            for (test, corrected) in tests.iter_mut().zip(corrected) {
                test.corrected_p = corrected.adjusted;
            }
        }
    }
}

impl Tested {
    /// Whether model and baseline can be told apart in this, after correction.
    pub(super) fn is_distinct(&self) -> bool {
        self.corrected_p < Level::default().alpha()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use costing::Pico;
    use std::time::Duration;

    /// A model whose answers to prompts are right where `is_right` says so, and cost and take what it says.
    fn column(place: usize, prompts: u64, does: impl Fn(u64) -> Option<(bool, u64)>) -> Column {
        let trials = (0..prompts).map(|n| {
            let Some((is_right, amount)) = does(n) else {
                return Some(Trial::failed());
            };
            let mut trial = Trial::answered()
                .with_cost(i64::try_from(amount).ok().map(Pico::new))
                .with_checks(u32::from(is_right), 1);
            trial.latency = Some(Duration::from_micros(amount));
            Some(trial)
        });
        Column {
            place,
            model: ModelId::new(format!("author/m{place}")).unwrap(),
            trials: trials.collect(),
        }
    }

    fn turned(number: Number) -> Number {
        match number {
            Number::Plain(value) => Number::Plain(-value),
            Number::Usd(amount) => Number::Usd(-amount),
        }
    }

    fn is_near(one: Number, other: Number) -> bool {
        match (one, other) {
            (Number::Plain(one), Number::Plain(other)) => (one - other).abs() < 1e-9,
            (one, other) => one == other,
        }
    }

    /// Who is the baseline turns every sign and changes nothing else.
    #[test]
    fn the_baseline_turns_the_sign() {
        let one = column(0, 30, |n| Some((n % 3 > 0, 900 + n * 37 % 101)));
        let other = column(1, 30, |n| (n != 4).then_some((n % 7 > 0, 800 + n * 53 % 97)));
        let verdicts: Verdicts = (0..30)
            .flat_map(|n| {
                let verdict = [
                    PairVerdict::First,
                    PairVerdict::Tie,
                    PairVerdict::First,
                    PairVerdict::Second,
                ][n % 4];
                [((n, 0, 1), verdict), ((n, 1, 0), verdict.swapped())]
            })
            .collect();
        let straight = Paired::of(&one, std::slice::from_ref(&other), Some(&verdicts));
        let swapped = Paired::of(&other, std::slice::from_ref(&one), Some(&verdicts));
        let (straight, swapped) = (&straight.models[0], &swapped.models[0]);
        assert_eq!((straight.both, swapped.both), (29, 29));
        assert_eq!(
            (&straight.only_baseline, &swapped.only_model),
            (&vec![4], &vec![4])
        );
        assert_eq!(straight.differences.len(), 4);
        for (own, other) in straight.differences.iter().zip(&swapped.differences) {
            assert!(is_near(own.mean.unwrap(), turned(other.mean.unwrap())));
            let (a, b) = (own.tested.unwrap(), other.tested.unwrap());
            assert!(
                is_near(a.low, turned(b.high)) && is_near(a.high, turned(b.low)),
                "{a:?} {b:?}"
            );
            assert!((a.p - b.p).abs() < 1e-12);
            if let (Some(a), Some(b)) = (own.tally, other.tally) {
                assert_eq!((a.better, a.even, a.worse), (b.worse, b.even, b.better));
            }
        }
    }

    /// A model that is not tested makes no other test stricter.
    #[test]
    fn only_tests_that_were_made_are_corrected_for() {
        let base = column(0, 20, |n| Some((n.is_multiple_of(4), 900 + n)));
        let two = [
            column(1, 20, |n| Some((n.is_multiple_of(2), 905 + n * 7 % 11))),
            column(2, 20, |n| (n < 9).then_some((true, n))),
        ];
        let paired = Paired::of(&base, &two, None);
        for own in &paired.models[0].differences {
            let tested = own.tested.unwrap();
            assert!((tested.p - tested.corrected_p).abs() < f64::EPSILON);
        }
        for own in &paired.models[1].differences {
            assert_eq!((own.pairs, own.tested), (9, Err(NoInterval::FewPairs)));
            assert!(own.mean.is_some());
        }
        // With a third that is, the smaller p counts twice.
        let more = [
            two,
            [column(3, 20, |n| Some((true, n * n))), column(4, 20, |_| None)],
        ];
        let more: Vec<Column> = more.into_iter().flatten().collect();
        let paired = Paired::of(&base, &more, None);
        for (own, other) in paired.models[0]
            .differences
            .iter()
            .zip(&paired.models[2].differences)
        {
            let (own, other) = (own.tested.unwrap(), other.tested.unwrap());
            let least = own.p.min(other.p);
            assert!((own.corrected_p.min(other.corrected_p) - 2.0 * least).abs() < 1e-12);
        }
        for own in &paired.models[3].differences {
            assert_eq!((own.pairs, own.mean), (0, None));
        }
    }
}
