//! How often each method is wrong when it is looked at after every unit, over seeded experiments: a few of them always, thousands
//! with `--ignored` (`cargo test --release -p experiments --test sequential_simulation -- --ignored --nocapture` prints the
//! table).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod power;
mod rates;
mod scores;
mod shares;

use std::collections::BTreeMap;

/// How often something happened, by what it is called, over experiments.
#[derive(Default)]
pub(crate) struct Tally {
    experiments: u32,
    hits: BTreeMap<String, u32>,
}

impl Tally {
    pub(crate) fn experiment(&mut self) {
        self.experiments += 1;
    }

    /// Counts one experiment for a name, or shows that there was none.
    pub(crate) fn count(&mut self, name: impl Into<String>, hit: bool) {
        *self.hits.entry(name.into()).or_default() += u32::from(hit);
    }

    pub(crate) fn share(&self, name: &str) -> f64 {
        f64::from(*self.hits.get(name).unwrap_or_else(|| panic!("no {name}"))) / f64::from(self.experiments)
    }

    /// Fails if a share is above `alpha` by more than two standard errors of the simulation.
    #[track_caller]
    pub(crate) fn at_most(&self, name: &str, alpha: f64) {
        let error = (alpha * (1.0 - alpha) / f64::from(self.experiments)).sqrt();
        let share = self.share(name);
        assert!(
            share <= alpha + 2.0 * error,
            "{name}: {share} of {}",
            self.experiments
        );
    }

    #[track_caller]
    pub(crate) fn at_least(&self, name: &str, least: f64) {
        let share = self.share(name);
        assert!(share >= least, "{name}: {share} of {}", self.experiments);
    }

    /// Fails if a share is further from what is known than three standard errors of the simulation.
    #[track_caller]
    pub(crate) fn about(&self, name: &str, known: f64) {
        let error = (known * (1.0 - known) / f64::from(self.experiments)).sqrt();
        let share = self.share(name);
        assert!(
            (share - known).abs() <= 3.0 * error,
            "{name}: {share} of {}, known {known}",
            self.experiments
        );
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.hits.keys().cloned().collect()
    }

    pub(crate) fn print(&self, title: &str) {
        println!("\n{title} ({} experiments)", self.experiments);
        for name in self.hits.keys() {
            println!("| {name} | {:.4} |", self.share(name));
        }
    }
}
