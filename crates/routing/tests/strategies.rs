//! What each strategy promises, and what holds for all of them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use costing::{Pico, PriceBook, UtcTime};
use integration_core::{Capability, CapabilitySet, Clock, ErrorKind, ManualClock, ModelId, ProviderId};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use proptest::prelude::*;
use routing::{
    Belief, BreakerConfig, Contender, DataPolicy, Dice, Ending, FactBook, Facts, LiveBook, Plan, PlanRecord,
    QualityBook, Reading, ReplayError, RouteRequest, Router, STRATEGIES, Scratch, Signals, Snapshot, Target,
    Task, Warm, pareto_front, strategy,
};

const NOW: UtcTime = UtcTime::from_unix(1_787_400_000);

#[derive(Debug, Clone, Default)]
struct Known(BTreeMap<usize, Reading>);

impl Signals for Known {
    fn reading(&self, at: usize) -> Reading {
        self.0.get(&at).copied().unwrap_or_default()
    }
}

fn reading(
    ttft: Option<f64>,
    rate: Option<f64>,
    errors: Option<f64>,
    busy: u32,
    room: Option<f64>,
) -> Reading {
    let mut reading = Reading::default();
    reading.ttft_ms = ttft;
    reading.tokens_per_second = rate;
    reading.error_rate = errors;
    reading.in_flight = busy;
    reading.headroom = room;
    reading
}

fn contender(at: usize, pico: i64, quality: f64) -> Contender {
    Contender::new(
        at,
        Pico::new(pico),
        Belief::new(quality, 3.0).unwrap(),
        Reading::default(),
    )
}

fn request(word: &str, seed: u64) -> RouteRequest {
    let mut request = RouteRequest::new(Task::Reasoning, NOW);
    request.strategy = strategy(word).unwrap();
    request.seed = seed;
    request
}

fn order(word: &str, seed: u64, contenders: &[Contender]) -> (Vec<usize>, f64) {
    arranged(&request(word, seed), contenders)
}

fn arranged(request: &RouteRequest, contenders: &[Contender]) -> (Vec<usize>, f64) {
    let mut contenders = contenders.to_vec();
    let mut dice = Dice::new(request.seed);
    let probability = request.strategy.arrange(request, &mut contenders, &mut dice);
    (contenders.iter().map(|one| one.at).collect(), probability)
}

fn record(id: &str, price: &str, quality: f64) -> ModelRecord {
    let mut record = ModelRecord::new(ModelId::new(id).unwrap());
    record.prices = PriceStrings::new([
        ("prompt", price),
        ("completion", price),
        ("input_cache_read", "0.0000001"),
    ]);
    record.benchmarks = Benchmarks::new(Some(quality), None, None);
    record.output_modalities = vec!["text".to_owned()];
    record.context_length = Some(1_000_000);
    record
}

fn catalogue(provider: &str, records: Vec<ModelRecord>) -> (Catalogue, PriceBook) {
    let catalogue = Catalogue::new("2026-08-22", ProviderId::new(provider).unwrap(), records).unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    (catalogue, prices)
}

fn target(provider: &str, model: &str) -> Target {
    Target::new(ProviderId::new(provider).unwrap(), ModelId::new(model).unwrap())
}

fn three() -> Snapshot {
    let (catalogue, prices) = catalogue(
        "p",
        vec![
            record("a/cheap", "0.000001", 40.0),
            record("b/middle", "0.000002", 60.0),
            record("c/dear", "0.000009", 70.0),
        ],
    );
    Snapshot::new(&catalogue, &prices)
}

fn chosen(plan: &Plan) -> &str {
    plan.chosen().unwrap().target.model.as_str()
}

