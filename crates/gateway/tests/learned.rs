//! `waypost train`, `certify` and `evaluate`, on outcomes whose truth is known: a cheap model that is right on one tag alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fmt::Write;

use rust_decimal::Decimal;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

#[path = "support/command.rs"]
mod command;
#[path = "support/prompts.rs"]
mod prompts;

use command::{json_of, run};
use prompts::line;

/// One in a million of a dollar, one in a thousand, and one between that is good at nothing.
const CHEAP: &str = "small/cheap";
const DEAR: &str = "large/dear";
const POOR: &str = "<b>";

/// On `easy` prompts the cheap model is nearly as good as the dear one: it is wrong twice in twenty, the dear one once. On `hard` ones the cheap
/// model is wrong nine times of ten.
fn truth(number: u32) -> Value {
    let is_easy = number.is_multiple_of(2);
    let half = number / 2;
    let score = |right: bool| u32::from(right);
    let cheap = if is_easy {
        !matches!(half % 20, 3 | 6)
    } else {
        half % 10 == 7
    };
    json!({
        CHEAP: { "score": score(cheap), "cost_usd": "0.000001", "completion_tokens": 10 },
        DEAR: { "score": score(half % 20 != 11), "cost_usd": 0.001, "completion_tokens": 40 },
        POOR: { "score": score(half.is_multiple_of(3)), "cost_usd": "0.0001" },
    })
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| line(number, truth)).collect()
}

/// `train.jsonl` and `fresh.jsonl`.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    prompts::write(dir.path(), truth);
    dir
}

fn trained() -> tempfile::TempDir {
    let dir = folder();
    let (code, _, err) = run(
        dir.path(),
        &["train", "--data", "train.jsonl", "--out", "r.waypost"],
    );
    assert_eq!((code, err.as_str()), (0, ""));
    dir
}

/// Answers of many models to a prompt, and of the one that was chosen, are learnt from together; what judges policies takes one kind.
#[test]
fn what_was_chosen_is_learnt_from_beside_the_rest() {
    let dir = folder();
    let chosen = json!({
        "prompt": "", "task": "easy", "outcomes": { CHEAP: { "score": 1, "cost_usd": "0.000001" } }, "chosen": CHEAP, "propensity": 0.5,
    });
    std::fs::write(
        dir.path().join("both.jsonl"),
        format!("{}{chosen}\n", lines(0..600)),
    )
    .unwrap();
    let models = format!("{CHEAP},{DEAR}");
    let train = [
        "train",
        "--data",
        "both.jsonl",
        "--out",
        "r.waypost",
        "--models",
        &models,
    ];
    let found = json_of(dir.path(), &train, 0);
    assert_eq!(
        (&found["prompts"], &found["outcomes"]),
        (&json!(601), &json!(1_201))
    );
    let (code, _, err) = run(
        dir.path(),
        &[
            "replay",
            "--data",
            "both.jsonl",
            "--policy",
            "learned:r.waypost@0.5",
        ],
    );
    assert!(code == 2 && err.contains("files of their own"), "{code}: {err}");
}

const CERTIFY: [&str; 5] = ["certify", "--data", "fresh.jsonl", "--predictor", "r.waypost"];

