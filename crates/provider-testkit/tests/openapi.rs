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

/// Parts that the operation refers to, and answers listed by class.
fn referring() -> OpenApi {
    let content = |schema| json!({ "application/json": { "schema": schema } });
    let failure =
        |field: &str| json!({ "content": content(json!({ "type": "object", "required": [field] })) });
    let circle = |to: &str| json!({ "$ref": format!("#/components/responses/{to}") });
    OpenApi::read(
        &json!({
            "openapi": "3.1.0",
            "paths": {
                "/things": {
                    "parameters": [
                        { "in": "query", "name": "page", "required": true, "schema": { "type": "integer" } },
                        { "in": "query", "name": "kind", "required": true, "schema": { "enum": ["a"] } },
                        { "in": "header", "name": "x-page", "required": true, "schema": {} },
                    ],
                    "post": {
                        "parameters": [{ "in": "query", "name": "kind", "schema": { "enum": ["b"] } }],
                        "requestBody": { "$ref": "#/components/requestBodies/Thing" },
                        "responses": {
                            "200": { "$ref": "#/components/responses/A%20thing" },
                            "404": { "description": "without a body" },
                            "409": { "$ref": "#/components/responses/Absent" },
                            "410": { "$ref": "other.json#/Gone" },
                            "411": { "$ref": "#/components/responses/Round" },
                            "4XX": failure("client"),
                            "default": failure("other"),
                        },
                    },
                },
                "/bodies": { "post": { "requestBody": { "$ref": "#/components/requestBodies/Absent" }, "responses": {} } },
                "/lists": { "get": { "parameters": [{ "$ref": "#/components/parameters/Absent" }], "responses": {} } },
            },
            "components": {
                "requestBodies": { "Thing": { "required": true, "content": content(json!({ "required": ["name"] })) } },
                "responses": {
                    "A thing": { "$ref": "#/components/responses/Thing" },
                    "Thing": { "content": content(json!({ "required": ["data"] })) },
                    "Round": circle("Round again"),
                    "Round again": circle("Round"),
                },
            },
        })
        .to_string(),
    )
    .unwrap()
}

#[test]
fn bodies_and_answers_may_be_references() {
    let api = referring();
    let ask = |body: Option<serde_json::Value>| api.check_request("POST", "/things?page=1", body.as_ref());
    assert_eq!(ask(Some(json!({ "name": "x" }))), Ok(()));
    assert!(matches!(ask(Some(json!({}))), Err(OpenApiError::Invalid { .. })));
    let error = ask(None).unwrap_err().to_string();
    assert!(error.contains("request without its body"), "{error}");
    let answer = |body| api.check_answer("POST", "/things", 200, "application/json", &body);
    assert_eq!(answer(json!({ "data": 1 })), Ok(()));
    assert!(matches!(answer(json!({})), Err(OpenApiError::Invalid { .. })));
}

#[test]
fn parameters_of_the_path_hold_for_its_operations() {
    let api = referring();
    let ask = |query: &str| {
        let body = json!({ "name": "x" });
        api.check_request("POST", &format!("/things{query}"), Some(&body))
    };
    assert_eq!(
        ask("?page=1"),
        Ok(()),
        "the operation's own `kind` may be left out"
    );
    assert_eq!(ask("?page=1&kind=b"), Ok(()));
    for (query, said) in [
        ("?kind=b", "query without \"page\""),
        ("?page=x", "query parameter \"page\""),
        ("?page=1&kind=a", "query parameter \"kind\""),
        ("?page=1&x-page=1", "has no query parameter \"x-page\""),
    ] {
        let error = ask(query).unwrap_err().to_string();
        assert!(error.contains(said), "{query}: {error}");
    }
}

#[test]
fn an_answer_is_looked_up_by_its_status_then_its_class_then_the_default() {
    let api = referring();
    let answer = |status, field: &str| {
        let body = json!({ field: 1 });
        api.check_answer("POST", "/things", status, "application/json", &body)
    };
    assert_eq!(answer(418, "client"), Ok(()));
    assert!(matches!(answer(418, "other"), Err(OpenApiError::Invalid { .. })));
    assert_eq!(answer(503, "other"), Ok(()));
    assert!(matches!(answer(503, "client"), Err(OpenApiError::Invalid { .. })));
    // What is listed for the very status counts, though it has no body.
    assert!(matches!(answer(404, "client"), Err(OpenApiError::Nothing { .. })));
}

#[test]
fn a_reference_that_leads_nowhere_is_an_error() {
    let api = referring();
    let is_lost = |outcome: Result<(), OpenApiError>, named: &str| match outcome {
        Err(OpenApiError::Reference { reference, .. }) => assert!(reference.contains(named), "{reference}"),
        other => panic!("{named}: {other:?}"),
    };
    let answer = |status| api.check_answer("POST", "/things", status, "application/json", &json!({}));
    is_lost(answer(409), "responses/Absent");
    is_lost(answer(410), "other.json");
    is_lost(answer(411), "Round");
    is_lost(api.check_request("POST", "/bodies", None), "requestBodies/Absent");
    is_lost(api.check_request("GET", "/lists", None), "parameters/Absent");
    let error = answer(409).unwrap_err().to_string();
    assert!(
        error.starts_with("/paths/~1things/post/responses/409 refers to"),
        "{error}"
    );
}
