//! Refusals, and bodies that are no answer.

use std::time::Duration;

use integration_core::{Delivery, Error, ErrorKind, RetryClass};

use super::super::Answer;
use super::super::bench::{Bench, DATE, Mode, Verdict, ensure, is_delivery, is_kind};
use crate::upstream::{Script, ScriptedUpstream};

/// What must hold for an HTTP status that tells of a failure.
async fn status_is_told(bench: &Bench, status: u16) -> Verdict {
    let body = bench.subject.error_body(status, "the server's own words");
    for (_, error) in bench.failures(&Script::json(status, body)).await? {
        is_kind(&error, &bench.subject.kinds(status))?;
        ensure!(
            error.status() == Some(status),
            "the status was kept as {:?}",
            error.status()
        );
        ensure!(
            error.provider() == Some(&bench.id()?),
            "the error does not say which integration failed: {error:?}"
        );
        is_delivery(&error, &[Delivery::Answered])?;
        let passing = matches!(status, 408 | 429 | 500..);
        let class = error.retry_class();
        ensure!(
            if passing {
                class != RetryClass::Never
            } else {
                class != RetryClass::SameDeployment
            },
            "after status {status} the caller is told to retry: {class:?}"
        );
    }
    Ok(())
}

macro_rules! statuses {
    ($($name:ident = $status:literal;)*) => {
        $(pub(crate) async fn $name(bench: &Bench) -> Verdict {
            status_is_told(bench, $status).await
        })*
    };
}

statuses! {
    status_400_is_told = 400;
    status_401_is_told = 401;
    status_402_is_told = 402;
    status_403_is_told = 403;
    status_404_is_told = 404;
    status_408_is_told = 408;
    status_413_is_told = 413;
    status_422_is_told = 422;
    status_429_is_told = 429;
    status_500_is_told = 500;
    status_502_is_told = 502;
    status_503_is_told = 503;
    status_504_is_told = 504;
    status_529_is_told = 529;
}

/// The waits that a client reads off `Retry-After`.
async fn waits(bench: &Bench, status: u16, value: &str) -> Verdict<Vec<Option<Duration>>> {
    let body = bench.subject.error_body(status, "too many requests");
    let script = Script::json(status, body).with_header("Retry-After", value);
    let errors = bench.failures(&script).await?;
    Ok(errors.iter().map(|(_, error)| error.retry_after()).collect())
}

pub(crate) async fn retry_after_in_seconds(bench: &Bench) -> Verdict {
    for status in [429, 503] {
        for wait in waits(bench, status, "7").await? {
            ensure!(
                wait == Some(Duration::from_secs(7)),
                "7 seconds were read as {wait:?}"
            );
        }
    }
    Ok(())
}

pub(crate) async fn retry_after_as_a_date(bench: &Bench) -> Verdict {
    for wait in waits(bench, 429, DATE).await? {
        ensure!(
            wait == Some(Duration::from_secs(90)),
            "a date 90 seconds ahead by the clock was read as {wait:?}"
        );
    }
    for wait in waits(bench, 429, "Sat, 05 Nov 1994 08:49:37 GMT").await? {
        ensure!(
            wait.unwrap_or_default() == Duration::ZERO,
            "a date that has passed was read as {wait:?}"
        );
    }
    Ok(())
}

pub(crate) async fn retry_after_that_makes_no_sense(bench: &Bench) -> Verdict {
    for value in ["0", "-5", "soon", "", "NaN", "1e999"] {
        for wait in waits(bench, 429, value).await? {
            ensure!(
                wait.unwrap_or_default() == Duration::ZERO,
                "`{value}` was read as {wait:?}"
            );
        }
    }
    // A caller that believes it would never call again.
    for value in [
        "999999999999",
        "99999999999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        for wait in waits(bench, 429, value).await? {
            let week = Duration::from_secs(7 * 24 * 3600);
            ensure!(
                wait.is_none_or(|wait| wait <= week),
                "`{value}` was believed: {wait:?}"
            );
        }
    }
    Ok(())
}

fn came(error: &Error) -> Verdict {
    is_delivery(
        error,
        &[Delivery::MaybeSent, Delivery::Answered, Delivery::Partial],
    )
}

pub(crate) async fn an_error_under_status_200(bench: &Bench) -> Verdict {
    let body = bench.subject.error_body(503, "the upstream is overloaded");
    for (mode, error) in bench.failures(&Script::json(200, body)).await? {
        let mut kinds = bench.subject.kinds(503);
        kinds.push(ErrorKind::Upstream);
        is_kind(&error, &kinds).map_err(|wrong| format!("asked for {mode}: {wrong}"))?;
        came(&error)?;
    }
    Ok(())
}

/// The body must be refused as one of the kinds, and count as an answer.
async fn body_is(bench: &Bench, script: Script, kinds: &[ErrorKind]) -> Verdict {
    for (mode, error) in bench.failures(&script).await? {
        is_kind(&error, kinds).map_err(|wrong| format!("asked for {mode}: {wrong}"))?;
        came(&error)?;
        ensure!(
            error.retry_class() != RetryClass::Never,
            "another deployment may well answer"
        );
    }
    Ok(())
}

const UNREADABLE: [ErrorKind; 2] = [ErrorKind::Protocol, ErrorKind::Truncated];

