//! Whatever is set of the chat options, the request follows the official OpenAPI document.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use integration_core::chat::Message;
use integration_core::{ChatRequest, ModelId};
use openrouter_client::routes::*;
use openrouter_client::wire::chat_body;
use proptest::prelude::*;
use provider_testkit::openapi::OpenApi;
use rust_decimal::Decimal;
use serde_json::Value;

fn model() -> ModelId {
    ModelId::new("openai/gpt-5-mini").unwrap()
}

fn slug(text: &str) -> ProviderSlug {
    ProviderSlug::new(text).unwrap()
}

/// A choice among the words of an open enum, never `Other`.
fn word<T: for<'a> From<&'a str> + std::fmt::Debug + 'static>(
    words: &'static [&'static str],
) -> impl Strategy<Value = T> {
    proptest::sample::select(words).prop_map(T::from)
}

fn slugs() -> impl Strategy<Value = Vec<ProviderSlug>> {
    let slug = "[a-z0-9][a-z0-9-]{0,12}(/[a-z0-9-]{1,8})?".prop_map(|text| slug(&text));
    proptest::collection::vec(slug, 0..3)
}

fn any_preferences() -> impl Strategy<Value = ProviderPreferences> {
    let price =
        (0u64..10_000_000_000, 0u32..10).prop_map(|(digits, scale)| Decimal::new(digits as i64, scale));
    let sort = (
        word(SortBy::WORDS),
        proptest::option::of(word(SortPartition::WORDS)),
    );
    let latency = (1u64..100_000, proptest::option::of(1u64..100_000));
    (
        (slugs(), slugs(), slugs()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(word::<DataCollection>(DataCollection::WORDS)),
        proptest::collection::vec(word::<Quantization>(Quantization::WORDS), 0..3),
        proptest::option::of(sort),
        proptest::option::of(latency),
        proptest::option::of(0.0f64..1e6),
        proptest::option::of((price.clone(), price)),
    )
        .prop_map(
            |((order, only, ignore), flag, collection, quantizations, sort, latency, rate, price)| {
                let mut out = ProviderPreferences::new()
                    .with_order(order)
                    .with_only(only)
                    .with_ignore(ignore)
                    .with_quantizations(quantizations);
                out.allow_fallbacks = flag;
                out.require_parameters = flag;
                out.zdr = flag;
                out.enforce_distillable_text = flag;
                out.data_collection = collection;
                out.sort = sort.map(|(by, partition)| {
                    let sort = Sort::new(by);
                    match partition {
                        Some(partition) => sort.within(partition),
                        None => sort,
                    }
                });
                out.preferred_max_latency = latency.map(|(p50, p99)| {
                    let wish = Percentiles::median(Duration::from_millis(p50));
                    match p99 {
                        Some(p99) => wish.with_p99(Duration::from_millis(p99)),
                        None => wish,
                    }
                });
                out.preferred_min_throughput = rate.map(Percentiles::median);
                out.max_price = price.map(|(prompt, completion)| MaxPrice::per_million(prompt, completion));
                out
            },
        )
}

/// One option, and how to set it.
struct Step {
    said: String,
    set: Box<dyn Fn(ChatOptions) -> ChatOptions>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said)
    }
}

