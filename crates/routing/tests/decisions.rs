//! Decisions on the catalogue this release ships. They change only with the catalogue or with the rules: whoever changes a
//! line here changes what callers get.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use costing::{PriceBook, UtcTime};
use integration_core::{Capability, ModelId};
use model_catalogue::Catalogue;
use routing::{RouteRequest, Scratch, Snapshot, Task};
use rust_decimal::Decimal;

/// 2026-08-22, a Saturday, at noon.
const NOW: i64 = 1_787_400_000;

fn bundled() -> Snapshot {
    let catalogue = Catalogue::bundled().unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    Snapshot::new(&catalogue, &prices)
}

/// A request from words: `task min=… needs=a,b context=… prompt=… completion=… cost=… price=… free hours=…`.
fn request(words: &str) -> RouteRequest {
    let mut words = words.split_whitespace();
    let task: Task = words.next().unwrap().parse().unwrap();
    let mut request = RouteRequest::new(task, UtcTime::from_unix(NOW));
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let decimal = || Some(value.parse::<Decimal>().unwrap());
        match name {
            "min" => request.min_quality = Some(value.parse().unwrap()),
            "needs" => {
                request.needs = value
                    .split(',')
                    .map(|need| need.parse::<Capability>().unwrap())
                    .collect()
            }
            "context" => request.context = Some(value.parse().unwrap()),
            "prompt" => request.prompt_tokens = value.parse().unwrap(),
            "completion" => request.completion_tokens = value.parse().unwrap(),
            "cost" => request.max_cost = decimal(),
            "price" => request.max_price = decimal(),
            "free" => request.allow_free = true,
            "hours" => request.at = UtcTime::from_unix(NOW + value.parse::<i64>().unwrap() * 3_600),
            other => panic!("{other}"),
        }
    }
    request
}

/// Request; chosen model, its quality and expected cost; how many qualify.
const TABLE: &[(&str, &str)] = &[
    ("reasoning", "inclusionai/ling-2.6-flash 14.2 0.000025 of 108"),
    (
        "reasoning min=50",
        "deepseek/deepseek-v4-flash-0731 51.8 0.00017 of 25",
    ),
    ("reasoning min=60", "x-ai/grok-4.6 60.9 0.005 of 4"),
    (
        "reasoning min=101",
        "none, best Some((\"anthropic/claude-opus-5\", 63.1))",
    ),
    ("reasoning free", "z-ai/glm-5.2:free 52.6 0 of 118"),
    ("reasoning min=30 free", "z-ai/glm-5.2:free 52.6 0 of 70"),
    ("coding min=40", "inclusionai/ling-3.0-flash 50.6 0.0000525 of 68"),
    (
        "coding min=40 needs=vision",
        "google/gemma-4-31b-it 43.4 0.00027 of 46",
    ),
    (
        "coding min=40 needs=tools,json-schema",
        "upstage/solar-pro4 52.7 0.00009 of 61",
    ),
    ("agentic min=30", "upstage/solar-pro4 33.6 0.00009 of 39"),
    (
        "agentic min=30 context=1000000",
        "deepseek/deepseek-v4-flash 33.7 0.00012852 of 30",
    ),
    (
        "reasoning min=40 prompt=300000 completion=2000",
        "upstage/solar-pro4 41.6 0.00924 of 37",
    ),
    (
        "reasoning min=40 prompt=100 completion=8000",
        "upstage/solar-pro4 41.6 0.000963 of 43",
    ),
    (
        "reasoning min=50 price=3",
        "deepseek/deepseek-v4-flash-0731 51.8 0.00017 of 3",
    ),
    (
        "reasoning min=50 cost=0.0001",
        "none, best Some((\"upstage/solar-pro4\", 41.6))",
    ),
    (
        "reasoning min=50 needs=audio-input",
        "google/gemini-3.7-flash 56 0.0013125 of 5",
    ),
    (
        "reasoning hours=2400",
        "inclusionai/ling-3.0-flash 37.8 0.0000525 of 106",
    ),
];

