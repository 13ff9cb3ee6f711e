//! Each target on stable: the written seeds, 20,000 mutations of them, and the same for recorded exchanges where they are. The
//! same mutations every time; a failure names the input.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use integration_core::testing::shared_data;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use waypost_fuzz_bodies::{KEY, TARGETS, Target, recorded, target};

const MUTATIONS: usize = 20_000;
/// Recorded inputs are larger, and their shapes are in the written seeds too.
const RECORDED_MUTATIONS: usize = 2_000;
/// A mutated input is no longer than this.
const LONGEST: usize = 16 << 10;

/// The written seeds of a target, by name.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../seeds")
        .join(target.name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("no seeds for {}: {error}", target.name))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Runs one input; if it fails, says which one it was.
fn run(target: &Target, what: &str, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if let Err(panic) = outcome {
        eprintln!("{} fails on {what}: b\"{}\"", target.name, input.escape_ascii());
        resume_unwind(panic);
    }
}

struct Mutator {
    numbers: ChaCha8Rng,
}

impl Mutator {
    fn below(&mut self, limit: usize) -> usize {
        (self.numbers.next_u64() % limit.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize, longest: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let end = start + self.below(longest + 1);
        start..end.min(length)
    }

    /// One to five changes to one of the inputs.
    fn mutate(&mut self, inputs: &[Vec<u8>], dictionary: &[&str]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        // The beginning mostly; of a long input sometimes a part out of its middle.
        if input.len() > LONGEST {
            let from = if self.below(2) == 0 {
                0
            } else {
                self.below(input.len() - LONGEST)
            };
            input = input[from..from + LONGEST].to_vec();
        }
        for _ in 0..1 + self.below(5) {
            self.change(&mut input, inputs, dictionary);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>], dictionary: &[&str]) {
        let at = self.below(input.len() + 1);
        match self.below(10) {
            // A bit, a byte.
            0 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] ^= 1 << self.below(8);
            }
            1 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] = self.below(256) as u8;
            }
            // A word of the format, put in or put over something.
            2 | 3 => {
                let word = dictionary[self.below(dictionary.len())];
                input.splice(at..at, word.bytes());
            }
            4 => {
                let word = dictionary[self.below(dictionary.len())];
                let over = self.range(input.len(), 24);
                input.splice(over, word.bytes());
            }
            // A part gone, a part twice, the end gone.
            5 => {
                let gone = self.range(input.len(), 64);
                input.drain(gone);
            }
            6 => {
                let part = self.range(input.len(), 64);
                let part = input[part].to_vec();
                for _ in 0..1 + self.below(4) {
                    input.splice(at..at, part.iter().copied());
                }
            }
            7 => input.truncate(at),
            // A part of another input.
            8 => {
                let other = &inputs[self.below(inputs.len())];
                let part = self.range(other.len(), 512);
                input.splice(at..at, other[part].iter().copied());
            }
            _ => {
                let digits = ["0", "-1", "1e400", "18446744073709551616", "\"1\"", "null"];
                input.splice(at..at, digits[self.below(digits.len())].bytes());
            }
        }
    }
}

fn mutations(target: &Target, inputs: &[Vec<u8>], count: usize, seed: u64) {
    let mut mutator = Mutator {
        numbers: ChaCha8Rng::seed_from_u64(seed),
    };
    for round in 0..count {
        let input = mutator.mutate(inputs, target.dictionary);
        run(target, &format!("mutation {round}"), &input);
    }
}

fn written(name: &str) {
    let target = target(name).unwrap();
    let seeds = seeds(target);
    assert!(seeds.len() >= 15, "{name} has {} seeds", seeds.len());
    for (at, seed) in seeds.iter().enumerate() {
        run(target, &format!("seed {at}"), seed);
    }
    mutations(target, &seeds, MUTATIONS, 0x5eed);
}

fn from_recordings(test: &str, name: &str) {
    let Some(file) = shared_data(test, "openrouter/recorded/exchanges.jsonl") else {
        return;
    };
    let target = target(name).unwrap();
    let inputs = recorded::inputs(name, &std::fs::read_to_string(file).unwrap());
    assert!(!inputs.is_empty(), "nothing recorded for {name}");
    for (at, input) in inputs.iter().enumerate() {
        run(target, &format!("recording {at}"), input);
    }
    mutations(target, &inputs, RECORDED_MUTATIONS, 0x5eed + 1);
}

macro_rules! targets {
    ($($name:ident, $recorded:ident;)+) => {
        $(
            #[test]
            fn $name() {
                written(stringify!($name));
            }

            #[test]
            fn $recorded() {
                from_recordings(stringify!($recorded), stringify!($name));
            }
        )+

        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

targets! {
    chat_chunk, chat_chunk_recorded;
    completion, completion_recorded;
    error_envelope, error_envelope_recorded;
    models_list, models_list_recorded;
    sse, sse_recorded;
    usage, usage_recorded;
}

/// No price stands alone in a recording, and no judge was recorded.
const UNRECORDED: &[&str] = &[
    "evaluations",
    "outcomes",
    "policy_file",
    "predictor",
    "price_string",
    "judgement",
    "unit_lines",
];

#[test]
fn price_string() {
    written("price_string");
}

/// No provider sends any.
#[test]
fn evaluations() {
    written("evaluations");
}

/// What is logged comes from whoever logs it.
#[test]
fn outcomes() {
    written("outcomes");
}

/// What was measured comes from whoever measured it.
#[test]
fn unit_lines() {
    written("unit_lines");
}

/// So are a certificate, a cascade and labels by whoever made them.
#[test]
fn policy_file() {
    written("policy_file");
}

/// A file is handed on by whoever trained it.
#[test]
fn predictor() {
    written("predictor");
}

#[test]
fn judgement() {
    written("judgement");
}

#[test]
fn every_target_is_tested_and_has_a_fuzz_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        assert!(
            TESTED.contains(&target.name) || UNRECORDED.contains(&target.name),
            "{}",
            target.name
        );
        let source = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{}.rs", target.name))).unwrap();
        assert!(
            source.contains(&format!("\"{}\"", target.name)),
            "{}",
            target.name
        );
        assert!(
            manifest.contains(&format!("name = \"{}\"", target.name)),
            "{}",
            target.name
        );
        assert!(!target.dictionary.is_empty());
    }
}

#[test]
fn the_key_is_among_the_words_that_are_mixed_in() {
    for name in ["chat_chunk", "error_envelope"] {
        assert!(target(name).unwrap().dictionary.contains(&KEY), "{name}");
    }
}
