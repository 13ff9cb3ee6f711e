//! What the kit itself costs: reading a document, checking a request, drawing a fault.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use provider_testkit::fault_plan::FaultPlan;
use provider_testkit::openapi::OpenApi;
use provider_testkit::upstream::Script;
use serde_json::json;

/// A document with as many operations as a middling provider has, all with the same body.
fn document() -> String {
    let paths: serde_json::Map<String, serde_json::Value> = (0..40)
        .map(|n| {
            let schema = json!({ "$ref": "#/components/schemas/Chat" });
            let content = json!({ "application/json": { "schema": schema } });
            let answers = json!({ "200": { "description": "ok", "content": content } });
            let operation =
                json!({ "post": { "requestBody": { "content": content }, "responses": answers } });
            (format!("/route-{n}"), operation)
        })
        .collect();
    let message = json!({
        "type": "object",
        "required": ["role", "content"],
        "properties": { "role": { "enum": ["user", "assistant", "system", "tool"] }, "content": { "type": ["string", "null"] } },
    });
    let chat = json!({
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": { "type": "string" },
            "messages": { "type": "array", "items": { "$ref": "#/components/schemas/Message" } },
            "temperature": { "type": "number", "minimum": 0, "maximum": 2 },
        },
    });
    let schemas = json!({ "Chat": chat, "Message": message });
    json!({ "openapi": "3.1.0", "info": { "title": "t", "version": "1" }, "paths": paths, "components": { "schemas": schemas } })
        .to_string()
}

fn openapi(c: &mut Criterion) {
    let text = document();
    c.bench_function("openapi: read a document", |b| {
        b.iter(|| OpenApi::read(black_box(&text)).unwrap());
    });
    let api = OpenApi::read(&text).unwrap();
    let messages: Vec<_> = (0..10)
        .map(|n| json!({ "role": "user", "content": format!("question {n}") }))
        .collect();
    let body = json!({ "model": "acme/model-1", "messages": messages, "temperature": 0.5 });
    // The first check compiles the schema.
    api.check_request("POST", "/route-7", Some(&body)).unwrap();
    c.bench_function("openapi: check a request", |b| {
        b.iter(|| {
            api.check_request("POST", "/route-7", Some(black_box(&body)))
                .unwrap()
        });
    });
}

fn fault_plan(c: &mut Criterion) {
    let plan = FaultPlan::everything(7);
    let healthy = Script::sse(["{}"; 20]);
    c.bench_function("fault_plan: draw 100 faults", |b| {
        b.iter(|| plan.faults(100, black_box(&healthy)));
    });
}

criterion_group!(benches, openapi, fault_plan);
criterion_main!(benches);
