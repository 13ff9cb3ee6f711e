//! The prompts, how they are judged, and the page that says so: for the test that holds the page to it and for the example that
//! writes it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each of its two users takes a part, and one that cannot go on must fail"
)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use integration_core::testing::shared_data;
use routing::{CONFIDENCE_THRESHOLD, Classified, Classifier, Example, Task, TaskHints, classify};

pub const FOLDS: usize = 5;
pub const MARK: &str = "## Benchmark questions";

pub struct Prompt {
    pub task: Task,
    pub family: String,
    pub text: String,
    pub system: String,
    pub tools: bool,
    pub images: bool,
    pub schema: bool,
}

impl Prompt {
    pub fn hints(&self) -> TaskHints<'_> {
        TaskHints {
            text: &self.text,
            system: &self.system,
            has_tools: self.tools,
            has_images: self.images,
            wants_json_schema: self.schema,
        }
    }

    pub fn example(&self) -> Example<'_> {
        Example {
            hints: self.hints(),
            task: self.task,
            family: &self.family,
        }
    }
}

pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

pub fn corpus() -> Vec<Prompt> {
    let lines = fs::read_to_string(path("data/task_prompts.jsonl")).unwrap();
    lines
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let flag = |key: &str| row[key].as_bool().unwrap_or(false);
            Prompt {
                task: text("task").parse().unwrap(),
                family: text("family"),
                text: text("prompt"),
                system: text("system"),
                tools: flag("tools"),
                images: flag("images"),
                schema: flag("schema"),
            }
        })
        .collect()
}

/// What was answered, beside the truth.
pub type Judged = Vec<(Task, Classified)>;

/// Every prompt answered by weights that have not seen its family. The fold comes from the family's number, so each task is spread
/// evenly.
pub fn cross_validated(corpus: &[Prompt]) -> Judged {
    let fold = |prompt: &Prompt| {
        let number = prompt.family.rsplit('-').next().unwrap();
        number.parse::<usize>().unwrap() % FOLDS
    };
    let mut judged = Vec::new();
    for held in 0..FOLDS {
        let taught: Vec<Example<'_>> = corpus
            .iter()
            .filter(|prompt| fold(prompt) != held)
            .map(Prompt::example)
            .collect();
        let classifier = Classifier::train(&taught);
        let of_fold = corpus.iter().filter(|prompt| fold(prompt) == held);
        judged.extend(of_fold.map(|prompt| (prompt.task, classifier.classify(&prompt.hints()))));
    }
    judged
}

/// The mean of the F1 of `tasks`. `whole`: the likeliest task always counts as the answer; else to abstain is to miss.
pub fn macro_f1(judged: &Judged, tasks: &[Task], whole: bool) -> f64 {
    let answer = |given: &Classified| if whole { given.likeliest } else { given.task };
    let f1 = |task: Task| {
        let right = count(judged, |truth, given| {
            truth == task && answer(given) == Some(task)
        });
        let true_or_said =
            count(judged, |truth, _| truth == task) + count(judged, |_, given| answer(given) == Some(task));
        2.0 * right / true_or_said.max(1.0)
    };
    tasks.iter().map(|task| f1(*task)).sum::<f64>() / count_of(tasks.len())
}

