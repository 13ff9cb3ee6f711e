//! `waypost train`, `certify` and `evaluate` with vectors of the simulated upstream, on prompts whose words tell nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use serde_json::{Value, json};

#[path = "support/command.rs"]
mod command;

use command::{json_of, run};

const CHEAP: &str = "small/cheap";
const DEAR: &str = "large/dear";
const EMBEDDING: &str = "openai/text-embedding-3-small";

/// One long word, which no other prompt has; the simulated embedding model takes it apart where it is underlined. On `river` prompts
/// the cheap model is right nine times of ten, on `prove` ones once; the dear one always is nine times of ten.
fn line(number: u32, embedding: Option<Vec<f32>>) -> String {
    let hash = number.wrapping_mul(2_654_435_761) >> 8;
    let is_easy = hash.is_multiple_of(2);
    let words = if is_easy { "river_stone" } else { "prove_lemma" };
    let one_of_ten = (hash / 2) % 10 == 7;
    let other_of_ten = (hash / 64) % 10 == 3;
    let mut line = json!({
        "id": format!("q{number}"),
        "prompt": format!("{words}_{number:06}"),
        "outcomes": {
            CHEAP: { "score": u32::from(one_of_ten != is_easy), "cost_usd": "0.00001" },
            DEAR: { "score": u32::from(!other_of_ten), "cost_usd": "0.001" },
        },
    });
    if let Some(embedding) = embedding {
        line["embedding"] = json!(embedding);
    }
    line.to_string() + "\n"
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, numbers: std::ops::Range<u32>| {
        let lines: String = numbers.map(|number| line(number, None)).collect();
        std::fs::write(dir.path().join(name), lines).unwrap();
    };
    write("train.jsonl", 0..400);
    write("fresh.jsonl", 10_000..11_000);
    let config = "[simulator]\ninstant = true\n";
    std::fs::write(dir.path().join("waypost.toml"), config).unwrap();
    dir
}

