//! What holds for every catalogue and every request, held against a naive way of choosing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use costing::{PriceBook, UtcTime};
use integration_core::{Capability, CapabilitySet, ModelId, ProviderId};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use proptest::prelude::*;
use routing::{Plan, RouteRequest, Scratch, Snapshot, Task};
use rust_decimal::Decimal;

const NOW: UtcTime = UtcTime::from_unix(1_787_400_000);

fn price() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some("-1".to_owned())),
        1 => Just(Some("0".to_owned())),
        // Few different values, so that ties are common.
        9 => (1u32..5).prop_map(|n| Some(format!("0.00000{n}"))),
    ]
}

fn quality() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![1 => Just(None), 4 => (0u8..6).prop_map(|n| Some(f64::from(n) * 10.5))]
}

fn record() -> impl Strategy<Value = ModelRecord> {
    (
        0u8..200,
        prop_oneof![12 => Just(""), 1 => Just(":free"), 1 => Just(":batch"), 1 => Just("~")],
        (price(), price()),
        [quality(), quality(), quality()],
        (
            prop::option::weighted(0.9, 0u64..4_000),
            prop::option::weighted(0.5, 200u64..4_000),
        ),
        (any::<bool>(), any::<bool>(), prop::bool::weighted(0.9)),
        prop::option::weighted(
            0.2,
            prop_oneof![Just("2026-08-21"), Just("2026-08-22"), Just("2098-12-31")],
        ),
    )
        .prop_map(
            |(
                n,
                variant,
                (prompt, completion),
                [i, c, a],
                (context, longest),
                (tools, vision, text),
                expires,
            )| {
                let id = if variant == "~" {
                    format!("~m/{n}")
                } else {
                    format!("m/{n}{variant}")
                };
                let mut record = ModelRecord::new(ModelId::new(id).unwrap());
                let rates = [("prompt", prompt), ("completion", completion)];
                record.prices =
                    PriceStrings::new(rates.into_iter().filter_map(|(key, price)| Some((key, price?))));
                record.benchmarks = Benchmarks::new(i, c, a);
                record.context_length = context;
                record.max_completion_tokens = longest;
                if tools {
                    record.supported_parameters = vec!["tools".to_owned()];
                }
                if vision {
                    record.input_modalities = vec!["image".to_owned()];
                }
                if text {
                    record.output_modalities = vec!["text".to_owned()];
                }
                record.expiration_date = expires.map(str::to_owned);
                record
            },
        )
}

fn records() -> impl Strategy<Value = Vec<ModelRecord>> {
    prop::collection::vec(record(), 1..40).prop_map(|mut records| {
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records.dedup_by(|a, b| a.id == b.id);
        records
    })
}

fn request() -> impl Strategy<Value = RouteRequest> {
    (
        prop::sample::select(Task::ALL.to_vec()),
        prop::option::of(0.0f64..60.0),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        (0u64..2_500, 0u64..2_500, prop::option::weighted(0.3, 0u64..4_000)),
        (
            prop::option::weighted(0.3, 0u32..8_000),
            prop::option::weighted(0.3, 0u32..5),
        ),
    )
        .prop_map(
            |(task, min, (tools, vision, free), (prompt, completion, context), (cost, price))| {
                let mut request = RouteRequest::new(task, NOW);
                request.min_quality = min;
                let needs = [(tools, Capability::Tools), (vision, Capability::Vision)];
                request.needs = needs
                    .into_iter()
                    .filter_map(|(needed, c)| needed.then_some(c))
                    .collect();
                request.allow_free = free;
                (request.prompt_tokens, request.completion_tokens, request.context) =
                    (prompt, completion, context);
                request.max_cost = cost.map(|n| Decimal::new(n.into(), 6));
                request.max_price = price.map(Decimal::from);
                request
            },
        )
}

fn snapshot(records: Vec<ModelRecord>) -> Snapshot {
    let catalogue = Catalogue::new("2026-08-22", ProviderId::new("p").unwrap(), records).unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    Snapshot::new(&catalogue, &prices)
}

/// Whether a record qualifies and at which cost, straight from the rules as they are promised.
fn oracle(record: &ModelRecord, request: &RouteRequest) -> Option<(Decimal, f64)> {
    let id = record.id.as_str();
    let rate = |key: &str| {
        record
            .prices
            .rates
            .get(key)?
            .parse::<Decimal>()
            .ok()
            .filter(|rate| !rate.is_sign_negative())
    };
    let quality = match request.task {
        Task::Reasoning => record.benchmarks.intelligence_index,
        Task::Coding => record.benchmarks.coding_index,
        Task::Agentic => record.benchmarks.agentic_index,
        // The others have none of their own.
        _ => record.benchmarks.intelligence_index,
    }?;
    let sees = request.needs.contains(Capability::Vision) || request.task == Task::Vision;
    // A part of which nothing is used needs no price.
    let part = |key: &str, tokens: u64| match (rate(key), tokens) {
        (None, 0) if !record.prices.rates.contains_key(key) => Some(Decimal::ZERO),
        (rate, tokens) => Some(rate? * Decimal::from(tokens)),
    };
    let cost = part("prompt", request.prompt_tokens)? + part("completion", request.completion_tokens)?;
    let both = request.prompt_tokens + request.completion_tokens;
    let fits = !id.starts_with('~')
        && !id.ends_with(":batch")
        && (request.allow_free || !id.ends_with(":free"))
        && record.output_modalities.iter().any(|modality| modality == "text")
        && record.expiration_date.as_deref() != Some("2026-08-21")
        && (!request.needs.contains(Capability::Tools) || !record.supported_parameters.is_empty())
        && (!sees || !record.input_modalities.is_empty())
        && record.context_length.map_or(request.context.is_none(), |has| {
            has >= both && request.context.is_none_or(|needs| has >= needs)
        })
        && record
            .max_completion_tokens
            .is_none_or(|has| has >= request.completion_tokens)
        && request.min_quality.is_none_or(|min| quality >= min)
        && request.max_cost.is_none_or(|max| cost <= max)
        && request.max_price.is_none_or(|max| {
            ["prompt", "completion"]
                .iter()
                .all(|key| rate(key).is_some_and(|rate| rate * Decimal::from(1_000_000) <= max))
        });
    fits.then_some((cost, quality))
}

