//! What holds of every comparison.

use std::time::Duration;

use costing::Pico;
use integration_core::ModelId;
use proptest::prelude::*;

use super::*;

fn model(name: usize) -> ModelId {
    ModelId::new(format!("author/m{name}")).unwrap()
}

#[derive(Debug, Clone)]
enum Told {
    Trial(usize, usize, Trial),
    Verdict(usize, usize, usize, PairVerdict),
}

impl Told {
    /// The same with the two models of a verdict named the other way round.
    fn turned(self) -> Self {
        match self {
            Self::Verdict(prompt, a, b, verdict) => Self::Verdict(prompt, b, a, verdict.swapped()),
            trial => trial,
        }
    }
}

fn report(told: &[Told]) -> ComparisonReport {
    let mut book = Comparison::new((0..4).map(model));
    for told in told {
        match told {
            Told::Trial(prompt, name, trial) => book.tell(*prompt, &model(*name), trial.clone()),
            Told::Verdict(prompt, a, b, verdict) => book.judged(*prompt, &model(*a), &model(*b), *verdict),
        }
    }
    book.report()
}

fn trial() -> impl Strategy<Value = Trial> {
    let small = || prop::option::of(0_u64..100_000);
    (
        any::<bool>(),
        small(),
        small(),
        [small(), small(), small()],
        0_u32..4,
        0_u32..4,
    )
        .prop_map(
            |(is_answered, cost, latency, [prompt, completion, reasoning], passed, checks)| Trial {
                is_answered,
                cost: cost.map(|cost| Pico::new(cost as i64)),
                latency: latency.map(Duration::from_millis),
                first_content: latency.map(|ms| Duration::from_millis(ms / 2)),
                prompt_tokens: prompt,
                completion_tokens: completion,
                reasoning_tokens: reasoning,
                ..Trial::default().with_checks(passed, checks)
            },
        )
}

fn verdict() -> impl Strategy<Value = PairVerdict> {
    prop::sample::select(vec![
        PairVerdict::First,
        PairVerdict::Second,
        PairVerdict::Tie,
        PairVerdict::OrderDependent,
        PairVerdict::Unjudged,
    ])
}

/// One of everything at the most, of so many prompts.
fn told(prompts: usize) -> impl Strategy<Value = Vec<Told>> {
    let trials = prop::collection::btree_map((0..prompts, 0_usize..4), trial(), 0..40);
    let verdicts = prop::collection::btree_map((0..prompts, 0_usize..6), verdict(), 0..40);
    (trials, verdicts).prop_map(|(trials, verdicts)| {
        let pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
        let trials = trials
            .into_iter()
            .map(|((prompt, name), trial)| Told::Trial(prompt, name, trial));
        let verdicts = verdicts
            .into_iter()
            .map(|((prompt, pair), verdict)| Told::Verdict(prompt, pairs[pair].0, pairs[pair].1, verdict));
        trials.chain(verdicts).collect()
    })
}

fn shuffled() -> impl Strategy<Value = (Vec<Told>, Vec<Told>)> {
    told(12).prop_flat_map(|told| (Just(told.clone()), Just(told).prop_shuffle()))
}

