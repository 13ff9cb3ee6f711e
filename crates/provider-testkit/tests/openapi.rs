//! Requests and answers are held to a document; what it does not know is said to be so.
#![cfg(feature = "openapi")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use integration_core::testing::shared_data;
use provider_testkit::openapi::{OpenApi, OpenApiError};
use serde_json::json;

fn small() -> OpenApi {
    OpenApi::read(
        &json!({
            "openapi": "3.1.0",
            "paths": {
                "/things/{id}/parts": {
                    "get": {
                        "parameters": [
                            { "in": "query", "name": "limit", "schema": { "type": "integer" } },
                            { "$ref": "#/components/parameters/Kind" },
                        ],
                        "responses": { "200": { "content": { "application/json": { "schema": {
                            "type": "object", "required": ["data"], "properties": { "data": { "$ref": "#/components/schemas/Part" } },
                        } } } } },
                    },
                },
                "/things": { "post": {
                    "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Part" } } } },
                    "responses": {},
                } },
            },
            "components": {
                "parameters": { "Kind": { "in": "query", "name": "kind", "required": true, "schema": { "enum": ["a", "b c"] } } },
                "schemas": { "Part": { "type": "object", "required": ["name"], "properties": {
                    "name": { "type": "string" }, "inner": { "$ref": "#/components/schemas/Part" },
                } } },
            },
        })
        .to_string(),
    )
    .unwrap()
}

#[test]
fn requests_and_answers_are_held_to_the_document() {
    let api = small();
    let part = json!({ "name": "x", "inner": { "name": "y", "more": 1 } });
    let ask = |path: &str| api.check_request("get", path, None);
    assert_eq!(ask("/things/1/parts?kind=b%20c&limit=5"), Ok(()));
    assert_eq!(ask("/things/1/parts?kind=b+c"), Ok(()));
    for (path, said) in [
        ("/things/1/parts?limit=5", "query without \"kind\""),
        ("/things/1/parts?kind=c", "query parameter \"kind\""),
        ("/things/1/parts?kind=a&limit=x", "query parameter \"limit\""),
        ("/things/1/parts?kind=a&page=2", "has no query parameter \"page\""),
        ("/things//parts?kind=a", "no operation GET"),
        ("/things/1", "no operation GET"),
    ] {
        let error = ask(path).unwrap_err().to_string();
        assert!(error.contains(said), "{path}: {error}");
    }
    assert_eq!(api.check_request("POST", "/things", Some(&part)), Ok(()));
    let nested = api.check_request("POST", "/things", Some(&json!({ "name": "x", "inner": {} })));
    assert!(
        matches!(&nested, Err(OpenApiError::Invalid { violations, .. }) if violations[0].starts_with("/inner")),
        "{nested:?}"
    );
    assert!(api.check_request("POST", "/things", None).is_err());
    assert!(
        api.check_request("GET", "/things/1/parts?kind=a", Some(&part))
            .is_err()
    );

    let answer = |status, kind, body| api.check_answer("GET", "/things/1/parts", status, kind, &body);
    assert_eq!(answer(200, "application/json", json!({ "data": part })), Ok(()));
    assert!(answer(200, "application/json", json!({})).is_err());
    assert!(answer(404, "application/json", json!({})).is_err());
    assert!(answer(200, "text/event-stream", json!({})).is_err());
    assert_eq!(api.operations().len(), 2);
    assert!(OpenApi::read("{}").is_err() && OpenApi::read("no").is_err());
}

#[test]
fn the_official_document_of_openrouter_is_read() {
    let name = "openrouter/openapi-2026-10-30.json";
    let Some(path) = shared_data("the_official_document_of_openrouter_is_read", name) else {
        return;
    };
    let api = OpenApi::read(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(api.operations().len(), 145);
    let body = json!({ "model": "a/b", "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(
        api.check_request("POST", "/chat/completions", Some(&body)),
        Ok(())
    );
    let bad = json!({ "messages": [{ "role": "user", "content": "hi" }], "temperature": "hot" });
    assert!(
        api.check_request("POST", "/chat/completions", Some(&bad))
            .is_err()
    );
    assert_eq!(
        api.check_request("GET", "/models?output_modalities=all&limit=5", None),
        Ok(())
    );
    assert_eq!(
        api.template("get", "/models/a/b/endpoints").as_deref(),
        Some("/models/{author}/{slug}/endpoints")
    );
    assert_eq!(
        api.template("get", "/models/user").as_deref(),
        Some("/models/user")
    );
}