pub(crate) async fn a_web_page_under_status_200(bench: &Bench) -> Verdict {
    let page = "<!doctype html><html><body>Please sign in to the network</body></html>";
    body_is(bench, Script::html(200, page), &[ErrorKind::Protocol]).await
}

pub(crate) async fn a_web_page_of_a_failing_proxy(bench: &Bench) -> Verdict {
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>";
    body_is(bench, Script::html(502, page), &bench.subject.kinds(502)).await
}

pub(crate) async fn an_empty_body(bench: &Bench) -> Verdict {
    body_is(bench, Script::json(200, ""), &UNREADABLE).await?;
    body_is(bench, Script::empty(200), &UNREADABLE).await?;
    body_is(bench, Script::json(500, ""), &bench.subject.kinds(500)).await
}

pub(crate) async fn no_content(bench: &Bench) -> Verdict {
    body_is(bench, Script::empty(204), &UNREADABLE).await
}

pub(crate) async fn a_body_that_is_no_json(bench: &Bench) -> Verdict {
    for body in ["OK", "null", "[]", "42", "\"text\"", "{}", "\u{0}\u{1}\u{2}"] {
        let verdict = body_is(bench, Script::json(200, body), &UNREADABLE).await;
        verdict.map_err(|wrong| format!("the body `{}`: {wrong}", body.escape_debug()))?;
    }
    Ok(())
}

pub(crate) async fn a_body_that_breaks_off(bench: &Bench) -> Verdict {
    let body = bench.subject.whole(&Answer::text(&["Hello, World"]));
    for share in [1, 2, 3] {
        let at = (0..=body.len() * share / 4)
            .rev()
            .find(|at| body.is_char_boundary(*at));
        let start = &body[..at.unwrap_or(0)];
        body_is(bench, Script::json(200, start), &UNREADABLE).await?;
    }
    Ok(())
}

pub(crate) async fn a_body_shorter_than_declared(bench: &Bench) -> Verdict {
    let body = bench.subject.whole(&Answer::text(&["Hello, World"]));
    let declared = body.len() + 10;
    let script = Script::json(200, &body).wrong_length(declared);
    body_is(
        bench,
        script,
        &[ErrorKind::Truncated, ErrorKind::Transport, ErrorKind::Protocol],
    )
    .await
}

pub(crate) async fn a_redirect_is_not_followed(bench: &Bench) -> Verdict {
    let elsewhere = bench.serving(&Answer::text(&["from elsewhere"])).await;
    for status in [301, 302, 303, 307, 308] {
        let script = Script::redirect(status, &format!("{}/v1/chat/completions", elsewhere.url()));
        for (_, error) in bench.failures(&script).await? {
            ensure!(
                error.retry_class() != RetryClass::SameDeployment,
                "a redirect is told to pass: {error:?}"
            );
        }
        // The key and the question would go to whomever the server names.
        ensure!(elsewhere.requests().is_empty(), "status {status} was followed");
    }
    Ok(())
}

/// A body in which `mark` stands for more bytes than a client may take.
pub(super) fn filled(start: Script, body: &str, mark: &str, cap: usize) -> Verdict<Script> {
    const BLOCK: usize = 64 << 10;
    let (before, after) = body
        .split_once(mark)
        .ok_or("the text of an answer is not in its body")?;
    let blocks = cap / BLOCK + 1;
    Ok(start
        .send(before)
        .send_times(vec![b'x'; BLOCK], blocks)
        .send(after))
}

pub(crate) async fn an_answer_over_the_cap_is_refused(bench: &Bench) -> Verdict {
    const FILL: &str = "@@FILL@@";
    let body = bench.subject.whole(&Answer::text(&[FILL]));
    let start = Script::chunked(200, "application/json");
    let whole = filled(start, &body, FILL, bench.subject.largest_answer())?;
    let frames = bench.all_frames(&Answer::text(&[FILL])).concat();
    let start = Script::chunked(200, bench.subject.stream_type());
    let stream = filled(start, &frames, FILL, bench.subject.largest_answer())?;
    let upstream = bench.by_mode(whole, stream).await;
    let error = bench.ask(&upstream, Mode::Whole).await?.failed()?;
    is_kind(&error, &[ErrorKind::Protocol, ErrorKind::PayloadTooLarge])?;
    came(&error)
}

pub(crate) async fn the_key_is_in_no_error(bench: &Bench) -> Verdict {
    // A server that sends back what it should not. Every call looks for the key in what it returns.
    let message = format!("your key Bearer {} is not good enough", bench.key());
    for status in [200, 400, 401, 403, 429, 500] {
        let body = bench.subject.error_body(status.max(400), &message);
        bench.failures(&Script::json(status, body)).await?;
        bench.failures(&Script::json(status, &message)).await?;
    }
    bench
        .failures(&Script::html(502, format!("<p>{message}</p>")))
        .await?;
    if bench.modes().contains(&Mode::Pieces) {
        let frame = bench.subject.error_frame(401, &message);
        bench.reads(bench.stream_of([frame.clone()])).await?.failed()?;
        let begun = bench.subject.frames(&Answer::text(&["Hi"]).with_finish(None));
        bench
            .reads(bench.stream_of(begun.into_iter().chain([frame])))
            .await?
            .failed()?;
    }
    let upstream = ScriptedUpstream::always(Script::redirect(307, &format!("/?key={}", bench.key()))).await;
    bench.ask(&upstream, Mode::Whole).await?.failed().map(drop)
}
