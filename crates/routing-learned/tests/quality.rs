//! What routing reaches on recorded outcomes, out of fold. The figures are told with `--nocapture`.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use integration_core::testing::shared_data;
use routing_learned::metrics::{Bootstrap, Measured, PairMetrics, PoolMetrics, SHARES, routability};
use routing_learned::{HeldOut, Inputs, Outcomes, TrainOptions, fold, train};

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

fn pool(name: &str, held: &HeldOut) -> PoolMetrics {
    let found = PoolMetrics::of(held, Bootstrap::default()).unwrap();
    println!(
        "{name}: {} models, {} prompts, best {} {:.4}; AIQ {} (zero router {:.4}), by doublings {} ({:.4}), calibration error {:.4}",
        held.models().len(),
        found.prompts,
        found.best,
        found.best_point.quality,
        show(found.aiq),
        found.zero_aiq.value,
        show(found.log_aiq),
        found.zero_log_aiq.value,
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
    let found = pool("ZeroEval", &held(&outcomes, Inputs::TextAndTag));
    assert!(found.saving[1].unwrap().value >= 0.48);
}

#[test]
fn ulab_pool() {
    let Some(folder) = sets("ulab_pool") else { return };
    let prices = support::prices(&folder.join("prices.csv"), "llmrouter_ulab");
    let outcomes = support::read_priced(&folder.join("llmrouter_ulab.jsonl.zst"), &prices);
    let found = pool("ulab", &held(&outcomes, Inputs::TextAndTag));
    assert!(found.saving[3].unwrap().value >= 0.75);
}

/// As many labels as the best published router had of its own: each prompt predicted by a predictor that had 1,500 others.
#[test]
fn mmlu_pair_with_1500_labels() {
    let Some(folder) = sets("mmlu_pair_with_1500_labels") else {
        return;
    };
    let outcomes = mmlu(&folder);
    // Seven parts: each in turn teaches all others.
    let parts = outcomes.len() as u64 / 1_500;
    let mut found = Vec::new();
    for part in 0..parts {
        let taught = outcomes.filtered(|prompt| fold(prompt.id(), parts) == part);
        let rest = outcomes.filtered(|prompt| fold(prompt.id(), parts) != part);
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
            "mean over {} draws of about 1,500 labels, {name}: {mean:.4}",
            found.len()
        );
        assert!(mean >= 0.64, "{name}: {mean}");
    }
}
