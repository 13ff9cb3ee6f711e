//! Reading a catalogue: the file the release ships, and the provider's answer it came from (in the same shape, generated).
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model_catalogue::{Catalogue, openrouter};

const MODELS: usize = 421;

/// An answer of as many models as a real one has.
fn answer() -> String {
    let mut json = String::from(r#"{"data":["#);
    for i in 0..MODELS {
        let comma = if i > 0 { "," } else { "" };
        write!(
            json,
            r#"{comma}{{"id":"acme/model-{i}","canonical_slug":"acme/model-{i}-20260101","name":"Acme: Model {i}","created":1767225600,
            "description":"{}","context_length":131072,"architecture":{{"modality":"text+image->text","input_modalities":["text","image"],
            "output_modalities":["text"],"tokenizer":"Other","instruct_type":null}},"pricing":{{"prompt":"0.000000{i}","completion":"0.000004",
            "input_cache_read":"0.0000000208333333333333","overrides":[{{"min_prompt_tokens":128000,"prompt":"0.000002","completion":"0.000008"}}]}},
            "top_provider":{{"context_length":131072,"max_completion_tokens":32768,"is_moderated":false}},"per_request_limits":null,
            "supported_parameters":["max_tokens","reasoning","response_format","seed","structured_outputs","temperature","tool_choice","tools","top_p"],
            "benchmarks":{{"artificial_analysis":{{"intelligence_index":40.5,"coding_index":38.1,"agentic_index":22}}}}}}"#,
            "words ".repeat(80),
        )
        .unwrap();
    }
    json.push_str("]}");
    json
}

fn read(c: &mut Criterion) {
    let answer = answer();
    let (catalogue, _) = openrouter::import(&answer, "2026-01-02", "openrouter".parse().unwrap()).unwrap();
    #[cfg(feature = "bundled")]
    let catalogue = Catalogue::bundled().unwrap_or(catalogue);
    let file = catalogue.write();

    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("catalogue_file", |b| {
        b.iter(|| Catalogue::read(black_box(&file)).unwrap())
    });
    group.throughput(Throughput::Bytes(answer.len() as u64));
    group.bench_function("models_answer_421", |b| {
        b.iter(|| openrouter::read_models(black_box(&answer)).unwrap())
    });
    group.finish();

    let first = &catalogue.records()[catalogue.records().len() / 2];
    let (id, slug) = (first.id.to_string(), format!("{}:nitro", first.canonical_slug));
    let mut group = c.benchmark_group("find");
    group.bench_function("by_id", |b| b.iter(|| catalogue.get(black_box(&id)).is_some()));
    group.bench_function("by_slug_with_routing_suffix", |b| {
        b.iter(|| catalogue.resolve(black_box(&slug)).is_some())
    });
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
