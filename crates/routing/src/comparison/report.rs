//! What a comparison comes to.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use costing::Pico;
use integration_core::ModelId;
use serde::{Serialize, Serializer};

use super::statistics::{deviation, holm, mean, percentile, sign_test, wilson};
use super::{Comparison, PairVerdict, Trial};

/// How sure two models must differ, after correction for there being several pairs, to be told apart.
const ALPHA: f64 = 0.05;

/// What quality is measured by. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityMeasure {
    /// What the judge said.
    Judge,
    /// Whether answers passed all their structural checks.
    Checks,
}

/// Why there is no ranking of quality. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unranked {
    /// One prompt says nothing of the next.
    OnePrompt,
    /// Neither a judge nor a check said anything on two prompts or more.
    NoMeasure,
}

/// How amounts of money are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CostFigures {
    /// Answers whose cost is known. The other figures are of these.
    pub known: usize,
    /// Answers whose cost is not known.
    pub unknown: usize,
    /// The mean, in whole pico-dollars; `None` of nothing.
    #[serde(rename = "mean_usd")]
    pub mean: Option<Pico>,
    /// The standard deviation of the sample; `None` of fewer than two.
    #[serde(rename = "deviation_usd")]
    pub deviation: Option<Pico>,
}

/// How durations are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// Of how many.
    pub n: usize,
    /// The median: the smallest that half of them do not exceed.
    #[serde(rename = "median_ms", serialize_with = "milliseconds")]
    pub median: Duration,
    /// The smallest that nine of ten do not exceed.
    #[serde(rename = "p90_ms", serialize_with = "milliseconds")]
    pub p90: Duration,
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A number of tokens over several answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct TokenFigures {
    /// The sum of those that are known.
    pub total: u64,
    /// Answers that tell the number.
    pub known: usize,
    /// Answers that do not.
    pub unknown: usize,
}

/// What a judge said of a model's answers, each held against the answer of one other model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct VerdictCounts {
    /// Better in both orders.
    pub wins: usize,
    /// Neither is better, in both orders.
    pub ties: usize,
    /// Other choices in the two orders.
    pub order_dependent: usize,
    /// Worse in both orders.
    pub losses: usize,
    /// Not judged, or not in both orders.
    pub unjudged: usize,
}

/// How often a model did well, counted by prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QualityFigures {
    /// Prompts won: with more verdicts for the model than against it; or with an answer that passed all checks.
    pub won: usize,
    /// Prompts lost: with more verdicts against it; or with an answer that failed a check.
    pub lost: usize,
    /// Prompts on which the verdicts came out even.
    pub even: usize,
    /// `won` of `won + lost`; `None` if all came out even.
    pub rate: Option<f64>,
    /// What the rate is at least and at most with 95 % confidence, by Wilson's formula.
    pub interval: Option<(f64, f64)>,
}

/// One model in a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedModel {
    /// The model.
    pub model: ModelId,
    /// One more than the number of models that are better beyond doubt; `None` without a ranking, and without a prompt to measure.
    pub rank: Option<usize>,
    /// Prompts it was asked.
    pub asked: usize,
    /// Prompts it answered. What follows is of these answers.
    pub answered: usize,
    /// What an answer cost.
    pub cost: CostFigures,
    /// How long an answer took; `None` if none is known.
    pub latency: Option<Spread>,
    /// How long its first piece took.
    pub first_content: Option<Spread>,
    /// Tokens of the prompts.
    pub prompt_tokens: TokenFigures,
    /// Tokens of the answers, reasoning included.
    pub completion_tokens: TokenFigures,
    /// Tokens of reasoning.
    pub reasoning_tokens: TokenFigures,
    /// Checks passed.
    pub checks_passed: u64,
    /// Checks made.
    pub checks: u64,
    /// What the judge said.
    pub verdicts: VerdictCounts,
    /// How good it was; `None` without a ranking, and without a prompt to measure.
    pub quality: Option<QualityFigures>,
}

/// Two models held against each other, prompt by prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedPair {
    /// The one, the lower name.
    pub first: ModelId,
    /// The other.
    pub second: ModelId,
    /// Prompts on which the first did better.
    pub first_better: usize,
    /// Prompts on which the second did better.
    pub second_better: usize,
    /// Prompts on which neither did.
    pub even: usize,
    /// How likely equals differ at least so much, by the sign test.
    pub p: f64,
    /// The same, corrected by Holm's procedure for the number of pairs.
    pub corrected_p: f64,
    /// Whether the two can be told apart: `corrected_p` is below 0.05.
    pub is_distinct: bool,
}

/// What a comparison comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparisonReport {
    /// Prompts asked.
    pub prompts: usize,
    /// What ranks are by; `None` if there are none.
    pub measure: Option<QualityMeasure>,
    /// Why there are none.
    pub unranked: Option<Unranked>,
    /// The models, by rank, then by the share of prompts won with even ones as halves, then by name. By name alone without ranks.
    pub models: Vec<ComparedModel>,
    /// Every two models; none without ranks.
    pub pairs: Vec<ComparedPair>,
}

