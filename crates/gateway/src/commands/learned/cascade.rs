//! `waypost cascade`.

use std::collections::BTreeSet;

use integration_core::printable;
use routing_learned::cascade::{Answer, Cascade, Example, mark_flawed, outcomes};
use routing_learned::{HeldOut, Inputs, MOST_PROMPTS, Scored, TrainOptions, name_of, train};
use serde::Serialize;

use super::super::outcome_file::Rows;
use super::super::{print_json, say};
use super::{LONGEST_NAME, Outcome, count, percent, training, wrong};
use crate::cli::{CascadeArgs, WrongUsage};
use crate::learned::hex;
use crate::out_file::OutFile;

/// The check is judged on so many parts of the examples, by one that has not seen the part.
const FOLDS: u64 = 5;

/// What a cascade is; serialised it is the JSON, and the file that a gateway reads.
#[derive(Debug, Serialize)]
struct Report {
    check: Check,
    cheap: String,
    dear: String,
    /// The share of the dear model's mean score that is kept.
    keep: f64,
    examples: usize,
    /// Rows of the file in which one of the scores, costs or the cheap answer is not known.
    left_out: usize,
    sentence: String,
    cascade: Option<Cascade>,
}

#[derive(Debug, Serialize)]
struct Check {
    file: String,
    sha256: String,
}

pub(in super::super) fn run(args: &CascadeArgs) -> anyhow::Result<Outcome> {
    if args.cheap == args.dear {
        return Err(WrongUsage("--cheap and --dear are one model".to_owned()).into());
    }
    let (check_file, file) = (OutFile::new(&args.check)?, OutFile::new(&args.out)?);
    let (examples, left_out) = examples(args)?;
    let count_of = examples.len();
    let is_flawed = |example: &&Example| Answer::whole(&example.answer).flaw().is_some();
    let flawed: BTreeSet<String> = examples
        .iter()
        .filter(is_flawed)
        .map(|one| one.id.clone())
        .collect();
    let learnt = outcomes(examples).map_err(|error| wrong(&error))?;
    let (options, inputs) = (TrainOptions::default(), Inputs::TextAndTag);
    let mut held = HeldOut::out_of_fold(&learnt, &options, inputs, FOLDS, &mut training())
        .map_err(|error| wrong(&error))?;
    mark_flawed(&mut held, |id| flawed.contains(id));
    let cascade = Cascade::compile(&held, args.keep).map_err(|error| wrong(&error))?;
    let check = train(&learnt, &options, &mut training()).map_err(|error| wrong(&error))?;
    let bytes = check.to_bytes();
    let report = Report {
        check: Check {
            file: args.check.display().to_string(),
            sha256: hex(&bytes),
        },
        cheap: args.cheap.clone(),
        dear: args.dear.clone(),
        keep: args.keep,
        examples: count_of,
        left_out,
        sentence: sentence(args, cascade.as_ref(), count_of),
        cascade,
    };
    if cascade.is_some() {
        check_file.write(&bytes)?;
        file.write(serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(if cascade.is_some() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// The rows of which all is known that a check is learnt from, and how many are not.
fn examples(args: &CascadeArgs) -> Result<(Vec<Example>, usize), WrongUsage> {
    let mut rows = Rows::open(&args.data)?;
    let (mut examples, mut left_out) = (Vec::new(), 0);
    while let Some(mut row) = rows.next()? {
        let scored = |model: &String| {
            let outcome = row.outcomes.get(model)?;
            let mut scored = Scored::new(outcome.score);
            scored.cost = Some(outcome.cost?);
            Some(scored)
        };
        let (cheap, dear) = (scored(&args.cheap), scored(&args.dear));
        let answer = row.answers.remove(&args.cheap);
        let (Some(cheap), Some(dear), Some(answer)) = (cheap, dear, answer) else {
            left_out += 1;
            continue;
        };
        examples.push(Example {
            id: row
                .id
                .unwrap_or_else(|| name_of(&row.prompt, row.task.as_deref())),
            prompt: row.prompt,
            tag: row.task,
            answer,
            cheap,
            dear,
        });
        if examples.len() > MOST_PROMPTS {
            return Err(WrongUsage(format!(
                "{}: there are more than {MOST_PROMPTS} prompts in it",
                rows.name()
            )));
        }
    }
    if examples.is_empty() {
        let name = |model: &str| printable(model.to_owned(), LONGEST_NAME);
        return Err(WrongUsage(format!(
            "{}: no row has a score and a cost of both '{}' and '{}', and the `answer` of the former",
            rows.name(),
            name(&args.cheap),
            name(&args.dear)
        )));
    }
    Ok((examples, left_out))
}

fn sentence(args: &CascadeArgs, cascade: Option<&Cascade>, examples: usize) -> String {
    let (cheap, dear, keep) = (&args.cheap, &args.dear, percent(args.keep));
    match cascade {
        None => format!(
            "no cascade from {cheap} to {dear} saves anything at {keep} of the latter's mean score, on {} examples: ask {dear} alone, or \
             keep less",
            count(examples)
        ),
        Some(found) => format!(
            "{cheap} first, and {dear} for {} of requests: a mean score of {:.4} where {dear} alone has {:.4}, and {} of its cost is \
             saved, on {} examples that the check had not seen; the threshold was chosen on them, so expect a little less",
            percent(found.escalated),
            found.quality,
            found.dear_quality,
            percent(found.saving),
            count(examples)
        ),
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    say(&report.sentence)?;
    if report.left_out > 0 {
        say(format_args!(
            "rows left out, without a score and a cost of both or without the cheap answer: {}",
            count(report.left_out)
        ))?;
    }
    if report.cascade.is_some() {
        say(format_args!("the check is in {}", report.check.file))
    } else {
        say("nothing is saved, so no file was written")
    }
}
