//! Models, endpoints and providers: what is sent, what is read, and what is refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::client;
use common::routes::{decimal, sent, serves};
use integration_core::{ErrorKind, ModelId};
use openrouter_client::routes::*;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

fn a_model(id: &str) -> Value {
    json!({"id": id, "canonical_slug": "a/b-20260101", "name": "B", "created": 7, "description": "d", "context_length": 8000,
        "architecture": {"modality": "text->text", "input_modalities": ["text"], "output_modalities": ["text"], "tokenizer": "GPT", "instruct_type": null, "n": 1},
        "pricing": {"prompt": "0.0000000208333333333333", "completion": "0.0000004", "request": "0", "image": "-1", "discount": 0.1,
            "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.000001"}]},
        "top_provider": {"context_length": 4000, "max_completion_tokens": null, "is_moderated": true},
        "per_request_limits": null, "supported_parameters": ["tools", "a_new_one"], "default_parameters": null,
        "reasoning": {"mandatory": true, "supported_efforts": ["high"], "default_effort": "high"},
        "knowledge_cutoff": null, "expiration_date": "2098-12-31", "alias_target": {"slug": "a/c", "name": "C"}, "links": {"details": "/x"}})
}

#[tokio::test]
async fn a_list_of_models_is_read_whole() {
    let body = json!({"data": [a_model("a/b:free")], "total_count": 1, "links": {"next": null}, "new": 1});
    let (server, client) = serves(&body).await;
    let page = client.list_models(&ModelsQuery::new()).await.unwrap();
    assert_eq!(sent(&server).await.path, "/api/v1/models?output_modalities=all");
    assert_eq!(
        (page.total_count, page.next.as_deref(), &page.extra["new"]),
        (Some(1), None, &json!(1))
    );
    let model = &page.models[0];
    assert_eq!(
        (model.id.as_str(), model.context_length),
        ("a/b:free", Some(8000))
    );
    assert_eq!(model.pricing.rate("prompt"), decimal("0.0000000208333333333333"));
    assert_eq!(model.pricing.rate("request"), decimal("0"));
    // -1 says "depends", and is never calculated with.
    assert_eq!(
        (model.pricing.rate("image"), model.pricing.rate("none")),
        (None, None)
    );
    assert_eq!(
        (
            model.pricing.prices.overrides.len(),
            &model.pricing.raw["discount"]
        ),
        (1, &json!(0.1))
    );
    assert!(!model.pricing.is_dynamic());
    assert_eq!(
        (
            model.architecture.tokenizer.as_deref(),
            &model.architecture.extra["n"]
        ),
        (Some("GPT"), &json!(1))
    );
    assert_eq!(model.top_provider.is_moderated, Some(true));
    assert_eq!(model.reasoning.as_ref().unwrap().mandatory, Some(true));
    assert_eq!(model.supported_parameters, ["tools", "a_new_one"]);
    assert_eq!(model.alias_target.as_ref().unwrap()["slug"], "a/c");
    assert_eq!(model.extra["links"]["details"], "/x");

    let bare = json!({"data": [{"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}}]});
    let (_server, client) = serves(&bare).await;
    let page = client.list_models(&ModelsQuery::new()).await.unwrap();
    assert!(page.models[0].pricing.is_dynamic() && page.models[0].pricing.rate("prompt").is_none());
}

#[tokio::test]
async fn every_filter_is_sent_by_its_name() {
    let (server, client) = serves(json!({"data": []})).await;
    let query = ModelsQuery::new()
        .with_output_modalities(["text", "image"])
        .with_input_modalities(["file"])
        .with_supported_parameters(["tools", "seed"])
        .with_model_authors(["a&b"])
        .with_providers(["Amazon Bedrock"])
        .with_architectures(["GPT"])
        .with_category("marketing/seo".to_owned())
        .with_text("a b".to_owned())
        .with_context(8000)
        .with_min_price("0".parse().unwrap())
        .with_max_price("0.10".parse().unwrap())
        .with_min_output_price("1".parse().unwrap())
        .with_max_output_price("2".parse().unwrap())
        .with_distillable(false)
        .with_zdr()
        .with_region(Region::Eu)
        .with_min_age_days(1)
        .with_max_age_days(90)
        .with_min_intelligence_index(50.5)
        .with_max_tool_success_rate(1.0)
        .with_sort(ModelSort::Newest)
        .with_offset(5)
        .with_limit(10);
    client.list_models(&query).await.unwrap();
    let path = sent(&server).await.path;
    let pairs: Vec<(String, String)> = form_urlencoded::parse(path.split_once('?').unwrap().1.as_bytes())
        .into_owned()
        .collect();
    let expected = [
        ("output_modalities", "text,image"),
        ("input_modalities", "file"),
        ("supported_parameters", "tools,seed"),
        ("model_authors", "a&b"),
        ("providers", "Amazon Bedrock"),
        ("arch", "GPT"),
        ("category", "marketing/seo"),
        ("q", "a b"),
        ("context", "8000"),
        ("min_price", "0"),
        ("max_price", "0.10"),
        ("min_output_price", "1"),
        ("max_output_price", "2"),
        ("distillable", "false"),
        ("zdr", "true"),
        ("region", "eu"),
        ("min_age_days", "1"),
        ("max_age_days", "90"),
        ("max_tool_success_rate", "1"),
        ("min_intelligence_index", "50.5"),
        ("sort", "newest"),
        ("offset", "5"),
        ("limit", "10"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(pairs, expected);
    for bad in [
        ModelsQuery::new().with_limit(0),
        ModelsQuery::new().with_limit(1001),
        ModelsQuery::new().with_min_coding_index(f64::NAN),
    ] {
        let error = client.list_models(&bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    }
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let page =
        |id: &str, next: Value| Script::json(200, json!({"data": [{"id": id}], "links": {"next": next}}));
    let server = ScriptedUpstream::sequence([
        page(
            "a/1",
            json!("/api/v1/models?offset=1&limit=1&output_modalities=all&q=x%26y"),
        ),
        page(
            "a/2",
            json!("https://elsewhere.example/api/v1/models?offset=2#top"),
        ),
        page("a/3", Value::Null),
    ])
    .await;
    let models = client(&server)
        .list_all_models(&ModelsQuery::new().with_limit(1))
        .await
        .unwrap();
    let ids: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["a/1", "a/2", "a/3"]);
    let paths: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/api/v1/models?output_modalities=all&limit=1",
            "/api/v1/models?offset=1&limit=1&output_modalities=all&q=x%26y",
            // The address stays ours, whatever the link says; and with it the key.
            "/api/v1/models?offset=2",
        ]
    );
    // A list that leads back to itself ends.
    let server = ScriptedUpstream::always(page("a/1", json!("/models?offset=1"))).await;
    let error = client(&server)
        .list_all_models(&ModelsQuery::new())
        .await
        .unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Protocol, 2));
}

#[tokio::test]
async fn one_model_its_count_and_those_of_the_user() {
    let (server, client) = serves(json!({"data": a_model("a/b")})).await;
    let model = client
        .model(&ModelId::new("~openai/gpt:free").unwrap())
        .await
        .unwrap();
    assert_eq!(
        (sent(&server).await.path.as_str(), model.id.as_str()),
        ("/api/v1/model/~openai/gpt:free", "a/b")
    );
    assert_eq!(
        client
            .model(&ModelId::new("gpt").unwrap())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidRequest
    );

    let missing = Script::json(404, r#"{"error":{"code":404,"message":"Model not found"}}"#);
    let server = ScriptedUpstream::always(missing).await;
    let id = ModelId::new("a/none").unwrap();
    let error = common::client(&server).model(&id).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.model()),
        (ErrorKind::ModelNotFound, Some(404), Some(&id))
    );

    let (server, client) = serves(r#"{"data":{"count":345}}"#).await;
    assert_eq!(client.models_count(&[]).await.unwrap(), 345);
    assert_eq!(client.models_count(&["text", "image"]).await.unwrap(), 345);
    assert_eq!(
        sent(&server).await.path,
        "/api/v1/models/count?output_modalities=all"
    );
    assert_eq!(
        sent(&server).await.path,
        "/api/v1/models/count?output_modalities=text%2Cimage"
    );

    let (server, client) = serves(json!({"data": [a_model("a/b")]})).await;
    let query = UserModelsQuery::new()
        .with_client(ModelsClient::Codex)
        .with_sort(ModelSort::PriceUp)
        .with_offset(1)
        .with_limit(2);
    assert_eq!(client.user_models(&query).await.unwrap().len(), 1);
    assert_eq!(
        sent(&server).await.path,
        "/api/v1/models/user?output_modalities=all&client=codex&sort=pricing-low-to-high&offset=1&limit=2"
    );
    client
        .user_models(&UserModelsQuery::new().with_output_modalities(["image"]))
        .await
        .unwrap();
    assert_eq!(
        sent(&server).await.path,
        "/api/v1/models/user?output_modalities=image"
    );
}

fn an_endpoint() -> Value {
    json!({"name": "Google | a/b", "model_id": "a/b", "model_name": "B", "context_length": 8000, "pricing": {"prompt": "0.1", "completion": "0.2"},
        "provider_name": "Google", "tag": "google-vertex/us-east5", "quantization": null, "max_completion_tokens": null, "max_prompt_tokens": null,
        "supported_parameters": ["tools"], "supports_tool_choice": {"none": true, "auto": true, "required": false, "function": false, "new": 1},
        "service_tier": "flex", "status": -2, "uptime_last_30m": 91.5, "uptime_last_5m": null, "uptime_last_1d": 99, "latency_last_30m": {"p50": 1250, "p75": 2000, "p90": 3000, "p99": 9000},
        "throughput_last_30m": null, "supports_implicit_caching": true, "native_tools": {}})
}

#[tokio::test]
async fn endpoints_say_who_serves_and_how_well() {
    let whole = json!({"data": {"id": "a/b", "name": "B", "created": 7, "description": "", "architecture": {"input_modalities": ["text"]}, "endpoints": [an_endpoint()]}});
    let (server, client) = serves(&whole).await;
    let found = client
        .model_endpoints(&ModelId::new("a/b").unwrap())
        .await
        .unwrap();
    assert_eq!(sent(&server).await.path, "/api/v1/models/a/b/endpoints");
    let endpoint = &found.endpoints[0];
    assert_eq!(endpoint.latency(), Some(Duration::from_millis(1250)));
    assert_eq!(
        (endpoint.tag.as_deref(), endpoint.status),
        (Some("google-vertex/us-east5"), Some(-2))
    );
    assert_eq!(endpoint.supports_tool_choice.required, Some(false));
    assert_eq!(
        (endpoint.uptime_last_30m, endpoint.throughput_last_30m),
        (Some(91.5), None)
    );
    assert_eq!(
        (
            endpoint.service_tier.as_deref(),
            endpoint.extra.contains_key("native_tools")
        ),
        (Some("flex"), true)
    );

    let (server, client) = serves(json!({"data": [an_endpoint()]})).await;
    assert_eq!(client.zdr_endpoints().await.unwrap(), found.endpoints);
    assert_eq!(sent(&server).await.path, "/api/v1/endpoints/zdr");
}

#[tokio::test]
async fn providers_are_listed() {
    let body = json!({"data": [{"name": "Google", "slug": "google-vertex", "privacy_policy_url": null, "headquarters": "US", "datacenters": ["US", "DE"], "new": 1}]});
    let (server, client) = serves(&body).await;
    let providers = client.providers().await.unwrap();
    assert_eq!(sent(&server).await.path, "/api/v1/providers");
    assert_eq!(
        (
            providers[0].datacenters.as_ref().unwrap().len(),
            &providers[0].extra["new"]
        ),
        (2, &json!(1))
    );
    let directory = ProviderDirectory::new(&providers);
    assert_eq!((directory.len(), directory.is_empty()), (1, false));
}
