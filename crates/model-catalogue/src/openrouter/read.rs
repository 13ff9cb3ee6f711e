//! From the JSON of the list to records.

use integration_core::ModelId;
use serde_json::{Map, Value};

use super::fields::{Fields, Reporter, object, text, type_of};
use super::{PRICE_KEYS, Problem, UnknownField};
use crate::day::Day;
use crate::error::CatalogueError;
use crate::file::malformed;
use crate::price::{PriceOverride, PriceStrings, Rates, is_hhmm};
use crate::record::{Benchmarks, ModelRecord, ReasoningSupport};

pub(super) struct Answer {
    pub(super) models_in: usize,
    pub(super) records: Vec<ModelRecord>,
    pub(super) unknown: Vec<UnknownField>,
    /// Where the answer is one page only: how many models there are, as far as it says.
    pub(super) incomplete: Option<String>,
}

pub(super) fn answer(json: &str) -> Result<Answer, CatalogueError> {
    let Ok(top) = object(parse(json)?) else {
        return Err(shape("the answer is not a JSON object"));
    };
    let mut reporter = Reporter::default();
    let mut top = Fields::new(top, "$.", &mut reporter);
    let Some(entries) = top.array("data") else {
        return Err(shape(
            "the answer has no array 'data', so it is not a list of models",
        ));
    };
    if entries.is_empty() {
        return Err(CatalogueError::Empty);
    }
    let total = top.u64("total_count");
    let next = top.object("links", "$.links.").and_then(|mut links| {
        let next = links.string("next");
        links.finish();
        next
    });
    top.finish();

    let models_in = entries.len();
    let incomplete = match total {
        Some(total) if total != models_in as u64 => Some(total.to_string()),
        _ => next.map(|_| "more".to_owned()),
    };
    let mut records = Vec::with_capacity(models_in);
    for (place, entry) in entries.into_iter().enumerate() {
        reporter.model(format!("#{place}"));
        match object(entry) {
            Ok(entry) => records.extend(record(entry, &mut reporter)),
            Err(_) => reporter.report("id".to_owned(), Problem::NoModel),
        }
    }
    Ok(Answer {
        models_in,
        records,
        unknown: reporter.into_lines(),
        incomplete,
    })
}

pub(super) fn prices_alone(json: &str) -> Result<(PriceStrings, Vec<UnknownField>), CatalogueError> {
    let Ok(pricing) = object(parse(json)?) else {
        return Err(shape("the prices are not a JSON object"));
    };
    let mut reporter = Reporter::default();
    let prices = prices(Fields::new(pricing, "pricing.", &mut reporter));
    Ok((prices, reporter.into_lines()))
}

fn parse(json: &str) -> Result<Value, CatalogueError> {
    serde_json::from_str(json).map_err(|error| malformed(&error))
}

fn shape(message: &str) -> CatalogueError {
    CatalogueError::Malformed {
        line: 1,
        column: 1,
        message: message.to_owned(),
    }
}

fn record(entry: Map<String, Value>, reporter: &mut Reporter) -> Option<ModelRecord> {
    let id = entry
        .get("id")
        .and_then(Value::as_str)
        .and_then(|id| ModelId::new(id).ok());
    let Some(id) = id else {
        reporter.report("id".to_owned(), Problem::NoModel);
        return None;
    };
    reporter.model(id.to_string());
    let mut fields = Fields::new(entry, "", reporter);
    let _ = fields.string("id");
    let mut record = ModelRecord::new(id);

    match fields.string("canonical_slug").filter(|slug| !slug.is_empty()) {
        Some(slug) => record.canonical_slug = slug,
        None => fields.report("canonical_slug", Problem::Missing),
    }
    record.created = fields.i64("created");
    record.context_length = fields.u64("context_length");
    record.supported_parameters = fields.strings("supported_parameters").unwrap_or_default();
    record.knowledge_cutoff = fields.string("knowledge_cutoff");
    record.expiration_date = fields.take("expiration_date", |value| match text(value)? {
        date if Day::parse(&date).is_some() => Ok(date),
        other => Err(Value::String(other)),
    });
    match fields.object("architecture", "architecture.") {
        Some(mut architecture) => {
            record.input_modalities = architecture.strings("input_modalities").unwrap_or_default();
            record.output_modalities = architecture.strings("output_modalities").unwrap_or_default();
            record.tokenizer = architecture.string("tokenizer");
            architecture.finish();
        }
        None => fields.report("architecture", Problem::Missing),
    }
    if let Some(mut top) = fields.object("top_provider", "top_provider.") {
        record.top_context_length = top.u64("context_length");
        record.max_completion_tokens = top.u64("max_completion_tokens");
        record.moderated = top.bool("is_moderated");
        top.finish();
    }
    match fields.object("pricing", "pricing.") {
        Some(pricing) => record.prices = prices(pricing),
        None => fields.report("pricing", Problem::Missing),
    }
    if let Some(mut published) = fields.object("benchmarks", "benchmarks.") {
        if let Some(indices) = published.object("artificial_analysis", "benchmarks.artificial_analysis.") {
            record.benchmarks = benchmarks(indices);
        }
        published.finish();
    }
    record.reasoning = fields.object("reasoning", "reasoning.").map(reasoning);
    record.alias_target = fields
        .object("alias_target", "alias_target.")
        .and_then(|mut target| {
            let slug = target.take("slug", |value| match value.as_str().map(ModelId::new) {
                Some(Ok(id)) => Ok(id),
                _ => Err(value),
            });
            target.finish();
            slug
        });
    fields.finish();
    Some(record)
}

