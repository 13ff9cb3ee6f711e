//! How well tasks are guessed: cross-validated over the project's own prompts, and tried on benchmark questions never trained on.
//!
//! `docs/task-classifier.md` and the weights are written anew by `cargo run -p routing --example renew_task_classifier`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod evaluation;

use std::fs;

use evaluation::*;
use proptest::prelude::*;
use routing::{Classifier, Task, TaskHints, classify};

#[test]
fn the_weights_are_those_of_the_prompts() {
    assert!(
        weights(&corpus()) == Classifier::bundled(),
        "run the command at the top"
    );
}

#[test]
fn unseen_prompts_are_told_apart_and_the_page_says_how_well() {
    let corpus = corpus();
    for task in Task::ALL {
        let of_task = corpus.iter().filter(|prompt| prompt.task == task).count();
        assert!(of_task >= 70, "{task}: {of_task}");
    }
    let judged = cross_validated(&corpus);
    assert!(macro_f1(&judged, &Task::ALL, true) >= 0.80);
    assert!(macro_f1(&judged, &Task::ALL[..7], true) >= 0.80);
    let (coverage, precision) = coverage_and_precision(&judged);
    assert!(coverage >= 0.75 && precision >= 0.88, "{coverage} {precision}");
    assert!(calibration(&judged).1 <= 0.1);
    let written = fs::read_to_string(path("../../docs/task-classifier.md")).unwrap();
    assert!(
        written.starts_with(&page(&corpus, &judged)),
        "run the command at the top"
    );
    if let Some(of_sets) = benchmark("unseen_prompts_are_told_apart_and_the_page_says_how_well") {
        assert!(
            written.ends_with(&benchmark_page(&of_sets, &judged)),
            "run the command at the top"
        );
        let all: Judged = of_sets
            .into_iter()
            .flat_map(|(_, of_set)| of_set)
            .chain(judged)
            .collect();
        assert!(macro_f1(&all, &Task::ALL, true) >= 0.80);
    }
}

#[test]
fn nothing_to_judge_by_is_no_guess() {
    for text in ["", " \n\t", "\0\0\0"] {
        let given = classify(&TaskHints {
            text,
            ..TaskHints::default()
        });
        assert_eq!((given.task, given.likeliest), (None, None), "{text:?}");
    }
}

#[test]
fn pictures_decide_whatever_is_said_of_them() {
    let hints = TaskHints {
        text: "Translate the sign",
        has_images: true,
        ..TaskHints::default()
    };
    let given = classify(&hints);
    assert_eq!(given.task, Some(Task::Vision));
    assert_eq!(given.runner_up, Some(Task::Translate));
}

#[test]
fn the_middle_of_ten_megabytes_is_not_read() {
    let around = |middle: &str| {
        format!(
            "Summarise this: {}{middle}{}",
            "\u{1f32c} ".repeat(1_000_000),
            "wind ".repeat(1_000_000)
        )
    };
    let (one, changed) = (around("zzz"), around("```"));
    let of = |text: &str| {
        classify(&TaskHints {
            text,
            ..TaskHints::default()
        })
    };
    assert_eq!(of(&one), of(&changed));
}

proptest! {
    #[test]
    fn any_text_gets_a_share_of_one(text in ".{0,6000}", system in ".{0,2000}", tools: bool, images: bool, schema: bool) {
        let hints = TaskHints {
            text: &text, system: &system, has_tools: tools, has_images: images, wants_json_schema: schema,
        };
        let given = classify(&hints);
        prop_assert!((0.0..=1.0).contains(&given.confidence));
        prop_assert!(given.task.is_none() || given.task == given.likeliest);
        prop_assert!(given.runner_up.is_none() || given.runner_up != given.likeliest);
        prop_assert_eq!(given, classify(&hints));
    }
}
