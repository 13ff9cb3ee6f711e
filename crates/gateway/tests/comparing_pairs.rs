//! `waypost compare` over a file of prompts: each model against the baseline, prompt by prompt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;

use experiments::fixed::means::paired_t;
use experiments::fixed::paired::{Pairs, mcnemar_mid_p, tango_interval};
use experiments::multiple::holm;
use experiments::statistics::{Alternative, Interval, Level, Moments};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

#[path = "support/command.rs"]
mod command;
#[path = "support/comparing.rs"]
mod comparing;

use command::{ended, run};
use comparing::{JUDGE, ONE, OTHER, THIRD, at, ledger, pico, provider, says, says_at, simulated};

const TWO_SIDED: Alternative = Alternative::TwoSided;

fn level() -> Level {
    Level::default()
}

/// Prompts `Question 0` and on, by their numbers, each of which expects `yes`.
fn questions(dir: &Path, count: usize) {
    let lines: String = (0..count)
        .map(|n| {
            json!({ "id": n.to_string(), "prompt": format!("Question {n}"), "expect": { "equals": "yes" } })
                .to_string()
                + "\n"
        })
        .collect();
    std::fs::write(dir.join("p.jsonl"), lines).unwrap();
}

fn asked(text: &str) -> usize {
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

fn place(model: &str) -> usize {
    [ONE, OTHER, THIRD].iter().position(|own| *own == model).unwrap()
}

fn refuses() -> Script {
    Script::json(400, r#"{"error":{"code":400,"message":"not this one"}}"#)
}

/// The text and the JSON of the same comparison.
fn compared(upstream: &ScriptedUpstream, dir: &Path, args: &[&str]) -> (String, Value) {
    let args = [&["--prompts", "p.jsonl"], args].concat();
    let (code, text, err) = ended(at(upstream, dir, &args).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = ended(
        at(upstream, dir, &[&args[..], &["--json"]].concat())
            .output()
            .unwrap(),
    );
    assert_eq!(code, 0, "{err}");
    (text, serde_json::from_str(&out).unwrap())
}

fn near(json: &Value, expected: f64, off: f64) {
    let value = json
        .as_f64()
        .unwrap_or_else(|| json.as_str().unwrap().parse().unwrap());
    assert!((value - expected).abs() <= off, "{value} is not {expected}");
}

fn near_interval(json: &Value, expected: Interval, off: f64) {
    near(&json[0], expected.low, off);
    near(&json[1], expected.high, off);
}

/// What the three models do with each question: whether it is right, and its cost in millionths of a dollar.
fn does(model: usize, n: usize) -> (bool, usize) {
    match model {
        0 => (!n.is_multiple_of(3), 1000 + n * 37 % 101),
        1 => (!n.is_multiple_of(5), 1300 + n * n * 13 % 211),
        _ => (n.is_multiple_of(2), 900 + n * 53 % 97),
    }
}

fn fails(model: usize, n: usize) -> bool {
    matches!((model, n), (1, 5 | 11) | (0, 7))
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_those_of_the_library_over_the_prompts_both_answered() {
    let upstream = provider(|model, text| {
        let (of, n) = (place(model), asked(text));
        let (is_right, cost) = does(of, n);
        if fails(of, n) {
            return refuses();
        }
        says_at(model, if is_right { "yes" } else { "no" }, cost as f64 / 1e6)
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    questions(dir.path(), 24);
    let models = format!("{ONE},{OTHER},{THIRD}");
    let (text, json) = compared(&upstream, dir.path(), &["--models", &models]);
    let paired = &json["paired"];
    assert_eq!(
        (&paired["baseline"], &paired["least_pairs"]),
        (&json!(ONE), &json!(10))
    );

    // How long each answer took, as the ledger has it, by model and prompt.
    let mut times = BTreeMap::new();
    for prompt in json["prompts"].as_array().unwrap() {
        let n: usize = prompt["id"].as_str().unwrap().parse().unwrap();
        for answer in prompt["answers"].as_array().unwrap() {
            let of = place(answer["model"].as_str().unwrap());
            let micros: i64 = ledger(dir.path())
                .query_row(
                    "SELECT duration_us FROM attempts WHERE request_id = ?1",
                    [answer["request_id"].as_str().unwrap()],
                    |row| row.get(0),
                )
                .unwrap();
            times.insert((of, n), micros as f64 / 1000.0);
        }
    }
    let mut raw: [Vec<f64>; 3] = Default::default();
    for (own, of) in paired["models"].as_array().unwrap().iter().zip([1, 2]) {
        let both = || (0..24).filter(move |n| !fails(of, *n) && !fails(0, *n));
        let mut pairs = Pairs::default();
        let (mut costs, mut latencies) = (Moments::new(), Moments::new());
        for n in both() {
            let ((base_right, base_cost), (right, cost)) = (does(0, n), does(of, n));
            pairs.push(base_right, right);
            costs.push(cost as f64 - base_cost as f64).unwrap();
            latencies.push(times[&(of, n)] - times[&(0, n)]).unwrap();
        }
        assert_eq!(own["model"], [ONE, OTHER, THIRD][of]);
        let checks = &own["checks"];
        assert_eq!(
            [&own["both_answered"], &checks["pairs"], &own["cost"]["pairs"]].map(Value::as_u64),
            [Some(pairs.n()); 3]
        );
        let counts = json!([
            pairs.treatment_only,
            pairs.both + pairs.neither,
            pairs.control_only
        ]);
        assert_eq!(json!([checks["better"], checks["even"], checks["worse"]]), counts);
        near(&checks["difference"], pairs.difference().unwrap(), 1e-12);
        near_interval(
            &checks["interval"],
            tango_interval(&pairs, level()).unwrap(),
            1e-12,
        );
        raw[0].push(mcnemar_mid_p(&pairs, TWO_SIDED).unwrap());

        let dearer = paired_t(&costs, level(), TWO_SIDED).unwrap();
        near(&own["cost"]["difference_usd"], dearer.estimate / 1e6, 1e-12);
        let usd = Interval::new(dearer.interval.low / 1e6, dearer.interval.high / 1e6);
        near_interval(&own["cost"]["interval_usd"], usd, 1e-12);
        raw[1].push(dearer.p_value);

        let slower = paired_t(&latencies, level(), TWO_SIDED).unwrap();
        near(&own["latency"]["difference_ms"], slower.estimate, 1e-3);
        near_interval(&own["latency"]["interval_ms"], slower.interval, 5e-3);
        raw[2].push(slower.p_value);
        assert_eq!(own["judge"], Value::Null);
    }
    for (measure, raw) in ["checks", "cost", "latency"].into_iter().zip(raw) {
        let corrected = holm(&raw, level()).unwrap();
        for ((own, p), corrected) in paired["models"]
            .as_array()
            .unwrap()
            .iter()
            .zip(raw)
            .zip(corrected)
        {
            // The ledger rounds times to microseconds.
            let off = if measure == "latency" { 1e-3 } else { 1e-12 };
            near(&own[measure]["p"], p, off);
            near(&own[measure]["corrected_p"], corrected.adjusted, 2.0 * off);
            let is_distinct = own[measure]["corrected_p"].as_f64().unwrap() < 0.05;
            assert_eq!(own[measure]["is_distinct"], is_distinct);
            assert_eq!(own[measure]["no_interval"], Value::Null);
        }
    }

    // By scipy 1.17.1: ttest_rel and its interval, binom for the mid-p.
    let (first, second) = (&paired["models"][0], &paired["models"][1]);
    near(&first["cost"]["difference_usd"], 0.000_367_904_762, 1e-12);
    near_interval(
        &first["cost"]["interval_usd"],
        Interval::new(0.000_332_495_160, 0.000_403_314_364),
        1e-12,
    );
    near_interval(
        &second["cost"]["interval_usd"],
        Interval::new(-0.000_120_603_700, -0.000_087_831_083),
        1e-12,
    );
    near(&first["checks"]["p"], 0.179_687_5, 1e-12);
    near(&first["checks"]["corrected_p"], 0.359_375, 1e-12);
    near(&second["checks"]["corrected_p"], 0.387_695_312_5, 1e-12);

    // What only one answered is named.
    assert_eq!(
        [&first["only_baseline"], &first["only_model"]],
        [&json!(["5", "11"]), &json!(["7"])]
    );
    assert_eq!(
        [&second["only_baseline"], &second["only_model"]],
        [&json!([]), &json!(["7"])]
    );
    for line in [
        format!("Against {ONE}, over the prompts both answered"),
        format!("Only {ONE} answered, and not {OTHER}: 5, 11\n"),
        format!("Only {THIRD} answered, and not {ONE}: 7\n"),
        "+19.0 points".to_owned(),
        "-8.2 points to +43.9 points".to_owned(),
        "6/13/2".to_owned(),
        "+$0.000367904762".to_owned(),
        "-$0.0001206037 to -$0.000087831083".to_owned(),
        "< 0.001".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    let (ranking, differences) = (text.find("won/even/lost"), text.find("better/even/worse"));
    assert!(ranking.is_some() && ranking < differences, "{text}");
    assert!(!text.contains("there is no interval"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn equals_are_even_and_what_never_differs_has_no_spread() {
    let upstream = provider(|model, _| says(model, "yes")).await;
    let dir = tempfile::tempdir().unwrap();
    questions(dir.path(), 12);
    let models = format!("{ONE},{OTHER}");
    let (text, json) = compared(&upstream, dir.path(), &["--models", &models]);
    let own = &json["paired"]["models"][0];
    let even = Pairs {
        both: 12,
        ..Pairs::default()
    };
    let checks = &own["checks"];
    assert_eq!(
        json!([checks["better"], checks["even"], checks["worse"]]),
        json!([0, 12, 0])
    );
    near(&checks["difference"], 0.0, 0.0);
    near_interval(
        &checks["interval"],
        tango_interval(&even, level()).unwrap(),
        1e-12,
    );
    assert_eq!(
        (&checks["p"], &checks["is_distinct"]),
        (&json!(1.0), &json!(false))
    );
    assert_eq!(
        own["cost"],
        json!({ "pairs": 12, "difference_usd": "0", "interval_usd": null, "p": null, "corrected_p": null,
            "is_distinct": false, "no_interval": "alike" })
    );
    assert!(
        text.contains("+0.0 points") && text.contains("the same in every pair"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn few_pairs_have_a_difference_and_no_interval() {
    // The other refuses two: of 11 prompts 9 pairs are left, of 12 there are 10.
    let upstream = provider(|model, text| match (model, asked(text)) {
        (OTHER, 0 | 1) => refuses(),
        (OTHER, n) => says_at(
            model,
            if n.is_multiple_of(4) { "no" } else { "yes" },
            0.002 + n as f64 / 1e6,
        ),
        _ => says(model, "yes"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let models = format!("{ONE},{OTHER}");
    for (count, is_told) in [(2, false), (11, false), (12, true)] {
        questions(dir.path(), count);
        let (text, json) = compared(&upstream, dir.path(), &["--models", &models]);
        let own = &json["paired"]["models"][0];
        let n = count as u64 - 2;
        assert_eq!(own["both_answered"], n);
        let why = if is_told { Value::Null } else { json!("few_pairs") };
        for (measure, interval) in [
            ("checks", "interval"),
            ("cost", "interval_usd"),
            ("latency", "interval_ms"),
        ] {
            let own = &own[measure];
            assert_eq!((&own["pairs"], &own["no_interval"]), (&json!(n), &why), "{json}");
            for figure in [interval, "p", "corrected_p"] {
                assert_eq!(own[figure].is_null(), !is_told, "{measure} {figure}");
            }
        }
        // Without a pair there is no difference, which is not a difference of nothing.
        assert_eq!(own["checks"]["difference"].is_null(), count == 2);
        assert_eq!(own["cost"]["difference_usd"].is_null(), count == 2);
        assert_eq!(
            text.contains("Below 10 pairs there is no interval"),
            !is_told,
            "{text}"
        );
        assert_eq!(text.contains("– (below 10 pairs)"), !is_told, "{text}");
    }
}

#[test]
fn one_prompt_has_no_interval() {
    let dir = simulated();
    let models = format!("{ONE},{OTHER},{THIRD}");
    let args = ["compare", "Hello", "--models", &models];
    let (code, text, err) = run(dir.path(), &args);
    assert_eq!(code, 0, "{err}");
    assert!(
        text.contains("Nor are there intervals") && !text.contains("Against "),
        "{text}"
    );
    let (_, out, _) = run(dir.path(), &[&args[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    let models = json["paired"]["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    let answers = &json["prompts"][0]["answers"];
    for (own, at) in models.iter().zip([1, 2]) {
        assert_eq!(own["checks"], Value::Null, "nothing was checked");
        let difference = pico(&answers[at]["cost_usd"]) - pico(&answers[0]["cost_usd"]);
        assert_eq!(pico(&own["cost"]["difference_usd"]), difference);
        for measure in ["cost", "latency"] {
            assert_eq!(own[measure]["no_interval"], "one_prompt");
            assert!(own[measure]["p"].is_null());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judges_verdicts_are_pairs_and_any_model_may_be_the_baseline() {
    // It likes the first model's answers but for every fourth, where it cannot decide, and says nothing of one.
    let upstream = provider(|model, text| match model {
        JUDGE => {
            let data: Value = serde_json::from_str(text).unwrap();
            let n = asked(data["conversation"][0]["text"].as_str().unwrap());
            let is_first = data["answer_a"].as_str().unwrap().contains("good");
            match (n, is_first) {
                (5, _) => says(model, "I cannot say."),
                (n, _) if n.is_multiple_of(4) => says(model, r#"{"verdict":"tie"}"#),
                (_, true) => says(model, r#"{"verdict":"A"}"#),
                (_, false) => says(model, r#"{"verdict":"B"}"#),
            }
        }
        ONE => says(model, "good"),
        _ => says(model, "bad"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..16)
        .map(|n| format!("{{\"prompt\":\"Question {n}\"}}\n"))
        .collect();
    std::fs::write(dir.path().join("p.jsonl"), lines).unwrap();
    let models = format!("{ONE},{OTHER}");
    let liked = Pairs {
        treatment_only: 11,
        neither: 4,
        ..Pairs::default()
    };
    for (baseline, model, counts) in [
        (
            OTHER,
            ONE,
            Pairs {
                control_only: 0,
                ..liked
            },
        ),
        (
            ONE,
            OTHER,
            Pairs {
                treatment_only: 0,
                control_only: 11,
                ..liked
            },
        ),
    ] {
        let args = ["--models", &models, "--judge", JUDGE, "--baseline", baseline];
        let (text, json) = compared(&upstream, dir.path(), &args);
        let own = &json["paired"]["models"][0];
        assert_eq!(
            (&json["paired"]["baseline"], &own["model"]),
            (&json!(baseline), &json!(model))
        );
        assert_eq!(own["checks"], Value::Null);
        let judge = &own["judge"];
        assert_eq!(
            json!([
                judge["pairs"],
                judge["better"],
                judge["even"],
                judge["worse"],
                judge["is_distinct"]
            ]),
            json!([15, counts.treatment_only, 4, counts.control_only, true]),
        );
        near(&judge["difference"], counts.difference().unwrap(), 1e-12);
        near_interval(
            &judge["interval"],
            tango_interval(&counts, level()).unwrap(),
            1e-12,
        );
        near(&judge["p"], mcnemar_mid_p(&counts, TWO_SIDED).unwrap(), 1e-12);
        assert!(text.contains(&format!("Against {baseline}, ")), "{text}");
    }
}

#[test]
fn a_baseline_is_one_of_those_compared() {
    let dir = simulated();
    questions(dir.path(), 2);
    let models = format!("{ONE},{OTHER}");
    for (baseline, says) in [
        (THIRD, "is not among the models that are compared"),
        ("no/such", "there is no model"),
    ] {
        let args = [
            "compare",
            "--prompts",
            "p.jsonl",
            "--models",
            &models,
            "--baseline",
            baseline,
        ];
        let (code, out, err) = run(dir.path(), &args);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(says) && out.is_empty(), "{err}");
    }
    let count: i64 = ledger(dir.path())
        .query_row("SELECT count(*) FROM attempts", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 0, "nothing was sent");
}