#[test]
fn pinned_decisions() {
    let snapshot = bundled();
    let mut seen = Vec::new();
    for (words, _) in TABLE {
        let request = request(words);
        let plan = snapshot.plan(&request);
        assert_eq!(
            plan.candidates.len() + plan.refused.len(),
            snapshot.deployments().len()
        );
        let mut scratch = Scratch::new();
        assert_eq!(
            snapshot
                .decide(&request, &mut scratch)
                .targets()
                .collect::<Vec<_>>(),
            plan.candidates.iter().map(|c| &c.target).collect::<Vec<_>>()
        );
        let told = match plan.chosen() {
            Some(c) => format!(
                "{} {} {} of {}",
                c.target.model,
                c.quality,
                c.expected_cost,
                plan.candidates.len()
            ),
            None => format!("none, best {:?}", plan.best_quality),
        };
        seen.push((*words, told));
    }
    let expected: Vec<_> = TABLE
        .iter()
        .map(|(words, told)| (*words, (*told).to_owned()))
        .collect();
    assert_eq!(seen, expected, "{seen:#?}");
}

#[test]
fn pinned_reasons() {
    let snapshot = bundled();
    let plan = snapshot.plan(&request(
        "reasoning min=50 needs=vision context=100000 cost=0.02 price=20",
    ));
    let mut counts = std::collections::BTreeMap::new();
    for refusal in &plan.refused {
        assert!(
            !refusal.detail.is_empty() && refusal.detail.len() < 120,
            "{refusal:?}"
        );
        *counts.entry(refusal.reason.as_str()).or_insert(0) += 1;
    }
    let expected = [
        ("alias", 12),
        ("batch_variant", 61),
        ("context_too_small", 7),
        ("dynamic_price", 5),
        ("free_tier", 18),
        ("missing_capability", 151),
        ("over_max_cost", 1),
        ("over_max_price", 4),
        ("quality_below_threshold", 47),
        ("quality_unknown", 100),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    let seen: Vec<_> = DETAILS
        .iter()
        .map(|(id, _)| {
            let refusal = plan
                .refused
                .iter()
                .find(|refusal| refusal.model.as_str() == *id)
                .unwrap();
            (*id, format!("{}: {}", refusal.reason, refusal.detail))
        })
        .collect();
    let expected: Vec<_> = DETAILS
        .iter()
        .map(|(id, told)| (*id, (*told).to_owned()))
        .collect();
    assert_eq!(seen, expected, "{seen:#?}");
}

const DETAILS: &[(&str, &str)] = &[
    (
        "openrouter/auto",
        "dynamic_price: has a price that depends on the request and is known only afterwards",
    ),
    (
        "~anthropic/claude-opus-latest",
        "alias: is another name, today for anthropic/claude-opus-5; name that model",
    ),
    (
        "anthropic/claude-opus-5:batch",
        "batch_variant: answers in batches only, hours later",
    ),
    (
        "z-ai/glm-5.2:free",
        "free_tier: is a free variant with strong limits; allow free ones to use it",
    ),
    (
        "deepseek/deepseek-v4-flash-0731",
        "missing_capability: lacks vision",
    ),
    (
        "google/gemma-4-31b-it",
        "quality_below_threshold: scores 29.7, below 50",
    ),
    (
        "stealth/ox-alpha",
        "quality_unknown: has no measured quality for reasoning",
    ),
    (
        "google/lyria-3-clip-preview",
        "quality_unknown: has no measured quality for reasoning",
    ),
];

#[test]
fn a_model_that_is_never_chosen_can_be_named() {
    let snapshot = bundled();
    let told = |id: &str| {
        let refusal = snapshot.check_explicit(&ModelId::new(id).unwrap(), &request("reasoning"))?;
        Some(refusal.reason.as_str())
    };
    assert_eq!(told("openrouter/auto"), None, "its price is known afterwards");
    assert_eq!(told("z-ai/glm-5.2:free"), None);
    assert_eq!(told("stealth/ox-alpha"), None);
    assert_eq!(told("~anthropic/claude-opus-latest"), Some("alias"));
    assert_eq!(told("anthropic/claude-opus-5:batch"), Some("batch_variant"));
    assert_eq!(told("anthropic/claude-opus-17"), Some("unknown_model"));
}