#[test]
fn simple_orders() {
    let mut field = [
        contender(0, 30, 50.0),
        contender(1, 10, 40.0),
        contender(2, 20, 60.0),
    ];
    field[0].reading = reading(Some(100.0), Some(20.0), None, 5, Some(0.9));
    field[1].reading = reading(Some(900.0), Some(90.0), None, 0, None);
    field[2].reading = reading(None, None, None, 9, Some(0.1));
    assert_eq!(order("cheapest", 0, &field).0, [1, 2, 0]);
    assert_eq!(order("best-quality", 0, &field).0, [2, 0, 1]);
    assert_eq!(
        order("throughput", 0, &field).0,
        [1, 0, 2],
        "never timed comes last"
    );
    assert_eq!(order("least-busy", 0, &field).0, [1, 0, 2]);
    assert_eq!(
        order("headroom", 0, &field).0,
        [1, 0, 2],
        "without a limit there is all the room"
    );
    assert_eq!(
        order("cascade", 0, &field).0,
        [1, 2, 0],
        "the last is no better than a cheaper one"
    );
    assert_eq!(
        order("weighted-utility:cost=1,quality=0,latency=0", 0, &field).0,
        [1, 2, 0]
    );
    assert_eq!(
        order("weighted-utility:cost=0,quality=1,latency=0", 0, &field).0,
        [2, 0, 1]
    );
    assert_eq!(
        pareto_front(&request("cheapest", 0), &field),
        [0, 1, 2],
        "speeds differ or are unknown"
    );
    let untimed = [
        contender(0, 30, 50.0),
        contender(1, 10, 40.0),
        contender(2, 20, 60.0),
    ];
    assert_eq!(pareto_front(&request("cheapest", 0), &untimed), [1, 2]);
}

