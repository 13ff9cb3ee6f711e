//! What a client sends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use integration_core::chat::{Message, ResponseFormat, Stop};
use integration_core::{Capability, ChatRequest, Delivery};
use serde_json::{Map, Value, json};

use super::super::Answer;
use super::super::bench::{Bench, Verdict, ensure, is_delivery, text};
use crate::upstream::{Received, Script, ScriptedUpstream};

fn hello() -> Answer {
    Answer::text(&["Hel", "lo"])
}

/// What a server receives, in every way of asking.
async fn received(bench: &Bench, request: &ChatRequest) -> Verdict<Vec<Received>> {
    let upstream = bench.serving(&hello()).await;
    let mut received = Vec::new();
    for mode in bench.modes() {
        bench.ask_for(&upstream, mode, request).await?.answered()?;
        received.push(bench.sent(&upstream)?);
    }
    Ok(received)
}

pub(crate) async fn a_request_carries_what_was_asked(bench: &Bench) -> Verdict {
    let mut request = if bench.declares(Capability::Tools) {
        bench.request_with_tools()?
    } else {
        bench.request()?
    };
    request.messages = vec![
        Message::system("Answer in one word. \u{1F980} \"quoted\" \\ \u{2028}"),
        Message::user("Which?"),
        Message::assistant("That one."),
        Message::user("Why?"),
    ];
    request.max_tokens = Some(64);
    request.temperature = Some(0.5);
    request.top_p = Some(0.25);
    request.stop = Some(Stop::Many(vec!["END".to_owned(), "\n\n".to_owned()]));
    request.user = Some("user-1".to_owned());
    if bench.declares(Capability::Seed) {
        request.seed = Some(-7);
    }
    if bench.declares(Capability::JsonMode) {
        request.response_format = Some(ResponseFormat::new("json_object", Map::new()));
    }
    for sent in received(bench, &request).await? {
        bench.subject.check_request(&request, &sent)?;
    }
    Ok(())
}