/// One option set to anything that `apply` lets pass.
fn step() -> impl Strategy<Value = Step> {
    fn named<T: Clone + std::fmt::Debug + 'static>(
        name: &'static str,
        values: impl Strategy<Value = T> + 'static,
        set: impl Fn(ChatOptions, T) -> ChatOptions + Copy + 'static,
    ) -> BoxedStrategy<Step> {
        values
            .prop_map(move |value| {
                let said = format!("{name}: {value:?}");
                let set = Box::new(move |options| set(options, value.clone()));
                Step { said, set }
            })
            .boxed()
    }
    let text = ".{0,40}";
    prop_oneof![
        named("provider", any_preferences(), ChatOptions::with_provider),
        named("effort", word::<Effort>(Effort::WORDS), |o, v| o
            .with_reasoning(Reasoning::effort(v))),
        named("budget", 1u32..100_000, |o, v| o
            .with_reasoning(Reasoning::max_tokens(v).excluded())),
        named(
            "summary",
            word::<ReasoningSummary>(ReasoningSummary::WORDS),
            |o, v| { o.with_reasoning(Reasoning::enabled().with_summary(v)) }
        ),
        named("session", ".{0,256}", |o, v: String| o.with_session_id(v)),
        named(
            "metadata",
            proptest::collection::btree_map(".{0,64}", ".{0,512}", 0..16),
            |o, v| o.with_metadata(v)
        ),
        named(
            "tier",
            word::<ServiceTier>(ServiceTier::WORDS),
            ChatOptions::with_service_tier
        ),
        named("prediction", text, |o, v: String| o.with_prediction(v)),
        named("cache", word::<CacheTtl>(CacheTtl::WORDS), |o, v| o
            .with_cache_control(CacheControl::with_ttl(v))),
        named(
            "modalities",
            proptest::collection::vec(word::<Modality>(Modality::WORDS), 0..3),
            |o, v| { o.with_modalities(v) }
        ),
        named(
            "verbosity",
            word::<Verbosity>(Verbosity::WORDS),
            ChatOptions::with_verbosity
        ),
        named("top_k", any::<u32>(), ChatOptions::with_top_k),
        named("min_p", 0.0..=1.0f64, ChatOptions::with_min_p),
        named("top_a", 0.0..=1.0f64, ChatOptions::with_top_a),
        named("frequency", -2.0..=2.0f64, ChatOptions::with_frequency_penalty),
        named("presence", -2.0..=2.0f64, ChatOptions::with_presence_penalty),
        named("repetition", 0.0..=2.0f64, ChatOptions::with_repetition_penalty),
        named(
            "bias",
            proptest::collection::vec((any::<u32>(), -100.0..=100.0f64), 0..4),
            |o, v| o.with_logit_bias(v)
        ),
        named("logprobs", 0u32..=20, ChatOptions::with_logprobs),
        named("parallel", any::<bool>(), ChatOptions::with_parallel_tool_calls),
        named("calls", 1u32..=30, ChatOptions::with_max_tool_calls),
        named("stop", (1u32..100, 0i64..100_000), |o, (steps, cents)| {
            o.with_stop_server_tools_when([StopWhen::Steps(steps), StopWhen::Spent(Decimal::new(cents, 2))])
        }),
        named(
            "web",
            (word::<SearchEngine>(SearchEngine::WORDS), 1u32..20),
            |o, (engine, results)| {
                o.with_plugins([Plugin::web(
                    &WebSearch::new().with_engine(engine).with_max_results(results),
                )])
            }
        ),
        named("pdf", word::<PdfEngine>(PdfEngine::WORDS), |o, v| o
            .with_plugins([Plugin::file_parser(v)])),
        named("pareto", (0.0..=1.0f64, 0i64..1_000_000), |o, (score, price)| {
            o.with_plugins([Plugin::pareto_router(score, Some(Decimal::new(price, 4)))])
        }),
        named("trace", text, |o, v: String| o
            .with_trace(Trace::new(v.clone()).with_parent(v))),
        named("preset", "[a-z-]{1,20}", |o, v: String| o.with_preset(v)),
        named(
            "models",
            proptest::collection::vec("[a-z]{1,8}/[a-z0-9.-]{1,12}", 0..4),
            |o, v: Vec<String>| {
                o.with_fallback_models(v.iter().map(|id| ModelId::new(id).unwrap()).collect::<Vec<_>>())
            }
        ),
    ]
}

#[test]
fn whatever_the_options_the_request_follows_the_document() {
    let test = "whatever_the_options_the_request_follows_the_document";
    let path = integration_core::testing::shared_data(test, "openrouter/openapi-2026-10-30.json");
    let Some(path) = path else { return };
    let document = OpenApi::read(&std::fs::read_to_string(path).unwrap()).unwrap();
    let steps = proptest::collection::vec(step(), 0..6);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(512));
    runner
        .run(&(steps, any::<bool>()), |(steps, stream)| {
            let options = steps
                .iter()
                .fold(ChatOptions::new(), |options, step| (step.set)(options));
            let mut request = ChatRequest::new(model(), vec![Message::user("Hi")]);
            prop_assert!(options.apply(&mut request).is_ok(), "{:?}", steps);
            let body: Value = serde_json::from_slice(&chat_body(&request, stream).unwrap()).unwrap();
            let checked = document.check_request("POST", "/chat/completions", Some(&body));
            prop_assert!(checked.is_ok(), "{:?}: {:?}", steps, checked);
            Ok(())
        })
        .unwrap();
}