proptest! {
    #[test]
    fn the_order_of_models_and_prompts_makes_no_difference((told, other) in shuffled()) {
        let other: Vec<Told> = other.into_iter().map(Told::turned).collect();
        prop_assert_eq!(report(&told), report(&other));
    }

    #[test]
    fn one_prompt_ranks_nobody(told in told(1)) {
        let report = report(&told);
        prop_assert!(report.measure.is_none() && report.pairs.is_empty());
        prop_assert_eq!(report.unranked, Some(Unranked::OnePrompt));
        prop_assert!(report.models.iter().all(|model| model.rank.is_none() && model.quality.is_none()));
    }

    /// Counted the slow way: what is not known is in no mean, and is counted by itself.
    #[test]
    fn what_is_unknown_is_never_zero(told in told(12)) {
        for figures in report(&told).models {
            let answers: Vec<&Trial> = told.iter().filter_map(|told| match told {
                Told::Trial(_, name, trial) if model(*name) == figures.model && trial.is_answered => Some(trial),
                _ => None,
            }).collect();
            prop_assert_eq!(answers.len(), figures.answered);
            let known: Vec<i64> = answers.iter().filter_map(|trial| trial.cost).map(Pico::get).collect();
            prop_assert_eq!((known.len(), answers.len() - known.len()), (figures.cost.known, figures.cost.unknown));
            prop_assert_eq!(figures.cost.mean.is_none(), known.is_empty());
            if let Some(mean) = figures.cost.mean {
                let naive = known.iter().sum::<i64>() as f64 / known.len() as f64;
                prop_assert!((mean.get() as f64 - naive).abs() <= 0.5 + 1e-6);
            }
            prop_assert_eq!(figures.cost.deviation.is_none(), known.len() < 2);
            let counted = answers.iter().filter(|trial| trial.completion_tokens.is_none()).count();
            prop_assert_eq!(figures.completion_tokens.unknown, counted);
            let total: u64 = answers.iter().filter_map(|trial| trial.completion_tokens).sum();
            prop_assert_eq!(figures.completion_tokens.total, total);
            let mut times: Vec<_> = answers.iter().filter_map(|trial| trial.latency).collect();
            times.sort();
            prop_assert_eq!(figures.latency.is_none(), times.is_empty());
            if let Some(latency) = figures.latency {
                // By the definition: half do not exceed it, and no smaller one has that.
                let up_to = |end: Duration| times.iter().filter(|time| **time <= end).count() * 2;
                let below = times.iter().filter(|time| **time < latency.median).count() * 2;
                prop_assert!(up_to(latency.median) >= times.len() && below < times.len());
                prop_assert!(latency.median <= latency.p90 && latency.n == times.len());
            }
        }
    }

    /// A model is behind exactly those that are better beyond doubt, and never behind one it cannot be told from for that alone.
    #[test]
    fn ranks_count_who_is_better_beyond_doubt(told in told(12)) {
        let report = report(&told);
        prop_assert_eq!(report.measure.is_none(), report.unranked.is_some());
        for figures in &report.models {
            prop_assert_eq!(figures.rank.is_some(), figures.quality.is_some());
            let Some(rank) = figures.rank else { continue };
            let ahead = report.pairs.iter().filter(|pair| {
                pair.corrected_p < 0.05
                    && ((pair.first == figures.model && pair.first_better < pair.second_better)
                        || (pair.second == figures.model && pair.second_better < pair.first_better))
            });
            prop_assert_eq!(rank, 1 + ahead.count());
            let (rate, interval) = (figures.quality.unwrap().rate, figures.quality.unwrap().interval);
            if let (Some(rate), Some((low, high))) = (rate, interval) {
                prop_assert!(low <= rate && rate <= high);
            }
        }
        let ranks: Vec<_> = report.models.iter().map(|model| model.rank.unwrap_or(usize::MAX)).collect();
        prop_assert!(ranks.is_sorted());
    }

    /// Each verdict is in the counts of both its models, once.
    #[test]
    fn verdicts_are_counted_on_both_sides(told in told(12)) {
        let report = report(&told);
        let sum = |of: fn(&VerdictCounts) -> usize| report.models.iter().map(|model| of(&model.verdicts)).sum::<usize>();
        prop_assert_eq!(sum(|v| v.wins), sum(|v| v.losses));
        let of = |wanted: PairVerdict| told.iter().filter(|told| matches!(told, Told::Verdict(.., v) if *v == wanted)).count();
        prop_assert_eq!(sum(|v| v.ties), 2 * of(PairVerdict::Tie));
        prop_assert_eq!(sum(|v| v.order_dependent), 2 * of(PairVerdict::OrderDependent));
        prop_assert_eq!(sum(|v| v.unjudged), 2 * of(PairVerdict::Unjudged));
    }

    /// A judge that always likes the answer it is shown first ranks nobody above anybody.
    #[test]
    fn a_judge_of_places_makes_only_ties(prompts in 2_usize..30, first in any::<bool>()) {
        let choice = if first { JudgeChoice::A } else { JudgeChoice::B };
        let told: Vec<Told> = (0..prompts)
            .flat_map(|prompt| [(0, 1), (0, 2), (1, 2)].map(|(a, b)| {
                Told::Verdict(prompt, a, b, PairVerdict::of(Some(choice), Some(choice)))
            }))
            .collect();
        let report = report(&told);
        prop_assert_eq!(report.measure, Some(QualityMeasure::Judge));
        prop_assert!(report.pairs.iter().all(|pair| !pair.is_distinct && pair.first_better + pair.second_better == 0));
        for figures in report.models.iter().filter(|figures| figures.verdicts != VerdictCounts::default()) {
            prop_assert_eq!(figures.verdicts.order_dependent, 2 * prompts);
            prop_assert_eq!((figures.rank, figures.quality.unwrap().rate), (Some(1), None));
        }
    }
}

