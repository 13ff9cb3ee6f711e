//! What one answer costs the simulator: a streamed one and a whole one, made in memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openrouter_simulator::{Outcome, SimulatedRequest, Simulation, SimulatorConfig};

fn answer(c: &mut Criterion) {
    let config = SimulatorConfig::new(1).with_answer_tokens(500..=500);
    let simulation = Simulation::new(config).unwrap();
    let mut group = c.benchmark_group("answer");
    for (name, stream) in [("streamed", "true"), ("whole", "false")] {
        let body = format!(
            r#"{{"model":"openai/gpt-4o-mini","stream":{stream},"messages":[{{"role":"user","content":"Hello"}}]}}"#
        );
        let request = SimulatedRequest::new("POST", "/api/v1/chat/completions")
            .with_header("authorization", "Bearer sk-or-v1-bench")
            .with_body(body.as_bytes());
        let reply = simulation.reply(&request);
        assert!(matches!(&reply.outcome, Outcome::Answer(answer) if answer.status == 200));
        group.throughput(Throughput::Bytes(reply.body().len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| black_box(simulation.reply(black_box(&request))))
        });
    }
    group.finish();
}

criterion_group!(benches, answer);
criterion_main!(benches);
