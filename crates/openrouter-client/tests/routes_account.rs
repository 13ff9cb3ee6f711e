//! Generations, the account, sign-in and raw calls: what is sent, what is read, and what is refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::routes::{decimal, sent, serves};
use common::{client, cx};
use integration_core::{ErrorKind, GenerationId, ModelId};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::*;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::{Value, json};

#[tokio::test]
async fn a_generation_keeps_every_digit() {
    let body = r#"{"data":{"id":"gen-1","model":"a/b","created_at":"2026-10-30T00:00:00Z","total_cost":0.000123456789012345678,"usage":1.5e-7,
        "cache_discount":-0.1,"upstream_inference_cost":0,"is_byok":false,"native_tokens_prompt":10,"native_tokens_completion":5,
        "native_tokens_cached":3,"native_tokens_reasoning":2,"native_tokens_completion_images":null,"tokens_prompt":9,"latency":812.5,
        "provider_responses":[{"status":503,"provider_name":"P","new":1},{"status":200}],"workspace_id":"w"}}"#;
    let (server, client) = serves(body).await;
    let id = GenerationId::new("gen-1").unwrap();
    let info = client.generation(&id).await.unwrap();
    assert_eq!(sent(&server).await.path, "/api/v1/generation?id=gen-1");
    assert_eq!(info.total_cost, decimal("0.000123456789012345678"));
    assert_eq!(
        (info.usage, info.cache_discount),
        (decimal("0.00000015"), decimal("-0.1"))
    );
    assert_eq!(
        (info.latency, info.extra["workspace_id"].as_str()),
        (Some(812.5), Some("w"))
    );
    assert_eq!(info.provider_responses.as_ref().unwrap()[0].status, Some(503));
    let usage = info.to_usage();
    // The counts that are billed, not OpenRouter's own.
    assert_eq!((usage.prompt_tokens, usage.total_tokens), (Some(10), Some(15)));
    assert_eq!((usage.cached_tokens, usage.reasoning_tokens), (Some(3), Some(2)));
    assert_eq!(
        (usage.reported.total(), usage.reported.upstream_cost),
        (info.total_cost, None)
    );

    let content = r#"{"data":{"input":{"messages":[{"role":"user","content":"a private question"}]},"output":{"completion":"Hi","reasoning":null},"error":null}}"#;
    let (server, client) = serves(content).await;
    let content = client.generation_content(&id).await.unwrap();
    assert_eq!(
        (sent(&server).await.path.as_str(), content.completion()),
        ("/api/v1/generation/content?id=gen-1", Some("Hi"))
    );
    assert!(!format!("{content:?}").contains("private"));
}

#[tokio::test]
async fn feedback_is_sent_and_bounded() {
    let (server, client) = serves(r#"{"data":{"success":true}}"#).await;
    let id = GenerationId::new("gen-1").unwrap();
    client
        .generation_feedback(&id, &FeedbackCategory::Latency, Some("slow"))
        .await
        .unwrap();
    let request = sent(&server).await;
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/api/v1/generation/feedback")
    );
    assert_eq!(
        request.json(),
        json!({"generation_id": "gen-1", "category": "latency", "comment": "slow"})
    );
    client
        .generation_feedback(&id, &FeedbackCategory::SomethingElse, None)
        .await
        .unwrap();
    assert_eq!(
        sent(&server).await.json(),
        json!({"generation_id": "gen-1", "category": "other"})
    );
    let long = "ä".repeat(1001);
    let error = client
        .generation_feedback(&id, &FeedbackCategory::Latency, Some(&long))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), server.requests().len()),
        (ErrorKind::InvalidRequest, 2)
    );
}

