//! Each rule, one at a time, on a small catalogue.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use costing::{Markup, PriceBook, PriceSheet, UtcTime};
use integration_core::{Capability, CapabilitySet, ModelId, ProviderId};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceOverride, PriceStrings};
use routing::{Plan, RefusalReason, RouteRequest, STRATEGIES, Scratch, Snapshot, Task, strategy};
use rust_decimal::Decimal;
use serde_json::json;

/// 2026-08-22, a Saturday, at noon.
const NOW: UtcTime = UtcTime::from_unix(1_787_400_000);

/// A model that fulfils everything: prompt 1, answer 2 dollars a million, quality 50 for everything.
fn model(id: &str) -> ModelRecord {
    let mut record = ModelRecord::new(ModelId::new(id).unwrap());
    record.context_length = Some(10_000);
    record.max_completion_tokens = Some(4_000);
    record.input_modalities = vec!["text".to_owned()];
    record.output_modalities = vec!["text".to_owned()];
    record.supported_parameters = vec!["tools".to_owned()];
    record.prices = PriceStrings::new([("prompt", "0.000001"), ("completion", "0.000002")]);
    record.benchmarks = Benchmarks::new(Some(50.0), Some(50.0), Some(50.0));
    record
}

fn changed(id: &str, change: impl FnOnce(&mut ModelRecord)) -> ModelRecord {
    let mut record = model(id);
    change(&mut record);
    record
}

fn prices(prompt: &str, completion: &str) -> PriceStrings {
    PriceStrings::new([("prompt", prompt), ("completion", completion)])
}

fn snapshot(records: Vec<ModelRecord>) -> Snapshot {
    let catalogue = Catalogue::new("2026-08-22", ProviderId::new("p").unwrap(), records).unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    Snapshot::new(&catalogue, &prices)
}

fn request() -> RouteRequest {
    RouteRequest::new(Task::Reasoning, NOW)
}

fn with(change: impl FnOnce(&mut RouteRequest)) -> RouteRequest {
    let mut request = request();
    change(&mut request);
    request
}

fn order(plan: &Plan) -> Vec<&str> {
    plan.candidates
        .iter()
        .map(|candidate| candidate.target.model.as_str())
        .collect()
}

/// Plans over a good model and this one, and expects this one to be refused.
#[track_caller]
fn refused(record: ModelRecord, request: &RouteRequest, reason: RefusalReason, detail: &str) {
    let id = record.id.clone();
    let snapshot = snapshot(vec![model("good/model"), record]);
    let plan = snapshot.plan(request);
    let refusal = plan
        .refused
        .iter()
        .find(|refusal| refusal.model == id)
        .expect("it is refused");
    assert_eq!((refusal.reason, refusal.detail.as_str()), (reason, detail));
    assert_eq!(
        plan.candidates.len() + plan.refused.len(),
        2,
        "every model is told of once"
    );
    assert_eq!(refusal.reason.to_string(), reason.as_str());
}

#[test]
fn cheapest_first_then_higher_quality_then_id() {
    let snapshot = snapshot(vec![
        changed("d/dear", |m| m.prices = prices("0.000002", "0.000002")),
        model("b/same"),
        model("a/same"),
        changed("z/better", |m| {
            m.benchmarks = Benchmarks::new(Some(51.0), None, None)
        }),
        changed("y/cheap", |m| m.prices = prices("0.000001", "0.000001")),
    ]);
    let plan = snapshot.plan(&request());
    assert_eq!(
        order(&plan),
        ["y/cheap", "z/better", "a/same", "b/same", "d/dear"]
    );
    assert_eq!(
        plan.chosen().unwrap().expected_cost,
        Decimal::new(15, 4),
        "1000 + 500 tokens at a dollar a million"
    );
    assert_eq!(
        plan.chosen().unwrap().expected_charge,
        Decimal::new(165, 5),
        "with ten percent"
    );
    assert_eq!(
        (plan.assumed.prompt_tokens, plan.assumed.completion_tokens),
        (1_000, 500)
    );
    assert_eq!(plan.snapshot, snapshot.id());
}

