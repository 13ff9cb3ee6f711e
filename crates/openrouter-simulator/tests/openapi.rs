//! Every answer of the simulator against the service's own OpenAPI document: each route with each of its successes and each
//! error that it can give, bodies in one piece and every event of a stream.
//!
//! What the document does not describe is held to schemas of ours, each with the line of the contract that it is written
//! from. What breaks the document on purpose is a named constant with its line.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "openapi/checker.rs"]
mod checker;
#[path = "openapi/requests.rs"]
mod requests;
mod support;

use std::collections::BTreeSet;

use checker::{COMPLETIONS, Checker, ENVELOPE, Held, MESSAGES_ENVELOPE, ZOD_BODY, put};
use openrouter_simulator::{
    Fault, MALFORMED, MALFORMED_NO_ARGUMENTS, MALFORMED_NO_INDEX, MALFORMED_NO_TYPE, MALFORMED_STRING_CODE,
    MALFORMED_USAGE_EMPTY, MALFORMED_USAGE_NULL, MALFORMED_USAGE_NULL_DETAILS, Malformed, served_routes,
};
use requests::*;
use serde_json::{Value, json};
use support::{KEY, header, json_of};

#[test]
fn every_success_of_every_route_fits_the_document() {
    let simulation = service();
    let checker = Checker::new("every_success_of_every_route_fits_the_document");
    let mut wrong = Vec::new();
    for route in served_routes() {
        for (path, body) in successes(&simulation, route) {
            let reply = call(&simulation, route.method(), &path, key_for(route), &body, None);
            let expected = if (route.method(), route.path()) == ("POST", "/keys") {
                201
            } else {
                200
            };
            assert_eq!(
                status(&reply),
                expected,
                "{} {path} {body}: {}",
                route.method(),
                String::from_utf8_lossy(&reply.body())
            );
            let Some(checker) = &checker else { continue };
            match checker.reply(route.method(), &path, &reply) {
                Ok(held) => {
                    let wanted = if route.path() == "/completions" {
                        Held::Ours(COMPLETIONS)
                    } else {
                        Held::Document
                    };
                    assert!(
                        !held.is_empty() && held.iter().all(|held| *held == wanted),
                        "{path}: {held:?}"
                    );
                }
                Err(error) => wrong.push(error),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), shortened(&wrong));
}

fn shortened(wrong: &[String]) -> String {
    let short: BTreeSet<String> = wrong
        .iter()
        .map(|text| text.chars().take(900).collect())
        .collect();
    short.into_iter().take(12).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn every_refusal_of_every_route_fits_the_document() {
    let simulation = service();
    let checker = Checker::new("every_refusal_of_every_route_fits_the_document");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for route in served_routes() {
        for (path, key, body, expected) in refusals(&simulation, route) {
            let reply = call(&simulation, route.method(), &path, key, &body, None);
            let shown: String = body.chars().take(200).collect();
            assert_eq!(
                status(&reply),
                expected,
                "{} {path} {shown}: {}",
                route.method(),
                String::from_utf8_lossy(&reply.body())
            );
            if let Some(checker) = &checker {
                match checker.reply(route.method(), &path, &reply) {
                    Ok(held) => seen.extend(held),
                    Err(error) => wrong.push(error),
                }
            }
        }
        // Another method, and what no route has.
        let path = route.path().replace(['{', '}'], "");
        let reply = call(
            &simulation,
            "OPTIONS",
            &format!("/api/v1{path}"),
            Some(KEY),
            "",
            None,
        );
        assert_eq!(
            (status(&reply), json_of(&reply)["error"]["code"].as_u64()),
            (405, Some(405))
        );
        assert!(header(&reply, "allow").unwrap().contains(route.method()));
    }
    for nowhere in ["/api/v1/nowhere", "/", "/api/v1", "/api/v1/keys/a/b"] {
        let reply = call(&simulation, "GET", nowhere, Some(KEY), "", None);
        assert_eq!(
            (status(&reply), json_of(&reply)["error"]["code"].as_u64()),
            (404, Some(404))
        );
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), shortened(&wrong));
    if checker.is_some() {
        assert!(seen.contains(&Held::Document) && seen.contains(&Held::Ours(ZOD_BODY)));
    }
}

/// Every status that some route of the document lists, and those that the contract adds.
const STATUSES: &[u16] = &[
    400, 401, 402, 403, 404, 405, 408, 409, 410, 412, 413, 422, 429, 499, 500, 502, 503, 504, 520, 522, 524,
    529,
];

#[test]
fn every_staged_status_of_every_route_fits_the_document() {
    let simulation = service();
    let Some(checker) = Checker::new("every_staged_status_of_every_route_fits_the_document") else {
        return;
    };
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for route in served_routes() {
        let samples = successes(&simulation, route);
        let coinbase = [("/api/v1/credits/coinbase".to_owned(), String::new())];
        let (path, body) = samples.first().unwrap_or(&coinbase[0]);
        for wanted in STATUSES {
            let fault = wanted.to_string();
            let reply = call(
                &simulation,
                route.method(),
                path,
                key_for(route),
                body,
                Some(&fault),
            );
            assert_eq!(status(&reply), *wanted, "{} {path}", route.method());
            match checker.reply(route.method(), path, &reply) {
                Ok(held) => seen.extend(held),
                Err(error) => wrong.push(error),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), shortened(&wrong));
    // The document, and our envelopes where it lists no such status; nothing else is needed.
    let expected = [
        Held::Document,
        Held::Ours(ENVELOPE),
        Held::Ours(MESSAGES_ENVELOPE),
    ];
    assert_eq!(seen, expected.into());
}

/// One body of each kind.
fn kinds(bodies: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let kind = |body: &str| {
        let has = |what: &str| body.contains(what);
        (has("\"stream\":true"), has("\"tools\""), has(THINKER))
    };
    bodies
        .into_iter()
        .filter(|(_, body)| seen.insert(kind(body)))
        .collect()
}

/// Routes on which the faults of the document's own routes are tried.
const GENERATING: &[&str] = &["/chat/completions", "/completions", "/responses", "/messages"];

/// What would stand by the document where an answer of a malformed fault may differ from it.
fn by_the_document(exception: &Malformed) -> Value {
    let usage = || json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    match *exception {
        MALFORMED_STRING_CODE => json!(500),
        MALFORMED_NO_ARGUMENTS => json!("{}"),
        MALFORMED_NO_INDEX | MALFORMED_USAGE_NULL_DETAILS => json!(0),
        MALFORMED_NO_TYPE => json!("function"),
        MALFORMED_USAGE_EMPTY | MALFORMED_USAGE_NULL => usage(),
        _ => panic!("{exception:?} is in no list"),
    }
}

/// Puts right what an exception covers, and nothing else.
fn mend(exception: &Malformed, value: &mut Value) {
    for place in exception.places {
        put(value, place, &by_the_document(exception));
    }
}

#[test]
fn every_fault_fits_the_document_but_at_the_places_that_are_named_with_their_line() {
    let simulation = service();
    let name = "every_fault_fits_the_document_but_at_the_places_that_are_named_with_their_line";
    let Some(checker) = Checker::new(name) else {
        return;
    };
    let mut wrong = Vec::new();
    let mut broken = BTreeSet::new();
    for route in served_routes()
        .iter()
        .filter(|route| GENERATING.contains(&route.path()))
    {
        // Words, calls of tools, and reasoning; whole and streamed.
        let bodies = kinds(successes(&simulation, route));
        for fault in Fault::all().map(|fault| fault.to_string()) {
            let exception = MALFORMED.iter().find(|one| one.fault == fault);
            for (path, body) in &bodies {
                let reply = call(
                    &simulation,
                    route.method(),
                    path,
                    key_for(route),
                    body,
                    Some(&fault),
                );
                let Err(error) = checker.reply(route.method(), path, &reply) else {
                    continue;
                };
                let Some(exception) = exception else {
                    wrong.push(format!("{fault}: {error}"));
                    continue;
                };
                broken.insert(exception.fault);
                let mend = |value: &mut Value| mend(exception, value);
                if let Err(error) = checker.mended(route.method(), path, &reply, &mend) {
                    wrong.push(format!("{fault}, beyond {:?}: {error}", exception.places));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), shortened(&wrong));
    let named: BTreeSet<&str> = MALFORMED.iter().map(|one| one.fault).collect();
    assert_eq!(broken, named, "an exception that is none, or a missing one");
}

#[test]
fn an_exception_hides_nothing_else_in_the_same_answer() {
    let simulation = service();
    let Some(checker) = Checker::new("an_exception_hides_nothing_else_in_the_same_answer") else {
        return;
    };
    let chat = served_routes()
        .iter()
        .find(|route| route.path() == "/chat/completions");
    let route = chat.unwrap();
    for exception in MALFORMED {
        let mut covered = 0;
        for (path, body) in kinds(successes(&simulation, route)) {
            let reply = call(
                &simulation,
                "POST",
                &path,
                key_for(route),
                &body,
                Some(exception.fault),
            );
            if checker.reply("POST", &path, &reply).is_ok() {
                continue;
            }
            covered += 1;
            let mended = |value: &mut Value| mend(exception, value);
            checker.mended("POST", &path, &reply, &mended).unwrap();
            let worse = |value: &mut Value| {
                mended(value);
                let other = if value.get("error").is_some() {
                    "/error/message"
                } else {
                    "/choices"
                };
                put(value, other, &json!(false));
            };
            let hidden = checker.mended("POST", &path, &reply, &worse);
            assert!(hidden.is_err(), "{exception:?} hides what is wrong with {path}");
        }
        assert!(covered > 0, "{exception:?}");
    }
}