pub fn count_of(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

pub fn count(judged: &Judged, which: impl Fn(Task, &Classified) -> bool) -> f64 {
    count_of(
        judged
            .iter()
            .filter(|(truth, given)| which(*truth, given))
            .count(),
    )
}

/// The share of prompts that are answered, and of the answers that are right.
pub fn coverage_and_precision(judged: &Judged) -> (f64, f64) {
    let answered = count(judged, |_, given| given.task.is_some());
    let right = count(judged, |truth, given| given.task == Some(truth));
    (answered / count_of(judged.len()), right / answered.max(1.0))
}

pub fn summary(judged: &Judged, tasks: &[Task]) -> String {
    let (coverage, precision) = coverage_and_precision(judged);
    let mut out = String::from("| measure | value |\n| --- | ---: |\n");
    let mut row = |name: &str, value: f64| writeln!(out, "| {name} | {value:.3} |").unwrap();
    row("macro-F1, every prompt answered", macro_f1(judged, tasks, true));
    row(
        "macro-F1, an abstention counted as a miss",
        macro_f1(judged, tasks, false),
    );
    row("coverage: share of prompts answered", coverage);
    row("precision: share of answers that are right", precision);
    out
}

pub fn confusion(judged: &Judged) -> String {
    let names = Task::ALL.map(Task::as_str).join(" | ");
    let mut out = format!(
        "| truth | {names} | abstained |\n| --- |{}\n",
        " ---: |".repeat(9)
    );
    for truth in Task::ALL {
        if count(judged, |task, _| task == truth) < 0.5 {
            continue;
        }
        write!(out, "| {truth} |").unwrap();
        for answer in Task::ALL.map(Some).into_iter().chain([None]) {
            let cell = count(judged, |task, given| task == truth && given.task == answer);
            write!(out, " {cell} |").unwrap();
        }
        out.push('\n');
    }
    out
}

/// How often guesses of each confidence are right, pictures left out, and the mean gap between the two.
pub fn calibration(judged: &Judged) -> (String, f64) {
    let mut out =
        String::from("| confidence | prompts | mean confidence | right |\n| --- | ---: | ---: | ---: |\n");
    let learned: Judged = judged
        .iter()
        .copied()
        .filter(|(_, given)| given.likeliest != Some(Task::Vision))
        .collect();
    let mut gap = 0.0;
    for bin in 0..5_u8 {
        let from = f64::from(bin) / 5.0;
        let inside =
            |given: &Classified| given.confidence >= from && (given.confidence < from + 0.2 || bin == 4);
        let of_bin: Judged = learned
            .iter()
            .copied()
            .filter(|(_, given)| inside(given))
            .collect();
        if of_bin.is_empty() {
            continue;
        }
        let size = count_of(of_bin.len());
        let sure = of_bin.iter().map(|(_, given)| given.confidence).sum::<f64>() / size;
        let right = count(&of_bin, |truth, given| given.likeliest == Some(truth)) / size;
        gap += (sure - right).abs() * size / count_of(learned.len());
        writeln!(
            out,
            "| {from:.1} to {:.1} | {size} | {sure:.3} | {right:.3} |",
            from + 0.2
        )
        .unwrap();
    }
    (out, gap)
}

/// The page without the part that needs data from elsewhere.
pub fn page(corpus: &[Prompt], judged: &Judged) -> String {
    let (bins, gap) = calibration(judged);
    format!(
        "# The task classifier\n\n\
         Guesses the task of a request that names none: `routing::classify`. Below a confidence of {CONFIDENCE_THRESHOLD} it names no \
         task. It reads at\nmost 4,096 bytes of a request, and needs no network. Pictures decide for `vision` by rule; words and form \
         decide among the others.\n\n\
         This page and the weights are made by\n\n\
         ```sh\ncargo run -p routing --example renew_task_classifier\n```\n\n\
         and a test fails where either is out of date.\n\n\
         ## Own prompts\n\n\
         {} prompts of `crates/routing/data/task_prompts.jsonl`, written for this purpose, in {FOLDS} folds: each is answered by weights \
         trained on\nthe other four, which also set how sure to be. All were written by one hand; requests in the wild vary more.\n\n\
         {}\nWithout `vision`, where the rule cannot be wrong here, the macro-F1 is {:.3}.\n\n\
         Rows are the truth, columns the answer:\n\n{}\n\
         How often a guess is right that is so sure, answered or not, without `vision` (mean gap {gap:.3}):\n\n{bins}\n",
        corpus.len(),
        summary(judged, &Task::ALL),
        macro_f1(judged, &Task::ALL[..7], true),
        confusion(judged),
    )
}

/// Questions of public benchmarks: file, task as it is named there, the task it is for us.
pub const SETS: &[(&str, &str, Task)] = &[
    ("routellm_gsm8k", "gsm8k", Task::Reasoning),
    ("zeroeval", "math-l5", Task::Reasoning),
    ("mmlu_pro", "", Task::Reasoning),
    ("routellm_mmlu", "", Task::Reasoning),
    ("llmrouter_ulab", "agentverse-logicgrid", Task::Reasoning),
    ("llmrouter_ulab", "gpqa", Task::Reasoning),
    ("llmrouter_ulab", "math", Task::Reasoning),
    ("zeroeval", "crux", Task::Coding),
    ("llmrouter_ulab", "mbpp", Task::Coding),
    ("llmrouter_ulab", "human_eval", Task::Coding),
];

/// At most so many questions of each set, spread over it.
pub const OF_EACH: usize = 150;

pub fn benchmark(test: &str) -> Option<Vec<(String, Judged)>> {
    shared_data(test, "routing/zeroeval.jsonl.zst")?;
    let mut of_sets = Vec::new();
    for (file, set, truth) in SETS {
        let file_path = shared_data(test, &format!("routing/{file}.jsonl.zst"))?;
        let mut text = String::new();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(File::open(file_path).unwrap()).unwrap();
        // The largest file holds every model's answer to ten thousand questions; its beginning is enough.
        let most = if *file == "zeroeval" { 13 << 20 } else { 5 << 20 };
        let mut bytes = Vec::new();
        decoder.by_ref().take(most).read_to_end(&mut bytes).unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes));
        let of_set: Vec<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|row| set.is_empty() || row["task"] == *set)
            .filter_map(|row| row["prompt"].as_str().map(str::to_owned))
            .collect();
        let step = of_set.len().div_ceil(OF_EACH).max(1);
        let judged = of_set
            .iter()
            .step_by(step)
            .map(|text| {
                let hints = TaskHints {
                    text,
                    ..TaskHints::default()
                };
                (*truth, classify(&hints))
            })
            .collect();
        of_sets.push((format!("{file} {set}").trim().to_owned(), judged));
    }
    Some(of_sets)
}