fn chosen(plan: &Plan) -> Vec<(String, Decimal, f64)> {
    plan.candidates
        .iter()
        .map(|c| (c.target.model.to_string(), c.expected_cost, c.quality))
        .collect()
}

proptest! {
    #[test]
    fn the_plan_is_that_of_the_naive_way(records in records(), request in request()) {
        let plan = snapshot(records.clone()).plan(&request);
        let mut expected: Vec<_> = records
            .iter()
            .filter_map(|record| oracle(record, &request).map(|(cost, quality)| (record.id.to_string(), cost, quality)))
            .collect();
        expected.sort_by(|a, b| a.1.cmp(&b.1).then(b.2.total_cmp(&a.2)).then(a.0.cmp(&b.0)));
        prop_assert_eq!(chosen(&plan), expected);
        prop_assert_eq!(plan.candidates.len() + plan.refused.len(), records.len());
        for candidate in &plan.candidates {
            let charge = (candidate.expected_cost * Decimal::new(11, 1)).normalize();
            prop_assert_eq!(candidate.expected_charge, charge, "ten percent on amounts this short is exact");
        }
    }

    #[test]
    fn deciding_chooses_what_the_plan_chooses(records in records(), requests in prop::collection::vec(request(), 1..4)) {
        let snapshot = snapshot(records);
        let mut scratch = Scratch::new();
        for request in requests {
            let plan = snapshot.plan(&request);
            let planned: Vec<_> = plan.candidates.iter().map(|candidate| &candidate.target).collect();
            let decision = snapshot.decide(&request, &mut scratch);
            let most = planned.len().min(request.max_targets);
            prop_assert_eq!(decision.targets().collect::<Vec<_>>(), planned[..most].to_vec());
            prop_assert_eq!(decision.chosen(), planned.first().copied());
        }
    }

    #[test]
    fn the_order_of_the_catalogue_changes_nothing(
        (sorted, shuffled) in records().prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle())),
        request in request(),
    ) {
        prop_assert_eq!(snapshot(sorted).plan(&request), snapshot(shuffled).plan(&request));
    }

    #[test]
    fn a_further_condition_never_lowers_the_cost(records in records(), loose in request(), strict in request()) {
        let snapshot = snapshot(records);
        let cost = |request: &RouteRequest| snapshot.plan(request).chosen().map(|candidate| candidate.expected_cost);
        let before = cost(&loose);
        let tighten: [fn(&mut RouteRequest, &RouteRequest); 6] = [
            |r, s| r.min_quality = [r.min_quality, s.min_quality].into_iter().flatten().reduce(f64::max),
            |r, s| r.needs = r.needs.union(s.needs),
            |r, s| r.context = r.context.max(s.context),
            |r, s| r.max_cost = [r.max_cost, s.max_cost].into_iter().flatten().min(),
            |r, s| r.max_price = [r.max_price, s.max_price].into_iter().flatten().min(),
            |r, s| r.allow_free &= s.allow_free,
        ];
        for tighten in tighten {
            let mut tight = loose.clone();
            tighten(&mut tight, &strict);
            match (before, cost(&tight)) {
                (Some(before), Some(after)) => prop_assert!(before <= after, "{loose:?} {tight:?}"),
                (None, Some(_)) => prop_assert!(false, "a condition made a model qualify: {loose:?} {tight:?}"),
                (_, None) => {}
            }
        }
    }

    #[test]
    fn the_best_quality_is_the_highest_threshold_that_leaves_a_model(records in records(), request in request()) {
        let snapshot = snapshot(records);
        let at = |quality: Option<f64>| {
            let mut request = request.clone();
            request.min_quality = quality;
            snapshot.plan(&request)
        };
        match snapshot.plan(&request).best_quality {
            Some((model, best)) => {
                let plan = at(Some(best));
                prop_assert!(plan.candidates.iter().any(|candidate| candidate.target.model == model));
                prop_assert!(at(Some(best + 0.01)).candidates.is_empty());
            }
            None => prop_assert!(at(None).candidates.is_empty()),
        }
    }

    #[test]
    fn a_chosen_model_can_also_be_named(records in records(), request in request()) {
        let snapshot = snapshot(records);
        for candidate in snapshot.plan(&request).candidates {
            prop_assert_eq!(snapshot.check_explicit(&candidate.target.model, &request), None);
        }
    }
}

#[test]
fn the_oracle_is_not_empty_handed() {
    // The properties above would hold for a plan that never chooses; this one does choose.
    let mut record = ModelRecord::new(ModelId::new("m/1").unwrap());
    record.prices = PriceStrings::new([("prompt", "0.000001"), ("completion", "0.000001")]);
    record.benchmarks = Benchmarks::new(Some(50.0), None, None);
    record.output_modalities = vec!["text".to_owned()];
    let request = RouteRequest::new(Task::Reasoning, NOW);
    assert_eq!(request.needs, CapabilitySet::EMPTY);
    assert!(oracle(&record, &request).is_some());
    assert_eq!(snapshot(vec![record]).plan(&request).candidates.len(), 1);
}
