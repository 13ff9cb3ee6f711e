//! `waypost certify`.

use routing_learned::curve::{Hull, Point};
use routing_learned::{HeldOut, Inputs, Ladder, Policy, Promise, Rule, Verdict, fold};
use serde::Serialize;

use integration_core::printable;

use super::super::{print_json, say};
use super::embed::{Embedded, embed};
use super::{
    LONGEST_NAME, Outcome, complete, count, dollars, percent, prompts_left_out, read, read_predictor, wrong,
};
use crate::cli::{CertifyArgs, WrongUsage};
use crate::environment::Environment;
use crate::out_file::OutFile;

/// One part of so many lays out the ladder.
const PARTS: u64 = 10;

/// What a certification tells; serialised it is the JSON.
#[derive(Debug, Serialize)]
struct Report {
    predictor: PredictorFile,
    promise: Promise,
    /// The model that losses and savings are counted against.
    reference: String,
    /// What was tested, from safe to cheap. Who watches the promise certifies from it again.
    ladder: Ladder,
    prompts: Prompts,
    /// Of all labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Judged>,
    /// Of the labels of each tag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<OfTag>,
    /// What was asked for vectors; nothing if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<Embedded>,
}

/// What a certificate is of: policies name models by their numbers in it.
#[derive(Debug, Serialize)]
struct PredictorFile {
    file: String,
    sha256: String,
    models: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Prompts {
    /// What the ladder was laid out from.
    ladder: usize,
    /// What it was tested on.
    labels: usize,
    /// What could be used for neither.
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct OfTag {
    /// Nothing for prompts without one.
    tag: Option<String>,
    #[serde(flatten)]
    judged: Judged,
}

#[derive(Debug, Serialize)]
struct Judged {
    sentence: String,
    verdict: Verdict,
    /// What chooses, in words.
    policy: Option<String>,
    /// What the best mixture of single models saves on the same labels at the same mean score.
    zero_router_saving: Option<f64>,
}

pub(in super::super) fn run(args: &CertifyArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let promise = promise(args);
    promise.level().map_err(|error| wrong(&error))?;
    let file = args.out.as_deref().map(OutFile::new).transpose()?;
    let (predictor, sha256) = read_predictor(&args.predictor)?;
    let all = read(&args.data, &[], predictor.embedding())?;
    let (mut known, left_out) = complete(&all, predictor.models())?;
    let embedded = embed(&mut known, predictor.embedding(), &args.place, env)?;
    let part = |design: bool| {
        let prompts = known.filtered(|prompt| (fold(prompt.id(), PARTS) == 0) == design);
        if prompts.is_empty() {
            return Err(WrongUsage(format!(
                "{} prompts are too few to lay out a ladder on a tenth of them and test it on the others",
                count(known.len())
            )));
        }
        HeldOut::of(&predictor, &prompts, Inputs::TextAndTag).map_err(|error| wrong(&error))
    };
    let (design, calibration) = (part(true)?, part(false)?);
    let ladder = Ladder::design(&promise, &design).map_err(|error| wrong(&error))?;
    let (result, tags) = if args.each_tag {
        (None, each_tag(&ladder, &promise, &calibration)?)
    } else {
        let verdict = ladder
            .certify(&promise, &calibration)
            .map_err(|error| wrong(&error))?;
        (Some(judged(verdict, &ladder, &promise, &calibration)), Vec::new())
    };
    let report = Report {
        predictor: PredictorFile {
            file: args.predictor.display().to_string(),
            sha256,
            models: predictor.models().to_vec(),
        },
        promise,
        reference: ladder.reference().to_owned(),
        prompts: Prompts {
            ladder: design.len(),
            labels: calibration.len(),
            left_out,
        },
        ladder,
        result,
        tags,
        embedded,
    };
    let verdicts = || {
        let of_tags = report.tags.iter().map(|one| &one.judged);
        report.result.iter().chain(of_tags).map(|one| &one.verdict)
    };
    let certified = verdicts().filter_map(Verdict::certificate).count();
    if let Some(file) = file.filter(|_| certified > 0) {
        file.write(serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
        if certified == 0 && args.out.is_some() {
            say("nothing is certified, so no file was written")?;
        }
    }
    Ok(if certified > 0 && certified == verdicts().count() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn promise(args: &CertifyArgs) -> Promise {
    let mut promise = Promise::loss_at_most(args.max_loss).confidence(args.confidence);
    if let Some(model) = &args.vs {
        promise = promise.vs(model);
    }
    if args.worst_tag {
        promise = promise.for_the_worst_tag();
    }
    promise
}

fn each_tag(ladder: &Ladder, promise: &Promise, calibration: &HeldOut) -> Result<Vec<OfTag>, WrongUsage> {
    let verdicts = ladder
        .certify_each_tag(promise, calibration)
        .map_err(|error| wrong(&error))?;
    let of_tag = verdicts.into_iter().map(|(tag, verdict)| {
        let known = calibration.tags().iter().enumerate();
        let rows: Vec<usize> = known
            .filter(|(_, known)| **known == tag)
            .map(|(row, _)| row)
            .collect();
        let judged = judged(verdict, ladder, promise, &calibration.rows(&rows));
        OfTag { tag, judged }
    });
    Ok(of_tag.collect())
}

fn judged(verdict: Verdict, ladder: &Ladder, promise: &Promise, labels: &HeldOut) -> Judged {
    let certificate = verdict.certificate();
    Judged {
        sentence: sentence(&verdict, ladder, promise),
        policy: certificate.map(|found| words(found.policy, labels.models())),
        zero_router_saving: certificate.and_then(|found| zero_router(labels, ladder.reference(), found.loss)),
        verdict,
    }
}

fn sentence(verdict: &Verdict, ladder: &Ladder, promise: &Promise) -> String {
    let reference = ladder.reference();
    // What `level` took is between 0 and 1.
    let sure = percent(promise.level().map_or(0.0, |level| 1.0 - level.alpha()));
    let loss = promise.loss();
    match verdict {
        Verdict::Certified(found) => {
            let saves = match found.saving {
                None => format!("certified: nothing is saved, for {reference} costs nothing,"),
                Some(saving) if saving < 0.0 => {
                    format!(
                        "certified, and no saving: it costs {} more than {reference}",
                        percent(-saving)
                    )
                }
                Some(saving) => format!("certified: it saves {} against {reference}", percent(saving)),
            };
            format!(
                "{saves} at a loss of at most {loss} with {sure} confidence, on {} labels",
                count(found.labels)
            )
        }
        Verdict::NotEnough { labels, more_labels } => {
            let more = more_labels.map_or_else(
                || "it seems to lose more than that, and more labels would not help".to_owned(),
                |more| {
                    format!(
                        "about {} more labels",
                        count(usize::try_from(more).unwrap_or(usize::MAX))
                    )
                },
            );
            format!(
                "not enough evidence of a loss of at most {loss} against {reference} with {sure} confidence, on {} labels: {more}",
                count(*labels)
            )
        }
    }
}

/// What a policy does.
fn words(policy: Policy, models: &[String]) -> String {
    let name = |model: usize| models.get(model).map_or("?", String::as_str);
    match policy {
        Policy::Single(model) => format!("always {}", name(model)),
        Policy::Mixed { cheap, dear, share } => format!(
            "whatever the prompt, {} for {} of them by chance, {} for the others",
            name(cheap),
            percent(share),
            name(dear)
        ),
        Policy::Routed(Rule::AtLeast(score)) => {
            format!("by prompt, the cheapest model that is predicted to score {score:.3}")
        }
        Policy::Routed(Rule::Price(price)) if price > 0.0 => format!(
            "by prompt, the best model where a hundredth of a score is worth {}",
            dollars(0.01 / price)
        ),
        Policy::Routed(Rule::Price(_)) => "by prompt, the model predicted best, whatever it costs".to_owned(),
    }
}

/// What is saved at this loss without a look at any prompt, read off the labels themselves: more than could be promised.
fn zero_router(labels: &HeldOut, reference: &str, loss: f64) -> Option<f64> {
    let number = labels.models().iter().position(|model| model == reference)?;
    let (costs, scores) = (labels.mean_costs(), labels.mean_scores());
    let single = costs.iter().zip(&scores).map(|(cost, quality)| Point {
        cost: *cost,
        quality: *quality,
    });
    let cost = Hull::of(single).cost_of(scores.get(number)? - loss)?;
    let whole = *costs.get(number)?;
    (whole > 0.0).then(|| 1.0 - cost / whole)
}

fn print(report: &Report) -> anyhow::Result<()> {
    if let Some(result) = &report.result {
        print_one(result)?;
    }
    for OfTag { tag, judged } in &report.tags {
        let tag = tag.as_ref().map_or_else(
            || "prompts without a tag".to_owned(),
            |tag| printable(tag.clone(), LONGEST_NAME),
        );
        say(format_args!("{tag}"))?;
        print_one(judged)?;
        say("")?;
    }
    say(format_args!(
        "the ladder was laid out on {} other prompts, whose scores were not looked at",
        count(report.prompts.ladder)
    ))?;
    if let Some(sentence) = prompts_left_out(report.prompts.left_out) {
        say(sentence)?;
    }
    if let Some(embedded) = &report.embedded {
        say(embedded.sentence())?;
    }
    Ok(())
}

fn print_one(judged: &Judged) -> anyhow::Result<()> {
    say(&judged.sentence)?;
    let Some(found) = judged.verdict.certificate() else {
        return Ok(());
    };
    if let Some(policy) = &judged.policy {
        say(format_args!("policy: {policy}"))?;
    }
    let next = match found.more_labels_for_next {
        Some(more) => format!(
            "; the next takes about {} more labels",
            count(usize::try_from(more).unwrap_or(usize::MAX))
        ),
        None => String::new(),
    };
    say(format_args!(
        "rung {} of {}, p = {:.2e}, loss on the labels {:.4}{next}",
        found.rung, found.rungs, found.p_value, found.loss
    ))?;
    match judged.zero_router_saving {
        Some(saving) => say(format_args!(
            "the zero router (the best mixture of single models, read off the same labels) saves {} at the same mean score",
            percent(saving)
        )),
        None => say("the zero router (the best mixture of single models) does not reach the same mean score"),
    }
}
