//! What a look at the cheap answer is worth, on recorded answers. The figures are told with `--nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "figures are told, and a test that cannot go on fails"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use costing::Pico;
use integration_core::testing::shared_data;
use proptest::prelude::*;
use routing_learned::cascade::{Answer, Cascade, Example, curve, outcomes};
use routing_learned::{HeldOut, Inputs, Scored, Scratch, TrainOptions, train};

const FLASH: &str = "gemini-1.5-flash-002";
const PRO: &str = "gemini-1.5-pro-002";

fn out_of_fold(examples: Vec<Example>) -> HeldOut {
    let outcomes = outcomes(examples).unwrap();
    HeldOut::out_of_fold(
        &outcomes,
        &TrainOptions::default(),
        Inputs::TextAndTag,
        5,
        &mut |_| {},
    )
    .unwrap()
}

fn say(name: &str, held: &HeldOut, share: f64) -> Option<Cascade> {
    let found = Cascade::compile(held, share).unwrap();
    match found {
        Some(cascade) => println!(
            "{name}, {:.0} % of the dear model's score {:.4}: {:.4} at {:.1} % of its cost, {:.1} % escalated",
            share * 100.0,
            cascade.dear_quality,
            cascade.quality,
            100.0 * (1.0 - cascade.saving),
            100.0 * cascade.escalated
        ),
        None => println!("{name}, {:.0} %: nothing to save", share * 100.0),
    }
    found
}

#[test]
fn flash_to_pro_on_mmlu_pro() {
    const TEST: &str = "flash_to_pro_on_mmlu_pro";
    let (Some(path), Some(answers)) = (
        shared_data(TEST, "routing/mmlu_pro.jsonl.zst"),
        shared_data(TEST, "routing/mmlu_pro.responses.jsonl.zst"),
    ) else {
        return;
    };
    let file = ruzstd::decoding::StreamingDecoder::new(BufReader::new(std::fs::File::open(answers).unwrap()))
        .unwrap();
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if let Some(end) = row["tail400"][FLASH].as_str() {
            // Of the whole answer its length is recorded, and its end.
            let length = row["out_chars"][FLASH].as_u64().unwrap() as usize;
            let start = " ".repeat(length.saturating_sub(end.chars().count()));
            ends.insert(row["id"].as_str().unwrap().to_owned(), start + end);
        }
    }
    let recorded = support::read(&path)
        .only(&[FLASH.to_owned(), PRO.to_owned()])
        .unwrap();
    let examples = recorded.prompts().filter_map(|prompt| {
        Some(Example {
            id: prompt.id().to_owned(),
            prompt: prompt.text().to_owned(),
            tag: prompt.tag().map(str::to_owned),
            answer: ends.get(prompt.id())?.clone(),
            cheap: *prompt.of(0)?,
            dear: *prompt.of(1)?,
        })
    });
    let held = out_of_fold(examples.collect());
    for share in [0.95, 0.98] {
        say("flash to pro", &held, share);
    }
    let whole = say("flash to pro", &held, 1.0).unwrap();
    assert!(whole.saving >= 0.5);
    let hull = curve(&held).unwrap();
    println!("best of the curve: {:.4}", hull.points().last().unwrap().quality);
}

#[test]
fn mixtral_to_gpt_4_on_gsm8k() {
    const TEST: &str = "mixtral_to_gpt_4_on_gsm8k";
    let (Some(path), Some(answers)) = (
        shared_data(TEST, "routing/routellm_gsm8k.jsonl.zst"),
        shared_data(TEST, "routing/routellm_gsm8k.responses.jsonl.zst"),
    ) else {
        return;
    };
    let file = ruzstd::decoding::StreamingDecoder::new(BufReader::new(std::fs::File::open(answers).unwrap()))
        .unwrap();
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        said.insert(
            row["id"].as_str().unwrap().to_owned(),
            row["weak_response"].as_str().unwrap_or_default().to_owned(),
        );
    }
    let recorded = support::read(&path);
    let number = |name: &str| {
        recorded
            .models()
            .iter()
            .position(|model| model.contains(name))
            .unwrap()
    };
    let (weak, strong) = (number("Mixtral"), number("gpt-4"));
    let examples = recorded.prompts().filter_map(|prompt| {
        Some(Example {
            id: prompt.id().to_owned(),
            prompt: prompt.text().to_owned(),
            tag: prompt.tag().map(str::to_owned),
            answer: said.get(prompt.id())?.clone(),
            cheap: *prompt.of(weak)?,
            dear: *prompt.of(strong)?,
        })
    });
    let held = out_of_fold(examples.collect());
    let most = say("Mixtral to GPT-4", &held, 0.95).unwrap();
    say("Mixtral to GPT-4", &held, 1.0);
    assert!(1.0 - most.saving <= 0.62);
}