#[test]
fn the_assumed_size_decides_which_is_cheapest() {
    let snapshot = snapshot(vec![
        changed("a/reads", |m| m.prices = prices("0.000001", "0.00001")),
        changed("b/writes", |m| m.prices = prices("0.00001", "0.000001")),
    ]);
    let of = |prompt, completion| {
        with(|r| {
            r.prompt_tokens = prompt;
            r.completion_tokens = completion;
        })
    };
    assert_eq!(order(&snapshot.plan(&of(2_000, 10))), ["a/reads", "b/writes"]);
    assert_eq!(order(&snapshot.plan(&of(10, 2_000))), ["b/writes", "a/reads"]);
}

#[test]
fn prices_are_those_of_the_moment_and_of_the_prompt_s_size() {
    let mut long = PriceOverride::new([("prompt", "0.000004")]);
    long.min_prompt_tokens = Some(2_000);
    let mut night = PriceOverride::new([("prompt", "0"), ("completion", "0")]);
    night.utc_start = Some(2_200);
    night.utc_end = Some(600);
    let strings = prices("0.000001", "0.000002")
        .with_override(long)
        .with_override(night);
    let snapshot = snapshot(vec![changed("a/b", |m| m.prices = strings)]);
    let cost = |request: &RouteRequest| snapshot.plan(request).chosen().unwrap().expected_cost;
    assert_eq!(cost(&request()), Decimal::new(2, 3));
    assert_eq!(cost(&with(|r| r.prompt_tokens = 2_001)), Decimal::new(9_004, 6));
    let at_night = RouteRequest::new(Task::Reasoning, UtcTime::from_unix(NOW.unix() + 11 * 3_600));
    assert_eq!(cost(&at_night), Decimal::ZERO, "a price of zero is a price");
}

#[test]
fn the_markup_is_the_caller_s() {
    let snapshot = snapshot(vec![model("a/b")]);
    let plan = snapshot.plan(&with(|r| r.markup = Markup::from_bps(2_500)));
    assert_eq!(plan.candidates[0].expected_charge, Decimal::new(25, 4));
}

#[test]
fn what_can_never_answer_at_once_is_refused() {
    use RefusalReason as R;
    let request = request();
    refused(
        model("a/b:batch"),
        &request,
        R::BatchVariant,
        "answers in batches only, hours later",
    );
    refused(
        changed("~a/latest", |m| {
            m.alias_target = Some(ModelId::new("a/b-2").unwrap())
        }),
        &request,
        R::Alias,
        "is another name, today for a/b-2; name that model",
    );
    refused(
        model("~a/latest"),
        &request,
        R::Alias,
        "is another name for a model that changes; name the model itself",
    );
    refused(
        changed("a/b", |m| m.prices = prices("-1", "-1")),
        &request,
        R::DynamicPrice,
        "has a price that depends on the request and is known only afterwards",
    );
    refused(
        changed("a/b", |m| m.output_modalities = vec!["image".to_owned()]),
        &request,
        R::NoTextOutput,
        "does not answer in text",
    );
    refused(
        model("a/b:free"),
        &request,
        R::FreeTier,
        "is a free variant with strong limits; allow free ones to use it",
    );
}

#[test]
fn what_has_no_price_is_refused_and_never_free() {
    let cases = [
        (
            PriceStrings::default(),
            "cannot be priced: there is no price for `uncached_prompt`",
        ),
        (
            PriceStrings::new([("prompt", "0.000001")]),
            "cannot be priced: there is no price for `completion`",
        ),
        (
            prices("cheap", "0.1"),
            "has no prices, or prices that are not understood",
        ),
    ];
    for (strings, detail) in cases {
        refused(
            changed("a/b", |m| m.prices = strings),
            &request(),
            RefusalReason::Unpriced,
            detail,
        );
    }
    let catalogue = Catalogue::new("2026-08-22", ProviderId::new("p").unwrap(), vec![model("a/b")]).unwrap();
    let snapshot = Snapshot::new(&catalogue, &PriceBook::new("empty", []));
    let plan = snapshot.plan(&request());
    assert!(plan.snapshot.starts_with("empty-"), "{}", plan.snapshot);
    assert_eq!(plan.refused[0].reason, RefusalReason::Unpriced);
}

