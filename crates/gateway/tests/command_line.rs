//! The binary as a person runs it: what it prints, how it exits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::{ended, get, run, serve, waypost};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn best_model_names_a_model_its_cost_and_why_cheaper_ones_were_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = run(
        dir.path(),
        &["best-model", "reasoning", "--min-quality", "50", "--json"],
    );
    assert_eq!(code, 0);
    let plan = json(&out);
    assert!(plan["model"].as_str().unwrap().contains('/'));
    assert!(plan["quality"].as_f64().unwrap() >= 50.0);
    let cost: rust_decimal::Decimal = plan["expected_cost_usd"].as_str().unwrap().parse().unwrap();
    let charge: rust_decimal::Decimal = plan["expected_charge_usd"].as_str().unwrap().parse().unwrap();
    assert_eq!(charge, cost * rust_decimal::Decimal::new(11, 1));
    let candidates = plan["candidates"].as_array().unwrap().len();
    let refused = plan["refused"].as_array().unwrap();
    assert_eq!(
        candidates + refused.len(),
        421,
        "every model is a candidate or has a reason"
    );
    assert!(
        refused
            .iter()
            .all(|r| r["reason"].is_string() && !r["detail"].as_str().unwrap().is_empty())
    );
    assert!(refused.iter().any(|r| r["reason"] == "quality_below_threshold"));
    assert!(plan["assumed"]["prompt_tokens"].is_u64() && plan["snapshot"].is_string());

    let (code, out, _) = run(
        dir.path(),
        &["best-model", "coding", "--needs", "tools,vision", "--explain"],
    );
    assert_eq!(code, 0);
    assert!(out.contains("missing_capability") && out.contains("expected cost"));
    let (_, out, _) = run(dir.path(), &["best-model", "agentic"]);
    assert!(out.contains("next, if it fails") && out.contains("--explain shows each"));
}

#[test]
fn best_model_exits_1_if_none_qualifies_and_says_what_the_best_one_scores() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = run(
        dir.path(),
        &["best-model", "reasoning", "--min-quality", "101", "--json"],
    );
    assert_eq!(code, 1);
    assert!(
        err.contains("no model qualifies") && err.contains("scores 63.1"),
        "{err}"
    );
    assert_eq!(json(&out)["candidates"].as_array().unwrap().len(), 0);
}