#[test]
fn turns_go_round() {
    let field = [contender(0, 3, 1.0), contender(1, 2, 1.0), contender(2, 1, 1.0)];
    let mut turn = request("round-robin", 0);
    let firsts: Vec<_> = (0..6)
        .map(|number| {
            turn.turn = number;
            arranged(&turn, &field).0[0]
        })
        .collect();
    assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_warm_cache_is_left_only_for_more_than_it_is_worth() {
    let mut field = [contender(0, 120, 50.0), contender(1, 100, 50.0)];
    field[0].is_warm = true;
    let mut sticky = request("sticky", 0);
    sticky.warm = Some(Warm::new(target("p", "m/0"), 500));
    assert_eq!(
        arranged(&sticky, &field).0,
        [0, 1],
        "a fifth dearer is within a quarter"
    );
    field[0].cost = Pico::new(140);
    assert_eq!(arranged(&sticky, &field).0, [1, 0]);
}

#[test]
fn cache_reads_are_in_the_expected_cost() {
    let snapshot = three();
    let mut request = request("cheapest", 0);
    request.prompt_tokens = 10_000;
    request.completion_tokens = 100;
    assert_eq!(chosen(&snapshot.plan(&request)), "a/cheap");
    request.warm = Some(Warm::new(target("p", "b/middle"), 9_900));
    let plan = snapshot.plan(&request);
    assert_eq!(chosen(&plan), "b/middle");
    let parts: Vec<_> = plan
        .chosen()
        .unwrap()
        .cost_parts
        .iter()
        .map(|(name, amount)| (*name, amount.to_string()))
        .collect();
    assert_eq!(
        parts.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["uncached_prompt", "cache_read", "completion"]
    );
    assert_eq!(
        snapshot.decide(&request, &mut Scratch::new()).chosen(),
        plan.chosen().map(|one| &one.target)
    );
}

#[test]
fn what_refuses_at_once_is_not_quick() {
    let mut field = [contender(0, 1, 50.0), contender(1, 1, 50.0)];
    field[0].reading = reading(Some(5_000.0), None, Some(0.9), 0, None);
    field[1].reading = reading(Some(800.0), None, Some(0.0), 3, None);
    for seed in 0..50 {
        assert_eq!(
            order("lowest-latency", seed, &field).0,
            [1, 0],
            "of two, both are drawn"
        );
    }
}

/// How often each is first, against the probability that was recorded.
fn shares(word: &str, field: &[Contender]) {
    let runs = 20_000_u32;
    let (mut counts, mut told) = (BTreeMap::new(), BTreeMap::new());
    for seed in 0..runs {
        let (order, probability) = order(word, u64::from(seed), field);
        *counts.entry(order[0]).or_insert(0_u32) += 1;
        told.insert(order[0], probability);
    }
    let total: f64 = told.values().sum();
    assert!(total <= 1.000_01, "{word}: {told:?}");
    for (at, probability) in told {
        let share = f64::from(counts[&at]) / f64::from(runs);
        let error = (probability * (1.0 - probability) / f64::from(runs)).sqrt();
        assert!(
            (share - probability).abs() <= 4.5 * error + 1e-6,
            "{word} {at}: {share} against {probability}"
        );
    }
}

#[test]
fn recorded_probabilities_are_those_of_the_draws() {
    let mut field: Vec<_> = (0..5).map(|at| contender(at, 10, 50.0 + at as f64)).collect();
    for (at, one) in field.iter_mut().enumerate() {
        one.weight = 1.0 + at as f64;
        one.reading = reading(Some(100.0 * (1.0 + at as f64)), None, None, 0, None);
    }
    for word in [
        "weighted",
        "lowest-latency",
        "thompson",
        "thompson:points-per-usd=0",
    ] {
        shares(word, &field);
    }
}

#[test]
fn data_and_place_are_promised_or_not() {
    let (catalogue, prices) = catalogue(
        "p",
        vec![record("a/x", "0.000001", 50.0), record("b/y", "0.000002", 50.0)],
    );
    let facts = FactBook::new()
        .with(
            "a/*".parse().unwrap(),
            Facts::default().with_data_policy(DataPolicy::NoTraining),
        )
        .with(
            "*".parse().unwrap(),
            Facts::default()
                .with_data_policy(DataPolicy::NoRetention)
                .with_region("eu"),
        );
    let snapshot = Snapshot::with_parts(
        &[(&catalogue, &prices)],
        &QualityBook::from_catalogue(&catalogue),
        &facts,
    );
    let plan = |change: &dyn Fn(&mut RouteRequest)| {
        let mut request = request("cheapest", 0);
        change(&mut request);
        let plan = snapshot.plan(&request);
        assert_eq!(
            snapshot
                .decide(&request, &mut Scratch::new())
                .targets()
                .cloned()
                .collect::<Vec<_>>(),
            plan.candidates
                .iter()
                .map(|one| one.target.clone())
                .collect::<Vec<_>>()
        );
        plan
    };
    assert_eq!(
        chosen(&plan(&|r| r.data_policy = Some(DataPolicy::NoTraining))),
        "a/x"
    );
    let strict = plan(&|r| r.data_policy = Some(DataPolicy::NoRetention));
    assert_eq!(
        (chosen(&strict), &*strict.refused[0].detail),
        ("b/y", "promises no-training only")
    );
    let placed = plan(&|r| r.region = Some("eu".to_owned()));
    assert_eq!(
        (chosen(&placed), placed.refused[0].reason.as_str()),
        ("b/y", "region")
    );
    assert_eq!(chosen(&plan(&|r| r.never = vec!["a/*".parse().unwrap()])), "b/y");
    assert_eq!(chosen(&plan(&|r| r.only = vec!["b/y".parse().unwrap()])), "b/y");
    let named = snapshot.check_explicit(&ModelId::new("a/x").unwrap(), &{
        let mut request = request("cheapest", 0);
        request.data_policy = Some(DataPolicy::NoRetention);
        request
    });
    assert_eq!(
        named.unwrap().reason.as_str(),
        "data_policy",
        "naming a model does not break the rule"
    );
}

#[test]
fn a_provider_that_holds_requests_to_a_policy_makes_up_for_what_is_unknown_alone() {
    let records = || {
        vec![
            record("a/weak", "0.000001", 50.0),
            record("b/unknown", "0.000002", 50.0),
            record("c/placed", "0.000003", 50.0),
        ]
    };
    let (catalogue_p, prices_p) = catalogue("p", records());
    let (catalogue_q, prices_q) = catalogue("q", records());
    let facts = |policy| {
        FactBook::new()
            .with(
                "a/*".parse().unwrap(),
                Facts::default().with_data_policy(DataPolicy::NoTraining),
            )
            .with("c/*".parse().unwrap(), Facts::default().with_region("eu"))
            .with_enforced("q".parse().unwrap(), policy)
    };
    let candidates = |enforced, demanded| {
        let snapshot = Snapshot::with_parts(
            &[(&catalogue_p, &prices_p), (&catalogue_q, &prices_q)],
            &QualityBook::from_catalogue(&catalogue_p),
            &facts(enforced),
        );
        let mut request = request("cheapest", 0);
        request.data_policy = Some(demanded);
        let plan = snapshot.plan(&request);
        let names = plan
            .candidates
            .iter()
            .map(|one| format!("{}:{}", one.target.provider, one.target.model));
        names.collect::<Vec<_>>()
    };
    use DataPolicy::{NoRetention, NoTraining};
    // By the promise at both, and where the provider sees to it.
    let loose = ["p:a/weak", "q:a/weak", "q:b/unknown", "q:c/placed"];
    assert_eq!(candidates(NoRetention, NoTraining), loose);
    assert_eq!(candidates(NoTraining, NoTraining), loose);
    // A promise that is too weak stays one, and a provider that sees to less does not see to this.
    assert_eq!(
        candidates(NoRetention, NoRetention),
        ["q:b/unknown", "q:c/placed"]
    );
    assert!(candidates(NoTraining, NoRetention).is_empty());
}

#[test]
fn what_is_cooling_or_too_slow_is_left_out() {
    let snapshot = three();
    let mut cooling = Reading::default();
    cooling.cooling = true;
    let known = Known(BTreeMap::from([
        (0, cooling),
        (1, reading(Some(4_000.0), None, None, 0, None)),
    ]));
    let mut request = request("cheapest", 0);
    let plan = snapshot.plan_with(&request, &known);
    assert_eq!(
        (chosen(&plan), plan.refused[0].reason.as_str()),
        ("b/middle", "cooling")
    );
    request.max_latency = Some(Duration::from_secs(3));
    let plan = snapshot.plan_with(&request, &known);
    assert_eq!(chosen(&plan), "c/dear", "nobody has timed it");
    assert_eq!(plan.refused[1].detail, "takes about 4000 ms, over 3000 ms");
}

#[test]
fn a_threshold_can_be_asked_for_with_confidence() {
    let snapshot = three();
    let mut request = request("cheapest", 0);
    request.min_quality = Some(58.0);
    assert_eq!(chosen(&snapshot.plan(&request)), "b/middle");
    request.confidence = Some(0.95);
    let plan = snapshot.plan(&request);
    assert_eq!(chosen(&plan), "c/dear");
    assert_eq!(
        plan.refused[1].detail,
        "scores 60, but no more than 55.1 is sure enough, below 58"
    );
    assert_eq!(
        snapshot.decide(&request, &mut Scratch::new()).chosen(),
        plan.chosen().map(|one| &one.target)
    );
}

#[test]
fn the_router_swaps_snapshots_and_tries_what_cools_where_nothing_else_is_left() {
    let start = ManualClock::new();
    let now = start.now();
    let book = Arc::new(LiveBook::new(BreakerConfig::default(), now, 1));
    let router = Router::new(three(), Arc::clone(&book));
    assert_eq!(chosen(&router.best_model(Task::Reasoning, NOW, now)), "a/cheap");
    let view = router.view();
    // The provider asks to leave the first one alone.
    let ticket = book.of(&target("p", "a/cheap")).begin(true, now);
    let refusal = Ending::Failed {
        kind: ErrorKind::RateLimited,
        retry_after: Some(Duration::from_secs(30)),
    };
    book.of(&target("p", "a/cheap")).end(ticket, refusal, now);
    let mut scratch = Scratch::new();
    let request = request("cheapest", 0);
    assert_eq!(
        view.decide(&request, now, &mut scratch).chosen(),
        Some(&target("p", "b/middle"))
    );
    assert_eq!(chosen(&view.plan(&request, now)), "b/middle");
    let only = {
        let mut only = request.clone();
        only.only = vec!["a/cheap".parse().unwrap()];
        only
    };
    assert_eq!(
        view.decide(&only, now, &mut scratch).chosen(),
        Some(&target("p", "a/cheap"))
    );
    assert_eq!(chosen(&view.plan(&only, now)), "a/cheap");
    let later = now + Duration::from_secs(100);
    assert_eq!(
        view.decide(&request, later, &mut scratch).chosen(),
        Some(&target("p", "a/cheap"))
    );
    let (catalogue, prices) = catalogue("p", vec![record("z/new", "0.000001", 50.0)]);
    router.replace(Snapshot::new(&catalogue, &prices));
    assert_eq!(chosen(&router.best_model(Task::Reasoning, NOW, now)), "z/new");
    assert_eq!(
        chosen(&view.plan(&request, later)),
        "a/cheap",
        "a call keeps the one it began with"
    );
    assert_eq!((router.next_turn(), router.next_turn()), (0, 1));
}

#[test]
fn one_model_at_two_providers_is_two_deployments() {
    let (first, first_prices) = catalogue("p", vec![record("a/x", "0.000003", 50.0)]);
    let (second, second_prices) = catalogue("q", vec![record("a/x", "0.000001", 50.0)]);
    let quality = QualityBook::from_catalogue(&first);
    let both = Snapshot::with_parts(
        &[(&first, &first_prices), (&second, &second_prices)],
        &quality,
        &FactBook::new(),
    );
    let plan = both.plan(&request("cheapest", 0));
    let targets: Vec<_> = plan.candidates.iter().map(|one| one.target.clone()).collect();
    assert_eq!(targets, [target("q", "a/x"), target("p", "a/x")]);
    assert_eq!(both.place(&target("q", "a/x")), Some(1));
    assert_eq!(
        both.get(&ModelId::new("a/x").unwrap()).unwrap().target(),
        &target("p", "a/x")
    );
}

#[test]
fn the_best_of_all_reaches_a_threshold_of_its_own_quality() {
    let snapshot = three();
    let mut request = request("cheapest", 0);
    request.min_quality = Some(70.0);
    assert_eq!(chosen(&snapshot.plan(&request)), "c/dear");
    let mut scratch = Scratch::new();
    assert_eq!(
        snapshot.decide(&request, &mut scratch).chosen(),
        Some(&target("p", "c/dear"))
    );
}

#[test]
fn a_chain_is_held_against_the_catalogue() {
    let mut head = record("a/head", "0.000001", 50.0);
    head.input_modalities = vec!["image".to_owned()];
    head.supported_parameters = vec!["tools".to_owned()];
    let mut small = record("b/small", "0.000001", 50.0);
    small.supported_parameters = vec!["tools".to_owned()];
    small.context_length = Some(8_000);
    let mut same = head.clone();
    same.id = ModelId::new("c/same").unwrap();
    let batch = record("d/x:batch", "0.000001", 50.0);
    let (catalogue, prices) = catalogue("p", vec![head, small, same, batch]);
    let snapshot = Snapshot::new(&catalogue, &prices);
    let id = |id: &str| ModelId::new(id).unwrap();
    let gaps = snapshot.chain_gaps(
        &id("a/head"),
        &[id("b/small"), id("c/same"), id("d/x:batch"), id("e/none")],
    );
    let told: Vec<_> = gaps.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "b/small can never serve vision, and holds 8000 tokens of 1000000",
            "d/x:batch can never stand in: it answers in batches only"
        ]
    );
}

