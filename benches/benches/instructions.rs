//! Instruction counts of the pieces of a request: the same number on every run of the same build.
#![allow(missing_docs, missing_debug_implementations, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::Bytes;
use costing::{Cost, Markup, PriceSheet, PricedCall, Quantities, price_call};
use experiments::{Attribute, Condition, Context, Experiment};
use gungraun::prelude::*;
use http_transport::sse::{SseDecoder, SseLimits};
use integration_core::Usage;
use routing::{Plan, RouteRequest, Scratch, Snapshot};
use routing_learned::{Predictor, Rule, TrainOptions, train};
use waypost_benches::synthetic as outcomes;
use xxhash_rust::xxh3::xxh3_64;

mod fixture;
#[path = "../../crates/routing/benches/support/mod.rs"]
mod synthetic;

fn cost_inputs() -> (PriceSheet, Quantities) {
    (
        fixture::sheet(),
        Quantities::from_usage(&fixture::usage()).unwrap(),
    )
}

// Four buckets that are not zero, one override that holds.
#[library_benchmark(setup = cost_inputs)]
#[bench::four_buckets_one_override()]
fn cost(inputs: (PriceSheet, Quantities)) -> (Cost, (PriceSheet, Quantities)) {
    let cost = black_box(&inputs.0)
        .cost(black_box(&inputs.1), fixture::AT)
        .unwrap();
    (black_box(cost), inputs)
}

fn price_inputs() -> (PriceSheet, Usage) {
    (fixture::sheet(), fixture::usage())
}

// From the usage record to cost, markup and charge.
#[library_benchmark(setup = price_inputs)]
#[bench::cost_markup_charge()]
fn price(inputs: (PriceSheet, Usage)) -> (PricedCall, (PriceSheet, Usage)) {
    let priced = price_call(
        Some(black_box(&inputs.1)),
        Some(black_box(&inputs.0)),
        fixture::AT,
        Markup::DEFAULT,
    );
    (black_box(priced), inputs)
}

fn router() -> (Snapshot, RouteRequest, Scratch) {
    let (_, snapshot) = fixture::snapshot();
    let request = fixture::request();
    let mut scratch = Scratch::new();
    // The first decision makes the room that the measured one uses again.
    assert!(snapshot.decide(&request, &mut scratch).chosen().is_some());
    (snapshot, request, scratch)
}

// The choice alone.
#[library_benchmark(setup = router)]
#[bench::shipped_catalogue()]
fn decide(mut inputs: (Snapshot, RouteRequest, Scratch)) -> (bool, (Snapshot, RouteRequest, Scratch)) {
    let chosen = black_box(&inputs.0)
        .decide(black_box(&inputs.1), &mut inputs.2)
        .chosen()
        .is_some();
    (black_box(chosen), inputs)
}

fn synthetic(models: usize) -> (Snapshot, RouteRequest, Scratch) {
    let snapshot = synthetic::snapshot(models, 20);
    let request = synthetic::request();
    let mut scratch = Scratch::new();
    assert_eq!(snapshot.decide(&request, &mut scratch).targets().len(), 16);
    (snapshot, request, scratch)
}

// 20 deployments qualify whatever the size of the catalogue.
#[library_benchmark(setup = synthetic)]
#[bench::of_1_000(1_000)]
#[bench::of_10_000(10_000)]
#[bench::of_100_000(100_000)]
fn decide_20(mut inputs: (Snapshot, RouteRequest, Scratch)) -> (bool, (Snapshot, RouteRequest, Scratch)) {
    let chosen = black_box(&inputs.0)
        .decide(black_box(&inputs.1), &mut inputs.2)
        .chosen()
        .is_some();
    (black_box(chosen), inputs)
}

/// Boxed, so that moving it in and out is not counted.
type Learned = Box<(Predictor, Vec<f64>, String, routing_learned::Scratch, Vec<f32>)>;