pub fn benchmark_page(of_sets: &[(String, Judged)], own: &Judged) -> String {
    let mut out = format!(
        "{MARK}\n\nQuestions of public benchmarks, none of which was trained on, answered by the weights that are shipped. Only two tasks \
         occur. Trivia\nand common-sense questions are left out: whether they are `chat` or `reasoning` is a matter of taste.\nSome own prompts are written in the manner of these sets, so the figures of the sets are kinder than those of unknown ones would \
         be.\n\n\
         | set | truth | questions | answered | right of the answers | right if all are answered |\n\
         | --- | --- | ---: | ---: | ---: | ---: |\n"
    );
    let mut all: Judged = own.clone();
    for (name, judged) in of_sets {
        let (coverage, precision) = coverage_and_precision(judged);
        let size = count_of(judged.len());
        let whole = count(judged, |truth, given| given.likeliest == Some(truth)) / size;
        let truth = judged[0].0;
        writeln!(
            out,
            "| {name} | {truth} | {size} | {coverage:.3} | {precision:.3} | {whole:.3} |"
        )
        .unwrap();
        all.extend(judged);
    }
    let (bins, gap) = calibration(&all);
    write!(
        out,
        "\nOwn prompts (cross-validated) and these together:\n\n{}\n{}\nMean gap between confidence and truth {gap:.3}:\n\n{bins}",
        summary(&all, &Task::ALL),
        confusion(&all),
    )
    .unwrap();
    out
}

pub fn weights(corpus: &[Prompt]) -> Classifier {
    Classifier::train(&corpus.iter().map(Prompt::example).collect::<Vec<_>>())
}
