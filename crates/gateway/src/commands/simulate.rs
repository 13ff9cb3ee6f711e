//! `waypost simulate`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context;
use costing::{Pico, PicoSum};
use http_transport::SystemClock;
use integration_core::{Clock, printable};
use routing_learned::sim::{Figure, Policy, PolicyReport, Report, Scenario, World, policy, simulate};

use super::{Outcome, Progress, print_json, say, table};
use crate::app::bundled;
use crate::cli::{SimulateArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use crate::learned::{LearnedPolicy, Simulated};
use crate::quality::Sources;

/// The longest scenario file in bytes.
const MOST_SCENARIO: u64 = 32 << 20;
/// So much of what is wrong with a file is said.
const LONGEST_MESSAGE: usize = 400;
/// So many models of a policy are shown to people.
const MODELS_SHOWN: usize = 3;

const UNKNOWN: &str = "–";

pub(super) fn run(args: &SimulateArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let scenario = scenario(args, &settings)?;
    let (catalogue, prices) = bundled()?;
    let sources = Sources::new(&settings, &catalogue, &prices);
    let world = World::new(
        &scenario,
        &catalogue,
        &sources.base,
        &sources.facts,
        &settings.markups,
    );
    let wrong = |message: String| WrongUsage(message);
    let world = world.map_err(|error| wrong(in_scenario(args, &error.to_string())))?;
    let of_word = |word: &String| -> Result<Box<dyn Policy>, WrongUsage> {
        let Some(entry) = settings.learned_of(word) else {
            return policy(word, &world).map_err(|error| wrong(error.to_string()));
        };
        let kinds = &scenario.request;
        if kinds.is_empty() || kinds.iter().any(|kind| kind.prompts.is_empty()) {
            return Err(wrong(format!(
                "'{word}' looks at prompts, and not every [[request]] of the scenario has some"
            )));
        }
        let own = LearnedPolicy::read(entry, &settings, |model| catalogue.resolve(model).is_some())
            .and_then(|own| Simulated::new(own, &catalogue));
        own.map(|own| Box::new(own) as Box<dyn Policy>)
            .map_err(|error| wrong(format!("{error:#}")))
    };
    let mut policies = scenario
        .policies
        .iter()
        .map(of_word)
        .collect::<Result<Vec<_>, _>>()?;
    let bar = Progress::new(world.requests().saturating_mul(policies.len()), "requests");
    let report = simulate(&world, &mut policies, SystemClock.now(), &mut || bar.step());
    // The bar goes before anything is said.
    drop(bar);
    let report = report.map_err(|error| wrong(error.to_string()))?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    if report.policies.iter().all(|one| one.succeeded == 0) {
        eprintln!("waypost: no policy answered a single request");
        return Ok(Outcome::Failed);
    }
    Ok(Outcome::Done)
}

/// What the file says, and over it what the command line says.
fn scenario(args: &SimulateArgs, settings: &Settings) -> anyhow::Result<Scenario> {
    let mut scenario = match &args.scenario {
        Some(path) => read(path)?,
        None => Scenario::default(),
    };
    scenario.requests = args.requests.unwrap_or(scenario.requests);
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    scenario.min_quality = args
        .min_quality
        .or(scenario.min_quality)
        .or(Some(settings.min_quality));
    let task = args.task.clone().or(scenario.task);
    scenario.task = Some(task.unwrap_or_else(|| settings.task.to_string()));
    if !args.policy.is_empty() {
        scenario.policies.clone_from(&args.policy);
    }
    Ok(scenario)
}

fn read(path: &Path) -> anyhow::Result<Scenario> {
    let name = path.display();
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("the scenario {name} cannot be read"))?;
    file.take(MOST_SCENARIO + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("the scenario {name} cannot be read"))?;
    if text.len() as u64 > MOST_SCENARIO {
        return Err(WrongUsage(format!(
            "the scenario {name} is longer than {MOST_SCENARIO} bytes"
        ))
        .into());
    }
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or_else(String::new, |before| {
            format!(", line {}", before.matches('\n').count() + 1)
        });
        let message = printable(error.message().to_owned(), LONGEST_MESSAGE);
        WrongUsage(format!("the scenario {name}{line}: {message}")).into()
    })
}

