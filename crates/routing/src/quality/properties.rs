//! What holds for any beliefs, evaluations and feedback, held against a naive way of computing it.

use std::collections::BTreeMap;

use integration_core::ModelId;
use model_catalogue::{Catalogue, ModelRecord};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::posterior::{LEAST_SCORES, SCORE_PER_POINT, posterior};
use super::*;
use crate::Task;

fn belief() -> impl Strategy<Value = Belief> {
    (0.0..100.0f64, 0.1..20.0f64).prop_map(|(mean, sd)| Belief::new(mean, sd).unwrap())
}

fn scores(most: usize) -> impl Strategy<Value = Vec<f64>> {
    vec(
        prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..=1.0f64],
        0..most,
    )
}

fn sums(scores: &[f64]) -> FeedbackSums {
    let mut sums = FeedbackSums::EMPTY;
    for score in scores {
        assert!(sums.add(*score));
    }
    sums
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-7 * (1.0 + a.abs().max(b.abs()))
}

/// The inverse of a matrix, by Gauss and Jordan.
fn inverse(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let size = matrix.len();
    for (row, line) in matrix.iter_mut().enumerate() {
        line.extend((0..size).map(|column| f64::from(u8::from(row == column))));
    }
    for pivot in 0..size {
        let best = (pivot..size)
            .max_by(|a, b| matrix[*a][pivot].abs().total_cmp(&matrix[*b][pivot].abs()))
            .unwrap();
        matrix.swap(pivot, best);
        let scale = matrix[pivot][pivot];
        matrix[pivot].iter_mut().for_each(|cell| *cell /= scale);
        let own = matrix[pivot].clone();
        for (row, line) in matrix.iter_mut().enumerate() {
            let factor = line[pivot];
            if row != pivot {
                line.iter_mut()
                    .zip(&own)
                    .for_each(|(cell, own)| *cell -= factor * own);
            }
        }
    }
    matrix.into_iter().map(|line| line[size..].to_vec()).collect()
}

/// The same by the whole posterior of the level and all qualities at once: its precision matrix is put together observation by
/// observation, as the model is written down, and solved.
fn joint(models: &[(Option<Belief>, FeedbackSums)]) -> Vec<(f64, f64)> {
    let size = models.len() + 1;
    let mut precision = vec![vec![0.0; size]; size];
    let mut information = vec![0.0; size];
    for (index, (prior, sums)) in models.iter().enumerate() {
        let quality = index + 1;
        if let Some(prior) = prior {
            let weight = 1.0 / (prior.sd * prior.sd);
            precision[quality][quality] += weight;
            information[quality] += weight * prior.mean;
        }
        // y = a + 0.01 q + noise
        let weight = sums.count() as f64 / sums.variance();
        let row = [(0, 1.0), (quality, SCORE_PER_POINT)];
        for (i, x) in row {
            for (j, y) in row {
                precision[i][j] += weight * x * y;
            }
            information[i] += weight * x * sums.mean().unwrap();
        }
    }
    let covariance = inverse(precision);
    let mean = |row: usize| -> f64 { covariance[row].iter().zip(&information).map(|(c, i)| c * i).sum() };
    (1..size)
        .map(|quality| (mean(quality), covariance[quality][quality].sqrt()))
        .collect()
}

fn model(index: usize) -> ModelId {
    format!("m/{index}").parse().unwrap()
}

/// A book of these benchmarks, all of coding.
fn book(benchmarks: &[Option<f64>]) -> QualityBook {
    let records = benchmarks.iter().enumerate().map(|(index, coding)| {
        let mut record = ModelRecord::new(model(index));
        record.benchmarks.coding_index = *coding;
        record
    });
    let catalogue = Catalogue::new("2026-01-01", "p".parse().unwrap(), records.collect()).unwrap();
    QualityBook::from_catalogue(&catalogue)
}

fn evaluation() -> impl Strategy<Value = Evaluation> {
    (0usize..4, 0.0..=100.0f64, 1u32..1000, option::of(0.0..=71.0f64))
        .prop_map(|(index, score, n, sd)| Evaluation::new(model(index), Task::Coding, score, n, sd).unwrap())
}

fn beliefs(book: &QualityBook) -> Vec<Option<Belief>> {
    (0..6)
        .map(|index| book.belief(&model(index), Task::Coding))
        .collect()
}

