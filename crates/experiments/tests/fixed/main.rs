//! Fixed-horizon statistics against published figures and reference packages.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod coverage;
mod decisions;
mod margin;
mod means;
mod paired;
mod proportions;

use experiments::statistics::{Counts, Level, Moments};

const LEVEL: f64 = 0.05;

fn level() -> Level {
    Level::new(LEVEL).unwrap()
}

fn counts(successes: u64, n: u64) -> Counts {
    Counts::new(successes, n).unwrap()
}

fn moments(values: &[f64]) -> Moments {
    values.iter().copied().collect()
}

/// Equal to nine digits.
#[track_caller]
fn close(found: f64, wanted: f64) {
    near(found, wanted, 1e-9);
}

#[track_caller]
fn near(found: f64, wanted: f64, relative: f64) {
    let scale = wanted.abs().max(1e-300);
    assert!(
        (found - wanted).abs() <= relative * scale || found == wanted,
        "{found:e} is not {wanted:e}"
    );
}