/// How each prompt went for one model, or for the first of two: better, even, worse.
type Prompts = BTreeMap<usize, Ordering>;

impl ComparisonReport {
    pub(super) fn of(book: &Comparison) -> Self {
        let mut prompts: Vec<usize> = book
            .models
            .values()
            .flat_map(|trials| trials.keys().copied())
            .collect();
        prompts.sort_unstable();
        prompts.dedup();
        let judged = book.verdicts.values().flatten();
        let judged = judged.filter(|(_, verdict)| **verdict != PairVerdict::Unjudged);
        let checked = book.models.values().flatten();
        let checked = checked.filter(|(_, trial)| trial.passed_all().is_some());
        let measure = if is_several(judged.map(|(prompt, _)| *prompt)) {
            Some(QualityMeasure::Judge)
        } else if is_several(checked.map(|(prompt, _)| *prompt)) {
            Some(QualityMeasure::Checks)
        } else {
            None
        };
        let unranked = match measure {
            Some(_) => None,
            None if prompts.len() < 2 => Some(Unranked::OnePrompt),
            None => Some(Unranked::NoMeasure),
        };
        let pairs = measure.map_or_else(Vec::new, |measure| pairs(book, measure));
        let mut models: Vec<ComparedModel> = book
            .models
            .iter()
            .map(|(model, trials)| {
                let mut figures = figures(model, trials);
                figures.verdicts = verdicts(book, model);
                figures.quality = measure.and_then(|measure| quality(&own_prompts(book, model, measure)));
                figures.rank = figures.quality.map(|_| 1 + better(&pairs, model));
                figures
            })
            .collect();
        models.sort_by(|a, b| {
            let unknown_last = |model: &ComparedModel| (model.rank.is_none(), model.rank);
            unknown_last(a)
                .cmp(&unknown_last(b))
                .then_with(|| score(b).total_cmp(&score(a)))
                .then_with(|| a.model.cmp(&b.model))
        });
        Self {
            prompts: prompts.len(),
            measure,
            unranked,
            models,
            pairs,
        }
    }
}

/// Whether these are two different prompts at least.
fn is_several(mut prompts: impl Iterator<Item = usize>) -> bool {
    let first = prompts.next();
    prompts.any(|prompt| Some(prompt) != first)
}

fn figures(model: &ModelId, trials: &BTreeMap<usize, Trial>) -> ComparedModel {
    let answers: Vec<&Trial> = trials.values().filter(|trial| trial.is_answered).collect();
    let costs: Vec<Pico> = answers.iter().filter_map(|trial| trial.cost).collect();
    let sum = |count: fn(&Trial) -> u32| answers.iter().map(|trial| u64::from(count(trial))).sum();
    ComparedModel {
        model: model.clone(),
        rank: None,
        asked: trials.len(),
        answered: answers.len(),
        cost: CostFigures {
            known: costs.len(),
            unknown: answers.len() - costs.len(),
            mean: mean(&costs),
            deviation: deviation(&costs),
        },
        latency: spread(answers.iter().filter_map(|trial| trial.latency).collect()),
        first_content: spread(answers.iter().filter_map(|trial| trial.first_content).collect()),
        prompt_tokens: tokens(answers.iter().map(|trial| trial.prompt_tokens)),
        completion_tokens: tokens(answers.iter().map(|trial| trial.completion_tokens)),
        reasoning_tokens: tokens(answers.iter().map(|trial| trial.reasoning_tokens)),
        checks_passed: sum(|trial| trial.passed),
        checks: sum(|trial| trial.checks),
        verdicts: VerdictCounts::default(),
        quality: None,
    }
}

fn spread(mut durations: Vec<Duration>) -> Option<Spread> {
    durations.sort_unstable();
    Some(Spread {
        n: durations.len(),
        median: percentile(&durations, 50)?,
        p90: percentile(&durations, 90)?,
    })
}

fn tokens(counts: impl Iterator<Item = Option<u64>>) -> TokenFigures {
    let mut figures = TokenFigures::default();
    for count in counts {
        match count {
            Some(count) => {
                figures.total = figures.total.saturating_add(count);
                figures.known += 1;
            }
            None => figures.unknown += 1,
        }
    }
    figures
}

/// Every verdict on a model, as if it were named first.
fn verdicts_on<'a>(
    book: &'a Comparison,
    model: &'a ModelId,
) -> impl Iterator<Item = (usize, PairVerdict)> + 'a {
    book.verdicts.iter().flat_map(move |((first, second), prompts)| {
        let (is_first, is_second) = (first == model, second == model);
        prompts
            .iter()
            .filter(move |_| is_first || is_second)
            .map(move |(prompt, verdict)| (*prompt, if is_first { *verdict } else { verdict.swapped() }))
    })
}

