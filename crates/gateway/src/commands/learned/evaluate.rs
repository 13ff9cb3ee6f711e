//! `waypost evaluate`.

use routing_learned::curve::{Hull, Point};
use routing_learned::metrics::{Bootstrap, Measured, PoolMetrics, Routability, SHARES, routability};
use routing_learned::{HeldOut, Inputs, TrainOptions};
use serde::Serialize;

use super::super::number::Number;
use super::super::{busy, print_json, say, table};
use super::embed::{Embedded, embed};
use super::{
    LeftOut, Outcome, UNKNOWN, complete, complete_models, count, dollars, named, page, percent,
    prompts_left_out, read, read_predictor, training, usd, wrong,
};
use crate::cli::{EvaluateArgs, WrongUsage};
use crate::environment::Environment;
use crate::out_file::OutFile;

/// So many predictors are trained where none is given.
const FOLDS: u64 = 5;

/// What an evaluation tells; serialised it is the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The predictor's file; nothing if prompts were predicted from the other parts of the file.
    pub(super) predictor: Option<String>,
    pub(super) folds: Option<u64>,
    pub(super) prompts: usize,
    pub(super) left_out_prompts: usize,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) models: Vec<Model>,
    /// The model with the best mean score.
    pub(super) best: String,
    /// The mean score over costs from the cheapest model to the dearest.
    pub(super) aiq: Beside,
    /// The same with each doubling of the cost alike; nothing if a model is free.
    pub(super) log_aiq: Beside,
    pub(super) savings: Vec<Saving>,
    /// Router less zero router over budgets.
    pub(super) above_zero: AboveZero,
    /// The mean distance of predicted and observed scores.
    pub(super) calibration_error: f64,
    pub(super) pair: Option<Routability>,
    pub(super) curves: Curves,
    /// What was asked for vectors; nothing if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) embedded: Option<Embedded>,
}

#[derive(Debug, Serialize)]
pub(super) struct Model {
    pub(super) model: String,
    pub(super) mean_score: f64,
    pub(super) mean_predicted: f64,
    pub(super) mean_cost_usd: Option<Number>,
    #[serde(skip)]
    pub(super) point: Point,
}

/// A measure of the router with those of the one that looks at no prompt and the one that knows every answer.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    pub(super) router: Option<Measured>,
    pub(super) zero_router: Option<Measured>,
    pub(super) oracle: Option<f64>,
}

/// What is saved of the best model's cost.
#[derive(Debug, Serialize)]
pub(super) struct Saving {
    /// At this share of its mean score.
    pub(super) of_best_score: f64,
    #[serde(flatten)]
    pub(super) saved: Beside,
}

#[derive(Debug, Serialize)]
pub(super) struct AboveZero {
    pub(super) least: Measured,
    pub(super) most: Measured,
}

#[derive(Debug, Serialize)]
pub(super) struct Curves {
    pub(super) router: Curve,
    pub(super) zero_router: Curve,
    pub(super) oracle: Curve,
}

/// The corners of a curve.
#[derive(Debug)]
pub(super) struct Curve(pub(super) Hull);

impl Serialize for Curve {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Corner {
            mean_cost_usd: Option<Number>,
            mean_score: f64,
        }
        serializer.collect_seq(self.0.points().iter().map(|point| Corner {
            mean_cost_usd: usd(point.cost),
            mean_score: point.quality,
        }))
    }
}

pub(in super::super) fn run(args: &EvaluateArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let file = args.html.as_deref().map(OutFile::new).transpose()?;
    let wanted = named(&args.models)?;
    let pair = match args.pair.as_slice() {
        [] => None,
        [a, b] if a != b => Some([a.as_str(), b.as_str()]),
        _ => return Err(WrongUsage("--pair takes two different models, as --pair a,b".to_owned()).into()),
    };
    let (held, left_out, left_out_prompts, embedded) = held_out(args, &wanted, env)?;
    let pool: Vec<&str> = held.models().iter().map(String::as_str).collect();
    if let Some(model) = pair.iter().flatten().find(|model| !pool.contains(model)) {
        let pool = pool.join(", ");
        return Err(WrongUsage(format!("--pair: '{model}' is not among the models: {pool}")).into());
    }
    let models = models(&held);
    let bar = busy("measuring");
    let found = measure(&held, pair);
    bar.finish_and_clear();
    let (metrics, pair) = found?;
    let report = Report {
        predictor: args.predictor.as_ref().map(|path| path.display().to_string()),
        folds: args.predictor.is_none().then_some(FOLDS),
        left_out_prompts,
        left_out,
        pair,
        embedded,
        ..report(models, metrics)
    };
    if let Some(file) = file {
        file.write(page::page(&report))?;
    }
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
        if let Some(path) = &args.html {
            say(format_args!("\nthe curves are in {}", path.display()))?;
        }
    }
    Ok(Outcome::Done)
}

