//! Reads sets of outcomes that are not part of the repository.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "benches read sets by it too")]

pub(crate) mod draws;

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::LazyLock;

use costing::Pico;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use routing::{OutcomeRow, OutcomeRows};
use routing_learned::{HeldOut, Inputs, Outcome, Outcomes, Predictor, Scored, TrainOptions, train};

/// The rows of a file, plain or zstd.
fn rows(path: &Path) -> impl Iterator<Item = OutcomeRow> {
    let file = std::fs::File::open(path).unwrap();
    let source: Box<dyn Read> = if path.extension().is_some_and(|end| end == "zst") {
        Box::new(ruzstd::decoding::StreamingDecoder::new(BufReader::new(file)).unwrap())
    } else {
        Box::new(file)
    };
    OutcomeRows::new(BufReader::new(source)).map(|row| row.unwrap().1)
}

/// The outcomes of a file, plain or zstd.
pub(crate) fn read(path: &Path) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for row in rows(path) {
        outcomes.add_row(row).unwrap();
    }
    outcomes
}

/// As [`read`], at these pico-dollars for a token read; tokens written cost nothing.
pub(crate) fn read_priced(path: &Path, prices: &BTreeMap<String, i64>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for mut row in rows(path) {
        for (model, outcome) in &mut row.outcomes {
            let tokens = i64::try_from(outcome.prompt_tokens.unwrap()).unwrap();
            outcome.cost = Some(Pico::new(tokens * prices[model]));
        }
        outcomes.add_row(row).unwrap();
    }
    outcomes
}

/// Pico-dollars for a token read, of one set of a list of prices.
pub(crate) fn prices(list: &Path, set: &str) -> BTreeMap<String, i64> {
    let text = std::fs::read_to_string(list).unwrap();
    let lines = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let [of, model, input, _] = fields.as_slice() else {
            return None;
        };
        // A dollar for a million tokens is a million pico-dollars for one.
        (*of == set).then(|| {
            (
                (*model).to_owned(),
                (input.parse::<f64>().unwrap() * 1e6).round() as i64,
            )
        })
    });
    lines.collect()
}

/// Every prompt of the models of a file that are priced and complete, predicted by a predictor that has not seen it.
pub(crate) fn held(path: &Path, share: f64) -> HeldOut {
    let outcomes = read(path);
    let outcomes = outcomes.only(&outcomes.complete_models(share, true)).unwrap();
    HeldOut::out_of_fold(
        &outcomes,
        &TrainOptions::default(),
        Inputs::TextAndTag,
        5,
        &mut |_| {},
    )
    .unwrap()
}

/// Numbers of a seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Whether the cheap model is right on each prompt.
pub(crate) fn cheap_and_dear_scores(n: usize, right: f64, seed: u64) -> Vec<bool> {
    let mut dice = Dice::new(seed);
    (0..n).map(|_| dice.unit() < right).collect()
}

/// Outcomes of a dear model that is always right and one for a tenth of its cost that is right on these prompts.
pub(crate) fn outcomes_of(cheap_is_right: &[bool]) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for (i, is_right) in cheap_is_right.iter().enumerate() {
        for (model, score, cost) in [("cheap", f64::from(u8::from(*is_right)), 1), ("dear", 1.0, 10)] {
            let mut result = Scored::new(score);
            result.cost = Some(Pico::new(cost * 1_000_000));
            outcomes
                .add(Outcome {
                    id: format!("{i:06}"),
                    prompt: format!("question {} of {}", i % 17, i % 5),
                    tag: None,
                    model: model.to_owned(),
                    result,
                })
                .unwrap();
        }
    }
    outcomes
}

/// These outcomes, predicted by a predictor of a pool in which the cheap model is right in .98.
pub(crate) fn predicted(outcomes: &Outcomes) -> HeldOut {
    static PREDICTOR: LazyLock<Predictor> = LazyLock::new(|| {
        let taught = outcomes_of(&cheap_and_dear_scores(300, 0.98, 0));
        train(&taught, &TrainOptions::default(), &mut |_| {}).unwrap()
    });
    HeldOut::of(&PREDICTOR, outcomes, Inputs::Text).unwrap()
}

/// Prompts of which the cheap model is right in so many parts.
pub(crate) fn two_models(n: usize, right: f64, seed: u64) -> HeldOut {
    predicted(&outcomes_of(&cheap_and_dear_scores(n, right, seed)))
}
