//! Running scenarios by name.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use integration_core::Capability;

use super::Subject;
use super::bench::{Bench, Verdict};

/// How long a scenario may hang before it is given up, in real time. Nothing is measured by it: it turns a test that
/// would never end into one that fails.
const HANG: Duration = Duration::from_secs(120);

pub(super) type Check = for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// What a scenario needs the client to declare. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Chat,
    Streaming,
    Tools,
    Embeddings,
}

/// What became of a scenario that the client did not fail. Not exhaustive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The client was tested, and is right.
    Passed,
    /// By what the subject says there was nothing to test, for this reason.
    Untested(String),
}

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub(super) name: &'static str,
    pub(super) need: Need,
    pub(super) check: Check,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scenario({})", self.name)
    }
}

impl Scenario {
    /// The name of its test.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Tests a client: the scenario where it declares what the scenario needs, the refusal otherwise. Must be called
    /// within a tokio runtime with I/O and time. [`Outcome::Untested`] is to be recorded like a skip.
    ///
    /// # Errors
    /// What the client did wrong.
    pub async fn check(&self, subject: Arc<dyn Subject>) -> Result<Outcome, String> {
        let bench = Bench::new(subject);
        let declared = |capability| bench.declares(capability);
        let chats = declared(Capability::Chat);
        let work = async {
            match self.need {
                Need::Nothing => (self.check)(&bench).await,
                Need::Embeddings if !declared(Capability::Embeddings) => bench.refuses_embeddings().await,
                Need::Chat | Need::Streaming | Need::Tools if !chats => bench.refuses_chat().await,
                Need::Streaming if !declared(Capability::Streaming) => bench.refuses_streaming().await,
                Need::Tools if !declared(Capability::Tools) => bench.refuses_tools().await,
                _ => (self.check)(&bench).await,
            }
        };
        match tokio::time::timeout(HANG, work).await {
            Ok(verdict) => verdict.map(|()| bench.why_untested().map_or(Outcome::Passed, Outcome::Untested)),
            Err(_) => Err(format!(
                "no end in sight: the client retries by itself, or waits for something else than its clock ({} sleeps pending)",
                bench.pending_sleeps()
            )),
        }
    }
}

/// Every scenario, in the order of the suite.
pub fn scenarios() -> &'static [Scenario] {
    super::macros::SCENARIOS
}

/// Runs one scenario as a test, or records that it is skipped. What [`crate::provider_conformance!`] expands to.
///
/// # Panics
/// If the client fails the scenario.
#[doc(hidden)]
#[expect(clippy::panic, reason = "a failed test must fail")]
pub fn run(subject: impl Subject, name: &str, skips: &[(&str, &str)], test: &str) {
    if let Some((_, reason)) = skips.iter().find(|(skipped, _)| *skipped == name) {
        return record_skip(&format!("{test}::{name}"), reason);
    }
    let Some(scenario) = scenarios().iter().find(|scenario| scenario.name == name) else {
        panic!("there is no scenario `{name}`");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let verdict = match runtime {
        Ok(runtime) => runtime.block_on(scenario.check(Arc::new(subject))),
        Err(error) => Err(format!("no runtime: {error}")),
    };
    match verdict {
        Ok(Outcome::Passed) => {}
        Ok(Outcome::Untested(reason)) => record_skip(&format!("{test}::{name}"), &reason),
        Err(failure) => panic!("{name}: {failure}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no caller that could pass the environment in"
)]
#[expect(
    clippy::print_stderr,
    reason = "a skip is told to whoever runs the test alone"
)]
fn record_skip(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
    if let Ok(list) = std::env::var("WAYPOST_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(list);
        // One short write, so that lines of tests that run at the same time do not mix.
        let _ = file.and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()));
    }
}

/// Checks a list of skips while the test is compiled.
///
/// # Panics
/// If a name is no scenario's, or a reason is empty.
#[doc(hidden)]
#[expect(
    clippy::panic,
    reason = "it runs in the compiler, where a panic is an error message"
)]
pub const fn check_skips<'a>(skips: &'a [(&'a str, &'a str)]) -> &'a [(&'a str, &'a str)] {
    let mut at = 0;
    while at < skips.len() {
        let (name, reason) = skips[at];
        assert!(!reason.is_empty(), "a skip needs a reason");
        let mut known = 0;
        while !same(super::macros::SCENARIOS[known].name, name) {
            known += 1;
            if known == super::macros::SCENARIOS.len() {
                panic!("a skip names a scenario that does not exist");
            }
        }
        at += 1;
    }
    skips
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