#[test]
fn what_costs_more_than_can_be_held_is_refused() {
    let dear = changed("a/b", |m| {
        m.prices = prices("0.005", "0.005");
        m.context_length = None;
        m.max_completion_tokens = None;
    });
    let sheet = PriceSheet::parse(&dear.prices);
    assert!(sheet.is_ok(), "the test needs a price that is believed");
    for tokens in [1_800_000_000, u64::MAX] {
        let request = with(|r| r.prompt_tokens = tokens);
        let snapshot = snapshot(vec![dear.clone()]);
        let plan = snapshot.plan(&request);
        assert_eq!(
            plan.refused[0].reason,
            RefusalReason::Unpriced,
            "{tokens}: {plan:?}"
        );
    }
}

#[test]
fn a_model_is_there_through_its_last_day() {
    for (date, there) in [
        ("2026-08-21", false),
        ("2026-08-22", true),
        ("2026-08-23", true),
        ("2098-12-31", true),
    ] {
        let record = changed("a/b", |m| m.expiration_date = Some(date.to_owned()));
        if there {
            assert_eq!(order(&snapshot(vec![record]).plan(&request())), ["a/b"], "{date}");
        } else {
            refused(
                record,
                &request(),
                RefusalReason::Expired,
                "expired after 2026-08-21",
            );
        }
    }
    let never = changed("a/b", |m| m.expiration_date = Some("2098-12-31".to_owned()));
    let in_2100 = RouteRequest::new(Task::Reasoning, UtcTime::from_unix(4_110_000_000));
    assert_eq!(
        snapshot(vec![never]).plan(&in_2100).candidates.len(),
        1,
        "that date means never"
    );
}

#[test]
fn free_variants_are_chosen_only_if_allowed_and_free_models_always() {
    let zero = |id: &str| changed(id, |m| m.prices = prices("0", "0"));
    let snapshot = snapshot(vec![zero("a/b:free"), zero("c/d"), model("e/f")]);
    assert_eq!(order(&snapshot.plan(&request())), ["c/d", "e/f"]);
    assert_eq!(
        order(&snapshot.plan(&with(|r| r.allow_free = true))),
        ["a/b:free", "c/d", "e/f"]
    );
}

#[test]
fn what_the_model_must_do_and_hold_is_checked() {
    use RefusalReason as R;
    let needs = |capabilities: &[Capability]| {
        let needs: CapabilitySet = capabilities.iter().copied().collect();
        with(|r| r.needs = needs)
    };
    assert_eq!(
        order(&snapshot(vec![model("a/b")]).plan(&needs(&[Capability::Tools]))),
        ["a/b"]
    );
    let both = needs(&[Capability::Vision, Capability::Tools, Capability::JsonSchema]);
    refused(
        model("a/b"),
        &both,
        R::MissingCapability,
        "lacks json-schema, vision",
    );
    refused(
        model("a/b"),
        &with(|r| r.context = Some(10_001)),
        R::ContextTooSmall,
        "holds 10000 tokens, 10001 are needed",
    );
    refused(
        model("a/b"),
        &with(|r| r.prompt_tokens = 9_501),
        R::ContextTooSmall,
        "holds 10000 tokens, 10001 are needed",
    );
    refused(
        model("a/b"),
        &with(|r| r.completion_tokens = 4_001),
        R::ContextTooSmall,
        "answers with at most 4000 tokens, 4001 are needed",
    );
    let fits = with(|r| {
        r.prompt_tokens = 6_000;
        r.completion_tokens = 4_000;
        r.context = Some(10_000);
    });
    assert_eq!(order(&snapshot(vec![model("a/b")]).plan(&fits)), ["a/b"]);
    let unknown = changed("a/b", |m| m.context_length = None);
    refused(
        unknown.clone(),
        &with(|r| r.context = Some(1)),
        R::ContextTooSmall,
        "has no known context length, 1500 tokens are needed",
    );
    assert_eq!(
        order(&snapshot(vec![unknown]).plan(&request())),
        ["a/b"],
        "an assumption alone excludes nothing unknown"
    );
}

