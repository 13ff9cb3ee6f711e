//! Trains the task classifier on its prompts and writes the weights and `docs/task-classifier.md`. It needs the shared data. Where the
//! weights are new it stops after writing them, and is to be run once more: the page is about the weights that are built in.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "run by hand")]

#[path = "../tests/classifier/evaluation.rs"]
mod evaluation;

use std::fs;

use evaluation::*;
use routing::Classifier;

fn main() {
    let corpus = corpus();
    let trained = weights(&corpus);
    fs::write(path("data/task_weights.bin"), trained.as_bytes()).unwrap();
    if trained != Classifier::bundled() {
        println!("the weights are new: run this again for the page");
        return;
    }
    let judged = cross_validated(&corpus);
    let mut text = page(&corpus, &judged);
    text += &benchmark_page(&benchmark("the page of the task classifier").unwrap(), &judged);
    fs::write(path("../../docs/task-classifier.md"), text).unwrap();
}
