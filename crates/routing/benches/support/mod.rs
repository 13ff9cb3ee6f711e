//! Catalogues of any size with known shares of models that qualify.
#![allow(unreachable_pub, dead_code)]

use costing::{PriceBook, UtcTime};
use integration_core::{ModelId, ProviderId};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use routing::{RouteRequest, Snapshot, Task};

pub const AT: UtcTime = UtcTime::from_unix(1_787_400_000);

/// So many models of which so many reach a quality of 50, spread evenly.
pub fn catalogue(models: usize, qualify: usize) -> (Catalogue, PriceBook) {
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let mut below = |most: u64| dice.next_u64() % most;
    let record = |at: usize| {
        let mut record = ModelRecord::new(ModelId::new(format!("author{}/model-{at:06}", at % 97)).unwrap());
        let prompt = format!("0.00000{:04}", 1 + below(9_999));
        let completion = format!("0.0000{:05}", 1 + below(99_999));
        record.prices = PriceStrings::new([
            ("prompt", prompt.as_str()),
            ("completion", completion.as_str()),
            ("input_cache_read", "0.0000001"),
        ]);
        // Evenly: the number of those up to here rises exactly where this one is one of them.
        let good = (at + 1) * qualify / models > at * qualify / models;
        let quality = below(400) as f64 / 10.0 + if good { 50.0 } else { 5.0 };
        record.benchmarks = Benchmarks::new(Some(quality), Some(quality), None);
        record.context_length = Some(131_072);
        record.max_completion_tokens = Some(32_768);
        record.input_modalities = vec!["text".to_owned(), "image".to_owned()];
        record.output_modalities = vec!["text".to_owned()];
        record.supported_parameters = ["tools", "response_format", "seed", "reasoning"]
            .map(str::to_owned)
            .to_vec();
        record
    };
    let records = (0..models).map(record).collect();
    let catalogue = Catalogue::new("2026-08-22", ProviderId::new("p").unwrap(), records).unwrap();
    let (prices, _) = PriceBook::from_catalogue(&catalogue);
    (catalogue, prices)
}

/// A request for a quality of 50.
pub fn request() -> RouteRequest {
    let mut request = RouteRequest::new(Task::Reasoning, AT);
    request.min_quality = Some(50.0);
    request
}

pub fn snapshot(models: usize, qualify: usize) -> Snapshot {
    let (catalogue, prices) = catalogue(models, qualify);
    Snapshot::new(&catalogue, &prices)
}