#[test]
fn wrong_usage_exits_2_with_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["best-model", "poetry"][..], "reasoning"),
        (
            &["best-model", "coding", "--needs", "wings"],
            "'wings' is not a capability",
        ),
        (&["best-model", "coding", "--strategy", "dearest"], "cheapest"),
        (&["best-model"], "TASK"),
        (&["best-model", "coding", "--min-quality", "NaN"], "not a number"),
        (&["best-model", "coding", "--max-price", "-1"], "not an amount"),
        (
            &["chat", "Hello", "--model", "a b"],
            "'a b' is not a model's name",
        ),
        (&["models", "--sort", "luck"], "latency"),
        (&["models", "--task", "poetry"], "poetry"),
        (&["price", "--usage", "-"], "--model"),
        (&["price", "--usage", "-", "--model", "no/such"], "usage"),
        (&["keys", "list"], "reserved name"),
        (&["experiment", "show", "none"], "there is no experiment 'none'"),
        (&["fly"], "there is no command 'fly'"),
        (&["health", "nobody"], "there is no integration 'nobody'"),
        (
            &["chat", "Hello", "--model", "no/such"],
            "there is no model 'no/such'",
        ),
        (&["chat", "Hello", "--task", "poetry"], "poetry"),
        (&[], "Usage"),
    ] {
        let (code, _, err) = run(dir.path(), args);
        let expected = if says == "usage" { 1 } else { 2 };
        assert_eq!(code, expected, "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn price_is_exact_and_knows_overrides() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("usage.json"),
        r#"{"prompt_tokens":20212,"completion_tokens":931,"prompt_tokens_details":{"cached_tokens":16298}}"#,
    )
    .unwrap();
    let rates = r#"{"prompt":"0.0000005","completion":"0.000003","input_cache_read":"0.00000005"}"#;
    std::fs::write(dir.path().join("rates.json"), rates).unwrap();
    let args = [
        "price",
        "--usage",
        "usage.json",
        "--rates",
        "rates.json",
        "--json",
    ];
    let (code, out, _) = run(dir.path(), &args);
    assert_eq!(code, 0);
    let price = json(&out);
    assert_eq!(price["cost_usd"], "0.0055649");
    assert_eq!(price["markup_usd"], "0.00055649");
    assert_eq!(price["charge_usd"], "0.00612139");
    assert_eq!(
        (&price["markup_bps"], &price["status"]),
        (&1000.into(), &"computed".into())
    );
    let sum: rust_decimal::Decimal = price["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| {
            bucket["amount_usd"]
                .as_str()
                .unwrap()
                .parse::<rust_decimal::Decimal>()
                .unwrap()
        })
        .sum();
    assert_eq!(
        sum.to_string(),
        "0.0055649".parse::<rust_decimal::Decimal>().unwrap().to_string()
    );
    let (_, out, _) = run(dir.path(), &args[..5]);
    assert!(out.contains("cost    $0.0055649") && out.contains("computed"));

    let tiers = r#"{"prompt":"0.000001","completion":"0","overrides":[{"min_prompt_tokens":200000,"prompt":"0.000002"}]}"#;
    std::fs::write(dir.path().join("tiers.json"), tiers).unwrap();
    for (tokens, cost) in [(200_000, "0.2"), (200_001, "0.400002")] {
        let mut child = waypost(dir.path())
            .args([
                "price",
                "--usage",
                "-",
                "--rates",
                "tiers.json",
                "--at",
                "2026-08-22T12:00:00Z",
                "--json",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let usage = format!(r#"{{"prompt_tokens":{tokens},"completion_tokens":0}}"#);
        child.stdin.take().unwrap().write_all(usage.as_bytes()).unwrap();
        let (code, out, _) = ended(child.wait_with_output().unwrap());
        assert_eq!((code, json(&out)["cost_usd"].as_str()), (0, Some(cost)));
    }
    let (code, out, _) = run(
        dir.path(),
        &[
            "price",
            "--usage",
            "usage.json",
            "--model",
            "openai/gpt-4o",
            "--json",
        ],
    );
    assert_eq!(code, 0);
    assert!(
        json(&out)["price_snapshot"]
            .as_str()
            .unwrap()
            .starts_with("openrouter-")
    );
}

#[test]
fn an_unknown_price_is_no_price() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("usage.json"),
        r#"{"prompt_tokens":10,"completion_tokens":1}"#,
    )
    .unwrap();
    let (code, out, err) = run(
        dir.path(),
        &[
            "price",
            "--usage",
            "usage.json",
            "--model",
            "openrouter/auto",
            "--json",
        ],
    );
    assert_eq!(code, 1, "{err}");
    assert_eq!(
        (&json(&out)["cost_usd"], &json(&out)["status"]),
        (&Value::Null, &"unpriced".into())
    );
    for (args, says) in [
        (
            ["price", "--usage", "none.json", "--model", "openai/gpt-4o"],
            "none.json cannot be read",
        ),
        (
            ["price", "--usage", "rates.json", "--model", "openai/gpt-4o"],
            "cannot be",
        ),
        (
            ["price", "--usage", "usage.json", "--rates", "none.json"],
            "none.json cannot be read",
        ),
        (
            ["price", "--usage", "usage.json", "--rates", "rates.json"],
            "not valid",
        ),
    ] {
        std::fs::write(dir.path().join("rates.json"), "[1]").unwrap();
        let (code, _, err) = run(dir.path(), &args);
        assert!(code == 1 && err.contains(says), "{args:?}: {code} {err}");
    }
    let (code, _, err) = run(
        dir.path(),
        &[
            "price",
            "--usage",
            "usage.json",
            "--model",
            "openai/gpt-4o",
            "--at",
            "yesterday",
        ],
    );
    assert!(code == 2 && err.contains("yesterday"), "{err}");
}

#[test]
fn models_lists_the_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = run(dir.path(), &["models", "--sort", "price", "--json"]);
    assert_eq!((code, json(&out)["models"].as_array().unwrap().len()), (0, 421));
    let (_, out, _) = run(dir.path(), &["models", "--sort", "quality", "--task", "coding"]);
    assert!(out.contains("421 models") && out.contains("coding"));
}