#[tokio::test]
async fn the_key_and_the_credits() {
    let (_server, client) = serves(
        r#"{"data":{"label":"x","limit":5,"usage":1.5e-7,"byok_usage_daily":0.25,"include_byok_in_limit":true,"allowed_data_regions":["europe"],
        "effective_budget":{"scope":"member","limit_usd":5,"remaining_usd":1,"reset_interval":"daily","include_byok":true,"budget_id":"b"},
        "workspace_id":"w","organization_id":null,"rate_limit":{"requests":-1},"new":1}}"#,
    )
    .await;
    let key = client.key().await.unwrap();
    assert_eq!(
        (key.usage, key.byok_usage_daily),
        (decimal("0.00000015"), decimal("0.25"))
    );
    assert_eq!(
        (key.include_byok_in_limit, &key.allowed_data_regions[..]),
        (Some(true), &["europe".to_owned()][..])
    );
    let budget = key.effective_budget.unwrap();
    assert_eq!(
        (
            budget.reset_interval.as_deref(),
            budget.include_byok,
            &budget.extra["budget_id"]
        ),
        (Some("daily"), Some(true), &json!("b"))
    );
    assert_eq!(
        (key.workspace_id.as_deref(), &key.extra["new"]),
        (Some("w"), &json!(1))
    );

    let (server, client) = serves(r#"{"data":{"total_credits":10.1,"total_usage":10}}"#).await;
    assert_eq!(client.credits().await.unwrap().balance(), decimal("0.1"));
    assert_eq!(sent(&server).await.path, "/api/v1/credits");
}

fn a_key(hash: &str) -> Value {
    json!({"hash": hash, "name": "n", "label": "sk-or-v1-abc...123", "disabled": false, "limit": 10, "limit_remaining": 9.75,
        "limit_reset": "yearly", "usage": 1e-7, "created_at": "2026-01-01T00:00:00Z", "new": 1})
}

#[tokio::test]
async fn keys_are_made_changed_and_ended() {
    let made = "sk-or-v1-CANARYNEW";
    let (server, client) = serves(json!({"data": a_key("h1"), "key": made})).await;
    let mut new = NewKey::new("team a").with_limit("12.5".parse().unwrap(), Some(LimitReset::Monthly));
    new.external = Some(External::new("user-1"));
    let created = client.create_key(&new).await.unwrap();
    let request = sent(&server).await;
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/api/v1/keys")
    );
    assert_eq!(
        request.json(),
        json!({"name": "team a", "limit": 12.5, "limit_reset": "monthly", "external": {"user": "user-1"}})
    );
    assert_eq!(created.key.expose(), made);
    assert!(!format!("{created:?}").contains("CANARY"));
    // A label quotes the key.
    assert_eq!(created.info.label, None);
    assert_eq!(created.info.limit_remaining, decimal("9.75"));
    assert_eq!(
        created.info.limit_reset,
        Some(LimitReset::Other("yearly".to_owned()))
    );

    let (server, client) = serves(json!({"data": a_key("h1"), "deleted": true})).await;
    assert_eq!(client.api_key("h1").await.unwrap().hash, "h1");
    let patch = KeyPatch::new()
        .with_disabled(true)
        .with_limit(None)
        .with_limit_reset(None)
        .with_name("b");
    client.update_key("h1", &patch).await.unwrap();
    let patch = KeyPatch::new().with_limit(decimal("0.10"));
    client.update_key("h1", &patch).await.unwrap();
    assert!(client.delete_key("a/b").await.unwrap());
    assert_eq!(sent(&server).await.path, "/api/v1/keys/h1");
    let request = sent(&server).await;
    assert_eq!(request.method, "PATCH");
    assert_eq!(
        request.json(),
        json!({"name": "b", "disabled": true, "limit": null, "limit_reset": null})
    );
    assert_eq!(sent(&server).await.text(), r#"{"limit":0.1}"#);
    let request = sent(&server).await;
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("DELETE", "/api/v1/keys/a%2Fb")
    );
    let before = server.requests().len();
    for error in [
        client.update_key("h1", &KeyPatch::new()).await.unwrap_err(),
        client
            .update_key("h1", &KeyPatch::new().with_limit(decimal("-1")))
            .await
            .unwrap_err(),
        client.create_key(&NewKey::new("")).await.unwrap_err(),
        client
            .create_key(&NewKey::new("n").with_limit("1000000".parse().unwrap(), None))
            .await
            .unwrap_err(),
        client.api_key("sk-or-v1-CANARY").await.unwrap_err(),
        client.delete_key("..").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        assert!(!format!("{error:?}").contains("CANARY"));
    }
    assert_eq!(server.requests().len(), before);
}