#[test]
fn a_plan_of_another_snapshot_is_not_made_again() {
    let plan = three().plan(&request("cheapest", 0));
    let (catalogue, prices) = catalogue("p", vec![record("a/x", "0.000003", 50.0)]);
    let other = Snapshot::new(&catalogue, &prices);
    assert!(matches!(
        plan.replay(&other),
        Err(ReplayError::OtherSnapshot { .. })
    ));
}

fn readings() -> impl Strategy<Value = Known> {
    let one = (
        prop::option::of(1.0..5_000.0),
        prop::option::of(0.0..200.0),
        prop::option::of(0.0..1.0),
        0_u32..20,
        prop::option::of(0.0..1.0),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(ttft, rate, errors, busy, room, cooling)| {
            let mut reading = reading(ttft, rate, errors, busy, room);
            reading.cooling = cooling;
            reading
        });
    prop::collection::btree_map(0_usize..150, one, 0..40).prop_map(Known)
}

fn many() -> impl Strategy<Value = Snapshot> {
    let one = (
        0_u16..400,
        0_u8..3,
        1_u32..30,
        0_u8..8,
        any::<bool>(),
        any::<bool>(),
    );
    (prop::collection::vec(one, 1..160), any::<bool>()).prop_map(|(models, two)| {
        let mut records: Vec<_> = models
            .into_iter()
            .map(|(id, variant, price, quality, tools, override_)| {
                let suffix = [":free", "", ""][usize::from(variant)];
                let mut record = record(
                    &format!("m{}/{id}{suffix}", id % 5),
                    &format!("0.0000{price:03}"),
                    f64::from(quality) * 10.0,
                );
                if tools {
                    record.supported_parameters = vec!["tools".to_owned()];
                }
                if override_ {
                    // Thirteen decimals: no whole pico-dollar.
                    record.prices = PriceStrings::new([
                        ("prompt", format!("0.0000{price:03}0000001").as_str()),
                        ("completion", "0.000001"),
                    ]);
                }
                record
            })
            .collect();
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records.dedup_by(|a, b| a.id == b.id);
        let (first, first_prices) = catalogue("p", records.clone());
        let (second, second_prices) = catalogue("q", records);
        let mut parts = vec![(&first, &first_prices)];
        if two {
            parts.push((&second, &second_prices));
        }
        Snapshot::with_parts(&parts, &QualityBook::from_catalogue(&first), &FactBook::new())
    })
}

