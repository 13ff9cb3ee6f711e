//! `waypost models`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http_transport::SystemClock;
use integration_core::Clock;
use model_catalogue::ModelRecord;
use routing::Task;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use store_sqlite::ModelLatency;

use super::{Outcome, per_million, print_json, read_ledger_if_any, say, table};
use crate::app::bundled;
use crate::cli::{ModelsArgs, Sort, WrongUsage};
use crate::config::Settings;
use crate::days::listed;
use crate::environment::Environment;
use crate::report;

pub(super) async fn run(args: &ModelsArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let task: Task = match &args.task {
        Some(task) => task
            .parse()
            .map_err(|e: routing::UnknownTask| WrongUsage(e.to_string()))?,
        None => Task::Reasoning,
    };
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let latencies = latencies(&settings).await?;
    let (catalogue, prices) = bundled()?;
    let mut records: Vec<&ModelRecord> = catalogue.records().iter().collect();
    let rate = |record: &ModelRecord, key: &str| -> Option<Decimal> {
        record
            .prices
            .rates
            .get(key)?
            .parse()
            .ok()
            .filter(|rate: &Decimal| !rate.is_sign_negative())
    };
    match args.sort {
        Some(Sort::Price) => records.sort_by_key(|record| {
            let both = rate(record, "prompt").zip(rate(record, "completion"));
            // An unknown price comes last, not first.
            (
                both.is_none(),
                both.map(|(prompt, completion)| prompt + completion),
                record.id.clone(),
            )
        }),
        Some(Sort::Quality) => records.sort_by_key(|record| {
            let tenths = task
                .quality(&record.benchmarks)
                .map(|quality| (quality * 10.0).round() as i64);
            (Reverse(tenths), record.id.clone())
        }),
        Some(Sort::Latency) => records.sort_by_key(|record| {
            let times = latencies.get(record.id.as_str()).into_iter().flatten();
            // What was only timed as a whole comes after what was timed to its first text, and what was never timed comes last. Of the
            // names that a model was asked by the quickest counts.
            let times = times.map(|one| {
                let (first, total) = (one.first_content, one.total);
                (first.is_none(), first, total.is_none(), total)
            });
            let quickest = times.min().unwrap_or((true, None, true, None));
            (quickest, record.id.clone())
        }),
        None => records.sort_by_key(|record| record.id.clone()),
    }
    if args.json {
        let models: Vec<_> = records
            .into_iter()
            .map(|record| {
                let mut model = report::model(record);
                let (plain, suffixed) = names(&latencies, record);
                model["latency"] = plain.map_or(Value::Null, as_json);
                let named = |one: &ModelLatency| {
                    let mut latency = as_json(one);
                    latency["model"] = json!(one.model);
                    latency
                };
                model["latency_with_suffix"] = suffixed.map(named).collect();
                model
            })
            .collect();
        print_json(&json!({ "snapshot": prices.id(), "captured": catalogue.captured(), "models": models }))?;
        return Ok(Outcome::Done);
    }
    let mut rows = table(&[
        "model",
        "context",
        "$/M prompt",
        "$/M completion",
        task.as_str(),
        "first text ms",
        "whole ms",
        "answers",
        "abilities",
    ]);
    for record in records {
        let (plain, suffixed) = names(&latencies, record);
        rows.add_row([
            record.id.to_string(),
            record
                .context_length
                .map_or_else(unknown, |tokens| tokens.to_string()),
            per_million(rate(record, "prompt")),
            per_million(rate(record, "completion")),
            task.quality(&record.benchmarks)
                .map_or_else(unknown, |quality| quality.to_string()),
            milliseconds(plain.and_then(|latency| latency.first_content)),
            milliseconds(plain.and_then(|latency| latency.total)),
            plain.map_or_else(unknown, |latency| latency.answers.to_string()),
            record.capabilities().to_string(),
        ]);
        for one in suffixed {
            rows.add_row([
                one.model.to_string(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                milliseconds(one.first_content),
                milliseconds(one.total),
                one.answers.to_string(),
                String::new(),
            ]);
        }
    }
    say(format_args!("{rows}"))?;
    say(format_args!(
        "\n{} models, prices of {}",
        catalogue.records().len(),
        catalogue.captured()
    ))?;
    Ok(Outcome::Done)
}

/// How far back answers say how fast a model is: providers change.
const TIMED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// By the listed model, how fast each of the names was that it has been asked by: a suffix such as `:nitro` asks for other hosts, so
/// their medians are not thrown together.
type Latencies = BTreeMap<String, Vec<ModelLatency>>;

/// How fast the models have been by the ledger, if there is one.
async fn latencies(settings: &Settings) -> anyhow::Result<Latencies> {
    let Some(ledger) = read_ledger_if_any(settings)? else {
        return Ok(BTreeMap::new());
    };
    let since = SystemClock
        .wall()
        .checked_sub(TIMED)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    let mut latencies = Latencies::new();
    for one in ledger.latencies(since, settings.is_simulated()).await? {
        latencies.entry(listed(&one.model)).or_default().push(one);
    }
    Ok(latencies)
}

/// How fast a model was by its listed name, and by those with a suffix.
fn names<'a>(
    latencies: &'a Latencies,
    record: &'a ModelRecord,
) -> (Option<&'a ModelLatency>, impl Iterator<Item = &'a ModelLatency>) {
    let all = latencies.get(record.id.as_str()).map_or(&[][..], Vec::as_slice);
    let plain = all.iter().find(|one| one.model == record.id);
    (plain, all.iter().filter(|one| one.model != record.id))
}

fn as_json(latency: &ModelLatency) -> Value {
    let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1_000.0);
    json!({
        "first_content_ms": ms(latency.first_content),
        "first_content_of": latency.first_content_of,
        "total_ms": ms(latency.total),
        "answers": latency.answers,
    })
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(unknown, |time| time.as_millis().to_string())
}

fn unknown() -> String {
    "–".to_owned()
}
