//! Reads sets of outcomes that are not part of the repository.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "benches read sets by it too")]

pub(crate) mod draws;

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use costing::Pico;
use routing::{OutcomeRow, OutcomeRows};
use routing_learned::Outcomes;

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
