//! `waypost outcomes`: the feedback in the ledger as rows of outcomes, for whatever reads a file of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use costing::report::Period;
use costing::{AttemptRow, Pico};
use model_catalogue::Catalogue;
use routing::{FeedbackStore, ModelOutcome, OutcomeRow, ScoredAnswer};
use routing_learned::MOST_PROMPTS;

use super::{Outcome, busy, read_ledger};
use crate::app::bundled;
use crate::cli::{OutcomesArgs, WrongUsage};
use crate::config::Settings;
use crate::environment::Environment;
use crate::learned::{CASCADE, Decision};
use crate::out_file::OutFile;
use crate::quality::answered_by;

/// So many answers are read at a time.
const PAGE: usize = 64;

/// Which answers are wanted.
#[derive(Debug)]
struct Wanted {
    /// Of a simulator, or of a provider: the one says nothing of the other.
    simulated: bool,
    from: Option<SystemTime>,
    to: Option<SystemTime>,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    /// Rows, one JSON object a line.
    lines: String,
    rows: usize,
    models: BTreeSet<String>,
    /// Answers of the other kind.
    other_kind: usize,
    /// Answers of models that the catalogue does not have.
    unknown_model: usize,
}

pub(super) async fn run(args: &OutcomesArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let wanted = Wanted {
        simulated: settings.is_simulated(),
        from: time("--from", args.from.as_deref())?,
        to: time("--to", args.to.as_deref())?,
    };
    if let (Some(from), Some(to)) = (wanted.from, wanted.to)
        && from >= to
    {
        return Err(WrongUsage("--from must be before --to".to_owned()).into());
    }
    let (catalogue, _) = bundled()?;
    let file = args.out.as_deref().map(OutFile::new).transpose()?;
    let store = read_ledger(&settings)?;
    let bar = busy("reading feedback");
    let found = read(&store, &catalogue, &wanted).await;
    bar.finish_and_clear();
    let found = found?;
    if found.rows == 0 {
        bail!(
            "there is no feedback on such answers in the ledger{}",
            left_out(&wanted, &found)
        );
    }
    let mut place = String::new();
    match (&file, &args.out) {
        (Some(file), Some(path)) => {
            file.write(&found.lines)?;
            place = format!(" are in {}", path.display());
        }
        _ => {
            let mut out = std::io::stdout().lock();
            out.write_all(found.lines.as_bytes())?;
            out.flush()?;
        }
    }
    let kind = if wanted.simulated {
        "SIMULATED answers"
    } else {
        "answers"
    };
    eprintln!(
        "waypost: {} {kind} of {} models{place}{}",
        found.rows,
        found.models.len(),
        left_out(&wanted, &found)
    );
    Ok(Outcome::Done)
}

fn time(option: &str, word: Option<&str>) -> Result<Option<SystemTime>, WrongUsage> {
    let time = word.map(Period::time).transpose();
    let time = time.map_err(|error| WrongUsage(format!("{option}: {error}")))?;
    Ok(time.map(SystemTime::from))
}

/// What is not among the rows, as the end of a sentence.
fn left_out(wanted: &Wanted, found: &Found) -> String {
    let other_kind = if wanted.simulated {
        "that were not simulated"
    } else {
        "that were simulated"
    };
    let counts = [
        (found.other_kind, other_kind),
        (found.unknown_model, "of models that are not in the catalogue"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    counts
        .map(|(count, what)| format!("; left out: {count} {what}"))
        .collect()
}

async fn read(store: &dyn FeedbackStore, catalogue: &Catalogue, wanted: &Wanted) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut after = None;
    loop {
        let page = store.scored_answers(after.as_ref(), PAGE).await?;
        for scored in &page {
            add(&mut found, scored, catalogue, wanted)?;
        }
        if found.rows > MOST_PROMPTS {
            bail!(
                "there is feedback on more than {MOST_PROMPTS} answers; choose a time with --from and --to"
            );
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.attempt.intent.request.clone()),
            _ => return Ok(found),
        }
    }
}