#[test]
fn a_model_that_was_asked_with_a_suffix_is_timed_under_that_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("waypost.toml"), "[simulator]\ninstant = true\n").unwrap();
    for name in [
        "openai/gpt-4o-mini:nitro",
        "openai/gpt-4o-mini",
        "openai/gpt-4o-mini:nitro",
        "openai/gpt-4o:floor",
    ] {
        assert_eq!(run(dir.path(), &["chat", "Hello", "--model", name]).0, 0);
    }
    let (_, out, _) = run(dir.path(), &["models", "--sort", "latency", "--json"]);
    let listed = json(&out)["models"].as_array().unwrap().clone();
    // What was timed under any name comes before what never was.
    let mut first: Vec<_> = listed[..2].to_vec();
    first.sort_by_key(|model| model["id"].as_str().unwrap().len());
    let [large, mini] = &first[..] else {
        panic!("{first:?}")
    };
    assert_eq!(
        (&large["id"], &large["latency"]),
        (&serde_json::json!("openai/gpt-4o"), &Value::Null)
    );
    let answers = |model: &Value| -> Vec<(String, u64)> {
        let all = model["latency_with_suffix"].as_array().unwrap().iter();
        all.map(|one| {
            (
                one["model"].as_str().unwrap().to_owned(),
                one["answers"].as_u64().unwrap(),
            )
        })
        .collect()
    };
    assert_eq!(answers(large), [("openai/gpt-4o:floor".to_owned(), 1)]);
    assert_eq!(mini["latency"]["answers"], 1);
    assert_eq!(answers(mini), [("openai/gpt-4o-mini:nitro".to_owned(), 2)]);
    let (_, out, _) = run(dir.path(), &["models", "--sort", "latency"]);
    assert!(
        out.contains("openai/gpt-4o-mini:nitro") && out.contains("openai/gpt-4o:floor"),
        "{out}"
    );
}

#[test]
fn models_are_sorted_by_how_fast_their_answers_were() {
    let dir = tempfile::tempdir().unwrap();
    let models = ["openai/gpt-4o-mini", "google/gemini-3.7-flash", "openai/gpt-4o"];
    let latencies = |args: &[&str]| -> Vec<Value> {
        let (code, out, err) = run(dir.path(), args);
        assert_eq!(code, 0, "{err}");
        let models = json(&out)["models"].as_array().unwrap().clone();
        assert_eq!(models.len(), 421);
        models
    };
    let list = ["models", "--sort", "latency", "--json"];
    let unknown = latencies(&list);
    assert!(unknown.iter().all(|model| model["latency"].is_null()));
    assert!(
        !dir.path().join("waypost-data").exists(),
        "a list begins no ledger"
    );

    std::fs::write(dir.path().join("waypost.toml"), "[simulator]\ninstant = true\n").unwrap();
    for model in [models[0], models[1], models[0], models[2], models[0]] {
        assert_eq!(run(dir.path(), &["chat", "Hello", "--model", model]).0, 0);
    }
    let db = rusqlite::Connection::open(dir.path().join("waypost-data/waypost.db")).unwrap();
    let mut expected: Vec<_> = models
        .iter()
        .map(|model| {
            let times = |column: &str| -> Vec<i64> {
                let sql = format!("SELECT {column} FROM attempts WHERE model = ?1 ORDER BY {column}");
                let mut query = db.prepare(&sql).unwrap();
                let rows = query.query_map([model], |row| row.get(0)).unwrap();
                rows.map(Result::unwrap).collect()
            };
            let (first, total) = (times("first_content_us"), times("duration_us"));
            (
                first[first.len() / 2],
                *model,
                total[total.len() / 2],
                total.len(),
            )
        })
        .collect();
    expected.sort();
    let sorted = latencies(&list);
    for ((first, model, total, answers), listed) in expected.iter().zip(&sorted) {
        assert_eq!(listed["id"], *model);
        let latency = &listed["latency"];
        let micros = |name: &str| (latency[name].as_f64().unwrap() * 1_000.0).round() as i64;
        assert_eq!((micros("first_content_ms"), micros("total_ms")), (*first, *total));
        assert_eq!(
            (latency["answers"].as_u64(), latency["first_content_of"].as_u64()),
            (Some(*answers as u64), Some(*answers as u64))
        );
    }
    let rest = &sorted[models.len()..];
    assert!(rest.iter().all(|model| model["latency"].is_null()));
    assert!(rest.is_sorted_by_key(|model| model["id"].as_str().unwrap()));
    // Simulated answers say nothing of real ones.
    let real = waypost(dir.path())
        .args(list)
        .env("OPENROUTER_API_KEY", "sk-or-v1-test")
        .output()
        .unwrap();
    let real = json(&ended(real).1);
    assert!(
        real["models"]
            .as_array()
            .unwrap()
            .iter()
            .all(|model| model["latency"].is_null())
    );
    let (_, out, _) = run(dir.path(), &["models", "--sort", "latency"]);
    let lines: Vec<_> = out.lines().collect();
    assert!(
        lines[1].contains(expected[0].1) && lines[4].contains('–'),
        "{out}"
    );
}

