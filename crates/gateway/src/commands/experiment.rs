//! `waypost experiment`.

use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use experiments::Arm;
use experiments::analysis::{AnalysisPlan, Forecast, Report, analyse};
use serde_json::json;

use super::{Outcome, busy, mirrors, print_json, read_ledger, say, table};
use crate::cli::{
    ExperimentAnalyseArgs, ExperimentArgs, ExperimentCommand, ExperimentFormat, ExperimentOneArgs, WrongUsage,
};
use crate::config::Settings;
use crate::environment::Environment;
use crate::experiment::{ExperimentSettings, Results, definition, unit_file};
use crate::out_file::OutFile;

pub(super) async fn run(args: &ExperimentArgs, env: &Environment) -> anyhow::Result<Outcome> {
    match &args.command {
        ExperimentCommand::List(args) => list(
            &Settings::resolve(&args.place.overrides(), env)?.experiments,
            args.json,
        ),
        ExperimentCommand::Show(args) => show(args, &Settings::resolve(&args.place.overrides(), env)?).await,
        ExperimentCommand::Export(args) => {
            let settings = Settings::resolve(&args.place.overrides(), env)?;
            let results = named(&settings, &args.name)?;
            let store = read_ledger(&settings)?;
            let mut text = Vec::new();
            let count = results
                .lines(&store, |line| {
                    serde_json::to_writer(&mut text, line)?;
                    text.push(b'\n');
                    Ok(())
                })
                .await?;
            write_out(&text, args.out.as_deref())?;
            eprintln!("waypost: {count} units of {}", results.title());
            Ok(Outcome::Done)
        }
        ExperimentCommand::Mirrors(args) => mirrors::run(args, env).await,
        ExperimentCommand::Analyse(args) => analyse_one(args, env).await,
    }
}

/// What is asked of an experiment of the configuration, as of now.
fn named<'s>(settings: &'s Settings, name: &str) -> anyhow::Result<Results<'s>> {
    let experiments = &settings.experiments;
    let Some((experiment, of_gateway)) = experiments.get(name) else {
        let names: Vec<&str> = experiments
            .iter()
            .map(|(experiment, _)| experiment.key())
            .collect();
        let there = if names.is_empty() {
            "the configuration has none".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        bail!(WrongUsage(format!("there is no experiment '{name}'; {there}")));
    };
    #[expect(clippy::disallowed_methods, reason = "a command reads the time once, here")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Results {
        experiment,
        of_gateway,
        as_of_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        simulated: settings.is_simulated(),
    })
}

fn list(experiments: &ExperimentSettings, as_json: bool) -> anyhow::Result<Outcome> {
    if as_json {
        let all = experiments
            .iter()
            .map(|(experiment, of_gateway)| definition(experiment, of_gateway))
            .collect::<anyhow::Result<Vec<_>>>()?;
        print_json(&json!({ "experiments": all }))?;
        return Ok(Outcome::Done);
    }
    if experiments.is_empty() {
        say("there are no experiments; [[experiment]] in waypost.toml begins one")?;
        return Ok(Outcome::Done);
    }
    let mut rows = table(&[
        "experiment",
        "version",
        "status",
        "unit",
        "coverage",
        "arms",
        "plan",
    ]);
    for (experiment, of_gateway) in experiments.iter() {
        let arms: Vec<&str> = experiment.arms().iter().map(|arm| arm.key.as_str()).collect();
        rows.add_row([
            experiment.key().to_owned(),
            experiment.version().to_string(),
            word(&experiment.status())?,
            experiment.unit().as_str().to_owned(),
            format!("{} %", f64::from(experiment.coverage_bps()) / 100.0),
            arms.join(", "),
            of_gateway
                .plan
                .as_ref()
                .map_or("none", |plan| plan.engine().as_str())
                .replace('_', " "),
        ]);
    }
    say(rows)?;
    Ok(Outcome::Done)
}