fn add(
    found: &mut Found,
    scored: &ScoredAnswer,
    catalogue: &Catalogue,
    wanted: &Wanted,
) -> Result<(), serde_json::Error> {
    let intent = &scored.attempt.intent;
    let began = intent.started;
    if wanted.from.is_some_and(|from| began < from) || wanted.to.is_some_and(|to| began >= to) {
        return Ok(());
    }
    if intent.simulated != wanted.simulated {
        found.other_kind += 1;
        return Ok(());
    }
    let Some((model, row)) = row(scored, catalogue) else {
        found.unknown_model += 1;
        return Ok(());
    };
    found.lines += &serde_json::to_string(&row)?;
    found.lines.push('\n');
    found.rows += 1;
    found.models.insert(model);
    Ok(())
}

/// An answer as a row, and whose answer it is; `None` if the catalogue does not have that model. What was asked is not in the ledger,
/// and with which probability the model was chosen only where a learned policy did.
fn row(scored: &ScoredAnswer, catalogue: &Catalogue) -> Option<(String, OutcomeRow)> {
    let ScoredAnswer { attempt, score, .. } = scored;
    let AttemptRow {
        intent, settlement, ..
    } = attempt;
    let settlement = settlement.as_ref()?;
    let model = answered_by(
        catalogue,
        intent.model.as_str(),
        settlement.served_model.as_deref(),
    )?;
    let model = model.as_str().to_owned();
    let usage = settlement.usage.as_ref();
    let mut outcome = ModelOutcome::new(*score);
    // A credit is none of the answer's costs.
    outcome.cost = attempt
        .charge()
        .and_then(|charge| charge.cost)
        .filter(|cost| *cost >= Pico::ZERO);
    outcome.latency_ms = settlement.duration.map(milliseconds);
    outcome.prompt_tokens = usage.and_then(|usage| usage.prompt_tokens);
    outcome.completion_tokens = usage.and_then(|usage| usage.completion_tokens);
    let mut row = OutcomeRow::new(String::new(), BTreeMap::from([(model.clone(), outcome)]));
    row.id = Some(intent.request.as_str().to_owned());
    let (task, first) = (intent.task.clone(), intent.tags.first().cloned());
    row.task = match Decision::of(intent) {
        None => task.or(first),
        Some(decision) => {
            let chosen = catalogue.resolve(&decision.model);
            // Of what stood in for the chosen model nobody knows how probable it was, nor of an answer that a cascade looked at before it was taken.
            if chosen.is_some_and(|chosen| chosen.id.as_str() == model) && decision.basis != CASCADE {
                row.propensity = Some(decision.propensity);
                row.chosen = Some(model.clone());
            }
            // The label that it went by; one that it does not know may be known to the next that is learnt.
            let known = decision.tag.filter(|tag| intent.tags.contains(tag));
            known.or(first).or(task)
        }
    };
    Some((model, row))
}

