//! What routing reaches on recorded outcomes, out of fold. The figures are told with `--nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "figures are told, and a test that cannot go on fails"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use integration_core::testing::shared_data;
use routing_learned::curve::{Hull, Point};
use routing_learned::metrics::{Bootstrap, Measured, PairMetrics, PoolMetrics, SHARES, routability};
use routing_learned::{HeldOut, Inputs, Ladder, Outcomes, Policy, Promise, Rule, TrainOptions, fold, train};

const FOLDS: u64 = 5;

fn held(outcomes: &Outcomes, inputs: Inputs) -> HeldOut {
    HeldOut::out_of_fold(outcomes, &TrainOptions::default(), inputs, FOLDS, &mut |_| {}).unwrap()
}

fn show(measured: Measured) -> String {
    format!(
        "{:.4} [{:.4}, {:.4}]",
        measured.value, measured.low, measured.high
    )
}

fn pair(name: &str, held: &HeldOut, models: [&str; 2]) -> PairMetrics {
    let found = PairMetrics::of(held, models, Bootstrap::default()).unwrap();
    println!(
        "{name}: APGR {}, CPT50 {}, CPT80 {} ({} prompts)",
        show(found.apgr),
        show(found.cpt50),
        show(found.cpt80),
        held.len()
    );
    found
}

/// Not if a model is free.
fn defined(measured: Option<Measured>) -> String {
    measured.map_or("not defined".to_owned(), show)
}

fn pool(name: &str, held: &HeldOut) -> PoolMetrics {
    let found = PoolMetrics::of(held, Bootstrap::default()).unwrap();
    println!(
        "{name}: {} models, {} prompts, best {} {:.4}; AIQ {} (zero router {:.4}), by doublings {} ({}), calibration error {:.4}",
        held.models().len(),
        found.prompts,
        found.best,
        found.best_point.quality,
        show(found.aiq),
        found.zero_aiq.value,
        defined(found.log_aiq),
        defined(found.zero_log_aiq),
        found.calibration_error
    );
    for ((share, saving), zero) in SHARES.iter().zip(found.saving).zip(found.zero_saving) {
        println!(
            "  saving at {:.0} %: {} (zero router {})",
            share * 100.0,
            saving.map_or("not reached".to_owned(), show),
            zero.map_or("not reached".to_owned(), |zero| format!("{:.4}", zero.value)),
        );
    }
    println!(
        "  above the zero router: {} to {}",
        show(found.above_zero),
        show(found.most_above_zero)
    );
    found
}

const GPT_4: &str = "gpt-4-1106-preview";
const MIXTRAL: &str = "mistralai/Mixtral-8x7B-Instruct-v0.1";

fn sets(test: &str) -> Option<std::path::PathBuf> {
    Some(
        shared_data(test, "routing/mmlu_pro.jsonl.zst")?
            .parent()?
            .to_owned(),
    )
}

fn mmlu(folder: &Path) -> Outcomes {
    support::read(&folder.join("routellm_mmlu.jsonl.zst"))
}

#[test]
fn mmlu_pair_by_text_and_by_tag() {
    let Some(folder) = sets("mmlu_pair_by_text_and_by_tag") else {
        return;
    };
    let outcomes = mmlu(&folder);
    let text = pair("MMLU, text", &held(&outcomes, Inputs::Text), [GPT_4, MIXTRAL]);
    let tagged = pair(
        "MMLU, tag + text",
        &held(&outcomes, Inputs::TextAndTag),
        [GPT_4, MIXTRAL],
    );
    assert!(text.apgr.value >= 0.68);
    assert!(tagged.apgr.value >= 0.70);
}

#[test]
fn gsm8k_pair() {
    let Some(folder) = sets("gsm8k_pair") else { return };
    let outcomes = support::read(&folder.join("routellm_gsm8k.jsonl.zst"));
    let found = pair("GSM8K, text", &held(&outcomes, Inputs::Text), [GPT_4, MIXTRAL]);
    assert!(found.apgr.value >= 0.64);
}

