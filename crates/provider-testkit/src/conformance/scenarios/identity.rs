//! Who a client is, and how it is.

use std::time::SystemTime;

use integration_core::{Clock, HealthReport, HealthStatus};

use super::super::bench::{Bench, Verdict, ensure};
use crate::upstream::{Script, ScriptedUpstream};

pub(crate) async fn identity_is_stable_and_debug_hides_the_key(bench: &Bench) -> Verdict {
    let candidate = bench.candidate("http://127.0.0.1:9")?;
    let other = bench.candidate("http://127.0.0.1:10")?;
    ensure!(
        candidate.chat.id() == other.chat.id(),
        "two clients of one provider have different ids"
    );
    ensure!(
        candidate.chat.capabilities() == other.chat.capabilities(),
        "two clients of one provider declare different abilities"
    );
    ensure!(
        !candidate.chat.capabilities().is_empty(),
        "no ability is declared"
    );
    let shown = format!("{candidate:?} {:#?}", candidate.chat);
    ensure!(!shown.contains(bench.key()), "Debug shows the key");
    if let Some(embeddings) = &candidate.embeddings {
        ensure!(
            embeddings.id() == candidate.chat.id(),
            "chat and embeddings have different ids"
        );
    }
    Ok(())
}

/// What must hold for every report.
fn is_sound(bench: &Bench, report: &HealthReport) -> Verdict {
    let id = bench.id()?;
    ensure!(
        report.id == id,
        "the report is about `{}` instead of `{id}`",
        report.id
    );
    let shown = format!("{report:?}");
    ensure!(!shown.contains(bench.key()), "the report shows the key");
    ensure!(
        report.checked_at == bench.clock.wall() || report.checked_at == SystemTime::UNIX_EPOCH,
        "the time of the check is not the clock's"
    );
    ensure!(
        report.status == HealthStatus::Healthy
            || report
                .message
                .as_ref()
                .is_some_and(|text| !text.trim().is_empty()),
        "a status of {:?} without a sentence that says what to do",
        report.status
    );
    Ok(())
}

fn is_free(bench: &Bench, upstream: &ScriptedUpstream) -> Verdict {
    match upstream
        .requests()
        .iter()
        .find(|request| bench.subject.is_paid(request))
    {
        Some(paid) => Err(format!(
            "the check calls {} {}, which costs money",
            paid.method, paid.path
        )),
        None => Ok(()),
    }
}

pub(crate) async fn health_is_free_and_healthy_when_the_server_is(bench: &Bench) -> Verdict {
    let upstream = ScriptedUpstream::always(Script::json(200, bench.subject.health_body())).await;
    let report = bench.at(&upstream)?.chat.health().await;
    is_sound(bench, &report)?;
    ensure!(
        report.status == HealthStatus::Healthy,
        "the server is healthy, the report is {report:?}"
    );
    is_free(bench, &upstream)
}

async fn unhealthy(bench: &Bench, script: Script) -> Verdict {
    let upstream = ScriptedUpstream::always(script).await;
    let report = bench.at(&upstream)?.chat.health().await;
    is_sound(bench, &report)?;
    ensure!(!upstream.requests().is_empty(), "the server was not asked");
    ensure!(
        report.status != HealthStatus::Healthy,
        "the server is not healthy, the report is {report:?}"
    );
    is_free(bench, &upstream)
}

pub(crate) async fn health_reports_a_refused_key(bench: &Bench) -> Verdict {
    // A server that sends back what it should not.
    let message = format!("the key {} is wrong", bench.key());
    unhealthy(bench, Script::json(401, bench.subject.error_body(401, &message))).await
}

pub(crate) async fn health_reports_a_failing_server(bench: &Bench) -> Verdict {
    unhealthy(
        bench,
        Script::json(500, bench.subject.error_body(500, "it fails")),
    )
    .await?;
    unhealthy(bench, Script::html(502, "<html>bad gateway</html>")).await?;
    unhealthy(bench, Script::empty(200)).await?;
    unhealthy(bench, Script::new().reset()).await
}

pub(crate) async fn health_reports_an_unreachable_server(bench: &Bench) -> Verdict {
    let report = bench
        .candidate(&super::transport::dead_url().await)?
        .chat
        .health()
        .await;
    is_sound(bench, &report)?;
    ensure!(
        report.status == HealthStatus::Unhealthy,
        "nobody is there, the report is {report:?}"
    );
    Ok(())
}

pub(crate) async fn health_ends_when_the_server_is_silent(bench: &Bench) -> Verdict {
    let upstream = ScriptedUpstream::always(Script::new().stall()).await;
    let candidate = bench.at(&upstream)?;
    let report = bench.until_given_up(&upstream, candidate.chat.health()).await?;
    is_sound(bench, &report)?;
    ensure!(
        report.status != HealthStatus::Healthy,
        "the server is silent, the report is {report:?}"
    );
    Ok(())
}