/// The prompts as they are judged, the models and how many prompts that are left out, and what was asked for vectors.
fn held_out(
    args: &EvaluateArgs,
    wanted: &[String],
    env: &Environment,
) -> anyhow::Result<(HeldOut, Vec<LeftOut>, usize, Option<Embedded>)> {
    if let Some(path) = &args.predictor {
        let (predictor, _) = read_predictor(path)?;
        let embedding = predictor.embedding();
        let (mut known, prompts) = complete(&read(&args.data, &[], embedding)?, predictor.models())?;
        let embedded = embed(&mut known, embedding, &args.place, env)?;
        let held = HeldOut::of(&predictor, &known, Inputs::TextAndTag).map_err(|error| wrong(&error))?;
        return Ok((held, Vec::new(), prompts, embedded));
    }
    let embedding = args.embeddings.as_deref();
    let all = read(&args.data, wanted, embedding)?;
    let (models, left_out) = if wanted.is_empty() {
        complete_models(&all)?
    } else {
        (wanted.to_vec(), Vec::new())
    };
    let (mut known, prompts) = complete(&all, &models)?;
    let embedded = embed(&mut known, embedding, &args.place, env)?;
    let options = TrainOptions::default();
    let held = HeldOut::out_of_fold(&known, &options, Inputs::TextAndTag, FOLDS, &mut training())
        .map_err(|error| wrong(&error))?;
    Ok((held, left_out, prompts, embedded))
}

fn measure(
    held: &HeldOut,
    pair: Option<[&str; 2]>,
) -> Result<(PoolMetrics, Option<Routability>), WrongUsage> {
    let bootstrap = Bootstrap::default();
    let metrics = PoolMetrics::of(held, bootstrap).map_err(|error| wrong(&error))?;
    let pair = match (pair, held.models()) {
        (Some(pair), _) => Some(routability(held, pair, bootstrap).map_err(|error| wrong(&error))?),
        // Nobody asked: two models of the same mean are no mistake.
        (None, [a, b]) => routability(held, [a, b], bootstrap).ok(),
        _ => None,
    };
    Ok((metrics, pair))
}

fn models(held: &HeldOut) -> Vec<Model> {
    let (scores, predicted, costs) = (held.mean_scores(), held.mean_predictions(), held.mean_costs());
    let figures = scores.into_iter().zip(predicted).zip(costs);
    let models = held.models().iter().zip(figures);
    models
        .map(|(model, ((quality, mean_predicted), cost))| Model {
            model: model.clone(),
            mean_score: quality,
            mean_predicted,
            mean_cost_usd: usd(cost),
            point: Point { cost, quality },
        })
        .collect()
}

fn report(models: Vec<Model>, metrics: PoolMetrics) -> Report {
    let costs = models.iter().map(|model| model.point.cost);
    let from = costs.clone().fold(f64::INFINITY, f64::min);
    let to = costs.fold(0.0, f64::max);
    let best = metrics.best_point;
    let oracle = &metrics.oracle;
    let savings = SHARES
        .iter()
        .zip(metrics.saving.iter().zip(&metrics.zero_saving))
        .map(|(share, (router, zero_router))| Saving {
            of_best_score: *share,
            saved: Beside {
                router: *router,
                zero_router: *zero_router,
                oracle: oracle.saving(share * best.quality, best.cost),
            },
        })
        .collect();
    Report {
        predictor: None,
        folds: None,
        embedded: None,
        prompts: metrics.prompts,
        left_out_prompts: 0,
        left_out: Vec::new(),
        models,
        best: metrics.best,
        aiq: Beside {
            router: Some(metrics.aiq),
            zero_router: Some(metrics.zero_aiq),
            oracle: oracle.mean_quality(from, to),
        },
        log_aiq: Beside {
            router: metrics.log_aiq,
            zero_router: metrics.zero_log_aiq,
            oracle: oracle.mean_quality_by_doubling(from, to),
        },
        savings,
        above_zero: AboveZero {
            least: metrics.above_zero,
            most: metrics.most_above_zero,
        },
        calibration_error: metrics.calibration_error,
        pair: None,
        curves: Curves {
            router: Curve(metrics.curve),
            zero_router: Curve(metrics.zero),
            oracle: Curve(metrics.oracle),
        },
    }
}