fn feedback(scores: &[Vec<f64>]) -> BTreeMap<(ModelId, Task), FeedbackSums> {
    let each = scores.iter().enumerate();
    each.map(|(index, scores)| ((model(index), Task::Coding), sums(scores)))
        .collect()
}

proptest! {
    #[test]
    fn feedback_is_the_joint_posterior(
        mut models in vec((belief(), scores(40)), 2..6),
        unknown in vec(vec(0.0..=1.0f64, 30..60), 0..3),
    ) {
        models.iter_mut().for_each(|(_, scores)| scores.push(0.25));
        let mut all: Vec<_> = models.iter().map(|(prior, scores)| (Some(*prior), sums(scores))).collect();
        all.extend(unknown.iter().map(|scores| (None, sums(scores))));
        for (found, (mean, sd)) in posterior(&all).into_iter().zip(joint(&all)) {
            let found = found.unwrap();
            prop_assert!(near(found.mean, mean) && near(found.sd, sd), "{found:?} is not {mean} ± {sd}");
        }
    }

    #[test]
    fn feedback_makes_nobody_less_sure(models in vec((belief(), scores(40)), 0..6)) {
        let all: Vec<_> = models.iter().map(|(prior, scores)| (Some(*prior), sums(scores))).collect();
        for (found, (prior, _)) in posterior(&all).into_iter().zip(&models) {
            let sd = found.unwrap().sd;
            prop_assert!(sd <= prior.sd * (1.0 + 1e-12) && sd > 0.0);
        }
    }

    /// With one model there is nothing to compare with; and those who score all models higher by the same say the same.
    #[test]
    fn only_differences_count(prior in belief(), scores in scores(50), models in vec((belief(), 0.0..0.5f64, 1u64..99), 2..6)) {
        prop_assert_eq!(posterior(&[(Some(prior), sums(&scores))]), [Some(prior)]);
        let at = |shift: f64| {
            let sums = |mean, n| FeedbackSums::from_parts(n, mean + shift, 0.0).unwrap();
            let all: Vec<_> = models.iter().map(|(prior, mean, n)| (Some(*prior), sums(*mean, *n))).collect();
            posterior(&all)
        };
        for (low, high) in at(0.0).into_iter().zip(at(0.4)) {
            prop_assert!(near(low.unwrap().mean, high.unwrap().mean));
        }
    }

    /// A better score never makes a model look worse, nor another one better.
    #[test]
    fn a_better_score_moves_up(models in vec((belief(), 0.0..0.5f64, 1u64..99), 2..6), more in 0.0..0.5f64) {
        let with = |more: f64| {
            let each = models.iter().enumerate().map(|(index, (prior, mean, n))| {
                let mean = if index == 0 { mean + more } else { *mean };
                (Some(*prior), FeedbackSums::from_parts(*n, mean, 0.0).unwrap())
            });
            posterior(&each.collect::<Vec<_>>())
        };
        for (index, (before, after)) in with(0.0).into_iter().zip(with(more)).enumerate() {
            let rise = after.unwrap().mean - before.unwrap().mean;
            let against = if index == 0 { -rise } else { rise };
            prop_assert!(against <= 1e-9);
        }
    }

    #[test]
    fn who_is_not_known_needs_scores_and_others(measured in 0usize..4, n in 1u64..60) {
        let sums = FeedbackSums::from_parts(n, 0.5, 0.0).unwrap();
        let mut all = vec![(Belief::new(50.0, 3.0), sums); measured];
        all.push((None, sums));
        let found = posterior(&all).pop().unwrap();
        prop_assert_eq!(found.is_some(), measured >= 2 && n >= LEAST_SCORES);
    }

    #[test]
    fn parts_make_the_whole(parts in vec(scores(20), 0..6)) {
        let whole = sums(&parts.concat());
        let mut forth = FeedbackSums::EMPTY;
        parts.iter().for_each(|part| forth.merge(&sums(part)));
        let mut back = FeedbackSums::EMPTY;
        parts.iter().rev().for_each(|part| back.merge(&sums(part)));
        for merged in [forth, back] {
            prop_assert_eq!(merged.count(), whole.count());
            let (mean, of_whole) = (merged.mean().unwrap_or(0.0), whole.mean().unwrap_or(0.0));
            prop_assert!(near(mean, of_whole) && near(merged.m2(), whole.m2()));
        }
        // Held against the two passes over all scores.
        let all = parts.concat();
        if !all.is_empty() {
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let m2: f64 = all.iter().map(|score| (score - mean).powi(2)).sum();
            prop_assert!(near(whole.mean().unwrap(), mean) && near(whole.m2(), m2));
            prop_assert_eq!(FeedbackSums::from_parts(whole.count(), whole.mean().unwrap(), whole.m2()), Some(whole));
        }
    }

    /// Weights by precision, over all at once.
    #[test]
    fn evaluations_are_weighed_by_precision(
        benchmark in option::of(0.0..100.0f64),
        found in vec(evaluation(), 1..5),
    ) {
        let found: Vec<_> = found.into_iter().map(|e| Evaluation { model: model(0), ..e }).collect();
        let belief = book(&[benchmark]).with_evaluations(found.clone()).belief(&model(0), Task::Coding).unwrap();
        let mut measured: Vec<_> = found.iter().map(|e| (e.score, e.error())).collect();
        measured.extend(benchmark.map(|index| (index, book::BENCHMARK_SD)));
        let weight: f64 = measured.iter().map(|(_, sd)| sd.powi(-2)).sum();
        let mean = measured.iter().map(|(score, sd)| score * sd.powi(-2)).sum::<f64>() / weight;
        prop_assert!(near(belief.mean, mean) && near(belief.sd, weight.powf(-0.5)));
    }

    /// The same sources give the same book, in whatever order they came; another source gives another name.
    #[test]
    fn the_order_is_of_no_account(
        benchmarks in vec(option::of(0.0..100.0f64), 4),
        found in vec(evaluation(), 0..6),
        given in vec(scores(40), 6),
    ) {
        let (bare, given) = (book(&benchmarks), feedback(&given));
        let one = bare.with_evaluations(found.clone()).with_feedback(&given);
        let mut turned = found.clone();
        turned.reverse();
        let mut other = bare.with_feedback(&given);
        for evaluation in turned {
            other = other.with_evaluations([evaluation]);
        }
        prop_assert_eq!(one.id(), other.id());
        prop_assert_eq!(beliefs(&one), beliefs(&other));
        // What it had before is not counted again.
        let again = one.with_feedback(&given);
        prop_assert_eq!(again.id(), one.id());
        prop_assert_eq!(beliefs(&again), beliefs(&one));
        prop_assert_eq!(one.id() == bare.id(), found.is_empty() && given.values().all(|sums| sums.count() == 0));
        let back = one.with_feedback(&BTreeMap::new());
        prop_assert_eq!(back.id() == bare.id(), found.is_empty());
    }

    #[test]
    fn a_surer_bound_is_further_out(belief in belief(), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
        let (less, more) = if a <= b { (a, b) } else { (b, a) };
        let (inner, outer) = (belief.interval(less), belief.interval(more));
        prop_assert!(outer.0 <= inner.0 && inner.0 <= belief.mean && belief.mean <= inner.1 && inner.1 <= outer.1);
        prop_assert!(belief.lower(more) <= belief.lower(less));
        // One side of a bound of 90 % is one of 95 %.
        prop_assert!(near(belief.interval(less).0, belief.lower((1.0 + less) / 2.0)) || less > 0.999);
        let wider = Belief::new(belief.mean, belief.sd * 2.0).unwrap();
        prop_assert!(wider.lower(more) <= belief.lower(more));
    }
}

#[test]
fn feedback_of_one_task_is_of_no_other() {
    let bare = book(&[Some(50.0), Some(40.0)]);
    let mut given = BTreeMap::new();
    for (index, mean) in [(0, 0.2), (1, 0.9)] {
        let sums = FeedbackSums::from_parts(100, mean, 5.0).unwrap();
        given.insert((model(index), Task::Coding), sums);
        given.insert((model(index), Task::Translate), sums);
    }
    let moved = bare.with_feedback(&given);
    let at = |index| moved.belief(&model(index), Task::Coding).unwrap();
    assert!(at(0).mean < 46.0 && at(1).mean > 44.0, "{:?} {:?}", at(0), at(1));
    for index in [0, 1] {
        assert_eq!(moved.belief(&model(index), Task::Translate), None);
        assert_eq!(moved.belief(&model(index), Task::Agentic), None);
    }
}

/// A model's name cannot be one of another line: names have no blanks in them.
#[test]
fn the_name_tells_benchmarks_apart() {
    assert_ne!(book(&[Some(50.0)]).id(), book(&[Some(50.5)]).id());
    assert_ne!(book(&[Some(50.0), None]).id(), book(&[None, Some(50.0)]).id());
    assert!(book(&[None]).id().starts_with("quality-"));
}