fn any_request() -> impl Strategy<Value = RouteRequest> {
    (
        prop::sample::select(STRATEGIES.to_vec()),
        (any::<u64>(), any::<u64>(), 0_usize..20),
        prop::option::of(0.0..80.0),
        (0_u64..5_000, 0_u64..5_000),
        (any::<bool>(), any::<bool>()),
        prop::option::of(0_u64..4_000),
        (prop::option::of(0_u16..400), prop::option::of(0_u64..9_000)),
        prop::sample::select(vec![
            vec![],
            vec!["m1/*".parse().unwrap()],
            vec!["*:free".parse().unwrap()],
        ]),
    )
        .prop_map(
            |(
                word,
                (seed, turn, most),
                quality,
                (prompt, completion),
                (free, tools),
                latency,
                (warm, cached),
                never,
            )| {
                let mut request = request(word, seed);
                (request.turn, request.max_targets, request.min_quality) = (turn, most, quality);
                request.confidence = (seed % 3 == 0).then_some(0.9);
                (request.prompt_tokens, request.completion_tokens) = (prompt, completion);
                (request.allow_free, request.never) = (free, never);
                request.max_latency = latency.map(Duration::from_millis);
                if tools {
                    request.needs = CapabilitySet::of(Capability::Tools);
                }
                request.warm = warm
                    .zip(cached)
                    .map(|(id, cached)| Warm::new(target("p", &format!("m{}/{id}", id % 5)), cached));
                request
            },
        )
}