#[test]
fn vectors_tell_what_words_do_not_and_are_in_the_ledger() {
    let dir = folder();
    let path = dir.path();
    let train = [
        "train",
        "--data",
        "train.jsonl",
        "--out",
        "r.waypost",
        "--embeddings",
        EMBEDDING,
    ];
    let found = json_of(path, &train, 0);
    let nearest = &found["nearest"];
    assert_eq!(
        (&nearest["embedding"], &nearest["vectors"]),
        (&json!(EMBEDDING), &json!(400))
    );
    let of = |name: &str| nearest["text"][name].as_f64().unwrap();
    assert!(
        of("share") > 0.0 && of("squared_error") < 0.7 * of("squared_error_of_words"),
        "{nearest}"
    );
    let embedded = &found["embedded"];
    // Of 64 texts each.
    assert_eq!(
        (&embedded["prompts"], &embedded["calls"], &embedded["simulated"]),
        (&json!(400), &json!(7), &json!(true))
    );
    let cost = embedded["cost_usd"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(cost > 0.0, "{embedded}");
    let report = json_of(path, &["report", "--by", "model"], 0);
    assert!(report.to_string().contains(EMBEDDING), "{report}");

    // The predictor knows the model, so nobody has to say it again.
    let certify = [
        "certify",
        "--data",
        "fresh.jsonl",
        "--predictor",
        "r.waypost",
        "--vs",
        DEAR,
        "--max-loss",
        "0.06",
    ];
    let found = json_of(path, &certify, 0);
    let saving = found["result"]["verdict"]["certified"]["saving"]
        .as_f64()
        .unwrap();
    assert!(saving > 0.35, "{found}");
    assert_eq!(found["embedded"]["prompts"], json!(1_000));
    let plain = ["train", "--data", "train.jsonl", "--out", "words.waypost"];
    assert_eq!(json_of(path, &plain, 0).get("nearest"), None);
    let (_, out, _) = run(path, &[&certify[..4], &["words.waypost"], &certify[5..]].concat());
    assert!(!out.contains("by prompt"), "{out}");

    // Five predictors are trained on vectors that were asked for once.
    let error = |args: &[&str]| {
        let found = json_of(path, &[&["evaluate", "--data", "train.jsonl"], args].concat(), 0);
        let apgr = found["pair"]["metrics"]["apgr"]["value"].as_f64().unwrap();
        (apgr, found["embedded"]["calls"].as_u64())
    };
    let (with, calls) = error(&["--embeddings", EMBEDDING, "--pair", "small/cheap,large/dear"]);
    let (without, none) = error(&["--pair", "small/cheap,large/dear"]);
    assert!(with > without + 0.15, "{with} {without}");
    assert_eq!((calls, none), (Some(7), None));

    let (code, out, err) = run(path, &[&train[..4], &["other.waypost"], &train[5..]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    for part in [
        "with words, the ",
        "nearest prompts by openai/text-embedding-3-small are ",
        "vectors of 400 prompts by openai/text-embedding-3-small: $",
        "7 calls (SIMULATED, nothing was paid)",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

/// Vectors in the file need no call, and no ledger is begun; what cannot be a vector is refused in one line.
#[test]
fn vectors_of_the_file_are_taken_as_they_are() {
    let dir = folder();
    let path = dir.path();
    let with = |name: &str, of: &dyn Fn(u32) -> Vec<f32>| {
        let lines: String = (0..400).map(|number| line(number, Some(of(number)))).collect();
        std::fs::write(path.join(name), lines).unwrap();
    };
    with("own.jsonl", &|number| {
        let is_easy = (number.wrapping_mul(2_654_435_761) >> 8).is_multiple_of(2);
        vec![if is_easy { 1.0 } else { -1.0 }, 0.25, (number % 7) as f32 / 7.0]
    });
    let train = |data: &str, out: &str| {
        let args = ["train", "--data", data, "--out", out, "--embeddings", "my/own"];
        run(path, &[&args[..], &["--json"]].concat())
    };
    let (code, out, err) = train("own.jsonl", "own.waypost");
    assert_eq!((code, err.as_str()), (0, ""));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (found.get("embedded"), &found["nearest"]["dimensions"]),
        (None, &json!(3))
    );
    assert!(
        found["nearest"]["text"]["share"].as_f64().unwrap() > 0.0,
        "{found}"
    );
    assert!(!path.join("waypost-data").exists());
    // Replayed with the vectors of the rows, half of the prompts go to the cheap model.
    let replay = [
        "replay",
        "--data",
        "own.jsonl",
        "--baseline",
        DEAR,
        "--policy",
        "learned:own.waypost@0.7",
    ];
    let chosen = json_of(path, &replay, 0)["chosen"]["models"].clone();
    let share = |name: &str| {
        let models = chosen.as_array().unwrap().iter();
        models
            .filter(|model| model["model"] == name)
            .map(|model| model["share"].as_f64().unwrap())
            .sum::<f64>()
    };
    assert!((0.35..0.65).contains(&share(CHEAP)), "{chosen}");

    with("uneven.jsonl", &|number| vec![1.0; 1 + number as usize / 300]);
    with("nothing.jsonl", &|_| vec![0.0; 3]);
    for (data, part) in [
        (
            "uneven.jsonl",
            "line 301: q300: the vector has 2 numbers, and those of other prompts have 1",
        ),
        (
            "nothing.jsonl",
            "line 1: `embedding` must be a list of 1 to 8192 numbers that are not all 0",
        ),
    ] {
        let (code, out, err) = train(data, "new.waypost");
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(part) && err.lines().count() == 1, "{err}");
        assert!(!path.join("new.waypost").exists());
    }
    // A model that makes no vectors: nothing is trained without them.
    let args = [
        "train",
        "--data",
        "train.jsonl",
        "--out",
        "new.waypost",
        "--embeddings",
        "openai/nobody",
    ];
    let (code, out, err) = run(path, &args);
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
    assert!(err.contains("openai/nobody makes no vectors: "), "{err}");
    assert!(!path.join("new.waypost").exists());
}

/// One attempt that fails is made again, and what fails four times fails the command; both are in the ledger.
#[test]
fn a_call_that_fails_is_made_again() {
    let dir = folder();
    let path = dir.path();
    let config = "[simulator]\ninstant = true\nscenario = \"scenario.toml\"\n";
    std::fs::write(path.join("waypost.toml"), config).unwrap();
    let rule = "[[rule]]\nroute = \"embeddings\"\nfault = 503\n";
    std::fs::write(path.join("scenario.toml"), format!("{rule}to_request = 1\n")).unwrap();
    let train = [
        "train",
        "--data",
        "train.jsonl",
        "--out",
        "r.waypost",
        "--embeddings",
        EMBEDDING,
    ];
    let found = json_of(path, &train, 0);
    assert_eq!(
        (&found["embedded"]["prompts"], &found["embedded"]["calls"]),
        (&json!(400), &json!(7))
    );
    let attempts = |path| {
        let report = json_of(path, &["report", "--by", "tag"], 0);
        report.to_string()
    };
    let first = attempts(path);
    assert!(first.contains("\"embeddings\""), "{first}");

    let none = rule.to_owned();
    std::fs::write(path.join("scenario.toml"), none).unwrap();
    let again = [
        "train",
        "--data",
        "train.jsonl",
        "--out",
        "new.waypost",
        "--embeddings",
        EMBEDDING,
    ];
    let (code, out, err) = run(path, &again);
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
    assert!(err.contains("makes no vectors: "), "{err}");
    assert!(!path.join("new.waypost").exists());
    assert_ne!(attempts(path), first);
    let (code, out, _) = run(path, &["verify"]);
    assert_eq!(code, 0, "{out}");
}