#[test]
fn mmlu_pro_pool() {
    let Some(folder) = sets("mmlu_pro_pool") else {
        return;
    };
    let outcomes = support::read(&folder.join("mmlu_pro.jsonl.zst"));
    let outcomes = outcomes.only(&outcomes.complete_models(0.99, true)).unwrap();
    let held = held(&outcomes, Inputs::TextAndTag);
    never_below("MMLU-Pro", &held);
    let found = pool("MMLU-Pro", &held);
    let same_family = ["Meta-Llama-3_1-8B-Instruct", "Meta-Llama-3_1-70B-Instruct"];
    let hopeless = routability(&held, same_family, Bootstrap::default()).unwrap();
    println!(
        "8B to 70B: APGR {}, routable: {}",
        show(hopeless.metrics.apgr),
        hopeless.routable
    );
    let hopeful = routability(
        &held,
        ["gemini-1.5-flash-002", "gemini-1.5-pro-002"],
        Bootstrap::default(),
    )
    .unwrap();
    println!(
        "flash to pro: APGR {}, routable: {}",
        show(hopeful.metrics.apgr),
        hopeful.routable
    );
    for (models, routes) in [
        (same_family, false),
        (["gemini-1.5-flash-002", "gemini-1.5-pro-002"], true),
    ] {
        let pair = outcomes.only(&models.map(str::to_owned)).unwrap();
        let ladder = Ladder::design(
            &Promise::loss_at_most(0.02),
            &self::held(&pair, Inputs::TextAndTag),
        )
        .unwrap();
        let routed = ladder
            .rungs()
            .iter()
            .filter(|rung| matches!(rung.policy, Policy::Routed(_)))
            .count();
        assert_eq!(
            routed > 0,
            routes,
            "{models:?}: a pair that cannot be routed is mixed"
        );
    }
    assert!(found.aiq.value >= 0.69);
    assert!(found.saving[1].unwrap().value >= 0.75);
    assert!(!hopeless.routable);
    assert!(hopeful.routable);
}

#[test]
fn zeroeval_pool() {
    let Some(folder) = sets("zeroeval_pool") else {
        return;
    };
    let outcomes = support::read(&folder.join("zeroeval.jsonl.zst"));
    let outcomes = outcomes.only(&outcomes.complete_models(1.0, true)).unwrap();
    let held = held(&outcomes, Inputs::TextAndTag);
    never_below("ZeroEval", &held);
    let found = pool("ZeroEval", &held);
    // What is saved hangs little on it, so it would not be missed there: a rank that cross-validation prefers is taken.
    let predictor = train(&outcomes, &TrainOptions::default(), &mut |_| {}).unwrap();
    let regression = predictor.summary().tagged.unwrap();
    println!("ZeroEval: {regression:?}");
    assert!(regression.rank.is_some_and(|rank| (1..16).contains(&rank)));
    assert!(found.saving[1].unwrap().value >= 0.48);
}

#[test]
fn ulab_pool() {
    let Some(folder) = sets("ulab_pool") else { return };
    let prices = support::prices(&folder.join("prices.csv"), "llmrouter_ulab");
    let outcomes = support::read_priced(&folder.join("llmrouter_ulab.jsonl.zst"), &prices);
    let held = held(&outcomes, Inputs::TextAndTag);
    never_below("ulab", &held);
    let found = pool("ulab", &held);
    assert!(found.saving[3].unwrap().value >= 0.75);
}

/// As many labels as the best published router had of its own: each prompt predicted by a predictor that had 1,500 others.
#[test]
fn mmlu_pair_with_1500_labels() {
    let Some(folder) = sets("mmlu_pair_with_1500_labels") else {
        return;
    };
    let outcomes = mmlu(&folder);
    // 1,500 prompts at a time, in an order that has nothing to do with what is in them.
    let mut ids: Vec<&str> = outcomes.prompts().map(|prompt| prompt.id()).collect();
    ids.sort_by_key(|id| fold(id, u64::MAX));
    let mut found = Vec::new();
    for part in ids.chunks_exact(1_500) {
        let part: BTreeSet<&str> = part.iter().copied().collect();
        let taught = outcomes.filtered(|prompt| part.contains(prompt.id()));
        let rest = outcomes.filtered(|prompt| !part.contains(prompt.id()));
        let predictor = train(&taught, &TrainOptions::default(), &mut |_| {}).unwrap();
        let mut apgr = Vec::new();
        for inputs in [Inputs::Text, Inputs::TextAndTag] {
            let held = HeldOut::of(&predictor, &rest, inputs).unwrap();
            apgr.push(
                PairMetrics::of(&held, [GPT_4, MIXTRAL], Bootstrap::default())
                    .unwrap()
                    .apgr
                    .value,
            );
        }
        println!(
            "{} labels: APGR {:.4} by text, {:.4} by tag and text",
            taught.len(),
            apgr[0],
            apgr[1]
        );
        found.push(apgr);
    }
    for (inputs, name) in ["text", "tag and text"].iter().enumerate() {
        let mean = found.iter().map(|apgr| apgr[inputs]).sum::<f64>() / found.len() as f64;
        println!(
            "mean over {} draws of 1,500 labels, {name}: {mean:.4}",
            found.len()
        );
        assert!(mean >= 0.64, "{name}: {mean}");
    }
}

