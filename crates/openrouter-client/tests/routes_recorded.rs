//! What was recorded of these routes is read whole, however it is cut.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use common::{client, cx};
use integration_core::{ModelId, Usage};
use openrouter_client::routes::*;
use openrouter_client::wire::ErrorReader;
use provider_testkit::upstream::{Script, ScriptedUpstream};
use serde_json::Value;

fn recordings(test: &str) -> Option<Vec<Value>> {
    let file: PathBuf = integration_core::testing::shared_data(test, "openrouter/recorded/exchanges.jsonl")?;
    let text = std::fs::read_to_string(file).unwrap();
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// The recordings of one route: the request, the answer, and whether it was streamed.
fn of_route(exchanges: &[Value], route: &str) -> Vec<(Value, String, bool)> {
    exchanges
        .iter()
        .filter(|exchange| {
            exchange["url_path"].as_str().unwrap().ends_with(route) && exchange["status"] == 200
        })
        .map(|exchange| {
            let request = match &exchange["request_body"] {
                Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
                other => other.clone(),
            };
            let kind = exchange["response_headers"]["content-type"]
                .as_str()
                .unwrap_or_default();
            let body = exchange["response_body"].as_str().unwrap().to_owned();
            (request, body, kind.contains("event-stream"))
        })
        .collect()
}

/// The last `usage` of a body, by its digits.
fn usage_in(body: &str) -> Option<Usage> {
    let at = body.rfind("\"usage\":")? + "\"usage\":".len();
    let raw: &serde_json::value::RawValue = serde_json::Deserializer::from_str(&body[at..])
        .into_iter()
        .next()?
        .ok()?;
    Usage::from_json(raw.get()).ok()
}

async fn serving(body: &str) -> ScriptedUpstream {
    ScriptedUpstream::always(Script::json(200, body)).await
}

#[tokio::test]
async fn recorded_embeddings_and_ranks_are_read() {
    let Some(exchanges) = recordings("recorded_embeddings_and_ranks_are_read") else {
        return;
    };
    let mut vectors = 0;
    for (request, body, _) in of_route(&exchanges, "/embeddings") {
        let answered = serde_json::from_str::<Value>(&body).unwrap();
        let count = answered["data"].as_array().unwrap().len();
        let model = ModelId::new(request["model"].as_str().unwrap()).unwrap();
        let input = EmbeddingInput::Texts(vec!["x".to_owned(); count]);
        let server = serving(&body).await;
        let answer = client(&server)
            .embeddings(&cx(), &EmbeddingsRequest::new(model, input))
            .await
            .unwrap();
        assert_eq!(
            (answer.embeddings.len(), &answer.usage),
            (count, &usage_in(&body))
        );
        assert!(
            answer.usage.is_some()
                && answer
                    .embeddings
                    .iter()
                    .all(|embedding| !embedding.vector.is_empty())
        );
        // The answer's model has no author.
        assert!(!answer.model.unwrap().contains('/'));
        vectors += 1;
    }
    let ranked = of_route(&exchanges, "/rerank");
    for (request, body, _) in &ranked {
        let server = serving(body).await;
        let model = ModelId::new(request["model"].as_str().unwrap()).unwrap();
        let answer = client(&server)
            .rerank(&cx(), &RerankRequest::new(model, "q", ["a", "b"]))
            .await
            .unwrap();
        assert!(
            answer
                .results
                .windows(2)
                .all(|pair| pair[0].relevance_score >= pair[1].relevance_score)
        );
        assert_eq!(answer.usage, usage_in(body));
        assert!(answer.id.unwrap().as_str().starts_with("gen-rerank-") && answer.provider.is_some());
    }
    println!("{vectors} embeddings, {} ranks", ranked.len());
    assert_eq!((vectors, ranked.len()), (9, 1));
}

fn decode(pieces: &[&[u8]]) -> Vec<integration_core::Result<ResponsesEvent>> {
    let mut decoder = ResponsesStreamDecoder::new(None, ErrorReader::new(SystemTime::UNIX_EPOCH));
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        events.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    decoder.finish();
    events.extend(std::iter::from_fn(|| decoder.next_event()));
    events
}

#[tokio::test]
async fn recorded_responses_are_read() {
    let Some(exchanges) = recordings("recorded_responses_are_read") else {
        return;
    };
    let (mut streamed, mut whole) = (0, 0);
    for (_, body, is_stream) in of_route(&exchanges, "/responses") {
        if !is_stream {
            let server = serving(&body).await;
            let request = ResponsesRequest::new(ModelId::new("a/b").unwrap(), "x");
            let answer = client(&server).responses(&cx(), &request).await.unwrap();
            assert_eq!(answer.usage, usage_in(&body));
            assert!(!answer.output.is_empty() && !answer.id.is_empty());
            whole += 1;
            continue;
        }
        let events = decode(&[body.as_bytes()]);
        let Some(Ok(ResponsesEvent::Completed(answer))) = events.last() else {
            panic!("{:?}", events.last());
        };
        assert_eq!(answer.usage, usage_in(&body));
        let mut text = String::new();
        for event in events.iter().map(|event| event.as_ref().unwrap()) {
            if let ResponsesEvent::Text { delta, .. } = event {
                text.push_str(delta);
            }
        }
        assert_eq!(text, answer.text());
        // Byte by byte, and in pieces of odd sizes, it is the same.
        for size in [1, 7, 1000] {
            let pieces: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            assert_eq!(format!("{:?}", decode(&pieces)), format!("{events:?}"));
        }
        streamed += 1;
    }
    println!("{streamed} streams, {whole} answers");
    assert_eq!((streamed, whole), (3, 2));
}

#[tokio::test]
async fn a_captured_list_of_models_is_read_whole() {
    let test = "a_captured_list_of_models_is_read_whole";
    let Some(file) = integration_core::testing::shared_data(test, "openrouter/models-2026-08-22.json") else {
        return;
    };
    let body = std::fs::read_to_string(file).unwrap();
    let expected = serde_json::from_str::<Value>(&body).unwrap();
    let expected = expected["data"].as_array().unwrap();
    let server = serving(&body).await;
    let page = client(&server).list_models(&ModelsQuery::new()).await.unwrap();
    assert_eq!((page.models.len(), page.models.len()), (421, expected.len()));
    for (model, sent) in page.models.iter().zip(expected) {
        // Every price is there, digit by digit, and none that is not.
        for (key, price) in sent["pricing"].as_object().unwrap() {
            if let Value::String(price) = price {
                assert_eq!(&model.pricing.prices.rates[key], price, "{}", model.id);
                let dynamic = price.starts_with('-');
                assert_eq!(model.pricing.rate(key).is_none(), dynamic, "{} {key}", model.id);
            }
        }
        assert_eq!(Value::Object(model.pricing.raw.clone()), sent["pricing"]);
        // Every field is known or kept.
        for name in sent.as_object().unwrap().keys() {
            let known = [
                "id",
                "canonical_slug",
                "name",
                "description",
                "created",
                "context_length",
                "architecture",
                "pricing",
                "top_provider",
                "supported_parameters",
                "default_parameters",
                "reasoning",
                "knowledge_cutoff",
                "expiration_date",
                "alias_target",
            ];
            assert!(
                known.contains(&name.as_str()) || model.extra.contains_key(name),
                "{name}"
            );
        }
    }
    assert!(
        page.models
            .iter()
            .filter(|model| model.pricing.is_dynamic())
            .count()
            >= 5
    );
}
