//! `waypost health`.

use std::sync::Arc;

use http_transport::SystemClock;
use integration_core::{Clock, HealthReport, HealthStatus};

use super::{Outcome, print_json, say};
use crate::app::bundled;
use crate::cli::{HealthArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use crate::report;
use crate::upstream::{Mode, Upstreams};

pub(super) async fn run(args: &HealthArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let upstreams = Upstreams::connect(&settings, &clock).await?;
    let mode = upstreams.mode();
    let (catalogue, _) = bundled()?;
    let status = match &args.id {
        Some(id) => {
            let report = upstreams.health(id).await.ok_or_else(|| {
                let known: Vec<_> = upstreams.ids().map(|id| id.as_str()).collect();
                WrongUsage(format!(
                    "there is no integration '{id}'; there is {}",
                    known.join(", ")
                ))
            })?;
            if args.json {
                print_json(&report::health(mode, &catalogue, &report))?;
            } else {
                print(mode, &report)?;
            }
            report.status
        }
        None => {
            let aggregate = upstreams.health_of_all().await;
            if args.json {
                print_json(&report::health_of_all(mode, &catalogue, &aggregate))?;
            } else {
                aggregate
                    .reports
                    .iter()
                    .try_for_each(|report| print(mode, report))?;
            }
            aggregate.status
        }
    };
    upstreams.shutdown().await;
    Ok(if status == HealthStatus::Unhealthy {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

fn print(mode: Mode, report: &HealthReport) -> anyhow::Result<()> {
    let latency = report
        .latency
        .map(|latency| format!(", {} ms", latency.as_millis()))
        .unwrap_or_default();
    say(format_args!(
        "{}: {} ({}{latency})",
        report.id,
        report.status.as_str(),
        mode.as_str()
    ))?;
    if let Some(message) = &report.message {
        say(format_args!("  {message}"))?;
    }
    for (name, value) in &report.details {
        say(format_args!("  {name}: {value}"))?;
    }
    Ok(())
}
