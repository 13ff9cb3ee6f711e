//! Entries of the list of models, in the service's shape.

use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use serde_json::{Map, Value, json};

/// The entries of `GET /models`, in the order of the catalogue. Prose is not in the catalogue; in its place stands that the
/// entry is simulated.
pub(crate) fn models(catalogue: &Catalogue) -> Vec<Value> {
    catalogue
        .records()
        .iter()
        .map(|record| model(record, catalogue.captured()))
        .collect()
}

pub(crate) fn description(captured: &str) -> String {
    format!("Simulated. The facts and prices are those of {captured}.")
}

/// What a model takes and gives.
pub(crate) fn architecture(record: &ModelRecord) -> Value {
    let modality = |list: &[String]| list.join("+");
    json!({
        "modality": format!("{}->{}", modality(&record.input_modalities), modality(&record.output_modalities)),
        "input_modalities": record.input_modalities,
        "output_modalities": record.output_modalities,
        "tokenizer": record.tokenizer.as_deref().unwrap_or("Other"),
        "instruct_type": null,
    })
}

fn model(record: &ModelRecord, captured: &str) -> Value {
    let mut entry = json!({
        "id": record.id,
        "canonical_slug": record.canonical_slug,
        "hugging_face_id": null,
        "name": record.id,
        "created": record.created.unwrap_or_default(),
        "description": description(captured),
        "context_length": record.context_length,
        "architecture": architecture(record),
        "pricing": pricing(&record.prices),
        "top_provider": {
            "context_length": record.top_context_length,
            "max_completion_tokens": record.max_completion_tokens,
            "is_moderated": record.moderated.unwrap_or(false),
        },
        "per_request_limits": null,
        "supported_parameters": record.supported_parameters,
        "default_parameters": {},
        "supported_voices": null,
        "knowledge_cutoff": record.knowledge_cutoff,
        "expiration_date": record.expiration_date,
        "links": { "details": format!("/api/v1/models/{}/endpoints", record.canonical_slug) },
    });
    let Some(fields) = entry.as_object_mut() else {
        return entry;
    };
    if let Some(reasoning) = &record.reasoning {
        let mut support = Map::new();
        support.insert("mandatory".to_owned(), Value::from(reasoning.mandatory));
        let optional = [
            ("default_enabled", reasoning.default_enabled.map(Value::from)),
            (
                "supported_efforts",
                reasoning.supported_efforts.clone().map(Value::from),
            ),
            (
                "default_effort",
                reasoning.default_effort.clone().map(Value::from),
            ),
            (
                "supports_max_tokens",
                reasoning.supports_max_tokens.map(Value::from),
            ),
        ];
        support.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
        fields.insert("reasoning".to_owned(), Value::Object(support));
    }
    if !record.benchmarks.is_empty() {
        let Benchmarks {
            intelligence_index,
            coding_index,
            agentic_index,
            ..
        } = record.benchmarks;
        let indices = json!({
            "intelligence_index": intelligence_index, "coding_index": coding_index, "agentic_index": agentic_index,
        });
        fields.insert(
            "benchmarks".to_owned(),
            json!({ "artificial_analysis": indices, "design_arena": [] }),
        );
    }
    if let Some(target) = &record.alias_target {
        fields.insert(
            "alias_target".to_owned(),
            json!({ "name": target, "slug": target }),
        );
    }
    entry
}

pub(crate) fn pricing(prices: &PriceStrings) -> Value {
    let mut pricing: Map<String, Value> = prices
        .rates
        .iter()
        .map(|(key, price)| (key.clone(), Value::from(price.as_str())))
        .collect();
    // The discount is the one price that is a number on the wire.
    if let Some(discount) = prices
        .discount
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
    {
        pricing.insert("discount".to_owned(), discount);
    }
    let overrides = prices.overrides.iter().map(|entry| {
        let mut fields = Map::new();
        let conditions = [
            ("min_prompt_tokens", entry.min_prompt_tokens.map(Value::from)),
            ("utc_start", entry.utc_start.map(Value::from)),
            ("utc_end", entry.utc_end.map(Value::from)),
            (
                "utc_days",
                (!entry.utc_days.is_empty()).then(|| Value::from(entry.utc_days.clone())),
            ),
        ];
        fields.extend(
            conditions
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
        for unknown in &entry.unknown_conditions {
            if let Some((name, text)) = unknown.split_once('=')
                && let Ok(value) = serde_json::from_str(text)
            {
                fields.insert(name.to_owned(), value);
            }
        }
        fields.extend(
            entry
                .rates
                .iter()
                .map(|(key, price)| (key.clone(), Value::from(price.as_str()))),
        );
        Value::Object(fields)
    });
    let overrides: Vec<Value> = overrides.collect();
    if !overrides.is_empty() {
        pricing.insert("overrides".to_owned(), Value::Array(overrides));
    }
    Value::Object(pricing)
}
