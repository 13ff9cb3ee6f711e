//! What chat options put into a request, and what they refuse.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use integration_core::chat::{ContentPart, Message};
use integration_core::{ChatRequest, ErrorKind, ModelId};
use openrouter_client::routes::*;
use serde_json::{Map, Value, json};

fn request() -> ChatRequest {
    ChatRequest::new(ModelId::new("a/b").unwrap(), vec![Message::user("Hi")])
}

#[test]
fn what_is_set_is_put_into_the_request_and_nothing_else() {
    let mut asked = request();
    asked.extra = Map::from_iter([("route".to_owned(), json!("x")), ("top_k".to_owned(), json!(1))]);
    ChatOptions::new()
        .with_top_k(40)
        .with_field("a_new_one", json!([1]))
        .apply(&mut asked)
        .unwrap();
    // What was there stays, unless it is set anew; fields keep their order.
    assert_eq!(
        serde_json::to_string(&asked).unwrap(),
        r#"{"model":"a/b","messages":[{"role":"user","content":"Hi"}],"route":"x","top_k":40,"a_new_one":[1]}"#
    );
    let mut plain = request();
    ChatOptions::new().apply(&mut plain).unwrap();
    assert_eq!(plain, request());
}

#[test]
fn limits_are_checked_before_anything_is_sent() {
    let o = ChatOptions::new;
    let negative = MaxPrice::per_million("-1".parse().unwrap(), "1".parse().unwrap());
    for (options, word) in [
        (o().with_session_id("s".repeat(257)), "session_id"),
        (
            o().with_metadata((0..17).map(|n| (n.to_string(), "v"))),
            "16 pairs",
        ),
        (o().with_metadata([("n".repeat(65), "v".to_owned())]), "64"),
        (o().with_metadata([("n".to_owned(), "v".repeat(513))]), "512"),
        (o().with_min_p(1.01), "min_p"),
        (o().with_top_a(f64::NAN), "top_a"),
        (o().with_frequency_penalty(-2.5), "frequency_penalty"),
        (o().with_presence_penalty(2.5), "presence_penalty"),
        (o().with_repetition_penalty(-0.1), "repetition_penalty"),
        (o().with_logit_bias([(1, 101.0)]), "logit_bias"),
        (o().with_logprobs(21), "top_logprobs"),
        (o().with_max_tool_calls(0), "max_tool_calls"),
        (o().with_max_tool_calls(31), "max_tool_calls"),
        (o().with_stop_server_tools_when([]), "stop_server_tools_when"),
        (
            o().with_prediction_parts(vec![parts::video("https://x.example/")]),
            "prediction",
        ),
        (
            o().with_provider(ProviderPreferences::new().with_max_price(negative)),
            "max_price",
        ),
        (
            o().with_provider(
                ProviderPreferences::new().with_preferred_min_throughput(Percentiles::median(f64::INFINITY)),
            ),
            "preferred_min_throughput",
        ),
        (o().with_plugins([Plugin::off(PluginId::JevRouter)]), "plugin"),
        (
            o().with_plugins([Plugin::pareto_router(1.5, None)]),
            "min_coding_score",
        ),
        (
            o().with_plugins([Plugin::pareto_router(f64::NAN, None)]),
            "min_coding_score",
        ),
        // The first thing that is wrong is told.
        (o().with_min_p(2.0).with_top_a(2.0).with_top_k(1), "min_p"),
    ] {
        let mut asked = request();
        let error = options.apply(&mut asked).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.message().contains(word), "{word}: {error}");
        assert_eq!(asked, request(), "the request stays as it was");
    }
    // At the limits everything goes through; characters are counted, not bytes.
    o().with_session_id("ä".repeat(256))
        .with_metadata((0..16).map(|n| (format!("{n:064}"), "ä".repeat(512))))
        .with_logprobs(20)
        .with_max_tool_calls(30)
        .apply(&mut request())
        .unwrap();
}

#[test]
fn thoughts_must_leave_room_for_the_answer() {
    let mut asked = request();
    asked.max_tokens = Some(1000);
    for (tokens, good) in [(999, true), (1000, false), (2000, false)] {
        let options = ChatOptions::new().with_reasoning(Reasoning::max_tokens(tokens));
        assert_eq!(options.apply(&mut asked).is_ok(), good, "{tokens}");
    }
    // By effort OpenRouter does the sum.
    ChatOptions::new()
        .with_reasoning(Reasoning::effort(Effort::High))
        .apply(&mut asked)
        .unwrap();
    assert_eq!(asked.extra["reasoning"], json!({"effort": "high"}));
}

