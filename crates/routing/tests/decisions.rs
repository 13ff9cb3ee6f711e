//! Decisions on the catalogue this release ships. They change only with the catalogue or with the rules: whoever changes a
//! line here changes what callers get.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use costing::{PriceBook, UtcTime};
use integration_core::{Capability, ModelId, ProviderId};
use model_catalogue::Catalogue;
use routing::{RouteRequest, Scratch, Snapshot, Target, Task, Warm, strategy};
use rust_decimal::Decimal;

/// 2026-08-22, a Saturday, at noon.
const NOW: i64 = 1_787_400_000;

fn bundled() -> Snapshot {
    let catalogue = Catalogue::bundled().unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    Snapshot::new(&catalogue, &prices)
}

/// A request from words: `task min=… needs=a,b context=… prompt=… completion=… cost=… price=… free hours=… by=… seed=… …`.
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
            "never" => request.never = value.split(',').map(|word| word.parse().unwrap()).collect(),
            "only" => request.only = value.split(',').map(|word| word.parse().unwrap()).collect(),
            "policy" => request.data_policy = Some(value.parse().unwrap()),
            "seed" => request.seed = value.parse().unwrap(),
            "turn" => request.turn = value.parse().unwrap(),
            "warm" => {
                let (model, cached) = value.split_once('@').unwrap();
                let provider = ProviderId::new("openrouter").unwrap();
                let target = Target::new(provider, ModelId::new(model).unwrap());
                request.warm = Some(Warm::new(target, cached.parse().unwrap()));
            }
            "by" => request.strategy = strategy(value).unwrap(),
            "hours" => request.at = UtcTime::from_unix(NOW + value.parse::<i64>().unwrap() * 3_600),
            other => panic!("{other}"),
        }
    }
    request
}

