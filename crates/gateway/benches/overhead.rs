//! What the gateway adds to a call: the same unary request to the simulator directly, and through a gateway in front of
//! the same kind of simulator, with routing, ledger (two durable writes) and pricing on.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use gateway::app::App;
use gateway::config::{Overrides, Settings};
use gateway::environment::Environment;
use gateway::http::Server;
use openrouter_simulator::{Simulator, SimulatorConfig};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const BODY: &str =
    r#"{"model":"openai/gpt-4o-mini","max_tokens":50,"messages":[{"role":"user","content":"Hello"}]}"#;

async fn post(http: &reqwest::Client, url: &str) {
    let request = http
        .post(url)
        .header("content-type", "application/json")
        .bearer_auth("sk-or-v1-bench")
        .body(BODY);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap();
}

/// The median of some calls after a few to warm up.
async fn median(http: &reqwest::Client, url: &str) -> Duration {
    for _ in 0..20 {
        post(http, url).await;
    }
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        post(http, url).await;
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

fn overhead(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("waypost.toml");
    std::fs::write(&config, "[simulator]\ninstant = true\n").unwrap();
    let (direct, through) = runtime.block_on(async {
        let simulator = Simulator::start(SimulatorConfig::new(1)).await.unwrap();
        let direct = format!("{}/chat/completions", simulator.base_url());
        // Both live as long as the process.
        std::mem::forget(simulator);
        let mut overrides = Overrides::default();
        overrides.config = Some(config);
        overrides.listen = Some("127.0.0.1:0".to_owned());
        overrides.data_dir = Some(dir.path().join("data"));
        let settings = Settings::resolve(&overrides, &Environment::of([])).unwrap();
        let server = Server::bind(Arc::new(App::start(settings).await.unwrap()))
            .await
            .unwrap();
        let through = format!("http://{}/v1/chat/completions", server.address());
        tokio::spawn(server.run(CancellationToken::new()));
        (direct, through)
    });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (base, with) =
        runtime.block_on(async { (median(&http, &direct).await, median(&http, &through).await) });
    println!(
        "gateway adds {:?} to a direct call of {base:?} (medians of 200)",
        with.saturating_sub(base)
    );
    println!(
        "ratio: gateway/direct {:.2}",
        with.as_secs_f64() / base.as_secs_f64()
    );
    let mut group = criterion.benchmark_group("unary");
    group.bench_function("direct", |bencher| {
        bencher.iter(|| runtime.block_on(post(&http, &direct)))
    });
    group.bench_function("through_gateway", |bencher| {
        bencher.iter(|| runtime.block_on(post(&http, &through)))
    });
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