fn in_scenario(args: &SimulateArgs, message: &str) -> String {
    match &args.scenario {
        Some(path) => format!("the scenario {}: {message}", path.display()),
        None => message.to_owned(),
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    let hours = report.last_request_s / 3_600.0;
    say(format_args!(
        "{} simulated requests within {hours:.1} hours, seed {}: a model, not a measurement\n",
        report.requests, report.seed
    ))?;
    let mut rows = table(&[
        "policy",
        "success",
        "quality",
        "cost",
        "markup",
        "charge",
        "cost/success",
        "p50",
        "p95",
        "attempts",
    ]);
    for one in &report.policies {
        rows.add_row([
            one.policy.clone(),
            format!("{:.2} %", 100.0 * one.success),
            one.quality
                .map_or_else(|| UNKNOWN.to_owned(), |figure| with_error(figure, 100.0, 1, " %")),
            sum(one.cost_usd),
            sum(one.markup_usd),
            sum(one.charge_usd),
            one.cost_per_success_usd
                .map_or_else(|| UNKNOWN.to_owned(), dollars),
            seconds(one.latency_p50_ms),
            seconds(one.latency_p95_ms),
            format!("{:.3}", one.attempts_per_request),
        ]);
    }
    say(rows)?;
    differences(report)?;
    asked(report)?;
    for one in &report.policies {
        trouble(one)?;
    }
    let first = report
        .prices
        .first()
        .map_or("", |prices| prices.snapshot.as_str());
    let changes = report.prices.len().saturating_sub(1);
    say(format_args!("\nprices of {first}, changed {changes} times"))
}

/// The other policies against the first, request by request.
fn differences(report: &Report) -> anyhow::Result<()> {
    let Some((first, others)) = report
        .policies
        .split_first()
        .filter(|(_, others)| !others.is_empty())
    else {
        return Ok(());
    };
    let against = format!("against {}", first.policy);
    let mut rows = table(&[&against, "success", "quality", "cost a request", "latency"]);
    for one in others {
        let Some(difference) = &one.difference else {
            continue;
        };
        let show = |figure: Option<Figure>, scale: f64, digits: usize, unit: &str| {
            figure.map_or_else(
                || UNKNOWN.to_owned(),
                |figure| with_error(figure, scale, digits, unit),
            )
        };
        let cost = difference.cost.map_or_else(
            || UNKNOWN.to_owned(),
            |cost| {
                let se = cost
                    .se_usd
                    .map_or_else(String::new, |se| format!(" ± {}", dollars(se)));
                format!("{}{se}", dollars(cost.mean_usd))
            },
        );
        rows.add_row([
            one.policy.clone(),
            show(difference.success, 100.0, 2, " points"),
            show(difference.quality, 100.0, 1, " points"),
            cost,
            show(difference.latency_ms, 0.001, 3, " s"),
        ]);
    }
    say(format_args!(
        "\n{rows}\n± is one standard error, of the differences request by request"
    ))
}

fn asked(report: &Report) -> anyhow::Result<()> {
    let mut rows = table(&["policy", "asked the most"]);
    for one in &report.policies {
        let share = |attempts: u64| 100.0 * attempts as f64 / one.attempts.max(1) as f64;
        let models = one.models.iter().take(MODELS_SHOWN);
        let mut models: Vec<_> = models
            .map(|model| format!("{} {:.1} %", model.model, share(model.attempts)))
            .collect();
        if one.models.len() > MODELS_SHOWN {
            models.push(format!("{} more", one.models.len() - MODELS_SHOWN));
        }
        rows.add_row([one.policy.clone(), models.join(", ")]);
    }
    say(format_args!("\n{rows}"))
}

/// What failed, and what nobody knows.
fn trouble(one: &PolicyReport) -> anyhow::Result<()> {
    let counts = |counts: &BTreeMap<&'static str, u64>| {
        let counts: Vec<_> = counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        counts.join(", ")
    };
    if !one.failed_attempts.is_empty() {
        say(format_args!(
            "\n{}: failed attempts: {}",
            one.policy,
            counts(&one.failed_attempts)
        ))?;
    }
    if one.failed > 0 {
        say(format_args!(
            "{}: failed requests: {}",
            one.policy,
            counts(&one.failed_requests)
        ))?;
    }
    if one.quality_unknown > 0 {
        let unknown = one.quality_unknown;
        say(format_args!(
            "{}: answers of unknown quality: {unknown}",
            one.policy
        ))?;
    }
    if one.cost_unknown > 0 {
        let unknown = one.cost_unknown;
        say(format_args!(
            "{}: requests of unknown cost: {unknown}",
            one.policy
        ))?;
    }
    Ok(())
}

fn with_error(figure: Figure, scale: f64, digits: usize, unit: &str) -> String {
    let se = figure
        .se
        .map_or_else(String::new, |se| format!(" ± {:.digits$}", se * scale));
    format!("{:.digits$}{se}{unit}", figure.mean * scale)
}

fn dollars(amount: Pico) -> String {
    match amount.to_string().strip_prefix('-') {
        Some(amount) => format!("-${amount}"),
        None => format!("${amount}"),
    }
}

fn sum(amount: Option<PicoSum>) -> String {
    amount.map_or_else(|| UNKNOWN.to_owned(), |amount| format!("${amount}"))
}

fn seconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| UNKNOWN.to_owned(), |ms| format!("{:.2} s", ms / 1_000.0))
}
