//! How good routing is, on outcomes made from a seed and on the sets of the folder that `ROUTING_DATA` names: tables, and the figures
//! that count for the summary of `cargo xtask bench`. Policies are measured on prompts that they have not seen.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use routing_learned::metrics::{Bootstrap, Measured, PairMetrics, PoolMetrics, SHARES};
use routing_learned::{HeldOut, Inputs, LearnedError, Outcomes, Promise, TrainOptions, fold};
use support::draws::{Drawn, draws};
use waypost_benches::{Arguments, synthetic};

#[path = "../../crates/routing-learned/tests/support/mod.rs"]
mod support;

const FOLDS: u64 = 5;
const LOSS: f64 = 0.02;

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Prompts made.
    prompts: usize,
    /// Prompts taken of a set that is read.
    most: usize,
    resamples: u32,
    labels: usize,
    draws: u64,
}

const WHOLE: Size = Size {
    prompts: 6_000,
    most: usize::MAX,
    resamples: 200,
    labels: 1_000,
    draws: 50,
};

/// Enough to run every line once.
const TINY: Size = Size {
    prompts: 240,
    most: 300,
    resamples: 20,
    labels: 60,
    draws: 2,
};

/// One line on standard error that is written over and over, if somebody is there to read it.
struct Progress<'a> {
    set: &'a str,
    shown: bool,
}

impl Progress<'_> {
    fn tell(&self, what: &str, done: u64, of: u64) {
        if self.shown {
            eprint!("\r\x1b[K{}: {what}, {done} of {of}", self.set);
        }
    }

    fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

fn main() {
    let arguments = Arguments::read(std::env::args().skip(1));
    let size = if arguments.test { TINY } else { WHOLE };
    let sets = std::env::var_os("ROUTING_DATA").map_or_else(Vec::new, |folder| sets(Path::new(&folder)));
    let named = |name: &str| {
        let id = format!("routing_quality/{name}");
        if arguments.list {
            println!("{id}: benchmark");
        }
        !arguments.list && arguments.runs(&id)
    };
    if named("synthetic") {
        made(5, size);
    }
    if named("synthetic pair") {
        made(2, size);
    }
    for (name, path) in sets {
        if named(&name) {
            recorded(&name, &path, size);
        }
    }
}

/// The sets of outcomes in a folder, by name.
fn sets(folder: &Path) -> Vec<(String, PathBuf)> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| {
        eprintln!("ROUTING_DATA: {}: {error}", folder.display());
        std::process::exit(1)
    });
    let set = |path: PathBuf| {
        let file = path.file_name()?.to_str()?.to_owned();
        let name = file
            .strip_suffix(".jsonl.zst")
            .or_else(|| file.strip_suffix(".jsonl"))?;
        // Answers, not outcomes.
        (!name.ends_with(".responses")).then(|| (name.to_owned(), path))
    };
    let mut sets: Vec<_> = files.flatten().filter_map(|file| set(file.path())).collect();
    sets.sort();
    sets
}

/// Outcomes of which the truth is known.
fn made(models: usize, size: Size) {
    let name = if models == 2 {
        "synthetic pair"
    } else {
        "synthetic"
    };
    let prompts = if models == 2 {
        size.prompts / 2
    } else {
        size.prompts
    };
    let set = synthetic::outcomes(prompts, models, 11).unwrap();
    tables(name, &set.outcomes, size);
    let best = set.best(LOSS).unwrap();
    println!(
        "  true best policy              AIQ {:.4}, saves {} at a loss of {LOSS}",
        best.aiq,
        percent(best.saving)
    );
}

/// A set of a file. Models without prices count only if a list of prices beside it has them.
fn recorded(name: &str, path: &Path, size: Size) {
    eprintln!("reading {}", path.display());
    let mut outcomes = support::read(path);
    let list = path.with_file_name("prices.csv");
    if outcomes.complete_models(0.99, true).is_empty() && list.is_file() {
        let prices = support::prices(&list, name);
        if outcomes.models().iter().all(|model| prices.contains_key(model)) {
            outcomes = support::read_priced(path, &prices);
        }
    }
    let models = outcomes.complete_models(0.99, true);
    if models.len() < 2 {
        println!("\n{name}: left out, fewer than two models have a price and answered 99 % of its prompts");
        return;
    }
    let mut outcomes = outcomes.only(&models).unwrap();
    if outcomes.len() > size.most {
        // By their names, so that it is the same part every time.
        let parts = outcomes.len().div_ceil(size.most) as u64;
        outcomes = outcomes.filtered(|prompt| fold(prompt.id(), parts) == 0);
    }
    tables(name, &outcomes, size);
}

fn tables(name: &str, outcomes: &Outcomes, size: Size) {
    let progress = Progress {
        set: name,
        shown: std::io::stderr().is_terminal(),
    };
    println!(
        "\n{name}: {} prompts, {} models",
        outcomes.len(),
        outcomes.models().len()
    );
    let told = if outcomes.models().len() == 2 {
        pair(name, outcomes, size, &progress)
    } else {
        pool(name, outcomes, size, &progress)
    };
    progress.clear();
    // One set that cannot be measured is no reason to leave out the others.
    if let Err(error) = told {
        println!("  cannot be measured: {error}");
    }
}