#[test]
fn each_task_has_its_own_index() {
    let records = |task: Task| {
        let only = |t: Task| (t == task).then_some(60.0);
        changed(task.as_str(), |m| {
            m.benchmarks = Benchmarks::new(only(Task::Reasoning), only(Task::Coding), only(Task::Agentic));
        })
    };
    let measured = [Task::Reasoning, Task::Coding, Task::Agentic];
    let snapshot = snapshot(measured.map(records).to_vec());
    for task in measured {
        let plan = snapshot.plan(&RouteRequest::new(task, NOW));
        assert_eq!(order(&plan), [task.as_str()]);
        assert_eq!(plan.refused[0].reason, RefusalReason::QualityUnknown);
        assert_eq!(
            plan.refused[0].detail,
            format!("has no measured quality for {task}")
        );
    }
}

#[test]
fn the_threshold_is_met_at_the_threshold() {
    let record = || changed("a/b", |m| m.benchmarks = Benchmarks::new(Some(41.2), None, None));
    let at = |quality| with(|r| r.min_quality = Some(quality));
    assert_eq!(order(&snapshot(vec![record()]).plan(&at(41.2))), ["a/b"]);
    refused(
        record(),
        &at(50.0),
        RefusalReason::QualityBelowThreshold,
        "scores 41.2, below 50",
    );
    refused(
        record(),
        &at(41.300_000_000_000_004),
        RefusalReason::QualityBelowThreshold,
        "scores 41.2, below 41.300000000000004",
    );
    let plan = snapshot(vec![record()]).plan(&at(f64::NAN));
    assert!(
        plan.candidates.is_empty(),
        "a threshold that is no number lets nothing through"
    );
}

#[test]
fn limits_of_cost_and_price_hold_at_the_limit() {
    use RefusalReason as R;
    let cost = |max: &str| with(|r| r.max_cost = Some(max.parse().unwrap()));
    let price = |max: &str| with(|r| r.max_price = Some(max.parse().unwrap()));
    let snapshot = snapshot(vec![model("a/b")]);
    assert_eq!(
        order(&snapshot.plan(&cost("0.002"))),
        ["a/b"],
        "the limit is without markup"
    );
    assert_eq!(order(&snapshot.plan(&price("2.00"))), ["a/b"]);
    refused(
        model("a/b"),
        &cost("0.0019990"),
        R::OverMaxCost,
        "is expected to cost 0.002 USD, over 0.001999",
    );
    refused(
        model("a/b"),
        &price("1.99"),
        R::OverMaxPrice,
        "takes 2 USD for a million answer tokens, over 1.99",
    );
    refused(
        model("a/b"),
        &price("0.5"),
        R::OverMaxPrice,
        "takes 1 USD for a million prompt tokens, over 0.5",
    );
}

