//! Who serves which model, as the service lists it.

use std::collections::BTreeMap;

use model_catalogue::ModelRecord;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Percentiles};
use crate::routes::entries::{architecture, description, pricing};
use crate::routes::models::{named, no_model};
use crate::routes::more_models::OTHERS;
use crate::routes::page::{Call, Page, Refusal};
use crate::simulation::Simulation;
use crate::upstream;

fn percentiles(figures: Percentiles) -> Value {
    json!({ "p50": figures.p50, "p75": figures.p75, "p90": figures.p90, "p99": figures.p99 })
}

/// An endpoint. How fast it is, only those are told who come with a key.
fn entry(record: &ModelRecord, endpoint: &Endpoint, status: i32, with_key: bool) -> Value {
    let takes = |name: &str| endpoint.parameters.iter().any(|one| one == name);
    let (tools, choice) = (takes("tools"), takes("tool_choice"));
    let figures = |figures: Percentiles| with_key.then(|| percentiles(figures));
    let cache = record.prices.rates.contains_key("input_cache_read");
    json!({
        "name": format!("{} | {}", endpoint.upstream.name, record.canonical_slug),
        "model_id": record.id,
        "model_name": record.id,
        "context_length": endpoint.context_length.unwrap_or_default(),
        "pricing": pricing(&endpoint.prices),
        "provider_name": endpoint.upstream.name,
        "tag": endpoint.tag,
        "service_tier": endpoint.tier.map(|tier| tier.name()),
        "quantization": endpoint.quantization,
        "max_completion_tokens": endpoint.max_completion_tokens,
        "max_prompt_tokens": null,
        "supported_parameters": endpoint.parameters,
        "supports_tool_choice": { "none": tools, "auto": tools, "required": choice, "function": choice },
        "native_tools": {},
        "status": status,
        "uptime_last_30m": endpoint.uptime,
        "uptime_last_5m": endpoint.uptime,
        "uptime_last_1d": endpoint.uptime,
        "latency_last_30m": figures(endpoint.latency),
        "throughput_last_30m": figures(endpoint.throughput),
        "supports_implicit_caching": cache && record.id.author() == Some("openai"),
        "supports_diarization": false,
    })
}

/// `GET /models/{author}/{slug}/endpoints`.
pub(crate) fn of_model(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let name = named(call);
    let listing = &simulation.listing;
    let found = listing.follow(&name);
    // A variant that a model does not have is a model that nobody serves, and no unknown one.
    let base = || listing.follow(name.split(':').next().unwrap_or_default());
    let record = found.or_else(base).ok_or_else(|| no_model(&name))?;
    let all = found.map(|record| simulation.endpoints_of(record));
    let now = simulation.moment();
    let endpoints: Vec<Value> = all
        .iter()
        .flat_map(|all| all.iter())
        .map(|endpoint| {
            let status = simulation.status_of(record, endpoint, now);
            entry(record, endpoint, status, call.caller.is_some())
        })
        .collect();
    Ok(Page::json(&json!({ "data": {
        "id": if found.is_some() { record.id.as_str() } else { name.as_str() },
        "name": record.id,
        "created": record.created.unwrap_or_default(),
        "description": description(listing.captured()),
        "architecture": architecture(record),
        "endpoints": endpoints,
    } })))
}

/// `GET /endpoints/zdr`: every endpoint that keeps nothing.
pub(crate) fn zdr(simulation: &Simulation, call: &Call<'_>) -> Page {
    let mut data = Vec::new();
    let now = simulation.moment();
    for record in simulation.listing.records() {
        if record.is_alias() || record.id.author() == Some("openrouter") {
            continue;
        }
        let all = simulation.endpoints_of(record);
        let keeps_nothing = all.iter().filter(|endpoint| endpoint.zdr);
        data.extend(keeps_nothing.map(|endpoint| {
            let status = simulation.status_of(record, endpoint, now);
            entry(record, endpoint, status, call.caller.is_some())
        }));
    }
    Page::json(&json!({ "data": data }))
}

/// `GET /providers`.
pub(crate) fn providers() -> Page {
    let others = OTHERS.iter().map(|model| model.upstream);
    let all: BTreeMap<&str, &str> = upstream::all()
        .into_iter()
        .chain(others)
        .map(|upstream| (upstream.slug, upstream.name))
        .collect();
    let entry = |(slug, name): (&str, &str)| {
        json!({
            "name": name, "slug": slug, "privacy_policy_url": null, "terms_of_service_url": null,
            "status_page_url": null, "headquarters": null, "datacenters": null,
        })
    };
    let data: Vec<Value> = all.into_iter().map(entry).collect();
    Page::json(&json!({ "data": data }))
}