fn held(outcomes: &Outcomes, inputs: Inputs, progress: &Progress<'_>) -> Result<HeldOut, LearnedError> {
    let begin = Instant::now();
    let held = HeldOut::out_of_fold(outcomes, &TrainOptions::default(), inputs, FOLDS, &mut |step| {
        progress.tell("training", u64::from(step.done), u64::from(step.of));
    })?;
    progress.clear();
    let seconds = begin.elapsed().as_secs_f64();
    let inputs = inputs_name(inputs);
    println!("  trained {FOLDS} times, {inputs:<18} {seconds:.1} s");
    Ok(held)
}

const fn inputs_name(inputs: Inputs) -> &'static str {
    match inputs {
        Inputs::Text => "by text",
        Inputs::TextAndTag => "by tag and text",
    }
}

fn bootstrap(size: Size) -> Bootstrap {
    Bootstrap {
        resamples: size.resamples,
        ..Bootstrap::default()
    }
}

/// Which of two models to ask.
fn pair(name: &str, outcomes: &Outcomes, size: Size, progress: &Progress<'_>) -> Result<(), LearnedError> {
    let [a, b] = [outcomes.models()[0].as_str(), outcomes.models()[1].as_str()];
    for inputs in [Inputs::Text, Inputs::TextAndTag] {
        let held = held(outcomes, inputs, progress)?;
        let found = PairMetrics::of(&held, [a, b], bootstrap(size))?;
        let inputs_name = inputs_name(inputs);
        println!("  APGR, {inputs_name:<23} {}", shown(found.apgr));
        println!("  CPT50, {inputs_name:<22} {}", shown_percent(found.cpt50));
        println!("  CPT80, {inputs_name:<22} {}", shown_percent(found.cpt80));
        println!("share: APGR {inputs_name}, {name} {:.4}", found.apgr.value);
        if inputs == Inputs::TextAndTag {
            certified(name, &held, size, progress);
        }
    }
    Ok(())
}

/// Which of many.
fn pool(name: &str, outcomes: &Outcomes, size: Size, progress: &Progress<'_>) -> Result<(), LearnedError> {
    let held = held(outcomes, Inputs::TextAndTag, progress)?;
    progress.tell("intervals", 0, 1);
    let found = PoolMetrics::of(&held, bootstrap(size))?;
    progress.clear();
    let row = |what: &str, router: String, zero: String| println!("  {what:<29} {router:<26} {zero}");
    row("", "router".to_owned(), "zero router".to_owned());
    row("AIQ", shown(found.aiq), shown(found.zero_aiq));
    let defined = |measured: Option<Measured>| measured.map_or("a model is free".to_owned(), shown);
    row("log AIQ", defined(found.log_aiq), defined(found.zero_log_aiq));
    for ((share, saving), zero) in SHARES.iter().zip(found.saving).zip(found.zero_saving) {
        let told = |saving: Option<Measured>| {
            saving.map_or("not reached".to_owned(), |saving| {
                let Measured { value, low, high } = saving;
                format!("{} [{}, {}]", percent(value), percent(low), percent(high))
            })
        };
        row(
            &format!("saving at {:.0} % of the best", share * 100.0),
            told(saving),
            told(zero),
        );
    }
    println!("  most above the zero router    {}", shown(found.most_above_zero));
    println!("  least above the zero router   {}", shown(found.above_zero));
    println!("  calibration error             {:.4}", found.calibration_error);
    println!(
        "  best single model             {}, {:.4}",
        found.best, found.best_point.quality
    );
    let above = found.aiq.value / found.zero_aiq.value;
    println!("ratio: AIQ over that of the zero router, {name} {above:.4}");
    certified(name, &held, size, progress);
    Ok(())
}

/// What certificates save, and how often they break their promise.
fn certified(name: &str, held: &HeldOut, size: Size, progress: &Progress<'_>) {
    let needed = size.labels + 1_000.min(size.labels);
    if held.len() < needed {
        println!("  no certificates: {} prompts, {needed} needed", held.len());
        return;
    }
    let promise = Promise::loss_at_most(LOSS).vs_best().confidence(0.90);
    let Drawn {
        certified,
        tuned,
        refused,
    } = draws(held, &promise, size.labels, size.draws, &mut |done| {
        progress.tell("certificates", done, size.draws);
    });
    progress.clear();
    println!(
        "  certified, loss of {LOSS}        saves {}, {} of {} draws violate, {refused} refused ({} labels)",
        percent(certified.saving),
        certified.violations,
        size.draws,
        size.labels
    );
    println!(
        "  tuned threshold               saves {}, {} of {} draws violate",
        percent(tuned.saving),
        tuned.violations,
        size.draws
    );
    println!(
        "share: certified saving at a loss of {LOSS}, {name} {:.3}",
        certified.saving
    );
    // 10 % are promised; more than 10 of 50 come of that by chance once in forty sets.
    println!(
        "share: certificates that broke their promise, {name} (limit 0.20) {:.2}",
        certified.violated
    );
    println!(
        "share: tuned thresholds that broke it, {name} {:.2}",
        tuned.violated
    );
}

fn shown(measured: Measured) -> String {
    format!(
        "{:.4} [{:.4}, {:.4}]",
        measured.value, measured.low, measured.high
    )
}

/// Of what is in percent.
fn shown_percent(measured: Measured) -> String {
    format!(
        "{:.1} % [{:.1}, {:.1}]",
        measured.value, measured.low, measured.high
    )
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