#[test]
fn the_first_failing_rule_is_the_reason() {
    // Fails everything; each change mends the rule that was named, so the next one is named.
    let mut record = changed("~a/b:free:batch", |m| {
        m.prices = prices("-1", "-1");
        m.output_modalities.clear();
        m.expiration_date = Some("2020-01-01".to_owned());
        m.context_length = Some(5);
        m.benchmarks = Benchmarks::default();
    });
    let request = with(|r| {
        r.needs = CapabilitySet::of(Capability::Vision);
        r.min_quality = Some(60.0);
        r.max_cost = Some(Decimal::ZERO);
        r.max_price = Some(Decimal::ZERO);
    });
    let rename = |id: &'static str| move |m: &mut ModelRecord| m.id = ModelId::new(id).unwrap();
    type Mend = Box<dyn Fn(&mut ModelRecord)>;
    let steps: Vec<(&str, Mend)> = vec![
        ("batch_variant", Box::new(rename("~a/b:free"))),
        ("alias", Box::new(rename("a/b:free"))),
        ("dynamic_price", Box::new(|m| m.prices = PriceStrings::default())),
        (
            "unpriced",
            Box::new(|m| m.prices = prices("0.000001", "0.000002")),
        ),
        (
            "no_text_output",
            Box::new(|m| m.output_modalities = vec!["text".to_owned()]),
        ),
        ("expired", Box::new(|m| m.expiration_date = None)),
        ("free_tier", Box::new(rename("a/b"))),
        (
            "missing_capability",
            Box::new(|m| m.input_modalities = vec!["image".to_owned()]),
        ),
        ("context_too_small", Box::new(|m| m.context_length = Some(10_000))),
        (
            "quality_unknown",
            Box::new(|m| m.benchmarks = Benchmarks::new(Some(1.0), None, None)),
        ),
        (
            "quality_below_threshold",
            Box::new(|m| m.benchmarks = Benchmarks::new(Some(61.0), None, None)),
        ),
        (
            "over_max_cost",
            Box::new(|m| m.prices = prices("0.0000000000000001", "0")),
        ),
        ("over_max_price", Box::new(|m| m.prices = prices("0", "0"))),
    ];
    for (reason, mend) in steps {
        let plan = snapshot(vec![record.clone()]).plan(&request);
        assert_eq!(plan.refused[0].reason.as_str(), reason);
        mend(&mut record);
    }
    assert_eq!(order(&snapshot(vec![record]).plan(&request)), ["a/b"]);
}

#[test]
fn the_best_quality_is_that_of_a_model_that_only_the_threshold_keeps_out() {
    let quality = |value| Benchmarks::new(Some(value), None, None);
    let snapshot = snapshot(vec![
        changed("a/good", |m| m.benchmarks = quality(60.0)),
        changed("b/dear", |m| {
            m.benchmarks = quality(70.0);
            m.prices = prices("0.001", "0.001");
        }),
        changed("e/blind-too", |m| {
            m.benchmarks = quality(80.0);
            m.supported_parameters.clear();
        }),
        changed("c/blind", |m| {
            m.benchmarks = quality(80.0);
            m.input_modalities = vec!["text".to_owned()];
            m.supported_parameters.clear();
        }),
        changed("d/best:batch", |m| m.benchmarks = quality(99.0)),
    ]);
    let best = |request: &RouteRequest| {
        let plan = snapshot.plan(request);
        assert!(plan.candidates.is_empty());
        plan.best_quality
            .map(|(model, quality)| (model.to_string(), quality))
    };
    let none = |change: fn(&mut RouteRequest)| {
        with(|r| {
            r.min_quality = Some(101.0);
            change(r);
        })
    };
    assert_eq!(best(&none(|_| ())), Some(("c/blind".to_owned(), 80.0)));
    let needs_tools = none(|r| r.needs = CapabilitySet::of(Capability::Tools));
    assert_eq!(best(&needs_tools), Some(("b/dear".to_owned(), 70.0)));
    let cheap = none(|r| {
        r.needs = CapabilitySet::of(Capability::Tools);
        r.max_cost = Some(Decimal::new(1, 2));
    });
    assert_eq!(best(&cheap), Some(("a/good".to_owned(), 60.0)));
    assert_eq!(best(&none(|r| r.max_cost = Some(Decimal::ZERO))), None);
    let qualifying = snapshot.plan(&request());
    assert_eq!(
        qualifying.best_quality.unwrap().1,
        80.0,
        "also told where something qualifies"
    );
}

