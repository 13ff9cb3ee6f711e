//! How the suite's tests fail, and how they are skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Command;

use integration_core::testing::InMemoryClient;
use integration_core::{CapabilitySet, ProviderId};
use provider_testkit::conformance::{Candidate, Place, Subject, run};

const SKIPS: &[(&str, &str)] = &[("usage_is_counted", "Acme counts nothing")];

/// A subject that must not be asked for a client.
struct Never;

impl Subject for Never {
    fn candidate(&self, _: &Place) -> Candidate {
        panic!("a skipped scenario makes no client")
    }
}

/// A client that declares nothing at all.
struct Idle;

impl Subject for Idle {
    fn candidate(&self, _: &Place) -> Candidate {
        let client = InMemoryClient::new(ProviderId::new("idle").unwrap(), []);
        Candidate::new(client.with_capabilities(CapabilitySet::EMPTY))
    }
}

/// A client that streams, at a server without keep-alives.
struct Hushed;

impl Subject for Hushed {
    fn candidate(&self, _: &Place) -> Candidate {
        Candidate::new(InMemoryClient::new(ProviderId::new("hushed").unwrap(), []))
    }

    fn keep_alive(&self) -> String {
        String::new()
    }
}

/// Set where this file runs itself: the two tests that skip something do nothing otherwise.
const CHILD: &str = "TESTKIT_RUNS_ITSELF";

#[test]
fn a_scenario_with_nothing_to_test() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    run(Hushed, "keep_alives_alone_are_a_timeout", &[], "hushed");
}

#[test]
fn nothing_to_test_is_recorded_like_a_skip() {
    let list = std::env::temp_dir().join(format!("waypost-untested-{}", std::process::id()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_scenario_with_nothing_to_test"])
        .env(CHILD, "1")
        .env("WAYPOST_SKIPPED", &list)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        std::fs::read_to_string(&list).unwrap(),
        "hushed::keep_alives_alone_are_a_timeout: the server sends no keep-alives\n"
    );
    std::fs::remove_file(&list).unwrap();
}

#[test]
fn a_skipped_scenario() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    run(Never, "usage_is_counted", SKIPS, "acme-client conformance");
}

#[test]
fn a_skip_is_told_and_recorded() {
    let list = std::env::temp_dir().join(format!("waypost-skipped-{}", std::process::id()));
    let child = |list: Option<&std::path::Path>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_skipped_scenario", "--nocapture"]);
        command.env(CHILD, "1");
        command.env_remove("WAYPOST_SKIPPED");
        command.envs(list.map(|list| ("WAYPOST_SKIPPED", list)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let line = "acme-client conformance::usage_is_counted: Acme counts nothing\n";
    for told in [child(None), child(Some(&list)), child(Some(&list))] {
        assert!(told.contains(&format!("skipped {line}")), "{told}");
    }
    assert_eq!(std::fs::read_to_string(&list).unwrap(), line.repeat(2));
    std::fs::remove_file(&list).unwrap();
}

#[test]
#[should_panic(expected = "identity_is_stable_and_debug_hides_the_key: no ability is declared")]
fn a_failure_names_the_scenario_and_the_reason() {
    run(
        Idle,
        "identity_is_stable_and_debug_hides_the_key",
        SKIPS,
        "acme-client conformance",
    );
}

#[test]
#[should_panic(expected = "there is no scenario `moon_phase`")]
fn a_scenario_that_does_not_exist_is_no_test() {
    run(Idle, "moon_phase", &[], "acme-client conformance");
}

#[test]
fn the_readme_names_every_scenario() {
    let readme = include_str!("../README.md");
    for scenario in provider_testkit::conformance::scenarios() {
        let name = scenario.name();
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
    }
}
