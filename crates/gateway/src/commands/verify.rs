//! `waypost verify`.

use costing::{LedgerStore, Verification};
use serde_json::json;

use super::{Outcome, busy, print_json, read_ledger, say};
use crate::cli::VerifyArgs;
use crate::config::Settings;
use crate::environment::Environment;

pub(super) async fn run(args: &VerifyArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let store = read_ledger(&settings)?;
    let bar = busy("checking every attempt of the ledger");
    let found = store.verify().await;
    bar.finish_and_clear();
    let found = found?;
    if args.json {
        print_json(&as_json(&found))?;
    } else {
        print(&found)?;
    }
    Ok(if found.holds() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn as_json(found: &Verification) -> serde_json::Value {
    let violations: Vec<_> = found
        .violations
        .iter()
        .map(|violation| {
            json!({
                "rule": violation.rule.as_str(),
                "place": violation.place.to_string(),
                "detail": violation.detail,
            })
        })
        .collect();
    json!({
        "holds": found.holds(),
        "attempts": found.attempts,
        "open": found.open,
        "requests": found.requests,
        "entries": found.entries,
        "rollups": found.rollups,
        "charged_usd": found.charged,
        "violation_count": found.violation_count,
        "violations": violations,
    })
}

fn print(found: &Verification) -> anyhow::Result<()> {
    say(format_args!(
        "checked {} attempts ({} open) of {} requests, {} entries and {} hourly sums; charged ${} in all, simulated calls \
         included",
        found.attempts, found.open, found.requests, found.entries, found.rollups, found.charged
    ))?;
    if found.holds() {
        return say("everything adds up");
    }
    for violation in &found.violations {
        // Names in it are from outside, and a terminal takes orders.
        let text = violation.to_string();
        let shown: String = text
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        say(shown)?;
    }
    let described = found.violations.len() as u64;
    if found.violation_count > described {
        say(format_args!("and {} more", found.violation_count - described))?;
    }
    say(format_args!("{} violations", found.violation_count))
}