#[test]
fn a_named_model_is_held_only_against_what_the_request_sets() {
    let snapshot = snapshot(vec![
        changed("a/plain", |m| {
            m.benchmarks = Benchmarks::default();
            m.prices = PriceStrings::default();
        }),
        changed("a/dynamic", |m| m.prices = prices("-1", "-1")),
        model("a/b:free"),
        model("a/b:batch"),
        model("~a/latest"),
        changed("a/gone", |m| m.expiration_date = Some("2020-01-01".to_owned())),
        changed("a/mute", |m| m.output_modalities.clear()),
    ]);
    let reason = |id: &str, request: &RouteRequest| {
        let refusal = snapshot.check_explicit(&ModelId::new(id).unwrap(), request)?;
        assert_eq!(refusal.model.as_str(), id);
        Some(refusal.reason.as_str())
    };
    let strict = with(|r| r.min_quality = None);
    for id in ["a/plain", "a/dynamic", "a/b:free"] {
        assert_eq!(reason(id, &strict), None, "{id}");
    }
    let demanding = with(|r| r.min_quality = Some(101.0));
    assert_eq!(reason("a/plain", &demanding), Some("quality_unknown"));
    assert_eq!(reason("a/dynamic", &demanding), Some("quality_below_threshold"));
    assert_eq!(reason("a/b:batch", &strict), Some("batch_variant"));
    assert_eq!(reason("~a/latest", &strict), Some("alias"));
    assert_eq!(reason("a/gone", &strict), Some("expired"));
    assert_eq!(reason("a/mute", &strict), Some("no_text_output"));
    assert_eq!(reason("a/nobody", &strict), Some("unknown_model"));
    let detail = snapshot
        .check_explicit(&ModelId::new("a/nobody").unwrap(), &strict)
        .unwrap()
        .detail;
    assert_eq!(detail, format!("is not among the 7 models of {}", snapshot.id()));
    let vision = with(|r| r.needs = CapabilitySet::of(Capability::Vision));
    assert_eq!(reason("a/plain", &vision), Some("missing_capability"));
    assert_eq!(
        reason("a/plain", &with(|r| r.context = Some(20_000))),
        Some("context_too_small")
    );
    let limited = with(|r| r.max_cost = Some(Decimal::ONE));
    assert_eq!(
        reason("a/plain", &limited),
        Some("unpriced"),
        "a limit cannot be held against an unknown price"
    );
    assert_eq!(reason("a/dynamic", &limited), Some("dynamic_price"));
    assert_eq!(reason("a/b:free", &limited), None);
    assert_eq!(
        reason("a/b:free", &with(|r| r.max_price = Some(Decimal::ONE))),
        Some("over_max_price")
    );
    assert_eq!(
        reason("a/b:free", &with(|r| r.max_cost = Some(Decimal::ZERO))),
        Some("over_max_cost")
    );
}

#[test]
fn the_plan_as_json() {
    let snapshot = snapshot(vec![
        changed("a/good", |m| {
            m.benchmarks = Benchmarks::new(Some(57.25), None, None)
        }),
        changed("b/fair", |m| m.prices = prices("0.000003", "0.0000041")),
        changed("c/weak", |m| {
            m.benchmarks = Benchmarks::new(Some(41.2), None, None)
        }),
    ]);
    let plan = snapshot.plan(&with(|r| r.min_quality = Some(50.0)));
    let text = serde_json::to_string(&plan).unwrap();
    assert!(
        text.starts_with(
            r#"{"task":"reasoning","model":"a/good","quality":57.25,"expected_cost_usd":"0.002""#
        ),
        "{text}"
    );
    let reading = json!({
        "ttft_ms": null, "tokens_per_second": null, "error_rate": null, "in_flight": 0, "headroom": null, "cooling": false,
    });
    let candidate = |model: &str, quality: f64, amounts: [&str; 4]| {
        let [cost, charge, prompt, completion] = amounts;
        json!({
            "provider": "p", "model": model, "quality": quality, "quality_sd": 3.0, "expected_cost_usd": cost,
            "expected_charge_usd": charge, "cost_parts_usd": {"uncached_prompt": prompt, "completion": completion},
            "terms": {}, "reading": reading, "on_pareto_front": model == "a/good",
        })
    };
    let replay = json!({
        "snapshot": snapshot.id(), "quality": snapshot.quality_id(), "readings": [],
        "request": {
            "task": "reasoning", "min_quality": 50.0, "confidence": null, "needs": [], "prompt_tokens": 1000, "completion_tokens": 500,
            "context": null, "max_cost_usd": null, "max_price_usd": null, "max_latency_ns": null, "data_policy": null,
            "region": null, "only": [], "never": [], "warm": null, "allow_free": false, "strategy": "cheapest", "seed": 0,
            "turn": 0, "max_targets": 16, "at": NOW.unix(), "markup_bps": 1000,
        },
    });
    let expected = json!({
        "task": "reasoning",
        "model": "a/good",
        "quality": 57.25,
        "expected_cost_usd": "0.002",
        "expected_charge_usd": "0.0022",
        "candidates": [
            candidate("a/good", 57.25, ["0.002", "0.0022", "0.001", "0.001"]),
            candidate("b/fair", 50.0, ["0.00505", "0.005555", "0.003", "0.00205"]),
        ],
        "refused": [{"model": "c/weak", "reason": "quality_below_threshold", "detail": "scores 41.2, below 50"}],
        "snapshot": snapshot.id(),
        "assumed": {"prompt_tokens": 1000, "completion_tokens": 500},
        "best_quality": {"model": "a/good", "quality": 57.25},
        "strategy": "cheapest",
        "probability": 1.0,
        "replay": replay,
    });
    assert_eq!(serde_json::to_value(&plan).unwrap(), expected);
    let nothing = snapshot.plan(&with(|r| r.min_quality = Some(101.0)));
    let value = serde_json::to_value(&nothing).unwrap();
    for key in ["model", "quality", "expected_cost_usd", "expected_charge_usd"] {
        assert!(value[key].is_null(), "{key}");
    }
    assert_eq!(value["candidates"], json!([]));
    assert_eq!(
        value["best_quality"],
        json!({"model": "a/good", "quality": 57.25})
    );
}

