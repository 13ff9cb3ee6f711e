//! `waypost experiment mirrors`.

use std::time::SystemTime;

use anyhow::bail;
use serde_json::json;

use super::{Outcome, busy, print_json, read_ledger, say, table};
use crate::cli::{ExperimentMirrorsArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use crate::experiment::{MirrorDifference, MirrorResults, spent_today};

pub(super) async fn run(args: &ExperimentMirrorsArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let asked = |key: &str| args.key.as_deref().is_none_or(|asked| asked == key);
    let mirrors: Vec<_> = settings
        .mirrors
        .iter()
        .filter(|mirror| asked(&mirror.key))
        .collect();
    if let (Some(key), true) = (&args.key, mirrors.is_empty()) {
        bail!(WrongUsage(format!(
            "there is no [[mirror]] '{key}' in the configuration"
        )));
    }
    let mut all = Vec::new();
    if !mirrors.is_empty() {
        #[expect(clippy::disallowed_methods, reason = "a command reads the time once, here")]
        let now = SystemTime::now();
        let store = read_ledger(&settings)?;
        let bar = busy("reading the pairs");
        let spent = spent_today(&store, settings.is_simulated(), now).await?;
        for mirror in mirrors {
            let spent = spent.get(&mirror.tag()).copied().unwrap_or_default();
            all.push(MirrorResults::read(mirror, &store, spent).await?);
        }
        bar.finish_and_clear();
    }
    if args.json {
        print_json(&json!({ "mirrors": all }))?;
    } else if all.is_empty() {
        say("there are no mirrors; [[mirror]] in waypost.toml begins one")?;
    } else {
        all.iter().try_for_each(show)?;
    }
    Ok(Outcome::Done)
}

fn show(results: &MirrorResults) -> anyhow::Result<()> {
    let of = results.of.as_deref().unwrap_or("any model");
    say(format_args!(
        "{}: {} in the shadow of {of}, {} % of its calls, {} pairs, ${} of ${} spent today",
        results.mirror,
        results.model,
        f64::from(results.sample_bps) / 100.0,
        results.units,
        results.spent_today_usd,
        results.max_usd_per_day
    ))?;
    let mut rows = table(&[
        "",
        "pairs",
        "left out",
        "answered",
        "mirror",
        "difference",
        "95 %",
        "p",
    ]);
    let (ok, cost, latency) = (&results.ok, &results.cost_usd, &results.latency_ms);
    rows.add_row(row(
        "share ok",
        (ok.pairs, ok.left_out),
        (ok.served, ok.mirror),
        &ok.difference,
        4,
    ));
    for (name, means, digits) in [("cost, $", cost, 8), ("latency, ms", latency, 1)] {
        rows.add_row(row(
            name,
            (means.pairs, means.left_out),
            (means.served, means.mirror),
            &means.difference,
            digits,
        ));
    }
    say(rows)?;
    for (name, difference) in [
        ("share ok", &ok.difference),
        ("cost", &cost.difference),
        ("latency", &latency.difference),
    ] {
        if let Some(why) = &difference.no_interval {
            say(format_args!("no interval of the {name}: {why}"))?;
        }
    }
    Ok(())
}

fn row(
    name: &str,
    (pairs, left_out): (u64, u64),
    (served, mirror): (Option<f64>, Option<f64>),
    difference: &MirrorDifference,
    digits: usize,
) -> [String; 8] {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let number = |value: Option<f64>| or_none(value.map(|value| format!("{value:.digits$}")));
    let interval = difference.interval;
    [
        name.to_owned(),
        pairs.to_string(),
        left_out.to_string(),
        number(served),
        number(mirror),
        number(difference.difference),
        or_none(interval.map(|i| format!("{:.digits$} to {:.digits$}", i.low, i.high))),
        or_none(difference.p_value.map(|p| format!("{p:.4}"))),
    ]
}