impl Report {
    /// How prompts were predicted.
    pub(super) fn method(&self) -> String {
        let prompts = count(self.prompts);
        match &self.predictor {
            Some(file) => format!("{prompts} prompts, predicted by {file}"),
            None => format!(
                "{prompts} prompts, each predicted from the other {} fifths of them",
                FOLDS - 1
            ),
        }
    }

    /// Every measure with its row, for text and page.
    pub(super) fn measures(&self) -> Vec<[String; 4]> {
        let mut rows = vec![
            row("AIQ", &self.aiq, score),
            row("AIQ by doublings of the cost", &self.log_aiq, score),
        ];
        rows.extend(self.savings.iter().map(|saving| {
            let name = format!("saving at {} of the best score", percent(saving.of_best_score));
            row(&name, &saving.saved, percent)
        }));
        rows
    }

    /// What else there is to say, a sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let AboveZero { least, most } = &self.above_zero;
        let mut sentences = vec![
            format!(
                "above the zero router, over budgets: from {} to {}",
                interval(least, score),
                interval(most, score)
            ),
            format!(
                "calibration error: {} between predicted and observed scores on average",
                score(self.calibration_error)
            ),
        ];
        sentences.extend(self.free_sentence());
        sentences.extend(self.pair.as_ref().map(pair_sentence));
        let of_file = self.prompts + self.left_out_prompts;
        let models = self.left_out.iter();
        sentences.extend(models.map(|model| format!("left out, {}", model.sentence(of_file))));
        sentences.extend(prompts_left_out(self.left_out_prompts));
        sentences
    }
    /// Why there are measures without a value, if models are free.
    fn free_sentence(&self) -> Option<String> {
        let is_free = |model: &&Model| model.point.cost <= 0.0;
        let free: Vec<&Model> = self.models.iter().filter(is_free).collect();
        let names: Vec<&str> = free.iter().map(|model| model.model.as_str()).collect();
        let saved = if names.contains(&self.best.as_str()) {
            ", and of the best model's cost nothing to save"
        } else {
            ""
        };
        (!free.is_empty()).then(|| {
            format!(
                "costs nothing here: {}; there are no doublings of nothing, so no AIQ by them{saved}",
                names.join(", ")
            )
        })
    }
}

fn pair_sentence(pair: &Routability) -> String {
    let metrics = &pair.metrics;
    let points = |share: f64| format!("{share:.1}");
    let whether = if pair.routable { "can" } else { "cannot" };
    format!(
        "{} and {} {whether} be routed by the prompt: APGR {}; the share of calls to {} that recovers half of the gap {} % (chance: 50), \
         80 % of it {} % (chance: 80)",
        metrics.weak,
        metrics.strong,
        interval(&metrics.apgr, score),
        metrics.strong,
        interval(&metrics.cpt50, points),
        interval(&metrics.cpt80, points),
    )
}

fn row(name: &str, beside: &Beside, show: fn(f64) -> String) -> [String; 4] {
    let measured = |value: &Option<Measured>| {
        value
            .as_ref()
            .map_or_else(|| UNKNOWN.to_owned(), |value| interval(value, show))
    };
    [
        name.to_owned(),
        measured(&beside.router),
        measured(&beside.zero_router),
        beside.oracle.map_or_else(|| UNKNOWN.to_owned(), show),
    ]
}

fn interval(value: &Measured, show: impl Fn(f64) -> String) -> String {
    format!(
        "{} [{}, {}]",
        show(value.value),
        show(value.low),
        show(value.high)
    )
}

fn score(value: f64) -> String {
    format!("{value:.4}")
}

fn print(report: &Report) -> anyhow::Result<()> {
    say(report.method())?;
    let mut rows = table(&["model", "mean score", "predicted", "mean cost"]);
    for model in &report.models {
        rows.add_row([
            model.model.clone(),
            score(model.mean_score),
            score(model.mean_predicted),
            dollars(model.point.cost),
        ]);
    }
    say(format_args!("\n{rows}\nbest: {}\n", report.best))?;
    let mut rows = table(&["measure", "router [95 %]", "zero router [95 %]", "oracle"]);
    for row in report.measures() {
        rows.add_row(row);
    }
    say(format_args!("{rows}\n"))?;
    for sentence in report.sentences() {
        say(sentence)?;
    }
    if let Some(embedded) = &report.embedded {
        say(embedded.sentence())?;
    }
    Ok(())
}