#[test]
fn effort_and_budget_are_never_sent_together() {
    let both = Reasoning::effort(Effort::Low)
        .with_field("max_tokens", json!(5))
        .with_field("new", json!(1));
    assert_eq!(
        serde_json::to_value(&both).unwrap(),
        json!({"effort": "low", "new": 1})
    );
    assert_eq!(
        (both.get_effort(), both.get_max_tokens()),
        (Some(&Effort::Low), None)
    );
    let budget = Reasoning::max_tokens(5).with_field("effort", json!("low"));
    assert_eq!(serde_json::to_value(&budget).unwrap(), json!({"max_tokens": 5}));
    assert_eq!((budget.get_effort(), budget.get_max_tokens()), (None, Some(5)));
}

#[test]
fn values_are_written_as_openrouter_reads_them() {
    let fields = |options: ChatOptions| Value::Object(options.fields().clone());
    let o = ChatOptions::new;
    for (options, expected) in [
        (
            o().with_prediction("x"),
            json!({"prediction": {"type": "content", "content": "x"}}),
        ),
        (
            o().with_prediction_parts(vec![ContentPart::text("x")]),
            json!({"prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]}}),
        ),
        (
            o().with_cache_control(CacheControl::with_ttl(CacheTtl::OneHour)),
            json!({"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ),
        (
            o().with_explicit_prompt_cache(None),
            json!({"prompt_cache_options": {"mode": "explicit"}}),
        ),
        (
            o().with_echo_upstream_body(),
            json!({"debug": {"echo_upstream_body": true}}),
        ),
        (
            o().with_logit_bias([(7, -1.5)]),
            json!({"logit_bias": {"7": -1.5}}),
        ),
        (o().with_logprobs(3), json!({"logprobs": true, "top_logprobs": 3})),
        (
            o().with_service_tier(ServiceTier::from("new")),
            json!({"service_tier": "new"}),
        ),
        (
            o().with_stop_server_tools_when([
                StopWhen::Spent("0.25".parse().unwrap()),
                StopWhen::Other(json!({"type": "x"})),
            ]),
            json!({"stop_server_tools_when": [{"type": "max_cost", "max_cost_in_dollars": 0.25}, {"type": "x"}]}),
        ),
        (
            o().with_plugins([
                Plugin::pareto_router(0.5, Some("1.10".parse().unwrap())),
                Plugin::off(PluginId::Web),
            ]),
            json!({"plugins": [{"id": "pareto-router", "min_coding_score": 0.5, "max_price": 1.1}, {"id": "web", "enabled": false}]}),
        ),
        (
            o().with_provider(ProviderPreferences::new().with_sort(Sort::new(SortBy::Price))),
            json!({"provider": {"sort": "price"}}),
        ),
        (
            o().with_provider(
                ProviderPreferences::new().with_sort(Sort::new(SortBy::Exacto).within(SortPartition::Model)),
            ),
            json!({"provider": {"sort": {"by": "exacto", "partition": "model"}}}),
        ),
        (
            o().with_trace(Trace::new("t").with_generation_name("g")),
            json!({"trace": {"trace_id": "t", "generation_name": "g"}}),
        ),
    ] {
        assert_eq!(fields(options), expected);
    }
    let mut preferences = ProviderPreferences::new();
    preferences.extra.insert("new".to_owned(), json!(1));
    assert_eq!(serde_json::to_value(preferences).unwrap(), json!({"new": 1}));
    let base = ProviderSlug::new("google-vertex/us-east5").unwrap();
    assert_eq!(
        (base.base(), format!("{base}")),
        ("google-vertex", "google-vertex/us-east5".to_owned())
    );
    assert_eq!(
        serde_json::from_value::<ProviderSlug>(json!("openai"))
            .unwrap()
            .base(),
        "openai"
    );
}

#[test]
fn headers_have_the_names_and_values_of_the_documentation() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        headers::router_metadata(),
        pair("x-openrouter-metadata", "enabled")
    );
    assert_eq!(
        headers::response_cache(None),
        [pair("x-openrouter-cache", "true")]
    );
    for (seconds, sent) in [(0, "1"), (60, "60"), (1_000_000, "86400")] {
        let headers = headers::response_cache(Some(Duration::from_secs(seconds)));
        assert_eq!(headers[1], pair("x-openrouter-cache-ttl", sent));
    }
    assert_eq!(
        headers::refresh_response_cache()[1],
        pair("x-openrouter-cache-clear", "true")
    );
    assert_eq!(headers::no_response_cache(), pair("x-openrouter-cache", "false"));
    assert_eq!(
        headers::anthropic_beta(&["a", "b"]),
        pair("x-anthropic-beta", "a,b")
    );
    assert_eq!(
        headers::categories(&["cli-agent"]),
        pair("x-openrouter-categories", "cli-agent")
    );
}