/// How a value is written in configuration files.
fn word(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_value(value)?
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

async fn show(args: &ExperimentOneArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let results = named(settings, &args.name)?;
    let report = if results.of_gateway.plan.is_some() {
        let store = read_ledger(settings)?;
        let bar = busy("reading the units");
        let report = results.report(&store).await;
        bar.finish_and_clear();
        report?
    } else {
        None
    };
    if args.json {
        print_json(&results.json(report.as_ref())?)?;
        return Ok(Outcome::Done);
    }
    let experiment = results.experiment;
    say(format_args!(
        "{}: {}, randomises by {}, {} % of them, outcomes within {}",
        results.title(),
        word(&experiment.status())?,
        experiment.unit().as_str(),
        f64::from(experiment.coverage_bps()) / 100.0,
        jiff::SignedDuration::try_from(results.of_gateway.window)
            .map_or_else(|_| "ever".to_owned(), |window| format!("{window:#}"))
    ))?;
    let mut arms = table(&["arm", "weight", "does"]);
    for (arm, does) in experiment.arms().iter().zip(&results.of_gateway.arms) {
        arms.add_row([
            arm.key.clone(),
            format!("{} %", f64::from(arm.weight_bps) / 100.0),
            does.to_string(),
        ]);
    }
    say(arms)?;
    match (&results.of_gateway.plan, report) {
        (Some(plan), Some(report)) => {
            forecast(&plan.forecast()?, plan)?;
            say("")?;
            for notice in results.notices() {
                say(notice)?;
            }
            say(report.to_text(&results.title()).trim_end())?;
        }
        _ => say("It has no [experiment.plan], so there is no analysis.")?,
    }
    Ok(Outcome::Done)
}

fn forecast(forecasts: &[Forecast], plan: &AnalysisPlan) -> anyhow::Result<()> {
    if forecasts.is_empty() {
        return Ok(());
    }
    say(format_args!(
        "\nPlanned, for a power of {} %:",
        plan.power() * 100.0
    ))?;
    let mut rows = table(&["metric", "units", "weeks", "smallest effect at the horizon"]);
    for one in forecasts {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        rows.add_row([
            one.metric.clone(),
            or_none(one.units.map(|units| units.to_string())),
            or_none(one.runtime.map(|runtime| runtime.weeks.to_string())),
            or_none(one.smallest_effect.map(|effect| format!("{effect:.4}"))),
        ]);
    }
    say(rows)
}

async fn analyse_one(args: &ExperimentAnalyseArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let file = args.out.as_deref().map(OutFile::new).transpose()?;
    let (title, notices, report) = match (&args.name, &args.input) {
        (Some(name), None) => {
            let settings = Settings::resolve(&args.place.overrides(), env)?;
            let results = named(&settings, name)?;
            if results.of_gateway.plan.is_none() {
                bail!(
                    "experiment '{name}' has no [experiment.plan]: what counts as an answer is to be written down first"
                );
            }
            let store = read_ledger(&settings)?;
            let bar = busy("reading the units");
            let report = results.report(&store).await;
            bar.finish_and_clear();
            let report = report?.context("the experiment has no plan")?;
            (results.title(), results.notices(), report)
        }
        (None, Some(input)) => {
            let plan = args.plan.as_deref().ok_or_else(|| {
                WrongUsage(
                    "--input needs --plan: what counts as an answer is to be written down first".to_owned(),
                )
            })?;
            let (title, report) = offline(input, plan)?;
            (title, Vec::new(), report)
        }
        _ => bail!(WrongUsage(
            "name an experiment, or a file with --input".to_owned()
        )),
    };
    let format = if args.json {
        ExperimentFormat::Json
    } else {
        args.format
    };
    let text = match format {
        ExperimentFormat::Text => {
            notices
                .iter()
                .map(|notice| format!("{notice}\n"))
                .collect::<String>()
                + &report.to_text(&title)
        }
        ExperimentFormat::Json => serde_json::to_string_pretty(&report)? + "\n",
        ExperimentFormat::Html => report.to_html(&title, &notices),
    };
    match (&file, &args.out) {
        (Some(file), Some(path)) => {
            file.write(&text)?;
            eprintln!("waypost: the analysis is in {}", path.display());
        }
        _ => write_out(text.as_bytes(), None)?,
    }
    Ok(Outcome::Done)
}

fn write_out(text: &[u8], path: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = path {
        let text = std::str::from_utf8(text).context("the lines are no text")?;
        return OutFile::new(path)?.write(text);
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

/// The plan of a file: that of [`AnalysisPlan`], and the weights of the arms if the split is to be checked.
#[derive(serde::Deserialize)]
struct PlanFile {
    #[serde(default)]
    arms: Vec<Arm>,
    #[serde(flatten)]
    rest: toml::Table,
}

fn offline(input: &Path, plan: &Path) -> anyhow::Result<(String, Report)> {
    let name = plan.display();
    let text = std::fs::read_to_string(plan).with_context(|| format!("{name} cannot be read"))?;
    let file: PlanFile = toml::from_str(&text).with_context(|| format!("{name} is no plan"))?;
    let plan: AnalysisPlan = toml::Value::Table(file.rest)
        .try_into()
        .with_context(|| format!("{name} is no plan"))?;
    let length = std::fs::metadata(input).map_or(0, |file| file.len());
    let bar = indicatif::ProgressBar::new(length);
    let lines = unit_file::read(input, |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let lines = lines?;
    let arms: Vec<String> = file.arms.iter().map(|arm| arm.key.clone()).collect();
    let timeline = lines
        .timeline(&plan, &arms)
        .with_context(|| input.display().to_string())?;
    Ok((
        input.display().to_string(),
        analyse(&plan, &timeline, &file.arms)?,
    ))
}