fn won(prompts: usize, of: usize) -> Vec<Told> {
    (0..of)
        .map(|prompt| {
            let verdict = if prompt < prompts {
                PairVerdict::First
            } else {
                PairVerdict::Second
            };
            Told::Verdict(prompt, 0, 1, verdict)
        })
        .collect()
}

#[test]
fn few_prompts_tell_nobody_apart_and_many_do() {
    let rank = |told: &[Told]| {
        let report = report(told);
        let of = |name| {
            report
                .models
                .iter()
                .find(|figures| figures.model == model(name))
                .unwrap()
                .rank
        };
        (of(0), of(1))
    };
    // 6 pairs of 4 models: Holm asks for p < 0.05 / 6 of the smallest.
    assert_eq!(rank(&won(5, 5)), (Some(1), Some(1)));
    assert_eq!(rank(&won(7, 7)), (Some(1), Some(1)));
    assert_eq!(rank(&won(8, 8)), (Some(1), Some(2)));
    assert_eq!(rank(&won(0, 8)), (Some(2), Some(1)));
    assert_eq!(rank(&won(60, 100)), (Some(1), Some(1)));
    assert_eq!(rank(&won(70, 100)), (Some(1), Some(2)));
}

#[test]
fn checks_rank_where_there_is_no_judge() {
    let told: Vec<Told> = (0..20)
        .flat_map(|prompt| {
            [
                Told::Trial(prompt, 0, Trial::answered().with_checks(3, 3)),
                Told::Trial(prompt, 1, Trial::answered().with_checks(2, 3)),
                Told::Trial(prompt, 2, Trial::failed()),
            ]
        })
        .collect();
    let report = report(&told);
    assert_eq!(
        (report.measure, report.prompts),
        (Some(QualityMeasure::Checks), 20)
    );
    let names: Vec<_> = report
        .models
        .iter()
        .map(|m| (m.model.as_str(), m.rank, m.checks_passed))
        .collect();
    assert_eq!(names[0], ("author/m0", Some(1), 60));
    assert_eq!(names[1], ("author/m1", Some(2), 40));
    assert_eq!(
        names[2],
        ("author/m2", None, 0),
        "nothing is said of who never answered"
    );
    let (rate, interval) = (
        report.models[0].quality.unwrap().rate,
        report.models[0].quality.unwrap().interval,
    );
    assert_eq!(rate, Some(1.0));
    assert!(interval.unwrap().0 > 0.8 && interval.unwrap().1 == 1.0);
}

#[test]
fn two_prompts_without_a_measure_rank_nobody() {
    let told: Vec<Told> = (0..2)
        .map(|prompt| Told::Trial(prompt, 0, Trial::answered()))
        .collect();
    assert_eq!(report(&told).unranked, Some(Unranked::NoMeasure));
}
