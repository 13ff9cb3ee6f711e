//! Reads sets of outcomes that are not part of the repository.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use costing::Pico;
use routing::{OutcomeRow, OutcomeRows};
use routing_learned::Outcomes;

/// The outcomes of a file, plain or zstd.
pub(crate) fn read(path: &Path) -> Outcomes {
    let file = std::fs::File::open(path).unwrap();
    let source: Box<dyn Read> = if path.extension().is_some_and(|end| end == "zst") {
        Box::new(ruzstd::decoding::StreamingDecoder::new(BufReader::new(file)).unwrap())
    } else {
        Box::new(file)
    };
    let mut outcomes = Outcomes::new();
    for row in OutcomeRows::new(BufReader::new(source)) {
        outcomes.add_row(row.unwrap().1).unwrap();
    }
    outcomes
}

/// As [`read`], at the prices of a list in dollars for a million tokens, of what was read.
pub(crate) fn read_priced(path: &Path, prices: &BTreeMap<String, i64>) -> Outcomes {
    let file = std::fs::File::open(path).unwrap();
    let source = ruzstd::decoding::StreamingDecoder::new(BufReader::new(file)).unwrap();
    let mut outcomes = Outcomes::new();
    for row in OutcomeRows::new(BufReader::new(source)) {
        let mut row: OutcomeRow = row.unwrap().1;
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