/// Request; chosen model, its quality and expected cost; how many qualify; the reasons for the others by how many they refuse.
const TABLE: &[(&str, &str)] = &[
    (
        "reasoning",
        "inclusionai/ling-2.6-flash 14.2 0.000025 of 108; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 217 quality_unknown",
    ),
    (
        "reasoning min=50",
        "deepseek/deepseek-v4-flash-0731 51.8 0.00017 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=60",
        "x-ai/grok-4.6 60.9 0.005 of 4; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 104 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=101",
        "none, best Some((\"anthropic/claude-opus-5\", 63.1)); 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 108 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning free",
        "z-ai/glm-5.2:free 52.6 0 of 118; 12 alias, 61 batch_variant, 5 dynamic_price, 225 quality_unknown",
    ),
    (
        "reasoning min=30 free",
        "z-ai/glm-5.2:free 52.6 0 of 70; 12 alias, 61 batch_variant, 5 dynamic_price, 48 quality_below_threshold, 225 quality_unknown",
    ),
    (
        "coding min=40",
        "inclusionai/ling-3.0-flash 50.6 0.0000525 of 68; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 54 quality_below_threshold, 203 quality_unknown",
    ),
    (
        "coding min=40 needs=vision",
        "google/gemma-4-31b-it 43.4 0.00027 of 46; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 151 missing_capability, 27 quality_below_threshold, 101 quality_unknown",
    ),
    (
        "coding min=40 needs=tools,json-schema",
        "upstage/solar-pro4 52.7 0.00009 of 61; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 106 missing_capability, 46 quality_below_threshold, 112 quality_unknown",
    ),
    (
        "agentic min=30",
        "upstage/solar-pro4 33.6 0.00009 of 39; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 70 quality_below_threshold, 216 quality_unknown",
    ),
    (
        "agentic min=30 context=1000000",
        "deepseek/deepseek-v4-flash 33.7 0.00012852 of 30; 12 alias, 61 batch_variant, 235 context_too_small, 5 dynamic_price, 18 free_tier, 17 quality_below_threshold, 43 quality_unknown",
    ),
    (
        "reasoning min=40 prompt=300000 completion=2000",
        "upstage/solar-pro4 41.6 0.00924 of 37; 12 alias, 61 batch_variant, 214 context_too_small, 5 dynamic_price, 18 free_tier, 19 quality_below_threshold, 55 quality_unknown",
    ),
    (
        "reasoning min=40 prompt=100 completion=8000",
        "upstage/solar-pro4 41.6 0.000963 of 43; 12 alias, 61 batch_variant, 24 context_too_small, 5 dynamic_price, 18 free_tier, 65 quality_below_threshold, 193 quality_unknown",
    ),
    (
        "reasoning min=50 price=3",
        "deepseek/deepseek-v4-flash-0731 51.8 0.00017 of 3; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 22 over_max_price, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 cost=0.0001",
        "none, best Some((\"upstage/solar-pro4\", 41.6)); 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 25 over_max_cost, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 needs=audio-input",
        "google/gemini-3.7-flash 56 0.0013125 of 5; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 302 missing_capability, 7 quality_below_threshold, 11 quality_unknown",
    ),
    (
        "reasoning hours=2400",
        "inclusionai/ling-3.0-flash 37.8 0.0000525 of 106; 12 alias, 61 batch_variant, 5 dynamic_price, 7 expired, 14 free_tier, 216 quality_unknown",
    ),
    (
        "coding",
        "inclusionai/ling-2.6-flash 25.3 0.000025 of 122; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 203 quality_unknown",
    ),
    (
        "agentic",
        "inclusionai/ling-2.6-flash 2.3 0.000025 of 109; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 216 quality_unknown",
    ),
    (
        "coding min=60",
        "deepseek/deepseek-v4-flash-0731 69.1 0.00017 of 31; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 91 quality_below_threshold, 203 quality_unknown",
    ),
    (
        "coding min=70",
        "openai/gpt-5.6-luna 71.4 0.0008 of 20; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 102 quality_below_threshold, 203 quality_unknown",
    ),
    (
        "agentic min=45",
        "deepseek/deepseek-v4-flash-0731 48.4 0.00017 of 21; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 88 quality_below_threshold, 216 quality_unknown",
    ),
    (
        "agentic min=50 needs=tools",
        "qwen/qwen3.8-27b 50.9 0.00205 of 10; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 64 missing_capability, 98 quality_below_threshold, 153 quality_unknown",
    ),
    (
        "chat",
        "inclusionai/ling-2.6-flash 14.2 0.000025 of 108; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 217 quality_unknown",
    ),
    (
        "chat min=40",
        "upstage/solar-pro4 41.6 0.00009 of 43; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "chat min=40 prompt=200 completion=300",
        "upstage/solar-pro4 41.6 0.000042 of 43; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "chat min=55 price=5",
        "google/gemini-3.7-flash 56 0.0013125 of 3; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 13 over_max_price, 92 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "summarise min=30 prompt=50000 completion=500",
        "inclusionai/ling-3.0-flash 37.8 0.0010815 of 66; 12 alias, 61 batch_variant, 27 context_too_small, 5 dynamic_price, 18 free_tier, 42 quality_below_threshold, 190 quality_unknown",
    ),
    (
        "summarise min=30 prompt=900000 completion=1000",
        "deepseek/deepseek-v4-flash 42.1 0.05796252 of 39; 12 alias, 61 batch_variant, 235 context_too_small, 5 dynamic_price, 18 free_tier, 8 quality_below_threshold, 43 quality_unknown",
    ),
    (
        "extract min=35 needs=json-schema",
        "upstage/solar-pro4 41.6 0.00009 of 51; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 68 missing_capability, 46 quality_below_threshold, 160 quality_unknown",
    ),
    (
        "extract min=35 needs=json-schema,tools price=1",
        "upstage/solar-pro4 41.6 0.00009 of 6; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 106 missing_capability, 45 over_max_price, 45 quality_below_threshold, 123 quality_unknown",
    ),
    (
        "translate min=40",
        "upstage/solar-pro4 41.6 0.00009 of 43; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "translate min=40 never=x-ai/*",
        "upstage/solar-pro4 41.6 0.00009 of 40; 12 alias, 61 batch_variant, 5 dynamic_price, 3 forbidden, 18 free_tier, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "vision",
        "google/gemma-3-12b-it 5.5 0.000125 of 67; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 151 missing_capability, 107 quality_unknown",
    ),
    (
        "vision min=40",
        "nex-agi/nex-n2-pro 41.7 0.00075 of 31; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 151 missing_capability, 36 quality_below_threshold, 107 quality_unknown",
    ),
    (
        "vision min=55 cost=0.01",
        "google/gemini-3.7-flash 56 0.0013125 of 8; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 151 missing_capability, 6 over_max_cost, 53 quality_below_threshold, 107 quality_unknown",
    ),
    (
        "vision min=40 needs=json-schema",
        "openai/gpt-5.6-luna 52.3 0.0008 of 29; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 177 missing_capability, 35 quality_below_threshold, 84 quality_unknown",
    ),
    (
        "reasoning min=50 never=deepseek/*",
        "openai/gpt-5.6-luna 52.3 0.0008 of 23; 12 alias, 61 batch_variant, 5 dynamic_price, 2 forbidden, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 never=deepseek/*,openai/*",
        "google/gemini-3.7-flash 56 0.0013125 of 18; 12 alias, 61 batch_variant, 5 dynamic_price, 7 forbidden, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 only=anthropic/*",
        "anthropic/claude-sonnet-5 55.3 0.007 of 5; 12 alias, 61 batch_variant, 5 dynamic_price, 20 forbidden, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning only=openai/*,google/* min=55",
        "google/gemini-3.7-flash 56 0.0013125 of 4; 12 alias, 61 batch_variant, 5 dynamic_price, 12 forbidden, 18 free_tier, 92 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=40 needs=tools,json-schema,vision",
        "openai/gpt-5.6-luna 52.3 0.0008 of 29; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 191 missing_capability, 35 quality_below_threshold, 70 quality_unknown",
    ),
    (
        "reasoning min=40 needs=file-input",
        "openai/gpt-5.6-luna 52.3 0.0008 of 21; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 232 missing_capability, 17 quality_below_threshold, 55 quality_unknown",
    ),
    (
        "reasoning min=40 needs=video-input",
        "minimax/minimax-m3 45.4 0.0009 of 11; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 276 missing_capability, 13 quality_below_threshold, 25 quality_unknown",
    ),
    (
        "reasoning min=40 needs=reasoning context=500000",
        "upstage/solar-pro4 41.6 0.00009 of 36; 12 alias, 61 batch_variant, 124 context_too_small, 5 dynamic_price, 18 free_tier, 123 missing_capability, 11 quality_below_threshold, 31 quality_unknown",
    ),
    (
        "reasoning min=45 needs=web-search",
        "openai/gpt-5.6-luna 52.3 0.0008 of 19; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 226 missing_capability, 16 quality_below_threshold, 64 quality_unknown",
    ),
    (
        "coding min=50 context=2000000",
        "none, best None; 12 alias, 61 batch_variant, 323 context_too_small, 5 dynamic_price, 18 free_tier, 2 quality_unknown",
    ),
    (
        "coding min=50 completion=100000",
        "upstage/solar-pro4 52.7 0.01203 of 43; 12 alias, 61 batch_variant, 170 context_too_small, 5 dynamic_price, 18 free_tier, 37 quality_below_threshold, 75 quality_unknown",
    ),
    (
        "coding min=50 completion=200000",
        "deepseek/deepseek-v4-flash 56.2 0.02576826 of 18; 12 alias, 61 batch_variant, 278 context_too_small, 5 dynamic_price, 18 free_tier, 18 quality_below_threshold, 11 quality_unknown",
    ),
    (
        "reasoning policy=no-training",
        "none, best None; 12 alias, 61 batch_variant, 108 data_policy, 5 dynamic_price, 18 free_tier, 217 quality_unknown",
    ),
    (
        "reasoning min=40 by=best-quality cost=0.005",
        "x-ai/grok-4.6 60.9 0.005 of 30; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 13 over_max_cost, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=40 by=best-quality",
        "anthropic/claude-opus-5 63.1 0.0175 of 43; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "coding by=best-quality cost=0.001",
        "openai/gpt-5.6-luna 71.4 0.0008 of 56; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 66 over_max_cost, 203 quality_unknown",
    ),
    (
        "reasoning min=40 by=weighted-utility",
        "x-ai/grok-4.6 60.9 0.005 of 43; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=40 by=weighted-utility:cost=0,quality=1,latency=0",
        "anthropic/claude-opus-5 63.1 0.0175 of 43; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 65 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "coding min=40 by=weighted-utility:cost=3,quality=1,latency=0",
        "google/gemini-3.7-flash 76.1 0.0013125 of 68; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 54 quality_below_threshold, 203 quality_unknown",
    ),
    (
        "reasoning min=50 by=cascade",
        "deepseek/deepseek-v4-flash-0731 51.8 0.00017 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "coding by=cascade min=45",
        "inclusionai/ling-3.0-flash 50.6 0.0000525 of 61; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 61 quality_below_threshold, 203 quality_unknown",
    ),
    (
        "reasoning min=50 by=round-robin turn=0",
        "anthropic/claude-fable-5 62.1 0.035 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 by=round-robin turn=7",
        "google/gemini-3.5-flash 52 0.006 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=55 by=weighted seed=1",
        "openai/gpt-5.5 56.3 0.02 of 16; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 92 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=55 by=weighted seed=2",
        "qwen/qwen3.8-2.4t-a95b 57.7 0.005 of 16; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 92 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 by=thompson seed=1",
        "x-ai/grok-4.6 60.9 0.005 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 by=thompson seed=4",
        "openai/gpt-5.6-sol 60.9 0.007 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 by=lowest-latency seed=3",
        "openai/gpt-5.6-sol 60.9 0.007 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 by=throughput",
        "deepseek/deepseek-v4-flash-0731 51.8 0.00017 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
    ),
    (
        "reasoning min=50 by=sticky warm=openai/gpt-5.1@9000 prompt=10000 completion=200",
        "deepseek/deepseek-v4-flash-0731 51.8 0.000836 of 25; 12 alias, 61 batch_variant, 11 context_too_small, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 206 quality_unknown",
    ),
    (
        "reasoning min=50 warm=deepseek/deepseek-v4-pro@99000 prompt=100000 completion=200",
        "deepseek/deepseek-v4-flash-0731 51.8 0.008036 of 25; 12 alias, 61 batch_variant, 41 context_too_small, 5 dynamic_price, 18 free_tier, 81 quality_below_threshold, 178 quality_unknown",
    ),
    (
        "reasoning min=60 price=20 needs=vision",
        "x-ai/grok-4.6 60.9 0.005 of 2; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 151 missing_capability, 2 over_max_price, 63 quality_below_threshold, 107 quality_unknown",
    ),
    (
        "agentic min=40 needs=tools,vision cost=0.01",
        "openai/gpt-5.6-luna 46.9 0.0008 of 12; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 175 missing_capability, 7 over_max_cost, 49 quality_below_threshold, 82 quality_unknown",
    ),
    (
        "reasoning min=50 prompt=0 completion=0",
        "anthropic/claude-opus-5 63.1 0 of 25; 12 alias, 61 batch_variant, 5 dynamic_price, 18 free_tier, 83 quality_below_threshold, 217 quality_unknown",
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
            plan.candidates
                .iter()
                .map(|c| &c.target)
                .take(request.max_targets)
                .collect::<Vec<_>>()
        );
        assert_eq!(plan.replay(&snapshot).unwrap(), plan);
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
        let mut reasons = std::collections::BTreeMap::new();
        for refusal in &plan.refused {
            *reasons.entry(refusal.reason.as_str()).or_insert(0) += 1;
        }
        let reasons: Vec<_> = reasons
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        seen.push((*words, format!("{told}; {}", reasons.join(", "))));
    }
    let expected: Vec<_> = TABLE
        .iter()
        .map(|(words, told)| (*words, (*told).to_owned()))
        .collect();
    assert_eq!(seen, expected, "{seen:#?}");
    assert!(TABLE.len() >= 60);
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
    assert!(TABLE.len() >= 60);
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