pub(crate) async fn fields_without_a_name_are_passed_on(bench: &Bench) -> Verdict {
    let mut request = bench.request()?;
    request.extra = [
        ("acme_option", json!({ "depth": [1, null, "x", { "y": true }] })),
        ("acme_flag", Value::Bool(false)),
        ("acme_number", json!(9_007_199_254_740_993_u64)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect();
    for sent in received(bench, &request).await? {
        bench.subject.check_request(&request, &sent)?;
    }
    Ok(())
}

pub(crate) async fn the_key_goes_with_every_call(bench: &Bench) -> Verdict {
    for sent in received(bench, &bench.request()?).await? {
        ensure!(
            bench.subject.carries_key(&sent, bench.key()),
            "{} {} was sent without the key where the provider wants it",
            sent.method,
            sent.path
        );
        ensure!(
            !sent.path.contains(bench.key()),
            "the key is in the address, which ends up in logs"
        );
    }
    Ok(())
}

pub(crate) async fn headers_of_the_caller_are_sent(bench: &Bench) -> Verdict {
    let upstream = bench.serving(&hello()).await;
    let candidate = bench.at(&upstream)?;
    let cx = bench
        .cx()?
        .with_headers(vec![("x-acme-trace".to_owned(), "trace-1".to_owned())]);
    for mode in bench.modes() {
        bench
            .call(&candidate, mode, &cx, &bench.request()?)
            .await?
            .answered()?;
        let sent = bench.sent(&upstream)?;
        let values: Vec<&str> = sent.header_values("x-acme-trace").collect();
        ensure!(
            values == ["trace-1"],
            "the caller's header was sent as {values:?}"
        );
    }
    Ok(())
}

/// Calls with a header that must not get through: refused, or sent without it.
async fn header_is_stopped(bench: &Bench, name: &str, value: &str) -> Verdict {
    for mode in bench.modes() {
        let upstream = bench.serving(&hello()).await;
        let candidate = bench.at(&upstream)?;
        let cx = bench
            .cx()?
            .with_headers(vec![(name.to_owned(), value.to_owned())]);
        let call = bench.call(&candidate, mode, &cx, &bench.request()?).await?;
        if let Err(error) = call.result {
            is_delivery(&error, &[Delivery::NotSent])?;
            ensure!(
                !error.to_string().contains("intruder"),
                "the error shows the header's value"
            );
            ensure!(
                upstream.requests().is_empty(),
                "the header was refused after the request was sent"
            );
            continue;
        }
        let sent = bench.sent(&upstream)?;
        ensure!(
            bench.subject.carries_key(&sent, bench.key()),
            "the caller's `{name}` took the place of the client's own"
        );
        let seen = sent
            .headers
            .iter()
            .any(|(name, value)| name.contains("evil") || value.contains("intruder"));
        ensure!(!seen, "the caller's `{name}` was sent");
    }
    Ok(())
}

pub(crate) async fn a_caller_cannot_replace_the_key(bench: &Bench) -> Verdict {
    // Whatever the header is called by this provider: those that carried the key. `authorization` is nobody's but the
    // client's in any case.
    let mut carriers = BTreeMap::from([("authorization".to_owned(), "Bearer intruder".to_owned())]);
    for sent in received(bench, &bench.request()?).await? {
        for (name, value) in &sent.headers {
            if value.contains(bench.key()) {
                carriers.insert(name.to_ascii_lowercase(), value.replace(bench.key(), "intruder"));
            }
        }
    }
    for (name, value) in carriers {
        header_is_stopped(bench, &name, &value).await?;
        header_is_stopped(bench, &in_title_case(&name), &value).await?;
    }
    Ok(())
}

/// `x-api-key` as `X-Api-Key`.
fn in_title_case(name: &str) -> String {
    let mut first = true;
    name.chars()
        .map(|letter| {
            let capital = std::mem::replace(&mut first, letter == '-');
            if capital {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        })
        .collect()
}

pub(crate) async fn a_header_cannot_smuggle_another(bench: &Bench) -> Verdict {
    header_is_stopped(bench, "x-acme-trace", "1\r\nx-evil: intruder").await?;
    header_is_stopped(bench, "x-acme-trace: 1\r\nx-evil", "intruder").await
}

pub(crate) async fn one_call_is_one_request(bench: &Bench) -> Verdict {
    for script in [
        Script::json(503, bench.subject.error_body(503, "overloaded")),
        Script::json(429, bench.subject.error_body(429, "too many")).with_header("retry-after", "0"),
        Script::new().reset(),
    ] {
        for mode in bench.modes() {
            let upstream = ScriptedUpstream::always(script.clone()).await;
            bench.ask(&upstream, mode).await?.failed()?;
            let sent = upstream.requests().len();
            ensure!(
                sent == 1,
                "one call sent {sent} requests; make the client without retries of its own"
            );
        }
    }
    Ok(())
}

pub(crate) async fn a_client_is_used_again_after_a_failure(bench: &Bench) -> Verdict {
    let failures = [
        Script::json(503, bench.subject.error_body(503, "overloaded")),
        Script::new().cut(),
        Script::new().reset(),
        Script::json(200, "{").cut_after(70),
    ];
    for mode in bench.modes() {
        let subject = Arc::clone(&bench.subject);
        let (whole, stream) = (bench.whole(&hello()), bench.stream_of(bench.all_frames(&hello())));
        let count = AtomicUsize::new(0);
        let scripts = failures.clone();
        let upstream = ScriptedUpstream::start(move |request| {
            let at = count.fetch_add(1, Ordering::Relaxed);
            let good = if subject.wants_stream(request) {
                &stream
            } else {
                &whole
            };
            // Every failure is followed by a good answer.
            let failure = at.is_multiple_of(2).then(|| scripts.get(at / 2)).flatten();
            failure.unwrap_or(good).clone()
        })
        .await;
        let candidate = bench.at(&upstream)?;
        for failure in &failures {
            bench
                .call(&candidate, mode, &bench.cx()?, &bench.request()?)
                .await?
                .failed()?;
            let answer = bench
                .call(&candidate, mode, &bench.cx()?, &bench.request()?)
                .await?;
            let answer = answer
                .answered()
                .map_err(|error| format!("after {failure:?}: {error}"))?;
            ensure!(answer.text() == "Hello", "after {failure:?}: `{}`", answer.text());
        }
    }
    Ok(())
}

pub(crate) async fn calls_at_once_do_not_mix(bench: &Bench) -> Verdict {
    const CALLS: usize = 8;
    let subject = Arc::clone(&bench.subject);
    let scripts: Vec<_> = (0..CALLS)
        .map(|n| {
            let answer = Answer::text(&["answer ", &n.to_string()]);
            (bench.whole(&answer), bench.stream_of(bench.all_frames(&answer)))
        })
        .collect();
    let upstream = ScriptedUpstream::start(move |request| {
        let asked = request.text();
        let number = (0..CALLS).find(|n| asked.contains(&format!("question number {n}.")));
        match number.and_then(|n| scripts.get(n)) {
            Some((_, stream)) if subject.wants_stream(request) => stream.clone(),
            Some((whole, _)) => whole.clone(),
            None => Script::json(400, "{}"),
        }
    })
    .await;
    let candidate = bench.at(&upstream)?;
    for mode in bench.modes() {
        let calls = (0..CALLS).map(|n| {
            let candidate = &candidate;
            async move {
                let request = bench.asking(&format!("question number {n}."))?;
                bench
                    .call(candidate, mode, &bench.cx()?, &request)
                    .await?
                    .answered()
            }
        });
        for (n, answer) in join_all(calls).await.into_iter().enumerate() {
            let text = answer?.text();
            ensure!(text == format!("answer {n}"), "call {n} got `{text}`");
        }
    }
    Ok(())
}

pub(crate) async fn needs_that_are_not_declared_are_refused(bench: &Bench) -> Verdict {
    if !bench.declares(Capability::Chat) {
        return bench.refuses_chat().await;
    }
    let part = |kind: &str| json!([{ "role": "user", "content": [{ "type": kind, kind: {} }] }]);
    let format = |kind: &str| json!({ "type": kind });
    for (field, value) in [
        ("messages", part("image_url")),
        ("messages", part("input_audio")),
        ("messages", part("video_url")),
        ("messages", part("file")),
        ("response_format", format("json_object")),
        ("response_format", format("json_schema")),
        ("logprobs", json!(true)),
        ("modalities", json!(["text", "image"])),
        ("modalities", json!(["text", "audio"])),
        (
            "tools",
            json!([{ "type": "function", "function": { "name": "weather" } }]),
        ),
    ] {
        let mut fields = serde_json::to_value(bench.request()?).map_err(text)?;
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
        let request: ChatRequest = serde_json::from_value(fields).map_err(text)?;
        // Text is what every chat client writes, declared or not.
        let missing = request
            .needs()
            .missing_from(bench.declared().with(Capability::TextOutput));
        if !missing.is_empty() {
            let refused = bench.refuses(&request).await;
            refused.map_err(|error| format!("a request that needs {missing}: {error}"))?;
        }
    }
    Ok(())
}