#[tokio::test]
async fn all_keys_are_listed_page_by_page() {
    let page = |hashes: &[&str]| {
        Script::json(
            200,
            json!({"data": hashes.iter().map(|hash| a_key(hash)).collect::<Vec<_>>()}),
        )
    };
    let server = ScriptedUpstream::sequence([page(&["a", "b"]), page(&["c"]), page(&[])]).await;
    let keys = client(&server)
        .list_all_keys(&KeysQuery::new().with_all())
        .await
        .unwrap();
    assert_eq!(
        keys.iter().map(|key| key.hash.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    let paths: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/api/v1/keys?include_disabled=true&include_expired=true",
            "/api/v1/keys?offset=2&include_disabled=true&include_expired=true",
            "/api/v1/keys?offset=3&include_disabled=true&include_expired=true",
        ]
    );
    // A server that knows no offset sends the same page again and again.
    let server = ScriptedUpstream::always(page(&["a"])).await;
    let keys = client(&server)
        .list_all_keys(&KeysQuery::new().with_offset(7))
        .await
        .unwrap();
    assert_eq!((keys.len(), server.requests().len()), (1, 2));
}

#[tokio::test]
async fn activity_is_read_by_day() {
    let (server, client) = serves(r#"{"data":[{"date":"2026-10-29","model":"a/b","provider_name":"P","usage":0.015,"byok_usage_inference":1e-7,"requests":5,"prompt_tokens":50,"completion_tokens":125,"reasoning_tokens":25,"cached_tokens":10,"new":1}]}"#).await;
    let query = ActivityQuery::new()
        .with_date("2026-10-29")
        .with_api_key_hash("h")
        .with_group_by(ActivityGroup::Workspace);
    let rows = client.activity(&query).await.unwrap();
    assert_eq!(
        sent(&server).await.path,
        "/api/v1/activity?date=2026-10-29&api_key_hash=h&group_by=workspace"
    );
    assert_eq!(
        (rows[0].usage, rows[0].byok_usage_inference),
        (decimal("0.015"), decimal("0.0000001"))
    );
    assert_eq!(
        (rows[0].requests, rows[0].cached_tokens, &rows[0].extra["new"]),
        (Some(5), Some(10), &json!(1))
    );
}

#[tokio::test]
async fn a_code_becomes_a_key() {
    let (server, client) = serves(r#"{"key":"sk-or-v1-CANARYNEW","user_id":"user_1"}"#).await;
    let pkce = Pkce::from_random([9; 32]).unwrap();
    let granted = client.exchange_code("the-code", &pkce).await.unwrap();
    let request = sent(&server).await;
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/api/v1/auth/keys")
    );
    assert_eq!(
        request.json(),
        json!({"code": "the-code", "code_verifier": pkce.verifier().expose(), "code_challenge_method": "S256"})
    );
    assert_eq!(
        (granted.key.expose(), granted.user_id.as_deref()),
        ("sk-or-v1-CANARYNEW", Some("user_1"))
    );
    assert!(!format!("{granted:?}").contains("CANARY"));
    assert!(client.exchange_code("", &pkce).await.is_err());

    let (server, client) =
        serves(r#"{"data":{"id":"auth_code_CANARY","app_id":7,"created_at":"2026-01-01T00:00:00Z"}}"#).await;
    let new = NewAuthCode::new(&pkce, "https://me.example/cb")
        .with_limit("2.5".parse().unwrap(), Some(LimitReset::Daily))
        .with_key_label("mine");
    let code = client.create_auth_code(&new).await.unwrap();
    assert_eq!((code.id.as_str(), code.app_id), ("auth_code_CANARY", Some(7)));
    assert!(!format!("{code:?}").contains("CANARY"));
    assert_eq!(
        sent(&server).await.json(),
        json!({"callback_url": "https://me.example/cb", "code_challenge": pkce.challenge(), "code_challenge_method": "S256",
            "limit": 2.5, "usage_limit_type": "daily", "key_label": "mine"})
    );
    let (_server, client) = serves(r#"{"key":" "}"#).await;
    assert_eq!(
        client.exchange_code("c", &pkce).await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
    let (_server, client) = serves(json!({"data": a_key("h"), "key": "a b"})).await;
    assert_eq!(
        client.create_key(&NewKey::new("n")).await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors_of_the_protocol() {
    for (body, kind) in [
        ("<html>", ErrorKind::Protocol),
        ("{\"data\":7}", ErrorKind::Protocol),
        ("", ErrorKind::Truncated),
        ("{\"data\":", ErrorKind::Truncated),
        (r#"{"error":{"code":401,"message":"m"}}"#, ErrorKind::Auth),
    ] {
        let (_server, client) = serves(body).await;
        let id = GenerationId::new("gen-1").unwrap();
        let model = ModelId::new("a/b").unwrap();
        for error in [
            client.list_models(&ModelsQuery::new()).await.unwrap_err(),
            client.user_models(&UserModelsQuery::new()).await.unwrap_err(),
            client.model(&model).await.unwrap_err(),
            client.models_count(&[]).await.unwrap_err(),
            client.model_endpoints(&model).await.unwrap_err(),
            client.zdr_endpoints().await.unwrap_err(),
            client.providers().await.unwrap_err(),
            client.generation(&id).await.unwrap_err(),
            client.generation_content(&id).await.unwrap_err(),
            client.credits().await.unwrap_err(),
            client.list_keys(&KeysQuery::new()).await.unwrap_err(),
            client.api_key("h").await.unwrap_err(),
            client.activity(&ActivityQuery::new()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{body:?}: {error}");
            assert_eq!(error.provider().unwrap().as_str(), "openrouter");
        }
    }
}

#[tokio::test]
async fn a_raw_call_has_the_same_safety() {
    let server = ScriptedUpstream::sequence([
        Script::json(202, r#"{"id":"batch-1","error":null}"#).with_header("x-generation-id", "gen-r"),
        Script::json(200, r#"{"error":{"code":402,"message":"m"}}"#),
        Script::json(200, r#"{"id":"vid-1","error":{"message":"the job failed"}}"#),
        Script::json(403, r#"{"error":{"code":403,"message":"m"}}"#),
        Script::whole(200, "audio/mpeg", b"{\"error\":{\"x\":1}}".to_vec()),
        Script::sse([r#"{"a":1}"#, r#"{"a":2}"#, "[DONE]"]).with_header("x-generation-id", "gen-s"),
        Script::sse([r#"{"a":1}"#, r#"{"error":{"code":503,"message":"m"}}"#]),
        Script::json(200, r#"{"a":1}"#),
        Script::json(200, r#"{"error":{"code":503,"message":"m"}}"#),
    ])
    .await;
    let client = client(&server);
    let request = RawRequest::post("batches")
        .unwrap()
        .with_query("a b", "c&d")
        .with_json(&json!({"endpoint": "/v1/chat/completions"}))
        .unwrap();
    let answer = client.raw(&cx(), &request).await.unwrap();
    assert_eq!(
        (answer.status, answer.generation.as_ref().unwrap().as_str()),
        (202, "gen-r")
    );
    assert_eq!(answer.json::<Value>().unwrap()["id"], "batch-1");
    let received = sent(&server).await;
    assert_eq!(
        (received.method.as_str(), received.path.as_str()),
        ("POST", "/api/v1/batches?a+b=c%26d")
    );
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.json()["endpoint"], "/v1/chat/completions");

    let get = RawRequest::get("videos")
        .unwrap()
        .with_segment("vid/1")
        .unwrap()
        .with_total(Duration::from_secs(5));
    assert_eq!(
        client.raw(&cx(), &get).await.unwrap_err().kind(),
        ErrorKind::Billing
    );
    assert_eq!(sent(&server).await.path, "/api/v1/videos/vid%2F1");
    let job = client
        .raw(&cx(), &get.clone().with_errors_as_data())
        .await
        .unwrap();
    assert_eq!(job.json::<Value>().unwrap()["error"]["message"], "the job failed");
    assert_eq!(
        client.raw(&cx(), &get).await.unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    let form = RawRequest::new(RawMethod::Put, "files")
        .unwrap()
        .with_body("text/plain", "x")
        .with_errors_as_data();
    let sound = client.raw(&cx(), &form).await.unwrap();
    assert_eq!(
        (sound.content_type.as_deref(), sound.body.len()),
        (Some("audio/mpeg"), 17)
    );
    // What the server says of its answer is the server's own, and not for a log.
    let shown = format!("{sound:?}");
    assert!(!shown.contains("error") && !shown.contains("mpeg"), "{shown}");
    let last = server.requests().pop().unwrap();
    assert_eq!(
        (last.method.as_str(), last.header("content-type")),
        ("PUT", Some("text/plain"))
    );

    let mut stream = client.raw_stream(&cx(), &request).await.unwrap();
    assert_eq!(stream.generation().unwrap().as_str(), "gen-s");
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.json::<Value>().unwrap(), json!({"a": 1}));
    assert!(stream.next().await.unwrap().is_ok() && stream.next().await.is_none());
    assert_eq!(
        server.requests().pop().unwrap().header("accept"),
        Some("text/event-stream")
    );
    let mut stream = client.raw_stream(&cx(), &request).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    assert_eq!(
        stream.next().await.unwrap().unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    let mut stream = client.raw_stream(&cx(), &request).await.unwrap();
    assert_eq!(&stream.next().await.unwrap().unwrap().data[..], br#"{"a":1}"#);
    let error = client.raw_stream(&cx(), &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);

    let odd = RawRequest::get("x").unwrap().with_body("a\nb", "x");
    assert_eq!(
        client.raw(&cx(), &odd).await.unwrap_err().kind(),
        ErrorKind::InvalidRequest
    );
    let own = cx().with_headers(vec![("authorization".to_owned(), "x".to_owned())]);
    assert_eq!(
        client.raw(&own, &get).await.unwrap_err().kind(),
        ErrorKind::InvalidRequest
    );
}

#[tokio::test]
async fn a_raw_stream_that_breaks_off_is_not_complete() {
    let broken = Script::chunked(200, "text/event-stream")
        .send("data: {\"a\":1}\n\n")
        .reset();
    let server = ScriptedUpstream::always(broken).await;
    let request = RawRequest::get("x").unwrap();
    let mut stream = client(&server).raw_stream(&cx(), &request).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Transport | ErrorKind::Truncated),
        "{error}"
    );
}

/// With retries on: looks are made again, calls of models too where nothing can have been billed, and nothing is made twice.
#[tokio::test]
async fn what_makes_something_is_not_asked_for_twice() {
    let busy = Script::json(503, r#"{"error":{"code":503,"message":"m"}}"#);
    let server = ScriptedUpstream::always(busy).await;
    let config = openrouter_client::Config::new(integration_core::Secret::new(common::KEY).unwrap())
        .with_base_url(&format!("{}/api/v1", server.url()));
    let clock = std::sync::Arc::new(integration_core::ManualClock::new());
    let client = OpenRouterClient::with_clock(config, clock.clone()).unwrap();
    let model = ModelId::new("a/b").unwrap();
    let counted = async |call: &mut (dyn Future<Output = ErrorKind> + Unpin)| {
        let before = server.requests().len();
        let kind = loop {
            tokio::select! {
                biased;
                kind = &mut *call => break kind,
                () = tokio::task::yield_now() => {
                    // The short waits between attempts pass; the deadlines of the connection do not come near.
                    if clock.requested_sleeps().last().is_some_and(|wait| *wait < Duration::from_secs(5)) {
                        clock.advance(Duration::from_millis(1));
                    }
                }
            }
        };
        assert_eq!(kind, ErrorKind::Overloaded);
        server.requests().len() - before
    };
    let mut look = Box::pin(async { client.credits().await.unwrap_err().kind() });
    assert_eq!(counted(&mut look).await, 3);
    let request = RerankRequest::new(model, "q", ["a"]);
    let call = cx();
    let mut rank = Box::pin(async { client.rerank(&call, &request).await.unwrap_err().kind() });
    assert_eq!(counted(&mut rank).await, 3);
    let new = NewKey::new("n");
    let mut make = Box::pin(async { client.create_key(&new).await.unwrap_err().kind() });
    assert_eq!(counted(&mut make).await, 1);
    let pkce = Pkce::from_random([1; 32]).unwrap();
    let mut exchange = Box::pin(async { client.exchange_code("c", &pkce).await.unwrap_err().kind() });
    assert_eq!(counted(&mut exchange).await, 1);
}