#[test]
fn chat_answers_and_prices_without_a_key() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("waypost.toml"), "[simulator]\ninstant = true\n").unwrap();
    let (code, out, err) = run(
        dir.path(),
        &["chat", "Why is the sky blue?", "--min-quality", "50", "--explain"],
    );
    assert_eq!(code, 0, "{err}");
    assert!(!out.trim().is_empty());
    assert!(
        err.contains("SIMULATED") && err.contains("cost $0.") && err.contains("candidate "),
        "{err}"
    );
    let (code, out, _) = run(
        dir.path(),
        &["chat", "Hello", "--model", "openai/gpt-4o-mini", "--json"],
    );
    let answer = json(&out);
    assert_eq!(
        (code, answer["waypost"]["model"].as_str()),
        (0, Some("openai/gpt-4o-mini"))
    );
    let (code, _, err) = run(dir.path(), &["chat", "Hello", "--min-quality", "101"]);
    assert!(code == 1 && err.contains("no model qualifies"), "{code} {err}");
    let (code, out, _) = run(dir.path(), &["health", "--json"]);
    assert_eq!((code, json(&out)["status"].as_str()), (0, Some("healthy")));
    let (code, out, _) = run(dir.path(), &["health", "openrouter"]);
    assert!(code == 0 && out.contains("healthy (simulated"), "{out}");
}

#[test]
fn mistakes_in_the_setup_are_one_sentence_and_leave_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    at("unknown.toml", "colour = 1\n");
    at("alias.toml", "[aliases]\nfast = \"no/such\"\n");
    at(
        "fallback.toml",
        "[fallbacks]\n\"openai/gpt-4o\" = [\"no/such\"]\n",
    );
    at("zero.toml", "[limits]\nmax_attempts = 0\n");
    at("task.toml", "[routing]\ntask = \"poetry\"\n");
    at("scenario.toml", "[simulator]\nscenario = \"none.toml\"\n");
    at("file", "not a folder");
    std::fs::create_dir(dir.path().join("broken")).unwrap();
    at(
        "broken/waypost.db",
        "this is not a database, and long enough to be taken for one by its size alone",
    );
    for (args, says) in [
        (
            &["serve", "--config", "none.toml"][..],
            "none.toml cannot be read",
        ),
        (&["serve", "--config", "unknown.toml"], "colour"),
        (
            &["serve", "--config", "alias.toml"],
            "'no/such', which is not in the catalogue",
        ),
        (
            &["serve", "--config", "fallback.toml"],
            "'no/such', which is not in the catalogue",
        ),
        (&["serve", "--config", "zero.toml"], "max_attempts"),
        (&["serve", "--config", "task.toml"], "routing.task"),
        (
            &["serve", "--config", "scenario.toml"],
            "none.toml cannot be read",
        ),
        (&["serve", "--listen", "nowhere"], "'nowhere' is not an address"),
        (&["serve", "--listen", "0.0.0.0:0"], "WAYPOST_ADMIN_KEY"),
        (&["serve", "--data-dir", "file/data"], "file/data"),
        (&["serve", "--data-dir", "broken"], "waypost.db"),
    ] {
        let (code, _, err) = run(dir.path(), args);
        assert_eq!(code, 1, "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
        assert_eq!(
            err.lines().filter(|line| line.starts_with("waypost: ")).count(),
            1,
            "{err}"
        );
    }
    let kept = std::fs::read_to_string(dir.path().join("broken/waypost.db")).unwrap();
    assert!(
        kept.starts_with("this is not a database"),
        "a damaged file is never replaced"
    );
    std::fs::write(dir.path().join(".env"), "OPENROUTER_API_KEY='unclosed").unwrap();
    let (code, _, err) = run(dir.path(), &["models"]);
    assert!(
        code == 1 && err.contains(".env") && !err.contains("unclosed"),
        "{err}"
    );
}

#[test]
fn serve_runs_until_told_to_stop_and_guards_its_port_and_its_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = serve(dir.path(), &["--listen", "127.0.0.1:0"]);
    let health = get(&serving.address, "/health/integrations/openrouter");
    assert!(
        health.starts_with("HTTP/1.1 200") && health.contains(r#""mode":"simulated""#),
        "{health}"
    );

    let (code, _, err) = run(
        dir.path(),
        &["serve", "--listen", &serving.address, "--data-dir", "other"],
    );
    assert!(code == 1 && err.contains("is in use by another program"), "{err}");
    let (code, _, err) = run(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 1 && err.contains("waypost-data"), "{err}");
    let (code, _, err) = run(dir.path(), &["chat", "Hello"]);
    assert!(
        code == 0 && err.contains("recorded in"),
        "a chat beside a gateway works: {err}"
    );
    assert!(dir.path().join("waypost-data/cli/waypost.db").exists());

    let told = Command::new("kill")
        .args(["-TERM", &serving.child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}