#[test]
fn training_tells_what_was_learnt_from_what() {
    let dir = folder();
    let extra = line(
        600,
        |_| json!({ CHEAP: { "score": 1, "cost_usd": 0 }, "rare/one": { "score": 1 } }),
    );
    std::fs::write(dir.path().join("more.jsonl"), lines(0..600) + &extra).unwrap();
    let found = json_of(
        dir.path(),
        &["train", "--data", "more.jsonl", "--out", "r.waypost"],
        0,
    );
    assert_eq!(
        (
            &found["prompts"],
            &found["left_out_prompts"],
            &found["outcomes"],
            &found["tags"]
        ),
        (&json!(600), &json!(1), &json!(1_800), &json!(2))
    );
    assert_eq!(
        found["left_out"],
        json!([{ "model": "rare/one", "outcomes": 1, "with_cost": 0 }])
    );
    // By name, with the costs of the file to the last digit and scores counted by hand: 300 easy prompts less 30, 30 of 300 hard ones.
    let models = found["models"].as_array().unwrap();
    let names: Vec<_> = models
        .iter()
        .map(|model| model["model"].as_str().unwrap())
        .collect();
    assert_eq!(names, [POOR, DEAR, CHEAP]);
    assert_eq!(models[2]["mean_cost_usd"], json!("0.000001"));
    assert_eq!(models[1]["mean_cost_usd"], json!("0.001"));
    let cheap = models[2]["mean_score"].as_f64().unwrap();
    assert!((cheap - 300.0 / 600.0).abs() < 1e-12, "{cheap}");
    let tagged = &found["tagged"];
    let (error, of_means) = (
        tagged["squared_error"].as_f64().unwrap(),
        tagged["squared_error_of_means"].as_f64().unwrap(),
    );
    assert!(error < 0.75 * of_means, "{error} {of_means}");
    let bytes = std::fs::metadata(dir.path().join("r.waypost")).unwrap().len();
    assert_eq!(found["bytes"], json!(bytes));

    let args = ["train", "--data", "more.jsonl", "--out", "text.waypost"];
    let (code, out, err) = run(dir.path(), &args);
    assert_eq!((code, err.as_str()), (0, ""));
    for part in [
        "trained on 600 prompts with 1,800 outcomes of 3 models and 2 tags",
        "left out, rare/one: an outcome on 1 of 601 prompts, its cost on 0",
        "prompts left out, without an outcome of each of the models: 1\n",
        "tag and words",
        "$0.000001",
        "text.waypost",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

/// Neither the order of rows nor the form of the file makes a difference, and nothing is overwritten.
#[test]
fn the_same_outcomes_give_the_same_file() {
    let dir = trained();
    let turned: String = lines(0..600).lines().rev().fold(String::new(), |mut all, line| {
        writeln!(all, "{line}").unwrap();
        all
    });
    let packed = compress_to_vec(turned.as_bytes(), CompressionLevel::Fastest);
    std::fs::write(dir.path().join("turned.jsonl.zst"), packed).unwrap();
    let again = ["train", "--data", "turned.jsonl.zst", "--out", "again.waypost"];
    assert_eq!(run(dir.path(), &again).0, 0);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(read("r.waypost"), read("again.waypost"));
    let other = [
        "train",
        "--data",
        "train.jsonl",
        "--out",
        "other.waypost",
        "--penalty",
        "30",
    ];
    assert_eq!(run(dir.path(), &other).0, 0);
    assert_ne!(read("r.waypost"), read("other.waypost"));
    let (code, out, err) = run(dir.path(), &again);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("exists already") && err.lines().count() == 1,
        "{err}"
    );
}

/// The dear model on hard prompts and the cheap one on easy ones costs about half, and loses nothing.
#[test]
fn what_is_so_is_certified() {
    let dir = trained();
    let args = [
        &CERTIFY[..],
        &["--vs", DEAR, "--max-loss", "0.05", "--out", "c.json"],
    ]
    .concat();
    let found = json_of(dir.path(), &args, 0);
    let certificate = &found["result"]["verdict"]["certified"];
    let saving = certificate["saving"].as_f64().unwrap();
    assert!((0.4..0.56).contains(&saving), "{saving}");
    assert!(certificate["p_value"].as_f64().unwrap() <= 0.1);
    assert_eq!(certificate["promise"]["loss"], json!(0.05));
    assert_eq!(found["reference"], json!(DEAR));
    // One part of ten is for the ladder, and none of it among the labels.
    let (ladder, labels) = (
        found["prompts"]["ladder"].as_u64().unwrap(),
        found["prompts"]["labels"].as_u64().unwrap(),
    );
    assert_eq!(ladder + labels, 2_000);
    assert!((150..250).contains(&ladder), "{ladder}");
    assert_eq!(certificate["labels"], json!(labels));
    // Without a look at the prompt, half the cost loses about a fifth of the score.
    let zero = found["result"]["zero_router_saving"].as_f64().unwrap();
    assert!(zero < 0.15 && zero > -0.1, "{zero}");
    let written: Value = serde_json::from_slice(&std::fs::read(dir.path().join("c.json")).unwrap()).unwrap();
    assert_eq!(written, found);
    assert_eq!(written["predictor"]["sha256"].as_str().unwrap().len(), 64);

    let (code, out, err) = run(
        dir.path(),
        &[&CERTIFY[..], &["--vs", DEAR, "--max-loss", "0.05"]].concat(),
    );
    assert_eq!((code, err.as_str()), (0, ""));
    let first = out.lines().next().unwrap();
    let start = format!(
        "certified: it saves {:.1} % against {DEAR} at a loss of at most 0.05 with 90 % confidence",
        100.0 * saving
    );
    assert!(
        first.starts_with(start.trim_end_matches('0')) || first.starts_with(&start),
        "{first}"
    );
    for part in ["policy: by prompt", "rung ", "p = ", "the zero router"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn each_tag_is_certified_by_itself() {
    let dir = trained();
    let more = ["--vs", DEAR, "--max-loss", "0.1", "--each-tag"];
    let found = json_of(dir.path(), &[&CERTIFY[..], &more].concat(), 0);
    let tags = found["tags"].as_array().unwrap();
    assert_eq!(
        [&tags[0]["tag"], &tags[1]["tag"]],
        [&json!("easy"), &json!("hard")]
    );
    let saving = |tag: &Value| tag["verdict"]["certified"]["saving"].as_f64().unwrap();
    assert!(saving(&tags[0]) > 0.9, "{}", tags[0]);
    assert!(saving(&tags[1]) < 0.2, "{}", tags[1]);
    let labels = |tag: &Value| tag["verdict"]["certified"]["labels"].as_u64().unwrap();
    assert_eq!(
        labels(&tags[0]) + labels(&tags[1]),
        found["prompts"]["labels"].as_u64().unwrap()
    );
    let more = ["--vs", DEAR, "--max-loss", "0.1", "--worst-tag"];
    let worst = json_of(dir.path(), &[&CERTIFY[..], &more].concat(), 0);
    assert_eq!(
        worst["result"]["verdict"]["certified"]["promise"]["worst_tag"],
        json!(true)
    );
}

/// Forty labels prove nothing of a loss of .001: exit code 1, a number of labels, and no file.
#[test]
fn what_is_not_proven_is_not_certified() {
    let dir = trained();
    std::fs::write(dir.path().join("fresh.jsonl"), lines(10_000..10_040)).unwrap();
    let more = ["--vs", DEAR, "--max-loss", "0.001", "--out", "c.json"];
    let args = [&CERTIFY[..], &more].concat();
    let found = json_of(dir.path(), &args, 1);
    assert!(
        found["result"]["verdict"]["not_enough"]["labels"]
            .as_u64()
            .unwrap()
            > 20
    );
    assert!(!dir.path().join("c.json").exists());
    let (code, out, err) = run(dir.path(), &args);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.starts_with("not enough evidence of a loss of at most 0.001"),
        "{out}"
    );
    assert!(
        out.contains("more labels") && out.contains("no file was written"),
        "{out}"
    );
}

#[test]
fn an_evaluation_measures_what_the_prompt_tells() {
    let dir = trained();
    let args = [
        "evaluate",
        "--data",
        "train.jsonl",
        "--html",
        "curves.html",
        "--pair",
        "small/cheap,large/dear",
    ];
    let found = json_of(dir.path(), &args, 0);
    assert_eq!(
        (
            &found["predictor"],
            &found["folds"],
            &found["prompts"],
            &found["best"]
        ),
        (&Value::Null, &json!(5), &json!(600), &json!(DEAR))
    );
    let value = |value: &Value| value["value"].as_f64().unwrap();
    let aiq = &found["aiq"];
    assert!(value(&aiq["router"]) > value(&aiq["zero_router"]) + 0.02, "{aiq}");
    assert!(aiq["oracle"].as_f64().unwrap() > value(&aiq["router"]), "{aiq}");
    assert!(value(&found["above_zero"]["least"]) > -1e-9);
    // At 95 % of the dear model's score half of the cost is saved, for the easy half is the cheap one's.
    let saving = &found["savings"][1];
    assert_eq!(saving["of_best_score"], json!(0.95));
    assert!((value(&saving["router"]) - 0.5).abs() < 0.08, "{saving}");
    // The zero router gives up .0475 of a score, of the .45 between its corners, which lie .999 of the dear cost apart.
    assert!(
        (value(&saving["zero_router"]) - 0.0475 / 0.45 * 0.999).abs() < 1e-9,
        "{saving}"
    );
    let pair = &found["pair"];
    assert_eq!(pair["routable"], json!(true));
    assert_eq!(
        [&pair["metrics"]["weak"], &pair["metrics"]["strong"]],
        [CHEAP, DEAR]
    );
    assert!(value(&pair["metrics"]["apgr"]) > 0.65, "{pair}");
    // A corner of the zero router is a single model, at its cost as it stands in the file.
    let corners = found["curves"]["zero_router"].as_array().unwrap();
    assert_eq!(corners[0]["mean_cost_usd"], json!("0.000001"));
    let last: Decimal = corners.last().unwrap()["mean_cost_usd"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(last, Decimal::new(1, 3));

    let page = std::fs::read_to_string(dir.path().join("curves.html")).unwrap();
    assert!(
        page.contains("<svg ") && page.matches("<polyline ").count() == 3,
        "{page}"
    );
    assert!(
        page.contains("&lt;b&gt;</text>") && !page.contains("<b>"),
        "{page}"
    );
    assert!(page.contains("Content-Security-Policy") && page.contains("default-src 'none'"));
    for never in ["<script", "http://", "https://", "NaN", "inf", " on"] {
        let shown = page.split("</style>").nth(1).unwrap();
        assert!(never == " on" || !shown.contains(never), "{never}");
    }

    // With a predictor, and in words.
    let args = ["evaluate", "--data", "fresh.jsonl", "--predictor", "r.waypost"];
    let (code, out, err) = run(dir.path(), &args);
    assert_eq!((code, err.as_str()), (0, ""));
    for part in [
        "2,000 prompts, predicted by r.waypost",
        "AIQ",
        "saving at 95 % of the best score",
        "above the zero router",
        "calibration error",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains("APGR"), "{out}");
}

/// A coin decides which of two models is right: nothing in the prompt tells, and it is said. With two models nobody has to ask.
#[test]
fn what_cannot_be_routed_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let coin = |number: u32| {
        let hash = number.wrapping_mul(2_654_435_761) >> 16;
        json!({
            "a": { "score": u32::from(hash.is_multiple_of(2)), "cost_usd": 0.001 },
            "b": { "score": u32::from(!(hash / 2).is_multiple_of(3)), "cost_usd": 0.002 },
        })
    };
    let text: String = (0..400).map(|number| line(number, coin)).collect();
    std::fs::write(dir.path().join("data.jsonl"), text).unwrap();
    let (code, out, err) = run(dir.path(), &["evaluate", "--data", "data.jsonl"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("a and b cannot be routed by the prompt: APGR "),
        "{out}"
    );
}

/// One line, exit code 2, and never a file.
#[test]
fn hostile_inputs_are_refused_in_one_line() {
    let dir = trained();
    let path = dir.path();
    let write = |name: &str, text: &[u8]| std::fs::write(path.join(name), text).unwrap();
    let refused = |args: &[&str], part: &str| {
        let (code, out, err) = run(path, args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(part) && err.lines().count() == 1, "{args:?}: {err}");
        assert!(!path.join("new.waypost").exists() && !path.join("new.json").exists());
    };
    let train = |data: &str, more: &[&str], part: &str| {
        refused(
            &[&["train", "--data", data, "--out", "new.waypost"], more].concat(),
            part,
        );
    };
    train("none.jsonl", &[], "none.jsonl cannot be read");
    write("empty.jsonl", b"\n\n");
    train("empty.jsonl", &[], "there is no row in it");
    write("bad.jsonl", (lines(0..3) + "{\"prompt\":1}\n").as_bytes());
    train("bad.jsonl", &[], "bad.jsonl: line 4: ");
    write(
        "high.jsonl",
        (lines(0..40) + &line(40, |_| json!({ "m": { "score": 7 } }))).as_bytes(),
    );
    train(
        "high.jsonl",
        &[],
        "line 41: q40: the score of 'm' must be from 0 to 1, not 7",
    );
    write("twice.jsonl", (lines(0..40) + &lines(5..6)).as_bytes());
    train("twice.jsonl", &[], "line 41: q5: there are two outcomes of");
    let named = r#"{"id":"\u001b[31m\n","prompt":"p","outcomes":{"m":{"score":2}}}"#;
    write("escape.jsonl", named.as_bytes());
    let (_, _, err) = run(path, &["train", "--data", "escape.jsonl", "--out", "new.waypost"]);
    assert!(err.lines().count() == 1 && !err.contains('\u{1b}'), "{err:?}");
    write("few.jsonl", lines(0..20).as_bytes());
    train(
        "few.jsonl",
        &[],
        "training on prompts takes 30 at the least; there are 20",
    );
    let unpriced: String = (0..60)
        .map(|number| {
            line(
                number,
                |_| json!({ "free": { "score": 1 }, "m": { "score": 0, "cost_usd": 1 } }),
            )
        })
        .collect();
    write("unpriced.jsonl", unpriced.as_bytes());
    train(
        "unpriced.jsonl",
        &["--models", "free,m"],
        "the cost of 'free' is not known",
    );
    train(
        "train.jsonl",
        &["--models", "small/cheap,nobody"],
        "nothing is known of the model 'nobody'",
    );
    train("train.jsonl", &["--models", "small/cheap,"], "empty name");
    train(
        "train.jsonl",
        &["--penalty", "0"],
        "the penalty must be above 0, not 0",
    );

    let predictor = std::fs::read(path.join("r.waypost")).unwrap();
    let certify = |predictor: &str, more: &[&str], part: &str| {
        let args = [
            "certify",
            "--data",
            "fresh.jsonl",
            "--out",
            "new.json",
            "--predictor",
            predictor,
        ];
        refused(&[&args, more].concat(), part);
    };
    certify("none.waypost", &[], "none.waypost cannot be read");
    certify("train.jsonl", &[], "this is no file of a predictor");
    write("cut.waypost", &predictor[..predictor.len() / 2]);
    certify("cut.waypost", &[], "damaged or cut short");
    let mut damaged = predictor.clone();
    damaged[200] ^= 1;
    write("damaged.waypost", &damaged);
    certify(
        "damaged.waypost",
        &[],
        "damaged.waypost: this is no file of a predictor: it is damaged",
    );
    certify(
        "r.waypost",
        &["--vs", "nobody"],
        "nothing is known of the model 'nobody'",
    );
    certify(
        "r.waypost",
        &["--max-loss", "0"],
        "the promised loss must be above 0 and below 1, not 0",
    );
    certify(
        "r.waypost",
        &["--confidence", "1"],
        "the confidence must be above 0.5 and below 1, not 1",
    );
    write("one.jsonl", lines(0..1).as_bytes());
    refused(
        &["certify", "--data", "one.jsonl", "--predictor", "r.waypost"],
        "too few",
    );
    refused(
        &["certify", "--data", "unpriced.jsonl", "--predictor", "r.waypost"],
        "nothing is known of the model",
    );

    let evaluate = |more: &[&str], part: &str| {
        refused(&[&["evaluate", "--data", "train.jsonl"], more].concat(), part);
    };
    evaluate(&["--pair", "small/cheap"], "--pair takes two");
    evaluate(
        &["--pair", "small/cheap,small/cheap"],
        "--pair takes two different",
    );
    evaluate(
        &["--pair", "small/cheap,nobody"],
        "'nobody' is not among the models",
    );
    refused(
        &["evaluate", "--data", "few.jsonl"],
        "training on prompts takes 30",
    );
}

/// Free models beside one at a price: all but the measure by doublings has a value, and that one is unknown rather than 0.
#[test]
fn a_pool_with_a_free_model_is_evaluated_and_certified() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let with_free = |cheap: &str, dear: &str, numbers: std::ops::Range<u32>| -> String {
        let of = |number| {
            let mut outcomes = truth(number);
            outcomes[CHEAP]["cost_usd"] = json!(cheap);
            outcomes[DEAR]["cost_usd"] = json!(dear);
            outcomes.as_object_mut().unwrap().remove(POOR);
            outcomes
        };
        numbers.map(|number| line(number, of)).collect()
    };
    std::fs::write(path.join("train.jsonl"), with_free("0", "0.001", 0..600)).unwrap();
    std::fs::write(path.join("fresh.jsonl"), with_free("0", "0.001", 10_000..12_000)).unwrap();
    let evaluate = ["evaluate", "--data", "train.jsonl", "--html", "curves.html"];
    let found = json_of(path, &evaluate, 0);
    assert_eq!(
        found["log_aiq"],
        json!({ "router": null, "zero_router": null, "oracle": null })
    );
    let value = |value: &Value| value["value"].as_f64().unwrap();
    // The cheap model is right at half of the prompts, the dear one at .95: halfway the zero router has their mean.
    let aiq = &found["aiq"];
    assert!((value(&aiq["zero_router"]) - 0.725).abs() < 1e-9, "{aiq}");
    assert!(value(&aiq["router"]) > value(&aiq["zero_router"]) + 0.02, "{aiq}");
    let saving = &found["savings"][1];
    assert!(
        (value(&saving["zero_router"]) - 0.0475 / 0.45).abs() < 1e-9,
        "{saving}"
    );
    assert!((value(&saving["router"]) - 0.5).abs() < 0.08, "{saving}");
    assert_eq!(
        found["curves"]["zero_router"][0]["mean_cost_usd"],
        json!("0"),
        "{found}"
    );
    assert!(value(&found["pair"]["metrics"]["apgr"]) > 0.65);
    let page = std::fs::read_to_string(path.join("curves.html")).unwrap();
    assert!(page.contains("in even steps, because something here costs nothing"));
    assert!(
        page.contains("cx=\"70.0\"") && page.contains(">$0</text>"),
        "{page}"
    );
    let shown = page.split("</style>").nth(1).unwrap();
    assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
    let (code, out, _) = run(path, &["evaluate", "--data", "train.jsonl"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("costs nothing here: small/cheap; there are no doublings of nothing"),
        "{out}"
    );

    // The free model is what is saved with.
    let (code, ..) = run(path, &["train", "--data", "train.jsonl", "--out", "r.waypost"]);
    assert_eq!(code, 0);
    let certify = [&CERTIFY[..], &["--vs", DEAR, "--max-loss", "0.05"]].concat();
    let certified = json_of(path, &certify, 0);
    let saving = &certified["result"]["verdict"]["certified"]["saving"];
    assert!((0.4..0.56).contains(&saving.as_f64().unwrap()), "{certified}");

    // Against a model that costs nothing there is nothing to save, and nothing to certify.
    std::fs::write(path.join("train.jsonl"), with_free("0.001", "0", 0..600)).unwrap();
    let found = json_of(path, &["evaluate", "--data", "train.jsonl"], 0);
    for saving in found["savings"].as_array().unwrap() {
        assert_eq!(saving["router"], Value::Null, "{saving}");
        assert_eq!(saving["oracle"], Value::Null, "{saving}");
    }
    // And if all are free.
    std::fs::write(path.join("train.jsonl"), with_free("0", "0", 0..600)).unwrap();
    std::fs::remove_file(path.join("curves.html")).unwrap();
    std::fs::remove_file(path.join("r.waypost")).unwrap();
    let found = json_of(path, &evaluate, 0);
    assert!((value(&found["aiq"]["router"]) - 0.95).abs() < 1e-9, "{found}");
    let page = std::fs::read_to_string(path.join("curves.html")).unwrap();
    let shown = page.split("</style>").nth(1).unwrap();
    assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
    let (code, ..) = run(path, &["train", "--data", "train.jsonl", "--out", "r.waypost"]);
    assert_eq!(code, 0);
    let (code, out, err) = run(path, &CERTIFY);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("the expected cost of the model that is compared with must be above 0, not 0"),
        "{err}"
    );
}

#[test]
fn a_predictor_is_replayed_on_prompts_it_has_not_seen() {
    let dir = trained();
    let replay = |policy: &str, expected: i32| {
        let args = [
            "replay",
            "--data",
            "fresh.jsonl",
            "--baseline",
            DEAR,
            "--policy",
            policy,
        ];
        json_of(dir.path(), &args, expected)
    };
    let found = replay("learned:r.waypost@0.8", 0);
    // The cheap model answers the easy half and the dear one the hard half: .9 and .95 are right.
    let chosen = found["chosen"]["models"].as_array().unwrap();
    let share = |name: &str| {
        let of = chosen.iter().find(|model| model["model"] == name);
        of.map_or(0.0, |model| model["share"].as_f64().unwrap())
    };
    assert!((share(CHEAP) - 0.5).abs() < 0.02, "{chosen:?}");
    assert!((share(DEAR) - 0.5).abs() < 0.02, "{chosen:?}");
    let policy = found["score"]["policy"]["mean"].as_f64().unwrap();
    assert!((policy - 0.925).abs() < 0.01, "{policy}");
    // Asked for nothing, it takes the cheapest for all.
    let all = replay("learned:r.waypost@0", 0);
    assert_eq!(all["chosen"]["models"].as_array().unwrap().len(), 1);
    assert_eq!(all["chosen"]["models"][0]["model"], CHEAP);
    // Without a score it is .8.
    assert_eq!(replay("learned:r.waypost", 0)["score"], found["score"]);
    for (policy, more) in [
        ("learned:none.waypost", None),
        ("learned:fresh.jsonl", None),
        ("learned:r.waypost@2", None),
        ("learned:r.waypost", Some(["--min-quality", "50"])),
    ] {
        let mut args = vec!["replay", "--data", "fresh.jsonl", "--policy", policy];
        args.extend(more.iter().flatten());
        let (code, out, err) = run(dir.path(), &args);
        assert_eq!(
            (code, out.as_str(), err.trim().lines().count()),
            (2, "", 1),
            "{policy}: {err}"
        );
    }
}
