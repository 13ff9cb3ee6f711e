//! `waypost replay`.

mod figures;
mod full;
mod learned;
mod logged;
mod policy;
mod report;
mod text;

use costing::UtcTime;
use http_transport::SystemClock;
use integration_core::Clock;
use routing::OutcomeKind;

use super::outcome_file::Rows;
use super::{Outcome, print_json};
use crate::cli::{ReplayArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use policy::Policy;
use report::Report;

pub(super) fn run(args: &ReplayArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let mut policy = Policy::new(args, settings, UtcTime::from(SystemClock.wall()))?;
    let mut rows = Rows::open(&args.data)?.of_one_kind();
    let Some(first) = rows.next()? else {
        return Err(WrongUsage(format!("{}: there is no row in it", rows.name())).into());
    };
    let mut report = Report {
        policy: args.policy.clone(),
        ..Report::default()
    };
    if let Some((snapshot, route)) = policy.routed() {
        report.policy = route.strategy.word();
        report.snapshot = Some(snapshot.id().to_owned());
        report.min_quality = route.min_quality;
    }
    let baseline = args.baseline.as_deref();
    match first.kind() {
        OutcomeKind::Full => {
            report.kind = "full";
            full::replay(first, &mut rows, &mut policy, baseline, &mut report)?;
        }
        OutcomeKind::Logged => {
            report.kind = "logged";
            logged::replay(first, &mut rows, &mut policy, baseline, &mut report)?;
        }
    }
    // The bar of the file goes before anything is said.
    drop(rows);
    if args.json {
        print_json(&report)?;
    } else {
        text::print(&report)?;
    }
    if let Some(why) = &report.refused {
        eprintln!("waypost: there is no figure: {why}");
        return Ok(Outcome::Failed);
    }
    Ok(Outcome::Done)
}