fn examples(n: usize, dear_cost: i64) -> Vec<Example> {
    examples_at(n, 1_000, dear_cost)
}

/// Answers that end in "surely" are right.
fn examples_at(n: usize, cheap_cost: i64, dear_cost: i64) -> Vec<Example> {
    let scored = |right: bool, cost| Scored {
        cost: Some(Pico::new(cost)),
        ..Scored::new(f64::from(u8::from(right)))
    };
    (0..n)
        .map(|i| {
            let right = i % 3 != 0;
            Example {
                id: format!("{i:05}"),
                prompt: format!("what is {i} and {}", i * 7 % 31),
                tag: None,
                answer: format!(
                    "it is {} {}",
                    i * 5 % 23,
                    if right { "surely" } else { "perhaps" }
                ),
                cheap: scored(right, cheap_cost),
                dear: scored(true, dear_cost),
            }
        })
        .collect()
}

#[test]
fn a_check_learns_which_answers_to_keep() {
    let check = train(
        &outcomes(examples(600, 20_000)).unwrap(),
        &TrainOptions::default(),
        &mut |_| {},
    )
    .unwrap();
    let held = out_of_fold(examples(600, 20_000));
    let cascade = Cascade::compile(&held, 1.0).unwrap().unwrap();
    assert!(cascade.saving > 0.55, "{cascade:?}");
    let mut scratch = Scratch::new();
    let mut asks = |answer: &Answer<'_>, second| {
        cascade.escalates(&check, "what is 700 and 3", None, answer, second, &mut scratch)
    };
    assert!(!asks(&Answer::whole("it is 9 surely"), None));
    assert!(asks(&Answer::whole("it is 9 perhaps"), None));
    assert!(
        !asks(&Answer::whole("it is 9 perhaps"), Some("It is 9, perhaps!")),
        "two agree"
    );
    assert!(
        asks(&Answer::whole(""), Some("")),
        "nothing is no answer, whoever agrees"
    );
}

#[test]
fn a_cascade_that_saves_nothing_is_not_made() {
    // A third is escalated, and the cheap call costs nine tenths of the dear one.
    let held = out_of_fold(examples(600, 1_100));
    assert_eq!(Cascade::compile(&held, 1.0).unwrap(), None);
    assert!(Cascade::compile(&held, f64::NAN).is_err());
    assert!(Cascade::compile(&support::two_models(50, 0.9, 1), 1.1).is_err());
}

#[test]
fn a_free_model_may_be_asked_first_and_is_never_saved_on() {
    let held = out_of_fold(examples_at(600, 0, 20_000));
    let cascade = Cascade::compile(&held, 1.0).unwrap().unwrap();
    // Only what is escalated costs anything.
    assert!(
        (cascade.saving - (1.0 - cascade.escalated)).abs() < 1e-9,
        "{cascade:?}"
    );
    assert!(cascade.saving > 0.6 && cascade.price.is_finite(), "{cascade:?}");
    let first = curve(&held).unwrap().points()[0];
    assert!(
        first.cost.abs() < 1e-9 && (first.quality - 2.0 / 3.0).abs() < 1e-6,
        "{first:?}"
    );
    for cheap in [0, 1_000] {
        let held = out_of_fold(examples_at(600, cheap, 0));
        assert_eq!(Cascade::compile(&held, 0.5).unwrap(), None, "{cheap}");
        assert!(
            curve(&held)
                .unwrap()
                .points()
                .iter()
                .all(|point| point.cost.is_finite())
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_the_answer_there_is_a_decision(prompt in ".{0,200}", answer in ".{0,2000}", second in proptest::option::of(".{0,50}")) {
        use std::sync::LazyLock;
        static CHECK: LazyLock<routing_learned::Predictor> = LazyLock::new(|| {
            train(&outcomes(examples(60, 20_000)).unwrap(), &TrainOptions::default(), &mut |_| {}).unwrap()
        });
        let cascade = Cascade::compile(&out_of_fold(examples(60, 20_000)), 0.9).unwrap().unwrap();
        cascade.escalates(&CHECK, &prompt, None, &Answer::whole(&answer), second.as_deref(), &mut Scratch::new());
    }
}
