//! Every example program runs against the simulator, and says what it should.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::duplicate_mod,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::BTreeSet;

use openrouter_client::{Config, OpenRouterClient};
use openrouter_simulator::{Simulator, SimulatorConfig};

const ORDINARY: &str = "sk-or-v1-CANARY-example";
const MANAGEMENT: &str = "sk-or-v1-management-CANARY";

async fn stand_in(key: &str) -> (OpenRouterClient, Simulator) {
    let simulator = Simulator::start(SimulatorConfig::new(1)).await.unwrap();
    let config =
        Config::new(integration_core::Secret::new(key).unwrap()).with_base_url(&simulator.base_url());
    (OpenRouterClient::new(config).unwrap(), simulator)
}

fn check(name: &str, out: Vec<u8>, words: &[&str]) {
    let said = String::from_utf8(out).unwrap();
    for word in words {
        assert!(said.contains(word), "{name} does not say {word:?}:\n{said}");
    }
    assert!(!said.contains("CANARY"), "{said}");
}

macro_rules! examples {
    ($($name:ident, $path:literal, $key:ident, [$($word:literal),+];)+) => {
        $(
            #[path = $path]
            mod $name;
        )+

        mod runs {
            $(
                #[tokio::test]
                async fn $name() {
                    let (client, _simulator) = super::stand_in(super::$key).await;
                    let mut out = Vec::new();
                    super::$name::run(&client, &mut out).await.unwrap();
                    super::check(stringify!($name), out, &[$($word),+]);
                }
            )+
        }

        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

examples! {
    chat, "../examples/chat.rs", ORDINARY, ["model: ", "cost in USD: Some("];
    streaming, "../examples/streaming.rs", ORDINARY, ["[generation Some(", "[finished: stop]", "[cost in USD: Some("];
    tools, "../examples/tools.rs", ORDINARY, ["call ", "get_weather"];
    structured_output, "../examples/structured_output.rs", ORDINARY, ["city: ", "country: "];
    reasoning, "../examples/reasoning.rs", ORDINARY, ["answer: ", "tokens of thoughts: Some("];
    images_and_files, "../examples/images_and_files.rs", ORDINARY, ["vision", "file-input", "simulated"];
    fallbacks_and_provider_preferences, "../examples/fallbacks_and_provider_preferences.rs", ORDINARY, ["answered by ", "routing: ", "provider.only = [", "no route: "];
    embeddings_and_rerank, "../examples/embeddings_and_rerank.rs", ORDINARY, ["cat and kitten: ", "64 numbers, Some(", "a kitten"];
    responses_and_messages, "../examples/responses_and_messages.rs", ORDINARY, ["responses: ", "[Some(\"completed\")]", "messages: ", "tokens in all]", "completions: "];
    models_and_prices, "../examples/models_and_prices.rs", ORDINARY, ["models in all", "tokens of context", "served by ", "records, 0 things"];
    generation_and_cost, "../examples/generation_and_cost.rs", ORDINARY, ["cost in USD: Some(", "served by Some("];
    keys_and_credits, "../examples/keys_and_credits.rs", MANAGEMENT, ["balance: Some(", "made: ", "Secret([redacted])", "its limit now: Some(2.5)", "ended: true"];
    pkce, "../examples/pkce.rs", ORDINARY, ["https://openrouter.ai/auth?callback_url=http%3A%2F%2Flocalhost", "granted: Secret([redacted])", "a second time: permission_denied"];
    errors_and_retries, "../examples/errors_and_retries.rs", ORDINARY, ["model_not_found: ", "timeout after the deadline"];
    response_cache, "../examples/response_cache.rs", ORDINARY, ["first time: from the cache: false", "second time: from the cache: true, cost in USD: Some(0"];
    outages, "../examples/outages.rs", ORDINARY, ["retries false: ", "retries true: answered by Some("];
    deadlines_and_network, "../examples/deadlines_and_network.rs", ORDINARY, ["timeout: no answer in time (MaybeSent)", "not on the list"];
    raw_call, "../examples/raw_call.rs", ORDINARY, ["HTTP 200: ", "events of Some(\"gen-", "no such batch: ", "this path cannot be called"];
}

#[test]
fn no_example_is_left_out() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let programs: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()?
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(programs, NAMES.iter().map(|name| (*name).to_owned()).collect());
}

#[tokio::test]
async fn an_ordinary_key_does_not_administer() {
    let (client, _simulator) = stand_in(ORDINARY).await;
    let mut out = Vec::new();
    keys_and_credits::run(&client, &mut out).await.unwrap();
    check("keys_and_credits", out, &["this key cannot administer"]);
}