fn verdicts(book: &Comparison, model: &ModelId) -> VerdictCounts {
    let mut counts = VerdictCounts::default();
    for (_, verdict) in verdicts_on(book, model) {
        match verdict {
            PairVerdict::First => counts.wins += 1,
            PairVerdict::Second => counts.losses += 1,
            PairVerdict::Tie => counts.ties += 1,
            PairVerdict::OrderDependent => counts.order_dependent += 1,
            PairVerdict::Unjudged => counts.unjudged += 1,
        }
    }
    counts
}

/// A verdict as better, even or worse for the model named first.
fn balance(verdict: PairVerdict) -> Option<i64> {
    match verdict {
        PairVerdict::First => Some(1),
        PairVerdict::Second => Some(-1),
        PairVerdict::Tie | PairVerdict::OrderDependent => Some(0),
        PairVerdict::Unjudged => None,
    }
}

/// How each prompt went for a model. Verdicts on one answer hang together, so a prompt counts once, however many they are.
fn own_prompts(book: &Comparison, model: &ModelId, measure: QualityMeasure) -> Prompts {
    match measure {
        QualityMeasure::Judge => {
            let mut sums: BTreeMap<usize, i64> = BTreeMap::new();
            for (prompt, verdict) in verdicts_on(book, model) {
                if let Some(balance) = balance(verdict) {
                    *sums.entry(prompt).or_default() += balance;
                }
            }
            sums.into_iter()
                .map(|(prompt, sum)| (prompt, sum.cmp(&0)))
                .collect()
        }
        QualityMeasure::Checks => {
            let trials = book.models.get(model).into_iter().flatten();
            trials
                .filter_map(|(prompt, trial)| {
                    let passed = trial.passed_all()?;
                    let went = if passed { Ordering::Greater } else { Ordering::Less };
                    Some((*prompt, went))
                })
                .collect()
        }
    }
}

fn quality(prompts: &Prompts) -> Option<QualityFigures> {
    if prompts.is_empty() {
        return None;
    }
    let (won, even, lost) = count(prompts);
    let bounds = wilson(won, won + lost);
    Some(QualityFigures {
        won,
        lost,
        even,
        rate: bounds.map(|(rate, _, _)| rate),
        interval: bounds.map(|(_, low, high)| (low, high)),
    })
}

fn count(prompts: &Prompts) -> (usize, usize, usize) {
    let of = |went| prompts.values().filter(|own| **own == went).count();
    (of(Ordering::Greater), of(Ordering::Equal), of(Ordering::Less))
}

/// Every two models on the prompts that were measured for both.
fn pairs(book: &Comparison, measure: QualityMeasure) -> Vec<ComparedPair> {
    let models: Vec<&ModelId> = book.models.keys().collect();
    let mut pairs = Vec::new();
    for (at, first) in models.iter().enumerate() {
        for second in models.iter().skip(at + 1) {
            let (first_better, even, second_better) = count(&shared_prompts(book, first, second, measure));
            let p = sign_test(first_better, second_better);
            pairs.push(ComparedPair {
                first: (*first).clone(),
                second: (*second).clone(),
                first_better,
                second_better,
                even,
                p,
                corrected_p: p,
                is_distinct: false,
            });
        }
    }
    let raw: Vec<f64> = pairs.iter().map(|pair| pair.p).collect();
    for (pair, corrected) in pairs.iter_mut().zip(holm(&raw)) {
        pair.corrected_p = corrected;
        pair.is_distinct = corrected < ALPHA;
    }
    pairs
}

fn shared_prompts(book: &Comparison, first: &ModelId, second: &ModelId, measure: QualityMeasure) -> Prompts {
    match measure {
        QualityMeasure::Judge => {
            let verdicts = book.verdicts.get(&(first.clone(), second.clone()));
            let verdicts = verdicts.into_iter().flatten();
            verdicts
                .filter_map(|(prompt, verdict)| Some((*prompt, balance(*verdict)?.cmp(&0))))
                .collect()
        }
        QualityMeasure::Checks => {
            let own = own_prompts(book, first, measure);
            let other = own_prompts(book, second, measure);
            own.into_iter()
                .filter_map(|(prompt, went)| Some((prompt, went.cmp(other.get(&prompt)?))))
                .collect()
        }
    }
}

/// How many models are better than this one beyond doubt.
fn better(pairs: &[ComparedPair], model: &ModelId) -> usize {
    let is_worse = |pair: &&ComparedPair| {
        pair.is_distinct
            && ((pair.first == *model && pair.second_better > pair.first_better)
                || (pair.second == *model && pair.first_better > pair.second_better))
    };
    pairs.iter().filter(is_worse).count()
}

fn score(model: &ComparedModel) -> f64 {
    model.quality.map_or(0.0, |quality| {
        let all = (quality.won + quality.lost + quality.even) as f64;
        (quality.won as f64 + quality.even as f64 / 2.0) / all
    })
}
