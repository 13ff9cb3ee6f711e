//! The list of models and the list of upstreams, in the service's shape.

use model_catalogue::{Catalogue, ModelRecord, PriceStrings};
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::upstream;

/// The entries of `GET /models`, in the order of the catalogue. Prose is not in the catalogue; in its place stands that the
/// entry is simulated.
pub(crate) fn models(catalogue: &Catalogue) -> Vec<Value> {
    catalogue
        .records()
        .iter()
        .map(|record| model(record, catalogue.captured()))
        .collect()
}

fn model(record: &ModelRecord, captured: &str) -> Value {
    let modality = |list: &[String]| list.join("+");
    let mut entry = json!({
        "id": record.id,
        "canonical_slug": record.canonical_slug,
        "hugging_face_id": null,
        "name": record.id,
        "created": record.created.unwrap_or_default(),
        "description": format!("Simulated. The facts and prices are those of {captured}."),
        "context_length": record.context_length,
        "architecture": {
            "modality": format!("{}->{}", modality(&record.input_modalities), modality(&record.output_modalities)),
            "input_modalities": record.input_modalities,
            "output_modalities": record.output_modalities,
            "tokenizer": record.tokenizer.as_deref().unwrap_or("Other"),
            "instruct_type": null,
        },
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
        let indices = serde_json::to_value(record.benchmarks).unwrap_or_default();
        fields.insert("benchmarks".to_owned(), json!({ "artificial_analysis": indices }));
    }
    if let Some(target) = &record.alias_target {
        fields.insert(
            "alias_target".to_owned(),
            json!({ "name": target, "slug": target }),
        );
    }
    entry
}

fn pricing(prices: &PriceStrings) -> Value {
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

/// The body of `GET /models` for a query: the whole list, or the part that `offset`, `limit` and `supported_parameters` leave.
pub(crate) fn models_page(models: &[Value], query: &str) -> Result<Value, Problem> {
    let (mut offset, mut limit) = (None, None);
    let mut needed: Vec<&str> = Vec::new();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let number = || {
            value
                .parse::<usize>()
                .map_err(|_| Problem::invalid(format!("{name}: expected a number")))
        };
        match name {
            "offset" => offset = Some(number()?),
            "limit" => limit = Some(number()?).filter(|limit| (1..=1000).contains(limit)),
            "supported_parameters" => needed.extend(value.split(',').filter(|name| !name.is_empty())),
            _ => {}
        }
        if name == "limit" && limit.is_none() {
            return Err(Problem::invalid("limit: expected a number from 1 to 1000"));
        }
    }
    let fits = |model: &&Value| {
        let supported = model["supported_parameters"].as_array();
        needed
            .iter()
            .all(|name| supported.is_some_and(|list| list.iter().any(|one| one == name)))
    };
    let found: Vec<&Value> = models.iter().filter(fits).collect();
    let total = found.len();
    let (start, size) = match (offset, limit) {
        (None, None) => (0, total),
        (offset, limit) => (offset.unwrap_or(0), limit.unwrap_or(500)),
    };
    let page: Vec<&Value> = found.into_iter().skip(start).take(size).collect();
    let end = start.saturating_add(page.len());
    let next = (end < total).then(|| format!("/api/v1/models?offset={end}&limit={size}"));
    Ok(json!({ "data": page, "total_count": total, "links": { "next": next } }))
}

/// The body of `GET /providers`.
pub(crate) fn providers() -> Value {
    let entry = |upstream: upstream::Upstream| {
        json!({
            "name": upstream.name, "slug": upstream.slug, "privacy_policy_url": null, "terms_of_service_url": null,
            "status_page_url": null, "headquarters": null, "datacenters": null,
        })
    };
    json!({ "data": upstream::all().into_iter().map(entry).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use model_catalogue::openrouter::read_models;

    use super::*;

    #[test]
    fn the_list_reads_back_as_the_catalogue() {
        let catalogue = Catalogue::bundled().unwrap();
        let page = models_page(&models(&catalogue), "").unwrap();
        assert_eq!(page["links"]["next"], Value::Null);
        let (records, unknown) = read_models(&page.to_string()).unwrap();
        assert!(unknown.is_empty(), "{unknown:?}");
        let read = Catalogue::new(catalogue.captured(), catalogue.provider().clone(), records).unwrap();
        for (read, kept) in read.records().iter().zip(catalogue.records()) {
            assert_eq!(read, kept);
        }
        assert_eq!(read.id(), catalogue.id());
    }

    #[test]
    fn the_list_comes_in_pages() {
        let models: Vec<Value> =
            (0..7).map(|number| json!({ "id": number, "supported_parameters": if number < 3 { json!(["tools"]) } else { json!([]) } })).collect();
        let page = models_page(&models, "offset=2&limit=3").unwrap();
        assert_eq!(
            (
                page["data"].as_array().unwrap().len(),
                page["total_count"].as_u64()
            ),
            (3, Some(7))
        );
        assert_eq!(page["links"]["next"], "/api/v1/models?offset=5&limit=3");
        assert_eq!(
            models_page(&models, "offset=5&limit=3").unwrap()["links"]["next"],
            Value::Null
        );
        assert_eq!(
            models_page(&models, "supported_parameters=tools").unwrap()["total_count"],
            3
        );
        assert_eq!(models_page(&models, "category=x&flag").unwrap()["total_count"], 7);
        for bad in ["limit=0", "limit=1001", "offset=x"] {
            assert_eq!(models_page(&models, bad).unwrap_err().status, 400);
        }
    }

    #[test]
    fn the_upstreams_have_names_and_slugs() {
        let page = providers();
        assert!(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["name"] == "Amazon Bedrock" && one["slug"] == "amazon-bedrock")
        );
    }
}
