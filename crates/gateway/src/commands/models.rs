//! `waypost models`.

use std::cmp::Reverse;

use model_catalogue::{Benchmarks, ModelRecord};
use routing::Task;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::{Outcome, WrongUsage, per_million, print_json, table};
use crate::app::bundled;
use crate::cli::{ModelsArgs, Sort};
use crate::environment::Environment;

/// A model as JSON: what it holds, what it can do, its price strings, its quality.
pub fn model_json(record: &ModelRecord) -> Value {
    let capabilities: Vec<_> = record
        .capabilities()
        .iter()
        .map(|capability| capability.as_str())
        .collect();
    let mut pricing: Map<String, Value> = record
        .prices
        .rates
        .iter()
        .map(|(name, rate)| (name.clone(), json!(rate)))
        .collect();
    if !record.prices.overrides.is_empty() {
        pricing.insert("overrides".to_owned(), json!(record.prices.overrides));
    }
    json!({
        "id": record.id,
        "canonical_slug": record.canonical_slug,
        "context_length": record.context_length,
        "max_completion_tokens": record.max_completion_tokens,
        "input_modalities": record.input_modalities,
        "output_modalities": record.output_modalities,
        "capabilities": capabilities,
        "pricing": pricing,
        "quality": {
            "reasoning": quality(&record.benchmarks, Task::Reasoning),
            "coding": quality(&record.benchmarks, Task::Coding),
            "agentic": quality(&record.benchmarks, Task::Agentic),
        },
        "expiration_date": record.expiration_date,
    })
}

fn quality(benchmarks: &Benchmarks, task: Task) -> Option<f64> {
    task.quality(benchmarks)
}

pub(super) fn run(args: &ModelsArgs, _env: &Environment) -> anyhow::Result<Outcome> {
    if args.sort == Some(Sort::Latency) {
        return Err(
            WrongUsage("latency is not measured yet, so nothing can be sorted by it".to_owned()).into(),
        );
    }
    let task: Task = match &args.task {
        Some(task) => task
            .parse()
            .map_err(|e: routing::UnknownTask| WrongUsage(e.to_string()))?,
        None => Task::Reasoning,
    };
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
            let tenths = quality(&record.benchmarks, task).map(|quality| (quality * 10.0).round() as i64);
            (Reverse(tenths), record.id.clone())
        }),
        _ => records.sort_by_key(|record| record.id.clone()),
    }
    if args.json {
        let models: Vec<_> = records.into_iter().map(model_json).collect();
        print_json(&json!({ "snapshot": prices.id(), "captured": catalogue.captured(), "models": models }))?;
        return Ok(Outcome::Done);
    }
    let mut rows = table(&[
        "model",
        "context",
        "$/M prompt",
        "$/M completion",
        task.as_str(),
        "abilities",
    ]);
    for record in records {
        rows.add_row([
            record.id.to_string(),
            record
                .context_length
                .map_or_else(|| "–".to_owned(), |tokens| tokens.to_string()),
            per_million(rate(record, "prompt")),
            per_million(rate(record, "completion")),
            quality(&record.benchmarks, task).map_or_else(|| "–".to_owned(), |quality| quality.to_string()),
            record.capabilities().to_string(),
        ]);
    }
    println!("{rows}");
    println!(
        "\n{} models, prices of {}",
        catalogue.records().len(),
        catalogue.captured()
    );
    Ok(Outcome::Done)
}
