//! `waypost health`.

use std::sync::Arc;

use http_transport::SystemClock;
use integration_core::{Clock, HealthReport, HealthStatus};

use super::{Outcome, WrongUsage, print_json};
use crate::app::bundled;
use crate::cli::HealthArgs;
use crate::config::Settings;
use crate::environment::Environment;
use crate::http::{aggregate_json, report_json};
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
                print_json(&report_json(mode, &catalogue, &report))?;
            } else {
                print(mode, &report);
            }
            report.status
        }
        None => {
            let aggregate = upstreams.health_of_all().await;
            if args.json {
                print_json(&aggregate_json(mode, &catalogue, &aggregate))?;
            } else {
                aggregate.reports.iter().for_each(|report| print(mode, report));
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

fn print(mode: Mode, report: &HealthReport) {
    let latency = report
        .latency
        .map(|latency| format!(", {} ms", latency.as_millis()))
        .unwrap_or_default();
    println!(
        "{}: {} ({}{latency})",
        report.id,
        report.status.as_str(),
        mode.as_str()
    );
    if let Some(message) = &report.message {
        println!("  {message}");
    }
    for (name, value) in &report.details {
        println!("  {name}: {value}");
    }
}