/// A time as outcomes have it, to the microsecond.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use costing::CostStatus;
    use costing::conformance::{began, correction, intent, settlement};
    use model_catalogue::ModelRecord;

    fn catalogue() -> Catalogue {
        let mut record = ModelRecord::new("a/m".parse().unwrap());
        record.canonical_slug = "a/m-2026".into();
        Catalogue::new("2026-01-01", "p".parse().unwrap(), vec![record]).unwrap()
    }

    fn answered(change: impl FnOnce(&mut AttemptRow)) -> ScoredAnswer {
        let mut attempt = AttemptRow::open(intent("r", 1));
        attempt.settlement = Some(settlement("r", 1));
        change(&mut attempt);
        ScoredAnswer::new(attempt, 0.25)
    }

    fn json(change: impl FnOnce(&mut AttemptRow)) -> serde_json::Value {
        let (_, row) = row(&answered(change), &catalogue()).unwrap();
        serde_json::to_value(&row).unwrap()
    }

    #[test]
    fn an_answer_is_a_row_of_what_is_known_of_it_now() {
        let cost = settlement("r", 1).charge.cost.unwrap();
        let whole = serde_json::json!({
            "id": "r", "prompt": "", "task": "coding",
            "outcomes": { "a/m": {
                "score": 0.25, "cost_usd": cost, "latency_ms": 876.545, "prompt_tokens": 12, "completion_tokens": 34,
            } },
        });
        assert_eq!(json(|_| {}), whole);
        let corrected = |pico| {
            let row = json(|row| row.corrections.push(correction("r", 1, pico, CostStatus::Exact)));
            row["outcomes"]["a/m"]["cost_usd"].clone()
        };
        assert_eq!(corrected(5), "0.000000000005");
        // A credit is no cost, and what is not known is not zero.
        assert!(corrected(-5).is_null());
        let bare = json(|row| {
            row.intent.task = None;
            row.intent.tags.clear();
            if let Some(settlement) = &mut row.settlement {
                settlement.charge.cost = None;
                (settlement.usage, settlement.duration) = (None, None);
            }
        });
        assert_eq!(
            bare,
            serde_json::json!({ "id": "r", "prompt": "", "outcomes": { "a/m": { "score": 0.25 } } })
        );
        let tagged = json(|row| {
            row.intent.task = None;
            row.intent.tags = vec!["billing".to_owned(), "acme".to_owned()];
        });
        assert_eq!(tagged["task"], "billing");
        // What a learned policy chose is told with its odds, under the label that it went by.
        let decided = |basis: &str, chosen: &str, tag: Option<&str>| {
            let decision = serde_json::json!({
                "policy": "p", "file": "f", "basis": basis, "tag": tag, "model": chosen, "propensity": 0.25, "label": true,
            });
            let row = json(|row| {
                row.intent.tags = vec!["acme".to_owned(), "billing".to_owned()];
                row.intent.decision = Some(decision.to_string());
            });
            (
                row["task"].clone(),
                row["chosen"].clone(),
                row["propensity"].clone(),
            )
        };
        let nothing = serde_json::Value::Null;
        for (chosen, tag, task) in [
            ("a/m", Some("billing"), "billing"),
            ("a/m-2026", Some("coding"), "acme"),
            ("a/m", None, "acme"),
        ] {
            let found = decided("certified", chosen, tag);
            assert_eq!(found, (task.into(), "a/m".into(), 0.25.into()), "{chosen}");
        }
        for (basis, chosen) in [("certified", "b/stood-in-for"), (CASCADE, "a/m")] {
            let found = decided(basis, chosen, Some("billing"));
            assert_eq!(found, ("billing".into(), nothing.clone(), nothing.clone()));
        }
    }

    #[test]
    fn what_is_not_wanted_is_left_out_and_counted() {
        let found = |change: fn(&mut AttemptRow), from: Option<SystemTime>, to: Option<SystemTime>| {
            let (mut found, simulated) = (Found::default(), false);
            let wanted = Wanted { simulated, from, to };
            add(&mut found, &answered(change), &catalogue(), &wanted).unwrap();
            assert_eq!(found.lines.lines().count(), found.rows);
            (found.rows, left_out(&wanted, &found))
        };
        let second = Duration::from_secs(1);
        let nothing = String::new();
        assert_eq!(
            found(|_| {}, Some(began()), Some(began() + second)),
            (1, nothing.clone())
        );
        assert_eq!(found(|_| {}, Some(began() + second), None), (0, nothing.clone()));
        assert_eq!(found(|_| {}, None, Some(began())), (0, nothing));
        assert_eq!(
            found(|row| row.intent.simulated = true, None, None),
            (0, "; left out: 1 that were simulated".to_owned())
        );
        let other = |row: &mut AttemptRow| {
            if let Some(settlement) = &mut row.settlement {
                settlement.served_model = Some("b/unheard-of".to_owned());
            }
        };
        assert_eq!(
            found(other, None, None),
            (
                0,
                "; left out: 1 of models that are not in the catalogue".to_owned()
            )
        );
    }
}
