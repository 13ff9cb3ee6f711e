//! `waypost price`.

use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, bail};
use costing::{
    Charge, Cost, CostStatus, MarkupRule, MarkupSubject, Pico, PriceBook, PriceSheet, Quantities, UtcTime,
};
use integration_core::{ModelId, Usage};
use model_catalogue::Catalogue;
use rust_decimal::Decimal;
use serde_json::json;

use super::{Outcome, print_json, say, table};
use crate::app::bundled;
use crate::cli::{PriceArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use crate::report;

pub(super) fn run(args: &PriceArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let usage = Usage::from_json(&read(&args.usage)?)
        .with_context(|| format!("the usage in {} cannot be read", source(&args.usage)))?;
    let at = instant(args.at.as_deref())?;
    let (snapshot, sheet, model) = sheet(args)?;
    let mut subject = MarkupSubject::default();
    subject.model = model.as_ref();
    let rule = settings.markups.rule_for(subject);
    let quantities = Quantities::from_usage(&usage)
        .with_context(|| format!("the usage in {} cannot be priced", source(&args.usage)))?;
    let cost = match sheet.cost(&quantities, at) {
        Ok(cost) => Some(cost),
        Err(unpriced) => {
            eprintln!("waypost: {unpriced}");
            None
        }
    };
    let status = if cost.is_some() {
        CostStatus::Computed
    } else {
        CostStatus::Unpriced
    };
    let charge = match &cost {
        Some(cost) => Charge::known(Pico::from_decimal(cost.total())?, rule, status)?,
        None => Charge::unknown(rule.share(), status),
    };
    if args.json {
        let mut object = report::charge(&charge);
        object.insert("buckets".to_owned(), buckets(cost.as_ref()));
        object.insert("price_snapshot".to_owned(), json!(snapshot));
        if let Some(reported) = usage.reported.total() {
            object.insert("reported_usd".to_owned(), json!(reported.normalize().to_string()));
        }
        print_json(&object)?;
    } else {
        print(cost.as_ref(), &charge, rule, &snapshot, usage.reported.total())?;
    }
    Ok(if cost.is_some() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn source(name: &str) -> &str {
    if name == "-" { "standard input" } else { name }
}

fn read(name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = match name {
        "-" => std::io::stdin().read_to_string(&mut text),
        file => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.with_context(|| format!("{} cannot be read", source(name)))?;
    Ok(text)
}

fn instant(text: Option<&str>) -> anyhow::Result<UtcTime> {
    let Some(text) = text else {
        #[expect(clippy::disallowed_methods, reason = "a command reads the time once, here")]
        return Ok(UtcTime::from(SystemTime::now()));
    };
    let at: jiff::Timestamp = text.parse().map_err(|_| {
        WrongUsage(format!(
            "'{text}' is not an instant; write it like 2026-08-22T12:00:00Z"
        ))
    })?;
    Ok(UtcTime::from(SystemTime::from(at)))
}

/// The prices, their name, and the model they are of, where they are of one.
fn sheet(args: &PriceArgs) -> anyhow::Result<(String, PriceSheet, Option<ModelId>)> {
    if let Some(file) = &args.rates {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("the prices {} cannot be read", file.display()))?;
        let sheet = PriceSheet::from_pricing_json(&text)
            .with_context(|| format!("the prices in {} are not valid", file.display()))?;
        return Ok((format!("file:{}", file.display()), sheet, None));
    }
    let name = args.model.as_deref().unwrap_or_default();
    let (catalogue, prices) = match &args.prices {
        Some(file) => catalogue(file)?,
        None => {
            let (catalogue, prices) = bundled()?;
            (catalogue.as_ref().clone(), prices.as_ref().clone())
        }
    };
    let Some(record) = catalogue.resolve(name) else {
        bail!(WrongUsage(format!(
            "there is no model '{name}' in the catalogue; `waypost models` lists those there are"
        )));
    };
    let sheet = prices
        .sheet(&record.id)
        .with_context(|| format!("the prices of {name} are not understood"))?;
    Ok((prices.id().to_owned(), sheet.clone(), Some(record.id.clone())))
}

fn catalogue(file: &Path) -> anyhow::Result<(Catalogue, PriceBook)> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the catalogue {} cannot be read", file.display()))?;
    let catalogue =
        Catalogue::read(&text).with_context(|| format!("the catalogue {} is not valid", file.display()))?;
    let (prices, problems) = PriceBook::from_catalogue(&catalogue);
    for problem in problems {
        tracing::warn!(%problem, "a price of the catalogue is not understood");
    }
    Ok((catalogue, prices))
}

fn plain(amount: Decimal) -> String {
    amount.normalize().to_string()
}

fn buckets(cost: Option<&Cost>) -> serde_json::Value {
    cost.into_iter()
        .flat_map(Cost::lines)
        .map(|line| {
            json!({
                "bucket": line.bucket.as_str(),
                "quantity": line.quantity,
                "unit_price_usd": plain(line.unit_price),
                "amount_usd": plain(line.amount),
            })
        })
        .collect()
}

fn print(
    cost: Option<&Cost>,
    charge: &Charge,
    rule: MarkupRule,
    snapshot: &str,
    reported: Option<Decimal>,
) -> anyhow::Result<()> {
    let mut rows = table(&["bucket", "quantity", "$ each", "$"]);
    for line in cost.into_iter().flat_map(Cost::lines) {
        rows.add_row([
            line.bucket.as_str().to_owned(),
            line.quantity.to_string(),
            plain(line.unit_price),
            plain(line.amount),
        ]);
    }
    say(format_args!("{rows}\n"))?;
    let shown =
        |amount: Option<Pico>| amount.map_or_else(|| "unknown".to_owned(), |amount| format!("${amount}"));
    say(format_args!("cost    {}", shown(charge.cost)))?;
    let fee = charge.cost.map_or(Pico::ZERO, |cost| rule.fee_on(cost));
    let fee = if fee == Pico::ZERO {
        String::new()
    } else {
        format!(" and a fee of ${fee}")
    };
    say(format_args!(
        "markup  {} ({} basis points{fee})",
        shown(charge.markup),
        charge.markup_bps
    ))?;
    say(format_args!("charge  {}", shown(charge.charge)))?;
    say(format_args!(
        "status  {}, prices {snapshot}",
        charge.status.as_str()
    ))?;
    if let Some(reported) = reported {
        say(format_args!("the provider reported ${}", plain(reported)))?;
    }
    Ok(())
}
