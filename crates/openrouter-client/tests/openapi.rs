//! Every request this client sends follows the official OpenAPI document. What is checked is what arrives at a server.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use common::{client, cx};
use integration_core::chat::{ContentPart, Message, Role, Stop, Tool, ToolCall};
use integration_core::{
    ChatClient, ChatRequest, EmbeddingClient, EmbeddingRequest, GenerationId, IntegrationClient, ModelId,
};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::*;
use provider_testkit::openapi::OpenApi;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

fn document(test: &str) -> Option<PathBuf> {
    integration_core::testing::shared_data(test, "openrouter/openapi-2026-10-30.json")
}

fn read(path: PathBuf) -> OpenApi {
    OpenApi::read(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn model() -> ModelId {
    ModelId::new("openai/gpt-5-mini").unwrap()
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

fn slug(text: &str) -> ProviderSlug {
    ProviderSlug::new(text).unwrap()
}

fn preferences() -> ProviderPreferences {
    ProviderPreferences::new()
        .with_order([slug("google-vertex"), slug("openai/priority")])
        .with_only([slug("google-vertex"), slug("openai")])
        .with_ignore([slug("deepinfra")])
        .with_allow_fallbacks(false)
        .with_require_parameters(true)
        .with_data_collection(DataCollection::Deny)
        .with_zdr(true)
        .with_enforce_distillable_text(true)
        .with_quantizations([Quantization::Fp8, Quantization::Nvfp4])
        .with_sort(Sort::new(SortBy::Latency).within(SortPartition::None))
        .with_preferred_min_throughput(Percentiles::median(20.0).with_p90(5.0))
        .with_preferred_max_latency(Percentiles::median(Duration::from_millis(1500)))
        .with_max_price(
            MaxPrice::per_million(decimal("0.5"), decimal("2.0000000000001"))
                .with_image(decimal("0.01"))
                .with_audio(decimal("1"))
                .with_request(decimal("0")),
        )
        .with_option(&slug("openai"), object(json!({"x": 1})))
}

fn plugins() -> Vec<Plugin> {
    let search = WebSearch::new()
        .with_engine(SearchEngine::Exa)
        .with_max_results(3)
        .with_max_uses(2)
        .with_include_domains(vec!["a.example".to_owned()])
        .with_exclude_domains(vec!["b.example".to_owned()]);
    vec![
        Plugin::web(&search),
        Plugin::file_parser(PdfEngine::MistralOcr),
        Plugin::response_healing(),
        Plugin::context_compression(),
        Plugin::auto_router(vec!["anthropic/*".to_owned()])
            .with("cost_tier", "low")
            .with("pin_model", true),
        Plugin::pareto_router(0.5, Some(decimal("2.5"))).with("price_source", "prompt"),
        Plugin::new(PluginId::Moderation),
        Plugin::new(PluginId::WebFetch).with("max_uses", 2),
        Plugin::new(PluginId::Fusion)
            .with("preset", "general-fast")
            .with("max_tool_calls", 4),
        Plugin::new(PluginId::SwitchyardRouter).with("algorithm", "auto"),
        Plugin::new(PluginId::JevRouter).with("cost_tier", "low"),
        Plugin::new(PluginId::AutoBetaRouter).with("excluded_models", vec!["x/*"]),
        Plugin::new(PluginId::Alignment).with("rules", json!([{"rule": "Be kind.", "watch": ["content"]}])),
        Plugin::new(PluginId::Armor).with("mode", "audit"),
        Plugin::off(PluginId::Web),
        Plugin::off(PluginId::ContextCompression),
    ]
}

/// Every option there is.
fn options() -> ChatOptions {
    ChatOptions::new()
        .with_provider(preferences())
        .with_reasoning(
            Reasoning::effort(Effort::XHigh)
                .excluded()
                .with_summary(ReasoningSummary::Detailed)
                .with_context(ReasoningContext::AllTurns)
                .with_mode(ReasoningMode::Pro),
        )
        .with_plugins(plugins())
        .with_fallback_models([model(), ModelId::new("~anthropic/claude-sonnet-latest").unwrap()])
        .with_session_id("s".repeat(256))
        .with_metadata((0..16).map(|n| (format!("{n:064}"), "v".repeat(512))))
        .with_service_tier(ServiceTier::Flex)
        .with_prediction_parts(vec![ContentPart::text("It will be")])
        .with_cache_control(CacheControl::with_ttl(CacheTtl::OneHour))
        .with_prompt_cache_key("k")
        .with_explicit_prompt_cache(Some("30m"))
        .with_modalities([Modality::Text, Modality::Image, Modality::Audio])
        .with_image_config(object(json!({"aspect_ratio": "1:1", "n": 1})))
        .with_web_search_options(object(json!({"search_context_size": "low"})))
        .with_trace(Trace::new("t").with_generation_name("g").with_parent("p"))
        .with_preset("mine")
        .with_verbosity(Verbosity::Low)
        .with_echo_upstream_body()
        .with_top_k(40)
        .with_min_p(0.05)
        .with_top_a(0.1)
        .with_frequency_penalty(-2.0)
        .with_presence_penalty(2.0)
        .with_repetition_penalty(1.1)
        .with_logit_bias([(50256, -100.0), (1, 0.5)])
        .with_logprobs(20)
        .with_parallel_tool_calls(false)
        .with_max_tool_calls(30)
        .with_stop_server_tools_when([
            StopWhen::Steps(5),
            StopWhen::ToolCalled("f".to_owned()),
            StopWhen::TokensUsed(10_000),
            StopWhen::Spent(decimal("0.50")),
            StopWhen::FinishReason("length".to_owned()),
        ])
}

fn conversation() -> Vec<Message> {
    let control = CacheControl::ephemeral();
    let parts = vec![
        parts::cached(ContentPart::text("Look:"), &control),
        parts::image("https://x.example/i.png", Some(Detail::Original)),
        parts::image(parts::data_url("image/png", b"\x89PNG"), None),
        parts::audio(b"RIFF", "wav"),
        parts::video("https://x.example/v.mp4"),
        parts::file("a.pdf", "https://x.example/a.pdf"),
        parts::uploaded_file("file-1"),
    ];
    let mut called = Message::empty(Role::Assistant);
    called.tool_calls = vec![ToolCall::new("call_1", "f", "{}")];
    called.reasoning = Some("hm".to_owned());
    called.reasoning_details = vec![
        json!({"type": "reasoning.text", "text": "hm", "signature": "s", "id": null, "format": "anthropic-claude-v1", "index": 0}),
        json!({"type": "reasoning.encrypted", "data": "x"}),
    ];
    vec![
        Message::system("Be brief."),
        Message::new(Role::Developer, "Be kind."),
        Message::user(integration_core::chat::Content::Parts(parts)),
        called,
        Message::tool("call_1", "42"),
        Message::assistant("So"),
    ]
}

fn everything() -> ChatRequest {
    let mut request = ChatRequest::new(model(), conversation());
    request.max_completion_tokens = Some(64);
    request.max_tokens = Some(64);
    request.temperature = Some(0.5);
    request.top_p = Some(0.9);
    request.seed = Some(7);
    request.stop = Some(Stop::Many(vec!["x".to_owned()]));
    request.user = Some("u".to_owned());
    let parameters = json!({"type": "object", "properties": {}});
    let control = CacheControl::ephemeral();
    request.tools = vec![
        tools::cached(tools::strict_function("f", "does", parameters.clone()), &control),
        Tool::function("g", "does", parameters),
        tools::web_search(Some(3)),
        tools::web_fetch(Some(2)),
        tools::datetime(Some("Europe/Berlin")),
        tools::server("image_generation", Map::new()),
    ];
    request.tool_choice = Some(tools::choose_function("f"));
    request.response_format = Some(response_format::json_schema(
        "answer",
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}),
        true,
    ));
    options().apply(&mut request).unwrap();
    request
}

async fn chat_calls(client: &OpenRouterClient) {
    let mut requests = vec![everything()];
    for format in [
        response_format::json_object(),
        response_format::grammar("root ::= x"),
        response_format::python(),
    ] {
        let mut request = ChatRequest::new(model(), vec![Message::user("Hi")]);
        request.response_format = Some(format);
        request.tool_choice = Some(tools::choose_server("web_search"));
        requests.push(request);
    }
    for reasoning in [
        Reasoning::max_tokens(2000),
        Reasoning::enabled(),
        Reasoning::disabled().with_field("x", json!(1)),
    ] {
        let mut request = ChatRequest::new(model(), vec![Message::user("Hi")]);
        let options = ChatOptions::new()
            .with_reasoning(reasoning)
            .with_prediction("It will be")
            .with_cache_control(CacheControl::ephemeral())
            .with_explicit_prompt_cache(None)
            .with_provider(ProviderPreferences::new().with_sort(Sort::new(SortBy::Price)))
            .with_field("transforms", json!(["middle-out"]));
        options.apply(&mut request).unwrap();
        requests.push(request);
    }
    for request in &requests {
        let _ = client.chat(&cx(), request).await;
        let _ = client.chat_stream(&cx(), request).await;
    }
}

async fn other_inference(client: &OpenRouterClient) {
    let mut request = CompletionRequest::new(model(), "Once upon");
    request.max_tokens = Some(16);
    request.temperature = Some(1.0);
    request.top_p = Some(0.5);
    request.seed = Some(1);
    request.stop = vec!["x".to_owned()];
    let mut shared = options().fields().clone();
    shared.retain(|name, _| {
        matches!(
            name.as_str(),
            "provider" | "models" | "session_id" | "metadata" | "top_k"
        )
    });
    request.extra = shared;
    let _ = client.completions(&cx(), &request).await;
    let _ = client.completions_stream(&cx(), &request).await;

    let mut request = ResponsesRequest::new(model(), "Hi");
    request.instructions = Some("Be brief.".to_owned());
    request.max_output_tokens = Some(64);
    request.temperature = Some(0.5);
    request.reasoning = Some(Reasoning::max_tokens(100));
    request.provider = Some(preferences());
    request.tools =
        vec![json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": null})];
    request.extra = object(json!({"session_id": "s", "plugins": plugins()[..4], "store": false}));
    let _ = client.responses(&cx(), &request).await;
    let _ = client.responses_stream(&cx(), &request).await;
    let items = json!([{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]);
    let _ = client
        .responses(&cx(), &ResponsesRequest::new(model(), items))
        .await;

    let mut request = MessagesRequest::new(
        model(),
        64,
        vec![
            Turn::user("Hi"),
            Turn::assistant(json!([{"type": "thinking", "thinking": "hm", "signature": "s"}])),
        ],
    );
    request.system = Some("Be brief.".to_owned());
    request.temperature = Some(0.5);
    request.stop_sequences = vec!["x".to_owned()];
    request.thinking = Some(json!({"type": "enabled", "budget_tokens": 1024}));
    request.tools = vec![json!({"name": "f", "input_schema": {"type": "object"}})];
    request.provider = Some(preferences());
    request.fallbacks = vec![model(); 3];
    let _ = client.messages(&cx(), &request).await;
    let _ = client.messages_stream(&cx(), &request).await;

    let _ = client
        .embed(&cx(), &EmbeddingRequest::new(model(), vec!["a".to_owned()]))
        .await;
    for input in [
        EmbeddingInput::Text("a".to_owned()),
        EmbeddingInput::Texts(vec!["a".to_owned()]),
        EmbeddingInput::Tokens(vec![1, 2]),
        EmbeddingInput::TokenLists(vec![vec![1], vec![2]]),
        EmbeddingInput::Parts(vec![vec![
            ContentPart::text("a"),
            parts::image("https://x.example/i.png", None),
        ]]),
    ] {
        let mut request = EmbeddingsRequest::new(model(), input);
        request.dimensions = Some(8);
        request.input_type = Some("search_query".to_owned());
        request.provider = Some(preferences());
        request.session_id = Some("s".to_owned());
        request.trace = Some(Trace::new("t"));
        request.user = Some("u".to_owned());
        let _ = client.embeddings(&cx(), &request).await;
    }
    let both = Document::Parts {
        text: Some("b".to_owned()),
        image: Some("https://x.example/i.png".to_owned()),
    };
    let mut request = RerankRequest::new(model(), "q", [Document::from("a"), both]).with_top_n(1);
    request.provider = Some(preferences());
    request.session_id = Some("s".to_owned());
    request.trace = Some(Trace::new("t"));
    request.user = Some("u".to_owned());
    let _ = client.rerank(&cx(), &request).await;
}

fn models_query() -> ModelsQuery {
    ModelsQuery::new()
        .with_input_modalities(["text", "image"])
        .with_supported_parameters(["tools"])
        .with_model_authors(["openai"])
        .with_providers(["OpenAI"])
        .with_architectures(["GPT"])
        .with_category("programming".to_owned())
        .with_text("gpt".to_owned())
        .with_context(1000)
        .with_min_price(decimal("0"))
        .with_max_price(decimal("10"))
        .with_min_output_price(decimal("0.5"))
        .with_max_output_price(decimal("20"))
        .with_distillable(true)
        .with_zdr()
        .with_region(Region::Us)
        .with_min_age_days(0)
        .with_max_age_days(90)
        .with_min_intelligence_index(1.0)
        .with_max_intelligence_index(99.5)
        .with_min_coding_index(1.0)
        .with_max_coding_index(99.0)
        .with_min_agentic_index(1.0)
        .with_max_agentic_index(99.0)
        .with_min_tool_success_rate(0.9)
        .with_max_tool_success_rate(1.0)
        .with_sort(ModelSort::Throughput)
        .with_offset(0)
        .with_limit(1000)
}

async fn lookups(client: &OpenRouterClient) {
    let id = GenerationId::new("gen-1-aB").unwrap();
    let _ = client.health().await;
    let _ = client.models().await;
    let _ = client.list_models(&ModelsQuery::new()).await;
    let _ = client.list_all_models(&models_query()).await;
    for sort in ModelSort::WORDS {
        let query = UserModelsQuery::new()
            .with_client(ModelsClient::ClaudeCode)
            .with_sort(ModelSort::from(*sort))
            .with_offset(1)
            .with_limit(1);
        let _ = client.user_models(&query).await;
    }
    let _ = client.models_count(&["text"]).await;
    let _ = client.model(&model()).await;
    let _ = client.model_endpoints(&model()).await;
    let _ = client.zdr_endpoints().await;
    let _ = client.providers().await;
    let _ = client.generation(&id).await;
    let _ = client.generation_content(&id).await;
    for category in FeedbackCategory::WORDS {
        let _ = client
            .generation_feedback(&id, &FeedbackCategory::from(*category), Some("a comment"))
            .await;
    }
    let _ = client.key().await;
    let _ = client.credits().await;
    let mut query = KeysQuery::new().with_all().with_offset(100);
    query.workspace_id = Some("0df9e665-d932-5740-b2c7-b52af166bc11".to_owned());
    let _ = client.list_all_keys(&query).await;
    let mut new = NewKey::new("n")
        .with_limit(decimal("12.5"), Some(LimitReset::Weekly))
        .with_expires_at("2027-12-31T23:59:59Z");
    new.include_byok_in_limit = Some(true);
    new.workspace_id = query.workspace_id.clone();
    new.creator_user_id = Some("user_1".to_owned());
    new.external = Some(External::new("u"));
    let _ = client.create_key(&new).await;
    let _ = client.create_key(&NewKey::new("bare")).await;
    let _ = client.api_key("hash").await;
    let mut patch = KeyPatch::new()
        .with_name("n")
        .with_disabled(true)
        .with_limit(Some(decimal("0.000001")))
        .with_limit_reset(Some(LimitReset::Daily));
    patch.include_byok_in_limit = Some(false);
    patch.workspace_id = query.workspace_id.clone();
    let _ = client.update_key("hash", &patch).await;
    let _ = client
        .update_key("hash", &KeyPatch::new().with_limit(None).with_limit_reset(None))
        .await;
    let _ = client.delete_key("hash").await;
    let mut query = ActivityQuery::new()
        .with_date("2026-10-29")
        .with_api_key_hash("h")
        .with_group_by(ActivityGroup::Workspace);
    query.user_id = Some("u".to_owned());
    query.workspace_id = Some("w".to_owned());
    let _ = client.activity(&query).await;
    let pkce = Pkce::from_random([1; 32]).unwrap();
    let _ = client.exchange_code("code", &pkce).await;
    let mut new = NewAuthCode::new(&pkce, "http://localhost:3000/cb")
        .with_limit(decimal("10"), Some(LimitReset::Monthly))
        .with_key_label("mine");
    new.expires_at = Some("2027-12-31T23:59:59Z".to_owned());
    new.workspace_id = Some("0df9e665-d932-5740-b2c7-b52af166bc11".to_owned());
    let _ = client.create_auth_code(&new).await;
    let raw = RawRequest::get("batches").unwrap().with_query("limit", 5);
    let _ = client.raw(&cx(), &raw).await;
}

/// The operations of the document that have a method here, and are to be seen at the server.
const OPERATIONS: &[&str] = &[
    "DELETE /keys/{hash}",
    "GET /activity",
    "GET /batches",
    "GET /credits",
    "GET /endpoints/zdr",
    "GET /generation",
    "GET /generation/content",
    "GET /key",
    "GET /keys",
    "GET /keys/{hash}",
    "GET /model/{author}/{slug}",
    "GET /models",
    "GET /models/count",
    "GET /models/user",
    "GET /models/{author}/{slug}/endpoints",
    "GET /providers",
    "PATCH /keys/{hash}",
    "POST /auth/keys",
    "POST /auth/keys/code",
    "POST /chat/completions",
    "POST /embeddings",
    "POST /generation/feedback",
    "POST /keys",
    "POST /messages",
    "POST /rerank",
    "POST /responses",
];

/// Everything this client can send, as it arrives: the method, the path below the base, and the body.
async fn everything_sent() -> Vec<(String, String, Option<Value>)> {
    let server = ScriptedUpstream::always(Script::json(200, "{}")).await;
    let client = client(&server);
    chat_calls(&client).await;
    other_inference(&client).await;
    lookups(&client).await;
    let requests = server.requests().into_iter().map(|request| {
        let path = request.path.strip_prefix("/api/v1").unwrap().to_owned();
        let body = (!request.body.is_empty()).then(|| request.json());
        (request.method, path, body)
    });
    requests.collect()
}

/// `/completions` is not in the document, so it is held to a schema of ours.
#[tokio::test]
async fn every_completion_follows_our_own_schema() {
    let own: Value = serde_json::from_str(include_str!("schemas/completions.json")).unwrap();
    let own = jsonschema::validator_for(&own).unwrap();
    let mut completions = 0;
    for (_, path, body) in everything_sent().await {
        if path == "/completions" {
            let body = body.unwrap();
            let wrong: Vec<String> = own.iter_errors(&body).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{wrong:?}: {body}");
            completions += 1;
        }
    }
    assert_eq!(completions, 2);
    for bad in [
        json!({"model": "a/b"}),
        json!({"prompt": "x", "messages": []}),
        json!({"prompt": "x", "max_tokens": 0}),
    ] {
        assert!(!own.is_valid(&bad), "{bad}");
    }
}

#[tokio::test]
async fn every_request_follows_the_document() {
    let Some(path) = document("every_request_follows_the_document") else {
        return;
    };
    let document = read(path);
    let requests = everything_sent().await;
    assert!(requests.len() > 70, "{}", requests.len());
    let mut seen = BTreeSet::new();
    for (method, path, body) in requests {
        if path == "/completions" {
            continue;
        }
        if let Err(error) = document.check_request(&method, &path, body.as_ref()) {
            panic!("{error}\n{method} {path} {}", body.unwrap_or_default());
        }
        seen.insert(format!("{method} {}", document.template(&method, &path).unwrap()));
    }
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, OPERATIONS);
}

#[test]
fn what_breaks_the_document_is_found() {
    // The check itself: a limit per token as a number, a latency as text, an unknown word.
    let Some(path) = document("what_breaks_the_document_is_found") else {
        return;
    };
    let document = read(path);
    for (name, value) in [
        ("provider", json!({"max_price": {"prompt": 0.5}})),
        ("provider", json!({"a_new_field": 1})),
        ("session_id", json!("s".repeat(257))),
        ("metadata", json!({"a": 1})),
        ("plugins", json!([{"id": "nobody"}])),
        ("modalities", json!(["smell"])),
    ] {
        let mut body = json!({"model": "a/b", "messages": [{"role": "user", "content": "Hi"}]});
        assert!(
            document
                .check_request("POST", "/chat/completions", Some(&body))
                .is_ok()
        );
        body[name] = value;
        assert!(
            document
                .check_request("POST", "/chat/completions", Some(&body))
                .is_err(),
            "{body}"
        );
    }
}