#[test]
fn words_are_read_as_they_are_written() {
    for task in Task::ALL {
        assert_eq!(task.as_str().parse(), Ok(task));
        assert_eq!(task.to_string(), task.as_str());
    }
    for name in STRATEGIES {
        let made = strategy(name).unwrap();
        assert!(made.word().starts_with(name));
        assert_eq!(
            strategy(&made.word()).unwrap().word(),
            made.word(),
            "parameters included"
        );
    }
    let task = "poetry".parse::<Task>().unwrap_err().to_string();
    assert_eq!(
        task,
        "'poetry' is not a task with a known quality; the tasks are reasoning, coding, agentic, chat, summarise, extract, translate, vision"
    );
    let refused = |word: &str| strategy(word).unwrap_err().to_string();
    assert!(refused("best").starts_with("'best' is not a strategy; there are cheapest, best-quality, "));
    for word in [
        "weighted-utility:price=1",
        "weighted-utility:cost=-1",
        "weighted-utility:cost=0,quality=0,latency=0",
        "weighted-utility:cost=NaN",
        "sticky:tolerance=inf",
        "thompson:points-per-usd",
    ] {
        assert!(
            refused(word).contains("is not a parameter of the strategy"),
            "{word}"
        );
    }
    assert!(refused("cheapest:fast=1").contains("is not a strategy"));
}

#[test]
fn a_snapshot_shows_what_it_decides_on() {
    let snapshot = snapshot(vec![model("b/b"), model("a/a")]);
    let ids: Vec<_> = snapshot
        .deployments()
        .iter()
        .map(|d| d.target().model.as_str())
        .collect();
    assert_eq!(ids, ["a/a", "b/b"]);
    let deployment = snapshot.get(&ModelId::new("a/a").unwrap()).unwrap();
    assert_eq!(
        (deployment.context_length(), deployment.benchmarks().coding_index),
        (Some(10_000), Some(50.0))
    );
    assert!(deployment.capabilities().contains(Capability::Tools) && deployment.prices().is_some());
    assert!(snapshot.get(&ModelId::new("a/c").unwrap()).is_none());
}

#[test]
fn a_decision_can_be_made_again_in_the_same_room() {
    let snapshot = snapshot(vec![
        model("a/a"),
        changed("b/b", |m| m.prices = prices("0", "0")),
    ]);
    let mut scratch = Scratch::new();
    let decision = snapshot.decide(&request(), &mut scratch);
    assert_eq!(decision.chosen().unwrap().model.as_str(), "b/b");
    assert_eq!(decision.targets().len(), 2);
    let none = with(|r| r.min_quality = Some(51.0));
    assert!(snapshot.decide(&none, &mut scratch).chosen().is_none());
}