/// Which policies are worth having is decided on one half of the prompts, and looked at on the other: at no budget may the router be below the
/// zero router beyond what resampling explains. The zero router has its best mixture of the half that is looked at.
fn never_below(name: &str, held: &HeldOut) {
    let half = |part: u64| {
        let rows: Vec<usize> = (0..held.len())
            .filter(|row| fold(held.label(*row).id.as_str(), 2) == part)
            .collect();
        held.rows(&rows)
    };
    let (chosen_on, judged_on) = (half(0), half(1));
    let singles: Vec<Policy> = (0..held.models().len()).map(Policy::Single).collect();
    let routed = chosen_on
        .prices(160)
        .into_iter()
        .map(|price| Policy::Routed(Rule::Price(price)));
    let candidates: Vec<Policy> = routed.chain(singles.clone()).collect();
    let values = |policy: &Policy, held: &HeldOut| -> Vec<(f64, f64)> {
        (0..held.len())
            .map(|row| {
                let model = policy
                    .choose(held.predicted(row), held.expected_costs(row), 0.0)
                    .unwrap()
                    .model;
                (held.costs(row)[model], f64::from(held.scores(row)[model]))
            })
            .collect()
    };
    let point = |values: &[(f64, f64)], rows: &[usize]| {
        let n = rows.len() as f64;
        Point {
            cost: rows.iter().map(|row| values[*row].0).sum::<f64>() / n,
            quality: rows.iter().map(|row| values[*row].1).sum::<f64>() / n,
        }
    };
    let all: Vec<usize> = (0..chosen_on.len()).collect();
    let points: Vec<Point> = candidates
        .iter()
        .map(|policy| point(&values(policy, &chosen_on), &all))
        .collect();
    let corners = Hull::of(points.iter().copied());
    let kept: Vec<&Policy> = candidates
        .iter()
        .zip(&points)
        .filter(|(_, point)| corners.points().contains(point))
        .map(|(policy, _)| policy)
        .collect();
    let kept: Vec<Vec<(f64, f64)>> = kept
        .into_iter()
        .map(|policy| values(policy, &judged_on))
        .collect();
    let zero: Vec<Vec<(f64, f64)>> = singles.iter().map(|policy| values(policy, &judged_on)).collect();
    let costs = judged_on.mean_costs();
    let (least, most) = (
        costs.iter().copied().fold(f64::INFINITY, f64::min),
        costs.iter().copied().fold(0.0, f64::max),
    );
    let mut above = vec![Vec::new(); 21];
    let mut dice = support::Dice::new(1);
    let n = judged_on.len();
    for resample in 0..200 {
        let rows: Vec<usize> = (0..n)
            .map(|row| {
                if resample == 0 {
                    row
                } else {
                    (dice.unit() * n as f64) as usize
                }
            })
            .collect();
        let router = Hull::of(kept.iter().map(|values| point(values, &rows)));
        let zero = Hull::of(zero.iter().map(|values| point(values, &rows)));
        for (step, above) in above.iter_mut().enumerate() {
            let cost = least + (most - least) * step as f64 / 20.0;
            if let (Some(router), Some(zero)) = (router.quality_at(cost), zero.quality_at(cost)) {
                above.push(router - zero);
            }
        }
    }
    let mut lowest = f64::INFINITY;
    for above in &mut above {
        let Some(value) = above.first().copied() else {
            continue;
        };
        lowest = lowest.min(value);
        above.sort_by(f64::total_cmp);
        let high = above[above.len() * 39 / 40];
        assert!(
            high >= 0.0,
            "{name}: below the zero router by {value}, at most {high}"
        );
    }
    println!(
        "{name}: at 21 budgets never below the zero router by more than chance; the lowest difference is {lowest:.4}"
    );
}
