//! `waypost models`.

use std::cmp::Reverse;

use model_catalogue::ModelRecord;
use routing::Task;
use rust_decimal::Decimal;
use serde_json::json;

use super::{Outcome, per_million, print_json, say, table};
use crate::app::bundled;
use crate::cli::{ModelsArgs, Sort, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use crate::report;

pub(super) fn run(args: &ModelsArgs, env: &Environment) -> anyhow::Result<Outcome> {
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
    Settings::resolve(&args.place.overrides(), env)?;
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
        _ => records.sort_by_key(|record| record.id.clone()),
    }
    if args.json {
        let models: Vec<_> = records.into_iter().map(report::model).collect();
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
            task.quality(&record.benchmarks)
                .map_or_else(|| "–".to_owned(), |quality| quality.to_string()),
            record.capabilities().to_string(),
        ]);
    }
    say(format_args!("{rows}"))?;
    say(format_args!(
        "\n{} models, prices of {}",
        catalogue.records().len(),
        catalogue.captured()
    ))?;
    Ok(Outcome::Done)
}