fn benchmarks(mut fields: Fields<'_>) -> Benchmarks {
    let indices = Benchmarks {
        intelligence_index: fields.f64("intelligence_index"),
        coding_index: fields.f64("coding_index"),
        agentic_index: fields.f64("agentic_index"),
    };
    fields.finish();
    indices
}

fn reasoning(mut fields: Fields<'_>) -> ReasoningSupport {
    let mandatory = fields.bool("mandatory");
    if mandatory.is_none() {
        fields.report("mandatory", Problem::Missing);
    }
    let support = ReasoningSupport {
        mandatory: mandatory.unwrap_or(false),
        supported_efforts: fields.strings("supported_efforts"),
        default_effort: fields.string("default_effort"),
        default_enabled: fields.bool("default_enabled"),
        supports_max_tokens: fields.bool("supports_max_tokens"),
    };
    fields.finish();
    support
}

/// Every string is a price, known or not. Anything else is one of the two known exceptions, or reported.
fn prices(mut fields: Fields<'_>) -> PriceStrings {
    let discount = fields.take("discount", |value| match value {
        Value::Number(number) => Ok(number.to_string()),
        other => Err(other),
    });
    let entries = fields.array("overrides").unwrap_or_default();
    let mut rates = Rates::new();
    while let Some((key, value)) = fields.next_left() {
        let is_known = PRICE_KEYS.contains(&key.as_str());
        match value {
            Value::String(price) if !price.is_empty() => {
                if !is_known {
                    fields.report(&key, Problem::Unknown);
                }
                rates.insert(key, price);
            }
            Value::Null if is_known => {}
            other if is_known => fields.unexpected(&key, &other),
            _ => fields.report(&key, Problem::Unknown),
        }
    }
    let mut overrides = Vec::with_capacity(entries.len());
    for entry in entries {
        match object(entry) {
            Ok(entry) => {
                let entry = Fields::new(entry, "pricing.overrides[].", fields.reporter());
                overrides.push(price_override(entry, &rates));
            }
            Err(entry) => {
                fields.unexpected("overrides[]", &entry);
                // Its place must not look empty: some price holds there that nobody can read.
                let unreadable = vec![format!("[]={entry}")];
                overrides.push(PriceOverride {
                    unknown_conditions: unreadable,
                    ..PriceOverride::default()
                });
            }
        }
    }
    PriceStrings {
        rates,
        discount,
        overrides,
    }
}

/// A string is a price if its key is known as one, or is among the model's own prices. Everything else is a condition, and
/// one that is not understood is kept as such: an override must not seem to hold always because its condition was dropped.
fn price_override(mut fields: Fields<'_>, base: &Rates) -> PriceOverride {
    let mut entry = PriceOverride::default();
    while let Some((key, value)) = fields.next_left() {
        let is_price = PRICE_KEYS.contains(&key.as_str()) || base.contains_key(&key);
        let hhmm = || {
            value
                .as_u64()
                .filter(|time| is_hhmm(*time))
                .and_then(|time| u16::try_from(time).ok())
        };
        let is_condition = matches!(
            key.as_str(),
            "min_prompt_tokens" | "utc_start" | "utc_end" | "utc_days"
        );
        let understood = match key.as_str() {
            _ if value.is_null() && (is_price || is_condition) => true,
            "min_prompt_tokens" => set(&mut entry.min_prompt_tokens, value.as_u64()),
            "utc_start" => set(&mut entry.utc_start, hhmm()),
            "utc_end" => set(&mut entry.utc_end, hhmm()),
            "utc_days" => days(&value).is_some_and(|days| {
                entry.utc_days = days;
                true
            }),
            _ => match value.as_str() {
                Some(price) if is_price && !price.is_empty() => {
                    entry.rates.insert(key.clone(), price.to_owned());
                    true
                }
                _ => false,
            },
        };
        if !understood {
            let problem = match is_price || is_condition {
                true => Problem::Unexpected {
                    found: type_of(&value),
                },
                false => Problem::Unknown,
            };
            fields.report(&key, problem);
            entry.unknown_conditions.push(format!("{key}={value}"));
        }
    }
    entry
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// The names of days; `None` if any element is not a string, or there is none: "on no day" is nothing to guess about.
fn days(value: &Value) -> Option<Vec<String>> {
    let days: Vec<String> = value
        .as_array()?
        .iter()
        .map(|day| day.as_str().map(str::to_owned))
        .collect::<Option<_>>()?;
    (!days.is_empty()).then_some(days)
}
