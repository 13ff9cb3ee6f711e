//! `waypost train`.

use routing_learned::{BlendSummary, HeadSummary, NearestSummary, Predictor, TrainOptions};
use serde::Serialize;

use super::super::number::Number;
use super::super::{print_json, say, table};
use super::embed::{Embedded, embed};
use super::{
    LeftOut, Outcome, UNKNOWN, check, complete_models, count, named, percent, read, rounded, training, wrong,
};
use crate::cli::TrainArgs;
use crate::environment::Environment;
use crate::out_file::OutFile;

/// What a training tells; serialised it is the JSON.
#[derive(Debug, Serialize)]
struct Report {
    /// Where the predictor is.
    file: String,
    bytes: usize,
    prompts: u64,
    /// Prompts of the file that were not trained on, since a model has no outcome there.
    left_out_prompts: usize,
    outcomes: u64,
    tags: usize,
    penalty: f64,
    models: Vec<Model>,
    left_out: Vec<LeftOut>,
    /// The regression on words alone.
    text: HeadSummary,
    /// The regression on tag and words; nothing if no prompt had a tag.
    tagged: Option<HeadSummary>,
    /// What vectors of prompts add; nothing without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<NearestSummary>,
    /// What was asked for vectors; nothing if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<Embedded>,
}

#[derive(Debug, Serialize)]
struct Model {
    model: String,
    outcomes: u64,
    mean_score: f64,
    mean_cost_usd: Option<Number>,
}

pub(in super::super) fn run(args: &TrainArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let file = OutFile::new(&args.out)?;
    let wanted = named(&args.models)?;
    let embedding = args.embeddings.as_deref();
    let all = read(&args.data, &wanted, embedding)?;
    let of_file = all.len();
    let (mut outcomes, left_out) = if wanted.is_empty() {
        let (models, left_out) = complete_models(&all)?;
        (all.only(&models).map_err(|error| wrong(&error))?, left_out)
    } else {
        // Whoever names models may have few outcomes of one: the others carry it.
        check(&all, &wanted)?;
        (all, Vec::new())
    };
    let embedded = embed(&mut outcomes, embedding, &args.place, env)?;
    let mut options = TrainOptions::default();
    options.penalty = args.penalty.unwrap_or(options.penalty);
    let predictor =
        routing_learned::train(&outcomes, &options, &mut training()).map_err(|error| wrong(&error))?;
    let bytes = predictor.to_bytes();
    file.write(&bytes)?;
    let report = Report {
        file: args.out.display().to_string(),
        bytes: bytes.len(),
        prompts: predictor.summary().prompts,
        left_out_prompts: of_file - outcomes.len(),
        outcomes: predictor.summary().outcomes,
        tags: predictor.tags().len(),
        penalty: options.penalty,
        models: models(&predictor),
        left_out,
        text: predictor.summary().text,
        tagged: predictor.summary().tagged,
        nearest: predictor.summary().nearest.clone(),
        embedded,
    };
    if args.json {
        print_json(&report)?;
    } else {
        print(&report, of_file)?;
    }
    Ok(Outcome::Done)
}

fn models(predictor: &Predictor) -> Vec<Model> {
    let summaries = &predictor.summary().models;
    let names = predictor.models().iter().enumerate();
    names
        .filter_map(|(number, model)| {
            let summary = summaries.get(model)?;
            let cost = predictor.expected_cost(number, None);
            Some(Model {
                model: model.clone(),
                outcomes: summary.outcomes,
                mean_score: summary.mean_score,
                mean_cost_usd: cost.map(|expected| Number::Usd(expected.cost.to_decimal())),
            })
        })
        .collect()
}

fn print(report: &Report, of_file: usize) -> anyhow::Result<()> {
    say(format_args!(
        "trained on {} prompts with {} outcomes of {} models and {} tags",
        count_u64(report.prompts),
        count_u64(report.outcomes),
        report.models.len(),
        report.tags
    ))?;
    let mut rows = table(&["model", "outcomes", "mean score", "mean cost"]);
    for model in &report.models {
        let cost = match model.mean_cost_usd {
            Some(Number::Usd(amount)) => rounded(amount),
            _ => UNKNOWN.to_owned(),
        };
        rows.add_row([
            model.model.clone(),
            count_u64(model.outcomes),
            format!("{:.4}", model.mean_score),
            cost,
        ]);
    }
    say(format_args!("\n{rows}"))?;
    let mut rows = table(&[
        "predicted by",
        "squared error, cross-validated",
        "that of the models' means",
        "rank",
    ]);
    let heads = [
        ("words", Some(&report.text)),
        ("tag and words", report.tagged.as_ref()),
    ];
    for (name, head) in heads {
        let Some(head) = head else { continue };
        rows.add_row([
            name.to_owned(),
            format!("{:.5}", head.squared_error),
            format!("{:.5}", head.squared_error_of_means),
            head.rank
                .map_or_else(|| "full".to_owned(), |rank| rank.to_string()),
        ]);
    }
    say(format_args!("\n{rows}"))?;
    if let Some(nearest) = &report.nearest {
        for (name, blend) in [("words", nearest.text), ("tag and words", nearest.tagged)] {
            if let Some(blend) = blend {
                say(neighbours(name, &blend, &nearest.embedding))?;
            }
        }
        if !nearest.is_used() {
            say(format_args!(
                "the predictor uses no vectors, and a prompt needs no call to {}",
                nearest.embedding
            ))?;
        }
    }
    if let Some(embedded) = &report.embedded {
        say(embedded.sentence())?;
    }
    for model in &report.left_out {
        say(format_args!("left out, {}", model.sentence(of_file)))?;
    }
    if report.left_out_prompts > 0 {
        say(format_args!(
            "prompts left out, without an outcome of each of the models: {}",
            count(report.left_out_prompts)
        ))?;
    }
    say(format_args!(
        "\nthe predictor is in {}, {} bytes",
        report.file,
        count(report.bytes)
    ))
}

/// What vectors add to a regression, in a sentence.
fn neighbours(name: &str, blend: &BlendSummary, embedding: &str) -> String {
    if blend.share > 0.0 {
        format!(
            "with {name}, the {} nearest prompts by {embedding} are {} of the prediction: squared error {:.5}, without them {:.5}",
            blend.neighbours,
            percent(f64::from(blend.share)),
            blend.squared_error,
            blend.squared_error_of_words
        )
    } else {
        format!("the vectors of {embedding} tell nothing clear beyond {name}")
    }
}

fn count_u64(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX))
}
