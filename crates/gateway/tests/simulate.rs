//! `waypost simulate`: policies on simulated traffic, from a seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use rust_decimal::Decimal;
use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::run;

fn folder(scenario: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.toml"), scenario).unwrap();
    dir
}

fn simulate(dir: &Path, more: &[&str]) -> (i32, String, String) {
    run(dir, &[&["simulate"], more].concat())
}

#[test]
fn without_arguments_there_is_a_table_of_policies() {
    let dir = folder("");
    let (code, out, err) = simulate(dir.path(), &["--requests", "300"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("300 simulated requests within 0.1 hours, seed 0: a model, not a measurement"));
    for says in [
        " cheapest ",
        " best-quality ",
        " lowest-latency ",
        " weighted-utility ",
        "against cheapest",
        "± is one standard error",
        "asked the most",
        "prices of openrouter-",
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }
}

#[test]
fn the_same_seed_is_the_same_report_and_what_it_says_adds_up() {
    let dir = folder("");
    let asked = [
        "--requests",
        "400",
        "--task",
        "coding",
        "--min-quality",
        "50",
        "--json",
        "--seed",
    ];
    let (code, out, err) = simulate(dir.path(), &[&asked[..], &["7"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, simulate(dir.path(), &[&asked[..], &["7"]].concat()).1);
    assert_ne!(out, simulate(dir.path(), &[&asked[..], &["8"]].concat()).1);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["seed"], &report["requests"]), (&7.into(), &400.into()));
    let policies = report["policies"].as_array().unwrap();
    assert_eq!(policies.len(), 4);
    for one in policies {
        let amount = |name: &str| one[name].as_str().unwrap().parse::<Decimal>().unwrap();
        assert_eq!(amount("cost_usd") + amount("markup_usd"), amount("charge_usd"));
        let of_models = one["models"].as_array().unwrap().iter();
        let of_models =
            of_models.map(|model| model["cost_usd"].as_str().unwrap().parse::<Decimal>().unwrap());
        assert_eq!(of_models.sum::<Decimal>(), amount("cost_usd"));
        let count = |name: &str| one[name].as_u64().unwrap();
        assert_eq!(count("succeeded") + count("failed"), 400);
    }
    assert_eq!(policies[0]["difference"], Value::Null);
    assert!(policies[1]["difference"]["cost"]["se_usd"].is_string());
}

/// The example of the guide is run as it stands there.
#[test]
fn the_example_of_the_guide_works() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulation.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let (_, rest) = guide.split_once("```toml\n").unwrap();
    let dir = folder(rest.split_once("```").unwrap().0);
    let (code, out, err) = simulate(dir.path(), &["--scenario", "s.toml", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let policies = report["policies"].as_array().unwrap();
    let one = |name: &str| policies.iter().find(|one| one["policy"] == name).unwrap();
    let (routed, alone) = (one("cheapest"), one("model:openai/gpt-5-mini"));
    // The outage and the limit of the example stop the single model, and not the strategy.
    assert!(alone["failed_requests"]["outage"].as_u64() > Some(100), "{alone}");
    assert!(
        alone["failed_requests"]["rate_limited"].as_u64() > Some(100),
        "{alone}"
    );
    assert!(routed["success"].as_f64() > Some(0.99), "{routed}");
    assert_eq!(report["prices"].as_array().unwrap().len(), 2);
    // What the command line says counts before what the file says.
    let more = [
        "--scenario",
        "s.toml",
        "--policy",
        "best-quality",
        "--requests",
        "50",
        "--json",
    ];
    let report: Value = serde_json::from_str(&simulate(dir.path(), &more).1).unwrap();
    assert_eq!(
        (&report["requests"], &report["policies"][0]["policy"]),
        (&50.into(), &"best-quality".into())
    );
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_exit_code_2() {
    for (scenario, more, says) in [
        (
            "requests = 0",
            &[][..],
            "the scenario s.toml: `requests` must be a whole number from 1 to 1000000",
        ),
        ("requests = 1000000000000", &[], "`requests` must be"),
        (
            "\nrequests = -5",
            &[],
            "the scenario s.toml, line 2: invalid value",
        ),
        (
            "[traffic]\nper_minute = nan",
            &[],
            "`traffic.per_minute` must be a number",
        ),
        (
            "[traffic]\nper_minutes = 1",
            &[],
            "line 2: unknown field `per_minutes`",
        ),
        (
            "[[model]]\nmodels = \"nobody/nothing\"",
            &[],
            "no model of the catalogue is meant by 'nobody/nothing'",
        ),
        ("\"\\u001b[31m\" = 1", &[], "unknown field"),
        ("requests = ", &[], "line 1:"),
        ("", &["--requests", "0"], "`requests` must be"),
        ("", &["--policy", "best"], "'best' is not a strategy"),
        (
            "",
            &["--policy", "model:nobody/nothing"],
            "the catalogue has no such model",
        ),
        ("", &["--task", "cooking"], "'cooking' is not a task"),
        ("policies = []", &[], "there is no policy to be simulated"),
    ] {
        let dir = folder(scenario);
        let (code, out, err) = simulate(dir.path(), &[&["--scenario", "s.toml"], more].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{scenario} {more:?}: {err}");
        assert!(
            err.starts_with("waypost: ") && err.contains(says),
            "{scenario}: {err}"
        );
        assert!(!err.contains('\u{1b}') && err.lines().count() == 1, "{err:?}");
    }
    let dir = folder("");
    let (code, _, err) = simulate(dir.path(), &["--scenario", "missing.toml"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("the scenario missing.toml cannot be read"), "{err}");
}

#[test]
fn where_nothing_is_answered_the_exit_code_is_1() {
    let dir = folder("requests = 20\n[[model]]\nmodels = \"*\"\nfailure = 1.0\n");
    let (code, out, err) = simulate(dir.path(), &["--scenario", "s.toml"]);
    assert_eq!(
        (code, err.as_str()),
        (1, "waypost: no policy answered a single request\n")
    );
    assert!(out.contains("failed requests: 20 failure"), "{out}");
}
