//! Prompts of two kinds, with outcomes of which the truth is known.

#![allow(unreachable_pub)]

use std::path::Path;

use serde_json::{Value, json};

const WORDS: [&str; 8] = [
    "river", "stone", "cloud", "maple", "tiger", "lemon", "piano", "violet",
];

/// A prompt of its own, with words of its tag: `easy` for even numbers, `hard` for odd ones.
pub fn prompt(number: u32) -> (String, &'static str) {
    let (tag, first) = if number.is_multiple_of(2) {
        ("easy", "translate")
    } else {
        ("hard", "prove")
    };
    let word = |shift: u32| WORDS[(number >> shift) as usize % 8];
    (
        format!("{first} {} {} {} {number}", word(1), word(4), word(7)),
        tag,
    )
}

pub fn line(number: u32, of: impl Fn(u32) -> Value) -> String {
    let (prompt, task) = prompt(number);
    json!({ "id": format!("q{number}"), "prompt": prompt, "task": task, "outcomes": of(number) }).to_string()
        + "\n"
}

/// Writes `train.jsonl` of 600 prompts and `fresh.jsonl` of 2,000 others.
pub fn write(dir: &Path, of: impl Fn(u32) -> Value) {
    let lines = |numbers: std::ops::Range<u32>| numbers.map(|number| line(number, &of)).collect::<String>();
    std::fs::write(dir.join("train.jsonl"), lines(0..600)).unwrap();
    std::fs::write(dir.join("fresh.jsonl"), lines(10_000..12_000)).unwrap();
}