proptest! {
    #[test]
    fn deciding_chooses_what_planning_chooses(snapshot in many(), request in any_request(), known in readings()) {
        let plan = snapshot.plan_with(&request, &known);
        let mut scratch = Scratch::new();
        let decision = snapshot.decide_with(&request, &known, &mut scratch);
        let planned: Vec<_> = plan.candidates.iter().map(|one| &one.target).take(request.max_targets.max(1)).collect();
        prop_assert_eq!(decision.targets().collect::<Vec<_>>(), planned);
        prop_assert_eq!(decision.probability().to_bits(), plan.probability.to_bits());
        prop_assert!(plan.probability >= 0.0 && plan.probability <= 1.0);
        for (one, candidate) in decision.contenders().iter().zip(&plan.candidates) {
            prop_assert_eq!(one.cost.to_decimal(), candidate.expected_cost);
        }
    }

    #[test]
    fn a_plan_is_made_again_from_its_json(snapshot in many(), request in any_request(), known in readings()) {
        let plan = snapshot.plan_with(&request, &known);
        prop_assert_eq!(&plan.replay(&snapshot).unwrap(), &plan);
        let json = serde_json::to_value(&plan).unwrap();
        let record: PlanRecord = serde_json::from_str(&json["replay"].to_string()).unwrap();
        let again = record.replay(&snapshot).unwrap();
        prop_assert_eq!(serde_json::to_value(&again).unwrap(), json);
    }

    #[test]
    fn every_contender_stays_and_the_order_they_came_in_changes_nothing(
        (request, field, shuffled) in (any_request(), prop::collection::vec((1_i64..50, 0_u8..10), 1..30)).prop_flat_map(|(request, figures)| {
            let field: Vec<_> = figures.iter().enumerate().map(|(at, (cost, quality))| contender(at, *cost, f64::from(*quality))).collect();
            (Just(request), Just(field.clone()), Just(field).prop_shuffle())
        })
    ) {
        let (order, probability) = arranged(&request, &field);
        let mut places = order.clone();
        places.sort_unstable();
        prop_assert_eq!(places, (0..field.len()).collect::<Vec<_>>());
        prop_assert_eq!(arranged(&request, &shuffled), (order, probability), "{}", request.strategy.word());
    }
}

#[test]
fn the_steps_of_a_decision_are_the_first_that_are_each_better_than_the_one_before() {
    let (catalogue, prices) = catalogue(
        "p",
        vec![
            record("a/cheap", "0.000001", 40.0),
            record("b/no-better", "0.000002", 39.0),
            record("c/better", "0.000003", 60.0),
            record("d/best", "0.000009", 70.0),
        ],
    );
    let snapshot = Snapshot::new(&catalogue, &prices);
    let mut scratch = Scratch::new();
    let decision = snapshot.decide(&request("cascade", 0), &mut scratch);
    let models: Vec<_> = decision.targets().map(|target| target.model.as_str()).collect();
    assert_eq!(models, ["a/cheap", "c/better", "d/best", "b/no-better"]);
    assert_eq!(decision.steps(), 3);
    assert_eq!(snapshot.decide(&request("cheapest", 0), &mut scratch).steps(), 1);
}