fn learned(models: usize) -> Learned {
    // Few prompts: they are learnt from under valgrind too. What a prediction takes does not depend on how many there were.
    let set = outcomes::outcomes(120, models, 7).unwrap();
    let predictor = train(&set.outcomes, &TrainOptions::default(), &mut |_| {}).unwrap();
    let cost = |model| predictor.expected_cost(model, None).unwrap().cost.get() as f64;
    let costs = (0..models).map(cost).collect();
    let prompt = outcomes::prompt(600, 3);
    let (mut scratch, mut scores) = (routing_learned::Scratch::new(), Vec::new());
    // The first prediction makes the room that the measured one uses again.
    predictor.predict(&prompt, Some("law"), &mut scratch, &mut scores);
    Box::new((predictor, costs, prompt, scratch, scores))
}

// What is predicted of a prompt of 600 bytes at every model, and the choice.
#[library_benchmark(setup = learned)]
#[bench::of_12_models(12)]
fn decide_learned(mut inputs: Learned) -> (Option<usize>, Learned) {
    let (predictor, costs, prompt, scratch, scores) = &mut *inputs;
    predictor.predict(black_box(prompt), Some("law"), scratch, scores);
    let chosen = Rule::AtLeast(0.7).choose(scores, black_box(costs));
    (black_box(chosen), inputs)
}

// The choice, every candidate, and the reason for every model refused.
#[library_benchmark(setup = router)]
#[bench::shipped_catalogue()]
fn plan(inputs: (Snapshot, RouteRequest, Scratch)) -> (Plan, (Snapshot, RouteRequest, Scratch)) {
    (black_box(black_box(&inputs.0).plan(black_box(&inputs.1))), inputs)
}

fn bytes_of_a_draw() -> Vec<u8> {
    [fixture::EXPERIMENT, "arm", fixture::UNIT]
        .join("\0")
        .into_bytes()
}

// What an assignment hashes, and nothing else: an assignment less this is what deciding costs.
#[library_benchmark(setup = bytes_of_a_draw)]
#[bench::bytes_of_a_draw()]
fn hash(bytes: Vec<u8>) -> (u64, Vec<u8>) {
    (black_box(xxh3_64(black_box(&bytes))), bytes)
}

type Assigned = Box<(Experiment, Context<'static>)>;

fn plain() -> Assigned {
    Box::new((fixture::experiment(), Context::new().with_user(fixture::UNIT)))
}

fn targeted() -> Assigned {
    let (experiment, context) = *plain();
    let team = Condition::one_of(Attribute::Team, ["research", "search"]);
    Box::new((experiment.with_targeting([team]), context.with_team("search")))
}

// Both are boxed, so that moving them in and out is not counted.
#[library_benchmark]
#[bench::two_arms(setup = plain)]
#[bench::two_arms_one_condition(setup = targeted)]
fn assign(inputs: Assigned) -> (bool, Assigned) {
    let (experiment, context) = &*inputs;
    let assigned = black_box(experiment).assign_for(black_box(context)).arm.is_some();
    (black_box(assigned), inputs)
}

/// A thousand events as a model sends them, in pieces of a network packet's size.
fn stream() -> Vec<Bytes> {
    let mut text = String::from(": waiting\n\n");
    for n in 0..1_000 {
        text.push_str(&format!(
            "data: {{\"id\":\"gen-1\",\"object\":\"chat.completion.chunk\",\"model\":\"example/model\",\"choices\":[{{\"index\":0,\
             \"delta\":{{\"role\":\"assistant\",\"content\":\" word{n}\"}},\"finish_reason\":null}}]}}\n\n"
        ));
    }
    let whole = Bytes::from(text);
    (0..whole.len())
        .step_by(1_460)
        .map(|at| whole.slice(at..(at + 1_460).min(whole.len())))
        .collect()
}

#[library_benchmark(setup = stream)]
#[bench::thousand_events()]
fn sse(pieces: Vec<Bytes>) -> (usize, SseDecoder, Vec<Bytes>) {
    let mut decoder = SseDecoder::new(SseLimits::default());
    let mut events = 0;
    for piece in &pieces {
        decoder.feed(piece.clone());
        while let Some(event) = decoder.next_event().unwrap() {
            black_box(event.data());
            events += 1;
        }
    }
    assert_eq!(events, 1_000);
    (events, decoder, pieces)
}

library_benchmark_group!(
    name = request,
    benchmarks = [hash, assign, decide, decide_20, decide_learned, plan, cost, price]
);
library_benchmark_group!(name = answer, benchmarks = [sse]);
main!(library_benchmark_groups = request, answer);
